//! A second implementation of the schedule contract that shares no code with the first. It walks
//! the days, checks every second of a matching day, and queries the zone library for each local
//! time.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};

/// Policy for local times that do not exist or exist twice. `None`: the schedule follows elapsed
/// time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) shift: bool,
    pub(super) first: bool,
    pub(super) second: bool,
}

/// An expression of 5 to 7 fields without `H`, in a zone.
pub(super) struct Brute {
    /// From seconds to years.
    fields: [String; 7],
    seconds_of_day: Vec<i64>,
    months: BTreeSet<i64>,
    years: Option<BTreeSet<i64>>,
    zone: TimeZone,
    policy: Option<Policy>,
}

impl Brute {
    pub(super) fn new(expression: &str, zone: &str, policy: Policy) -> Self {
        let mut parts: Vec<String> =
            expression.split(' ').map(|part| part.to_uppercase()).collect();
        if parts.len() == 5 {
            parts.insert(0, "0".to_owned());
        }
        if parts.len() == 6 {
            parts.push("*".to_owned());
        }
        let fields: [String; 7] = parts.try_into().unwrap();
        let [s, m, h] = [(0, 59), (1, 59), (2, 23)].map(|(i, max)| expand(&fields[i], 0, max));
        let seconds_of_day = (0..86_400)
            .filter(|t| {
                s.contains(&(t % 60)) && m.contains(&(t / 60 % 60)) && h.contains(&(t / 3_600))
            })
            .collect();
        let elapsed = fields[1].starts_with('*') || fields[2].starts_with('*');
        Self {
            seconds_of_day,
            months: expand(&fields[4], 1, 12),
            years: (fields[6] != "*").then(|| expand(&fields[6], 1970, 9999)),
            fields,
            zone: TimeZoneDatabase::bundled().get(zone).unwrap(),
            policy: (!elapsed).then_some(policy),
        }
    }

    /// Ticks after an instant: the first `count`, or those within `days` days.
    pub(super) fn after(&self, after: i64, count: usize, days: i64) -> (Vec<i64>, i64) {
        let around = self.zone.to_datetime(Timestamp::from_second(after).unwrap());
        let mut found = BTreeSet::new();
        let mut gaps = BTreeMap::new();
        let mut date = around.date();
        let midnight = seconds(date.at(0, 0, 0, 0)) - seconds(around) + after;
        for _ in 0..2 {
            date = date.yesterday().unwrap();
        }
        for day in -2..days {
            // A local midnight differs from this count of days by at most one day.
            let settled = midnight + (day - 2) * 86_400;
            if found.range(..settled).count() >= count {
                return (found.into_iter().take(count).collect(), settled);
            }
            if self.day(date) {
                for second in &self.seconds_of_day {
                    let (hour, rest) = (second / 3_600, second % 3_600);
                    let [h, m, s] = [hour, rest / 60, rest % 60].map(|n| i8::try_from(n).unwrap());
                    for tick in self.instants(date.at(h, m, s, 0), &mut gaps) {
                        if tick > after {
                            found.insert(tick);
                        }
                    }
                }
            }
            date = date.tomorrow().unwrap();
        }
        let settled = midnight + (days - 2) * 86_400;
        (found.range(..settled).copied().take(count).collect(), settled)
    }

    fn instants(&self, local: DateTime, gaps: &mut BTreeMap<(i32, i32), i64>) -> Vec<i64> {
        let wall = seconds(local);
        match (self.zone.to_ambiguous_timestamp(local).offset(), self.policy) {
            (AmbiguousOffset::Unambiguous { offset }, _) => {
                vec![wall - i64::from(offset.seconds())]
            }
            (AmbiguousOffset::Gap { .. }, None) => vec![],
            (AmbiguousOffset::Gap { .. }, Some(policy)) if !policy.shift => vec![],
            (AmbiguousOffset::Gap { before, after }, Some(_)) => {
                let (before, after) = (before.seconds(), after.seconds());
                let earliest = wall - i64::from(after);
                let latest = wall - i64::from(before);
                match gaps.get(&(before, after)) {
                    Some(end) if (earliest..=latest).contains(end) => vec![*end],
                    _ => {
                        let end = self.first_reading_later(local, earliest, latest);
                        gaps.insert((before, after), end);
                        vec![end]
                    }
                }
            }
            (AmbiguousOffset::Fold { before, after }, policy) => {
                let both = Policy { shift: false, first: true, second: true };
                let policy = policy.unwrap_or(both);
                let first = policy.first.then(|| wall - i64::from(before.seconds()));
                let second = policy.second.then(|| wall - i64::from(after.seconds()));
                first.into_iter().chain(second).collect()
            }
        }
    }

