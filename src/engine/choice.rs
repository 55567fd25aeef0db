//! Chooses the executor of an attempt when it is asked for, and remembers what the applied state does
//! not have yet: choices under way, how long an execution waits for an executor, and executors that
//! did not take attempts.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::BootInstant;
use crate::domain::balance::{ExecutorCandidate, choose};
use crate::domain::executor::{ExecutorRecord, ExecutorStatus};
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::machine::record::{Execution, Status};
use crate::domain::machine::{Task, WaitingExecution};
use crate::domain::task::{Action, ExecutorAction};
use crate::domain::time::Millis;

use super::limits::{CIRCUIT_FAILURES, CIRCUIT_OPEN};
use super::view::EngineView;

/// Who carries a waiting execution out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ChosenCarrier {
    /// The node that asks.
    Node,
    /// This executor.
    Executor(Arc<str>),
    /// An executor, but those that are online have no room for it now.
    Full,
    /// An executor, but none is online for it now.
    Nobody,
}

/// A choice that the state may not show yet.
#[derive(Clone, Debug)]
struct OpenChoice {
    task: TaskKey,
    executor: Arc<str>,
}

/// The open choices of a task.
#[derive(Clone, Debug)]
struct TaskChoices {
    count: u64,
    /// The newest.
    last: Arc<str>,
}

/// An execution for which no executor is there.
#[derive(Clone, Copy, Debug)]
struct StarvingExecution {
    one: WaitingExecution,
    since: BootInstant,
}

/// Failures of an executor to take attempts.
#[derive(Clone, Copy, Debug)]
struct Circuit {
    /// So many in a row.
    failures: u32,
    /// The last one.
    last: BootInstant,
}

/// What this node remembers of its choices.
#[derive(Debug, Default)]
pub(super) struct ExecutorChoices {
    open: BTreeMap<ExecutionId, OpenChoice>,
    /// How many of these each executor has.
    by_executor: BTreeMap<Arc<str>, u32>,
    by_task: BTreeMap<TaskKey, TaskChoices>,
    starving: BTreeMap<ExecutionId, StarvingExecution>,
    circuits: BTreeMap<Arc<str>, Circuit>,
}

impl ExecutorChoices {
    /// Who carries out an execution that may start now.
    pub fn choose(&self, one: &WaitingExecution, view: &EngineView<'_>) -> ChosenCarrier {
        let Some(task) = view.state.task(one.task) else { return ChosenCarrier::Node };
        let Some(execution) = task.history.execution(one.execution) else {
            return ChosenCarrier::Node;
        };
        if !view.state.needs_executor(task, execution.revision) {
            return ChosenCarrier::Node;
        }
        let online = |one: &&Arc<ExecutorRecord>| {
            one.status == ExecutorStatus::Online || bug!("dispatch-to-offline")
        };
        let known = view.state.executors_of(task, execution.revision).into_iter();
        let known: Vec<&Arc<ExecutorRecord>> = known.filter(online).collect();
        let closed = known.iter().copied().filter(|one| !self.is_open(&one.info.id, view.boot));
        let closed: Vec<&Arc<ExecutorRecord>> = closed.collect();
        let chosen = self.among(&closed, task, execution, view);
        // An executor that failed lately is better than none.
        let chosen = chosen.or_else(|| self.among(&known, task, execution, view));
        // One that takes work at all, and was not chosen, is at its capacity.
        let action = executor_action(task, execution);
        let takes_work = |one: &&Arc<ExecutorRecord>| self.candidate(one, action, view).weight > 0;
        match chosen {
            Some(executor) => ChosenCarrier::Executor(executor),
            None if known.iter().any(takes_work) => ChosenCarrier::Full,
            None => ChosenCarrier::Nobody,
        }
    }

    fn among(
        &self,
        executors: &[&Arc<ExecutorRecord>],
        task: &Task,
        execution: &Execution,
        view: &EngineView<'_>,
    ) -> Option<Arc<str>> {
        let action = executor_action(task, execution);
        let candidates: Vec<ExecutorCandidate<'_>> =
            executors.iter().map(|one| self.candidate(one, action, view)).collect();
        let (dispatched, open) = (task.live.dispatched.as_deref(), self.by_task.get(&task.key));
        let count = dispatched.map_or(0, |done| done.count);
        let count = count.saturating_add(open.map_or(0, |open| open.count));
        let last = open.map(|open| &open.last).or_else(|| dispatched.map(|done| &done.last));
        let number = execution.attempt.as_ref().map_or(0, |attempt| attempt.number);
        let seed = execution.id.0 ^ u64::from(number).rotate_right(16);
        let strategy = action.map_or("round_robin", |action| &action.balance);
        let at = choose(strategy, &candidates, last.map(|last| &**last), count, seed)?;
        executors.get(at).map(|one| one.info.id.as_str().into())
    }

