//! Events: what changed, for those who watch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Rfc3339, Word};

/// The data of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    /// Where a stream goes on behind it; null: it is an event of the node that tells it, and is not
    /// told again.
    pub id: Option<String>,
    /// When it happened.
    pub at: Rfc3339,
    /// What happened, such as `task.put`; the same as the name of the event.
    pub kind: Word,
    /// What changed.
    pub object: EventObjectView,
}

/// What changed, and how it is from then on. What does not apply is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventObjectView {
    /// Of `task.*` and `execution.changed`: the name of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Of `execution.changed`: the execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<String>,
    /// Of `execution.changed` and `executor.changed`: the status; of an executor also `removed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Word>,
    /// Of `node.*`: the name of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Of `node.*`: whether it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<Word>,
    /// Of `node.*`: what is meant to become of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intent: Option<Word>,
    /// Of `calendar.*`: the name of the calendar.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// Of `executor.changed`: the executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub executor: Option<String>,
    /// Of `scheduler.changed`: whether ticks fire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<bool>,
    /// Of `scheduler.changed`: how the tasks that name no strategy are given to nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Word>,
    /// Of `leader.changed`: the name of the leader; absent: there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
}
