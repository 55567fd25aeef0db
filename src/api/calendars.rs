//! `/calendars`, and `/drift` of the files that have them and tasks.

use axum::http::StatusCode;

use super::extract::{HandlerResult, PathSegment, ReadRequest, WriteRequest};
use super::lists::page;
use super::reply::{answer, ok};
use crate::domain::ids::Revision;
use crate::domain::spec::{calendar_definition, read_calendar};
use crate::ops::{OpAnswer, calendars, files};

/// `GET /calendars`.
pub(super) async fn list(read: ReadRequest) -> HandlerResult {
    let page = page(&read.params)?;
    let view = read.view().await?;
    read.context.scans.run(move || ok(&view, calendars::list(&view, &page))).await
}

/// `GET /drift`.
pub(super) async fn drift(read: ReadRequest) -> HandlerResult {
    let view = read.view().await?;
    let context = std::sync::Arc::clone(&read.context);
    read.context.scans.run(move || ok(&view, files::show(&context, &view))).await
}

/// `GET /calendars/{name}`.
pub(super) async fn get(PathSegment(name): PathSegment, read: ReadRequest) -> HandlerResult {
    let view = read.view().await?;
    read.context
        .scans
        .run(move || {
            let body = calendars::show(&view, &name)?;
            let revision = Some(Revision(body.revision));
            Ok(answer(StatusCode::OK, OpAnswer { view, body, revision }))
        })
        .await?
}

/// `PUT /calendars/{name}`: creates or changes a calendar.
pub(super) async fn put(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    let calendar = read_calendar(&name, &calendar_definition(write.body()?))?;
    let (changed, created) = calendars::put(&write.caller, calendar).await?;
    let status = if created { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, changed))
}

/// `DELETE /calendars/{name}`: removes a calendar that no task uses.
pub(super) async fn delete(PathSegment(name): PathSegment, write: WriteRequest) -> HandlerResult {
    Ok(answer(StatusCode::OK, calendars::delete(&write.caller, name).await?))
}
