//! Records of a task's history, in blocks.
//!
//! A task may have thousands of them, and each of its claims adds one. With blocks, no record moves
//! when others are added, a clone shares all but the newest few, and a checkpoint writes only the
//! blocks that changed. Each block counts its records that have a mark, so the first one that has it is
//! found without a look at the records of blocks that have none.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::dirty::Dirty;
use crate::domain::ids::TaskKey;

/// Maximum number of records in a block. Small in tests, so that they cover several blocks.
const BLOCK: usize = if cfg!(test) { 4 } else { 32 };

/// A record that is stored in blocks.
pub trait BlockRecord: Clone + Serialize + DeserializeOwned {
    /// The key of a record, which defines the order of records.
    type RecordKey: Copy + Ord;
    /// The letter of its rows.
    const LETTER: u8;

    /// The key of this record.
    fn key(&self) -> Self::RecordKey;

    /// The marks that this record has, for [`Blocks::first_marked`]. They are derived from it.
    fn marks(&self) -> Marks {
        [false; MARKS]
    }
}

/// Number of different marks.
const MARKS: usize = 2;
/// Which marks a record has.
pub type Marks = [bool; MARKS];

/// How many records of a block have each mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct MarkCounts([u32; MARKS]);

impl MarkCounts {
    fn of<T: BlockRecord>(records: &VecDeque<T>) -> Self {
        let mut counts = Self::default();
        records.iter().for_each(|record| counts.add(record.marks()));
        counts
    }

    fn add(&mut self, marks: Marks) {
        for (count, marked) in self.0.iter_mut().zip(marks) {
            *count += u32::from(marked);
        }
    }

    fn sub(&mut self, marks: Marks) {
        for (count, marked) in self.0.iter_mut().zip(marks) {
            *count = count.saturating_sub(u32::from(marked));
        }
    }

    fn any(self, mark: usize) -> bool {
        self.0.get(mark).is_some_and(|count| *count > 0)
    }
}

/// A record that is being changed. Its marks are counted again when this ends.
pub struct EditedRecord<'a, T: BlockRecord> {
    record: &'a mut T,
    former: Marks,
    counts: &'a mut MarkCounts,
}

impl<'a, T: BlockRecord> EditedRecord<'a, T> {
    fn new(record: &'a mut T, counts: &'a mut MarkCounts) -> Self {
        Self { former: record.marks(), record, counts }
    }
}

impl<T: BlockRecord> Deref for EditedRecord<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.record
    }
}

impl<T: BlockRecord> DerefMut for EditedRecord<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.record
    }
}

impl<T: BlockRecord> Drop for EditedRecord<'_, T> {
    fn drop(&mut self) {
        self.counts.sub(self.former);
        self.counts.add(self.record.marks());
    }
}

/// Records in increasing order.
#[derive(Clone, Debug)]
pub struct Blocks<T> {
    /// Full blocks, to which no records are added. None of them is empty.
    sealed: VecDeque<RecordBlock<Arc<VecDeque<T>>>>,
    /// The newest block.
    open: RecordBlock<VecDeque<T>>,
    len: usize,
}

#[derive(Clone, Debug, Default)]
struct RecordBlock<R> {
    /// Increases from block to block, and is part of the key of its row.
    number: u64,
    /// The checkpoint epoch in which it was last marked as changed.
    noted: u64,
    counts: MarkCounts,
    records: R,
}

impl<R> RecordBlock<R> {
    /// Records that the next checkpoint must write or delete this block.
    fn note(&mut self, letter: u8, task: TaskKey, dirty: &mut Dirty) {
        if self.noted != dirty.epoch {
            self.noted = dirty.epoch;
            dirty.blocks.push((task, letter, self.number));
        }
    }
}

/// The position of a record. Valid until the next change.
#[derive(Clone, Copy, Debug)]
pub struct RecordPlace {
    /// The index of the sealed block. The number of sealed blocks means the open one.
    block: usize,
    at: usize,
}

impl<T> Default for Blocks<T> {
    fn default() -> Self {
        let counts = MarkCounts::default();
        let open = RecordBlock { number: 0, noted: 0, counts, records: VecDeque::new() };
        Self { sealed: VecDeque::new(), open, len: 0 }
    }
}

