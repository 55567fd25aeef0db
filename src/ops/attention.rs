//! Which tasks need attention, and why.

use std::sync::Arc;

use super::context::StateView;
use super::queue::QueuePositions;
use super::words::task_state;
use super::{views, words};
use crate::domain::machine::Task;
use crate::domain::machine::record::{Execution, Status};
use crate::domain::time::{Millis, Timestamp};

/// What should have happened so long ago and has not needs attention.
const LATE: Millis = Millis::from_secs(10);
/// Why a task or a node needs attention, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AttentionKind {
    /// Its last execution that ended failed.
    Failing,
    /// One of its ticks has been due for some time and has no verdict.
    Late,
    /// No node can own it.
    NoOwner,
    /// No executor takes one of its executions.
    WaitsForExecutor,
    /// An execution waits although its time has come, or runs longer than its timeout.
    Stuck,
    /// Somebody changed what came from files.
    Drifted,
}

/// A task that needs attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskAttention {
    /// Why.
    pub kind: AttentionKind,
    /// The task.
    pub task: Arc<str>,
    /// The execution, if it is about one.
    pub execution: Option<String>,
    /// The tick, or since when.
    pub at: Option<Timestamp>,
    /// More about it, in English.
    pub detail: String,
}

/// Why a task needs attention. `first`: when its first tick without a verdict is due, and that tick.
pub(super) fn of(
    view: &StateView,
    task: &Task,
    first: Option<(Timestamp, Timestamp)>,
    queues: &mut QueuePositions<'_>,
) -> Vec<TaskAttention> {
    let mut found = Vec::new();
    let mut add = |kind, execution: Option<&Execution>, at, detail| {
        let execution = execution.map(|execution| execution.id.to_string());
        found.push(TaskAttention {
            kind,
            task: Arc::clone(&task.live.name),
            execution,
            at,
            detail,
        });
    };
    if let Some(failed) = failing(task) {
        let status = words::status(failed.status).to_owned();
        add(AttentionKind::Failing, Some(failed), Some(failed.tick.unwrap_or(failed.due)), status);
    }
    if let Some((_, tick)) = first.filter(|(due, _)| due.plus(LATE) < view.now) {
        add(AttentionKind::Late, None, Some(tick), String::new());
    }
    let active = task_state(task) == "active" && task.spec().is_some_and(|spec| spec.enabled);
    if active && view.members.owner(task).is_none() {
        let detail = task.spec().map(|spec| super::eligibility::nobody(&view.state, spec).en);
        add(AttentionKind::NoOwner, None, None, detail.unwrap_or_default());
    }
    if let Some(wait) = views::executor_wait(view, task)
        && wait.since.0.plus(LATE) < view.now
    {
        let found =
            task.history.executions.iter().find(|one| one.id.to_string() == wait.execution_id);
        add(AttentionKind::WaitsForExecutor, found, Some(wait.since.0), wait.detail);
    } else if let Some(live) = task.live_executions().next()
        && let Some(detail) = stuck(view, task, live, queues)
    {
        add(AttentionKind::Stuck, Some(live), Some(live.attempt_due()), detail);
    }
    if views::drifted(&view.state, task) {
        add(AttentionKind::Drifted, None, None, String::new());
    }
    found
}

/// The execution that ended last, if it failed and nobody has seen to it.
fn failing(task: &Task) -> Option<&Execution> {
    let last = task.history.executions.iter().rev().find(|one| one.status.ended())?;
    (last.status.failure() && !last.dismissed()).then_some(last)
}

/// Why the oldest live execution should have come further by now. One that waits behind others in a
/// line, or whose task does not tick, is where it should be.
fn stuck(
    view: &StateView,
    task: &Task,
    live: &Execution,
    queues: &mut QueuePositions<'_>,
) -> Option<String> {
    let due = live.attempt_due();
    if live.status == Status::Pending {
        let off = task.inactive().is_some() || !view.state.cluster().scheduler;
        let held = live.tick.is_some() && off;
        if due.plus(LATE) >= view.now || held {
            return None;
        }
        let behind = queues.of(task, live).is_some_and(|queue| queue.ahead > 0);
        return (!behind).then(|| "pending".to_owned());
    }
    let spec = task.spec()?;
    let timeout = spec.timeout;
    let over = timeout.0 > 0 && due.plus(timeout).plus(spec.kill_grace).plus(LATE) < view.now;
    over.then(|| format!("timeout {timeout}"))
}
