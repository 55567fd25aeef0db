//! Executions, their grants and the sessions that hold them.

use punctual::domain::machine::Answer;
use punctual::domain::machine::command::Start;

use super::{ReferenceModel, ReplayedExecution, ReplayedGrant, ReplayedTask};

impl ReferenceModel {
    /// A session must be live, and its node allowed to propose.
    pub(super) fn session(&mut self, property: &'static str, session: u64, what: &str) {
        self.judge(property);
        let node = self.sessions.get(&session).copied();
        let may = |node: u64| self.working.contains(&node) && !self.leaving.contains(&node);
        if !node.is_some_and(may) {
            self.complain(property, format!("{what} of session {session} was accepted"));
        }
    }

    /// A new execution, as the answer tells it.
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
            granted: None,
            stopping: false,
            was_next: false,
            ended: false,
        };
        self.executions.insert(execution.0, new);
        if let Some(task) = self.tasks.get_mut(&key) {
            task.live.insert(execution.0);
        }
        if let (Some(fence), Some(session)) = (fence, session) {
            self.grant(execution.0, fence.0, session, true);
        }
    }

    /// A new execution that somebody asked for.
    pub(super) fn by_request(&mut self, key: u64, answer: &Answer, what: &str) {
        self.alive("tombstones stay", key, what);
        self.admit(key, false, None, what);
        self.execution(key, answer, None, self.stamp, None, false);
    }

    pub(super) fn grant(&mut self, id: u64, fence: u64, session: u64, claimed: bool) {
        self.judge("fences");
        if self.grants.last_key_value().is_some_and(|(last, _)| *last >= fence) {
            self.complain("fences", format!("fence {fence} is not higher than the last one"));
        }
        let Some(execution) = self.executions.get_mut(&id) else { return };
        execution.granted = Some((fence, session));
        let task = self.tasks.get(&execution.task).map(|task| task.name.clone());
        let grant = ReplayedGrant {
            index: self.index,
            session,
            task: task.unwrap_or_default(),
            key: execution.task,
            claimed,
            execution: id,
            tick: execution.tick,
            due: execution.due,
        };
        self.grants.insert(fence, grant);
    }

    pub(super) fn start(&mut self, start: Start, answer: &Answer) {
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
        }
        self.grant(id, fence.0, start.session.0, false);
    }

    /// Whether an execution waits for its task or for the scheduler.
    pub(super) fn holds(&self, task: &ReplayedTask, execution: &ReplayedExecution) -> bool {
        let enabled = task.spec.as_ref().is_none_or(|spec| spec.enabled);
        let open = task.paused.is_none() && task.cancelled.is_none();
        let active = open && enabled && self.scheduler;
        execution.tick.is_some() && !active
    }

    /// A report of a grant, which must be the current one.
    pub(super) fn fenced(&mut self, property: &'static str, id: u64, fence: u64, ends: bool) {
        self.judge(property);
        let Some(execution) = self.executions.get_mut(&id) else { return };
        if execution.ended || execution.granted.map(|(current, _)| current) != Some(fence) {
            let what = format!("a report with fence {fence} of execution {id} was accepted");
            return self.complain(property, what);
        }
        execution.granted = None;
        if ends {
            self.end_where_id(id);
        }
    }

    /// A grant was given back. Of what is marked deleted nothing starts again, no tick of what is
    /// cancelled, nor what is to stop.
    pub(super) fn given_back(&mut self, key: u64, id: u64, fence: u64) {
        let task = self.tasks.get(&key);
        let deleted = task.is_some_and(|task| task.deleted);
        let cancelled = task.is_some_and(|task| task.cancelled.is_some());
        let one = self.executions.get(&id);
        let stops = one.is_some_and(|one| one.stopping);
        let cancelled = cancelled && one.is_some_and(|one| one.tick.is_some());
        self.fenced("fences", id, fence, deleted || cancelled || stops);
        if cancelled {
            self.ran.clear();
        }
    }

    pub(super) fn end_where_id(&mut self, id: u64) {
        let Some(execution) = self.executions.get_mut(&id) else { return };
        execution.ended = true;
        self.ends.push((self.index, id));
        if let Some(task) = self.tasks.get_mut(&execution.task) {
            task.live.remove(&id);
            if execution.tick.is_some() {
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

    /// A process registers; the session of the one before it is over, with what it had been granted.
    pub(super) fn node_up(&mut self, node: u64, session: u64) {
        if self.sessions.get(&session) == Some(&node) {
            return;
        }
        let former: Vec<u64> =
            self.sessions.iter().filter(|(_, of)| **of == node).map(|(id, _)| *id).collect();
        for gone in former {
            self.sessions.remove(&gone);
            self.end_where(|execution| execution.granted.is_some_and(|(_, of)| of == gone));
        }
        self.sessions.insert(session, node);
        self.working.remove(&node);
        self.leaving.remove(&node);
    }
}