    fn candidate<'a>(
        &self,
        executor: &'a ExecutorRecord,
        action: Option<&ExecutorAction>,
        view: &EngineView<'_>,
    ) -> ExecutorCandidate<'a> {
        let info = &executor.info;
        let own = action.and_then(|action| action.weights.get(&info.id));
        let open = self.by_executor.get(info.id.as_str()).copied().unwrap_or(0);
        ExecutorCandidate {
            id: &info.id,
            weight: own.copied().unwrap_or(info.weight),
            in_flight: view.state.in_flight(&info.id).saturating_add(open),
            capacity: info.capacity,
        }
    }

    /// An execution is asked for with this executor.
    pub fn asked(&mut self, one: &WaitingExecution, executor: Arc<str>) {
        self.forget(one.execution);
        *self.by_executor.entry(Arc::clone(&executor)).or_insert(0) += 1;
        let last = Arc::clone(&executor);
        let of_task = self
            .by_task
            .entry(one.task)
            .or_insert_with(|| TaskChoices { count: 0, last: Arc::clone(&last) });
        of_task.count += 1;
        of_task.last = last;
        self.open.insert(one.execution, OpenChoice { task: one.task, executor });
    }

    /// Nothing is under way for an execution any more, or it is in the state.
    pub fn forget(&mut self, execution: ExecutionId) {
        self.starving.remove(&execution);
        let Some(OpenChoice { task, executor }) = self.open.remove(&execution) else { return };
        if let Some(count) = self.by_executor.get_mut(&executor) {
            *count -= 1;
            if *count == 0 {
                self.by_executor.remove(&executor);
            }
        }
        if let Some(of_task) = self.by_task.get_mut(&task) {
            of_task.count -= 1;
            if of_task.count == 0 {
                self.by_task.remove(&task);
            }
        }
    }

    /// Forgets the choices that the state shows.
    pub fn prune(&mut self, view: &EngineView<'_>) {
        let shown = self.open.iter().filter(|(execution, open)| {
            let found = view.execution(open.task, **execution);
            found.is_none_or(|found| found.status != Status::Pending)
        });
        let shown: Vec<ExecutionId> = shown.map(|(execution, _)| *execution).collect();
        shown.into_iter().for_each(|execution| self.forget(execution));
    }

    /// The executors of an execution are full: it waits as long as one of them is online.
    pub fn wait_for_room(&mut self, one: WaitingExecution, now: BootInstant) {
        self.starving.insert(one.execution, StarvingExecution { one, since: now });
    }

    /// No executor is there for an execution. True: it has waited for so long that it fails.
    pub fn starve(&mut self, one: WaitingExecution, now: BootInstant, limit: Millis) -> bool {
        let starving = StarvingExecution { one, since: now };
        let starving = self.starving.entry(one.execution).or_insert(starving);
        // Its priority may have changed.
        starving.one = one;
        let over = now.since(starving.since) >= limit;
        if over {
            // The command may be lost; then it waits once more.
            starving.since = now;
        }
        over
    }

    /// Those for which no executor was there.
    pub fn starving(&self) -> impl Iterator<Item = WaitingExecution> {
        self.starving.values().map(|starving| starving.one)
    }

    /// Whether something is remembered of an execution, or what ended may make room for others.
    pub fn concerns(&self, execution: ExecutionId) -> bool {
        self.open.contains_key(&execution) || self.starves()
    }

    /// Whether an execution waits for an executor.
    pub fn starves(&self) -> bool {
        !self.starving.is_empty()
    }

    /// An executor took an attempt, or did not.
    pub fn dispatched(&mut self, executor: Arc<str>, took: bool, now: BootInstant) {
        if took {
            self.circuits.remove(&executor);
            return;
        }
        let circuit = self.circuits.entry(executor).or_insert(Circuit { failures: 0, last: now });
        circuit.failures = circuit.failures.saturating_add(1);
        circuit.last = now;
    }

    /// Whether an executor failed so often that others are preferred for a while.
    fn is_open(&self, executor: &str, now: BootInstant) -> bool {
        self.circuits.get(executor).is_some_and(|circuit| {
            circuit.failures >= CIRCUIT_FAILURES && now.since(circuit.last) < CIRCUIT_OPEN
        })
    }

    /// Forgets failures of executors that are gone.
    pub fn retain(&mut self, view: &EngineView<'_>) {
        self.circuits.retain(|executor, _| view.state.executor(executor).is_some());
    }
}

/// What the definition of an execution says about executors, if it names them.
fn executor_action<'a>(task: &'a Task, execution: &Execution) -> Option<&'a ExecutorAction> {
    let spec = task.revision(execution.revision).map(|kept| &kept.spec);
    match spec.and_then(|spec| spec.action.as_ref()) {
        Some(Action::Executor(action)) => Some(action),
        _ => None,
    }
}
