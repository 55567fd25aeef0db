//! Watches what changes in the cluster.

use std::collections::BTreeSet;

use futures_util::Stream;
use futures_util::stream;

use super::{Error, Node};
use crate::domain::ids::EventId;
use crate::dto::EventView;
use crate::ops::OpError;
use crate::ops::events::{self, EventFilter, EventFollower, EventNews, EventStart, kinds};

/// The most of the newest events that a reader may begin with.
const LAST_MAX: usize = 1_000;

/// Which events a watch shows, and with which it begins. Without a choice: all that happen from now
/// on.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct WatchOptions {
    kinds: Vec<String>,
    tasks: Vec<String>,
    start: WatchStart,
}

#[derive(Clone, Copy, Debug, Default)]
enum WatchStart {
    #[default]
    Now,
    After(u64),
    Last(usize),
}

impl WatchOptions {
    /// Events of this kind, such as `task.put`. Several: any of them.
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.kinds.push(kind.into());
        self
    }

    /// Events about this task and its executions. Several: any of them.
    pub fn task(mut self, name: impl Into<String>) -> Self {
        self.tasks.push(name.into());
        self
    }

    /// Begins behind the event with this id, which may have been read on any node.
    pub const fn after(mut self, id: u64) -> Self {
        self.start = WatchStart::After(id);
        self
    }

    /// Begins with the newest events, so many, at most 1,000.
    pub const fn last(mut self, count: usize) -> Self {
        self.start = WatchStart::Last(count);
        self
    }
}

/// Changes in the cluster, in their order. A reader has a place among the events that the node
/// keeps, and no buffer: a slow one delays nobody.
///
/// ```no_run
/// # async fn watch(node: punctual::Node) -> Result<(), punctual::Error> {
/// use punctual::WatchOptions;
///
/// let mut ends = node.watch(WatchOptions::default().kind("execution.changed")).await?;
/// while let Some(event) = ends.next().await {
///     println!("{:?} {:?}", event.object.task, event.object.status);
/// }
/// # Ok(())
/// # }
/// ```
pub struct Watch(EventFollower);

impl Watch {
    /// Waits for the next event; `None`: the node has stopped. A wait that is given up loses none. An event of the kind `reset` says that
    /// some are missing, since the node keeps only the newest 100,000: read the state again, and go
    /// on.
    pub async fn next(&mut self) -> Option<EventView> {
        loop {
            if let EventNews::Event(event) = self.0.next().await? {
                return Some(*event);
            }
        }
    }

    /// Up to here all events that it wants were shown: where another watch goes on
    /// ([`WatchOptions::after`]), on any node.
    #[must_use]
    pub fn place(&self) -> u64 {
        self.0.place().0
    }

    /// As a stream.
    pub fn into_stream(self) -> impl Stream<Item = EventView> + Send {
        stream::unfold(self, |mut watch| async move {
            let event = watch.next().await?;
            Some((event, watch))
        })
    }
}

impl Node {
    /// Watches what changes.
    ///
    /// # Errors
    /// `invalid_parameter`: no such kind, which the error lists; `event_not_reached`: this node has not
    /// applied the event yet; `too_many_streams`.
    pub async fn watch(&self, options: WatchOptions) -> Result<Watch, Error> {
        let chosen = (!options.kinds.is_empty()).then(|| known(&options.kinds)).transpose()?;
        let start = match options.start {
            WatchStart::Now => EventStart::Now,
            WatchStart::After(id) => EventStart::After(EventId(id)),
            WatchStart::Last(count) => EventStart::Last(count.min(LAST_MAX)),
        };
        let filter = EventFilter::new(chosen, options.tasks.into_iter().collect());
        Ok(Watch(events::read(self.context(), filter, start, true).await?))
    }
}

fn known(words: &[String]) -> Result<BTreeSet<&'static str>, OpError> {
    let known = |word: &String| {
        kinds().find(|kind| kind == word).ok_or_else(|| {
            let all: Vec<&str> = kinds().collect();
            let rule = format!("must be a kind of events, not {word:?}: {}", all.join(", "));
            OpError::parameter("kinds", rule)
        })
    };
    words.iter().map(known).collect()
}
