//! Properties of all schedules.

use proptest::prelude::*;

use super::sample::{self, SplitMix, ZONES};
use super::*;

fn config() -> ProptestConfig {
    ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() }
}

/// A random cron schedule in a random zone, and a start near one of the zone's clock changes.
fn sampled(seed: u64) -> (Schedule, Timestamp) {
    let mut random = SplitMix(seed);
    let zone = random.pick(&ZONES);
    let gap = *random.pick(&[&Gap::Shift, &Gap::Skip]);
    let fold = *random.pick(&[&Fold::First, &Fold::Second, &Fold::Both]);
    let start = Timestamp(sample::start(&mut random, zone) * 1_000 + random.within(0, 999));
    let text = sample::expression(&mut random);
    (Schedule { dst: Dst { gap, fold }, ..cron_in(&text, zone) }, start)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn ticks_rise_and_none_is_skipped(seed: u64, part in 0_u64..1_000) {
        let (schedule, start) = sampled(seed);
        let plan = plan(&schedule);
        let mut from = start;
        for _ in 0..20 {
            let (tick, steps) = plan.next_after_counted(from);
            prop_assert!(steps <= 50_000);
            let Some(tick) = tick else { break };
            prop_assert!(tick > from);
            // The next tick is the same from every instant between two ticks.
            let between = from.plus(Millis((tick.since(from).0 - 1) * part / 1_000));
            prop_assert_eq!(plan.next_after(between), Some(tick));
            prop_assert_eq!(plan.next_after(tick.minus(Millis(1))), Some(tick));
            prop_assert_eq!(plan.last_before(tick.plus(Millis(1))), Some(tick));
            if from > start {
                prop_assert_eq!(plan.last_before(tick), Some(from));
            }
            prop_assert_eq!(plan.count_between(from, tick, 1), Some(1));
            let noted = plan.next_noted(from).unwrap();
            prop_assert_eq!(noted.at, tick);
            prop_assert_eq!(Timestamp::parse(&noted.local), Ok(tick));
            from = tick;
        }
    }

    #[test]
    fn the_canonical_form_is_stable_and_means_the_same(seed: u64) {
        let text = sample::expression(&mut SplitMix(seed));
        let (rule, _) = parse_cron(&text).unwrap();
        let Rule::Cron(canonical) = rule.clone() else { panic!("{text} is no cron rule") };
        let spaced = canonical.replace(' ', " \t ").to_lowercase();
        for again in [&canonical, &format!("  {spaced} ")] {
            prop_assert_eq!(&parse_cron(again).unwrap().0, &rule);
        }
        prop_assert_eq!(canonical.split(' ').count(), text.split(' ').count());
    }

    #[test]
    fn no_text_does_harm(text in "[@*?LWH#/,() 0-9A-Za-z=_\u{e9}-]{0,40}") {
        match parse_cron(&text) {
            Ok((Rule::Cron(canonical), _)) => {
                let rule = Rule::Cron(canonical.clone());
                prop_assert_eq!(parse_cron(&canonical).unwrap().0, rule.clone());
                let compiled = Plan::compile(&Schedule::of(rule), &text, "UTC", Timestamp(0));
                prop_assert!(compiled.unwrap().next_after_counted(Timestamp(0)).1 <= 50_000);
            }
            Ok(_) => {}
            Err(error) => {
                let column = error.column.unwrap();
                prop_assert!((1..=text.chars().count() + 1).contains(&column), "{}", error);
            }
        }
    }

    #[test]
    fn no_field_does_harm(
        fields in proptest::collection::vec("[0-9*?LWH#/,()-]{1,5}|[A-Z]{1,3}[L#/,-]?[0-9]?", 5..8)
    ) {
        let text = fields.join(" ");
        if let Ok((Rule::Cron(canonical), _)) = parse_cron(&text) {
            let rule = Rule::Cron(canonical.clone());
            prop_assert_eq!(parse_cron(&canonical).unwrap().0, rule.clone());
            let compiled = Plan::compile(&Schedule::of(rule), "task", "UTC", Timestamp(0));
            prop_assert!(compiled.unwrap().next_after_counted(Timestamp(0)).1 <= 50_000);
        }
    }

    #[test]
    fn intervals_do_not_drift(
        every in 100_u64..10_000_000_000, anchor in 0_i64..2_000_000_000_000, years in 0_u64..10
    ) {
        let rule = Rule::Interval { every: Millis(every), anchor: Some(Timestamp(anchor)) };
        let plan = plan(&Schedule::of(rule));
        let from = Timestamp(anchor).plus(Millis(years * 31_557_600_000));
        let tick = plan.next_after(from).unwrap();
        prop_assert_eq!((tick.0 - anchor).unsigned_abs() % every, 0);
        prop_assert!(tick > from && tick.since(from).0 <= every);
        prop_assert_eq!(plan.next_after(tick), Some(tick.plus(Millis(every))));
        let count = plan.count_between(Timestamp(anchor), from, 0).unwrap();
        prop_assert_eq!(count, from.since(Timestamp(anchor)).0 / every);
    }

    #[test]
    fn jitter_is_stable_and_bounded(jitter in 0_u64..100_000, tick in 0_i64..4_000_000_000_000) {
        let schedule = Schedule { jitter: Some(Millis(jitter)), ..Schedule::of(Rule::Manual) };
        let tick = Timestamp(tick);
        let due = plan(&schedule).due(tick);
        prop_assert!(due >= tick && due.since(tick).0 <= jitter);
        prop_assert_eq!(plan(&schedule).due(tick), due);
    }
}

#[test]
fn jitter_spreads_tasks_and_ticks_and_never_changes() {
    let schedule = Schedule { jitter: Some(Millis(60_000)), ..Schedule::of(Rule::Manual) };
    let of = |task: &str, tick: i64| {
        let plan = Plan::compile(&schedule, task, "UTC", Timestamp(0)).unwrap();
        plan.due(Timestamp(tick)).0 - tick
    };
    let golden = [of("a", 0), of("b", 0), of("a", 60_000), of("nightly-report", 1_800_000_000_000)];
    assert_eq!(golden, [47_466, 41_340, 36_533, 37_860]);
    let mean: i64 = (0..1_000).map(|tick| of("a", tick * 1_000)).sum::<i64>() / 1_000;
    assert!((27_000..33_000).contains(&mean), "{mean}");
}
