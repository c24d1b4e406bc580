//! State that many threads change and that others wait on.

use crate::PATIENCE;
use anyhow::{Result, bail};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::{sync::watch, time};

/// A value behind a lock that can be awaited to reach a state.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    version: watch::Sender<u64>,
}

impl<T> Watched<T> {
    pub(crate) fn new(value: T) -> Watched<T> {
        Watched { value: Mutex::new(value), version: watch::Sender::new(0) }
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    /// Changes the value and wakes whoever waits on it.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.version.send_modify(|version| *version = version.wrapping_add(1));
        result
    }

    /// Waits until `reached` gives a value, however long it takes.
    pub(crate) async fn reach<R>(&self, mut reached: impl FnMut(&T) -> Option<R>) -> R {
        let mut version = self.version.subscribe();
        loop {
            version.mark_unchanged();
            if let Some(result) = self.read(&mut reached) {
                return result;
            }
            // The sender lives as long as `self`, so this cannot fail.
            let _ = version.changed().await;
        }
    }

    /// As [`Watched::reach`], for [`PATIENCE`] at most. Fails with what was awaited and the last state, as `describe`
    /// puts it.
    pub(crate) async fn reach_soon<R>(
        &self,
        awaited: &str,
        reached: impl FnMut(&T) -> Option<R>,
        describe: impl FnOnce(&T) -> String,
    ) -> Result<R> {
        match time::timeout(PATIENCE, self.reach(reached)).await {
            Ok(result) => Ok(result),
            Err(_) => bail!("waited {PATIENCE:?} for {awaited}; at the end: {}", self.read(describe)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
