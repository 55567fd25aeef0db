//! openraft's log storage on top of [`LogStore`], with the newest entries decoded in memory.
//!
//! Replication and apply mostly read entries that were just appended; these are in memory. Older
//! entries are read from the log without blocking openraft's core.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, OnceLock};

use futures_util::Stream;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use parking_lot::RwLock;
use tokio::sync::oneshot;

use crate::life;
use crate::storage::{LogPos, LogStore};

use super::start::StartError;
use super::types::{LogEntry, LogId, TypeConfig, Vote, entry_pos, log_id, pos};
use super::wire::{self, Unreadable};

/// Size of the decoded entries kept in memory, in bytes of payload.
const CACHE_BYTES: usize = 64 << 20;
/// Size of the entries in one replication request, in bytes of payload.
const REQUEST_BYTES: usize = 2 << 20;
/// Size of the entries that apply reads in one batch, in bytes of payload.
const STREAM_BYTES: usize = 8 << 20;

/// The log, shared by the core and its readers.
#[derive(Clone)]
pub struct RaftLog {
    shared: Arc<RaftLogInner>,
}

struct RaftLogInner {
    disk: Arc<dyn LogStore>,
    tail: RwLock<LogTail>,
    on_vote: OnceLock<OnVote>,
    refused: OnceLock<String>,
}

/// Called when a vote is durable, before it takes effect.
type OnVote = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

#[derive(Default)]
struct LogTail {
    vote: Option<Vote>,
    committed: Option<LogId>,
    last: Option<LogId>,
    purged: Option<LogId>,
    /// The newest entries, contiguous up to `last`.
    entries: VecDeque<LogEntry>,
    bytes: usize,
}

impl LogTail {
    fn first(&self) -> u64 {
        self.entries.front().map_or(u64::MAX, |entry| entry_pos(entry).index)
    }

    fn push(&mut self, entry: LogEntry, size: usize) {
        self.last = Some(entry.log_id());
        self.bytes += size;
        self.entries.push_back(entry);
        while self.bytes > CACHE_BYTES && self.entries.len() > 1 {
            self.pop_front();
        }
    }

    fn pop_front(&mut self) {
        if let Some(gone) = self.entries.pop_front() {
            self.bytes = self.bytes.saturating_sub(size(&gone));
        }
    }

    fn pop_back(&mut self) {
        if let Some(gone) = self.entries.pop_back() {
            self.bytes = self.bytes.saturating_sub(size(&gone));
        }
    }
}

fn size(entry: &LogEntry) -> usize {
    match &entry.payload {
        openraft::EntryPayload::Normal(payload) => payload.0.len() + 64,
        openraft::EntryPayload::Blank | openraft::EntryPayload::Membership(_) => 64,
    }
}

fn unreadable(error: Unreadable) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the Raft log: {error}"))
}

impl RaftLog {
    /// Opens a log on a disk.
    ///
    /// # Errors
    /// The vote cannot be read.
    pub fn open(disk: Arc<dyn LogStore>) -> Result<Self, StartError> {
        let state = disk.state();
        let vote = state.vote.map(wire::read_vote).transpose().map_err(|error| match error {
            Unreadable::Version { .. } => StartError::Version(format!("the Raft log has {error}")),
            Unreadable::Malformed(_) => StartError::Log(unreadable(error)),
        })?;
        let tail = LogTail {
            vote,
            committed: state.committed.map(log_id),
            last: state.last.map(log_id),
            purged: state.purged.map(log_id),
            ..LogTail::default()
        };
        let (on_vote, refused) = (OnceLock::new(), OnceLock::new());
        let shared = RaftLogInner { disk, tail: RwLock::new(tail), on_vote, refused };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Sets the callback for durable votes. Only the first call has an effect.
    pub fn on_vote(&self, call: impl Fn() -> io::Result<()> + Send + Sync + 'static) {
        let _first_counts = self.shared.on_vote.set(Box::new(call));
    }

    /// Description of the first entry read that another version wrote.
    pub fn refused(&self) -> Option<String> {
        self.shared.refused.get().cloned()
    }

    /// The last vote and the index of the last entry.
    pub fn end(&self) -> (Option<Vote>, Option<u64>) {
        let tail = self.shared.tail.read();
        (tail.vote, tail.last.as_ref().map(LogId::index))
    }

    /// The last entry.
    pub fn last(&self) -> Option<LogId> {
        self.shared.tail.read().last
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        let tail = self.shared.tail.read();
        tail.vote.is_none() && tail.last.is_none()
    }

    /// Entries from `from` to before `to`. If they exceed `max` bytes, a prefix of them with at
    /// least one entry.
    async fn read(&self, from: u64, to: u64, max: usize) -> io::Result<Vec<LogEntry>> {
        let (cold_to, last) = {
            let tail = self.shared.tail.read();
            let end = tail.last.as_ref().map_or(0, |last| last.index() + 1).min(to);
            if from >= end {
                return Ok(Vec::new());
            }
            let first = tail.first();
            if from >= first {
                return Ok(warm(&tail, from, end, max));
            }
            (first.min(end), end)
        };
        let disk = Arc::clone(&self.shared.disk);
        let read = life::blocking(move || disk.read(from, cold_to, max));
        let rows = read.await??;
        let mut entries = Vec::with_capacity(rows.len());
        for (at, bytes) in rows {
            entries.push(wire::read_entry(at, bytes).map_err(|error| {
                if matches!(error, Unreadable::Version { .. }) {
                    let why = format!("log entry {}: {error}", at.index);
                    let _first_counts = self.shared.refused.set(why);
                }
                unreadable(error)
            })?);
        }
        // A log may begin after `from`. Entries that are then not on disk do not exist.
        let next = entries.last().map_or(cold_to, |entry| entry_pos(entry).index + 1);
        let used: usize = entries.iter().map(size).sum();
        if next == cold_to && cold_to < last && used < max {
            let tail = self.shared.tail.read();
            if tail.first() <= next {
                entries.extend(warm(&tail, next, last, max - used));
            }
        }
        Ok(entries)
    }
}

fn warm(tail: &LogTail, from: u64, to: u64, max: usize) -> Vec<LogEntry> {
    let skip = usize::try_from(from.saturating_sub(tail.first())).unwrap_or(usize::MAX);
    let mut used = 0;
    tail.entries
        .iter()
        .skip(skip)
        .take_while(|entry| {
            let fits = used == 0 || used + size(entry) <= max;
            used += size(entry);
            fits && entry_pos(entry).index < to
        })
        .cloned()
        .collect()
}

fn bounds(range: &impl RangeBounds<u64>) -> (u64, u64) {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(from) => from + 1,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(to) => to + 1,
        Bound::Excluded(to) => *to,
        Bound::Unbounded => u64::MAX,
    };
    (from, to)
}

