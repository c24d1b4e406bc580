//! Bytes looked at eight at a time: most of a report is text in which only a few bytes mean something.

/// The highest bit of each byte that is this one. Behind the first of them, others may be marked as well.
#[inline(always)]
pub(crate) const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ u64::from_le_bytes([byte; 8]), 1)
}

/// The same of each byte that is less than `bound`, at most 128.
#[inline(always)]
const fn below(word: u64, bound: u8) -> u64 {
    const HIGH: u64 = u64::from_le_bytes([0x80; 8]);
    word.wrapping_sub(u64::from_le_bytes([bound; 8])) & !word & HIGH
}

/// Whether visible ASCII is at both ends of the text, as it is of nearly all.
pub(crate) fn is_trimmed(text: &str) -> bool {
    matches!(text.as_bytes(), [b'!'..=b'~', .., b'!'..=b'~'])
}

/// The place of the first such byte.
pub(crate) fn find(bytes: &[u8], byte: u8) -> Option<usize> {
    find_or_below(bytes, byte, byte, 0)
}

/// The place of the first byte that is one of these two, or less than `bound`, at most 128.
#[inline(always)]
pub(crate) fn find_or_below(bytes: &[u8], one: u8, other: u8, bound: u8) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut place = 0_usize;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let marked = equal(word, one) | equal(word, other) | below(word, bound);
        if marked != 0 {
            return Some(place.wrapping_add((marked.trailing_zeros() / 8) as usize));
        }
        place = place.wrapping_add(8);
    }
    for byte in rest {
        if *byte == one || *byte == other || *byte < bound {
            return Some(place);
        }
        place = place.wrapping_add(1);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_of_the_bytes_is_found_wherever_it_is(
            bytes in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'!'), 0_u8..], 0..40),
        ) {
            let plain = bytes.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '));
            prop_assert_eq!(find_or_below(&bytes, b'"', b'\\', b' '), plain);
            prop_assert_eq!(find(&bytes, b'"'), bytes.iter().position(|byte| *byte == b'"'));
        }

        #[test]
        fn a_byte_far_into_a_text_is_found(before in 0_usize..40, byte: u8) {
            let mut bytes = std::vec![b'x'; before];
            bytes.push(byte);
            prop_assert_eq!(find(&bytes, byte), Some(if byte == b'x' { 0 } else { before }));
        }
    }
}
