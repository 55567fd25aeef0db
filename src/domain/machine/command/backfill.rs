//! The bodies of the commands about executions for ticks of past ranges.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{Revision, TaskKey};
use crate::domain::time::Timestamp;

/// Creates executions for the next ticks of a past range. The proposer computes the ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backfill {
    /// Of this task.
    pub task: TaskKey,
    /// As the proposer saw it.
    pub revision: Revision,
    /// The newest revision of the calendars that the task leaves out, as the proposer saw them; 0: it
    /// leaves out none.
    pub calendars: Revision,
    /// The first instant of the range.
    pub from: Timestamp,
    /// The end of the range, which is not part of it.
    pub to: Timestamp,
    /// The cursor of the range, as the proposer saw it.
    pub after: Timestamp,
    /// The next ticks of the range, in order.
    pub ticks: Vec<Timestamp>,
    /// How many ticks of the range follow these.
    pub remaining: u64,
    /// Executions of the range that may be live at once.
    pub parallel: u32,
    /// Parameters of the executions, as a JSON object; none: the task's own.
    pub parameters: Option<String>,
}

/// Ends a backfill before its range is complete: it creates no further executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelBackfill {
    /// Of this task.
    pub task: TaskKey,
    /// The first instant of the range.
    pub from: Timestamp,
    /// The end of the range, which is not part of it.
    pub to: Timestamp,
}
