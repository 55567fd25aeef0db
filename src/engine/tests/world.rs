//! A replica with the decision cores of node n1 over it. The script plays the actors, the log and
//! the other nodes.

use std::collections::{BTreeMap, VecDeque};

use serde_json::json;

use crate::clock::BootInstant;
use crate::domain::assign::Members;
use crate::domain::ids::{ExecutionId, Fence, NodeId, SessionId, TaskKey};
use crate::domain::machine::command::{
    Claim, Finish, Genesis, MarkDeleted, Named, NodeIntent, NodeLiveness, NodePatch, NodeUp,
    OfExecution, OfFence, PauseTask, Put, PutMode, SetScheduler, Settle, TriggerTask,
};
use crate::domain::machine::envelope::{self, EntryHead};
use crate::domain::machine::record::{Intent, Liveness, Report, Status, Trigger};
use crate::domain::machine::{Answer, Applied, Command, Hint, Response, State};
use crate::domain::spec::{self, ReadContext};
use crate::domain::time::{Millis, Timestamp};
use crate::engine::EngineSettings;
use crate::engine::dispatch::{Dispatch, DispatchDo, DispatchEvent};
use crate::engine::judge::{
    LeaderView, LivenessJudge, LivenessReport, losses, may_report, sample_node,
};
use crate::engine::observed::ObservedTask;
use crate::engine::residency::{Residence, Residency, ResidencyDo, ResidencyEvent};
use crate::engine::sleepers::Need;
use crate::engine::slots::AskPurpose;
use crate::engine::view::{EngineView, find_executions};
use crate::exec::Stop;

/// Noon of the day on which all stories play.
const NOON: Timestamp = Timestamp(1_772_452_800_000);
/// The node whose decisions are told.
const OWN: NodeId = NodeId(1);

pub(super) struct EngineWorld {
    state: State,
    now: Timestamp,
    boots: u128,
    sessions: BTreeMap<NodeId, SessionId>,
    /// Of this process; none: not registered.
    session: Option<SessionId>,
    dispatch: Dispatch,
    residency: Residency,
    judge: LivenessJudge,
    leads: bool,
    former_leader: Option<(u64, BootInstant)>,
    residents: BTreeMap<TaskKey, Residence>,
    alarms: Vec<(Timestamp, TaskKey)>,
    /// Proposed and not yet applied.
    proposed: VecDeque<Command>,
    /// Whether hints of what is applied are lost.
    gap: bool,
    told: Vec<String>,
}

impl Default for EngineWorld {
    fn default() -> Self {
        let mut world = Self {
            state: State::default(),
            now: NOON,
            boots: 0,
            sessions: BTreeMap::new(),
            session: None,
            dispatch: Dispatch::new(Millis(1_000)),
            residency: Residency::default(),
            judge: LivenessJudge::default(),
            leads: false,
            former_leader: None,
            residents: BTreeMap::new(),
            alarms: Vec::new(),
            proposed: VecDeque::new(),
            gap: false,
            told: Vec::new(),
        };
        let genesis =
            Genesis { id: 1, name: "test".to_owned(), timezone: "UTC".to_owned(), scheduler: true };
        world.apply(&Command::Genesis(genesis)).expect("a cluster");
        world
    }
}

/// A line: words, and options `key=value`.
struct StoryLine<'a>(Vec<&'a str>);

impl<'a> StoryLine<'a> {
    fn word(&self, at: usize) -> &'a str {
        let mut words = self.0.iter().filter(|word| !word.contains('='));
        words.nth(at).copied().unwrap_or_default()
    }

    fn option(&self, key: &str) -> Option<&'a str> {
        let mut pairs = self.0.iter().filter_map(|word| word.split_once('='));
        pairs.find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// A number such as `n2`, `e9`, `f8`.
    fn number(&self, at: usize) -> u64 {
        let word = self.word(at);
        let digits = word.trim_start_matches(char::is_alphabetic);
        digits.parse().unwrap_or_else(|_| panic!("a number: {word}"))
    }
}

fn clock(at: Timestamp) -> String {
    at.to_string()[11..23].to_owned()
}

