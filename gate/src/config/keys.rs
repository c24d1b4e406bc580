//! Reading an object key by key.

use super::form::{Form, refuse_type, wrong_type};
use super::json::Json;
use super::mistake::{MistakeKind, Mistakes, Place, instead, quoted};
use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::string::String;
use alloc::vec::Vec;
use evaluator::{filled, how_many};

/// An object whose keys this function reads.
///
/// The function must ask for every key of the object, whatever it found before: so every mistake is reported, and so the
/// keys that it asked for are the keys that there are.
pub(super) struct Section<T>(pub(super) fn(&mut Keys<'_>) -> T);

impl<T> Form for Section<T> {
    type Value = T;

    #[inline(never)]
    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> T {
        let mut keys = Keys::of(found, mistakes);
        let value = (self.0)(&mut keys);
        keys.end();
        value
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let mut mistakes = Mistakes::default();
        let mut keys = Keys::new(&[], &mut mistakes);
        let _ = (self.0)(&mut keys);
        keys.shape.into_value()
    }
}

/// The keys of one object, as they are asked for.
pub(super) struct Keys<'a> {
    members: &'a [(Box<str>, Json)],
    mistakes: &'a mut Mistakes,
    place: Place,
    /// How many mistakes count: of what is no object, only those before its keys are asked for.
    count: usize,
    known: Vec<&'static str>,
    /// What the key that was asked for last holds where it is not there.
    default: Json,
    #[cfg(test)]
    shape: super::schema::ObjectShape,
}

impl<'a> Keys<'a> {
    fn new(members: &'a [(Box<str>, Json)], mistakes: &'a mut Mistakes) -> Keys<'a> {
        Keys {
            members,
            place: mistakes.place(),
            mistakes,
            count: usize::MAX,
            known: Vec::new(),
            default: Json::Missing,
            #[cfg(test)]
            shape: Default::default(),
        }
    }

    #[inline(never)]
    fn of(found: &'a Json, mistakes: &'a mut Mistakes) -> Keys<'a> {
        if let Json::Object(members) = found {
            return Keys::new(members, mistakes);
        }
        // What it was is not quoted: it could be the key, one level too high.
        refuse_type(found, mistakes, "must be an object".into());
        let count = mistakes.count();
        Keys { count, ..Keys::new(&[], mistakes) }
    }

    /// A key that must be there.
    pub(super) fn required<F: Form>(&mut self, name: &'static str, form: &F) -> F::Value {
        #[cfg(test)]
        self.shape.required(name, form.shape());
        self.read(name, form, "")
    }

    /// A key that need not be there, and then has no value.
    pub(super) fn optional<F: Form>(&mut self, name: &'static str, form: &F) -> Option<F::Value> {
        #[cfg(test)]
        self.shape.optional(name, form.shape());
        self.is_written(name).then(|| self.read(name, form, ""))
    }

    /// A list that need not be there, and then is empty.
    pub(super) fn list<F: Form>(&mut self, name: &'static str, form: &Many<F>) -> Vec<F::Value> {
        #[cfg(test)]
        self.shape.optional(name, form.shape());
        if self.is_written(name) { self.read(name, form, "") } else { Vec::new() }
    }

    /// A key with a default, which is read as if it had been written: as JSON, or as a string without its quotes.
    pub(super) fn or<F: Form>(&mut self, name: &'static str, form: &F, default: &'static str) -> F::Value {
        #[cfg(test)]
        self.shape.defaulted(name, form.shape(), &Json::default(default));
        self.read(name, form, default)
    }

    /// An object that is read with all its defaults where it is not there.
    pub(super) fn section<T>(&mut self, name: &'static str, read: fn(&mut Keys<'_>) -> T) -> T {
        let section = Section(read);
        #[cfg(test)]
        self.shape.section(name, section.shape());
        self.read(name, &section, "{}")
    }

    fn read<F: Form>(&mut self, name: &'static str, form: &F, default: &'static str) -> F::Value {
        let found = self.ask(name, default);
        form.read(found.unwrap_or(&self.default), self.mistakes)
    }

    // What follows knows no type, so that the module has it but once.

    #[inline(never)]
    fn ask(&mut self, name: &'static str, default: &'static str) -> Option<&'a Json> {
        self.known.push(name);
        self.mistakes.go_to_key(self.place, name);
        let found = self.find(name);
        if found.is_none() {
            self.default = Json::default(default);
        }
        found
    }

    /// Whether a key is there, which is known then.
    #[inline(never)]
    fn is_written(&mut self, name: &'static str) -> bool {
        let is_written = self.find(name).is_some();
        if !is_written {
            self.known.push(name);
        }
        is_written
    }

    /// Refuses an object that has neither of two keys, or both.
    pub(super) fn either(&mut self, one: &'static str, other: &'static str) {
        #[cfg(test)]
        self.shape.either(one, other);
        if self.find(one).is_none() && self.find(other).is_none() {
            self.note(MistakeKind::MissingKey, filled("one of \"{}\" and \"{}\" is required", &[one, other]));
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
            self.note(
                MistakeKind::Conflict,
                filled("\"{}\" and \"{}\" exclude each other; keep one of them", &[one, other]),
            );
        }
    }

    /// Refuses each of these keys.
    pub(super) fn refuse(&mut self, names: &[&str], why: &str) {
        for name in names {
            if self.find(name).is_some() {
                self.note_at(name, MistakeKind::Conflict, why.into());
            }
        }
    }

    /// The keys of the object under this name, to be looked at once more. Where there is none, no keys.
    pub(super) fn within(&mut self, name: &str) -> Keys<'_> {
        self.mistakes.go_to_key(self.place, name);
        let members = match self.find(name) {
            Some(Json::Object(members)) => &**members,
            _ => &[],
        };
        Keys::new(members, self.mistakes)
    }

    /// The keys of each object of the list under this name, to be looked at once more.
    pub(super) fn each_within(&mut self, name: &str, look: fn(Keys<'_>)) {
        let Some(Json::Array(items)) = self.find(name) else { return };
        self.mistakes.go_to_key(self.place, name);
        let list = self.mistakes.place();
        for (index, item) in items.iter().enumerate() {
            self.mistakes.go_to_item(list, index);
            if let Json::Object(members) = item {
                look(Keys::new(members, self.mistakes));
            }
        }
    }

    /// Whether nothing is wrong with what was read from this key. What is wrong counts as some value that is right, of which
    /// nothing must be said.
    pub(super) fn is_right(&mut self, name: &str) -> bool {
        self.mistakes.go_to_key(self.place, name);
        self.mistakes.are_none_here()
    }

    /// Notes a mistake that concerns several keys.
    pub(super) fn note(&mut self, kind: MistakeKind, message: String) {
        self.mistakes.go_back(self.place);
        self.mistakes.note(kind, message);
    }

    /// Notes a mistake at one key.
    pub(super) fn note_at(&mut self, name: &str, kind: MistakeKind, message: String) {
        self.mistakes.go_to_key(self.place, name);
        self.mistakes.note(kind, message);
    }

    /// What is written under this name.
    pub(super) fn find(&self, name: &str) -> Option<&'a Json> {
        self.members.iter().find(|(key, _)| **key == *name).map(|(_, value)| value)
    }

    fn end(mut self) {
        let mut seen: Vec<&str> = Vec::new();
        for (key, _) in self.members {
            if !self.known.contains(&&**key) {
                let message = filled("there is no key {}; {}", &[&quoted(key), &instead(key, &self.known)]);
                self.note_at(key, MistakeKind::UnknownKey, message);
            } else if seen.contains(&&**key) {
                let message = "this key appears more than once in its object; keep one of them".into();
                self.note_at(key, MistakeKind::RepeatedKey, message);
            } else {
                seen.push(key);
            }
        }
        self.mistakes.keep(self.count);
    }
}

