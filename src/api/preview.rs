//! What a schedule would do: its ticks, in words, with what is worth knowing. Nothing is stored.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::domain::error_code::ErrorCode;
use crate::domain::machine::Task;
use crate::domain::schedule::{NotedTick, Plan, Rule, Schedule, Warning, warnings};
use crate::domain::spec::{self, check_name};
use crate::domain::time::{Millis, Timestamp};

use super::context::{View, aside};
use super::describe::describe;
use super::describe_zh::describe_zh;
use super::extract::{Reply, Write};
use super::fields::Fields;
use super::{plans, views};
use crate::ops::error::OpError;

/// Ticks that are shown, unless asked otherwise.
const N: u64 = 10;
/// At most so many.
const N_MAX: u64 = 1_000;
/// Ticks that are looked at for those that a clock change touches.
const LOOKED_AT_MAX: u64 = 200_000;
/// So many tasks that tick on the same hour are many.
const CROWD: usize = 10;
/// Tasks that are looked at for that.
const CROWD_LOOKS: usize = 20_000;
const HOUR_MS: i64 = 3_600_000;
/// The task name that `H` is taken from if none is given.
const NAME: &str = "preview";
const FIELDS: [&str; 7] = ["schedule", "expression", "timezone", "name", "from", "n", "only_dst"];

/// `POST /schedules/preview`.
pub(super) async fn preview(write: Write) -> Reply {
    write.params.only(&[])?;
    let fields = Fields::of(Some(write.body()?), &FIELDS)?;
    let from = fields.instant("from");
    let n = fields.number("n", 1..=N_MAX).unwrap_or(N);
    let only_dst = fields.flag("only_dst");
    let name = fields.text("name").unwrap_or(NAME);
    if let Err(rule) = check_name(name) {
        fields.refuse("/name", ErrorCode::InvalidName, rule);
    }
    let asked = asked(&fields);
    fields.done()?;
    let view = write.context.here()?;
    let now = from.map_or(view.now, |from| from.minus(Millis(1)));
    let schedule = read(&asked, name, &view, now, &write)?;
    let calendars = view.state.excluded_by(&schedule);
    let plan = Plan::excluding(&schedule, name, view.zone(), now, calendars);
    let plan = plan.map_err(|error| OpError::field("/schedule", error.code, error.message))?;
    // The one tick of `immediate` is the moment itself.
    let after = if plan.once() { now.minus(Millis(1)) } else { now };
    aside(move || {
        let max = schedule.max_ticks.unwrap_or(u64::MAX);
        let (ticks, complete) = ticks(&plan, after, (n, max), only_dst);
        let mut body = body(ticks, &schedule, view.zone());
        if !complete {
            body["incomplete"] = format!("looked at {LOOKED_AT_MAX} ticks only").into();
        }
        let crowd = plan.next_after(after).and_then(|first| crowd(&view, first));
        if let (Some(warning), Some(all)) = (crowd, body["warnings"].as_array_mut()) {
            all.push(views::warning(&warning));
        }
        view.ok(body)
    })
    .await
}

/// The answer, here and on the command line.
pub(crate) fn body(ticks: Vec<Value>, schedule: &Schedule, default_zone: &str) -> Value {
    json!({
        "ticks": ticks,
        "words": describe(schedule, default_zone),
        "words_zh": describe_zh(schedule, default_zone),
        "expression": expression(schedule),
        "warnings": warnings(schedule).iter().map(views::warning).collect::<Vec<_>>(),
    })
}

/// The schedule as a task would carry it, and whether it was given as one text.
struct Asked {
    schedule: Value,
    expression: bool,
}

fn asked(fields: &Fields<'_>) -> Asked {
    if (fields.get("schedule").is_some()) == (fields.get("expression").is_some()) {
        fields.refuse("", ErrorCode::OneOf, "needs exactly one of schedule and expression");
    }
    let expression = fields.text("expression");
    let mut schedule = match expression {
        Some(text) => Map::from_iter([("cron".to_owned(), text.into())]),
        None => fields.object("schedule").cloned().unwrap_or_default(),
    };
    if let Some(zone) = fields.text("timezone") {
        let named = schedule.get("timezone").filter(|named| !named.is_null());
        if named.is_some_and(|named| *named != zone) {
            fields.refuse("/timezone", ErrorCode::Conflict, "the schedule names another zone");
        }
        schedule.insert("timezone".to_owned(), zone.into());
    }
    Asked { schedule: Value::Object(schedule), expression: expression.is_some() }
}

/// Reads the schedule by the rules of a task's body.
fn read(
    asked: &Asked,
    name: &str,
    view: &View,
    now: Timestamp,
    write: &Write,
) -> Result<Schedule, OpError> {
    let task = json!({"name": name, "schedule": asked.schedule});
    let reading = spec::ReadContext { now, ..view.reading(&write.context.settings) };
    let read = spec::read(&task, reading).map_err(|mut problems| {
        for problem in problems.iter_mut().filter(|_| asked.expression) {
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

/// The ticks after an instant, so many and so many that fire, and whether all that were asked for were
/// looked for.
fn ticks(
    plan: &Plan,
    after: Timestamp,
    (n, mut left): (u64, u64),
    only_dst: bool,
) -> (Vec<Value>, bool) {
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

/// What is said of a tick on the hour at which many tasks of the cluster tick.
fn crowd(view: &View, first: Timestamp) -> Option<Warning> {
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
        code: "crowded",
        detail: format!(
            "{others} tasks of the cluster tick at {first} as well: another minute than the full \
             hour, jitter, or H spreads them"
        ),
    })
}

/// A tick with the daylight-saving rule that touches it and the calendar that leaves it out.
pub(crate) fn tick(plan: &Plan, tick: &NotedTick) -> Value {
    json!({
        "excluded": plan.excluded(tick.at).map(|calendar| calendar.name.as_str()),
        "at": tick.at.to_string(),
        "local": tick.local,
        "note": tick.note.as_ref().map(ToString::to_string),
    })
}

/// The canonical form: a cron text where it is one, else the rule.
fn expression(schedule: &Schedule) -> Value {
    match &schedule.rule {
        Rule::Cron(text) => text.as_str().into(),
        _ => {
            let task = crate::domain::task::TaskSpec::new(NAME, schedule.clone(), None);
            spec::write(&task).get("schedule").cloned().unwrap_or_default()
        }
    }
}
