//! The routes of `/api/v1/scheduler` that respond with an envelope.

use axum::http::StatusCode;

use super::{last_run, limit};
use crate::api::extract::{HandlerResult, ReadRequest, WriteRequest};
use crate::api::reply::{answer, ok};
use crate::domain::machine::Task;
use crate::dto::{EnvelopeView, JobView, Rfc3339};
use crate::ops::context::StateView;
use crate::ops::{OpAnswer, cluster, plans};

/// `GET /scheduler/jobs`: the tasks, sorted by name.
pub(in crate::api) async fn jobs(read: ReadRequest) -> HandlerResult {
    let limit = limit(&read.params)?;
    let view = read.view().await?;
    let tell = move || {
        let jobs = super::tasks(&view).take(limit).map(|task| job(&view, task));
        ok(&view, EnvelopeView::success(jobs.collect::<Vec<_>>()))
    };
    read.context.scans.run(tell).await
}

fn job(view: &StateView, task: &Task) -> JobView {
    JobView {
        id: task.live.name.to_string(),
        name: task.live.name.to_string(),
        next_run: plans::next_tick(view, task).map(Rfc3339),
        last_run: last_run(task),
    }
}

/// `POST /scheduler/start`: enables claiming of ticks.
pub(in crate::api) async fn start(write: WriteRequest) -> HandlerResult {
    switch(write, true).await
}

/// `POST /scheduler/stop`: disables claiming of ticks on all nodes.
pub(in crate::api) async fn stop(write: WriteRequest) -> HandlerResult {
    switch(write, false).await
}

async fn switch(write: WriteRequest, on: bool) -> HandlerResult {
    write.no_fields()?;
    let OpAnswer { view, body, .. } = cluster::set_scheduler(&write.caller, on).await?;
    Ok(answer(StatusCode::OK, OpAnswer::of(view, EnvelopeView::success(body))))
}
