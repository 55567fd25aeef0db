//! Runs the stories in `testscripts/`.
//!
//! Each command is an entry of its own; after each the digest is recomputed.

use std::collections::BTreeMap;

use super::super::command::{
    CleanupAll, Command, MarkDeleted, Named, NodeFunctions, NodeIntent, NodeJoin, NodeLiveness,
    NodePatch, OfExecution, OfFence, OfNode, PauseTask, PutCalendar, PutMode, SetScheduler, Settle,
    SettleSpan, Start, StrategyChange, TriggerTask,
};
use super::super::task::record::{Execution, Intent, Liveness, Reason, Status, Trigger, Verdict};
use super::super::{Answer, Task};
use super::counts;
use super::telling::{Names, answer};
use super::*;
use super::{ends, executors};
use crate::domain::ids::Revision;
use crate::domain::schedule::calendar::{self, Calendar, Dates};
use crate::domain::schedule::parse_cron;
use crate::domain::task::{CatchUpPolicy, Concurrency, ExecutionMode};
use crate::stories::{self, ScriptLine, StoryWorld};

mod backfill;
mod decide;
mod files;

#[test]
fn the_stories_are_told_as_written() {
    stories::play::<MachineStory>("domain/machine/testscripts", 60);
}

struct MachineStory {
    world: TestWorld,
    sessions: BTreeMap<String, SessionId>,
    boots: u128,
    /// Whether answers leave out the events.
    brief: bool,
}

impl Default for MachineStory {
    fn default() -> Self {
        let (sessions, boots, brief) = (BTreeMap::new(), 0, false);
        Self { world: TestWorld::new(), sessions, boots, brief }
    }
}

impl StoryWorld for MachineStory {
    fn line(&mut self, text: &str) -> Vec<String> {
        let line = ScriptLine::read(text);
        if let Some(times) = line.option("times") {
            let once = text.replace(&format!("times={times}"), "");
            let times: usize = times.parse().expect("a number");
            let told: Vec<String> = (0..times).flat_map(|_| self.line(&once)).collect();
            return told
                .last()
                .map(|last| format!("{times} times, at last {last}"))
                .into_iter()
                .collect();
        }
        let head = [line.word(0), line.word(1)].join(" ");
        let told = match line.word(0) {
            "at" => {
                self.world.stamp = self.time(line.word(1));
                return Vec::new();
            }
            // A cluster of two working nodes, told of without events.
            "anew" => {
                *self = Self { brief: true, ..Self::default() };
                for number in 1..=2 {
                    self.boots = number;
                    let session = self.world.node(u16::try_from(number).expect("few"), number);
                    self.sessions.insert(format!("n{number}"), session);
                }
                return Vec::new();
            }
            "show" => self.names().task(self.task(line.word(1))),
            "ticks" => self.names().ticks(self.task(line.word(1))),
            "executions" => self.names().executions(self.task(line.word(1))),
            "executors" => executors::shown(&self.world.state),
            "nodes" => self.names().nodes(&self.world.state),
            "line" => self.names().line(&self.world.state, line.word(1)),
            "cluster" => self.names().cluster(&self.world.state),
            "sources" => self.sources(),
            "backfills" => self.backfills(line.word(1)),
            "stats" => counts::told(&self.world.state, line.word(1)),
            "checkpoint" => vec![self.checkpoint()],
            "count" => {
                let past = &self.task(line.word(1)).history;
                vec![format!("{} executions kept", past.executions.len())]
            }
            "stop-all" => self.stop_all(line.word(1)),
            "add-many" => {
                let many = 0..ScriptLine::number(line.word(2));
                let add = |at| self.world.add(every(&format!("{}{at}", line.word(1)), 1_000));
                vec![format!("{} tasks", many.map(add).count())]
            }
            "decide" => self.decide(&line),
            _ => {
                let command = self.command(&line);
                let by = line.option("by").unwrap_or("").to_owned();
                let request =
                    line.option("request").map_or(1, |number| ScriptLine::number(number).into());
                let key = line.option("key").map(|text| IdempotencyKey { text, request });
                vec![self.propose(&command, &by, key)]
            }
        };
        match &told[..] {
            [one] => vec![format!("{}: {one}", head.trim())],
            many => {
                let head = format!("{}:", head.trim());
                [head].into_iter().chain(many.iter().map(|line| format!("  {line}"))).collect()
            }
        }
    }
}

