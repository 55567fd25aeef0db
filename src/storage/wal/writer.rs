//! The thread that owns the log file. It takes calls in order, groups and flushes them, and reports
//! the results.
//!
//! raft-log calls [`Flush`] on its own thread when a group is on the disk. At most [`FLUSHES_MAX`]
//! groups are in flight: one being synced and one queued, so that the disk never waits for a
//! thread. Calls that arrive in the meantime form the next group.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock};
use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter;

use super::super::descriptors::DescriptorReserve;
use super::super::log::{Done, LogPos, LogState};
use super::super::{files, guarded};
use super::calls::{Op, take};
use super::record::WalTypes;
use super::synced::Synced;

/// Maximum number of groups passed to raft-log that are not yet durable.
const FLUSHES_MAX: usize = 2;
/// Size in bytes at which a group is flushed although more calls are waiting.
const GROUP_MAX_BYTES: usize = 8 << 20;

/// A call and its waiting caller.
pub(super) struct SentCall {
    pub op: Op,
    pub ack: Option<Ack>,
}

/// The data shared by the callers, the writer and raft-log's thread.
pub(super) struct WalShared {
    /// The folder of the log.
    pub folder: PathBuf,
    /// Descriptors for the next file, used if no others are left.
    pub reserve: DescriptorReserve,
    /// `None` once the log is closed.
    pub log: RwLock<Option<RaftLog<WalTypes>>>,
    /// Number of truncations.
    pub cuts: AtomicU64,
    /// Number of completed flushes.
    pub flushes: AtomicU64,
    /// The newest of the log's files whose access rights were restricted.
    private: AtomicU64,
    waiting: Mutex<VecDeque<Instant>>,
    synced: Mutex<Synced>,
    progress: Mutex<WalProgress>,
    moved: Condvar,
}

struct WalProgress {
    taken: u64,
    ended: bool,
    flushing: usize,
    state: LogState,
    /// The last entry of the last synced group.
    synced: Option<LogPos>,
    failed: Option<(io::ErrorKind, String)>,
}

impl WalShared {
    pub(super) fn new(
        folder: &Path,
        reserve: &DescriptorReserve,
        log: RaftLog<WalTypes>,
        mark: Synced,
    ) -> Self {
        let state = state_of(&log);
        let synced = state.last;
        let private = AtomicU64::new(log.stat().open_chunk.chunk_id.0);
        let progress =
            WalProgress { taken: 0, ended: false, flushing: 0, state, synced, failed: None };
        Self {
            folder: folder.to_owned(),
            reserve: reserve.clone(),
            log: RwLock::new(Some(log)),
            cuts: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            private,
            waiting: Mutex::default(),
            synced: Mutex::new(mark),
            progress: Mutex::new(progress),
            moved: Condvar::new(),
        }
    }

    /// Registers a write with a waiting caller.
    pub(super) fn await_durable(self: &Arc<Self>, done: Done, bytes: usize) -> Ack {
        self.waiting.lock().push_back(Instant::now());
        Ack { done: Some(done), bytes, shared: Arc::clone(self) }
    }

    pub(super) fn oldest_waiting(&self) -> Option<Duration> {
        self.waiting.lock().front().map(Instant::elapsed)
    }

    pub(super) fn state(&self) -> LogState {
        self.progress.lock().state.clone()
    }

    pub(super) fn synced_entry(&self) -> Option<LogPos> {
        self.progress.lock().synced
    }

    /// Waits until the writer has processed `sent` calls, or has ended.
    pub(super) fn wait_taken(&self, sent: u64) {
        let mut progress = self.progress.lock();
        while progress.taken < sent && !progress.ended {
            self.moved.wait(&mut progress);
        }
    }

    /// Why writes fail: the first failure, or that the log is closed.
    pub(super) fn error(&self) -> io::Error {
        match &self.progress.lock().failed {
            Some((kind, text)) => io::Error::new(*kind, text.clone()),
            None => {
                let text = format!("{}: the log is closed", self.folder.display());
                io::Error::new(io::ErrorKind::BrokenPipe, text)
            }
        }
    }

    fn fail(&self, error: &io::Error) {
        let mut progress = self.progress.lock();
        progress.failed.get_or_insert_with(|| {
            (error.kind(), format!("cannot write {}: {error}", self.folder.display()))
        });
    }

    fn has_failed(&self) -> bool {
        self.progress.lock().failed.is_some()
    }

    /// Removes the access rights of others from a file that raft-log has just created.
    fn keep_private(&self, log: &RaftLog<WalTypes>) {
        let present = log.stat().open_chunk.chunk_id;
        if self.private.swap(present.0, Ordering::Relaxed) != present.0 {
            files::keep_private(Path::new(&log.config().wal.chunk_path(present)));
        }
    }

    fn wait_for_flush_slot(self: &Arc<Self>) -> Flush {
        let mut progress = self.progress.lock();
        while progress.flushing >= FLUSHES_MAX {
            self.moved.wait(&mut progress);
        }
        progress.flushing += 1;
        let shared = Arc::clone(self);
        Flush { acks: Vec::new(), end: 0, last: None, result: None, shared }
    }

    fn update(&self, change: impl FnOnce(&mut WalProgress)) {
        change(&mut self.progress.lock());
        self.moved.notify_all();
    }
}

/// A waiting caller. It gets an error if this is dropped.
pub(super) struct Ack {
    done: Option<Done>,
    bytes: usize,
    shared: Arc<WalShared>,
}

