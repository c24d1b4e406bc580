//! A map that is a list of sorted runs. It is as quick as a tree among many values too, whoever chooses the keys, since no step
//! moves more than one run; the code of a tree would be several times as large, once for each type of value.

use alloc::vec::{self, Vec};
use core::borrow::Borrow;
use core::{iter, slice};

/// So many entries are in a run at most.
const FULL: usize = if cfg!(test) { 4 } else { 128 };

/// Neighbours that have no more together become one run: else whoever chooses what stays could have each entry hold the room of a
/// whole run.
const FEW: usize = FULL / 2;

/// Values by keys, in the order of the keys.
#[derive(Clone, Debug)]
pub struct Runs<K, V> {
    /// None of them is empty, and two neighbours have more than [`FEW`] together.
    runs: Vec<Vec<(K, V)>>,
    len: usize,
}

impl<K, V> Default for Runs<K, V> {
    fn default() -> Self {
        Runs { runs: Vec::new(), len: 0 }
    }
}

impl<K: Ord, V> Runs<K, V> {
    /// The run of the key, and where in it the key is, or where it belongs.
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> (usize, Result<usize, usize>)
    where
        K: Borrow<Q>,
    {
        let is_before = |run: &Vec<(K, V)>| run.first().is_some_and(|(first, _)| first.borrow() <= key);
        let run = self.runs.partition_point(is_before).saturating_sub(1);
        let entries = self.runs.get(run).map(Vec::as_slice).unwrap_or_default();
        (run, entries.binary_search_by(|(known, _)| known.borrow().cmp(key)))
    }

    /// The value of a key.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (run, at) = self.place(key);
        self.runs.get(run)?.get(at.ok()?).map(|(_, value)| value)
    }

    /// The value of a key, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (run, at) = self.place(key);
        self.runs.get_mut(run)?.get_mut(at.ok()?).map(|(_, value)| value)
    }

    /// Puts a value in the place of the one that was there. Returns whether there was none.
    pub fn insert(&mut self, key: K, value: V) -> bool {
        let (mut run, at) = self.place(&key);
        let mut at = match at {
            Err(at) => at,
            Ok(at) => {
                if let Some(known) = self.runs.get_mut(run).and_then(|entries| entries.get_mut(at)) {
                    known.1 = value;
                }
                return false;
            }
        };
        if self.runs.is_empty() {
            self.runs.push(Vec::new());
        }
        let next = run.saturating_add(1);
        let is_last = next >= self.runs.len();
        if let Some(entries) = self.runs.get_mut(run).filter(|entries| entries.len() >= FULL) {
            // Keys that go up leave full runs behind.
            let kept = if at >= FULL && is_last { FULL } else { FULL / 2 };
            let rest = entries.split_off(kept);
            self.runs.insert(next, rest);
            if at >= kept {
                (run, at) = (next, at.saturating_sub(kept));
            }
        }
        if let Some(entries) = self.runs.get_mut(run) {
            entries.insert(at, (key, value));
            self.len = self.len.saturating_add(1);
        }
        true
    }

    /// Takes a value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (run, at) = self.place(key);
        let at = at.ok()?;
        let entries = self.runs.get_mut(run)?;
        let (_, value) = entries.remove(at);
        self.len = self.len.saturating_sub(1);
        self.join(run);
        self.join(run.saturating_sub(1));
        Some(value)
    }

    /// Makes one run of this one and the next where that would have few, and none of an empty one.
    fn join(&mut self, run: usize) {
        let superfluous = match self.runs.get_mut(run..) {
            Some([one, next, ..]) if one.is_empty() || one.len().saturating_add(next.len()) <= FEW => {
                one.append(next);
                run.saturating_add(1)
            }
            Some([one]) if one.is_empty() => run,
            _ => return,
        };
        self.runs.remove(superfluous);
    }

    /// Those whose keys are not before this one.
    pub fn from<Q: Ord + ?Sized>(&self, key: &Q) -> Iter<'_, K, V>
    where
        K: Borrow<Q>,
    {
        let (run, at) = self.place(key);
        let at = at.unwrap_or_else(|at| at);
        let mut runs = self.runs.get(run..).unwrap_or_default().iter();
        let entries = runs.next().and_then(|entries| entries.get(at..)).unwrap_or_default();
        Iter { entries: entries.iter(), runs }
    }

    /// The last whose key is not after this one.
    pub fn until<Q: Ord + ?Sized>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        let (run, at) = self.place(key);
        let at = at.or_else(|after| after.checked_sub(1).ok_or(())).ok()?;
        self.runs.get(run)?.get(at).map(|(key, value)| (key, value))
    }

    /// All of them.
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter { entries: [].iter(), runs: self.runs.iter() }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Runs<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut runs = Runs::default();
        for (key, value) in entries {
            runs.insert(key, value);
        }
        runs
    }
}

/// Keys and values, in the order of the keys.
pub struct Iter<'r, K, V> {
    entries: slice::Iter<'r, (K, V)>,
    runs: slice::Iter<'r, Vec<(K, V)>>,
}

impl<'r, K, V> Iterator for Iter<'r, K, V> {
    type Item = (&'r K, &'r V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.entries.next() {
                return Some((key, value));
            }
            self.entries = self.runs.next()?.iter();
        }
    }
}

impl<K, V> IntoIterator for Runs<K, V> {
    type Item = (K, V);
    type IntoIter = iter::Flatten<vec::IntoIter<Vec<(K, V)>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.runs.into_iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn it_does_what_a_tree_does(steps: Vec<(u8, Option<u16>)>, rising: u8, first: u8) {
            let (mut runs, mut tree) = (Runs::default(), BTreeMap::new());
            let rising = (0..rising).map(|key| (key, Some(1)));
            for (key, value) in rising.chain(steps) {
                match value {
                    Some(value) => prop_assert_eq!(runs.insert(key, value), tree.insert(key, value).is_none()),
                    None => prop_assert_eq!(runs.remove(&key), tree.remove(&key)),
                }
                prop_assert_eq!((runs.get(&key), runs.len()), (tree.get(&key), tree.len()));
                prop_assert_eq!(runs.get_mut(&first), tree.get_mut(&first));
                prop_assert_eq!(runs.is_empty(), tree.is_empty());
                prop_assert!(runs.runs.iter().all(|run| (1..=FULL).contains(&run.len())));
                prop_assert!(runs.runs.windows(2).all(|two| two[0].len() + two[1].len() > FEW));
            }
            prop_assert_eq!(runs.until(&first), tree.range(..=first).next_back());
            prop_assert!(runs.from(&first).eq(tree.range(first..)));
            prop_assert!(runs.iter().eq(tree.iter()));
            prop_assert!(runs.into_iter().eq(tree));
        }
    }
}
