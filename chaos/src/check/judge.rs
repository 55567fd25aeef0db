//! All properties held against one run, and what came of it.

use std::collections::BTreeMap;
use std::fmt;

use punctual::domain::machine::State;

use super::history::{HistoryEvent, HistoryRecord};
use super::model::ReferenceModel;
use super::{
    counts, cover, durability, endings, events, failover, halts, lines, liveness, owners,
    registers, starts, successor, votes,
};
use crate::sim::Focus;

/// One run, to be judged.
pub struct Run {
    /// What happened.
    pub records: Vec<HistoryRecord>,
    /// What the log led to.
    pub model: ReferenceModel,
    /// When each entry was first applied anywhere, in microseconds.
    pub applied_at: BTreeMap<u64, u64>,
    /// The states of the nodes at the end.
    pub states: Vec<(usize, State)>,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// True time at the beginning, in milliseconds since 1970.
    pub epoch_ms: i64,
    /// When the run ended, in microseconds.
    pub ended: u64,
    /// Whether clocks were wrong beyond what the product bears today.
    pub wild_clocks: bool,
    /// What trouble was made.
    pub focus: Focus,
    /// Attempts that a node runs at once; 0: no limit.
    pub slots: u32,
    /// Whether the cluster was stopped for good before trouble ended.
    pub broken_off: bool,
    /// The highest number that the cluster before this one issued.
    pub former_issued: Option<u64>,
}

/// Something that was promised and not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// When, in microseconds.
    pub at: u64,
    /// Which property.
    pub property: &'static str,
    /// What.
    pub what: String,
    /// The task concerned.
    pub task: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ms, us) = (self.at / 1_000, self.at % 1_000);
        write!(f, "{}.{:03}.{us:03} {}: {}", ms / 1_000, ms % 1_000, self.property, self.what)
    }
}

/// All properties; one of which a sweep says nothing was not judged.
pub const PROPERTIES: [&str; 56] = [
    "a drained node starts nothing new",
    "a new cluster goes on as promised",
    "a new cluster issues nothing twice",
    "a change of members ends",
    "accepted attempts outlive their nodes",
    "acknowledged writes are durable",
    "attempts follow the policy",
    "calendars leave out their ticks",
    "calls have sure answers in time",
    "checkpoints are whole",
    "clocks change as the schedule says",
    "counts match the log",
    "cursors",
    "dispatches go to executors that are online",
    "due ticks are settled",
    "each end starts what it is to start, once",
    "each tick of a backfill is executed once",
    "events reach those who watch",
    "events tell every change",
    "failover is prompt",
    "fences",
    "grant before act",
    "lines hold their limits",
    "lines keep their order",
    "lines with room go on",
    "modes decide",
    "no double start",
    "no early start",
    "no execution runs for ever",
    "no grant after delete or pause",
    "no node joins another cluster",
    "no panic",
    "no spin",
    "no start after delete or pause",
    "no start long after its proposal",
    "one claim per tick",
    "one effect per idempotency key",
    "one owner, none missing",
    "one verdict per tick",
    "records agree with each other",
    "recovery after healing",
    "removed nodes stay removed",
    "resumes make up for what came meanwhile",
    "same answer everywhere",
    "sessions",
    "settles and their labels",
    "slots bound attempts",
    "stopped work ends",
    "tasks are linearizable registers",
    "tasks end as they say",
    "terms and votes never go back",
    "the newest files are in force",
    "ticks are settled on time",
    "tombstones stay",
    "unknown outcomes are not repeated",
    "what is to be attempted again is",
];

/// What a judge found.
pub struct Findings {
    /// How often each property was evaluated.
    pub judged: BTreeMap<&'static str, u64>,
    /// What was not kept.
    pub violations: Vec<Violation>,
}

impl Default for Findings {
    fn default() -> Self {
        let judged = PROPERTIES.iter().map(|property| (*property, 0)).collect();
        Self { judged, violations: Vec::new() }
    }
}