impl MachineStory {
    fn propose(&mut self, command: &Command, by: &str, key: Option<IdempotencyKey<'_>>) -> String {
        let (response, mut effects) = self.world.apply_as(command, by, key);
        effects.events.retain(|_| !self.brief);
        if let (Command::NodeUp(up), Ok(Answer::Session(session))) = (command, &response) {
            self.sessions.insert(up.info.name.clone(), *session);
        }
        let state = &self.world.state;
        let loaded = load(state.all_rows());
        assert_eq!(state.digest(), loaded.digest(), "{command:?}");
        assert_eq!(derived(state), derived(&loaded), "{command:?}");
        answer(&self.names(), &response, &effects)
    }

    /// Stops all executions of a task.
    fn stop_all(&mut self, name: &str) -> Vec<String> {
        let (task, ids): (_, Vec<ExecutionId>) = {
            let task = self.task(name);
            (task.key, task.live_executions().map(|live| live.id).collect())
        };
        let stop = |execution| Command::Stop(OfExecution { task, execution });
        let told = ids.iter().map(|id| self.propose(&stop(*id), "", None));
        vec![format!("{} stopped", told.count())]
    }

    /// Writes everything out and goes on from what was read back.
    fn checkpoint(&mut self) -> String {
        let before = self.world.state.digest();
        self.world.state = load(self.world.state.all_rows());
        format!("digest {}", if before == self.world.state.digest() { "kept" } else { "lost" })
    }

