//! Numeric identifiers. All except [`TaskKey`] and [`NodeId`] come from the state machine's single
//! counter, so two of them are never equal, even if their types differ.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIntError;
            fn from_str(text: &str) -> Result<Self, ParseIntError> {
                text.parse().map($name)
            }
        }
    };
}

/// The record of one task name, from the command that creates it until a cleanup removes it. A
/// forced add creates a new incarnation under the same key. The key consists of a slot and the
/// lower half of that command's revision: [`TaskKey::new`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TaskKey(pub u64);

impl fmt::Display for TaskKey {
    /// Writes only the half that comes from the revision, which is distinctive enough for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0 >> 32).fmt(f)
    }
}

number! {
    /// The revision of a task: the command that last changed it. It is the task's ETag.
    Revision
}
number! {
    /// The execution of one claimed tick or one trigger.
    ExecutionId
}
number! {
    /// The fencing token of one grant of an attempt. Later grants have higher tokens.
    Fence
}
number! {
    /// A change event sent to watchers. Later events have higher ids.
    EventId
}
number! {
    /// One boot of one node. It ends with the next `NodeUp` of that node.
    SessionId
}
number! {
    /// The Raft id of a cluster member: configured id × 2^16 + join number. It is never reused.
    NodeId
}

impl TaskKey {
    /// The key of the task that `revision` creates in a slot. The lower half of the revision
    /// distinguishes it from earlier tasks in the same slot.
    #[must_use]
    pub const fn new(slot: u32, revision: Revision) -> Self {
        Self((revision.0 << 32) | slot as u64)
    }

    /// The task's position in the task table.
    #[must_use]
    pub const fn slot(self) -> usize {
        (self.0 & 0xFFFF_FFFF) as usize
    }
}

impl NodeId {
    /// The node id from the operator's configuration.
    #[must_use]
    pub fn configured(self) -> u64 {
        self.0 >> 16
    }

    /// The number of its join: how many members with this configured id there were, with this one.
    #[must_use]
    pub const fn join(self) -> u64 {
        self.0 & 0xFFFF
    }

    /// The node id of the `join`-th member with this configured id.
    #[must_use]
    pub fn new(configured: u16, join: u16) -> Self {
        Self((u64::from(configured) << 16) | u64::from(join))
    }
}
