//! The `schedule` of a body: one rule and the fields for all rules.

use serde_json::Value;

use super::reader::{
    BrokenRule, Object, choice, duration, echo, flag, instant, local_time, text, whole,
};
use super::rules::{DURATION_MAX, check_name};
use super::words::{FOLDS, GAPS};
use super::{ReadContext, closest};
use crate::domain::error_code::ErrorCode;
use crate::domain::schedule::calendar::EXCLUDED_MAX;
use crate::domain::schedule::{
    Dst, LocalTime, Plan, Rule, Schedule, ScheduleError, parse_cron, parse_weekday, zone,
};
use crate::domain::task::{CatchUp, CatchUpPolicy};
use crate::domain::time::{Millis, Timestamp};

/// The rule fields, of which a schedule has exactly one. `every` is an alias of `interval`.
pub(super) const RULES: [&str; 10] = [
    "cron",
    "interval",
    "every",
    "daily",
    "weekly",
    "monthly",
    "at",
    "delay",
    "immediate",
    "manual",
];

/// Reads a schedule. None if it has a problem, which is then recorded.
pub(super) fn read(object: &mut Object<'_, '_>, ctx: ReadContext<'_>) -> Option<Schedule> {
    let problems = object.problem_count();
    let key = object.one_of(&RULES);
    let anchor = object.optional("anchor", instant);
    let rule = key.and_then(|key| read_rule(object, key, anchor, ctx));
    let named = object.optional("timezone", |value| zone::canonical(text(value)?).map_err(fault));
    let dst = object.object("dst", |dst| Dst {
        gap: dst.field("gap", Dst::default().gap, |value| choice(value, GAPS)),
        fold: dst.field("fold", Dst::default().fold, |value| choice(value, FOLDS)),
    });
    let jitter = object.optional("jitter", |value| duration(value, Millis(0)..=DURATION_MAX));
    let not_before = object.optional("not_before", instant);
    let not_after = object.optional("not_after", instant);
    let max_ticks = object.optional("max_ticks", |value| whole::<u64>(value, 1..=i64::MAX));
    let exclude = excluded(object, ctx);
    let (rule, prefix) = rule?;
    if rule == Rule::Manual {
        let given = [("/max_ticks", max_ticks.is_some()), ("/exclude", !exclude.is_empty())];
        for (place, _) in given.into_iter().filter(|(_, given)| *given) {
            let message = "does not go with manual, which has no ticks of its own";
            object.refuse(place, BrokenRule::new(ErrorCode::Conflict, message));
        }
    }
    let timezone = one_zone(object, named, prefix);
    let schedule = Schedule {
        rule,
        timezone,
        dst,
        // A jitter of zero is the same as none.
        jitter: jitter.filter(|jitter| *jitter > Millis(0)),
        not_before,
        not_after,
        max_ticks,
        exclude,
    };
    (object.problem_count() == problems).then_some(schedule)
}

/// The zone of the `timezone` field or of the expression's prefix. If both exist, they must agree.
fn one_zone(
    object: &mut Object<'_, '_>,
    field: Option<String>,
    prefix: Option<String>,
) -> Option<String> {
    if let (Some(field), Some(prefix)) = (&field, &prefix)
        && field != prefix
    {
        let message = format!("says {field}, but the expression says {prefix}");
        object.refuse("/timezone", BrokenRule::new(ErrorCode::Conflict, message));
    }
    field.or(prefix)
}

/// The excluded calendars: a limited number, without duplicates.
fn excluded(object: &mut Object<'_, '_>, ctx: ReadContext<'_>) -> Vec<String> {
    let too_many = |value: &Value| value.as_array().is_some_and(|all| all.len() > EXCLUDED_MAX);
    if object.present("exclude").is_some_and(too_many) {
        let message = format!("must have at most {EXCLUDED_MAX} entries");
        object.refuse("/exclude", BrokenRule::new(ErrorCode::TooLarge, message));
        return Vec::new();
    }
    let names = object.list("exclude", |value| named_calendar(value, ctx)).unwrap_or_default();
    for (index, name) in names.iter().enumerate() {
        if names.iter().take(index).any(|other| other == name) {
            let message = format!("{name} stands twice");
            object.refuse(
                &format!("/exclude/{index}"),
                BrokenRule::new(ErrorCode::Duplicate, message),
            );
        }
    }
    names
}

fn named_calendar(value: &Value, ctx: ReadContext<'_>) -> Result<String, BrokenRule> {
    let name = text(value)?;
    check_name(name).map_err(|rule| BrokenRule::new(ErrorCode::InvalidName, rule))?;
    if let Some(state) = ctx.calendars
        && state.calendar(name).is_none()
    {
        let near = closest(name, state.calendars().map(|kept| kept.calendar.name.as_str()));
        let hint = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        let message = format!("there is no calendar {}{hint}", echo(name));
        return Err(BrokenRule::new(ErrorCode::UnknownCalendar, message));
    }
    Ok(name.to_owned())
}

