//! What a definition that is not saved yet would mean: its next ticks, those at clock changes, the
//! ticks of each day of a year, and which ticks it adds to and takes from those of the task.

use serde_json::Value;

use super::context::{ApiSettings, StateView};
use super::preview::{self, PreviewSchedule};
use super::{plans, views};
use crate::domain::machine::Task;
use crate::domain::schedule::{Plan, Rule, Schedule};
use crate::domain::spec;
use crate::domain::task::TaskSpec;
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{NextTick, PreviewView};

/// The next ticks that are listed.
const NEXT: u64 = 10;
/// Ticks of a day that are counted one by one. With more, a day has "more than this".
pub(crate) const DAY_TICKS_MAX: u64 = 1_500;
/// A day without a clock change, in milliseconds.
const DAY_MS: u64 = 86_400_000;
/// Ticks that are inspected at each clock change, and those of them that are listed.
const CHANGE_TICKS_MAX: usize = 2_000;
const CHANGE_TICKS_LISTED: usize = 4;
/// The ticks of so many days are compared.
const COMPARED: Millis = Millis(7 * DAY_MS);
/// Ticks that are inspected to compare.
const COMPARED_TICKS_MAX: usize = 20_000;
/// Ticks of each kind that are listed.
const COMPARED_LISTED: usize = 5;
/// The name by which `H` is resolved while a task has none.
const NAMELESS: &str = "preview";

/// A definition that is not saved yet, as far as it can be read.
#[derive(Clone, Debug)]
pub(crate) struct DraftSchedule {
    /// Its schedule.
    pub schedule: Schedule,
    /// All of it, if it is valid.
    pub spec: Option<TaskSpec>,
    plan: Plan,
    now: Timestamp,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct DraftTicks {
    /// Its words, next ticks and warnings.
    pub preview: PreviewView,
    /// Ticks that a clock change affects, of the days with one.
    pub at_changes: Vec<NextTick>,
    /// The days with a clock change, by their beginnings.
    pub change_days: Vec<Timestamp>,
    /// The ticks of each day; [`DAY_TICKS_MAX`] + 1: more than can be counted.
    pub days: Vec<u64>,
    /// What changes for the task.
    pub moved: Option<TickChanges>,
}

/// The ticks of the next days that only one of two schedules has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TickChanges {
    /// How many go, and the first of them.
    pub gone: (u64, Vec<Timestamp>),
    /// How many come, and the first of them.
    pub come: (u64, Vec<Timestamp>),
    /// How many stay.
    pub kept: u64,
    /// Up to here they were compared.
    pub until: Timestamp,
}

impl DraftSchedule {
    /// The schedule of a body. `spec`: the definition, if all of the body is valid. None: the schedule
    /// has a problem.
    pub fn of(
        view: &StateView,
        settings: &ApiSettings,
        body: &Value,
        spec: Option<TaskSpec>,
        task: Option<&Task>,
    ) -> Option<Self> {
        let named = body.get("name").and_then(Value::as_str);
        let name = named.filter(|name| spec::check_name(name).is_ok()).unwrap_or(NAMELESS);
        let schedule = match &spec {
            Some(spec) => spec.schedule.clone(),
            None => {
                let asked = PreviewSchedule::of_object(body.get("schedule")?.as_object());
                asked.read(name, view, view.now, settings).ok()?
            }
        };
        // A schedule that stays keeps its beginning, and with it the ticks of an interval.
        let former = task.and_then(|task| Some((task.spec()?, task.live.scheduled_at)));
        let set_at = former
            .filter(|(former, _)| former.schedule == schedule)
            .map_or(view.now, |(_, set_at)| set_at);
        let calendars = view.state.excluded_by(&schedule);
        let plan = Plan::excluding(&schedule, name, view.zone(), set_at, calendars).ok()?;
        Some(Self { schedule, spec, plan, now: view.now })
    }

    /// The zone in which its days are shown.
    pub fn zone<'a>(&'a self, view: &'a StateView) -> &'a str {
        self.schedule.timezone.as_deref().unwrap_or_else(|| view.zone())
    }

