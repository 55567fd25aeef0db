//! `/cluster`, `/scheduler` and `/admin`.

use axum::http::StatusCode;

use super::extract::{HandlerResult, PathSegment, ReadRequest, WriteRequest};
use super::fields::BodyFields;
use super::reply::{answer, ok};
use crate::ops::cluster;

/// `GET /cluster`.
pub(super) async fn get(read: ReadRequest) -> HandlerResult {
    let view = read.view().await?;
    Ok(ok(&view, cluster::show(&read.context, &view).await?))
}

/// `POST /cluster/transfer-leader`: gives the lead to another voter, or to the one that is named.
pub(super) async fn transfer_leader(write: WriteRequest) -> HandlerResult {
    let fields = BodyFields::of(write.body.as_ref(), &["to"])?;
    let to = fields.text("to");
    fields.done()?;
    Ok(answer(StatusCode::OK, cluster::transfer_leader(&write.caller, to).await?))
}

/// `POST /cluster/members/{id}/replace`: readmits a member that lost its data, by its configured id
/// or its node's name.
pub(super) async fn replace(PathSegment(id): PathSegment, write: WriteRequest) -> HandlerResult {
    write.no_fields()?;
    Ok(answer(StatusCode::OK, cluster::replace(&write.caller, &id).await?))
}

/// `GET /scheduler/status`.
pub(super) async fn scheduler(read: ReadRequest) -> HandlerResult {
    let view = read.view().await?;
    Ok(ok(&view, cluster::scheduler(&read.context, &view)?))
}

/// `POST /admin/cleanup-all`: removes all tasks, if the request names the cluster.
pub(super) async fn cleanup_all(write: WriteRequest) -> HandlerResult {
    let fields = BodyFields::of(Some(write.body()?), &["cluster"])?;
    let cluster = fields.need("cluster").text("cluster").unwrap_or_default().to_owned();
    fields.done()?;
    Ok(answer(StatusCode::OK, cluster::cleanup_all(&write.caller, cluster).await?))
}
