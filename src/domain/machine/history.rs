//! What is kept of a task's past: fired ticks, spans and executions, each in rising order, and the
//! rule by which old ones go.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::domain::ids::ExecutionId;
use crate::domain::time::Timestamp;

use super::record::{Execution, FiredTick, Span};

/// A task's past.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// By tick.
    pub ticks: VecDeque<FiredTick>,
    /// By time.
    pub spans: VecDeque<Span>,
    /// By id; live ones among them.
    pub executions: VecDeque<Arc<Execution>>,
}

impl History {
    /// Where an execution stands.
    #[must_use]
    pub fn position(&self, id: ExecutionId) -> Option<usize> {
        // The one asked for is most often the newest.
        if self.executions.back().is_some_and(|newest| newest.id == id) {
            return Some(self.executions.len() - 1);
        }
        self.executions.binary_search_by_key(&id, |execution| execution.id).ok()
    }

    /// An execution.
    #[must_use]
    pub fn execution(&self, id: ExecutionId) -> Option<&Arc<Execution>> {
        self.executions.get(self.position(id)?)
    }

    /// A number made of what a claim reads of it: see `State::warm`.
    pub(super) fn warmth(&self) -> u64 {
        let tick = self.ticks.back().map_or(0, |fired| fired.index);
        tick ^ self.executions.back().map_or(0, |newest| Arc::as_ptr(newest) as u64)
    }

    /// Those that have not ended, oldest first.
    pub fn live(&self) -> impl Iterator<Item = &Arc<Execution>> {
        self.executions.iter().filter(|execution| !execution.status.ended())
    }

    /// The fired tick at this instant.
    #[must_use]
    pub fn fired(&self, tick: Timestamp) -> Option<&FiredTick> {
        let at = self.ticks.binary_search_by_key(&tick, |fired| fired.tick).ok()?;
        self.ticks.get(at)
    }

    /// The span that covers this instant.
    #[must_use]
    pub fn span(&self, at: Timestamp) -> Option<&Span> {
        let after = self.spans.partition_point(|span| span.to < at);
        self.spans.get(after).filter(|span| span.from < at)
    }
}
