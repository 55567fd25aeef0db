//! Calendars: named sets of local times, which schedules may leave out.
//!
//! A calendar is a list of rules, and a time that any of them covers belongs to it. A rule is a list
//! of conditions on the local day (dates, days of the year, weekdays) and of times of day; a time
//! belongs to the rule if all conditions that are given hold. A time range whose end is not later
//! than its begin goes on into the next day, and belongs to the day on which it begins.

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

/// Rules of one calendar.
pub const RULES_MAX: usize = 200;
/// Dates, days of the year and times of all its rules.
pub const ENTRIES_MAX: usize = 2_000;
/// Calendars that one schedule leaves out.
pub const EXCLUDED_MAX: usize = 10;

/// A named set of local times.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// Its identity.
    pub name: String,
    /// For people.
    pub description: String,
    /// IANA name; none: the zone of the schedule that leaves it out.
    pub timezone: Option<String>,
    /// Any of them.
    pub rules: Vec<CalendarRule>,
}

/// Conditions, all of which must hold; an empty list is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarRule {
    /// The day is one of these.
    pub dates: Vec<Dates>,
    /// The day of the year is one of these.
    pub yearly: Vec<Yearly>,
    /// The weekday is one of these (0 = Sunday … 6), ascending, each once.
    pub weekdays: Vec<u8>,
    /// The time of day is one of these.
    pub times: Vec<TimeRange>,
}

/// Days from one to another, both included; counted from 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dates {
    /// The first day.
    pub from: i32,
    /// The last day.
    pub to: i32,
}

/// Days of every year from one to another, both included; they may go on into the next year.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Yearly {
    /// Month and day.
    pub from: (u8, u8),
    /// Month and day.
    pub to: (u8, u8),
}

/// Times of day from one, included, to another, excluded; not later than the first, it is one of the
/// next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TimeRange {
    /// The begin.
    pub from: LocalTime,
    /// The end.
    pub to: LocalTime,
}

/// A calendar as the cluster keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CalendarRecord {
    /// What it says; shared with the plans that leave it out.
    pub calendar: Arc<Calendar>,
    /// The command that last changed it.
    pub revision: Revision,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// A hash of the settings that it is from; none: somebody made or changed it since.
    pub source: Option<u128>,
}
