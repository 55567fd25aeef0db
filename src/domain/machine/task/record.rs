//! The records that make up the replicated state. Each is hashed into the digest and written to
//! the checkpoint on its own, so that a claim rewrites only small ones.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ExecutionId, NodeId, Revision, TaskKey};
use crate::domain::task::{Strategy, TaskSpec};
use crate::domain::time::Timestamp;

pub use super::backfills::{BackfillKey, BackfillRecord};
pub use super::execution::{
    Attempt, AttemptExecutor, ChainRefusal, ChainedTask, Execution, More, ParentExecution, Report,
    Status, Trigger,
};
pub use super::files::{FilesRecord, TaskSource};
pub use super::histogram::LogHistogram;
pub use super::node::{
    AUTOMATIC_LABELS, Intent, JoiningNode, Liveness, MemberRecord, NodeInfo, NodeOverrides,
    NodeRecord,
};
pub use super::statistics::{ClusterStatistics, Statistics, TaskStatistics};
pub use super::totals::{DayCounts, PastDay, Streaks, Totals, Verdict};
use crate::domain::machine::limits::{KEY_AGE, REASON_BYTES};
use crate::domain::machine::store::digest;

/// One revision of a task's definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// The command that set it.
    pub revision: Revision,
    /// Its stamp.
    pub at: Timestamp,
    /// Who sent it.
    pub by: String,
    /// What it says.
    pub spec: TaskSpec,
}

/// What is known of a task beside its definitions and its past, and what claims leave alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRecord {
    /// The task's name.
    pub name: Arc<str>,
    /// The command that last changed the task; settles do not.
    pub revision: Revision,
    /// The revision that created it.
    pub incarnation: Revision,
    /// Stamp of that.
    pub created_at: Timestamp,
    /// Stamp of `revision`.
    pub updated_at: Timestamp,
    /// The revision whose definition is in force; none for a bare tombstone.
    pub definition: Option<Revision>,
    /// Stamp of the command that set the present schedule: where intervals and delays begin.
    pub scheduled_at: Timestamp,
    /// Set while paused.
    pub paused: Option<Pause>,
    /// Set while marked deleted.
    pub deleted: Option<Tombstone>,
    /// Set while cancelled: its ticks after this instant are held by that.
    pub cancelled: Option<Timestamp>,
    /// Its dispatches to executors; none: there were none.
    pub dispatched: Option<Box<Dispatched>>,
}

/// What the choice of the next executor of a task needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispatched {
    /// The executor that was chosen last.
    pub last: Arc<str>,
    /// How many times one was chosen.
    pub count: u64,
}

/// How far a task is: the part that claims and ends rewrite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// Up to here every tick has a verdict.
    pub cursor: Timestamp,
    /// What history is kept of begins here.
    pub truncated_before: Timestamp,
    /// Executions that have not ended.
    pub live: u32,
    /// How the last execution ended.
    pub last: Option<Status>,
    /// When an execution last ended in success, however much history was dropped since.
    pub last_success: Option<Timestamp>,
    /// No tick is left in the schedule.
    pub exhausted: bool,
    /// Verdicts and ends since the incarnation began.
    pub totals: Totals,
}

impl TaskProgress {
    pub(in crate::domain::machine) fn hash(&self, task: TaskKey) -> u128 {
        let last = self.last.map_or(0, |last| 1 + last as u64);
        let flags = u64::from(self.last_success.is_some()) << 1 | u64::from(self.exhausted);
        let [
            fired,
            skipped,
            missed,
            coalesced,
            uncounted,
            success,
            failed,
            timeout,
            cancelled,
            lost,
        ] = self.totals.numbers();
        let numbers = [
            task.0,
            self.cursor.0.cast_unsigned(),
            self.truncated_before.0.cast_unsigned(),
            u64::from(self.live) << 16 | last << 8 | flags,
            self.last_success.map_or(0, |at| at.0.cast_unsigned()),
            fired,
            skipped,
            missed,
            coalesced,
            uncounted,
            success,
            failed,
            timeout,
            cancelled,
            lost,
        ];
        digest::numbers(b'p', numbers)
    }
}

/// Why and until when a task is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// For people.
    pub reason: String,
    /// It ends by itself at this instant.
    pub until: Option<Timestamp>,
}

/// The deleted mark of a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// When it was set.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
}

/// Why a tick did not fire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// An execution of the task had not ended.
    Overlap,
    /// Too many were waiting.
    QueueFull,
    /// Too many were live.
    MaxLive,
    /// The task was paused.
    Paused,
    /// Its definition says so.
    Disabled,
    /// The task was cancelled.
    Cancelled,
    /// The task was marked deleted.
    Deleted,
    /// A calendar leaves it out.
    Excluded,
    /// The scheduler was stopped.
    Stopped,
    /// Older than the catch-up window.
    Window,
    /// Beyond the catch-up maximum.
    Max,
    /// The cluster had no majority.
    NoMajority,
    /// No node could own the task.
    NoNode,
    /// The definition changed before it was settled.
    Edited,
    /// A later tick stands for it.
    Later,
}

