//! Tasks: list, read, create, change and delete.

pub(super) mod about;
pub(super) mod backfill;
pub(super) mod many;

use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::Response;
use serde::Serialize;

use super::extract::{HandlerResult, PathSegment, ReadRequest, WriteRequest};
use super::fields::BodyFields;
use super::lists::{location, page};
use super::params::Params;
use super::reply::{answer, ok};
use crate::dto::{ClaimRequest, PauseRequest, Rfc3339, TriggerRequest};
use crate::ops::context::StateView;
use crate::ops::tasks::lifecycle::{self, Deletion};
use crate::ops::tasks::list::{NamedTasks, TaskFilter, TaskOrder};
use crate::ops::tasks::{claim, definition, trigger};
use crate::ops::words::TASK_STATES;
use crate::ops::{OpAnswer, OpError, nodes, views};

/// Maximum length of a pause reason, in bytes.
const REASON_BYTES_MAX: usize = 4 << 10;

/// `GET /tasks`: tasks that match all filters. With `deleted`, tasks marked deleted are listed
/// instead of the others.
pub(super) async fn list(read: ReadRequest) -> HandlerResult {
    let params = &read.params;
    let page = page(params)?;
    let order = match params.word("sort", &["name", "next", "last"])? {
        Some("next") => TaskOrder::Next,
        Some("last") => TaskOrder::Last,
        _ => TaskOrder::Name,
    };
    let view = read.view().await?;
    let filter = filter(params, &view)?;
    read.context
        .scans
        .run(move || {
            let list = crate::ops::tasks::list::list(&view, &filter, &page, order)?;
            Ok(ok(&view, list))
        })
        .await?
}

fn filter(params: &Params, view: &StateView) -> Result<TaskFilter, OpError> {
    let status = params.word("status", &TASK_STATES)?;
    let owner = params.get("owner").map(|node| {
        let found = nodes::find(view, node).map(|node| node.id);
        found.map_err(|_unknown| OpError::parameter("owner", "is no node of this cluster"))
    });
    Ok(TaskFilter {
        status,
        named: named(params, "name"),
        owner: owner.transpose()?,
        deleted: params.flag("deleted")? || status == Some("deleted"),
    })
}

/// The tasks that are meant by names in this parameter, and by labels.
pub(super) fn named(params: &Params, names: &str) -> NamedTasks {
    let labels = params.all("label").map(|label| match label.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (label.to_owned(), None),
    });
    NamedTasks { names: params.all(names).map(str::to_owned).collect(), labels: labels.collect() }
}

/// `GET /tasks/{name}`: a task, including one marked deleted.
pub(super) async fn get(PathSegment(name): PathSegment, read: ReadRequest) -> HandlerResult {
    let view = read.view().await?;
    let task = view.task(&name)?;
    let (body, revision) = (views::task(&view, task), Some(task.live.revision));
    Ok(answer(StatusCode::OK, OpAnswer { view, body, revision }))
}

/// `POST /tasks`: creates a task. With `force` it replaces an existing task.
pub(super) async fn create(write: WriteRequest) -> HandlerResult {
    let force = write.params.flag("force")?;
    let body = write.body()?;
    let made = definition::create(&write.caller, body, force).await?;
    let name = made.body.task.name().to_owned();
    Ok(created(made, "tasks", &name))
}

/// A response with a created object and its location.
pub(super) fn created<T: Serialize>(made: OpAnswer<T>, collection: &str, name: &str) -> Response {
    let mut response = answer(StatusCode::CREATED, made);
    if let Some(location) = location(collection, name) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// `PUT /tasks/{name}`: replaces the definition. Cursor and history are kept.
pub(super) async fn put(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    let changed = definition::put(&write.caller, &name, write.body()?).await?;
    Ok(answer(StatusCode::OK, changed))
}

/// `PATCH /tasks/{name}`: a JSON merge patch (RFC 7396) of the definition.
pub(super) async fn patch(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    let changed = definition::patch(&write.caller, &name, write.body()?).await?;
    Ok(answer(StatusCode::OK, changed))
}

/// `DELETE /tasks/{name}`: marks the task deleted, or removes everything stored under the name.
pub(super) async fn delete(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    let params = &write.params;
    let how = Deletion {
        wait: params.flag("wait")?,
        stop: params.flag("stop")?,
        cleanup: params.flag("cleanup")?,
        tombstone: params.flag("tombstone")?,
    };
    write.no_fields()?;
    Ok(answer(StatusCode::OK, lifecycle::delete(&write.caller, &name, how).await?))
}

/// `POST /tasks/{name}/pause`: stops firing its ticks.
pub(super) async fn pause(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    let wait = write.params.flag("wait")?;
    let fields = BodyFields::of::<PauseRequest>(write.body.as_ref())?;
    let pause = pause_request(&fields);
    fields.done()?;
    Ok(answer(StatusCode::OK, lifecycle::pause(&write.caller, &name, pause, wait).await?))
}

/// Parses the fields of a pause.
fn pause_request(fields: &BodyFields<'_>) -> PauseRequest {
    let reason = fields.short_text("reason", REASON_BYTES_MAX).map(str::to_owned);
    PauseRequest { reason, until: fields.instant("until").map(Rfc3339) }
}

/// `POST /tasks/{name}/resume`: starts firing its ticks again.
pub(super) async fn resume(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    Ok(answer(StatusCode::OK, lifecycle::resume(&write.caller, &name).await?))
}

/// `POST /tasks/{name}/cancel`: stops firing its ticks and ends its waiting executions.
pub(super) async fn cancel(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    let wait = write.params.flag("wait")?;
    write.no_fields()?;
    Ok(answer(StatusCode::OK, lifecycle::cancel(&write.caller, &name, wait).await?))
}

/// `POST /tasks/{name}/reuse`: removes the deleted mark.
pub(super) async fn reuse(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    Ok(answer(StatusCode::OK, lifecycle::reuse(&write.caller, &name).await?))
}

/// `POST /tasks/{name}/cleanup`: removes everything stored under the name, if anything.
pub(super) async fn cleanup(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    Ok(answer(StatusCode::OK, lifecycle::cleanup(&write.caller, &name).await?))
}

/// `POST /tasks/{name}/trigger`: starts an execution now.
pub(super) async fn trigger(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    let fields = BodyFields::of::<TriggerRequest>(write.body.as_ref())?;
    let parameters = fields.object("parameters").cloned();
    fields.done()?;
    let made = trigger::trigger(&write.caller, &name, TriggerRequest { parameters }).await?;
    let id = made.body.execution.id().to_owned();
    Ok(created(made, "executions", &id))
}

/// `POST /tasks/{name}/claim`: claims a tick of a `manual` task.
pub(super) async fn claim(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    let fields = BodyFields::of::<ClaimRequest>(Some(write.body()?))?;
    let tick = fields.need("tick").instant("tick");
    fields.done()?;
    let Some(tick) = tick else { return Err(OpError::internal("a tick was read and not found")) };
    let made = claim::claim(&write.caller, &name, tick).await?;
    let id = made.body.execution_id.clone();
    Ok(created(made, "executions", &id))
}
