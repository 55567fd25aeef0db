//! Describes a schedule in English.

use crate::domain::schedule::{LocalTime, Rule, Schedule, weekday_name};

/// Maximum number of times of day that are listed individually.
const TIMES_MAX: usize = 6;

/// The description of a schedule: a sentence without a full stop.
pub(crate) fn describe(schedule: &Schedule, default_zone: &str) -> String {
    let mut out = match &schedule.rule {
        Rule::Cron(text) => cron(text),
        Rule::Interval { every, anchor: None } => format!("every {every}"),
        Rule::Interval { every, anchor: Some(anchor) } => {
            format!("every {every}, counted from {anchor}")
        }
        Rule::Daily(times) => format!("every day at {}", and(times)),
        Rule::Weekly { days, at } => format!("every {} at {at}", and(&weekdays(days))),
        Rule::Monthly { days, at } => {
            let days: Vec<String> = days.iter().map(|day| month_day(*day)).collect();
            format!("on {} of every month at {at}", and(&days))
        }
        Rule::At(at) => format!("once, at {at}"),
        Rule::Delay(delay) => format!("once, {delay} after it is set"),
        Rule::Immediate => "once, at the moment of creation".to_owned(),
        Rule::Manual => "only by trigger or by a caller's claim".to_owned(),
    };
    if let Some(zone) = schedule.local_zone(default_zone) {
        out.push_str(&format!(", {zone} time"));
    }
    if let Some(jitter) = schedule.jitter {
        out.push_str(&format!(", up to {jitter} later"));
    }
    if let Some(from) = schedule.not_before {
        out.push_str(&format!(", not before {from}"));
    }
    if let Some(until) = schedule.not_after {
        out.push_str(&format!(", not after {until}"));
    }
    if let Some(max) = schedule.max_ticks {
        out.push_str(&format!(", {max} times at most"));
    }
    if !schedule.exclude.is_empty() {
        out.push_str(&format!(", without calendar {}", and(&schedule.exclude)));
    }
    out
}

/// The seven fields of a cron text, starting with the second. Omitted fields get their defaults.
pub(crate) fn fields(text: &str) -> [&str; 7] {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    match words[..] {
        [minute, hour, day, month, weekday] => ["0", minute, hour, day, month, weekday, "*"],
        [second, minute, hour, day, month, weekday] => {
            [second, minute, hour, day, month, weekday, "*"]
        }
        [second, minute, hour, day, month, weekday, year] => {
            [second, minute, hour, day, month, weekday, year]
        }
        _ => ["?"; 7],
    }
}

/// Fields for the description: a step that selects only the first value is replaced by that value.
pub(crate) fn told(fields: [&str; 7]) -> [&str; 7] {
    /// First value of each field, and the distance to its last value.
    const FIELDS: [(&str, u32); 7] =
        [("0", 59), ("0", 59), ("0", 23), ("1", 30), ("1", 11), ("0", 6), ("1970", 8_029)];
    let mut told = fields;
    for (field, (first, width)) in told.iter_mut().zip(FIELDS) {
        let step = field.strip_prefix("*/").and_then(|step| step.parse::<u32>().ok());
        if step.is_some_and(|step| step > width) {
            *field = first;
        }
    }
    told
}

/// Whether a match of one of the two day fields is enough. Otherwise both must match.
pub(crate) fn either_day(fields: [&str; 7]) -> bool {
    let [_, _, _, day, _, weekday, _] = fields;
    !day.starts_with('*') && !weekday.starts_with('*')
}

