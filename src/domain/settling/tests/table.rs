//! Individual situations and their decisions.

use super::*;

/// The verdicts of a task so far, ordered by time, in milliseconds since noon.
fn told(owner: &TestOwner) -> Vec<String> {
    let history = &owner.task().history;
    let since = |at: Timestamp| at.since(NOON).0;
    let mut told: Vec<(Timestamp, String)> = Vec::new();
    for fired in &history.ticks {
        let (_, execution) = owner.state.execution(fired.execution).unwrap();
        let late = if execution.trigger == Trigger::CatchUp { " late" } else { "" };
        told.push((fired.tick, format!("{} fired{late}", since(fired.tick))));
    }
    for span in &history.spans {
        let count = span.count.map_or("?".to_owned(), |count| count.to_string());
        let (verdict, reason) = (format!("{:?}", span.verdict), format!("{:?}", span.reason));
        let line = format!("{} {verdict} {reason} ×{count}", since(span.to)).to_lowercase();
        told.push((span.to, line));
    }
    told.sort();
    told.into_iter().map(|(_, line)| line).collect()
}

/// Policy, window, maximum, current time, and the expected verdicts.
type CatchUpCase = (CatchUpPolicy, u64, u32, u64, &'static [&'static str]);

fn caught_up(
    mut spec: TaskSpec,
    policy: CatchUpPolicy,
    window: u64,
    max: u32,
    now: u64,
) -> TestOwner {
    spec.catch_up.policy = policy;
    spec.catch_up.window = Millis(window);
    spec.catch_up.max = max;
    let mut owner = TestOwner::of(spec, NOON);
    owner.now = later(now);
    owner.until_quiet();
    owner
}

#[test]
fn a_tick_is_on_time_until_failover_timeout() {
    // 4,999 ms old: on time under every policy. 5,000 ms: late.
    for (policy, late) in [
        (CatchUpPolicy::Last, "10000 fired late"),
        (CatchUpPolicy::All, "10000 fired late"),
        (CatchUpPolicy::None, "10000 missed nonode ×1"),
    ] {
        assert_eq!(told(&caught_up(every(10_000), policy, 60_000, 9, 14_999)), ["10000 fired"]);
        assert_eq!(told(&caught_up(every(10_000), policy, 60_000, 9, 15_000)), [late]);
    }
}

#[test]
fn policies_by_window_and_maximum() {
    use CatchUpPolicy::{All, Last, None};
    let cases: [CatchUpCase; 11] = [
        (Last, 60_000, 9, 36_000, &["29999 coalesced later ×2", "30000 fired late"]),
        (Last, 60_000, 9, 42_000, &["30000 coalesced later ×3", "40000 fired"]),
        (Last, 12_000, 9, 38_000, &["26000 missed window ×2", "30000 fired late"]),
        (Last, 2_000, 9, 38_000, &["33000 missed window ×3"]),
        (
            Last,
            18_000,
            9,
            40_000,
            &["22000 missed window ×2", "30000 coalesced later ×1", "40000 fired"],
        ),
        (All, 60_000, 9, 36_000, &["10000 fired late", "20000 fired late", "30000 fired late"]),
        (
            All,
            60_000,
            2,
            42_000,
            &["10000 missed max ×1", "20000 fired late", "30000 fired late", "40000 fired"],
        ),
        (All, 12_000, 1, 38_000, &["26000 missed window ×2", "30000 fired late"]),
        (
            All,
            25_000,
            1,
            38_000,
            &["13000 missed window ×1", "20000 missed max ×1", "30000 fired late"],
        ),
        (All, 2_000, 9, 40_000, &["35000 missed window ×3", "40000 fired"]),
        (None, 60_000, 9, 42_000, &["37000 missed nonode ×3", "40000 fired"]),
    ];
    for (policy, window, max, now, wanted) in cases {
        // Counted once arithmetically and once tick by tick.
        for spec in [every(10_000), cron("*/10 * * * * *")] {
            let owner = caught_up(spec, policy, window, max, now);
            assert_eq!(told(&owner), wanted, "{policy:?} window {window} max {max} at {now}");
        }
    }
}

