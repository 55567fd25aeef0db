//! What attempts print: as bytes, or as a stream of events. And the executions of a task, as a stream.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::Extension;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;

use super::extract::{HandlerResult, PathSegment, ReadRequest};
use super::reply::index;
use crate::domain::ids::ExecutionId;
use crate::ops::OpError;
use crate::ops::context::StateView;
use crate::ops::output::{self, OutputEvent, OutputNow};
use crate::ops::streams::Stopping;
use crate::ops::tasks::follow;

/// A stream without news says so.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /executions/{id}/output`: the bytes as they were printed; with `follow` as a stream.
pub(super) async fn output(
    PathSegment(id): PathSegment,
    read: ReadRequest,
    stopping: Option<Extension<Stopping>>,
) -> HandlerResult {
    let params = &read.params;
    let from = params.number("from", 0..=u64::MAX)?;
    let number = params.number("attempt", 1..=u64::from(u32::MAX))?;
    let number = number.and_then(|number| u32::try_from(number).ok());
    let follow = params.flag("follow")?;
    let view = read.view().await?;
    if follow {
        let last = read.headers.get("last-event-id").and_then(|id| id.to_str().ok());
        let last = last.and_then(event_place);
        let place = match last {
            Some((attempt, next)) => (Some(attempt), next),
            None => (number, from.unwrap_or(0)),
        };
        let follower = output::follow(&read.context, &view, &id, place, last.is_some())?;
        let events = stream::unfold(follower, |mut follower| async move {
            let event = follower.event().await?;
            Some((sse(&event), follower))
        });
        return Ok(stream_of(events, stopping));
    }
    let now = output::read(&read.context, &view, &id, number, from.unwrap_or(0)).await?;
    Ok(bytes_of(&view, now))
}

/// `GET /tasks/{name}/executions/new`: its executions, as they are created.
pub(super) async fn created(
    PathSegment(name): PathSegment,
    read: ReadRequest,
    stopping: Option<Extension<Stopping>>,
) -> HandlerResult {
    let last = read.headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let after = last.or(read.params.get("after")).map(str::parse::<ExecutionId>).transpose();
    let after = after.map_err(|_error| {
        OpError::parameter("after", "must be the id of an execution, such as 42")
    })?;
    let view = read.view().await?;
    let follower = follow::follow(&read.context, &view, &name, after)?;
    let events = stream::unfold(follower, |mut follower| async move {
        let execution = follower.event().await?;
        let event = Event::default().event("execution").id(&execution.id).data(data(&execution));
        Some((event, follower))
    });
    Ok(stream_of(events, stopping))
}

/// The bytes of an output, with where they stand in it if a node keeps it.
fn bytes_of(view: &StateView, now: OutputNow) -> Response {
    let (from, next, total, running, bytes) = match now {
        OutputNow::Tail(bytes) => return text(view, bytes, false),
        OutputNow::Kept { from, next, total, running, bytes } => {
            (from, next, total, running, bytes)
        }
    };
    let mut response = text(view, bytes, true);
    let headers = response.headers_mut();
    for (name, value) in [("from", from), ("next", next), ("total", total)] {
        if let Ok(name) = HeaderName::try_from(format!("punctual-output-{name}")) {
            headers.insert(name, HeaderValue::from(value));
        }
    }
    let running = if running { "true" } else { "false" };
    let name = HeaderName::from_static("punctual-output-running");
    headers.insert(name, HeaderValue::from_static(running));
    response
}

/// Bytes that were printed; a tail from the log is not kept output.
fn text(view: &StateView, bytes: Vec<u8>, kept: bool) -> Response {
    let kind = (CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let kept = HeaderValue::from_static(if kept { "true" } else { "false" });
    let kept = (HeaderName::from_static("punctual-output-kept"), kept);
    (index(view), [kind, kept], bytes).into_response()
}

/// The attempt and the byte that an event's id names: `2-4096`.
fn event_place(id: &str) -> Option<(u32, u64)> {
    let (attempt, next) = id.split_once('-')?;
    Some((attempt.parse().ok()?, next.parse().ok()?))
}

/// Events, until they end or the node stops.
pub(super) fn stream_of(
    events: impl Stream<Item = Event> + Send + 'static,
    stopping: Option<Extension<Stopping>>,
) -> Response {
    let events = events.map(Ok::<_, Infallible>).take_until(Box::pin(stopped(stopping)));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// Waits until the node stops.
pub(super) async fn stopped(stopping: Option<Extension<Stopping>>) {
    match stopping {
        Some(Extension(stopping)) => stopping.stopped().await,
        None => std::future::pending().await,
    }
}

/// `attempt`, `output` with a piece, `gone`, or `end`. The id names the place behind the piece.
fn sse(event: &OutputEvent) -> Event {
    match event {
        OutputEvent::Attempt(begins) => {
            let id = format!("{}-0", begins.attempt);
            Event::default().event("attempt").id(id).data(data(begins))
        }
        OutputEvent::Gone(gone) => Event::default().event("gone").data(data(gone)),
        OutputEvent::Piece(piece) => {
            let id = format!("{}-{}", piece.attempt, piece.next);
            Event::default().event("output").id(id).data(data(piece))
        }
        OutputEvent::End(end) => Event::default().event("end").data(data(end)),
    }
}

/// The data of an event.
pub(super) fn data(event: &impl Serialize) -> String {
    serde_json::to_string(event).unwrap_or_default()
}
