//! The tasks of one node process: spawned tasks, and blocking work on other threads.
//!
//! Normally this is tokio's `spawn` and `spawn_blocking`. With the cargo feature `simulation` a
//! cluster can run on one thread in virtual time: all tasks of a node belong to its
//! `simulation::SimulatedProcess`, which can be paused and killed as a whole, and blocking work
//! runs inline. A task that belongs to no simulated process behaves normally, so the feature alone
//! changes nothing.
//!
//! Architecture invariant: consensus, engine, transport and functions spawn only through this
//! module.

#[cfg(not(feature = "simulation"))]
mod real;
#[cfg(feature = "simulation")]
mod simulated;
#[cfg(feature = "simulation")]
pub mod simulation;

use std::future::Future;
use std::io;

use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

#[cfg(not(feature = "simulation"))]
use self::real as here;
#[cfg(feature = "simulation")]
use self::simulated as here;

pub use self::here::Life;

/// Spawns a task that ends with the process of the calling task.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Life::current().spawn(future)
}

/// The nice value of background work, which gives it about a third of the usual CPU share.
#[cfg(target_os = "linux")]
const BACKGROUND_NICE: i32 = 5;

/// Runs blocking work on another thread.
///
/// # Errors
/// The work panicked.
pub fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = io::Result<T>> + Send {
    Life::current().blocking(work)
}

/// Runs long work that is not urgent on another thread with a lower priority.
///
/// # Errors
/// The work panicked.
pub fn background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = io::Result<T>> + Send {
    Life::current().background(work)
}

/// Uses a new thread, because a thread cannot lower its nice value again.
fn making_way<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let begin = || {
        // On Linux this affects only the thread, elsewhere the whole process.
        #[cfg(target_os = "linux")]
        let _refused = rustix::process::nice(BACKGROUND_NICE);
        work()
    };
    match std::thread::scope(|scope| scope.spawn(begin).join()) {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Drops a value on another thread, because it takes long.
pub fn let_go<T: Send + 'static>(value: T) {
    if Handle::try_current().is_ok() {
        // It runs without being awaited.
        drop(blocking(move || drop(value)));
    }
}

/// Produces items on another thread. At most `room` items wait in the channel. The work gets a
/// function that sends an item and returns whether the receiver still exists.
pub fn produce<T: Send + 'static>(
    room: usize,
    work: impl FnOnce(&mut dyn FnMut(T) -> bool) + Send + 'static,
) -> (mpsc::Receiver<T>, impl Future<Output = io::Result<()>> + Send) {
    Life::current().produce(room, work)
}
