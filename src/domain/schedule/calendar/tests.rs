//! Tests of excluded periods. Each period is compared with a second-by-second search.

use super::*;
use crate::domain::schedule::zone;

/// Later than every instant in these tests.
const FAR: Timestamp = crate::domain::time::YEAR_9999;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn rule() -> CalendarRule {
    CalendarRule::default()
}

fn dates(list: &[&str]) -> Vec<Dates> {
    list.iter().map(|text| Dates::parse(text).unwrap()).collect()
}

fn times(list: &[&str]) -> Vec<TimeRange> {
    list.iter().map(|text| TimeRange::parse(text).unwrap()).collect()
}

fn calendar(timezone: Option<&str>, rules: Vec<CalendarRule>) -> Arc<Calendar> {
    let timezone = timezone.map(str::to_owned);
    Arc::new(Calendar { name: "c".to_owned(), description: String::new(), timezone, rules })
}

fn exclusion(timezone: &str, rules: Vec<CalendarRule>) -> Exclusion {
    Exclusion::of([calendar(None, rules)], timezone).unwrap()
}

#[test]
fn entries_are_written_as_they_are_read() {
    for text in ["2026-12-25", "2026-12-24/2027-01-02", "1970-01-01", "1969-12-31/1970-01-01"] {
        assert_eq!(Dates::parse(text).unwrap().to_string(), text);
    }
    for text in ["12-25", "12-24/01-02", "02-29"] {
        assert_eq!(Yearly::parse(text).unwrap().to_string(), text);
    }
    for text in ["09:00/17:30", "22:00/06:00", "22:00:30/24:00", "00:00/24:00"] {
        assert_eq!(TimeRange::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Dates::parse("2026-12-25/2026-12-25").unwrap().to_string(), "2026-12-25");
    assert_eq!(TimeRange::parse("22:00/00:00").unwrap().to_string(), "22:00/24:00");
    for bad in ["", "2026-2-3", "2026-02-30", "2026-02-01/2026-01-31", "2026-02-01/", "+026-01-01"]
    {
        assert!(Dates::parse(bad).is_err(), "{bad}");
    }
    for bad in ["", "1-2", "02-30", "13-01", "00-01", "01-00", "12-24/", "2026-12-24"] {
        assert!(Yearly::parse(bad).is_err(), "{bad}");
    }
    for bad in ["", "09:00", "09:00/09:00", "24:00/01:00", "9:00/10:00", "09:00/25:00"] {
        assert!(TimeRange::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn conditions_of_a_rule_hold_together_and_rules_add_up() {
    let nights = CalendarRule { weekdays: vec![5, 6], times: times(&["22:00/06:00"]), ..rule() };
    let holidays = CalendarRule { yearly: vec![Yearly::parse("12-24/01-01").unwrap()], ..rule() };
    let days = CalendarRule { dates: dates(&["2026-05-01", "2026-05-14/2026-05-15"]), ..rule() };
    let all = exclusion("UTC", vec![nights, holidays, days]);
    for (text, left_out) in [
        ("2026-12-23T23:59:59.999Z", false),
        ("2026-12-24T00:00:00Z", true),
        ("2027-01-01T23:59:59.999Z", true),
        ("2027-01-02T05:59:59.999Z", true),
        ("2026-01-01T10:00:00Z", true),
        ("2026-05-01T00:00:00Z", true),
        ("2026-05-13T23:59:59Z", false),
        ("2026-05-15T23:59:59.999Z", true),
        ("2026-05-16T06:00:00Z", false),
        // Friday 12 June 2026: a night range belongs to the day on which it starts.
        ("2026-06-12T05:59:59Z", false),
        ("2026-06-12T21:59:59.999Z", false),
        ("2026-06-12T22:00:00Z", true),
        ("2026-06-13T05:59:59.999Z", true),
        ("2026-06-13T06:00:00Z", false),
        ("2026-06-14T05:59:59Z", true),
        ("2026-06-14T22:00:00Z", false),
    ] {
        assert_eq!(all.at(at(text)).is_some(), left_out, "{text}");
    }
}

#[test]
fn all_day_is_all_day() {
    let always = exclusion(
        "Asia/Kathmandu",
        vec![CalendarRule { times: times(&["00:00/24:00"]), ..rule() }],
    );
    for hour in 0..48 {
        let at = at("2026-03-01T00:00:00Z").plus(crate::domain::time::Millis(hour * 3_600_000));
        assert!(always.at(at).is_some(), "{at}");
    }
}

#[test]
fn a_calendar_may_have_a_zone_of_its_own() {
    let christmas = CalendarRule { yearly: vec![Yearly::parse("12-25").unwrap()], ..rule() };
    let own = calendar(Some("Asia/Tokyo"), vec![christmas]);
    let exclusion = Exclusion::of([own], "America/New_York").unwrap();
    assert!(exclusion.at(at("2026-12-24T15:00:00Z")).is_some());
    assert!(exclusion.at(at("2026-12-25T15:00:00Z")).is_none());
    let nowhere = calendar(Some("Mars/Olympus"), vec![]);
    assert_eq!(Exclusion::of([nowhere], "UTC").unwrap_err().code.as_str(), "unknown_timezone");
}

#[test]
fn a_stretch_ends_where_a_walk_by_the_second_sees_it_change() {
    let rules = vec![
        CalendarRule { weekdays: vec![0, 6], ..rule() },
        CalendarRule { times: times(&["01:30/02:30", "23:15/00:15:30"]), ..rule() },
        CalendarRule {
            dates: dates(&["2026-03-09/2026-03-11"]),
            times: times(&["09:00/17:00"]),
            ..rule()
        },
    ];
    // Gaps, folds, a gap at midnight, a half-hour change, and a day that does not exist.
    for (zone, from) in [
        ("America/New_York", "2026-03-07T12:00:00Z"),
        ("America/New_York", "2026-10-31T12:00:00Z"),
        ("Africa/Cairo", "2026-04-23T12:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T00:00:00Z"),
        ("Pacific/Apia", "2011-12-29T00:00:00Z"),
        ("UTC", "2026-06-12T00:00:00Z"),
    ] {
        let exclusion = exclusion(zone, rules.clone());
        let mut stretch = exclusion.stretch(at(from), FAR);
        let begin = at(from).0 / 1_000;
        for second in begin..begin + 3 * 86_400 {
            let now = Timestamp(second * 1_000);
            if now > stretch.last {
                assert_eq!(now.0, stretch.last.0 + 1, "{zone} {now}");
                let former = stretch.calendar.is_some();
                stretch = exclusion.stretch(now, FAR);
                assert_ne!(stretch.calendar.is_some(), former, "{zone} {now}");
            }
            assert_eq!(exclusion.at(now).is_some(), stretch.calendar.is_some(), "{zone} {now}");
        }
    }
}

#[test]
fn a_long_stretch_is_told_in_parts() {
    let ages = CalendarRule { dates: dates(&["2020-01-01/2200-01-01"]), ..rule() };
    let exclusion = exclusion("Europe/Berlin", vec![ages]);
    let from = at("2026-01-01T00:00:00Z");
    let stretch = exclusion.stretch(from, FAR);
    assert!(stretch.calendar.is_some());
    assert!(stretch.last > from.plus(crate::domain::time::Millis::from_secs(399 * 86_400)));
    let soon = from.plus(crate::domain::time::Millis(86_400_000 * 3 + 5));
    assert_eq!(exclusion.stretch(from, soon).last, soon);
    assert!(Exclusion::default().stretch(from, FAR).calendar.is_none());
}

#[test]
fn a_day_that_a_zone_leaves_out_is_no_day() {
    // Apia had no 30 December 2011.
    let day = CalendarRule { dates: dates(&["2011-12-30"]), ..rule() };
    let exclusion = exclusion("Pacific/Apia", vec![day]);
    let stretch = exclusion.stretch(at("2011-12-28T00:00:00Z"), FAR);
    assert!(stretch.calendar.is_none() && stretch.last > at("2012-06-01T00:00:00Z"));
    assert_eq!(zone::canonical("pacific/apia").unwrap(), "Pacific/Apia");
}
