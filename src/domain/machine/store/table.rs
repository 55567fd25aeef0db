//! The tasks, in pages of slots. A key contains its slot, so that a claim finds its task with three
//! lookups.
//!
//! Pages are grouped in chapters, and a clone shares the chapters. A million tasks are about a
//! hundred pointers, so the cost of a frozen view hardly depends on the number of tasks. A change
//! after a clone copies the path to the changed task: a chapter, a page, the task.

use std::sync::Arc;

use imbl::OrdSet;

use crate::domain::ids::{Revision, TaskKey};

/// The properties of a task that the table needs.
pub trait TableTask: Clone {
    /// Its key.
    fn key(&self) -> TaskKey;
    /// Whether one of its executions has not ended.
    fn busy(&self) -> bool;
}

/// Slots per page; also the number of bits of its mark.
const PAGE: usize = 64;
/// Pages per chapter; also the number of bits of its mark. Small in tests, so that they cover
/// several chapters.
const CHAPTER: usize = if cfg!(test) { 2 } else { 128 };

/// A page of tasks, and which of them are busy.
#[derive(Clone, Debug)]
struct TablePage<T> {
    tasks: [Option<Arc<T>>; PAGE],
    /// Bit s is for slot s. Derived.
    busy: u64,
}

/// A chapter of pages, and which of them have busy tasks.
#[derive(Clone, Debug)]
struct PageGroup<T> {
    pages: [Option<Arc<TablePage<T>>>; CHAPTER],
    /// Bit p is for page p. Derived.
    busy: u128,
}

/// Tasks by key.
#[derive(Clone, Debug)]
pub struct TaskTable<T> {
    chapters: Vec<Arc<PageGroup<T>>>,
    /// Number of slots up to the highest used one.
    end: usize,
    /// Slots below `end` without a task. Derived.
    free: OrdSet<u32>,
}

/// A position in the table.
#[derive(Clone, Copy)]
struct At {
    chapter: usize,
    page: usize,
    slot: usize,
}

impl At {
    const fn of(slot: usize) -> Self {
        let page = slot / PAGE;
        Self { chapter: page / CHAPTER, page: page % CHAPTER, slot: slot % PAGE }
    }
}

/// The busy bits of a task.
pub struct BusyMark<'a> {
    page: &'a mut u64,
    chapter: &'a mut u128,
    at: At,
}

impl BusyMark<'_> {
    /// Sets whether the task is busy.
    pub fn set(&mut self, busy: bool) {
        let bit = 1 << self.at.slot;
        *self.page = if busy { *self.page | bit } else { *self.page & !bit };
        let bit = 1 << self.at.page;
        *self.chapter = if *self.page == 0 { *self.chapter & !bit } else { *self.chapter | bit };
    }
}

impl<T> Default for TaskTable<T> {
    fn default() -> Self {
        Self { chapters: Vec::new(), end: 0, free: OrdSet::new() }
    }
}

impl<T: TableTask> TaskTable<T> {
    pub fn len(&self) -> usize {
        self.end - self.free.len()
    }

    /// The number of slots up to the highest one that has or had a task.
    pub const fn end(&self) -> usize {
        self.end
    }

    pub fn get(&self, key: TaskKey) -> Option<&Arc<T>> {
        self.at(key.slot()).filter(|task| task.key() == key)
    }

    /// The task in the slot of a key. Does not compare the task's key.
    pub fn peek(&self, key: TaskKey) -> Option<&T> {
        self.at(key.slot()).map(|task| &**task)
    }

    /// The task in a slot.
    pub fn at(&self, slot: usize) -> Option<&Arc<T>> {
        let at = At::of(slot);
        let page = self.chapters.get(at.chapter)?.pages.get(at.page)?.as_ref()?;
        page.tasks.get(at.slot)?.as_ref()
    }

    /// The task of a key, mutably, and its busy bits.
    pub fn get_mut(&mut self, key: TaskKey) -> Option<(&mut T, BusyMark<'_>)> {
        let at = At::of(key.slot());
        let PageGroup { pages, busy: chapter } = Arc::make_mut(self.chapters.get_mut(at.chapter)?);
        let TablePage { tasks, busy: page } = Arc::make_mut(pages.get_mut(at.page)?.as_mut()?);
        let task = tasks.get_mut(at.slot)?.as_mut().filter(|task| task.key() == key)?;
        Some((Arc::make_mut(task), BusyMark { page, chapter, at }))
    }

    fn pages(&self) -> impl Iterator<Item = &Arc<TablePage<T>>> {
        self.chapters.iter().flat_map(|chapter| chapter.pages.iter().flatten())
    }

