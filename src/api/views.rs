//! The JSON forms of what the state holds.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::domain::ids::{ExecutionId, NodeId};
use crate::domain::machine::record::{
    Attempt, Code, Ended, Execution, FiredTick, Node, Pause, Status, Totals,
};
use crate::domain::machine::{State, Task};
use crate::domain::schedule::{self, Warning};
use crate::domain::spec;
use crate::domain::task::TaskSpec;
use crate::domain::time::{Millis, Timestamp};

use super::context::{View, etag};
use super::{eligibility, plans, words};

/// An instant, or null.
pub(super) fn instant(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, |at| at.to_string().into())
}

/// A task.
pub(super) fn task(view: &View, task: &Task) -> Value {
    let live = &task.live;
    let mut body = match task.spec().map(spec::write) {
        Some(Value::Object(body)) => body,
        _ => Map::from_iter([("name".to_owned(), live.name.as_ref().into())]),
    };
    let owner = task.spec().filter(|_| live.deleted.is_none());
    let owner = owner.and_then(|spec| view.members.owner(spec));
    let added = json!({
        "id": &*live.name,
        "revision": live.revision.0,
        "incarnation": live.incarnation.0,
        "origin": "api",
        "state": words::task_state(task),
        "paused": live.paused.as_ref().map(pause),
        "owner": owner.map(|owner| node_name(&view.state, owner)),
        "cursor": view.state.settled(task).to_string(),
        "next_tick": instant(plans::next_tick(view, task)),
        "last_execution": task.history.executions.back().map(brief),
        "totals": totals(&task.progress.totals),
        "created_at": live.created_at.to_string(),
        "updated_at": live.updated_at.to_string(),
    });
    if let Value::Object(added) = added {
        body.extend(added);
    }
    let told = task.spec().filter(|_| live.deleted.is_none());
    let told = told.map(|spec| warnings(&view.state, spec)).filter(|told| !told.is_empty());
    if let Some(told) = told {
        body.insert("warnings".to_owned(), told.into());
    }
    Value::Object(body)
}

/// What is worth knowing of a definition that is valid.
pub(super) fn warnings(state: &State, spec: &TaskSpec) -> Vec<Value> {
    let told = schedule::warnings(&spec.schedule);
    told.iter().chain(&eligibility::warning(state, spec)).map(warning).collect()
}

/// A warning as answers carry it.
pub(super) fn warning(warning: &Warning) -> Value {
    json!({"code": warning.code, "detail": warning.detail})
}

/// Answers with a task and its revision.
pub(super) fn task_reply(view: &View, status: StatusCode, found: &Task, extra: Value) -> Response {
    let mut body = task(view, found);
    if let (Value::Object(body), Value::Object(extra)) = (&mut body, extra) {
        body.extend(extra);
    }
    let mut response = view.reply(status, body);
    etag(response.headers_mut(), found.live.revision);
    response
}

fn pause(pause: &Pause) -> Value {
    json!({"reason": pause.reason, "until": instant(pause.until)})
}

/// Counts of verdicts and ends.
pub(super) fn totals(totals: &Totals) -> Value {
    json!({
        "fired": totals.fired,
        "skipped": totals.skipped,
        "missed": totals.missed,
        "coalesced": totals.coalesced,
        "uncounted_spans": totals.uncounted_spans,
        "success": totals.success,
        "failed": totals.failed,
        "timeout": totals.timeout,
        "cancelled": totals.cancelled,
        "lost": totals.lost,
    })
}

/// How a node is called.
pub(super) fn node_name(state: &State, id: NodeId) -> String {
    match state.node(id) {
        Some(node) => node.info.name.clone(),
        None => format!("n{}", id.configured()),
    }
}

/// A tick that fired: its execution, and how that ended, which is told as long as the tick is kept.
pub(super) fn fired(state: &State, fired: &FiredTick) -> Value {
    json!({
        "tick": fired.tick.to_string(),
        "verdict": "fired",
        "execution_id": fired.execution.to_string(),
        "execution_kept": state.execution(fired.execution).is_some(),
        "ended": fired.ended.as_ref().map(|ended| ended_in_short(state, ended)),
        "index": fired.index,
    })
}

