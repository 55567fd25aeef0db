//! The implementation without simulation: tokio's functions.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::domain::ids::TaskKey;
use crate::domain::machine::{Applied, State};
use crate::domain::time::Timestamp;

/// The process. There is only one.
///
/// Not `Copy`, because a simulated one is not.
#[derive(Clone, Debug)]
pub struct Life;

impl Life {
    /// The process of the calling task.
    #[must_use]
    pub const fn current() -> Self {
        Self
    }

    /// Spawns a task that ends with this process.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // One type for all futures with this output, so tokio's code is compiled only once for
        // them.
        let future: Pin<Box<dyn Future<Output = F::Output> + Send>> = Box::pin(future);
        tokio::spawn(future)
    }

    /// Wraps a future so that it ends with this process.
    pub fn wrap<F: Future>(&self, future: F) -> F {
        future
    }

    /// Registers a task that was spawned elsewhere as part of this process.
    pub const fn own<T>(&self, _task: &JoinHandle<T>) {}

    /// Marks a point between a check and an action at which another thread may run. A simulation
    /// lets others run here.
    pub fn interleave(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// Reports an applied entry. `state` is the state after it.
    pub const fn applied(&self, _state: &State, _index: u64, _entry: &[u8], _out: &Applied) {}

    /// Reports an entry without commands.
    pub const fn skipped(&self, _state: &State, _index: u64) {}

    /// Reports that the claim of a tick is about to be proposed.
    pub fn claiming(&self, _task: TaskKey, _tick: Timestamp, _owned: impl FnOnce() -> bool) {}

    /// Reports that the whole state was replaced.
    pub const fn replaced(&self, _state: &State) {}

    pub(super) fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send {
        let work: Box<dyn FnOnce() -> T + Send> = Box::new(work);
        let task = tokio::task::spawn_blocking(work);
        async move { task.await.map_err(io::Error::other) }
    }

    pub(super) fn background<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send {
        self.blocking(move || super::making_way(work))
    }

    pub(super) fn produce<T: Send + 'static>(
        self,
        room: usize,
        work: impl FnOnce(&mut dyn FnMut(T) -> bool) + Send + 'static,
    ) -> (mpsc::Receiver<T>, impl Future<Output = io::Result<()>> + Send) {
        let (items, ready) = mpsc::channel(room);
        let done = self.blocking(move || work(&mut |item| items.blocking_send(item).is_ok()));
        (ready, done)
    }
}
