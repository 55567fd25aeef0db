//! Responses of the compatibility routes, and flat task bodies, with the field names of other
//! schedulers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ActionBody, Rfc3339, TaskBody, Word, words_or_null};
use crate::domain::balance;

/// `GET /api/cron/status`: the node that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CronStatusView {
    /// Its name.
    pub instance_id: String,
    /// Whether ticks fire in the cluster.
    #[schemars(extend("enum" = ["running", "stopped"]))]
    pub status: Word,
    /// When its process started.
    pub start_time: Rfc3339,
    /// Tasks of the cluster that are active.
    pub active_tasks: u64,
    /// Nodes that work.
    pub instance_count: u64,
    /// How long its process runs, in whole seconds.
    pub uptime: String,
}

/// `GET /api/cron/instances`: the nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CronInstancesView {
    /// All of them.
    pub instances: Vec<CronInstanceView>,
    /// How many there are.
    pub count: usize,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CronInstanceView {
    /// Its name.
    pub instance_id: String,
    /// Of its machine.
    pub hostname: String,
    /// Of its process.
    pub pid: u32,
    /// When its process started.
    pub start_time: Rfc3339,
    /// When the leader heard of it last; null: no leader tells.
    pub last_heartbeat: Option<Rfc3339>,
    /// Whether it works.
    #[schemars(extend("enum" = ["starting", "working", "down"]))]
    pub status: Word,
    /// Of its software.
    pub version: String,
    /// The tasks that it owns, by name.
    pub tasks: Vec<String>,
}

/// `GET /api/cron/tasks`: the tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CronTasksView {
    /// By name.
    pub tasks: Vec<CronTaskView>,
    /// How many there are.
    pub count: usize,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CronTaskView {
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its cron expression, or its schedule in words.
    pub schedule: String,
    /// The node that owns it, if one does.
    pub instances: Vec<String>,
}

/// `GET /api/cron/tasks/{name}/stats`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CronTaskStatsView {
    /// The task.
    pub task_name: String,
    /// How it went.
    pub stats: CronCounts,
}

/// How the executions of a task went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CronCounts {
    /// Those that ended well.
    pub success_count: u64,
    /// Those that failed, took too long or were lost.
    pub failure_count: u64,
    /// When one started last.
    pub last_run_at: Option<Rfc3339>,
    /// The next tick that will fire as things stand.
    pub next_run_at: Option<Rfc3339>,
}

/// `GET /api/cron/tasks/{name}/history`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CronHistoryView {
    /// The task.
    pub task_name: String,
    /// Executions and skipped ticks, newest first.
    pub history: Vec<CronRunView>,
    /// How many are told.
    pub count: usize,
}

/// An execution, or a tick that was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CronRunView {
    /// The task.
    pub task_name: String,
    /// The node of the newest attempt; null: there was none.
    pub instance_id: Option<String>,
    /// How it went.
    #[schemars(extend("enum" = ["pending", "running", "completed", "failed", "cancelled", "skipped"]))]
    pub status: Word,
    /// When the first attempt started; of a skipped tick: the tick.
    pub started_at: Option<Rfc3339>,
    /// When it ended.
    pub completed_at: Option<Rfc3339>,
    /// From start to end.
    pub duration: Option<String>,
    /// Why it was no success.
    pub error: Option<String>,
    /// Attempts after the first.
    pub retry_count: u32,
}

/// Why a request below `/api/cron` was not answered as asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CronErrorView {
    /// What is wrong, in a sentence.
    pub error: String,
}

/// An answer in an envelope. Of an error `data` is the problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EnvelopeView<T> {
    /// The status of the answer.
    pub code: u16,
    /// `success`, or what is wrong.
    pub message: String,
    /// What was asked for.
    pub data: T,
}

impl<T> EnvelopeView<T> {
    /// A successful response.
    #[must_use]
    pub fn success(data: T) -> Self {
        Self { code: 200, message: "success".to_owned(), data }
    }
}

/// A task, as `GET /api/v1/scheduler/jobs` tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobView {
    /// Its name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The next tick that will fire as things stand.
    pub next_run: Option<Rfc3339>,
    /// When an execution started last.
    pub last_run: Option<Rfc3339>,
}

/// The definition of a task: canonical, or with flat fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TaskRequest {
    /// In the canonical form.
    Canonical(Box<TaskBody>),
    /// With flat fields.
    Flat(Box<FlatTaskBody>),
}

/// A task's definition with flat fields. Each stands for one field of the canonical form; the other
/// fields of that form may stand beside them. A flat field that says something else than a canonical
/// one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-input-required" = ["name"]))]
pub struct FlatTaskBody {
    /// Its identity.
    pub name: String,
    /// A cron expression: `schedule.cron`.
    pub cron_format: Option<String>,
    /// The same.
    pub cron_expression: Option<String>,
    /// How `schedule` is written: `schedule.interval`, `schedule.cron`, `schedule.daily`.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = ["duration", "cron", "daily", null]))]
    pub kind: Option<Word>,
    /// With `type`: a duration, a cron expression, or a time of day or several (a list, or a text
    /// with commas). Without it as in the canonical form.
    #[schemars(schema_with = "text_or_object")]
    pub schedule: Value,
    /// Whether its ticks fire.
    pub enabled: bool,
    /// Whether it runs once only.
    pub one_shot: bool,
    /// True: `after_run` is `mark_deleted`.
    pub executed_and_mark_deleted: Option<bool>,
    /// True: `after_run` is `cleanup`.
    pub executed_and_cleanup: Option<bool>,
    /// Given to the action as it is.
    pub payload: String,
    /// Given to the action.
    pub parameters: Map<String, Value>,
    /// What becomes of a tick while an execution has not ended.
    #[schemars(extend("enum" = ["parallel", "skip", "sequential", "replace"]))]
    pub execution_mode: Word,
    /// `retry.max_retry`.
    pub max_retry: Option<u32>,
    /// `timeout`, in whole seconds; 0: none.
    #[schemars(range(max = 3_155_760_000_u64))]
    pub timeout_seconds: Option<u64>,
    /// `action.executor.balance`: how an executor is chosen. It goes with no other action.
    #[schemars(extend("enum" = words_or_null(&balance::WORDS)))]
    pub load_balance_strategy: Option<Word>,
    /// What is done.
    pub action: Option<ActionBody>,
}

/// The schema of a schedule that is a string, or an object as in the canonical form.
fn text_or_object(_generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": ["string", "object", "integer", "array"]})
}
