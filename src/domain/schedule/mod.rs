//! The schedule of a task: the rule for its ticks, the time zone and the clock change policies.

pub mod calendar;
mod cron;
mod days;
mod error;
mod fields;
mod local;
mod local_time;
mod names;
mod note;
mod pattern;
mod plan;
#[cfg(test)]
mod tests;
mod warning;
pub mod zone;

use serde::{Deserialize, Serialize};

use crate::domain::time::{Millis, Timestamp};

pub use self::cron::parse_cron;
pub use self::error::ScheduleError;
pub use self::names::{parse_weekday, weekday_name};
pub use self::note::{ClockChange, Note, NotedTick, Pass, Shown};
pub use self::plan::{MIN_INTERVAL, Plan};
pub use self::warning::{Warning, warnings};

/// The schedule part of a task definition. [`Plan`] computes its ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The rule that yields ticks.
    pub rule: Rule,
    /// IANA name. `None` means the cluster's default zone.
    pub timezone: Option<String>,
    /// Policies for clock changes.
    pub dst: Dst,
    /// Maximum delay between a tick and its due time.
    pub jitter: Option<Millis>,
    /// There are no ticks before this instant.
    pub not_before: Option<Timestamp>,
    /// There are no ticks after this instant.
    pub not_after: Option<Timestamp>,
    /// The schedule ends after this many ticks have fired.
    pub max_ticks: Option<u64>,
    /// Names of the calendars whose times are excluded.
    pub exclude: Vec<String>,
}

impl Schedule {
    /// A schedule with this rule and defaults for all other fields.
    #[must_use]
    pub fn of(rule: Rule) -> Self {
        Self {
            rule,
            timezone: None,
            dst: Dst::default(),
            jitter: None,
            not_before: None,
            not_after: None,
            max_ticks: None,
            exclude: Vec::new(),
        }
    }

    /// The tick of a schedule that has exactly one. `set_at` is the timestamp of the command that
    /// set the schedule. `None` if the rule can have several ticks or none, or if the tick is out
    /// of bounds.
    #[must_use]
    pub fn only_tick(&self, set_at: Timestamp) -> Option<Timestamp> {
        let tick = match self.rule {
            Rule::At(at) => at,
            Rule::Delay(delay) => set_at.plus(delay),
            Rule::Immediate => set_at,
            _ => return None,
        };
        let after = self.not_before.is_none_or(|first| first <= tick);
        let before = self.not_after.is_none_or(|last| tick <= last);
        (after && before).then_some(tick)
    }

    /// The zone in which the rule's local times are defined. `None` if the rule has no local times.
    #[must_use]
    pub fn local_zone<'a>(&'a self, default_zone: &'a str) -> Option<&'a str> {
        let local = matches!(
            self.rule,
            Rule::Cron(_) | Rule::Daily(_) | Rule::Weekly { .. } | Rule::Monthly { .. }
        );
        local.then(|| self.timezone.as_deref().unwrap_or(default_zone))
    }
}

/// The kinds of schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// A cron expression in canonical form, with nickname and zone prefix resolved.
    Cron(String),
    /// Tick k is at `anchor + k × every`.
    Interval {
        /// Time between two ticks.
        every: Millis,
        /// Tick 0. `None`: the timestamp of the command that set the schedule; that instant itself
        /// is not a tick.
        anchor: Option<Timestamp>,
    },
    /// Every day at these local times.
    Daily(Vec<LocalTime>),
    /// On these days of the week (0 is Sunday, 6 is Saturday) at a local time.
    Weekly {
        /// Days of the week, ascending, each once.
        days: Vec<u8>,
        /// Local time of day.
        at: LocalTime,
    },
    /// On these days of the month (1 to 31, −1 is the last day, down to −31) at a local time.
    Monthly {
        /// Days of the month, ascending, each once.
        days: Vec<i8>,
        /// Local time of day.
        at: LocalTime,
    },
    /// Once, at this instant.
    At(Timestamp),
    /// Once, this long after the command that set the schedule.
    Delay(Millis),
    /// Once, when the schedule is set.
    Immediate,
    /// No ticks of its own: runs are started by a trigger or a caller's claim.
    Manual,
}

/// A local time of day, in seconds since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LocalTime(pub u32);

/// Policies for daylight-saving changes. They apply only to schedules at fixed local times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dst {
    /// Policy for local times that do not exist.
    pub gap: Gap,
    /// Policy for local times that exist twice.
    pub fold: Fold,
}

/// What happens to a local time that does not exist because the clocks were set forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gap {
    /// The tick moves to the first instant after the gap.
    #[default]
    Shift,
    /// There is no tick.
    Skip,
}

/// Which occurrence of a repeated local time is a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fold {
    /// The earlier one.
    #[default]
    First,
    /// The later one.
    Second,
    /// Both.
    Both,
}
