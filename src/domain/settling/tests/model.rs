//! Compares decisions with a model that checks every tick individually.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Verdict, reason and trigger of one tick.
type TickFate = (Verdict, Option<Reason>, Option<Trigger>);

const FIRED: TickFate = (Verdict::Fired, None, Some(Trigger::Schedule));
const CAUGHT_UP: TickFate = (Verdict::Fired, None, Some(Trigger::CatchUp));
const COALESCED: TickFate = (Verdict::Coalesced, Some(Reason::Later), None);
const EXCLUDED: TickFate = (Verdict::Skipped, Some(Reason::Excluded), None);
const SKIPPED: TickFate = (Verdict::Skipped, Some(Reason::Paused), None);

fn missed(reason: Reason) -> TickFate {
    (Verdict::Missed, Some(reason), None)
}

/// Every tick in `(from, to]`.
fn ticks(plan: &Plan, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
    let mut all = Vec::new();
    let mut at = from;
    while let Some(tick) = plan.next_after(at).filter(|tick| *tick <= to) {
        all.push(tick);
        at = tick;
        assert!(all.len() < 20_000, "a test with too many ticks");
    }
    all
}

/// The expected result of each tick after `from`.
fn expected(owner: &TestOwner, from: Timestamp) -> BTreeMap<Timestamp, TickFate> {
    let (plan, spec) = (owner.plan(), owner.task().spec().unwrap());
    let jitter = spec.schedule.jitter.unwrap_or_default();
    let claimable = owner.now.plus(owner.lead);
    // A tick's age counts from the latest due time among the ticks up to and including it.
    let mut ready = Timestamp(i64::MIN);
    let mut open: Vec<(Timestamp, Timestamp)> = Vec::new();
    let mut fates = BTreeMap::new();
    for tick in ticks(&plan, from.minus(jitter), claimable) {
        ready = ready.max(plan.due(tick));
        if tick > from {
            if plan.due(tick) > claimable {
                break;
            }
            if plan.excluded(tick).is_some() {
                fates.insert(tick, EXCLUDED);
            } else {
                open.push((tick, ready));
            }
        }
    }
    let late = |ready: Timestamp| ready <= owner.now.minus(FAILOVER);
    let too_late = |ready: Timestamp| late(ready) && ready <= owner.now.minus(spec.catch_up.window);
    let on_time = open.iter().filter(|(_, ready)| !late(*ready)).count();
    let within = open.iter().filter(|(_, ready)| late(*ready) && !too_late(*ready)).count();
    let max = usize::try_from(spec.catch_up.max).unwrap();
    let mut seen = 0;
    let mut fate = |ready: Timestamp| {
        if !late(ready) {
            return FIRED;
        }
        if spec.catch_up.policy == CatchUpPolicy::None {
            return missed(Reason::NoNode);
        }
        if too_late(ready) {
            return missed(Reason::Window);
        }
        seen += 1;
        match spec.catch_up.policy {
            CatchUpPolicy::All if seen + max > within => CAUGHT_UP,
            CatchUpPolicy::All => missed(Reason::Max),
            _ if on_time == 0 && seen == within => CAUGHT_UP,
            _ => COALESCED,
        }
    };
    fates.extend(open.iter().map(|(tick, ready)| (*tick, fate(*ready))));
    fates
}

/// The result in the state of each tick in `(from, cursor]`. Each tick must have exactly one
/// verdict.
fn found(owner: &TestOwner, from: Timestamp) -> BTreeMap<Timestamp, TickFate> {
    let (plan, task) = (owner.plan(), owner.task());
    let mut fates = BTreeMap::new();
    for fired in task.history.ticks.iter().filter(|fired| fired.tick > from) {
        let (_, execution) = owner.state.execution(fired.execution).unwrap();
        assert_eq!((execution.tick, execution.due), (Some(fired.tick), plan.due(fired.tick)));
        let fate = (Verdict::Fired, None, Some(execution.trigger));
        assert!(fates.insert(fired.tick, fate).is_none());
        assert_eq!(plan.next_after(fired.tick.minus(Millis(1))), Some(fired.tick), "a real tick");
    }
    for span in task.history.spans.iter().filter(|span| span.to > from) {
        let within = ticks(&plan, span.from, span.to);
        if let Some(count) = span.count {
            assert_eq!(count, within.len() as u64, "counted right: {span:?}");
        }
        for tick in within {
            let fate = (span.verdict, Some(span.reason), None);
            assert!(fates.insert(tick, fate).is_none(), "two verdicts at {tick}");
        }
    }
    let settled: Vec<Timestamp> = fates.keys().copied().collect();
    assert_eq!(settled, ticks(&plan, from, task.progress.cursor), "none vanishes");
    assert!(task.progress.cursor <= owner.now.plus(owner.lead), "nothing in the future is settled");
    fates
}

/// Checks the final decision: the next tick is in the future, or there is none.
fn rests(owner: &TestOwner, quiet: &Decision) {
    let (plan, settled) = (owner.plan(), owner.state.settled(owner.task()));
    match plan.next_after(settled) {
        None => {
            assert_eq!(*quiet, Decision::Idle);
            assert!(owner.task().progress.exhausted);
        }
        Some(tick) => {
            let wake = plan.due(tick).minus(owner.lead);
            assert_eq!(*quiet, Decision::Wake(wake));
            assert!(wake > owner.now && !owner.task().progress.exhausted);
        }
    }
}

