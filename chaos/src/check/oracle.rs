//! A slow schedule implementation that checks every second. It shares only the definition types
//! with the product's implementation.

use punctual::domain::schedule::calendar::Calendar;
use punctual::domain::schedule::{Fold, Gap, Rule, Schedule};

const SECOND_MS: i64 = 1_000;
const DAY_S: i64 = 86_400;
const HOUR_S: i64 = 3_600;

/// The ticks in `(from, to]`, in milliseconds since 1970. `None` if the oracle does not support the
/// kind of schedule.
pub fn ticks(schedule: &Schedule, set_at: i64, from: i64, to: i64) -> Option<Vec<i64>> {
    let once = |tick: i64| Some(if from < tick && tick <= to { vec![tick] } else { Vec::new() });
    match &schedule.rule {
        Rule::Interval { every, anchor } => {
            let every = i64::try_from(every.0).ok()?;
            let (anchor, least) = anchor.map_or((set_at, 1), |anchor| (anchor.0, 0));
            let mut k = ((from - anchor).div_euclid(every) + 1).max(least);
            let mut found = Vec::new();
            while anchor + k * every <= to {
                found.push(anchor + k * every);
                k += 1;
            }
            Some(found)
        }
        Rule::At(at) => once(at.0),
        Rule::Delay(delay) => once(set_at + i64::try_from(delay.0).ok()?),
        Rule::Immediate => once(set_at),
        Rule::Manual => Some(Vec::new()),
        Rule::Cron(expression) => cron(expression, schedule, from, to),
        Rule::Daily(times) => {
            let times: Vec<String> = times.iter().map(ToString::to_string).collect();
            let of_day: Option<Vec<i64>> = times.iter().map(|time| second_of_day(time)).collect();
            let of_day = of_day?;
            fixed(schedule, from, to, |local| of_day.contains(&local.rem_euclid(DAY_S)))
        }
        Rule::Weekly { .. } | Rule::Monthly { .. } => None,
    }
}

fn second_of_day(time: &str) -> Option<i64> {
    let mut parts = time.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = match parts.next() {
        Some(second) => second?,
        None => 0,
    };
    Some(hour * 3_600 + minute * 60 + second)
}

/// The whole seconds in `(from, to]` whose local second since 1970 matches.
fn seconds(from: i64, to: i64, zone: Option<&str>, fits: impl Fn(i64) -> bool) -> Option<Vec<i64>> {
    let mut found = Vec::new();
    let mut at = from.div_euclid(SECOND_MS) + 1;
    while at * SECOND_MS <= to {
        if fits(at + offset(zone, at)?) {
            found.push(at * SECOND_MS);
        }
        at += 1;
    }
    Some(found)
}

/// The ticks in `(from, to]` at fixed local times. The schedule's policies apply to local times
/// that a clock change skips or repeats.
fn fixed(schedule: &Schedule, from: i64, to: i64, fits: impl Fn(i64) -> bool) -> Option<Vec<i64>> {
    let zone = schedule.timezone.as_deref();
    let changes = zone == Some("Europe/Berlin");
    let mut found = Vec::new();
    let mut at = from.div_euclid(SECOND_MS) + 1;
    while at * SECOND_MS <= to {
        let local = at + offset(zone, at)?;
        let gap_ends = changes && at == SPRING && schedule.dst.gap == Gap::Shift;
        let stands = gap_ends && (local - HOUR_S..local).any(&fits);
        let repeated = changes && (AUTUMN + HOUR_S..AUTUMN + 2 * HOUR_S).contains(&local);
        let pass = match schedule.dst.fold {
            Fold::First => at < AUTUMN,
            Fold::Second => at >= AUTUMN,
            Fold::Both => true,
        };
        if stands || (fits(local) && (!repeated || pass)) {
            found.push(at * SECOND_MS);
        }
        at += 1;
    }
    Some(found)
}

/// Whether there is a clock change in `(from, to]`.
pub fn crosses(schedule: &Schedule, from: i64, to: i64) -> bool {
    let zone = schedule.timezone.as_deref() == Some("Europe/Berlin");
    zone && [SPRING, AUTUMN].iter().any(|change| from < change * 1_000 && change * 1_000 <= to)
}

/// Whether a calendar excludes a tick. `None` if the oracle does not support the calendar.
pub fn excluded(calendar: &Calendar, tick: i64) -> Option<bool> {
    let known = calendar.timezone.as_deref() == Some("UTC")
        && calendar.rules.iter().all(|rule| {
            rule.dates.is_empty() && rule.yearly.is_empty() && rule.weekdays.is_empty()
        });
    let second = tick.div_euclid(SECOND_MS).rem_euclid(DAY_S);
    let times = || calendar.rules.iter().flat_map(|rule| &rule.times);
    known.then(|| times().any(|one| (i64::from(one.from.0)..i64::from(one.to.0)).contains(&second)))
}

/// The clock changes on the last Sundays of March and October 2026, 01:00 UTC.
const SPRING: i64 = 1_774_746_000;
const AUTUMN: i64 = 1_792_890_000;

