//! Previews a schedule: ticks, description and warnings. Nothing is stored.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::OpError;
use super::context::{ApiSettings, StateView};
use super::describe::describe;
use super::describe_zh::describe_zh;
use super::note_zh::note_zh;
use super::{plans, views};
use crate::domain::machine::Task;
use crate::domain::schedule::{NotedTick, Plan, Rule, Schedule, Warning, warnings};
use crate::domain::spec;
use crate::domain::time::{Millis, Timestamp};
use crate::domain::warning_code::WarningCode;
use crate::dto::{ExpressionView, NextTick, NextView, PreviewView, Rfc3339, ScheduleBody};

/// Maximum number of ticks inspected to find those affected by a clock change.
const LOOKED_AT_MAX: u64 = 200_000;
/// From this number on, tasks that tick on the same hour cause a warning.
const CROWD: usize = 10;
/// Maximum number of tasks inspected for that.
const CROWD_LOOKS: usize = 20_000;
const HOUR_MS: i64 = 3_600_000;

/// The schedule to preview.
pub(crate) struct PreviewSchedule {
    /// The schedule as in the body of a task.
    schedule: Map<String, Value>,
    /// Whether it was given as a single string.
    expression: bool,
}

impl PreviewSchedule {
    /// A cron expression.
    pub fn of_expression(text: &str) -> Self {
        let schedule = Map::from_iter([("cron".to_owned(), text.into())]);
        Self { schedule, expression: true }
    }

    /// A schedule as in the body of a task. None: an empty one, which is refused when it is read.
    pub fn of_object(schedule: Option<&Map<String, Value>>) -> Self {
        Self { schedule: schedule.cloned().unwrap_or_default(), expression: false }
    }

    /// Sets the time zone. False: the schedule names another one.
    #[must_use]
    pub fn set_zone(&mut self, zone: &str) -> bool {
        let named = self.schedule.insert("timezone".to_owned(), zone.into());
        named.is_none_or(|named| named.is_null() || named == zone)
    }

    /// Parses the schedule by the rules of a task body.
    pub fn read(
        &self,
        name: &str,
        view: &StateView,
        now: Timestamp,
        settings: &ApiSettings,
    ) -> Result<Schedule, OpError> {
        let task = json!({"name": name, "schedule": self.schedule});
        let reading = spec::ReadContext { now, ..view.reading(settings) };
        let read = spec::read(&task, reading).map_err(|mut problems| {
            for problem in problems.iter_mut().filter(|_| self.expression) {
                let pointer = match problem.pointer.as_str() {
                    "/schedule/timezone" => "/timezone",
                    _ => "/expression",
                };
                problem.pointer = pointer.to_owned();
            }
            problems
        })?;
        Ok(read.schedule)
    }
}

/// Builds the response, for the API and the command line.
pub(crate) fn body(ticks: Vec<NextTick>, schedule: &Schedule, default_zone: &str) -> PreviewView {
    PreviewView {
        ticks,
        words: describe(schedule, default_zone),
        words_zh: describe_zh(schedule, default_zone),
        expression: expression(schedule),
        warnings: warnings(schedule).iter().map(views::warning).collect(),
        incomplete: None,
    }
}

/// Builds the preview of a plan: `n` ticks after an instant.
pub(crate) fn preview(
    view: &StateView,
    plan: &Plan,
    schedule: &Schedule,
    after: Timestamp,
    n: u64,
    only_dst: bool,
) -> PreviewView {
    let max = schedule.max_ticks.unwrap_or(u64::MAX);
    let (ticks, complete) = ticks(plan, after, (n, max), only_dst);
    let mut body = body(ticks, schedule, view.zone());
    if !complete {
        body.incomplete = Some(format!("looked at {LOOKED_AT_MAX} ticks only"));
    }
    let crowd = plan.next_after(after).and_then(|first| crowd(view, first));
    body.warnings.extend(crowd.as_ref().map(views::warning));
    body
}

