//! What is granted to a process that leaves: it goes when nothing of this is left.
//!
//! All live executions of the cluster are looked through once, and once more when none of those that
//! were found is left. In between these alone are looked at.

use crate::domain::ids::{ExecutionId, SessionId, TaskKey};
use crate::domain::machine::State;
use crate::domain::machine::record::{Execution, Trigger};

use super::view::runs_in;

/// The attempts of a session that have not ended, begun or not.
#[derive(Debug, Default)]
pub(super) struct GrantsLeft {
    known: Vec<(TaskKey, ExecutionId)>,
    /// How often all live executions were looked through.
    #[cfg(test)]
    pub walks: usize,
}

impl GrantsLeft {
    /// Whether a state has an attempt of this session.
    pub fn any(&mut self, state: &State, session: Option<SessionId>) -> bool {
        let granted =
            |found: &Execution| runs_in(found, session) && found.trigger != Trigger::Claim;
        self.known.retain(|(task, execution)| {
            let task = state.task(*task);
            task.and_then(|task| task.history.execution(*execution)).is_some_and(granted)
        });
        if self.known.is_empty() {
            #[cfg(test)]
            {
                self.walks += 1;
            }
            let of = |task: TaskKey| move |found: &Execution| (task, found.id);
            self.known = state
                .busy_tasks()
                .flat_map(|task| {
                    task.live_executions().filter(|one| granted(one)).map(of(task.key))
                })
                .collect();
        }
        !self.known.is_empty()
    }
}
