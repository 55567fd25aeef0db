//! The deleted marks of names: how many there are, and which of them are old enough to forget what
//! they stood for.

use imbl::OrdSet;

use crate::domain::ids::TaskKey;
use crate::domain::time::Timestamp;

use crate::domain::machine::apply::Context;
use crate::domain::machine::effect::Effect;
use crate::domain::machine::limits::{TOMBSTONE_AGE, TOMBSTONES_MAX};
use crate::domain::machine::response::Refusal;
use crate::domain::machine::state::{State, Task};

/// The marks, derived from the tasks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::domain::machine) struct Marks {
    len: usize,
    /// Those that still know a definition or a past, by age.
    whole: OrdSet<(Timestamp, TaskKey)>,
}

impl Marks {
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Notes that a task came as it is, or that it is about to go or to change.
    pub fn note(&mut self, task: &Task, gone: bool) {
        let Some(mark) = &task.live.deleted else { return };
        let entry = (mark.at, task.key);
        if gone {
            self.len = self.len.saturating_sub(1);
            self.whole.remove(&entry);
            return;
        }
        self.len += 1;
        if task.live.definition.is_some() {
            self.whole.insert(entry);
        }
    }
}

#[cfg(test)]
impl Marks {
    /// As many as there may be.
    pub const fn fill(&mut self) {
        self.len = TOMBSTONES_MAX;
    }
}

impl State {
    /// Refuses one more mark than may be.
    pub(in crate::domain::machine) const fn room_for_mark(&self) -> Result<(), Refusal> {
        if self.marks.len() >= TOMBSTONES_MAX { Err(Refusal::Full) } else { Ok(()) }
    }

    /// Takes from the oldest mark what it no longer has to know. Each entry does this for one, so
    /// that none takes long.
    pub(in crate::domain::machine) fn forget_old_mark(
        &mut self,
        cx: &Context<'_>,
        effects: &mut Vec<Effect>,
    ) {
        let Some((at, key)) = self.marks.whole.get_min().copied() else { return };
        if cx.stamp.since(at) <= TOMBSTONE_AGE {
            return;
        }
        if let Some(mut hand) = self.hand(cx, key, effects) {
            hand.forget();
        }
    }
}
