//! `/executions`.

use axum::http::StatusCode;
use serde_json::Value;

use super::extract::{HandlerResult, PathSegment, ReadRequest, WriteRequest};
use super::fields::BodyFields;
use super::lists::page;
use super::reply::{answer, ok};
use super::tasks::{created, named};
use crate::domain::error_code::ErrorCode;
use crate::domain::machine::record::Status;
use crate::dto::{CallbackRequest, Message};
use crate::exec::executor::ResultText;
use crate::ops::callbacks::{self, Callback};
use crate::ops::executions::{self, ExecutionFilter};
use crate::ops::{OpError, nodes, views, words};

/// `GET /executions`: newest first.
pub(super) async fn list(read: ReadRequest) -> HandlerResult {
    let params = &read.params;
    let page = page(params)?;
    let before = executions::before(&page)?;
    let view = read.view().await?;
    let node = params.get("node").map(|node| nodes::find(&view, node).map(|node| node.id));
    let unknown = |_unknown| OpError::parameter("node", "is no node of this cluster");
    let filter = ExecutionFilter {
        tasks: named(params, "task_id"),
        node: node.transpose().map_err(unknown)?,
        status: params.word("status", &words::STATUSES)?,
        executor: params.get("executor_id").map(str::to_owned),
        failed: params.flag("failed")?,
    };
    read.context.scans.run(move || ok(&view, executions::list(&view, &filter, &page, before))).await
}

/// `GET /executions/{id}`.
pub(super) async fn get(PathSegment(id): PathSegment, read: ReadRequest) -> HandlerResult {
    let view = read.view().await?;
    let (task, execution) = executions::find(&view, &id)?;
    Ok(ok(&view, views::execution(&view.state, task, execution)))
}

/// `GET /executions/stats`: statistics of all tasks, or of one.
pub(super) async fn stats(read: ReadRequest) -> HandlerResult {
    let task = read.params.get("task_id").map(str::to_owned);
    let view = read.view().await?;
    read.context
        .scans
        .run(move || Ok(ok(&view, executions::stats(&view, task.as_deref())?)))
        .await?
}

/// `POST /executions/{id}/stop`: ends a waiting one, asks a running one to stop.
pub(super) async fn stop(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    let changed = executions::stop(&write.caller, &id).await?;
    let status = if changed.body.execution.live() { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(answer(status, changed))
}

/// `POST /executions/{id}/retry`: a new execution of what an ended one did.
pub(super) async fn retry(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    let made = executions::retry(&write.caller, &id).await?;
    let id = made.body.execution.id().to_owned();
    Ok(created(made, "executions", &id))
}

/// `DELETE /executions/{id}`: nobody need look at this failure any more.
pub(super) async fn dismiss(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    Ok(answer(StatusCode::OK, executions::dismiss(&write.caller, &id).await?))
}

/// `POST /executions/{id}/callback`: the end of an execution, told by who carried it out.
pub(super) async fn callback(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    let in_query = write.params.number("fence", 0..=u64::MAX)?;
    let key = write.params.get("key").map(str::to_owned);
    let fields = BodyFields::of::<CallbackRequest>(Some(write.body()?))?;
    let status = fields.need("status").word("status", &["success", "failed", "timeout"]);
    let fence = in_query.or(fields.number("fence", 0..=u64::MAX));
    let named = match fields.get("execution_id") {
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => fields.text("execution_id").map(str::to_owned),
    };
    if named.is_some_and(|named| named != id) {
        let message = "names another execution than the path";
        fields.refuse("/execution_id", ErrorCode::Conflict, message);
    }
    let text = ResultText::new(fields.get("result"), fields.get("logs"));
    fields.done()?;
    let status = match status {
        Some("success") => Status::Success,
        Some("timeout") => Status::Timeout,
        _ => Status::Failed,
    };
    let callback = Callback { fence, key, signed: write.signed, status, text };
    let view = callbacks::end(&write.caller, &id, &callback).await?;
    Ok(ok(&view, Message { message: "callback processed".to_owned() }))
}
