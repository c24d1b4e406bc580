//! Reading an object key by key.

use super::form::{Form, wrong_type};
use super::json::Json;
use super::mistake::{At, MistakeKind, Mistakes, instead, quoted};
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;

/// An object whose keys this function reads.
///
/// The function must ask for every key of the object, whatever it found before: so every mistake is reported, and so the
/// keys that it asked for are the keys that there are.
pub(super) struct Section<T>(pub(super) fn(&mut Keys<'_>) -> Option<T>);

impl<T> Form for Section<T> {
    type Value = T;

    fn read(&self, found: &Json, at: &At<'_>, mistakes: &mut Mistakes) -> Option<T> {
        match found {
            Json::Object(members) => self.read_members(members, at, mistakes),
            // What it was is not quoted: it could be the key, one level too high.
            _ => mistakes.add(at, MistakeKind::WrongType, "must be an object".into()),
        }
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let mut mistakes = Mistakes::default();
        let mut keys = Keys::new(&[], &At::Document, &mut mistakes);
        let _ = (self.0)(&mut keys);
        keys.shape.into_value()
    }
}

impl<T> Section<T> {
    fn read_members(&self, members: &[(Box<str>, Json)], at: &At<'_>, mistakes: &mut Mistakes) -> Option<T> {
        let mut keys = Keys::new(members, at, mistakes);
        let value = (self.0)(&mut keys);
        keys.refuse_the_rest();
        value
    }
}

/// The keys of one object, as they are asked for. What is `None` was wrong and is noted, or is optional and absent.
pub(super) struct Keys<'a> {
    members: &'a [(Box<str>, Json)],
    at: &'a At<'a>,
    mistakes: &'a mut Mistakes,
    known: Vec<&'static str>,
    #[cfg(test)]
    shape: super::schema::ObjectShape,
}

impl<'a> Keys<'a> {
    fn new(members: &'a [(Box<str>, Json)], at: &'a At<'a>, mistakes: &'a mut Mistakes) -> Keys<'a> {
        Keys {
            members,
            at,
            mistakes,
            known: Vec::new(),
            #[cfg(test)]
            shape: Default::default(),
        }
    }

    /// A key that must be there.
    pub(super) fn required<F: Form>(&mut self, name: &'static str, form: F) -> Option<F::Value> {
        #[cfg(test)]
        self.shape.required(name, form.shape());
        let at = At::Key(self.at, name);
        match self.ask(name) {
            Some(found) => form.read(found, &at, self.mistakes),
            None => self.mistakes.add(&at, MistakeKind::MissingKey, "this key is required; it has no default".into()),
        }
    }

    /// A key that need not be there, and then has no value.
    pub(super) fn optional<F: Form>(&mut self, name: &'static str, form: F) -> Option<F::Value> {
        #[cfg(test)]
        self.shape.optional(name, form.shape());
        form.read(self.ask(name)?, &At::Key(self.at, name), self.mistakes)
    }

    /// A key with a default, which is read as if it had been written.
    pub(super) fn or<F: Form>(&mut self, name: &'static str, form: F, default: impl Into<Json>) -> Option<F::Value> {
        let default = default.into();
        #[cfg(test)]
        self.shape.defaulted(name, form.shape(), &default);
        form.read(self.ask(name).unwrap_or(&default), &At::Key(self.at, name), self.mistakes)
    }

    /// An object that is read with all its defaults where it is not there.
    pub(super) fn section<T>(&mut self, name: &'static str, read: fn(&mut Keys<'_>) -> Option<T>) -> Option<T> {
        let section = Section(read);
        #[cfg(test)]
        self.shape.section(name, section.shape());
        let at = At::Key(self.at, name);
        match self.ask(name) {
            Some(found) => section.read(found, &at, self.mistakes),
            None => section.read_members(&[], &at, self.mistakes),
        }
    }

    /// Refuses an object that has neither of two keys, or both.
    pub(super) fn either(&mut self, one: &'static str, other: &'static str) {
        #[cfg(test)]
        self.shape.either(one, other);
        if self.find(one).is_none() && self.find(other).is_none() {
            let message = format!("one of \"{one}\" and \"{other}\" is required");
            self.mistakes.note(self.at, MistakeKind::MissingKey, message);
        }
        self.refuse_both(one, other);
    }

    /// Refuses two keys that exclude each other.
    pub(super) fn exclude(&mut self, one: &'static str, other: &'static str) {
        #[cfg(test)]
        self.shape.exclude(one, other);
        self.refuse_both(one, other);
    }

    fn refuse_both(&mut self, one: &'static str, other: &'static str) {
        if self.find(one).is_some() && self.find(other).is_some() {
            let message = format!("\"{one}\" and \"{other}\" exclude each other; keep one of them");
            self.mistakes.note(self.at, MistakeKind::Conflict, message);
        }
    }

    /// The place of this object, and the mistakes, for what concerns several keys.
    pub(super) fn parts(&mut self) -> (&At<'a>, &mut Mistakes) {
        (self.at, self.mistakes)
    }

    #[inline(never)]
    fn ask(&mut self, name: &'static str) -> Option<&'a Json> {
        self.known.push(name);
        self.find(name)
    }

    /// What is written under this name.
    pub(super) fn find(&self, name: &str) -> Option<&'a Json> {
        self.members.iter().find(|(key, _)| **key == *name).map(|(_, value)| value)
    }

    fn refuse_the_rest(self) {
        let mut seen: Vec<&str> = Vec::new();
        for (key, _) in self.members {
            let at = At::Key(self.at, key);
            if !self.known.contains(&&**key) {
                let message = format!("there is no key {}; {}", quoted(key), instead(key, &self.known));
                self.mistakes.note(&at, MistakeKind::UnknownKey, message);
            } else if seen.contains(&&**key) {
                let message = "this key appears more than once in its object; keep one of them".into();
                self.mistakes.note(&at, MistakeKind::RepeatedKey, message);
            } else {
                seen.push(key);
            }
        }
    }
}

