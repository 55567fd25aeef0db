//! `/cluster`, `/scheduler` and `/admin`.

use axum::body::Body;
use axum::extract::Extension;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::IntoResponse;
use futures_util::StreamExt;

use super::extract::{HandlerResult, ReadRequest, WriteRequest};
use super::fields::BodyFields;
use super::output::stopped;
use super::reply::{answer, index, ok};
use crate::domain::spec;
use crate::dto::{CleanupAllRequest, StrategyRequest, TransferRequest};
use crate::ops::streams::Stopping;
use crate::ops::{backup, cluster};

/// The media type of a backup.
pub(super) const BACKUP_TYPE: &str = "application/octet-stream";

/// `GET /cluster`.
pub(super) async fn get(read: ReadRequest) -> HandlerResult {
    let view = read.view().await?;
    Ok(ok(&view, cluster::show(&read.context, &view).await?))
}

/// `GET /cluster/backup`: all records, as a file. An answer that breaks off lacks the end of the file.
pub(super) async fn backup(
    read: ReadRequest,
    stopping: Option<Extension<Stopping>>,
) -> HandlerResult {
    let view = read.view().await?;
    let kind = [(CONTENT_TYPE, HeaderValue::from_static(BACKUP_TYPE))];
    let index = index(&view);
    let pieces = backup::pieces(&read.context, view)?;
    let body = Body::from_stream(pieces.take_until(Box::pin(stopped(stopping))));
    Ok((index, kind, body).into_response())
}

/// `POST /cluster/transfer-leader`: transfers leadership to another voter, or to the given one.
pub(super) async fn transfer_leader(write: WriteRequest) -> HandlerResult {
    let fields = BodyFields::of::<TransferRequest>(write.body.as_ref())?;
    let to = fields.text("to");
    fields.done()?;
    Ok(answer(StatusCode::OK, cluster::transfer_leader(&write.caller, to).await?))
}

/// `GET /scheduler/status`.
pub(super) async fn scheduler(read: ReadRequest) -> HandlerResult {
    let view = read.view().await?;
    Ok(ok(&view, cluster::scheduler(&read.context, &view)?))
}

/// `PUT /scheduler/strategy`: how the tasks that name no strategy are given to nodes.
pub(super) async fn put_strategy(write: WriteRequest) -> HandlerResult {
    let fields = BodyFields::of::<StrategyRequest>(Some(write.body()?))?;
    let strategy = fields.need("strategy").get("strategy").map(spec::strategy);
    if let Some(Err(problem)) = &strategy {
        fields.refuse(&problem.pointer, problem.code, &problem.message);
    }
    fields.done()?;
    let strategy = strategy.transpose()?.unwrap_or_default();
    Ok(answer(StatusCode::OK, cluster::set_strategy(&write.caller, strategy).await?))
}

/// `POST /admin/cleanup-all`: removes all tasks. The request must contain the cluster name as a
/// confirmation.
pub(super) async fn cleanup_all(write: WriteRequest) -> HandlerResult {
    let fields = BodyFields::of::<CleanupAllRequest>(Some(write.body()?))?;
    let cluster = fields.need("cluster").text("cluster").unwrap_or_default().to_owned();
    fields.done()?;
    Ok(answer(StatusCode::OK, cluster::cleanup_all(&write.caller, cluster).await?))
}
