//! The Raft log on disk, over raft-log.
//!
//! raft-log encodes entries, rotates its chunk files and syncs on its own thread, but blocks its
//! caller when a chunk is full, when a folder is synced and under back-pressure. So it is called
//! from another thread (`writer`), through an unbounded queue. Consensus never waits for the disk
//! here.
//!
//! The writer also groups: while two flushes are in progress, arriving calls are collected for the
//! next. raft-log's own grouping waits for a timer (1 ms by default; 0 disables grouping) and is
//! therefore set to 0.

mod calls;
mod record;
mod recovery;
mod synced;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use raft_log::RaftLog;

use self::calls::Op;
use self::record::{Blob, WalTypes};
use self::synced::Synced;
use self::writer::{SentCall, WalShared};
use super::descriptors::DescriptorReserve;
use super::log::{Done, LogPos, LogState, LogStore};
use super::{StorageError, files, guarded};

/// Size at which raft-log creates a new file. It also bounds the memory of its cache.
const CHUNK_MAX_BYTES: usize = 64 << 20;
/// Number of records at which raft-log creates a new file.
const CHUNK_MAX_RECORDS: usize = 256 << 10;
/// Buffer size to read a chunk file at open.
const REPLAY_BUFFER_BYTES: usize = 1 << 20;
/// A read releases the lock for the writer after this many bytes.
const READ_SLICE_BYTES: usize = 256 << 10;

/// The Raft log in its own folder.
pub struct WalLog {
    front: Mutex<WalFront>,
    shared: Arc<WalShared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct WalFront {
    queue: mpsc::Sender<SentCall>,
    sent: u64,
}

impl WalLog {
    /// Opens or creates the log in `folder`.
    ///
    /// A torn write is cut off, because it was never acknowledged. The synced length of the log is
    /// stored next to the folder, see `synced`.
    ///
    /// # Errors
    /// The file is damaged before its torn end, ends before the synced length, or cannot be read or
    /// created.
    pub fn open(folder: &Path, reserve: &DescriptorReserve) -> Result<Self, StorageError> {
        Self::open_with(folder, reserve, CHUNK_MAX_BYTES)
    }

    pub(super) fn open_with(
        folder: &Path,
        reserve: &DescriptorReserve,
        chunk_max_bytes: usize,
    ) -> Result<Self, StorageError> {
        files::create_folder(reserve, folder)?;
        let mut synced = Synced::open(folder, reserve)?;
        recovery::repair_tail(folder, reserve, synced.offset())?;
        let config = Arc::new(settings(folder, chunk_max_bytes)?);
        let log = reserve
            .open(|| guarded(|| RaftLog::<WalTypes>::open(Arc::clone(&config))))
            .map_err(|error| recovery::name_damaged(folder, reserve, error))?;
        files::keep_content_private(reserve, folder)?;
        recovery::check_first(folder, &log)?;
        // The data of a killed process may not be on the disk yet.
        let end = recovery::sync_end(folder, reserve)?;
        synced.note(end).map_err(StorageError::at("write", folder))?;

        let shared = Arc::new(WalShared::new(folder, reserve, log, synced));
        let (queue, arrivals) = mpsc::channel();
        let thread = writer::start(arrivals, Arc::clone(&shared))
            .map_err(StorageError::at("start the writer of", folder))?;
        let front = Mutex::new(WalFront { queue, sent: 0 });
        Ok(Self { front, shared, thread: Mutex::new(Some(thread)) })
    }

    fn send(&self, op: Op, done: Option<(Done, usize)>) {
        let mut front = self.front.lock();
        let ack = done.map(|(done, bytes)| self.shared.await_durable(done, bytes));
        front.sent += 1;
        let refused = front.queue.send(SentCall { op, ack });
        drop(front);
        // The writer has ended. Dropping the message calls `done` with an error.
        drop(refused);
    }

    /// Waits until the writer has processed all calls made so far.
    fn settle(&self) {
        let sent = self.front.lock().sent;
        self.shared.wait_taken(sent);
    }
}

fn settings(folder: &Path, chunk_max_bytes: usize) -> Result<raft_log::Config, StorageError> {
    let text = folder.to_str().ok_or_else(|| {
        let why = "the path is not UTF-8";
        StorageError::new("open", folder, io::Error::new(io::ErrorKind::InvalidInput, why))
    })?;
    let mut config = raft_log::Config::new(text);
    config.wal.chunk_max_size = Some(chunk_max_bytes);
    config.wal.chunk_max_records = Some(CHUNK_MAX_RECORDS);
    config.wal.read_buffer_size = Some(REPLAY_BUFFER_BYTES);
    config.wal.flush_batch_wait = Some(Duration::ZERO);
    // raft-log reads entries of the file that it is writing only from this cache. If the cache were
    // smaller than that file, some entries would be evicted after a truncation.
    config.log_cache_capacity = Some(chunk_max_bytes);
    config.log_cache_max_items = Some(CHUNK_MAX_RECORDS);
    Ok(config)
}

impl LogStore for WalLog {
    fn state(&self) -> LogState {
        self.settle();
        self.shared.state()
    }

    fn save_vote(&self, vote: Bytes, done: Done) {
        let bytes = vote.len();
        self.send(Op::Vote(vote), Some((done, bytes)));
    }

    fn append(&self, entries: Vec<(LogPos, Bytes)>, done: Done) {
        let bytes = entries.iter().map(|(_, data)| data.len()).sum();
        self.send(Op::Append(entries), Some((done, bytes)));
    }

    fn truncate_from(&self, index: u64) {
        self.send(Op::Truncate(index), None);
    }

    fn purge_to(&self, pos: LogPos) {
        self.send(Op::Purge(pos), None);
    }

    fn save_committed(&self, pos: LogPos) {
        self.send(Op::Committed(pos), None);
    }

    fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<(LogPos, Bytes)>> {
        self.settle();
        let mut found: Vec<(LogPos, Bytes)> = Vec::new();
        let (mut next, mut bytes, mut cuts_at_start) = (from, 0, None);
        while next < to {
            let guard = self.shared.log.read();
            let log = guard.as_ref().ok_or_else(|| self.shared.error())?;
            // If the log is truncated between two slices, the slices read so far are a complete
            // prefix of the log at the time of the call. Later ones would belong to another
            // history.
            let cuts = self.shared.cuts.load(Ordering::Relaxed);
            if *cuts_at_start.get_or_insert(cuts) != cuts {
                break;
            }
            let slice_end = bytes + READ_SLICE_BYTES;
            let mut complete = true;
            for entry in log.read(next, to) {
                let (pos, Blob(data)) = entry?;
                if !found.is_empty() && bytes + data.len() > max_bytes {
                    return Ok(found);
                }
                bytes += data.len();
                next = pos.index + 1;
                found.push((pos, data));
                if bytes >= slice_end {
                    complete = false;
                    break;
                }
            }
            if complete {
                break;
            }
        }
        Ok(found)
    }

    fn synced(&self) -> Option<LogPos> {
        self.shared.synced_entry()
    }

    fn place(&self) -> PathBuf {
        self.shared.folder.clone()
    }

    fn fsyncs(&self) -> u64 {
        self.shared.flushes.load(Ordering::Relaxed)
    }

    fn oldest_unflushed(&self) -> Option<Duration> {
        self.shared.oldest_waiting()
    }

    fn close(&self) {
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            self.send(Op::Close, None);
            // The writer catches its own panics, so the result of the join has no information.
            let _ = thread.join();
        }
    }
}

impl Drop for WalLog {
    fn drop(&mut self) {
        self.close();
    }
}
