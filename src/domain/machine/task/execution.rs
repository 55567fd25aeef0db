//! One claimed tick or one trigger being carried out: its record, its attempts, their reports.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ExecutionId, Fence, NodeId, Revision, SessionId, TaskKey};
use crate::domain::time::Timestamp;

use crate::domain::machine::store::digest;
use crate::domain::task::ChainCondition;

/// Where an execution came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// An on-time tick.
    Schedule,
    /// A late tick.
    CatchUp,
    /// A request.
    Manual,
    /// A retry by hand.
    Retry,
    /// A caller's claim.
    Claim,
    /// The end of another execution.
    Chain,
    /// A tick of a past range, by request.
    Backfill,
}

/// How far an execution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Status {
    /// Not granted.
    Pending,
    /// Granted.
    Running,
    /// Ended well.
    Success,
    /// Ended in a known failure.
    Failed,
    /// Ended at its timeout.
    Timeout,
    /// Ended by request.
    Cancelled,
    /// Ended with unknown outcome.
    Lost,
}

impl Status {
    /// Whether it never changes again.
    #[must_use]
    pub const fn ended(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Whether it is an end that nobody asked for and that is no success.
    #[must_use]
    pub const fn failure(self) -> bool {
        matches!(self, Self::Failed | Self::Timeout | Self::Lost)
    }

    /// How every interface names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

/// One claimed tick, or one trigger, being carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// Its number.
    pub id: ExecutionId,
    /// Of which incarnation of the task.
    pub incarnation: Revision,
    /// The definition it keeps for all attempts.
    pub revision: Revision,
    /// Its tick; none for triggers.
    pub tick: Option<Timestamp>,
    /// When its first attempt may start.
    pub due: Timestamp,
    /// Stamp of the command that created it.
    pub created_at: Timestamp,
    /// Where it came from.
    pub trigger: Trigger,
    /// How far it is.
    pub status: Status,
    /// A stop was asked for.
    pub stopping: bool,
    /// The newest attempt.
    pub attempt: Option<Attempt>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Log index of the command that created it.
    pub index: u64,
    /// What few executions have.
    pub more: Option<Box<More>>,
}

/// What few executions have, so that it is kept apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct More {
    /// The execution it repeats.
    pub retry_of: Option<ExecutionId>,
    /// Attempts before the newest, at most
    /// [`limits::EARLIER_MAX`](crate::domain::machine::limits::EARLIER_MAX) of them.
    pub earlier: Vec<Attempt>,
    /// Why it ended while it waited: then no attempt tells.
    pub reason: Option<Arc<str>>,
    /// Parameters merged over the task's; none: the task's.
    pub parameters: Option<Arc<str>>,
    /// Someone has seen to its failure.
    pub dismissed: bool,
    /// The execution whose end created it.
    pub parent: Option<Arc<ParentExecution>>,
    /// What its end started, or did not.
    pub chained: Vec<ChainedTask>,
    /// When the first attempt started, if another one follows it.
    pub first_start: Option<Timestamp>,
    /// When the attempt after the last one that ended may start; none: there was none.
    pub next_at: Option<Timestamp>,
    /// Attempts that followed unknown outcomes.
    pub redeliveries: u32,
}

/// The execution whose end created another one, as that one keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentExecution {
    /// The name of its task.
    pub task: Arc<str>,
    /// Its number.
    pub execution: ExecutionId,
    /// How many ends led here: 1 for the first execution that a chain creates.
    pub depth: u32,
    /// How it ended.
    pub status: Status,
    /// Of its process.
    pub exit_code: Option<i32>,
    /// Of its answer.
    pub http_status: Option<u16>,
    /// Why it ended so, where there is more to say than that.
    pub reason: String,
    /// The end of its output.
    pub tail: Vec<u8>,
}

/// A task that the end of an execution was to start, and what came of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainedTask {
    /// What the definition names it for.
    pub condition: ChainCondition,
    /// Its name.
    pub task: Arc<str>,
    /// The execution that was created, or why there is none.
    pub outcome: Result<ExecutionId, ChainRefusal>,
}

/// Why the end of an execution did not start a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChainRefusal {
    /// There is no task of that name.
    Missing,
    /// It is marked deleted.
    Deleted,
    /// It is paused.
    Paused,
    /// It is cancelled.
    Cancelled,
    /// The chain is too long.
    Depth,
    /// One of its executions has not ended, and its mode is `skip`.
    Overlap,
    /// Its queue is full.
    QueueFull,
    /// It has too many live executions.
    MaxLive,
}

impl ChainRefusal {
    /// How every interface names it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Missing => "task_not_found",
            Self::Deleted => "task_deleted",
            Self::Paused => "task_paused",
            Self::Cancelled => "task_cancelled",
            Self::Depth => "chain_too_long",
            Self::Overlap => "overlap",
            Self::QueueFull => "queue_full",
            Self::MaxLive => "max_live",
        }
    }
}

