//! Executors: programs outside the cluster that carry out executions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{FieldError, Rfc3339, Word, words_or_null};
use crate::domain::balance;

/// An executor, without its tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutorHead {
    /// The id under which it registered.
    pub id: String,
    /// Its name; several may share one.
    pub name: String,
    /// Where it takes requests.
    pub base_url: String,
    /// What probes ask; null: it sends heartbeats.
    pub health_check_url: Option<String>,
    /// Whether it gets work.
    #[schemars(extend("enum" = ["online", "offline", "maintenance"]))]
    pub status: Word,
    /// Why it has this status; empty: it registered, or answers.
    pub reason: String,
    /// Its share of the work, for the strategies that weigh.
    pub weight: u32,
    /// Executions at once; 0: no limit.
    pub capacity: u32,
    /// Executions that it has now.
    pub in_flight: u32,
    /// As it registered.
    pub metadata: BTreeMap<String, String>,
    /// Since when it does not answer; null: it does.
    pub offline_since: Option<Rfc3339>,
    /// When it registered first.
    pub registered_at: Rfc3339,
    /// Its last registration or heartbeat; heartbeats are noted every 5 s at most.
    pub last_heartbeat: Rfc3339,
    /// Of its last change.
    pub revision: u64,
}

/// An executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutorView {
    /// What it is.
    #[serde(flatten)]
    pub head: ExecutorHead,
    /// The tasks that it declared.
    pub tasks: Vec<String>,
}

/// A registration, and what became of the tasks that it declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutorRegistered {
    /// What it is.
    #[serde(flatten)]
    pub head: ExecutorHead,
    /// The tasks that it declares.
    pub tasks: Vec<DeclaredTaskView>,
}

/// What became of a declared task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DeclaredTaskView {
    /// Its name.
    pub name: String,
    /// `created`, `updated` or `unchanged`; `deleted`: the name is marked deleted, and stays so;
    /// `kept`: the task was made or changed otherwise, and stays as it is; `refused`: see `detail`.
    #[schemars(extend("enum" = ["created", "updated", "unchanged", "deleted", "kept", "refused"]))]
    pub result: Word,
    /// The code of what was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Word>,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What is wrong with its fields.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

/// A registration. Fields in one line are spellings of one another.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegisterRequest {
    /// The id; `executor_id` is another spelling. One of both is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// See `instance_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_id: Option<String>,
    /// The name, which several executors may share; `executor_name` is another spelling; the id if
    /// there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_name: Option<String>,
    /// Where it takes requests; `executor_url` is another spelling. One of both is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// See `base_url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor_url: Option<String>,
    /// What probes ask; without it the executor sends heartbeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check_url: Option<String>,
    /// Its share of the work; 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub weight: Option<u32>,
    /// Executions at once; 0, the default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 1_000_000))]
    pub capacity: Option<u32>,
    /// Texts by name, shown and not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
    /// The tasks that it carries out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10000))]
    pub tasks: Option<Vec<DeclaredTaskRequest>>,
}

/// A task that an executor declares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeclaredTaskRequest {
    /// Its name; `name` is another spelling. One of both is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_name: Option<String>,
    /// See `task_name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its cron expression; `cron_expression` is another spelling. Without one it is triggered only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// See `cron`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cron_expression: Option<String>,
    /// See the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["parallel", "skip", "sequential", "replace", null]))]
    pub execution_mode: Option<Word>,
    /// How an executor is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = words_or_null(&balance::WORDS)))]
    pub load_balance_strategy: Option<Word>,
    /// In seconds; `timeout_seconds` is another spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u64>,
    /// See `timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// Attempts after the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_retry: Option<u32>,
    /// Given to each execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
    /// Whether its ticks fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["active", "enabled", "paused", "disabled", "inactive", null]))]
    pub status: Option<Word>,
}

/// Another status of an executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutorStatusRequest {
    /// Which.
    #[schemars(extend("enum" = ["online", "offline", "maintenance"]))]
    pub status: Word,
    /// Why; shown to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,
}

/// An executor that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExecutorRemoved {
    /// Its id.
    pub id: String,
    /// True.
    pub deleted: bool,
}
