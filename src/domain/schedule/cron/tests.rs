//! Tests of the parser and of the canonical form.

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

/// These values must never change: another hash would move the ticks of every task that uses `H`.
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
    let reached = |text: &str, kind: FieldKind| {
        let expression = read_canonical(text).unwrap();
        let tasks = (0..3_000).map(|n| format!("task-{n}"));
        let field = expression.field(kind).unwrap().clone();
        let first = move |task: String| field.stretches(&task)[0].from;
        tasks.map(first).collect::<std::collections::BTreeSet<u16>>()
    };
    assert_eq!(reached("H * * * *", FieldKind::Minute), (0..=59).collect());
    assert_eq!(reached("H(10-29) * * * *", FieldKind::Minute), (10..=29).collect());
    assert_eq!(reached("H/15 * * * *", FieldKind::Minute), (0..15).collect());
    assert_eq!(reached("0 H(9-17)/9 * * *", FieldKind::Hour), (9..=17).collect());
    assert_eq!(reached("0 0 H * *", FieldKind::Day), (1..=28).collect());
    assert_eq!(reached("0 0 * H *", FieldKind::Month), (1..=12).collect());
    assert_eq!(reached("0 0 * * H", FieldKind::Weekday), (0..=6).collect());
    assert_eq!(reached("0 0 * * H(5-7)", FieldKind::Weekday), [0, 5, 6].into());
}
