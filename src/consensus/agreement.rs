//! Compares the states of the replicas. Every node sends the leader the digest of its state at
//! agreed indexes. The leader answers with the digest of the majority, and a node with another
//! digest knows that its state is wrong.

use std::collections::BTreeMap;

use super::replica::DigestMark;

/// Number of indexes whose digests a leader collects. Nodes that lag further behind are compared
/// at a later index.
const INDICES: usize = 16;

/// The digests that a leader received.
#[derive(Debug, Default)]
pub struct DigestPoll(BTreeMap<u64, BTreeMap<u64, LayoutDigest>>);

/// A layout and a digest.
type LayoutDigest = (u16, u128);

impl DigestPoll {
    /// Records a node's mark, and returns the last mark on which a majority of the voters agrees.
    pub fn tell(&mut self, node: u64, mark: DigestMark, voters: &[u64]) -> Option<DigestMark> {
        self.0.entry(mark.index).or_default().insert(node, (mark.layout, mark.digest));
        while self.0.len() > INDICES {
            self.0.pop_first();
        }
        self.0.iter().rev().find_map(|(index, told)| {
            let (layout, digest) = majority(told, voters)?;
            Some(DigestMark { index: *index, layout, digest })
        })
    }
}

/// The digest of a majority. Digests of different layouts are never equal.
fn majority(told: &BTreeMap<u64, LayoutDigest>, voters: &[u64]) -> Option<LayoutDigest> {
    let count = |one| voters.iter().filter(|node| told.get(node) == Some(one)).count();
    told.values().find(|one| count(one) > voters.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn mark(index: u64, digest: u128) -> DigestMark {
        DigestMark { index, layout: 6, digest }
    }

    #[test]
    fn a_majority_of_the_voters_decides_and_nobody_else() {
        let voters = [1, 2, 3];
        let mut poll = DigestPoll::default();
        assert_eq!(poll.tell(1, mark(1_024, 7), &voters), None);
        assert_eq!(poll.tell(9, mark(1_024, 7), &voters), None, "9 has no vote");
        assert_eq!(poll.tell(2, mark(1_024, 8), &voters), None, "one node against one");
        assert_eq!(poll.tell(3, mark(1_024, 8), &voters), Some(mark(1_024, 8)));
        // A repeated mark counts once, and a later index has its own majority.
        assert_eq!(poll.tell(3, mark(2_048, 5), &voters), Some(mark(1_024, 8)));
        assert_eq!(poll.tell(3, mark(2_048, 5), &voters), Some(mark(1_024, 8)));
        assert_eq!(poll.tell(1, mark(2_048, 5), &voters), Some(mark(2_048, 5)));
    }

    #[test]
    fn digests_of_two_layouts_are_not_compared() {
        let voters = [1, 2, 3];
        let of_7 = |digest| DigestMark { layout: 7, ..mark(1_024, digest) };
        let mut poll = DigestPoll::default();
        assert_eq!(poll.tell(1, mark(1_024, 9), &voters), None);
        assert_eq!(poll.tell(2, of_7(9), &voters), None, "one of each layout");
        assert_eq!(poll.tell(3, of_7(9), &voters), Some(of_7(9)));
    }

    #[test]
    fn old_indices_are_forgotten() {
        let mut poll = DigestPoll::default();
        for index in 1..100 {
            poll.tell(1, mark(index * 1_024, 1), &[1, 2]);
        }
        assert_eq!(poll.0.len(), INDICES);
        assert_eq!(poll.tell(2, mark(1_024, 1), &[1, 2]), None);
        assert_eq!(poll.tell(2, mark(99 * 1_024, 1), &[1, 2]), Some(mark(99 * 1_024, 1)));
    }
}
