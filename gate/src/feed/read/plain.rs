//! Plain text: an address or a network a line. Comments start with `#` or `;`.

use super::{FOR_EVER, Found, Refusal};

/// Lines are read whole; one that is longer than a step is no address.
#[derive(Debug, Default)]
pub(super) struct Plain {
    in_long_line: bool,
}

impl Plain {
    /// Reads the whole lines of this part. Returns how many bytes were read.
    pub(super) fn read(&mut self, part: &[u8], is_last: bool, found: &mut Found) -> usize {
        let whole = match part.iter().rposition(|byte| *byte == b'\n') {
            _ if is_last => part.len(),
            Some(end) => end.saturating_add(1),
            None => {
                let is_comment = part.trim_ascii_start().first().is_none_or(|byte| b"#;".contains(byte));
                if !self.in_long_line && !is_comment {
                    found.refuse(Refusal::Malformed);
                }
                self.in_long_line = true;
                return part.len();
            }
        };
        let mut lines = part.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
        if core::mem::take(&mut self.in_long_line) {
            lines.next();
        }
        for line in lines {
            let entry = line.split(|byte| b"#;".contains(byte)).next().unwrap_or_default().trim_ascii();
            // A mark at the start of the file that says it is UTF-8.
            let entry = entry.strip_prefix(b"\xef\xbb\xbf").unwrap_or(entry);
            if !entry.is_empty() {
                found.take(entry, FOR_EVER);
            }
        }
        whole
    }
}