    /// The first instant whose local time is later than the nonexistent local time `local`.
    fn first_reading_later(&self, local: DateTime, mut low: i64, mut high: i64) -> i64 {
        let later = |at: i64| self.zone.to_datetime(Timestamp::from_second(at).unwrap()) > local;
        assert!(!later(low - 1) && later(high));
        while low < high {
            let middle = low + (high - low) / 2;
            if later(middle) { high = middle } else { low = middle + 1 }
        }
        low
    }

    fn day(&self, date: Date) -> bool {
        let in_year = self.years.as_ref().is_none_or(|y| y.contains(&i64::from(date.year())));
        if !in_year || !self.months.contains(&i64::from(date.month())) {
            return false;
        }
        let [day_field, weekday_field] = [&self.fields[3], &self.fields[5]];
        let by_day = day_field.split(',').any(|item| day_item(item, date));
        let by_weekday = weekday_field.split(',').any(|item| weekday_item(item, date));
        if day_field.starts_with(['*', '?']) || weekday_field.starts_with(['*', '?']) {
            by_day && by_weekday
        } else {
            by_day || by_weekday
        }
    }
}

fn seconds(local: DateTime) -> i64 {
    local.to_zoned(TimeZone::UTC).unwrap().timestamp().as_second()
}

fn is_workday(date: Date) -> bool {
    (1..=5).contains(&date.weekday().to_monday_one_offset())
}

fn day_item(item: &str, date: Date) -> bool {
    let last = date.last_of_month();
    if item == "LW" {
        let mut day = last;
        while !is_workday(day) {
            day = day.yesterday().unwrap();
        }
        return day == date;
    }
    if let Some(back) = item.strip_prefix("L-") {
        return date.day() == last.day() - back.parse::<i8>().unwrap();
    }
    if let Some(day) = item.strip_suffix('W') {
        let day = day.parse::<i8>().unwrap();
        let near = [0, -1, 1, -2, 2].map(|by| Date::new(date.year(), date.month(), day + by));
        return day <= last.day()
            && near.into_iter().flatten().find(|day| is_workday(*day)) == Some(date);
    }
    match item {
        "L" => date == last,
        "?" => true,
        _ => expand(item, 1, 31).contains(&i64::from(date.day())),
    }
}

fn weekday_item(item: &str, date: Date) -> bool {
    let weekday = i64::from(date.weekday().to_sunday_zero_offset());
    if let Some((day, nth)) = item.split_once('#') {
        return value(day, 0) % 7 == weekday
            && (date.day() - 1) / 7 + 1 == nth.parse::<i8>().unwrap();
    }
    if let Some(day) = item.strip_suffix('L') {
        return value(day, 0) % 7 == weekday && date.day() + 7 > date.days_in_month();
    }
    match item {
        "?" => true,
        "0-7/2" => [0, 2, 4, 6].contains(&weekday),
        _ => expand(item, 0, 6).contains(&weekday),
    }
}

fn value(text: &str, min: i64) -> i64 {
    let months =
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
    let days = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
    text.parse().unwrap_or_else(|_| {
        let names: &[&str] = if min == 1 { &months } else { &days };
        min + i64::try_from(names.iter().position(|name| text.starts_with(name)).unwrap()).unwrap()
    })
}

/// The numbers of a field that has no items depending on the month.
fn expand(field: &str, min: i64, max: i64) -> BTreeSet<i64> {
    let mut out = BTreeSet::new();
    for item in field.split(',') {
        let (range, step) = item.split_once('/').unwrap_or((item, ""));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((from, to)) => (value(from, min), value(to, min)),
            None if step.is_empty() => (value(range, min), value(range, min)),
            None => (value(range, min), max),
        };
        let sunday = |day: i64| if max == 6 && day == 7 { 0 } else { day };
        let (mut at, to) = (sunday(from), sunday(to));
        let step = step.parse().unwrap_or(1);
        for walked in 0.. {
            if walked % step == 0 {
                out.insert(at);
            }
            if at == to {
                break;
            }
            at = if at == max { min } else { at + 1 };
        }
    }
    out
}