/// A list of values.
pub(super) struct Many<F> {
    item: F,
    limits: Limits,
}

/// What is asked of a list, whatever its items.
struct Limits {
    /// The fewest items.
    least: usize,
    /// The most items.
    most: usize,
    /// What may be in the list but once, as its text.
    identity: Option<Identity>,
}

/// What an item of a list is known by, where that can be read.
type Identity = fn(&Json) -> Option<String>;

/// A list of any length.
pub(super) const fn any_number_of<F>(item: F) -> Many<F> {
    Many { item, limits: Limits { least: 0, most: usize::MAX, identity: None } }
}

/// A list that is not empty: what is asked of nothing would ask nothing.
pub(super) const fn one_or_more<F>(item: F) -> Many<F> {
    Many { item, limits: Limits { least: 1, most: usize::MAX, identity: None } }
}

/// A list of at most so many items, in which none is twice.
pub(super) const fn set_of<F>(item: F, most: usize, identity: Identity) -> Many<F> {
    Many { item, limits: Limits { least: 0, most, identity: Some(identity) } }
}

impl<F: Form> Form for Many<F> {
    type Value = Vec<F::Value>;

    /// Where anything is wrong, there is nothing in the list.
    #[inline(never)]
    fn read(&self, found: &Json, mistakes: &mut Mistakes) -> Vec<F::Value> {
        let mut values = Vec::new();
        let mut read = |item: &Json, mistakes: &mut Mistakes| values.push(self.item.read(item, mistakes));
        if !self.limits.read(found, mistakes, &mut read) {
            values.clear();
        }
        values
    }

