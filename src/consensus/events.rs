//! The newest events of the applied state, for readers that follow them.
//!
//! A reader passes the id of the last event that it received, and can continue on any node. A node
//! does not have events that it has dropped, or that precede an installed snapshot. In that case
//! the reader gets [`EventsAfter::Reset`]: it must read the state and continue from the newest
//! event.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::timeout;

use super::replica::Replica;
use crate::domain::ids::EventId;
use crate::domain::machine::Event;

/// Number of events that a node keeps, of 56 bytes each. Names are shared with the state.
pub const EVENTS_MAX: usize = 100_000;

/// The result of a request for the events after an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventsAfter {
    /// These events, in order.
    Events {
        /// Empty: nothing has happened since.
        events: Vec<Event>,
        /// The id for the next request: the last of these events, or, if there are no more, the event
        /// counter of the state. It is ahead of the newest event by the commands without events, which
        /// a replica that begins with this state does not know.
        next: EventId,
    },
    /// Some of the following events are not kept here.
    Reset {
        /// The id for the next request, after the state has been read: its event counter.
        next: EventId,
    },
    /// The id is newer than the state applied here.
    Ahead,
}

/// The events since the state was last replaced, at most [`EVENTS_MAX`].
#[derive(Debug)]
pub(super) struct EventRing {
    events: VecDeque<Event>,
    max: usize,
    /// All later events are kept.
    begin: EventId,
    /// The event counter of the state. No event is newer.
    end: EventId,
}

impl EventRing {
    /// An empty ring for a state with this event counter.
    pub fn new(counter: u64, max: usize) -> Self {
        let counter = EventId(counter);
        Self { events: VecDeque::new(), max, begin: counter, end: counter }
    }

    /// Adds the events of an entry. `counter` is the event counter after the entry.
    pub fn add(&mut self, events: impl Iterator<Item = Event>, counter: u64) {
        for event in events {
            if self.events.len() >= self.max
                && let Some(oldest) = self.events.pop_front()
            {
                self.begin = oldest.id;
            }
            self.events.push_back(event);
        }
        self.end = EventId(counter);
    }

    /// Empties the ring because the state was replaced. `counter` is its event counter.
    pub fn replace(&mut self, counter: u64) {
        let former = std::mem::replace(self, Self::new(counter, self.max));
        if bug!("events-lost-unsaid") {
            (self.events, self.begin) = (former.events, former.begin);
        }
    }

    /// The events after an event, at most `limit`.
    pub fn after(&self, id: EventId, limit: usize) -> EventsAfter {
        if id > self.end {
            return EventsAfter::Ahead;
        }
        if id < self.begin {
            return EventsAfter::Reset { next: self.end };
        }
        let from = self.events.partition_point(|event| event.id <= id);
        let events: Vec<Event> = self.events.iter().skip(from).take(limit).cloned().collect();
        let last = events.last().filter(|_| events.len() == limit);
        let next = last.map_or(self.end, |last| last.id);
        EventsAfter::Events { events, next }
    }

    /// The newest of the events before an event, in order, at most `limit`.
    pub fn before(&self, id: EventId, limit: usize) -> Vec<Event> {
        let to = self.events.partition_point(|event| event.id < id);
        self.events.range(to.saturating_sub(limit)..to).cloned().collect()
    }

    /// Whether a reader with this last event would get events or a reset.
    pub fn has_after(&self, id: EventId) -> bool {
        id < self.begin || id < self.newest()
    }

    /// The newest event. If none is kept, the start of the ring.
    fn newest(&self) -> EventId {
        self.events.back().map_or(self.begin, |newest| newest.id)
    }
}

impl Replica {
    /// The event counter of the applied state. A new reader continues from it.
    #[must_use]
    pub fn newest_event(&self) -> EventId {
        self.ring.lock().end
    }

    /// The events after an event, at most `limit`, if all of them are kept here.
    #[must_use]
    pub fn events_after(&self, id: EventId, limit: usize) -> EventsAfter {
        self.ring.lock().after(id, limit)
    }

    /// The newest of the kept events before an event, in order, at most `limit`.
    #[must_use]
    pub fn events_before(&self, id: EventId, limit: usize) -> Vec<Event> {
        self.ring.lock().before(id, limit)
    }

