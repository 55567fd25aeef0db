//! The log lines about the cluster. Every node logs changes of nodes and of the scheduler. The node
//! that ran an attempt logs its failure, and that it is attempted again; the leader logs lost ones. A node without an
//! answering leader logs that. [`task_control`](super::task_control) logs tasks that a node takes
//! over.
//!
//! Entries that were applied before this process registered are not logged.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use crate::clock::BootInstant;
use crate::domain::ids::{ExecutionId, NodeId, TaskKey};
use crate::domain::machine::record::{Execution, Intent, Liveness, NodeRecord, Status};
use crate::domain::machine::{Hint, State};
use crate::domain::spec;
use crate::domain::task::Strategy;
use crate::telemetry::bursts::Bursts;
use crate::telemetry::line::one_line;

use super::context::EngineContext;
use super::limits::{SILENCE, SILENCE_AGAIN};

/// The lines already logged, as far as later lines depend on them.
#[derive(Default)]
pub(super) struct OperatorLog {
    nodes: BTreeMap<NodeId, NodeRecord>,
    /// Whether the scheduler is started; none: there is no cluster yet.
    scheduler: Option<bool>,
    strategy: Strategy,
    ended: Bursts<(TaskKey, Status)>,
    again: Bursts<TaskKey>,
    /// When the lack of an answering leader was last logged.
    silent: Option<BootInstant>,
}

impl OperatorLog {
    /// Begins with the state as it is.
    pub fn begin(&mut self, context: &EngineContext) {
        let state = context.consensus.replica().read();
        self.nodes = state.nodes().map(|node| (node.id, NodeRecord::clone(node))).collect();
        let cluster = state.cluster();
        self.scheduler = (cluster.id != 0).then_some(cluster.scheduler);
        self.strategy = cluster.strategy;
    }

    /// Logs the hints that matter to operators.
    pub fn tell(&mut self, context: &EngineContext, hints: &[Hint]) {
        if context.session().is_none() {
            return;
        }
        for hint in hints {
            match *hint {
                Hint::Node(id) => self.node(&context.consensus.replica().read(), id),
                Hint::Scheduler | Hint::Strategy => {
                    self.scheduler(&context.consensus.replica().read())
                }
                Hint::Ended(task, execution, status) => {
                    self.ended(context, task, execution, status);
                }
                Hint::AttemptEnded(task, execution) => self.attempt(context, task, execution),
                _ => {}
            }
        }
    }

    fn node(&mut self, state: &State, id: NodeId) {
        let now = state.node(id);
        let before = match now {
            Some(now) => self.nodes.insert(id, NodeRecord::clone(now)),
            None => self.nodes.remove(&id),
        };
        for (grave, line) in changes(before.as_ref(), now.map(|now| &**now)) {
            if grave { tracing::warn!("{line}") } else { tracing::info!("{line}") }
        }
    }

    fn scheduler(&mut self, state: &State) {
        let on = state.cluster().scheduler;
        if self.scheduler.replace(on).is_some_and(|before| before != on) {
            let what = if on { "ticks fire again" } else { "no tick fires until it is started" };
            tracing::info!("the scheduler is {}: {what}", if on { "started" } else { "stopped" });
        }
        let strategy = state.cluster().strategy;
        if std::mem::replace(&mut self.strategy, strategy) != strategy {
            let word = spec::strategy_word(strategy);
            tracing::info!("tasks are given to nodes by {word} from now on");
        }
    }

    /// Logs the end of an attempt that is followed by another one.
    fn attempt(&mut self, context: &EngineContext, key: TaskKey, id: ExecutionId) {
        let state = context.consensus.replica().read();
        let Some(task) = state.task(key) else { return };
        let Some(execution) = task.history.execution(id) else { return };
        let Some(attempt) = &execution.attempt else { return };
        let Some(report) = &attempt.report else { return };
        let here = match report.status {
            Status::Lost => context.consensus.is_leader(),
            _ => attempt.node == NodeId(context.consensus.id()),
        };
        if here && self.again.admit(key, context.clock.boot().0) {
            let (task, due) = (&*task.live.name, execution.attempt_due());
            let what = format!("attempt {}", attempt.number);
            let how = how(&state, execution, report.status, &what);
            tracing::warn!(task, execution = id.0, "{how}; the next one may start at {due}");
        }
    }

    fn ended(&mut self, context: &EngineContext, key: TaskKey, id: ExecutionId, status: Status) {
        let state = context.consensus.replica().read();
        let Some(task) = state.task(key) else { return };
        let Some(execution) = task.history.execution(id) else { return };
        let own = NodeId(context.consensus.id());
        let here = match status {
            Status::Failed | Status::Timeout => {
                execution.attempt.as_ref().is_some_and(|attempt| attempt.node == own)
            }
            Status::Lost => context.consensus.is_leader(),
            Status::Pending | Status::Running | Status::Success | Status::Cancelled => false,
        };
        if here && self.ended.admit((key, status), context.clock.boot().0) {
            let task = &*task.live.name;
            tracing::warn!(
                task,
                execution = id.0,
                "{}",
                how(&state, execution, status, "the execution")
            );
        }
    }

