//! Watches attempts that executors have accepted: they belong to no session, so the owner of each task
//! ends those that are stopped, take too long, or lost their executor.
//!
//! [`Watcher::on`] takes one event and the applied state and returns the actions. Looks at the state
//! find what lost hints would have announced.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::BootInstant;
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::machine::Task;
use crate::domain::machine::command::OfFence;
use crate::domain::machine::record::{Execution, Status};
use crate::domain::time::Millis;

use super::limits::{END_AGAIN, LOSE_AGAIN};
use super::view::EngineView;

/// An attempt that an executor accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AcceptedAttempt {
    /// Its grant.
    pub grant: OfFence,
    /// The executor's id.
    pub executor: Arc<str>,
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub(super) enum WatchEvent {
    /// An executor accepted the attempt of an execution, or it is to stop.
    Changed(TaskKey, ExecutionId),
    /// An execution ended so.
    Ended(ExecutionId, Status),
    /// It is time to look at all of them.
    Look,
}

/// An action to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WatchDo {
    /// Ask the executor to stop the attempt, then report that it ended so.
    End(AcceptedAttempt, Status),
    /// Ask the executor to stop the attempt, which has ended.
    Stop(AcceptedAttempt),
    /// Propose that the attempt is lost.
    Lose(OfFence),
}

/// What is known of an accepted attempt.
#[derive(Clone, Debug)]
struct WatchedAttempt {
    attempt: AcceptedAttempt,
    /// When its end was last begun.
    ending: Option<BootInstant>,
    /// When its loss was last proposed.
    losing: Option<BootInstant>,
}

impl WatchedAttempt {
    fn new(attempt: &AcceptedAttempt) -> Self {
        Self { attempt: attempt.clone(), ending: None, losing: None }
    }
}

/// The accepted attempts that this node watches.
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
            WatchEvent::Ended(execution, _) => self.known.contains_key(execution),
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
                // The executor may not know that somebody else ended it.
                let unasked = known.filter(|known| known.ending.is_none());
                let stopped = unasked.filter(|_| status == Status::Cancelled);
                todo.extend(stopped.map(|known| WatchDo::Stop(known.attempt)));
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
        let found =
            view.state.task(task).and_then(|task| Some((task, task.history.execution(id)?)));
        let accepted = found.and_then(|(task, execution)| accepted(task, execution, view));
        let Some((task, execution, accepted)) = accepted else {
            self.known.remove(&id);
            return;
        };
        let known = self.known.entry(id).or_insert_with(|| WatchedAttempt::new(&accepted));
        if known.attempt != accepted {
            *known = WatchedAttempt::new(&accepted);
        }
        if lost(task, execution, &accepted, view) {
            if known.losing.is_none_or(|at| view.boot.since(at) >= LOSE_AGAIN) {
                known.losing = Some(view.boot);
                todo.push(WatchDo::Lose(accepted.grant));
            }
            return;
        }
        let status = if execution.stopping {
            Status::Cancelled
        } else if over(task, execution, self.max_silence, view) {
            Status::Timeout
        } else {
            return;
        };
        let begun = known.ending.is_some_and(|at| view.boot.since(at) < END_AGAIN);
        if !begun {
            known.ending = Some(view.boot);
            todo.push(WatchDo::End(accepted, status));
        }
    }
}

/// The accepted attempt of an execution, if this node watches it.
fn accepted<'a>(
    task: &'a Arc<Task>,
    execution: &'a Execution,
    view: &EngineView<'_>,
) -> Option<(&'a Task, &'a Execution, AcceptedAttempt)> {
    let attempt = execution.attempt.as_ref().filter(|_| execution.status == Status::Running)?;
    attempt.accepted_at()?;
    let executor = Arc::clone(&attempt.executor.as_ref()?.id);
    // Somebody has to watch also what no node can own now.
    let owner = task.spec().and_then(|spec| view.members.owner(spec));
    let watches = owner.or_else(|| view.members.prober(&executor)) == Some(view.node);
    let grant = OfFence { task: task.key, execution: execution.id, fence: attempt.fence };
    watches.then_some((task, execution, AcceptedAttempt { grant, executor }))
}

/// Whether the executor of an attempt is gone, or silent for as long as the definition says.
fn lost(
    task: &Task,
    execution: &Execution,
    accepted: &AcceptedAttempt,
    view: &EngineView<'_>,
) -> bool {
    let Some(executor) = view.state.executor(&accepted.executor) else { return true };
    let spec = task.revision(execution.revision).map(|kept| &kept.spec);
    let lost_after = spec.map_or(Millis(0), |spec| spec.lost_after);
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
