//! Calendar responses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CalendarBody, Rfc3339, Word};

/// A calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CalendarView {
    /// Its times.
    #[serde(flatten)]
    pub body: CalendarBody,
    /// Its name.
    pub id: String,
    /// The number of its last change; its `ETag`.
    pub revision: u64,
    /// When it was made.
    pub created_at: Rfc3339,
    /// When it was changed last.
    pub updated_at: Rfc3339,
    /// `static`: from the settings of a node.
    #[schemars(extend("enum" = ["api", "static"]))]
    pub origin: Word,
    /// How many tasks leave it out.
    pub task_count: u64,
    /// Their names, the first of them; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<String>>,
}

/// A calendar that a request set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CalendarChanged {
    /// What it is now.
    Kept(CalendarView),
    /// It was removed since.
    Gone(CalendarGone),
}

/// A calendar that was set and removed since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CalendarGone {
    /// Its name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// There is none.
    pub revision: (),
}

/// A calendar that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CalendarRemoved {
    /// Its name.
    pub name: String,
    /// Always true.
    pub deleted: bool,
}
