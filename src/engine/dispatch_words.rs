//! What [`Dispatch`](super::dispatch::Dispatch) is told, and what it has carried out.

use std::sync::Arc;

use crate::clock::BootInstant;
use crate::domain::ids::{ExecutionId, Fence, TaskKey};
use crate::domain::machine::command::{FailPending, OfFence, Start, StartOn};
use crate::domain::time::{Millis, Timestamp};
use crate::exec::Stop;

use super::view::FoundExecution;

/// An event.
#[derive(Clone, Debug)]
pub(super) enum DispatchEvent {
    /// An execution waits to be granted, for the first time or again.
    Pending(TaskKey, ExecutionId),
    /// An attempt was granted to this session.
    Granted(OfFence),
    /// A stop was asked for.
    StopAsked(ExecutionId),
    /// An execution ended in the state.
    ExecutionEnded(TaskKey, ExecutionId),
    /// A task's cursor moved.
    Settled(TaskKey),
    /// A task changed.
    TaskChanged(TaskKey),
    /// The lines of a task changed.
    LineChanged(TaskKey),
    /// A node or the scheduler changed.
    MembersChanged,
    /// Executors changed, but not who may own which task.
    ExecutorsChanged,
    /// The state was replaced by a snapshot; hints may be missing.
    Replaced,
    /// A look at the whole state found these.
    Found(Vec<FoundExecution>),
    /// The time has come that [`DispatchDo::WakeAt`] named.
    Woken,
    /// All hints of a batch were given: free slots are to be filled.
    Fill,
    /// An attempt is over on this node.
    AttemptEnded(ExecutionId, Fence),
    /// A grant was not begun in time.
    NotStarted(OfFence),
    /// An ask for a grant came to nothing.
    AskRefused(TaskKey, ExecutionId),
    /// An executor took an attempt, or did not.
    Dispatched(Arc<str>, bool),
    /// Every attempt is to be stopped.
    StopAll(Stop),
    /// No leader has acknowledged this node for so long.
    Unacknowledged(Millis),
    /// It is time to look after asks and attempts.
    Check,
    /// It is time to look after grants that no attempt carries out.
    CheckGrants,
}

/// An action to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DispatchDo {
    /// Propose a start; if it comes to nothing, [`DispatchEvent::AskRefused`] says so.
    Ask(Start),
    /// The same for an attempt that an executor carries out.
    AskOn(StartOn),
    /// Propose that an execution for which no executor is there fails.
    Fail(FailPending),
    /// Propose that a grant is returned.
    GiveBack(OfFence),
    /// Carry a grant out; no start after this instant.
    Begin(OfFence, BootInstant),
    /// Stop an attempt.
    Stop(ExecutionId, Fence, Stop),
    /// Say [`DispatchEvent::Woken`] at this time.
    WakeAt(Timestamp),
}
