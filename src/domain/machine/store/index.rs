//! The task of each retained execution. Ids only increase, and the oldest are removed first, so
//! they are kept in order, in blocks that a frozen view shares.

use std::collections::VecDeque;
use std::sync::Arc;

use imbl::Vector;

use crate::domain::ids::{ExecutionId, TaskKey};

/// Maximum number of entries in a block. Small in tests, so that they cover several blocks.
const BLOCK: usize = if cfg!(test) { 8 } else { 1_024 };

type IndexEntries = VecDeque<(ExecutionId, TaskKey)>;

/// Tasks by execution.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Persistent, so that the cost of a frozen view does not depend on the number of executions.
    blocks: Vector<IndexBlock>,
}

/// A block of entries. It is never empty.
#[derive(Clone, Debug)]
struct IndexBlock {
    /// A lower bound of its ids. All ids in earlier blocks are lower.
    first: ExecutionId,
    entries: Arc<IndexEntries>,
}

impl Index {
    /// Adds the newest execution.
    pub fn push(&mut self, id: ExecutionId, task: TaskKey) {
        match self.blocks.back_mut() {
            Some(last) if last.entries.len() < BLOCK => {
                Arc::make_mut(&mut last.entries).push_back((id, task));
            }
            _ => {
                let entries = Arc::new(VecDeque::from([(id, task)]));
                self.blocks.push_back(IndexBlock { first: id, entries });
            }
        }
    }

    /// How many executions there are.
    pub fn len(&self) -> usize {
        self.blocks.iter().map(|block| block.entries.len()).sum()
    }

    pub fn get(&self, id: ExecutionId) -> Option<TaskKey> {
        let entries = &self.blocks.get(self.block(id)?)?.entries;
        entries.get(position(entries, id).ok()?).map(|(_, task)| *task)
    }

    pub fn remove(&mut self, id: ExecutionId) {
        let Some(at) = self.block(id) else { return };
        let Some(block) = self.blocks.get_mut(at) else { return };
        let Ok(place) = position(&block.entries, id) else { return };
        if block.entries.len() == 1 {
            self.blocks.remove(at);
            return;
        }
        Arc::make_mut(&mut block.entries).remove(place);
        self.join(at);
    }

    /// Merges a block into the one before it, if both are small enough.
    fn join(&mut self, at: usize) {
        let Some(before) = at.checked_sub(1) else { return };
        let len = |at: usize| self.blocks.get(at).map_or(BLOCK, |block| block.entries.len());
        if len(before) + len(at) > BLOCK / 2 {
            return;
        }
        let gone = self.blocks.remove(at);
        if let Some(block) = self.blocks.get_mut(before) {
            Arc::make_mut(&mut block.entries).extend(gone.entries.iter());
        }
    }

    /// Executions with lower ids than `before`, newest first.
    pub fn before(&self, before: ExecutionId) -> impl Iterator<Item = (ExecutionId, TaskKey)> + '_ {
        let end = self.partition_point(|block| block.first < before);
        let blocks = self.blocks.focus().narrow(..end).into_iter().rev();
        blocks.flat_map(|block| block.entries.iter().rev().copied()).skip_while(
            // Only the first of these blocks can have ids that are too high.
            move |(id, _)| *id >= before,
        )
    }

    /// The block for an id.
    fn block(&self, id: ExecutionId) -> Option<usize> {
        self.partition_point(|block| block.first <= id).checked_sub(1)
    }

    /// The number of blocks before the first one for which the condition is false.
    fn partition_point(&self, holds: impl Fn(&IndexBlock) -> bool) -> usize {
        // Most lookups are for the newest block.
        if self.blocks.back().is_none_or(&holds) {
            return self.blocks.len();
        }
        let (mut from, mut to) = (0, self.blocks.len());
        while from < to {
            let middle = from + (to - from) / 2;
            if self.blocks.get(middle).is_some_and(&holds) {
                from = middle + 1
            } else {
                to = middle
            }
        }
        from
    }
}

fn position(entries: &IndexEntries, id: ExecutionId) -> Result<usize, usize> {
    entries.binary_search_by_key(&id, |(id, _)| *id)
}

impl FromIterator<(ExecutionId, TaskKey)> for Index {
    fn from_iter<I: IntoIterator<Item = (ExecutionId, TaskKey)>>(all: I) -> Self {
        let mut sorted: Vec<_> = all.into_iter().collect();
        sorted.sort_unstable_by_key(|(id, _)| *id);
        let mut index = Self::default();
        for (id, task) in sorted {
            index.push(id, task);
        }
        index
    }
}
