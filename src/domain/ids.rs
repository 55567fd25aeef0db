//! The numbers that name things. All but [`TaskKey`] and [`NodeId`] are values of the state machine's
//! one counter, so no two of them are ever equal, whatever they name.

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

/// The record of one task name, from the command that created it until a cleanup removes it.
/// A forced add makes a new incarnation under the same key. It is made of a slot and half of
/// that command's revision: [`TaskKey::new`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TaskKey(pub u64);

impl fmt::Display for TaskKey {
    /// The revision's half, which tells it well enough from others.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (self.0 >> 32).fmt(f)
    }
}

number! {
    /// The command that last changed a task; its ETag.
    Revision
}
number! {
    /// One claimed tick, or one trigger, being carried out.
    ExecutionId
}
number! {
    /// The fencing token of one grant of an attempt; later grants have higher ones.
    Fence
}
number! {
    /// One change that is told to those who watch; later ones have higher ids.
    EventId
}
number! {
    /// One boot of one node; ended by the next `NodeUp` of that node.
    SessionId
}
number! {
    /// A cluster member as Raft knows it: configured id × 2^16 + join number. It never returns.
    NodeId
}

impl TaskKey {
    /// The key of the task that `revision` creates in a slot. The lower half of the revision tells
    /// it from those that had the slot before.
    #[must_use]
    pub const fn new(slot: u32, revision: Revision) -> Self {
        Self((revision.0 << 32) | slot as u64)
    }

    /// Where the task stands in the table of tasks.
    #[must_use]
    pub const fn slot(self) -> usize {
        (self.0 & 0xFFFF_FFFF) as usize
    }
}

impl NodeId {
    /// The id that the operator wrote in the configuration.
    #[must_use]
    pub fn configured(self) -> u64 {
        self.0 >> 16
    }

    /// The node id of the `join`-th member with this configured id.
    #[must_use]
    pub fn new(configured: u16, join: u16) -> Self {
        Self((u64::from(configured) << 16) | u64::from(join))
    }
}