    /// All tasks, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        let all = self.pages().flat_map(|page| page.tasks.iter().flatten());
        #[cfg(test)]
        let all = all.inspect(|_task| walks::note());
        all
    }

    /// The slots whose task is another record than in an older table, with what they had and have. What
    /// both tables share is not visited.
    pub fn changes<'a>(
        &'a self,
        older: &'a Self,
    ) -> impl Iterator<Item = (usize, Option<&'a Arc<T>>, Option<&'a Arc<T>>)> {
        let chapters = 0..self.chapters.len().max(older.chapters.len());
        let chapters = chapters.filter_map(|at| {
            let both = (older.chapters.get(at), self.chapters.get(at));
            (!same(both)).then_some((at, both))
        });
        let pages = chapters.flat_map(|(chapter, (old, new))| {
            (0..CHAPTER).filter_map(move |at| {
                let page = |group: &'a Arc<PageGroup<T>>| group.pages.get(at)?.as_ref();
                let both = (old.and_then(page), new.and_then(page));
                (!same(both)).then_some((chapter * CHAPTER + at, both))
            })
        });
        pages.flat_map(|(page, (old, new))| {
            (0..PAGE).filter_map(move |at| {
                let task = |page: &'a Arc<TablePage<T>>| page.tasks.get(at)?.as_ref();
                let both = (old.and_then(task), new.and_then(task));
                (!same(both)).then_some((page * PAGE + at, both.0, both.1))
            })
        })
    }

    /// The busy tasks, by slot. The other tasks are not visited.
    pub fn busy(&self) -> impl Iterator<Item = &Arc<T>> {
        let pages = self.chapters.iter().flat_map(|chapter| {
            bits(chapter.busy).filter_map(|page| chapter.pages.get(page)?.as_ref())
        });
        pages.flat_map(|page| {
            bits(u128::from(page.busy)).filter_map(|slot| page.tasks.get(slot)?.as_ref())
        })
    }

    /// The key of the next task: the lowest free slot, and the revision of the command that creates
    /// it, which distinguishes it from earlier tasks in the slot.
    pub fn vacancy(&self, revision: Revision) -> TaskKey {
        TaskKey::new(self.free.get_min().copied().unwrap_or_else(|| number(self.end)), revision)
    }

    /// Stores a task in its slot.
    pub fn insert(&mut self, task: T) {
        let slot = task.key().slot();
        while self.end <= slot {
            self.free.insert(number(self.end));
            self.end += 1;
        }
        self.free.remove(&number(slot));
        let former = self.put(slot, Some(Arc::new(task)));
        assert!(former.is_none(), "a slot must not have two tasks");
    }

    pub fn remove(&mut self, key: TaskKey) -> Option<Arc<T>> {
        self.get(key)?;
        self.free.insert(number(key.slot()));
        self.put(key.slot(), None)
    }

    fn put(&mut self, slot: usize, task: Option<Arc<T>>) -> Option<Arc<T>> {
        let at = At::of(slot);
        while self.chapters.len() <= at.chapter {
            let pages = [const { None }; CHAPTER];
            self.chapters.push(Arc::new(PageGroup { pages, busy: 0 }));
        }
        let PageGroup { pages, busy: chapter } = Arc::make_mut(self.chapters.get_mut(at.chapter)?);
        let page = pages
            .get_mut(at.page)?
            .get_or_insert_with(|| Arc::new(TablePage { tasks: [const { None }; PAGE], busy: 0 }));
        let TablePage { tasks, busy: page } = Arc::make_mut(page);
        let busy = task.as_ref().is_some_and(|task| task.busy());
        let former = std::mem::replace(tasks.get_mut(at.slot)?, task);
        BusyMark { page, chapter, at }.set(busy);
        former
    }

    /// The number of its pages that another table shares, and the number of its tasks.
    #[cfg(test)]
    pub fn shared(&self, other: &Self) -> (usize, usize) {
        let chapters = self.chapters.iter().zip(&other.chapters);
        let tasks = self
            .iter()
            .filter(|task| other.get(task.key()).is_some_and(|same| Arc::ptr_eq(task, same)));
        (chapters.filter(|(one, same)| Arc::ptr_eq(one, same)).count(), tasks.count())
    }
}

/// Whether two places share what they have, or have nothing.
fn same<T>(both: (Option<&Arc<T>>, Option<&Arc<T>>)) -> bool {
    match both {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// The indexes of the bits that are set, in increasing order.
fn bits(mut mask: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = mask.trailing_zeros();
        mask &= mask.checked_sub(1)?;
        Some(bit as usize)
    })
}

fn number(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}

/// Counts the tasks that were visited by iterations over all tasks, in this thread.
#[cfg(test)]
pub mod walks {
    use std::cell::Cell;

    thread_local! {
        static SEEN: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) fn note() {
        SEEN.set(SEEN.get() + 1);
    }

    pub fn seen() -> usize {
        SEEN.get()
    }
}