#[test]
fn due_ticks_are_claimed_together_and_the_next_one_ahead() {
    let mut owner = TestOwner::of(every(1_000), NOON);
    owner.now = later(3_980);
    let Decision::Settle(steps) = owner.decide() else { panic!("something is due") };
    let ticks: Vec<_> = steps.iter().map(|step| step.claim.unwrap().tick).collect();
    assert_eq!(ticks, [1_000, 2_000, 3_000, 4_000].map(later));
    owner.settle(steps);
    assert_eq!(owner.decide(), Decision::Wake(later(4_980)));
    owner.now = later(4_979);
    assert_eq!(owner.decide(), Decision::Wake(later(4_980)));
    owner.lead = Millis(0);
    assert_eq!(owner.decide(), Decision::Wake(later(5_000)));
}

#[test]
fn of_a_task_that_fires_once_only_the_first_tick_decides() {
    use CatchUpPolicy::{All, Last, None};
    let cases: [CatchUpCase; 9] = [
        (Last, 60_000, 9, 10_000, &["10000 fired"]),
        (Last, 60_000, 9, 12_000, &["10000 fired"]),
        (Last, 60_000, 9, 36_000, &["29999 coalesced later ×2", "30000 fired late"]),
        (Last, 60_000, 9, 42_000, &["30000 coalesced later ×3", "40000 fired"]),
        (Last, 18_000, 9, 40_000, &["22000 missed window ×2"]),
        (All, 60_000, 9, 36_000, &["10000 fired late"]),
        (All, 60_000, 2, 42_000, &["10000 missed max ×1"]),
        (All, 25_000, 9, 38_000, &["13000 missed window ×1"]),
        (None, 60_000, 9, 42_000, &["37000 missed nonode ×3"]),
    ];
    for (policy, window, max, now, wanted) in cases {
        for mut spec in [every(10_000), cron("*/10 * * * * *")] {
            spec.one_shot = true;
            let mut owner = caught_up(spec, policy, window, max, now);
            let what = format!("{policy:?} window {window} max {max} at {now}");
            assert_eq!(told(&owner), wanted, "{what}");
            assert!(owner.task().progress.exhausted, "{what}");
            owner.now = later(now + 100_000);
            assert_eq!(owner.decide(), Decision::Idle, "{what}");
        }
    }
}

#[test]
fn a_task_that_has_fired_is_completed_when_it_is_to_fire_once_only() {
    let mut owner = TestOwner::of(every(10_000), NOON);
    owner.now = later(10_000);
    owner.until_quiet();
    let mut spec = every(10_000);
    spec.one_shot = true;
    let mode = PutMode::Update { if_match: None };
    owner.accept(Command::Put(Box::new(Put { mode, spec })));
    assert_eq!(owner.until_quiet(), Decision::Idle);
    assert!(owner.task().progress.exhausted);
    assert_eq!(told(&owner), ["10000 fired"]);
}

#[test]
fn what_has_no_tick_of_its_own_is_left_alone() {
    let mut off = every(1_000);
    off.enabled = false;
    for (spec, pause) in [(spec(Rule::Manual), false), (off, false), (every(1_000), true)] {
        let mut owner = TestOwner::of(spec, NOON);
        if pause {
            owner.pause(None);
        }
        owner.now = later(100_000);
        assert_eq!(owner.decide(), Decision::Idle);
    }
}

#[test]
fn the_last_tick_of_a_schedule_says_so() {
    let mut bounded = every(1_000);
    bounded.schedule.not_after = Some(later(2_500));
    let at = spec(Rule::At(later(3_000)));
    for (spec, now, wanted) in [
        (at.clone(), 3_000, &["3000 fired"][..]),
        (spec(Rule::Delay(Millis(3_000))), 3_000, &["3000 fired"]),
        (spec(Rule::Immediate), 0, &["0 fired"]),
        (bounded, 2_000, &["1000 fired", "2000 fired"]),
        // A tick outside its window never fires, and the schedule is exhausted.
        (at, 4_000_000, &["400000 missed window ×1"]),
    ] {
        let mut owner = TestOwner::of(spec, NOON);
        owner.now = later(now);
        assert_eq!(owner.until_quiet(), Decision::Idle);
        assert!(owner.task().progress.exhausted);
        assert_eq!(told(&owner), wanted);
    }
}

#[test]
fn a_pause_ends_just_before_a_tick_at_its_end() {
    for (until, wanted) in [
        (2_500, &["2500 skipped paused ×2", "3000 fired"][..]),
        (3_000, &["2999 skipped paused ×2", "3000 fired"]),
        (900, &["900 skipped paused ×0", "1000 fired", "2000 fired", "3000 fired"]),
    ] {
        let mut owner = TestOwner::of(every(1_000), NOON);
        owner.pause(Some(later(until)));
        assert_eq!(owner.decide(), Decision::Wake(later(until)));
        owner.now = later(3_000);
        assert_eq!(owner.until_quiet(), Decision::Wake(later(3_980)));
        assert!(owner.task().live.paused.is_none());
        assert_eq!(told(&owner), wanted, "{until}");
    }
}

