//! The actor of one granted attempt: waits for its due time, starts it, and reports its end until
//! the state shows it.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{oneshot, watch};

use crate::clock::BootInstant;
use crate::domain::ids::{ExecutionId, Fence, TaskKey};
use crate::domain::machine::Task;
use crate::domain::machine::command::OfFence;
use crate::domain::machine::record::{self, Execution, ParentExecution};
use crate::domain::task::{Action, ExecutorAction, TaskSpec};
use crate::domain::time::Timestamp;
use crate::exec::{
    AttemptControl, AttemptOutcome, AttemptStatus, GrantedAttempt, ParentOfAttempt, Stop,
};

use super::context::{AttemptStart, EngineContext};
use super::limits::{NAP, REPORT_PAUSE};
use super::node_actor::NodeMsg;
use super::reports::{accepted, finish};

pub(super) struct ExecutionActor;

/// A message to an execution actor.
#[derive(Clone, Copy, Debug)]
pub(super) enum ExecutionMsg {
    /// To stop, and how firmly.
    Stop(Stop),
}

/// One grant.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExecutionGrant {
    pub task: TaskKey,
    pub execution: ExecutionId,
    pub fence: Fence,
    /// No start after this.
    pub start_by: BootInstant,
}

pub(super) struct ExecutionArguments {
    pub grant: ExecutionGrant,
    pub context: Arc<EngineContext>,
    pub node: ActorRef<NodeMsg>,
}

pub(super) struct ExecutionState {
    stop: watch::Sender<Stop>,
    _alive: watch::Receiver<bool>,
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
        let (stop, stopped) = watch::channel(Stop::No);
        let context = Arc::clone(&arguments.context);
        let _alive = context.alive();
        context.spawn(async move {
            work(&arguments, stopped).await;
            myself.stop(None);
        });
        Ok(ExecutionState { stop, _alive })
    }

    async fn handle(
        &self,
        _myself: ActorRef<ExecutionMsg>,
        message: ExecutionMsg,
        state: &mut ExecutionState,
    ) -> Result<(), ActorProcessingErr> {
        let ExecutionMsg::Stop(how) = message;
        state.stop.send_if_modified(|asked| {
            let stronger = how > *asked;
            *asked = how.max(*asked);
            stronger
        });
        Ok(())
    }
}

/// Carries a grant out and notifies the node actor of the end.
async fn work(arguments: &ExecutionArguments, stop: watch::Receiver<Stop>) {
    let ExecutionArguments { grant, context, node } = arguments;
    let (task, execution, fence) = (grant.task, grant.execution, grant.fence);
    let carried = whole(carry_out(context, *grant, stop.clone(), node), stop).await;
    let carried = carried.unwrap_or_else(|why| {
        tracing::error!(%execution, %fence, why, "an attempt failed with an internal error");
        let lost = AttemptOutcome { status: AttemptStatus::Lost, unknown: true, ..failed(&why) };
        GrantOutcome::Ended(lost, None)
    });
    let mut last = vec![NodeMsg::Ended(execution, fence)];
    let unused = NodeMsg::NotStarted(OfFence { task, execution, fence });
    match carried {
        GrantOutcome::Over => {}
        GrantOutcome::Accepted(base_url) => {
            until_told(|| accepted(context, grant, base_url.clone())).await;
        }
        GrantOutcome::Ended(outcome, started_at) => {
            until_told(|| finish(context, grant, outcome.clone(), started_at)).await;
        }
        GrantOutcome::NotStarted if bug!("ended-by-execution") => last.insert(0, unused),
        GrantOutcome::NotStarted => last.push(unused),
    }
    for message in last {
        // A node actor that is gone ends this process.
        let _gone = node.send_message(message);
        context.life.interleave().await;
    }
}

