//! The applied state as the rest of the node sees it, and the proposals that wait for their
//! entries.
//!
//! Only apply writes here. Readers take the lock briefly, or a frozen view for longer work: a held
//! lock blocks apply.

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
    /// One a command.
    pub responses: Vec<Response>,
}

/// Between two marks, in log indices.
const MARK_EVERY: u64 = 1_024;
/// Marks that are remembered.
const MARKS: usize = 64;

/// The digest of a state at an index where all replicas take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DigestMark {
    /// A multiple of 1,024.
    pub index: u64,
    /// The layout of the records, without which a digest says nothing.
    pub layout: u16,
    /// Of the state once that was applied.
    pub digest: u128,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Proved not applied: no leader took it in time. Repeating it is safe.
    #[error("no leader accepted it in time")]
    NotAccepted,
    /// Proved not applied as well: there is no time to stamp it with.
    #[error("the clocks of a majority do not agree")]
    NoTime,
    /// A leader may have taken it; it may yet be applied.
    #[error("it was handed over and not answered in time")]
    Unknown,
    /// This node stops.
    #[error("the node is stopping")]
    Stopping,
    /// Not proposed: a live member would not know the command.
    #[error(
        "it needs level {needed}, and the cluster is at level {cluster}, the lowest of its live \
         nodes; upgrade all nodes first"
    )]
    NeedsUpgrade {
        /// The level that the command came with.
        needed: u16,
        /// The level of the cluster.
        cluster: u16,
    },
}

/// Takes the outcomes of many proposals, those of one entry together, each with its token.
pub type Collector = mpsc::UnboundedSender<Vec<(u64, ProposalOutcome)>>;

/// Where a proposal's outcome goes.
pub enum ProposalReply {
    /// Nowhere: the proposer looks at the state.
    Nobody,
    /// One who waits.
    Once(oneshot::Sender<ProposalOutcome>),
    /// A collector for many proposals, called once per entry.
    Collect(Collector, u64),
}

impl ProposalReply {
    /// Reports that there is no answer, and why.
    pub(super) fn refuse(self, error: ProposeError) {
        let mut batch = Batch::default();
        self.send(Err(error), &mut batch);
        batch.flush();
    }

    fn send(self, outcome: ProposalOutcome, batch: &mut Batch) {
        match self {
            Self::Nobody => {}
            Self::Once(waiting) => {
                // Whoever gave up waiting needs no answer.
                let _given_up = waiting.send(outcome);
            }
            Self::Collect(collector, token) => batch.add(collector, token, outcome),
        }
    }
}

/// Answers that go to one collector together.
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

/// One entry of this process that has not been applied here.
pub(super) struct EntryInFlight {
    /// How many commands each proposal in it has, and who waits.
    pub parts: Vec<(usize, ProposalReply)>,
    /// When it was proposed.
    pub since: Instant,
    /// After this the outcome is unknown.
    pub deadline: Instant,
    /// Nothing, but for a bug put in on purpose: the place among the entries being carried.
    pub _held: Option<OwnedSemaphorePermit>,
}

impl EntryInFlight {
    fn commands(&self) -> u64 {
        self.parts.iter().map(|(count, _)| *count as u64).sum()
    }
}

/// What happened to the state.
#[derive(Debug)]
pub enum ReplicaEvent {
    /// Entries were applied, up to this index.
    Applied(u64, Vec<Hint>),
    /// All of it was replaced by a snapshot.
    Replaced(u64),
}

/// The applied state of this node.
pub struct Replica {
    origin: u64,
    state: RwLock<State>,
    formats: Formats,
    /// Of the cluster; derived from the state.
    level: AtomicU16,
    pub(super) applied: watch::Sender<u64>,
    marks: Mutex<VecDeque<DigestMark>>,
    pub(super) ring: Mutex<EventRing>,
    flights: Mutex<BTreeMap<u64, EntryInFlight>>,
    /// None: there is no receiver.
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

    /// The stream of events from now on. It begins with one event that stands for the whole state,
    /// because a start may replay many entries. Only the first stream has events.
    pub(super) fn attach(&self) -> mpsc::UnboundedReceiver<ReplicaEvent> {
        let (events, stream) = mpsc::unbounded_channel();
        let _first = self.events.set(events);
        self.tell(ReplicaEvent::Replaced(self.applied()));
        stream
    }

    fn tell(&self, event: ReplicaEvent) {
        if let Some(events) = self.events.get() {
            // The engine may have stopped.
            let _nobody = events.send(event);
        }
    }

    /// This process, as entries name it.
    #[must_use]
    pub const fn origin(&self) -> u64 {
        self.origin
    }

    /// The state, for a moment.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// A frozen view, for as long as it takes.
    #[must_use]
    pub fn frozen(&self) -> State {
        self.state.read().frozen()
    }

    /// Index of the last applied entry.
    #[must_use]
    pub fn applied(&self) -> u64 {
        *self.applied.borrow()
    }

    /// Waits until an index is applied; false: not in time.
    pub async fn reach(&self, index: u64, limit: Duration) -> bool {
        let mut applied = self.applied.subscribe();
        let wait = applied.wait_for(|applied| *applied >= index);
        matches!(tokio::time::timeout(limit, wait).await, Ok(Ok(_)))
    }

    /// Passes over an entry that carries no commands.
    pub(super) fn skip(&self, index: u64) {
        let mut state = self.state.write();
        state.skip(index);
        self.mark(&state, index);
        self.life.skipped(&state, index);
    }

    pub(super) fn with_state<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write())
    }

    /// Applies one entry of the state machine, and answers those of this process who wait for it.
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

    /// The last mark since the state was put in place.
    #[must_use]
    pub fn last_mark(&self) -> Option<DigestMark> {
        self.marks.lock().back().copied()
    }

    /// Whether the digest of this state at that index was different. False for an index that is not
    /// remembered or a mark of another layout.
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

    /// Puts another state in place.
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

    /// Entries of this process whose outcome is not known.
    #[cfg(test)]
    pub(super) fn under_way(&self) -> usize {
        self.flights.lock().len()
    }

    pub(super) fn register_flight(&self, seq: u64, flight: EntryInFlight) {
        self.flights.lock().insert(seq, flight);
    }

    /// Ends a flight that will not land.
    pub(super) fn fail(&self, seq: u64, error: ProposeError) {
        let flight = self.flights.lock().remove(&seq);
        if let Some(flight) = flight {
            self.metrics.proposals.add("not_accepted", flight.commands());
            refuse(flight, error);
        }
    }

    /// Ends the flights that are over time.
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
