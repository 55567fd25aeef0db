//! The Raft log in memory, for the simulator: synced content, and an unsynced tail that a crash can
//! lose.
//!
//! A [`SimDisk`] outlives the processes that open it. A write is added to the unsynced tail. A sync
//! makes it durable and calls its [`Done`]. [`SimDisk::crash`] keeps a prefix of the tail that the
//! caller chooses, possibly between two entries of one append, and disconnects the process that had
//! it open. There is no thread, clock or random source: the same calls give the same log.
//!
//! A disk starts in automatic mode: every write is synced before the call returns. In manual mode
//! the test or the simulator calls [`SimDisk::sync`] when its virtual disk is ready, and
//! [`SimDisk::on_unsynced`] notifies it of unsynced writes.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::StorageError;
use super::log::{Done, LogPos, LogState, LogStore};

/// A disk with one log. Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimDisk(Arc<Mutex<SimDiskInner>>);

/// The log of one simulated process. A crash or another open of the disk disconnects it.
pub struct SimLog {
    disk: SimDisk,
    process: u64,
}

type Hook = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct SimDiskInner {
    synced: LogImage,
    /// The log including unsynced writes.
    written: LogImage,
    tail: VecDeque<QueuedWrite>,
    manual: bool,
    hook: Option<Hook>,
    /// The number of opens and crashes. The process with this number is connected.
    process: u64,
    fail_next: Option<io::Error>,
    full: bool,
    /// Why the connected process cannot write any more.
    failed: Option<(io::ErrorKind, String)>,
    syncs: u64,
    age: Option<Duration>,
    /// Synced data is missing.
    lost: bool,
}

struct QueuedWrite {
    record: LogRecord,
    done: Option<Done>,
}

#[derive(Clone)]
enum LogRecord {
    Vote(Bytes),
    Entry(LogPos, Bytes),
    Truncate(u64),
    Purge(LogPos),
    Committed(LogPos),
}

/// Callers to be answered after the disk is unlocked.
type Answers = Vec<(Done, io::Result<()>)>;

fn answer(answers: Answers) {
    for (done, result) in answers {
        done(result);
    }
}

impl SimDisk {
    /// An empty disk in automatic mode.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the log for a new process. The previous process is disconnected, and nothing is lost.
    #[must_use]
    pub fn open(&self) -> SimLog {
        self.crash(|unsynced| unsynced);
        let process = self.0.lock().process;
        SimLog { disk: self.clone(), process }
    }

    /// The same for a disk that may have lost synced data.
    ///
    /// # Errors
    /// Synced data is missing.
    pub fn try_open(&self) -> Result<SimLog, StorageError> {
        if self.0.lock().lost {
            return Err(StorageError::corrupt("memory/log", "it ends before what was synced"));
        }
        Ok(self.open())
    }

    /// Removes the last synced entry, if there is one, as damage would.
    pub fn lose_last(&self) {
        let mut disk = self.0.lock();
        let last = disk.synced.entries.last_key_value().map(|(index, _)| *index);
        if let Some(index) = last {
            disk.synced.apply(LogRecord::Truncate(index));
            disk.lost = true;
        }
    }

    /// Whether writes wait for [`SimDisk::sync`]. Writes that wait already keep waiting.
    pub fn set_manual(&self, manual: bool) {
        self.0.lock().manual = manual;
    }

    /// Sets a hook that is called after each write that waits for [`SimDisk::sync`].
    pub fn on_unsynced(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.0.lock().hook = Some(Arc::new(hook));
    }