impl Findings {
    /// Counts evaluations.
    pub fn judge(&mut self, property: &'static str, times: u64) {
        assert!(PROPERTIES.contains(&property), "{property}");
        *self.judged.entry(property).or_insert(0) += times;
    }

    /// Adds what was found of another run.
    pub fn add(&mut self, other: Self) {
        for (property, times) in other.judged {
            self.judge(property, times);
        }
        self.violations.extend(other.violations);
    }

    /// Notes something that was not kept.
    pub fn complain(
        &mut self,
        at: u64,
        property: &'static str,
        task: Option<&str>,
        what: impl Into<String>,
    ) {
        let (what, task) = (what.into(), task.map(str::to_owned));
        self.violations.push(Violation { at, property, what, task });
    }
}

impl Run {
    /// A run from what happened in it.
    pub fn new(records: Vec<HistoryRecord>, states: Vec<(usize, State)>, nodes: usize) -> Self {
        Self::going_on(records, states, nodes, None)
    }

    /// A run of a cluster that may have begun with the state of another one.
    pub fn going_on(
        records: Vec<HistoryRecord>,
        states: Vec<(usize, State)>,
        nodes: usize,
        begun: Option<&State>,
    ) -> Self {
        let mut model = ReferenceModel::default();
        let mut applied_at = BTreeMap::new();
        for record in &records {
            let (index, entry, answers, marks, events) = match &record.event {
                HistoryEvent::Committed { index, entry, answers, marks, events } => {
                    (index, entry, answers, marks, events)
                }
                HistoryEvent::Succeeded { index, begun: told, .. } => {
                    model.succeed(*index, told, begun);
                    continue;
                }
                _ => continue,
            };
            applied_at.insert(*index, record.at);
            if let Some(entry) = entry {
                model.entry(*index, entry, answers, marks, events);
            }
        }
        let ended = records.last().map_or(0, |last| last.at);
        Self {
            records,
            model,
            applied_at,
            states,
            nodes,
            ended,
            epoch_ms: 0,
            wild_clocks: false,
            focus: Focus::General,
            slots: 0,
            broken_off: false,
            former_issued: None,
        }
    }

    /// The newest state of a node at the end.
    pub fn newest_state(&self) -> Option<&State> {
        let newest = self.states.iter().max_by_key(|(_, state)| state.cluster().applied);
        newest.map(|(_, state)| state)
    }

    /// The state after all entries, if a node has it at the end.
    pub fn last_state(&self) -> Option<&State> {
        let last = self.applied_at.last_key_value().map_or(0, |(index, _)| *index);
        self.newest_state().filter(|state| state.cluster().applied == last)
    }

    /// When an entry was first applied, in microseconds.
    pub fn at(&self, index: u64) -> u64 {
        self.applied_at.get(&index).copied().unwrap_or(self.ended)
    }

    /// True time of an instant of the log, in microseconds since the beginning; 0 if before.
    pub fn true_time(&self, ms: i64) -> u64 {
        u64::try_from(ms.saturating_sub(self.epoch_ms)).unwrap_or(0).saturating_mul(1_000)
    }
}

/// Holds all properties against a run; the earliest violation first.
pub fn judge(run: &Run) -> Findings {
    let mut findings = Findings::default();
    for (property, times) in &run.model.judged {
        findings.judge(property, *times);
    }
    for (index, property, what) in &run.model.wrong {
        let what = format!("entry {index}: {what}");
        findings.complain(run.at(*index), property, None, what);
    }
    for property in [
        starts::judge,
        halts::judge,
        registers::judge,
        durability::judge,
        events::judge,
        endings::judge,
        votes::judge,
        counts::judge,
        cover::judge,
        owners::judge,
        liveness::judge,
        lines::judge,
        failover::judge,
        successor::judge,
    ] {
        property(run, &mut findings);
    }
    findings.violations.sort_by_key(|violation| violation.at);
    findings
}
