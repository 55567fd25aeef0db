//! What becomes of the owners of tasks if the members change.

use std::collections::BTreeMap;

use super::Members;
use crate::domain::ids::NodeId;
use crate::domain::machine::Task;

/// How many tasks go from which node to which, and how many stay. No node: nobody can own them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves(BTreeMap<(Option<NodeId>, Option<NodeId>), u64>);

/// The owner of a task, if it is another one after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerMove {
    /// Its owner before.
    pub from: Option<NodeId>,
    /// Its owner after.
    pub to: Option<NodeId>,
}

impl OwnerMove {
    /// The move of a task; none: it stays.
    #[must_use]
    pub fn of(task: &Task, before: &Members, after: &Members) -> Option<Self> {
        let (from, to) = (before.owner(task), after.owner(task));
        (from != to).then_some(Self { from, to })
    }
}

impl Moves {
    /// Counts the moves of these tasks.
    pub fn of<'a>(
        tasks: impl Iterator<Item = &'a Task>,
        before: &Members,
        after: &Members,
    ) -> Self {
        let mut moves = Self::default();
        for task in tasks {
            moves.note(before.owner(task), after.owner(task));
        }
        moves
    }

    pub(super) fn note(&mut self, from: Option<NodeId>, to: Option<NodeId>) {
        *self.0.entry((from, to)).or_default() += 1;
    }

    /// From which node how many tasks go to which other one.
    pub fn pairs(&self) -> impl Iterator<Item = (Option<NodeId>, Option<NodeId>, u64)> {
        let pairs = self.0.iter().filter(|((from, to), _)| from != to);
        pairs.map(|((from, to), count)| (*from, *to, *count))
    }

    /// How many tasks there are.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many tasks move.
    #[must_use]
    pub fn moved(&self) -> u64 {
        self.pairs().map(|(_, _, count)| count).sum()
    }

    /// How many tasks each node has before, in the order of the nodes' ids.
    #[must_use]
    pub fn before(&self) -> BTreeMap<Option<NodeId>, u64> {
        self.shares(|(from, _)| *from)
    }

    /// How many tasks each node has after.
    #[must_use]
    pub fn after(&self) -> BTreeMap<Option<NodeId>, u64> {
        self.shares(|(_, to)| *to)
    }

    fn shares(
        &self,
        side: impl Fn(&(Option<NodeId>, Option<NodeId>)) -> Option<NodeId>,
    ) -> BTreeMap<Option<NodeId>, u64> {
        let mut shares = BTreeMap::new();
        for (pair, count) in &self.0 {
            *shares.entry(side(pair)).or_default() += count;
        }
        shares
    }

    /// The fewest moves that lead from the shares before to those after.
    #[must_use]
    pub fn fewest(&self) -> u64 {
        let before = self.before();
        let gained = |(node, after): (Option<NodeId>, u64)| {
            after.saturating_sub(before.get(&node).copied().unwrap_or(0))
        };
        self.after().into_iter().map(gained).sum()
    }
}
