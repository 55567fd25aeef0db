//! The thread that owns the log file: takes calls in order, groups them, flushes, answers.
//!
//! raft-log calls [`Flush`] back on its own thread once a group is on the disk. At most
//! [`FLUSHES_MAX`] groups are on their way: one being synced and one behind it, so that the disk
//! never waits for a thread to wake; what arrives meanwhile becomes the next group.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, RwLock};
use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter;

use super::super::log::{Done, LogPos, LogState};
use super::super::{files, guarded};
use super::record::{Blob, Records};

/// Groups handed to raft-log and not yet durable.
const FLUSHES_MAX: usize = 2;
/// Bytes after which a group is flushed although more is waiting.
const GROUP_MAX_BYTES: usize = 8 << 20;

/// One call, in the order of calls.
pub(super) enum Op {
    Vote(Bytes),
    Append(Vec<(LogPos, Bytes)>),
    Truncate(u64),
    Purge(LogPos),
    Committed(LogPos),
    Close,
}

/// A call with whom to tell about it.
pub(super) struct Sent {
    pub op: Op,
    pub ack: Option<Ack>,
}

/// What callers, the writer and raft-log's thread share.
pub(super) struct Shared {
    /// Where the log lies.
    pub folder: PathBuf,
    /// `None` once the log is closed.
    pub log: RwLock<Option<RaftLog<Records>>>,
    /// How many times entries were cut off the end.
    pub cuts: AtomicU64,
    /// Flushes completed.
    pub flushes: AtomicU64,
    /// Bytes accepted and not yet durable.
    pub queued: AtomicUsize,
    waiting: Mutex<VecDeque<Instant>>,
    progress: Mutex<Progress>,
    moved: Condvar,
}

struct Progress {
    taken: u64,
    ended: bool,
    flushing: usize,
    state: LogState,
    failed: Option<(io::ErrorKind, String)>,
}

impl Shared {
    pub(super) fn new(folder: &Path, log: RaftLog<Records>) -> Self {
        let state = state_of(&log);
        let progress = Progress { taken: 0, ended: false, flushing: 0, state, failed: None };
        Self {
            folder: folder.to_owned(),
            log: RwLock::new(Some(log)),
            cuts: AtomicU64::new(0),
            flushes: AtomicU64::new(0),
            queued: AtomicUsize::new(0),
            waiting: Mutex::default(),
            progress: Mutex::new(progress),
            moved: Condvar::new(),
        }
    }

    /// Notes a write that somebody waits for, from now on.
    pub(super) fn await_durable(self: &Arc<Self>, done: Done, bytes: usize) -> Ack {
        self.waiting.lock().push_back(Instant::now());
        self.queued.fetch_add(bytes, Ordering::Relaxed);
        Ack { done: Some(done), bytes, shared: Arc::clone(self) }
    }

    pub(super) fn oldest_waiting(&self) -> Option<Duration> {
        self.waiting.lock().front().map(Instant::elapsed)
    }

    pub(super) fn state(&self) -> LogState {
        self.progress.lock().state.clone()
    }

    /// Waits until the writer has taken over `sent` calls, or has ended.
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

    fn wait_for_flush_slot(self: &Arc<Self>) -> Flush {
        let mut progress = self.progress.lock();
        while progress.flushing >= FLUSHES_MAX {
            self.moved.wait(&mut progress);
        }
        progress.flushing += 1;
        Flush { acks: Vec::new(), result: None, shared: Arc::clone(self) }
    }

    fn update(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock());
        self.moved.notify_all();
    }
}

/// One waiting caller; told even if this is dropped.
pub(super) struct Ack {
    done: Option<Done>,
    bytes: usize,
    shared: Arc<Shared>,
}