/// A stretch `(from, to]` whose ticks share a verdict other than fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Exclusive.
    pub from: Timestamp,
    /// Inclusive.
    pub to: Timestamp,
    /// Never `Fired`.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// How many ticks lie in it; none: to be computed when read.
    pub count: Option<u64>,
    /// The definition they are ticks of.
    pub revision: Option<Revision>,
    /// Log index of the entry that closed it.
    pub index: u64,
}

/// A tick that fired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FiredTick {
    /// What was settled before it, exclusive.
    pub from: Timestamp,
    /// The tick.
    pub tick: Timestamp,
    /// Its execution.
    pub execution: ExecutionId,
    /// Log index of the claim.
    pub index: u64,
    /// How its execution ended, which outlives the execution; none: it has not.
    pub ended: Option<ExecutionEnd>,
}

/// How the execution of a tick ended, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionEnd {
    /// An ended status.
    pub status: Status,
    /// Of the process or the answer.
    pub code: Code,
    /// Raft id of the node that the last attempt was granted to, which fits; 0: there was none.
    pub node: u32,
    /// Why it was no success, at most [`limits::REASON_BYTES`](crate::domain::machine::limits::REASON_BYTES).
    pub reason: Option<Box<str>>,
}

/// The number that an attempt ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    /// It had none.
    None,
    /// Exit code of a process.
    Exit(i32),
    /// Status of an HTTP answer.
    Http(u16),
}

impl ExecutionEnd {
    /// What a report says in short; of what ended while it waited there is no attempt.
    pub(in crate::domain::machine) fn of(report: &Report, node: Option<NodeId>) -> Self {
        let code = match (report.exit_code, report.http_status) {
            (Some(code), _) => Code::Exit(code),
            (None, Some(status)) => Code::Http(status),
            (None, None) => Code::None,
        };
        let told = report.status != Status::Success && !report.detail.is_empty();
        let reason = told.then(|| {
            let mut reason = report.detail.clone();
            cut(&mut reason, REASON_BYTES);
            reason.into()
        });
        let node = node.map_or(0, |node| u32::try_from(node.0).unwrap_or(0));
        Self { status: report.status, code, node, reason }
    }

    /// The node that the last attempt was granted to.
    #[must_use]
    pub fn node(&self) -> Option<NodeId> {
        (self.node != 0).then_some(NodeId(self.node.into()))
    }

    fn numbers(&self) -> [u64; 4] {
        let Self { status, code, node, reason } = self;
        let (kind, code) = match code {
            Code::None => (1, 0),
            Code::Exit(code) => (2, code.cast_unsigned()),
            Code::Http(status) => (3, u32::from(*status)),
        };
        let [high, low] = reason.as_ref().map_or([0; 2], |text| digest::bytes(text.as_bytes()));
        let first = u64::from(code) << 32 | u64::from(*status as u8) << 8 | kind;
        [first, u64::from(*node), high, low]
    }
}

impl FiredTick {
    pub(in crate::domain::machine) fn hash(&self, task: TaskKey) -> u128 {
        let Self { from, tick, execution, index, ended } = self;
        let (from, tick) = (from.0.cast_unsigned(), tick.0.cast_unsigned());
        let [code, node, high, low] = ended.as_ref().map_or([0; 4], ExecutionEnd::numbers);
        digest::numbers(b't', [task.0, tick, from, execution.0, *index, code, node, high, low])
    }
}

/// The answer once given under an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Value of the counter when it was stored.
    pub number: u64,
    /// Stamp of the command.
    pub at: Timestamp,
    /// Hash of the request's route and body.
    pub request: u128,
    /// The answer.
    pub response: crate::domain::machine::response::Response,
}

impl KeyRecord {
    /// Whether it is too old to stand for a repeat, as seen at this stamp.
    #[must_use]
    pub fn older(&self, stamp: Timestamp) -> bool {
        stamp.since(self.at) > KEY_AGE
    }
}

/// What there is once in a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Minted at initialisation.
    pub id: u128,
    /// From the configuration.
    pub name: String,
    /// Zone of schedules that name none.
    pub timezone: String,
    /// Whether ticks are claimed.
    pub scheduler: bool,
    /// No tick up to here is claimed any more.
    pub floor: Timestamp,
    /// Strategy of tasks that name none.
    pub strategy: Strategy,
    /// Steps with every command and event.
    pub counter: u64,
    /// Of the last stamped entry.
    pub stamp: Timestamp,
    /// Index of the last applied entry.
    pub applied: u64,
    /// The key of callback addresses, minted at initialisation. No interface shows it.
    pub callback_key: u128,
}

/// Shortens text to at most `max` bytes at a character.
pub(in crate::domain::machine) fn cut(text: &mut String, max: usize) {
    if text.len() > max {
        let mut end = max;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
    }
}
