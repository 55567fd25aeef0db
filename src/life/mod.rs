//! The tasks of one node process: spawned tasks, and blocking work on threads of its own.
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

/// Spawns a task that lives as long as the process of the one that spawns it.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Life::current().spawn(future)
}

/// By how much work in the background makes way: it gets about a third of the share of others.
#[cfg(target_os = "linux")]
const BACKGROUND_NICE: i32 = 5;

/// Does work that blocks, beside the tasks.
///
/// # Errors
/// The work panicked.
pub fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = io::Result<T>> + Send {
    Life::current().blocking(work)
}

/// Does long work that nobody waits for urgently, beside the tasks and behind them in line for a
/// processor.
///
/// # Errors
/// The work panicked.
pub fn background<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = io::Result<T>> + Send {
    Life::current().background(work)
}

/// On a thread of its own, since one that made way once cannot take it back.
fn making_way<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let begin = || {
        // Of this thread alone, on Linux; elsewhere it would be all of the process.
        #[cfg(target_os = "linux")]
        let _refused = rustix::process::nice(BACKGROUND_NICE);
        work()
    };
    match std::thread::scope(|scope| scope.spawn(begin).join()) {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Drops what takes long to drop, beside the tasks.
pub fn let_go<T: Send + 'static>(value: T) {
    if Handle::try_current().is_ok() {
        // Begun already; nobody waits for it.
        drop(blocking(move || drop(value)));
    }
}

/// Makes items beside the tasks; at most `room` wait to be taken. The work is given a function
/// that hands an item over, and says whether anybody still takes them.
pub fn produce<T: Send + 'static>(
    room: usize,
    work: impl FnOnce(&mut dyn FnMut(T) -> bool) + Send + 'static,
) -> (mpsc::Receiver<T>, impl Future<Output = io::Result<()>> + Send) {
    Life::current().produce(room, work)
}
