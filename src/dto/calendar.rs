//! Calendar responses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CalendarBody, Rfc3339, Word};

/// A calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CalendarView {
    /// The calendar itself.
    #[serde(flatten)]
    pub body: CalendarBody,
    /// Its name.
    pub id: String,
    /// The revision of its last change, also its `ETag`.
    pub revision: u64,
    /// When it was created.
    pub created_at: Rfc3339,
    /// When it was last changed.
    pub updated_at: Rfc3339,
    /// `static`: declared in the settings of a node. `api`: set by a request.
    #[schemars(extend("enum" = ["api", "static"]))]
    pub origin: Word,
    /// Number of tasks that exclude it.
    pub task_count: u64,
    /// The names of the first of these tasks. Absent in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tasks: Option<Vec<String>>,
}

/// The result of setting a calendar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum CalendarChanged {
    /// The calendar as it is now.
    Kept(CalendarView),
    /// The calendar was removed in the meantime.
    Gone(CalendarGone),
}

/// A calendar that was set and removed in the meantime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CalendarGone {
    /// Its name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Always null.
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
