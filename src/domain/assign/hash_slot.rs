//! 16,384 slots, to which names are hashed. Each slot goes to the node that draws the lowest number
//! for it, as in [`consistent`]: all tasks of a slot have one owner, and slots move as tasks do there.
//!
//! The winner of a slot is drawn when it is asked for, which costs what `consistent` costs for a task.

use xxhash_rust::xxh3::xxh3_64;

use super::{Assignee, consistent};
use crate::domain::ids::NodeId;
use crate::domain::machine::record::NodeRecord;

/// The number of slots.
pub const SLOTS: u64 = 16_384;

/// The winner of the task's slot.
pub fn choose(task: Assignee<'_>, nodes: &[&NodeRecord]) -> Option<NodeId> {
    consistent::winner(&drawn_for(task.name), nodes)
}

/// The number that a node draws for the slot of a task.
pub(super) fn draw(task: &str, node: &NodeRecord) -> u64 {
    consistent::draw(&drawn_for(task), node.id, node.weight())
}

fn drawn_for(task: &str) -> String {
    format!("slot:{}", slot(task))
}

/// The slot of a task.
#[must_use]
pub fn slot(task: &str) -> u64 {
    xxh3_64(task.as_bytes()) % SLOTS
}
