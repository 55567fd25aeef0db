//! Lines: limits on concurrent executions, and the order in which the others wait.
//!
//! An execution mode other than `parallel` is a line for one task, with limit 1. A concurrency
//! group is one line shared by all tasks that name it. All of this is derived from the records.
//! Mode, group and priority are those of the current definition.
//!
//! The next execution of a line is found without a walk over those that wait: the line of a group
//! keeps an index of the executions that are first in the lines of their tasks. Those that wait for a
//! further attempt enter this index with the first entry whose stamp is their time. The index is by
//! what a node needs to own their tasks, so those that no node may own are passed over together: the
//! head of `turns` has the bounds.

use std::sync::Arc;

use imbl::OrdMap;

use super::line::{FirstChange, Line};
use super::needs::{OwnerNeeds, TaskOwners};
use super::record::{Execution, Status, Trigger};
use super::waiting::{Presence, WaitingExecution};
use super::whole::Task;
use crate::domain::ids::TaskKey;
use crate::domain::machine::effects::Effects;
use crate::domain::machine::hint::Hint;
use crate::domain::task::{ExecutionMode, PRIORITY_MAX};
use crate::domain::time::Timestamp;

#[cfg(test)]
mod tests;

/// The key of a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LineKey {
    /// The line of a task whose execution mode is not `parallel`.
    Task(TaskKey),
    /// The line of a concurrency group.
    Group(Arc<str>),
}

/// The lines of one task, and the data that orders its executions in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskLines {
    task: TaskKey,
    own: Option<LineKey>,
    group: Option<(LineKey, u32)>,
    /// Of those of a group.
    needs: OwnerNeeds,
    /// The difference of the priority from the highest one.
    below: u8,
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
    fn presence(&self, execution: &Execution, scheduler: bool) -> Presence {
        let held = execution.tick.is_some() && (self.held || !scheduler);
        match execution.status {
            Status::Running => Presence::Runs(execution.id, self.task),
            Status::Pending if execution.trigger != Trigger::Claim && !held => {
                let one = WaitingExecution::of(execution, self.task, self.below);
                Presence::Waits((one, execution.next_attempt_at()))
            }
            _ => Presence::Absent,
        }
    }
}

/// All lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    all: OrdMap<LineKey, Line>,
    /// Whether the scheduler is started. Otherwise executions of ticks are held.
    scheduler: bool,
    /// The stamp of the last entry. It decides where executions that wait for a further attempt are
    /// kept, and nothing else.
    at: Timestamp,
}

impl Lines {
    /// A line. None: it has no executions and no tasks.
    #[must_use]
    pub fn get(&self, key: &LineKey) -> Option<&Line> {
        self.all.get(key)
    }

    /// The lines in which an execution waits.
    pub fn contended(&self) -> impl Iterator<Item = &LineKey> {
        self.all.iter().filter(|(_, line)| !line.waiting().is_empty()).map(|(key, _)| key)
    }

    /// Whether each of a task's lines has room for one more execution.
    #[must_use]
    pub fn have_room(&self, lines: &TaskLines) -> bool {
        lines.iter().all(|(key, limit)| self.running(key) < limit)
    }

    /// The number of running executions of a line.
    #[must_use]
    pub fn running(&self, key: &LineKey) -> u32 {
        self.all.get(key).map_or(0, Line::running)
    }

    /// The executions that may start at this time according to this line, in order. In the line of a
    /// group, those that wait for a further attempt and those of tasks that no node may own are passed
    /// over. In the line of a task the first one keeps its turn, and who may own the task is not asked.
    pub fn next(
        &self,
        key: &LineKey,
        now: Timestamp,
        owners: &impl TaskOwners,
    ) -> Vec<WaitingExecution> {
        match (self.all.get(key), key) {
            (Some(line), LineKey::Task(_)) => line.next_of_task(now).into_iter().collect(),
            (Some(line), LineKey::Group(_)) => line.next_of_group(now, owners),
            (None, _) => Vec::new(),
        }
    }

    /// Lines without executions. Those of ticks are held unless the scheduler is started. `at` is the
    /// stamp of the last entry.
    pub(in crate::domain::machine) fn new(scheduler: bool, at: Timestamp) -> Self {
        Self { scheduler, at, ..Self::default() }
    }