/// Waits for the end of an attempt. An error says why there is none: it panicked, or its actor is
/// gone.
async fn whole<T>(
    attempt: impl Future<Output = T>,
    mut stop: watch::Receiver<Stop>,
) -> Result<T, String> {
    let abandoned = async move { while stop.changed().await.is_ok() {} };
    tokio::select! {
        biased;
        done = AssertUnwindSafe(attempt).catch_unwind() => done.map_err(|panic| told(&*panic)),
        () = abandoned => Err("internal error: its actor ended".to_owned()),
    }
}

/// Makes a report. One that panics is made again: without it, the attempt would be made again.
async fn until_told<F: Future<Output = ()>>(report: impl Fn() -> F) {
    while let Err(panic) = AssertUnwindSafe(report()).catch_unwind().await {
        tracing::error!(why = told(&*panic), "the report of an attempt failed; it is made again");
        tokio::time::sleep(REPORT_PAUSE).await;
    }
}

/// The message of a panic.
fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("internal error: {}", text.unwrap_or("a panic"))
}

/// The running execution whose newest grant is this one.
pub(super) fn current(
    context: &EngineContext,
    grant: &ExecutionGrant,
) -> Option<(Arc<Task>, Execution)> {
    let state = context.consensus.replica().read();
    let task = state.task(grant.task)?;
    let execution = task.history.execution(grant.execution)?;
    let attempt = execution.attempt.as_ref()?;
    let held = execution.status == record::Status::Running && attempt.fence == grant.fence;
    held.then(|| (Arc::clone(task), execution.clone()))
}

/// Whether a stop of the attempt was asked for, or another one has its place.
fn stop_is_asked(context: &EngineContext, grant: &ExecutionGrant) -> bool {
    current(context, grant).is_none_or(|(_, execution)| execution.stopping)
}

/// Whether a grant was not made use of. What its node gave up before its start is no failure of the
/// work: it is asked for again.
fn nothing_happened(outcome: &AttemptOutcome, stop_is_asked: impl FnOnce() -> bool) -> bool {
    match outcome.status {
        AttemptStatus::NotStarted => true,
        AttemptStatus::Cancelled => outcome.started.is_none() && !stop_is_asked(),
        _ => false,
    }
}

/// The outcome of a grant.
enum GrantOutcome {
    /// It was over before it was begun.
    Over,
    /// It was not begun in time.
    NotStarted,
    /// The executor at this base URL has accepted its attempt.
    Accepted(String),
    /// Its attempt ended so, and started then, if it did.
    Ended(AttemptOutcome, Option<Timestamp>),
}

async fn carry_out(
    context: &Arc<EngineContext>,
    grant: ExecutionGrant,
    stop: watch::Receiver<Stop>,
    node_actor: &ActorRef<NodeMsg>,
) -> GrantOutcome {
    let Some((task, execution)) = current(context, &grant) else { return GrantOutcome::Over };
    let spec = task.revision(execution.revision).or(task.definition()).map(|found| &found.spec);
    let Some(spec) = spec else { return GrantOutcome::Over };
    let executor = execution.attempt.as_ref().and_then(|attempt| attempt.executor.as_ref());
    let executor = executor.map(|executor| Arc::clone(&executor.id));
    let action = action_of(spec, executor.is_some());
    if !bug!("due-ignored") {
        wait_until(context, execution.attempt_due()).await;
    }
    let node = context.settings.info.name.clone();
    let mut attempt = attempt(&grant, node, spec, &execution);
    attempt.executor =
        executor.as_ref().and_then(|id| context.executor_target(id, grant.execution, grant.fence));
    let started_at = Arc::new(Mutex::new(None));
    let (started, begun) = oneshot::channel();
    let gate = gate(context, &grant, execution.tick.is_some());
    let control = AttemptControl { gate, stop, started };
    let (watched, seen) = (Arc::clone(context), Arc::clone(&started_at));
    // A further attempt is not late for its tick, nor is one of a backfill.
    let tick = execution.tick.filter(|_| attempt.attempt == 1 && execution.settled_tick());
    let about = (grant.task, tick, execution.attempt_due());
    context.spawn(async move {
        if begun.await.is_ok() {
            *seen.lock() = Some(observe(&watched, about));
        }
    });
    let outcome = run(context, &action, &attempt, control).await;
    if let Some(id) = executor.as_ref().filter(|_| told_by_executor(&outcome)) {
        // A node actor that is gone ends this process.
        let told = NodeMsg::Dispatched(Arc::clone(id), took(&outcome));
        let _gone = node_actor.send_message(told);
    }
    match (outcome.status, attempt.executor) {
        _ if nothing_happened(&outcome, || stop_is_asked(context, &grant)) => {
            return GrantOutcome::NotStarted;
        }
        (AttemptStatus::Accepted, Some(to)) => return GrantOutcome::Accepted(to.base_url),
        _ => {}
    }
    // The news of the start may still be on its way when a short attempt has ended.
    let noted = *started_at.lock();
    let started = noted.or_else(|| {
        let since = context.clock.boot().since(outcome.started?);
        Some(context.clock.now().minus(since))
    });
    GrantOutcome::Ended(outcome, started)
}