impl RaftLogReader<TypeConfig> for RaftLog {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> io::Result<Vec<LogEntry>> {
        let (mut from, to) = bounds(&range);
        if let Some(purged) = &self.shared.tail.read().purged {
            from = from.max(purged.index() + 1);
        }
        let mut entries = Vec::new();
        loop {
            let more = self.read(from, to, STREAM_BYTES).await?;
            let Some(last) = more.last() else { return Ok(entries) };
            from = entry_pos(last).index + 1;
            entries.extend(more);
        }
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<LogEntry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = bounds(&range);
        let start = (self.clone(), from, VecDeque::<LogEntry>::new());
        Box::pin(futures_util::stream::unfold(Some(start), move |state| async move {
            let (log, mut from, mut ready) = state?;
            if ready.is_empty() {
                match log.read(from, to, STREAM_BYTES).await {
                    Ok(more) => ready = more.into(),
                    Err(error) => return Some((Err(error), None)),
                }
            }
            let entry = ready.pop_front()?;
            from = entry_pos(&entry).index + 1;
            Some((Ok(entry), Some((log, from, ready))))
        }))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<LogEntry>> {
        self.read(start, end, REQUEST_BYTES).await
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(self.shared.tail.read().vote)
    }
}

impl RaftLogStorage<TypeConfig> for RaftLog {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let tail = self.shared.tail.read();
        let last_purged_log_id = tail.purged;
        Ok(LogState { last_purged_log_id, last_log_id: tail.last.or(last_purged_log_id) })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        if bug!("vote-not-persisted") {
            self.shared.tail.write().vote = Some(*vote);
            return Ok(());
        }
        let (done, durable) = oneshot::channel();
        let tell = Box::new(move |result| {
            // Sending fails only if the core has ended.
            let _gone = done.send(result);
        });
        self.shared.disk.save_vote(wire::vote_bytes(vote), tell);
        durable.await.map_err(io::Error::other)??;
        if let Some(on_vote) = self.shared.on_vote.get() {
            on_vote()?;
        }
        self.shared.tail.write().vote = Some(*vote);
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        if let Some(committed) = committed {
            self.shared.disk.save_committed(pos(&committed));
            self.shared.tail.write().committed = Some(committed);
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(self.shared.tail.read().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = LogEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut rows: Vec<(LogPos, bytes::Bytes)> = Vec::new();
        {
            let mut tail = self.shared.tail.write();
            for entry in entries {
                let bytes = wire::payload_bytes(&entry);
                rows.push((entry_pos(&entry), bytes.clone()));
                tail.push(entry, bytes.len() + 64);
            }
        }
        if bug!("acknowledged-before-fsync") {
            self.shared.disk.append(rows, Box::new(drop));
            callback.io_completed(Ok(()));
            return Ok(());
        }
        let tell = Box::new(move |result| callback.io_completed(result));
        self.shared.disk.append(rows, tell);
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        let from = last.map_or(0, |last| last.index() + 1);
        let mut tail = self.shared.tail.write();
        while tail.entries.back().is_some_and(|entry| entry_pos(entry).index >= from) {
            tail.pop_back();
        }
        tail.last = tail.last.min(last);
        self.shared.disk.truncate_from(from);
        Ok(())
    }

    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let mut tail = self.shared.tail.write();
        while tail.entries.front().is_some_and(|entry| entry_pos(entry).index <= upto.index()) {
            tail.pop_front();
        }
        tail.purged = Some(upto);
        if tail.last.is_none_or(|last| last < upto) {
            tail.last = Some(upto);
        }
        self.shared.disk.purge_to(pos(&upto));
        Ok(())
    }
}
