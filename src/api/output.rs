//! What attempts print: as bytes, or as a stream of events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Extension;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::Stopping;
use super::extract::{HandlerResult, PathSegment, ReadRequest};
use super::reply::index;
use crate::ops::context::StateView;
use crate::ops::output::{self, Follower, OutputEvent, OutputNow};

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
        let place = last.and_then(event_place).unwrap_or((number.unwrap_or(0), from.unwrap_or(0)));
        let follower = output::follow(Arc::clone(&read.context), &view, &id, number, place)?;
        return Ok(stream_of(follower, stopping.map(|Extension(stopping)| stopping)));
    }
    let now = output::read(&read.context, &view, &id, number, from.unwrap_or(0)).await?;
    Ok(bytes_of(&view, now))
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

/// The events of an output, until it ends or the node stops.
fn stream_of(follower: Follower, stopping: Option<Stopping>) -> Response {
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.event().await?;
        Some((Ok::<_, Infallible>(sse(&event)), follower))
    });
    let stopped = async move {
        match stopping {
            Some(Stopping(mut stop)) => {
                let _gone = stop.wait_for(|stop| *stop).await;
            }
            None => std::future::pending().await,
        }
    };
    let events = events.take_until(Box::pin(stopped));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}

/// `output` with a piece, or `end`. The id names the place behind the piece.
fn sse(event: &OutputEvent) -> Event {
    match event {
        OutputEvent::Piece(piece) => {
            let id = format!("{}-{}", piece.attempt, piece.next);
            Event::default().event("output").id(id).data(data(piece))
        }
        OutputEvent::End(end) => Event::default().event("end").data(data(end)),
    }
}

/// The data of an event.
fn data(event: &impl Serialize) -> String {
    serde_json::to_string(event).unwrap_or_default()
}
