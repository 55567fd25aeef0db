//! Executions that concern this node: those that wait for a slot, in their start order, and those
//! granted to its session.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::{ExecutionId, Fence, TaskKey};
use crate::domain::machine::WaitingExecution;
use crate::domain::machine::record::{Execution, Status, Trigger};

use super::line_turns::LineTurns;
use super::view::EngineView;

/// Whether an execution can be requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartEligibility {
    /// It can be requested.
    Askable,
    /// Not before its task, the scheduler or the nodes change.
    Held,
    /// Not before the time of its next attempt.
    Delayed,
    /// Not before its lines change.
    InLine,
    /// It no longer waits.
    Over,
}

/// Whether this node can request a waiting execution.
pub(super) fn eligibility(
    one: &WaitingExecution,
    view: &EngineView<'_>,
    turns: &mut LineTurns,
) -> StartEligibility {
    let task = view.state.task(one.task);
    let found = task.and_then(|task| Some((task, task.history.execution(one.execution)?)));
    match found {
        Some((task, found)) if waits(found) => {
            let scheduler = view.state.cluster().scheduler;
            let held = found.tick.is_some() && (task.inactive().is_some() || !scheduler);
            let owned = view.session.is_some() && view.owns(task);
            if found.next_attempt_at().is_some_and(|at| at > view.now) {
                StartEligibility::Delayed
            } else if held || !owned {
                StartEligibility::Held
            } else if turns.is_next(task, one, view) {
                StartEligibility::Askable
            } else {
                StartEligibility::InLine
            }
        }
        Some(_) | None => StartEligibility::Over,
    }
}

/// Whether an execution waits for a node to request it. A caller's claim does not.
pub(super) fn waits(execution: &Execution) -> bool {
    execution.status == Status::Pending && execution.trigger != Trigger::Claim
}

/// The executions that this node considers. Of those in a line, it has only the ones that can start
/// now.
#[derive(Debug, Default)]
pub(super) struct WaitingList {
    waiting: BTreeSet<WaitingExecution>,
    /// Those that this node cannot request now.
    aside: BTreeMap<(TaskKey, ExecutionId), WaitingExecution>,
    /// Those whose request had no result. They are requested again after a while.
    refused: Vec<WaitingExecution>,
    /// With the newest grant that is not begun any more, because it was asked for again or given back.
    granted: BTreeMap<(TaskKey, ExecutionId), Option<Fence>>,
}

impl WaitingList {
    /// Adds an execution that waits.
    pub fn add(&mut self, one: WaitingExecution) {
        self.aside.remove(&(one.task, one.execution));
        self.waiting.insert(one);
    }

    /// Removes and returns the one that starts next.
    pub fn take_next(&mut self) -> Option<WaitingExecution> {
        self.waiting.pop_first()
    }

    /// The number of executions that wait for a slot.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Sets an execution aside until something changes.
    pub fn set_aside(&mut self, one: WaitingExecution) {
        self.aside.insert((one.task, one.execution), one);
    }

    /// Sets an execution aside until [`WaitingList::retry`].
    pub fn refuse(&mut self, one: WaitingExecution) {
        self.refused.push(one);
    }

    /// Adds those again whose request had no result.
    pub fn retry(&mut self) {
        for one in std::mem::take(&mut self.refused) {
            self.add(one);
        }
    }

    /// A task changed, so its executions that were set aside may be requestable now.
    pub fn task_changed(&mut self, task: TaskKey) {
        let all = (task, ExecutionId(0))..=(task, ExecutionId(u64::MAX));
        let changed: Vec<WaitingExecution> = self.aside.range(all).map(|(_, one)| *one).collect();
        for one in changed {
            self.add(one);
        }
    }

    /// The nodes or the scheduler changed, so all that were set aside may be requestable now.
    pub fn all_changed(&mut self) {
        self.waiting.extend(std::mem::take(&mut self.aside).into_values());
    }

