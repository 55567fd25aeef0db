//! What answers show of what the state holds.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::ids::{ExecutionId, NodeId};
use crate::domain::machine::record::{
    AUTOMATIC_LABELS, Attempt, ChainedTask, Code, Execution, ExecutionEnd, FiredTick, NodeRecord,
    ParentExecution, Pause, Status, TaskSource, Totals,
};
use crate::domain::machine::{LineKey, State, Task, WaitingExecution};
use crate::domain::schedule::{self, Warning};
use crate::domain::spec;
use crate::domain::task::TaskSpec;
use crate::domain::time::Timestamp;
use crate::domain::warning_code::WarningCode;
use crate::dto::{
    AttemptView, ChainedView, EndedView, ExecutionView, ExecutorWait, FiredView, LastExecution,
    LiveCounts, MemberView, NodeOverridesView, NodeView, ParentView, PauseView, Rfc3339,
    SourceView, TaskBody, TaskHead, TaskView, TotalsView, WarningView,
};
use crate::engine::LastHeard;

use super::context::StateView;
use super::queue::QueuePositions;
use super::{eligibility, executors, files, plans, queue, words};

/// A task.
pub(crate) fn task(view: &StateView, task: &Task) -> TaskView {
    let live = &task.live;
    let definition = match task.spec() {
        Some(spec) => TaskHead::Defined(Box::new(TaskBody::from(spec))),
        None => TaskHead::Named { name: live.name.to_string() },
    };
    let present = task.spec().filter(|_| live.deleted.is_none());
    let owner = present.and_then(|_| view.members.owner(task));
    TaskView {
        definition,
        id: live.name.to_string(),
        revision: live.revision.0,
        incarnation: live.incarnation.0,
        origin: executors::origin(&view.state, task).into(),
        source: view.state.source(task).map(|source| source_view(task, source)),
        state: words::task_state(task).into(),
        paused: live.paused.as_ref().map(pause),
        owner: owner.map(|owner| node_name(&view.state, owner)),
        cursor: Rfc3339(view.state.settled(task)),
        next_tick: plans::next_tick(view, task).map(Rfc3339),
        last_execution: task.history.executions.back().map(last_execution),
        last_ended: last_ended(task).map(last_execution),
        live: LiveCounts {
            running: task.progress.live.saturating_sub(task.waiting()),
            waiting: task.waiting(),
        },
        waits_for_executor: executor_wait(view, task),
        totals: totals(&task.progress.totals),
        created_at: Rfc3339(live.created_at),
        updated_at: Rfc3339(live.updated_at),
        warnings: present.map(|spec| warnings(&view.state, spec)).unwrap_or_default(),
    }
}

fn source_view(task: &Task, source: &TaskSource) -> SourceView {
    SourceView {
        hash: (source.hash != 0).then(|| files::hex(source.hash)),
        drifted: task.live.definition != Some(source.definition),
    }
}

/// Whether a task came from files and somebody else changed it since.
pub(crate) fn drifted(state: &State, task: &Task) -> bool {
    state.source(task).is_some_and(|source| task.live.definition != Some(source.definition))
}

/// What is worth knowing of a definition that is valid.
pub(crate) fn warnings(state: &State, spec: &TaskSpec) -> Vec<WarningView> {
    let told = schedule::warnings(&spec.schedule);
    let others = [
        eligibility::warning(state, spec),
        queue::warning(state, spec),
        chain_warning(state, spec),
        spec::shared_variables(spec),
        executors::warning(state, spec),
    ];
    told.iter().chain(others.iter().flatten()).map(warning).collect()
}

/// Whether the end of an execution is to start tasks that are not there.
fn chain_warning(state: &State, spec: &TaskSpec) -> Option<Warning> {
    let there = |name: &str| state.named(name).is_some_and(|task| task.live.deleted.is_none());
    let missing = spec.then.names().filter(|(_, name)| *name != spec.name && !there(name));
    let missing: Vec<String> =
        missing.map(|(condition, name)| format!("{name} on {}", condition.word())).collect();
    let detail = format!("`then` starts tasks that are not there: {}", missing.join(", "));
    (!missing.is_empty()).then_some(Warning { code: WarningCode::ChainedTaskMissing, detail })
}

