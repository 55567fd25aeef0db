//! Statistics: their text in stories, and their properties.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::command::{OfExecution, SettleSpan};
use super::super::limits::DAYS_MAX;
use super::super::record::{DayCounts, LogHistogram, Reason, Statistics, Totals, Verdict};
use super::super::{State, Task};
use super::*;

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// The text of the statistics of a task, or of `all`.
pub(super) fn told(state: &State, name: &str) -> Vec<String> {
    let all = state.statistics();
    let nothing = Statistics::default();
    let (totals, success, recent, days): (_, _, _, Vec<DayCounts>) = match name {
        "all" => (&all.totals, all.last_success, &all.recent, all.days().collect()),
        name => {
            let task = state.named(name).unwrap_or_else(|| panic!("no task {name}"));
            let recent = task.recent().unwrap_or(&nothing);
            let progress = &task.progress;
            (&progress.totals, progress.last_success, recent, task.days().collect())
        }
    };
    let mut lines = vec![format!("in all: {}", counts(totals))];
    if let Some(at) = success {
        lines.push(format!("last success {}", telling::clock(at)));
    }
    let streaks = recent.streaks;
    if streaks.current > 0 {
        let what = if streaks.failing { "failures" } else { "successes" };
        lines.push(format!(
            "{} {what} in a row, at most {} successes and {} failures",
            streaks.current, streaks.longest_success, streaks.longest_failure
        ));
    }
    for (what, histogram) in [("took", &recent.durations), ("late", &recent.latenesses)] {
        let of = |percent| histogram.percentile(percent).unwrap_or(0);
        if let Some(max) = histogram.max() {
            let (count, p50, p95) = (histogram.count(), of(50), of(95));
            lines.push(format!("{what}: {count} times, p50 {p50} p95 {p95} max {max} ms"));
        }
    }
    for day in days {
        let date = &day.begin().to_string()[..10];
        lines.push(format!("{date}: {}", counts(&day.counts)));
    }
    lines
}

fn counts(totals: &Totals) -> String {
    const WORDS: [&str; 10] = [
        "fired",
        "skipped",
        "missed",
        "coalesced",
        "uncounted spans",
        "success",
        "failed",
        "timeout",
        "cancelled",
        "lost",
    ];
    let all = WORDS.iter().zip(totals.numbers()).filter(|(_, count)| *count > 0);
    let parts: Vec<String> = all.map(|(word, count)| format!("{word} {count}")).collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}

/// A step of the property test.
#[derive(Clone, Copy, Debug)]
enum CountedThing {
    /// A tick fires. Its execution ends with this status, duration and lateness.
    Run(Status, u64, u64),
    /// Ticks get this verdict.
    Span(Verdict, Option<u64>),
    /// Time passes, in days.
    Days(u64),
    /// The state is written and loaded.
    Reload,
    /// The task is replaced by a new incarnation.
    Replace,
}

fn thing() -> impl Strategy<Value = CountedThing> {
    let ends = [Status::Success, Status::Failed, Status::Timeout, Status::Cancelled, Status::Lost];
    let verdicts = [Verdict::Skipped, Verdict::Missed, Verdict::Coalesced];
    let run = (prop::sample::select(ends.to_vec()), 0_u64..100_000, 0_u64..9_000);
    let span = (prop::sample::select(verdicts.to_vec()), prop::option::of(0_u64..1_000));
    prop_oneof![
        12 => run.prop_map(|(status, took, late)| CountedThing::Run(status, took, late)),
        3 => span.prop_map(|(verdict, count)| CountedThing::Span(verdict, count)),
        5 => (0_u64..3).prop_map(CountedThing::Days),
        1 => (80_u64..100).prop_map(CountedThing::Days),
        2 => Just(CountedThing::Reload),
        1 => Just(CountedThing::Replace),
    ]
}

/// The expected counts, without any bound.
#[derive(Clone, Debug, Default)]
struct ExpectedCounts {
    days: BTreeMap<i64, Totals>,
    ends: Vec<Status>,
    durations: Vec<u64>,
    latenesses: Vec<u64>,
}

impl ExpectedCounts {
    fn day(&mut self, at: Timestamp) -> &mut Totals {
        self.days.entry(at.0.div_euclid(86_400_000)).or_default()
    }

    fn sum(&self) -> Totals {
        self.days.values().fold(Totals::default(), |sum, day| sum.plus(day))
    }

