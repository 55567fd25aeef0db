//! Executions: found, stopped, repeated. `callbacks.rs` ends them.

use std::sync::Arc;

use super::context::StateView;
use super::lists::{PageRequest, SearchedPage, is_glob, search};
use super::queue::QueuePositions;
use super::tasks::list::NamedTasks;
use super::tasks::trigger;
use super::{Caller, OpAnswer, OpError, stats, views, words};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{ExecutionId, NodeId};
use crate::domain::machine::command::OfExecution;
use crate::domain::machine::record::{Execution, Status};
use crate::domain::machine::{Command, Refusal, Task};
use crate::dto::{ExecutionChanged, ExecutionNow, ExecutionView, ListView, StatsView};

/// Which executions are asked for.
pub(crate) struct ExecutionFilter {
    /// Of these tasks.
    pub tasks: NamedTasks,
    /// With this status.
    pub status: Option<&'static str>,
    /// With an attempt on this node.
    pub node: Option<NodeId>,
    /// With an attempt on this executor.
    pub executor: Option<String>,
    /// Those that failed and were not dismissed.
    pub failed: bool,
}

impl ExecutionFilter {
    fn fits(&self, execution: &Execution) -> bool {
        let ran_on = |node| views::attempts(execution).any(|attempt| attempt.node == node);
        let given_to = |id: &str| {
            views::attempts(execution).any(|attempt| views::executor_of(attempt) == Some(id))
        };
        let failed = matches!(execution.status, Status::Failed | Status::Timeout | Status::Lost);
        self.status.is_none_or(|status| words::status(execution.status) == status)
            && self.node.is_none_or(ran_on)
            && self.executor.as_deref().is_none_or(given_to)
            && (!self.failed || (failed && !execution.dismissed()))
    }
}

/// The execution before which a list goes on.
///
/// # Errors
/// `invalid_parameter`.
pub(crate) fn before(page: &PageRequest) -> Result<ExecutionId, OpError> {
    match page.after() {
        None => Ok(ExecutionId(u64::MAX)),
        Some(id) => id.parse().map_err(|_error| OpError::cursor()),
    }
}

/// Executions that fit a filter, newest first, from `before` on.
pub(crate) fn list(
    view: &StateView,
    filter: &ExecutionFilter,
    page: &PageRequest,
    before: ExecutionId,
) -> ListView<ExecutionView> {
    let state = &view.state;
    let key = |(_, one): &(&Arc<Task>, &Execution)| one.id.to_string();
    let mut queues = QueuePositions::new(state);
    let show = |(task, one): &(&Arc<Task>, &Execution)| views::queued(&mut queues, task, one);
    let fits = |(task, one): &(&Arc<Task>, &Execution)| filter.tasks.fits(task) && filter.fits(one);
    match filter.tasks.names.as_slice() {
        // A task keeps far fewer than the cluster.
        [name] if !is_glob(name) => {
            let task = state.named(name).into_iter();
            let own = task
                .flat_map(|task| task.history.executions.iter().rev().map(move |one| (task, one)));
            page.list(own.filter(|(_, one)| one.id < before).filter(fits), key, show)
        }
        _ => page.list(state.executions_before(before).filter(fits), key, show),
    }
}

/// A page of executions for people, newest first, which takes a bounded time however many there are: the
/// search may end before the page is full.
pub(crate) fn searched(
    view: &StateView,
    filter: &ExecutionFilter,
    limit: usize,
    before: ExecutionId,
) -> SearchedPage<ExecutionView> {
    let state = &view.state;
    let fits = |(task, one): (&Arc<Task>, &Execution)| filter.tasks.fits(task) && filter.fits(one);
    let key = |(_, one): (&Arc<Task>, &Execution)| one.id.to_string();
    let page = match filter.tasks.names.as_slice() {
        // A task keeps far fewer than the cluster.
        [name] if !is_glob(name) => {
            let task = state.named(name).into_iter();
            let own = task
                .flat_map(|task| task.history.executions.iter().rev().map(move |one| (task, one)));
            search(own.filter(|(_, one)| one.id < before), limit, fits, key)
        }
        _ => search(state.executions_before(before), limit, fits, key),
    };
    let mut queues = QueuePositions::new(state);
    let items = page.items.into_iter().map(|(task, one)| views::queued(&mut queues, task, one));
    SearchedPage { items: items.collect(), next: page.next, unfinished: page.unfinished }
}

/// Statistics of all tasks, or of one.
///
/// # Errors
/// `task_not_found`.
pub(crate) fn stats(view: &StateView, task: Option<&str>) -> Result<StatsView, OpError> {
    match task {
        Some(name) => Ok(stats::of_task(view, view.task(name)?).stats),
        None => Ok(stats::of_all(view)),
    }
}

/// An execution with its task.
///
/// # Errors
/// `execution_not_found`.
pub(crate) fn find<'a>(
    view: &'a StateView,
    id: &str,
) -> Result<(&'a Arc<Task>, &'a Execution), OpError> {
    let id = id.parse::<ExecutionId>().ok();
    let found = id.and_then(|id| view.state.execution(id));
    found.ok_or_else(|| Refusal::ExecutionNotFound.into())
}

/// An execution that has ended.
fn ended(view: &StateView, id: &str) -> Result<OfExecution, OpError> {
    let (task, execution) = find(view, id)?;
    if execution.status.ended() {
        return Ok(OfExecution { task: task.key, execution: execution.id });
    }
    Err(OpError::new(ErrorCode::ExecutionLive, "the execution has not ended"))
}

/// Ends a waiting execution, asks a running one to stop.
///
/// # Errors
/// `execution_not_found`, `execution_ended`.
pub(crate) async fn stop(caller: &Caller, id: &str) -> Result<OpAnswer<ExecutionChanged>, OpError> {
    let stopped = caller.answer(|view| {
        let (task, execution) = find(view, id)?;
        Ok(Some(Command::Stop(OfExecution { task: task.key, execution: execution.id })))
    });
    stopped.await?;
    changed(caller, id)
}

/// Makes a new execution of what an ended one did.
///
/// # Errors
/// `execution_not_found`, `execution_live`, and those of a trigger.
pub(crate) async fn retry(
    caller: &Caller,
    id: &str,
) -> Result<OpAnswer<ExecutionChanged>, OpError> {
    let answer = caller.answer(|view| Ok(Some(Command::Retry(ended(view, id)?)))).await?;
    trigger::made(caller, &answer)
}

/// Notes that nobody need look at a failure any more. The record stays as long as its task's history
/// does.
///
/// # Errors
/// `execution_not_found`, `execution_live`.
pub(crate) async fn dismiss(
    caller: &Caller,
    id: &str,
) -> Result<OpAnswer<ExecutionChanged>, OpError> {
    caller.answer(|view| Ok(Some(Command::Dismiss(ended(view, id)?)))).await?;
    changed(caller, id)
}

/// An execution as it is after a command about it.
fn changed(caller: &Caller, id: &str) -> Result<OpAnswer<ExecutionChanged>, OpError> {
    let view = caller.context.here()?;
    let execution = match find(&view, id) {
        Ok((task, execution)) => {
            ExecutionNow::Kept(Box::new(views::execution(&view.state, task, execution)))
        }
        // Its task was removed since.
        Err(_) => ExecutionNow::Gone { id: id.to_owned() },
    };
    Ok(OpAnswer::of(view, ExecutionChanged { execution, warnings: Vec::new() }))
}
