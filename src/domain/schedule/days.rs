//! The days of a month that an expression's two day fields select.

use crate::domain::error_code::ErrorCode;
use jiff::civil::Date;

use super::ScheduleError;
use super::cron::{CronItem, Expression, Field, FieldKind, sunday_first};
use super::fields::FieldMatcher;

/// The days that a schedule allows.
#[derive(Clone, Debug)]
pub(super) struct Days {
    /// Bit d − 1 is day d.
    pub(super) monthdays: u32,
    /// Days whose number depends on the month's length or weekdays.
    pub(super) moving: Vec<Moving>,
    /// Bit w is weekday w; 0 is Sunday.
    pub(super) weekdays: u32,
    /// The n-th or last occurrence of a weekday in the month.
    pub(super) nths: Vec<Nth>,
    /// Whether a day must match both fields. Otherwise one match is enough.
    pub(super) both: bool,
}

/// A day whose number depends on the month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moving {
    /// This many days before the last day.
    BeforeLast(u32),
    /// The last workday (Monday to Friday).
    LastWorkday,
    /// The workday nearest to this day, within the month. No day if the month is shorter.
    Nearest(u32),
}

/// One occurrence of a weekday in a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nth {
    /// 0 is Sunday.
    weekday: u32,
    /// Counted from 1. `None` means the last.
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

    /// The days of a cron expression. `fields` contains its plain items.
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

    /// Days of the month as numbered in monthly schedules: 1 to 31, and −1 (last day) to −31.
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

    /// Days of the week as numbered in weekly schedules: 0 (Sunday) to 6.
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

    /// The selected days of the month that begins with `first`; bit d − 1 is day d.
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

/// The properties of a month that decide its days.
#[derive(Clone, Copy)]
struct Month {
    /// Number of days, 28 to 31.
    length: u32,
    /// Weekday of the first day; 0 is Sunday.
    begins_on: u32,
}

impl Month {
    fn all(self) -> u32 {
        ALL_DAYS >> (31 - self.length)
    }

    /// Weekday of a day; 0 is Sunday.
    fn weekday_of(self, day: u32) -> u32 {
        (self.begins_on + day - 1) % 7
    }

    /// The first day of the month with this weekday.
    fn first(self, weekday: u32) -> u32 {
        (weekday + 7 - self.begins_on) % 7 + 1
    }

    /// Bit mask of all days with these weekdays.
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

    /// The workday (Monday to Friday) nearest to a day, within the month.
    fn nearest_workday(self, day: u32) -> u32 {
        match self.weekday_of(day) {
            0 if day == self.length => day - 2,
            0 => day + 1,
            6 if day == 1 => day + 2,
            6 => day - 1,
            _ => day,
        }
    }

    /// The bit of a day; 0 if the month does not have that day.
    fn bit(self, day: u32) -> u32 {
        if (1..=self.length).contains(&day) { 1 << (day - 1) } else { 0 }
    }
}
