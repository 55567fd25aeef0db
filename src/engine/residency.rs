//! Decides which tasks have an actor: owned tasks whose next tick is near. All other tasks have
//! only an alarm, or nothing.
//!
//! [`Residency::on`] takes one event, updates plain tables and returns the actions to execute. The
//! needs of a task are computed outside, from the state and its ticks, and passed in as
//! [`ResidencyEvent::Assessed`]. The node actor executes the actions
//! ([`task_control`](super::task_control)).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use crate::domain::ids::TaskKey;
use crate::domain::time::Timestamp;

use super::limits::AFTER_FAILURE;
use super::moved::{AfterCompare, Compares, MembersChange, MovedTasks};
use super::sleepers::{Need, Sleepers};

/// Number of tasks processed before other messages are handled.
const SLICE: usize = 500;

/// Distinguishes an actor of a task from earlier actors of the task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Residence(pub u64);

/// An event.
#[derive(Clone, Debug)]
pub(super) enum ResidencyEvent {
    /// A task's cursor moved.
    Settled(TaskKey),
    /// A task changed.
    Changed(TaskKey),
    /// All tasks must be checked. The list has all tasks.
    Sweep(VecDeque<TaskKey>),
    /// The members changed.
    MembersChanged(MembersChange),
    /// Other members give these tasks to this node, or take them from it. The flag is true with the
    /// last ones of a compare.
    Moved(MovedTasks, bool),
    /// Alarms of tasks are due, each with its time.
    AlarmsDue(Vec<(TaskKey, Timestamp)>),
    /// The next slice of the tasks can be checked.
    Continue,
    /// The current needs of a task, in reply to [`ResidencyDo::Assess`]. The error is the reason
    /// why its ticks cannot be computed.
    Assessed { task: TaskKey, need: Result<Need, String>, swept: bool },
    /// A task's actor ended itself, because it has nothing to do before this time.
    Asleep(TaskKey, Residence, Option<Timestamp>),
    /// A task's actor does not accept messages any more.
    Unreachable(TaskKey),
    /// A task's actor failed, or could not be started.
    Failed(TaskKey),
}

/// An action to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ResidencyDo {
    /// Send a message to the task's actor to check the state.
    Look(TaskKey),
    /// Compute the needs of a task and reply immediately with [`ResidencyEvent::Assessed`]. The
    /// flag is true if this is part of a check of all tasks, or of those that moved here.
    Assess(TaskKey, bool),
    /// Start an actor for a task.
    Activate(TaskKey, Residence),
    /// Forget the actor of a task.
    Forget(TaskKey),
    /// Set an alarm for a task.
    SetAlarm(TaskKey, Timestamp),
    /// Compare the owners of all tasks, and send what is found as [`ResidencyEvent::Moved`].
    Compare(MembersChange),
    /// Send [`ResidencyEvent::Continue`], to be handled after the waiting messages.
    Continue,
    /// Log that this node took over this number of tasks.
    TookOver(usize),
    /// Log, once, why a task's ticks cannot be computed.
    Unreadable(TaskKey, String),
}

/// The tasks of this node.
#[derive(Debug, Default)]
pub(super) struct Residency {
    /// Tasks with an actor.
    residents: HashMap<TaskKey, Residence>,
    last: Residence,
    asleep: Sleepers,
    /// Tasks to be checked because their alarms were due.
    awake: VecDeque<TaskKey>,
    /// Tasks to be checked because they moved here. Those that need something first come first.
    moved: BTreeSet<(Timestamp, TaskKey)>,
    /// The compares that find them.
    compares: Compares,
    /// Tasks that were found not to be this node's while a compare runs.
    not_owned: BTreeSet<TaskKey>,
    /// Other tasks to be checked.
    queue: VecDeque<TaskKey>,
    /// Whether [`ResidencyDo::Continue`] was requested.
    continuing: bool,
    /// Number of tasks, in the current check, that this node did not have before.
    taken: usize,
    /// Tasks for which the log already has that their ticks cannot be computed.
    unreadable: HashSet<TaskKey>,
}