    /// The number of single writes that wait for a sync. Each entry counts as one.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        self.0.lock().tail.len()
    }

    /// Makes all writes durable and answers their callers.
    pub fn sync(&self) {
        let answers = self.0.lock().sync();
        answer(answers);
    }

    /// A power cut. `keep` gets the number of unsynced single writes and returns how many of them,
    /// from the first, survive. The process that had the log open is disconnected; its callers get
    /// errors.
    pub fn crash(&self, keep: impl FnOnce(usize) -> usize) {
        let mut disk = self.0.lock();
        let survivors = keep(disk.tail.len());
        let mut answers = Answers::new();
        for (at, write) in std::mem::take(&mut disk.tail).into_iter().enumerate() {
            if at < survivors {
                disk.synced.apply(write.record);
            }
            answers.extend(write.done.map(|done| (done, Err(cut_off()))));
        }
        disk.written = disk.synced.clone();
        disk.process += 1;
        disk.failed = None;
        disk.syncs = 0;
        drop(disk);
        answer(answers);
    }

    /// Makes the next vote or append fail with `error`, and all later ones of that process.
    pub fn fail_next(&self, error: io::Error) {
        self.0.lock().fail_next = Some(error);
    }

    /// Cancels a pending failure.
    #[cfg(feature = "simulation")]
    pub fn forgive(&self) {
        self.0.lock().fail_next = None;
    }

    /// While true, votes and appends fail with a full disk.
    pub fn full(&self, full: bool) {
        self.0.lock().full = full;
    }

    /// Sets the result of [`LogStore::oldest_unflushed`] while a write waits, to simulate a stuck
    /// disk.
    pub fn set_age(&self, age: Option<Duration>) {
        self.0.lock().age = age;
    }
}

impl SimDiskInner {
    fn sync(&mut self) -> Answers {
        let mut answers = Answers::new();
        for write in self.tail.drain(..) {
            self.synced.apply(write.record);
            answers.extend(write.done.map(|done| (done, Ok(()))));
        }
        self.syncs += 1;
        answers
    }

    /// Adds to the tail. `done` belongs to the last record.
    fn add(&mut self, records: Vec<LogRecord>, mut done: Option<Done>) {
        let count = records.len();
        for (at, record) in records.into_iter().enumerate() {
            self.written.apply(record.clone());
            let done = if at + 1 == count { done.take() } else { None };
            self.tail.push_back(QueuedWrite { record, done });
        }
    }

    fn fault(&mut self) -> Option<io::Error> {
        if self.full {
            return Some(io::Error::new(io::ErrorKind::StorageFull, "no space left on device"));
        }
        self.fail_next.take()
    }

    fn fail(&mut self, error: &io::Error) {
        self.failed = Some((error.kind(), error.to_string()));
    }
}

impl SimLog {
    fn admit(&self, disk: &SimDiskInner) -> io::Result<()> {
        if disk.process != self.process {
            return Err(cut_off());
        }
        match &disk.failed {
            Some((kind, text)) => Err(io::Error::new(*kind, text.clone())),
            None => Ok(()),
        }
    }

    /// A vote or an append. On an automatic disk it is durable before this returns.
    fn durably(&self, records: Vec<LogRecord>, done: Done) {
        let mut disk = self.disk.0.lock();
        let (mut answers, mut hook) = (Answers::new(), None);
        if let Err(error) = self.admit(&disk) {
            answers.push((done, Err(error)));
        } else if let Err(error) = disk.written.check(&records) {
            disk.fail(&error);
            answers.push((done, Err(error)));
        } else if let Some(error) = disk.fault() {
            // It is unknown how much of a failed write is on the disk. A crash decides it.
            disk.add(records, None);
            disk.fail(&error);
            answers.push((done, Err(error)));
        } else if records.is_empty() {
            answers.push((done, Ok(())));
        } else {
            disk.add(records, Some(done));
            if disk.manual {
                hook.clone_from(&disk.hook);
            } else {
                answers = disk.sync();
            }
        }
        drop(disk);
        answer(answers);
        if let Some(hook) = hook {
            hook();
        }
    }

    /// A write without a waiting caller. The next sync covers it.
    fn quietly(&self, record: LogRecord) {
        let mut disk = self.disk.0.lock();
        if self.admit(&disk).is_ok() {
            let records = vec![record];
            match disk.written.check(&records) {
                Ok(()) => disk.add(records, None),
                Err(error) => disk.fail(&error),
            }
        }
    }
}

impl LogStore for SimLog {
    fn state(&self) -> LogState {
        let disk = self.disk.0.lock();
        if disk.process == self.process { disk.written.state.clone() } else { LogState::default() }
    }

    fn save_vote(&self, vote: Bytes, done: Done) {
        self.durably(vec![LogRecord::Vote(vote)], done);
    }

