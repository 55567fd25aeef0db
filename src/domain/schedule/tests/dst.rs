//! Named clock changes, with the instants required by the contract.

use super::*;

fn with(gap: Gap, fold: Fold, schedule: Schedule) -> Schedule {
    Schedule { dst: Dst { gap, fold }, ..schedule }
}

fn daily(times: &[&str], zone: &str) -> Schedule {
    let times = times.iter().map(|time| LocalTime::parse(time).unwrap()).collect();
    Schedule { timezone: Some(zone.to_owned()), ..Schedule::of(Rule::Daily(times)) }
}

#[test]
fn new_york_spring() {
    let zone = "America/New_York";
    let (from, to) = ("2026-03-07T12:00:00Z", "2026-03-09T12:00:00Z");
    let cron = |text: &str| cron_in(text, zone);
    let after = "2026-03-09T06:30:00Z";
    assert_eq!(ticks(&cron("30 2 * * *"), from, to), ["2026-03-08T07:00:00Z", after]);
    let skipping = with(Gap::Skip, Fold::First, cron("30 2 * * *"));
    assert_eq!(ticks(&skipping, from, to), [after]);
    // Several local times in one gap and the instant after it are a single tick.
    let several = cron("0,15,45 2,3 * * *");
    let day = "2026-03-08T12:00:00Z";
    let shifted = ["2026-03-08T07:00:00Z", "2026-03-08T07:15:00Z", "2026-03-08T07:45:00Z"];
    assert_eq!(ticks(&several, from, day), shifted);
    assert_eq!(ticks(&cron("* 30 2 * * *"), from, day), ["2026-03-08T07:00:00Z"]);
    assert_eq!(ticks(&daily(&["02:00", "02:59:59"], zone), from, day), ["2026-03-08T07:00:00Z"]);
    assert_eq!(ticks(&daily(&["02:59:59"], zone), from, day), ["2026-03-08T07:00:00Z"]);
    // Elapsed time: no tick is added or lost.
    assert_eq!(
        ticks(&cron("*/5 * * * *"), "2026-03-08T04:59:59Z", "2026-03-09T03:59:59Z").len(),
        276
    );
    assert!(ticks(&cron("*/5 2 * * *"), from, day).is_empty());
    let whole_hour = ticks(&cron("0 0-23 * * *"), "2026-03-08T04:59:59Z", "2026-03-09T03:59:59Z");
    assert_eq!(whole_hour.len(), 23);
}

#[test]
fn new_york_autumn() {
    let zone = "America/New_York";
    let (from, to) = ("2026-10-31T12:00:00Z", "2026-11-02T05:00:00Z");
    let of = |fold: Fold, text: &str| ticks(&with(Gap::Shift, fold, cron_in(text, zone)), from, to);
    let (first, second) = ("2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z");
    assert_eq!(of(Fold::First, "30 1 * * *"), [first]);
    assert_eq!(of(Fold::Second, "30 1 * * *"), [second]);
    assert_eq!(of(Fold::Both, "30 1 * * *"), [first, second]);
    // Both passes are in order of instants, not of local times.
    let four = ["2026-11-01T05:00:00Z", first, "2026-11-01T06:00:00Z", second];
    assert_eq!(of(Fold::Both, "0,30 1 * * *"), four);
    let (start, end) = ("2026-11-01T03:59:59Z", "2026-11-02T04:59:59Z");
    assert_eq!(ticks(&cron_in("*/5 * * * *", zone), start, end).len(), 300);
    assert_eq!(ticks(&cron_in("0 * * * *", zone), start, end).len(), 25);
    assert_eq!(ticks(&cron_in("H/20 * * * *", zone), start, end).len(), 75);
    // Fixed local times: 24 ticks a day, although one hour occurs twice.
    assert_eq!(ticks(&cron_in("0 0-23 * * *", zone), start, end).len(), 24);
    // A search that starts in the second pass must not return a tick of the first pass.
    let plan = plan(&cron_in("*/20 * * * *", zone));
    let next = plan.next_after(at("2026-11-01T06:10:00Z")).unwrap();
    assert_eq!(next, at("2026-11-01T06:20:00Z"));
}

