//! The words of the scripts. A script plays the actors, the log and the other nodes.

use std::time::Duration;

use serde_json::json;

use super::executors;
use super::world::{EngineWorld, HORIZON, LEAD, NOON, OWN, boot, clock};
use crate::domain::assign::Members;
use crate::domain::ids::{ExecutionId, Fence, NodeId, SessionId, TaskKey};
use crate::domain::machine::command::{
    Claim, Finish, MarkDeleted, Named, NodeIntent, NodeLiveness, NodePatch, NodeUp, OfExecution,
    OfFence, PauseTask, Put, PutMode, SetScheduler, Settle, StrategyChange, TriggerTask,
};
use crate::domain::machine::record::{Intent, Liveness, Report, Status, Trigger};
use crate::domain::machine::{Answer, Command};
use crate::domain::settling::decide;
use crate::domain::spec::{self, ReadContext};
use crate::domain::time::{Millis, Timestamp};
use crate::engine::dispatch::DispatchEvent;
use crate::engine::judge::{LivenessJudge, LivenessReport, losses, may_report, sample_node};
use crate::engine::observed::ObservedTask;
use crate::engine::residency::{Residence, Residency, ResidencyEvent};
use crate::engine::settle_cycle::{SettleCycle, TaskDo, commands, release_claims, without_time};
use crate::engine::slots::AskPurpose;
use crate::exec::Stop;
use crate::stories::{self, ScriptLine, StoryWorld};

#[test]
fn the_stories_of_the_engine_are_told_as_written() {
    stories::play::<EngineWorld>("engine/testscripts", 59);
}

fn duration(text: &str) -> Millis {
    Millis::parse(text).expect("a duration")
}

/// The node at a place of a line, if there is one.
fn node_at(line: &ScriptLine, at: usize) -> Option<u64> {
    (!line.word(at).is_empty()).then(|| line.number_at(at))
}

/// A settle in words.
fn settle_words(command: &Command) -> String {
    let Command::Settle(settle) = command else { panic!("{command:?}") };
    let spans = settle.spans.iter().map(|span| {
        let verdict = format!("{:?}", span.verdict).to_lowercase();
        format!("{verdict} to {}", clock(span.to))
    });
    let claim = settle.claim.iter().map(|claim| {
        let start = if claim.start { "with a start" } else { "to wait" };
        format!("claim {} {start}", clock(claim.tick))
    });
    let parts: Vec<String> = spans.chain(claim).collect();
    format!("{} for {}", parts.join(", "), clock(settle.now))
}

impl StoryWorld for EngineWorld {
    fn line(&mut self, text: &str) -> Vec<String> {
        let line = ScriptLine::read(text);
        self.told.clear();
        match line.word(0) {
            "at" => self.now = self.time(line.word(1)),
            "up" => self.up(&line),
            "restart" => self.restart(&line),
            "register" => self.register(),
            "apply" => {
                let behind = line.option("behind").map_or(Millis(0), duration);
                self.apply_proposed(line.word(1), behind);
            }
            "gap" => self.gap = true,
            "late" => self.late = Some(Vec::new()),
            "told" => {
                let late = self.late.take().expect("hints are kept back");
                self.hints(late);
            }
            "replaced" => {
                self.gap = false;
                self.sweep();
                self.on_attempt(DispatchEvent::Replaced);
                self.find();
            }
            "sweep" => {
                self.sweep();
                self.find();
            }
            "assessed" => {
                let assessed = std::mem::take(&mut self.assessed);
                self.told.push(format!("{assessed} of {} tasks", self.state.task_count()));
            }
            "slow-compares" => self.slow_compares = true,
            "compared" => self.end_compare(),
            "limit" => self.dispatch.slots.set_limit(line.number_at(1).try_into().expect("small")),
            "close" => self.dispatch.slots.close(),
            "fill" => self.on_attempt(DispatchEvent::Fill),
            "check" => self.on_attempt(DispatchEvent::Check),
            "check-grants" => self.on_attempt(DispatchEvent::CheckGrants),
            "stop-all" => self.on_attempt(DispatchEvent::StopAll(Stop::Ask)),
            "silence" => {
                let silence = duration(line.word(1));
                self.on_attempt(DispatchEvent::Unacknowledged(silence));
            }
            "ring" => self.ring(),
            "lead" => self.lead(&line),
            "report" => self.report(&line),
            "judge" => self.judge(),
            "losses" => self.propose_all(losses(&self.state, self.now)),
            "asleep" | "unreachable" | "actor-fails" => self.task_line(&line),
            "ended" | "not-started" => self.attempt_line(&line),
            "claim" => self.claim(&line),
            "look" => self.look(&line),
            "time" => self.sure = line.word(1) != "lost",
            "members" => self.members = (1..).map_while(|at| node_at(&line, at)).collect(),
            "show" => self.show(line.word(1)),
            _ if self.executor_line(&line) => {}
            _ => {
                let command = self.command(&line);
                if let Err(refused) = self.apply(&command) {
                    self.told.push(format!("refused, {refused}"));
                }
            }
        }
        let told = std::mem::take(&mut self.told);
        if told.is_empty() { Vec::new() } else { vec![format!("{text}: {}", told.join("; "))] }
    }
}