    /// What it means. `bounds` are the beginnings of days in its zone, and the end of the last one.
    pub fn ticks(&self, view: &StateView, bounds: &[Timestamp], task: Option<&Task>) -> DraftTicks {
        let (plan, schedule) = (&self.plan, &self.schedule);
        // The only tick of `immediate` is the instant at which it is set.
        let after = if plan.once() { self.now.minus(Millis(1)) } else { self.now };
        let mut preview = preview::preview(view, plan, schedule, after, NEXT, false);
        if let Some(spec) = &self.spec {
            let known = |code: &str| preview.warnings.iter().any(|known| known.code == code);
            let of_all = views::warnings(&view.state, spec);
            let more: Vec<_> = of_all.into_iter().filter(|one| !known(&one.code)).collect();
            preview.warnings.extend(more);
        }
        let changes = change_days(bounds);
        let moved = task.zip(self.spec.as_ref()).and_then(|(task, spec)| {
            let former = task.spec()?;
            let old = plans::current(&view.state, task)?;
            let fired = task.progress.totals.fired;
            let old = firing(former, &old, fired, self.now);
            Some(compare(old, firing(spec, plan, fired, self.now), self.now.plus(COMPARED)))
        });
        DraftTicks {
            preview,
            at_changes: changes.iter().flat_map(|ends| at_change(plan, *ends)).collect(),
            change_days: changes.into_iter().map(|(from, _)| from).collect(),
            days: days(plan, schedule, after, bounds),
            moved,
        }
    }
}

/// The days that are not 24 hours long.
fn change_days(bounds: &[Timestamp]) -> Vec<(Timestamp, Timestamp)> {
    let ends = bounds.windows(2).filter_map(|ends| Some((*ends.first()?, *ends.get(1)?)));
    ends.filter(|(from, to)| to.since(*from).0 != DAY_MS).collect()
}

/// The ticks of a day, and the first one after it, that its clock change affects.
fn at_change(plan: &Plan, (from, to): (Timestamp, Timestamp)) -> Vec<NextTick> {
    let first = plan.next_noted(from.minus(Millis(1)));
    let ticks =
        std::iter::successors(
            first,
            |tick| {
                if tick.at >= to { None } else { plan.next_noted(tick.at) }
            },
        );
    let noted = ticks.take(CHANGE_TICKS_MAX).filter(|tick| tick.note.is_some());
    noted.take(CHANGE_TICKS_LISTED).map(|tick| preview::tick(plan, &tick)).collect()
}

/// The ticks of each day that no calendar excludes. A day with many is not counted to its end.
fn days(plan: &Plan, schedule: &Schedule, after: Timestamp, bounds: &[Timestamp]) -> Vec<u64> {
    let mut left = schedule.max_ticks.unwrap_or(u64::MAX);
    let simple = matches!(schedule.rule, Rule::Interval { .. }) && schedule.exclude.is_empty();
    let mut next = plan.next_open(after);
    let mut days = Vec::with_capacity(bounds.len());
    for ends in bounds.windows(2) {
        let &[from, to] = ends else { continue };
        let mut count = 0;
        if simple {
            let from = from.minus(Millis(1)).max(after);
            count = plan.count_between(from, to.minus(Millis(1)), 1).unwrap_or(0);
        } else {
            while let Some(tick) = next.filter(|tick| *tick < to && count <= DAY_TICKS_MAX) {
                count += 1;
                next = plan.next_open(tick);
            }
            if next.is_some_and(|tick| tick < to) {
                next = plan.next_open(to.minus(Millis(1)));
            }
        }
        count = count.min(left);
        left -= count;
        days.push(count);
    }
    days
}

/// The ticks of a definition after an instant. A pause of the task is not regarded.
fn firing(
    spec: &TaskSpec,
    plan: &Plan,
    fired: u64,
    after: Timestamp,
) -> impl Iterator<Item = Timestamp> {
    let left = match (spec.enabled, spec.one_shot, spec.schedule.max_ticks) {
        (false, ..) => 0,
        (true, true, _) => 1_u64.saturating_sub(fired),
        (true, false, Some(max)) => max.saturating_sub(fired),
        (true, false, None) => u64::MAX,
    };
    let plan = plan.clone();
    let ticks = std::iter::successors(plan.next_open(after), move |tick| plan.next_open(*tick));
    ticks.take(usize::try_from(left).unwrap_or(usize::MAX))
}

