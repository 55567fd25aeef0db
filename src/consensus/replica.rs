//! The applied state for the rest of the node, and the proposals that wait for their entries.
//!
//! Only apply writes here. Readers hold the lock briefly, or use a frozen view for longer work,
//! because a held lock blocks apply.

use std::collections::{BTreeMap, VecDeque};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::domain::machine::{Applied, DecodeError, Hint, Response, State};
use crate::life::{self, Life};
use crate::telemetry::metrics::Metrics;

use super::events::{EVENTS_MAX, EventRing};
use super::formats::Formats;
use super::tally;

/// The outcome of a proposal.
pub type ProposalOutcome = Result<ProposalAnswers, ProposeError>;

/// The answers to the commands of a proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalAnswers {
    /// Log index of the entry.
    pub index: u64,
    /// One response per command.
    pub responses: Vec<Response>,
}

/// Distance between two marks, in log indexes.
const MARK_EVERY: u64 = 1_024;
/// Number of marks that are kept.
const MARKS: usize = 64;

/// The digest of a state at an index at which all replicas compute it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestMark {
    /// A multiple of 1,024.
    pub index: u64,
    /// The layout of the records. Digests are comparable only for equal layouts.
    pub layout: u16,
    /// The digest of the state after this entry.
    pub digest: u128,
}

/// Why a proposal has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Certainly not applied: no leader accepted it in time. It is safe to retry.
    #[error("no leader accepted it in time")]
    NotAccepted,
    /// Certainly not applied: there is no valid time for its timestamp.
    #[error("the clocks of a majority do not agree")]
    NoTime,
    /// A leader may have accepted it, and it may still be applied.
    #[error("it was handed over and not answered in time")]
    Unknown,
    /// This node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// Not proposed: a live member does not support the command.
    #[error(
        "it needs level {needed}, and the cluster is at level {cluster}, the lowest of its live \
         nodes; upgrade all nodes first"
    )]
    NeedsUpgrade {
        /// The level that introduced the command.
        needed: u16,
        /// The level of the cluster.
        cluster: u16,
    },
}

/// Receives the outcomes of many proposals, grouped by entry, each with its token.
pub type Collector = mpsc::UnboundedSender<Vec<(u64, ProposalOutcome)>>;

/// The receiver of a proposal's outcome.
pub enum ProposalReply {
    /// None: the proposer reads the state instead.
    Nobody,
    /// A single receiver.
    Once(oneshot::Sender<ProposalOutcome>),
    /// A collector for many proposals, called once per entry.
    Collect(Collector, u64),
}

impl ProposalReply {
    /// Reports that there is no answer, with the reason.
    pub(super) fn refuse(self, error: ProposeError) {
        let mut batch = Batch::default();
        self.send(Err(error), &mut batch);
        batch.flush();
    }

    fn send(self, outcome: ProposalOutcome, batch: &mut Batch) {
        match self {
            Self::Nobody => {}
            Self::Once(waiting) => {
                // The receiver may have been dropped.
                let _given_up = waiting.send(outcome);
            }
            Self::Collect(collector, token) => batch.add(collector, token, outcome),
        }
    }
}

/// Outcomes that go to the same collector.
#[derive(Default)]
struct Batch(Option<(Collector, Vec<(u64, ProposalOutcome)>)>);

impl Batch {
    fn add(&mut self, to: Collector, token: u64, outcome: ProposalOutcome) {
        match &mut self.0 {
            Some((collector, items)) if collector.same_channel(&to) => items.push((token, outcome)),
            other => {
                let former = other.replace((to, vec![(token, outcome)]));
                Self(former).flush();
            }
        }
    }

    fn flush(self) {
        if let Some((collector, items)) = self.0 {
            let _given_up = collector.send(items);
        }
    }
}

/// An entry of this process that is not applied here yet.
pub(super) struct EntryInFlight {
    /// Per proposal: its number of commands and the receiver of the outcome.
    pub parts: Vec<(usize, ProposalReply)>,
    /// When it was proposed.
    pub since: Instant,
    /// After this the outcome is unknown.
    pub deadline: Instant,
    /// Used only by a seeded bug: the slot of the entry in the proposer.
    pub _held: Option<OwnedSemaphorePermit>,
}