impl EngineWorld {
    fn command(&self, line: &ScriptLine) -> Command {
        let name = line.word(1).to_owned();
        let of_name = || Named { name: name.clone(), if_match: None };
        match line.word(0) {
            "working" => self.liveness(line, Liveness::Working),
            "down" => self.liveness(line, Liveness::Down),
            "intent" => Command::NodeIntent(NodeIntent {
                node: NodeId(line.number_at(1)),
                intent: match line.word(2) {
                    "draining" => Intent::Draining,
                    "leaving" => Intent::Leaving,
                    "removing" => Intent::Removing,
                    _ => Intent::None,
                },
            }),
            "weight" => Command::NodePatch(NodePatch {
                node: NodeId(line.number_at(1)),
                weight: Some(Some(line.number_at(2).try_into().expect("small"))),
                slots: None,
                labels: None,
            }),
            "slots" => Command::NodePatch(NodePatch {
                node: NodeId(line.number_at(1)),
                weight: None,
                slots: Some(Some(line.number_at(2).try_into().expect("small"))),
                labels: None,
            }),
            "strategy" => Command::SetStrategy(StrategyChange {
                strategy: spec::strategy(&name.as_str().into()).expect("a strategy"),
            }),
            "add" => self.put(line, PutMode::Add),
            "update" => self.put(line, PutMode::Update { if_match: None }),
            "pause" => Command::Pause(PauseTask {
                name,
                reason: String::new(),
                until: None,
                if_match: None,
            }),
            "resume" => Command::Resume(of_name()),
            "cancel" => Command::Cancel(of_name()),
            "cleanup" => Command::Cleanup(of_name()),
            "delete" => Command::MarkDeleted(MarkDeleted {
                name,
                stop: line.word(2) == "stop",
                tombstone: false,
                if_match: None,
            }),
            "trigger" => Command::TriggerTask(TriggerTask { name, parameters: None }),
            "scheduler" => Command::Scheduler(SetScheduler { on: name == "start" }),
            "stop" => {
                let (task, execution, _) = self.execution(line);
                Command::Stop(OfExecution { task, execution })
            }
            "finish" => {
                let (task, execution, fence) = self.execution(line);
                let report = Report {
                    status: if line.has("failed") { Status::Failed } else { Status::Success },
                    unknown: false,
                    started_at: Some(self.now),
                    ended_at: self.now,
                    exit_code: None,
                    http_status: None,
                    detail: String::new(),
                    tail: Vec::new(),
                };
                Command::Finish(Box::new(Finish { task, execution, fence, report }))
            }
            _ => executors::command(&self.state, line),
        }
    }

    fn put(&self, line: &ScriptLine, mode: PutMode) -> Command {
        let schedule = match line.word(2) {
            "every" => json!({"interval": line.word(3)}),
            "at" => json!({"at": self.time(line.word(3)).to_string()}),
            _ => json!({"manual": true}),
        };
        let mut body = json!({"name": line.word(1), "schedule": schedule,
            "action": {"func": {"id": "f"}}});
        if let Some(balance) = line.option("executor") {
            body["action"] = json!({"executor": {"balance": balance}});
        }
        if let Some(timeout) = line.option("timeout") {
            body["timeout"] = json!(timeout);
        }
        if let Some(node) = line.option("on") {
            body["assignment"] = json!({"selector": {"node": node}});
        }
        if let Some(mode) = line.option("mode") {
            body["execution_mode"] = json!(mode);
        }
        if let Some((group, limit)) = line.option("group").and_then(|text| text.split_once('/')) {
            let limit: u32 = limit.parse().expect("a number");
            body["concurrency"] = json!({"group": group, "limit": limit});
        }
        if let Some(priority) = line.option("priority") {
            body["priority"] = json!(priority.parse::<u8>().expect("a number"));
        }
        if let Some(retries) = line.option("retry") {
            let retries: u32 = retries.parse().expect("a number");
            let delay = line.option("delay").unwrap_or("1s");
            body["retry"] = json!({"max_retry": retries, "delay": delay});
        }
        if let Some(delivery) = line.option("delivery") {
            body["delivery"] = json!(delivery);
        }
        if let Some(strategy) = line.option("strategy") {
            body["assignment"]["strategy"] = json!(strategy);
        }
        if let Some(lost_after) = line.option("lost_after") {
            body["lost_after"] = json!(lost_after);
        }
        let context = ReadContext {
            default_zone: "UTC",
            now: self.now,
            min_interval: Millis(100),
            functions_allowed: true,
            custom_strategy: true,
            current: None,
            settled: Timestamp(0),
            calendars: Some(&self.state),
        };
        let spec = spec::read(&body, context).unwrap_or_else(|error| panic!("{body}: {error:?}"));
        Command::Put(Box::new(Put { mode, spec }))
    }

