//! What changed, for those who watch: a page, a program, the command line.
//!
//! Each event has an id of its own, a value of the counter. So every replica gives the same ids to the
//! same events, also after a replay and after a snapshot, and a reader who lost its connection goes on
//! after the last one that it got, on any node.
//!
//! An event names what changed and how. The state has the current value. A change that no reader of
//! the state can see makes no event: a command that changes nothing, a cursor that moves, a record that is not kept any more.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::task::record::{Intent, Liveness, Status};
use crate::domain::executor::ExecutorStatus;
use crate::domain::ids::{EventId, ExecutionId, NodeId};
use crate::domain::task::Strategy;
use crate::domain::time::Timestamp;

/// One change of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Higher than that of every event before it.
    pub id: EventId,
    /// Stamp of the entry that changed it.
    pub at: Timestamp,
    /// What happened to it.
    pub kind: EventKind,
    /// What changed.
    pub object: EventObject,
}

// A node keeps very many of them.
const _: () = assert!(size_of::<Event>() <= 56, "no event is larger than seven words");

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $word:literal),* $(,)?) => {
        /// What happened to an object.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $word)] $kind,)*
        }

        impl EventKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The word for it in the API.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$kind => $word,)* }
            }
        }
    };
}

kinds! {
    /// A task was created, replaced or changed.
    TaskPut "task.put",
    /// A name was marked deleted.
    TaskDeleted "task.deleted",
    /// The deleted mark was taken away from a task.
    TaskReused "task.reused",
    /// All that was known of a name was removed.
    TaskCleaned "task.cleaned",
    /// A task was paused.
    TaskPaused "task.paused",
    /// A pause ended, by request or by itself; or a cancellation, by request.
    TaskResumed "task.resumed",
    /// A task was cancelled.
    TaskCancelled "task.cancelled",
    /// No tick of a task is left.
    TaskCompleted "task.completed",
    /// An execution was created, granted, given back, asked to stop, ended or dismissed.
    ExecutionChanged "execution.changed",
    /// A process of a node registered.
    NodePut "node.put",
    /// Liveness, intent, weight, slots or labels of a node changed.
    NodeChanged "node.changed",
    /// A node was removed.
    NodeGone "node.gone",
    /// A calendar was made or changed.
    CalendarPut "calendar.put",
    /// A calendar was removed.
    CalendarDeleted "calendar.deleted",
    /// An executor registered, was removed, or its record changed otherwise than by a renewal.
    ExecutorChanged "executor.changed",
    /// The scheduler was started or stopped.
    SchedulerChanged "scheduler.changed",
}

/// What changed, and the part of its state that watchers look for. Names are shared with the records
/// that they are of, and stay known when the record is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventObject {
    /// The task of this name.
    Task(Arc<str>),
    /// An execution.
    Execution {
        /// The name of its task.
        task: Arc<str>,
        /// Its id.
        execution: ExecutionId,
        /// Its status from then on.
        status: Status,
    },
    /// A node.
    Node {
        /// Its id.
        node: NodeId,
        /// Whether it works.
        liveness: Liveness,
        /// What is meant to become of it.
        intent: Intent,
    },
    /// The calendar of this name.
    Calendar(Arc<str>),
    /// An executor.
    Executor {
        /// Its id.
        id: Arc<str>,
        /// Whether it is given work; none: it was removed.
        status: Option<ExecutorStatus>,
    },
    /// The cluster's scheduler.
    Scheduler {
        /// Whether ticks fire.
        started: bool,
        /// How the tasks that name no strategy are given to nodes.
        strategy: Strategy,
    },
}