/// The offset of local time from UTC in seconds, for the supported zones in 2026.
fn offset(zone: Option<&str>, at: i64) -> Option<i64> {
    match zone {
        None | Some("UTC") => Some(0),
        Some("Europe/Berlin") if (SPRING..AUTUMN).contains(&at) => Some(7_200),
        Some("Europe/Berlin") => Some(3_600),
        Some(_) => None,
    }
}

/// Cron expressions whose day fields are all `*`.
fn cron(expression: &str, schedule: &Schedule, from: i64, to: i64) -> Option<Vec<i64>> {
    let zone = schedule.timezone.as_deref();
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let (second, minute, hour, rest) = match fields.as_slice() {
        [minute, hour, rest @ ..] if rest.len() == 3 => ("0", *minute, *hour, rest),
        [second, minute, hour, rest @ ..] if rest.len() >= 3 => (*second, *minute, *hour, rest),
        _ => return None,
    };
    let plain = rest.iter().all(|field| *field == "*");
    if !plain {
        return None;
    }
    offset(zone, from)?;
    let elapsed = minute.starts_with('*') || hour.starts_with('*');
    let (second, minute, hour) = (field(second, 59)?, field(minute, 59)?, field(hour, 23)?);
    let fits = |local: i64| {
        let day = local.rem_euclid(DAY_S);
        hour.contains(&(day / 3_600))
            && minute.contains(&(day / 60 % 60))
            && second.contains(&(day % 60))
    };
    if elapsed { seconds(from, to, zone, fits) } else { fixed(schedule, from, to, fits) }
}

/// The values of a field that consists of lists, ranges and steps.
fn field(text: &str, most: i64) -> Option<Vec<i64>> {
    let mut values = Vec::new();
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok()?),
            None => (part, 1),
        };
        let (low, high) = match range.split_once('-') {
            Some((low, high)) => (low.parse().ok()?, high.parse().ok()?),
            None if range == "*" => (0, most),
            None => {
                let low: i64 = range.parse().ok()?;
                (low, if part.contains('/') { most } else { low })
            }
        };
        let mut value: i64 = low;
        while value <= high && step > 0 {
            values.push(value);
            value += step;
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use punctual::domain::time::{Millis, Timestamp};

    use super::*;

    fn cron(text: &str, zone: Option<&str>) -> Schedule {
        let timezone = zone.map(str::to_owned);
        Schedule { timezone, ..Schedule::of(Rule::Cron(text.to_owned())) }
    }

    #[test]
    fn intervals_count_from_their_anchor_or_from_after_their_command() {
        let every = Millis(1_000);
        let free = Schedule::of(Rule::Interval { every, anchor: None });
        assert_eq!(ticks(&free, 500, 0, 2_600), Some(vec![1_500, 2_500]));
        let anchored = Schedule::of(Rule::Interval { every, anchor: Some(Timestamp(1_000)) });
        assert_eq!(ticks(&anchored, 9, 0, 2_600), Some(vec![1_000, 2_000]));
    }

    #[test]
    fn cron_fields_are_lists_ranges_and_steps() {
        let all = ticks(&cron("5-50/20 * * * * *", None), 0, 0, 60_000);
        assert_eq!(all, Some(vec![5_000, 25_000, 45_000]));
        let hours = ticks(&cron("0 0 */6 * * *", None), 0, 0, 86_400_000);
        assert_eq!(hours.map(|found| found.len()), Some(4));
    }

    #[test]
    fn a_wildcard_rule_passes_over_nothing_when_clocks_change() {
        let change = 1_774_746_000_000;
        let schedule = cron("0 * * * * *", Some("Europe/Berlin"));
        let found = ticks(&schedule, 0, change - 120_000, change + 120_000);
        assert_eq!(found.map(|found| found.len()), Some(4));
    }

    #[test]
    fn fixed_times_go_by_the_policies() {
        let half_past = |gap, fold| {
            let mut schedule = cron("0 30 2 * * *", Some("Europe/Berlin"));
            schedule.dst = punctual::domain::schedule::Dst { gap, fold };
            schedule
        };
        let around = |schedule: &Schedule, change: i64| {
            let (from, to) = ((change - 7_200) * 1_000, (change + 7_200) * 1_000);
            let found = ticks(schedule, 0, from, to).unwrap();
            found.iter().map(|tick| tick / 1_000 - change).collect::<Vec<_>>()
        };
        assert_eq!(around(&half_past(Gap::Shift, Fold::First), SPRING), [0]);
        assert!(around(&half_past(Gap::Skip, Fold::First), SPRING).is_empty());
        assert_eq!(around(&half_past(Gap::Shift, Fold::First), AUTUMN), [-1_800]);
        assert_eq!(around(&half_past(Gap::Shift, Fold::Second), AUTUMN), [1_800]);
        assert_eq!(around(&half_past(Gap::Shift, Fold::Both), AUTUMN), [-1_800, 1_800]);
    }

    #[test]
    fn what_it_does_not_know_it_says() {
        assert_eq!(ticks(&cron("0 0 3 1 * *", None), 0, 0, 1), None);
        assert_eq!(ticks(&cron("* * * * * *", Some("Asia/Tokyo")), 0, 0, 1), None);
    }
}
