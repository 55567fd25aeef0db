//! Commands about executors: registered, renewed, found silent, held back, removed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::attempts;
use crate::domain::executor::{ExecutorRecord, ExecutorStatus};
use crate::domain::ids::{ExecutionId, Revision, TaskKey};
use crate::domain::machine::command::{
    ExecutorLiveness, Named, OfExecutor, PutExecutor, SetExecutorStatus,
};
use crate::domain::machine::effects::Effects;
use crate::domain::machine::event::{EventKind, EventObject};
use crate::domain::machine::hint::Hint;
use crate::domain::machine::limits::EXECUTORS_MAX;
use crate::domain::machine::response::{Answer, Refusal, Response};
use crate::domain::machine::state::State;
use crate::domain::machine::task::dispatched::{DeclaredTasks, executor_of};
use crate::domain::machine::task::editor::EntryContext;
use crate::domain::machine::task::record::Execution;
use crate::domain::machine::task::whole::Task;
use crate::domain::task::Action;

impl State {
    /// An executor.
    #[must_use]
    pub fn executor(&self, id: &str) -> Option<&Arc<ExecutorRecord>> {
        self.registers.executors.get(id)
    }

    /// All executors, by id.
    pub fn executors(&self) -> impl Iterator<Item = &Arc<ExecutorRecord>> {
        self.registers.executors.values()
    }

    /// How many running attempts an executor has, accepted or not.
    #[must_use]
    pub fn in_flight(&self, executor: &str) -> u32 {
        self.in_flight.count(executor)
    }

    /// The running attempts of all executors, with their tasks.
    pub fn on_executors(&self) -> impl Iterator<Item = (ExecutionId, TaskKey)> {
        self.in_flight.all()
    }

    /// Whether an executor declares a task of this name.
    #[must_use]
    pub fn declared(&self, task: &str) -> bool {
        self.declared.any(task)
    }

    /// The tasks that executors declare.
    #[must_use]
    pub const fn declared_tasks(&self) -> &DeclaredTasks {
        &self.declared
    }

    /// Whether an executor carries out an execution that keeps this revision of the definition.
    #[must_use]
    pub fn needs_executor(&self, task: &Task, revision: Revision) -> bool {
        task.needs_executor(revision, &self.declared)
    }

    /// The executors that a definition means, whatever their status, by id: those that it names, or
    /// those that declared the task.
    #[must_use]
    pub fn executors_of(&self, task: &Task, revision: Revision) -> Vec<&Arc<ExecutorRecord>> {
        let action = task.revision(revision).and_then(|kept| kept.spec.action.as_ref());
        match action {
            Some(Action::Executor(action)) if !action.names.is_empty() => {
                self.executors().filter(|one| one.is_one_of(&action.names)).collect()
            }
            Some(Action::Executor(_)) | None => {
                self.declared.of(&task.live.name).filter_map(|id| self.executor(id)).collect()
            }
            Some(_) => Vec::new(),
        }
    }

    /// Registers an executor. What is renewed as it was changes nothing but the time of its renewal.
    pub(in crate::domain::machine) fn put_executor(
        &mut self,
        cx: &EntryContext<'_>,
        body: PutExecutor,
        effects: &mut Effects,
    ) -> Response {
        let revision = Revision(self.cluster.counter);
        let Some(former) = self.executor(&body.info.id).cloned() else {
            if self.registers.executors.len() >= EXECUTORS_MAX {
                return Err(Refusal::Full);
            }
            let executor = ExecutorRecord {
                info: body.info,
                status: ExecutorStatus::Online,
                reason: String::new(),
                offline_since: None,
                registered_at: cx.stamp,
                renewed_at: cx.stamp,
                revision,
            };
            self.set_executor(cx, executor, effects);
            return Ok(Answer::Executor { revision, created: true });
        };
        if former.status == ExecutorStatus::Online && former.info.base_url != body.info.base_url {
            return Err(Refusal::ExecutorOnline);
        }
        let mut executor = ExecutorRecord {
            info: body.info,
            status: former.status,
            reason: former.reason.clone(),
            offline_since: former.offline_since,
            registered_at: former.registered_at,
            renewed_at: cx.stamp,
            revision: former.revision,
        };
        answers(&mut executor);
        let revision = self.set_executor(cx, executor, effects);
        Ok(Answer::Executor { revision, created: false })
    }

    /// An executor says that it works. Where it has an address for that, only its prober believes it.
    pub(in crate::domain::machine) fn executor_heartbeat(
        &mut self,
        cx: &EntryContext<'_>,
        body: &OfExecutor,
        effects: &mut Effects,
    ) -> Response {
        self.change_executor(cx, &body.id, effects, |executor| {
            executor.renewed_at = cx.stamp;
            if executor.info.health_check_url.is_none() {
                answers(executor);
            }
            Ok(())
        })
    }

