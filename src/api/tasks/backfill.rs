//! Backfills of a task.

use axum::http::StatusCode;

use super::about::tell;
use crate::api::extract::{HandlerResult, PathSegment, ReadRequest, WriteRequest};
use crate::api::fields::BodyFields;
use crate::api::params::Params;
use crate::api::reply::answer;
use crate::domain::time::Timestamp;
use crate::dto::{BackfillRequest, Rfc3339};
use crate::ops::OpError;
use crate::ops::tasks::backfill::{self, BackfillRange, BackfillStep, PARALLEL_MAX};

/// `POST /tasks/{name}/backfill`: executions for the next ticks of a past range.
pub(in crate::api) async fn step(
    PathSegment(name): PathSegment,
    write: WriteRequest,
) -> HandlerResult {
    let fields = BodyFields::of::<BackfillRequest>(Some(write.body()?))?;
    let from = fields.need("from").instant("from");
    let to = fields.need("to").instant("to");
    let parallel = fields.number("parallel", 1..=PARALLEL_MAX);
    let parameters = fields.object("parameters").cloned();
    fields.done()?;
    let (Some(from), Some(to)) = (from, to) else {
        return Err(OpError::internal("a range was read and not found"));
    };
    let (from, to) = (Rfc3339(from), Rfc3339(to));
    let step = BackfillStep::of(&BackfillRequest { from, to, parallel, parameters })?;
    Ok(answer(StatusCode::OK, backfill::step(&write.caller, &name, &step).await?))
}

/// `DELETE /tasks/{name}/backfill`: no further executions for ticks of a range.
pub(in crate::api) async fn cancel(
    PathSegment(name): PathSegment,
    write: WriteRequest,
) -> HandlerResult {
    let range = range(&write.params)?;
    Ok(answer(StatusCode::OK, backfill::cancel(&write.caller, &name, &range).await?))
}

/// The range that the parameters name.
fn range(params: &Params) -> Result<BackfillRange, OpError> {
    let needed = |name: &str| -> Result<Timestamp, OpError> {
        let given = params.instant(name)?;
        given.ok_or_else(|| OpError::parameter(name, "is needed"))
    };
    Ok(BackfillRange { from: needed("from")?, to: needed("to")?, parameters: true })
}

/// `GET /tasks/{name}/backfill`: the ticks that a backfill would execute.
pub(in crate::api) async fn ticks(
    PathSegment(name): PathSegment,
    read: ReadRequest,
) -> HandlerResult {
    let range = range(&read.params)?;
    tell(&read, name, move |view, task| backfill::ticks(view, task, &range)).await
}

/// `GET /tasks/{name}/backfills`: how far its backfills are.
pub(in crate::api) async fn list(
    PathSegment(name): PathSegment,
    read: ReadRequest,
) -> HandlerResult {
    tell(&read, name, |view, task| Ok(backfill::list(view, task))).await
}
