//! A compiled schedule. It computes the next tick after any instant in a bounded number of steps.

use std::sync::Arc;

use jiff::tz::TimeZone;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::calendar::{Calendar, Exclusion, ExclusionStretch};
use super::cron::read_canonical;
use super::days::Days;
use super::local::LocalTicks;
use super::note::NotedTick;
use super::pattern::Pattern;
use super::{Dst, LocalTime, Rule, Schedule, ScheduleError, zone};
use crate::domain::error_code::ErrorCode;
use crate::domain::time::{Millis, Timestamp, YEAR_0, YEAR_9999};

/// The shortest interval.
pub const MIN_INTERVAL: Millis = Millis(100);
/// The longest interval and delay: 100 years.
pub const MAX_INTERVAL: Millis = Millis(36_525 * 86_400_000);

/// Limit on the excluded periods that the search for a tick passes over.
const STRETCHES_MAX: usize = 100;

/// The search for a tick ends this far from its start.
const HORIZON: Millis = MAX_INTERVAL;

/// The ticks of one task. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Plan(Arc<PlanData>);

#[derive(Debug)]
struct PlanData {
    ticks: Ticks,
    zone: TimeZone,
    /// The first and last instant at which a tick can be.
    bounds: (Timestamp, Timestamp),
    jitter: Millis,
    /// Hash of the task name. It spreads tasks that have the same schedule.
    task: u64,
    /// The excluded times.
    exclusion: Exclusion,
}

/// The source of ticks.
#[derive(Debug)]
enum Ticks {
    /// `first + k × every`.
    Every { first: Timestamp, every: Millis },
    /// Local times in a zone.
    Local(Box<LocalTicks>),
    /// One instant.
    Once(Timestamp),
    /// No ticks of its own.
    Manual,
}

impl Plan {
    /// Compiles a schedule without calendars. `set_at` is the timestamp of the command that set the
    /// schedule: the anchor of intervals, the base of delays and the tick of `immediate`.
    ///
    /// # Errors
    /// The invalid field and the reason. A schedule that never ticks is not an error here; see
    /// [`Plan::never_fires`].
    pub fn compile(
        schedule: &Schedule,
        task_name: &str,
        default_zone: &str,
        set_at: Timestamp,
    ) -> Result<Self, ScheduleError> {
        Self::excluding(schedule, task_name, default_zone, set_at, None)
    }

    /// Compiles a schedule that excludes the times of these calendars.
    ///
    /// # Errors
    /// As for [`Plan::compile`].
    pub fn excluding(
        schedule: &Schedule,
        task_name: &str,
        default_zone: &str,
        set_at: Timestamp,
        calendars: impl IntoIterator<Item = Arc<Calendar>>,
    ) -> Result<Self, ScheduleError> {
        let zone_name = schedule.timezone.as_deref().unwrap_or(default_zone);
        let zone = zone::find(zone_name)?;
        let exclusion = Exclusion::of(calendars, zone_name)?;
        let bounds = bounds(schedule)?;
        if schedule.max_ticks == Some(0) {
            return Err(ScheduleError::new(
                "max_ticks",
                ErrorCode::InvalidMaxTicks,
                "must be at least 1",
            ));
        }
        let ticks = ticks(schedule, task_name, &zone, set_at)?;
        let jitter = schedule.jitter.unwrap_or_default();
        let task = xxh3_64(task_name.as_bytes());
        Ok(Self(Arc::new(PlanData { ticks, zone, bounds, jitter, task, exclusion })))
    }

