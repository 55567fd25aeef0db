//! When a schedule's ticks are, the slow way: every second is looked at. It shares nothing with the
//! product's own computation but the words of the definition.

use punctual::domain::schedule::{Rule, Schedule};

const SECOND_MS: i64 = 1_000;
const DAY_S: i64 = 86_400;

/// The ticks in `(from, to]`, in milliseconds since 1970; none: a kind of schedule that this oracle
/// does not know.
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
        Rule::Cron(expression) => cron(expression, schedule.timezone.as_deref(), from, to),
        Rule::Daily(times) => {
            let times: Vec<String> = times.iter().map(ToString::to_string).collect();
            let of_day: Option<Vec<i64>> = times.iter().map(|time| second_of_day(time)).collect();
            let (of_day, zone) = (of_day?, schedule.timezone.as_deref());
            seconds(from, to, zone, |local| of_day.contains(&local.rem_euclid(DAY_S)))
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

/// The whole seconds in `(from, to]` whose local second since 1970 fits.
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

/// What local time is ahead, in seconds, where this oracle knows it: the 2026 of two zones.
fn offset(zone: Option<&str>, at: i64) -> Option<i64> {
    // The last Sundays of March and October 2026, 01:00 UTC.
    const SPRING: i64 = 1_774_746_000;
    const AUTUMN: i64 = 1_792_890_000;
    match zone {
        None | Some("UTC") => Some(0),
        Some("Europe/Berlin") if (SPRING..AUTUMN).contains(&at) => Some(7_200),
        Some("Europe/Berlin") => Some(3_600),
        Some(_) => None,
    }
}

/// Cron expressions whose day fields are all `*`, and whose minute or hour begins with one.
fn cron(expression: &str, zone: Option<&str>, from: i64, to: i64) -> Option<Vec<i64>> {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let (second, minute, hour, rest) = match fields.as_slice() {
        [minute, hour, rest @ ..] if rest.len() == 3 => ("0", *minute, *hour, rest),
        [second, minute, hour, rest @ ..] if rest.len() >= 3 => (*second, *minute, *hour, rest),
        _ => return None,
    };
    let plain = rest.iter().all(|field| *field == "*");
    if !plain || !(minute.starts_with('*') || hour.starts_with('*')) {
        return None;
    }
    offset(zone, from)?;
    let (second, minute, hour) = (field(second, 59)?, field(minute, 59)?, field(hour, 23)?);
    seconds(from, to, zone, |local| {
        let day = local.rem_euclid(DAY_S);
        hour.contains(&(day / 3_600))
            && minute.contains(&(day / 60 % 60))
            && second.contains(&(day % 60))
    })
}

/// The values of a field of lists, ranges and steps.
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
    fn what_it_does_not_know_it_says() {
        assert_eq!(ticks(&cron("0 0 3 * * *", None), 0, 0, 1), None);
        assert_eq!(ticks(&cron("* * * * * *", Some("Asia/Tokyo")), 0, 0, 1), None);
    }
}
