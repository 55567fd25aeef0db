//! Weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights by Schindelhauer and
//! Schomaker, 2005): each node draws an exponential number with its weight as rate from the hash of
//! task and node; the lowest wins. A node that joins takes only what it wins, a node that leaves
//! gives away only what it had.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Assignee;
use crate::domain::ids::NodeId;
use crate::domain::machine::record::NodeRecord;

/// Fraction bits of the logarithm.
const FRACTION: u32 = 24;

/// The node that draws the lowest number for a task.
pub fn choose(task: Assignee<'_>, nodes: &[&NodeRecord]) -> Option<NodeId> {
    winner(task.name, nodes)
}

/// The node that draws the lowest number for a name.
pub(super) fn winner(name: &str, nodes: &[&NodeRecord]) -> Option<NodeId> {
    let draws = nodes.iter().map(|node| (draw(name, node.id, node.weight()), node.id));
    draws.min().map(|(_, id)| id)
}

/// −log2(u) ÷ weight in fixed point, for u uniform in (0, 1] by hash.
pub(super) fn draw(task: &str, node: NodeId, weight: u32) -> u64 {
    let hash = xxh3_64_with_seed(task.as_bytes(), node.0.wrapping_mul(0x9E37_79B9_7F4A_7C15));
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
}
