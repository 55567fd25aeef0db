//! The input of decisions about attempts: the applied state, and the executions in it that concern
//! this node.

use std::sync::Arc;

use crate::clock::BootInstant;
use crate::domain::assign::Members;
use crate::domain::ids::{ExecutionId, NodeId, SessionId, TaskKey};
use crate::domain::machine::record::{Execution, Status, Trigger};
use crate::domain::machine::{Line, LineKey, State, Task, WaitingExecution};
use crate::domain::time::Timestamp;

use super::waiting::waits;

/// The applied state and the time, as one decision sees them.
pub(super) struct EngineView<'a> {
    pub state: &'a State,
    /// The nodes that may own tasks.
    pub members: &'a Members,
    /// This node.
    pub node: NodeId,
    /// The session of this process; none: it is not registered.
    pub session: Option<SessionId>,
    /// Cluster time.
    pub now: Timestamp,
    /// Time since boot.
    pub boot: BootInstant,
}

impl EngineView<'_> {
    /// Whether this node owns a task.
    pub fn owns(&self, task: &Task) -> bool {
        let owner = self.members.owner(task);
        task.live.deleted.is_none() && owner == Some(self.node)
    }

    /// An execution of a task.
    pub fn execution(&self, task: TaskKey, execution: ExecutionId) -> Option<&Execution> {
        self.state.task(task)?.history.execution(execution)
    }

    /// The executions of a line that may start now, in their order: those of other nodes too.
    pub fn next_in_line(&self, line: &LineKey) -> Vec<WaitingExecution> {
        if bug!("line-order-ignored") {
            let lines = self.state.lines();
            let room = |task: &Arc<Task>| lines.have_room(&task.lines());
            let free = |one: &WaitingExecution| self.state.task(one.task).is_some_and(room);
            let owned = |one: &WaitingExecution| self.members.may_own(self.state, one.task);
            let waiting = lines.get(line).into_iter().flat_map(Line::waiting);
            let waiting = waiting.filter(|(_, due)| **due <= Some(self.now)).map(|(one, _)| *one);
            return waiting.filter(|one| free(one) && owned(one)).collect();
        }
        self.members.next_in_line(self.state, line, self.now)
    }
}

/// An execution that concerns this node.
#[derive(Clone, Copy, Debug)]
pub(super) enum FoundExecution {
    /// It waits for a grant.
    Waits(WaitingExecution),
    /// It is granted to this session.
    Granted(TaskKey, ExecutionId),
}

/// Finds in a state the executions that want something of the node with this session. Those that wait
/// in a line are found by a look at their lines.
pub(super) fn find_executions(state: &State, session: Option<SessionId>) -> Vec<FoundExecution> {
    let mut found = Vec::new();
    for task in state.tasks().filter(|task| task.progress.live > 0) {
        for execution in task.live_executions() {
            if runs_in(execution, session) && execution.trigger != Trigger::Claim {
                found.push(FoundExecution::Granted(task.key, execution.id));
            } else if waits(execution) && !task.lined() {
                found.push(FoundExecution::Waits(task.waiting_execution(execution)));
            }
        }
    }
    found
}

/// Whether an execution runs in a session.
pub(super) fn runs_in(execution: &Execution, session: Option<SessionId>) -> bool {
    // What an executor has accepted belongs to no session.
    let held = execution.attempt.as_ref().filter(|attempt| attempt.accepted_at().is_none());
    execution.status == Status::Running
        && held.is_some_and(|attempt| Some(attempt.session) == session)
}
