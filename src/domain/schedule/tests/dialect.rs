//! The meaning of every form of the cron language, on dates that are easy to verify by hand.

use super::*;

/// The days of 2026 on which a schedule has ticks in UTC, as `MM-DD`.
fn days(text: &str) -> Vec<String> {
    let all = ticks(&cron_in(text, "UTC"), "2025-12-31T23:59:59Z", "2026-12-31T23:59:59Z");
    let mut days: Vec<String> = all.iter().map(|tick| tick[5..10].to_owned()).collect();
    days.dedup();
    days
}

/// The times of 2026-06-10, a Wednesday, at which a schedule has ticks in UTC.
fn times(text: &str) -> String {
    let all = ticks(&cron_in(text, "UTC"), "2026-06-09T23:59:59Z", "2026-06-10T23:59:59Z");
    all.iter().map(|tick| &tick[11..19]).collect::<Vec<_>>().join(" ")
}

#[test]
fn times_of_day() {
    for (text, expected) in [
        ("0 2 * * *", "02:00:00"),
        ("30 4 2 * * *", "02:04:30"),
        ("30 4 2 * * * *", "02:04:30"),
        ("30 4 2 * * * 2026", "02:04:30"),
        ("30 4 2 * * * 2027", ""),
        ("0 */8 * * *", "00:00:00 08:00:00 16:00:00"),
        ("0 22-2 * * *", "00:00:00 01:00:00 02:00:00 22:00:00 23:00:00"),
        ("0 22-4/2 * * *", "00:00:00 02:00:00 04:00:00 22:00:00"),
        ("0 21-4/2 * * *", "01:00:00 03:00:00 21:00:00 23:00:00"),
        ("5/25 3 * * *", "03:05:00 03:30:00 03:55:00"),
        ("0-10/5,59 3 * * *", "03:00:00 03:05:00 03:10:00 03:59:00"),
        ("*/30 0 3 * * WED", "03:00:00 03:00:30"),
        ("58-1 0 3 10 JUNE wednesday", "03:00:00 03:00:01 03:00:58 03:00:59"),
        // A step wider than the field selects the first value only.
        ("*/60 3 * * *", "03:00:00"),
        ("*/65535 3 * * *", "03:00:00"),
        ("*/60 0 3 * * *", "03:00:00"),
        ("30 */24 * * *", "00:30:00"),
        ("5/55 3 * * *", "03:05:00"),
        ("10-20/11 3 * * *", "03:10:00"),
        ("0 22-4/7 * * *", "22:00:00"),
        ("\t0   12\t* *  * ", "12:00:00"),
        ("@MIDNIGHT", "00:00:00"),
        ("@Daily", "00:00:00"),
        ("TZ=Asia/Kathmandu 0 12 * * *", "06:15:00"),
        ("cron_tz=asia/kathmandu @daily", "18:15:00"),
    ] {
        assert_eq!(times(text), expected, "{text}");
    }
    assert_eq!(
        ticks(&cron_in("@hourly", "UTC"), "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z").len(),
        24
    );
}

#[test]
fn days_of_the_year() {
    for (text, expected) in [
        ("@yearly", "01-01"),
        ("@Annually", "01-01"),
        ("0 0 */32 1-3 *", "01-01 02-01 03-01"),
        ("0 0 1 */13 *", "01-01"),
        ("0 0 * 2 */8", "02-01 02-08 02-15 02-22"),
        ("0 0 * 2 MON/8", "02-02 02-09 02-16 02-23"),
        ("0 0 31 * *", "01-31 03-31 05-31 07-31 08-31 10-31 12-31"),
        ("0 0 L 1-4 *", "01-31 02-28 03-31 04-30"),
        ("0 0 L-3 1-3 *", "01-28 02-25 03-28"),
        ("0 0 L-30 1-4 *", "01-01 03-01"),
        ("0 0 LW 1-5 ?", "01-30 02-27 03-31 04-30 05-29"),
        ("0 0 15W 2,3,8 *", "02-16 03-16 08-14"),
        ("0 0 1W 2,8 *", "02-02 08-03"),
        ("0 0 31W 1,2,5 *", "01-30 05-29"),
        ("0 0 1,l 2,3 *", "02-01 02-28 03-01 03-31"),
        ("0 0 * 2 fril", "02-27"),
        ("0 0 * 2 6L", "02-28"),
        ("0 0 ? 2 0L,7#1", "02-01 02-22"),
        ("0 0 * 1-3 FRI#2", "01-09 02-13 03-13"),
        ("0 0 * 1-5 5#5", "01-30 05-29"),
        ("0 0 * 2 FRI-MON/2", "02-01 02-06 02-08 02-13 02-15 02-20 02-22 02-27"),
        ("0 0 1-9 2 0", "02-01 02-02 02-03 02-04 02-05 02-06 02-07 02-08 02-09 02-15 02-22"),
        ("0 0 */10 2 MON", ""),
        ("0 0 */15 2-3 MON", "02-16 03-16"),
        // A field that begins with `*` does not restrict the days by itself; the 13th is a Friday.
        ("0 0 13 2 */6", ""),
        ("0 0 28-2 2 *", "02-01 02-02 02-28"),
        ("0 0 1 11-2 *", "01-01 02-01 11-01 12-01"),
        ("0 0 1 NOV-FEB/2 *", "01-01 11-01"),
        ("0 0 13 2 ?", "02-13"),
        ("0 0 ? 2 MON", "02-02 02-09 02-16 02-23"),
    ] {
        assert_eq!(days(text).join(" "), expected, "{text}");
    }
}

