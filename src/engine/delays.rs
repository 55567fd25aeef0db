//! Finds executions whose next attempt is due after a failed or lost one.

use crate::domain::machine::DelayedExecution;
use crate::domain::time::Timestamp;

use super::view::EngineView;

/// The time up to which delayed executions were processed, and the alarm for the next one.
#[derive(Debug, Default)]
pub(super) struct DelayWatch {
    /// Executions due up to this time were processed.
    looked: Timestamp,
    /// The alarm that is set.
    alarm: Option<Timestamp>,
    /// Whether there may be an execution that is due before the alarm.
    changed: bool,
}

impl DelayWatch {
    /// Records a new delayed execution, or an alarm.
    pub fn change(&mut self) {
        self.changed = true;
    }

    /// Whether a call of [`DelayWatch::look`] may find something.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// The executions that became due since the last call, and the time of the alarm to set, if no
    /// alarm is set for that time or earlier. The owners of their tasks then check them.
    pub fn look(&mut self, view: &EngineView<'_>) -> (Vec<DelayedExecution>, Option<Timestamp>) {
        let delayed = view.state.delayed();
        let due: Vec<DelayedExecution> = delayed.between(self.looked, view.now).collect();
        // Cluster time may have been reset to an earlier time.
        self.looked = view.now;
        self.changed = false;
        let next = delayed.after(view.now).next().map(|one| one.due);
        let set = self.alarm.filter(|alarm| *alarm > view.now);
        let wake = next.filter(|next| set.is_none_or(|set| *next < set));
        self.alarm = wake.or(set);
        (due, wake)
    }
}