/// Reads the rule under `key`, with the zone of a cron expression, if it has one.
fn read_rule(
    object: &mut Object<'_, '_>,
    key: &'static str,
    anchor: Option<Timestamp>,
    ctx: ReadContext<'_>,
) -> Option<(Rule, Option<String>)> {
    if anchor.is_some() && !matches!(key, "interval" | "every") {
        let message = format!("belongs to interval, but the rule is {key}");
        object.refuse("/anchor", BrokenRule::new(ErrorCode::Conflict, message));
    }
    let rule = match key {
        "cron" => return object.required(key, |value| cron(value, ctx.min_interval)),
        "interval" | "every" => {
            let range = ctx.min_interval..=DURATION_MAX;
            let every = object.required(key, |value| duration(value, range))?;
            Rule::Interval { every, anchor }
        }
        "daily" => Rule::Daily(daily(object)?),
        "weekly" => object.object(key, weekly)?,
        "monthly" => object.object(key, monthly)?,
        "at" => Rule::At(object.required(key, instant)?),
        "delay" => {
            let range = Millis(1)..=DURATION_MAX;
            Rule::Delay(object.required(key, |value| duration(value, range))?)
        }
        "immediate" => object.required(key, truth).map(|()| Rule::Immediate)?,
        _ => object.required(key, truth).map(|()| Rule::Manual)?,
    };
    Some((rule, None))
}

fn cron(value: &Value, min_interval: Millis) -> Result<(Rule, Option<String>), BrokenRule> {
    let (rule, zone) = parse_cron(text(value)?).map_err(fault)?;
    // `@every 90s` is an interval in cron syntax.
    if let Rule::Interval { every, .. } = rule
        && every < min_interval
    {
        let message = format!("must be at least {min_interval} apart, got {every}");
        return Err(BrokenRule::new(ErrorCode::OutOfRange, message));
    }
    Ok((rule, zone))
}

fn fault(error: ScheduleError) -> BrokenRule {
    let message = match error.column {
        Some(column) => format!("column {column}: {}", error.message),
        None => error.message,
    };
    BrokenRule::new(error.code, message)
}

fn truth(value: &Value) -> Result<(), BrokenRule> {
    if flag(value)? {
        Ok(())
    } else {
        Err(BrokenRule::new(ErrorCode::InvalidValue, "must be true"))
    }
}

/// One local time, or a list of them. The result is sorted, without duplicates.
fn daily(object: &mut Object<'_, '_>) -> Option<Vec<LocalTime>> {
    match object.present("daily")? {
        Value::Array(_) => object.filled_list("daily", local_time).map(in_order),
        _ => object.required("daily", local_time).map(|time| vec![time]),
    }
}

fn weekly(object: &mut Object<'_, '_>) -> Option<Rule> {
    let days = days(object, |value| {
        parse_weekday(text(value)?).map_err(|rule| BrokenRule::new(ErrorCode::InvalidValue, rule))
    });
    let at = object.required("at", local_time);
    Some(Rule::Weekly { days: days?, at: at? })
}

fn monthly(object: &mut Object<'_, '_>) -> Option<Rule> {
    let days = days(object, |value| match whole::<i8>(value, -31..=31)? {
        0 => Err(BrokenRule::new(
            ErrorCode::OutOfRange,
            "must be 1 to 31, or -1 (the last day) to -31, got 0",
        )),
        day => Ok(day),
    });
    let at = object.required("at", local_time);
    Some(Rule::Monthly { days: days?, at: at? })
}

/// The list `days`: sorted, without duplicates, at least one.
fn days<T: Ord>(
    object: &mut Object<'_, '_>,
    read: impl Fn(&Value) -> Result<T, BrokenRule>,
) -> Option<Vec<T>> {
    object.required("days", |_value| Ok(()))?;
    object.filled_list("days", read).map(in_order)
}

fn in_order<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    items.sort_unstable();
    items.dedup();
    items
}

/// Refuses a schedule that the engine cannot compute or that has no future tick.
pub(super) fn check_fires(
    body: &mut Object<'_, '_>,
    schedule: &Schedule,
    task_name: &str,
    catch_up: CatchUp,
    ctx: ReadContext<'_>,
) {
    let plan = match Plan::compile(schedule, task_name, ctx.default_zone, ctx.now) {
        Ok(plan) => plan,
        Err(error) => return refuse(body, error),
    };
    if ctx.current == Some(schedule) || schedule.rule == Rule::Manual {
        return;
    }
    let before = Millis(1);
    let from = match schedule.rule {
        Rule::At(at) if at <= ctx.now => {
            let late = ctx.now.since(at);
            if catch_up.policy == CatchUpPolicy::None || late > catch_up.window {
                let days = late.0 / 86_400_000;
                let ago = if days > 0 { format!("{days} d") } else { late.to_string() };
                let message = format!("is past ({ago} ago), and catch_up does not cover that");
                return body
                    .refuse("/schedule/at", BrokenRule::new(ErrorCode::NeverFires, message));
            }
            let settled = if ctx.current.is_some() { ctx.now } else { ctx.settled };
            if at <= settled {
                let message = format!("lies in the past, which is settled up to {settled}");
                return body
                    .refuse("/schedule/at", BrokenRule::new(ErrorCode::NeverFires, message));
            }
            at.minus(before)
        }
        // Its tick is the time of creation.
        Rule::Immediate => ctx.now.minus(before),
        _ => ctx.now,
    };
    if let Some(error) = plan.never_fires(from) {
        refuse(body, error);
    }
}

fn refuse(body: &mut Object<'_, '_>, error: ScheduleError) {
    let place = match error.field {
        "schedule" => "/schedule".to_owned(),
        field => format!("/schedule/{field}"),
    };
    body.refuse(&place, fault(error));
}
