//! The past ticks of a task: fired ticks individually and all others as spans, merged and sorted by
//! time, newest first.

use std::collections::BTreeMap;

use crate::domain::ids::Revision;
use crate::domain::machine::record::{FiredTick, Span};
use crate::domain::machine::{State, Task};
use crate::domain::schedule::Plan;
use crate::domain::time::Timestamp;
use crate::dto::{Rfc3339, SpanView, TickView, TicksView};

use super::lists::PageRequest;
use super::{views, words};

/// Maximum number of ticks computed to count the ticks of spans in one response.
const COUNT_STEPS_MAX: u64 = 500_000;

/// The requested range of a task's past.
#[derive(Clone, Debug)]
pub(crate) struct TickRange {
    /// Entries that end before this are omitted.
    pub from: Timestamp,
    /// Entries that begin after this are omitted.
    pub to: Timestamp,
    /// Only entries that end before this. The rest was in an earlier page.
    pub below: Option<Timestamp>,
    /// Whether spans without ticks are included.
    pub empty: bool,
    /// The requested page.
    pub page: PageRequest,
}

impl TickRange {
    fn holds(&self, piece: &HistoryPiece<'_>) -> bool {
        let asked = match piece {
            HistoryPiece::Fired(fired) => (self.from..=self.to).contains(&fired.tick),
            HistoryPiece::Span(span, _) => span.from < self.to && self.from <= span.to,
        };
        asked && self.below.is_none_or(|below| piece.end() < below)
    }
}

/// A fired tick or a span.
#[derive(Clone, Copy, Debug)]
enum HistoryPiece<'a> {
    Fired(&'a FiredTick),
    Span(&'a Span, Option<u64>),
}

impl HistoryPiece<'_> {
    /// The end of the entry. It is unique within a task.
    fn end(&self) -> Timestamp {
        match self {
            Self::Fired(fired) => fired.tick,
            Self::Span(span, _) => span.to,
        }
    }

    fn show(&self, state: &State) -> TickView {
        match self {
            Self::Fired(fired) => TickView::Fired(views::fired(state, fired)),
            Self::Span(span, count) => TickView::Span(SpanView {
                from: Rfc3339(span.from),
                to: Rfc3339(span.to),
                verdict: words::verdict(span.verdict).into(),
                reason: words::reason(span.reason).into(),
                count: *count,
                revision: span.revision.map(|revision| revision.0),
                index: span.index,
            }),
        }
    }
}

/// Builds the response for one task.
pub(crate) fn list(state: &State, task: &Task, range: &TickRange) -> TicksView {
    let mut counter = Counter { task, state, plans: BTreeMap::new(), steps: COUNT_STEPS_MAX };
    let fired = task.history.ticks.iter().rev().map(HistoryPiece::Fired);
    let spans = task.history.spans.iter().rev().map(|span| HistoryPiece::Span(span, span.count));
    // The history begins there. Earlier entries belong to a previous incarnation.
    let own = |piece: &HistoryPiece<'_>| piece.end() > task.progress.truncated_before;
    let pieces = merge(fired, spans).take_while(own).filter(|piece| range.holds(piece)).filter_map(
        |piece| match piece {
            HistoryPiece::Span(span, None) => {
                let count = counter.count(span);
                (range.empty || count != Some(0)).then_some(HistoryPiece::Span(span, count))
            }
            HistoryPiece::Span(_, Some(0)) if !range.empty => None,
            piece => Some(piece),
        },
    );
    let list =
        range.page.list(pieces, |piece| piece.end().0.to_string(), |piece| piece.show(state));
    TicksView { list, truncated_before: Rfc3339(task.progress.truncated_before) }
}

/// Merges two lists that are sorted by descending time.
fn merge<'a>(
    one: impl Iterator<Item = HistoryPiece<'a>>,
    other: impl Iterator<Item = HistoryPiece<'a>>,
) -> impl Iterator<Item = HistoryPiece<'a>> {
    let (mut one, mut other) = (one.peekable(), other.peekable());
    std::iter::from_fn(move || match (one.peek(), other.peek()) {
        (Some(first), Some(second)) if first.end() < second.end() => other.next(),
        (None, _) => other.next(),
        _ => one.next(),
    })
}

/// Counts the ticks of spans that have no count yet.
struct Counter<'a> {
    task: &'a Task,
    state: &'a State,
    plans: BTreeMap<Revision, Option<Plan>>,
    steps: u64,
}

