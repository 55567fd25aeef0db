//! Bounds, errors, counts, and schedules that tick once or never.

use super::sample::ZONES;
use super::*;

#[test]
fn the_tick_before_an_instant_is_found() {
    let of = |rule| plan(&Schedule::of(rule));
    let minutely = of(Rule::Interval { every: Millis::from_secs(60), anchor: None });
    let (first, second) = (at("2020-01-01T00:01:00Z"), at("2020-01-01T00:02:00Z"));
    assert_eq!(minutely.last_before(first), None);
    assert_eq!(minutely.last_before(first.plus(Millis(1))), Some(first));
    assert_eq!(minutely.last_before(second), Some(first));
    let once = of(Rule::At(at("2026-05-05T05:05:05.005Z")));
    assert_eq!(once.last_before(at("2080-01-01T00:00:00Z")), Some(at("2026-05-05T05:05:05.005Z")));
    assert_eq!(once.last_before(at("2026-05-05T05:05:05.005Z")), None);
    assert_eq!(of(Rule::Manual).last_before(at("2026-01-01T00:00:00Z")), None);
    let leap = plan(&cron_in("0 0 29 2 *", "UTC"));
    assert_eq!(leap.last_before(at("2026-01-01T00:00:00Z")), Some(at("2024-02-29T00:00:00Z")));
}

fn compile(schedule: &Schedule) -> Result<Plan, ScheduleError> {
    Plan::compile(schedule, "task", "UTC", at("2026-01-01T00:00:00Z"))
}

fn interval(every: &str, anchor: Option<&str>) -> Schedule {
    let every = Millis::parse(every).unwrap();
    Schedule::of(Rule::Interval { every, anchor: anchor.map(at) })
}

#[test]
fn no_search_takes_more_than_50_000_steps() {
    let rare = [
        "0 0 30 2 *",
        "0 0 31 2,4,6,9,11 *",
        "0 0 29 2 *",
        "0 0 29 2 SUN,*/7",
        "0 0 */29 2 MON",
        "0 0 */31 * */7",
        "59 59 23 31 12 ? 9999",
        "0 0 0 1 1 ? 1970",
        "0 0 0 29 2 ? 2001/2",
        "0 0 31W 2 *",
        "0 0 L-30 2 *",
        "0 0 */2,31W 2 SUN#5,*",
        "0 0 ? 2 SUN#5",
        "30 2 8-14 3 *",
        "30 2 ? 3 SUN#2",
        "* * * * * *",
        "30 0 ? 3 SUNL",
        "0,1,2,3,4,5,58 2 */30 2 7",
    ];
    let starts = [
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2026-03-08T06:59:59Z",
        "2011-12-30T09:59:59Z",
        "2099-12-31T00:00:00Z",
        "9990-06-01T00:00:00Z",
    ];
    let mut most = 0;
    for text in rare {
        for zone in ZONES {
            for gap in [Gap::Shift, Gap::Skip] {
                let dst = Dst { gap, fold: Fold::Second };
                let plan = plan(&Schedule { dst, ..cron_in(text, zone) });
                for start in starts {
                    let (tick, steps) = plan.next_after_counted(at(start));
                    assert!(steps <= 50_000, "{text} in {zone} from {start}: {steps}");
                    assert!(tick.is_none_or(|tick| tick > at(start)));
                    most = most.max(steps);
                }
            }
        }
    }
    assert!(most > 100, "the worst case was not met: {most}");
}

#[test]
fn instants_at_the_edges_of_time_do_no_harm() {
    let schedules = [
        cron_in("* * * * * *", "Pacific/Apia"),
        cron_in("0 0 1 1 *", "America/New_York"),
        interval("100ms", None),
        interval("36525d", Some("9999-12-30T00:00:00Z")),
        Schedule::of(Rule::At(Timestamp(i64::MAX))),
        Schedule::of(Rule::Immediate),
        Schedule::of(Rule::Manual),
        Schedule { jitter: Some(Millis(u64::MAX)), ..interval("1s", None) },
    ];
    for schedule in schedules {
        for set_at in [i64::MIN, -1, i64::MAX] {
            let Ok(plan) = Plan::compile(&schedule, "", "UTC", Timestamp(set_at)) else { continue };
            for after in [i64::MIN, -62_167_219_200_001, -1, 253_402_300_799_999, i64::MAX] {
                let after = Timestamp(after);
                assert!(plan.next_after(after).is_none_or(|tick| tick > after));
                let _ = plan.next_noted(after);
                let _ = plan.never_fires(after);
                let _ = plan.due(after);
                let _ = plan.count_between(after, Timestamp(i64::MAX), 3);
            }
        }
    }
}

