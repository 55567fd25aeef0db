//! `/executors`.

mod registration;

use axum::http::StatusCode;

use super::extract::{HandlerResult, PathSegment, ReadRequest, WriteRequest};
use super::fields::BodyFields;
use super::lists::page;
use super::reply::{answer, ok};
use crate::domain::executor::ExecutorStatus;
use crate::dto::{ExecutorStatusRequest, Message};
use crate::ops::{OpError, executors};

/// Longest reason of a status.
const REASON_BYTES_MAX: usize = 4_096;

/// `GET /executors`.
pub(super) async fn list(read: ReadRequest) -> HandlerResult {
    let page = page(&read.params)?;
    let status = read.params.word("status", &executors::STATUSES)?;
    let view = read.view().await?;
    read.context.scans.run(move || ok(&view, executors::list(&view, status, &page))).await
}

/// `POST /executors/register`: registers one, or renews its registration.
pub(super) async fn register(write: WriteRequest) -> HandlerResult {
    let registration = registration::read(write.body()?)?;
    let (registered, created) = executors::register(&write.caller, registration).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, registered))
}

/// `GET /executors/{id}`.
pub(super) async fn get(PathSegment(id): PathSegment, read: ReadRequest) -> HandlerResult {
    Ok(answer(StatusCode::OK, executors::show(read.view().await?, &id)?))
}

/// `DELETE /executors/{id}`.
pub(super) async fn delete(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    Ok(answer(StatusCode::OK, executors::delete(&write.caller, id).await?))
}

/// `PUT /executors/{id}/status`: gives it work, or holds work back.
pub(super) async fn put_status(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    let fields = BodyFields::of::<ExecutorStatusRequest>(Some(write.body()?))?;
    let word = fields.need("status").word("status", &executors::STATUSES);
    let reason = fields.short_text("reason", REASON_BYTES_MAX).unwrap_or_default();
    fields.done()?;
    let status = word.and_then(ExecutorStatus::of);
    let status = status.ok_or_else(|| OpError::internal("a status was not read"))?;
    let view = executors::set_status(&write.caller, &id, status, reason).await?;
    Ok(ok(&view, Message { message: "status updated".to_owned() }))
}

/// `POST /executors/{id}/heartbeat`: it works.
pub(super) async fn heartbeat(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    Ok(answer(StatusCode::OK, executors::heartbeat(&write.caller, &id).await?))
}
