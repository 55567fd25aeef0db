//! The interface of the Raft log: a vote, entries, and two positions.
//!
//! Calls take effect in order, also on the disk: if a vote or a truncation precedes an append, it
//! also precedes it after a crash. Only [`LogStore::save_vote`] and [`LogStore::append`] report
//! their durability; the other calls become durable with the next of these.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;

/// The position of a log entry: the term and the leader that proposed it, and its index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPos {
    /// The leader's term.
    pub term: u64,
    /// The leader's Raft node id.
    pub node: u64,
    /// The entry's index. The first entry of a cluster has index 0.
    pub index: u64,
}

/// The state of a log apart from its entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogState {
    /// The last saved vote, as the caller encoded it.
    pub vote: Option<Bytes>,
    /// The last entry. If there is none after the last purged entry, that entry.
    pub last: Option<LogPos>,
    /// Entries up to this one, inclusive, were removed.
    pub purged: Option<LogPos>,
    /// An entry known to be committed. Later ones may be committed too.
    pub committed: Option<LogPos>,
}

/// Called once, from any thread, when a write is durable or has failed.
///
/// It must return quickly, must not panic and must not call the log it came from.
pub type Done = Box<dyn FnOnce(io::Result<()>) + Send>;

/// A durable, ordered log with a vote.
///
/// No writing call blocks on the disk. Every [`Done`] is called: with an error if the log was
/// closed, its thread ended or an earlier write had failed. After the first failure all later
/// writes fail with the same error.
pub trait LogStore: Send + Sync + 'static {
    /// The state after all calls made so far, durable or not. It may wait for one flush.
    fn state(&self) -> LogState;

    /// Replaces the vote. Calls `done` when it is durable.
    fn save_vote(&self, vote: Bytes, done: Done);

    /// Appends entries with consecutive indexes after the last one. Calls `done` when they are
    /// durable.
    ///
    /// They can be read immediately. An entry that does not follow the last one is a bug of the
    /// caller and fails the log.
    fn append(&self, entries: Vec<(LogPos, Bytes)>, done: Done);

    /// Removes the entry at `index` and all after it. No effect if there is none.
    ///
    /// Truncating a committed entry is a bug of the caller and fails the log.
    fn truncate_from(&self, index: u64);

    /// Removes all entries up to `pos`, inclusive. `pos` may be after the last entry.
    fn purge_to(&self, pos: LogPos);

    /// Records that `pos` is committed. Ignored if it is not higher than before or not in the log.
    fn save_committed(&self, pos: LogPos);

    /// The entries of `from..to` that the log holds, in order and without a gap.
    ///
    /// It stops before the entries exceed `max_bytes`, but returns at least one entry if there is
    /// one. It blocks on the disk.
    ///
    /// # Errors
    /// The log is closed, or an entry cannot be read back.
    fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<(LogPos, Bytes)>>;

    /// The last entry at the time of the last sync. It and all entries before it are durable,
    /// unless they were removed since. If there was no entry after the last purged one, that entry.
    fn synced(&self) -> Option<LogPos>;

    /// The path of the log, for messages.
    fn place(&self) -> PathBuf;

    /// Number of syncs since the log was opened.
    fn fsyncs(&self) -> u64;

    /// The age of the oldest vote or append that is not yet durable.
    fn oldest_unflushed(&self) -> Option<Duration>;

    /// Makes everything durable and closes the log. Later reads and writes fail.
    fn close(&self);
}
