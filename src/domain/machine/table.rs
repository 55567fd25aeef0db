//! The tasks, in a persistent table of slots. A key says its slot, so that a claim finds its task
//! without a search; a clone costs a few pointers.

use std::sync::Arc;

use imbl::{OrdSet, Vector};

use crate::domain::ids::{Revision, TaskKey};

use super::state::Task;

/// Tasks by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    slots: Vector<Option<Arc<Task>>>,
    /// Slots below the end that hold no task; derived.
    free: OrdSet<u32>,
}

impl Table {
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn get(&self, key: TaskKey) -> Option<&Arc<Task>> {
        self.slots.get(key.slot())?.as_ref().filter(|task| task.key == key)
    }

    pub fn get_mut(&mut self, key: TaskKey) -> Option<&mut Task> {
        let task = self.slots.get_mut(key.slot())?.as_mut()?;
        if task.key == key { Some(Arc::make_mut(task)) } else { None }
    }

    /// By slot.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.slots.iter().flatten()
    }

    /// The key of a task that is to come: the lowest free slot, told from its former tenants by the
    /// command that creates it.
    pub fn vacancy(&self, revision: Revision) -> TaskKey {
        let end = || u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        TaskKey::new(self.free.get_min().copied().unwrap_or_else(end), revision)
    }

    /// Puts a task into its slot.
    pub fn insert(&mut self, task: Task) {
        let slot = task.key.slot();
        while self.slots.len() <= slot {
            self.free.insert(u32::try_from(self.slots.len()).unwrap_or(u32::MAX));
            self.slots.push_back(None);
        }
        self.free.remove(&u32::try_from(slot).unwrap_or(u32::MAX));
        self.slots.set(slot, Some(Arc::new(task)));
    }

    pub fn remove(&mut self, key: TaskKey) -> Option<Arc<Task>> {
        self.get(key)?;
        self.free.insert(u32::try_from(key.slot()).unwrap_or(u32::MAX));
        self.slots.set(key.slot(), None)
    }
}
