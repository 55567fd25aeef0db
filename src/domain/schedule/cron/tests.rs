//! The texts: what they become, and why they are refused.

use super::*;
use crate::domain::schedule::Rule;
use crate::domain::time::Millis;

#[test]
fn canonical_forms() {
    for (text, canonical) in [
        ("  0   2 * *\t* ", "0 2 * * *"),
        ("05 002 01 jan Monday", "5 2 1 JAN MON"),
        ("0 0 * january-MARCH sun,MON-friday/2", "0 0 * JAN-MAR SUN,MON-FRI/2"),
        ("*/15 h(0-7) h * 7", "*/15 H(0-7) H * 7"),
        ("h/15 h(9-17)/2 l,l-3,lw,15w * ?", "H/15 H(9-17)/2 L,L-3,LW,15W * ?"),
        ("0 0 ? * fril,6l,FRI#2,0#1", "0 0 ? * FRIL,6L,FRI#2,0#1"),
        ("0 0 0 1 1 ? 2026-2030/2,2040", "0 0 0 1 1 ? 2026-2030/2,2040"),
        ("5/15 22-2 * * fri-mon", "5/15 22-2 * * FRI-MON"),
        ("@YEARLY", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ] {
        let text = parse_cron(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(text, (Rule::Cron(canonical.to_owned()), None));
        assert_eq!(parse_cron(canonical).unwrap(), text);
        assert_eq!(read_canonical(canonical).unwrap().to_string(), canonical);
    }
}

#[test]
fn prefixes_and_every() {
    let berlin = Some("Europe/Berlin".to_owned());
    let noon = Rule::Cron("0 12 * * *".to_owned());
    for text in ["CRON_TZ=Europe/Berlin 0 12 * * *", " TZ=europe/berlin  0 12 * * *"] {
        assert_eq!(parse_cron(text).unwrap(), (noon.clone(), berlin.clone()));
    }
    let every = |millis: u64| Rule::Interval { every: Millis(millis), anchor: None };
    assert_eq!(parse_cron("@every 90s").unwrap(), (every(90_000), None));
    assert_eq!(parse_cron("@EVERY 1h30m").unwrap(), (every(5_400_000), None));
    assert_eq!(parse_cron("TZ=Europe/Berlin @every 100ms").unwrap(), (every(100), berlin));
}

#[test]
fn which_schedules_follow_elapsed_time() {
    for (text, elapsed) in [
        ("* * * * *", true),
        ("*/5 2 * * *", true),
        ("30 * * * *", true),
        ("30 *,5 * * *", true),
        ("H/15 2 * * *", true),
        ("30 H/2 * * *", true),
        ("0 */5 2 * * *", true),
        ("* 30 2 * * *", false),
        ("*/10 30 2 * * *", false),
        ("0-59/5 0-23 * * *", false),
        ("5,* 2 * * *", false),
        ("H H * * *", false),
        ("H(0-29)/10 2 * * *", false),
        ("H/15,3 2 * * *", false),
        ("0 2 */2 * *", false),
    ] {
        assert_eq!(read_canonical(text).unwrap().follows_elapsed_time(), elapsed, "{text}");
    }
}

/// These values are for ever: another hash would move the ticks of every task that uses `H`.
#[test]
fn hashes_are_golden() {
    let numbers = |text: &str, task: &str| -> Vec<(u16, u16, u16)> {
        let expression = read_canonical(text).unwrap();
        let of = |field: &Field| field.stretches(task);
        let all = expression.fields.iter().flat_map(of);
        all.map(|stretch| (stretch.from, stretch.to, stretch.step)).collect()
    };
    let firsts = |text: &str, task: &str| -> Vec<u16> {
        numbers(text, task).into_iter().map(|(from, ..)| from).collect()
    };
    assert_eq!(firsts("H H H H H H", "nightly-report"), [21, 27, 2, 3, 5, 6]);
    assert_eq!(firsts("H H H H H H", "backup"), [54, 53, 10, 21, 11, 2]);
    assert_eq!(firsts("H H H H H H", "日報"), [16, 53, 3, 14, 2, 4]);
    assert_eq!(firsts("H H H H H H", ""), [11, 28, 21, 23, 2, 3]);
    assert_eq!(
        numbers("H(0-29) H(9-17)/4 H/10 H(3-5) H(6-7)", "backup"),
        [(23, 23, 1), (11, 17, 4), (3, 28, 10), (4, 4, 1), (0, 0, 1)]
    );
    assert_eq!(
        numbers("H/15 H/7 H/31 H/12 H/7", "nightly-report"),
        [(12, 59, 15), (4, 23, 7), (3, 28, 31), (5, 12, 12), (6, 6, 7)]
    );
}

#[test]
fn hashes_stay_in_their_range_and_reach_all_of_it() {
    let reached = |text: &str, kind: Kind| {
        let expression = read_canonical(text).unwrap();
        let tasks = (0..3_000).map(|n| format!("task-{n}"));
        let field = expression.field(kind).unwrap().clone();
        let first = move |task: String| field.stretches(&task)[0].from;
        tasks.map(first).collect::<std::collections::BTreeSet<u16>>()
    };
    assert_eq!(reached("H * * * *", Kind::Minute), (0..=59).collect());
    assert_eq!(reached("H(10-29) * * * *", Kind::Minute), (10..=29).collect());
    assert_eq!(reached("H/15 * * * *", Kind::Minute), (0..15).collect());
    assert_eq!(reached("0 H(9-17)/9 * * *", Kind::Hour), (9..=17).collect());
    assert_eq!(reached("0 0 H * *", Kind::Day), (1..=28).collect());
    assert_eq!(reached("0 0 * H *", Kind::Month), (1..=12).collect());
    assert_eq!(reached("0 0 * * H", Kind::Weekday), (0..=6).collect());
    assert_eq!(reached("0 0 * * H(5-7)", Kind::Weekday), [0, 5, 6].into());
}

/// Text, column, and what the reason must contain.
const BAD: &[(&str, usize, &str)] = &[
    ("", 1, "must not be empty"),
    ("   ", 1, "must not be empty"),
    ("*", 2, "5, 6 or 7 fields, got 1"),
    ("* * * *", 8, "5, 6 or 7 fields, got 4"),
    ("* * * *   ", 8, "5, 6 or 7 fields, got 4"),
    ("* * * * * * * *", 15, "5, 6 or 7 fields, got 8"),
    ("60 * * * *", 1, "minute must be 0 to 59, got 60"),
    ("0 60 * * * *", 3, "minute must be 0 to 59, got 60"),
    ("60 * * * * *", 1, "second must be 0 to 59, got 60"),
    ("0 24 * * *", 3, "hour must be 0 to 23, got 24"),
    ("0 0 0 * *", 5, "day of month must be 1 to 31, got 0"),
    ("0 0 32 * *", 5, "day of month must be 1 to 31, got 32"),
    ("0 0 1 0 *", 7, "month must be 1 to 12 or JAN to DEC, got 0"),
    ("0 0 1 13 *", 7, "month must be 1 to 12 or JAN to DEC, got 13"),
    ("0 0 * * 8", 9, "weekday must be 0 to 7 or SUN to SAT, got 8"),
    ("0 0 0 1 1 ? 1969", 13, "year must be 1970 to 9999, got 1969"),
    ("0 0 0 1 1 ? 10000", 13, "year must be 1970 to 9999, got 10000"),
    ("99999999999999999999999 * * * *", 1, "got 99999999999999999999"),
    ("0 0 1 JANU *", 7, "JAN to DEC, got JANU"),
    ("0 0 1 MON *", 7, "JAN to DEC, got MON"),
    ("0 0 * * MONT", 9, "SUN to SAT, got MONT"),
    ("0 0 * * JAN", 9, "SUN to SAT, got JAN"),
    ("0 MON * * *", 3, "hour must be 0 to 23, got MON"),
    ("x * * * *", 1, "minute must be 0 to 59, got X"),
    ("-5 * * * *", 1, "minute needs a value here, found '-'"),
    ("5- * * * *", 3, "minute needs a value here"),
    ("5-60 * * * *", 3, "minute must be 0 to 59, got 60"),
    ("5-x * * * *", 3, "minute must be 0 to 59, got X"),
    ("5-10-15 * * * *", 5, "unexpected '-' after 5-10"),
    ("1,,2 * * * *", 3, "minute needs a value here"),
    (",1 * * * *", 1, "minute needs a value here"),
    ("1, * * * *", 3, "minute needs a value here"),
    ("0 1,2,24 * * *", 7, "hour must be 0 to 23, got 24"),
    ("*/0 * * * *", 3, "minute step must be 1 to 59, got 0"),
    ("*/60 * * * *", 3, "minute step must be 1 to 59, got 60"),
    ("*/100 * * * * *", 3, "second step must be 1 to 59, got 100"),
    ("0 */24 * * *", 5, "hour step must be 1 to 23, got 24"),
    ("0 0 */32 * *", 7, "day of month step must be 1 to 31, got 32"),
    ("0 0 * */13 *", 9, "month step must be 1 to 12, got 13"),
    ("0 0 * * */8", 11, "weekday step must be 1 to 7, got 8"),
    ("*/ * * * *", 3, "a number must follow /"),
    ("*/x * * * *", 3, "a number must follow /"),
    ("*/-5 * * * *", 3, "a number must follow /"),
    ("/5 * * * *", 1, "minute needs a value here, found '/'"),
    ("*/5/5 * * * *", 4, "unexpected '/' after */5"),
    ("*5 * * * *", 2, "unexpected '5' after *"),
    ("** * * * *", 2, "unexpected '*' after *"),
    ("5* * * * *", 2, "unexpected '*' after 5"),
    ("*-5 * * * *", 2, "unexpected '-' after *"),
    ("1.5 * * * *", 2, "unexpected '.' after 1"),
    ("5x * * * *", 2, "unexpected 'x' after 5"),
    ("? * * * *", 1, "? is for the day fields only"),
    ("0 0 1 ? *", 7, "? is for the day fields only"),
    ("0 0 ?/2 * *", 6, "unexpected '/' after ?"),
    ("0 0 ?,5 * *", 5, "? must stand alone"),
    ("0 0 5,? * *", 5, "? must stand alone"),
    ("L * * * *", 1, "L is for the day fields only"),
    ("0 0 1 L *", 7, "L is for the day fields only"),
    ("0 0 * * L", 9, "L needs its weekday before it"),
    ("0 0 L-0 * *", 7, "1 to 30 must follow L-, got 0"),
    ("0 0 L-31 * *", 7, "1 to 30 must follow L-, got 31"),
    ("0 0 L- * *", 7, "1 to 30 must follow L-, got nothing"),
    ("0 0 1-L * *", 7, "L cannot end a range"),
    ("0 0 L-3W * *", 8, "unexpected 'W' after L-3"),
    ("0 0 L/2 * *", 6, "unexpected '/' after L"),
    ("0 0 6L * *", 6, "for the weekday field only"),
    ("0 6L * * *", 4, "for the weekday field only"),
    ("0 0 W * *", 5, "W needs its day before it"),
    ("0 0 WL * *", 5, "day of month must be 1 to 31, got WL"),
    ("0 0 32W * *", 5, "day of month must be 1 to 31, got 32"),
    ("0 0 1-5W * *", 8, "unexpected 'W' after 1-5"),
    ("0 0 15W-20 * *", 8, "unexpected '-' after 15W"),
    ("0 15W * * *", 5, "W is for the day of month field only"),
    ("0 0 * * 5W", 10, "W is for the day of month field only"),
    ("0 0 * * W", 9, "W is for the day of month field only"),
    ("0 0 * * FRI#0", 13, "1 to 5 must follow #, got 0"),
    ("0 0 * * FRI#6", 13, "1 to 5 must follow #, got 6"),
    ("0 0 * * FRI#", 13, "1 to 5 must follow #, got nothing"),
    ("0 0 * * 5#L", 11, "1 to 5 must follow #, got nothing"),
    ("0 0 * * #2", 9, "weekday needs a value here, found '#'"),
    ("0 0 * * 8#2", 9, "weekday must be 0 to 7"),
    ("0 0 * * MON-FRI#2", 16, "unexpected '#' after MON-FRI"),
    ("0 0 5#2 * *", 6, "# is for the weekday field only"),
    ("0 0 * * MON-FRIL", 13, "SUN to SAT, got FRIL"),
    ("HH * * * *", 1, "minute must be 0 to 59, got HH"),
    ("H5 * * * *", 2, "unexpected '5' after H"),
    ("H-5 * * * *", 2, "unexpected '-' after H"),
    ("H/0 * * * *", 3, "minute step must be 1 to 59, got 0"),
    ("H() * * * *", 3, "minute needs a value here, found ')'"),
    ("H(5) * * * *", 4, "H( ) holds a range"),
    ("H(0-29 * * * *", 7, "missing its closing parenthesis"),
    ("H(0-60) * * * *", 5, "minute must be 0 to 59, got 60"),
    ("H(29-0) * * * *", 3, "the range in H( ) must rise, got 29-0"),
    ("0 0 0 1 1 ? H", 13, "H is not for the year field"),
    ("0 0 0 1 1 ? 2030-2026", 13, "a year range must rise, got 2030-2026"),
    ("0 0 0 1 1 ? 2026/8030", 18, "year step must be 1 to 8029, got 8030"),
    ("@", 1, "@ is not one of @yearly"),
    ("@reboot", 1, "@reboot is not one of @yearly"),
    (" @fortnightly", 2, "@fortnightly is not one of @yearly"),
    ("@daily 5", 8, "nothing may follow @daily"),
    ("@every", 7, "a duration such as 90s must follow @every"),
    ("@every x", 8, "@every must be a duration"),
    ("@every 1h 30m", 11, "one duration without spaces"),
    ("@every 99ms", 8, "an interval must be 100ms to 100 years, got 99ms"),
    ("@every 40000d", 8, "an interval must be 100ms to 100 years, got 40000d"),
    ("CRON_TZ=Europe/Berlin", 22, "a cron expression must follow the zone"),
    ("CRON_TZ= * * * * *", 9, "a timezone must follow CRON_TZ="),
    ("TZ=Europe/Berln 0 0 * * *", 4, "did you mean Europe/Berlin?"),
    ("ZONE=UTC 0 0 * * *", 1, "unknown prefix ZONE="),
    ("TZ=UTC 60 0 * * *", 8, "minute must be 0 to 59, got 60"),
    ("TZ=UTC TZ=UTC 0 0 * * *", 8, "second must be 0 to 59, got TZ"),
    ("0 0 * *\u{a0}* * *", 8, "unexpected '\\u{a0}' after *"),
    ("０ 0 * * *", 1, "minute needs a value here, found '０'"),
    ("é 0 60 * * *", 1, "second needs a value here, found 'é'"),
];

#[test]
fn bad_texts_are_refused_with_column_and_reason() {
    assert!(BAD.len() >= 60);
    for (text, column, reason) in BAD {
        let error = parse_cron(text).map_or_else(|error| error, |ok| panic!("{text:?}: {ok:?}"));
        assert_eq!(error.field, "cron", "{text:?}: {error}");
        assert_eq!(error.column, Some(*column), "{text:?}: {error}");
        assert!(error.message.contains(reason), "{text:?}: {error}");
        let code = match reason {
            _ if text.contains("Berln") => "unknown_timezone",
            _ if text.ends_with("every x") || text.contains("99ms") || text.contains("40000d") => {
                "invalid_interval"
            }
            _ => "invalid_cron",
        };
        assert_eq!(error.code, code, "{text:?}");
    }
    let long = format!("{} * * * *", ["5"; 600].join(","));
    let error = parse_cron(&long).unwrap_err();
    assert_eq!((error.column, error.code), (Some(1_001), "invalid_cron"));
    assert!(error.message.contains("at most 1000 characters"));
    // Columns count characters, not bytes.
    assert_eq!(parse_cron("\u{2003}").unwrap_err().column, Some(2));
}
