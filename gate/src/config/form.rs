//! The forms that a value can have, whatever its key: each reads one, or notes what is wrong with it.

use super::json::Json;
use super::mistake::{MistakeKind, Mistakes, instead, quoted};
use alloc::string::String;
use core::time::Duration;
use evaluator::{Level, decimal, filled, parse_duration, parse_size, signed_decimal};

/// How a value is written, and what it becomes.
pub(super) trait Form {
    /// What it becomes.
    type Value;

    /// Reads the value. What is wrong is noted, and counts as some value that is right: a document with mistakes becomes
    /// nothing, so that value is never used.
    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> Self::Value;

    /// The JSON Schema of the values that are right, as far as a schema can say it. Its description says it in words.
    #[cfg(test)]
    fn shape(&self) -> serde_json::Value;
}

/// Notes that a value of another JSON type is wanted.
pub(super) fn wrong_type(found: &Json, mistakes: &mut Mistakes, wanted: &str) {
    let (what, shown) = match found {
        Json::Missing | Json::Null => ("null", String::new()),
        Json::Flag(false) => ("false", String::new()),
        Json::Flag(true) => ("true", String::new()),
        Json::Number(number) => match whole(*number) {
            Some(whole) => ("the number ", whole),
            None => ("a number", String::new()),
        },
        Json::Text(text) => ("the string ", quoted(text)),
        Json::Array(_) => ("a list", String::new()),
        Json::Object(_) => ("an object", String::new()),
    };
    refuse_type(found, mistakes, filled("must be {}, not {}{}", &[wanted, what, &shown]));
}

/// Notes that a value of another JSON type is wanted, in words that do not quote it; or that there is no value.
pub(super) fn refuse_type(found: &Json, mistakes: &mut Mistakes, message: String) {
    match found {
        Json::Missing => mistakes.note(MistakeKind::MissingKey, "this key is required; it has no default".into()),
        _ => mistakes.note(MistakeKind::WrongType, message),
    }
}

/// The number if it is whole. Others are not quoted: what writes them out would be the largest part of this module.
fn whole(number: f64) -> Option<String> {
    let whole = number as i64;
    (whole as f64 == number).then(|| signed_decimal(whole))
}

fn shown(number: f64) -> String {
    whole(number).unwrap_or_else(|| "this".into())
}

/// `true` or `false`.
pub(super) struct Flag;

impl Form for Flag {
    type Value = bool;

    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> bool {
        if let Json::Flag(flag) = found {
            return *flag;
        }
        wrong_type(found, mistakes, "true or false");
        false
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        serde_json::json!({"type": "boolean", "description": "`true`, `false`"})
    }
}

/// A whole number in a range.
pub(super) struct Whole<T> {
    pub(super) least: T,
    pub(super) most: T,
}

impl<T: Copy + Into<u32> + TryFrom<u32>> Form for Whole<T> {
    type Value = T;

    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> T {
        let number = whole_number(found, self.least.into(), self.most.into(), mistakes);
        T::try_from(number).unwrap_or(self.least) // which it never is, as it lies between two values of the type
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let (least, most) = (self.least.into(), self.most.into());
        let description = format!("whole number, {least} to {most}");
        serde_json::json!({"type": "integer", "minimum": least, "maximum": most, "description": description})
    }
}

/// Where it is wrong, the least.
fn whole_number(found: &Json, least: u32, most: u32, mistakes: &mut Mistakes) -> u32 {
    let range = || filled("a whole number from {} to {}", &[&decimal(least.into()), &decimal(most.into())]);
    let Json::Number(number) = found else {
        wrong_type(found, mistakes, &range());
        return least;
    };
    // The cast saturates; what it changes is told by the way back.
    let whole = *number as u32;
    if f64::from(whole) == *number && (least..=most).contains(&whole) {
        return whole;
    }
    let message = [&*shown(*number), " is not ", &range()].concat();
    mistakes.note(MistakeKind::OutOfRange, message);
    least
}

/// One of a few names.
pub(super) struct Choice<T: 'static> {
    names: &'static [&'static str],
    values: &'static [T],
    /// What a wrong name counts as.
    first: T,
}

impl<T: Copy> Choice<T> {
    /// One of these names, which stand for these values in the same order.
    #[expect(clippy::panic, reason = "the compiler alone makes choices, and would refuse one of nothing")]
    pub(super) const fn of<const N: usize>(names: &'static [&'static str; N], values: &'static [T; N]) -> Choice<T> {
        match values.as_slice() {
            [first, ..] => Choice { names, values, first: *first },
            [] => panic!("there is nothing to choose from"),
        }
    }
}

impl<T: Copy> Form for Choice<T> {
    type Value = T;

    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> T {
        let chosen = choose(found, self.names, mistakes);
        self.values.get(chosen).copied().unwrap_or(self.first)
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let quoted: Vec<String> = self.names.iter().map(|name| format!("`{name}`")).collect();
        serde_json::json!({"enum": self.names, "description": quoted.join(", ")})
    }
}

