//! The tasks, in pages of slots. A key says its slot, so that a claim finds its task with three
//! look-ups.
//!
//! Pages hang below chapters, and a clone shares the chapters: a million tasks are some hundred
//! pointers, so that a frozen view costs about the same whatever the number of tasks. What is changed
//! after a clone is copied on the way to it: a chapter, a page, the task.

use std::sync::Arc;

use imbl::OrdSet;

use crate::domain::ids::{Revision, TaskKey};

/// What the table has to know of a task.
pub trait TableTask: Clone {
    /// What names it.
    fn key(&self) -> TaskKey;
    /// Whether an execution of it has not ended.
    fn busy(&self) -> bool;
}

/// Slots of a page; the bits of its mark.
const PAGE: usize = 64;
/// Pages of a chapter; the bits of its mark. Few in tests, so that they meet many chapters.
const CHAPTER: usize = if cfg!(test) { 2 } else { 128 };

/// Some tasks, and of which of them an execution has not ended.
#[derive(Clone, Debug)]
struct TablePage<T> {
    tasks: [Option<Arc<T>>; PAGE],
    /// Bit s stands for slot s; derived.
    busy: u64,
}

/// Some pages, and which of them have busy tasks.
#[derive(Clone, Debug)]
struct Chapter<T> {
    pages: [Option<Arc<TablePage<T>>>; CHAPTER],
    /// Bit p stands for page p; derived.
    busy: u128,
}

/// Tasks by key.
#[derive(Clone, Debug)]
pub struct TaskTable<T> {
    chapters: Vec<Arc<Chapter<T>>>,
    /// Slots below the end.
    end: usize,
    /// Slots below the end that hold no task; derived.
    free: OrdSet<u32>,
}

/// A place in the table.
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

/// Where it is marked whether a task is busy.
pub struct BusyMark<'a> {
    page: &'a mut u64,
    chapter: &'a mut u128,
    at: At,
}

impl BusyMark<'_> {
    /// Marks the task as busy, or not.
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

    /// Slots that hold a task, or held one: the highest is below.
    pub const fn end(&self) -> usize {
        self.end
    }

    pub fn get(&self, key: TaskKey) -> Option<&Arc<T>> {
        self.at(key.slot()).filter(|task| task.key() == key)
    }

    /// Whatever task is in the slot, without looking into it.
    pub fn peek(&self, key: TaskKey) -> Option<&T> {
        self.at(key.slot()).map(|task| &**task)
    }

    /// The task in a slot.
    pub fn at(&self, slot: usize) -> Option<&Arc<T>> {
        let at = At::of(slot);
        let page = self.chapters.get(at.chapter)?.pages.get(at.page)?.as_ref()?;
        page.tasks.get(at.slot)?.as_ref()
    }

    /// A task to be changed, and where it is marked as busy.
    pub fn get_mut(&mut self, key: TaskKey) -> Option<(&mut T, BusyMark<'_>)> {
        let at = At::of(key.slot());
        let Chapter { pages, busy: chapter } = Arc::make_mut(self.chapters.get_mut(at.chapter)?);
        let TablePage { tasks, busy: page } = Arc::make_mut(pages.get_mut(at.page)?.as_mut()?);
        let task = tasks.get_mut(at.slot)?.as_mut().filter(|task| task.key() == key)?;
        Some((Arc::make_mut(task), BusyMark { page, chapter, at }))
    }

    fn pages(&self) -> impl Iterator<Item = &Arc<TablePage<T>>> {
        self.chapters.iter().flat_map(|chapter| chapter.pages.iter().flatten())
    }

    /// By slot.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        let all = self.pages().flat_map(|page| page.tasks.iter().flatten());
        #[cfg(test)]
        let all = all.inspect(|_task| walks::note());
        all
    }

    /// Those of which an execution has not ended, by slot. The others are not looked at.
    pub fn busy(&self) -> impl Iterator<Item = &Arc<T>> {
        let pages = self.chapters.iter().flat_map(|chapter| {
            bits(chapter.busy).filter_map(|page| chapter.pages.get(page)?.as_ref())
        });
        pages.flat_map(|page| {
            bits(u128::from(page.busy)).filter_map(|slot| page.tasks.get(slot)?.as_ref())
        })
    }

    /// The key of a task that is to come: the lowest free slot, told from its former tenants by the
    /// command that creates it.
    pub fn vacancy(&self, revision: Revision) -> TaskKey {
        TaskKey::new(self.free.get_min().copied().unwrap_or_else(|| number(self.end)), revision)
    }

    /// Puts a task into its slot.
    pub fn insert(&mut self, task: T) {
        let slot = task.key().slot();
        while self.end <= slot {
            self.free.insert(number(self.end));
            self.end += 1;
        }
        self.free.remove(&number(slot));
        let former = self.put(slot, Some(Arc::new(task)));
        assert!(former.is_none(), "two tasks never share a slot: their keys would lead to one");
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
            self.chapters.push(Arc::new(Chapter { pages, busy: 0 }));
        }
        let Chapter { pages, busy: chapter } = Arc::make_mut(self.chapters.get_mut(at.chapter)?);
        let page = pages
            .get_mut(at.page)?
            .get_or_insert_with(|| Arc::new(TablePage { tasks: [const { None }; PAGE], busy: 0 }));
        let TablePage { tasks, busy: page } = Arc::make_mut(page);
        let busy = task.as_ref().is_some_and(|task| task.busy());
        let former = std::mem::replace(tasks.get_mut(at.slot)?, task);
        BusyMark { page, chapter, at }.set(busy);
        former
    }

    /// How many of its pages another table shares, and of its tasks.
    #[cfg(test)]
    pub fn shared(&self, other: &Self) -> (usize, usize) {
        let chapters = self.chapters.iter().zip(&other.chapters);
        let tasks = self
            .iter()
            .filter(|task| other.get(task.key()).is_some_and(|same| Arc::ptr_eq(task, same)));
        (chapters.filter(|(one, same)| Arc::ptr_eq(one, same)).count(), tasks.count())
    }
}

/// The numbers of the bits that are set, rising.
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

/// How many tasks were looked at by those who look at all, in this thread.
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