    fn append(&self, entries: Vec<(LogPos, Bytes)>, done: Done) {
        let records = entries.into_iter().map(|(pos, data)| LogRecord::Entry(pos, data)).collect();
        self.durably(records, done);
    }

    fn truncate_from(&self, index: u64) {
        self.quietly(LogRecord::Truncate(index));
    }

    fn purge_to(&self, pos: LogPos) {
        self.quietly(LogRecord::Purge(pos));
    }

    fn save_committed(&self, pos: LogPos) {
        self.quietly(LogRecord::Committed(pos));
    }

    fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<(LogPos, Bytes)>> {
        let disk = self.disk.0.lock();
        self.admit(&disk)?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        for (pos, data) in disk.written.entries.range(from..to.max(from)).map(|(_, entry)| entry) {
            bytes += data.len();
            if !found.is_empty() && bytes > max_bytes {
                break;
            }
            found.push((*pos, data.clone()));
        }
        Ok(found)
    }

    fn synced(&self) -> Option<LogPos> {
        let disk = self.disk.0.lock();
        disk.synced.state.last.filter(|_| disk.process == self.process)
    }

    fn place(&self) -> PathBuf {
        PathBuf::from("memory/log")
    }

    fn fsyncs(&self) -> u64 {
        self.disk.0.lock().syncs
    }

    fn oldest_unflushed(&self) -> Option<Duration> {
        let disk = self.disk.0.lock();
        disk.age.filter(|_| !disk.tail.is_empty())
    }

    fn close(&self) {
        let mut disk = self.disk.0.lock();
        if self.admit(&disk).is_ok() {
            let answers = disk.sync();
            disk.fail(&io::Error::new(io::ErrorKind::BrokenPipe, "the log is closed"));
            drop(disk);
            answer(answers);
        }
    }
}

impl Drop for SimLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// The contents of a log, as read from the disk.
#[derive(Clone, Default)]
struct LogImage {
    state: LogState,
    entries: BTreeMap<u64, (LogPos, Bytes)>,
}

impl LogImage {
    /// Refuses records that no correct caller writes.
    fn check(&self, records: &[LogRecord]) -> io::Result<()> {
        let mut last = self.state.last;
        for record in records {
            let valid = match record {
                LogRecord::Entry(pos, _) => {
                    let follows = |last: LogPos| *pos > last && pos.index == last.index + 1;
                    last.replace(*pos).is_none_or(follows)
                }
                LogRecord::Truncate(index) => {
                    self.kept_by(*index).is_none_or(|kept| kept >= self.state.committed)
                }
                LogRecord::Vote(_) | LogRecord::Purge(_) | LogRecord::Committed(_) => true,
            };
            if !valid {
                let text = "the entry does not follow the last one, or cuts off a committed one";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
        }
        Ok(())
    }

    /// The last position after a truncation at `index`. The outer `None`: nothing is truncated.
    fn kept_by(&self, index: u64) -> Option<Option<LogPos>> {
        let (&first, _) = self.entries.first_key_value()?;
        let (&last, _) = self.entries.last_key_value()?;
        if index > last {
            return None;
        }
        let before = self.entries.range(first..index.max(first)).next_back();
        Some(before.map(|(_, (pos, _))| *pos).or(self.state.purged))
    }

    fn apply(&mut self, record: LogRecord) {
        match record {
            LogRecord::Vote(vote) => self.state.vote = Some(vote),
            LogRecord::Entry(pos, data) => {
                self.state.last = Some(pos);
                self.entries.insert(pos.index, (pos, data));
            }
            LogRecord::Truncate(index) => {
                if let Some(kept) = self.kept_by(index) {
                    self.state.last = kept;
                    self.entries.split_off(&index);
                }
            }
            LogRecord::Purge(pos) => {
                if self.state.purged.is_none_or(|purged| purged.index < pos.index) {
                    self.entries = self.entries.split_off(&(pos.index + 1));
                    self.state.purged = Some(pos);
                    self.state.last = self.state.last.max(Some(pos));
                }
            }
            LogRecord::Committed(pos) => {
                if Some(pos) <= self.state.last && Some(pos) > self.state.committed {
                    self.state.committed = Some(pos);
                }
            }
        }
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "this process lost its disk")
}

#[cfg(test)]
mod tests;