#[test]
fn berlin() {
    let schedule = cron_in("CRON_TZ=Europe/Berlin 0 2,3 * * *", "UTC");
    let spring = ticks(&schedule, "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z");
    assert_eq!(spring, ["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]);
    let autumn = ticks(&schedule, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
    assert_eq!(autumn, ["2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"]);
}

#[test]
fn lord_howe_jumps_by_half_an_hour() {
    let zone = "Australia/Lord_Howe";
    let spring = ticks(&daily(&["02:15"], zone), "2026-10-03T00:00:00Z", "2026-10-04T18:00:00Z");
    assert_eq!(spring, ["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"]);
    let (first, second) = ("2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z");
    let both = with(Gap::Shift, Fold::Both, daily(&["01:45"], zone));
    assert_eq!(ticks(&both, "2026-04-04T00:00:00Z", "2026-04-05T00:00:00Z"), [first, second]);
    let half_hours = cron_in("*/30 * * * *", zone);
    assert_eq!(ticks(&half_hours, "2026-04-04T12:59:59Z", "2026-04-05T13:29:59Z").len(), 49);
}

#[test]
fn apia_left_out_a_day() {
    let (from, to) = ("2011-12-29T00:00:00Z", "2011-12-31T00:00:00Z");
    let schedule = daily(&["02:00", "20:00"], "Pacific/Apia");
    let (last, gap) = ("2011-12-30T06:00:00Z", "2011-12-30T10:00:00Z");
    let shifted =
        ["2011-12-29T06:00:00Z", "2011-12-29T12:00:00Z", last, gap, "2011-12-30T12:00:00Z"];
    assert_eq!(ticks(&schedule, from, to), shifted);
    let skipped = ticks(&with(Gap::Skip, Fold::First, schedule), from, to);
    assert_eq!(skipped, [&shifted[..3], &shifted[4..]].concat());
    // Friday the 30th did not exist: its ticks become a single one.
    let friday = cron_in("0 9-17 * * FRI", "Pacific/Apia");
    assert_eq!(ticks(&friday, from, to), [gap]);
    let hourly = ticks(&cron_in("@hourly", "Pacific/Apia"), from, to);
    assert_eq!(hourly.len(), 48);
}

#[test]
fn kathmandu_moved_midnight_by_a_quarter() {
    let zone = "Asia/Kathmandu";
    let now = ticks(&daily(&["00:00"], zone), "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    assert_eq!(now, ["2026-01-01T18:15:00Z"]);
    let then = ticks(&daily(&["00:10"], zone), "1985-12-31T00:00:00Z", "1986-01-02T00:00:00Z");
    assert_eq!(then, ["1985-12-31T18:30:00Z", "1986-01-01T18:25:00Z"]);
}

#[test]
fn troll_jumps_by_two_hours() {
    let zone = "Antarctica/Troll";
    let spring =
        ticks(&daily(&["01:30", "02:30"], zone), "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z");
    assert_eq!(spring, ["2026-03-29T01:00:00Z"]);
    let both = with(Gap::Shift, Fold::Both, daily(&["01:30", "02:30"], zone));
    let autumn = ticks(&both, "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z");
    let expected = [
        "2026-10-24T23:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-25T02:30:00Z",
    ];
    assert_eq!(autumn, expected);
}

#[test]
fn gaps_at_midnight_do_not_lose_the_day() {
    let beirut = cron_in("@daily", "Asia/Beirut");
    let spring = ticks(&beirut, "2026-03-28T00:00:00Z", "2026-03-29T23:00:00Z");
    assert_eq!(spring, ["2026-03-28T22:00:00Z", "2026-03-29T21:00:00Z"]);
    let autumn = ticks(&beirut, "2026-10-23T12:00:00Z", "2026-10-25T12:00:00Z");
    assert_eq!(autumn, ["2026-10-23T21:00:00Z", "2026-10-24T22:00:00Z"]);
    let noon = ticks(
        &cron_in("0 12 29 3 *", "Asia/Beirut"),
        "2026-01-01T00:00:00Z",
        "2026-12-31T00:00:00Z",
    );
    assert_eq!(noon, ["2026-03-29T09:00:00Z"]);
    let santiago = ticks(
        &cron_in("0 0 6 9 *", "America/Santiago"),
        "2026-01-01T00:00:00Z",
        "2026-12-31T00:00:00Z",
    );
    assert_eq!(santiago, ["2026-09-06T04:00:00Z"]);
    // The repeated hour before midnight belongs to the previous day.
    let fold = with(Gap::Shift, Fold::Both, cron_in("30 23 4 4 *", "America/Santiago"));
    let passes = ticks(&fold, "2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z");
    assert_eq!(passes, ["2026-04-05T02:30:00Z", "2026-04-05T03:30:00Z"]);
}

#[test]
fn intervals_never_look_at_local_time() {
    let rule = Rule::Interval {
        every: Millis::from_secs(3_600),
        anchor: Some(at("2026-01-01T00:30:00Z")),
    };
    let schedule = Schedule { timezone: Some("America/New_York".to_owned()), ..Schedule::of(rule) };
    assert_eq!(ticks(&schedule, "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z").len(), 24);
}

#[test]
fn previews_name_the_rule() {
    let zone = "America/New_York";
    let noted = |schedule: &Schedule, from: &str| {
        let noted = plan(schedule).next_noted(at(from)).unwrap();
        (noted.local, noted.note.map(|note| note.to_string()).unwrap_or_default())
    };
    let half_past_two = cron_in("30 2 * * *", zone);
    let (local, note) = noted(&half_past_two, "2026-03-08T00:00:00Z");
    assert_eq!(local, "2026-03-08T03:00:00-04:00");
    assert_eq!(
        note,
        "2026-03-08 02:30 does not exist, clocks go from 2026-03-08 02:00 to 2026-03-08 03:00; \
         dst.gap = shift: the first instant after the gap"
    );
    assert_eq!(noted(&half_past_two, "2026-03-08T07:00:00Z").1, "");
    // The first local time after the gap exists, so there is no note.
    for gap in [Gap::Shift, Gap::Skip] {
        let three = with(gap, Fold::First, cron_in("0 3 * * *", zone));
        assert_eq!(noted(&three, "2026-03-08T00:00:00Z").1, "");
    }
    let (local, note) = noted(&with(Gap::Skip, Fold::First, half_past_two), "2026-03-07T12:00:00Z");
    assert_eq!(local, "2026-03-09T02:30:00-04:00");
    assert!(note.starts_with("before this tick 2026-03-08 02:30 is left out"), "{note}");
    assert!(note.ends_with("dst.gap = skip"), "{note}");
    let elapsed = cron_in("*/30 * * * *", zone);
    let (_, note) = noted(&elapsed, "2026-03-08T06:30:00Z");
    assert!(note.starts_with("before this tick 2026-03-08 02:00 does not exist"), "{note}");
    assert!(note.ends_with("nothing is added"), "{note}");
    let half_past_one = cron_in("30 1 * * *", zone);
    for (fold, from, expected, rule) in [
        (Fold::First, "2026-11-01T00:00:00Z", "first pass of 2026-11-01 01:30", "dst.fold = first"),
        (Fold::Second, "2026-11-01T00:00:00Z", "second pass", "dst.fold = second"),
        (Fold::Both, "2026-11-01T05:30:00Z", "second pass", "dst.fold = both"),
    ] {
        let (_, note) = noted(&with(Gap::Shift, fold, half_past_one.clone()), from);
        assert!(note.starts_with(expected) && note.ends_with(rule), "{note}");
    }
    let (local, note) = noted(&elapsed, "2026-11-01T06:00:00Z");
    assert_eq!(local, "2026-11-01T01:30:00-05:00");
    assert!(note.ends_with("so both passes tick"), "{note}");
    assert_eq!(noted(&elapsed, "2026-11-02T06:00:00Z").1, "");
}