    #[cfg(test)]
    fn shape(&self) -> serde_json::Value {
        let item = self.item.shape();
        let what = item["description"].as_str().unwrap_or("object").to_owned();
        let mut shape = serde_json::json!({"type": "array", "items": item, "description": format!("list of {what}")});
        if self.limits.least > 0 {
            shape["minItems"] = self.limits.least.into();
        }
        if self.limits.most < usize::MAX {
            shape["maxItems"] = self.limits.most.into();
            shape["description"] = format!("list of {what}, up to {}", self.limits.most).into();
        }
        shape
    }
}

impl Limits {
    /// Has each item of a list read. Returns whether all is right.
    fn read(&self, found: &Json, mistakes: &mut Mistakes, read: &mut dyn FnMut(&Json, &mut Mistakes)) -> bool {
        let before = mistakes.count();
        let Json::Array(items) = found else {
            wrong_type(found, mistakes, "a list, in [ ]");
            return false;
        };
        if !(self.least..=self.most).contains(&items.len()) {
            let message = match items.len() {
                0 => "the list is empty; leave the key out instead".into(),
                many => {
                    filled("the list has {} items; at most {} are possible", &[&how_many(many), &how_many(self.most)])
                }
            };
            mistakes.note(MistakeKind::OutOfRange, message);
            return false;
        }
        let list = mistakes.place();
        for (index, item) in items.iter().enumerate() {
            mistakes.go_to_item(list, index);
            read(item, mistakes);
        }
        if let Some(identity) = self.identity {
            refuse_repeated(items, identity, list, mistakes);
        }
        mistakes.count() == before
    }
}

fn refuse_repeated(items: &[Json], identity: Identity, list: Place, mistakes: &mut Mistakes) {
    let named = items.iter().enumerate().filter_map(|(index, item)| Some((identity(item)?, index)));
    // A heap, since its code is a fraction of that of a tree.
    let sorted = named.collect::<BinaryHeap<_>>().into_sorted_vec();
    for same in sorted.chunk_by(|(one, _), (other, _)| one == other) {
        let [(name, first), repeated @ ..] = same else { continue };
        for (_, index) in repeated {
            mistakes.go_to_item(list, *first);
            let message = [&*quoted(name), " is already at ", mistakes.path()].concat();
            mistakes.go_to_item(list, *index);
            mistakes.note(MistakeKind::Duplicate, message);
        }
    }
}