impl Counter<'_> {
    fn count(&mut self, span: &Span) -> Option<u64> {
        let revision = span.revision?;
        let (task, state) = (self.task, self.state);
        let plan = self
            .plans
            .entry(revision)
            .or_insert_with(|| super::plans::of_revision(state, task, revision));
        let count = plan.as_ref()?.count_between(span.from, span.to, self.steps);
        // A result above the limit was computed arithmetically and took no steps.
        let taken = count.unwrap_or(self.steps);
        if taken <= self.steps {
            self.steps -= taken;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{Params, tick_range};
    use crate::domain::machine::command::{Named, PauseTask, Put, PutMode};
    use crate::domain::machine::envelope::{EntryHead, entry, pack};
    use crate::domain::machine::{Applied, Command, State};
    use crate::domain::schedule::{Rule, Schedule};
    use crate::domain::task::TaskSpec;
    use crate::domain::time::Millis;

    const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

    fn every(secs: u64) -> Box<Put> {
        let rule = Rule::Interval { every: Millis::from_secs(secs), anchor: None };
        let spec = TaskSpec::new("t", Schedule::of(rule), None);
        Box::new(Put { mode: PutMode::Add, spec })
    }

    /// The state after these commands, each with its time in seconds after the start.
    fn after(commands: Vec<(u64, Command)>) -> State {
        let mut state = State::default();
        for (index, (secs, command)) in (1..).zip(commands) {
            let mut bytes = Vec::new();
            pack(&mut bytes, &command, "", None);
            let head =
                EntryHead { stamp: BEGIN.plus(Millis::from_secs(secs)), origin: 1, seq: index };
            let mut out = Applied::default();
            state.apply(index, &entry(head, &bytes), &mut out).unwrap();
            assert!(out.responses.iter().all(Result::is_ok), "{:?}", out.responses);
        }
        state
    }

    fn told(state: &State, query: &str) -> Value {
        let range = tick_range(&Params::parse(Some(query))).unwrap();
        serde_json::to_value(list(state, state.named("t").unwrap(), &range)).unwrap()
    }

    #[test]
    fn ticks_that_nobody_counted_are_counted_by_the_revision_they_belong_to() {
        let pause = || PauseTask {
            name: "t".to_owned(),
            reason: String::new(),
            until: None,
            if_match: None,
        };
        let resume = || Named { name: "t".to_owned(), if_match: None };
        let slower = Put { mode: PutMode::Update { if_match: None }, ..*every(2) };
        let state = after(vec![
            (0, Command::Put(every(1))),
            (10, Command::Pause(pause())),
            (20, Command::Resume(resume())),
            (25, Command::Put(Box::new(slower))),
            (31, Command::Pause(pause())),
            (32, Command::Resume(resume())),
        ]);
        let body = told(&state, "");
        let items = body["items"].as_array().unwrap();
        let shown: Vec<_> =
            items.iter().map(|item| (item["reason"].clone(), item["count"].clone())).collect();
        // Since the edit at 25 s there are ticks at 27, 29 and 31. Before it there was one every
        // second.
        let wanted = [("paused", 3), ("edited", 5), ("paused", 20)];
        assert_eq!(shown, wanted.map(|(reason, count)| (json!(reason), json!(count))));
        assert_eq!(body["truncated_before"], BEGIN.to_string());
        assert_eq!(body["next_cursor"], Value::Null);
        let first = told(&state, "limit=1");
        let cursor = first["next_cursor"].as_str().unwrap();
        let rest = told(&state, &format!("cursor={cursor}"));
        assert_eq!(rest["items"].as_array().unwrap()[..], items[1..]);
        let at = BEGIN.plus(Millis::from_secs(22));
        assert_eq!(told(&state, &format!("from={at}&to={at}"))["items"], json!([items[1]]));
    }

    #[test]
    fn a_former_incarnation_is_not_told() {
        let pause =
            PauseTask { name: "t".to_owned(), reason: String::new(), until: None, if_match: None };
        let resume = Named { name: "t".to_owned(), if_match: None };
        let mut commands = vec![
            (0, Command::Put(every(1))),
            (10, Command::Pause(pause.clone())),
            (20, Command::Resume(resume.clone())),
            (30, Command::Put(Box::new(Put { mode: PutMode::Force, ..*every(1) }))),
        ];
        let state = after(commands.clone());
        assert!(!state.named("t").unwrap().history.spans.is_empty(), "it is kept");
        let body = told(&state, "empty=true");
        assert_eq!(body["items"], json!([]));
        assert_eq!(body["truncated_before"], BEGIN.plus(Millis::from_secs(30)).to_string());
        commands.extend([(31, Command::Pause(pause)), (40, Command::Resume(resume))]);
        let body = told(&after(commands), "");
        assert_eq!(body["items"].as_array().unwrap().len(), 1, "{body}");
        assert_eq!(body["items"][0]["count"], 10);
    }

    #[test]
    fn spans_without_ticks_are_told_only_when_asked_for() {
        let state = after(vec![
            (0, Command::Put(every(60))),
            (
                10,
                Command::Put({
                    let mut put = every(30);
                    put.mode = PutMode::Update { if_match: None };
                    put
                }),
            ),
        ]);
        assert_eq!(told(&state, "")["items"], json!([]));
        assert_eq!(told(&state, "empty=true")["items"][0]["count"], 0);
    }
}