#[test]
fn counts_of_days() {
    for (text, expected) in [
        ("0 0 13 * FRI", 61),
        ("0 0 13 * *", 12),
        ("0 0 ? * FRI", 52),
        ("0 0 */2 * MON", 26),
        ("0 0 * * MON-FRI", 261),
        ("0 0 * * 1-5", 261),
        ("0 0 * * FRI-MON", 208),
        ("0 0 * * 5-7", 156),
        ("0 0 * * 0-7", 365),
        ("0 0 * * 7-7", 52),
        ("0 0 * * 7-2", 156),
        ("0 0 * * 6-0", 104),
        ("0 0 * * 1-7/2", 208),
        ("0 0 * * 0-7/2", 209),
        ("0 0 * * 1/2", 156),
        ("@weekly", 52),
        ("@monthly", 12),
        ("0 0 H * *", 12),
        ("0 0 * * H", 52),
        ("0 0 * * H(6-7)", 52),
        ("0 0 * * H(0-7)/7", 52),
        ("0 0 * * H/7", 52),
        ("0 0 H/32 * *", 12),
        ("H H 1 H ?", 1),
    ] {
        assert_eq!(days(text).len(), expected, "{text}");
    }
}

#[test]
fn years_go_beyond_the_matcher_s_own_limit() {
    let next = |text: &str, from: &str| plan(&cron_in(text, "UTC")).next_after(at(from));
    assert_eq!(next("0 0 29 2 *", "2096-03-01T00:00:00Z"), Some(at("2104-02-29T00:00:00Z")));
    assert_eq!(next("0 0 0 1 1 ? 2150", "2060-01-01T00:00:00Z"), Some(at("2150-01-01T00:00:00Z")));
    assert_eq!(
        next("0 0 0 1 1 ? 2160/5", "2161-01-01T00:00:00Z"),
        Some(at("2165-01-01T00:00:00Z"))
    );
    assert_eq!(next("0 0 0 1 1 ? 2150", "2040-01-01T00:00:00Z"), None);
    assert_eq!(next("0 0 0 1 1 ? 2020", "2026-01-01T00:00:00Z"), None);
    assert_eq!(next("* * * * *", "1969-07-20T20:17:40Z"), Some(at("1969-07-20T20:18:00Z")));
}

#[test]
fn daily_weekly_and_monthly() {
    let times = |list: &[&str]| list.iter().map(|time| LocalTime::parse(time).unwrap()).collect();
    let nine = LocalTime::parse("09:00").unwrap();
    let of =
        |rule: Rule, to: &str| ticks(&Schedule::of(rule), "2026-02-01T00:00:00Z", to).join(" ");
    assert_eq!(
        of(Rule::Daily(times(&["14:30", "02:00:30", "14:30"])), "2026-02-01T23:00:00Z"),
        "2026-02-01T02:00:30Z 2026-02-01T14:30:00Z"
    );
    assert_eq!(
        of(Rule::Weekly { days: vec![1, 5], at: nine }, "2026-02-09T08:00:00Z"),
        "2026-02-02T09:00:00Z 2026-02-06T09:00:00Z"
    );
    assert_eq!(
        of(Rule::Monthly { days: vec![-31, -1, 1, 31], at: nine }, "2026-03-31T10:00:00Z"),
        "2026-02-01T09:00:00Z 2026-02-28T09:00:00Z 2026-03-01T09:00:00Z 2026-03-31T09:00:00Z"
    );
}