impl EngineWorld {
    /// Plays one line of a script; tells what is to be done about it.
    pub fn line(&mut self, text: &str, place: &str) -> Vec<String> {
        let line = StoryLine(text.split_whitespace().collect());
        self.told.clear();
        match line.word(0) {
            "at" => self.now = self.time(line.word(1)),
            "up" => self.up(&line),
            "restart" => self.restart(&line),
            "register" => self.register(),
            "apply" => self.apply_proposed(line.word(1)),
            "gap" => self.gap = true,
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
            "limit" => self.dispatch.slots.set_limit(line.number(1).try_into().expect("small")),
            "fill" => self.on_attempt(DispatchEvent::Fill),
            "check" => self.on_attempt(DispatchEvent::Check),
            "check-grants" => self.on_attempt(DispatchEvent::CheckGrants),
            "stop-all" => self.on_attempt(DispatchEvent::StopAll(Stop::Ask)),
            "silence" => {
                let silence = Millis::parse(line.word(1)).expect("a duration");
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
            "show" => self.show(line.word(1)),
            _ => {
                let command = self.command(&line, place);
                if let Err(refused) = self.apply(&command) {
                    self.told.push(format!("refused, {refused}"));
                }
            }
        }
        std::mem::take(&mut self.told)
    }

    // ---- the log

    /// Applies a command and has the cores decide about its hints.
    fn apply(&mut self, command: &Command) -> Result<Answer, &'static str> {
        let (response, hints) = self.entry(command);
        if !self.gap {
            self.hints(hints);
        }
        response.map_err(|refusal| refusal.code().as_str())
    }

    fn entry(&mut self, command: &Command) -> (Response, Vec<Hint>) {
        let mut packed = Vec::new();
        envelope::pack(&mut packed, command, "", None);
        let index = self.state.cluster().applied + 1;
        let entry = envelope::entry(EntryHead { stamp: self.now, origin: 1, seq: index }, &packed);
        let mut applied = Applied::default();
        self.state.apply(index, &entry, &mut applied).expect("a well-formed entry");
        (applied.responses.remove(0), applied.effects.hints)
    }

    /// Applies what was proposed, all of it or so many; the rest is lost if `word` is `none`.
    fn apply_proposed(&mut self, word: &str) {
        let many = match word {
            "" => self.proposed.len(),
            "none" => return self.proposed.clear(),
            number => number.parse().expect("a number"),
        };
        for command in self.proposed.drain(..many).collect::<Vec<_>>() {
            if let Err(refused) = self.apply(&command) {
                self.told.push(format!("refused, {refused}"));
                if let Command::Start(start) = command {
                    self.on_attempt(DispatchEvent::AskRefused(start.task, start.execution));
                }
            }
        }
    }

    fn hints(&mut self, hints: Vec<Hint>) {
        let mut members = false;
        for hint in hints {
            match hint {
                Hint::Settled(task) => {
                    self.on_attempt(DispatchEvent::Settled(task));
                    self.on_task(ResidencyEvent::Settled(task));
                }
                Hint::Task(task) => {
                    self.on_attempt(DispatchEvent::TaskChanged(task));
                    self.on_task(ResidencyEvent::Changed(task));
                }
                Hint::Pending(task, execution) => {
                    self.on_attempt(DispatchEvent::Pending(task, execution));
                }
                Hint::Granted { task, execution, fence, session }
                    if Some(session) == self.session =>
                {
                    let grant = OfFence { task, execution, fence };
                    self.on_attempt(DispatchEvent::Granted(grant));
                }
                Hint::Stop(_, execution) => self.on_attempt(DispatchEvent::StopAsked(execution)),
                Hint::Ended(task, execution, _) => {
                    self.on_attempt(DispatchEvent::ExecutionEnded(task, execution));
                }
                Hint::Node(_) | Hint::Scheduler => members = true,
                _ => {}
            }
        }
        if members {
            self.sweep();
            self.on_attempt(DispatchEvent::MembersChanged);
        }
        self.on_attempt(DispatchEvent::Fill);
    }

