//! Simulates all ticks in a time range.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::domain::schedule::Plan;
use crate::domain::time::{Millis, Timestamp};

/// Maximum number of ticks.
const TICKS_MAX: u64 = 5_000_000;
/// Number of busiest minutes reported.
const BUSIEST: usize = 5;
const MINUTE: i64 = 60_000;

/// A task to simulate.
pub(super) struct Planned {
    pub name: String,
    pub plan: Plan,
    /// Ticks after this instant count.
    pub begin: Timestamp,
    pub max_ticks: u64,
}

/// The result for one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SimulatedTask {
    pub name: String,
    pub ticks: u64,
    pub excluded: u64,
    pub first: Option<Timestamp>,
    pub last: Option<Timestamp>,
    /// The expected duration of an execution.
    pub expected: Millis,
    /// Number of ticks at which an execution of the task was still running.
    pub overlaps: u64,
    /// Maximum number of concurrent executions of the task.
    pub at_once: u64,
}

/// The result for all tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SimulationOutcome {
    pub reports: Vec<SimulatedTask>,
    pub ticks: u64,
    pub excluded: u64,
    /// The minutes with the most due ticks.
    pub busiest: Vec<(Timestamp, u64)>,
    /// Maximum number of concurrent executions.
    pub at_once: u64,
}

/// Simulates the ticks of each task from its begin up to `to` (inclusive).
pub(super) fn run(
    tasks: &[Planned],
    to: Timestamp,
    expected: &dyn Fn(&str) -> Millis,
) -> Result<SimulationOutcome, String> {
    let mut minutes: BTreeMap<i64, u64> = BTreeMap::new();
    // Starts and ends of executions of all tasks, by instant. At the same instant, ends come before
    // starts.
    let mut changes: BTreeMap<(Timestamp, bool), u64> = BTreeMap::new();
    let mut out = SimulationOutcome {
        reports: Vec::new(),
        ticks: 0,
        excluded: 0,
        busiest: Vec::new(),
        at_once: 0,
    };
    for task in tasks {
        let takes = expected(&task.name);
        let left = TICKS_MAX.saturating_sub(out.ticks + out.excluded);
        let report = one(task, to, takes, left, &mut |due| {
            *minutes.entry(due.0.div_euclid(MINUTE)).or_default() += 1;
            if takes > Millis(0) {
                *changes.entry((due, true)).or_default() += 1;
                *changes.entry((due.plus(takes), false)).or_default() += 1;
            }
        })?;
        out.ticks += report.ticks;
        out.excluded += report.excluded;
        out.reports.push(report);
    }
    let mut running = 0_u64;
    for ((_, begins), count) in changes {
        running = if begins { running + count } else { running.saturating_sub(count) };
        out.at_once = out.at_once.max(running);
    }
    let mut busiest: Vec<(i64, u64)> = minutes.into_iter().collect();
    busiest.sort_by_key(|(minute, count)| (Reverse(*count), *minute));
    let of_minute = |(minute, count): (i64, u64)| (Timestamp(minute * MINUTE), count);
    out.busiest = busiest.into_iter().take(BUSIEST).map(of_minute).collect();
    Ok(out)
}

fn one(
    task: &Planned,
    to: Timestamp,
    expected: Millis,
    left: u64,
    due: &mut dyn FnMut(Timestamp),
) -> Result<SimulatedTask, String> {
    let mut report = SimulatedTask {
        name: task.name.clone(),
        ticks: 0,
        excluded: 0,
        first: None,
        last: None,
        expected,
        overlaps: 0,
        at_once: 0,
    };
    // End times of the running executions, earliest first.
    let mut running: BinaryHeap<Reverse<Timestamp>> = BinaryHeap::new();
    let mut at = task.begin;
    while let Some(tick) = task.plan.next_after(at).filter(|tick| *tick <= to) {
        if report.ticks >= task.max_ticks {
            break;
        }
        if report.ticks + report.excluded >= left {
            let name = &task.name;
            return Err(format!("more than {TICKS_MAX} ticks, at {tick} of {name}: choose less"));
        }
        at = tick;
        if task.plan.excluded(tick).is_some() {
            report.excluded += 1;
            continue;
        }
        report.ticks += 1;
        report.first = report.first.or(Some(tick));
        report.last = Some(tick);
        let begins = task.plan.due(tick);
        due(begins);
        if expected > Millis(0) {
            while running.peek().is_some_and(|Reverse(end)| *end <= begins) {
                running.pop();
            }
            report.overlaps += u64::from(!running.is_empty());
            running.push(Reverse(begins.plus(expected)));
            report.at_once = report.at_once.max(running.len() as u64);
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::schedule::{Rule, Schedule, parse_cron};

    const NOON: Timestamp = Timestamp(1_772_452_800_000);

    fn planned(name: &str, rule: Rule, max_ticks: u64) -> Planned {
        let plan = Plan::compile(&Schedule::of(rule), name, "UTC", NOON).unwrap();
        Planned { name: name.to_owned(), plan, begin: NOON, max_ticks }
    }

    #[test]
    fn ticks_overlaps_and_peaks_are_counted() {
        let every = |millis| Rule::Interval { every: Millis(millis), anchor: None };
        let tasks = [
            planned("ten", every(10_000), u64::MAX),
            planned("hourly", parse_cron("@hourly").unwrap().0, u64::MAX),
            planned("twice", every(60_000), 2),
            Planned { begin: NOON.minus(Millis(1)), ..planned("now", Rule::Immediate, 9) },
        ];
        let expected = |name: &str| Millis(if name == "ten" { 25_000 } else { 0 });
        let to = NOON.plus(Millis::from_secs(3_600));
        let ran = run(&tasks, to, &expected).unwrap();
        let counts: Vec<u64> = ran.reports.iter().map(|report| report.ticks).collect();
        assert_eq!(counts, [360, 1, 2, 1]);
        assert_eq!((ran.reports[0].overlaps, ran.reports[0].at_once), (359, 3));
        assert_eq!((ran.at_once, ran.ticks), (3, 364));
        // 12:01 has one tick of `twice` and six of `ten`.
        assert_eq!(ran.busiest[0], (NOON.plus(Millis(60_000)), 7));
        assert_eq!(ran.reports[1].first, Some(to));
        assert_eq!(ran.reports[2].last, Some(NOON.plus(Millis(120_000))));
    }

    #[test]
    fn too_many_ticks_are_refused() {
        let every = Rule::Interval { every: Millis(100), anchor: None };
        let tasks = [planned("fast", every, u64::MAX)];
        let to = NOON.plus(Millis::from_secs(86_400 * 40));
        let refused = run(&tasks, to, &|_| Millis(0)).unwrap_err();
        assert!(refused.contains("of fast"), "{refused}");
    }
}
