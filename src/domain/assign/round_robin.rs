//! The number of the task modulo the number of nodes: in the order in which tasks were created, each
//! node gets one in turn. Shares differ by one task at most, as long as no task is removed and all
//! nodes can own all tasks. Weights above 0 do not matter. If a node joins or leaves, most tasks move.
//!
//! The number is the task's place in the table of tasks. It is part of the task's key, so all replicas
//! have it. Removed tasks leave places free, and the next tasks take these first.

use super::Assignee;
use crate::domain::ids::NodeId;
use crate::domain::machine::record::NodeRecord;

/// The node whose turn the task's number is.
pub fn choose(task: Assignee<'_>, nodes: &[&NodeRecord]) -> Option<NodeId> {
    let turn = task.number.checked_rem(nodes.len())?;
    nodes.get(turn).map(|node| node.id)
}
