//! Findings with what they rest on.

use crate::{Finding, Findings};
use alloc::{collections::BinaryHeap, string::String, vec::Vec};

/// A finding, and where in the report it comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Detail {
    /// The finding.
    pub finding: Finding,
    /// What in the report it rests on, for people: `port 22/tcp: OpenSSH 8.9p1`. Words of the report, which may be the
    /// peer's own, are in it: without control characters, and cut at 160.
    pub detail: Option<String>,
}

/// Findings, and when somebody wants to know, what they rest on.
pub(super) struct Marks {
    pub(super) findings: Findings,
    details: Option<Vec<Detail>>,
}

impl Marks {
    /// None yet; `explain` says whether somebody wants to know.
    pub(super) fn new(explain: bool) -> Marks {
        Marks { findings: Findings::EMPTY, details: explain.then(Vec::new) }
    }

    pub(super) fn add(&mut self, finding: Finding, detail: &dyn Fn() -> String) {
        self.findings.insert(finding);
        if let Some(details) = &mut self.details {
            details.push(Detail { finding, detail: Some(printable(&detail())) });
        }
    }

    pub(super) fn append(&mut self, other: Marks) {
        self.findings = self.findings.union(other.findings);
        if let Some(details) = &mut self.details {
            details.extend(other.details.into_iter().flatten());
        }
    }

    /// The details, sorted, nothing twice.
    pub(super) fn sorted(self) -> Vec<Detail> {
        // A heap, since its code is a tenth of what sorts slices.
        let mut sorted = self.details.map(BinaryHeap::from).unwrap_or_default().into_sorted_vec();
        sorted.dedup();
        sorted
    }

    /// Adds one finding of `other`, if it is there.
    pub(super) fn take(&mut self, finding: Finding, other: &Marks) {
        self.findings = self.findings.union(other.findings.intersection(Findings::of(&[finding])));
        if let Some(details) = &mut self.details {
            details.extend(other.details.iter().flatten().filter(|detail| detail.finding == finding).cloned());
        }
    }
}

/// The text without control characters, which a terminal might obey, and of a length that fits a line or two.
fn printable(text: &str) -> String {
    let mut letters = text.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter });
    let mut printable: String = letters.by_ref().take(160).collect();
    if letters.next().is_some() {
        printable.push('…');
    }
    printable
}