fn ended_in_short(state: &State, ended: &Ended) -> Value {
    let (exit_code, http_status) = match ended.code {
        Code::None => (None, None),
        Code::Exit(code) => (Some(code), None),
        Code::Http(status) => (None, Some(status)),
    };
    json!({
        "status": words::status(ended.status),
        "exit_code": exit_code,
        "http_status": http_status,
        "node": ended.node().map(|node| node_name(state, node)),
        "reason": ended.reason,
    })
}

fn brief(execution: &Execution) -> Value {
    json!({
        "id": execution.id.to_string(),
        "tick": instant(execution.tick),
        "due": execution.due.to_string(),
        "status": words::status(execution.status),
        "lateness_ms": lateness_ms(execution),
        "duration_ms": duration_ms(execution),
    })
}

/// All attempts, oldest first.
pub(super) fn attempts(execution: &Execution) -> impl Iterator<Item = &Attempt> {
    execution.attempts()
}

/// When the first attempt started, as far as it was reported.
fn started_at(execution: &Execution) -> Option<Timestamp> {
    attempts(execution).find_map(|attempt| attempt.report.as_ref()?.started_at)
}

/// From due time to start in milliseconds; negative: it started early.
pub(super) fn lateness_ms(execution: &Execution) -> Option<i64> {
    Some(started_at(execution)?.0.saturating_sub(execution.due.0))
}

/// From the first start to the end in milliseconds.
pub(super) fn duration_ms(execution: &Execution) -> Option<u64> {
    let Millis(length) = execution.ended_at?.since(started_at(execution)?);
    Some(length)
}

/// What no node has reported yet of a running attempt: it starts when it is due and granted.
fn presumed_start(execution: &Execution, attempt: &Attempt) -> Option<Timestamp> {
    (execution.status == Status::Running).then(|| attempt.granted_at.max(execution.due))
}

/// An execution.
pub(super) fn execution(state: &State, task: &Task, execution: &Execution) -> Value {
    let name = &*task.live.name;
    let newest = execution.attempt.as_ref();
    let report = newest.and_then(|attempt| attempt.report.as_ref());
    let presumed = newest.and_then(|attempt| presumed_start(execution, attempt));
    let key = match execution.tick {
        Some(tick) => format!("{name}/{}@{tick}", execution.incarnation),
        None => format!("{name}/{}!{}", execution.incarnation, execution.id),
    };
    json!({
        "id": execution.id.to_string(),
        "task": name,
        "task_id": name,
        "revision": execution.revision.0,
        "incarnation": execution.incarnation.0,
        "tick": instant(execution.tick),
        "due": execution.due.to_string(),
        "trigger": words::trigger(execution.trigger),
        "retry_of": execution.retry_of().map(|id| id.to_string()),
        "dismissed": execution.dismissed(),
        "status": words::status(execution.status),
        "stopping": execution.stopping,
        "node": newest.map(|attempt| node_name(state, attempt.node)),
        "executor_id": null,
        "fence": newest.map(|attempt| attempt.fence.0),
        "attempt": newest.map_or(0, |attempt| attempt.number),
        "attempts": attempts(execution)
            .map(|one| attempt(state, execution, one))
            .collect::<Vec<_>>(),
        "scheduled_time": execution.tick.unwrap_or(execution.created_at).to_string(),
        "start_time": instant(started_at(execution).or(presumed)),
        "end_time": instant(execution.ended_at),
        "lateness_ms": lateness_ms(execution),
        "duration_ms": duration_ms(execution),
        "exit_code": report.and_then(|report| report.exit_code),
        "http_status": report.and_then(|report| report.http_status),
        "output_tail": report.map(|report| String::from_utf8_lossy(&report.tail)),
        "parameters": parameters(task, execution),
        "idempotency_key": key,
        "index": execution.index,
    })
}