/// Which of the names it is. Where it is wrong, the first.
#[inline(never)]
fn choose(found: &Json, names: &[&str], mistakes: &mut Mistakes) -> usize {
    let chosen = found.text().and_then(|text| names.iter().position(|name| *name == text));
    chosen.unwrap_or_else(|| {
        refuse_choice(found, names, mistakes);
        0
    })
}

/// Notes that this is none of the names that there are, and what to write instead.
pub(super) fn refuse_choice(found: &Json, names: &[&str], mistakes: &mut Mistakes) {
    match found.text() {
        Some(text) => {
            let message = filled("{} is unknown here; {}", &[&quoted(text), &instead(text, names)]);
            mistakes.note(MistakeKind::UnknownValue, message);
        }
        None => wrong_type(found, mistakes, &["one of the strings ", &names.join(", ")].concat()),
    }
}

/// One of Criminal IP's levels, as its number. No number between two levels is taken: it would not be what decides.
pub(super) struct LevelNumber;

const LEVELS: [(u32, Level); 5] =
    [(20, Level::Safe), (40, Level::Low), (60, Level::Moderate), (80, Level::Dangerous), (100, Level::Critical)];

impl Form for LevelNumber {
    type Value = Level;

    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> Level {
        const WANTED: &str = "20, 40, 60, 80 or 100 (safe, low, moderate, dangerous, critical)";
        if let Json::Number(number) = found {
            if let Some((_, level)) = LEVELS.iter().find(|(level, _)| f64::from(*level) == *number) {
                return *level;
            }
            let message = [&*shown(*number), " is no level of Criminal IP's; the levels are ", WANTED].concat();
            mistakes.note(MistakeKind::UnknownValue, message);
        } else {
            wrong_type(found, mistakes, &["one of the levels ", WANTED].concat());
        }
        Level::Safe
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let levels = LEVELS.map(|(level, _)| level);
        let words = levels.map(|level| format!("`{level}`")).join(", ");
        serde_json::json!({"enum": levels, "description": words})
    }
}

/// A duration with its unit, in a range.
pub(super) struct Span {
    pub(super) least: Duration,
    pub(super) most: Duration,
}

impl Form for Span {
    type Value = Duration;

    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> Duration {
        let Some(text) = found.text() else {
            wrong_type(found, mistakes, "a duration as a string with its unit, such as \"750ms\"");
            return self.least;
        };
        match parse_duration(text) {
            Ok(duration) if (self.least..=self.most).contains(&duration) => return duration,
            Ok(_) => {
                let message = filled("{} is out of range: {}", &[&quoted(text), &self.range()]);
                mistakes.note(MistakeKind::OutOfRange, message);
            }
            Err(error) => mistakes
                .note(MistakeKind::Malformed, filled("{} is no duration: {}", &[&quoted(text), error.message()])),
        }
        self.least
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let description = format!("duration, {}", self.range());
        serde_json::json!({"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$", "description": description})
    }
}

impl Span {
    fn range(&self) -> String {
        const UNITS: [(u64, &str); 5] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
        let show = |duration: Duration| in_units(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &UNITS);
        [&*show(self.least), " to ", &show(self.most)].concat()
    }
}

/// A size in bytes with its unit, in a range.
pub(super) struct Size {
    pub(super) least: u32,
    pub(super) most: u32,
}

impl Form for Size {
    type Value = u32;

    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> u32 {
        let Some(text) = found.text() else {
            wrong_type(found, mistakes, "a size as a string with its unit, such as \"4MiB\"");
            return self.least;
        };
        match parse_size(text).map(u32::try_from) {
            Ok(Ok(size)) if (self.least..=self.most).contains(&size) => return size,
            Ok(_) => {
                let message = filled("{} is out of range: {}", &[&quoted(text), &self.range()]);
                mistakes.note(MistakeKind::OutOfRange, message);
            }
            Err(error) => {
                mistakes.note(MistakeKind::Malformed, filled("{} is no size: {}", &[&quoted(text), error.message()]))
            }
        }
        self.least
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let description = format!("size, {}", self.range());
        serde_json::json!({"type": "string", "pattern": "^[0-9]+(B|[kMG]B|[KMG]iB)$", "description": description})
    }
}

impl Size {
    fn range(&self) -> String {
        let show = |size: u32| in_units(size.into(), &[(1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")]);
        [&*show(self.least), " to ", &show(self.most)].concat()
    }
}

/// The amount in the largest of the units that it is a whole number of. Only durations reach down to zero.
fn in_units(amount: u64, units: &[(u64, &str)]) -> String {
    let fits = |(unit, _): &&(u64, &str)| amount > 0 && amount.checked_rem(*unit) == Some(0);
    match units.iter().find(fits) {
        Some((unit, name)) => [&*decimal(amount.checked_div(*unit).unwrap_or(amount)), name].concat(),
        None => "0s".into(),
    }
}

/// A value that may be switched off.
pub(super) struct OrNull<F>(pub(super) F);

impl<F: Form> Form for OrNull<F> {
    type Value = Option<F::Value>;

    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> Option<F::Value> {
        match found {
            Json::Null => None,
            found => Some(self.0.read(found, mistakes)),
        }
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        super::schema::or_null(self.0.shape())
    }
}