/// A warning as answers carry it.
pub(crate) fn warning(warning: &Warning) -> WarningView {
    WarningView { code: warning.code.name().into(), detail: warning.detail.clone() }
}

/// A pause.
pub(crate) fn pause(pause: &Pause) -> PauseView {
    PauseView { reason: pause.reason.clone(), until: pause.until.map(Rfc3339) }
}

/// Counts of verdicts and ends.
pub(crate) fn totals(totals: &Totals) -> TotalsView {
    TotalsView {
        fired: totals.fired,
        skipped: totals.skipped,
        missed: totals.missed,
        coalesced: totals.coalesced,
        uncounted_spans: totals.uncounted_spans,
        success: totals.success,
        failed: totals.failed,
        timeout: totals.timeout,
        cancelled: totals.cancelled,
        lost: totals.lost,
    }
}

/// The oldest execution that may start, and for which no executor is there.
pub(crate) fn executor_wait(view: &StateView, task: &Task) -> Option<ExecutorWait> {
    let state = &view.state;
    if task.waiting() == 0 {
        return None;
    }
    let ticks_are_held = task.inactive().is_some() || !state.cluster().scheduler;
    let taken = |execution: &Execution| {
        let executors = state.executors_of(task, execution.revision);
        executors.iter().any(|one| one.takes(state.in_flight(&one.info.id)))
    };
    let pending = task.history.executions.iter().filter(|one| one.status == Status::Pending);
    let free = pending.filter(|one| one.tick.is_none() || !ticks_are_held);
    let due = free.filter(|one| one.attempt_due() <= view.now);
    let without = due.filter(|one| state.needs_executor(task, one.revision) && !taken(one));
    let mut without = without.peekable();
    without.peek()?;
    // Its turn has come in each line of its task.
    let lines = task.lines();
    let next = |key: &LineKey| view.members.next_in_line(state, key, view.now);
    let next: Vec<Vec<WaitingExecution>> = lines.iter().map(|(key, _)| next(key)).collect();
    let may_start = |execution: &Execution| {
        let one = task.waiting_execution(execution);
        next.iter().all(|line| line.binary_search(&one).is_ok())
    };
    let execution = without.find(|one| may_start(one))?;
    let detail = executors::waits_for(state, task, execution)?.en;
    let (execution_id, since) = (execution.id.to_string(), Rfc3339(execution.attempt_due()));
    Some(ExecutorWait { execution_id, since, detail })
}

/// How a node is called.
pub(crate) fn node_name(state: &State, id: NodeId) -> String {
    match state.node(id) {
        Some(node) => node.info.name.clone(),
        None => format!("n{}", id.configured()),
    }
}

/// A tick that fired: its execution, and how that ended, which is told as long as the tick is kept.
pub(crate) fn fired(state: &State, fired: &FiredTick) -> FiredView {
    FiredView {
        tick: Rfc3339(fired.tick),
        verdict: "fired".into(),
        execution_id: fired.execution.to_string(),
        execution_kept: state.execution(fired.execution).is_some(),
        ended: fired.ended.as_ref().map(|ended| end_of(state, ended)),
        index: fired.index,
    }
}

fn end_of(state: &State, ended: &ExecutionEnd) -> EndedView {
    let (exit_code, http_status) = match ended.code {
        Code::None => (None, None),
        Code::Exit(code) => (Some(code), None),
        Code::Http(status) => (None, Some(status)),
    };
    EndedView {
        status: words::status(ended.status).into(),
        exit_code,
        http_status,
        node: ended.node().map(|node| node_name(state, node)),
        reason: ended.reason.as_ref().map(ToString::to_string),
    }
}

/// The kept execution that ended last. Newer executions may be live.
fn last_ended(task: &Task) -> Option<&Execution> {
    let ended = task.history.executions.iter().filter(|one| one.status.ended());
    ended.max_by_key(|one| (one.ended_at, one.id))
}

