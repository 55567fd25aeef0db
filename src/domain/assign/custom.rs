//! The strategy of an embedding program: a function of all tasks that follow it and of the nodes that
//! may own tasks. The leader asks it, and its choices are in the replicated state, so all nodes agree
//! on them whatever their programs say.
//!
//! A task without a choice, or whose node may not own it now, goes where [`consistent`] says, until
//! the leader has asked again.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use super::{Assignee, consistent};
use crate::domain::ids::NodeId;
use crate::domain::machine::record::NodeRecord;

/// A strategy of the embedding program.
pub trait AssignmentStrategy: Send + Sync + 'static {
    /// The owner of each task, in the order of `tasks`: its place in `nodes`; none: as `consistent`
    /// chooses. An answer of another length, a place beyond the nodes and a panic are logged, and
    /// change nothing.
    ///
    /// The leading node asks it on a thread for blocking work: when nodes that may own tasks came,
    /// went or changed, when tasks came or went, and else once a minute. While it moves tasks although
    /// the nodes are the same, it is asked less and less often when tasks come or go, at last once a
    /// minute too. All nodes should run the same program, since any of them may lead. Each of them asks
    /// it also for `what-if`, with nodes that are only supposed: an answer must not depend on former
    /// ones. A node that is chosen for a task without having what the task needs (labels of its
    /// selector, a function) does not get it.
    fn assign(&self, tasks: &[TaskToAssign<'_>], nodes: &[NodeToAssign<'_>]) -> Vec<Option<usize>>;
}

/// Several nodes of one program may share a strategy.
impl<S: AssignmentStrategy + ?Sized> AssignmentStrategy for Arc<S> {
    fn assign(&self, tasks: &[TaskToAssign<'_>], nodes: &[NodeToAssign<'_>]) -> Vec<Option<usize>> {
        (**self).assign(tasks, nodes)
    }
}

/// The strategy of the program, as it is handed on.
#[derive(Clone)]
pub struct OwnStrategy(pub Arc<dyn AssignmentStrategy>);

impl fmt::Debug for OwnStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnStrategy")
    }
}

/// A task that follows the strategy.
#[derive(Clone, Debug)]
pub struct TaskToAssign<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
    /// The place, among the nodes, of its present owner.
    pub owner: Option<usize>,
}

/// A node that may own tasks.
#[derive(Clone, Debug)]
pub struct NodeToAssign<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its weight, above 0.
    pub weight: u32,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// The node that was chosen for a task, if it may own it.
pub fn choose(task: Assignee<'_>, nodes: &[&NodeRecord]) -> Option<NodeId> {
    let chosen = task.table.choice(task.name);
    let chosen = chosen.filter(|chosen| nodes.iter().any(|node| node.id == *chosen));
    chosen.or_else(|| consistent::choose(task, nodes))
}
