//! What an applied entry puts out beside its answers.

use std::sync::Arc;

use super::event::Event;
use super::hint::Hint;
use super::task::record::ParentExecution;
use crate::domain::ids::TaskKey;
use crate::domain::task::ChainCondition;

/// What the commands of one or more entries put out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// For the engine of this node, in order. They may be lost.
    pub hints: Vec<Hint>,
    /// For those who watch, in order, the same on every node.
    pub events: Vec<Event>,
    /// Ended executions with what their ends are to start; empty between two commands.
    pub(super) parents: Vec<EndedParent>,
}

/// An execution that ended, with what its end is to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedParent {
    pub task: TaskKey,
    pub parent: ParentExecution,
    pub wanted: Vec<(ChainCondition, Arc<str>)>,
}