fn last_execution(execution: &Execution) -> LastExecution {
    LastExecution {
        id: execution.id.to_string(),
        tick: execution.tick.map(Rfc3339),
        due: Rfc3339(execution.due),
        attempt_due: (execution.attempt_due() != execution.due)
            .then(|| Rfc3339(execution.attempt_due())),
        status: words::status(execution.status).into(),
        lateness_ms: execution.lateness_ms(),
        duration_ms: execution.duration().map(|lasted| lasted.0),
    }
}

/// All attempts, oldest first.
pub(crate) fn attempts(execution: &Execution) -> impl Iterator<Item = &Attempt> {
    execution.attempts()
}

/// When the first attempt started, or, of a running one that nobody has reported yet, will have.
pub(crate) fn start_time(execution: &Execution) -> Option<Timestamp> {
    let newest = execution.attempt.as_ref();
    let presumed = || newest.and_then(|attempt| presumed_start(execution, attempt));
    execution.started_at().or_else(presumed)
}

/// When an attempt of which no node reported a start is taken to have started: when it was granted
/// and due. `None` if it is known not to have started.
fn presumed_start(execution: &Execution, attempt: &Attempt) -> Option<Timestamp> {
    let newest = execution.attempt.as_ref().is_some_and(|newest| newest.fence == attempt.fence);
    let runs = newest && execution.status == Status::Running;
    let accepted = attempt.accepted_at().is_some();
    let unknown = attempt.report.as_ref().is_some_and(|report| report.unknown);
    // Of one that waits again, the time is that of the attempt to come.
    let own = newest && execution.status != Status::Pending;
    let due = if own { execution.attempt_due() } else { execution.due };
    let start = (runs || accepted || unknown).then(|| attempt.granted_at.max(due));
    start.filter(|at| attempt.report.as_ref().is_none_or(|report| *at <= report.ended_at))
}

/// An execution.
pub(crate) fn execution(state: &State, task: &Task, execution: &Execution) -> ExecutionView {
    queued(&mut QueuePositions::new(state), task, execution)
}

/// An execution in a list.
pub(crate) fn queued(
    queues: &mut QueuePositions<'_>,
    task: &Task,
    execution: &Execution,
) -> ExecutionView {
    let state = queues.state();
    let name = &*task.live.name;
    let newest = execution.attempt.as_ref();
    let report = newest.and_then(|attempt| attempt.report.as_ref());
    ExecutionView {
        id: execution.id.to_string(),
        task: name.to_owned(),
        task_id: name.to_owned(),
        revision: execution.revision.0,
        incarnation: execution.incarnation.0,
        tick: execution.tick.map(Rfc3339),
        due: Rfc3339(execution.due),
        next_attempt_at: execution.next_attempt_at().map(Rfc3339),
        trigger: words::trigger(execution.trigger).into(),
        retry_of: execution.retry_of().map(|id| id.to_string()),
        parent: execution.parent().map(parent),
        reason: execution.reason().map(str::to_owned),
        chained: execution.chained().map(chained).collect(),
        dismissed: execution.dismissed(),
        status: words::status(execution.status).into(),
        stopping: execution.stopping,
        queue: queues.of(task, execution),
        node: newest.map(|attempt| node_name(state, attempt.node)),
        executor_id: newest.and_then(executor_of).map(str::to_owned),
        fence: newest.map(|attempt| attempt.fence.0),
        attempt: newest.map_or(0, |attempt| attempt.number),
        attempts: attempts(execution).map(|one| attempt(state, execution, one)).collect(),
        scheduled_time: Rfc3339(execution.tick.unwrap_or(execution.created_at)),
        start_time: start_time(execution).map(Rfc3339),
        end_time: execution.ended_at.map(Rfc3339),
        lateness_ms: execution.lateness_ms(),
        duration_ms: execution.duration().map(|lasted| lasted.0),
        exit_code: report.and_then(|report| report.exit_code),
        http_status: report.and_then(|report| report.http_status),
        output_tail: report.map(|report| String::from_utf8_lossy(&report.tail).into_owned()),
        parameters: parameters(task, execution),
        idempotency_key: execution.idempotency_key(name),
        index: execution.index,
    }
}

