//! Lines: limits on concurrent executions, and the order in which the others wait.
//!
//! An execution mode other than `parallel` is a line for one task, with limit 1. A concurrency
//! group is one line shared by all tasks that name it. All of this is derived from the records.
//! Mode, group and priority are those of the current definition.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::record::{Execution, Status, Trigger};
use super::whole::Task;
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::hint::Hint;
use crate::domain::task::{ExecutionMode, PRIORITY_MAX};
use crate::domain::time::Timestamp;

/// The key of a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineKey {
    /// The line of a task whose execution mode is not `parallel`.
    Task(TaskKey),
    /// The line of a concurrency group.
    Group(Arc<str>),
}

/// A waiting execution. The order is: highest priority, then oldest tick, then lowest id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitingExecution {
    /// The difference of its priority from the highest priority.
    pub rank: u8,
    /// Its tick, or the time of its request.
    pub at: Timestamp,
    /// The execution.
    pub execution: ExecutionId,
    /// Its task.
    pub task: TaskKey,
}

impl WaitingExecution {
    fn of(execution: &Execution, task: TaskKey, rank: u8) -> Self {
        let at = execution.tick.unwrap_or(execution.created_at);
        Self { rank, at, execution: execution.id, task }
    }
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    running: u32,
    waiting: OrdSet<WaitingExecution>,
    /// The number of tasks that name the group with each limit. Empty for the line of one task.
    limits: OrdMap<u32, u32>,
}

impl Line {
    /// The number of its running executions.
    #[must_use]
    pub const fn running(&self) -> u32 {
        self.running
    }

    /// Its waiting executions that are not held, in order.
    #[must_use]
    pub const fn waiting(&self) -> &OrdSet<WaitingExecution> {
        &self.waiting
    }

    /// The limits that tasks name, in increasing order. Empty for the line of one task.
    pub fn limits(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.limits.keys().copied()
    }

    /// The highest limit of an execution of this line.
    fn limit_max(&self) -> u32 {
        self.limits().next_back().unwrap_or(1)
    }

    fn is_empty(&self) -> bool {
        self.running == 0 && self.waiting.is_empty() && self.limits.is_empty()
    }
}

/// The lines of one task, and the data that orders its executions in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskLines {
    task: TaskKey,
    own: Option<LineKey>,
    group: Option<(LineKey, u32)>,
    rank: u8,
    /// Whether executions of ticks are held, because the ticks of the task do not fire.
    held: bool,
}

impl TaskLines {
    /// Each line with the limit of this task.
    pub fn iter(&self) -> impl Iterator<Item = (&LineKey, u32)> {
        let own = self.own.iter().map(|key| (key, 1));
        own.chain(self.group.iter().map(|(key, limit)| (key, *limit)))
    }

    /// The state of an execution in the lines. A caller's claim never waits.
    fn presence(&self, execution: &Execution) -> Presence {
        let held = execution.tick.is_some() && self.held;
        match execution.status {
            Status::Running => Presence::Runs,
            Status::Pending if execution.trigger != Trigger::Claim && !held => {
                Presence::Waits(WaitingExecution::of(execution, self.task, self.rank))
            }
            _ => Presence::Absent,
        }
    }
}

/// The state of an execution in its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Presence {
    Waits(WaitingExecution),
    Runs,
    /// It has ended, or is held.
    Absent,
}

/// All lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(OrdMap<LineKey, Line>);

impl Lines {
    /// A line. None: it has no executions and no tasks.
    #[must_use]
    pub fn get(&self, key: &LineKey) -> Option<&Line> {
        self.0.get(key)
    }

    /// The lines in which an execution waits.
    pub fn contended(&self) -> impl Iterator<Item = &LineKey> {
        self.0.iter().filter(|(_, line)| !line.waiting.is_empty()).map(|(key, _)| key)
    }

    /// Whether each of a task's lines has room for one more execution.
    #[must_use]
    pub fn have_room(&self, lines: &TaskLines) -> bool {
        lines.iter().all(|(key, limit)| self.running(key) < limit)
    }

    /// The number of running executions of a line.
    #[must_use]
    pub fn running(&self, key: &LineKey) -> u32 {
        self.0.get(key).map_or(0, Line::running)
    }

