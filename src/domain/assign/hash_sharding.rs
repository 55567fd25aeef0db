//! The hash of the name modulo the number of nodes. Weights above 0 do not matter. If a node joins or
//! leaves, most tasks move.

use xxhash_rust::xxh3::xxh3_64;

use super::Assignee;
use crate::domain::ids::NodeId;
use crate::domain::machine::record::NodeRecord;

/// The node at the place that the hash names.
pub fn choose(task: Assignee<'_>, nodes: &[&NodeRecord]) -> Option<NodeId> {
    let count = u64::try_from(nodes.len()).ok().filter(|count| *count > 0)?;
    let place = usize::try_from(xxh3_64(task.name.as_bytes()) % count).ok()?;
    nodes.get(place).map(|node| node.id)
}
