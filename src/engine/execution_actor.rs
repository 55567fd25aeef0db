//! One attempt granted to this session: waits for its due time, starts it, reports its end until
//! the state shows it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{oneshot, watch};

use crate::clock::BootInstant;
use crate::domain::ids::{ExecutionId, Fence, TaskKey};
use crate::domain::machine::command::{Command, Finish, Start};
use crate::domain::machine::record::{self, Execution, Report};
use crate::domain::machine::{Task, envelope};
use crate::domain::task::{Action, TaskSpec};
use crate::domain::time::{Millis, Timestamp};
use crate::exec::{Attempt, Control, Outcome, Status, Stop};
use crate::life;

use super::node_actor::NodeMsg;
use super::shared::{PROPOSAL_LIMIT, Shared, Started};

/// Before the end of an attempt is reported again.
const REPORT_PAUSE: Duration = Duration::from_millis(100);

pub(super) struct ExecutionActor;

/// What an execution actor is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum ExecutionMsg {
    /// To stop, and how firmly.
    Stop(Stop),
    /// That its work is done.
    Done,
}

/// One grant.
pub(super) struct Grant {
    pub task: TaskKey,
    pub execution: ExecutionId,
    pub fence: Fence,
    /// No start after this.
    pub start_by: BootInstant,
}

pub(super) struct ExecutionArguments {
    pub grant: Grant,
    pub shared: Arc<Shared>,
    pub node: ActorRef<NodeMsg>,
}

pub(super) struct ExecutionState {
    execution: ExecutionId,
    node: ActorRef<NodeMsg>,
    stop: watch::Sender<Stop>,
}

impl Actor for ExecutionActor {
    type Msg = ExecutionMsg;
    type State = ExecutionState;
    type Arguments = ExecutionArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<ExecutionMsg>,
        arguments: ExecutionArguments,
    ) -> Result<ExecutionState, ActorProcessingErr> {
        let ExecutionArguments { grant, shared, node } = arguments;
        let (stop, stopped) = watch::channel(Stop::No);
        let execution = grant.execution;
        let life = shared.life.clone();
        life.spawn(async move {
            carry_out(&shared, grant, stopped).await;
            let _stopping = myself.send_message(ExecutionMsg::Done);
        });
        Ok(ExecutionState { execution, node, stop })
    }

    async fn handle(
        &self,
        myself: ActorRef<ExecutionMsg>,
        message: ExecutionMsg,
        state: &mut ExecutionState,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ExecutionMsg::Stop(how) => {
                state.stop.send_if_modified(|asked| {
                    let firmer = how > *asked;
                    *asked = how.max(*asked);
                    firmer
                });
            }
            ExecutionMsg::Done => {
                let _stopping = state.node.send_message(NodeMsg::Ended(state.execution));
                myself.stop(None);
            }
        }
        Ok(())
    }
}

/// The running execution whose newest grant is this one.
fn current(shared: &Shared, grant: &Grant) -> Option<(Arc<Task>, Execution)> {
    let state = shared.consensus.replica().read();
    let task = state.task(grant.task)?;
    let execution = task.history.execution(grant.execution)?;
    let attempt = execution.attempt.as_ref()?;
    let held = execution.status == record::Status::Running && attempt.fence == grant.fence;
    held.then(|| (Arc::clone(task), execution.clone()))
}

async fn carry_out(shared: &Arc<Shared>, grant: Grant, stop: watch::Receiver<Stop>) {
    let Some((task, execution)) = current(shared, &grant) else { return };
    let spec = task.revision(execution.revision).or(task.definition()).map(|found| &found.spec);
    let Some(spec) = spec else { return };
    let Some(action) = action_of(spec) else {
        let outcome = failed("no_handler: the task has no action");
        return finish(shared, &grant, outcome, None).await;
    };
    if !bug!("due-ignored") {
        wait_until(shared, execution.due).await;
    }
    let attempt = attempt(&grant, spec, &execution);
    let started_at = Arc::new(Mutex::new(None));
    let (started, begun) = oneshot::channel();
    let gate = gate(shared, &grant, execution.tick.is_some());
    let control = Control { gate, stop, started };
    let (watched, seen) = (Arc::clone(shared), Arc::clone(&started_at));
    let about = (grant.task, execution.tick, execution.due);
    life::spawn(async move {
        if begun.await.is_ok() {
            *seen.lock() = Some(observe(&watched, about));
        }
    });
    let outcome = run(shared, &action, &attempt, control).await;
    if outcome.status == Status::NotStarted {
        return again(shared, &grant);
    }
    // The news of the start may still be on its way when a short attempt has ended.
    let noted = *started_at.lock();
    let started = noted.or_else(|| {
        let since = shared.clock.boot().since(outcome.started?);
        Some(shared.clock.now().minus(since))
    });
    finish(shared, &grant, outcome, started).await;
}

/// Carries an action out, and measures that.
async fn run(shared: &Shared, action: &Action, attempt: &Attempt, control: Control) -> Outcome {
    let kind = match action {
        Action::Http(_) => "http",
        Action::Shell(_) => "shell",
        Action::Executor(_) => "executor",
        Action::Func { .. } => "func",
    };
    let running = shared.metrics.executions_running.of(kind);
    running.inc();
    let outcome = shared.exec.run(action, attempt, control).await;
    running.dec();
    if outcome.status != Status::NotStarted {
        let took = Duration::from_millis(outcome.duration_ms);
        shared.metrics.action_seconds.of(kind).observe(took.as_secs_f64());
    }
    outcome
}

