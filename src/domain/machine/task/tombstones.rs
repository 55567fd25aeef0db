//! The deleted marks of names: their number, and which of them are old enough to drop the retained
//! definition and history.

use imbl::OrdSet;

use super::record::LiveRecord;
use crate::domain::ids::TaskKey;
#[cfg(test)]
use crate::domain::machine::limits::TOMBSTONES_MAX;
use crate::domain::time::Timestamp;

/// The deleted marks, derived from the tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedMarks {
    len: usize,
    /// Marks that still have a definition or a history, by age.
    whole: OrdSet<(Timestamp, TaskKey)>,
}

impl DeletedMarks {
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The oldest mark that still has a definition or a history, and the time at which it was set.
    pub fn oldest_whole(&self) -> Option<(Timestamp, TaskKey)> {
        self.whole.get_min().copied()
    }

    /// Adds a task with this record.
    pub fn add(&mut self, key: TaskKey, live: &LiveRecord) {
        let Some(mark) = &live.deleted else { return };
        self.len += 1;
        if live.definition.is_some() {
            self.whole.insert((mark.at, key));
        }
    }

    /// Removes a task that had this record.
    pub fn remove(&mut self, key: TaskKey, live: &LiveRecord) {
        let Some(mark) = &live.deleted else { return };
        self.len = self.len.saturating_sub(1);
        self.whole.remove(&(mark.at, key));
    }
}

#[cfg(test)]
impl DeletedMarks {
    /// Sets the number of marks to the maximum.
    pub const fn fill(&mut self) {
        self.len = TOMBSTONES_MAX;
    }
}
