//! The reference model: a small independent state machine that replays the log. It tracks tasks,
//! executions and sessions for the judges, takes the numbers assigned by the product from its
//! responses, and reports accepted commands that should have been refused.
//!
//! It shares the command types of the log with the product, but none of its rules.

mod attempts;
mod backfills;
mod chains;
mod endings;
mod executions;
mod executors;
mod lines;
mod members;
mod settle;
mod successor;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use punctual::domain::machine::command::FilesStep;
use punctual::domain::machine::record::{Intent, Liveness, Status};
use punctual::domain::machine::{Command, Event, Refusal, Response, envelope};
use punctual::domain::schedule::calendar::Calendar;
use punctual::domain::task::{Chains, TaskSpec};

use self::attempts::{AttemptCounts, AttemptPolicy};
use self::chains::{ChainStart, ToldExecutions};
pub use self::endings::TaskEnd;
use self::executors::ReplayedExecutor;
pub use self::lines::NextWait;

/// A task in the model.
#[derive(Clone, Debug)]
pub struct ReplayedTask {
    /// Its name.
    pub name: String,
    /// The revision that created it.
    pub incarnation: u64,
    /// The last revision.
    pub revision: u64,
    /// The instant up to which every tick has a verdict.
    pub cursor: i64,
    /// Whether it is marked deleted.
    pub deleted: bool,
    /// Set if it is paused, with the end of the pause if known.
    pub paused: Option<Option<i64>>,
    /// Set if it is cancelled: ticks after this instant are held by the cancellation.
    pub cancelled: Option<i64>,
    /// Its definition. `None` for a tombstone.
    pub spec: Option<TaskSpec>,
    /// The instant from which its schedule counts.
    pub set_at: i64,
    /// Whether there are no further ticks.
    pub exhausted: bool,
    /// Number of fired ticks.
    pub fired: u64,
    /// Executions that have not ended.
    pub live: BTreeSet<u64>,
    /// Status of the execution that ended last.
    pub last: Option<Status>,
    /// Ended executions by status.
    pub ends: BTreeMap<Status, u64>,
}

/// The grant of an attempt.
#[derive(Clone, Debug)]
pub struct ReplayedGrant {
    /// Log index.
    pub index: u64,
    /// The session.
    pub session: u64,
    /// The task's name.
    pub task: String,
    /// The task's key.
    pub key: u64,
    /// Whether it was granted by the claim of its tick.
    pub claimed: bool,
    /// The execution.
    pub execution: u64,
    /// The tick.
    pub tick: Option<i64>,
    /// The earliest start.
    pub due: i64,
}

/// An execution in the model.
#[derive(Clone, Debug)]
struct ReplayedExecution {
    task: u64,
    tick: Option<i64>,
    due: i64,
    /// Whether the caller that claimed the tick executes it.
    by_caller: bool,
    /// Whether a backfill created it: its end does not end its task.
    backfilled: bool,
    /// The current fence and session. `None` while it waits.
    granted: Option<(u64, u64)>,
    /// The retry policy of its definition.
    policy: Option<AttemptPolicy>,
    attempts: AttemptCounts,
    /// The tasks that its end starts.
    then: Chains,
    /// The number of ends that led to it through chains.
    depth: u32,
    /// An executor carries it out, if the definition says so.
    by_executor: bool,
    /// The executor of the current grant.
    executor: Option<String>,
    /// It has accepted.
    accepted: bool,
    /// Its executor's silence is waited for so long, in milliseconds.
    lost_after: i64,
    /// Attempts of unknown outcome.
    unknown: u32,
    /// Whether it was asked to stop.
    stopping: bool,
    /// Whether it was first in all its lines at some index.
    was_next: bool,
    ended: bool,
}

/// A client's command in the log.
#[derive(Clone, Debug)]
pub struct Keyed {
    /// Log index.
    pub index: u64,
    /// The response.
    pub answer: Response,
}

/// A change of a task in the log.
#[derive(Clone, Debug)]
pub struct TaskChange {
    /// Log index.
    pub index: u64,
    /// Whether it can lead to starts: creation, reuse or resume.
    pub revives: bool,
}