impl Ack {
    fn finish(&mut self, result: io::Result<()>) {
        if let Some(done) = self.done.take() {
            self.shared.waiting.lock().pop_front();
            self.shared.queued.fetch_sub(self.bytes, Ordering::Relaxed);
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

/// A group on its way to the disk. Dropping it frees its slot and answers its callers.
pub(super) struct Flush {
    acks: Vec<Ack>,
    result: Option<io::Result<()>>,
    shared: Arc<Shared>,
}

impl raft_log::Callback for Flush {
    fn send(mut self, result: io::Result<()>) {
        self.result = Some(result);
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        let durable = match self.result.take() {
            Some(Ok(())) => true,
            Some(Err(error)) => {
                self.shared.fail(&error);
                false
            }
            None => {
                if !self.acks.is_empty() {
                    self.shared.fail(&io::Error::other("the log's writer ended unexpectedly"));
                }
                false
            }
        };
        if durable {
            self.shared.flushes.fetch_add(1, Ordering::Relaxed);
        }
        // The slot first: the next group is prepared while these callers are told.
        self.shared.update(|progress| progress.flushing -= 1);
        for mut ack in self.acks.drain(..) {
            if durable {
                ack.finish(Ok(()));
            }
        }
    }
}

/// Starts the writer; it ends after [`Op::Close`] or when all senders are gone.
pub(super) fn start(
    arrivals: mpsc::Receiver<Sent>,
    shared: Arc<Shared>,
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
        // Outside of the lock: it syncs what is pending and answers the last callers.
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

/// Takes over `first` and what waits behind it, and sends the group to the disk; false to end.
fn take_group(first: Sent, arrivals: &mpsc::Receiver<Sent>, shared: &Arc<Shared>) -> bool {
    let mut flush = shared.wait_for_flush_slot();
    let (mut taken, mut bytes, mut go_on) = (0, 0, true);
    // Answered after the lock is released.
    let mut refused = Vec::new();
    let mut guard = shared.log.write();
    let Some(log) = guard.as_mut() else { return false };

    let mut next = Some(first);
    while let Some(Sent { op, ack }) = next.take() {
        taken += 1;
        bytes += ack.as_ref().map_or(0, |ack| ack.bytes);
        if matches!(op, Op::Close) {
            go_on = false;
        } else if shared.has_failed() {
            refused.extend(ack);
        } else if let Err(error) = take(op, log, &shared.cuts) {
            shared.fail(&error);
            refused.extend(ack);
        } else {
            flush.acks.extend(ack);
        }
        if go_on && bytes < GROUP_MAX_BYTES {
            next = arrivals.try_recv().ok();
        }
    }

    let state = state_of(log);
    // A group without a vote or an append is not worth a sync: nobody waits for it, and what it
    // changed goes to the disk before whatever comes after.
    if !flush.acks.is_empty() {
        if let Err(error) = log.flush(files::durable(), Some(flush)) {
            shared.fail(&error);
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

fn take(op: Op, log: &mut RaftLog<Records>, cuts: &AtomicU64) -> io::Result<()> {
    match op {
        Op::Vote(vote) => log.save_vote(Blob(vote)).map(drop),
        Op::Append(entries) => {
            log.append(entries.into_iter().map(|(pos, data)| (pos, Blob(data)))).map(drop)
        }
        Op::Truncate(index) => {
            cuts.fetch_add(1, Ordering::Relaxed);
            truncate(log, index)
        }
        Op::Purge(pos) => log.purge(pos).map(drop),
        Op::Committed(pos) => {
            let state = log.log_state();
            let known = Some(&pos) <= state.last() && Some(&pos) > state.committed();
            if known { log.commit(pos).map(drop) } else { Ok(()) }
        }
        Op::Close => Ok(()),
    }
}

/// raft-log wants to see the entry before the cut; here there may be none, or nothing to cut.
fn truncate(log: &mut RaftLog<Records>, index: u64) -> io::Result<()> {
    let after = |pos: Option<&LogPos>| pos.map_or(0, |pos| pos.index + 1);
    let (first, end) = (after(log.log_state().purged()), after(log.log_state().last()));
    if index >= end || first >= end {
        return Ok(());
    }
    let before = index.saturating_sub(1);
    let keeps_some = index > first && log.read(before, index).next().is_some();
    log.truncate(if keeps_some { index } else { first }).map(drop)
}

fn state_of(log: &RaftLog<Records>) -> LogState {
    let state = log.log_state();
    LogState {
        vote: state.vote().map(|vote| vote.0.clone()),
        last: state.last().copied(),
        purged: state.purged().copied(),
        committed: state.committed().copied(),
    }
}