fn parent(parent: &ParentExecution) -> ParentView {
    ParentView {
        task: parent.task.to_string(),
        execution_id: parent.execution.to_string(),
        status: words::status(parent.status).into(),
        exit_code: parent.exit_code,
        http_status: parent.http_status,
        reason: parent.reason.clone(),
        depth: parent.depth,
    }
}

fn chained(chained: &ChainedTask) -> ChainedView {
    ChainedView {
        on: chained.condition.word().into(),
        task: chained.task.to_string(),
        execution_id: chained.outcome.ok().map(|id| id.to_string()),
        refused: chained.outcome.err().map(|why| why.word().into()),
    }
}

fn attempt(state: &State, execution: &Execution, attempt: &Attempt) -> AttemptView {
    let report = attempt.report.as_ref();
    let presumed = presumed_start(execution, attempt);
    AttemptView {
        attempt: attempt.number,
        fence: attempt.fence.0,
        node: node_name(state, attempt.node),
        executor_id: executor_of(attempt).map(str::to_owned),
        started_at: report.and_then(|report| report.started_at).or(presumed).map(Rfc3339),
        ended_at: report.map(|report| Rfc3339(report.ended_at)),
        outcome: report.map(|report| words::status(report.status).into()),
        unknown: report.is_some_and(|report| report.unknown),
        detail: report.map(|report| report.detail.clone()),
    }
}

/// The id of the executor that an attempt was given to.
pub(crate) fn executor_of(attempt: &Attempt) -> Option<&str> {
    attempt.executor.as_ref().map(|executor| &*executor.id)
}

fn parameters(task: &Task, execution: &Execution) -> Value {
    let own = || task.revision(execution.revision).map(|kept| kept.spec.parameters.as_str());
    let text = execution.parameters().map(|own| &**own).or_else(own);
    text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or(Value::Null)
}

/// The executions of a task that run, newest first.
pub(crate) fn running(state: &State, task: &Task) -> Vec<ExecutionView> {
    let running = task.live_executions().filter(|one| one.status == Status::Running);
    let mut running: Vec<_> = running.map(|one| execution(state, task, one)).collect();
    running.reverse();
    running
}

/// These executions, as far as they are kept.
pub(crate) fn executions(state: &State, ids: &[ExecutionId]) -> Vec<ExecutionView> {
    let mut queues = QueuePositions::new(state);
    let found = ids.iter().filter_map(|id| state.execution(*id));
    found.map(|(task, one)| queued(&mut queues, task, one)).collect()
}

/// What is known of nodes beyond their records.
pub(crate) struct NodesSeen {
    /// Raft id of the leader.
    pub leader: Option<u64>,
    /// Raft ids of the voters.
    pub voters: Vec<u64>,
    /// Term.
    pub term: u64,
    /// What the leader last heard of each node; empty if no leader tells.
    pub heard: BTreeMap<u64, LastHeard>,
    /// Milliseconds that the wall clocks of nodes are ahead of cluster time, by configured id.
    pub skews: BTreeMap<u64, i64>,
    /// How many tasks each node owns.
    pub owned: BTreeMap<NodeId, u64>,
    /// How many tasks there are; names of deleted ones are none.
    pub tasks: u64,
    /// How many executions run on each node.
    pub running: BTreeMap<NodeId, u64>,
}

impl NodesSeen {
    /// What a node has applied, as far as this one knows.
    fn applied(&self, view: &StateView, node: NodeId) -> Option<u64> {
        if node == view.own {
            return Some(view.state.cluster().applied);
        }
        self.heard.get(&node.0)?.applied
    }
}

