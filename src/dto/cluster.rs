//! Responses about the cluster, its scheduler and the health of a node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rfc3339, Word};
use crate::domain::spec;

/// The cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterView {
    /// Its name.
    pub name: String,
    /// Its unique id.
    pub id: String,
    /// The default time zone of schedules.
    pub timezone: String,
    /// The leader. Null: there is none.
    pub leader: Option<String>,
    /// The term of the log.
    pub term: u64,
    /// Its nodes.
    pub members: Vec<MemberView>,
    /// The node that is being added.
    pub joining: Option<String>,
    /// The last log index applied by the node that responds.
    pub applied_index: u64,
    /// The last committed log index.
    pub committed_index: u64,
    /// The term of the last entry in the log of the node that responds. 0: its log has no entry, or
    /// its version does not tell.
    #[serde(default)]
    pub last_log_term: u64,
    /// The index of that entry. After the loss of a majority, the node to recover is the one whose
    /// last entry has the highest term, and among those the highest index.
    #[serde(default)]
    pub last_log_index: u64,
    /// The digest of the state.
    pub digest: String,
    /// Whether ticks fire.
    #[schemars(extend("enum" = ["started", "stopped"]))]
    pub scheduler: Word,
    /// Up to this time no tick of any task will fire any more.
    pub floor: Rfc3339,
    /// The number of tasks.
    pub tasks: u64,
    /// The lowest level of its live nodes, which limits the usable features.
    pub level: u16,
    /// The software version of the node that responds.
    pub version: String,
    /// The node that responds.
    pub node: String,
}

/// A summary of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberView {
    /// Its configured id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its role in the log, such as `leader`.
    pub role: Word,
    /// Whether it is working.
    pub state: Word,
    /// The planned change of its state, such as `draining`.
    pub intent: Word,
    /// The base URL of its API.
    pub http: String,
    /// Its address for peers.
    pub peer: String,
    /// Its software version.
    pub version: String,
    /// The level of its data formats.
    pub level: u16,
    /// The last log index that it has applied: of the node that responds now, of another one when the
    /// leader last heard of it. Null: not known.
    pub applied_index: Option<u64>,
}

/// The scheduler of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchedulerView {
    /// Whether ticks fire.
    pub started: bool,
    /// How the tasks that name no strategy are given to nodes.
    #[schemars(extend("enum" = spec::strategies()))]
    pub strategy: Word,
    /// The nodes.
    pub instances: Vec<InstanceView>,
    /// The leader.
    pub leader_id: Option<String>,
    /// The current cluster time.
    pub time: Rfc3339,
}

/// A node in the scheduler's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceView {
    /// Its configured id.
    pub id: String,
    /// Its name.
    pub instance_id: String,
    /// The host of its API.
    pub host: Option<String>,
    /// The port of its API.
    pub port: Option<u16>,
    /// Whether it is the leader.
    pub is_leader: bool,
    /// Whether it is working.
    pub state: Word,
}

/// The scheduler after it was started or stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchedulerSwitched {
    /// Whether ticks fire.
    pub started: bool,
    /// Up to this time no tick of any task will fire any more.
    pub floor: Rfc3339,
}

/// How the tasks that name no strategy are given to nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StrategyView {
    /// In force.
    #[schemars(extend("enum" = spec::strategies()))]
    pub strategy: Word,
}

/// The leader after a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CurrentLeader {
    /// The leader. Null: the election is not finished.
    pub leader: Option<String>,
}

/// A member that was added or readmitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberJoined {
    /// Its configured id.
    pub member: u16,
    /// Its new identity, which includes the join number.
    pub node: String,
    /// Its new join number.
    pub join: u64,
}

/// A member that was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRemoved {
    /// Its configured id.
    pub member: u16,
    /// Its former identity, which never comes back.
    pub node: String,
}

/// The result of removing all tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TasksLeft {
    /// The number of remaining tasks.
    pub tasks: usize,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// What was done, as a sentence.
    pub message: String,
}

/// The process responds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveView {
    /// Always `alive`.
    pub status: Word,
}

/// The node is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadyView {
    /// Always `ready`.
    pub status: Word,
    /// Problems of the settings that do not prevent readiness.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Whether the node is ready, in the older format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HealthView {
    /// It is ready.
    Healthy {
        /// Always `healthy`.
        status: Word,
        /// The node.
        instance_id: String,
        /// The current cluster time.
        timestamp: Rfc3339,
        /// Always `cluster`.
        mode: Word,
    },
    /// It is not ready.
    Unhealthy {
        /// Always `unhealthy`.
        status: Word,
        /// The reason.
        error: String,
    },
}