/// Carries an action out, and measures that.
async fn run(
    context: &EngineContext,
    action: &Action,
    attempt: &GrantedAttempt,
    control: AttemptControl,
) -> AttemptOutcome {
    let kind = match action {
        Action::Http(_) => "http",
        Action::Shell(_) => "shell",
        Action::Executor(_) => "executor",
        Action::Func { .. } => "func",
    };
    // An attempt that is given up counts no longer either.
    let running = context.metrics.executions_running.hold(kind);
    let outcome = context.exec.run(action, attempt, control).await;
    drop(running);
    if outcome.status != AttemptStatus::NotStarted {
        let took = Duration::from_millis(outcome.duration_ms);
        context.metrics.action_seconds.of(kind).observe(took.as_secs_f64());
    }
    outcome
}

/// A task without an action goes to the executor that was chosen, or calls the function of its name.
fn action_of(spec: &TaskSpec, executor: bool) -> Action {
    match &spec.action {
        Some(action) => action.clone(),
        None if executor => Action::Executor(ExecutorAction {
            balance: String::new(),
            names: Vec::new(),
            weights: BTreeMap::new(),
        }),
        None => Action::Func { id: spec.name.clone() },
    }
}

/// Whether an outcome says something of the executor: what was stopped or not begun does not.
fn told_by_executor(outcome: &AttemptOutcome) -> bool {
    !matches!(outcome.status, AttemptStatus::Cancelled | AttemptStatus::NotStarted)
}

/// Whether the executor took an attempt.
fn took(outcome: &AttemptOutcome) -> bool {
    outcome.status == AttemptStatus::Accepted
        || outcome.http_status.is_some_and(|status| (200..300).contains(&status))
}

/// The gate of a start: the applied state, read at the last moment.
fn gate(
    context: &Arc<EngineContext>,
    grant: &ExecutionGrant,
    tick: bool,
) -> crate::exec::StartGate {
    let context = Arc::clone(context);
    let grant = *grant;
    Arc::new(move || {
        if bug!("gate-ignored") {
            return true;
        }
        current(&context, &grant).is_some_and(|(task, execution)| {
            let deleted = task.live.deleted.is_some();
            let held = tick && task.inactive().is_some();
            !deleted && !held && !execution.stopping
        })
    })
}

async fn wait_until(context: &EngineContext, due: Timestamp) {
    loop {
        let wait = due.0.saturating_mul(1_000_000).saturating_sub(context.clock.nanos());
        match u64::try_from(wait) {
            Ok(wait) if wait > 0 => {
                // Cluster time may be set meanwhile.
                tokio::time::sleep(Duration::from_nanos(wait).min(NAP)).await;
            }
            Ok(_) | Err(_) => return,
        }
    }
}

