//! The tasks that a change of the members gives to this node, or takes from it: only these are looked
//! at. One pass compares the owners of all tasks, on a thread for blocking work.

use std::sync::Arc;

use crate::domain::assign::Members;
use crate::domain::assign::moves::OwnerMove;
use crate::domain::ids::{NodeId, TaskKey};
use crate::domain::machine::{State, Task};
use crate::domain::time::Timestamp;

use super::EngineSettings;
use super::observed::ObservedTask;

/// Number of tasks whose owners are compared before what was found is passed on. Small in tests, so
/// that they cover several parts.
const TOGETHER: usize = if cfg!(test) { 500 } else { 20_000 };

/// The members before and after a change.
#[derive(Clone, Debug)]
pub(super) struct MembersChange {
    pub before: Arc<Members>,
    pub after: Arc<Members>,
}

/// The tasks that move, of those that were compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MovedTasks {
    /// Those that this node now owns, each with the time at which it needs something.
    pub gained: Vec<(Timestamp, TaskKey)>,
    /// Those that it owned.
    pub given: Vec<TaskKey>,
}

impl MembersChange {
    /// Compares the owners of all tasks of a state, and passes on what was found, part by part. The
    /// flag is true with the last part.
    pub fn compare(
        &self,
        state: &State,
        own: NodeId,
        now: Timestamp,
        settings: &EngineSettings,
        mut found: impl FnMut(MovedTasks, bool),
    ) {
        let mut part = MovedTasks::default();
        for (at, task) in state.tasks().enumerate() {
            self.compare_one(state, task, own, now, settings, &mut part);
            if (at + 1).is_multiple_of(TOGETHER) {
                found(std::mem::take(&mut part), false);
            }
        }
        found(part, true);
    }

    fn compare_one(
        &self,
        state: &State,
        task: &Task,
        own: NodeId,
        now: Timestamp,
        settings: &EngineSettings,
        part: &mut MovedTasks,
    ) {
        let Some(moved) = OwnerMove::of(task, &self.before, &self.after) else { return };
        if moved.from == Some(own) {
            part.given.push(task.key);
        } else if moved.to == Some(own) {
            let observed = ObservedTask::of(state, task.key);
            let wanted = observed.map(|observed| observed.wanted_at(now, settings));
            part.gained.extend(wanted.map(|at| (at, task.key)));
        }
    }
}
