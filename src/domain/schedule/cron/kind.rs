//! The seven fields of a cron expression: their bounds, names and hash seeds.

use crate::domain::schedule::names;

/// The kind of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::schedule) enum FieldKind {
    /// Second of the minute.
    Second,
    /// Minute of the hour.
    Minute,
    /// Hour of the day.
    Hour,
    /// Day of the month.
    Day,
    /// Month of the year.
    Month,
    /// Day of the week.
    Weekday,
    /// Year.
    Year,
}

impl FieldKind {
    /// The name in error messages.
    pub(in crate::domain::schedule) const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day of month",
            Self::Month => "month",
            Self::Weekday => "weekday",
            Self::Year => "year",
        }
    }

    /// The lowest number.
    pub(in crate::domain::schedule) const fn min(self) -> u16 {
        match self {
            Self::Second | Self::Minute | Self::Hour | Self::Weekday => 0,
            Self::Day | Self::Month => 1,
            Self::Year => 1970,
        }
    }

    /// The end of a range that is written without one. For weekdays this is Saturday (6), not
    /// Sunday as 7.
    pub(in crate::domain::schedule) const fn max(self) -> u16 {
        match self {
            Self::Second | Self::Minute => 59,
            Self::Hour => 23,
            Self::Day => 31,
            Self::Month => 12,
            Self::Weekday => 6,
            Self::Year => 9999,
        }
    }

    /// The highest number allowed in the text.
    pub(super) const fn max_written(self) -> u16 {
        if matches!(self, Self::Weekday) { 7 } else { self.max() }
    }

    /// Bounds of `H` without a range. Days end at 28, because every month has 28 days.
    pub(in crate::domain::schedule) const fn hash_range(self) -> (u16, u16) {
        if matches!(self, Self::Day) { (1, 28) } else { (self.min(), self.max()) }
    }

    /// Seed of the field's hash. It must never change: that would move every `H` of the field.
    pub(super) const fn seed(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Minute => 2,
            Self::Hour => 3,
            Self::Day => 4,
            Self::Month => 5,
            Self::Weekday => 6,
            Self::Year => 7,
        }
    }

    /// Whether the field selects days and therefore allows `?`.
    pub(super) const fn is_day_field(self) -> bool {
        matches!(self, Self::Day | Self::Weekday)
    }

    /// Number and short form of a name.
    pub(super) fn named(self, word: &str) -> Option<(u16, &'static str)> {
        let table: &[_] = match self {
            Self::Month => &names::MONTHS,
            Self::Weekday => &names::WEEKDAYS,
            _ => return None,
        };
        names::find(table, word).map(|(index, short)| (index + self.min(), short))
    }

    /// The allowed values, for error messages: `0 to 59`, `1 to 12 or JAN to DEC`.
    pub(super) fn allowed(self) -> String {
        let names = match self {
            Self::Month => " or JAN to DEC",
            Self::Weekday => " or SUN to SAT",
            _ => "",
        };
        format!("{} to {}{names}", self.min(), self.max_written())
    }
}