/// The state after replaying the log, and the violations found.
#[derive(Debug, Default)]
pub struct ReferenceModel {
    pub tasks: BTreeMap<u64, ReplayedTask>,
    pub names: BTreeMap<String, u64>,
    calendars: BTreeMap<String, Calendar>,
    executions: BTreeMap<u64, ReplayedExecution>,
    executors: BTreeMap<String, ReplayedExecutor>,
    /// Live sessions, with their node.
    pub sessions: BTreeMap<u64, u64>,
    working: BTreeSet<u64>,
    /// Nodes that end, until their next boot.
    leaving: BTreeSet<u64>,
    /// Nodes that are drained or removed, whatever boots.
    drained: BTreeSet<u64>,
    /// The highest join number of each member that was removed or replaced. No node with that number or
    /// a lower one comes back.
    gone: BTreeMap<u64, u64>,
    /// When nodes were drained and when that ended, each with the log index.
    drains: Vec<(u64, u64, bool)>,
    /// The hash of the set of files that was begun last.
    files: Option<u128>,
    scheduler: bool,
    floor: i64,
    pub grants: BTreeMap<u64, ReplayedGrant>,
    pub keyed: BTreeMap<String, Keyed>,
    pub changes: BTreeMap<String, Vec<TaskChange>>,
    /// The revision created by a client's command, by its key.
    pub revisions: BTreeMap<String, u64>,
    /// Fired ticks of all tasks, including removed ones.
    pub fired: u64,
    /// Ended executions of all tasks by status.
    pub ended_as: BTreeMap<Status, u64>,
    /// Executions that ended, with the log index of their end.
    pub ends: Vec<(u64, u64)>,
    /// Running executions that were asked to stop, with the log index of the request.
    pub stops: Vec<(u64, u64)>,
    /// Waiting executions that were replaced by a newer one.
    pub replaced: BTreeSet<u64>,
    /// Executions that are first in their lines, with the log index since which they are.
    pub next: BTreeMap<u64, u64>,
    /// How long executions were first in their lines.
    pub waits: Vec<NextWait>,
    /// Log indices at which nodes were recorded as down.
    pub downs: Vec<(u64, u64)>,
    /// Log indices at which late ticks of a task were settled.
    pub late: Vec<(u64, String)>,
    /// Executions that changed when the state of a new cluster was made, with its log index. No event
    /// tells it.
    pub untold: BTreeMap<u64, u64>,
    /// The executions ended by the current command.
    chains: Vec<ChainStart>,
    told: ToldExecutions,
    /// Tasks that were completed, marked deleted or removed.
    pub endings: Vec<TaskEnd>,
    /// Tasks of which an execution of a tick ended in this command, with their incarnation.
    ran: BTreeMap<u64, u64>,
    key: Option<String>,
    marks: BTreeMap<String, u64>,
    claimed: BTreeSet<(u64, u64, i64)>,
    /// Ticks of backfills: task, incarnation, range, tick.
    ranges: BTreeSet<(u64, u64, (i64, i64), i64)>,
    /// Ranges that were cancelled: task, incarnation, range. One that was complete stays as it is.
    cancelled_ranges: BTreeSet<(u64, u64, (i64, i64))>,
    pub claims: u64,
    /// The number of judgements of each property.
    pub judged: BTreeMap<&'static str, u64>,
    /// The violations: log index, property, description.
    pub wrong: Vec<(u64, &'static str, String)>,
    index: u64,
    stamp: i64,
}

impl ReferenceModel {
    /// Replays an entry of the log.
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
                // After these refusals the client repeats the call under the same key.
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
        self.judge_accepted(events);
        self.look_at_lines();
    }

    /// Counts a judgement.
    pub fn judge(&mut self, property: &'static str) {
        *self.judged.entry(property).or_insert(0) += 1;
    }

    /// Records a violation.
    pub fn complain(&mut self, property: &'static str, what: String) {
        self.wrong.push((self.index, property, what));
    }

    fn node_liveness(&mut self, node: u64, liveness: Liveness) {
        if liveness == Liveness::Working {
            self.working.insert(node);
        } else {
            self.working.remove(&node);
        }
        if liveness == Liveness::Down {
            self.downs.push((self.index, node));
        }
    }

    fn node_intent(&mut self, node: u64, intent: Intent) {
        match intent {
            Intent::None => drop(self.drained.remove(&node)),
            Intent::Leaving => drop(self.leaving.insert(node)),
            _ => drop(self.drained.insert(node)),
        }
        self.drains.push((self.index, node, self.drained.contains(&node)));
    }

    /// The log index of the drain that is in force for a member at another index; none: it takes
    /// tasks.
    pub fn drained_since(&self, member: u64, index: u64) -> Option<u64> {
        let mut since: Option<(u64, u64)> = None;
        let until = self.drains.iter().take_while(|(at, _, _)| *at <= index);
        for (at, node, drained) in until.filter(|(_, node, _)| node >> 16 == member) {
            let before = since.filter(|(of, _)| of == node);
            since = drained.then(|| before.unwrap_or((*node, *at)));
        }
        since.map(|(_, at)| at)
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
            Command::Backfill(body) => self.backfilled(&body, answer),
            Command::CancelBackfill(body) => self.backfill_cancelled(body),
            Command::Stop(of) => self.stop(of.execution.0),
            Command::Settle(settle) => self.settle(&settle, answer),
            Command::Start(start) => self.start(start, None, answer),
            Command::Return(of) => self.given_back(of.task.0, of.execution.0, of.fence.0),
            Command::Finish(of) => {
                let (status, unknown) = (of.report.status, of.report.unknown);
                self.reported(of.execution.0, of.fence.0, status, unknown);
            }
            Command::Lose(of) => {
                self.judge_loss(of.execution.0);
                self.reported(of.execution.0, of.fence.0, Status::Lost, true);
            }
            of @ (Command::NodeUp(_) | Command::NodeJoin(_) | Command::NodeRemove(_)) => {
                self.member_command(&of, answer);
            }
            Command::NodeLiveness(of) => self.node_liveness(of.node.0, of.liveness),
            Command::NodeIntent(of) => self.node_intent(of.node.0, of.intent),
            Command::Declare(declare) => self.declare(*declare, answer),
            Command::FilesRead(read) => {
                if let FilesStep::Begin(hash) = read.step {
                    self.files = Some(hash);
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
            | Command::NodeFunctions(_)
            | Command::NodePatch(_)
            | Command::NodeJoined(_)
            | Command::SetStrategy(_)
            | Command::Assign(_)
            | Command::TakeKey(_) => {}
            other => self.executor_command(other, answer),
        }
        self.end_tasks();
    }
}
