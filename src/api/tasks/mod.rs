//! Tasks: one, all, made, changed, and what is told about one.

pub(super) mod about;
pub(super) mod batch;
pub(super) mod bulk;
pub(super) mod claim;
pub(super) mod create;
pub(super) mod edit;
pub(super) mod lifecycle;
pub(super) mod list;

use super::extract::{Read, Reply, Segment};
use super::reply::{etag, reply};
use crate::domain::ids::Revision;
use crate::domain::machine::Task;
use crate::dto::{ExecutionView, TaskChanged, TaskNow};
use crate::ops::context::{Context, View};
use crate::ops::views;
use axum::http::StatusCode;
use axum::response::Response;

/// `GET /tasks/{name}`: a task, marked deleted or not.
pub(super) async fn get(Segment(name): Segment, read: Read) -> Reply {
    let view = read.view().await?;
    let task = view.task(&name)?;
    Ok(task_reply(&view, StatusCode::OK, task))
}

/// Answers with a task and its revision.
fn task_reply(view: &View, status: StatusCode, task: &Task) -> Response {
    let mut response = reply(view, status, views::task(view, task));
    etag(response.headers_mut(), task.live.revision);
    response
}

/// Answers with a task as it is after a command about it, and what of it goes on. The `ETag` is the
/// revision that the command made: a change that is bound to it is refused if somebody has changed
/// the task since, which the body then shows.
fn after_write(
    context: &Context,
    status: StatusCode,
    name: &str,
    made: Option<Revision>,
    running: Option<Vec<ExecutionView>>,
) -> Reply {
    let view = context.here()?;
    let found = view.state.named(name);
    let task = match found {
        Some(task) => TaskNow::Kept(Box::new(views::task(&view, task))),
        // Another command has removed it since.
        None => TaskNow::gone(name),
    };
    let mut response = reply(&view, status, TaskChanged { task, running, cancelled: None });
    if let Some(revision) = found.map(|task| made.unwrap_or(task.live.revision)) {
        etag(response.headers_mut(), revision);
    }
    Ok(response)
}
