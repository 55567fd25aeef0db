//! Executors, and the attempts that they carry out.
//!
//! - Dispatches go to executors that are online: the executor of a grant was online at its index, and
//!   had fewer attempts than it takes. What a definition gives to executors is granted so, and nothing
//!   else is.
//! - Accepted attempts outlive their nodes: what an executor has accepted ends by a report under its
//!   fence, or because its executor was removed or silent for as long as the definition says. The
//!   restart of a node ends none of it.
//! - Unknown outcomes are not repeated: an execution whose definition does not allow that its work is
//!   done twice gets no executor after an attempt of unknown outcome.

use std::collections::BTreeSet;

use punctual::domain::executor::{ExecutorInfo, ExecutorStatus};
use punctual::domain::machine::command::{FailPending, Start, StartOn};
use punctual::domain::machine::record::Status;
use punctual::domain::machine::{Answer, Command, Event, EventObject};
use punctual::domain::task::Action;

use super::{ReferenceModel, ReplayedExecution, ReplayedTask};

const ONLINE: &str = "dispatches go to executors that are online";
pub(super) const OUTLIVE: &str = "accepted attempts outlive their nodes";
const ONCE: &str = "unknown outcomes are not repeated";

/// An executor as the model has it.
#[derive(Clone, Debug)]
pub(super) struct ReplayedExecutor {
    capacity: usize,
    /// Whether only its prober says that it answers.
    probed: bool,
    status: ExecutorStatus,
    /// Since when it is silent.
    silent: Option<i64>,
}

/// Whether executors carry out what is created of a task now. No executor of the simulator declares
/// tasks.
pub(super) fn needed(task: Option<&ReplayedTask>) -> bool {
    let spec = task.and_then(|task| task.spec.as_ref());
    spec.is_some_and(|spec| matches!(spec.action, Some(Action::Executor(_))))
}

/// How long the silence of an executor is waited for, in milliseconds.
pub(super) fn lost_after(task: Option<&ReplayedTask>) -> i64 {
    let spec = task.and_then(|task| task.spec.as_ref());
    spec.map_or(0, |spec| i64::try_from(spec.lost_after.0).unwrap_or(i64::MAX))
}

impl ReplayedExecution {
    /// Whether it is granted to a session.
    pub(super) fn held_by(&self, session: u64) -> bool {
        self.granted.is_some_and(|(_, of)| of == session)
    }

    fn runs_on(&self, executor: &str) -> bool {
        self.granted.is_some() && !self.ended && self.executor.as_deref() == Some(executor)
    }
}

impl ReferenceModel {
    /// A command about executors, or about what they carry out.
    pub(super) fn executor_command(&mut self, command: Command, answer: &Answer) {
        match command {
            Command::StartOn(start) => self.start_on(start, answer),
            Command::Accept(of) => self.accept(of.execution.0, of.fence.0),
            Command::Fail(of) => self.fail(&of),
            Command::PutExecutor(put) => self.put_executor(put.info),
            Command::ExecutorHeartbeat(of) => self.heartbeat(&of.id),
            Command::ExecutorLiveness(of) => self.executor_liveness(&of.id, of.online),
            Command::ExecutorStatus(set) => self.executor_status(&set.id, set.status),
            Command::DeleteExecutor(named) => self.delete_executor(&named.name),
            _ => {}
        }
    }

    fn put_executor(&mut self, info: ExecutorInfo) {
        let former = self.executors.get(&info.id).map(|former| former.status);
        let status = match former {
            Some(ExecutorStatus::Maintenance) => ExecutorStatus::Maintenance,
            _ => ExecutorStatus::Online,
        };
        let capacity = match usize::try_from(info.capacity) {
            Ok(0) | Err(_) => usize::MAX,
            Ok(capacity) => capacity,
        };
        let probed = info.health_check_url.is_some();
        let executor = ReplayedExecutor { capacity, probed, status, silent: None };
        self.executors.insert(info.id, executor);
    }

    fn heartbeat(&mut self, id: &str) {
        if self.executors.get(id).is_some_and(|executor| !executor.probed) {
            self.executor_liveness(id, true);
        }
    }

    fn executor_liveness(&mut self, id: &str, online: bool) {
        let stamp = self.stamp;
        let Some(executor) = self.executors.get_mut(id) else { return };
        let (from, to) = match online {
            true => (ExecutorStatus::Offline, ExecutorStatus::Online),
            false => (ExecutorStatus::Online, ExecutorStatus::Offline),
        };
        executor.silent = if online { None } else { executor.silent.or(Some(stamp)) };
        if executor.status == from {
            executor.status = to;
        }
    }

