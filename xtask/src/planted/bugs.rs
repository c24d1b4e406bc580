//! The bugs that are planted.

use anyhow::{Result, ensure};

/// A change of one place in the source that breaks a promise.
pub(super) struct Bug {
    /// What it does wrong.
    pub(super) name: &'static str,
    /// The file, from the root of the workspace.
    pub(super) file: &'static str,
    /// What is there, once.
    pub(super) right: &'static str,
    /// What is put in its place.
    pub(super) wrong: &'static str,
}

impl Bug {
    /// The source with the bug in it.
    pub(super) fn planted_in(&self, source: &str) -> Result<String> {
        let places = source.matches(self.right).count();
        ensure!(
            places == 1,
            "the planted bug {:?} no longer fits: {} has {places} times, not once:\n{}\nmend xtask/src/planted/bugs.rs",
            self.name,
            self.file,
            self.right
        );
        Ok(source.replacen(self.right, self.wrong, 1))
    }
}

/// All of them. Each is subtle enough to pass a first look: most traffic goes on as it should.
pub(super) const BUGS: &[Bug] = &[
    Bug {
        name: "streams that waited too long are not resumed",
        file: "gate/src/waiter.rs",
        right: "past.chain(unreachable).map(|(_, stream)| stream.into()).collect()",
        wrong: "past.chain(unreachable).map(|(_, stream)| stream.into()).skip(1).collect()",
    },
    Bug {
        name: "the lease of a lookup that failed is never released",
        file: "gate/src/ledger.rs",
        right: "if let Some(lease) = place.map(",
        wrong: "if let Some(lease) = place.filter(|_| !matches!(end.outcome, Outcome::Failed(_))).map(",
    },
    Bug {
        name: "an error that comes with HTTP 200 is remembered as clean",
        file: "gate/src/core.rs",
        right: "            Err(error) => Fact::Failed { at: now, error },",
        wrong: "            Err(LookupError::Answer(AnswerError::ServerError)) => Fact::after(
                None,
                evaluator::Assessment {
                    learned: now,
                    findings: evaluator::Findings::default(),
                    published: evaluator::Findings::default(),
                    asn: None,
                    country: None,
                    score: evaluator::Score::default(),
                },
            ),
            Err(error) => Fact::Failed { at: now, error },",
    },
    Bug {
        name: "the tag of a client out of scope is not removed",
        file: "filter/src/http.rs",
        right: "                return pass_untagged(Headers::Request, config);
            }
            Consulted::Decided",
        wrong: "                return Action::Continue;
            }
            Consulted::Decided",
    },
    Bug {
        name: "a client's tag passes where the proxy refuses ours",
        file: "filter/src/enforce.rs",
        right: "        !remove_tag(Headers::Request, config)?",
        wrong: "        false",
    },
    Bug {
        name: "the budget is not looked at",
        file: "gate/src/ledger.rs",
        right: "unhealthy.or_else(|| Some((Halt::BudgetSpent, self.spending.at(now).spent_until(budget, priority)?)))",
        wrong: "let _ = (budget, priority);
        unhealthy",
    },
    Bug {
        name: "waiting streams are served on one worker only",
        file: "gate/src/core.rs",
        right: "filter(|fact| fact.learned() >= since)",
        wrong: "filter(|fact| fact.learned() < since)",
    },
    Bug {
        name: "one more lookup than allowed is in flight",
        file: "gate/src/ledger.rs",
        right: "self.leases.len() >= lanes",
        wrong: "self.leases.len() > lanes",
    },
    Bug {
        name: "carrier-grade NAT counts as public",
        file: "evaluator/src/scope.rs",
        right: "special_purpose(ip).is_none()",
        wrong: "special_purpose(ip).is_none_or(|special| special.name.contains(\"shared\"))",
    },
    Bug {
        name: "the deny list wins over the allow list where evidence agrees",
        file: "gate/src/config.rs",
        right: "if let Some(entry) = remote.address.and_then(|address| self.allow.find(address, now)) {",
        wrong: "if let Some(entry) = remote.address.and_then(|address| self.allow.find(address, now)).filter(|_| now.unix() % 3 != 0) {",
    },
    Bug {
        name: "one more stream than allowed is held",
        file: "gate/src/core/judge.rs",
        right: "self.waiters.len() >= usize::try_from",
        wrong: "self.waiters.len() > usize::try_from",
    },
    Bug {
        name: "a refused stream is let go on as well",
        file: "filter/src/root.rs",
        right: "if refused { Ok(()) } else { host::resume_request() }",
        wrong: "let _ = refused;
    host::resume_request()",
    },
    Bug {
        name: "facts are used after their end",
        file: "gate/src/cache.rs",
        right: "} else if age >= full.saturating_add(limits.stale.as_secs()) {",
        wrong: "} else if age >= full.saturating_mul(3).saturating_add(limits.stale.as_secs()) {",
    },
    Bug {
        name: "a stream that left is still waited for",
        file: "filter/src/http.rs",
        right: "            worker.gate.leave(self.stream);
            worker.response_tags",
        wrong: "            worker.response_tags",
    },
    Bug {
        name: "what a root has not sent is lost with it",
        file: "gate/src/wanted.rs",
        right: "Some(heir) => self.change(peer, |wanted| wanted.site = heir),",
        wrong: "Some(_) => drop(self.remove(peer)),",
    },
    Bug {
        name: "an address behind a name is not judged",
        file: "filter/src/http.rs",
        right: "(is_named && remote.address.is_none())",
        wrong: "(is_named && remote.address.is_some())",
    },
    Bug {
        name: "an answer from behind a name does not wait for the lookup",
        file: "filter/src/upstream.rs",
        right: "worker.answers.insert(stream, named.host.clone());
                        return Ok(());",
        wrong: "worker.answers.insert(stream, named.host.clone());
                        return host::resume_response();",
    },
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn every_bug_can_be_planted() {
        for bug in BUGS {
            let source = std::fs::read_to_string(workspace::root().join(bug.file)).unwrap();
            assert_ne!(bug.planted_in(&source).unwrap(), source, "{}", bug.name);
        }
    }
}
