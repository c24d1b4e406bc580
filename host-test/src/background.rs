//! A thread with a runtime of its own, so that a server lives independently of the runtime that started it.

use anyhow::{Context, Result};
use std::{future::Future, thread::JoinHandle};
use tokio::{runtime, sync::oneshot};

/// Runs a future until it ends or the handle is dropped; dropping waits for the thread.
#[derive(Debug)]
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Starts `serve` on a new thread. What it spawns ends with it.
    pub(crate) fn start<F>(name: &str, serve: impl FnOnce() -> F + Send + 'static) -> Result<Background>
    where
        F: Future<Output = ()>,
    {
        let (stop, stopped) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
        let thread = std::thread::Builder::new().name(name.into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve() => {}
                    _ = stopped => {}
                }
            });
        })?;
        Ok(Background { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in the thread was already printed there.
            let _ = thread.join();
        }
    }
}
