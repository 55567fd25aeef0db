//! The reference model: a small state machine of its own, replayed over the log. It keeps what the
//! judges need to know of tasks, executions and sessions, learns the numbers that the product gave
//! from its answers, and says where an accepted command should have been refused.
//!
//! It shares the words of the log with the product, and none of its rules.

mod executions;
mod settle;

use std::collections::{BTreeMap, BTreeSet};

use punctual::domain::machine::command::{Put, PutMode};
use punctual::domain::machine::record::{Intent, Liveness};
use punctual::domain::machine::{Answer, Command, Refusal, Response, envelope};
use punctual::domain::schedule::Rule;
use punctual::domain::schedule::calendar::Calendar;
use punctual::domain::task::TaskSpec;

/// A task as the model has it.
#[derive(Clone, Debug)]
pub struct ReplayedTask {
    /// Its name.
    pub name: String,
    /// The revision that created it.
    pub incarnation: u64,
    /// The command that last changed it.
    pub revision: u64,
    /// Up to here every tick has a verdict.
    pub cursor: i64,
    /// Carries the deleted mark.
    pub deleted: bool,
    /// Is paused, and until when.
    pub paused: Option<Option<i64>>,
    /// Its definition; none: a bare mark.
    pub spec: Option<TaskSpec>,
    /// From when its schedule counts.
    pub set_at: i64,
    /// No tick is left.
    pub exhausted: bool,
    /// Ticks that fired.
    pub fired: u64,
    /// Executions that have not ended.
    pub live: BTreeSet<u64>,
}

/// One grant of an attempt.
#[derive(Clone, Debug)]
pub struct ReplayedGrant {
    /// Log index.
    pub index: u64,
    /// To this session.
    pub session: u64,
    /// The task's name.
    pub task: String,
    /// Its key.
    pub key: u64,
    /// By the claim of its tick, and not later.
    pub claimed: bool,
    /// The execution.
    pub execution: u64,
    /// Its tick.
    pub tick: Option<i64>,
    /// When it may start.
    pub due: i64,
}

/// An execution as the model has it.
#[derive(Clone, Debug)]
struct ReplayedExecution {
    task: u64,
    tick: Option<i64>,
    due: i64,
    /// The current grant and its session; none: it waits.
    granted: Option<(u64, u64)>,
    ended: bool,
}

/// A client's command in the log.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// Log index.
    pub index: u64,
    /// Its answer.
    pub answer: Response,
}

/// A change of a task in the log.
#[derive(Clone, Debug)]
pub struct TaskChange {
    /// Log index.
    pub index: u64,
    /// Whether it may lead to starts: it creates, reuses, resumes.
    pub revives: bool,
}

/// What the log led to, and what is wrong with it.
#[derive(Debug, Default)]
pub struct ReferenceModel {
    pub tasks: BTreeMap<u64, ReplayedTask>,
    pub names: BTreeMap<String, u64>,
    calendars: BTreeMap<String, Calendar>,
    executions: BTreeMap<u64, ReplayedExecution>,
    /// Live sessions, with their node.
    pub sessions: BTreeMap<u64, u64>,
    working: BTreeSet<u64>,
    leaving: BTreeSet<u64>,
    scheduler: bool,
    floor: i64,
    pub grants: BTreeMap<u64, ReplayedGrant>,
    pub keyed: BTreeMap<String, Keyed>,
    pub changes: BTreeMap<String, Vec<TaskChange>>,
    /// The revision that a client's command made, by its key.
    pub revisions: BTreeMap<String, u64>,
    /// Executions that ended, with the log index of their end.
    pub ends: Vec<(u64, u64)>,
    /// Log indices at which nodes were noted as down.
    pub downs: Vec<(u64, u64)>,
    /// Log indices at which ticks of a task were settled that were late.
    pub late: Vec<(u64, String)>,
    key: Option<String>,
    marks: BTreeMap<String, u64>,
    claimed: BTreeSet<(u64, u64, i64)>,
    pub claims: u64,
    /// How often each judgement was made.
    pub judged: BTreeMap<&'static str, u64>,
    /// Log index, property, what is wrong.
    pub wrong: Vec<(u64, &'static str, String)>,
    index: u64,
    stamp: i64,
}

impl ReferenceModel {
    /// Takes an entry of the log.
    pub fn entry(
        &mut self,
        index: u64,
        entry: &[u8],
        answers: &[Response],
        marks: &[(String, u64)],
    ) {
        self.index = index;
        self.marks = marks.iter().cloned().collect();
        let Ok((head, commands)) = envelope::open(entry) else {
            return self.complain("log", "an entry that cannot be read".to_owned());
        };
        self.stamp = head.stamp.0;
        for (packed, answer) in commands.zip(answers) {
            let Ok(packed) = packed else {
                return self.complain("log", "a command that cannot be read".to_owned());
            };
            let key = packed.key.map(|key| key.text);
            self.key = key.map(str::to_owned);
            if let Some(key) = key {
                let known = self.keyed.get(key).cloned();
                self.judge("one effect per idempotency key");
                if let Some(known) = known {
                    if known.answer != *answer {
                        let what = format!("{key} was answered twice, differently");
                        self.complain("one effect per idempotency key", what);
                    }
                    continue;
                }
                // Who is told to look again asks again under the same key.
                let again = matches!(
                    answer,
                    Err(Refusal::RevisionMismatch { .. }
                        | Refusal::Cursor { .. }
                        | Refusal::Session)
                );
                if !again {
                    let keyed = Keyed { index, answer: answer.clone() };
                    self.keyed.insert(key.to_owned(), keyed);
                }
            }
            match Command::decode(packed.kind, packed.body) {
                Ok(command) => self.command(command, answer),
                Err(error) => self.complain("log", error.to_string()),
            }
        }
    }