impl<T: PartialEq> PartialEq for Blocks<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Eq> Eq for Blocks<T> {}

impl<T> Blocks<T> {
    /// The number of records.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no records.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All records, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        let sealed = self.sealed.iter().flat_map(|block| block.records.iter());
        sealed.chain(&self.open.records)
    }

    /// The oldest record.
    #[must_use]
    pub fn front(&self) -> Option<&T> {
        let first = self.sealed.front().map_or(&self.open.records, |block| &block.records);
        first.front()
    }

    /// The newest record.
    #[must_use]
    pub fn back(&self) -> Option<&T> {
        self.open.records.back().or_else(|| self.sealed.back()?.records.back())
    }

    /// The record at a position.
    #[must_use]
    pub fn get(&self, place: RecordPlace) -> Option<&T> {
        self.records(place.block).get(place.at)
    }

    fn records(&self, block: usize) -> &VecDeque<T> {
        self.sealed.get(block).map_or(&self.open.records, |block| &block.records)
    }
}

impl<T: BlockRecord> Blocks<T> {
    /// The position of the record with this key, or else of the first one after it.
    fn search(&self, key: T::RecordKey) -> Result<RecordPlace, RecordPlace> {
        // Most lookups are for one of the newest records.
        let block = match self.open.records.front() {
            Some(first) if first.key() <= key => self.sealed.len(),
            _ => self
                .sealed
                .partition_point(|block| block.records.back().is_some_and(|last| last.key() < key)),
        };
        let found = self.records(block).binary_search_by_key(&key, T::key);
        found.map(|at| RecordPlace { block, at }).map_err(|at| RecordPlace { block, at })
    }

    /// The position of the first record that has a mark.
    #[must_use]
    pub fn first_marked(&self, mark: usize) -> Option<RecordPlace> {
        let has = |record: &T| record.marks().get(mark).is_some_and(|marked| *marked);
        let sealed = self.sealed.iter().map(|block| block.counts);
        let counts = sealed.chain([self.open.counts]).enumerate();
        counts.filter(|(_, counts)| counts.any(mark)).find_map(|(block, _)| {
            let at = self.records(block).iter().position(has)?;
            Some(RecordPlace { block, at })
        })
    }

    /// Whether the counts of marks are those of the records.
    #[must_use]
    pub fn marks_are_counted(&self) -> bool {
        let sealed = self.sealed.iter().all(|block| MarkCounts::of(&block.records) == block.counts);
        sealed && MarkCounts::of(&self.open.records) == self.open.counts
    }

    /// The position of the record with this key.
    #[must_use]
    pub fn find(&self, key: T::RecordKey) -> Option<RecordPlace> {
        self.search(key).ok()
    }

    /// The record with this key, or else the first one after it.
    #[must_use]
    pub fn at_or_after(&self, key: T::RecordKey) -> Option<&T> {
        let (Ok(place) | Err(place)) = self.search(key);
        self.get(place)
    }

    /// Adds the newest record.
    pub(in crate::domain::machine) fn push(&mut self, record: T, task: TaskKey, dirty: &mut Dirty) {
        if self.open.records.len() >= BLOCK {
            self.seal(self.open.number + 1);
        }
        self.open.note(T::LETTER, task, dirty);
        self.open.counts.add(record.marks());
        self.open.records.push_back(record);
        self.len += 1;
    }

    /// Begins a new block.
    fn seal(&mut self, next: u64) {
        let counts = MarkCounts::default();
        let open = RecordBlock { number: next, noted: 0, counts, records: VecDeque::new() };
        let RecordBlock { number, noted, counts, records } =
            std::mem::replace(&mut self.open, open);
        self.sealed.push_back(RecordBlock { number, noted, counts, records: Arc::new(records) });
    }