fn attempt(
    grant: &ExecutionGrant,
    node: String,
    spec: &TaskSpec,
    execution: &Execution,
) -> GrantedAttempt {
    let name = &spec.name;
    GrantedAttempt {
        execution: execution.id,
        fence: grant.fence,
        attempt: execution.attempt.as_ref().map_or(1, |attempt| attempt.number),
        node,
        task: name.clone(),
        tick: execution.tick,
        parent: execution.parent().map(parent),
        idempotency_key: execution.idempotency_key(name),
        parameters: execution.parameters().map_or(&*spec.parameters, |own| &**own).to_owned(),
        payload: spec.payload.clone(),
        executor: None,
        timeout: spec.timeout,
        kill_grace: spec.kill_grace,
        start_by: grant.start_by,
    }
}

fn parent(parent: &ParentExecution) -> ParentOfAttempt {
    ParentOfAttempt {
        task: parent.task.to_string(),
        execution: parent.execution,
        status: parent.status.word(),
        exit_code: parent.exit_code,
        reason: parent.reason.clone(),
        tail: String::from_utf8_lossy(&parent.tail).into_owned(),
    }
}

/// Notes a start for the histogram and the observer.
fn observe(
    context: &EngineContext,
    (task, tick, due): (TaskKey, Option<Timestamp>, Timestamp),
) -> Timestamp {
    let at_nanos = context.clock.nanos();
    let late = at_nanos.saturating_sub(due.0.saturating_mul(1_000_000));
    let late = Duration::from_nanos(u64::try_from(late).unwrap_or(0));
    if tick.is_some() {
        context.metrics.tick_lateness_seconds.observe(late.as_secs_f64());
    }
    if let Some(observer) = &context.observer {
        observer(AttemptStart { task, tick, due, at_nanos });
    }
    Timestamp(at_nanos.div_euclid(1_000_000))
}

fn failed(detail: &str) -> AttemptOutcome {
    AttemptOutcome {
        status: AttemptStatus::Failed,
        unknown: false,
        detail: detail.to_owned(),
        exit_code: None,
        http_status: None,
        tail: Vec::new(),
        started: None,
        duration_ms: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_report_that_panics_is_made_again() {
        let made = Mutex::new(0);
        until_told(|| async {
            *made.lock() += 1;
            let made = *made.lock();
            assert!(made == 3, "for this test");
        })
        .await;
        assert_eq!(*made.lock(), 3);
    }

    #[test]
    fn what_its_node_gave_up_before_its_start_did_not_happen() {
        let of = |status, started| AttemptOutcome { status, started, ..failed("") };
        let (early, late) = (None, Some(BootInstant(7)));
        assert!(nothing_happened(&of(AttemptStatus::NotStarted, early), || true));
        assert!(nothing_happened(&of(AttemptStatus::Cancelled, early), || false));
        assert!(!nothing_happened(&of(AttemptStatus::Cancelled, early), || true), "it was asked");
        assert!(!nothing_happened(&of(AttemptStatus::Cancelled, late), || false), "it ran");
        assert!(!nothing_happened(&of(AttemptStatus::Failed, early), || false), "a known failure");
    }

    #[tokio::test]
    async fn an_attempt_that_panics_or_loses_its_actor_ends() {
        let (actor, stop) = watch::channel(Stop::No);
        assert_eq!(whole(async { 7 }, stop.clone()).await, Ok(7));
        let broken = whole(async { panic!("row {}", 3) }, stop.clone()).await;
        assert_eq!(broken, Err::<(), _>("internal error: row 3".to_owned()));
        let broken = whole(async { panic!("bare") }, stop.clone()).await;
        assert_eq!(broken, Err::<(), _>("internal error: bare".to_owned()));
        // Being asked to stop is no loss.
        actor.send_replace(Stop::Ask);
        let (attempt, ends) = oneshot::channel();
        let waits = tokio::spawn(whole(ends, stop.clone()));
        attempt.send(()).unwrap();
        assert_eq!(waits.await.unwrap(), Ok(Ok(())));
        let waits = tokio::spawn(whole(std::future::pending::<()>(), stop));
        drop(actor);
        assert_eq!(waits.await.unwrap(), Err("internal error: its actor ended".to_owned()));
    }
}
