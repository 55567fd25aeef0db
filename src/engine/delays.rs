//! When the attempts are due that executions wait for after a failed or lost one.

use crate::domain::machine::DelayedExecution;
use crate::domain::time::Timestamp;

use super::view::EngineView;

/// Which of them were looked at, and the alarm for the next one.
#[derive(Debug, Default)]
pub(super) struct DelayWatch {
    /// Those that were due by then were taken in.
    looked: Timestamp,
    /// The alarm that is set.
    alarm: Option<Timestamp>,
    /// Whether there may be one that is due before the alarm.
    changed: bool,
}

impl DelayWatch {
    /// There is one more, or the alarm rang.
    pub fn change(&mut self) {
        self.changed = true;
    }

    /// Whether a look may find something.
    pub fn changed(&self) -> bool {
        self.changed
    }

    /// Those that became due since the last look, and when to be woken, if no alarm is set that
    /// rings by then. Whoever owns their tasks looks at them then.
    pub fn look(&mut self, view: &EngineView<'_>) -> (Vec<DelayedExecution>, Option<Timestamp>) {
        let delayed = view.state.delayed();
        let due: Vec<DelayedExecution> =
            delayed.after(self.looked).take_while(|one| one.due <= view.now).collect();
        // Cluster time may have been set back.
        self.looked = view.now;
        self.changed = false;
        let next = delayed.after(view.now).next().map(|one| one.due);
        let set = self.alarm.filter(|alarm| *alarm > view.now);
        let wake = next.filter(|next| set.is_none_or(|set| *next < set));
        self.alarm = wake.or(set);
        (due, wake)
    }
}
