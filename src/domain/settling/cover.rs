//! What is settled in one go: spans of what does not fire, cut where calendars begin and end, and the
//! claims between them.

use super::guards;
use super::look::{count, next};
use super::{Firing, STEPS_MAX, SettleStep, SettleView};
use crate::domain::machine::command::SettleSpan;
use crate::domain::machine::record::{Reason, Verdict};
use crate::domain::schedule::Plan;
use crate::domain::time::Timestamp;

/// Spans of one settle.
const SPANS_MAX: usize = 32;
/// Stretches that are covered in one go.
const STRETCHES_MAX: usize = 1_000;

/// Settles that follow each other, from what is settled on.
pub(super) struct Cover<'a> {
    plan: &'a Plan,
    settled: Timestamp,
    pub(super) spans: Vec<SettleSpan>,
    /// Those that are complete.
    pub(super) steps: Vec<SettleStep>,
    /// All ticks up to here are settled or covered.
    pub(super) at: Timestamp,
    stretches: usize,
}

/// Too much for one go: these settles come first, and then is looked again.
pub(super) type Full<T> = Result<T, Vec<SettleStep>>;

impl<'a> Cover<'a> {
    pub(super) fn of(view: &SettleView<'a>) -> Self {
        let (spans, steps) = (Vec::new(), Vec::new());
        let (plan, settled) = (view.plan, view.settled);
        Self { plan, settled, spans, steps, at: settled, stretches: 0 }
    }

    /// Gives the ticks up to an instant a verdict, where no calendar has left them out before.
    pub(super) fn up_to(mut self, to: Timestamp, verdict: Verdict, reason: Reason) -> Full<Self> {
        while let Some(tick) = next(self.plan, self.at).filter(|tick| *tick <= to) {
            self.stretches += 1;
            if self.stretches > STRETCHES_MAX {
                return Err(self.all());
            }
            let stretch = self.plan.stretch(tick, to);
            let (verdict, reason) = guards::label(stretch.calendar.is_some(), verdict, reason);
            let end = stretch.last.min(to);
            let count = count(self.plan, self.at, end);
            let alike = |last: &&mut SettleSpan| (last.verdict, last.reason) == (verdict, reason);
            if let Some(last) = self.spans.last_mut().filter(alike) {
                last.to = end;
                last.count = last.count.zip(count).map(|(one, more)| one + more);
            } else {
                if self.spans.len() >= SPANS_MAX {
                    self = self.step(None, false);
                    if self.steps.len() >= STEPS_MAX {
                        return Err(self.steps);
                    }
                }
                self.spans.push(SettleSpan { to: end, verdict, reason, count });
            }
            self.at = end;
        }
        Ok(self)
    }

    /// Completes a settle: of what is covered, with a claim or without one.
    pub(super) fn step(mut self, claim: Option<Firing>, exhausted: bool) -> Self {
        let spans = std::mem::take(&mut self.spans);
        self.steps.push(SettleStep { after: self.settled, spans, claim, exhausted });
        self.at = claim.map_or(self.at, |claim| claim.tick);
        self.settled = self.at;
        self
    }

    /// Whether there is room for another claim.
    pub(super) fn has_room(&self, left: u64) -> bool {
        let claims = self.steps.iter().filter(|step| step.claim.is_some()).count();
        self.steps.len() < STEPS_MAX && (claims as u64) < left
    }

    /// All settles, the last one of what is covered and not yet settled.
    pub(super) fn all(self) -> Vec<SettleStep> {
        let open = !self.spans.is_empty();
        if open { self.step(None, false).steps } else { self.steps }
    }
}
