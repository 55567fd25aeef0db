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
        let owner = task.spec().and_then(|spec| self.members.owner(spec));
        task.live.deleted.is_none() && owner == Some(self.node)
    }

    /// An execution of a task.
    pub fn execution(&self, task: TaskKey, execution: ExecutionId) -> Option<&Execution> {
        self.state.task(task)?.history.execution(execution)
    }

    /// The executions of a line that may start now, in their order: those of other nodes too.
    pub fn next_in_line(&self, line: &LineKey) -> Vec<WaitingExecution> {
        let lines = self.state.lines();
        if bug!("line-order-ignored") {
            let room = |task: &Arc<Task>| lines.have_room(&task.lines());
            let free = |one: &&WaitingExecution| self.state.task(one.task).is_some_and(room);
            let waiting = lines.get(line).into_iter().flat_map(Line::waiting);
            return waiting.filter(free).filter(|one| self.is_able(one)).copied().collect();
        }
        lines.next(line, |one| self.is_able(one))
    }

    /// Whether an execution can start now as far as lines do not matter: its time has come, and a
    /// node may own its task.
    fn is_able(&self, one: &WaitingExecution) -> bool {
        let Some(task) = self.state.task(one.task) else { return false };
        let Some(found) = task.history.execution(one.execution) else { return false };
        let delayed = found.next_attempt_at().is_some_and(|at| at > self.now);
        !delayed && task.spec().and_then(|spec| self.members.owner(spec)).is_some()
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
