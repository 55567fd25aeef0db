//! What an applied command means for the engine. Hints are not the truth: whoever loses one finds the
//! same work in the state.

use crate::domain::ids::{ExecutionId, Fence, NodeId, SessionId, TaskKey};

use super::task::record::{Reason, Status, Verdict};

/// One hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// Definition, activity or existence of a task changed.
    Task(TaskKey),
    /// Its cursor moved.
    Settled(TaskKey),
    /// A verdict was given; for counting.
    Verdict(Verdict, Option<Reason>, u64),
    /// An execution waits to be granted.
    Pending(TaskKey, ExecutionId),
    /// An attempt ended and another attempt follows.
    AttemptEnded(TaskKey, ExecutionId),
    /// An attempt was granted to a session.
    Granted {
        /// Of this task.
        task: TaskKey,
        /// This execution.
        execution: ExecutionId,
        /// This grant.
        fence: Fence,
        /// To this session.
        session: SessionId,
    },
    /// The lines of a task changed: others may start now.
    Line(TaskKey),
    /// A stop was asked for.
    Stop(TaskKey, ExecutionId),
    /// An execution ended.
    Ended(TaskKey, ExecutionId, Status),
    /// The executor of an attempt accepted it.
    Accepted(TaskKey, ExecutionId),
    /// A node's record changed.
    Node(NodeId),
    /// The record of an executor changed.
    Executors,
    /// The scheduler was started or stopped.
    Scheduler,
    /// Tasks that name no strategy are given to nodes by another one.
    Strategy,
}

impl Hint {
    /// The task that it is about.
    #[must_use]
    pub const fn task(&self) -> Option<TaskKey> {
        match self {
            Self::Task(task)
            | Self::Settled(task)
            | Self::Line(task)
            | Self::Pending(task, _)
            | Self::AttemptEnded(task, _)
            | Self::Granted { task, .. }
            | Self::Stop(task, _)
            | Self::Accepted(task, _)
            | Self::Ended(task, ..) => Some(*task),
            Self::Verdict(..)
            | Self::Node(_)
            | Self::Executors
            | Self::Scheduler
            | Self::Strategy => None,
        }
    }
}
