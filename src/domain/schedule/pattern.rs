//! The set of local times that a schedule selects, on a calendar without time zones.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

use super::cron::{Expression, FieldKind, NumberRange};
use super::days::Days;
use super::fields::FieldMatcher;
use super::local_time::DAY;
use super::{LocalTime, ScheduleError};
use crate::domain::error_code::ErrorCode;

/// Seconds of a local clock since 1970-01-01T00:00, assuming that clock never jumped.
pub(super) type LocalSecs = i64;

/// The last second of year 9999 in local time.
const LAST: LocalSecs = 253_402_300_799;

/// A set of local times.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// `None` means every year.
    years: Option<Vec<NumberRange>>,
    /// Bit m is month m.
    months: u32,
    days: Days,
    times: PatternTimes,
}

#[derive(Clone, Debug)]
enum PatternTimes {
    Fields(Box<FieldMatcher>),
    /// Seconds of the day, ascending.
    List(Vec<u32>),
}

impl Pattern {
    /// The local times matched by a cron expression. The task name determines the values of `H`
    /// items.
    pub(super) fn cron(expression: &Expression, task: &str) -> Result<Self, ScheduleError> {
        let at_zero = || vec![NumberRange { from: 0, to: 0, step: 1 }];
        let fields = FieldMatcher::new(|kind| match expression.field(kind) {
            Some(field) => Some(field.stretches(task)),
            None => (kind == FieldKind::Second).then(at_zero),
        })?;
        Ok(Self {
            years: expression.field(FieldKind::Year).map(|field| field.stretches(task)),
            months: fields.months(),
            days: Days::of(expression, &fields),
            times: PatternTimes::Fields(Box::new(fields)),
        })
    }

    /// These times on each of these days.
    pub(super) fn fixed(
        field: &'static str,
        days: Days,
        times: &[LocalTime],
    ) -> Result<Self, ScheduleError> {
        let mut list: Vec<u32> = times.iter().map(|time| time.0).collect();
        list.sort_unstable();
        if list.last().is_none_or(|last| *last >= DAY) {
            let message = "needs at least one time of day, each before 24:00";
            return Err(ScheduleError::new(field, ErrorCode::InvalidTime, message));
        }
        Ok(Self { years: None, months: 0b1_1111_1111_1110, days, times: PatternTimes::List(list) })
    }

    /// The first local time of the set from `from` to `until`; `None` if there is none. Adds the
    /// number of inspected months and days to `steps`.
    pub(super) fn first_from(
        &self,
        from: LocalSecs,
        until: LocalSecs,
        steps: &mut u32,
    ) -> Option<LocalSecs> {
        let until = until.min(LAST);
        let (start, second) = date_and_second(from)?;
        let mut month = start.first_of_month();
        loop {
            *steps += 1;
            let begins = seconds_at(month)?;
            if begins > until {
                return None;
            }
            let mut days = self.days_in(month);
            if begins < from {
                days &= u32::MAX << (start.day() - 1);
            }
            while days != 0 {
                *steps += 1;
                let midnight = begins + i64::from(days.trailing_zeros()) * i64::from(DAY);
                let earliest = if midnight < from { second } else { 0 };
                if let Some(time) = self.times.first_from(earliest) {
                    return Some(midnight + i64::from(time)).filter(|found| *found <= until);
                }
                days &= days - 1;
            }
            month = self.month_after(month)?;
        }
    }

    /// Whether any month within 400 years from `first` has a day of the set. This covers a full
    /// cycle of the calendar, so `false` means never.
    pub(super) fn has_days(&self, first: Date) -> bool {
        let mut month = first.first_of_month();
        for _ in 0..400 * 12 {
            if self.days_in(month) != 0 {
                return true;
            }
            match self.month_after(month) {
                Some(next) => month = next,
                None => return false,
            }
        }
        false
    }

    /// Whether the set contains a year that is not before `from`.
    pub(super) fn has_years(&self, from: i16) -> bool {
        self.year_from(from).is_some()
    }

    fn days_in(&self, month: Date) -> u32 {
        let wanted = self.months >> month.month() & 1 == 1
            && self.year_from(month.year()) == Some(month.year());
        if wanted { self.days.in_month(month) } else { 0 }
    }

    /// The next month that can have days: in the same year, otherwise in the next year of the set.
    fn month_after(&self, month: Date) -> Option<Date> {
        let later = self.months & (u32::MAX << month.month() << 1);
        if later != 0 {
            return Date::new(month.year(), i8::try_from(later.trailing_zeros()).ok()?, 1).ok();
        }
        let year = self.year_from(month.year().checked_add(1)?)?;
        Date::new(year, i8::try_from(self.months.trailing_zeros()).ok()?, 1).ok()
    }

    /// The first year of the set that is not before `from`.
    fn year_from(&self, from: i16) -> Option<i16> {
        let Some(years) = &self.years else { return Some(from) };
        let from = u16::try_from(from.max(0)).ok()?;
        let first = years.iter().filter_map(|years| years.first_from(from)).min()?;
        i16::try_from(first).ok()
    }
}

impl NumberRange {
    fn first_from(&self, from: u16) -> Option<u16> {
        let beyond = from.saturating_sub(self.from).div_ceil(self.step);
        let found = self.from.checked_add(beyond.checked_mul(self.step)?)?;
        (found <= self.to).then_some(found)
    }
}

impl PatternTimes {
    fn first_from(&self, second: u32) -> Option<u32> {
        match self {
            Self::Fields(fields) => fields.second_of_day_from(second),
            Self::List(list) => list.iter().copied().find(|time| *time >= second),
        }
    }
}

/// The date and second of the day of a local time.
fn date_and_second(local: LocalSecs) -> Option<(Date, u32)> {
    let midnight = local - local.rem_euclid(i64::from(DAY));
    let as_if_utc = Timestamp::from_second(midnight).ok()?;
    let second = u32::try_from(local - midnight).ok()?;
    Some((Offset::UTC.to_datetime(as_if_utc).date(), second))
}

/// The local time of midnight on a date.
fn seconds_at(date: Date) -> Option<LocalSecs> {
    let as_if_utc = Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    Some(as_if_utc.as_second())
}