    /// The record at a position, mutably. Marks its block as changed.
    pub(in crate::domain::machine) fn get_mut(
        &mut self,
        place: RecordPlace,
        task: TaskKey,
        dirty: &mut Dirty,
    ) -> Option<EditedRecord<'_, T>> {
        let (record, counts) = match self.sealed.get_mut(place.block) {
            Some(block) => {
                block.note(T::LETTER, task, dirty);
                (Arc::make_mut(&mut block.records).get_mut(place.at)?, &mut block.counts)
            }
            None => {
                self.open.note(T::LETTER, task, dirty);
                (self.open.records.get_mut(place.at)?, &mut self.open.counts)
            }
        };
        Some(EditedRecord::new(record, counts))
    }

    /// Removes the record at a position.
    pub(in crate::domain::machine) fn remove(
        &mut self,
        place: RecordPlace,
        task: TaskKey,
        dirty: &mut Dirty,
    ) -> Option<T> {
        let gone = match self.sealed.get_mut(place.block) {
            Some(block) => {
                block.note(T::LETTER, task, dirty);
                let records = Arc::make_mut(&mut block.records);
                let gone = records.remove(place.at);
                gone.iter().for_each(|gone| block.counts.sub(gone.marks()));
                if records.is_empty() {
                    self.sealed.remove(place.block);
                }
                gone
            }
            None => {
                self.open.note(T::LETTER, task, dirty);
                let gone = self.open.records.remove(place.at);
                gone.iter().for_each(|gone| self.open.counts.sub(gone.marks()));
                gone
            }
        };
        self.len -= usize::from(gone.is_some());
        gone
    }

    /// Removes the oldest record.
    pub(in crate::domain::machine) fn pop_front(
        &mut self,
        task: TaskKey,
        dirty: &mut Dirty,
    ) -> Option<T> {
        self.remove(RecordPlace { block: 0, at: 0 }, task, dirty)
    }

    /// Removes the newest record.
    pub(in crate::domain::machine) fn pop_back(
        &mut self,
        task: TaskKey,
        dirty: &mut Dirty,
    ) -> Option<T> {
        let block = self.sealed.len() - usize::from(self.open.records.is_empty());
        let at = self.records(block).len().checked_sub(1)?;
        self.remove(RecordPlace { block, at }, task, dirty)
    }

    /// Marks all blocks as changed, because they are removed.
    pub(in crate::domain::machine) fn note_all(&mut self, task: TaskKey, dirty: &mut Dirty) {
        for block in &mut self.sealed {
            block.note(T::LETTER, task, dirty);
        }
        self.open.note(T::LETTER, task, dirty);
    }

    /// Blocks with their numbers, oldest first.
    pub(in crate::domain::machine) fn blocks(&self) -> impl Iterator<Item = (u64, &VecDeque<T>)> {
        let open = (self.open.number, &self.open.records);
        let sealed = self.sealed.iter().map(|block| (block.number, &*block.records));
        sealed.chain([open]).filter(|(_, records)| !records.is_empty())
    }

    /// The block of this number, if there is one and it is not empty.
    pub(in crate::domain::machine) fn block(&self, number: u64) -> Option<&VecDeque<T>> {
        let records = if number == self.open.number {
            &self.open.records
        } else {
            let at = self.sealed.binary_search_by_key(&number, |block| block.number).ok()?;
            &*self.sealed.get(at)?.records
        };
        (!records.is_empty()).then_some(records)
    }

    /// Adds a whole block after all others. False: the block does not follow the others.
    pub(in crate::domain::machine) fn load(&mut self, number: u64, records: VecDeque<T>) -> bool {
        let behind = self.is_empty() || number > self.open.number;
        let rising = records.iter().is_sorted_by(|one, next| one.key() < next.key());
        let later = match (self.back(), records.front()) {
            (Some(last), Some(first)) => last.key() < first.key(),
            (None, Some(_)) => true,
            (_, None) => false,
        };
        if !(behind && rising && later) {
            return false;
        }
        if !self.is_empty() {
            self.seal(number);
        }
        self.len += records.len();
        self.open = RecordBlock { number, noted: 0, counts: MarkCounts::of(&records), records };
        true
    }
}

impl<'a, T> IntoIterator for &'a Blocks<T> {
    type Item = &'a T;
    type IntoIter = Box<dyn DoubleEndedIterator<Item = &'a T> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}