    /// The first tick strictly after an instant. `None` if there is none within 100 years or before
    /// year 10000.
    #[must_use]
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.next_after_counted(after).0
    }

    /// The last tick before an instant, if there is one within 100 years. The search goes back in
    /// doubling steps, then bisects the last step.
    #[must_use]
    pub fn last_before(&self, before: Timestamp) -> Option<Timestamp> {
        let earlier = |back: u64| {
            let from = before.minus(Millis(back));
            self.next_after(from).filter(|tick| *tick < before)
        };
        let (mut near, mut far) = (1, 2);
        while earlier(far).is_none() {
            if far > HORIZON.0 {
                return None;
            }
            (near, far) = (far, far * 2);
        }
        while far - near > 1 {
            let middle = near + (far - near) / 2;
            if earlier(middle).is_none() { near = middle } else { far = middle }
        }
        earlier(far)
    }

    /// [`Plan::next_after`], with the number of months, days and clock changes inspected.
    #[must_use]
    pub fn next_after_counted(&self, after: Timestamp) -> (Option<Timestamp>, u32) {
        let mut steps = 0;
        let after = Timestamp(after.0.clamp(YEAR_0.0 - 1, YEAR_9999.0));
        let horizon = after.plus(HORIZON);
        let from = self.0.bounds.0.max(Timestamp(after.0 + 1));
        let until = self.0.bounds.1.min(horizon);
        (self.0.ticks.first_from(from, until, &mut steps), steps)
    }

    /// [`Plan::next_after`] with the details shown in a preview. If each call starts at the
    /// previous tick, the notes cover every local time affected by a clock change.
    #[must_use]
    pub fn next_noted(&self, after: Timestamp) -> Option<NotedTick> {
        let at = self.next_after(after)?;
        let instant = jiff::Timestamp::from_millisecond(at.0).ok()?;
        let local = instant.display_with_offset(self.0.zone.to_offset(instant)).to_string();
        let note = match &self.0.ticks {
            Ticks::Local(ticks) => {
                // Only clock changes at or after the first possible tick are noted.
                let after = after.max(Timestamp(self.0.bounds.0.0 - 1));
                ticks.note(after.0.div_euclid(1_000), at.0.div_euclid(1_000))
            }
            Ticks::Every { .. } | Ticks::Once(_) | Ticks::Manual => None,
        };
        Some(NotedTick { at, local, note })
    }

    /// The number of ticks after `from` and up to `to` (inclusive). `None` if it cannot be computed
    /// arithmetically and there are more than `max_steps` ticks.
    #[must_use]
    pub fn count_between(&self, from: Timestamp, to: Timestamp, max_steps: u64) -> Option<u64> {
        if let Ticks::Every { first, every } = self.0.ticks {
            let last_before = self.0.bounds.0.0.saturating_sub(1).max(from.0);
            let up_to = |end: i64| match end.checked_sub(first.0) {
                Some(since) if since >= 0 => since.unsigned_abs() / every.0 + 1,
                _ => 0,
            };
            let end = to.min(self.0.bounds.1);
            return Some(up_to(end.0).saturating_sub(up_to(last_before)));
        }
        let mut count = 0;
        let mut at = from;
        while let Some(tick) = self.next_after(at).filter(|tick| *tick <= to) {
            if count == max_steps {
                return None;
            }
            count += 1;
            at = tick;
        }
        Some(count)
    }

    /// The calendar that excludes a tick, if any. [`Plan::next_after`] ignores calendars: excluded
    /// times are ticks too and are settled like any other.
    #[must_use]
    pub fn excluded(&self, tick: Timestamp) -> Option<&Calendar> {
        self.0.exclusion.at(tick)
    }

    /// The period from `from` on in which one calendar excludes all times, or in which none does.
    /// The search ends at `until`.
    #[must_use]
    pub fn stretch(&self, from: Timestamp, until: Timestamp) -> ExclusionStretch<'_> {
        if self.0.exclusion.is_empty() {
            return ExclusionStretch { calendar: None, last: from.max(until) };
        }
        self.0.exclusion.stretch(from, until)
    }

    /// The first tick after an instant that no calendar excludes. Also `None` if 100 or more
    /// excluded periods precede it.
    #[must_use]
    pub fn next_open(&self, after: Timestamp) -> Option<Timestamp> {
        let mut at = after;
        for _ in 0..STRETCHES_MAX {
            let tick = self.next_after(at)?;
            if self.excluded(tick).is_none() {
                return Some(tick);
            }
            at = self.stretch(tick, after.plus(HORIZON)).last;
        }
        None
    }

    /// The due time of a tick: the tick plus at most the jitter. It depends only on the task name
    /// and the tick.
    #[must_use]
    pub fn due(&self, tick: Timestamp) -> Timestamp {
        let hash = xxh3_64_with_seed(&tick.0.to_le_bytes(), self.0.task);
        let choices = self.0.jitter.0.saturating_add(1);
        tick.plus(Millis(hash % choices))
    }

    /// Whether the schedule has at most one tick: `at`, `delay` and `immediate`.
    #[must_use]
    pub fn once(&self) -> bool {
        matches!(self.0.ticks, Ticks::Once(_))
    }

    /// Whether the schedule has no ticks of its own.
    #[must_use]
    pub fn manual(&self) -> bool {
        matches!(self.0.ticks, Ticks::Manual)
    }

    /// The reason why there is no tick after an instant; `None` if there is one. Manual schedules
    /// never have ticks, so this is not an error for them.
    #[must_use]
    pub fn never_fires(&self, after: Timestamp) -> Option<ScheduleError> {
        if self.manual() || self.next_after(after).is_some() {
            return None;
        }
        let reason = self.0.why_no_tick(after);
        Some(ScheduleError::new(
            "schedule",
            ErrorCode::NeverFires,
            format!("never fires: {reason}"),
        ))
    }
}

impl PlanData {
    fn why_no_tick(&self, after: Timestamp) -> String {
        const WITHIN: &str = "within 100 years";
        let mut steps = 0;
        let (from, until) = (Timestamp(after.0.saturating_add(1)), after.plus(HORIZON));
        let unbounded = self.ticks.first_from(from.max(YEAR_0), until, &mut steps);
        let (first, last) = self.bounds;
        match (&self.ticks, unbounded) {
            (_, Some(_)) if last <= after => format!("not_after {last} has passed"),
            (_, Some(_)) if first > until => format!("not_before {first} does not come {WITHIN}"),
            (_, Some(tick)) => {
                format!("no tick lies between not_before and not_after; without them: {tick}")
            }
            (Ticks::Once(tick), None) if *tick <= after => format!("{tick} has passed"),
            (Ticks::Local(local), None) => {
                let today = zone::civil(after.0.div_euclid(1_000)).date();
                if !local.pattern.has_years(today.year()) {
                    "all its years have passed".to_owned()
                } else if !local.pattern.has_days(today) {
                    "no month that it names has such a day".to_owned()
                } else {
                    format!("no such local time exists in its timezone {WITHIN}")
                }
            }
            _ => format!("it has no tick {WITHIN}"),
        }
    }
}

