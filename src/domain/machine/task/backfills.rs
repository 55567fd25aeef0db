//! What is known of the backfills of a task: one record for each range.

use serde::{Deserialize, Serialize};

use super::execution::Status;
use crate::domain::ids::{ExecutionId, Revision, TaskKey};
use crate::domain::machine::store::register::RegisterKey;
use crate::domain::time::Timestamp;

/// Bytes of a written key: three numbers.
const KEY_BYTES: usize = 24;

/// Identifies a range of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackfillKey {
    /// The task.
    pub task: TaskKey,
    /// The first instant of the range.
    pub from: Timestamp,
    /// The end of the range, which is not part of it.
    pub to: Timestamp,
}

/// The numbers are big-endian; the sign bit of an instant is flipped, so rows sort as keys do.
impl RegisterKey for BackfillKey {
    fn write(&self, row: &mut Vec<u8>) {
        row.extend_from_slice(&self.task.0.to_be_bytes());
        for at in [self.from, self.to] {
            row.extend_from_slice(&(at.0 ^ i64::MIN).to_be_bytes());
        }
    }

    fn read(row: &[u8]) -> Option<Self> {
        let row: [u8; KEY_BYTES] = row.try_into().ok()?;
        let (task, range) = row.split_first_chunk::<8>()?;
        let (from, to) = range.split_first_chunk::<8>()?;
        let at = |bytes: &[u8; 8]| Timestamp(i64::from_be_bytes(*bytes) ^ i64::MIN);
        let task = TaskKey(u64::from_be_bytes(*task));
        Some(Self { task, from: at(from), to: at(to.first_chunk()?) })
    }
}

/// How far a range is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillRecord {
    /// Of this incarnation of the task; another one begins the range again.
    pub incarnation: Revision,
    /// The definition that the remaining ticks were counted with.
    pub definition: Revision,
    /// The calendars that they were counted with.
    pub calendars: Revision,
    /// When it began.
    pub begun_at: Timestamp,
    /// When an execution of it was created or ended last.
    pub changed_at: Timestamp,
    /// Every tick of the range up to here has its execution.
    pub cursor: Timestamp,
    /// Ticks of the range after the cursor that get executions; 0: the range is complete, and the
    /// cursor is its end, or it was cancelled.
    pub remaining: u64,
    /// Executions that were created.
    pub created: u64,
    /// Those of them that have not ended.
    pub live: Vec<ExecutionId>,
    /// How the others ended.
    pub ended: BackfillEnds,
}

/// How executions of a range ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillEnds {
    /// Ended well.
    pub success: u64,
    /// Ended in a known failure.
    pub failed: u64,
    /// Ended at their timeout.
    pub timeout: u64,
    /// Ended by request.
    pub cancelled: u64,
    /// Ended with unknown outcome.
    pub lost: u64,
}

impl BackfillEnds {
    /// Counts the end of an execution.
    pub const fn count(&mut self, status: Status) {
        match status {
            Status::Pending | Status::Running => {}
            Status::Success => self.success += 1,
            Status::Failed => self.failed += 1,
            Status::Timeout => self.timeout += 1,
            Status::Cancelled => self.cancelled += 1,
            Status::Lost => self.lost += 1,
        }
    }

    /// All of them.
    #[must_use]
    pub const fn all(&self) -> u64 {
        let Self { success, failed, timeout, cancelled, lost } = *self;
        success + failed + timeout + cancelled + lost
    }
}

impl BackfillRecord {
    /// A range of which no tick has an execution.
    #[must_use]
    pub const fn begun(incarnation: Revision, from: Timestamp, at: Timestamp) -> Self {
        Self {
            incarnation,
            definition: Revision(0),
            calendars: Revision(0),
            begun_at: at,
            changed_at: at,
            cursor: Self::before(from),
            remaining: u64::MAX,
            created: 0,
            live: Vec::new(),
            ended: BackfillEnds { success: 0, failed: 0, timeout: 0, cancelled: 0, lost: 0 },
        }
    }

    /// The cursor of a range that begins at an instant.
    #[must_use]
    pub const fn before(from: Timestamp) -> Timestamp {
        Timestamp(from.0.saturating_sub(1))
    }

    /// Whether no further tick of the range gets an execution: each has one, or the rest was
    /// cancelled.
    #[must_use]
    pub const fn closed(&self) -> bool {
        self.remaining == 0
    }

    /// Whether it was cancelled before each tick of the range had its execution.
    #[must_use]
    pub fn cancelled(&self, key: &BackfillKey) -> bool {
        self.closed() && self.cursor < key.to
    }

    /// Whether nothing comes of the range any more, and its executions have ended.
    #[must_use]
    pub const fn over(&self) -> bool {
        self.closed() && self.live.is_empty()
    }
}
