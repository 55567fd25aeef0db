//! Executions, their grants, and the sessions that hold them.

use punctual::domain::machine::Answer;
use punctual::domain::machine::command::{OfExecution, Start};
use punctual::domain::machine::record::Status;

use super::executors;
use super::{
    AttemptCounts, AttemptPolicy, ReferenceModel, ReplayedExecution, ReplayedGrant, ReplayedTask,
};

impl ReferenceModel {
    /// The session must be live, and its node must be allowed to propose.
    pub(super) fn session(&mut self, property: &'static str, session: u64, what: &str) {
        self.judge(property);
        let node = self.sessions.get(&session).copied();
        let may = |node: u64| {
            self.working.contains(&node)
                && !self.leaving.contains(&node)
                && !self.drained.contains(&node)
        };
        if !node.is_some_and(may) {
            self.complain(property, format!("{what} of session {session} was accepted"));
        }
    }

    /// A new execution from a response.
    pub(super) fn execution(
        &mut self,
        key: u64,
        answer: &Answer,
        tick: Option<i64>,
        due: i64,
        session: Option<u64>,
        by_caller: bool,
    ) {
        let Answer::Execution { execution, fence, .. } = answer else { return };
        let new = ReplayedExecution {
            task: key,
            tick,
            due,
            by_caller,
            backfilled: false,
            granted: None,
            policy: self.tasks.get(&key).and_then(|task| task.spec.as_ref().map(AttemptPolicy::of)),
            attempts: AttemptCounts::default(),
            then: self
                .tasks
                .get(&key)
                .and_then(|task| Some(task.spec.as_ref()?.then.clone()))
                .unwrap_or_default(),
            depth: 0,
            by_executor: executors::needed(self.tasks.get(&key)),
            executor: None,
            accepted: false,
            lost_after: executors::lost_after(self.tasks.get(&key)),
            unknown: 0,
            stopping: false,
            was_next: false,
            ended: false,
        };
        self.told.retain(|(id, _)| *id != execution.0);
        self.executions.insert(execution.0, new);
        if let Some(task) = self.tasks.get_mut(&key) {
            task.live.insert(execution.0);
        }
        if let (Some(fence), Some(session)) = (fence, session) {
            self.grant(execution.0, fence.0, session, true);
            self.attempted(execution.0);
        }
    }

    /// Counts the first grant of an attempt.
    fn attempted(&mut self, id: u64) {
        if let Some(execution) = self.executions.get_mut(&id) {
            execution.attempts.made += 1;
        }
    }

    /// A new execution on request.
    pub(super) fn by_request(&mut self, key: u64, answer: &Answer, what: &str) {
        self.alive("tombstones stay", key, what);
        self.admit(key, false, None, what);
        self.execution(key, answer, None, self.stamp, None, false);
    }

    /// A retry of an ended execution, which keeps its depth in a chain.
    pub(super) fn retried(&mut self, of: &OfExecution, answer: &Answer) {
        self.by_request(of.task.0, answer, "a retry");
        let depth = self.executions.get(&of.execution.0).map_or(0, |one| one.depth);
        let Answer::Execution { execution, .. } = answer else { return };
        if let Some(one) = self.executions.get_mut(&execution.0) {
            one.depth = depth;
        }
    }

    pub(super) fn grant(&mut self, id: u64, fence: u64, session: u64, claimed: bool) {
        self.judge("fences");
        if self.grants.last_key_value().is_some_and(|(last, _)| *last >= fence) {
            self.complain("fences", format!("fence {fence} is not higher than the last one"));
        }
        let Some(execution) = self.executions.get_mut(&id) else { return };
        execution.granted = Some((fence, session));
        let due = execution.attempts.next_at.unwrap_or(execution.due);
        let task = self.tasks.get(&execution.task).map(|task| task.name.clone());
        let grant = ReplayedGrant {
            index: self.index,
            session,
            task: task.unwrap_or_default(),
            key: execution.task,
            claimed,
            execution: id,
            tick: execution.tick,
            due,
        };
        self.grants.insert(fence, grant);
    }

    /// A grant, of an attempt that this executor carries out, if there is one.
    pub(super) fn start(&mut self, start: Start, executor: Option<&str>, answer: &Answer) {
        self.session("sessions", start.session.0, "a start");
        let Answer::Execution { execution, fence: Some(fence), .. } = answer else { return };
        let id = execution.0;
        self.alive("no grant after delete or pause", start.task.0, "a grant");
        let Some(known) = self.executions.get(&id).cloned() else { return };
        let again = start.again.map(|fence| (fence.0, start.session.0));
        if known.ended || known.granted != again {
            let what = format!("execution {id} was granted, which was not to be had");
            self.complain("fences", what);
        }
        let task = self.tasks.get(&start.task.0);
        if known.stopping || task.is_some_and(|task| self.holds(task, &known)) {
            let what = format!("execution {id} was granted while its task was held");
            self.complain("no grant after delete or pause", what);
        }
        if again.is_none() {
            self.judge_turn(start.task.0, id);
            self.judge_attempt(id);
            self.attempted(id);
        }
        self.judge_executor(id, executor, again.is_some());
        self.grant(id, fence.0, start.session.0, false);
        if let Some(one) = self.executions.get_mut(&id) {
            one.executor = executor.map(str::to_owned);
        }
    }