    /// Logs counted events, and whether a leader answers.
    pub fn tick(&mut self, context: &EngineContext) {
        let now = context.clock.boot();
        let counted = self.ended.due(now.0);
        for ((key, status), more) in counted.kinds {
            let state = context.consensus.replica().read();
            let Some(task) = state.task(key) else { continue };
            let (task, status) = (&*task.live.name, status.word());
            tracing::warn!(task, "{more} more executions ended as {status} in the last minute");
        }
        if counted.others > 0 {
            let others = counted.others;
            tracing::warn!("{others} executions of other tasks failed, timed out or were lost");
        }
        let counted = self.again.due(now.0);
        for (key, more) in counted.kinds {
            let state = context.consensus.replica().read();
            let Some(task) = state.task(key) else { continue };
            let task = &*task.live.name;
            tracing::warn!(
                task,
                "{more} more attempts were followed by another one in the last minute"
            );
        }
        if counted.others > 0 {
            let others = counted.others;
            tracing::warn!("{others} attempts of other tasks were followed by another one");
        }
        self.silence(context, now);
    }

    fn silence(&mut self, context: &EngineContext, now: BootInstant) {
        let since = BootInstant(context.acknowledged.load(Ordering::Relaxed));
        let silence = now.since(since);
        let led = context.consensus.leader().borrow().is_some() && silence < SILENCE;
        context.metrics.raft_has_leader.set(i64::from(led));
        if silence < SILENCE {
            if self.silent.take().is_some() {
                tracing::info!("a leader answers again");
            }
        } else if self.silent.is_none_or(|said| now.since(said) >= SILENCE_AGAIN) {
            self.silent = Some(now);
            let seconds = silence.0 / 1_000;
            tracing::warn!(
                "no leader has answered for {seconds} s: this node is cut off, or no majority of \
                 the members works; it decides no tick until then"
            );
        }
    }
}

/// How an execution or its newest attempt ended badly.
fn how(state: &State, execution: &Execution, status: Status, what: &str) -> String {
    let attempt = execution.attempt.as_ref();
    let report = attempt.and_then(|attempt| attempt.report.as_ref());
    let detail = report.map_or("", |report| &report.detail);
    let why = match report.and_then(|report| report.exit_code) {
        Some(code) if detail.is_empty() => format!("exit code {code}"),
        _ => one_line(detail),
    };
    let at = attempt.and_then(|attempt| state.node(attempt.node));
    let on = at.map_or(String::new(), |node| format!(" on {}", node.info.name));
    match status {
        Status::Timeout => format!("{what}{on} timed out: {why}"),
        Status::Lost => format!("{what}{on} is lost: {why}"),
        Status::Cancelled => format!("{what}{on} was interrupted: {why}"),
        _ => format!("{what}{on} failed: {why}"),
    }
}

/// The new state of a node, and whether it needs attention.
fn changes(before: Option<&NodeRecord>, now: Option<&NodeRecord>) -> Vec<(bool, String)> {
    let Some(now) = now else {
        let gone = before.map(|node| (false, format!("{} is no member any more", node.info.name)));
        return gone.into_iter().collect();
    };
    let name = &now.info.name;
    let restarted = before.is_none_or(|before| before.session != now.session);
    let mut lines = Vec::new();
    if restarted {
        lines.push((false, format!("{name} has started")));
    } else if before.is_some_and(|before| before.intent != now.intent) {
        let what = match now.intent {
            Intent::None => "takes tasks again",
            Intent::Draining => "is drained: its tasks go to other nodes",
            Intent::Leaving => "is stopping: its tasks go to other nodes",
            Intent::Removing => "is being removed: its tasks go to other nodes",
        };
        lines.push((false, format!("{name} {what}")));
    }
    if before.is_none_or(|before| before.liveness != now.liveness) {
        match now.liveness {
            Liveness::Starting => {}
            Liveness::Working => lines.push((false, format!("{name} is up"))),
            Liveness::Down if now.intent == Intent::Leaving => {
                lines.push((false, format!("{name} has stopped")));
            }
            Liveness::Down if now.intent != Intent::None => {
                lines.push((false, format!("{name} is down, and owned no tasks")));
            }
            Liveness::Down => {
                lines.push((true, format!("{name} is down: its tasks go to other nodes")));
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::super::judge::sample_node;
    use super::*;

    #[test]
    fn a_node_is_told_of_when_it_changes() {
        let node = |session, liveness, intent| {
            let mut node = sample_node(session, liveness);
            node.intent = intent;
            node
        };
        let working = node(7, Liveness::Working, Intent::None);
        let down = node(7, Liveness::Down, Intent::None);
        let leaving = node(7, Liveness::Working, Intent::Leaving);
        let left = node(7, Liveness::Down, Intent::Leaving);
        let drained = node(7, Liveness::Working, Intent::Draining);
        let off = node(7, Liveness::Down, Intent::Draining);
        let again = node(8, Liveness::Starting, Intent::None);
        let told = |before: Option<&NodeRecord>, now: Option<&NodeRecord>| {
            let lines = changes(before, now).into_iter();
            lines.map(|(grave, line)| format!("{}{line}", if grave { "!" } else { "" })).collect()
        };
        let cases: [(Option<&NodeRecord>, Option<&NodeRecord>, &[&str]); 10] = [
            (None, Some(&again), &["n1 has started"]),
            (Some(&again), Some(&again), &[]),
            (Some(&working), Some(&down), &["!n1 is down: its tasks go to other nodes"]),
            (Some(&down), Some(&working), &["n1 is up"]),
            (Some(&down), Some(&again), &["n1 has started"]),
            (Some(&working), Some(&leaving), &["n1 is stopping: its tasks go to other nodes"]),
            (Some(&leaving), Some(&left), &["n1 has stopped"]),
            (Some(&left), Some(&again), &["n1 has started"]),
            (Some(&drained), Some(&off), &["n1 is down, and owned no tasks"]),
            (Some(&down), None, &["n1 is no member any more"]),
        ];
        for (before, now, lines) in cases {
            let found: Vec<String> = told(before, now);
            assert_eq!(found, lines, "{before:?} {now:?}");
        }
    }
}