    /// The newest execution of a task, or `e=`, `e=running` for the oldest that runs; with the fence of its attempt, or `fence=`.
    pub(super) fn execution(&self, line: &ScriptLine) -> (TaskKey, ExecutionId, Fence) {
        let task =
            self.state.named(line.word(1)).unwrap_or_else(|| panic!("no task {}", line.word(1)));
        let newest = task.history.executions.back().map(|found| found.id);
        let number = |text: &str| text[1..].parse().expect("a number");
        let running = task.live_executions().filter(|one| one.status == Status::Running);
        let id = match line.option("e") {
            Some("running") => running.last().map(|one| one.id),
            Some(text) => Some(ExecutionId(number(text))),
            None => newest,
        };
        let found = task.history.execution(id.expect("an execution")).expect("an execution");
        let fence = found.attempt.as_ref().map_or(Fence(0), |attempt| attempt.fence);
        (task.key, found.id, line.option("fence").map_or(fence, |text| Fence(number(text))))
    }

    fn up(&mut self, line: &ScriptLine) {
        let node = NodeId(line.number_at(1));
        self.boots += 1;
        let mut info = sample_node(1, Liveness::Working).info;
        info.name = line.word(1).to_owned();
        info.functions = vec!["*".to_owned()];
        let up = NodeUp { node, boot: self.boots, info };
        if let Ok(Answer::Session(session)) = self.apply(&Command::NodeUp(Box::new(up))) {
            self.sessions.insert(node, session);
        }
    }

    /// A new process in place of this one.
    fn restart(&mut self, line: &ScriptLine) {
        self.dispatch = executors::dispatch();
        (self.watcher, self.prober) = (executors::watcher(), executors::prober());
        self.residency = Residency::default();
        (self.judge, self.leads) = (LivenessJudge::default(), false);
        self.residents.clear();
        self.alarms.clear();
        self.woken_at.clear();
        self.proposed.clear();
        self.session = None;
        self.up(line);
    }

    fn liveness(&self, line: &ScriptLine, liveness: Liveness) -> Command {
        let node = NodeId(line.number_at(1));
        Command::NodeLiveness(NodeLiveness { node, session: self.sessions[&node], liveness })
    }

    fn lead(&mut self, line: &ScriptLine) {
        self.leads = line.word(1) != "no";
        if let Some(former) = line.option("after") {
            let node = former.trim_start_matches('n').parse().expect("a node");
            let at = self.time(line.option("acknowledged").expect("when it did"));
            self.former_leader = Some((node, boot(at)));
        }
    }

    /// A node reports, unless its engine has not come round since `round`.
    fn report(&mut self, line: &ScriptLine) {
        let node = NodeId(line.number_at(1));
        let round = line.option("round").map_or(self.now, |text| self.time(text));
        if !may_report(boot(round), boot(self.now)) {
            return self.told.push("does not report".to_owned());
        }
        let applied = line.option("applied").map(|text| text.parse().expect("an index"));
        let applied = applied.unwrap_or(self.state.cluster().applied);
        let session = line.option("session").map(|text| SessionId(text.parse().expect("one")));
        let session = session.unwrap_or(self.sessions[&node]);
        self.judge.note_report(LivenessReport { node: node.0, session, applied }, boot(self.now));
    }

    fn task_line(&mut self, line: &ScriptLine) {
        let task = self.task(line.word(1));
        match line.word(0) {
            "unreachable" => self.on_task(ResidencyEvent::Unreachable(task)),
            "actor-fails" => self.on_task(ResidencyEvent::Failed(task)),
            _ => {
                let until = line.option("until").map(|text| self.time(text));
                let residence = match line.option("residence") {
                    Some(text) => Residence(text.parse().expect("a number")),
                    None => self.residents[&task],
                };
                self.on_task(ResidencyEvent::Asleep(task, residence, until));
            }
        }
    }

