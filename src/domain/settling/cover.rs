//! What does not fire, as spans that calendars cut.

use super::look::{count, next};
use super::{Firing, Step, View};
use crate::domain::machine::command::SettleSpan;
use crate::domain::machine::record::{Reason, Verdict};
use crate::domain::schedule::Plan;
use crate::domain::time::Timestamp;

/// Spans of one settle.
const SPANS_MAX: usize = 32;

/// What does not fire, from what is settled on.
pub(super) struct Cover<'a> {
    plan: &'a Plan,
    settled: Timestamp,
    pub(super) spans: Vec<SettleSpan>,
    /// All ticks up to here are settled or covered.
    pub(super) at: Timestamp,
}

/// Spans that a settle has room for are used up: what they cover is settled first.
pub(super) type Full<'a, T> = Result<T, Cover<'a>>;

impl<'a> Cover<'a> {
    pub(super) fn of(view: &View<'a>) -> Self {
        Self { plan: view.plan, settled: view.settled, spans: Vec::new(), at: view.settled }
    }

    /// Gives the ticks up to an instant a verdict, where no calendar has left them out before.
    pub(super) fn up_to(
        mut self,
        to: Timestamp,
        verdict: Verdict,
        reason: Reason,
    ) -> Full<'a, Self> {
        while let Some(tick) = next(self.plan, self.at).filter(|tick| *tick <= to) {
            let stretch = self.plan.stretch(tick);
            let (verdict, reason) = match stretch.calendar {
                Some(_) => (Verdict::Skipped, Reason::Excluded),
                None if bug!("label-excluded") => (verdict, Reason::Excluded),
                None => (verdict, reason),
            };
            let to = stretch.last.min(to);
            let count = count(self.plan, self.at, to);
            let full = self.spans.len() >= SPANS_MAX;
            let alike = |last: &&mut SettleSpan| (last.verdict, last.reason) == (verdict, reason);
            if let Some(last) = self.spans.last_mut().filter(alike) {
                last.to = to;
                last.count = last.count.zip(count).map(|(one, more)| one + more);
            } else if full {
                return Err(self);
            } else {
                self.spans.push(SettleSpan { to, verdict, reason, count });
            }
            self.at = to;
        }
        Ok(self)
    }

    /// The settle of what is covered, with a claim or without one; the cover of what comes after.
    pub(super) fn settle(self, claim: Option<Firing>, exhausted: bool) -> (Step, Self) {
        let step = Step { after: self.settled, spans: self.spans, claim, exhausted };
        let settled = claim.map_or(self.at, |claim| claim.tick);
        (step, Self { plan: self.plan, settled, spans: Vec::new(), at: settled })
    }

    pub(super) fn settled_alone(self) -> Vec<Step> {
        vec![self.settle(None, false).0]
    }
}
