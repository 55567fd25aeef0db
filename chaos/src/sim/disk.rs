//! The disk of a simulated machine: simulated log and checkpoint stores, and the identity.
//!
//! Log writes are durable when the disk has synced, after a random time. A power cut keeps a random
//! part of the unsynced writes, which may tear an append. If only the process ends, all writes are
//! kept, because they are still in the machine's memory. A checkpoint is written atomically.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use punctual::consensus;
use punctual::domain::machine::{Loader, State};
use punctual::storage::log::{Done, LogState};
use punctual::storage::memory::MemoryDisk;
use punctual::storage::sim::{SimDisk, SimLog};
use punctual::storage::{FolderIdentity, LogPos, LogStore, Stores};

use super::random::SeededRandom;
use crate::check::history::{HistoryEvent, RunHistory};

const WHOLE: &str = "checkpoints are whole";
/// The Raft record in a checkpoint, which the loader of the state does not read.
const RAFT_RECORD: &[u8] = b"r";

/// A disk. Clones share their state.
#[derive(Clone)]
pub struct MachineDisk {
    node: usize,
    log: SimDisk,
    stores: MemoryDisk,
    identity: Arc<Mutex<Option<FolderIdentity>>>,
    work: Arc<DiskTiming>,
    history: Arc<RunHistory>,
    watched: bool,
}

/// The timing of a disk.
struct DiskTiming {
    random: Mutex<SeededRandom>,
    syncing: AtomicBool,
    /// Additional time of each sync, in microseconds.
    slow_us: AtomicU64,
}

impl MachineDisk {
    /// An empty disk.
    pub fn new(node: usize, random: SeededRandom, history: Arc<RunHistory>) -> Self {
        let work = Arc::new(DiskTiming {
            random: Mutex::new(random),
            syncing: AtomicBool::new(false),
            slow_us: AtomicU64::new(0),
        });
        let log = SimDisk::new();
        log.set_manual(true);
        let (disk, worker) = (log.clone(), Arc::clone(&work));
        log.on_unsynced(move || worker.begin(&disk));
        let (stores, identity) = (MemoryDisk::new(), Arc::default());
        Self { node, log, stores, identity, work, history, watched: true }
    }

    /// A disk on which no vote may be cast.
    pub fn unwatched(mut self) -> Self {
        self.watched = false;
        self
    }

    /// Opens the disk for a process.
    pub fn open(&self) -> consensus::ConsensusDisk {
        let saved = Arc::clone(&self.identity);
        let (node, watched) = (self.node, self.watched);
        let log = Watched { node, watched, log: self.log.open(), history: self.history.clone() };
        consensus::ConsensusDisk {
            log: Arc::new(log),
            stores: Box::new(self.stores.open()),
            identity: self.identity.lock().clone(),
            save_identity: Box::new(move |identity| {
                *saved.lock() = Some(identity.clone());
                Ok(())
            }),
        }
    }

    /// Whose data it is.
    pub fn identity(&self) -> Option<FolderIdentity> {
        self.identity.lock().clone()
    }

    /// Makes its data that of this node.
    pub fn identify(&self, identity: FolderIdentity) {
        *self.identity.lock() = Some(identity);
    }

    /// Lets a command use it without a running process. Every write is durable when it returns.
    pub fn offline<T>(&self, act: impl FnOnce(&Arc<dyn LogStore>, Box<dyn Stores>) -> T) -> T {
        self.heal();
        self.log.set_manual(false);
        let log: Arc<dyn LogStore> = Arc::new(self.log.open());
        let done = act(&log, Box::new(self.stores.open()));
        log.close();
        self.log.set_manual(true);
        done
    }

