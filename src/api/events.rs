//! `GET /events`: what changes, as a stream of server-sent events.

use std::collections::BTreeSet;

use axum::extract::Extension;
use axum::response::sse::Event;
use futures_util::stream;

use super::extract::{HandlerResult, ReadRequest};
use super::output::{data, stream_of};
use super::params::Params;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::EventId;
use crate::ops::OpError;
use crate::ops::context::Freshness;
use crate::ops::events::{self, EventFilter, EventNews, EventStart, kinds};
use crate::ops::streams::Stopping;

/// The most of the newest events that a reader may begin with.
const LAST_MAX: u64 = 1_000;
/// The header by which a reader goes on.
const LAST_EVENT_ID: &str = "Last-Event-ID";

/// `GET /events`. It needs no leader: a node tells what it has applied.
pub(super) async fn events(
    read: ReadRequest,
    stopping: Option<Extension<Stopping>>,
) -> HandlerResult {
    let (filter, start) = (filter(&read.params)?, start(&read)?);
    let follow = read.params.word("follow", &["true", "false"])? != Some("false");
    let fresh = read.params.freshness()?;
    if fresh.min_index.is_some() {
        read.context.view(Freshness { stale: true, ..fresh }).await?;
    }
    let reader = events::read(&read.context, filter, start, follow).await?;
    let events = stream::unfold(reader, |mut reader| async move {
        let news = reader.next().await?;
        Some((sse(&news), reader))
    });
    Ok(stream_of(events, stopping))
}

fn filter(params: &Params) -> Result<EventFilter, OpError> {
    let named = params.get("kinds").map(|words| {
        let known = |word: &str| kinds().find(|kind| *kind == word.trim());
        words.split(',').map(|word| known(word).ok_or(word)).collect::<Result<BTreeSet<_>, _>>()
    });
    let kinds = named.transpose().map_err(|word| {
        let all: Vec<&str> = kinds().collect();
        let rule = format!(
            "must be kinds of events with commas between them, not {word:?}; they are {}",
            all.join(", ")
        );
        OpError::parameter("kinds", rule)
    })?;
    let tasks = params.all("task").map(str::to_owned).collect();
    Ok(EventFilter::new(kinds, tasks))
}

/// Where to begin. A reader that comes back sends the query that it sent first, so the header counts.
fn start(read: &ReadRequest) -> Result<EventStart, OpError> {
    let rule = "must be the id of an event, such as 42";
    if let Some(last) = read.headers.get(LAST_EVENT_ID) {
        let id = last.to_str().ok().and_then(event_id);
        let wrong = || OpError::field(LAST_EVENT_ID, ErrorCode::InvalidParameter, rule);
        return id.map(EventStart::After).ok_or_else(wrong);
    }
    let last = read.params.number("last", 1..=LAST_MAX)?;
    match (read.params.get("after"), last) {
        (Some(_), Some(_)) => Err(OpError::parameter("last", "cannot stand beside `after`")),
        (Some(after), None) => {
            let id = event_id(after).ok_or_else(|| OpError::parameter("after", rule))?;
            Ok(EventStart::After(id))
        }
        (None, Some(last)) => Ok(EventStart::Last(usize::try_from(last).unwrap_or(usize::MAX))),
        (None, None) => Ok(EventStart::Now),
    }
}

fn event_id(text: &str) -> Option<EventId> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).map(EventId)
}

/// A place is a comment with an id, which no reader takes for an event and every one goes on from.
fn sse(news: &EventNews) -> Event {
    match news {
        EventNews::Place(id) => Event::default().comment("").id(id.to_string()),
        EventNews::Event(event) => {
            let sse = Event::default().event(&event.kind).data(data(event));
            match &event.id {
                Some(id) => sse.id(id),
                None => sse,
            }
        }
    }
}