#[test]
fn the_pause_of_a_task_without_ticks_ends_as_well() {
    for (rule, fired) in [(Rule::Manual, &[][..]), (Rule::Immediate, &["0 fired"])] {
        for catch_up_on_resume in [false, true] {
            let mut spec = spec(rule.clone());
            spec.catch_up_on_resume = catch_up_on_resume;
            let mut owner = TestOwner::of(spec, NOON);
            assert_eq!(owner.until_quiet(), Decision::Idle);
            owner.pause(Some(later(2_500)));
            assert_eq!(owner.decide(), Decision::Wake(later(2_500)));
            owner.now = later(3_000);
            assert_eq!(owner.until_quiet(), Decision::Idle);
            assert!(owner.task().live.paused.is_none());
            let mut wanted = fired.to_vec();
            wanted.push("2500 skipped paused ×0");
            assert_eq!(told(&owner), wanted);
        }
    }
}

#[test]
fn a_large_jitter_makes_no_tick_late_or_early() {
    // A jitter of one minute on ticks one second apart: each waits for its own due time and for the
    // ticks before it. None is coalesced or claimed before its due time.
    let mut spec = every(1_000);
    spec.schedule.jitter = Some(Millis(60_000));
    let mut owner = TestOwner::of(spec, NOON);
    while owner.task().history.ticks.len() < 400 {
        let Decision::Wake(at) = owner.until_quiet() else { panic!("it goes on for ever") };
        assert!(at > owner.now);
        owner.now = at;
    }
    let history = &owner.task().history;
    assert!(history.spans.is_empty(), "{:?}", history.spans);
    for fired in &history.ticks {
        let (_, execution) = owner.state.execution(fired.execution).unwrap();
        assert_eq!(execution.trigger, Trigger::Schedule);
    }
}

#[test]
fn ten_years_take_a_bounded_number_of_steps() {
    let years = Millis::from_secs(10 * 366 * 86_400);
    let hour = Millis::from_secs(3_600);
    for (policy, max, bound) in [
        (CatchUpPolicy::Last, 100, 4_000),
        (CatchUpPolicy::All, 100, 4_000),
        (CatchUpPolicy::None, 100, 2_000),
        (CatchUpPolicy::All, 10_000, 50_000),
    ] {
        for (window, jitter) in [(hour, 0), (years, 0), (years, 86_400_000)] {
            for mut spec in [cron("* * * * * *"), every(1_000), cron("0 0 0 29 2 *")] {
                spec.catch_up.policy = policy;
                spec.catch_up.max = max;
                spec.catch_up.window = window;
                spec.schedule.jitter = Some(Millis(jitter));
                let mut owner = TestOwner::of(spec, NOON);
                owner.now = NOON.plus(years);
                let (decision, steps) = steps_of(|| owner.decide());
                assert!(matches!(decision, Decision::Settle(_)));
                assert!(steps <= bound, "{policy:?} max {max} jitter {jitter}: {steps} steps");
            }
        }
    }
}

/// The calendar excludes parts of each minute of one hour a day. In ten years that is more periods
/// than one decision may inspect.
#[test]
fn ten_years_with_a_calendar_take_a_bounded_number_of_steps() {
    let years = Millis::from_secs(10 * 366 * 86_400);
    for policy in [CatchUpPolicy::Last, CatchUpPolicy::All, CatchUpPolicy::None] {
        for window in [Millis::from_secs(3_600), years] {
            for mut spec in [cron("* * * * * *"), every(1_000), cron("0 30 12 * * *")] {
                spec.catch_up.policy = policy;
                spec.catch_up.window = window;
                spec.schedule.exclude = vec!["x".to_owned()];
                let mut owner = TestOwner::of(spec, NOON);
                owner.now = NOON.plus(years);
                for _ in 0..20 {
                    let (decision, steps) = steps_of(|| owner.decide());
                    let Decision::Settle(decided) = decision else { break };
                    assert!(steps <= 100_000, "{policy:?}, window {window}: {steps} steps");
                    owner.settle(decided);
                }
            }
        }
    }
}
