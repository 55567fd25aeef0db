//! Future ticks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rfc3339, ScheduleBody, WarningView, Word};

/// A tick to come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NextTick {
    /// The calendar that leaves it out.
    pub excluded: Option<String>,
    /// The instant.
    pub at: Rfc3339,
    /// The same where the schedule is.
    pub local: String,
    /// Which clock change touches it, and how.
    pub note: Option<String>,
    /// Of a task: when it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Rfc3339>,
}

/// The next ticks of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NextView {
    /// In order.
    pub items: Vec<NextTick>,
    /// More are asked for with `from`.
    pub next_cursor: (),
    /// Why none of them will fire as things stand.
    pub held: Option<Word>,
}

/// What a schedule would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewView {
    /// Its next ticks.
    pub ticks: Vec<NextTick>,
    /// The schedule in English.
    pub words: String,
    /// The schedule in Chinese.
    pub words_zh: String,
    /// Its canonical form.
    pub expression: ExpressionView,
    /// What is worth knowing of it.
    pub warnings: Vec<WarningView>,
    /// Why there may be more ticks than these.
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