impl EntryInFlight {
    fn commands(&self) -> u64 {
        self.parts.iter().map(|(count, _)| *count as u64).sum()
    }
}

/// A change of the state.
#[derive(Debug)]
pub enum ReplicaEvent {
    /// Entries were applied, up to this index.
    Applied(u64, Vec<Hint>),
    /// The whole state was replaced by a snapshot with this last index.
    Replaced(u64),
}

/// The applied state of this node.
pub struct Replica {
    origin: u64,
    state: RwLock<State>,
    formats: Formats,
    /// The level of the cluster, derived from the state.
    level: AtomicU16,
    pub(super) applied: watch::Sender<u64>,
    marks: Mutex<VecDeque<DigestMark>>,
    pub(super) ring: Mutex<EventRing>,
    flights: Mutex<BTreeMap<u64, EntryInFlight>>,
    /// None: there is no receiver yet.
    events: OnceLock<mpsc::UnboundedSender<ReplicaEvent>>,
    metrics: Metrics,
    life: Life,
}

impl Replica {
    /// A replica without a receiver of events.
    pub(super) fn new(origin: u64, state: State, formats: Formats, metrics: Metrics) -> Self {
        let applied = watch::Sender::new(state.cluster().applied);
        let flights = Mutex::new(BTreeMap::new());
        let life = Life::current();
        life.replaced(&state);
        let level = AtomicU16::new(state.level());
        let ring = Mutex::new(EventRing::new(state.cluster().counter, EVENTS_MAX));
        let (state, marks, events) = (RwLock::new(state), Mutex::default(), OnceLock::new());
        Self { origin, state, formats, level, applied, marks, ring, flights, events, metrics, life }
    }

    /// The level of the cluster.
    #[must_use]
    pub fn level(&self) -> u16 {
        self.level.load(Ordering::Relaxed)
    }

    /// The stream of events from now on. Its first event represents the whole state, because a
    /// start may replay many entries. Only the first stream gets events.
    pub(super) fn attach(&self) -> mpsc::UnboundedReceiver<ReplicaEvent> {
        let (events, stream) = mpsc::unbounded_channel();
        let _first = self.events.set(events);
        self.tell(ReplicaEvent::Replaced(self.applied()));
        stream
    }

    fn tell(&self, event: ReplicaEvent) {
        if let Some(events) = self.events.get() {
            // Sending fails if the engine has stopped.
            let _nobody = events.send(event);
        }
    }

    /// The id of this process in entries.
    #[must_use]
    pub const fn origin(&self) -> u64 {
        self.origin
    }

    /// Locks the state for reading. Hold it briefly.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// A frozen view, which can be held for any time.
    #[must_use]
    pub fn frozen(&self) -> State {
        self.state.read().frozen()
    }

    /// Index of the last applied entry.
    #[must_use]
    pub fn applied(&self) -> u64 {
        *self.applied.borrow()
    }

    /// Waits until an index is applied. False: it was not applied in time.
    pub async fn reach(&self, index: u64, limit: Duration) -> bool {
        let mut applied = self.applied.subscribe();
        let wait = applied.wait_for(|applied| *applied >= index);
        matches!(tokio::time::timeout(limit, wait).await, Ok(Ok(_)))
    }

    /// Advances over an entry without commands.
    pub(super) fn skip(&self, index: u64) {
        let mut state = self.state.write();
        state.skip(index);
        self.mark(&state, index);
        self.life.skipped(&state, index);
    }

