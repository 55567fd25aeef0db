//! Tasks without an actor, and their alarms.

use std::collections::HashMap;

use crate::domain::ids::TaskKey;
use crate::domain::settling::NextDecision;
use crate::domain::time::{Millis, Timestamp};

/// The longest lead of the contract. Alarms are set for this lead, because the current lead changes
/// with every measurement.
pub(super) const LEAD_MAX: Millis = Millis(100);

/// The needs of an owned task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// An actor now.
    Actor,
    /// An actor from this time on.
    Alarm(Timestamp),
    /// Nothing until it changes.
    Nothing,
}

/// The needs of a task with this outlook, computed with the longest lead.
pub(super) fn need(outlook: NextDecision, horizon: Millis, now: Timestamp) -> Need {
    match outlook {
        NextDecision::Idle => Need::Nothing,
        NextDecision::Due => Need::Actor,
        NextDecision::Wake(at) if at.minus(horizon) <= now => Need::Actor,
        NextDecision::Wake(at) => Need::Alarm(at.minus(horizon)),
    }
}

/// Whether an actor with nothing to do before `wake` may end. `wake` may be computed with any lead.
/// [`need`] then results in an alarm for the task, not in a new actor.
pub(super) fn may_sleep(wake: Timestamp, horizon: Millis, now: Timestamp) -> bool {
    wake.minus(horizon).minus(LEAD_MAX) > now
}

/// The current alarms, one per task.
#[derive(Debug, Default)]
pub(super) struct Sleepers(HashMap<TaskKey, Timestamp>);

impl Sleepers {
    /// Whether an alarm must be set to wake a task at `at`. An earlier alarm that is already set is
    /// sufficient.
    pub fn arm(&mut self, task: TaskKey, at: Timestamp) -> bool {
        if self.0.get(&task).is_some_and(|set| *set <= at) {
            return false;
        }
        self.0.insert(task, at);
        true
    }

    /// Whether an alarm is set for a task.
    pub fn has(&self, task: TaskKey) -> bool {
        self.0.contains_key(&task)
    }

    /// Whether a due alarm is the current one, and was not replaced by an earlier one. If replaced
    /// alarms were set again, their number would increase with every change.
    pub fn is_current_alarm(&mut self, task: TaskKey, at: Timestamp) -> bool {
        let counts = self.0.get(&task) == Some(&at);
        if counts {
            self.0.remove(&task);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HORIZON: Millis = Millis(10_000);
    const TASK: TaskKey = TaskKey(1);

    #[test]
    fn looks_at_all_tasks_set_no_further_alarms() {
        let mut sleepers = Sleepers::default();
        let due = Timestamp(86_400_000);
        let mut alarms = 0;
        for sweep in 0..1_000 {
            let now = Timestamp(sweep * 30_000);
            let Need::Alarm(at) = need(NextDecision::Wake(due.minus(LEAD_MAX)), HORIZON, now)
            else {
                panic!("a day away at {now}")
            };
            alarms += u32::from(sleepers.arm(TASK, at));
        }
        assert_eq!(alarms, 1);
    }

    /// A task that is paused and resumed repeatedly has one alarm per earlier time, and replaced
    /// alarms are dropped.
    #[test]
    fn replaced_alarms_are_not_set_again() {
        let mut sleepers = Sleepers::default();
        let mut heap = std::collections::BTreeSet::new();
        for at in [500, 400, 450, 300, 600] {
            if sleepers.arm(TASK, Timestamp(at)) {
                heap.insert(at);
            }
        }
        assert_eq!(heap, [300, 400, 500].into());
        let mut woken = 0;
        while let Some(at) = heap.pop_first() {
            if sleepers.is_current_alarm(TASK, Timestamp(at)) {
                woken += 1;
                // Its next tick is in the far future.
                if at < 1_000 && sleepers.arm(TASK, Timestamp(at + 1_000)) {
                    heap.insert(at + 1_000);
                }
            }
        }
        assert_eq!(woken, 2, "the alarms at 300 and at 1300");
    }

    /// An actor that ends must not be started again immediately, whatever the current lead is.
    #[test]
    fn whoever_may_sleep_needs_no_actor() {
        let due = Timestamp(60_000);
        for lead in [5, 20, 100] {
            let wake = due.minus(Millis(lead));
            for now in 40_000..60_000 {
                let now = Timestamp(now);
                let needs = need(NextDecision::Wake(due.minus(LEAD_MAX)), HORIZON, now);
                if may_sleep(wake, HORIZON, now) {
                    assert!(matches!(needs, Need::Alarm(at) if at > now), "{lead} {now}");
                }
            }
        }
        assert!(may_sleep(due, HORIZON, Timestamp(49_899)));
        assert!(!may_sleep(due, HORIZON, Timestamp(49_900)));
    }
}
