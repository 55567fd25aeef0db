//! Backfills: executions for the ticks of past ranges.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Rfc3339, Word};

/// A step of a backfill: executions for the next ticks of a past range.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackfillRequest {
    /// The first instant of the range.
    pub from: Rfc3339,
    /// The end of the range, which is not part of it. It must not lie in the future.
    pub to: Rfc3339,
    /// Executions of the range that may be live at once. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub parallel: Option<u64>,
    /// Laid over those of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
}

/// How far the backfill of a range is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackfillView {
    /// The task.
    pub task: String,
    /// The incarnation of the task.
    pub incarnation: u64,
    /// The first instant of the range.
    pub from: Rfc3339,
    /// The end of the range, which is not part of it.
    pub to: Rfc3339,
    /// Whether further ticks get executions: `open`: they do; `complete`: each has one; `cancelled`:
    /// those after the cursor get none.
    #[serde(default)]
    #[schemars(extend("enum" = ["open", "complete", "cancelled"]))]
    pub state: Word,
    /// No further tick gets an execution, and none of those that were created is live.
    pub done: bool,
    /// Ticks of the range, as they were counted last; of a cancelled one those with an execution.
    pub total: u64,
    /// Ticks that have their execution.
    pub created: u64,
    /// Ticks that get one later.
    pub remaining: u64,
    /// Every tick up to here has its execution. Null: none has.
    pub cursor: Option<Rfc3339>,
    /// The executions that have not ended.
    pub live: Vec<String>,
    /// Executions that succeeded.
    pub success: u64,
    /// Executions that failed.
    pub failed: u64,
    /// Executions that timed out.
    pub timeout: u64,
    /// Executions that were cancelled.
    pub cancelled: u64,
    /// Executions that were lost.
    pub lost: u64,
    /// When it began. Null: it has not.
    pub begun_at: Option<Rfc3339>,
    /// When an execution was created or ended last.
    pub changed_at: Option<Rfc3339>,
    /// The executions that this request created, in the order of their ticks.
    #[serde(default)]
    pub executions: Vec<String>,
    /// Why the request created no execution for the next tick. Null: it did, or there is none.
    #[serde(default)]
    #[schemars(extend("enum" = ["parallel", "overlap", "queue_full", "max_live", "paused", "disabled", "cancelled", "stopped", null]))]
    pub waits_for: Option<Word>,
}

/// The backfills of a task that the cluster remembers, by their begin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackfillsView {
    /// One for each range.
    pub items: Vec<BackfillView>,
    /// Always null.
    pub next_cursor: (),
}

/// The ticks that a backfill of a range would execute. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackfillTicksView {
    /// The task.
    pub task: String,
    /// The first instant of the range.
    pub from: Rfc3339,
    /// The end of the range, which is not part of it.
    pub to: Rfc3339,
    /// Number of ticks.
    pub total: u64,
    /// Ticks that do not have an execution of this range yet.
    pub remaining: u64,
    /// The first tick.
    pub first: Rfc3339,
    /// The last tick.
    pub last: Rfc3339,
    /// All ticks.
    pub ticks: Vec<Rfc3339>,
}
