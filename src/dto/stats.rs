//! Statistics of a task and of the cluster.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rfc3339, TotalsView, Word};

/// How executions went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StatsView {
    /// All that were created.
    pub total: u64,
    /// Those that wait.
    pub pending: u64,
    /// Those that run.
    pub running: u64,
    /// Those that ended well.
    pub success: u64,
    /// Those that failed.
    pub failed: u64,
    /// Those that took too long.
    pub timeout: u64,
    /// Those that were stopped.
    pub cancelled: u64,
    /// Those whose node was gone.
    pub lost: u64,
    /// Of those that ended by themselves; null: none did.
    pub success_rate: Option<f64>,
    /// When an execution last ended well.
    pub last_success: Option<Rfc3339>,
    /// How many in a row ended alike; those that were stopped do not count.
    pub streaks: StreaksView,
    /// How long they took from their first start to their end.
    pub duration_ms: Percentiles,
    /// How late those of ticks started.
    pub lateness_ms: Percentiles,
    /// Counts of ticks and executions.
    pub totals: TotalsView,
    /// The same for each of the last 90 days on which anything was counted, the oldest first. A
    /// tick counts on the day of its verdict, an execution on that of its end.
    pub days: Vec<DayView>,
}

/// Executions in a row that ended alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StreaksView {
    /// How those of the present streak ended; null: none has ended.
    #[schemars(extend("enum" = ["success", "failure", null]))]
    pub outcome: Option<Word>,
    /// How many they are.
    pub current: u64,
    /// The most successes in a row.
    pub longest_success: u64,
    /// The most failures in a row: failed, timed out or lost.
    pub longest_failure: u64,
}

/// What was counted on a day.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DayView {
    /// Its date, in UTC.
    pub date: String,
    /// Its counts.
    #[serde(flatten)]
    pub totals: TotalsView,
    /// Of the executions that ended by themselves; null: none did.
    pub success_rate: Option<f64>,
}

/// Values by nearest rank, each at most an eighth too great; null: there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<u64>,
    /// 95 of 100 are at most this.
    pub p95: Option<u64>,
    /// The largest, exactly.
    pub max: Option<u64>,
}

/// How the ticks and executions of a task went, since it was created.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskStatsView {
    /// Its executions.
    #[serde(flatten)]
    pub stats: StatsView,
    /// Its name.
    pub task: String,
    /// Executions that have not ended.
    pub live: u32,
}