/// A list of values.
pub(super) struct Many<F> {
    pub(super) item: F,
    /// The fewest items.
    pub(super) least: usize,
    /// The most items.
    pub(super) most: usize,
    /// What may be in the list but once, as its text.
    pub(super) identity: Option<Identity>,
}

/// What an item of a list is known by, where that can be read.
type Identity = fn(&Json) -> Option<String>;

/// A list of any length.
pub(super) fn any_number_of<F>(item: F) -> Many<F> {
    Many { item, least: 0, most: usize::MAX, identity: None }
}

/// A list that is not empty: what is asked of nothing would ask nothing.
pub(super) fn one_or_more<F>(item: F) -> Many<F> {
    Many { least: 1, ..any_number_of(item) }
}

impl<F: Form> Form for Many<F> {
    type Value = Vec<F::Value>;

    fn read(&self, found: &Json, at: &At<'_>, mistakes: &mut Mistakes) -> Option<Vec<F::Value>> {
        let items = items_of(found, self.least..=self.most, at, mistakes)?;
        let mut values = Vec::new();
        for (index, item) in items.iter().enumerate() {
            values.extend(self.item.read(item, &At::Index(at, index), mistakes));
        }
        if let Some(identity) = self.identity {
            refuse_repeated(items, identity, at, mistakes);
        }
        (values.len() == items.len()).then_some(values)
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let item = self.item.shape();
        let what = item["description"].as_str().unwrap_or("object").to_owned();
        let mut shape = serde_json::json!({"type": "array", "items": item, "description": format!("list of {what}")});
        if self.least > 0 {
            shape["minItems"] = self.least.into();
        }
        if self.most < usize::MAX {
            shape["maxItems"] = self.most.into();
            shape["description"] = format!("list of {what}, up to {}", self.most).into();
        }
        shape
    }
}

// These two know no type, so that the module has them but once.

fn items_of<'j>(
    found: &'j Json,
    count: RangeInclusive<usize>,
    at: &At<'_>,
    mistakes: &mut Mistakes,
) -> Option<&'j [Json]> {
    let Json::Array(items) = found else { return wrong_type(found, at, mistakes, "a list, in [ ]") };
    if count.contains(&items.len()) {
        return Some(items);
    }
    let message = match items.len() {
        0 => "the list is empty; leave the key out instead".into(),
        many => format!("the list has {many} items; at most {} are possible", count.end()),
    };
    mistakes.add(at, MistakeKind::OutOfRange, message)
}

fn refuse_repeated(items: &[Json], identity: Identity, at: &At<'_>, mistakes: &mut Mistakes) {
    let named = items.iter().enumerate().filter_map(|(index, item)| Some((identity(item)?, index)));
    // A heap, since its code is a fraction of that of a tree.
    let sorted = named.collect::<BinaryHeap<_>>().into_sorted_vec();
    for same in sorted.chunk_by(|(one, _), (other, _)| one == other) {
        let [(name, first), repeated @ ..] = same else { continue };
        for (_, index) in repeated {
            let message = format!("{} is already at {}", quoted(name), At::Index(at, *first));
            mistakes.note(&At::Index(at, *index), MistakeKind::Duplicate, message);
        }
    }
}