fn cron(text: &str) -> String {
    let written = fields(text);
    let [second, minute, hour, day, month, weekday, year] = told(written);
    let mut parts = vec![time(second, minute, hour)];
    let wild = |field: &str| matches!(field, "*" | "?");
    match (wild(day), wild(weekday)) {
        (true, true) => {
            if parts.iter().any(|part| part.starts_with("at ")) && wild(month) {
                parts.push("every day".to_owned());
            }
        }
        (false, true) => parts.push(days(day)),
        (true, false) => parts.push(format!("on {}", list(weekday, long_weekday))),
        (false, false) => {
            let joint = if either_day(written) { "or" } else { "and" };
            let weekday = list(weekday, long_weekday);
            parts.push(format!("{} {joint} on {weekday}", days(day)));
        }
    }
    if !wild(month) {
        parts.push(format!("in {}", list(month, long_month)));
    }
    if !wild(year) {
        parts.push(format!("in the year {}", list(year, str::to_owned)));
    }
    parts.join(", ")
}

fn days(day: &str) -> String {
    match day {
        "L" => "on the last day of the month".to_owned(),
        "LW" => "on the last workday of the month".to_owned(),
        _ => match step("day", day) {
            Some(text) => text,
            None if day.contains(['L', 'W']) => {
                let items: Vec<String> = day.split(',').map(day_item).collect();
                format!("on {}", and(&items))
            }
            None => format!("on day {} of the month", list(day, str::to_owned)),
        },
    }
}

/// An item of a day field with items that depend on the month.
fn day_item(item: &str) -> String {
    if let Some(before) = item.strip_prefix("L-") {
        return format!("{before} days before the last day of the month");
    }
    match (item, item.strip_suffix('W')) {
        ("L", _) => "the last day of the month".to_owned(),
        ("LW", _) => "the last workday of the month".to_owned(),
        (_, Some(day)) => format!("the workday nearest to day {day} of the month"),
        _ => format!("day {} of the month", list(item, str::to_owned)),
    }
}

/// The times of day given by second, minute and hour, if there are only a few.
pub(crate) fn times_of_day(second: &str, minute: &str, hour: &str) -> Option<Vec<LocalTime>> {
    let number = |text: &str| text.parse::<u32>().ok();
    let (second, minute) = (number(second)?, number(minute)?);
    let hours: Vec<u32> = hour.split(',').map(number).collect::<Option<_>>()?;
    let time = |hour: &u32| LocalTime(hour * 3_600 + minute * 60 + second);
    (hours.len() <= TIMES_MAX).then(|| hours.iter().map(time).collect())
}

/// Second, minute and hour, as times of day if possible, otherwise field by field.
fn time(second: &str, minute: &str, hour: &str) -> String {
    if let Some(times) = times_of_day(second, minute, hour) {
        return format!("at {}", and(&times));
    }
    let mut parts = Vec::new();
    if second != "0" {
        parts.push(unit("second", second));
    }
    if second == "0" || minute != "*" {
        parts.push(unit("minute", minute));
    }
    if hour != "*" {
        parts.push(unit("hour", hour));
    }
    parts.join(" of ")
}

fn unit(unit: &str, field: &str) -> String {
    match step(unit, field) {
        Some(text) => text,
        None => {
            let many = if field.contains([',', '-']) { "s" } else { "" };
            format!("{unit}{many} {}", list(field, str::to_owned))
        }
    }
}

/// Describes `*` and `*/n`.
fn step(unit: &str, field: &str) -> Option<String> {
    if field == "*" {
        return Some(format!("every {unit}"));
    }
    let step = field.strip_prefix("*/")?;
    step.parse::<u32>().ok().map(|step| format!("every {step} {unit}s"))
}

/// The items of a field. `name` formats each value; anything else is kept as written.
fn list(field: &str, name: impl Fn(&str) -> String) -> String {
    let item = |item: &str| match item.split_once('-') {
        Some((from, to)) if !from.contains('(') && from != "L" => {
            let (to, step) = to.split_once('/').unwrap_or((to, ""));
            let step = if step.is_empty() { String::new() } else { format!(" by {step}") };
            format!("{} to {}{step}", name(from), name(to))
        }
        _ => name(item),
    };
    let items: Vec<String> = field.split(',').map(item).collect();
    and(&items)
}

fn weekdays(days: &[u8]) -> Vec<String> {
    days.iter().filter_map(|day| weekday_name(*day)).map(long_weekday).collect()
}

