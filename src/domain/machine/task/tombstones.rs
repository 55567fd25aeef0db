//! The deleted marks of names: how many there are, and which of them are old enough to forget what
//! they stood for.

use imbl::OrdSet;

use super::record::LiveRecord;
use crate::domain::ids::TaskKey;
#[cfg(test)]
use crate::domain::machine::limits::TOMBSTONES_MAX;
use crate::domain::time::Timestamp;

/// The marks, derived from the tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeletedMarks {
    len: usize,
    /// Those that still know a definition or a past, by age.
    whole: OrdSet<(Timestamp, TaskKey)>,
}

impl DeletedMarks {
    pub const fn len(&self) -> usize {
        self.len
    }

    /// The oldest mark that still knows a definition or a past, and since when it is set.
    pub fn oldest_whole(&self) -> Option<(Timestamp, TaskKey)> {
        self.whole.get_min().copied()
    }

    /// Notes that a task came with this record.
    pub fn add(&mut self, key: TaskKey, live: &LiveRecord) {
        let Some(mark) = &live.deleted else { return };
        self.len += 1;
        if live.definition.is_some() {
            self.whole.insert((mark.at, key));
        }
    }

    /// Notes that a task went, or has another record now.
    pub fn remove(&mut self, key: TaskKey, live: &LiveRecord) {
        let Some(mark) = &live.deleted else { return };
        self.len = self.len.saturating_sub(1);
        self.whole.remove(&(mark.at, key));
    }
}

#[cfg(test)]
impl DeletedMarks {
    /// As many as there may be.
    pub const fn fill(&mut self) {
        self.len = TOMBSTONES_MAX;
    }
}
