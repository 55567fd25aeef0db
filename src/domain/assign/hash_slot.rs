//! 16,384 slots, to which names are hashed. Each slot goes to the node that draws the lowest number
//! for it, as in [`consistent`]: all tasks of a slot have one owner, and slots move as tasks do there.
//!
//! The winner of a slot is drawn when it is asked for, which costs what `consistent` costs for a task.

use xxhash_rust::xxh3::xxh3_64;

use super::consistent;
use crate::domain::ids::NodeId;
use crate::domain::machine::record::NodeRecord;

/// The number of slots.
pub const SLOTS: u64 = 16_384;

/// The winner of the task's slot.
pub fn choose(task: &str, nodes: &[&NodeRecord]) -> Option<NodeId> {
    consistent::choose(&format!("slot:{}", slot(task)), nodes)
}

/// The slot of a task.
#[must_use]
pub fn slot(task: &str) -> u64 {
    xxh3_64(task.as_bytes()) % SLOTS
}
