//! Readers of events: what changed in the cluster, as it changes, from any event on.
//!
//! A reader has a place in the events of its node and no buffer: it takes the next few when the
//! former ones were taken from it, so a slow one holds up nobody and costs nothing. One that falls
//! behind all that the node keeps gets a `reset`, as does one that comes back too late or from before
//! a snapshot: it has to read the state again, and goes on with what comes.
//!
//! Events are told in the order of their ids, which are the same on every node. A change of the lead
//! is in no entry of the log. Each node tells what it knows of it, without an id.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::limits::INDEX_LIMIT;
use crate::consensus::{EventsAfter, Replica};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{EventId, NodeId};
use crate::domain::machine::{Event, EventKind, EventObject};
use crate::domain::spec;
use crate::dto::{EventObjectView, EventView, Rfc3339};
use crate::ops::context::Context;
use crate::ops::streams::StreamPlace;
use crate::ops::{OpError, words};

/// A change of the lead.
const LEADER_CHANGED: &str = "leader.changed";
/// Some events are not kept any more. Every reader is told so, whatever it asked for.
const RESET: &str = "reset";
/// A reader without news is told its place so often.
const PLACE_EVERY: Duration = Duration::from_secs(15);
/// Events taken at once.
const TAKEN: usize = 64;
/// Events looked at in one step of a search backwards.
const LOOKED_AT: usize = 512;

/// The kinds of events, as readers name them.
pub(crate) fn kinds() -> impl Iterator<Item = &'static str> {
    EventKind::ALL.iter().map(|kind| kind.word()).chain([LEADER_CHANGED, RESET])
}

/// Which events a reader wants.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventFilter {
    /// Of these kinds; none: of all.
    kinds: Option<BTreeSet<&'static str>>,
    /// About these tasks; empty: about everything.
    tasks: BTreeSet<String>,
}

impl EventFilter {
    /// Events of these kinds, about these tasks.
    pub const fn new(kinds: Option<BTreeSet<&'static str>>, tasks: BTreeSet<String>) -> Self {
        Self { kinds, tasks }
    }

    fn wants_kind(&self, kind: &str) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(kind))
    }

    fn wants_leader(&self) -> bool {
        self.tasks.is_empty() && self.wants_kind(LEADER_CHANGED)
    }

    fn wants(&self, event: &Event) -> bool {
        let task = match &event.object {
            EventObject::Task(name) | EventObject::Execution { task: name, .. } => Some(name),
            _ => None,
        };
        let named = || task.is_some_and(|name| self.tasks.contains(&**name));
        (self.tasks.is_empty() || named()) && self.wants_kind(event.kind.word())
    }
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventStart {
    /// With what happens from now on.
    Now,
    /// Behind this event.
    After(EventId),
    /// With the newest events that it wants, so many.
    Last(usize),
}

/// What a reader is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EventNews {
    /// Something changed.
    Event(Box<EventView>),
    /// Nothing that it wants happened since the last news, up to this id. From there it goes on.
    Place(EventId),
}

/// See the module.
pub(crate) struct EventFollower {
    context: Arc<Context>,
    filter: EventFilter,
    /// It ends after this event. None: it goes on.
    until: Option<EventId>,
    /// It has been told all that it wants up to this event.
    last: EventId,
    ready: VecDeque<Event>,
    /// When it is told its place, if there is no news.
    place_due: Instant,
    leader: watch::Receiver<Option<u64>>,
    _place: StreamPlace,
}

/// Begins to read events.
///
/// # Errors
/// `too_many_streams`; `event_not_reached` if this node has not applied the event in time.
pub(crate) async fn read(
    context: &Arc<Context>,
    filter: EventFilter,
    start: EventStart,
    follow: bool,
) -> Result<EventFollower, OpError> {
    let place = StreamPlace::of_events(context)?;
    let consensus = &context.running()?.consensus;
    let mut leader = consensus.leader();
    leader.mark_unchanged();
    let replica = consensus.replica();
    let newest_now = replica.newest_event();
    let (last, ready) = match start {
        EventStart::Now => (replica.newest_event(), VecDeque::new()),
        EventStart::Last(count) => newest(replica, &filter, count),
        EventStart::After(id) if replica.reach_event(id, INDEX_LIMIT).await => {
            (id, VecDeque::new())
        }
        EventStart::After(id) => {
            let applied = replica.newest_event();
            let why = format!("the newest event of this node is {applied}, before {id}");
            return Err(OpError::new(ErrorCode::EventNotReached, why));
        }
    };
    let place_due = Instant::now();
    let context = Arc::clone(context);
    let until = (!follow).then(|| last.max(newest_now));
    Ok(EventFollower { context, filter, until, last, ready, place_due, leader, _place: place })
}

