//! Executors: programs outside the cluster that register, and carry out executions.

mod declared;
mod register;

use std::sync::Arc;

use super::context::{Freshness, StateView};
use super::lists::PageRequest;
use super::told::{Told, told};
use super::{Caller, OpAnswer, OpError};
use crate::domain::executor::{ExecutorRecord, ExecutorStatus};
use crate::domain::ids::Revision;
use crate::domain::machine::command::{Named, OfExecutor, SetExecutorStatus};
use crate::domain::machine::record::{Execution, Status};
use crate::domain::machine::{Command, Refusal, State, Task};
use crate::domain::schedule::Warning;
use crate::domain::task::{Action, TaskSpec};
use crate::domain::time::Millis;
use crate::domain::warning_code::WarningCode;
use crate::dto::{ExecutorHead, ExecutorRemoved, ExecutorView, ListView, Rfc3339};

pub(crate) use declared::{DeclaredFields, DeclaredTask};
pub(crate) use register::{Registration, origin, register};

/// Statuses of an executor.
pub(crate) const STATUSES: [&str; 3] = [
    ExecutorStatus::Online.word(),
    ExecutorStatus::Offline.word(),
    ExecutorStatus::Maintenance.word(),
];
/// Executors that a sentence names.
const EXECUTORS_TOLD: usize = 5;
/// A heartbeat is noted in the log unless one was within this.
const HEARTBEAT_EVERY: Millis = Millis::from_secs(5);

/// An executor by its id.
///
/// # Errors
/// `executor_not_found`.
fn find<'a>(view: &'a StateView, id: &str) -> Result<&'a Arc<ExecutorRecord>, OpError> {
    view.state.executor(id).ok_or_else(|| Refusal::ExecutorNotFound.into())
}

/// Executors from a place on, all or those with a status.
pub(crate) fn list(
    view: &StateView,
    status: Option<&str>,
    page: &PageRequest,
) -> ListView<ExecutorView> {
    let after = page.after().unwrap_or_default();
    let fits = |one: &&Arc<ExecutorRecord>| {
        *one.info.id > *after && status.is_none_or(|status| one.status.word() == status)
    };
    let key = |one: &&Arc<ExecutorRecord>| one.info.id.clone();
    page.list(view.state.executors().filter(fits), key, |one| executor(&view.state, one))
}

/// An executor with the revision that `If-Match` may name.
///
/// # Errors
/// `executor_not_found`.
pub(crate) fn show(view: StateView, id: &str) -> Result<OpAnswer<ExecutorView>, OpError> {
    let found = find(&view, id)?;
    let (body, revision) = (executor(&view.state, found), Some(found.revision));
    Ok(OpAnswer { view, body, revision })
}

/// Gives an executor another status.
///
/// # Errors
/// `executor_not_found`, `revision_mismatch`.
pub(crate) async fn set_status(
    caller: &Caller,
    id: &str,
    status: ExecutorStatus,
    reason: &str,
) -> Result<StateView, OpError> {
    let (id, reason) = (id.to_owned(), reason.to_owned());
    let set = caller.answer(|view| {
        let if_match = caller.if_match(Some(find(view, &id)?.revision));
        Ok(Some(Command::ExecutorStatus(SetExecutorStatus { id, status, reason, if_match })))
    });
    set.await?;
    caller.context.here()
}

/// Notes that an executor works. Only what changes something goes through the log.
///
/// # Errors
/// `executor_not_found`.
pub(crate) async fn heartbeat(
    caller: &Caller,
    id: &str,
) -> Result<OpAnswer<ExecutorView>, OpError> {
    // The state of this node is enough: it can only be older, and then a heartbeat too many is noted.
    let stale = Freshness { stale: true, ..caller.fresh };
    let view = caller.context.view(stale).await?;
    let known = find(&view, id).is_ok_and(|one| {
        let back = one.offline_since.is_some() && one.info.health_check_url.is_none();
        !back && view.now.since(one.renewed_at) < HEARTBEAT_EVERY
    });
    if known {
        return show(view, id);
    }
    let id_of = OfExecutor { id: id.to_owned() };
    caller.answer(|_view| Ok(Some(Command::ExecutorHeartbeat(id_of)))).await?;
    show(caller.context.here()?, id)
}

