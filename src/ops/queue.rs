//! The queue position of a waiting execution, and the executions that block it.

use crate::domain::ids::ExecutionId;
use crate::domain::machine::record::{Execution, Status};
use crate::domain::machine::{LineKey, State, Task};
use crate::domain::schedule::Warning;
use crate::domain::task::{Concurrency, TaskSpec};
use crate::domain::time::Timestamp;
use crate::dto::QueueView;

/// The queue position of an execution. `None` if it is not in a queue. If it is in two queues, the
/// one with more executions ahead is used.
pub(crate) fn queue(state: &State, task: &Task, execution: &Execution) -> Option<QueueView> {
    if execution.status != Status::Pending {
        return None;
    }
    let one = task.waiting_execution(execution);
    let lines = task.lines();
    let places = lines.iter().filter_map(|(key, limit)| {
        let line = state.lines().get(key)?;
        line.waiting().contains(&one).then(|| {
            let before = line.waiting().range(..one).count();
            let running = usize::try_from(line.running()).unwrap_or(usize::MAX);
            QueueView {
                line: name(key, task),
                position: before + 1,
                ahead: before.saturating_add(running),
                running: line.running(),
                limit,
            }
        })
    });
    places.max_by_key(|place| place.ahead)
}

/// The name of a queue: `task NAME`, `group NAME`.
fn name(key: &LineKey, task: &Task) -> String {
    match key {
        LineKey::Task(_) => format!("task {}", task.live.name),
        LineKey::Group(group) => format!("group {group}"),
    }
}

/// Why a queued execution is waiting, as part of a sentence.
pub(crate) fn waits_for(state: &State, task: &Task, execution: &Execution) -> Option<String> {
    let place = queue(state, task, execution)?;
    let QueueView { line, position, running, limit, .. } = &place;
    let mut out = format!("at position {position} in the line of {line}, of which {running}");
    out.push_str(&format!(" {} (limit {limit})", if *running == 1 { "runs" } else { "run" }));
    if let Some((id, other)) = in_the_way(state, task) {
        out.push_str(&format!(": execution {id} of {other} has to end first"));
    }
    Some(out)
}

/// An execution that occupies a slot of a task's queue: one of the task itself, otherwise the
/// oldest of its group.
fn in_the_way<'a>(state: &'a State, task: &'a Task) -> Option<(ExecutionId, &'a str)> {
    let group = task.spec().and_then(|spec| spec.concurrency.as_ref());
    let shares = |other: &&Task| {
        let of_other = other.spec().and_then(|spec| spec.concurrency.as_ref());
        of_other.zip(group).is_some_and(|(one, other)| one.group == other.group)
    };
    let runs = |task: &'a Task| {
        let runs = task.live_executions().filter(|one| one.status == Status::Running);
        Some((runs.map(|one| one.id).min()?, &*task.live.name))
    };
    runs(task).or_else(|| {
        group?;
        let others = state.tasks().map(|task| &**task).filter(shares);
        others.filter_map(runs).min_by_key(|(id, _)| *id)
    })
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
    Some(Warning { code: "group_limits_differ", detail })
}

/// The execution of a task that had not ended at this instant.
pub(crate) fn live_at(task: &Task, at: Timestamp) -> Option<&Execution> {
    let before = task.history.executions.iter().rev().filter(|one| one.created_at <= at);
    before.take(100).find(|one| one.ended_at.is_none_or(|ended| at < ended))
}
