//! The executions that are next in lines, as one look at a state finds them.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::machine::{LineKey, Task, WaitingExecution};

use super::view::EngineView;

/// The next executions of the lines that were looked at. A line may have many, so each is read once
/// a look. Valid for one state and one time.
#[derive(Debug, Default)]
pub(super) struct LineTurns(BTreeMap<LineKey, BTreeSet<WaitingExecution>>);

impl LineTurns {
    /// The next executions of a line.
    pub fn of(&mut self, line: &LineKey, view: &EngineView<'_>) -> &BTreeSet<WaitingExecution> {
        let next = || view.next_in_line(line).into_iter().collect();
        self.0.entry(line.clone()).or_insert_with(next)
    }

    /// Whether an execution is among the next in each line of its task.
    pub fn is_next(&mut self, task: &Task, one: &WaitingExecution, view: &EngineView<'_>) -> bool {
        !task.lined() || task.lines().iter().all(|(line, _)| self.of(line, view).contains(one))
    }
}