impl Ack {
    fn finish(&mut self, result: io::Result<()>) {
        if let Some(done) = self.done.take() {
            self.shared.waiting.lock().pop_front();
            done(result);
        }
    }
}

impl Drop for Ack {
    fn drop(&mut self) {
        if self.done.is_some() {
            let error = self.shared.error();
            self.finish(Err(error));
        }
    }
}

/// A group that is being flushed. Dropping it frees its slot and answers its callers.
pub(super) struct Flush {
    acks: Vec<Ack>,
    /// The end of the group, an offset over all of the log's files.
    end: u64,
    /// The last entry at that end.
    last: Option<LogPos>,
    result: Option<io::Result<()>>,
    shared: Arc<WalShared>,
}

impl raft_log::Callback for Flush {
    fn send(mut self, result: io::Result<()>) {
        self.result = Some(result);
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let result = self.result.take();
        let durable = matches!(result, Some(Ok(())));
        if durable {
            self.shared.flushes.fetch_add(1, Ordering::Relaxed);
        }
        let last = self.last;
        // The slot first, so that the next group is prepared while these callers are notified.
        self.shared.update(|progress| {
            progress.flushing -= 1;
            if durable {
                progress.synced = last;
            }
        });
        let acks = std::mem::take(&mut self.acks);
        match result {
            Some(Ok(())) => {
                acks.into_iter().for_each(|mut ack| ack.finish(Ok(())));
                if let Err(error) = self.shared.synced.lock().note(self.end) {
                    self.shared.fail(&error);
                }
            }
            // Dropping the acks notifies the callers.
            Some(Err(error)) => self.shared.fail(&error),
            None if acks.is_empty() => {}
            None => ask_why(acks, &self.shared),
        }
    }
}

/// Notifies callers whose group was dropped of the reason why raft-log's thread ended. This needs a
/// separate thread: the current one drops raft-log's queue, and the writer may wait for it.
fn ask_why(acks: Vec<Ack>, shared: &Arc<WalShared>) {
    let asked = Arc::clone(shared);
    let ask = move || {
        let why = asked.log.read().as_ref().and_then(|log| log.wait_worker_idle().err());
        asked.fail(&why.unwrap_or_else(|| io::Error::other("the log's writer ended")));
        drop(acks);
    };
    // Without a thread the callers get the error of a closed log.
    let _asks = std::thread::Builder::new().name("raft-log-end".to_owned()).spawn(ask);
}

/// Starts the writer. It ends after [`Op::Close`] or when all senders are dropped.
pub(super) fn start(
    arrivals: mpsc::Receiver<SentCall>,
    shared: Arc<WalShared>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("raft-log".to_owned()).spawn(move || {
        let worked = guarded(|| {
            while let Ok(first) = arrivals.recv() {
                if !take_group(first, &arrivals, &shared) {
                    break;
                }
            }
            Ok(())
        });
        if let Err(error) = worked {
            shared.fail(&error);
        }
        // After the lock is released: this syncs pending data and answers the last callers.
        let log = shared.log.write().take();
        if let Err(error) = guarded(|| {
            drop(log);
            Ok(())
        }) {
            shared.fail(&error);
        }
        shared.update(|progress| progress.ended = true);
    })
}

/// Takes `first` and the calls that wait after it, and flushes the group. False: the writer ends.
fn take_group(
    first: SentCall,
    arrivals: &mpsc::Receiver<SentCall>,
    shared: &Arc<WalShared>,
) -> bool {
    let mut flush = shared.wait_for_flush_slot();
    let (mut taken, mut bytes, mut end, mut go_on) = (0, 0, 0, true);
    // Their callers are notified after the lock is released.
    let mut refused = Vec::new();
    let mut guard = shared.log.write();
    let Some(log) = guard.as_mut() else { return false };

    let mut next = Some(first);
    while let Some(SentCall { op, ack }) = next.take() {
        taken += 1;
        bytes += ack.as_ref().map_or(0, |ack| ack.bytes);
        if matches!(op, Op::Close) {
            go_on = false;
        } else if shared.has_failed() {
            refused.extend(ack);
        } else {
            match take(op, log, shared) {
                Ok(behind) => {
                    end = behind.unwrap_or(end);
                    flush.acks.extend(ack);
                }
                Err(error) => {
                    shared.fail(&cause(error, log));
                    refused.extend(ack);
                }
            }
        }
        if go_on && bytes < GROUP_MAX_BYTES {
            next = arrivals.try_recv().ok();
        }
    }

    shared.keep_private(log);
    let state = state_of(log);
    // A group without a vote or an append needs no sync: no caller waits for it, and its changes go
    // to the disk before all later ones.
    if !flush.acks.is_empty() {
        (flush.end, flush.last) = (end, state.last);
        if let Err(error) = log.flush(files::durable(), Some(flush)) {
            shared.fail(&cause(error, log));
        }
    } else {
        drop(flush);
    }
    drop(guard);
    shared.update(|progress| {
        progress.taken += taken;
        progress.state = state;
    });
    drop(refused);
    go_on
}

/// The cause of a failed call. If raft-log's thread has ended, this is why it ended.
fn cause(error: io::Error, log: &RaftLog<WalTypes>) -> io::Error {
    log.wait_worker_idle().err().unwrap_or(error)
}

fn state_of(log: &RaftLog<WalTypes>) -> LogState {
    let state = log.log_state();
    LogState {
        vote: state.vote().map(|vote| vote.0.clone()),
        last: state.last().copied(),
        purged: state.purged().copied(),
        committed: state.committed().copied(),
    }
}
