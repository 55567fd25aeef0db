//! The record of a cluster member: what it tells of itself, what an operator set for it, and how it
//! is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{NodeId, SessionId};
use crate::domain::time::Timestamp;

/// Whether a node can be given work, as the leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Liveness {
    /// Registered, not yet heard of.
    Starting,
    /// Heard of, and up to date.
    Working,
    /// Silent, or behind.
    Down,
}

/// What is meant to become of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Intent {
    /// It stays.
    None,
    /// It gives its tasks away, until told otherwise.
    Draining,
    /// Its process ends; its next boot clears this.
    Leaving,
    /// It is taken out of the cluster.
    Removing,
}

/// The labels that every node has by itself.
pub const AUTOMATIC_LABELS: [&str; 3] = ["node", "host", "shell"];

/// What a node tells of itself at boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// `n<id>`, or what the operator named it.
    pub name: String,
    /// Of the machine.
    pub hostname: String,
    /// Of the process.
    pub pid: u32,
    /// Base URL of its API.
    pub http: String,
    /// Its peer address.
    pub peer: String,
    /// Of the software.
    pub version: String,
    /// Highest level of commands it knows.
    pub level: u16,
    /// Share of tasks.
    pub weight: u32,
    /// For selectors.
    pub labels: BTreeMap<String, String>,
    /// Running executions at once; zero: no limit.
    pub slots: u32,
    /// Registered functions.
    pub functions: Vec<String>,
    /// Whether it starts processes.
    pub shell: bool,
    /// The users, in order, that it can start processes as. None: any user.
    pub users: Option<Vec<String>>,
}

/// A cluster member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its number.
    pub id: NodeId,
    /// What it told at its last boot.
    pub info: NodeInfo,
    /// Its registration.
    pub session: SessionId,
    /// What the registered process drew for itself.
    pub boot: u128,
    /// As the leader sees it.
    pub liveness: Liveness,
    /// What is meant to become of it.
    pub intent: Intent,
    /// Since when it is down.
    pub down_since: Option<Timestamp>,
    /// Its first boot.
    pub created_at: Timestamp,
    /// Its last boot.
    pub started_at: Timestamp,
    /// What an operator set. It stands last: before version 7 of the records there was none.
    pub overrides: NodeOverrides,
}

/// What an operator set for a node. It is in force instead of what the node tells of itself, at
/// every boot, until it is taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeOverrides {
    /// Share of tasks.
    pub weight: Option<u32>,
    /// Running executions at once; zero: no limit.
    pub slots: Option<u32>,
    /// For selectors, beside the labels that the node tells.
    pub labels: BTreeMap<String, String>,
}

/// What came of the member with one configured id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// The highest join number that was removed; 0: none. Raft ids up to it never come back.
    pub gone: u64,
    /// The node that is being added under this id.
    pub joining: Option<JoiningNode>,
}

/// A node that is being added to the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoiningNode {
    /// Its Raft id.
    pub node: NodeId,
    /// Host and port of its peer listener.
    pub peer: String,
    /// Base URL of its API. Empty: it has none.
    pub http: String,
}

impl NodeRecord {
    /// The share of tasks in force.
    #[must_use]
    pub fn weight(&self) -> u32 {
        self.overrides.weight.unwrap_or(self.info.weight)
    }

    /// How many executions may run at once; zero: no limit.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.overrides.slots.unwrap_or(self.info.slots)
    }

    /// The labels in force, without the automatic ones.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.info.labels.clone();
        labels.extend(self.overrides.labels.clone());
        labels
    }

    /// Tells each label with its value, as [`NodeRecord::label`] has it. Some may come twice.
    pub fn each_label(&self, tell: &mut dyn FnMut(&str, &str)) {
        let set = self.info.labels.keys().chain(self.overrides.labels.keys());
        for key in AUTOMATIC_LABELS.into_iter().chain(set.map(String::as_str)) {
            if let Some(value) = self.label(key) {
                tell(key, value);
            }
        }
    }

    /// The value of one of [`AUTOMATIC_LABELS`].
    #[must_use]
    pub fn automatic_label(&self, key: &str) -> Option<&str> {
        match key {
            "node" => Some(&self.info.name),
            "host" => Some(&self.info.hostname),
            "shell" => Some(if self.info.shell { "true" } else { "false" }),
            _ => None,
        }
    }

    /// The value of a label, as selectors see it.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        let set = || self.overrides.labels.get(key).or_else(|| self.info.labels.get(key));
        self.automatic_label(key).or_else(|| set().map(String::as_str))
    }
}
