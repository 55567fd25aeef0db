//! Contiguous parts of the names in proportion to the nodes' weights, so that tasks whose names begin
//! alike mostly have one owner. If a node joins or leaves, the parts move along the names.
//!
//! The names at which parts begin are in the replicated state: the leader proposes them
//! ([`parts`]), and again when a part is a fifth larger or smaller than its share ([`fits`]).
//! Until then a part whose node may not own a task goes to the node of the next part that may, and
//! without parts the choice is that of [`consistent`].

use std::collections::BTreeMap;

use super::{Assignee, consistent};
use crate::domain::ids::NodeId;
use crate::domain::machine::AssignmentTable;
use crate::domain::machine::record::NodeRecord;

/// The node of the part of the task's name, or of the next part whose node is one of these.
pub fn choose(task: Assignee<'_>, nodes: &[&NodeRecord]) -> Option<NodeId> {
    let mut parts = task.table.nodes_from(task.name);
    let found = parts.find(|part| nodes.iter().any(|node| node.id == *part));
    found.or_else(|| consistent::choose(task, nodes))
}

/// Parts of these names, which are sorted, in proportion to the weights: the first name of each, and
/// its node. The first part begins with the empty name. A node whose share is less than one name has
/// no part.
#[must_use]
pub fn parts(names: &[&str], nodes: &[&NodeRecord]) -> Vec<(String, NodeId)> {
    let all: u128 = nodes.iter().map(|node| u128::from(node.weight())).sum();
    let mut parts = Vec::new();
    let (mut before, mut begin) = (0_u128, 0_usize);
    for node in nodes {
        before += u128::from(node.weight());
        let end = (names.len() as u128 * before).checked_div(all).unwrap_or(0);
        let end = usize::try_from(end).unwrap_or(names.len());
        if let Some(first) = names.get(begin).filter(|_| begin < end) {
            let first = if parts.is_empty() { "" } else { first };
            parts.push((first.to_owned(), node.id));
            begin = end;
        }
    }
    parts
}

/// Whether the parts of a table fit these nodes: each part is of one of them, and none is more than a
/// fifth, or one name, larger or smaller than the node's share of the names.
#[must_use]
pub fn fits(table: &AssignmentTable, names: &[&str], nodes: &[&NodeRecord]) -> bool {
    let mut counts: BTreeMap<NodeId, u128> = nodes.iter().map(|node| (node.id, 0)).collect();
    for (_, node) in table.parts() {
        if !counts.contains_key(&node) {
            return false;
        }
    }
    for name in names {
        let Some(node) = table.nodes_from(name).next() else { return false };
        *counts.entry(node).or_default() += 1;
    }
    let all: u128 = nodes.iter().map(|node| u128::from(node.weight())).sum();
    let many = names.len() as u128;
    nodes.iter().all(|node| {
        // Five times, and times the sum of the weights: no fractions.
        let share = 5 * many * u128::from(node.weight());
        let count = 5 * all * counts.get(&node.id).copied().unwrap_or(0);
        count.abs_diff(share) <= (share / 5).max(5 * all)
    })
}
