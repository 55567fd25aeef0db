//! `/live`: tells a page that what it shows has changed, at most once in a while. The page then asks
//! for itself again, and replaces what differs.
//!
//! A page says what it is by its address: `/live?path=/tasks/backup`. The page of one task is told at
//! once and of nothing else; a list of everything is told less often, since something always happens in
//! it. The more pages are open at a node, the less often each is told, so that all together cost a
//! bounded part of a core.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Extension;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use tokio::time::sleep;
use url::form_urlencoded;

use super::visit::Visit;
use crate::ops::events::{self, EventFilter, EventFollower, EventNews, EventStart};
use crate::ops::streams::Stopping;
use crate::ops::watched::{Mark, WatchedThing};
use crate::ops::{Context, OpError};

/// The shortest time between two changes that are told of one object, of lists, and of the week, which
/// looks at all tasks.
const OBJECT: Duration = Duration::from_secs(1);
const LIST: Duration = Duration::from_secs(2);
const WEEK: Duration = Duration::from_secs(30);
/// All pages of a node together are told once in this time.
const SHARE: Duration = Duration::from_millis(50);
/// A stream without news says so.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// What the page with an address shows, and how often it is told at most.
fn watched(path: &str) -> (WatchedThing, Duration) {
    let mut segments = path.split('/').skip(1).map(unescaped);
    let first = segments.next().unwrap_or_default();
    let second = segments.next().filter(|second| !second.is_empty());
    match (&*first, second) {
        ("tasks", Some(name)) => (WatchedThing::Task(name), OBJECT),
        ("executions", Some(id)) => (WatchedThing::Execution(id), OBJECT),
        ("nodes", _) => (WatchedThing::Nodes, OBJECT),
        ("executors", _) => (WatchedThing::Executors, OBJECT),
        ("calendars", _) => (WatchedThing::Calendars, OBJECT),
        ("week", _) => (WatchedThing::Everything, WEEK),
        _ => (WatchedThing::Everything, LIST),
    }
}

/// One segment of a path, as text.
fn unescaped(segment: &str) -> String {
    let query = segment.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(query.as_bytes())
        .next()
        .map_or_else(String::new, |(text, _)| text.into())
}

/// What a stream remembers.
struct PageStream {
    context: Arc<Context>,
    reader: EventFollower,
    watched: WatchedThing,
    rest: Duration,
    mark: Mark,
}

impl PageStream {
    async fn begin(context: Arc<Context>, path: &str) -> Result<Self, OpError> {
        let (watched, rest) = watched(path);
        let all = EventFilter::default();
        let reader = events::read(&context, all, EventStart::Now, true).await?;
        let mark = watched.mark(&context).await?;
        Ok(Self { context, reader, watched, rest, mark })
    }

    /// Waits until what the page shows has changed; none: nothing more comes.
    async fn next(&mut self) -> Option<()> {
        loop {
            if !self.mark.grows() {
                while let EventNews::Place(_) = self.reader.next().await? {}
            }
            // What happens meanwhile is told with it.
            let open = self.context.metrics.http_event_readers.get();
            sleep(rest(self.rest, open)).await;
            self.reader.skip();
            let mark = self.watched.mark(&self.context).await.ok()?;
            if mark != self.mark {
                self.mark = mark;
                return Some(());
            }
        }
    }
}

/// The time between two changes that one of so many open pages is told.
fn rest(shortest: Duration, open: i64) -> Duration {
    let open = u32::try_from(open).unwrap_or(0);
    shortest.max(SHARE.saturating_mul(open))
}

/// `GET /live`: an event `changed` for each change, or for several together.
pub(super) async fn changes(visit: Visit, stopping: Option<Extension<Stopping>>) -> Response {
    let path = visit.get("path").unwrap_or("/");
    let told = match PageStream::begin(Arc::clone(&visit.context), path).await {
        Ok(told) => told,
        Err(problem) => return visit.refuse(&problem),
    };
    let told = stream::unfold(told, |mut told| async move {
        told.next().await?;
        Some((Event::default().event("changed").data("1"), told))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_what_its_page_shows() {
        let task = |name: &str| (WatchedThing::Task(name.to_owned()), OBJECT);
        for (path, expected) in [
            ("/", (WatchedThing::Everything, LIST)),
            ("/tasks", (WatchedThing::Everything, LIST)),
            ("/tasks/", (WatchedThing::Everything, LIST)),
            ("/failed", (WatchedThing::Everything, LIST)),
            ("/executions", (WatchedThing::Everything, LIST)),
            ("/week", (WatchedThing::Everything, WEEK)),
            ("/tasks/backup", task("backup")),
            ("/tasks/backup/edit", task("backup")),
            ("/tasks/a%40b%2Bc+d&e=f%2Fg", task("a@b+c+d&e=f/g")),
            ("/tasks/%E6%8A%A5%E8%A1%A8", task("报表")),
            ("/executions/42", (WatchedThing::Execution("42".to_owned()), OBJECT)),
            ("/nodes", (WatchedThing::Nodes, OBJECT)),
            ("/executors", (WatchedThing::Executors, OBJECT)),
            ("/calendars", (WatchedThing::Calendars, OBJECT)),
            ("", (WatchedThing::Everything, LIST)),
            ("nonsense", (WatchedThing::Everything, LIST)),
        ] {
            assert_eq!(watched(path), expected, "{path}");
        }
    }

    #[test]
    fn many_pages_are_told_less_often() {
        assert_eq!([0, 1, 20, -1].map(|open| rest(OBJECT, open)), [OBJECT; 4]);
        assert_eq!(rest(OBJECT, 100), Duration::from_secs(5));
        assert_eq!(rest(WEEK, 100), WEEK);
    }
}