    fn command(&self, line: &StoryLine<'_>, place: &str) -> Command {
        let name = line.word(1).to_owned();
        let of_name = || Named { name: name.clone(), if_match: None };
        match line.word(0) {
            "working" => self.liveness(line, Liveness::Working),
            "down" => self.liveness(line, Liveness::Down),
            "intent" => Command::NodeIntent(NodeIntent {
                node: NodeId(line.number(1)),
                intent: match line.word(2) {
                    "draining" => Intent::Draining,
                    "leaving" => Intent::Leaving,
                    _ => Intent::None,
                },
            }),
            "weight" => Command::NodePatch(NodePatch {
                node: NodeId(line.number(1)),
                weight: Some(line.number(2).try_into().expect("small")),
                slots: None,
                labels: None,
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
                    status: Status::Success,
                    started_at: Some(self.now),
                    ended_at: self.now,
                    exit_code: None,
                    http_status: None,
                    detail: String::new(),
                    tail: Vec::new(),
                };
                Command::Finish(Box::new(Finish { task, execution, fence, report }))
            }
            other => panic!("{place}: no line {other}"),
        }
    }

    fn put(&self, line: &StoryLine<'_>, mode: PutMode) -> Command {
        let schedule = match line.word(2) {
            "every" => json!({"interval": line.word(3)}),
            "at" => json!({"at": self.time(line.word(3)).to_string()}),
            _ => json!({"manual": true}),
        };
        let mut body = json!({"name": line.word(1), "schedule": schedule,
            "action": {"func": {"id": "f"}}});
        if let Some(node) = line.option("on") {
            body["assignment"] = json!({"selector": {"node": node}});
        }
        if let Some(lost_after) = line.option("lost_after") {
            body["lost_after"] = json!(lost_after);
        }
        let context = ReadContext {
            default_zone: "UTC",
            now: self.now,
            min_interval: Millis(100),
            functions_allowed: true,
            current: None,
            settled: Timestamp(0),
            calendars: Some(&self.state),
        };
        let spec = spec::read(&body, context).unwrap_or_else(|error| panic!("{body}: {error:?}"));
        Command::Put(Box::new(Put { mode, spec }))
    }

    /// The newest execution of a task, or `e=`; with the fence of its attempt, or `fence=`.
    fn execution(&self, line: &StoryLine<'_>) -> (TaskKey, ExecutionId, Fence) {
        let task = self.state.named(line.word(1)).unwrap_or_else(|| panic!("{:?}", line.0));
        let newest = task.history.executions.back().map(|found| found.id);
        let number = |text: &str| text[1..].parse().expect("a number");
        let id = line.option("e").map(|text| ExecutionId(number(text))).or(newest);
        let found = task.history.execution(id.expect("an execution")).expect("an execution");
        let fence = found.attempt.as_ref().map_or(Fence(0), |attempt| attempt.fence);
        (task.key, found.id, line.option("fence").map_or(fence, |text| Fence(number(text))))
    }

    // ---- nodes

    fn up(&mut self, line: &StoryLine<'_>) {
        let node = NodeId(line.number(1));
        self.boots += 1;
        let mut info = sample_node(1, Liveness::Working).info;
        info.name = line.word(1).to_owned();
        info.functions = vec!["*".to_owned()];
        let up = NodeUp { node, boot: self.boots, info };
        if let Ok(Answer::Session(session)) = self.apply(&Command::NodeUp(Box::new(up))) {
            self.sessions.insert(node, session);
        }
    }

    /// This process learns that it is registered.
    fn register(&mut self) {
        self.session = self.sessions.get(&OWN).copied();
        self.sweep();
        self.find();
    }

    /// A new process in place of this one.
    fn restart(&mut self, line: &StoryLine<'_>) {
        self.dispatch = Dispatch::new(Millis(1_000));
        self.residency = Residency::default();
        (self.judge, self.leads) = (LivenessJudge::default(), false);
        self.residents.clear();
        self.alarms.clear();
        self.proposed.clear();
        self.session = None;
        self.up(line);
    }

    fn liveness(&self, line: &StoryLine<'_>, liveness: Liveness) -> Command {
        let node = NodeId(line.number(1));
        Command::NodeLiveness(NodeLiveness { node, session: self.sessions[&node], liveness })
    }

