//! The retained history of a task: fired ticks, spans and executions, each in increasing order.

use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::time::Timestamp;

use super::record::{Execution, FiredTick, Span, Status};
use crate::domain::machine::store::blocks::{BlockRecord, Blocks, Marks, RecordPlace};
use crate::domain::machine::store::dirty::Dirty;

impl BlockRecord for FiredTick {
    type RecordKey = Timestamp;
    const LETTER: u8 = b't';

    fn key(&self) -> Timestamp {
        self.tick
    }
}

impl BlockRecord for Span {
    type RecordKey = Timestamp;
    const LETTER: u8 = b's';

    fn key(&self) -> Timestamp {
        self.to
    }
}

impl BlockRecord for Execution {
    type RecordKey = ExecutionId;
    const LETTER: u8 = b'e';

    fn key(&self) -> ExecutionId {
        self.id
    }

    fn marks(&self) -> Marks {
        let ended = self.status.ended();
        [ended, ended && !self.status.failure()]
    }
}

/// The mark of an execution that ended.
pub(super) const ENDED: usize = 0;
/// The mark of an execution that ended, and not with a failure.
pub(super) const ENDED_OTHERWISE: usize = 1;

/// A task's history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Fired ticks, by time.
    pub ticks: Blocks<FiredTick>,
    /// Spans, by time.
    pub spans: Blocks<Span>,
    /// Executions by id, including live ones.
    pub executions: Blocks<Execution>,
    /// Number of failed executions. Derived.
    pub(in crate::domain::machine) failures: usize,
    /// Number of running executions. Derived.
    pub(in crate::domain::machine) running: u32,
}

impl History {
    /// The position of an execution.
    #[must_use]
    pub fn position(&self, id: ExecutionId) -> Option<RecordPlace> {
        self.executions.find(id)
    }

    /// An execution.
    #[must_use]
    pub fn execution(&self, id: ExecutionId) -> Option<&Execution> {
        self.executions.get(self.position(id)?)
    }

    /// Recomputes the numbers of failed and running executions.
    pub(in crate::domain::machine) fn count(&mut self) {
        let failures = self.executions.iter().filter(|execution| execution.status.failure());
        self.failures = failures.count();
        let running = self.executions.iter().filter(|one| one.status == Status::Running);
        self.running = u32::try_from(running.count()).unwrap_or(u32::MAX);
    }

    /// A number computed from the data that a claim reads: see `State::warm`.
    pub(in crate::domain::machine) fn warmth(&self) -> u64 {
        let tick = self.ticks.back().map_or(0, |fired| fired.index);
        tick ^ self.executions.back().map_or(0, |newest| newest.id.0)
    }

    /// The fired tick at this time.
    #[must_use]
    pub fn fired(&self, tick: Timestamp) -> Option<&FiredTick> {
        self.ticks.get(self.ticks.find(tick)?)
    }

    /// The span that covers this time.
    #[must_use]
    pub fn span(&self, at: Timestamp) -> Option<&Span> {
        self.spans.at_or_after(at).filter(|span| span.from < at)
    }

    /// Marks all of it as changed, because it is removed.
    pub(in crate::domain::machine) fn note_all(&mut self, task: TaskKey, dirty: &mut Dirty) {
        self.ticks.note_all(task, dirty);
        self.spans.note_all(task, dirty);
        self.executions.note_all(task, dirty);
    }
}
