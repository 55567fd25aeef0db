//! The queue position of a waiting execution, and the executions that block it.

use std::collections::BTreeMap;

use super::told::{Told, told};
use crate::domain::ids::ExecutionId;
use crate::domain::machine::record::{Execution, Status};
use crate::domain::machine::{LineKey, State, Task, WaitingExecution};
use crate::domain::schedule::Warning;
use crate::domain::task::{Concurrency, TaskSpec};
use crate::domain::time::Timestamp;
use crate::domain::warning_code::WarningCode;
use crate::dto::QueueView;

/// Finds the queue positions of executions in one state. Each queue is read once, so a list of many
/// executions of a long queue costs little more than one of them.
pub(crate) struct QueuePositions<'a> {
    state: &'a State,
    /// The queues that were read, in order.
    lines: BTreeMap<LineKey, Vec<WaitingExecution>>,
}

impl<'a> QueuePositions<'a> {
    /// Those in a state.
    pub const fn new(state: &'a State) -> Self {
        Self { state, lines: BTreeMap::new() }
    }

    /// The state.
    pub const fn state(&self) -> &'a State {
        self.state
    }

    /// The queue position of an execution. `None` if it is not in a queue. If it is in two queues,
    /// the one with more executions ahead is used.
    pub fn of(&mut self, task: &Task, execution: &Execution) -> Option<QueueView> {
        if execution.status != Status::Pending {
            return None;
        }
        let one = task.waiting_execution(execution);
        let lines = task.lines();
        let places = lines.iter().filter_map(|(key, limit)| {
            let line =
                self.state.lines().get(key).filter(|line| line.waiting().contains_key(&one))?;
            let read = || line.waiting().keys().copied().collect();
            let before =
                self.lines.entry(key.clone()).or_insert_with(read).binary_search(&one).ok()?;
            let running = usize::try_from(line.running()).unwrap_or(usize::MAX);
            Some(QueueView {
                line: name(key, task),
                position: before + 1,
                ahead: before.saturating_add(running),
                running: line.running(),
                limit,
            })
        });
        places.max_by_key(|place| place.ahead)
    }
}

/// The name of a queue: `task NAME`, `group NAME`.
fn name(key: &LineKey, task: &Task) -> String {
    match key {
        LineKey::Task(_) => format!("task {}", task.live.name),
        LineKey::Group(group) => format!("group {group}"),
    }
}

/// Why a queued execution is waiting, as part of a sentence.
pub(crate) fn waits_for(state: &State, task: &Task, execution: &Execution) -> Option<Told> {
    let place = QueuePositions::new(state).of(task, execution)?;
    let QueueView { line, position, running, limit, .. } = &place;
    let run = if *running == 1 { "runs" } else { "run" };
    let out = told!(
        "at position {position} in the line of {line}, of which {running} {run} (limit {limit})",
        "在 {line} 的队列中排第 {position}，其中 {running} 个执行中（上限 {limit}）"
    );
    let first = in_the_way(state, task).map(|(id, other)| {
        told!(": execution {id} of {other} has to end first", "：须等待 {other} 的执行 {id} 结束")
    });
    Some(out.with(first))
}

/// An execution that occupies a slot of a task's queue: one of the task itself, otherwise the
/// oldest of its group.
fn in_the_way<'a>(state: &'a State, task: &Task) -> Option<(ExecutionId, &'a str)> {
    let lines = task.lines();
    let mut lines = lines.iter().filter_map(|(key, _)| state.lines().get(key));
    let (execution, task) = lines.find_map(|line| line.oldest_running(task.key))?;
    Some((execution, &*state.task(task)?.live.name))
}

/// A warning if other tasks use the group of a task with a different limit. Each task applies its
/// own limit.
pub(crate) fn warning(state: &State, spec: &TaskSpec) -> Option<Warning> {
    let Concurrency { group, limit } = spec.concurrency.as_ref()?;
    let line = state.lines().get(&LineKey::Group(group.as_str().into()))?;
    let others: Vec<String> =
        line.limits().filter(|other| other != limit).map(|other| other.to_string()).collect();
    if others.is_empty() {
        return None;
    }
    let detail = format!(
        "other tasks name the group {group} with the limit {}; this task asks with {limit}",
        others.join(", ")
    );
    Some(Warning { code: WarningCode::GroupLimitsDiffer, detail })
}

/// The execution of a task that had not ended at this instant.
pub(crate) fn live_at(task: &Task, at: Timestamp) -> Option<&Execution> {
    let before = task.history.executions.iter().rev().filter(|one| one.created_at <= at);
    before.take(100).find(|one| one.ended_at.is_none_or(|ended| at < ended))
}
