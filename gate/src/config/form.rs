//! The forms that a value can have, whatever its key: each reads one, or notes what is wrong with it.

use super::json::Json;
use super::mistake::{At, MistakeKind, Mistakes, instead, quoted};
use evaluator::{Level, parse_duration, parse_size};
use std::time::Duration;

/// How a value is written, and what it becomes.
pub(super) trait Form {
    /// What it becomes.
    type Value;

    /// Reads the value. `None` where it is wrong, which is then noted.
    fn read(&self, found: &Json, at: &At<'_>, mistakes: &mut Mistakes) -> Option<Self::Value>;

    /// The JSON Schema of the values that are right, as far as a schema can say it. Its description says it in words.
    #[cfg(test)]
    fn shape(&self) -> serde_json::Value;
}

/// Notes that a value of another JSON type is wanted.
pub(super) fn wrong_type<T>(found: &Json, at: &At<'_>, mistakes: &mut Mistakes, wanted: &str) -> Option<T> {
    let found = match found {
        Json::Null => "null".into(),
        Json::Flag(flag) => flag.to_string(),
        Json::Number(number) => whole(*number).map_or_else(|| "a number".into(), |whole| format!("the number {whole}")),
        Json::Text(text) => format!("the string {}", quoted(text)),
        Json::Array(_) => "a list".into(),
        Json::Object(_) => "an object".into(),
    };
    mistakes.add(at, MistakeKind::WrongType, format!("must be {wanted}, not {found}"))
}

/// The number if it is whole. Others are not quoted: what writes them out would be the largest part of this module.
fn whole(number: f64) -> Option<i64> {
    let whole = number as i64;
    (whole as f64 == number).then_some(whole)
}

fn shown(number: f64) -> String {
    whole(number).map_or_else(|| "this".into(), |whole| whole.to_string())
}

/// `true` or `false`.
pub(super) struct Flag;

impl Form for Flag {
    type Value = bool;

    fn read(&self, found: &Json, at: &At<'_>, mistakes: &mut Mistakes) -> Option<bool> {
        let Json::Flag(flag) = found else { return wrong_type(found, at, mistakes, "true or false") };
        Some(*flag)
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

    fn read(&self, found: &Json, at: &At<'_>, mistakes: &mut Mistakes) -> Option<T> {
        let number = whole_number(found, self.least.into(), self.most.into(), at, mistakes)?;
        T::try_from(number).ok() // always, as it lies between two values of the type
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let (least, most) = (self.least.into(), self.most.into());
        let description = format!("whole number, {least} to {most}");
        serde_json::json!({"type": "integer", "minimum": least, "maximum": most, "description": description})
    }
}

fn whole_number(found: &Json, least: u32, most: u32, at: &At<'_>, mistakes: &mut Mistakes) -> Option<u32> {
    let Json::Number(number) = found else {
        return wrong_type(found, at, mistakes, &format!("a whole number from {least} to {most}"));
    };
    // The cast saturates; what it changes is told by the way back.
    let whole = *number as u32;
    if f64::from(whole) == *number && (least..=most).contains(&whole) {
        return Some(whole);
    }
    let message = format!("{} is not a whole number from {least} to {most}", shown(*number));
    mistakes.add(at, MistakeKind::OutOfRange, message)
}

/// One of a few names.
pub(super) struct Choice<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Copy> Form for Choice<T> {
    type Value = T;

    fn read(&self, found: &Json, at: &At<'_>, mistakes: &mut Mistakes) -> Option<T> {
        let chosen = found.text().and_then(|text| self.0.iter().find(|(name, _)| *name == text));
        if chosen.is_none() {
            let names: Vec<&str> = self.0.iter().map(|(name, _)| *name).collect();
            refuse_choice(found, &names, at, mistakes);
        }
        chosen.map(|(_, value)| *value)
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let names: Vec<&str> = self.0.iter().map(|(name, _)| *name).collect();
        let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        serde_json::json!({"enum": names, "description": quoted.join(", ")})
    }
}

/// Notes that this is none of the names that there are, and what to write instead.
pub(super) fn refuse_choice(found: &Json, names: &[&str], at: &At<'_>, mistakes: &mut Mistakes) {
    match found.text() {
        Some(text) => {
            let message = format!("{} is unknown here; {}", quoted(text), instead(text, names));
            mistakes.note(at, MistakeKind::UnknownValue, message);
        }
        None => {
            let _: Option<()> = wrong_type(found, at, mistakes, &format!("one of the strings {}", names.join(", ")));
        }
    }
}

/// One of Criminal IP's levels, as its number. No number between two levels is taken: it would not be what decides.
pub(super) struct LevelNumber;

const LEVELS: [(u32, Level); 5] =
    [(20, Level::Safe), (40, Level::Low), (60, Level::Moderate), (80, Level::Dangerous), (100, Level::Critical)];

impl Form for LevelNumber {
    type Value = Level;

