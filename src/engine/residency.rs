//! Decides which tasks have an actor: owned tasks whose next tick is near. All others have an
//! alarm, or nothing.
//!
//! [`Residency::on`] takes one event, updates plain tables and returns the actions to carry out.
//! The needs of a task are computed outside, from the state and its ticks, and passed in as
//! [`ResidencyEvent::Assessed`]. The node actor carries the actions out
//! ([`task_control`](super::task_control)).

use std::collections::{HashMap, HashSet, VecDeque};

use crate::domain::ids::TaskKey;
use crate::domain::time::Timestamp;

use super::limits::AFTER_FAILURE;
use super::sleepers::{Need, Sleepers};

/// Tasks looked at before other messages get a turn.
const SLICE: usize = 500;

/// Tells an actor of a task from the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Residence(pub u64);

/// An event.
#[derive(Clone, Debug)]
pub(super) enum ResidencyEvent {
    /// A task's cursor moved.
    Settled(TaskKey),
    /// A task changed.
    Changed(TaskKey),
    /// All tasks are to be looked at; these are all.
    Sweep(VecDeque<TaskKey>),
    /// Alarms of tasks rang, each set for its instant.
    AlarmsDue(Vec<(TaskKey, Timestamp)>),
    /// The next slice of the tasks to be looked at may be taken.
    Continue,
    /// The current needs of a task, the answer to [`ResidencyDo::Assess`]; the error says why its
    /// ticks cannot be computed.
    Assessed { task: TaskKey, need: Result<Need, String>, swept: bool },
    /// A task's actor ended itself: it has nothing to do before this instant.
    Asleep(TaskKey, Residence, Option<Timestamp>),
    /// A task's actor does not take messages any more.
    Unreachable(TaskKey),
    /// A task's actor failed, or could not be started.
    Failed(TaskKey),
}

/// An action to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ResidencyDo {
    /// Have the task's actor look at the state.
    Look(TaskKey),
    /// Compute the needs of a task and answer at once with [`ResidencyEvent::Assessed`]; whether
    /// this is part of a look at all tasks.
    Assess(TaskKey, bool),
    /// Start an actor for a task.
    Activate(TaskKey, Residence),
    /// Forget the actor of a task.
    Forget(TaskKey),
    /// Set an alarm for a task.
    SetAlarm(TaskKey, Timestamp),
    /// Have [`ResidencyEvent::Continue`] come after the messages that wait.
    Continue,
    /// Say that this node took so many tasks over.
    TookOver(usize),
    /// Say, once, that a task's ticks cannot be computed, and why.
    Unreadable(TaskKey, String),
}

/// The tasks of this node.
#[derive(Debug, Default)]
pub(super) struct Residency {
    /// Tasks with an actor.
    residents: HashMap<TaskKey, Residence>,
    last: Residence,
    asleep: Sleepers,
    /// Tasks whose alarms rang and that are to be looked at.
    awake: VecDeque<TaskKey>,
    /// Other tasks that are to be looked at.
    queue: VecDeque<TaskKey>,
    /// Whether [`ResidencyDo::Continue`] is on its way.
    continuing: bool,
    /// Tasks found in the current look at all tasks that this node did not have before.
    taken: usize,
    /// Tasks of which it was said that their ticks cannot be computed.
    unreadable: HashSet<TaskKey>,
}

impl Residency {
    /// Decides what follows from an event at an instant of cluster time.
    pub fn on(&mut self, event: ResidencyEvent, now: Timestamp) -> Vec<ResidencyDo> {
        let mut todo = Vec::new();
        match event {
            ResidencyEvent::Settled(task) => {
                todo.extend(self.residents.contains_key(&task).then_some(ResidencyDo::Look(task)));
            }
            ResidencyEvent::Changed(task) => todo.push(self.visit(task, false)),
            ResidencyEvent::Sweep(tasks) => {
                self.queue = tasks;
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
                // A new actor of the task may have been started meanwhile.
                if self.residents.get(&task) == Some(&residence) {
                    self.forget(task, &mut todo);
                }
                match until {
                    Some(until) if bug!("change-slept-over") => {
                        self.sleep_until(task, until, &mut todo);
                    }
                    // What changed between the actor's last look and now reached nobody.
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

    /// A look at a task that may have changed: by its actor, if it has one.
    fn visit(&self, task: TaskKey, swept: bool) -> ResidencyDo {
        if self.residents.contains_key(&task) {
            ResidencyDo::Look(task)
        } else {
            ResidencyDo::Assess(task, swept)
        }
    }

    fn go_on(&mut self, todo: &mut Vec<ResidencyDo>) {
        let some = !self.awake.is_empty() || !self.queue.is_empty();
        if some && !self.continuing {
            self.continuing = true;
            todo.push(ResidencyDo::Continue);
        }
    }

    /// Takes some of the tasks that are to be looked at; those whose alarms rang come first.
    fn slice(&mut self, todo: &mut Vec<ResidencyDo>) {
        self.continuing = false;
        for _ in 0..SLICE {
            if let Some(task) = self.awake.pop_front() {
                todo.push(self.visit(task, false));
            } else if let Some(task) = self.queue.pop_front() {
                todo.push(self.visit(task, true));
            } else {
                break;
            }
        }
        // A sweep is over one turn after its last tasks were taken: they are assessed by then.
        if todo.is_empty() {
            let taken = std::mem::take(&mut self.taken);
            todo.extend((taken > 0).then_some(ResidencyDo::TookOver(taken)));
        } else {
            self.continuing = true;
            todo.push(ResidencyDo::Continue);
        }
    }

    /// Gives a task an actor if its next tick is near, else an alarm.
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
            Ok(Need::Nothing) => drop(self.unreadable.remove(&task)),
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
