//! What is kept of a task's past: fired ticks, spans and executions, each in rising order, and the
//! rule by which old ones go.

use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::time::Timestamp;

use super::record::{Execution, FiredTick, Span, Status};
use crate::domain::machine::store::blocks::{BlockRecord, Blocks, RecordPlace};
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
}

/// A task's past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// By tick.
    pub ticks: Blocks<FiredTick>,
    /// By time.
    pub spans: Blocks<Span>,
    /// By id; live ones among them.
    pub executions: Blocks<Execution>,
    /// How many of the executions are failures; derived.
    pub(in crate::domain::machine) failures: usize,
    /// How many of the executions run; derived.
    pub(in crate::domain::machine) running: u32,
}

impl History {
    /// Where an execution stands.
    #[must_use]
    pub fn position(&self, id: ExecutionId) -> Option<RecordPlace> {
        self.executions.find(id)
    }

    /// An execution.
    #[must_use]
    pub fn execution(&self, id: ExecutionId) -> Option<&Execution> {
        self.executions.get(self.position(id)?)
    }

    /// Counts the failures and what runs anew.
    pub(in crate::domain::machine) fn count(&mut self) {
        let failures = self.executions.iter().filter(|execution| execution.status.failure());
        self.failures = failures.count();
        let running = self.executions.iter().filter(|one| one.status == Status::Running);
        self.running = u32::try_from(running.count()).unwrap_or(u32::MAX);
    }

    /// A number made of what a claim reads of it: see `State::warm`.
    pub(in crate::domain::machine) fn warmth(&self) -> u64 {
        let tick = self.ticks.back().map_or(0, |fired| fired.index);
        tick ^ self.executions.back().map_or(0, |newest| newest.id.0)
    }

    /// The fired tick at this instant.
    #[must_use]
    pub fn fired(&self, tick: Timestamp) -> Option<&FiredTick> {
        self.ticks.get(self.ticks.find(tick)?)
    }

    /// The span that covers this instant.
    #[must_use]
    pub fn span(&self, at: Timestamp) -> Option<&Span> {
        self.spans.at_or_after(at).filter(|span| span.from < at)
    }

    /// Notes that all of it goes.
    pub(in crate::domain::machine) fn note_all(&mut self, task: TaskKey, dirty: &mut Dirty) {
        self.ticks.note_all(task, dirty);
        self.spans.note_all(task, dirty);
        self.executions.note_all(task, dirty);
    }
}