fn rules() -> impl Strategy<Value = TaskSpec> {
    prop_oneof![
        (100_u64..20_000).prop_map(every),
        Just(cron("*/7 * * * * *")),
        Just(cron("* * * * * *")),
        Just(cron("0 * * * * *")),
        Just(cron("0,1,2,3,40 */3 * * * *")),
        (0_u64..400_000).prop_map(|at| spec(Rule::At(later(at)))),
        Just(spec(Rule::Immediate)),
        (100_u64..4_000, 0_u64..400_000).prop_map(|(step, end)| {
            let mut spec = every(step);
            spec.schedule.not_after = Some(later(end));
            spec
        }),
    ]
}

fn specs() -> impl Strategy<Value = TaskSpec> {
    let jitter = prop_oneof![3 => Just(0_u64), 1 => 1_u64..300, 1 => 1_u64..60_000];
    let policy =
        prop_oneof![Just(CatchUpPolicy::Last), Just(CatchUpPolicy::All), Just(CatchUpPolicy::None)];
    let window = prop_oneof![Just(3_600_000_u64), 1_u64..600_000];
    let exclude = prop_oneof![Just(None), Just(Some("x".to_owned()))];
    let parts = (rules(), jitter, policy, window, 1_u32..60, exclude);
    parts.prop_map(|(mut spec, jitter, policy, window, max, exclude)| {
        spec.schedule.exclude = exclude.into_iter().collect();
        spec.schedule.jitter = Some(Millis(jitter)).filter(|jitter| jitter.0 > 0);
        spec.catch_up.policy = policy;
        spec.catch_up.window = Millis(window);
        spec.catch_up.max = max;
        spec
    })
}

/// How long the owner was absent, in milliseconds.
fn gap() -> impl Strategy<Value = u64> {
    prop_oneof![0_u64..10_000, 0_u64..60_000, 0_u64..400_000]
}

/// There are more ticks than live executions are allowed. Each check finds about twenty.
#[test]
fn a_task_that_fires_often_fires_all_of_its_ticks() {
    let mut owner = TestOwner::of(every(100), NOON);
    let begin = owner.task().progress.cursor;
    for _ in 0..60 {
        let Decision::Wake(at) = owner.until_quiet() else { panic!("it fires for ever") };
        owner.now = at.plus(Millis(1_999));
    }
    let fates = found(&owner, begin);
    assert!(fates.len() > 1_000);
    assert!(fates.values().all(|fate| *fate == FIRED));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// After an absence the decisions lead to the verdicts of the model.
    #[test]
    fn every_tick_gets_the_verdict_of_its_policy(spec in specs(), gap in gap(), lead in 0_u64..100) {
        let mut owner = TestOwner::of(spec, NOON);
        owner.lead = Millis(lead);
        let from = owner.task().progress.cursor;
        owner.now = later(gap);
        let wanted = expected(&owner, from);
        let quiet = owner.until_quiet();
        let found = found(&owner, from);
        let other = |(tick, fate): (&Timestamp, &TickFate)| {
            (wanted.get(tick) != Some(fate)).then(|| (*tick, *fate, wanted.get(tick).copied()))
        };
        prop_assert_eq!(found.iter().filter_map(other).collect::<Vec<_>>(), []);
        prop_assert_eq!(found.len(), wanted.len());
        rests(&owner, &quiet);
    }

    /// With repeated checks and absences, each tick has one verdict. While the owner is present,
    /// every tick fires on time.
    #[test]
    fn no_tick_vanishes_and_none_is_late_for_an_owner_that_is_there(
        spec in specs(),
        absences in prop::collection::vec((0_u64..30, gap()), 1..4),
        lag in 0_u64..2_000,
    ) {
        let mut owner = TestOwner::of(spec, NOON);
        let begin = owner.task().progress.cursor;
        let mut present = Vec::new();
        for (looks, absence) in absences {
            owner.until_quiet();
            let arrived = owner.task().progress.cursor;
            for _ in 0..looks {
                let Decision::Wake(at) = owner.until_quiet() else { break };
                prop_assert!(at > owner.now);
                // The owner wakes up a little late.
                owner.now = at.plus(Millis(lag));
            }
            owner.until_quiet();
            present.push((arrived, owner.task().progress.cursor));
            owner.now = owner.now.plus(Millis(absence));
        }
        let fates = found(&owner, begin);
        for (from, to) in present {
            for (tick, fate) in fates.range(from.plus(Millis(1))..).take_while(|(at, _)| **at <= to) {
                prop_assert!([FIRED, EXCLUDED].contains(fate), "{} {:?}", tick, fate);
            }
        }
    }

    /// The ticks of a pause are skipped, or late if the task catches up on resume. Other ticks are
    /// not affected.
    #[test]
    fn a_pause_with_an_end_covers_its_ticks_and_no_others(
        spec in specs(),
        catch_up_on_resume: bool,
        until in 1_u64..60_000,
        gap in gap(),
    ) {
        let mut spec = spec;
        spec.catch_up_on_resume = catch_up_on_resume;
        let mut owner = TestOwner::of(spec, NOON);
        let (until, from) = (later(until), owner.task().progress.cursor);
        owner.pause(Some(until));
        owner.now = later(gap);
        if owner.now < until {
            prop_assert_eq!(owner.decide(), Decision::Wake(until));
            return Ok(());
        }
        let resumed = if catch_up_on_resume { from } else { until.minus(Millis(1)) };
        let skipped = ticks(&owner.plan(), from, resumed);
        let mut wanted = expected(&owner, resumed);
        wanted.extend(skipped.into_iter().map(|tick| (tick, SKIPPED)));
        let quiet = owner.until_quiet();
        prop_assert_eq!(found(&owner, from), wanted);
        rests(&owner, &quiet);
    }
}
