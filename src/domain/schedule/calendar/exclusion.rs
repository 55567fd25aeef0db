//! Calendars bound to time zones: whether an instant is excluded, and for how long.

use std::sync::Arc;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::text::number;
use super::{Calendar, CalendarRule, TimeRange};
use crate::domain::schedule::{ScheduleError, zone};
use crate::domain::time::Timestamp;

/// Seconds of a day without clock changes.
const DAY: i64 = 86_400;
/// A search for the end of a period stops after this many possible changes.
const CHANGES_MAX: usize = 1_000;

/// The calendars that a schedule excludes.
#[derive(Clone, Debug, Default)]
pub struct Exclusion(Vec<Bound>);

#[derive(Clone, Debug)]
struct Bound {
    calendar: Arc<Calendar>,
    zone: TimeZone,
    /// Times of day at which a rule may start or stop applying, in seconds, ascending.
    edges: Vec<i64>,
}

/// A period that is excluded as a whole, or not excluded at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExclusionStretch<'a> {
    /// The calendar that excludes the first instant. `None`: the period is not excluded.
    pub calendar: Option<&'a Calendar>,
    /// The last millisecond of the period, or the point at which the search stopped.
    pub last: Timestamp,
}

impl Exclusion {
    /// Binds calendars to the zone of a schedule. A calendar with its own zone keeps it.
    ///
    /// # Errors
    /// An unknown time zone.
    pub fn of(
        calendars: impl IntoIterator<Item = Arc<Calendar>>,
        zone_name: &str,
    ) -> Result<Self, ScheduleError> {
        let bound = |calendar: Arc<Calendar>| {
            let zone = zone::find(calendar.timezone.as_deref().unwrap_or(zone_name))?;
            let mut edges: Vec<i64> = calendar
                .rules
                .iter()
                .flat_map(|rule| &rule.times)
                .flat_map(|times| [i64::from(times.from.0), i64::from(times.to.0)])
                .chain([DAY])
                .filter(|edge| *edge > 0)
                .collect();
            edges.sort_unstable();
            edges.dedup();
            Ok(Bound { calendar, zone, edges })
        };
        calendars.into_iter().map(bound).collect::<Result<_, _>>().map(Self)
    }

    /// Whether no calendar is excluded.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first calendar that excludes an instant.
    #[must_use]
    pub fn at(&self, at: Timestamp) -> Option<&Calendar> {
        let second = at.0.div_euclid(1_000);
        let found = self.0.iter().find(|bound| bound.covers(second));
        found.map(|bound| &*bound.calendar)
    }

    /// The period that begins at `from`. The search ends at `until`.
    #[must_use]
    pub fn stretch(&self, from: Timestamp, until: Timestamp) -> ExclusionStretch<'_> {
        let calendar = self.at(from);
        let mut second = from.0.div_euclid(1_000);
        for _ in 0..CHANGES_MAX {
            let change = self.0.iter().map(|bound| bound.may_change_after(second)).min();
            let at = change.map_or(until, |change| Timestamp(change.saturating_mul(1_000)));
            if at > until {
                return ExclusionStretch { calendar, last: from.max(until) };
            }
            if self.at(at).is_some() != calendar.is_some() {
                return ExclusionStretch { calendar, last: Timestamp(at.0 - 1) };
            }
            second = at.0.div_euclid(1_000);
        }
        ExclusionStretch { calendar, last: Timestamp(second.saturating_mul(1_000)).max(from) }
    }
}

impl Bound {
    fn covers(&self, second: i64) -> bool {
        let local = second + zone::segment(&self.zone, second).offset;
        let today = zone::civil(local).date();
        let time = local.rem_euclid(DAY);
        let yesterday = today.yesterday().ok();
        self.calendar.rules.iter().any(|rule| rule.covers(today, yesterday, time))
    }

    /// The first second after `second` at which a rule may start or stop applying.
    fn may_change_after(&self, second: i64) -> i64 {
        let segment = zone::segment(&self.zone, second);
        let time = (second + segment.offset).rem_euclid(DAY);
        // After the last edge comes the end of the day.
        let next = self.edges.partition_point(|edge| *edge <= time);
        let edge = self.edges.get(next).copied().unwrap_or(DAY);
        let change = second.saturating_add(edge - time);
        segment.end.map_or(change, |jump| change.min(jump.at))
    }
}

impl CalendarRule {
    /// Whether the rule covers a local time.
    fn covers(&self, today: Date, yesterday: Option<Date>, time: i64) -> bool {
        if self.times.is_empty() {
            return self.has(today);
        }
        let begins = |times: &TimeRange| (i64::from(times.from.0), i64::from(times.to.0));
        let over = |times: &TimeRange| times.to <= times.from;
        let in_today = self.times.iter().any(|times| {
            let (from, to) = begins(times);
            from <= time && (over(times) || time < to)
        });
        let from_yesterday = self.times.iter().any(|times| over(times) && time < begins(times).1);
        (in_today && self.has(today))
            || (from_yesterday && yesterday.is_some_and(|yesterday| self.has(yesterday)))
    }

    /// Whether the day meets all day conditions of the rule.
    fn has(&self, day: Date) -> bool {
        let of_year = (day.month().unsigned_abs(), day.day().unsigned_abs());
        let weekday = day.weekday().to_sunday_zero_offset().unsigned_abs();
        let one_of = |given: bool, found: bool| !given || found;
        one_of(!self.weekdays.is_empty(), self.weekdays.contains(&weekday))
            && one_of(
                !self.yearly.is_empty(),
                self.yearly.iter().any(|days| {
                    if days.from <= days.to {
                        (days.from..=days.to).contains(&of_year)
                    } else {
                        of_year >= days.from || of_year <= days.to
                    }
                }),
            )
            && (self.dates.is_empty() || {
                let number = number(day);
                self.dates.iter().any(|dates| (dates.from..=dates.to).contains(&number))
            })
    }
}
