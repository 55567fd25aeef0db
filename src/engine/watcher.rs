//! Watches the attempts that executors have: the owner of each task proposes the loss of those whose
//! executor is gone. What an executor has accepted belongs to no session, so the owner also ends what
//! is to stop or takes too long.
//!
//! [`Watcher::on`] takes one event and the applied state and returns the actions. Looks at the state
//! find what lost hints would have announced.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::BootInstant;
use crate::domain::executor::ExecutorRecord;
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::machine::Task;
use crate::domain::machine::command::OfFence;
use crate::domain::machine::record::{Attempt, Execution, Status};
use crate::domain::time::Millis;

use super::limits::{END_AGAIN, LOSE_AGAIN};
use super::view::EngineView;

/// An attempt on an executor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExecutorAttempt {
    /// Its grant.
    pub grant: OfFence,
    /// The executor, as it was last seen.
    pub executor: Arc<ExecutorRecord>,
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub(super) enum WatchEvent {
    /// An executor accepted the attempt of an execution, or it is to stop.
    Changed(TaskKey, ExecutionId),
    /// The attempt of an execution ended, and another one follows.
    AttemptEnded(ExecutionId),
    /// An execution ended so.
    Ended(ExecutionId, Status),
    /// It is time to look at all of them.
    Look,
}

/// An action to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WatchDo {
    /// Ask the executor to stop the attempt, then report that it ended so.
    End(ExecutorAttempt, Status),
    /// Ask the executor to stop the attempt, which has ended.
    Stop(ExecutorAttempt),
    /// Propose that the attempt is lost.
    Lose(OfFence),
}

/// What is known of an attempt.
#[derive(Clone, Debug)]
struct WatchedAttempt {
    attempt: ExecutorAttempt,
    /// Whether the executor has accepted it.
    accepted: bool,
    /// When its end was last begun.
    ending: Option<BootInstant>,
    /// When its loss was last proposed.
    losing: Option<BootInstant>,
}

impl WatchedAttempt {
    /// It has ended so. The executor may work on all the same, where somebody else ended it.
    fn ended(self, status: Status) -> Option<WatchDo> {
        let may_run_on = match status {
            Status::Lost => true,
            // The node that gave it to the executor asks for that, until it is accepted.
            Status::Cancelled => self.accepted && self.ending.is_none(),
            _ => false,
        };
        may_run_on.then_some(WatchDo::Stop(self.attempt))
    }

    /// This node does not watch it any more: it has ended, or its task has another owner.
    fn gone(self, view: &EngineView<'_>) -> Option<WatchDo> {
        let OfFence { task, execution, fence } = self.attempt.grant;
        let mut attempts =
            view.execution(task, execution).into_iter().flat_map(Execution::attempts);
        let report = attempts.find(|attempt| attempt.fence == fence)?.report.as_ref()?;
        self.ended(report.status)
    }
}

/// The attempts that this node watches.
#[derive(Debug)]
pub(super) struct Watcher {
    /// Bounds an attempt without a timeout.
    max_silence: Millis,
    known: BTreeMap<ExecutionId, WatchedAttempt>,
}

impl Watcher {
    /// One that bounds attempts without a timeout so.
    pub fn new(max_silence: Millis) -> Self {
        Self { max_silence, known: BTreeMap::new() }
    }

    /// Whether it watches any.
    pub fn watches(&self) -> bool {
        !self.known.is_empty()
    }

    /// Whether an event can change anything here.
    pub fn concerns(&self, event: &WatchEvent) -> bool {
        match event {
            WatchEvent::Ended(execution, _) | WatchEvent::AttemptEnded(execution) => {
                self.known.contains_key(execution)
            }
            WatchEvent::Changed(..) | WatchEvent::Look => true,
        }
    }

    /// Decides the consequences of an event.
    pub fn on(&mut self, event: WatchEvent, view: &EngineView<'_>) -> Vec<WatchDo> {
        let mut todo = Vec::new();
        match event {
            WatchEvent::Changed(task, execution) => self.look_at(task, execution, view, &mut todo),
            WatchEvent::Ended(execution, status) => {
                let known = self.known.remove(&execution);
                todo.extend(known.and_then(|known| known.ended(status)));
            }
            WatchEvent::AttemptEnded(execution) => {
                let known = self.known.remove(&execution);
                todo.extend(known.and_then(|known| known.gone(view)));
            }
            WatchEvent::Look => {
                let all: Vec<(ExecutionId, TaskKey)> = view.state.on_executors().collect();
                let mut former = std::mem::take(&mut self.known);
                for (execution, task) in all {
                    if let Some(known) = former.remove(&execution) {
                        self.known.insert(execution, known);
                    }
                    self.look_at(task, execution, view, &mut todo);
                }
                todo.extend(former.into_values().filter_map(|known| known.gone(view)));
            }
        }
        todo
    }

