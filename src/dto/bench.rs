//! What the routes for measuring are asked and answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Manual tasks to be made, and how many were.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchTasks {
    /// How many.
    pub tasks: usize,
    /// Whether each has a line of its own, of which a claim takes the one place.
    pub sequential: bool,
}

/// A load of claims that one node generates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchClaims {
    /// Claims that wait for their answers at once.
    pub in_flight: usize,
    /// How long, in seconds.
    pub seconds: u64,
    /// The node claims the ticks of every `stride`-th task, from this one.
    pub offset: usize,
    /// See `offset`.
    pub stride: usize,
    /// Whether the claim before is finished with each claim.
    pub finish: bool,
}

/// What came of a load of claims.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchClaimsReport {
    /// Claims that this node's own apply granted.
    pub granted: u64,
    /// Refused ones, by code.
    pub refused: BTreeMap<String, u64>,
    /// Claims that were not answered in time.
    pub unanswered: u64,
    /// How long it took.
    pub seconds: f64,
    /// Every thousandth part of the latencies in microseconds, so that those of several nodes can
    /// be joined.
    pub latencies_us: Vec<u32>,
}

/// What the states of nodes are compared by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchState {
    /// Ticks that fired, of all tasks.
    pub fired: u64,
    /// The index of the last entry that was applied.
    pub applied: u64,
    /// The digest of the state.
    pub digest: String,
    /// Syncs of the log so far.
    pub fsyncs: u64,
    /// The term of the log.
    pub term: u64,
    /// Whether the node leads.
    pub leader: bool,
    /// The node's process.
    pub pid: u32,
    /// Cluster time in milliseconds since 1970.
    pub now_ms: i64,
    /// Tasks that there are.
    pub tasks: usize,
}

/// A start: the task's key, the tick in milliseconds since 1970 (none: it was triggered), and how
/// many microseconds after due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchStart(pub u64, pub Option<i64>, pub i64);

/// Tasks by the beginning of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchPrefix {
    /// The beginning.
    pub prefix: String,
}

/// Time of tasks' lives that neither a fired tick nor a span covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BenchUncovered {
    /// In milliseconds, of all of them.
    pub ms: u64,
}
