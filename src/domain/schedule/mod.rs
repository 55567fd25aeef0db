//! When a task's ticks are: the rule, its zone, and what happens where local time jumps.

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
pub use self::note::NotedTick;
pub use self::plan::{MIN_INTERVAL, Plan};
pub use self::warning::{Warning, warnings};

/// What a definition says about its ticks. [`Plan`] computes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The rule that yields ticks.
    pub rule: Rule,
    /// IANA name; none: the cluster's.
    pub timezone: Option<String>,
    /// What happens where local time jumps.
    pub dst: Dst,
    /// At most this much later than the tick an execution becomes due.
    pub jitter: Option<Millis>,
    /// No tick before this instant.
    pub not_before: Option<Timestamp>,
    /// No tick after this instant.
    pub not_after: Option<Timestamp>,
    /// No tick after so many have fired.
    pub max_ticks: Option<u64>,
    /// Names of calendars whose times are left out.
    pub exclude: Vec<String>,
}

impl Schedule {
    /// A schedule of this rule with the default of everything around it.
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

    /// The one tick of a schedule that has only one, counted from the stamp of the command that set
    /// it; none: it has more, or none, or it lies out of bounds.
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

    /// The zone whose local times the rule names; none: it names none.
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
    /// A cron expression in canonical form, nickname and zone prefix resolved.
    Cron(String),
    /// Tick k is at `anchor + k × every`.
    Interval {
        /// Distance of two ticks.
        every: Millis,
        /// Tick 0; none: the stamp of the command that set the schedule, which itself is no tick.
        anchor: Option<Timestamp>,
    },
    /// Each day at these local times.
    Daily(Vec<LocalTime>),
    /// On these days of the week (0 = Sunday … 6) at a local time.
    Weekly {
        /// Days of the week, ascending, each once.
        days: Vec<u8>,
        /// Local time of day.
        at: LocalTime,
    },
    /// On these days of the month (1…31, −1 = last day … −31) at a local time.
    Monthly {
        /// Days of the month, ascending, each once.
        days: Vec<i8>,
        /// Local time of day.
        at: LocalTime,
    },
    /// Once, at this instant.
    At(Timestamp),
    /// Once, so long after the command that set the schedule.
    Delay(Millis),
    /// Once, at the moment of creation.
    Immediate,
    /// Never by itself: by trigger, or by a caller's claim.
    Manual,
}

/// A local time of day in seconds since midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LocalTime(pub u32);

/// Policies for daylight-saving changes; they bind schedules at fixed local times only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dst {
    /// For local times that do not exist.
    pub gap: Gap,
    /// For local times that exist twice.
    pub fold: Fold,
}

/// What becomes of a local time that the clocks jump over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gap {
    /// The first instant after the gap.
    #[default]
    Shift,
    /// No tick.
    Skip,
}

/// Which pass of a repeated local time ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fold {
    /// The earlier.
    #[default]
    First,
    /// The later.
    Second,
    /// Both.
    Both,
}
