//! The attempts that run in this process, by the fence of their grant. An execution can briefly
//! have two: one that was not started in time, and its successor.

use std::collections::BTreeSet;

use crate::domain::ids::{ExecutionId, Fence};
use crate::domain::machine::record::{Execution, Status};

/// The attempts that run here. A B-tree gives them a fixed order of stopping, also in a simulation.
#[derive(Debug, Default)]
pub(super) struct AttemptTable(BTreeSet<(ExecutionId, Fence)>);

impl AttemptTable {
    /// Adds an attempt.
    pub fn insert(&mut self, execution: ExecutionId, fence: Fence) {
        self.0.insert((execution, fence));
    }

    /// Removes an attempt; false: it is not in the table.
    pub fn remove(&mut self, execution: ExecutionId, fence: Fence) -> bool {
        if bug!("ended-by-execution") {
            let before = self.0.len();
            self.0.retain(|(other, _)| *other != execution);
            return self.0.len() < before;
        }
        self.0.remove(&(execution, fence))
    }

    /// Whether an attempt is in the table.
    pub fn has(&self, execution: ExecutionId, fence: Fence) -> bool {
        self.0.contains(&(execution, fence))
    }

    /// The fences of an execution's attempts.
    pub fn of(&self, execution: ExecutionId) -> impl Iterator<Item = Fence> {
        let all = (execution, Fence(0))..=(execution, Fence(u64::MAX));
        self.0.range(all).map(|(_, fence)| *fence)
    }

    /// All attempts.
    pub fn iter(&self) -> impl Iterator<Item = (ExecutionId, Fence)> {
        self.0.iter().copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Whether an attempt must be stopped, by what the state has of its execution.
pub(super) fn must_stop(execution: Option<&Execution>, fence: Fence) -> bool {
    execution.is_none_or(|execution| {
        let held = execution.attempt.as_ref().is_some_and(|attempt| attempt.fence == fence);
        execution.status != Status::Running || !held || execution.stopping
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{NodeId, Revision, SessionId};
    use crate::domain::machine::record::{Attempt, Trigger};
    use crate::domain::time::Timestamp;

    fn running() -> Execution {
        let attempt = Attempt {
            number: 1,
            fence: Fence(5),
            node: NodeId(1),
            session: SessionId(1),
            granted_at: Timestamp(0),
            report: None,
            executor: None,
        };
        Execution {
            id: ExecutionId(4),
            incarnation: Revision(1),
            revision: Revision(1),
            tick: None,
            due: Timestamp(0),
            created_at: Timestamp(0),
            trigger: Trigger::Manual,
            status: Status::Running,
            stopping: false,
            attempt: Some(attempt),
            ended_at: None,
            index: 1,
            more: None,
        }
    }

    #[test]
    fn an_ended_attempt_leaves_its_successor_in() {
        let mut carried = AttemptTable::default();
        let execution = ExecutionId(7);
        carried.insert(execution, Fence(1));
        carried.insert(execution, Fence(2));
        carried.insert(ExecutionId(8), Fence(3));
        assert_eq!(carried.of(execution).collect::<Vec<_>>(), [Fence(1), Fence(2)]);
        assert!(carried.remove(execution, Fence(1)));
        assert!(!carried.remove(execution, Fence(1)));
        assert!(carried.has(execution, Fence(2)) && !carried.has(execution, Fence(1)));
        assert_eq!(carried.len(), 2);
    }

    #[test]
    fn what_the_state_does_not_hold_must_stop() {
        assert!(!must_stop(Some(&running()), Fence(5)));
        assert!(must_stop(Some(&running()), Fence(4)), "another attempt has it");
        assert!(must_stop(Some(&Execution { stopping: true, ..running() }), Fence(5)));
        for status in [Status::Pending, Status::Cancelled, Status::Lost, Status::Success] {
            assert!(must_stop(Some(&Execution { status, ..running() }), Fence(5)), "{status:?}");
        }
        assert!(must_stop(None, Fence(5)), "its task is gone");
    }
}