/// Compares two rising sequences up to an instant, or up to where so many were inspected.
fn compare(
    old: impl Iterator<Item = Timestamp>,
    new: impl Iterator<Item = Timestamp>,
    until: Timestamp,
) -> TickChanges {
    let (mut old, mut new) = (old.peekable(), new.peekable());
    let mut changes = TickChanges { until, ..TickChanges::default() };
    let note = |kind: &mut (u64, Vec<Timestamp>), tick: Timestamp| {
        kind.0 += 1;
        if kind.1.len() < COMPARED_LISTED {
            kind.1.push(tick);
        }
    };
    let mut looked_at = until;
    for _ in 0..COMPARED_TICKS_MAX {
        let first = [old.peek(), new.peek()].into_iter().flatten().min().copied();
        let Some(first) = first.filter(|first| *first <= until) else { return changes };
        let (was, is) = (old.next_if_eq(&first).is_some(), new.next_if_eq(&first).is_some());
        match (was, is) {
            (true, true) => changes.kept += 1,
            (true, false) => note(&mut changes.gone, first),
            _ => note(&mut changes.come, first),
        }
        looked_at = first;
    }
    changes.until = looked_at;
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn plan(schedule: Value, now: Timestamp) -> (Plan, Schedule) {
        let body = serde_json::json!({"name": "a", "schedule": schedule});
        let reading = spec::ReadContext {
            default_zone: "UTC",
            now,
            min_interval: Millis(100),
            functions_allowed: true,
            custom_strategy: false,
            current: None,
            settled: Timestamp(0),
            calendars: None,
        };
        let schedule = spec::read(&body, reading).unwrap().schedule;
        (Plan::compile(&schedule, "a", "UTC", now).unwrap(), schedule)
    }

    #[test]
    fn ticks_that_only_one_schedule_has_are_told() {
        let [a, b, c, d] = [1_000, 2_000, 3_000, 9_000].map(Timestamp);
        let changes = compare([a, b, d].into_iter(), [b, c, d].into_iter(), Timestamp(5_000));
        assert_eq!((changes.gone, changes.come, changes.kept), ((1, vec![a]), (1, vec![c]), 1));
        let many = (0..100_000).map(Timestamp);
        let changes = compare(many, [].into_iter(), Timestamp(1 << 40));
        assert_eq!((changes.gone.0, changes.gone.1.len()), (20_000, 5));
        assert_eq!(changes.until, Timestamp(19_999), "it says up to where");
    }

    #[test]
    fn the_ticks_of_days_are_counted_within_a_bound() {
        let now = at("2026-11-30T12:00:00Z");
        let day = |day: i64| Timestamp(at("2026-11-30T00:00:00Z").0 + day * 86_400_000);
        let bounds: Vec<Timestamp> = (0..5).map(day).collect();
        let of = |schedule: Value| {
            let (plan, schedule) = plan(schedule, now);
            days(&plan, &schedule, now, &bounds)
        };
        let many = DAY_TICKS_MAX + 1;
        for (schedule, wanted) in [
            (serde_json::json!({"cron": "0 18 * * *"}), [1, 1, 1, 1]),
            (serde_json::json!({"cron": "0 6 2 12 *"}), [0, 0, 1, 0]),
            (serde_json::json!({"cron": "0 6 * * *", "max_ticks": 2}), [0, 1, 1, 0]),
            (serde_json::json!({"cron": "* * * * * *"}), [many; 4]),
            (serde_json::json!({"interval": "1s"}), [43_199, 86_400, 86_400, 86_400]),
            (serde_json::json!({"at": "2026-12-01T08:00:00Z"}), [0, 1, 0, 0]),
        ] {
            assert_eq!(of(schedule.clone()), wanted, "{schedule}");
        }
    }

    #[test]
    fn clock_changes_show_the_ticks_that_they_affect() {
        let now = at("2026-11-30T12:00:00Z");
        // The day of Berlin on which clocks go forward has 23 hours.
        let bounds =
            ["2027-03-26T23:00:00Z", "2027-03-27T23:00:00Z", "2027-03-28T22:00:00Z"].map(at);
        assert_eq!(change_days(&bounds), [(bounds[1], bounds[2])]);
        let daily = |gap: &str| {
            let schedule = serde_json::json!({"cron": "30 2 * * *", "timezone": "Europe/Berlin", "dst": {"gap": gap}});
            let (plan, _) = plan(schedule, now);
            at_change(&plan, (bounds[1], bounds[2]))
        };
        let shifted = daily("shift");
        assert_eq!(shifted.len(), 1, "{shifted:?}");
        assert_eq!(shifted[0].at.0, at("2027-03-28T01:00:00Z"));
        // The tick after the day tells what was left out.
        let skipped = daily("skip");
        assert_eq!(skipped[0].at.0, at("2027-03-29T00:30:00Z"), "{skipped:?}");
        assert!(skipped[0].note.as_ref().unwrap().contains("left out"));
    }
}