    /// Whether an execution waits for its task or for the scheduler.
    pub(super) fn holds(&self, task: &ReplayedTask, execution: &ReplayedExecution) -> bool {
        let enabled = task.spec.as_ref().is_none_or(|spec| spec.enabled);
        let open = task.paused.is_none() && task.cancelled.is_none();
        let active = open && enabled && self.scheduler;
        execution.tick.is_some() && !active
    }

    /// A report with a fence, which must be the current one. Returns false otherwise.
    pub(super) fn fenced(&mut self, id: u64, fence: u64) -> bool {
        self.judge("fences");
        let Some(execution) = self.executions.get_mut(&id) else { return false };
        if execution.ended || execution.granted.map(|(current, _)| current) != Some(fence) {
            let what = format!("a report with fence {fence} of execution {id} was accepted");
            self.complain("fences", what);
            return false;
        }
        execution.granted = None;
        execution.accepted = false;
        true
    }

    /// A grant was not used. The execution waits again, unless it ends.
    pub(super) fn give_back(&mut self, id: u64, ends: bool) {
        if let Some(execution) = self.executions.get_mut(&id) {
            execution.attempts.made = execution.attempts.made.saturating_sub(1);
        }
        if ends {
            self.end_where_id(id);
        }
    }

    /// A grant was returned. The execution ends if its task is marked deleted, if it is a tick's
    /// and the task is cancelled, or if it was asked to stop.
    pub(super) fn given_back(&mut self, key: u64, id: u64, fence: u64) {
        let task = self.tasks.get(&key);
        let deleted = task.is_some_and(|task| task.deleted);
        let cancelled = task.is_some_and(|task| task.cancelled.is_some());
        let one = self.executions.get(&id);
        let stops = one.is_some_and(|one| one.stopping);
        let cancelled = cancelled && one.is_some_and(|one| one.tick.is_some());
        if self.fenced(id, fence) {
            self.give_back(id, deleted || cancelled || stops);
        }
        if cancelled {
            self.ran.clear();
        }
    }

    /// An execution ends that nothing will execute any more.
    pub(super) fn end_where_id(&mut self, id: u64) {
        self.end_as(id, Status::Cancelled);
    }

    pub(super) fn end_as(&mut self, id: u64, status: Status) {
        self.note_chains(id, status);
        let Some(execution) = self.executions.get_mut(&id) else { return };
        execution.ended = true;
        self.ends.push((self.index, id));
        *self.ended_as.entry(status).or_insert(0) += 1;
        if let Some(task) = self.tasks.get_mut(&execution.task) {
            task.live.remove(&id);
            *task.ends.entry(status).or_insert(0) += 1;
            if execution.tick.is_some() && !execution.backfilled {
                self.ran.insert(execution.task, task.incarnation);
            }
        }
    }

    pub(super) fn end_where(&mut self, which: impl Fn(&ReplayedExecution) -> bool) {
        let live = self.executions.iter().filter(|(_, found)| !found.ended && which(found));
        let ids: Vec<u64> = live.map(|(id, _)| *id).collect();
        for id in ids {
            self.end_where_id(id);
        }
    }

    /// A process registers. The session of its predecessor ends, including the executions granted
    /// to it.
    pub(super) fn node_up(&mut self, node: u64, session: u64) {
        if self.sessions.get(&session) == Some(&node) {
            return;
        }
        let former: Vec<u64> =
            self.sessions.iter().filter(|(_, of)| **of == node).map(|(id, _)| *id).collect();
        for gone in former {
            self.sessions.remove(&gone);
            let accepted = |one: &&ReplayedExecution| one.accepted && one.held_by(gone);
            let accepted = self.executions.values().filter(accepted).count();
            (0..accepted).for_each(|_| self.judge(executors::OUTLIVE));
            let held = |one: &ReplayedExecution| !one.accepted && one.held_by(gone);
            let held = self.executions.iter().filter(|(_, one)| !one.ended && held(one));
            // Sorted by task in table order: the lower half of a key is the position in the table.
            let mut held: Vec<(u64, u64)> =
                held.map(|(id, one)| (one.task & 0xFFFF_FFFF, *id)).collect();
            held.sort_unstable();
            for (_, id) in held {
                if let Some(execution) = self.executions.get_mut(&id) {
                    execution.granted = None;
                }
                self.end_attempt(id, Status::Lost, true);
            }
        }
        self.sessions.insert(session, node);
        self.working.remove(&node);
        self.leaving.remove(&node);
    }
}
