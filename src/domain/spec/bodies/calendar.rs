//! The canonical body of a calendar.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Word;
use crate::domain::schedule::calendar::{Calendar, CalendarRule};
use crate::domain::schedule::weekday_name;

/// Times that schedules can exclude.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = ["rules"]))]
pub struct CalendarBody {
    /// The name, which identifies the calendar.
    pub name: String,
    /// A description.
    pub description: String,
    /// The time zone. Null: that of the schedule.
    pub timezone: Option<String>,
    /// The rules. A time belongs to the calendar if any of them matches.
    pub rules: Vec<CalendarRuleBody>,
}

/// A rule, which matches if all its conditions match. It has at least one condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct CalendarRuleBody {
    /// Dates, such as `2026-12-25` or `2026-12-24/2027-01-02`.
    pub dates: Vec<String>,
    /// Dates of every year, such as `12-25`.
    pub yearly: Vec<String>,
    /// Days of the week, such as `sat`.
    pub weekdays: Vec<Word>,
    /// Times of day, such as `22:00/06:00`.
    pub times: Vec<String>,
}

impl From<&CalendarRule> for CalendarRuleBody {
    fn from(rule: &CalendarRule) -> Self {
        fn texts<T: ToString>(entries: &[T]) -> Vec<String> {
            entries.iter().map(ToString::to_string).collect()
        }
        let days = rule.weekdays.iter().filter_map(|day| weekday_name(*day));
        Self {
            dates: texts(&rule.dates),
            yearly: texts(&rule.yearly),
            weekdays: days.map(Word::from).collect(),
            times: texts(&rule.times),
        }
    }
}

impl From<&Calendar> for CalendarBody {
    fn from(calendar: &Calendar) -> Self {
        Self {
            name: calendar.name.clone(),
            description: calendar.description.clone(),
            timezone: calendar.timezone.clone(),
            rules: calendar.rules.iter().map(CalendarRuleBody::from).collect(),
        }
    }
}