    fn lead(&mut self, line: &StoryLine<'_>) {
        self.leads = line.word(1) != "no";
        if let Some(former) = line.option("after") {
            let node = former.trim_start_matches('n').parse().expect("a node");
            let at = self.time(line.option("acknowledged").expect("when it did"));
            self.former_leader = Some((node, boot(at)));
        }
    }

    /// A node reports, unless its engine has not come round since `round`.
    fn report(&mut self, line: &StoryLine<'_>) {
        let node = NodeId(line.number(1));
        let round = line.option("round").map_or(self.now, |text| self.time(text));
        if !may_report(boot(round), boot(self.now)) {
            return self.told.push("does not report".to_owned());
        }
        let applied = line.option("applied").map(|text| text.parse().expect("an index"));
        let applied = applied.unwrap_or(self.state.cluster().applied);
        let session = line.option("session").map(|text| SessionId(text.parse().expect("one")));
        let session = session.unwrap_or(self.sessions[&node]);
        self.judge.hear(LivenessReport { node: node.0, session, applied }, boot(self.now));
    }

    fn judge(&mut self) {
        let members: Vec<u64> = self.sessions.keys().map(|node| node.0).collect();
        let view = LeaderView {
            state: &self.state,
            members: &members,
            former_leader: self.former_leader,
            down_after: Millis(1_500),
        };
        let commands = self.judge.judge(self.leads.then_some(&view), boot(self.now));
        self.propose_all(commands);
    }

    fn propose_all(&mut self, commands: Vec<Command>) {
        for command in commands {
            self.told.push(match &command {
                Command::NodeLiveness(judged) => {
                    format!("n{} is {:?}", judged.node, judged.liveness).to_lowercase()
                }
                Command::Lose(lost) => format!("e{} f{} is lost", lost.execution, lost.fence),
                other => format!("{other:?}"),
            });
            self.proposed.push_back(command);
        }
    }

    // ---- tasks

    fn task(&self, name: &str) -> TaskKey {
        self.state.named(name).unwrap_or_else(|| panic!("no task {name}")).key
    }

