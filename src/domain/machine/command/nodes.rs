//! The bodies of commands about nodes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::domain::ids::{NodeId, SessionId};
use crate::domain::machine::task::record::{Intent, Liveness, NodeInfo};

/// Registers a node process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeUp {
    /// This member.
    pub node: NodeId,
    /// A number drawn by the process, so that it knows its own registration.
    pub boot: u128,
    /// What it tells of itself.
    pub info: NodeInfo,
}

/// The leader's view of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLiveness {
    /// This member.
    pub node: NodeId,
    /// In this session.
    pub session: SessionId,
    /// `Working` or `Down`.
    pub liveness: Liveness,
}

/// What is meant to become of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeIntent {
    /// This member.
    pub node: NodeId,
    /// The wish.
    pub intent: Intent,
}

/// Changes what an operator set for a node, which is in force instead of what the node tells. Outer
/// `None`: that stays; inner `None`: the node's own is in force again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePatch {
    /// This member.
    pub node: NodeId,
    /// Share of tasks.
    pub weight: Option<Option<u32>>,
    /// Running executions at once.
    pub slots: Option<Option<u32>>,
    /// All labels that an operator set.
    pub labels: Option<BTreeMap<String, String>>,
}

/// Takes a node into the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeJoin {
    /// Its Raft id, never used before.
    pub node: NodeId,
    /// Host and port of its peer listener.
    pub peer: String,
    /// Base URL of its API. Empty: it has none.
    pub http: String,
}

/// The functions that a node has since its program registered more of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFunctions {
    /// This member.
    pub node: NodeId,
    /// Its registration: a former process says nothing about this one.
    pub session: SessionId,
    /// All of them, in order.
    pub functions: Vec<String>,
}

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfNode {
    /// This one.
    pub node: NodeId,
}
