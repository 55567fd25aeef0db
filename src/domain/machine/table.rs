//! The tasks, in pages of slots. A key says its slot, so that a claim finds its task with two
//! look-ups; a clone shares the pages, and costs a pointer for each.

use std::sync::Arc;

use imbl::OrdSet;

use crate::domain::ids::{Revision, TaskKey};

use super::state::Task;

/// Slots of a page.
const PAGE: usize = 64;

type Page = [Option<Arc<Task>>; PAGE];

/// Tasks by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pages: Vec<Arc<Page>>,
    /// Slots below the end.
    end: usize,
    /// Slots below the end that hold no task; derived.
    free: OrdSet<u32>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.end - self.free.len()
    }

    pub fn get(&self, key: TaskKey) -> Option<&Arc<Task>> {
        let page = self.pages.get(key.slot() / PAGE)?;
        page[key.slot() % PAGE].as_ref().filter(|task| task.key == key)
    }

    /// Whatever task is in the slot, without looking into it.
    pub fn peek(&self, key: TaskKey) -> Option<&Task> {
        self.pages.get(key.slot() / PAGE)?[key.slot() % PAGE].as_deref()
    }

    pub fn get_mut(&mut self, key: TaskKey) -> Option<&mut Task> {
        let page = self.pages.get_mut(key.slot() / PAGE)?;
        let task = Arc::make_mut(page)[key.slot() % PAGE].as_mut()?;
        if task.key == key { Some(Arc::make_mut(task)) } else { None }
    }

    /// By slot.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.pages.iter().flat_map(|page| page.iter()).flatten()
    }

    /// The key of a task that is to come: the lowest free slot, told from its former tenants by the
    /// command that creates it.
    pub fn vacancy(&self, revision: Revision) -> TaskKey {
        TaskKey::new(self.free.get_min().copied().unwrap_or_else(|| number(self.end)), revision)
    }

    /// Puts a task into its slot.
    pub fn insert(&mut self, task: Task) {
        let slot = task.key.slot();
        while self.end <= slot {
            self.free.insert(number(self.end));
            self.end += 1;
        }
        while self.pages.len() * PAGE < self.end {
            self.pages.push(Arc::new([const { None }; PAGE]));
        }
        self.free.remove(&number(slot));
        *self.place(slot) = Some(Arc::new(task));
    }

    pub fn remove(&mut self, key: TaskKey) -> Option<Arc<Task>> {
        self.get(key)?;
        self.free.insert(number(key.slot()));
        self.place(key.slot()).take()
    }

    /// A slot below the end.
    fn place(&mut self, slot: usize) -> &mut Option<Arc<Task>> {
        &mut Arc::make_mut(&mut self.pages[slot / PAGE])[slot % PAGE]
    }
}

fn number(slot: usize) -> u32 {
    u32::try_from(slot).unwrap_or(u32::MAX)
}