impl Ticks {
    /// The first tick in `from..=until`.
    fn first_from(&self, from: Timestamp, until: Timestamp, steps: &mut u32) -> Option<Timestamp> {
        let tick = match self {
            Self::Every { first, every } => {
                *steps += 1;
                let behind = from.since(*first).0.div_ceil(every.0);
                let by = i64::try_from(behind.checked_mul(every.0)?).ok()?;
                Some(Timestamp(first.0.checked_add(by)?))
            }
            Self::Local(local) => {
                let from = from.0.div_euclid(1_000) + i64::from(from.0.rem_euclid(1_000) > 0);
                let last = until.0.div_euclid(1_000).min(jiff::Timestamp::MAX.as_second());
                local.first_from(from, last, steps).map(|secs| Timestamp(secs * 1_000))
            }
            Self::Once(tick) => Some(*tick),
            Self::Manual => None,
        };
        tick.filter(|tick| (from..=until).contains(tick))
    }
}

/// Checks the length of an interval or a delay.
///
/// # Errors
/// `invalid_interval`, with the limits.
pub(super) fn check_interval(every: Millis) -> Result<(), ScheduleError> {
    if (MIN_INTERVAL..=MAX_INTERVAL).contains(&every) {
        return Ok(());
    }
    let message = format!("an interval must be {MIN_INTERVAL} to 100 years, got {every}");
    Err(ScheduleError::new("interval", ErrorCode::InvalidInterval, message))
}

fn bounds(schedule: &Schedule) -> Result<(Timestamp, Timestamp), ScheduleError> {
    let first = schedule.not_before.unwrap_or(YEAR_0).max(YEAR_0);
    let last = schedule.not_after.unwrap_or(YEAR_9999).min(YEAR_9999);
    if last < first {
        let message = "not_after must not lie before not_before";
        return Err(ScheduleError::new("not_after", ErrorCode::InvalidTime, message));
    }
    Ok((first, last))
}

fn ticks(
    schedule: &Schedule,
    task: &str,
    zone: &TimeZone,
    set_at: Timestamp,
) -> Result<Ticks, ScheduleError> {
    let local = |pattern: Pattern, dst: Option<Dst>| {
        Ticks::Local(Box::new(LocalTicks { pattern, zone: zone.clone(), dst }))
    };
    let fixed = |field: &'static str, days: Days, times: &[LocalTime]| {
        Pattern::fixed(field, days, times).map(|pattern| local(pattern, Some(schedule.dst)))
    };
    match &schedule.rule {
        Rule::Cron(text) => {
            let expression = read_canonical(text)?;
            let dst = (!expression.follows_elapsed_time()).then_some(schedule.dst);
            Ok(local(Pattern::cron(&expression, task)?, dst))
        }
        Rule::Interval { every, anchor } => {
            check_interval(*every)?;
            let first = match anchor {
                Some(anchor) if (YEAR_0..=YEAR_9999).contains(anchor) => *anchor,
                Some(_) => {
                    let message = "anchor must lie in the years 0 to 9999";
                    return Err(ScheduleError::new("anchor", ErrorCode::InvalidTime, message));
                }
                None => Timestamp(set_at.0.saturating_add(in_millis(*every))),
            };
            Ok(Ticks::Every { first, every: *every })
        }
        Rule::Daily(times) => fixed("daily", Days::all(), times),
        Rule::Weekly { days, .. } if days.is_empty() => Err(no_days("weekly")),
        Rule::Weekly { days, at } => fixed("weekly", Days::weekly(days)?, &[*at]),
        Rule::Monthly { days, .. } if days.is_empty() => Err(no_days("monthly")),
        Rule::Monthly { days, at } => fixed("monthly", Days::monthly(days)?, &[*at]),
        Rule::At(tick) => Ok(Ticks::Once(*tick)),
        Rule::Delay(delay) if *delay == Millis(0) || *delay > MAX_INTERVAL => {
            let message = format!("a delay must be 1ms to 100 years, got {delay}");
            Err(ScheduleError::new("delay", ErrorCode::InvalidDelay, message))
        }
        Rule::Delay(delay) => {
            Ok(Ticks::Once(Timestamp(set_at.0.saturating_add(in_millis(*delay)))))
        }
        Rule::Immediate => Ok(Ticks::Once(set_at)),
        Rule::Manual => Ok(Ticks::Manual),
    }
}

fn no_days(field: &'static str) -> ScheduleError {
    ScheduleError::new(field, ErrorCode::InvalidDays, "needs at least one day")
}

fn in_millis(length: Millis) -> i64 {
    i64::try_from(length.0).unwrap_or(i64::MAX)
}