    /// Counts a judgement.
    pub fn judge(&mut self, property: &'static str) {
        *self.judged.entry(property).or_insert(0) += 1;
    }

    /// Notes something wrong.
    pub fn complain(&mut self, property: &'static str, what: String) {
        self.wrong.push((self.index, property, what));
    }

    fn command(&mut self, command: Command, answer: &Response) {
        let Ok(answer) = answer else { return };
        match command {
            Command::Genesis(genesis) => self.scheduler = genesis.scheduler,
            Command::Put(put) => self.put(*put, answer),
            Command::MarkDeleted(mark) => self.mark_deleted(&mark.name),
            Command::Reuse(named) => self.reuse(&named.name, answer),
            Command::Cleanup(named) => self.cleanup(&named.name),
            Command::Pause(pause) => self.pause(&pause.name, pause.until.map(|at| at.0), answer),
            Command::Resume(named) => self.resume(&named.name, answer),
            Command::TriggerTask(trigger) => {
                let key = self.names.get(&trigger.name).copied().unwrap_or(0);
                self.alive("tombstones stay", key, "a trigger");
                self.execution(key, answer, None, self.stamp, None);
            }
            Command::Settle(settle) => self.settle(&settle, answer),
            Command::Start(start) => self.start(start, answer),
            Command::Return(of) => {
                // Of what is marked deleted nothing starts again.
                let ends = self.tasks.get(&of.task.0).is_some_and(|task| task.deleted);
                self.fenced("fences", of.execution.0, of.fence.0, ends);
            }
            Command::Finish(of) => self.fenced("fences", of.execution.0, of.fence.0, true),
            Command::Lose(of) => self.fenced("fences", of.execution.0, of.fence.0, true),
            Command::NodeUp(up) => {
                if let Answer::Session(session) = answer {
                    self.node_up(up.node.0, session.0);
                }
            }
            Command::NodeLiveness(of) => {
                if of.liveness == Liveness::Working {
                    self.working.insert(of.node.0);
                } else {
                    self.working.remove(&of.node.0);
                }
                if of.liveness == Liveness::Down {
                    self.downs.push((self.index, of.node.0));
                }
            }
            Command::NodeIntent(of) => {
                if of.intent == Intent::None {
                    self.leaving.remove(&of.node.0);
                } else {
                    self.leaving.insert(of.node.0);
                }
            }
            Command::PutCalendar(put) => {
                self.calendars.insert(put.calendar.name.clone(), put.calendar);
            }
            Command::DeleteCalendar(named) => drop(self.calendars.remove(&named.name)),
            Command::Scheduler(set) => {
                if set.on && !self.scheduler {
                    self.floor = self.floor.max(self.stamp);
                }
                self.scheduler = set.on;
            }
            Command::CleanupAll(_)
            | Command::Retry(_)
            | Command::Stop(_)
            | Command::Dismiss(_)
            | Command::NodePatch(_)
            | Command::NodeRemove(_)
            | Command::TakeKey(_) => {}
        }
    }

    fn changed(&mut self, name: &str, revision: u64, revives: bool) {
        if let Some(key) = &self.key {
            // Of two changes in one entry only the later is ever seen.
            self.revisions.retain(|_, known| *known != revision);
            self.revisions.insert(key.clone(), revision);
        }
        let change = TaskChange { index: self.index, revives };
        self.changes.entry(name.to_owned()).or_default().push(change);
    }

    /// A task must be there and not marked deleted.
    fn alive(&mut self, property: &'static str, key: u64, what: &str) {
        self.judge(property);
        match self.tasks.get(&key) {
            Some(task) if task.deleted => {
                let what = format!("{what} of {} was accepted, which is marked deleted", task.name);
                self.complain(property, what);
            }
            Some(_) => {}
            None => self.complain(property, format!("{what} of a task that is not there")),
        }
    }

    /// From when a schedule counts, and where its cursor begins.
    fn begin(&self, spec: &TaskSpec, settled: i64) -> (i64, i64) {
        let stamp = self.stamp;
        match spec.schedule.rule {
            Rule::Immediate => {
                let tick = stamp.max(settled + 1);
                (tick, tick - 1)
            }
            Rule::At(at) if at.0 <= stamp => (stamp, at.0 - 1),
            _ => (stamp, stamp),
        }
    }