    fn look_at(
        &mut self,
        task: TaskKey,
        id: ExecutionId,
        view: &EngineView<'_>,
        todo: &mut Vec<WatchDo>,
    ) {
        let found = view.state.task(task).and_then(|task| {
            let execution = task.history.execution(id)?;
            Some((task, execution, running_on_executor(task, execution, view)?))
        });
        let former = self.known.remove(&id);
        let Some((task, execution, (attempt, executor))) = found else {
            todo.extend(former.and_then(|former| former.gone(view)));
            return;
        };
        let grant = OfFence { task: task.key, execution: id, fence: attempt.fence };
        let accepted = attempt.accepted_at().is_some();
        let former = match former {
            Some(other) if other.attempt.grant != grant => {
                todo.extend(other.gone(view));
                None
            }
            former => former,
        };
        let attempt = ExecutorAttempt { grant, executor: Arc::clone(executor) };
        let (losing, ending) = former.map_or((None, None), |known| (known.losing, known.ending));
        let mut known = WatchedAttempt { attempt, accepted, ending, losing };
        todo.extend(self.look_at_attempt(&mut known, task, execution, view));
        self.known.insert(id, known);
    }

    fn look_at_attempt(
        &self,
        known: &mut WatchedAttempt,
        task: &Task,
        execution: &Execution,
        view: &EngineView<'_>,
    ) -> Option<WatchDo> {
        let young = |at: BootInstant, limit| view.boot.since(at) < limit;
        if lost(task, execution, &known.attempt.executor, view) {
            let proposed = known.losing.is_some_and(|at| young(at, LOSE_AGAIN));
            known.losing = known.losing.filter(|_| proposed).or(Some(view.boot));
            return (!proposed).then_some(WatchDo::Lose(known.attempt.grant));
        }
        let status = match () {
            () if !known.accepted => return None,
            () if execution.stopping => Status::Cancelled,
            () if over(task, execution, self.max_silence, view) => Status::Timeout,
            () => return None,
        };
        let begun = known.ending.is_some_and(|at| young(at, END_AGAIN));
        known.ending = known.ending.filter(|_| begun).or(Some(view.boot));
        (!begun).then(|| WatchDo::End(known.attempt.clone(), status))
    }
}

/// The attempt of an execution on an executor, if this node watches it.
fn running_on_executor<'a>(
    task: &'a Task,
    execution: &'a Execution,
    view: &EngineView<'a>,
) -> Option<(&'a Attempt, &'a Arc<ExecutorRecord>)> {
    let attempt = execution.attempt.as_ref().filter(|_| execution.status == Status::Running)?;
    let executor = &attempt.executor.as_ref()?.id;
    // Somebody has to watch also what no node can own now.
    let owner = view.members.owner(task);
    let watches = owner.or_else(|| view.members.prober(executor)) == Some(view.node);
    // When an executor is removed, apply ends its attempts.
    Some((attempt, view.state.executor(executor)?)).filter(|_| watches)
}

/// Whether an executor is silent for as long as the definition says.
fn lost(
    task: &Task,
    execution: &Execution,
    executor: &ExecutorRecord,
    view: &EngineView<'_>,
) -> bool {
    let lost_after = task.lost_after(execution.revision);
    let lost_after = if bug!("silence-not-awaited") { Millis(0) } else { lost_after };
    executor.offline_since.is_some_and(|since| since.plus(lost_after) <= view.now)
}

/// Whether the time of an attempt is over.
fn over(task: &Task, execution: &Execution, max_silence: Millis, view: &EngineView<'_>) -> bool {
    let spec = task.revision(execution.revision).map(|kept| &kept.spec);
    let timeout = spec.map(|spec| spec.timeout).filter(|timeout| timeout.0 > 0);
    let bound = timeout.unwrap_or(max_silence);
    let over = execution.presumed_start().is_some_and(|begun| begun.plus(bound) <= view.now);
    over && !bug!("accepted-not-watched")
}