    fn executor_status(&mut self, id: &str, status: ExecutorStatus) {
        let stamp = self.stamp;
        let Some(executor) = self.executors.get_mut(id) else { return };
        executor.status = status;
        executor.silent = match status {
            ExecutorStatus::Online => None,
            ExecutorStatus::Offline => executor.silent.or(Some(stamp)),
            ExecutorStatus::Maintenance => executor.silent,
        };
    }

    /// An executor was removed; what it had is lost, task by task.
    fn delete_executor(&mut self, id: &str) {
        self.executors.remove(id);
        let lost = self.executions.iter().filter(|(_, one)| one.runs_on(id));
        let mut lost: Vec<(u64, u64)> = lost.map(|(id, one)| (one.task, *id)).collect();
        lost.sort_unstable();
        for (_, id) in lost {
            if let Some(one) = self.executions.get_mut(&id) {
                (one.granted, one.accepted) = (None, false);
            }
            self.end_attempt(id, Status::Lost, true);
        }
    }

    fn start_on(&mut self, start: StartOn, answer: &Answer) {
        let StartOn { task, execution, session, executor, again } = start;
        self.start(Start { task, execution, session, again }, Some(&executor), answer);
    }

    /// A grant is given to an executor, or to a node.
    pub(super) fn judge_executor(&mut self, id: u64, executor: Option<&str>, again: bool) {
        let Some(one) = self.executions.get(&id).cloned() else { return };
        if one.by_executor != executor.is_some() {
            let what = format!("execution {id} was granted to the executor {executor:?}");
            self.complain(ONLINE, what);
        }
        let Some(executor) = executor else { return };
        self.judge(ONLINE);
        let holds = again && one.runs_on(executor);
        let live = self.tasks.values().flat_map(|task| &task.live);
        let has = live.filter_map(|id| self.executions.get(id));
        let has = has.filter(|one| one.runs_on(executor)).count();
        let others = has - usize::from(holds);
        let known = self.executors.get(executor);
        let takes = known
            .is_some_and(|known| known.status == ExecutorStatus::Online && others < known.capacity);
        if !takes {
            let what =
                format!("execution {id} was given to {executor}, which has {others}: {known:?}");
            self.complain(ONLINE, what);
        }
        self.judge(ONCE);
        let repeats = one.policy.is_some_and(|policy| policy.at_least_once);
        if one.unknown > 0 && !repeats {
            self.complain(ONCE, format!("execution {id} was given to {executor} once more"));
        }
    }

    fn accept(&mut self, id: u64, fence: u64) {
        self.judge("fences");
        let current = self
            .executions
            .get_mut(&id)
            .filter(|one| !one.ended && one.granted.is_some_and(|(newest, _)| newest == fence));
        match current {
            Some(one) if one.executor.is_some() => one.accepted = true,
            _ => self.complain("fences", format!("an old grant of execution {id} was accepted")),
        }
    }

    /// An attempt that could not be granted has failed.
    fn fail(&mut self, fail: &FailPending) {
        self.session("sessions", fail.session.0, "a failure");
        let id = fail.execution.0;
        let Some(one) = self.executions.get_mut(&id) else { return };
        let waits = !one.ended && one.granted.is_none() && one.by_executor;
        one.attempts.made += 1;
        if !waits {
            self.complain("fences", format!("execution {id} failed, which did not wait"));
        }
        self.end_attempt(id, Status::Failed, false);
    }

    /// An attempt is lost. One that its executor has accepted is lost with that only.
    pub(super) fn judge_loss(&mut self, id: u64) {
        let Some(one) = self.executions.get(&id).filter(|one| one.accepted) else { return };
        let executor = one.executor.as_ref().and_then(|id| self.executors.get(id));
        let gone = match executor {
            None => true,
            Some(executor) => {
                let over = |silent: i64| silent.saturating_add(one.lost_after) <= self.stamp;
                executor.silent.is_some_and(over)
            }
        };
        let what = format!("execution {id} is lost, though {executor:?} accepted it");
        self.judge(OUTLIVE);
        if !gone {
            self.complain(OUTLIVE, what);
        }
    }

    /// What executors have accepted has not ended in an entry, unless its commands say so.
    pub(super) fn judge_accepted(&mut self, events: &[Event]) {
        let changed = events.iter().filter_map(|event| match event.object {
            EventObject::Execution { execution, status, .. } if status != Status::Running => {
                Some(execution.0)
            }
            _ => None,
        });
        let changed: BTreeSet<u64> = changed.collect();
        for id in changed {
            let one = self.executions.get(&id);
            if one.is_some_and(|one| one.accepted && one.granted.is_some() && !one.ended) {
                self.complain(OUTLIVE, format!("execution {id} ended, which its executor has"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