    fn task_line(&mut self, line: &StoryLine<'_>) {
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

    fn sweep(&mut self) {
        let tasks = self.state.tasks().map(|task| task.key).collect();
        self.on_task(ResidencyEvent::Sweep(tasks));
    }

    fn ring(&mut self) {
        self.alarms.sort_unstable();
        let due = self.alarms.iter().take_while(|(at, _)| *at <= self.now).count();
        let rang = self.alarms.drain(..due).map(|(at, task)| (task, at)).collect();
        self.on_task(ResidencyEvent::Rang(rang));
    }

    fn on_task(&mut self, event: ResidencyEvent) {
        let mut todo: VecDeque<ResidencyDo> = self.residency.on(event, self.now).into();
        while let Some(next) = todo.pop_front() {
            let event = match next {
                ResidencyDo::Look(task) => {
                    self.tell("look", task);
                    continue;
                }
                ResidencyDo::Assess(task, swept) => {
                    ResidencyEvent::Assessed { task, need: self.assess(task), swept }
                }
                ResidencyDo::Activate(task, residence) => {
                    self.residents.insert(task, residence);
                    self.tell("activate", task);
                    continue;
                }
                ResidencyDo::Forget(task) => {
                    self.residents.remove(&task);
                    self.tell("forget", task);
                    continue;
                }
                ResidencyDo::SetAlarm(task, at) => {
                    self.alarms.push((at, task));
                    self.tell(&format!("alarm at {} for", clock(at)), task);
                    continue;
                }
                ResidencyDo::Continue => ResidencyEvent::Continue,
                ResidencyDo::TookOver(tasks) => {
                    self.told.push(format!("took over {tasks}"));
                    continue;
                }
                ResidencyDo::Unreadable(task, _) => {
                    self.tell("unreadable", task);
                    continue;
                }
            };
            todo.extend(self.residency.on(event, self.now));
        }
    }

    fn tell(&mut self, what: &str, task: TaskKey) {
        let name = self.state.task(task).map_or("?", |task| &*task.live.name);
        self.told.push(format!("{what} {name}"));
    }

    fn assess(&self, key: TaskKey) -> Result<Need, String> {
        let members = Members::of(&self.state);
        let observed = ObservedTask::of(&self.state, key);
        let owned =
            |found: &ObservedTask| self.session.is_some() && self.view(&members).owns(&found.task);
        let Some(observed) = observed.filter(owned) else { return Ok(Need::Nothing) };
        let settings = EngineSettings {
            failover_timeout: Millis(5_000),
            down_after: Millis(1_500),
            dispatch_ttl: Millis(1_000),
            activation_horizon: Millis(10_000),
            attempts_max: usize::MAX,
            info: sample_node(1, Liveness::Working).info,
        };
        observed.need(self.now, &settings).map_err(|error| error.message)
    }

    /// The actor of a task claims ticks: each with a start, if there is a slot.
    fn claim(&mut self, line: &StoryLine<'_>) {
        let task = self.task(line.word(1));
        let tick = self.time(line.word(2));
        let by = line.option("by").map(|text| NodeId(text[1..].parse().expect("one")));
        let purpose = AskPurpose::Claim(task, tick);
        let start = by.is_some() || self.dispatch.slots.ask(purpose, boot(self.now));
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

    // ---- attempts

    fn view<'a>(&'a self, members: &'a Members) -> EngineView<'a> {
        view(&self.state, members, self.session, self.now)
    }

    fn find(&mut self) {
        let found = find_executions(&self.state, self.session);
        self.on_attempt(DispatchEvent::Found(found));
    }

    fn attempt_line(&mut self, line: &StoryLine<'_>) {
        let (task, execution, fence) = self.execution(line);
        if line.word(0) == "ended" {
            return self.on_attempt(DispatchEvent::AttemptEnded(execution, fence));
        }
        self.on_attempt(DispatchEvent::NotStarted(OfFence { task, execution, fence }));
    }

    fn on_attempt(&mut self, event: DispatchEvent) {
        let members = Members::of(&self.state);
        let view = view(&self.state, &members, self.session, self.now);
        for todo in self.dispatch.on(event, &view) {
            self.told.push(match todo {
                DispatchDo::Ask(start) => {
                    self.proposed.push_back(Command::Start(start));
                    let again =
                        start.again.map_or(String::new(), |fence| format!(" again, f{fence}"));
                    format!("ask e{}{again}", start.execution)
                }
                DispatchDo::GiveBack(grant) => {
                    self.proposed.push_back(Command::Return(grant));
                    format!("give back e{} f{}", grant.execution, grant.fence)
                }
                DispatchDo::Begin(grant, by) => {
                    let by = clock(NOON.plus(Millis(by.0)));
                    format!("begin e{} f{} by {by}", grant.execution, grant.fence)
                }
                DispatchDo::Stop(execution, fence, how) => {
                    let how = if how == Stop::Kill { "kill" } else { "stop" };
                    format!("{how} e{execution} f{fence}")
                }
            });
        }
    }

    /// Tells what the state has of a task's executions, and what runs here.
    fn show(&mut self, name: &str) {
        let task = self.state.named(name).expect("a task");
        let lines = task.history.executions.iter().map(|found| {
            let fence = found.attempt.as_ref().map(|attempt| format!(" f{}", attempt.fence));
            let status = format!("{:?}", found.status).to_lowercase();
            format!("e{} {status}{}", found.id, fence.unwrap_or_default())
        });
        self.told.extend(lines);
        self.told.push(format!("{} run here", self.dispatch.running()));
    }

    /// `12:00:05.000` on the day of the stories, or `+5s` from now.
    fn time(&self, text: &str) -> Timestamp {
        if let Some(by) = text.strip_prefix('+') {
            return self.now.plus(Millis::parse(by).expect("a duration"));
        }
        let whole = format!("{}T{text}Z", &NOON.to_string()[..10]);
        Timestamp::parse(&whole).unwrap_or_else(|error| panic!("{text}: {error}"))
    }
}

/// Time since boot; the process began at noon.
fn boot(at: Timestamp) -> BootInstant {
    BootInstant(at.since(NOON).0)
}

fn view<'a>(
    state: &'a State,
    members: &'a Members,
    session: Option<SessionId>,
    now: Timestamp,
) -> EngineView<'a> {
    EngineView { state, members, node: OWN, session, now, boot: boot(now) }
}