#[test]
fn refusals_name_field_and_code() {
    let nine = LocalTime(32_400);
    let of = Schedule::of;
    let manual = || of(Rule::Manual);
    for (schedule, field, code) in [
        (interval("99ms", None), "interval", "invalid_interval"),
        (interval("36526d", None), "interval", "invalid_interval"),
        (
            of(Rule::Interval { every: Millis(1_000), anchor: Some(Timestamp(i64::MIN)) }),
            "anchor",
            "invalid_time",
        ),
        (of(Rule::Daily(vec![])), "daily", "invalid_time"),
        (of(Rule::Daily(vec![LocalTime(86_400)])), "daily", "invalid_time"),
        (of(Rule::Weekly { days: vec![], at: nine }), "weekly", "invalid_days"),
        (of(Rule::Weekly { days: vec![7], at: nine }), "weekly", "invalid_days"),
        (of(Rule::Weekly { days: vec![1], at: LocalTime(90_000) }), "weekly", "invalid_time"),
        (of(Rule::Monthly { days: vec![], at: nine }), "monthly", "invalid_days"),
        (of(Rule::Monthly { days: vec![0], at: nine }), "monthly", "invalid_days"),
        (of(Rule::Monthly { days: vec![-32], at: nine }), "monthly", "invalid_days"),
        (of(Rule::Monthly { days: vec![i8::MIN], at: nine }), "monthly", "invalid_days"),
        (of(Rule::Delay(Millis(0))), "delay", "invalid_delay"),
        (of(Rule::Delay(Millis(u64::MAX))), "delay", "invalid_delay"),
        (of(Rule::Cron("nonsense".to_owned())), "cron", "invalid_cron"),
        (
            Schedule { timezone: Some("Europe/Berln".to_owned()), ..manual() },
            "timezone",
            "unknown_timezone",
        ),
        (Schedule { max_ticks: Some(0), ..manual() }, "max_ticks", "invalid_max_ticks"),
        (
            Schedule { not_before: Some(Timestamp(1)), not_after: Some(Timestamp(0)), ..manual() },
            "not_after",
            "invalid_time",
        ),
    ] {
        let error = compile(&schedule).unwrap_err();
        assert_eq!((error.field, error.code.as_str()), (field, code), "{error}");
        assert!(!error.message.is_empty() && error.to_string().starts_with(field));
    }
    let error = Plan::compile(&manual(), "task", "Nowhere", Timestamp(0)).unwrap_err();
    assert_eq!(error.code.as_str(), "unknown_timezone");
}

#[test]
fn intervals_are_anchored() {
    let plan = compile(&interval("90s", None)).unwrap();
    let set_at = at("2026-01-01T00:00:00Z");
    let first = at("2026-01-01T00:01:30Z");
    assert_eq!(plan.next_after(Timestamp(0)), Some(first));
    assert_eq!(plan.next_after(set_at), Some(first));
    assert_eq!(plan.next_after(first), Some(first.plus(Millis(90_000))));
    let anchored = compile(&interval("90s", Some("2026-05-01T00:00:00Z"))).unwrap();
    assert_eq!(anchored.next_after(set_at), Some(at("2026-05-01T00:00:00Z")));
    let far = compile(&interval("1h", Some("2150-01-01T00:00:00Z"))).unwrap();
    assert_eq!(far.next_after(set_at), None);
    let longest = compile(&interval("36525d", None)).unwrap();
    assert_eq!(longest.next_after(set_at), Some(set_at.plus(plan::MAX_INTERVAL)));
}

#[test]
fn kinds_that_tick_once_or_never() {
    let set_at = at("2026-01-01T00:00:00Z");
    for (rule, tick) in [
        (Rule::At(at("2026-12-01T09:00:00+08:00")), "2026-12-01T01:00:00Z"),
        (Rule::Delay(Millis::from_secs(600)), "2026-01-01T00:10:00Z"),
        (Rule::Immediate, "2026-01-01T00:00:00Z"),
    ] {
        let plan = compile(&Schedule::of(rule)).unwrap();
        assert!(plan.once() && !plan.manual());
        assert_eq!(plan.next_after(set_at.minus(Millis(1))), Some(at(tick)));
        assert_eq!(plan.next_after(at(tick)), None);
        let refused = plan.never_fires(at(tick)).unwrap();
        assert_eq!(refused.code.as_str(), "never_fires");
        assert!(refused.message.ends_with("has passed"), "{refused}");
    }
    let manual = compile(&Schedule::of(Rule::Manual)).unwrap();
    assert!(manual.manual() && !manual.once());
    assert_eq!(manual.next_after(set_at), None);
    assert_eq!(manual.never_fires(set_at), None);
}