/// The newest of the events that a reader wants, at most `count`, and the newest of all.
fn newest(replica: &Replica, filter: &EventFilter, count: usize) -> (EventId, VecDeque<Event>) {
    let newest = replica.newest_event();
    let mut found = VecDeque::new();
    let mut before = EventId(newest.0.saturating_add(1));
    while found.len() < count {
        let events = replica.events_before(before, LOOKED_AT);
        let Some(oldest) = events.first() else { break };
        before = oldest.id;
        let wanted = events.into_iter().rev().filter(|event| filter.wants(event));
        wanted.take(count - found.len()).for_each(|event| found.push_front(event));
    }
    (newest, found)
}

impl EventFollower {
    /// It has been told all that it wants up to this event.
    pub fn place(&self) -> EventId {
        let next = self.ready.front().map(|next| EventId(next.id.0.saturating_sub(1)));
        next.unwrap_or(self.last)
    }

    /// Passes over what has happened by now.
    pub fn skip(&mut self) {
        if let Ok(running) = self.context.running() {
            self.ready.clear();
            self.last = self.last.max(running.consensus.replica().newest_event());
        }
    }

    /// Waits for the next news; none: there will be no more.
    pub async fn next(&mut self) -> Option<EventNews> {
        let news = self.news().await;
        if !matches!(news, Some(EventNews::Place(_))) {
            self.place_due = Instant::now() + PLACE_EVERY;
        }
        news
    }

    async fn news(&mut self) -> Option<EventNews> {
        let context = Arc::clone(&self.context);
        let replica = context.running().ok()?.consensus.replica();
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(EventNews::Event(Box::new(view(&event))));
            }
            if self.place_due <= Instant::now() {
                self.place_due = Instant::now() + PLACE_EVERY;
                return Some(EventNews::Place(self.last));
            }
            if self.until.is_some_and(|until| self.last >= until) {
                return None;
            }
            if self.leader.has_changed().ok()? {
                let leader = *self.leader.borrow_and_update();
                if self.filter.wants_leader() {
                    return Some(EventNews::Event(Box::new(self.led(leader))));
                }
            }
            match replica.events_after(self.last, TAKEN) {
                EventsAfter::Events { events, next } if next > self.last => {
                    self.last = next;
                    self.ready.extend(events.into_iter().filter(|event| self.filter.wants(event)));
                    // Who wants few events reads many without a pause.
                    tokio::task::yield_now().await;
                }
                EventsAfter::Events { .. } if self.until.is_none() => self.wait(replica).await,
                EventsAfter::Reset { next } => {
                    self.last = next;
                    return Some(EventNews::Event(Box::new(self.reset(next))));
                }
                EventsAfter::Events { .. } | EventsAfter::Ahead => return None,
            }
        }
    }

    /// Waits until there is something to look at.
    async fn wait(&mut self, replica: &Replica) {
        tokio::select! {
            () = replica.event_after(self.last) => {}
            () = sleep_until(self.place_due) => {}
            _looked_at_next = changed(&self.leader) => {}
        }
    }

    fn led(&self, leader: Option<u64>) -> EventView {
        let leader = leader.map(|leader| node_name(NodeId(leader)));
        let object = EventObjectView { leader, ..EventObjectView::default() };
        let at = Rfc3339(self.context.clock.now());
        EventView { id: None, at, kind: LEADER_CHANGED.into(), object }
    }

    fn reset(&self, next: EventId) -> EventView {
        let (id, at) = (Some(next.to_string()), Rfc3339(self.context.clock.now()));
        EventView { id, at, kind: RESET.into(), object: EventObjectView::default() }
    }
}

/// Returns when another value is there, which stays to be looked at.
async fn changed(leader: &watch::Receiver<Option<u64>>) {
    let mut leader = leader.clone();
    let _gone = leader.changed().await;
}

/// How a node is called, also one that is gone.
fn node_name(id: NodeId) -> String {
    format!("n{}", id.configured())
}

fn view(event: &Event) -> EventView {
    EventView {
        id: Some(event.id.to_string()),
        at: Rfc3339(event.at),
        kind: event.kind.word().into(),
        object: object(&event.object),
    }
}

fn object(object: &EventObject) -> EventObjectView {
    let nothing = EventObjectView::default();
    match object {
        EventObject::Task(name) => EventObjectView { task: Some(name.to_string()), ..nothing },
        EventObject::Execution { task, execution, status } => EventObjectView {
            task: Some(task.to_string()),
            execution: Some(execution.to_string()),
            status: Some(status.word().into()),
            ..nothing
        },
        EventObject::Node { node, liveness, intent } => EventObjectView {
            node: Some(node_name(*node)),
            state: Some(words::liveness(*liveness).into()),
            intent: Some(words::intent(*intent).into()),
            ..nothing
        },
        EventObject::Calendar(name) => {
            EventObjectView { calendar: Some(name.to_string()), ..nothing }
        }
        EventObject::Executor { id, status } => EventObjectView {
            executor: Some(id.to_string()),
            status: Some(status.map_or("removed", |status| status.word()).into()),
            ..nothing
        },
        EventObject::Scheduler { started, strategy } => EventObjectView {
            started: Some(*started),
            strategy: Some(spec::strategy_word(*strategy).into()),
            ..nothing
        },
    }
}