/// Removes an executor; what it has is lost.
///
/// # Errors
/// `executor_not_found`, `revision_mismatch`.
pub(crate) async fn delete(
    caller: &Caller,
    id: String,
) -> Result<OpAnswer<ExecutorRemoved>, OpError> {
    let removed = caller.answer(|view| {
        let if_match = caller.if_match(Some(find(view, &id)?.revision));
        Ok(Some(Command::DeleteExecutor(Named { name: id.clone(), if_match })))
    });
    removed.await?;
    Ok(OpAnswer::of(caller.context.here()?, ExecutorRemoved { id, deleted: true }))
}

/// Whether a definition asks for executors that are not there.
pub(crate) fn warning(state: &State, spec: &TaskSpec) -> Option<Warning> {
    let Some(Action::Executor(action)) = &spec.action else { return None };
    let found = if action.names.is_empty() {
        state.declared(&spec.name)
    } else {
        state.executors().any(|one| one.is_one_of(&action.names))
    };
    if found {
        return None;
    }
    let detail = match action.names.as_slice() {
        [] => format!("no executor that is registered declared the task {}", spec.name),
        names => format!("none of its executors is registered: {}", names.join(", ")),
    };
    let detail = format!("{detail}; executions wait for one, and then fail with no_executor");
    Some(Warning { code: WarningCode::NoExecutor, detail })
}

/// Where an execution is that an executor carries out, or what it waits for, as a part of a
/// sentence.
pub(crate) fn waits_for(state: &State, task: &Task, execution: &Execution) -> Option<Told> {
    match execution.status {
        Status::Running => {
            let executor = execution.attempt.as_ref()?.executor.as_ref()?;
            let id = &executor.id;
            Some(match executor.accepted_at {
                Some(at) => told!(
                    "on executor {id}, which accepted it at {at}",
                    "在执行器 {id} 上，该执行器于 {at} 接受"
                ),
                None => told!(
                    "on executor {id}, which has not accepted it yet",
                    "在执行器 {id} 上，该执行器尚未接受"
                ),
            })
        }
        Status::Pending if state.needs_executor(task, execution.revision) => {
            let all = state.executors_of(task, execution.revision);
            let told = |one: &&Arc<ExecutorRecord>| {
                let (id, load) = (&one.info.id, state.in_flight(&one.info.id));
                let word = one.status.word();
                match one.status {
                    ExecutorStatus::Online if !one.takes(load) => {
                        told!("{id} is at its capacity with {load}", "{id} 已达容量上限（{load}）")
                    }
                    ExecutorStatus::Online => told!("{id} is {word}", "{id} 在线"),
                    ExecutorStatus::Maintenance => told!("{id} is {word}", "{id} 维护中"),
                    _ => told!("{id} is {word}", "{id} 离线"),
                }
            };
            let all: Vec<Told> = all.iter().take(EXECUTORS_TOLD).map(told).collect();
            let each = Told::list(&all, ", ", "，");
            Some(match all.is_empty() {
                true => told!(
                    "until one of its executors registers; none is registered",
                    "等待其执行器注册；目前没有已注册的"
                ),
                false => told!("for an executor: {each}", "等待执行器：{each}", each),
            })
        }
        _ => None,
    }
}

/// An executor.
fn executor(state: &State, one: &ExecutorRecord) -> ExecutorView {
    ExecutorView { head: head(state, one), tasks: one.info.tasks.clone() }
}

/// An executor without its tasks.
fn head(state: &State, one: &ExecutorRecord) -> ExecutorHead {
    let info = &one.info;
    let Revision(revision) = one.revision;
    ExecutorHead {
        id: info.id.clone(),
        name: info.name.clone(),
        base_url: info.base_url.clone(),
        health_check_url: info.health_check_url.clone(),
        status: one.status.word().into(),
        reason: one.reason.clone(),
        weight: info.weight,
        capacity: info.capacity,
        in_flight: state.in_flight(&info.id),
        metadata: info.metadata.clone(),
        offline_since: one.offline_since.map(Rfc3339),
        registered_at: Rfc3339(one.registered_at),
        last_heartbeat: Rfc3339(one.renewed_at),
        revision,
    }
}