#[test]
fn what_never_fires_says_why() {
    let now = at("2026-01-01T00:00:00Z");
    let why = |schedule: &Schedule| {
        compile(schedule).unwrap().never_fires(now).map_or(String::new(), |error| error.message)
    };
    for (text, reason) in [
        ("0 0 29 2 *", ""),
        ("0 0 30 2 *", "never fires: no month that it names has such a day"),
        ("0 0 31W 2 *", "never fires: no month that it names has such a day"),
        ("0 0 0 1 1 ? 2025", "never fires: all its years have passed"),
        (
            "0 0 0 1 1 ? 2200",
            "never fires: no such local time exists in its timezone within 100 years",
        ),
    ] {
        assert_eq!(why(&cron_in(text, "UTC")), reason, "{text}");
    }
    let skip = Dst { gap: Gap::Skip, fold: Fold::First };
    let in_the_gap = Schedule { dst: skip, ..cron_in("30 2 ? 3 SUN#2", "America/New_York") };
    assert_eq!(
        why(&in_the_gap),
        "never fires: no such local time exists in its timezone within 100 years"
    );
    let daily = cron_in("@daily", "UTC");
    let bounded = |from: Option<&str>, to: Option<&str>| {
        why(&Schedule { not_before: from.map(at), not_after: to.map(at), ..daily.clone() })
    };
    assert_eq!(bounded(Some("2099-12-31T00:00:00Z"), None), "");
    assert!(bounded(None, Some("2025-01-01T00:00:00Z")).ends_with("has passed"));
    assert!(bounded(Some("2200-01-01T00:00:00Z"), None).contains("does not come"));
    let between = bounded(Some("2026-05-01T00:00:01Z"), Some("2026-05-01T23:59:59Z"));
    assert!(between.contains("between not_before and not_after"), "{between}");
}

#[test]
fn bounds_hold_for_every_kind() {
    let bound = |schedule: Schedule| Schedule {
        not_before: Some(at("2026-02-01T00:00:00Z")),
        not_after: Some(at("2026-02-02T00:00:00Z")),
        ..schedule
    };
    let all = |schedule: Schedule| {
        ticks(&bound(schedule), "2020-01-01T00:00:00Z", "2030-01-01T00:00:00Z")
    };
    assert_eq!(all(cron_in("@daily", "UTC")), ["2026-02-01T00:00:00Z", "2026-02-02T00:00:00Z"]);
    assert_eq!(all(interval("12h", Some("2020-01-01T00:00:00Z"))).len(), 3);
    assert_eq!(all(Schedule::of(Rule::At(at("2026-02-01T05:00:00Z")))).len(), 1);
    assert!(all(Schedule::of(Rule::At(at("2026-03-01T05:00:00Z")))).is_empty());
    assert!(all(Schedule::of(Rule::Immediate)).is_empty());
}

#[test]
fn counting_is_exact_or_says_that_it_is_not() {
    let (from, to) = (at("2026-01-01T00:00:00Z"), at("2027-01-01T00:00:00Z"));
    let second = compile(&interval("100ms", None)).unwrap();
    assert_eq!(second.count_between(from, to, 0), Some(365 * 864_000));
    assert_eq!(second.count_between(to, from, 0), Some(0));
    let daily = compile(&cron_in("@daily", "UTC")).unwrap();
    assert_eq!(daily.count_between(from, to, 365), Some(365));
    assert_eq!(daily.count_between(from, to, 364), None);
    assert_eq!(daily.count_between(from, from, 0), Some(0));
    let bounded = Schedule { not_before: Some(to), ..interval("1s", None) };
    let bounded = compile(&bounded).unwrap();
    assert_eq!(bounded.count_between(from, to, 0), Some(1));
    assert_eq!(bounded.count_between(from, to.minus(Millis(1)), 0), Some(0));
}

#[test]
fn plans_are_shared_between_threads_and_small() {
    fn is_shared<T: Clone + Send + Sync>(_: &T) {}
    let plan = compile(&cron_in("@daily", "UTC")).unwrap();
    is_shared(&plan);
    assert_eq!(size_of_val(&plan), size_of::<usize>());
}

#[test]
fn the_logged_shape_of_a_schedule_is_fixed() {
    let schedule = Schedule {
        timezone: Some("UTC".to_owned()),
        jitter: Some(Millis(5)),
        ..cron_in("@daily", "UTC")
    };
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(&schedule, config).unwrap();
    let text = b"\x00\x090 0 * * *\x01\x03UTC\x00\x00\x01\x05\x00\x00\x00\x00";
    assert_eq!(bytes, text);
    let (back, _): (Schedule, usize) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
    assert_eq!(back, schedule);
}