impl Execution {
    /// What few executions have, to be changed.
    pub(in crate::domain::machine) fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// The execution it repeats.
    #[must_use]
    pub fn retry_of(&self) -> Option<ExecutionId> {
        self.more.as_ref()?.retry_of
    }

    /// All attempts, oldest first.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.more.iter().flat_map(|more| &more.earlier).chain(&self.attempt)
    }

    /// Why it ended while it waited.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.more.as_ref()?.reason.as_deref()
    }

    /// Whether someone has seen to its failure.
    #[must_use]
    pub fn dismissed(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.dismissed)
    }

    /// Parameters merged over the task's; none: the task's.
    #[must_use]
    pub fn parameters(&self) -> Option<&Arc<str>> {
        self.more.as_ref()?.parameters.as_ref()
    }

    pub(in crate::domain::machine) fn hash(&self, task: TaskKey) -> u128 {
        let at = |at: Option<Timestamp>| at.map_or(0, |at| at.0.cast_unsigned());
        let attempt = self.attempt.as_ref();
        let flags = [
            self.trigger as u8,
            self.status as u8,
            u8::from(self.stopping),
            u8::from(self.tick.is_some()),
            u8::from(self.ended_at.is_some()),
            u8::from(attempt.is_some()),
            0,
            0,
        ];
        let of_attempt = attempt.map_or([0; 5], |attempt| {
            let Attempt { number, fence, node, session, granted_at, .. } = attempt;
            let granted_at = granted_at.0.cast_unsigned();
            [u64::from(*number), fence.0, node.0, session.0, granted_at]
        });
        let report = attempt.and_then(|attempt| attempt.report.as_ref());
        let [report_high, report_low] = report.map_or([0; 2], |report| report.hash());
        let executor = attempt.and_then(|attempt| attempt.executor.as_ref());
        let [executor_high, executor_low] = executor.map_or([0; 2], digest::of);
        let [more_high, more_low] = self.more.as_ref().map_or([0; 2], digest::of);
        let [number, fence, node, session, granted_at] = of_attempt;
        let numbers = [
            task.0,
            self.id.0,
            u64::from_le_bytes(flags),
            self.incarnation.0,
            self.revision.0,
            at(self.tick),
            self.due.0.cast_unsigned(),
            self.created_at.0.cast_unsigned(),
            at(self.ended_at),
            self.index,
            number,
            fence,
            node,
            session,
            granted_at,
            report_high,
            report_low,
            more_high,
            more_low,
            executor_high,
            executor_low,
        ];
        digest::numbers(b'e', numbers)
    }
}

/// One attempt at an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// Its fencing token.
    pub fence: Fence,
    /// Where it runs.
    pub node: NodeId,
    /// In which session of that node.
    pub session: SessionId,
    /// Stamp of the grant.
    pub granted_at: Timestamp,
    /// How it ended.
    pub report: Option<Box<Report>>,
    /// The executor that carries it out; none: its node does.
    pub executor: Option<Arc<AttemptExecutor>>,
}

/// The executor of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptExecutor {
    /// Its id.
    pub id: Arc<str>,
    /// Stamp of the command by which it accepted; from then on the attempt belongs to no session.
    pub accepted_at: Option<Timestamp>,
}

impl Attempt {
    /// When its executor accepted it; none: it has none, or has not.
    #[must_use]
    pub fn accepted_at(&self) -> Option<Timestamp> {
        self.executor.as_ref()?.accepted_at
    }
}

impl Report {
    /// Two numbers that stand for it. Every execution ends with one, so nothing is encoded for it.
    fn hash(&self) -> [u64; 2] {
        let Self { status, unknown, started_at, ended_at, exit_code, http_status, detail, tail } =
            self;
        let flags = [
            *status as u8,
            u8::from(started_at.is_some()),
            u8::from(exit_code.is_some()),
            u8::from(http_status.is_some()),
            u8::from(*unknown),
            0,
            0,
            0,
        ];
        let [detail_high, detail_low] = digest::bytes(detail.as_bytes());
        let [tail_high, tail_low] = digest::bytes(tail);
        digest::halves(digest::numbers(
            b'r',
            [
                u64::from_le_bytes(flags),
                started_at.map_or(0, |at| at.0.cast_unsigned()),
                ended_at.0.cast_unsigned(),
                u64::from(exit_code.map_or(0, i32::cast_unsigned)),
                u64::from(http_status.unwrap_or(0)),
                detail_high,
                detail_low,
                tail_high,
                tail_low,
            ],
        ))
    }
}

/// What a node says of an attempt that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// An ended status.
    pub status: Status,
    /// Whether the action may have taken effect, or go on doing so, beyond what is told here.
    pub unknown: bool,
    /// When it started; none: it did not.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Of the process.
    pub exit_code: Option<i32>,
    /// Of the answer.
    pub http_status: Option<u16>,
    /// A sentence for people, or a reason word of the contract.
    pub detail: String,
    /// The end of its output, at most [`limits::TAIL_BYTES`](crate::domain::machine::limits::TAIL_BYTES).
    pub tail: Vec<u8>,
}
