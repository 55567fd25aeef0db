//! Node responses.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rfc3339, Word};

/// A process of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeView {
    /// Its configured id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its machine.
    pub hostname: String,
    /// Its process.
    pub pid: u32,
    /// Whether it works.
    #[schemars(extend("enum" = ["starting", "working", "down"]))]
    pub state: Word,
    /// What is meant to become of it.
    #[schemars(extend("enum" = ["none", "draining", "leaving", "removing"]))]
    pub intent: Word,
    /// Its part in the log.
    #[schemars(extend("enum" = ["leader", "follower", "learner"]))]
    pub role: Word,
    /// Where its API is.
    pub http: String,
    /// Where its peers reach it.
    pub peer: String,
    /// Of its software.
    pub version: String,
    /// Its share of the tasks, in force.
    pub weight: u32,
    /// For selectors, in force: those of its settings, and over them those that were set.
    pub labels: BTreeMap<String, String>,
    /// The labels that every node has by itself, which selectors can use too.
    #[serde(default)]
    pub automatic_labels: BTreeMap<String, String>,
    /// Executions at once, in force; 0: no limit.
    pub slots: u32,
    /// What was set here for the node, and is in force instead of its settings.
    #[serde(default)]
    pub overrides: NodeOverridesView,
    /// Functions of an embedding program.
    pub functions: Vec<String>,
    /// Whether it carries out shell actions.
    pub shell: bool,
    /// Its term; only of the node that answers.
    pub term: Option<u64>,
    /// The last log index that it has applied: of the node that answers now, of another one when the
    /// leader last heard of it.
    pub applied_index: Option<u64>,
    /// The digest of its state; only of the node that answers.
    pub digest: Option<String>,
    /// How far its wall clock is ahead of cluster time.
    pub clock_skew_ms: Option<i64>,
    /// When it joined.
    pub created_at: Rfc3339,
    /// When it was started last.
    pub started_at: Rfc3339,
    /// When the leader heard of it last; null: no leader tells, or it has not heard of it yet.
    pub last_seen: Option<Rfc3339>,
    /// Tasks that it owns.
    pub tasks_owned: u64,
    /// Executions that run on it.
    #[serde(default)]
    pub running: u64,
}

/// What was set for a node with `PATCH /nodes/{id}`; it outlasts restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeOverridesView {
    /// Null: the node's own setting is in force.
    pub weight: Option<u32>,
    /// Null: the node's own setting is in force.
    pub slots: Option<u32>,
    /// Beside these the labels of the node's settings are in force.
    pub labels: BTreeMap<String, String>,
}
