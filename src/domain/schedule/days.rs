//! Which days of a month an expression's two day fields select.

use crate::domain::error_code::ErrorCode;
use jiff::civil::Date;

use super::ScheduleError;
use super::cron::{CronItem, Expression, Field, FieldKind, sunday_first};
use super::fields::FieldMatcher;

/// The days that a schedule allows.
#[derive(Clone, Debug)]
pub(super) struct Days {
    /// Bit d − 1 stands for day d.
    pub(super) monthdays: u32,
    /// Days of the month that depend on its length or weekdays.
    pub(super) moving: Vec<Moving>,
    /// Bit w stands for weekday w, Sunday being 0.
    pub(super) weekdays: u32,
    /// Single weekdays of the month.
    pub(super) nths: Vec<Nth>,
    /// Whether a day must be in both sets; else one is enough.
    pub(super) both: bool,
}

/// A day of the month that is not at the same number every month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moving {
    /// So many days before the last.
    BeforeLast(u32),
    /// The last Monday to Friday.
    LastWorkday,
    /// The Monday to Friday nearest to this day, within the month; nothing in a shorter month.
    Nearest(u32),
}

/// One of a month's days of one weekday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nth {
    /// 0 = Sunday.
    weekday: u32,
    /// From 1; none: the last.
    nth: Option<u32>,
}

/// All days of the longest month.
pub(super) const ALL_DAYS: u32 = (1 << 31) - 1;
/// All days of the week.
pub(super) const ALL_WEEKDAYS: u32 = (1 << 7) - 1;

impl Days {
    /// Every day.
    pub(super) fn all() -> Self {
        Self {
            monthdays: ALL_DAYS,
            moving: Vec::new(),
            weekdays: ALL_WEEKDAYS,
            nths: Vec::new(),
            both: true,
        }
    }

    /// The days of a cron expression, whose plain items `fields` holds.
    pub(super) fn of(expression: &Expression, fields: &FieldMatcher) -> Self {
        let mut days = Self::all();
        let (day, weekday) =
            (expression.field(FieldKind::Day), expression.field(FieldKind::Weekday));
        if let Some(day) = day {
            days.monthdays = if has_plain_items(day) { fields.days() } else { 0 };
            days.moving = day.items.iter().filter_map(moving).collect();
        }
        if let Some(weekday) = weekday {
            days.weekdays = if has_plain_items(weekday) { fields.weekdays() } else { 0 };
            days.nths = weekday.items.iter().filter_map(nth).collect();
        }
        days.both = [day, weekday].into_iter().flatten().any(Field::is_wildcard);
        days
    }

    /// Days of the month as monthly schedules number them: 1 … 31, −1 = the last … −31.
    pub(super) fn monthly(numbers: &[i8]) -> Result<Self, ScheduleError> {
        let mut days = Self { monthdays: 0, ..Self::all() };
        for number in numbers {
            match (*number, u32::from(number.unsigned_abs())) {
                (1..=31, day) => days.monthdays |= 1 << (day - 1),
                (-31..=-1, back) => days.moving.push(Moving::BeforeLast(back - 1)),
                _ => {
                    let message = format!("days must be 1 to 31 or -1 to -31, got {number}");
                    return Err(ScheduleError::new("monthly", ErrorCode::InvalidDays, message));
                }
            }
        }
        Ok(days)
    }

    /// Days of the week as weekly schedules number them: 0 = Sunday … 6.
    pub(super) fn weekly(numbers: &[u8]) -> Result<Self, ScheduleError> {
        let mut days = Self { weekdays: 0, ..Self::all() };
        for number in numbers {
            if *number > 6 {
                let message = format!("days must be 0 (Sunday) to 6, got {number}");
                return Err(ScheduleError::new("weekly", ErrorCode::InvalidDays, message));
            }
            days.weekdays |= 1 << number;
        }
        Ok(days)
    }

    /// The days of the month that begins with `first`; bit d − 1 stands for day d.
    pub(super) fn in_month(&self, first: Date) -> u32 {
        let month = Month {
            length: u32::from(first.days_in_month().unsigned_abs()),
            begins_on: u32::from(first.weekday().to_sunday_zero_offset().unsigned_abs()),
        };
        let monthdays = self.moving.iter().fold(self.monthdays, |days, m| days | month.moving(*m));
        let weekdays = self
            .nths
            .iter()
            .fold(month.weekdays(self.weekdays), |days, nth| days | month.nth(*nth));
        let days = if self.both { monthdays & weekdays } else { monthdays | weekdays };
        days & month.all()
    }
}

fn has_plain_items(field: &Field) -> bool {
    field.items.iter().any(|item| moving(item).is_none() && nth(item).is_none())
}

fn moving(item: &CronItem) -> Option<Moving> {
    match *item {
        CronItem::Last(before) => Some(Moving::BeforeLast(u32::from(before))),
        CronItem::LastWorkday => Some(Moving::LastWorkday),
        CronItem::Nearest(day) => Some(Moving::Nearest(u32::from(day))),
        _ => None,
    }
}

fn nth(item: &CronItem) -> Option<Nth> {
    let (day, nth) = match *item {
        CronItem::LastOf(day) => (day, None),
        CronItem::Nth(day, nth) => (day, Some(u32::from(nth))),
        _ => return None,
    };
    Some(Nth { weekday: u32::from(sunday_first(FieldKind::Weekday, day.number)), nth })
}

/// What of a month matters for its days.
#[derive(Clone, Copy)]
struct Month {
    /// 28 to 31.
    length: u32,
    /// Weekday of its first day.
    begins_on: u32,
}

impl Month {
    fn all(self) -> u32 {
        ALL_DAYS >> (31 - self.length)
    }

    /// 0 = Sunday.
    fn weekday_of(self, day: u32) -> u32 {
        (self.begins_on + day - 1) % 7
    }

    /// The first day of this weekday.
    fn first(self, weekday: u32) -> u32 {
        (weekday + 7 - self.begins_on) % 7 + 1
    }

    /// All days of these weekdays.
    fn weekdays(self, weekdays: u32) -> u32 {
        if weekdays == ALL_WEEKDAYS {
            return ALL_DAYS;
        }
        let firsts = (0..7)
            .filter(|weekday| weekdays >> weekday & 1 == 1)
            .fold(0, |mask, weekday| mask | 1_u32 << (self.first(weekday) - 1));
        (0..5).fold(0, |mask, week| mask | firsts << (7 * week))
    }

    fn nth(self, Nth { weekday, nth }: Nth) -> u32 {
        let first = self.first(weekday);
        let day = match nth {
            Some(nth) => first + 7 * (nth - 1),
            None => first + (self.length - first) / 7 * 7,
        };
        self.bit(day)
    }

    fn moving(self, moving: Moving) -> u32 {
        match moving {
            Moving::BeforeLast(before) => self.bit(self.length.saturating_sub(before)),
            Moving::LastWorkday => self.bit(self.nearest_workday(self.length)),
            Moving::Nearest(day) if day <= self.length => self.bit(self.nearest_workday(day)),
            Moving::Nearest(_) => 0,
        }
    }

    /// The Monday to Friday nearest to a day without leaving the month.
    fn nearest_workday(self, day: u32) -> u32 {
        match self.weekday_of(day) {
            0 if day == self.length => day - 2,
            0 => day + 1,
            6 if day == 1 => day + 2,
            6 => day - 1,
            _ => day,
        }
    }

    /// The bit of a day; none if the month does not have it.
    fn bit(self, day: u32) -> u32 {
        if (1..=self.length).contains(&day) { 1 << (day - 1) } else { 0 }
    }
}
