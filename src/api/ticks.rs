//! What became of a task's ticks: fired ones one by one and the rest as spans, newest first,
//! merged by time.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::domain::ids::Revision;
use crate::domain::machine::Task;
use crate::domain::machine::record::{FiredTick, Span};
use crate::domain::schedule::Plan;
use crate::domain::time::{Timestamp, YEAR_0, YEAR_9999};

use super::error::Problem;
use super::lists::Page;
use super::params::{Params, bad};
use super::words;

/// Ticks that are found one by one to count those of spans, in one answer.
const COUNT_STEPS_MAX: u64 = 500_000;

/// Which part of a task's past is asked for.
#[derive(Clone, Debug)]
pub(super) struct Range {
    from: Timestamp,
    to: Timestamp,
    /// Only what ends before this: the rest was told in the answer before.
    below: Option<Timestamp>,
    empty: bool,
    page: Page,
}

impl Range {
    /// Reads `from`, `to`, `empty`, `limit` and `cursor`.
    ///
    /// # Errors
    /// `invalid_parameter`.
    pub fn of(params: &Params) -> Result<Self, Problem> {
        let from = params.instant("from")?.unwrap_or(YEAR_0);
        let to = params.instant("to")?.unwrap_or(YEAR_9999);
        if to < from {
            return Err(bad("to", "must not lie before from"));
        }
        let page = Page::of(params)?;
        let below = page.after().map(|key| {
            let end = key.parse::<i64>();
            end.map(Timestamp).map_err(|_error| bad("cursor", "is not one of this list"))
        });
        Ok(Self { from, to, below: below.transpose()?, empty: params.flag("empty")?, page })
    }

    fn holds(&self, piece: &Piece<'_>) -> bool {
        let asked = match piece {
            Piece::Fired(fired) => (self.from..=self.to).contains(&fired.tick),
            Piece::Span(span, _) => span.from < self.to && self.from <= span.to,
        };
        asked && self.below.is_none_or(|below| piece.end() < below)
    }
}

/// A fired tick or a span.
#[derive(Clone, Copy, Debug)]
enum Piece<'a> {
    Fired(&'a FiredTick),
    Span(&'a Span, Option<u64>),
}

impl Piece<'_> {
    /// Where it ends; no two of a task end at one instant.
    fn end(&self) -> Timestamp {
        match self {
            Self::Fired(fired) => fired.tick,
            Self::Span(span, _) => span.to,
        }
    }

    fn show(&self) -> Value {
        match self {
            Self::Fired(fired) => json!({
                "tick": fired.tick.to_string(),
                "verdict": "fired",
                "execution_id": fired.execution.to_string(),
                "index": fired.index,
            }),
            Self::Span(span, count) => json!({
                "from": span.from.to_string(),
                "to": span.to.to_string(),
                "verdict": words::verdict(span.verdict),
                "reason": words::reason(span.reason),
                "count": count,
                "revision": span.revision.map(|revision| revision.0),
                "index": span.index,
            }),
        }
    }
}

/// The answer for one task.
pub(super) fn list(task: &Task, zone: &str, range: &Range) -> Value {
    let mut counter = Counter { task, zone, plans: BTreeMap::new(), steps: COUNT_STEPS_MAX };
    let fired = task.history.ticks.iter().rev().map(Piece::Fired);
    let spans = task.history.spans.iter().rev().map(|span| Piece::Span(span, span.count));
    let pieces = merge(fired, spans)
        .filter(|piece| range.holds(piece))
        .filter_map(|piece| match piece {
            Piece::Span(span, None) => {
                let count = counter.count(span);
                (range.empty || count != Some(0)).then_some(Piece::Span(span, count))
            }
            Piece::Span(_, Some(0)) if !range.empty => None,
            piece => Some(piece),
        });
    let mut body = range.page.list(pieces, |piece| piece.end().0.to_string(), Piece::show);
    if let Value::Object(body) = &mut body {
        let before = task.live.truncated_before.to_string();
        body.insert("truncated_before".to_owned(), before.into());
    }
    body
}

/// Two lists that fall by time as one that does.
fn merge<'a>(
    one: impl Iterator<Item = Piece<'a>>,
    other: impl Iterator<Item = Piece<'a>>,
) -> impl Iterator<Item = Piece<'a>> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if first.end() < second.end() => other.next(),
        (None, _) => other.next(),
        _ => one.next(),
    })
}

/// Counts the ticks of spans that nobody counted.
struct Counter<'a> {
    task: &'a Task,
    zone: &'a str,
    plans: BTreeMap<Revision, Option<Plan>>,
    steps: u64,
}

impl Counter<'_> {
    fn count(&mut self, span: &Span) -> Option<u64> {
        let revision = span.revision?;
        let (task, zone) = (self.task, self.zone);
        let plan = self
            .plans
            .entry(revision)
            .or_insert_with(|| super::plans::of_revision(task, revision, zone));
        let count = plan.as_ref()?.count_between(span.from, span.to, self.steps);
        // More than there were steps is what arithmetic gave: it took none.
        let taken = count.unwrap_or(self.steps);
        if taken <= self.steps {
            self.steps -= taken;
        }
        count
    }
}