/// A node.
pub(crate) fn node(view: &StateView, seen: &NodesSeen, node: &NodeRecord) -> NodeView {
    let own = node.id == view.own;
    let info = &node.info;
    let heard = seen.heard.get(&node.id.0).map(|last| view.now.minus(last.ago));
    NodeView {
        id: node.id.configured().to_string(),
        name: info.name.clone(),
        hostname: info.hostname.clone(),
        pid: info.pid,
        state: words::liveness(node.liveness).into(),
        intent: words::intent(node.intent).into(),
        role: role(seen, node.id).into(),
        http: info.http.clone(),
        peer: info.peer.clone(),
        version: info.version.clone(),
        weight: node.weight(),
        labels: node.labels(),
        automatic_labels: automatic_labels(node),
        slots: node.slots(),
        overrides: NodeOverridesView {
            weight: node.overrides.weight,
            slots: node.overrides.slots,
            labels: node.overrides.labels.clone(),
        },
        functions: info.functions.clone(),
        shell: info.shell,
        term: own.then_some(seen.term),
        applied_index: seen.applied(view, node.id),
        digest: own.then(|| digest(&view.state)),
        clock_skew_ms: seen.skews.get(&node.id.configured()).copied(),
        created_at: Rfc3339(node.created_at),
        started_at: Rfc3339(node.started_at),
        last_seen: if own { Some(view.now) } else { heard }.map(Rfc3339),
        tasks_owned: seen.owned.get(&node.id).copied().unwrap_or(0),
        running: seen.running.get(&node.id).copied().unwrap_or(0),
    }
}

fn automatic_labels(node: &NodeRecord) -> BTreeMap<String, String> {
    let label = |key: &&str| Some(((*key).to_owned(), node.automatic_label(key)?.to_owned()));
    AUTOMATIC_LABELS.iter().filter_map(label).collect()
}

/// A node in one line.
pub(crate) fn member(view: &StateView, seen: &NodesSeen, node: &NodeRecord) -> MemberView {
    MemberView {
        id: node.id.configured().to_string(),
        name: node.info.name.clone(),
        role: role(seen, node.id).into(),
        state: words::liveness(node.liveness).into(),
        intent: words::intent(node.intent).into(),
        http: node.info.http.clone(),
        peer: node.info.peer.clone(),
        version: node.info.version.clone(),
        level: node.info.level,
        applied_index: seen.applied(view, node.id),
    }
}

/// The role of a node in Raft.
pub(crate) fn role(seen: &NodesSeen, id: NodeId) -> &'static str {
    if seen.leader == Some(id.0) {
        "leader"
    } else if seen.voters.contains(&id.0) {
        "follower"
    } else {
        "learner"
    }
}

/// The digest of a state, as people compare it.
pub(crate) fn digest(state: &State) -> String {
    format!("{:032x}", state.digest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ExecutionId, Fence, NodeId, Revision, SessionId};
    use crate::domain::machine::record::{More, Report, Trigger};

    fn granted(number: u32, granted_at: i64) -> Attempt {
        let (fence, node, session) = (Fence(number.into()), NodeId(1), SessionId(1));
        let granted_at = Timestamp(granted_at);
        Attempt { number, fence, node, session, granted_at, report: None, executor: None }
    }

    #[test]
    fn an_attempt_that_another_one_follows_started_when_it_was_granted_itself() {
        let report = Report::unreported(Status::Lost, Timestamp(5_000), "lost");
        let lost = Attempt { report: Some(Box::new(report)), ..granted(1, 1_000) };
        let more = More { next_at: Some(Timestamp(60_000)), ..More::default() };
        let mut execution = Execution {
            id: ExecutionId(1),
            incarnation: Revision(1),
            revision: Revision(1),
            tick: None,
            due: Timestamp(500),
            created_at: Timestamp(500),
            trigger: Trigger::Manual,
            status: Status::Pending,
            stopping: false,
            attempt: Some(lost.clone()),
            ended_at: None,
            index: 1,
            more: Some(Box::new(more)),
        };
        assert_eq!(presumed_start(&execution, &lost), Some(Timestamp(1_000)), "it waits again");
        assert_eq!(start_time(&execution), Some(Timestamp(1_000)));

        // The next one was granted shortly before it was due.
        let next = granted(2, 59_990);
        execution.status = Status::Running;
        execution.attempt = Some(next.clone());
        assert_eq!(presumed_start(&execution, &next), Some(Timestamp(60_000)));
        assert_eq!(presumed_start(&execution, &lost), Some(Timestamp(1_000)), "of the first one");
    }
}
