//! Objects, one a line. Values that nobody asks for are stepped over.

use super::clock::Clock;
use super::fields::{Columns, Found, Slot};
use super::{Line, Unknown};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Reads objects with these names.
pub(super) struct Objects {
    columns: Columns,
    /// The paths of the objects that names lead into: `source` of `source.ip`.
    outer: Vec<Box<str>>,
}

impl Objects {
    pub(super) fn new(columns: Columns) -> Objects {
        let prefixes = |name: &str| name.match_indices('.').map(|(at, _)| name[..at].into()).collect::<Vec<_>>();
        let outer = columns.names.iter().flat_map(|(name, _)| prefixes(name)).collect();
        Objects { outer, columns }
    }

    pub(super) fn read<'l>(&self, line: &'l [u8], clock: &Clock) -> Line<'l> {
        let mut found = Found::new();
        // Bytes that are not UTF-8 make a line that nobody can read.
        let mut json = serde_json::Deserializer::from_slice(line);
        let object = Object { objects: self, outer: "", found: &mut found };
        let read = json.deserialize_map(object).and_then(|()| json.end());
        read.map_err(|_| Unknown::NotTheFormat)?;
        found.record(clock)
    }
}

/// An object, at this path.
struct Object<'o, 'f, 'de> {
    objects: &'o Objects,
    outer: &'o str,
    found: &'f mut Found<'de>,
}

impl<'de> Visitor<'de> for Object<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            let name = if self.outer.is_empty() { key } else { Cow::Owned(format!("{}.{key}", self.outer)) };
            let slot = self.objects.columns.find(&name);
            let outer = self.objects.outer.iter().find(|outer| ***outer == *name).map(|outer| &**outer);
            if slot.is_some() || outer.is_some() {
                map.next_value_seed(Value { slot, outer, objects: self.objects, found: self.found })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// A key, borrowed where it has no escapes.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// A value that is asked for, or an object that has one in it.
struct Value<'o, 'f, 'de> {
    slot: Option<(Slot, u8)>,
    outer: Option<&'o str>,
    objects: &'o Objects,
    found: &'f mut Found<'de>,
}

impl<'de> Value<'_, '_, 'de> {
    fn note<E>(self, text: Cow<'de, str>) -> Result<(), E> {
        if let Some((slot, place)) = self.slot {
            self.found.note(slot, place, text);
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<(), E> {
        self.note(Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.note(Cow::Owned(text.to_owned()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.note(Cow::Owned(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.note(Cow::Owned(format!("{number:.6}")))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        match self.outer {
            Some(outer) => Object { objects: self.objects, outer, found: self.found }.visit_map(map),
            None => {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(())
            }
        }
    }
}