fn attempt(state: &State, execution: &Execution, attempt: &Attempt) -> Value {
    let report = attempt.report.as_ref();
    let current = execution.attempt.as_ref().is_some_and(|newest| newest.fence == attempt.fence);
    let presumed = presumed_start(execution, attempt).filter(|_| current);
    json!({
        "attempt": attempt.number,
        "fence": attempt.fence.0,
        "node": node_name(state, attempt.node),
        "executor_id": null,
        "started_at": instant(report.map_or(presumed, |report| report.started_at)),
        "ended_at": instant(report.map(|report| report.ended_at)),
        "outcome": report.map(|report| words::status(report.status)),
        "detail": report.map(|report| report.detail.as_str()),
    })
}

fn parameters(task: &Task, execution: &Execution) -> Value {
    let own = || task.revision(execution.revision).map(|kept| kept.spec.parameters.as_str());
    let text = execution.parameters().map(|own| &**own).or_else(own);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}

/// The executions of a task that run.
pub(super) fn running(state: &State, task: &Task) -> Value {
    let running = task.live_executions().filter(|one| one.status == Status::Running);
    let mut running: Vec<Value> = running.map(|one| execution(state, task, one)).collect();
    running.reverse();
    running.into()
}

/// These executions, as far as they are kept.
pub(super) fn executions(state: &State, ids: &[ExecutionId]) -> Value {
    let found = ids.iter().filter_map(|id| state.execution(*id));
    found.map(|(task, one)| execution(state, task, one)).collect()
}

/// What is known of nodes beyond their records.
pub(super) struct Sight {
    /// Raft id of the leader.
    pub leader: Option<u64>,
    /// Raft ids of the voters.
    pub voters: Vec<u64>,
    /// Term.
    pub term: u64,
    /// Milliseconds since each node was heard of; empty where this node does not lead.
    pub heard: BTreeMap<u64, u64>,
    /// Milliseconds that the wall clocks of nodes are ahead of cluster time, by configured id.
    pub skews: BTreeMap<u64, i64>,
    /// How many tasks each node owns.
    pub owned: BTreeMap<NodeId, u64>,
    /// How many tasks there are; names of deleted ones are none.
    pub tasks: u64,
}

/// A node.
pub(super) fn node(view: &View, sight: &Sight, node: &Node) -> Value {
    let own = node.id == view.own;
    let info = &node.info;
    let heard = sight.heard.get(&node.id.0).map(|ago| view.now.minus(Millis(*ago)));
    json!({
        "id": node.id.configured().to_string(),
        "name": info.name,
        "hostname": info.hostname,
        "pid": info.pid,
        "state": words::liveness(node.liveness),
        "intent": words::intent(node.intent),
        "role": role(sight, node.id),
        "http": info.http,
        "peer": info.peer,
        "version": info.version,
        "weight": info.weight,
        "labels": info.labels,
        "slots": info.slots,
        "functions": info.functions,
        "shell": info.shell,
        "term": own.then_some(sight.term),
        "applied_index": own.then(|| view.state.cluster().applied),
        "digest": own.then(|| digest(&view.state)),
        "clock_skew_ms": sight.skews.get(&node.id.configured()),
        "created_at": node.created_at.to_string(),
        "started_at": node.started_at.to_string(),
        "last_seen": instant(if own { Some(view.now) } else { heard }),
        "tasks_owned": sight.owned.get(&node.id).copied().unwrap_or(0),
    })
}

/// The role of a node in Raft.
pub(super) fn role(sight: &Sight, id: NodeId) -> &'static str {
    if sight.leader == Some(id.0) {
        "leader"
    } else if sight.voters.contains(&id.0) {
        "follower"
    } else {
        "learner"
    }
}

/// The digest of a state, as people compare it.
pub(super) fn digest(state: &State) -> String {
    format!("{:032x}", state.digest())
}