impl Residency {
    /// Handles an event at a time of cluster time, and returns the actions.
    pub fn on(&mut self, event: ResidencyEvent, now: Timestamp) -> Vec<ResidencyDo> {
        let mut todo = Vec::new();
        match event {
            ResidencyEvent::Settled(task) => {
                todo.extend(self.residents.contains_key(&task).then_some(ResidencyDo::Look(task)));
            }
            ResidencyEvent::Changed(task) => todo.push(self.visit(task, false)),
            ResidencyEvent::Sweep(tasks) => {
                self.queue = tasks;
                self.compares.swept();
                self.go_on(&mut todo);
            }
            ResidencyEvent::MembersChanged(change) => {
                todo.extend(self.compares.changed(change).map(ResidencyDo::Compare));
            }
            ResidencyEvent::Moved(MovedTasks { gained, given }, last) => {
                // What has no actor and was given away is found out when its alarm is due.
                let acting = given.iter().filter(|task| self.residents.contains_key(task));
                todo.extend(acting.map(|task| ResidencyDo::Look(*task)));
                self.moved.extend(gained);
                if last {
                    self.compared(&mut todo);
                }
                self.go_on(&mut todo);
            }
            ResidencyEvent::AlarmsDue(alarms) => {
                for (task, at) in alarms {
                    if self.asleep.is_current_alarm(task, at) {
                        self.awake.push_back(task);
                    }
                }
                self.go_on(&mut todo);
            }
            ResidencyEvent::Continue => self.slice(&mut todo),
            ResidencyEvent::Assessed { task, need, swept } => {
                self.assessed(task, need, swept, &mut todo);
            }
            ResidencyEvent::Asleep(task, residence, until) => {
                // A new actor of the task may have been started in the meantime.
                if self.residents.get(&task) == Some(&residence) {
                    self.forget(task, &mut todo);
                }
                match until {
                    Some(until) if bug!("change-slept-over") => {
                        self.sleep_until(task, until, &mut todo);
                    }
                    // The actor missed changes after its last check.
                    Some(_) | None => todo.push(self.visit(task, false)),
                }
            }
            ResidencyEvent::Unreachable(task) => {
                self.forget(task, &mut todo);
                todo.push(ResidencyDo::Assess(task, false));
            }
            ResidencyEvent::Failed(task) => {
                self.forget(task, &mut todo);
                self.sleep_until(task, now.plus(AFTER_FAILURE), &mut todo);
            }
        }
        todo
    }

    /// Checks a task that may have changed, with its actor if it has one.
    fn visit(&self, task: TaskKey, swept: bool) -> ResidencyDo {
        if self.residents.contains_key(&task) {
            ResidencyDo::Look(task)
        } else {
            ResidencyDo::Assess(task, swept)
        }
    }

    /// A compare ended.
    fn compared(&mut self, todo: &mut Vec<ResidencyDo>) {
        match self.compares.ended() {
            AfterCompare::Compare(change) => todo.push(ResidencyDo::Compare(change)),
            AfterCompare::End { look_again } => {
                let not_owned = std::mem::take(&mut self.not_owned);
                self.queue.extend(not_owned.into_iter().filter(|_| look_again));
            }
        }
    }

    fn go_on(&mut self, todo: &mut Vec<ResidencyDo>) {
        let waiting = !self.awake.is_empty() || !self.moved.is_empty() || !self.queue.is_empty();
        let some = waiting || (self.taken > 0 && !self.compares.runs());
        if some && !self.continuing {
            self.continuing = true;
            todo.push(ResidencyDo::Continue);
        }
    }

