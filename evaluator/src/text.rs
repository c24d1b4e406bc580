//! Putting texts together. The standard library's `format!` brings along all that pads, aligns and debugs, which would be a
//! good part of a module that has to be small.

use alloc::string::String;

/// The template, in which each `{}` is replaced by the next of these parts; there are as many.
///
/// ```
/// assert_eq!(evaluator::filled("{} is no {}", &["\"5sec\"", "duration"]), "\"5sec\" is no duration");
/// ```
#[inline(never)]
pub fn filled(template: &str, parts: &[&str]) -> String {
    debug_assert_eq!(template.matches("{}").count(), parts.len(), "{template}");
    let mut text = String::new();
    let mut parts = parts.iter();
    for piece in template.split('{') {
        match piece.strip_prefix('}') {
            Some(rest) => {
                text.push_str(parts.next().copied().unwrap_or_default());
                text.push_str(rest);
            }
            None => text.push_str(piece),
        }
    }
    text
}

/// The number in decimal digits.
///
/// ```
/// assert_eq!(evaluator::decimal(65_535), "65535");
/// ```
#[inline(never)]
pub fn decimal(number: u64) -> String {
    let mut text = String::new();
    push_number(&mut text, number, 10);
    text
}

/// How many there are, in decimal digits.
pub fn how_many(number: usize) -> String {
    decimal(u64::try_from(number).unwrap_or(u64::MAX))
}

/// The same of a number that may be below zero.
#[inline(never)]
pub fn signed_decimal(number: i64) -> String {
    [if number < 0 { "-" } else { "" }, &decimal(number.unsigned_abs())].concat()
}

/// The number in sixteen hexadecimal digits.
///
/// ```
/// assert_eq!(evaluator::hexadecimal(0xbee), "0000000000000bee");
/// ```
#[inline(never)]
pub fn hexadecimal(number: u64) -> String {
    let mut text = String::new();
    for place in (0..u64::BITS).step_by(4) {
        push_number(&mut text, number.rotate_left(place.saturating_add(4)) & 15, 16);
    }
    text
}

/// Appends the number in digits of this base, 2 to 16, in lower case.
pub fn push_number(text: &mut String, number: u64, base: u32) {
    let rest = number.checked_div(base.into()).unwrap_or_default();
    if rest > 0 {
        push_number(text, rest, base);
    }
    let digit = number.checked_rem(base.into()).unwrap_or_default();
    text.push(char::from_digit(digit as u32, base).unwrap_or('0'));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::format;

    #[test]
    fn a_template_is_filled_in_order() {
        assert_eq!(filled("", &[]), "");
        assert_eq!(filled("nothing to fill in", &[]), "nothing to fill in");
        assert_eq!(filled("{}{} ({}).", &["{}", "", "é{"]), "{} (é{).");
    }

    #[test]
    #[should_panic = "one {} of two"]
    fn a_template_with_other_than_as_many_places_is_found_in_tests() {
        filled("one {} of two", &["a", "b"]);
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_by_the_standard_library(number: u64, small in 0_u64..1_000) {
            for number in [number, small] {
                prop_assert_eq!(decimal(number), format!("{number}"));
                prop_assert_eq!(how_many(number as usize), format!("{}", number as usize));
                prop_assert_eq!(signed_decimal(number as i64), format!("{}", number as i64));
                let mut text = String::new();
                push_number(&mut text, number, 16);
                prop_assert_eq!(text, format!("{number:x}"));
                prop_assert_eq!(hexadecimal(number), format!("{number:016x}"));
            }
        }
    }
}
