//! What an isolate keeps for its gate, in the place of what the workers of a proxy share.

use alloc::{boxed::Box, vec::Vec};
use core::cell::RefCell;
use gate::Sorted;
use gate::{Conflict, Store, Version};

/// Values in the memory of this isolate. Nobody else writes them, so nothing ever conflicts.
#[derive(Default)]
pub(crate) struct Memory(RefCell<Values>);

/// Each with its version.
type Values = Sorted<Box<str>, (Vec<u8>, u32)>;

impl Store for Memory {
    fn read(&self, key: &str) -> Option<(Vec<u8>, Version)> {
        let values = self.0.try_borrow().ok()?;
        values.get(key).map(|(value, version)| (value.clone(), Version(*version)))
    }

    fn write(&self, key: &str, value: &[u8], version: Option<Version>) -> Result<(), Conflict> {
        let mut values = self.0.try_borrow_mut().map_err(|_| Conflict)?;
        let next = match (values.get(key), version) {
            (None, None) => 1,
            (Some((_, now)), Some(Version(read))) if *now == read => read.wrapping_add(1),
            _ => return Err(Conflict),
        };
        values.insert(key.into(), (value.to_vec(), next));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_only_over_the_version_that_was_read() {
        let memory = Memory::default();
        assert_eq!(memory.write("key", b"one", None), Ok(()));
        assert_eq!(memory.write("key", b"two", None), Err(Conflict));
        let (value, version) = memory.read("key").unwrap();
        assert_eq!(value, b"one");
        assert_eq!(memory.write("key", b"two", Some(version)), Ok(()));
        assert_eq!(memory.write("key", b"three", Some(version)), Err(Conflict));
        assert_eq!(memory.read("key").unwrap().0, b"two");
    }
}
