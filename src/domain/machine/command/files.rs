//! The bodies of the commands about what nodes read in files.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{NodeId, Revision, SessionId};
use crate::domain::schedule::calendar::Calendar;
use crate::domain::task::TaskSpec;

/// What a node read in its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesRead {
    /// This member.
    pub node: NodeId,
    /// In this session.
    pub session: SessionId,
    /// What it tells.
    pub step: FilesStep,
}

/// What a node tells of its files. A set is all definitions that its files have, told by a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilesStep {
    /// It has no files.
    None,
    /// Its files have this set, and it changes nothing.
    Tell(u128),
    /// This set is in force from now on.
    Begin(u128),
    /// Everything of the set in force was proposed, and that is this one.
    Complete(u128),
    /// Its files have so many problems; what it told before stays.
    Broken(u32),
}

/// Makes a task or a calendar what the set in force says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declare {
    /// The number of the set that the proposer has; it must be in force.
    pub set: Revision,
    /// What it says.
    pub object: DeclaredObject,
    /// The revision that the proposer saw; none: the name was free.
    pub if_match: Option<Revision>,
}

/// What a set says of a name.
#[allow(clippy::large_enum_variant, reason = "one is read at a time, and none is kept")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeclaredObject {
    /// The task is this.
    Task {
        /// Its definition.
        spec: TaskSpec,
        /// A hash of what the files say; 0: they have it no more.
        hash: u128,
    },
    /// The task of this name is marked deleted, since the files have it no more.
    TaskGone(String),
    /// The calendar is this.
    Calendar {
        /// All of it.
        calendar: Calendar,
        /// A hash of what the files say.
        hash: u128,
    },
    /// The calendar of this name is removed, since the files have it no more.
    CalendarGone(String),
}
