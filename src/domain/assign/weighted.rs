//! The hash of the name modulo the sum of the weights: a place in a row in which each node has as many
//! places as its weight. Shares follow weights, at the cost of one hash for any number of nodes. If a
//! node joins or leaves, or a weight changes, most tasks may move.

use xxhash_rust::xxh3::xxh3_64;

use super::Assignee;
use crate::domain::ids::NodeId;
use crate::domain::machine::record::NodeRecord;

/// The node that has the place that the hash names.
pub fn choose(task: Assignee<'_>, nodes: &[&NodeRecord]) -> Option<NodeId> {
    let sum: u64 = nodes.iter().map(|node| u64::from(node.weight())).sum();
    let mut place = xxh3_64(task.name.as_bytes()).checked_rem(sum)?;
    let node = nodes.iter().find(|node| {
        let weight = u64::from(node.weight());
        let found = place < weight;
        place = place.saturating_sub(weight);
        found
    });
    node.map(|node| node.id)
}
