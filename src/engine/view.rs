//! The input of decisions about attempts: the applied state, and the executions in it that concern
//! this node.

use crate::clock::BootInstant;
use crate::domain::assign::Members;
use crate::domain::ids::{ExecutionId, NodeId, SessionId, TaskKey};
use crate::domain::machine::record::{Execution, Status, Trigger};
use crate::domain::machine::{State, Task};
use crate::domain::time::Timestamp;

use super::waiting::{WaitingExecution, waits};

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
}

/// An execution that concerns this node.
#[derive(Clone, Copy, Debug)]
pub(super) enum FoundExecution {
    /// It waits for a grant.
    Waits(WaitingExecution),
    /// It is granted to this session.
    Granted(TaskKey, ExecutionId),
}

/// Finds in a state the executions that want something of the node with this session.
pub(super) fn find_executions(state: &State, session: Option<SessionId>) -> Vec<FoundExecution> {
    let mut found = Vec::new();
    for task in state.tasks().filter(|task| task.progress.live > 0) {
        for execution in task.live_executions() {
            if runs_in(execution, session) && execution.trigger != Trigger::Claim {
                found.push(FoundExecution::Granted(task.key, execution.id));
            } else if waits(execution) {
                found.push(FoundExecution::Waits(WaitingExecution::of(task.key, execution)));
            }
        }
    }
    found
}

/// Whether an execution runs in a session.
pub(super) fn runs_in(execution: &Execution, session: Option<SessionId>) -> bool {
    let holder = execution.attempt.as_ref().map(|attempt| attempt.session);
    execution.status == Status::Running && holder == session
}