    pub(in crate::domain::machine) fn executor_liveness(
        &mut self,
        cx: &EntryContext<'_>,
        body: ExecutorLiveness,
        effects: &mut Effects,
    ) -> Response {
        self.change_executor(cx, &body.id, effects, |executor| {
            if executor.revision != body.revision {
                return Err(Refusal::RevisionMismatch { current: executor.revision });
            }
            // One that is not probed has said meanwhile that it works.
            if executor.info.health_check_url.is_none() && executor.renewed_at != body.renewed_at {
                return Err(Refusal::NotDue);
            }
            if body.online {
                answers(executor);
            } else if executor.offline_since.is_none() {
                executor.offline_since = Some(cx.stamp);
                if executor.status == ExecutorStatus::Online {
                    executor.status = ExecutorStatus::Offline;
                    executor.reason = body.reason;
                }
            }
            Ok(())
        })
    }

    pub(in crate::domain::machine) fn set_executor_status(
        &mut self,
        cx: &EntryContext<'_>,
        body: SetExecutorStatus,
        effects: &mut Effects,
    ) -> Response {
        self.change_executor(cx, &body.id, effects, |executor| {
            if body.if_match.is_some_and(|seen| seen != executor.revision) {
                return Err(Refusal::RevisionMismatch { current: executor.revision });
            }
            executor.status = body.status;
            executor.reason = body.reason;
            executor.offline_since = match body.status {
                ExecutorStatus::Online => None,
                ExecutorStatus::Offline => executor.offline_since.or(Some(cx.stamp)),
                ExecutorStatus::Maintenance => executor.offline_since,
            };
            Ok(())
        })
    }

    /// Removes an executor, and ends the attempts that it has: nobody knows any more what became of
    /// them.
    pub(in crate::domain::machine) fn delete_executor(
        &mut self,
        cx: &EntryContext<'_>,
        body: &Named,
        effects: &mut Effects,
    ) -> Response {
        let former = self.executor(&body.name).cloned().ok_or(Refusal::ExecutorNotFound)?;
        if body.if_match.is_some_and(|seen| seen != former.revision) {
            return Err(Refusal::RevisionMismatch { current: former.revision });
        }
        let id: Arc<str> = body.name.as_str().into();
        let tasks: BTreeSet<TaskKey> = self.in_flight.of(&id).map(|(_, task)| task).collect();
        self.declared.remove(&former.info);
        self.registers.executors.remove(&id);
        for task in tasks {
            let has = |execution: &Execution| executor_of(execution).is_some_and(|one| *one == id);
            let _known = self.edit(cx, task, effects, |task| {
                attempts::lose_all(task, "executor_removed", has);
                Ok(())
            });
        }
        effects.hints.push(Hint::Executors);
        let object = EventObject::Executor { id, status: None };
        self.tell(cx, EventKind::ExecutorChanged, object, effects);
        Ok(Answer::Done)
    }

    fn change_executor(
        &mut self,
        cx: &EntryContext<'_>,
        id: &str,
        effects: &mut Effects,
        change: impl FnOnce(&mut ExecutorRecord) -> Result<(), Refusal>,
    ) -> Response {
        let former = self.executor(id).ok_or(Refusal::ExecutorNotFound)?;
        let mut executor = ExecutorRecord::clone(former);
        change(&mut executor)?;
        self.set_executor(cx, executor, effects);
        Ok(Answer::Done)
    }

    /// Keeps an executor, as it was or changed; the answer is its revision then.
    fn set_executor(
        &mut self,
        cx: &EntryContext<'_>,
        mut executor: ExecutorRecord,
        effects: &mut Effects,
    ) -> Revision {
        let id: Arc<str> = executor.info.id.as_str().into();
        let former = self.executor(&id).cloned();
        let renewed_at = executor.renewed_at;
        let renewed = former.as_deref().is_some_and(|former| {
            executor.renewed_at = former.renewed_at;
            *former == executor
        });
        executor.renewed_at = renewed_at;
        if renewed {
            let revision = executor.revision;
            self.registers.executors.set(id, executor);
            return revision;
        }
        if former.as_ref().is_none_or(|former| former.info.tasks != executor.info.tasks) {
            if let Some(former) = &former {
                self.declared.remove(&former.info);
            }
            self.declared.add(&executor.info);
        }
        executor.revision = Revision(self.cluster.counter);
        let (revision, status) = (executor.revision, Some(executor.status));
        self.registers.executors.set(Arc::clone(&id), executor);
        effects.hints.push(Hint::Executors);
        let object = EventObject::Executor { id, status };
        self.tell(cx, EventKind::ExecutorChanged, object, effects);
        revision
    }
}

/// An executor was found to answer: it is given work, unless an operator holds that back.
fn answers(executor: &mut ExecutorRecord) {
    executor.offline_since = None;
    if executor.status == ExecutorStatus::Offline {
        executor.status = ExecutorStatus::Online;
        executor.reason = String::new();
    }
}
