//! `/live`: tells a page that something has changed, at most once in a while. The page then asks for
//! itself again, and replaces what differs.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::Extension;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio::time::sleep;

use super::visit::Visit;
use crate::ops::events::{self, EventFilter, EventNews, EventStart};
use crate::ops::streams::Stopping;

/// The shortest time between two changes that are told.
const REST: Duration = Duration::from_secs(1);
/// A stream without news says so.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// `GET /live`: an event `changed` for each change, or for several together.
pub(super) async fn changes(visit: Visit, stopping: Option<Extension<Stopping>>) -> Response {
    let filter = EventFilter::default();
    let reader = match events::read(&visit.context, filter, EventStart::Now, true).await {
        Ok(reader) => reader,
        Err(problem) => return visit.refuse(&problem),
    };
    let told = stream::unfold(reader, |mut reader| async move {
        while let EventNews::Place(_) = reader.next().await? {}
        // What happens meanwhile is told with it.
        sleep(REST).await;
        reader.skip();
        Some((Event::default().event("changed").data("1"), reader))
    });
    let stopped = async {
        match stopping {
            Some(Extension(stopping)) => stopping.stopped().await,
            None => std::future::pending().await,
        }
    };
    // A browser takes the stream for open with the first byte.
    let first = stream::once(async { Event::default().event("ready").data("1") });
    let events = first.chain(told).map(Ok::<_, Infallible>).take_until(Box::pin(stopped));
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response()
}