    /// Takes the next slice of tasks to be checked. Those with due alarms come first, then those that
    /// moved here.
    fn slice(&mut self, todo: &mut Vec<ResidencyDo>) {
        self.continuing = false;
        for _ in 0..SLICE {
            if let Some(task) = self.awake.pop_front() {
                todo.push(self.visit(task, false));
            } else if let Some((_, task)) = self.moved.pop_first() {
                todo.push(self.visit(task, true));
            } else if let Some(task) = self.queue.pop_front() {
                todo.push(self.visit(task, true));
            } else {
                break;
            }
        }
        // A sweep ends one turn after its last tasks were taken, when they have been assessed.
        if todo.is_empty() {
            if !self.compares.runs() {
                let taken = std::mem::take(&mut self.taken);
                todo.extend((taken > 0).then_some(ResidencyDo::TookOver(taken)));
            }
        } else {
            self.continuing = true;
            todo.push(ResidencyDo::Continue);
        }
    }

    /// Starts an actor for a task if its next tick is near, else sets an alarm.
    fn assessed(
        &mut self,
        task: TaskKey,
        need: Result<Need, String>,
        swept: bool,
        todo: &mut Vec<ResidencyDo>,
    ) {
        if self.residents.contains_key(&task) {
            return;
        }
        let known = self.asleep.has(task);
        match need {
            Ok(Need::Nothing) => {
                self.unreadable.remove(&task);
                if self.compares.runs() {
                    self.not_owned.insert(task);
                }
            }
            Ok(Need::Actor) => {
                self.unreadable.remove(&task);
                self.last.0 += 1;
                self.residents.insert(task, self.last);
                todo.push(ResidencyDo::Activate(task, self.last));
            }
            Ok(Need::Alarm(at)) => {
                self.unreadable.remove(&task);
                self.sleep_until(task, at, todo);
            }
            Err(why) => {
                if self.unreadable.insert(task) {
                    todo.push(ResidencyDo::Unreadable(task, why));
                }
            }
        }
        let has = self.residents.contains_key(&task) || self.asleep.has(task);
        self.taken += usize::from(swept && has && !known);
    }

    fn forget(&mut self, task: TaskKey, todo: &mut Vec<ResidencyDo>) {
        if self.residents.remove(&task).is_some() {
            todo.push(ResidencyDo::Forget(task));
        }
    }

    fn sleep_until(&mut self, task: TaskKey, at: Timestamp, todo: &mut Vec<ResidencyDo>) {
        if self.asleep.arm(task, at) {
            todo.push(ResidencyDo::SetAlarm(task, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_tasks_that_moved_here_those_due_first_come_first() {
        let (mut residency, now) = (Residency::default(), Timestamp(0));
        let part = |gained: &[(i64, u64)]| {
            let gained = gained.iter().map(|(at, task)| (Timestamp(*at), TaskKey(*task))).collect();
            MovedTasks { gained, given: vec![TaskKey(9)] }
        };
        let first = ResidencyEvent::Moved(part(&[(30, 1), (10, 2)]), false);
        assert_eq!(residency.on(first, now), [ResidencyDo::Continue], "task 9 has no actor");
        let last = ResidencyEvent::Moved(part(&[(20, 3)]), true);
        assert_eq!(residency.on(last, now), []);
        let mut todo = residency.on(ResidencyEvent::Continue, now);
        assert_eq!(todo.pop(), Some(ResidencyDo::Continue));
        let order = [2, 3, 1].map(|task| ResidencyDo::Assess(TaskKey(task), true));
        assert_eq!(todo, order);
        for task in [2, 3, 1].map(TaskKey) {
            let need = Ok(Need::Alarm(Timestamp(100)));
            let assessed = ResidencyEvent::Assessed { task, need, swept: true };
            assert_eq!(residency.on(assessed, now), [ResidencyDo::SetAlarm(task, Timestamp(100))]);
        }
        assert_eq!(residency.on(ResidencyEvent::Continue, now), [ResidencyDo::TookOver(3)]);
    }
}