    /// Records a grant to this session.
    pub fn grant(&mut self, task: TaskKey, execution: ExecutionId) {
        self.granted.entry((task, execution)).or_default();
    }

    /// Records that a grant is not begun any more: this node asks for another one or gives it back.
    pub fn give_up(&mut self, task: TaskKey, execution: ExecutionId, fence: Fence) {
        let newest = self.granted.entry((task, execution)).or_default();
        *newest = (*newest).max(Some(fence));
    }

    /// Whether a grant is not begun any more.
    pub fn gave_up(&self, task: TaskKey, execution: ExecutionId, fence: Fence) -> bool {
        let newest = self.granted.get(&(task, execution));
        newest.is_some_and(|newest| *newest >= Some(fence)) && !bug!("late-grant-begun")
    }

    /// Records that an execution is no longer granted to this session. It may wait again.
    pub fn ungrant(&mut self, task: TaskKey, execution: ExecutionId) {
        self.granted.remove(&(task, execution));
    }

    /// The executions granted to this session.
    pub fn granted(&self) -> Vec<(TaskKey, ExecutionId)> {
        self.granted.keys().copied().collect()
    }

    /// Whether an execution was set aside or granted to this session.
    pub fn knows(&self, task: TaskKey, execution: ExecutionId) -> bool {
        self.aside.contains_key(&(task, execution)) || self.granted.contains_key(&(task, execution))
    }

    /// Whether an execution of a task was set aside.
    pub fn has_set_aside(&self, task: TaskKey) -> bool {
        let all = (task, ExecutionId(0))..=(task, ExecutionId(u64::MAX));
        self.aside.range(all).next().is_some()
    }

    /// Records the end of an execution. If it waits for a slot, this is detected when its turn
    /// comes.
    pub fn end(&mut self, task: TaskKey, execution: ExecutionId) {
        self.aside.remove(&(task, execution));
        self.granted.remove(&(task, execution));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn one(at: i64, execution: u64, task: u64) -> WaitingExecution {
        WaitingExecution {
            rank: 4,
            at: Timestamp(at),
            execution: ExecutionId(execution),
            task: TaskKey(task),
        }
    }

    fn rest(waiting: &mut WaitingList) -> Vec<u64> {
        std::iter::from_fn(|| waiting.take_next()).map(|one| one.execution.0).collect()
    }

    #[test]
    fn the_oldest_tick_starts_first() {
        let mut waiting = WaitingList::default();
        for (at, execution) in [(20, 4), (10, 9), (20, 3), (10, 7)] {
            waiting.add(one(at, execution, execution));
        }
        waiting.add(one(10, 9, 9));
        assert_eq!(rest(&mut waiting), [7, 9, 3, 4]);
    }

    #[test]
    fn a_higher_priority_starts_before_an_older_tick() {
        let mut waiting = WaitingList::default();
        waiting.add(one(10, 1, 1));
        waiting.add(WaitingExecution { rank: 0, ..one(30, 2, 2) });
        waiting.add(WaitingExecution { rank: 9, ..one(5, 3, 3) });
        assert_eq!(rest(&mut waiting), [2, 1, 3]);
    }

    #[test]
    fn what_is_set_aside_comes_back_when_something_changes() {
        let mut waiting = WaitingList::default();
        for execution in 1..=4 {
            waiting.set_aside(one(10, execution, execution % 2));
        }
        waiting.end(TaskKey(1), ExecutionId(3));
        waiting.task_changed(TaskKey(1));
        assert_eq!(rest(&mut waiting), [1]);
        waiting.all_changed();
        assert_eq!(rest(&mut waiting), [2, 4]);
        waiting.refuse(one(10, 5, 5));
        waiting.all_changed();
        assert_eq!(waiting.len(), 0);
        waiting.retry();
        waiting.retry();
        assert_eq!(rest(&mut waiting), [5]);
    }
}
