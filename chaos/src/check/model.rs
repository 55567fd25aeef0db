//! The reference model: a small state machine of its own, replayed over the log. It keeps what the
//! judges need to know of tasks, executions and sessions, learns the numbers that the product gave
//! from its answers, and says where an accepted command should have been refused.
//!
//! It shares the words of the log with the product, and none of its rules.

mod attempts;
mod chains;
mod endings;
mod executions;
mod lines;
mod settle;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use punctual::domain::machine::record::{Intent, Liveness, Status};
use punctual::domain::machine::{Answer, Command, Event, Refusal, Response, envelope};
use punctual::domain::schedule::calendar::Calendar;
use punctual::domain::task::{Chains, TaskSpec};

use self::attempts::{AttemptCounts, AttemptPolicy};
use self::chains::{ChainStart, ToldExecutions};
pub use self::endings::TaskEnd;
pub use self::lines::NextWait;

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
    /// Is cancelled: ticks after this instant are held by that.
    pub cancelled: Option<i64>,
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
    /// How the newest end was.
    pub last: Option<Status>,
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
    /// Who claimed it carries it out.
    by_caller: bool,
    /// The current grant and its session; none: it waits.
    granted: Option<(u64, u64)>,
    /// What its definition says of further attempts.
    policy: Option<AttemptPolicy>,
    attempts: AttemptCounts,
    /// What its end starts.
    then: Chains,
    /// How many ends led to it.
    depth: u32,
    /// It is to stop.
    stopping: bool,
    /// At some index it was the turn of it in all its lines.
    was_next: bool,
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
    /// Running executions that are to stop, with the log index of what asked for it.
    pub stops: Vec<(u64, u64)>,
    /// Executions that waited and gave way to a newer one.
    pub replaced: BTreeSet<u64>,
    /// Executions whose turn it is, with the log index since which it is.
    pub next: BTreeMap<u64, u64>,
    /// How long it was the turn of executions.
    pub waits: Vec<NextWait>,
    /// Log indices at which nodes were noted as down.
    pub downs: Vec<(u64, u64)>,
    /// Log indices at which ticks of a task were settled that were late.
    pub late: Vec<(u64, String)>,
    /// What the command that is replayed ended.
    chains: Vec<ChainStart>,
    told: ToldExecutions,
    /// Tasks that were completed, marked deleted or removed.
    pub endings: Vec<TaskEnd>,
    /// Tasks of which an execution of a tick ended in this command, with their incarnation.
    ran: BTreeMap<u64, u64>,
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
        events: &[Event],
    ) {
        self.index = index;
        self.marks = marks.iter().cloned().collect();
        let Ok((head, commands)) = envelope::open(entry) else {
            return self.complain("log", "an entry that cannot be read".to_owned());
        };
        self.stamp = head.stamp.0;
        self.told = self.told_first(events);
        self.look_at_delays();
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
                Ok(command) => {
                    self.command(command, answer);
                    self.follow_chains();
                }
                Err(error) => self.complain("log", error.to_string()),
            }
        }
        self.judge_told();
        self.look_at_lines();
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
        let answer = match answer {
            Ok(answer) => answer,
            Err(refusal) => return self.kept_out(&command, refusal),
        };
        match command {
            Command::Genesis(genesis) => self.scheduler = genesis.scheduler,
            Command::Put(put) => self.put(*put, answer),
            Command::MarkDeleted(mark) => self.mark_deleted(&mark),
            Command::Reuse(named) => self.reuse(&named.name, answer),
            Command::Cleanup(named) => self.cleanup(&named.name),
            Command::Pause(pause) => self.pause(&pause.name, pause.until.map(|at| at.0), answer),
            Command::Resume(named) => self.resume(&named.name, answer),
            Command::Cancel(named) => self.cancel(&named.name, answer),
            Command::TriggerTask(trigger) => {
                let key = self.names.get(&trigger.name).copied().unwrap_or(0);
                self.by_request(key, answer, "a trigger");
            }
            Command::Retry(of) => self.retried(&of, answer),
            Command::Stop(of) => self.stop(of.execution.0),
            Command::Settle(settle) => self.settle(&settle, answer),
            Command::Start(start) => self.start(start, answer),
            Command::Return(of) => self.given_back(of.task.0, of.execution.0, of.fence.0),
            Command::Finish(of) => {
                let (status, unknown) = (of.report.status, of.report.unknown);
                self.reported(of.execution.0, of.fence.0, status, unknown);
            }
            Command::Lose(of) => self.reported(of.execution.0, of.fence.0, Status::Lost, true),
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
            | Command::Dismiss(_)
            | Command::NodePatch(_)
            | Command::NodeRemove(_)
            | Command::TakeKey(_) => {}
        }
        self.end_tasks();
    }
}
