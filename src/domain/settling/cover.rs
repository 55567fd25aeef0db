//! The settles of one decision: spans of ticks that do not fire, split where calendars begin and
//! end, and the claims between them.

use super::guards;
use super::look::{count, next};
use super::{Firing, STEPS_MAX, SettleStep, SettleView};
use crate::domain::machine::command::SettleSpan;
use crate::domain::machine::record::{Reason, Verdict};
use crate::domain::schedule::Plan;
use crate::domain::time::Timestamp;

/// Maximum number of spans in one settle.
const SPANS_MAX: usize = 32;
/// Maximum number of periods covered in one decision.
const STRETCHES_MAX: usize = 1_000;

/// Builds a sequence of settles that starts at the settled instant.
pub(super) struct Cover<'a> {
    plan: &'a Plan,
    settled: Timestamp,
    pub(super) spans: Vec<SettleSpan>,
    /// The completed settles.
    pub(super) steps: Vec<SettleStep>,
    /// All ticks up to here are settled or covered.
    pub(super) at: Timestamp,
    stretches: usize,
}

/// An error means that a limit was reached. It contains the settles so far; the rest follows in a
/// later decision.
pub(super) type Full<T> = Result<T, Vec<SettleStep>>;

impl<'a> Cover<'a> {
    pub(super) fn of(view: &SettleView<'a>) -> Self {
        let (spans, steps) = (Vec::new(), Vec::new());
        let (plan, settled) = (view.plan, view.settled);
        Self { plan, settled, spans, steps, at: settled, stretches: 0 }
    }

    /// Gives the ticks up to an instant a verdict. Ticks that a calendar excludes are marked as
    /// excluded instead.
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

    /// Completes a settle of the covered ticks, with or without a claim.
    pub(super) fn step(mut self, claim: Option<Firing>, exhausted: bool) -> Self {
        let spans = std::mem::take(&mut self.spans);
        self.steps.push(SettleStep { after: self.settled, spans, claim, exhausted });
        self.at = claim.map_or(self.at, |claim| claim.tick);
        self.settled = self.at;
        self
    }

    /// Whether another claim is allowed.
    pub(super) fn has_room(&self, left: u64) -> bool {
        let claims = self.steps.iter().filter(|step| step.claim.is_some()).count();
        self.steps.len() < STEPS_MAX && (claims as u64) < left
    }

    /// All settles, including one for covered ticks that are not yet in a settle.
    pub(super) fn all(self) -> Vec<SettleStep> {
        let open = !self.spans.is_empty();
        if open { self.step(None, false).steps } else { self.steps }
    }
}