    /// Waits until the applied state is as new as an id. False: it was not in time.
    pub async fn reach_event(&self, id: EventId, limit: Duration) -> bool {
        let mut applied = self.applied.subscribe();
        let wait = applied.wait_for(|_| self.ring.lock().end >= id);
        matches!(timeout(limit, wait).await, Ok(Ok(_)))
    }

    /// Waits until there is an event after this one, or until it is no longer known here.
    pub async fn event_after(&self, id: EventId) {
        let mut applied = self.applied.subscribe();
        // The replica holds the sender, so it cannot be closed.
        let _told = applied.wait_for(|_| self.ring.lock().has_after(id)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::machine::{EventKind, EventObject};
    use crate::domain::task::Strategy;
    use crate::domain::time::Timestamp;

    fn event(id: u64) -> Event {
        let (kind, object) = (
            EventKind::SchedulerChanged,
            EventObject::Scheduler { started: true, strategy: Strategy::Consistent },
        );
        Event { id: EventId(id), at: Timestamp(0), kind, object }
    }

    fn ids(after: EventsAfter) -> (Vec<u64>, u64) {
        let EventsAfter::Events { events, next } = after else { panic!("{after:?}") };
        (events.iter().map(|event| event.id.0).collect(), next.0)
    }

    #[test]
    fn a_reader_gets_what_came_after_what_it_has() {
        let mut ring = EventRing::new(10, 100);
        assert_eq!(ids(ring.after(EventId(10), 9)), (vec![], 10));
        assert!(!ring.has_after(EventId(10)));
        ring.add([event(12), event(13)].into_iter(), 14);
        ring.add([event(16)].into_iter(), 17);
        assert_eq!(ids(ring.after(EventId(10), 9)), (vec![12, 13, 16], 17));
        assert_eq!(ids(ring.after(EventId(10), 2)), (vec![12, 13], 13));
        for (before, limit, wanted) in
            [(17, 2, vec![13, 16]), (16, 9, vec![12, 13]), (13, 1, vec![12]), (12, 9, vec![])]
        {
            let found = ring.before(EventId(before), limit);
            let found: Vec<u64> = found.iter().map(|event| event.id.0).collect();
            assert_eq!(found, wanted, "before {before}");
        }
        // Each value of the counter is the position after the events before it.
        assert_eq!(ids(ring.after(EventId(15), 9)), (vec![16], 17));
        assert_eq!(ids(ring.after(EventId(17), 9)), (vec![], 17));
        assert!(ring.has_after(EventId(15)) && !ring.has_after(EventId(16)));
    }

    #[test]
    fn a_reader_that_is_ahead_waits() {
        let mut ring = EventRing::new(10, 100);
        assert_eq!(ring.after(EventId(11), 9), EventsAfter::Ahead);
        assert!(!ring.has_after(EventId(11)));
        ring.add([event(12)].into_iter(), 12);
        assert_eq!(ids(ring.after(EventId(11), 9)), (vec![12], 12));
    }

    #[test]
    fn a_reader_that_is_behind_what_is_kept_is_told_so() {
        let mut ring = EventRing::new(10, 3);
        ring.add((11..15).map(event), 15);
        assert_eq!(ring.events.len(), 3);
        assert_eq!(ring.after(EventId(10), 9), EventsAfter::Reset { next: EventId(15) });
        assert_eq!(ids(ring.after(EventId(11), 9)), (vec![12, 13, 14], 15));
        assert!(ring.has_after(EventId(10)));
    }

    #[test]
    fn a_state_put_in_place_begins_anew() {
        let mut ring = EventRing::new(10, 100);
        ring.add((11..15).map(event), 15);
        ring.replace(40);
        assert_eq!(ring.after(EventId(14), 9), EventsAfter::Reset { next: EventId(40) });
        assert!(ring.has_after(EventId(14)));
        assert_eq!(ids(ring.after(EventId(40), 9)), (vec![], 40));
        ring.add([event(42)].into_iter(), 43);
        assert_eq!(ids(ring.after(EventId(40), 9)), (vec![42], 43));
        // Who was told everything misses nothing where a checkpoint of this state is the beginning.
        ring.replace(43);
        assert_eq!(ids(ring.after(EventId(43), 9)), (vec![], 43));
    }
}
