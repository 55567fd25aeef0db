//! A simulated node process: its tasks, which can be paused and killed together, its random source,
//! and a witness of the entries that it applies.
//!
//! A killed process runs no further code: its tasks are aborted at their await points. The tasks of
//! a paused process stop while virtual time advances; when it resumes, its timers have expired. A
//! new task is polled once even while the process is paused, so that a check and the following call
//! stay one step.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinHandle};

use crate::domain::ids::TaskKey;
use crate::domain::machine::{Applied, State};
use crate::domain::time::Timestamp;

/// Finished tasks are removed after this number of spawns.
const PRUNE_EVERY: usize = 256;
/// Maximum duration of blocking work, in microseconds.
const WORK_MAX_US: u64 = 3_000;
/// One of this number of threads is delayed between a check and an action.
const HELD_UP_ONE_IN: u64 = 4;
/// Maximum of that delay, in microseconds.
const HELD_UP_MAX_US: u64 = 100_000;

/// Observes a simulated process.
pub trait Witness: Send + Sync {
    /// An entry was applied. `state` is the state after it, `out` its answers and events.
    fn applied(&self, state: &State, index: u64, entry: &[u8], out: &Applied);

    /// A blank or membership entry was skipped.
    fn skipped(&self, state: &State, index: u64);

    /// The whole state was replaced: at start, or by a snapshot.
    fn replaced(&self, state: &State);

    /// The claim of a tick is about to be proposed, with the start of its execution. `owned`: the
    /// process owns the task in its applied state.
    fn claiming(&self, task: TaskKey, tick: Timestamp, owned: bool);
}

/// One node process; clones are the same process.
#[derive(Clone)]
pub struct SimulatedProcess(Arc<SimulatedProcessInner>);

struct SimulatedProcessInner {
    witness: Arc<dyn Witness>,
    dead: AtomicBool,
    paused: AtomicBool,
    parked: Mutex<Vec<Waker>>,
    tasks: Mutex<ProcessTasks>,
    random: Mutex<u64>,
    /// Additional duration of background work, in microseconds.
    background_us: AtomicU64,
}

#[derive(Default)]
struct ProcessTasks {
    running: Vec<AbortHandle>,
    since_pruned: usize,
}

thread_local! {
    static CURRENT: RefCell<Option<SimulatedProcess>> = const { RefCell::new(None) };
}

impl fmt::Debug for SimulatedProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}

impl SimulatedProcess {
    /// A process with this random seed.
    #[must_use]
    pub fn new(seed: u64, witness: Arc<dyn Witness>) -> Self {
        Self(Arc::new(SimulatedProcessInner {
            witness,
            dead: AtomicBool::new(false),
            paused: AtomicBool::new(false),
            parked: Mutex::new(Vec::new()),
            tasks: Mutex::new(ProcessTasks::default()),
            random: Mutex::new(seed),
            background_us: AtomicU64::new(0),
        }))
    }

    /// The process of the running task.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// The observer of this process.
    #[must_use]
    pub fn witness(&self) -> &dyn Witness {
        &*self.0.witness
    }

    /// Spawns a task of this process.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let handle = tokio::spawn(ProcessFuture::new(Some(self.clone()), future));
        self.own(handle.abort_handle());
        handle
    }

    pub(super) fn own(&self, task: AbortHandle) {
        if self.is_dead() {
            return task.abort();
        }
        let mut tasks = self.0.tasks.lock();
        tasks.running.push(task);
        tasks.since_pruned += 1;
        if tasks.since_pruned >= PRUNE_EVERY {
            tasks.since_pruned = 0;
            tasks.running.retain(|task| !task.is_finished());
        }
    }

    /// Aborts all tasks of this process.
    pub fn kill(&self) {
        self.0.dead.store(true, Ordering::Relaxed);
        let tasks = std::mem::take(&mut *self.0.tasks.lock());
        for task in tasks.running {
            task.abort();
        }
        self.0.parked.lock().clear();
    }

    /// Whether the process was killed.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.0.dead.load(Ordering::Relaxed)
    }

    /// Pauses all tasks of this process.
    pub fn pause(&self) {
        self.0.paused.store(true, Ordering::Relaxed);
    }

    /// Whether the tasks are paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Relaxed)
    }

    /// Resumes the tasks.
    pub fn resume(&self) {
        self.0.paused.store(false, Ordering::Relaxed);
        let parked = std::mem::take(&mut *self.0.parked.lock());
        for waker in parked {
            waker.wake();
        }
    }

    /// A random number (SplitMix64: Steele, Lea and Flood, 2014).
    #[must_use]
    pub fn draw(&self) -> u64 {
        let mut state = self.0.random.lock();
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The delay of a thread between a check and an action; mostly none.
    pub(super) fn hold_up(&self) -> Option<Duration> {
        let draw = self.draw();
        let held_up = draw.is_multiple_of(HELD_UP_ONE_IN);
        held_up.then(|| Duration::from_micros(draw / HELD_UP_ONE_IN % HELD_UP_MAX_US))
    }

    /// Adds this duration to background work from now on.
    pub fn slow_background(&self, by: Duration) {
        let by = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.0.background_us.store(by, Ordering::Relaxed);
    }

    /// The duration of blocking work.
    pub(super) fn work_time(&self) -> Duration {
        Duration::from_micros(self.draw() % WORK_MAX_US)
    }

    /// The additional duration of background work.
    pub(super) fn background_time(&self) -> Duration {
        Duration::from_micros(self.0.background_us.load(Ordering::Relaxed))
    }

    /// Whether a task must wait. It is woken when the process resumes.
    fn holds(&self, waker: &Waker) -> bool {
        if self.is_dead() {
            return true;
        }
        let paused = self.0.paused.load(Ordering::Relaxed);
        if paused {
            let mut parked = self.0.parked.lock();
            if !parked.iter().any(|known| known.will_wake(waker)) {
                parked.push(waker.clone());
            }
        }
        paused
    }
}

/// A future of a process. It runs only while the process runs, and the tasks that it spawns belong
/// to the process.
pub struct ProcessFuture<F> {
    process: Option<SimulatedProcess>,
    begun: bool,
    future: Pin<Box<F>>,
}

impl<F: Future> ProcessFuture<F> {
    pub(super) fn new(process: Option<SimulatedProcess>, future: F) -> Self {
        Self { process, begun: false, future: Box::pin(future) }
    }
}

impl<F: Future> Future for ProcessFuture<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let Some(process) = &this.process else { return this.future.as_mut().poll(cx) };
        if (this.begun || process.is_dead()) && process.holds(cx.waker()) {
            return Poll::Pending;
        }
        this.begun = true;
        let former = CURRENT.replace(Some(process.clone()));
        let _back = RestoreProcess(former);
        this.future.as_mut().poll(cx)
    }
}

/// Restores the previous current process when dropped, also after a panic.
struct RestoreProcess(Option<SimulatedProcess>);

impl Drop for RestoreProcess {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
