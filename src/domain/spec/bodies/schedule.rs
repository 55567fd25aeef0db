//! The canonical body of a schedule.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Word, duration, optional_duration};
use crate::domain::schedule::{Rule, Schedule, weekday_name};
use crate::domain::spec::words::{FOLDS, GAPS, word};
use crate::domain::time::Rfc3339;

/// When a task ticks: exactly one rule, and what holds for all rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct ScheduleBody {
    /// The rule.
    #[serde(flatten)]
    pub rule: RuleBody,
    /// Of an interval: an instant on which it ticks.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
    #[schemars(with = "Option<Rfc3339>")]
    pub anchor: Option<Option<Rfc3339>>,
    /// The zone of local times; null: that of the cluster.
    pub timezone: Option<String>,
    /// What becomes of local times that clock changes leave out or repeat.
    pub dst: DstBody,
    /// Ticks are due up to so much later, each task and tick by its own amount.
    #[schemars(schema_with = "optional_duration")]
    pub jitter: Option<String>,
    /// None before.
    pub not_before: Option<Rfc3339>,
    /// None after.
    pub not_after: Option<Rfc3339>,
    /// The schedule ends after so many that fired.
    pub max_ticks: Option<u64>,
    /// Calendars whose times are left out.
    pub exclude: Vec<String>,
}

/// The rule of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleBody {
    /// A cron expression.
    Cron(String),
    /// So far apart.
    Interval(#[schemars(schema_with = "duration")] String),
    /// At a time of day, or at several.
    Daily(DailyBody),
    /// On days of the week.
    Weekly {
        /// Such as `mon`.
        days: Vec<Word>,
        /// The time of day.
        at: String,
    },
    /// On days of the month.
    Monthly {
        /// From 1; -1 is the last one.
        #[schemars(schema_with = "days_of_month")]
        days: Vec<i8>,
        /// The time of day.
        at: String,
    },
    /// Once, then.
    At(Rfc3339),
    /// Once, so long after it was set.
    Delay(#[schemars(schema_with = "duration")] String),
    /// Once, when it was set.
    Immediate(bool),
    /// Never by itself.
    Manual(bool),
}

/// One time of day, or several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DailyBody {
    /// Such as `02:00`.
    One(String),
    /// In order.
    Many(Vec<String>),
}

/// What becomes of local times that clock changes leave out or repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = []))]
pub struct DstBody {
    /// Of those left out.
    #[schemars(extend("enum" = ["shift", "skip"]))]
    pub gap: Word,
    /// Of those repeated.
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

/// A field that may be there with a null.
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
