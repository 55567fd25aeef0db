//! Whose each kept execution is. Ids only rise, so a persistent list in their order serves: adding
//! costs next to nothing, finding is a binary search, and what is gone is swept out by and by.

use imbl::Vector;

use crate::domain::ids::{ExecutionId, TaskKey};

/// Entries that may be gone before the list is swept, beside half of it.
const GONE_MIN: usize = 4_096;

/// Tasks by execution.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    entries: Vector<(ExecutionId, Option<TaskKey>)>,
    gone: usize,
}

impl Index {
    /// Adds the newest.
    pub fn push(&mut self, id: ExecutionId, task: TaskKey) {
        self.entries.push_back((id, Some(task)));
    }

    pub fn get(&self, id: ExecutionId) -> Option<TaskKey> {
        let at = self.entries.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.entries.get(at)?.1
    }

    pub fn remove(&mut self, id: ExecutionId) {
        let Ok(at) = self.entries.binary_search_by_key(&id, |(id, _)| *id) else { return };
        if self.entries.set(at, (id, None)).1.is_some() {
            self.gone += 1;
        }
        if self.gone > GONE_MIN + self.entries.len() / 2 {
            self.entries =
                self.entries.iter().filter(|(_, task)| task.is_some()).copied().collect();
            self.gone = 0;
        }
    }

    /// Newest first, below `before`.
    pub fn before(&self, before: ExecutionId) -> impl Iterator<Item = (ExecutionId, TaskKey)> + '_ {
        let end = match self.entries.binary_search_by_key(&before, |(id, _)| *id) {
            Ok(end) | Err(end) => end,
        };
        let all = (0..end).rev().filter_map(|at| self.entries.get(at));
        all.filter_map(|(id, task)| Some((*id, (*task)?)))
    }
}

impl FromIterator<(ExecutionId, TaskKey)> for Index {
    fn from_iter<I: IntoIterator<Item = (ExecutionId, TaskKey)>>(all: I) -> Self {
        let mut sorted: Vec<_> = all.into_iter().map(|(id, task)| (id, Some(task))).collect();
        sorted.sort_unstable_by_key(|(id, _)| *id);
        Self { entries: sorted.into_iter().collect(), gone: 0 }
    }
}
