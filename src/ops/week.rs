//! How many ticks each hour of a week has, and which minute has most.

use std::collections::BTreeMap;

use super::context::StateView;
use super::plans::{self, FiringTicks};
use crate::domain::machine::Task;
use crate::domain::schedule::Rule;
use crate::domain::time::{Millis, Timestamp};

const MINUTE_MS: i64 = 60_000;
/// Ticks and hours that are looked at in all.
const STEPS_MAX: u64 = 5_000_000;
/// Ticks of a task that are counted one by one in an hour.
const COUNTED: u64 = 100_000;
/// Tasks of an hour that are listed.
const LISTED: usize = 200;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
fn ticking(view: &StateView) -> impl Iterator<Item = (&Task, FiringTicks)> {
    view.state.tasks().filter_map(|task| Some((&**task, plans::firing(view, task)?)))
}

/// Counts the ticks of hours. `bounds` are their beginnings and the end of the last one, in order. An
/// hour that a clock change leaves out begins when the next one does.
pub(crate) fn count(view: &StateView, bounds: &[Timestamp]) -> WeekTicks {
    let hours = vec![0; bounds.len().saturating_sub(1)];
    let mut week = WeekTicks { hours, worst: None, partial: false };
    let mut minutes: BTreeMap<i64, u64> = BTreeMap::new();
    let mut steps = 0_u64;
    let now = view.now.minus(Millis(1));
    for (task, ticks) in ticking(view) {
        let begin = now.max(ticks.after);
        if often(task) && ticks.countable(task) {
            for (hour, ends) in week.hours.iter_mut().zip(bounds.windows(2)) {
                let &[from, to] = ends else { continue };
                let (start, end) = (from.minus(Millis(1)).max(begin), to.minus(Millis(1)));
                if end > start {
                    *hour += ticks.plan.count_between(start, end, COUNTED).unwrap_or(COUNTED);
                }
            }
            steps += week.hours.len() as u64;
        } else {
            let mut last = None;
            for tick in ticks.from(begin) {
                let begun = bounds.partition_point(|bound| *bound <= tick);
                let hour = begun.checked_sub(1).and_then(|hour| week.hours.get_mut(hour));
                let Some(hour) = hour else { break };
                *hour += 1;
                let minute = tick.0.div_euclid(MINUTE_MS);
                if last.replace(minute) != Some(minute) {
                    *minutes.entry(minute).or_default() += 1;
                }
                steps += 1;
                if steps > STEPS_MAX {
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

/// The tasks that tick between two instants, with the number of their ticks, most first; and how many
/// tasks there are.
pub(crate) fn of_hour(
    view: &StateView,
    from: Timestamp,
    to: Timestamp,
) -> (Vec<(String, u64)>, usize) {
    let start = from.max(view.now).minus(Millis(1));
    let count = |(task, ticks): (&Task, FiringTicks)| {
        let count = if ticks.countable(task) {
            let (start, end) = (start.max(ticks.after), to.minus(Millis(1)));
            if end <= start {
                return None;
            }
            ticks.plan.count_between(start, end, COUNTED).unwrap_or(COUNTED)
        } else {
            ticks.from(start).take_while(|tick| *tick < to).count() as u64
        };
        (count > 0).then(|| (task.live.name.to_string(), count))
    };
    let mut found: Vec<(String, u64)> = ticking(view).filter_map(count).collect();
    found.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let all = found.len();
    found.truncate(LISTED);
    (found, all)
}
