//! The canonical body of a schedule.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Word, duration, optional_duration};
use crate::domain::schedule::{Rule, Schedule, weekday_name};
use crate::domain::spec::words::{FOLDS, GAPS, word};
use crate::domain::time::Rfc3339;

/// When a task ticks: exactly one rule, and options for all rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct ScheduleBody {
    /// The rule.
    #[serde(flatten)]
    pub rule: RuleBody,
    /// For an interval: the time of one of its ticks.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    #[schemars(with = "Option<Rfc3339>")]
    pub anchor: Option<Option<Rfc3339>>,
    /// The time zone of local times. Null: that of the cluster.
    pub timezone: Option<String>,
    /// How to handle local times that a clock change skips or repeats.
    pub dst: DstBody,
    /// Maximum delay of ticks. The delay is fixed for each task and tick.
    #[schemars(schema_with = "optional_duration")]
    pub jitter: Option<String>,
    /// No tick before this time.
    pub not_before: Option<Rfc3339>,
    /// No tick after this time.
    pub not_after: Option<Rfc3339>,
    /// The schedule ends after this number of fired ticks.
    pub max_ticks: Option<u64>,
    /// The calendars to exclude.
    pub exclude: Vec<String>,
}

/// The rule of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleBody {
    /// A cron expression.
    Cron(String),
    /// A fixed interval.
    Interval(#[schemars(schema_with = "duration")] String),
    /// One or several times of day.
    Daily(DailyBody),
    /// On days of the week.
    Weekly {
        /// The days, such as `mon`.
        days: Vec<Word>,
        /// The time of day.
        at: String,
    },
    /// On days of the month.
    Monthly {
        /// The days from 1. -1 is the last day.
        #[schemars(schema_with = "days_of_month")]
        days: Vec<i8>,
        /// The time of day.
        at: String,
    },
    /// Once, at this time.
    At(Rfc3339),
    /// Once, this long after the definition was set.
    Delay(#[schemars(schema_with = "duration")] String),
    /// Once, when the definition was set.
    Immediate(bool),
    /// Only by triggers.
    Manual(bool),
}

/// One time of day, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DailyBody {
    /// Such as `02:00`.
    One(String),
    /// Several times, in order.
    Many(Vec<String>),
}

/// How to handle local times that a clock change skips or repeats.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct DstBody {
    /// Skipped local times.
    #[schemars(extend("enum" = ["shift", "skip"]))]
    pub gap: Word,
    /// Repeated local times.
    #[schemars(extend("enum" = ["first", "second", "both"]))]
    pub fold: Word,
}

/// The schema of a list of days of the month.
fn days_of_month(_generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {"type": "integer", "minimum": -31, "maximum": 31},
        "minItems": 1,
    })
}

/// A field that may be null or absent.
mod present {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::domain::time::Rfc3339;

    pub fn serialize<S: Serializer>(
        anchor: &Option<Option<Rfc3339>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        anchor.as_ref().and_then(Option::as_ref).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<Rfc3339>>, D::Error> {
        Option::<Rfc3339>::deserialize(deserializer).map(Some)
    }
}

impl From<&Rule> for RuleBody {
    fn from(rule: &Rule) -> Self {
        match rule {
            Rule::Cron(expression) => Self::Cron(expression.clone()),
            Rule::Interval { every, .. } => Self::Interval(every.to_string()),
            Rule::Daily(times) => Self::Daily(match &times[..] {
                [one] => DailyBody::One(one.to_string()),
                many => DailyBody::Many(many.iter().map(ToString::to_string).collect()),
            }),
            Rule::Weekly { days, at } => {
                let days = days.iter().filter_map(|day| weekday_name(*day));
                Self::Weekly { days: days.map(Word::from).collect(), at: at.to_string() }
            }
            Rule::Monthly { days, at } => Self::Monthly { days: days.clone(), at: at.to_string() },
            Rule::At(at) => Self::At(Rfc3339(*at)),
            Rule::Delay(delay) => Self::Delay(delay.to_string()),
            Rule::Immediate => Self::Immediate(true),
            Rule::Manual => Self::Manual(true),
        }
    }
}

impl From<&Schedule> for ScheduleBody {
    fn from(schedule: &Schedule) -> Self {
        let anchor = match &schedule.rule {
            Rule::Interval { anchor, .. } => Some(anchor.map(Rfc3339)),
            _ => None,
        };
        Self {
            rule: RuleBody::from(&schedule.rule),
            anchor,
            timezone: schedule.timezone.clone(),
            dst: DstBody {
                gap: word(GAPS, &schedule.dst.gap).into(),
                fold: word(FOLDS, &schedule.dst.fold).into(),
            },
            jitter: schedule.jitter.map(|jitter| jitter.to_string()),
            not_before: schedule.not_before.map(Rfc3339),
            not_after: schedule.not_after.map(Rfc3339),
            max_ticks: schedule.max_ticks,
            exclude: schedule.exclude.clone(),
        }
    }
}