fn long_weekday(text: &str) -> String {
    const LONG: [(&str, &str, &str); 8] = [
        ("0", "sun", "Sunday"),
        ("1", "mon", "Monday"),
        ("2", "tue", "Tuesday"),
        ("3", "wed", "Wednesday"),
        ("4", "thu", "Thursday"),
        ("5", "fri", "Friday"),
        ("6", "sat", "Saturday"),
        ("7", "sun", "Sunday"),
    ];
    let lower = text.to_ascii_lowercase();
    if let Some((day, nth)) = lower.split_once('#') {
        return format!("{} number {nth} of the month", long_weekday(day));
    }
    if let Some(day) = lower.strip_suffix('l').filter(|day| !day.is_empty()) {
        return format!("the last {} of the month", long_weekday(day));
    }
    let found = LONG.iter().find(|(number, short, _)| *number == lower || *short == lower);
    found.map_or_else(|| text.to_owned(), |(.., long)| (*long).to_owned())
}

fn long_month(text: &str) -> String {
    const LONG: [(&str, &str); 12] = [
        ("jan", "January"),
        ("feb", "February"),
        ("mar", "March"),
        ("apr", "April"),
        ("may", "May"),
        ("jun", "June"),
        ("jul", "July"),
        ("aug", "August"),
        ("sep", "September"),
        ("oct", "October"),
        ("nov", "November"),
        ("dec", "December"),
    ];
    let lower = text.to_ascii_lowercase();
    let number = lower.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    let found = match number {
        Some(at) => LONG.get(at),
        None => LONG.iter().find(|(short, _)| *short == lower),
    };
    found.map_or_else(|| text.to_owned(), |(_, long)| (*long).to_owned())
}

fn month_day(day: i8) -> String {
    match day {
        -1 => "the last day".to_owned(),
        ..0 => format!("day {} before the last", -1 - i16::from(day)),
        _ => format!("day {day}"),
    }
}

/// Joins items: `a, b and c`.
fn and(items: &[impl ToString]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    match items.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::parse_cron;

    #[test]
    fn crontabs_read_as_sentences() {
        for (text, words) in [
            ("*/5 * * * *", "every 5 minutes"),
            ("0 2 * * *", "at 02:00, every day"),
            ("30 9,14 * * MON-FRI", "at 09:30 and 14:30, on Monday to Friday"),
            ("*/10 * * * * *", "every 10 seconds"),
            ("0 9-17 * * *", "minute 0 of hours 9 to 17"),
            ("0 0 1 1 *", "at 00:00, on day 1 of the month, in January"),
            ("0 0 13 * FRI", "at 00:00, on day 13 of the month or on Friday"),
            ("0 0 L * *", "at 00:00, on the last day of the month"),
            ("0 0 * * FRI#2", "at 00:00, on Friday number 2 of the month"),
            ("0 0 */2 * MON", "at 00:00, every 2 days and on Monday"),
            ("H H * * *", "minute H of hour H"),
            ("0 9 15W * *", "at 09:00, on the workday nearest to day 15 of the month"),
            (
                "0 9 L-3,1 * *",
                "at 09:00, on 3 days before the last day of the month and day 1 of the month",
            ),
            ("* * * * *", "every minute"),
            ("* * * * * *", "every second"),
            ("*/59 * * * *", "every 59 minutes"),
            ("*/60 * * * *", "minute 0"),
            ("30 */24 * * *", "at 00:30, every day"),
            ("0 0 */32 * MON", "at 00:00, on day 1 of the month and on Monday"),
            ("0 0 1 */13 *", "at 00:00, on day 1 of the month, in January"),
            ("0 0 * * */8", "at 00:00, on Sunday"),
        ] {
            let (rule, _zone) = parse_cron(text).unwrap();
            let words = format!("{words}, UTC time");
            assert_eq!(describe(&Schedule::of(rule), "UTC"), words, "{text}");
        }
    }
}