    /// The actor of a task claims ticks: each with a start, if there is a slot.
    fn claim(&mut self, line: &ScriptLine) {
        let task = self.task(line.word(1));
        let tick = self.time(line.word(2));
        let by = line.option("by").map(|text| NodeId(text[1..].parse().expect("one")));
        let purpose = AskPurpose::Claim(task, tick);
        let lined = self.state.task(task).is_some_and(|task| task.lined());
        let start = !lined && (by.is_some() || self.dispatch.slots.ask(purpose, boot(self.now)));
        self.told.push(if start { "with a start" } else { "to wait" }.to_owned());
        let found = self.state.task(task).expect("a task");
        let claim = Claim { tick, due: tick, trigger: Trigger::Schedule, start };
        let settle = Settle {
            task,
            revision: found.live.revision,
            calendars: self.state.calendars_of(found),
            session: self.sessions[&by.unwrap_or(OWN)],
            now: self.now,
            after: self.state.settled(found),
            spans: Vec::new(),
            claim: Some(claim),
            exhausted: false,
        };
        // Another node is faster.
        let at = if by.is_some() { 0 } else { self.proposed.len() };
        self.proposed.insert(at, Command::Settle(settle));
    }

    fn attempt_line(&mut self, line: &ScriptLine) {
        let (task, execution, fence) = self.execution(line);
        if line.word(0) == "ended" {
            return self.on_attempt(DispatchEvent::AttemptEnded(execution, fence));
        }
        self.on_attempt(DispatchEvent::NotStarted(OfFence { task, execution, fence }));
    }

    /// `12:00:05.000` on the day of the stories, or `+5s` from now.
    fn time(&self, text: &str) -> Timestamp {
        if let Some(by) = text.strip_prefix('+') {
            return self.now.plus(Millis::parse(by).expect("a duration"));
        }
        let whole = format!("{}T{text}Z", &NOON.to_string()[..10]);
        Timestamp::parse(&whole).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    /// The actor of a task looks at it, and proposes.
    fn look(&mut self, line: &ScriptLine) {
        let key = self.task(line.word(1));
        let at = Duration::from_millis(self.now.since(NOON).0);
        let mut cycle = self.cycles.remove(&key).unwrap_or_default();
        let told = match self.next(key, &mut cycle, at) {
            TaskDo::Sleep(None) => "sleep".to_owned(),
            TaskDo::Sleep(Some(until)) => format!("sleep until {}", clock(until)),
            TaskDo::LookAt(next) => format!("look at {}", clock(next)),
            TaskDo::Propose { steps, moment, again } => {
                let seen = ObservedTask::of(&self.state, key).expect("a task");
                let (slots, now) = (&mut self.dispatch.slots, boot(self.now));
                let ask = |tick| slots.ask(AskPurpose::Claim(key, tick), now);
                let session = self.session.expect("a session");
                let commands = commands(&seen, steps, session, moment, ask);
                cycle.proposed(seen.settled, at);
                let told: Vec<String> = commands.iter().map(settle_words).collect();
                self.proposed.extend(commands);
                format!("{}; look at {}", told.join("; "), clock(again))
            }
        };
        self.cycles.insert(key, cycle);
        self.told.push(told);
    }

    fn next(&mut self, key: TaskKey, cycle: &mut SettleCycle, at: Duration) -> TaskDo {
        let members = Members::of(&self.state);
        let owned = |seen: &ObservedTask| self.view(&members).owns(&seen.task);
        let Some(seen) = ObservedTask::of(&self.state, key).filter(owned) else {
            return TaskDo::Sleep(None);
        };
        if !self.sure {
            return without_time(self.now);
        }
        if let Some(latency) = cycle.settled(seen.settled, at) {
            self.told.push(format!("settled in {} ms", latency.as_millis()));
        }
        let plan = seen.plan().expect("a schedule").expect("a plan");
        let held_back = cycle.held_back(seen.settled, at);
        let moment = self.now.minus(held_back);
        let decision = decide(&seen.view(&plan, moment, LEAD, Millis(5_000)));
        let slots = &mut self.dispatch.slots;
        release_claims(slots, (key, seen.settled), &decision, held_back);
        cycle.next(decision, seen.settled, (self.now, held_back), at, HORIZON)
    }
}