    /// The days that are kept: the newest one, and those less than 90 days before it.
    fn kept(&self) -> Vec<DayCounts> {
        let newest = self.days.last_key_value().map_or(0, |(day, _)| *day);
        let kept = self.days.range(newest - i64::from(DAYS_MAX) + 1..);
        kept.map(|(day, counts)| DayCounts { day: *day, counts: *counts }).collect()
    }

    /// The current streak, and the longest streaks of successes and of failures.
    fn streaks(&self) -> (u64, u64, u64) {
        let judged = self.ends.iter().filter(|status| **status != Status::Cancelled);
        let judged: Vec<bool> = judged.map(|status| *status == Status::Success).collect();
        let (mut current, mut longest) = (0, [0, 0]);
        let mut last = None;
        for success in judged {
            current = if last == Some(success) { current + 1 } else { 1 };
            last = Some(success);
            let longest = &mut longest[usize::from(success)];
            *longest = current.max(*longest);
        }
        (current, longest[1], longest[0])
    }

    fn holds(&self, totals: &Totals, recent: &Statistics, days: Vec<DayCounts>) {
        assert_eq!(*totals, self.sum());
        assert_eq!(days, self.kept());
        let streaks = recent.streaks;
        let found = (streaks.current, streaks.longest_success, streaks.longest_failure);
        assert_eq!(found, self.streaks());
        near(&recent.durations, &self.durations);
        near(&recent.latenesses, &self.latenesses);
    }
}

/// Checks a histogram against its exact values.
fn near(histogram: &LogHistogram, values: &[u64]) {
    assert_eq!(histogram.count(), values.len() as u64);
    assert_eq!(histogram.max(), values.iter().copied().max());
    let mut values = values.to_vec();
    values.sort_unstable();
    for percent in [50, 95] {
        let rank = (values.len() * percent).div_ceil(100).max(1);
        let exact = values.get(rank - 1).copied();
        let found = histogram.percentile(percent as u64);
        assert_eq!(found.is_some(), exact.is_some());
        let (found, exact) = (found.unwrap_or(0), exact.unwrap_or(0));
        assert!(exact <= found && found <= exact + exact / 8, "{found} for {exact}");
    }
}