    /// Takes the stamp of an entry. `crossed` are the executions whose next attempt is due between
    /// the last stamp and this one, whichever is the higher.
    pub(in crate::domain::machine) fn set_time<'a, I>(
        &mut self,
        at: Timestamp,
        crossed: impl Fn() -> I,
    ) where
        I: Iterator<Item = (&'a Arc<Task>, &'a Execution)>,
    {
        let lined = || crossed().filter(|(task, _)| task.lined());
        lined().for_each(|(task, execution)| self.leave(&task.lines(), execution));
        self.at = at;
        lined().for_each(|(task, execution)| self.enter(&task.lines(), execution));
    }

    /// Starts or stops the scheduler: the waiting executions of ticks of these tasks enter their
    /// lines or leave them.
    pub(in crate::domain::machine) fn set_scheduler<'a, T: Iterator<Item = &'a Arc<Task>>>(
        &mut self,
        on: bool,
        tasks: impl Fn() -> T,
    ) {
        tasks().for_each(|task| self.each_tick(task, Self::leave));
        self.scheduler = on;
        tasks().for_each(|task| self.each_tick(task, Self::enter));
    }

    /// Changes the lines for each waiting execution of a tick of a task.
    fn each_tick(&mut self, task: &Task, change: fn(&mut Self, &TaskLines, &Execution)) {
        if task.lined() && task.waiting() > 0 {
            let lines = task.lines();
            let live = task.live_executions().filter(|one| one.tick.is_some());
            let waiting = live.filter(|one| one.status == Status::Pending);
            waiting.for_each(|execution| change(self, &lines, execution));
        }
    }

    /// Adds a task to its lines: its limit and its live executions.
    pub(in crate::domain::machine) fn add(&mut self, task: &Task) {
        let lines = task.lines();
        if let Some((group, limit)) = &lines.group {
            self.change(group, |line| line.add_limit(*limit));
        }
        if lines != TaskLines::default() {
            task.live_executions().for_each(|execution| self.enter(&lines, execution));
        }
    }

    /// Removes a task from its lines, which must be unchanged since [`Lines::add`].
    pub(in crate::domain::machine) fn remove(&mut self, task: &Task) {
        let lines = task.lines();
        if let Some((group, limit)) = &lines.group {
            self.change(group, |line| line.remove_limit(*limit));
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
            let first = self.get(key).and_then(|line| line.waiting().get_min());
            effects.hints.extend(first.map(|(first, _)| Hint::Line(first.task)));
        }
    }

    /// Adds an execution to the lines of its task.
    pub(in crate::domain::machine) fn enter(&mut self, lines: &TaskLines, execution: &Execution) {
        let presence = lines.presence(execution, self.scheduler);
        self.update(lines, presence, Line::enter, (None, presence.waits()));
    }

    /// Removes an execution, which must be unchanged since it was added.
    pub(in crate::domain::machine) fn leave(&mut self, lines: &TaskLines, execution: &Execution) {
        let presence = lines.presence(execution, self.scheduler);
        self.update(lines, presence, Line::leave, (presence.waits(), None));
    }

    /// Changes the lines of a task. `alone` is how its first execution changes in the eyes of its
    /// group if it has no line of its own.
    fn update(
        &mut self,
        lines: &TaskLines,
        presence: Presence,
        change: fn(&mut Line, Presence),
        alone: FirstChange,
    ) {
        if presence == Presence::Absent {
            return;
        }
        let first = lines.own.as_ref().map_or(alone, |own| {
            self.change(own, |line| {
                let former = line.first();
                change(line, presence);
                (former, line.first())
            })
        });
        if let Some((group, limit)) = &lines.group {
            let at = self.at;
            self.change(group, |line| {
                change(line, presence);
                line.first_changed((*limit, &lines.needs), first, at);
            });
        }
    }

    fn change<R>(&mut self, key: &LineKey, change: impl FnOnce(&mut Line) -> R) -> R {
        let line = self.all.entry(key.clone()).or_default();
        let changed = change(line);
        if line.is_empty() {
            self.all.remove(key);
        }
        changed
    }
}

impl Task {
    /// Its lines, by the current definition.
    #[must_use]
    pub fn lines(&self) -> TaskLines {
        let definition = self.definition().filter(|_| self.lined());
        let Some(definition) = definition else { return TaskLines::default() };
        let (key, spec) = (self.key, &definition.spec);
        let own = (spec.execution_mode != ExecutionMode::Parallel).then_some(LineKey::Task(key));
        let group = spec.concurrency.as_ref();
        let group = group.map(|group| (LineKey::Group(group.group.as_str().into()), group.limit));
        let (below, held) = (self.below(), self.inactive().is_some());
        let needs = group.as_ref().map_or_else(OwnerNeeds::default, |_| OwnerNeeds::of(definition));
        TaskLines { task: key, own, group, needs, below, held }
    }

    const fn below(&self) -> u8 {
        PRIORITY_MAX.saturating_sub(self.rules.priority)
    }

    /// The position of one of its executions among waiting ones.
    #[must_use]
    pub fn waiting_execution(&self, execution: &Execution) -> WaitingExecution {
        WaitingExecution::of(execution, self.key, self.below())
    }

    /// Whether its executions are in a line.
    #[must_use]
    pub const fn lined(&self) -> bool {
        self.rules.lined
    }
}
