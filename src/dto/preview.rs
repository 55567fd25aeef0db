//! Future ticks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rfc3339, ScheduleBody, WarningView, Word};

/// A future tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NextTick {
    /// The calendar that excludes it.
    pub excluded: Option<String>,
    /// The time of the tick.
    pub at: Rfc3339,
    /// The same time in the time zone of the schedule.
    pub local: String,
    /// How a clock change affects it.
    pub note: Option<String>,
    /// The same in Chinese.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note_zh: Option<String>,
    /// For a tick of a task: when it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Rfc3339>,
}

/// The next ticks of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NextView {
    /// In order.
    pub items: Vec<NextTick>,
    /// Always null. Use `from` to request more ticks.
    pub next_cursor: (),
    /// Why none of them will fire in the current state.
    pub held: Option<Word>,
}

/// A preview of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewView {
    /// Its next ticks.
    pub ticks: Vec<NextTick>,
    /// A description of the schedule in English.
    pub words: String,
    /// A description of the schedule in Chinese.
    pub words_zh: String,
    /// Its canonical form.
    pub expression: ExpressionView,
    /// Warnings about the schedule.
    pub warnings: Vec<WarningView>,
    /// Why the list of ticks may be incomplete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incomplete: Option<String>,
}

/// A schedule in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ExpressionView {
    /// A cron expression.
    Text(String),
    /// Any other rule.
    Schedule(Box<ScheduleBody>),
}
