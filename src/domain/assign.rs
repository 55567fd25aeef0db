//! Which node owns a task: a pure function of the members, evaluated wherever it is asked.
//!
//! `consistent` is weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights by Schindelhauer
//! and Schomaker, 2005): each node draws an exponential number with its weight as rate from the
//! hash of task and node; the lowest wins. A node that joins takes only what it wins, a node that
//! leaves gives away only what it had.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::domain::ids::NodeId;
use crate::domain::machine::State;
use crate::domain::machine::record::{Intent, Liveness, Node};
use crate::domain::task::TaskSpec;

/// Largest weight of a node: shares up to here keep their proportions.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// Fraction bits of the logarithm.
const FRACTION: u32 = 24;

/// The nodes that may own tasks.
#[derive(Clone, Debug, Default)]
pub struct Members {
    eligible: Vec<Arc<Node>>,
}

impl Members {
    /// The eligible nodes of a state: working, with no intent, with a weight.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let eligible = state
            .nodes()
            .filter(|node| {
                node.liveness == Liveness::Working
                    && node.intent == Intent::None
                    && node.info.weight > 0
            })
            .cloned()
            .collect();
        Self { eligible }
    }

    /// The owner of a task; none: no eligible node matches its selector.
    #[must_use]
    pub fn owner(&self, spec: &TaskSpec) -> Option<NodeId> {
        let name = spec.name.as_bytes();
        self.eligible
            .iter()
            .filter(|node| matches(node, &spec.assignment.selector))
            .map(|node| (draw(name, node.id, node.info.weight), node.id))
            .min()
            .map(|(_, id)| id)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.eligible.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.eligible.is_empty()
    }
}

/// Whether a node has all these labels; `node` and `host` are every node's own.
#[must_use]
pub fn matches(node: &Node, selector: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| match key.as_str() {
        "node" => *value == node.info.name,
        "host" => *value == node.info.hostname,
        _ => node.info.labels.get(key) == Some(value),
    })
}

/// −log2(u) ÷ weight in fixed point, for u uniform in (0, 1] by hash.
fn draw(name: &[u8], node: NodeId, weight: u32) -> u64 {
    let hash = xxh3_64_with_seed(name, node.0.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    // Scaled for weights up to the largest.
    (u64::from(minus_log2(hash | 1)) << 16) / u64::from(weight.max(1))
}

/// −log2(x ÷ 2^64) with [`FRACTION`] bits after the point, by repeated squaring.
fn minus_log2(x: u64) -> u32 {
    let zeros = x.leading_zeros();
    let mut mantissa = u128::from(x) << zeros;
    let mut fraction = 0_u32;
    for _ in 0..FRACTION {
        mantissa = (mantissa * mantissa) >> 63;
        fraction <<= 1;
        if mantissa >= 1 << 64 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    ((zeros + 1) << FRACTION) - fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(nodes: &[(u64, u32)], tasks: u32) -> BTreeMap<u64, u32> {
        let mut counts = BTreeMap::new();
        for task in 0..tasks {
            let name = format!("task-{task}");
            let draws =
                nodes.iter().map(|(id, weight)| (draw(name.as_bytes(), NodeId(*id), *weight), *id));
            *counts.entry(draws.min().unwrap().1).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn the_logarithm_is_one() {
        assert_eq!(minus_log2(1 << 63), 1 << FRACTION);
        assert_eq!(minus_log2(1), 64 << FRACTION);
        for x in [3_u64, 1_000, 1 << 40, u64::MAX / 3, u64::MAX] {
            let exact = 64.0 - (x as f64).log2();
            let found = f64::from(minus_log2(x)) / f64::from(1 << FRACTION);
            assert!((exact - found).abs() < 1e-6, "{x}: {exact} {found}");
        }
    }

    #[test]
    fn equal_nodes_get_equal_shares() {
        let nodes: Vec<(u64, u32)> = (1..=5).map(|id| (id << 16 | 1, 1)).collect();
        for share in counts(&nodes, 10_000).values() {
            assert!((1_800..=2_200).contains(share), "{share}");
        }
    }

    #[test]
    fn shares_follow_weights() {
        let found = counts(&[(1, 1), (2, 3)], 10_000);
        assert!((2_300..=2_700).contains(&found[&1]), "{found:?}");
    }

    #[test]
    fn a_leaving_node_moves_only_its_own() {
        let all: Vec<(u64, u32)> = (1..=5).map(|id| (id << 16 | 1, 1)).collect();
        for task in 0..2_000 {
            let name = format!("t{task}");
            let owner = |nodes: &[(u64, u32)]| {
                nodes.iter().map(|(id, w)| (draw(name.as_bytes(), NodeId(*id), *w), *id)).min()
            };
            let before = owner(&all).unwrap().1;
            let after = owner(&all[..4]).unwrap().1;
            assert!(before == after || before == all[4].0);
        }
    }
}
