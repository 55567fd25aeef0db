//! The implementation with simulation. It uses the process of the calling task, if the task belongs
//! to one.

use std::future::Future;
use std::io;

use futures_util::future::Either;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::simulation::{ProcessFuture, SimulatedProcess};
use crate::domain::ids::TaskKey;
use crate::domain::machine::{Applied, State};
use crate::domain::time::Timestamp;

/// The process of a task. None: the task is not simulated.
#[derive(Clone, Debug)]
pub struct Life(Option<SimulatedProcess>);

impl Life {
    /// The process of the calling task.
    #[must_use]
    pub fn current() -> Self {
        Self(SimulatedProcess::current())
    }

    /// Spawns a task that ends with this process.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match &self.0 {
            Some(process) => process.spawn(future),
            None => tokio::spawn(future),
        }
    }

    /// Wraps a future so that it ends with this process.
    pub fn wrap<F: Future>(&self, future: F) -> ProcessFuture<F> {
        ProcessFuture::new(self.0.clone(), future)
    }

    /// Registers a task that was spawned elsewhere as part of this process.
    pub fn own<T>(&self, task: &JoinHandle<T>) {
        if let Some(process) = &self.0 {
            process.own(task.abort_handle());
        }
    }

    /// Marks a point between a check and an action at which another thread may run. Sometimes
    /// others run here for a while.
    pub async fn interleave(&self) {
        if let Some(wait) = self.0.as_ref().and_then(SimulatedProcess::hold_up) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Reports an applied entry. `state` is the state after it.
    pub fn applied(&self, state: &State, index: u64, entry: &[u8], out: &Applied) {
        if let Some(process) = &self.0 {
            process.witness().applied(state, index, entry, out);
        }
    }

    /// Reports an entry without commands.
    pub fn skipped(&self, state: &State, index: u64) {
        if let Some(process) = &self.0 {
            process.witness().skipped(state, index);
        }
    }

    /// Reports that the whole state was replaced.
    pub fn replaced(&self, state: &State) {
        if let Some(process) = &self.0 {
            process.witness().replaced(state);
        }
    }

    /// Reports that the claim of a tick is about to be proposed, and whether the process owns the
    /// task in its applied state.
    pub fn claiming(&self, task: TaskKey, tick: Timestamp, owned: impl FnOnce() -> bool) {
        if let Some(process) = &self.0 {
            process.witness().claiming(task, tick, owned());
        }
    }

    pub(super) fn blocking<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send {
        let begun = match self.0 {
            Some(process) => Err((process, work)),
            None => Ok(tokio::task::spawn_blocking(work)),
        };
        async move {
            match begun {
                Ok(task) => task.await.map_err(io::Error::other),
                Err((process, work)) => {
                    // Other tasks run while the work takes its time.
                    tokio::time::sleep(process.work_time()).await;
                    Ok(work())
                }
            }
        }
    }

    pub(super) fn background<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = io::Result<T>> + Send {
        let process = self.0.clone();
        async move {
            let Some(process) = process else {
                return self.blocking(move || super::making_way(work)).await;
            };
            tokio::time::sleep(process.background_time()).await;
            self.blocking(work).await
        }
    }

    pub(super) fn produce<T: Send + 'static>(
        self,
        room: usize,
        work: impl FnOnce(&mut dyn FnMut(T) -> bool) + Send + 'static,
    ) -> (mpsc::Receiver<T>, impl Future<Output = io::Result<()>> + Send) {
        if self.0.is_none() {
            let (items, ready) = mpsc::channel(room);
            let give = move |item| items.blocking_send(item).is_ok();
            let done = self.blocking(move || work(&mut { give }));
            return (ready, Either::Left(done));
        }
        // The receiver cannot run during the work, so all items are collected first.
        let mut made = Vec::new();
        work(&mut |item| {
            made.push(item);
            true
        });
        let (items, ready) = mpsc::channel(made.len().max(1));
        for item in made {
            // The channel has capacity for all items, and the receiver exists.
            let _taken = items.try_send(item);
        }
        (ready, Either::Right(std::future::ready(Ok(()))))
    }
}
