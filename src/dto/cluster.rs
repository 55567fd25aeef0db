//! Responses about the cluster, its scheduler and the health of a node.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rfc3339, Word};

/// The cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterView {
    /// Its name.
    pub name: String,
    /// Its identity.
    pub id: String,
    /// The zone of schedules that name none.
    pub timezone: String,
    /// The node that leads the log.
    pub leader: Option<String>,
    /// The term of the log.
    pub term: u64,
    /// Its nodes.
    pub members: Vec<MemberView>,
    /// What the node that answers has applied.
    pub applied_index: u64,
    /// What is committed.
    pub committed_index: u64,
    /// The digest of the state.
    pub digest: String,
    /// Whether ticks fire.
    #[schemars(extend("enum" = ["started", "stopped"]))]
    pub scheduler: Word,
    /// Up to here no tick of any task fires any more.
    pub floor: Rfc3339,
    /// How many there are.
    pub tasks: u64,
    /// The lowest level of its live nodes: what it can be asked for.
    pub level: u16,
    /// Of the software of the node that answers.
    pub version: String,
    /// The node that answers.
    pub node: String,
}

/// A node in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberView {
    /// Its configured id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its part in the log.
    pub role: Word,
    /// Whether it works.
    pub state: Word,
    /// What is meant to become of it.
    pub intent: Word,
    /// Where its API is.
    pub http: String,
    /// Where its peers reach it.
    pub peer: String,
    /// Of its software.
    pub version: String,
    /// The level of its formats.
    pub level: u16,
    /// What it has applied; only of the node that answers.
    pub applied_index: Option<u64>,
}

/// The scheduler of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchedulerView {
    /// Whether ticks fire.
    pub started: bool,
    /// The nodes.
    pub instances: Vec<InstanceView>,
    /// The node that leads the log.
    pub leader_id: Option<String>,
    /// Cluster time.
    pub time: Rfc3339,
}

/// A node, as schedulers are told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceView {
    /// Its configured id.
    pub id: String,
    /// Its name.
    pub instance_id: String,
    /// Where its API is.
    pub host: Option<String>,
    /// Where its API is.
    pub port: Option<u16>,
    /// Whether it leads the log.
    pub is_leader: bool,
    /// Whether it works.
    pub state: Word,
}

/// The scheduler after it was started or stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SchedulerSwitched {
    /// Whether ticks fire.
    pub started: bool,
    /// Up to here no tick of any task fires any more.
    pub floor: Rfc3339,
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CurrentLeader {
    /// Null: the election is not over.
    pub leader: Option<String>,
}

/// A member that was readmitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberReplaced {
    /// Its configured id.
    pub member: u16,
    /// The identity of its new join.
    pub node: String,
    /// The number of its new join.
    pub join: u64,
}

/// What a removal of all tasks left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TasksLeft {
    /// Tasks that there are now.
    pub tasks: usize,
}

/// A sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Message {
    /// What was done.
    pub message: String,
}

/// The process answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveView {
    /// Always `alive`.
    pub status: Word,
}

/// The node takes its part in the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReadyView {
    /// Always `ready`.
    pub status: Word,
    /// What is wrong with settings all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Whether the node takes its part, in the older form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum HealthView {
    /// It does.
    Healthy {
        /// Always `healthy`.
        status: Word,
        /// The node.
        instance_id: String,
        /// Cluster time.
        timestamp: Rfc3339,
        /// Always `cluster`.
        mode: Word,
    },
    /// It does not.
    Unhealthy {
        /// Always `unhealthy`.
        status: Word,
        /// Why.
        error: String,
    },
}