    fn names(&self) -> Names<'_> {
        Names(&self.sessions)
    }

    fn task(&self, name: &str) -> &Task {
        self.world.state.named(name).unwrap_or_else(|| panic!("no task {name}"))
    }

    /// `12:00:05.000` on the day of the tests, `+5s` from now, or a whole instant.
    fn time(&self, text: &str) -> Timestamp {
        if let Some(by) = text.strip_prefix('+') {
            return self.world.stamp.plus(Millis::parse(by).expect("a duration"));
        }
        let whole =
            if text.contains('T') { text.to_owned() } else { format!("2026-03-02T{text}Z") };
        Timestamp::parse(&whole).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn node_id(name: &str) -> NodeId {
        NodeId::new(u16::try_from(ScriptLine::number(name)).expect("a small number"), 1)
    }

    fn session(&self, line: &ScriptLine) -> SessionId {
        match line.option("session") {
            Some(text) => SessionId(ScriptLine::number(text)),
            None => *self.sessions.get(line.option("node").unwrap_or("n1")).expect("a node"),
        }
    }

    fn command(&mut self, line: &ScriptLine) -> Command {
        let name = line.word(1).to_owned();
        let if_match = line.revision("if_match");
        let of_name = || Named { name: name.clone(), if_match };
        match line.word(0) {
            "genesis" => genesis(),
            "up" | "working" | "down" | "intent" | "patch" | "functions" | "remove" | "join"
            | "joined" => self.node_command(line),
            "add" => put(PutMode::Add, self.spec(line)),
            "force-add" => put(PutMode::Force, self.spec(line)),
            "update" => put(PutMode::Update { if_match }, self.spec(line)),
            "delete" => Command::MarkDeleted(MarkDeleted {
                name: name.clone(),
                stop: line.has("stop"),
                tombstone: line.has("tombstone"),
                if_match,
            }),
            "reuse" => Command::Reuse(of_name()),
            "cleanup" => Command::Cleanup(of_name()),
            "cleanup-all" => Command::CleanupAll(CleanupAll {
                cluster: name,
                from: line.option("from").map_or(0, |text| text.parse().expect("a slot")),
                upto: line.revision("upto"),
            }),
            "pause" => Command::Pause(PauseTask {
                name: name.clone(),
                reason: line.option("reason").unwrap_or("").to_owned(),
                until: line.option("until").map(|text| self.time(text)),
                if_match,
            }),
            "resume" => Command::Resume(of_name()),
            "cancel" => Command::Cancel(of_name()),
            "trigger" => Command::TriggerTask(TriggerTask {
                name: name.clone(),
                parameters: line.option("parameters").map(str::to_owned),
            }),
            "strategy" => Command::SetStrategy(StrategyChange {
                strategy: crate::domain::spec::strategy(&name.as_str().into()).expect("a strategy"),
            }),
            "scheduler" => Command::Scheduler(SetScheduler { on: name == "start" }),
            "settle" => Command::Settle(self.settle(line)),
            "claim" => Command::Settle(self.callers_claim(line)),
            "calendar" => {
                let dates = line.words.iter().skip(2);
                let dates = dates.map(|text| Dates::parse(text).expect("dates")).collect();
                let rules =
                    vec![calendar::CalendarRule { dates, ..calendar::CalendarRule::default() }];
                let (description, timezone) = (String::new(), None);
                let calendar = Calendar { name, description, timezone, rules };
                Command::PutCalendar(Box::new(PutCalendar {
                    calendar,
                    if_match,
                    source: line.option("source").map(|text| text.parse().expect("a number")),
                }))
            }
            "delete-calendar" => Command::DeleteCalendar(of_name()),
            "files" => self.files(line),
            "backfill" => self.backfill(line),
            "cancel-backfill" => self.cancel_backfill(line),
            "declare" => self.declared(line),
            _ => executors::command(&self.world.state, line)
                .unwrap_or_else(|| self.execution_command(line)),
        }
    }

    fn node_command(&mut self, line: &ScriptLine) -> Command {
        let name = line.word(1);
        let node = Self::node_id(name);
        let liveness = |liveness| {
            let session = match line.option("session") {
                Some(text) => SessionId(ScriptLine::number(text)),
                None => *self.sessions.get(name).expect("a node that was up"),
            };
            Command::NodeLiveness(NodeLiveness { node, session, liveness })
        };
        match line.word(0) {
            "working" => liveness(Liveness::Working),
            "down" => liveness(Liveness::Down),
            "intent" => Command::NodeIntent(NodeIntent {
                node,
                intent: match line.word(2) {
                    "draining" => Intent::Draining,
                    "leaving" => Intent::Leaving,
                    "removing" => Intent::Removing,
                    _ => Intent::None,
                },
            }),
            "remove" => Command::NodeRemove(OfNode { node }),
            "join" => Command::NodeJoin(Box::new(NodeJoin {
                node,
                peer: format!("{name}:7070"),
                http: String::new(),
            })),
            "joined" => Command::NodeJoined(OfNode { node }),
            "functions" => Command::NodeFunctions(NodeFunctions {
                node,
                session: match line.option("session") {
                    Some(text) => SessionId(ScriptLine::number(text)),
                    None => *self.sessions.get(name).expect("a node that was up"),
                },
                functions: line.word(2).split(',').map(str::to_owned).collect(),
            }),
            "patch" => Command::NodePatch(NodePatch {
                node,
                weight: line.option("weight").map(own_or_number),
                slots: line.option("slots").map(own_or_number),
                labels: None,
            }),
            _ => {
                self.boots += 1;
                let boot = line.option("boot").map(|text| text.parse().expect("a number"));
                let mut up = node_up(node, boot.unwrap_or(self.boots));
                if let (Command::NodeUp(up), Some(weight)) = (&mut up, line.option("weight")) {
                    up.info.weight = weight.parse().expect("a weight");
                }
                up
            }
        }
    }

    fn spec(&self, line: &ScriptLine) -> TaskSpec {
        let value = line.word(3);
        let rule = match line.word(2) {
            "every" => {
                let anchor = line.option("anchor").map(|text| self.time(text));
                Rule::Interval { every: Millis::parse(value).expect("a duration"), anchor }
            }
            "once" => Rule::At(self.time(value)),
            "delay" => Rule::Delay(Millis::parse(value).expect("a duration")),
            "now" => Rule::Immediate,
            "manual" => Rule::Manual,
            "cron" => parse_cron(value).expect("an expression").0,
            other => panic!("no schedule {other}"),
        };
        let mut spec = spec(line.word(1), rule);
        for (key, value) in &line.options {
            match key.as_str() {
                "enabled" => spec.enabled = value == "true",
                "catch_up_on_resume" => spec.catch_up_on_resume = value == "true",
                "catch_up" => {
                    spec.catch_up.policy = match value.as_str() {
                        "all" => CatchUpPolicy::All,
                        "none" => CatchUpPolicy::None,
                        _ => CatchUpPolicy::Last,
                    }
                }
                "catch_up_max" => spec.catch_up.max = value.parse().expect("a number"),
                "window" => spec.catch_up.window = Millis::parse(value).expect("a duration"),
                "keep_ticks" => spec.keep.ticks = value.parse().expect("a number"),
                "keep_executions" => spec.keep.executions = value.parse().expect("a number"),
                "keep_age" => spec.keep.age = Millis::parse(value).expect("a duration"),
                "lost_after" => spec.lost_after = Millis::parse(value).expect("a duration"),
                "jitter" => spec.schedule.jitter = Some(Millis::parse(value).expect("a duration")),
                "description" => spec.description.clone_from(value),
                "max_ticks" => spec.schedule.max_ticks = Some(value.parse().expect("a number")),
                "mode" => {
                    spec.execution_mode = match value.as_str() {
                        "skip" => ExecutionMode::Skip,
                        "sequential" => ExecutionMode::Sequential,
                        "replace" => ExecutionMode::Replace,
                        _ => ExecutionMode::Parallel,
                    }
                }
                "max_live" => spec.max_live = value.parse().expect("a number"),
                "queue_max" => spec.queue_max = value.parse().expect("a number"),
                "priority" => spec.priority = value.parse().expect("a number"),
                "group" => {
                    let (group, limit) = value.split_once('/').expect("a group and its limit");
                    let limit = limit.parse().expect("a number");
                    spec.concurrency = Some(Concurrency { group: group.to_owned(), limit });
                }
                "exclude" => spec.schedule.exclude = vec![value.clone()],
                "anchor" | "hash" | "if_match" | "set" | "key" | "request" | "by" => {}
                other => assert!(ends::set(&mut spec, other, value), "no field {other}"),
            }
        }
        spec
    }

    fn settle(&self, line: &ScriptLine) -> Settle {
        let task = self.task(line.word(1));
        let claim = line.option("claim").map(|text| {
            let (tick, jitter) = text.split_once('+').unwrap_or((text, "0s"));
            let tick = self.time(tick);
            let trigger = if line.has("late") { Trigger::CatchUp } else { Trigger::Schedule };
            let due = tick.plus(Millis::parse(jitter).expect("a duration"));
            Claim { tick, due, trigger, start: !line.has("pending") }
        });
        let spans = line.option("spans").into_iter().flat_map(|text| text.split(','));
        Settle {
            task: task.key,
            revision: line.revision("revision").unwrap_or(task.live.revision),
            calendars: line
                .revision("calendars")
                .unwrap_or_else(|| self.world.state.calendars_of(task)),
            session: self.session(line),
            now: line.option("now").map_or(self.world.stamp, |text| self.time(text)),
            after: match line.option("after") {
                Some(text) => self.time(text),
                None => self.world.state.settled(task),
            },
            spans: spans.map(|text| self.span(text)).collect(),
            claim,
            exhausted: line.has("exhausted"),
        }
    }

    /// A caller's claim of a tick.
    fn callers_claim(&self, line: &ScriptLine) -> Settle {
        let tick = self.time(line.word(2));
        let claim = Claim { tick, due: tick, trigger: Trigger::Claim, start: true };
        Settle { claim: Some(claim), ..self.settle(line) }
    }

    /// `12:00:03.000/missed/edited/3`, the count left out where nobody counted.
    fn span(&self, text: &str) -> SettleSpan {
        let parts: Vec<&str> = text.split('/').collect();
        let verdict = match parts[1] {
            "fired" => Verdict::Fired,
            "skipped" => Verdict::Skipped,
            "missed" => Verdict::Missed,
            _ => Verdict::Coalesced,
        };
        let reason = match parts[2] {
            "paused" => Reason::Paused,
            "window" => Reason::Window,
            "max" => Reason::Max,
            "no_node" => Reason::NoNode,
            "later" => Reason::Later,
            other => panic!("no reason {other}"),
        };
        let count = parts.get(3).map(|count| count.parse().expect("a count"));
        SettleSpan { to: self.time(parts[0]), verdict, reason, count }
    }

    fn execution_command(&self, line: &ScriptLine) -> Command {
        let found = self.task(line.word(1));
        let task = found.key;
        let id = line
            .words
            .iter()
            .find(|word| word.starts_with('e') && word[1..].parse::<u64>().is_ok());
        let first = |status| {
            let mut live: Vec<&Execution> = found.live_executions().collect();
            live.retain(|one| one.status == status);
            live.into_iter().min_by_key(|one| found.waiting_execution(one)).expect("one").id
        };
        let execution = match id {
            Some(id) => ExecutionId(ScriptLine::number(id)),
            None if line.option("first") == Some("running") => first(Status::Running),
            None if line.option("first") == Some("waiting") => first(Status::Pending),
            None if line.option("first") == Some("ended") => {
                found.history.executions.iter().find(|one| one.status.ended()).expect("one").id
            }
            None => found.history.executions.back().expect("an execution").id,
        };
        let current = found.history.execution(execution).and_then(|kept| kept.attempt.as_ref());
        let fence = match line.option("fence") {
            Some(text) => Fence(ScriptLine::number(text)),
            None => current.map_or(Fence(0), |attempt| attempt.fence),
        };
        let again = line.option("again").map(|text| Fence(ScriptLine::number(text)));
        match line.word(0) {
            "start" => {
                Command::Start(Start { task, execution, session: self.session(line), again })
            }
            "finish" => {
                let status = match line.words.last().map(String::as_str) {
                    Some("failed") => Status::Failed,
                    Some("timeout") => Status::Timeout,
                    Some("running") => Status::Running,
                    Some("cancelled") => Status::Cancelled,
                    Some("lost") => Status::Lost,
                    _ => Status::Success,
                };
                let mut report = report(status, self.world.stamp);
                if let Some(took) = line.option("took") {
                    report.started_at =
                        Some(report.ended_at.minus(Millis::parse(took).expect("a duration")));
                }
                report.unknown |= line.has("unknown");
                finish(task, execution, fence, report)
            }
            "return" => Command::Return(OfFence { task, execution, fence }),
            "lose" => Command::Lose(OfFence { task, execution, fence }),
            "stop" => Command::Stop(OfExecution { task, execution }),
            "retry" => Command::Retry(OfExecution { task, execution }),
            "dismiss" => Command::Dismiss(OfExecution { task, execution }),
            other => {
                let of = OfFence { task, execution, fence };
                let known = executors::dispatch(line, of, self.session(line), again);
                known.unwrap_or_else(|| panic!("no command {other}"))
            }
        }
    }
}

/// A number that is set for a node, or `own`: the node's own is in force again.
fn own_or_number(text: &str) -> Option<u32> {
    (text != "own").then(|| text.parse().expect("a number"))
}
