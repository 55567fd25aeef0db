//! The output of attempts: a ring in memory while they run, a file of bounded size afterwards.
//!
//! A byte's position is its place in the whole output. If an output exceeds `kept_bytes`, the file
//! holds its beginning and its end, with one line between them that states the number of omitted
//! bytes. The beginning is written once and never moved; the end is the content of the ring when
//! the attempt ends.
//!
//! A push never waits for the disk: the ring passes the bytes to the keeper's thread. At most the
//! kept size of each running attempt is in transit there.

mod keeper;
mod ring;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout_at};

use super::outcome::TAIL_MAX_BYTES;
use crate::config::OutputLimits;
use crate::domain::ids::ExecutionId;
use keeper::{KeeperJob, OutputKeeper};
use ring::{FilePiece, Ring};

/// The most that is read of an output at once.
pub const READ_MAX_BYTES: usize = 1 << 20;

/// Names an attempt's output; later attempts have higher ones.
pub(super) type OutputKey = (ExecutionId, u32);
type RunningOutputs = Mutex<BTreeMap<OutputKey, Arc<LiveOutput>>>;

/// A piece of an attempt's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The position of the first byte; beyond the one asked for if bytes are left out there.
    pub from: u64,
    /// The bytes; fewer than asked for are no sign of the end.
    pub bytes: Vec<u8>,
    /// The length of the whole output so far.
    pub total: u64,
    /// Whether more may come.
    pub running: bool,
}

impl Chunk {
    /// The position to read on from; at an end that is final it is `total`.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.from.saturating_add(self.bytes.len() as u64)
    }
}

/// The output of all attempts of one node.
pub(super) struct Outputs {
    running: Arc<RunningOutputs>,
    /// An output began.
    begun: Notify,
    jobs: Sender<KeeperJob>,
    limits: OutputLimits,
}

impl Outputs {
    /// Makes the folder and starts the keeper's thread.
    pub(super) fn open(folder: PathBuf, limits: OutputLimits) -> io::Result<Self> {
        let running = Arc::new(RunningOutputs::default());
        let jobs = OutputKeeper::start(folder, limits.quota_bytes, Arc::clone(&running))?;
        Ok(Self { running, begun: Notify::new(), jobs, limits })
    }

    /// Keeps nothing beyond what is held in memory.
    #[cfg(feature = "simulation")]
    pub(super) fn nowhere() -> Self {
        let (jobs, _nobody) = std::sync::mpsc::channel();
        let (running, begun) = (Arc::default(), Notify::new());
        Self { running, begun, jobs, limits: OutputLimits::default() }
    }

    /// Opens the output of an attempt that is about to start.
    pub(super) fn begin(&self, execution: ExecutionId, attempt: u32) -> OpenOutput<'_> {
        let key = (execution, attempt);
        let live = Arc::new(LiveOutput {
            key,
            jobs: self.jobs.clone(),
            ring: Mutex::new(Ring::new(self.limits)),
            news: Notify::new(),
        });
        self.running.lock().insert(key, Arc::clone(&live));
        self.begun.notify_waiters();
        OpenOutput { outputs: self, live }
    }

    /// The newest output of the running attempt of an execution.
    #[cfg(test)]
    pub(super) fn newest(&self, execution: ExecutionId) -> Option<Chunk> {
        let running = self.running.lock();
        let (_key, live) = running.range((execution, 0)..=(execution, u32::MAX)).next_back()?;
        Some(live.ring.lock().newest())
    }

    /// Output from a position on, from memory if it is there.
    pub(super) async fn read(&self, key: OutputKey, from: u64, max: usize) -> Option<Chunk> {
        let live = self.running.lock().get(&key).cloned();
        let held = live.as_ref().and_then(|live| live.ring.lock().read(from, max));
        if held.is_some() {
            return held;
        }
        let (reply, answer) = oneshot::channel();
        self.jobs.send(KeeperJob::Read { key, from, max: max.min(READ_MAX_BYTES), reply }).ok()?;
        let kept: Option<Chunk> = answer.await.ok().flatten();
        match live {
            // What was read is the beginning of something that goes on.
            Some(live) => Some(live.ring.lock().continued(kept)),
            None => kept,
        }
    }

    /// [`Outputs::read`] as soon as there is something to read or the attempt has ended, at the
    /// latest after `wait`.
    pub(super) async fn read_grown(
        &self,
        key: OutputKey,
        from: u64,
        max: usize,
        wait: Duration,
    ) -> Option<Chunk> {
        let until = Instant::now() + wait;
        loop {
            let live = self.running.lock().get(&key).cloned();
            let news = live.as_ref().map_or(&self.begun, |live| &live.news);
            let mut told = std::pin::pin!(news.notified());
            told.as_mut().enable();
            // What happened before the wait was enabled is seen here, what happens after it there.
            let known = self.running.lock().contains_key(&key) == live.is_some();
            let chunk = self.read(key, from, max).await;
            let done = chunk.as_ref().is_some_and(|it| !it.bytes.is_empty() || !it.running);
            if done || (known && timeout_at(until, told).await.is_err()) {
                return chunk;
            }
        }
    }

    /// Waits for the keeper to have done what was handed to it so far.
    pub(super) async fn flush(&self) {
        let (reply, answer) = oneshot::channel();
        if self.jobs.send(KeeperJob::Flush { reply }).is_ok() {
            let _ = answer.await;
        }
    }
}

/// The open output of one attempt; dropping it closes it.
pub(super) struct OpenOutput<'a> {
    outputs: &'a Outputs,
    live: Arc<LiveOutput>,
}

impl OpenOutput<'_> {
    /// Where the attempt's bytes go.
    pub(super) fn live(&self) -> &Arc<LiveOutput> {
        &self.live
    }

    /// Closes the output and returns its tail.
    pub(super) fn end(self) -> Vec<u8> {
        self.live.ring.lock().tail(TAIL_MAX_BYTES)
    }
}

impl Drop for OpenOutput<'_> {
    fn drop(&mut self) {
        for piece in self.live.ring.lock().close() {
            self.live.keep(piece);
        }
        // After the last piece is handed over, so that no reader falls between the two.
        self.outputs.running.lock().remove(&self.live.key);
        self.live.news.notify_waiters();
    }
}

impl std::fmt::Debug for LiveOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LiveOutput").field(&self.key).finish()
    }
}

/// The output of one running attempt.
pub(super) struct LiveOutput {
    key: OutputKey,
    jobs: Sender<KeeperJob>,
    ring: Mutex<Ring>,
    /// There are more bytes, or there will be no more.
    news: Notify,
}

impl LiveOutput {
    /// Adds bytes; false: the attempt has ended, and they are dropped.
    pub(super) fn push(&self, bytes: &[u8]) -> bool {
        let mut ring = self.ring.lock();
        if ring.closed() {
            return false;
        }
        for bytes in bytes.chunks(ring::STEP_BYTES) {
            if let Some(piece) = ring.push(bytes) {
                self.keep(piece);
            }
        }
        drop(ring);
        self.news.notify_waiters();
        true
    }

    /// How much of the output is kept: more need not come.
    pub(super) fn kept_bytes(&self) -> usize {
        self.ring.lock().kept_bytes()
    }

    /// What has waited in the ring for being kept, however little.
    fn waiting(&self) -> Option<FilePiece> {
        self.ring.lock().waiting()
    }

    fn keep(&self, piece: FilePiece) {
        // The keeper is gone only when the program ends.
        let _ = self.jobs.send(KeeperJob::Write { key: self.key, piece });
    }
}

#[cfg(test)]
mod tests;
