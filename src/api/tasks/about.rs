//! What is told about one task.

use std::sync::Arc;

use serde::Serialize;

use crate::api::extract::{HandlerResult, PathSegment, ReadRequest};
use crate::api::lists::page;
use crate::api::params::Params;
use crate::api::reply::ok;
use crate::domain::machine::Task;
use crate::domain::time::Timestamp;
use crate::domain::time::{YEAR_0, YEAR_9999};
use crate::ops::context::StateView;
use crate::ops::executions::ExecutionFilter;
use crate::ops::tasks::list::NamedTasks;
use crate::ops::ticks::{self, TickRange};
use crate::ops::{OpError, about, executions, preview, stats, why, words};

/// Next ticks that are told, unless asked otherwise.
const NEXT: u64 = 10;
/// At most so many.
const NEXT_MAX: u64 = 1_000;

/// Answers with what is computed from a task, beside other requests.
pub(in crate::api) async fn tell<T: Serialize>(
    read: &ReadRequest,
    name: String,
    tell: impl FnOnce(&StateView, &Arc<Task>) -> Result<T, OpError> + Send + 'static,
) -> HandlerResult {
    let view = read.view().await?;
    read.context
        .scans
        .run(move || {
            let body = tell(&view, view.task(&name)?)?;
            Ok(ok(&view, body))
        })
        .await?
}

/// `GET /tasks/{name}/next`: its next ticks.
pub(in crate::api) async fn next(
    PathSegment(name): PathSegment,
    read: ReadRequest,
) -> HandlerResult {
    let params = &read.params;
    let n = params.number("n", 1..=NEXT_MAX)?.unwrap_or(NEXT);
    let from = params.instant("from")?;
    tell(&read, name, move |view, task| Ok(preview::next(view, task, from, n))).await
}

/// `GET /tasks/{name}/ticks`: what became of its ticks.
pub(in crate::api) async fn ticks(
    PathSegment(name): PathSegment,
    read: ReadRequest,
) -> HandlerResult {
    let params = &read.params;
    let range = tick_range(params)?;
    tell(&read, name, move |view, task| Ok(ticks::list(&view.state, task, &range))).await
}

/// `GET /tasks/{name}/why`: what became of a tick, or will.
pub(in crate::api) async fn why(
    PathSegment(name): PathSegment,
    read: ReadRequest,
) -> HandlerResult {
    let at = read.params.instant("at")?;
    tell(&read, name, move |view, task| Ok(why::why(view, task, at))).await
}

/// `GET /tasks/{name}/executions`: its executions, newest first.
pub(in crate::api) async fn executions(
    PathSegment(name): PathSegment,
    read: ReadRequest,
) -> HandlerResult {
    let params = &read.params;
    let status = params.word("status", &words::STATUSES)?;
    let page = page(params)?;
    let before = executions::before(&page)?;
    tell(&read, name, move |view, task| {
        let names = vec![task.live.name.to_string()];
        let tasks = NamedTasks { names, ..NamedTasks::default() };
        let filter = ExecutionFilter { tasks, status, node: None, executor: None, failed: false };
        Ok(executions::list(view, &filter, &page, before))
    })
    .await
}

/// `GET /tasks/{name}/stats`: statistics of the task.
pub(in crate::api) async fn stats(
    PathSegment(name): PathSegment,
    read: ReadRequest,
) -> HandlerResult {
    tell(&read, name, |view, task| Ok(stats::of_task(view, task))).await
}

/// `GET /tasks/{name}/revisions`: its kept definitions, newest first, each with what it changed.
pub(in crate::api) async fn revisions(
    PathSegment(name): PathSegment,
    read: ReadRequest,
) -> HandlerResult {
    tell(&read, name, |_view, task| Ok(about::revisions(task))).await
}

/// `GET /tasks/{name}/assignment`: who owns it, and why.
pub(in crate::api) async fn assignment(
    PathSegment(name): PathSegment,
    read: ReadRequest,
) -> HandlerResult {
    tell(&read, name, |view, task| Ok(about::assignment(view, task))).await
}

/// Reads `from`, `to`, `empty`, `limit` and `cursor`.
///
/// # Errors
/// `invalid_parameter`.
pub(crate) fn tick_range(params: &Params) -> Result<TickRange, OpError> {
    let from = params.instant("from")?.unwrap_or(YEAR_0);
    let to = params.instant("to")?.unwrap_or(YEAR_9999);
    if to < from {
        return Err(OpError::parameter("to", "must not lie before from"));
    }
    let page = page(params)?;
    let below = page.after().map(|key| {
        let end = key.parse::<i64>();
        end.map(Timestamp).map_err(|_error| OpError::cursor())
    });
    Ok(TickRange { from, to, below: below.transpose()?, empty: params.flag("empty")?, page })
}