/// A cluster with one task, and the expected counts.
struct CountedWorld {
    world: TestWorld,
    session: SessionId,
    task: TaskKey,
    own: ExpectedCounts,
    all: ExpectedCounts,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl CountedWorld {
    fn new() -> Self {
        let mut world = TestWorld::new();
        let session = world.node(1, 1);
        let task = world.add(every("counted", 1_000));
        let store = world.state.all_rows().collect();
        let (own, all) = (ExpectedCounts::default(), ExpectedCounts::default());
        Self { world, session, task, own, all, store }
    }

    fn count(&mut self, change: impl Fn(&mut Totals)) {
        let at = self.world.stamp;
        change(self.own.day(at));
        change(self.all.day(at));
    }

    fn run(&mut self, status: Status, took: u64, late: u64) {
        let tick = self.world.stamp;
        let (execution, fence) = self.world.fire(self.task, self.session, tick);
        let started = tick.plus(Millis(late));
        if status == Status::Cancelled {
            self.world.accept(&Command::Stop(OfExecution { task: self.task, execution }));
        }
        let report = Report {
            ended_at: started.plus(Millis(took)),
            unknown: false,
            ..report(status, started)
        };
        self.world.accept(&finish(self.task, execution, fence, report));
        self.count(|totals| totals.fired += 1);
        self.count(|totals| totals.end(status));
        for expected in [&mut self.own, &mut self.all] {
            expected.ends.push(status);
            expected.durations.push(took);
            expected.latenesses.push(late);
        }
    }

    fn span(&mut self, verdict: Verdict, count: Option<u64>) {
        let settle = self.world.claim(self.task, self.session, self.world.stamp);
        let span = SettleSpan { to: self.world.stamp, verdict, reason: Reason::Window, count };
        let settle = Settle { claim: None, spans: vec![span], ..settle };
        self.world.accept(&Command::Settle(settle));
        match count {
            None => self.count(|totals| totals.uncounted_spans += 1),
            Some(0) => {}
            Some(count) => self.count(|totals| totals.ticks(verdict, count)),
        }
    }

    fn step(&mut self, thing: CountedThing) {
        self.world.wait(1);
        match thing {
            CountedThing::Run(status, took, late) => self.run(status, took, late),
            CountedThing::Span(verdict, count) => self.span(verdict, count),
            CountedThing::Days(days) => self.world.wait(days * DAY_MS),
            CountedThing::Reload => {
                let state = load(std::mem::take(&mut self.store));
                assert_eq!(state.digest(), self.world.state.digest());
                self.store = state.all_rows().collect();
                self.world.state = state;
            }
            CountedThing::Replace => {
                self.task = self.world.put(PutMode::Force, every("counted", 1_000));
                self.own = ExpectedCounts::default();
            }
        }
        // A checkpoint writes everything that changed.
        let dirty = self.world.state.take_dirty();
        write(&mut self.store, self.world.state.changed_rows(&dirty));
        assert_eq!(self.store, self.world.state.all_rows().collect());
        assert_eq!(self.world.state.check(), Ok(()));
        self.holds();
    }

    fn holds(&self) {
        let task = self.world.state.task(self.task).expect("the task");
        let nothing = Statistics::default();
        let recent = task.recent().unwrap_or(&nothing);
        self.own.holds(&task.progress.totals, recent, task.days().collect());
        let all = self.world.state.statistics();
        self.all.holds(&all.totals, &all.recent, all.days().collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Totals, days, streaks and histograms match the history of the task and of the cluster, also
    /// after the state was written and loaded.
    #[test]
    fn all_that_happens_is_counted_once(things in prop::collection::vec(thing(), 1..80)) {
        let mut world = CountedWorld::new();
        things.into_iter().for_each(|thing| world.step(thing));
    }
}

#[test]
fn a_task_that_never_ran_keeps_nothing() {
    let mut world = TestWorld::new();
    let before = world.state.all_rows().count();
    let task = world.add(every("dormant", 1_000));
    assert!(world.state.task(task).expect("it").statistics.is_none());
    // The rows of its definition, live record and progress.
    assert_eq!(world.state.all_rows().count(), before + 3);
    assert_eq!(size_of_val(&world.state.task(task).expect("it").statistics), 8);
}

#[test]
fn the_cluster_keeps_the_counts_of_tasks_that_are_gone() {
    let mut world = CountedWorld::new();
    world.step(CountedThing::Run(Status::Success, 3, 0));
    world.step(CountedThing::Days(1));
    world.step(CountedThing::Run(Status::Failed, 3, 0));
    world.world.accept(&Command::Cleanup(named("counted")));
    let state = &world.world.state;
    let all = state.statistics();
    world.all.holds(&all.totals, &all.recent, all.days().collect());
    let days = |(key, _): &(Vec<u8>, Vec<u8>)| key[0] == b'y';
    assert_eq!(state.all_rows().filter(days).count(), 0);
    assert_eq!(state.check(), Ok(()));
}

#[test]
fn a_claim_leaves_past_days_where_they_are() {
    let mut world = CountedWorld::new();
    for _ in 0..6 {
        world.step(CountedThing::Run(Status::Success, 3, 0));
        world.step(CountedThing::Days(1));
    }
    world.step(CountedThing::Run(Status::Success, 3, 0));
    let days = |task: &Task| Arc::clone(&task.statistics.as_ref().expect("counts").days);
    let before = days(world.world.state.task(world.task).expect("it"));
    world.world.wait(1);
    world.run(Status::Failed, 3, 0);
    assert!(Arc::ptr_eq(&before, &days(world.world.state.task(world.task).expect("it"))));
    let dirty = world.world.state.take_dirty();
    let rows = world.world.state.changed_rows(&dirty);
    assert!(rows.iter().all(|(key, _)| key[0] != b'y'), "{} rows", rows.len());
}

#[test]
fn a_mark_that_is_old_forgets_what_was_counted() {
    let mut world = CountedWorld::new();
    world.step(CountedThing::Run(Status::Success, 3, 0));
    world.step(CountedThing::Days(1));
    world.step(CountedThing::Run(Status::Success, 3, 0));
    world.world.accept(&Command::MarkDeleted(deletion("counted")));
    world.world.wait(31 * DAY_MS);
    world.world.add(every("other", 1_000));
    let task = world.world.state.named("counted").expect("the mark");
    assert!(task.statistics.is_none() && task.progress.totals.success == 2);
    assert_eq!(world.world.state.check(), Ok(()));
    let rows: Vec<_> = world.world.state.all_rows().collect();
    assert_eq!(load(rows).digest(), world.world.state.digest());
}
