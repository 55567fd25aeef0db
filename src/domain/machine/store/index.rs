//! Whose each kept execution is. Ids only rise, and the oldest go first: so they are kept in their
//! order, in blocks that a frozen view shares.

use std::collections::VecDeque;
use std::sync::Arc;

use imbl::Vector;

use crate::domain::ids::{ExecutionId, TaskKey};

/// Entries of a block; few in tests, so that they meet many blocks.
const BLOCK: usize = if cfg!(test) { 8 } else { 1_024 };

type IndexEntries = VecDeque<(ExecutionId, TaskKey)>;

/// Tasks by execution.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Persistent, so that a frozen view costs the same however many there are.
    blocks: Vector<IndexBlock>,
}

/// Some entries; never none.
#[derive(Clone, Debug)]
struct IndexBlock {
    /// No id in it is lower, nor is one in a block before it as high.
    first: ExecutionId,
    entries: Arc<IndexEntries>,
}

impl Index {
    /// Adds the newest.
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

    /// Puts a block's entries behind those of the block before it, if both are small by now.
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

    /// Newest first, below `before`.
    pub fn before(&self, before: ExecutionId) -> impl Iterator<Item = (ExecutionId, TaskKey)> + '_ {
        let end = self.partition_point(|block| block.first < before);
        let blocks = self.blocks.focus().narrow(..end).into_iter().rev();
        blocks.flat_map(|block| block.entries.iter().rev().copied()).skip_while(
            // Only of the first of these blocks may some be too new.
            move |(id, _)| *id >= before,
        )
    }

    /// The block that an id belongs to.
    fn block(&self, id: ExecutionId) -> Option<usize> {
        self.partition_point(|block| block.first <= id).checked_sub(1)
    }

    /// How many blocks stand before the first of which this does not hold.
    fn partition_point(&self, holds: impl Fn(&IndexBlock) -> bool) -> usize {
        // What is asked for is most often the newest.
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
