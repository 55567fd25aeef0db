//! Calendars: named sets of local times, which schedules may exclude.
//!
//! A calendar is a list of rules. A time belongs to the calendar if any rule covers it. A rule is a
//! list of conditions on the local day (dates, days of the year, weekdays) and on the time of day.
//! A time belongs to the rule if all given conditions hold. A time range whose end is not later
//! than its start continues into the next day and belongs to the day on which it starts.

mod exclusion;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::domain::ids::Revision;
use crate::domain::schedule::LocalTime;
use crate::domain::time::Timestamp;

pub use self::exclusion::{Exclusion, ExclusionStretch};

/// Maximum number of rules in a calendar.
pub const RULES_MAX: usize = 200;
/// Maximum number of dates, days of the year and times in all rules of a calendar.
pub const ENTRIES_MAX: usize = 2_000;
/// Maximum number of calendars that a schedule may exclude.
pub const EXCLUDED_MAX: usize = 10;

/// A named set of local times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// The name that identifies it.
    pub name: String,
    /// Human-readable description.
    pub description: String,
    /// IANA name. `None`: the zone of the schedule that excludes the calendar.
    pub timezone: Option<String>,
    /// The rules. A time belongs to the calendar if any of them covers it.
    pub rules: Vec<CalendarRule>,
}

/// Conditions that must all hold. An empty list is no condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarRule {
    /// The day is one of these.
    pub dates: Vec<Dates>,
    /// The day of the year is one of these.
    pub yearly: Vec<Yearly>,
    /// The weekday is one of these (0 is Sunday, 6 is Saturday), ascending, each once.
    pub weekdays: Vec<u8>,
    /// The time of day is one of these.
    pub times: Vec<TimeRange>,
}

/// An inclusive range of days, counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dates {
    /// The first day.
    pub from: i32,
    /// The last day.
    pub to: i32,
}

/// An inclusive range of days of the year. It may continue into the next year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Yearly {
    /// First month and day.
    pub from: (u8, u8),
    /// Last month and day.
    pub to: (u8, u8),
}

/// A range of times of day. If the end is not later than the start, it is on the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimeRange {
    /// The start, inclusive.
    pub from: LocalTime,
    /// The end, exclusive.
    pub to: LocalTime,
}

/// A calendar as stored in the cluster state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarRecord {
    /// The definition. It is shared with the plans that exclude it.
    pub calendar: Arc<Calendar>,
    /// The revision of the last change.
    pub revision: Revision,
    /// Time of creation.
    pub created_at: Timestamp,
    /// Time of the last change.
    pub updated_at: Timestamp,
    /// Hash of the settings that define the calendar. `None` if it was created or changed through
    /// the API.
    pub source: Option<u128>,
}
