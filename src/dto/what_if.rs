//! What would become of the owners of tasks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ListView, Word};

/// What would move if the members or the strategy changed.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct WhatIfView {
    /// The number of tasks.
    pub tasks: u64,
    /// How many of them would have another owner.
    pub moved: u64,
    /// The fewest moves that lead to the same numbers of tasks per node.
    pub fewest: u64,
    /// How many tasks would have no owner.
    pub without_owner: u64,
    /// How many have none now.
    pub without_owner_now: u64,
    /// The strategy after the change, of tasks that name none.
    pub strategy: Word,
    /// The shares of the nodes.
    pub nodes: Vec<ShareView>,
    /// From which node how many tasks would go to which other one.
    pub moves: Vec<MovesView>,
    /// The tasks that would move, by name.
    #[serde(flatten)]
    pub list: ListView<MovedTaskView>,
}

/// The share of a node, now and after the change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ShareView {
    /// Its name.
    pub node: String,
    /// Its weight now. Null: it may own no tasks.
    pub weight_now: Option<u32>,
    /// Its weight after. Null: it would own no tasks.
    pub weight: Option<u32>,
    /// How many tasks it owns now.
    pub tasks_now: u64,
    /// How many it would own.
    pub tasks: u64,
    /// Its part of all tasks in proportion to its weight, now, rounded.
    pub fair_now: u64,
    /// The same after the change.
    pub fair: u64,
}

/// Tasks that would go from one node to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MovesView {
    /// Their owner now. Null: they have none.
    pub from: Option<String>,
    /// Their owner after. Null: they would have none.
    pub to: Option<String>,
    /// How many.
    pub tasks: u64,
}

/// A task that would move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MovedTaskView {
    /// Its name.
    pub task: String,
    /// Its owner now. Null: it has none.
    pub from: Option<String>,
    /// Its owner after. Null: it would have none.
    pub to: Option<String>,
}
