//! The tasks that a change of the members gives to this node, or takes from it: only these are looked
//! at. One pass compares the owners of all tasks, on a thread for blocking work. Members that change
//! during a pass are compared in one more pass after it ([`Compares`]).

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

impl PartialEq for MembersChange {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.before, &other.before) && Arc::ptr_eq(&self.after, &other.after)
    }
}

impl Eq for MembersChange {}

/// Which compare of the owners runs, and which one follows it. At most one runs, however often the
/// members change meanwhile.
#[derive(Debug, Default)]
pub(super) struct Compares {
    runs: bool,
    next: Option<MembersChange>,
    /// Whether the next one leaves members out that this node had in between.
    joined: bool,
}

/// What follows the end of a compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AfterCompare {
    /// Another compare, with the newest members.
    Compare(MembersChange),
    /// Nothing more is compared. The flag is true if members were left out: tasks that were found
    /// to have another owner meanwhile may be this node's again.
    End { look_again: bool },
}

impl Compares {
    pub fn runs(&self) -> bool {
        self.runs
    }

    /// Notes a change of the members. Returns the compare that begins now.
    pub fn changed(&mut self, change: MembersChange) -> Option<MembersChange> {
        if !self.runs {
            self.runs = true;
            return Some(change);
        }
        if let Some(next) = &mut self.next {
            next.after = change.after;
            self.joined = true;
        } else {
            self.next = Some(change);
        }
        None
    }

    /// Every task is looked at, so what was to be compared needs no compare.
    pub fn swept(&mut self) {
        self.next = None;
    }

    /// Notes the end of the compare that ran.
    pub fn ended(&mut self) -> AfterCompare {
        let next = self.next.take();
        match next.filter(|change| !change.after.give_as(&change.before)) {
            Some(change) => AfterCompare::Compare(change),
            None => {
                self.runs = false;
                AfterCompare::End { look_again: std::mem::take(&mut self.joined) }
            }
        }
    }
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