    /// The executions that can start now according to this line, in order. `limit` returns the
    /// limit that applies to an execution. None: it cannot start for another reason.
    pub fn next(
        &self,
        key: &LineKey,
        mut limit: impl FnMut(&WaitingExecution) -> Option<u32>,
    ) -> Vec<WaitingExecution> {
        let mut next = Vec::new();
        let Some(line) = self.0.get(key) else { return next };
        let mut taken = line.running;
        for place in &line.waiting {
            if taken >= line.limit_max() {
                break;
            }
            if limit(place).is_some_and(|limit| taken < limit) {
                taken += 1;
                next.push(*place);
            }
        }
        next
    }

    /// Adds a task to its lines: its limit and its live executions.
    pub(in crate::domain::machine) fn add(&mut self, task: &Task) {
        let lines = task.lines();
        if let Some((group, limit)) = &lines.group {
            self.change(group, |line| *line.limits.entry(*limit).or_insert(0) += 1);
        }
        if lines != TaskLines::default() {
            task.live_executions().for_each(|execution| self.enter(&lines, execution));
        }
    }

    /// Removes a task from its lines, which must be unchanged since [`Lines::add`].
    pub(in crate::domain::machine) fn remove(&mut self, task: &Task) {
        let lines = task.lines();
        if let Some((group, limit)) = &lines.group {
            self.change(group, |line| match line.limits.get(limit).copied() {
                Some(tasks) if tasks > 1 => drop(line.limits.insert(*limit, tasks - 1)),
                _ => drop(line.limits.remove(limit)),
            });
        }
        if lines != TaskLines::default() {
            task.live_executions().for_each(|execution| self.leave(&lines, execution));
        }
    }

    /// Adds a hint for each line that a task has left and in which other executions wait.
    pub(in crate::domain::machine) fn left(
        &self,
        former: &TaskLines,
        now: &TaskLines,
        effects: &mut Effects,
    ) {
        for (key, _) in former.iter().filter(|(key, _)| now.iter().all(|(other, _)| other != *key))
        {
            let first = self.get(key).and_then(|line| line.waiting.get_min());
            effects.hints.extend(first.map(|first| Hint::Line(first.task)));
        }
    }

    /// Adds an execution to the lines of its task.
    pub(in crate::domain::machine) fn enter(&mut self, lines: &TaskLines, execution: &Execution) {
        let presence = lines.presence(execution);
        for (key, _) in lines.iter() {
            match presence {
                Presence::Waits(place) => {
                    self.change(key, |line| _ = line.waiting.insert(place));
                }
                Presence::Runs => self.change(key, |line| line.running += 1),
                Presence::Absent => {}
            }
        }
    }

    /// Removes an execution, which must be unchanged since it was added.
    pub(in crate::domain::machine) fn leave(&mut self, lines: &TaskLines, execution: &Execution) {
        let presence = lines.presence(execution);
        for (key, _) in lines.iter() {
            match presence {
                Presence::Waits(place) => {
                    self.change(key, |line| _ = line.waiting.remove(&place));
                }
                Presence::Runs => self.change(key, |line| {
                    assert!(line.running > 0, "a line with no running execution");
                    line.running -= 1;
                }),
                Presence::Absent => {}
            }
        }
    }

    fn change(&mut self, key: &LineKey, change: impl FnOnce(&mut Line)) {
        let line = self.0.entry(key.clone()).or_default();
        change(line);
        if line.is_empty() {
            self.0.remove(key);
        }
    }
}

impl Task {
    /// Its lines, by the current definition.
    #[must_use]
    pub fn lines(&self) -> TaskLines {
        let Some(spec) = self.spec().filter(|_| self.lined()) else { return TaskLines::default() };
        let key = self.key;
        let own = (spec.execution_mode != ExecutionMode::Parallel).then_some(LineKey::Task(key));
        let group = spec.concurrency.as_ref();
        let group = group.map(|group| (LineKey::Group(group.group.as_str().into()), group.limit));
        let (rank, held) = (self.rank(), self.inactive().is_some());
        TaskLines { task: key, own, group, rank, held }
    }

    const fn rank(&self) -> u8 {
        PRIORITY_MAX.saturating_sub(self.rules.priority)
    }

    /// The position of one of its executions among waiting ones.
    #[must_use]
    pub fn waiting_execution(&self, execution: &Execution) -> WaitingExecution {
        WaitingExecution::of(execution, self.key, self.rank())
    }

    /// Whether its executions are in a line.
    #[must_use]
    pub const fn lined(&self) -> bool {
        self.rules.lined
    }
}
