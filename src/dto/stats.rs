//! Statistics of a task and of the cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rfc3339, TotalsView, Word};

/// Statistics of executions and ticks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatsView {
    /// Executions, live and ended.
    pub total: u64,
    /// Waiting executions.
    pub pending: u64,
    /// Running executions.
    pub running: u64,
    /// Executions that succeeded.
    pub success: u64,
    /// Executions that failed.
    pub failed: u64,
    /// Executions that timed out.
    pub timeout: u64,
    /// Executions that were cancelled.
    pub cancelled: u64,
    /// Executions with unknown outcome.
    pub lost: u64,
    /// Successes as a share of the ended executions without the cancelled ones. Null: there are
    /// none.
    pub success_rate: Option<f64>,
    /// The latest end of a successful execution.
    pub last_success: Option<Rfc3339>,
    /// Consecutive successes and failures. Cancelled executions do not count.
    pub streaks: StreaksView,
    /// Duration from the first start to the end.
    pub duration_ms: Percentiles,
    /// Lateness of executions with a tick.
    pub lateness_ms: Percentiles,
    /// Counts of verdicts and ends.
    pub totals: TotalsView,
    /// Counts of each of the last 90 days with counts, oldest first. A tick counts on the day of
    /// its verdict, an execution on the day of its end.
    pub days: Vec<DayView>,
}

/// Streaks of successes and failures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreaksView {
    /// The outcome of the current streak. Null: no execution has ended.
    #[schemars(extend("enum" = ["success", "failure", null]))]
    pub outcome: Option<Word>,
    /// Length of the current streak.
    pub current: u64,
    /// The longest streak of successes.
    pub longest_success: u64,
    /// The longest streak of failures (failed, timed out or lost).
    pub longest_failure: u64,
}

/// The counts of a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DayView {
    /// The date in UTC.
    pub date: String,
    /// The counts.
    #[serde(flatten)]
    pub totals: TotalsView,
    /// Successes as a share of the ended executions without the cancelled ones. Null: there are
    /// none.
    pub success_rate: Option<f64>,
}

/// Percentiles by nearest rank, at most an eighth too great. Null: there are no values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<u64>,
    /// The 95th percentile.
    pub p95: Option<u64>,
    /// The exact maximum.
    pub max: Option<u64>,
}

/// Statistics of a task since its creation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskStatsView {
    /// The statistics.
    #[serde(flatten)]
    pub stats: StatsView,
    /// The name of the task.
    pub task: String,
    /// Executions that have not ended.
    pub live: u32,
}