/// The ticks after an instant, limited in number and in number of ticks that fire. Also returns
/// whether the search was complete.
fn ticks(
    plan: &Plan,
    after: Timestamp,
    (n, mut left): (u64, u64),
    only_dst: bool,
) -> (Vec<NextTick>, bool) {
    let mut found = Vec::new();
    let mut at = after;
    for _ in 0..LOOKED_AT_MAX {
        if found.len() as u64 >= n || left == 0 {
            return (found, true);
        }
        let Some(next) = plan.next_noted(at) else { return (found, true) };
        at = next.at;
        left -= u64::from(plan.excluded(at).is_none());
        if !only_dst || next.note.is_some() {
            found.push(tick(plan, &next));
        }
    }
    (found, false)
}

/// The next `n` ticks of a task, from an instant on.
pub(crate) fn next(view: &StateView, task: &Task, from: Option<Timestamp>, n: u64) -> NextView {
    let settled = view.state.settled(task);
    let mut at = from.map_or(settled.max(view.now), |from| from.minus(Millis(1)).max(settled));
    let plan = plans::current(&view.state, task).filter(|_| !task.progress.exhausted);
    let max = task.spec().and_then(|spec| spec.schedule.max_ticks);
    let mut left = max.map_or(u64::MAX, |max| max.saturating_sub(task.progress.totals.fired));
    if task.spec().is_some_and(|spec| spec.one_shot) {
        left = left.min(if task.used_up() { 0 } else { 1 });
    }
    let mut items = Vec::new();
    while let Some(plan) = plan.as_ref().filter(|_| (items.len() as u64) < n && left > 0) {
        let Some(noted) = plan.next_noted(at) else { break };
        at = noted.at;
        left -= u64::from(plan.excluded(at).is_none());
        items.push(NextTick { due: Some(Rfc3339(plan.due(at))), ..tick(plan, &noted) });
    }
    let held = task.inactive().map(super::words::reason);
    let stopped = (!view.state.cluster().scheduler).then_some("stopped");
    NextView { items, next_cursor: (), held: held.or(stopped).map(Into::into) }
}

/// A warning if the first tick is on the hour and many tasks of the cluster tick at that time.
fn crowd(view: &StateView, first: Timestamp) -> Option<Warning> {
    if first.0.rem_euclid(HOUR_MS) != 0 {
        return None;
    }
    let looked_at = view.state.tasks().filter(|task| task.inactive().is_none()).take(CROWD_LOOKS);
    let ticks_then = |task: &&Arc<Task>| {
        let plan = plans::current(&view.state, task);
        plan.is_some_and(|plan| plan.next_after(first.minus(Millis(1))) == Some(first))
    };
    let others = looked_at.filter(ticks_then).count();
    (others >= CROWD).then(|| Warning {
        code: WarningCode::Crowded,
        detail: format!(
            "{others} tasks of the cluster tick at {first} as well: another minute than the full \
             hour, jitter, or H spreads them"
        ),
    })
}

/// A tick with the daylight-saving rule that affects it and the calendar that excludes it.
pub(crate) fn tick(plan: &Plan, tick: &NotedTick) -> NextTick {
    NextTick {
        excluded: plan.excluded(tick.at).map(|calendar| calendar.name.clone()),
        at: Rfc3339(tick.at),
        local: tick.local.clone(),
        note: tick.note.as_ref().map(ToString::to_string),
        note_zh: tick.note.as_ref().map(note_zh),
        due: None,
    }
}

/// The canonical form: a cron text if the rule is one, otherwise the rule.
fn expression(schedule: &Schedule) -> ExpressionView {
    match &schedule.rule {
        Rule::Cron(text) => ExpressionView::Text(text.clone()),
        _ => ExpressionView::Schedule(Box::new(ScheduleBody::from(schedule))),
    }
}