    /// The state in its checkpoint.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn checkpoint(&self) -> Result<State, String> {
        let records = self.stores.records().ok_or_else(|| "there is none".to_owned())?;
        let mut loader = Loader::default();
        for (key, value) in records.iter().filter(|(key, _)| **key != RAFT_RECORD) {
            loader.row(key, value).map_err(|error| error.to_string())?;
        }
        loader.finish().map_err(|error| error.to_string())
    }

    /// The process that had opened the disk has ended. Its writes are kept.
    pub fn abandon(&self) {
        self.log.crash(|unsynced| unsynced);
        self.stores.crash();
        self.check();
    }

    /// Cuts the power. Returns the number of unsynced writes and how many of them are kept.
    pub fn power_cut(&self) -> (usize, usize) {
        let mut fate = (0, 0);
        self.log.crash(|unsynced| {
            let kept = self.work.random.lock().range(0, unsynced as u64);
            fate = (unsynced, usize::try_from(kept).unwrap_or(0));
            fate.1
        });
        self.stores.crash();
        self.check();
        fate
    }

    /// Checks that the checkpoint left by a process is complete: simulated disks lose writes, but
    /// do not corrupt data.
    fn check(&self) {
        if self.stores.records().is_none() {
            return;
        }
        self.history.checked(WHOLE);
        if let Err(error) = self.checkpoint() {
            let what = format!("node {} left one that is not: {error}", self.node + 1);
            self.history.violated(WHOLE, what);
        }
    }

    /// Sets whether the disk is full.
    pub fn full(&self, full: bool) {
        self.log.full(full);
        self.stores.full(full);
    }

    /// Makes the next write fail.
    pub fn fail_next(&self, checkpoint: bool) {
        let error = || io::Error::other("input/output error");
        if checkpoint {
            let landed = self.work.random.lock().chance(500);
            self.stores.fail_next(error(), landed);
        } else {
            self.log.fail_next(error());
        }
    }

    /// Removes all faults.
    pub fn heal(&self) {
        self.full(false);
        self.slow(Duration::ZERO);
        self.log.forgive();
        self.stores.forgive();
    }

    /// Sets the additional time of each sync.
    pub fn slow(&self, by: Duration) {
        let us = u64::try_from(by.as_micros()).unwrap_or(0);
        self.work.slow_us.store(us, Ordering::Relaxed);
    }
}

impl DiskTiming {
    /// Syncs after a short delay. Writes made until then are included.
    fn begin(self: &Arc<Self>, disk: &SimDisk) {
        if self.syncing.swap(true, Ordering::Relaxed) {
            return;
        }
        let micros = self.random.lock().range(150, 900) + self.slow_us.load(Ordering::Relaxed);
        let (work, disk) = (Arc::clone(self), disk.clone());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(micros)).await;
            work.syncing.store(false, Ordering::Relaxed);
            disk.sync();
        });
    }
}

/// A log store that records votes.
struct Watched {
    node: usize,
    /// False for the disk of a node that was wiped.
    watched: bool,
    log: SimLog,
    history: Arc<RunHistory>,
}

impl LogStore for Watched {
    fn place(&self) -> PathBuf {
        self.log.place()
    }

    fn state(&self) -> LogState {
        self.log.state()
    }

    fn save_vote(&self, vote: Bytes, done: Done) {
        if !self.watched {
            self.history.violated(
                "terms and votes never go back",
                format!(
                    "node {} votes with an empty folder while others know the cluster",
                    self.node + 1
                ),
            );
        }
        let (node, history, seen) = (self.node, Arc::clone(&self.history), vote.clone());
        let noted: Done = Box::new(move |result| {
            if result.is_ok() {
                history.note(Some(node), HistoryEvent::Voted { vote: seen });
            }
            done(result);
        });
        self.log.save_vote(vote, noted);
    }

    fn append(&self, entries: Vec<(LogPos, Bytes)>, done: Done) {
        self.log.append(entries, done);
    }

    fn truncate_from(&self, index: u64) {
        self.log.truncate_from(index);
    }

    fn purge_to(&self, pos: LogPos) {
        self.log.purge_to(pos);
    }

    fn save_committed(&self, pos: LogPos) {
        self.log.save_committed(pos);
    }

    fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<(LogPos, Bytes)>> {
        self.log.read(from, to, max_bytes)
    }

    fn synced(&self) -> Option<LogPos> {
        self.log.synced()
    }

    fn fsyncs(&self) -> u64 {
        self.log.fsyncs()
    }

    fn oldest_unflushed(&self) -> Option<Duration> {
        self.log.oldest_unflushed()
    }

    fn close(&self) {
        self.log.close();
    }
}
