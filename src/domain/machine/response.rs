//! What a command answers. Refusals are values like any other: the same on every node.

use serde::{Deserialize, Serialize};

use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{ExecutionId, Fence, Revision, SessionId, TaskKey};
use crate::domain::time::Timestamp;

/// The answer to one command.
pub type Response = Result<Answer, Refusal>;

/// What an accepted command did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing to tell, or nothing to do.
    Done,
    /// A task was created or changed.
    Task {
        /// Its record.
        task: TaskKey,
        /// Its revision now.
        revision: Revision,
        /// Whether the name was free before.
        created: bool,
    },
    /// An execution was created or granted.
    Execution {
        /// Of this task.
        task: TaskKey,
        /// Its number.
        execution: ExecutionId,
        /// The grant, where it was granted.
        fence: Option<Fence>,
    },
    /// Executions that were still running when the command was applied.
    Running(Vec<ExecutionId>),
    /// A node's registration.
    Session(SessionId),
    /// A claim made no execution: its tick was skipped, since a request would be refused so.
    NotFired(Refusal),
    /// A calendar was made or changed.
    Calendar {
        /// Its revision now.
        revision: Revision,
        /// Whether the name was free before.
        created: bool,
    },
    /// A part of a cleanup of all tasks is done.
    Swept {
        /// What came later stays.
        upto: Revision,
        /// The slot to go on from; none: it is all done.
        next: Option<u32>,
    },
    /// A task was resumed whose one tick had come while it was cancelled.
    Resumed {
        /// Its record.
        task: TaskKey,
        /// Its revision now.
        revision: Revision,
        /// The execution that makes up for the tick.
        execution: ExecutionId,
    },
    /// An executor registered, or renewed its registration.
    Executor {
        /// Its revision now.
        revision: Revision,
        /// Whether the id was free before.
        created: bool,
    },
    /// Ticks of a past range have their executions.
    Backfilled {
        /// Of this task.
        task: TaskKey,
        /// Their numbers, in the order of the ticks.
        executions: Vec<ExecutionId>,
    },
}

impl Answer {
    /// The revision that the command made, or left as it was.
    #[must_use]
    pub const fn revision(&self) -> Option<Revision> {
        match self {
            Self::Task { revision, .. }
            | Self::Calendar { revision, .. }
            | Self::Executor { revision, .. }
            | Self::Resumed { revision, .. } => Some(*revision),
            _ => None,
        }
    }
}

/// Why a command changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The name is taken.
    TaskExists,
    /// The name carries the deleted mark.
    TaskDeleted,
    /// No such task.
    TaskNotFound,
    /// The caller saw another revision.
    RevisionMismatch {
        /// The present one.
        current: Revision,
    },
    /// The idempotency key stands for another request.
    KeyReused,
    /// No such execution of this task.
    ExecutionNotFound,
    /// It ended before.
    ExecutionEnded,
    /// It was granted before.
    NotPending,
    /// Another grant is newer.
    StaleFence,
    /// A pause or the stopped scheduler holds it.
    Held,
    /// Too many live executions.
    MaxLive,
    /// An execution of the task has not ended.
    Overlap,
    /// Too many executions of the task wait.
    QueueFull,
    /// A line of the task is full.
    NoRoom,
    /// The session ended, or its node may not propose.
    Session,
    /// The cursor stands elsewhere.
    Cursor {
        /// Here.
        at: Timestamp,
    },
    /// Spans and claim do not rise.
    Order,
    /// Too far ahead of the stamp.
    Ahead,
    /// The task or the scheduler is not active.
    Inactive,
    /// No such node.
    NodeNotFound,
    /// The node's liveness does not allow it, or it is too early.
    NotDue,
    /// The cluster has a name and an id already.
    Initialised,
    /// Another cluster was meant.
    ClusterName,
    /// A limit of the state is reached.
    Full,
    /// No such calendar.
    CalendarNotFound,
    /// Tasks leave it out.
    CalendarInUse,
    /// No node would have a weight.
    AllWeightsZero,
    /// The task is cancelled.
    TaskCancelled,
    /// No such executor.
    ExecutorNotFound,
    /// An executor of that id is online at another address.
    ExecutorOnline,
    /// The executor is not online, or has as many executions as it takes.
    ExecutorUnavailable,
    /// An executor has to be named for what executors carry out, and for nothing else.
    WrongAction,
    /// The node is on its way out.
    NodeLeaving,
    /// The node was removed from the cluster.
    NodeGone,
    /// Another member is being added or removed.
    MembersChanging,
    /// No such range of this task.
    BackfillNotFound,
}

impl Refusal {
    /// Whether the proposer saw an older state, and may look and propose again. It changed nothing
    /// and will not be accepted as it is, so repeating it is safe.
    #[must_use]
    pub const fn outdated(&self) -> bool {
        matches!(self, Self::RevisionMismatch { .. } | Self::Cursor { .. } | Self::Session)
    }

    /// Whether executions that live are in the way: when they have ended, the same is accepted.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::NoRoom | Self::Overlap | Self::QueueFull | Self::MaxLive)
    }

    /// The stable code of interfaces, logs and metrics.
    #[must_use]
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::TaskExists => ErrorCode::TaskExists,
            Self::TaskDeleted => ErrorCode::TaskDeleted,
            Self::TaskNotFound => ErrorCode::TaskNotFound,
            Self::RevisionMismatch { .. } => ErrorCode::RevisionMismatch,
            Self::KeyReused => ErrorCode::IdempotencyKeyReused,
            Self::ExecutionNotFound => ErrorCode::ExecutionNotFound,
            Self::ExecutionEnded => ErrorCode::ExecutionEnded,
            Self::NotPending => ErrorCode::NotPending,
            Self::StaleFence => ErrorCode::StaleFence,
            Self::Held => ErrorCode::Held,
            Self::MaxLive => ErrorCode::MaxLive,
            Self::Overlap => ErrorCode::Overlap,
            Self::QueueFull => ErrorCode::QueueFull,
            Self::NoRoom => ErrorCode::NoRoom,
            Self::Session => ErrorCode::SessionEnded,
            Self::Cursor { .. } => ErrorCode::Settled,
            Self::Order => ErrorCode::Order,
            Self::Ahead => ErrorCode::AheadOfTime,
            Self::Inactive => ErrorCode::Inactive,
            Self::NodeNotFound => ErrorCode::NodeNotFound,
            Self::NotDue => ErrorCode::NotDue,
            Self::Initialised => ErrorCode::Initialised,
            Self::ClusterName => ErrorCode::WrongClusterName,
            Self::Full => ErrorCode::LimitReached,
            Self::CalendarNotFound => ErrorCode::CalendarNotFound,
            Self::CalendarInUse => ErrorCode::CalendarInUse,
            Self::AllWeightsZero => ErrorCode::AllWeights0,
            Self::TaskCancelled => ErrorCode::TaskCancelled,
            Self::ExecutorNotFound => ErrorCode::ExecutorNotFound,
            Self::ExecutorOnline => ErrorCode::ExecutorOnline,
            Self::ExecutorUnavailable => ErrorCode::ExecutorUnavailable,
            Self::WrongAction => ErrorCode::WrongAction,
            Self::NodeLeaving => ErrorCode::NodeLeaving,
            Self::NodeGone => ErrorCode::NodeRemoved,
            Self::MembersChanging => ErrorCode::MembersChanging,
            Self::BackfillNotFound => ErrorCode::BackfillNotFound,
        }
    }
}