    pub(super) fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write())
    }

    /// Applies one entry and answers the proposals of this process that wait for it.
    pub(super) fn apply(
        &self,
        index: u64,
        entry: &[u8],
        out: &mut Applied,
    ) -> Result<(), DecodeError> {
        let told = out.effects.hints.len();
        let head = {
            let mut state = self.state.write();
            let head = state.apply(index, entry, out)?;
            let hints = out.effects.hints.get(told..).unwrap_or_default();
            if hints.iter().any(|hint| matches!(hint, Hint::Node(_))) {
                self.level.store(state.level(), Ordering::Relaxed);
            }
            self.mark(&state, index);
            self.life.applied(&state, index, entry, out);
            self.ring.lock().add(out.effects.events.drain(..), state.cluster().counter);
            head
        };
        if head.origin == self.origin {
            let hints = out.effects.hints.get(told..).unwrap_or_default();
            tally::count(&self.metrics, entry, &out.responses, hints);
            let flight = self.flights.lock().remove(&head.seq);
            if let Some(flight) = flight {
                self.metrics.commit_seconds.observe(flight.since.elapsed().as_secs_f64());
                answer(flight, index, &mut out.responses);
            }
        }
        out.responses.clear();
        Ok(())
    }

    fn mark(&self, state: &State, index: u64) {
        if index.is_multiple_of(MARK_EVERY) {
            let mut marks = self.marks.lock();
            marks.push_back(self.formats.mark(state, index));
            if marks.len() > MARKS {
                marks.pop_front();
            }
        }
    }

    /// The last mark since the state was last replaced.
    #[must_use]
    pub fn last_mark(&self) -> Option<DigestMark> {
        self.marks.lock().back().copied()
    }

    /// Whether this state had a different digest at the index of the mark. False if that index is
    /// not kept or the layout differs.
    #[must_use]
    pub fn differs(&self, from: DigestMark) -> bool {
        let marks = self.marks.lock();
        let same = |mark: &&DigestMark| (mark.index, mark.layout) == (from.index, from.layout);
        marks.iter().find(same).is_some_and(|mark| mark.digest != from.digest)
    }

    /// Sends an event.
    pub(super) fn applied_to(&self, index: u64, hints: Vec<Hint>) {
        self.applied.send_replace(index);
        if !hints.is_empty() {
            self.tell(ReplicaEvent::Applied(index, hints));
        }
    }

    /// Replaces the state.
    pub(super) fn replace(&self, state: State) {
        let index = state.cluster().applied;
        self.life.replaced(&state);
        self.level.store(state.level(), Ordering::Relaxed);
        let former = {
            let mut present = self.state.write();
            self.ring.lock().replace(state.cluster().counter);
            std::mem::replace(&mut *present, state)
        };
        life::let_go(former);
        self.marks.lock().clear();
        self.applied.send_replace(index);
        self.tell(ReplicaEvent::Replaced(index));
    }

    /// Number of entries of this process whose outcome is not known.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.flights.lock().len()
    }

    pub(super) fn register_flight(&self, seq: u64, flight: EntryInFlight) {
        self.flights.lock().insert(seq, flight);
    }

    /// Ends an entry in flight with an error.
    pub(super) fn fail(&self, seq: u64, error: ProposeError) {
        let flight = self.flights.lock().remove(&seq);
        if let Some(flight) = flight {
            self.metrics.proposals.add("not_accepted", flight.commands());
            refuse(flight, error);
        }
    }

    /// Ends entries in flight whose deadline has passed.
    pub(super) fn fail_late(&self, now: Instant) {
        let mut flights = self.flights.lock();
        let late: Vec<u64> = flights
            .iter()
            .filter(|(_, flight)| flight.deadline <= now)
            .map(|(seq, _)| *seq)
            .collect();
        let late: Vec<EntryInFlight> = late.iter().filter_map(|seq| flights.remove(seq)).collect();
        drop(flights);
        for flight in late {
            self.metrics.proposals.add("unknown", flight.commands());
            refuse(flight, ProposeError::Unknown);
        }
    }
}

fn answer(flight: EntryInFlight, index: u64, responses: &mut Vec<Response>) {
    let mut batch = Batch::default();
    let mut rest = responses.drain(..);
    for (count, reply) in flight.parts {
        let responses: Vec<Response> = rest.by_ref().take(count).collect();
        reply.send(Ok(ProposalAnswers { index, responses }), &mut batch);
    }
    batch.flush();
}

fn refuse(flight: EntryInFlight, error: ProposeError) {
    let mut batch = Batch::default();
    for (_, reply) in flight.parts {
        reply.send(Err(error), &mut batch);
    }
    batch.flush();
}