    fn settled(&self, task: &ReplayedTask) -> i64 {
        task.cursor.max(self.floor)
    }

    fn put(&mut self, put: Put, answer: &Answer) {
        let Answer::Task { task: key, revision, .. } = answer else { return };
        let (key, revision, name) = (key.0, revision.0, put.spec.name.clone());
        let former = self.tasks.get(&key).cloned();
        if let PutMode::Update { .. } = put.mode {
            self.alive("tombstones stay", key, "an update");
            let Some(mut task) = former else { return };
            let (spec, settled) = (put.spec, self.settled(&task));
            let old = task.spec.as_ref();
            let rescheduled = old.is_none_or(|old| old.schedule != spec.schedule);
            let switched = old.is_none_or(|old| old.enabled != spec.enabled);
            if rescheduled || switched {
                let (set_at, begun) = self.begin(&spec, settled);
                task.cursor = settled.max(if rescheduled { begun } else { self.stamp });
                if rescheduled {
                    (task.set_at, task.exhausted) = (set_at, false);
                }
            }
            (task.spec, task.revision) = (Some(spec), revision);
            self.tasks.insert(key, task);
            // A pause outlasts it, and a mark refuses it.
            return self.changed(&name, revision, false);
        }
        if put.mode == PutMode::Add {
            self.judge("tombstones stay");
            match &former {
                Some(task) if task.deleted => {
                    self.complain("tombstones stay", format!("add of {name}, marked deleted"));
                }
                Some(task) if !(task.exhausted && task.live.is_empty()) => {
                    self.complain("tombstones stay", format!("add of {name}, which is there"));
                }
                _ => {}
            }
        }
        let settled = former.as_ref().map_or(self.floor, |task| self.settled(task));
        let (set_at, begun) = self.begin(&put.spec, settled);
        let cursor = if former.is_some() { begun.max(settled) } else { begun };
        self.end_where(|execution| execution.task == key);
        let task = ReplayedTask {
            name: name.clone(),
            incarnation: revision,
            revision,
            cursor,
            deleted: false,
            paused: None,
            spec: Some(put.spec),
            set_at,
            exhausted: false,
            fired: 0,
            live: BTreeSet::new(),
        };
        self.tasks.insert(key, task);
        self.names.insert(name.clone(), key);
        self.changed(&name, revision, true);
    }

    /// Moves the cursor to the stamp, as an edit does.
    fn close(&mut self, key: u64) {
        let (stamp, floor) = (self.stamp, self.floor);
        if let Some(task) = self.tasks.get_mut(&key) {
            task.cursor = task.cursor.max(floor).max(stamp);
        }
    }

    fn mark_deleted(&mut self, name: &str) {
        let Some(key) = self.names.get(name).copied() else { return };
        if self.tasks.get(&key).is_some_and(|task| !task.deleted) {
            self.close(key);
            self.end_where(|execution| execution.task == key && execution.granted.is_none());
            if let Some(task) = self.tasks.get_mut(&key) {
                task.deleted = true;
            }
            let revision = self.marks.get(name).copied().unwrap_or(0);
            self.changed(name, revision, false);
        }
    }

    fn reuse(&mut self, name: &str, answer: &Answer) {
        let Some(key) = self.names.get(name).copied() else { return };
        if self.tasks.get(&key).is_some_and(|task| task.deleted) {
            self.close(key);
            let Answer::Task { revision, .. } = answer else { return };
            if let Some(task) = self.tasks.get_mut(&key) {
                (task.deleted, task.revision) = (false, revision.0);
            }
            self.changed(name, revision.0, true);
        }
    }

    fn cleanup(&mut self, name: &str) {
        let Some(key) = self.names.remove(name) else { return };
        self.end_where(|execution| execution.task == key);
        self.tasks.remove(&key);
        self.changed(name, 0, false);
    }

    fn pause(&mut self, name: &str, until: Option<i64>, answer: &Answer) {
        let Some(key) = self.names.get(name).copied() else { return };
        self.alive("tombstones stay", key, "a pause");
        if !self.catches_up(key) {
            self.close(key);
        }
        let Answer::Task { revision, .. } = answer else { return };
        if let Some(task) = self.tasks.get_mut(&key) {
            (task.paused, task.revision) = (Some(until), revision.0);
        }
        self.changed(name, revision.0, until.is_some());
    }

    fn resume(&mut self, name: &str, answer: &Answer) {
        let Some(key) = self.names.get(name).copied() else { return };
        self.alive("tombstones stay", key, "a resume");
        if self.tasks.get(&key).is_none_or(|task| task.paused.is_none()) {
            return;
        }
        if !self.catches_up(key) {
            self.close(key);
        }
        let Answer::Task { revision, .. } = answer else { return };
        if let Some(task) = self.tasks.get_mut(&key) {
            (task.paused, task.revision) = (None, revision.0);
        }
        self.changed(name, revision.0, true);
    }

    fn catches_up(&self, key: u64) -> bool {
        let spec = self.tasks.get(&key).and_then(|task| task.spec.as_ref());
        spec.is_some_and(|spec| spec.catch_up_on_resume)
    }
}