    fn read(&self, found: &Json, at: &At<'_>, mistakes: &mut Mistakes) -> Option<Level> {
        const WANTED: &str = "20, 40, 60, 80 or 100 (safe, low, moderate, dangerous, critical)";
        let Json::Number(number) = found else {
            return wrong_type(found, at, mistakes, &format!("one of the levels {WANTED}"));
        };
        match LEVELS.iter().find(|(level, _)| f64::from(*level) == *number) {
            Some((_, level)) => Some(*level),
            None => {
                let message = format!("{} is no level of Criminal IP's; the levels are {WANTED}", shown(*number));
                mistakes.add(at, MistakeKind::UnknownValue, message)
            }
        }
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

    fn read(&self, found: &Json, at: &At<'_>, mistakes: &mut Mistakes) -> Option<Duration> {
        let Some(text) = found.text() else {
            return wrong_type(found, at, mistakes, "a duration as a string with its unit, such as \"750ms\"");
        };
        match parse_duration(text) {
            Ok(duration) if (self.least..=self.most).contains(&duration) => Some(duration),
            Ok(_) => {
                let message = format!("{} is out of range: {}", quoted(text), self.range());
                mistakes.add(at, MistakeKind::OutOfRange, message)
            }
            Err(error) => mistakes.add(at, MistakeKind::Malformed, format!("{} is no duration: {error}", quoted(text))),
        }
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
        format!("{} to {}", show(self.least), show(self.most))
    }
}

/// A size in bytes with its unit, in a range.
pub(super) struct Size {
    pub(super) least: u32,
    pub(super) most: u32,
}

impl Form for Size {
    type Value = u32;

    fn read(&self, found: &Json, at: &At<'_>, mistakes: &mut Mistakes) -> Option<u32> {
        let Some(text) = found.text() else {
            return wrong_type(found, at, mistakes, "a size as a string with its unit, such as \"4MiB\"");
        };
        match parse_size(text).map(u32::try_from) {
            Ok(Ok(size)) if (self.least..=self.most).contains(&size) => Some(size),
            Ok(_) => {
                let message = format!("{} is out of range: {}", quoted(text), self.range());
                mistakes.add(at, MistakeKind::OutOfRange, message)
            }
            Err(error) => mistakes.add(at, MistakeKind::Malformed, format!("{} is no size: {error}", quoted(text))),
        }
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
        format!("{} to {}", show(self.least), show(self.most))
    }
}

/// The amount in the largest of the units that it is a whole number of. Only durations reach down to zero.
fn in_units(amount: u64, units: &[(u64, &str)]) -> String {
    let fits = |(unit, _): &&(u64, &str)| amount > 0 && amount.checked_rem(*unit) == Some(0);
    match units.iter().find(fits) {
        Some((unit, name)) => format!("{}{name}", amount.checked_div(*unit).unwrap_or(amount)),
        None => "0s".into(),
    }
}

/// A value that may be switched off.
pub(super) struct OrNull<F>(pub(super) F);

impl<F: Form> Form for OrNull<F> {
    type Value = Option<F::Value>;

    fn read(&self, found: &Json, at: &At<'_>, mistakes: &mut Mistakes) -> Option<Option<F::Value>> {
        match found {
            Json::Null => Some(None),
            found => self.0.read(found, at, mistakes).map(Some),
        }
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        super::schema::or_null(self.0.shape())
    }
}
