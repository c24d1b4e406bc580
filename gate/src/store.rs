//! What the workers of one proxy share: named values with compare-and-swap. The proxy keeps them; here is only their form.

use alloc::vec::Vec;

/// The state of a value when it was read, to be handed back when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u32);

/// The value was written by another worker since it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

/// Values shared by the workers of one proxy. There is no way to delete one, so the number of keys must be bounded.
pub trait Store {
    /// The value under this key, and its version.
    fn read(&self, key: &str) -> Option<(Vec<u8>, Version)>;

    /// Writes a value that was read at this version; with `None`, one that does not exist yet.
    ///
    /// # Errors
    /// [`Conflict`] if it was written, or came to exist, in between; nothing is changed then.
    fn write(&self, key: &str, value: &[u8], version: Option<Version>) -> Result<(), Conflict>;
}

/// How often a change is tried again when other workers change the same value in between.
const TRIES: usize = 16;

/// Reads a value, changes it, and writes it back, again if another worker was faster. `change` gives what is to be written,
/// or `None` to leave the value alone, and a result. The result is `None` when the value could not be written.
pub(crate) fn change<R>(
    store: &dyn Store,
    key: &str,
    mut change: impl FnMut(Option<&[u8]>) -> (Option<Vec<u8>>, R),
) -> Option<R> {
    for _ in 0..TRIES {
        let read = store.read(key);
        let (value, result) = change(read.as_ref().map(|(value, _)| value.as_slice()));
        let Some(value) = value else { return Some(result) };
        if store.write(key, &value, read.map(|(_, version)| version)).is_ok() {
            return Some(result);
        }
    }
    None
}

#[cfg(test)]
pub(crate) mod memory {
    use super::*;
    use alloc::collections::BTreeMap;
    use core::cell::RefCell;

    /// A store as the proxy keeps it, for tests.
    #[derive(Default)]
    pub(crate) struct Memory {
        values: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
        last: RefCell<u32>,
    }

    impl Memory {
        pub(crate) fn keys(&self) -> usize {
            self.values.borrow().len()
        }
    }

    impl Store for Memory {
        fn read(&self, key: &str) -> Option<(Vec<u8>, Version)> {
            self.values.borrow().get(key).map(|(value, version)| (value.clone(), Version(*version)))
        }

        fn write(&self, key: &str, value: &[u8], version: Option<Version>) -> Result<(), Conflict> {
            let mut values = self.values.borrow_mut();
            if values.get(key).map(|(_, version)| Version(*version)) != version {
                return Err(Conflict);
            }
            *self.last.borrow_mut() += 1;
            values.insert(key.into(), (value.to_vec(), *self.last.borrow()));
            Ok(())
        }
    }
}
