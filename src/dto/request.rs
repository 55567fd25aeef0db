//! Request bodies other than definitions.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Rfc3339, ScheduleBody, TaskRequest, Word};
use crate::domain::spec;

/// A pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PauseRequest {
    /// Why; shown to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub reason: Option<String>,
    /// When it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Rfc3339>,
}

/// An execution now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TriggerRequest {
    /// Laid over those of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
}

/// A caller's claim of a tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimRequest {
    /// The tick.
    pub tick: Rfc3339,
}

/// The end of an execution that a caller claimed, or that an executor was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CallbackRequest {
    /// The execution, as in the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// The fence of the attempt, unless it is a parameter. An executor may leave it out while there
    /// has been one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<u64>,
    /// How it ended.
    #[schemars(extend("enum" = ["success", "failed", "timeout"]))]
    pub status: Word,
    /// What came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// What it printed, as text or as a list of texts; the last KiB is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<Value>,
    /// When it ended; the time of the request counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<Value>,
}

/// Many tasks to be made, as a list or under `items`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum BatchRequest {
    /// Under a name.
    Items(BatchItems),
    /// As they are.
    List(#[schemars(length(min = 1, max = 10000))] Vec<TaskRequest>),
}

/// Many tasks to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BatchItems {
    /// Their definitions.
    #[schemars(length(min = 1, max = 10000))]
    pub items: Vec<TaskRequest>,
}

/// One operation on many tasks: exactly one of `names` and `selector` names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BulkRequest {
    /// What is done to each.
    #[schemars(extend("enum" = ["pause", "resume", "cancel", "trigger", "delete", "cleanup"]))]
    pub op: Word,
    /// Their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// Labels that they carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<BTreeMap<String, String>>,
    /// Of a pause: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a pause: when it ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Rfc3339>,
    /// Of a trigger: laid over those of each task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Map<String, Value>>,
    /// Of a delete: whether what runs is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<bool>,
    /// Of a delete: whether free names are marked as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<bool>,
}

/// A change of what is set for a node. What is left out stays as it is, and null takes back what was
/// set: the node's own setting is in force again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodePatchRequest {
    /// Its share of the tasks; 0: it owns none. Null: that of its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Option<u32>>,
    /// Executions at once; 0: no limit. Null: that of its settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<Option<u32>>,
    /// Labels to set, over those of its settings. A label that is null is no longer set; null
    /// instead of the labels: none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<Option<LabelChanges>>,
}

/// New values of labels, or null.
pub type LabelChanges = BTreeMap<String, Option<String>>;

/// How the tasks that name no strategy are to be given to nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StrategyRequest {
    /// From now on.
    #[schemars(extend("enum" = spec::strategies()))]
    pub strategy: Word,
}

/// A node to be added to the cluster. It was started with an empty data folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberAddRequest {
    /// Its `node.id`.
    #[schemars(range(min = 1, max = 65535))]
    pub id: u16,
    /// Host and port of its peer listener, as the other nodes reach it.
    pub peer: String,
    /// Base URL of its API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
}

/// Who is to lead next.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TransferRequest {
    /// A member, by its configured id or its node's name; without it any that is up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
}

/// The removal of all tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CleanupAllRequest {
    /// The name of the cluster.
    pub cluster: String,
}

/// A schedule of which ticks are shown: exactly one of `schedule` and `expression` says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PreviewRequest {
    /// As a task has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleBody>,
    /// A cron expression.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The zone of its times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// The name of the task, on which `H` depends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Ticks from here on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Rfc3339>,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub n: Option<u64>,
    /// Only those that a clock change touches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_dst: Option<bool>,
}

/// A JSON merge patch (RFC 7396): what is null goes back to its default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct MergePatch(pub Map<String, Value>);
