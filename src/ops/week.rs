//! How many ticks each hour of a week has, and which minute has most.

use std::collections::BTreeMap;

use super::context::StateView;
use super::plans;
use crate::domain::machine::Task;
use crate::domain::schedule::{Plan, Rule};
use crate::domain::time::{Millis, Timestamp};

/// Hours of a week.
pub(crate) const HOURS: usize = 168;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 3_600_000;
/// Ticks and hours that are looked at in all.
const STEPS_MAX: u64 = 5_000_000;
/// Ticks of a task that are counted one by one in an hour.
const COUNTED: u64 = 100_000;
/// Tasks of an hour that are listed.
const LISTED: usize = 200;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WeekTicks {
    /// The ticks of each hour.
    pub hours: Vec<u64>,
    /// The minute in which most tasks tick, and how many they are. Tasks with an interval below one
    /// minute tick in all of them and do not count.
    pub worst: Option<(Timestamp, u64)>,
    /// There are more ticks than were counted.
    pub partial: bool,
}

/// The tasks that will tick, as things stand.
fn ticking(view: &StateView) -> impl Iterator<Item = (&Task, Plan)> {
    let on = view.state.cluster().scheduler;
    let tasks = view.state.tasks().filter(move |task| {
        on && task.inactive().is_none() && !task.progress.exhausted && !task.used_up()
    });
    tasks.filter_map(|task| Some((&**task, plans::current(&view.state, task)?)))
}

/// Counts the ticks of a week that begins at an instant.
pub(crate) fn count(view: &StateView, from: Timestamp) -> WeekTicks {
    let mut week = WeekTicks { hours: vec![0; HOURS], worst: None, partial: false };
    let mut minutes: BTreeMap<i64, u64> = BTreeMap::new();
    let mut steps = 0_u64;
    let begin = from.max(view.now.minus(Millis(1)));
    for (task, plan) in ticking(view) {
        let one = task.spec().is_some_and(|spec| spec.one_shot);
        if often(task) {
            for (at, hour) in (0_i64..).zip(&mut week.hours) {
                let end = Timestamp(from.0 + (at + 1) * HOUR_MS - 1);
                let start = Timestamp(from.0 + at * HOUR_MS - 1).max(begin);
                if end > start {
                    *hour += plan.count_between(start, end, COUNTED).unwrap_or(COUNTED);
                }
            }
            steps += HOURS as u64;
        } else {
            let first = plan.next_open(begin);
            let mut last = None;
            for tick in std::iter::successors(first, |tick| plan.next_open(*tick)) {
                let hour = usize::try_from((tick.0 - from.0) / HOUR_MS).unwrap_or(HOURS);
                let Some(hour) = week.hours.get_mut(hour) else { break };
                *hour += 1;
                let minute = tick.0.div_euclid(MINUTE_MS);
                if last.replace(minute) != Some(minute) {
                    *minutes.entry(minute).or_default() += 1;
                }
                steps += 1;
                if one || steps > STEPS_MAX {
                    break;
                }
            }
        }
        if steps > STEPS_MAX {
            week.partial = true;
            break;
        }
    }
    // Of equal ones the first.
    let worst = minutes.into_iter().max_by_key(|(minute, count)| (*count, -minute));
    week.worst = worst.map(|(minute, count)| (Timestamp(minute * MINUTE_MS), count));
    week
}

/// Whether a task ticks more than once a minute, all the time.
fn often(task: &Task) -> bool {
    let rule = task.spec().map(|spec| &spec.schedule.rule);
    matches!(rule, Some(Rule::Interval { every, .. }) if every.0 < 60_000)
}

/// The tasks that tick in an hour, with the number of their ticks, most first; and how many there are.
pub(crate) fn of_hour(view: &StateView, from: Timestamp) -> (Vec<(String, u64)>, usize) {
    let start = from.minus(Millis(1)).max(view.now.minus(Millis(1)));
    let end = Timestamp(from.0 + HOUR_MS - 1);
    let ticks = |(task, plan): (&Task, Plan)| {
        let first = plan.next_open(start).filter(|first| *first <= end)?;
        let count = plan.count_between(first.minus(Millis(1)), end, COUNTED).unwrap_or(COUNTED);
        Some((task.live.name.to_string(), count))
    };
    let mut found: Vec<(String, u64)> = ticking(view).filter_map(ticks).collect();
    found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let all = found.len();
    found.truncate(LISTED);
    (found, all)
}