/// A task without an action goes to the function of its name.
fn action_of(spec: &TaskSpec) -> Option<Action> {
    Some(spec.action.clone().unwrap_or_else(|| Action::Func { id: spec.name.clone() }))
}

/// The gate of a start: the applied state, read at the last moment.
fn gate(shared: &Arc<Shared>, grant: &Grant, tick: bool) -> crate::exec::Gate {
    let shared = Arc::clone(shared);
    let grant = Grant { ..*grant };
    Arc::new(move || {
        if bug!("gate-ignored") {
            return true;
        }
        current(&shared, &grant).is_some_and(|(task, execution)| {
            let deleted = task.live.deleted.is_some();
            let held = tick && task.inactive().is_some();
            !deleted && !held && !execution.stopping
        })
    })
}

/// An attempt that waits looks at the time this often.
const NAP: Duration = Duration::from_secs(1);

async fn wait_until(shared: &Shared, due: Timestamp) {
    loop {
        let wait = due.0.saturating_mul(1_000_000).saturating_sub(shared.clock.nanos());
        match u64::try_from(wait) {
            Ok(wait) if wait > 0 => {
                // Cluster time may be set meanwhile.
                tokio::time::sleep(Duration::from_nanos(wait).min(NAP)).await;
            }
            Ok(_) | Err(_) => return,
        }
    }
}

fn attempt(grant: &Grant, spec: &TaskSpec, execution: &Execution) -> Attempt {
    let incarnation = execution.incarnation;
    let name = &spec.name;
    let idempotency_key = match execution.tick {
        Some(tick) => format!("{name}/{incarnation}@{tick}"),
        None => format!("{name}/{incarnation}!{}", execution.id),
    };
    Attempt {
        execution: execution.id,
        fence: grant.fence,
        attempt: execution.attempt.as_ref().map_or(1, |attempt| attempt.number),
        task: name.clone(),
        tick: execution.tick,
        idempotency_key,
        parameters: execution.parameters().map_or(&*spec.parameters, |own| &**own).to_owned(),
        payload: spec.payload.clone(),
        timeout: spec.timeout,
        kill_grace: spec.kill_grace,
        start_by: grant.start_by,
    }
}

/// Notes a start: for the histogram, and for whoever measures.
fn observe(
    shared: &Shared,
    (task, tick, due): (TaskKey, Option<Timestamp>, Timestamp),
) -> Timestamp {
    let at_nanos = shared.clock.nanos();
    let late = at_nanos.saturating_sub(due.0.saturating_mul(1_000_000));
    let late = Duration::from_nanos(u64::try_from(late).unwrap_or(0));
    if tick.is_some() {
        shared.metrics.tick_lateness_seconds.observe(late.as_secs_f64());
    }
    if let Some(observer) = &shared.observer {
        observer(Started { task, tick, due, at_nanos });
    }
    Timestamp(at_nanos.div_euclid(1_000_000))
}

/// The grant was not used in time: asks for it again.
fn again(shared: &Arc<Shared>, grant: &Grant) {
    let Some(session) = shared.session() else { return };
    let (task, execution) = (grant.task, grant.execution);
    shared.ask_start(Start { task, execution, session, again: Some(grant.fence) });
}

fn failed(detail: &str) -> Outcome {
    Outcome {
        status: Status::Failed,
        unknown: false,
        detail: detail.to_owned(),
        exit_code: None,
        http_status: None,
        tail: Vec::new(),
        started: None,
        duration_ms: 0,
    }
}

/// Whether the cluster gave an attempt up before it ended here, or granted it again.
fn overtaken(shared: &Shared, grant: &Grant) -> bool {
    let state = shared.consensus.replica().read();
    let task = state.task(grant.task);
    let execution = task.and_then(|task| task.history.execution(grant.execution));
    execution.is_some_and(|execution| match execution.status {
        // Somebody had it stopped, and it did stop.
        record::Status::Cancelled => false,
        record::Status::Running => {
            execution.attempt.as_ref().is_some_and(|attempt| attempt.fence != grant.fence)
        }
        _ => true,
    })
}

/// Reports the end until the state shows one.
async fn finish(
    shared: &Arc<Shared>,
    grant: &Grant,
    outcome: Outcome,
    started_at: Option<Timestamp>,
) {
    let status = match outcome.status {
        Status::Success => record::Status::Success,
        Status::Failed => record::Status::Failed,
        Status::Timeout => record::Status::Timeout,
        Status::Cancelled => record::Status::Cancelled,
        Status::Lost | Status::NotStarted => record::Status::Lost,
    };
    let ended_at = match started_at {
        Some(started_at) => started_at.plus(Millis(outcome.duration_ms)),
        None => shared.clock.now(),
    };
    let report = Report {
        status,
        started_at,
        ended_at,
        exit_code: outcome.exit_code,
        http_status: outcome.http_status,
        detail: outcome.detail,
        tail: outcome.tail,
    };
    let (task, execution, fence) = (grant.task, grant.execution, grant.fence);
    let command = Command::Finish(Box::new(Finish { task, execution, fence, report }));
    let mut bytes = Vec::new();
    envelope::pack(&mut bytes, &command, "", None);
    let bytes = bytes::Bytes::from(bytes);
    if overtaken(shared, grant) {
        shared.metrics.reports_refused.inc();
    }
    while current(shared, grant).is_some() {
        let outcome = shared.consensus.submit(bytes.clone(), 1, PROPOSAL_LIMIT).await;
        if outcome.is_ok() {
            return;
        }
        tokio::time::sleep(REPORT_PAUSE).await;
    }
}
