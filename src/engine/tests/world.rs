//! A replica with the decisions of node n1. It applies commands, passes their hints to the
//! decisions, and records the resulting actions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::executors;
use crate::clock::BootInstant;
use crate::config::ExecutorSettings;
use crate::domain::assign::Members;
use crate::domain::ids::{NodeId, SessionId, TaskKey};
use crate::domain::machine::command::{Genesis, OfFence};
use crate::domain::machine::envelope::{self, EntryHead};
use crate::domain::machine::record::Liveness;
use crate::domain::machine::{Answer, Applied, Command, Hint, Response, State};
use crate::domain::time::{Millis, Timestamp};
use crate::engine::EngineSettings;
use crate::engine::dispatch::{Dispatch, DispatchDo, DispatchEvent};
use crate::engine::judge::{LeaderView, LivenessJudge, sample_node};
use crate::engine::moved::MembersChange;
use crate::engine::observed::ObservedTask;
use crate::engine::prober::{ProbeEvent, Prober};
use crate::engine::residency::{Residence, Residency, ResidencyDo, ResidencyEvent};
use crate::engine::settle_cycle::SettleCycle;
use crate::engine::sleepers::Need;
use crate::engine::view::{EngineView, find_executions};
use crate::engine::watcher::{WatchEvent, Watcher};
use crate::exec::Stop;

/// Noon of the day on which all stories play.
pub(super) const NOON: Timestamp = Timestamp(1_772_452_800_000);
/// How long before its due time a tick is claimed.
pub(super) const LEAD: Millis = Millis(50);
/// A task whose tick is nearer than this has an actor.
pub(super) const HORIZON: Millis = Millis(10_000);
/// The node whose decisions are told.
pub(super) const OWN: NodeId = NodeId(1);

pub(super) struct EngineWorld {
    pub state: State,
    pub now: Timestamp,
    pub boots: u128,
    pub sessions: BTreeMap<NodeId, SessionId>,
    /// Of this process; none: not registered.
    pub session: Option<SessionId>,
    pub dispatch: Dispatch,
    pub residency: Residency,
    pub judge: LivenessJudge,
    pub watcher: Watcher,
    /// The nodes that may own tasks, at the last look.
    owners: Arc<Members>,
    /// How many tasks were assessed.
    pub assessed: usize,
    /// Whether a compare takes until the script ends it, and the one that runs.
    pub slow_compares: bool,
    comparing: Option<MembersChange>,
    pub prober: Prober,
    pub leads: bool,
    pub former_leader: Option<(u64, BootInstant)>,
    pub residents: BTreeMap<TaskKey, Residence>,
    pub alarms: Vec<(Timestamp, TaskKey)>,
    /// The alarms for attempts.
    pub woken_at: Vec<Timestamp>,
    /// Proposed and not yet applied.
    pub proposed: VecDeque<Command>,
    /// What the actors of tasks remember of their proposals.
    pub cycles: BTreeMap<TaskKey, SettleCycle>,
    /// Whether this node has cluster time.
    pub sure: bool,
    /// The members of the log; none: all nodes.
    pub members: Vec<u64>,
    /// Whether hints of what is applied are lost.
    pub gap: bool,
    /// Hints that are kept back, while they are.
    pub late: Option<Vec<Hint>>,
    pub told: Vec<String>,
}

impl Default for EngineWorld {
    fn default() -> Self {
        let mut world = Self {
            state: State::default(),
            now: NOON,
            boots: 0,
            sessions: BTreeMap::new(),
            session: None,
            dispatch: executors::dispatch(),
            watcher: executors::watcher(),
            owners: Arc::default(),
            assessed: 0,
            slow_compares: false,
            comparing: None,
            prober: executors::prober(),
            residency: Residency::default(),
            judge: LivenessJudge::default(),
            leads: false,
            former_leader: None,
            residents: BTreeMap::new(),
            alarms: Vec::new(),
            woken_at: Vec::new(),
            proposed: VecDeque::new(),
            cycles: BTreeMap::new(),
            sure: true,
            members: Vec::new(),
            gap: false,
            late: None,
            told: Vec::new(),
        };
        let genesis = Genesis {
            id: 1,
            name: "test".to_owned(),
            timezone: "UTC".to_owned(),
            scheduler: true,
            callback_key: 7,
        };
        world.apply(&Command::Genesis(genesis)).expect("a cluster");
        world
    }
}

pub(super) fn clock(at: Timestamp) -> String {
    at.to_string()[11..23].to_owned()
}

impl EngineWorld {
    // ---- the log

    /// Applies a command and has the cores decide about its hints.
    pub fn apply(&mut self, command: &Command) -> Result<Answer, &'static str> {
        self.apply_stamped(command, self.now)
    }

    /// Applies a command of a leader whose time is another one.
    fn apply_stamped(
        &mut self,
        command: &Command,
        stamp: Timestamp,
    ) -> Result<Answer, &'static str> {
        let (response, hints) = self.entry(command, stamp);
        match &mut self.late {
            _ if self.gap => {}
            Some(late) => late.extend(hints),
            None => self.hints(hints),
        }
        response.map_err(|refusal| refusal.code().as_str())
    }

    fn entry(&mut self, command: &Command, stamp: Timestamp) -> (Response, Vec<Hint>) {
        let mut packed = Vec::new();
        envelope::pack(&mut packed, command, "", None);
        let index = self.state.cluster().applied + 1;
        let entry = envelope::entry(EntryHead { stamp, origin: 1, seq: index }, &packed);
        let mut applied = Applied::default();
        self.state.apply(index, &entry, &mut applied).expect("a well-formed entry");
        (applied.responses.remove(0), applied.effects.hints)
    }

    /// Applies what was proposed, all of it or so many; the rest is lost if `word` is `none`. The
    /// leader's time is so far behind.
    pub fn apply_proposed(&mut self, word: &str, behind: Millis) {
        let many = match word {
            "" => self.proposed.len(),
            "none" => return self.proposed.clear(),
            number => number.parse().expect("a number"),
        };
        for command in self.proposed.drain(..many).collect::<Vec<_>>() {
            if let Err(refused) = self.apply_stamped(&command, self.now.minus(behind)) {
                self.told.push(format!("refused, {refused}"));
                let of = match command {
                    Command::Start(start) => (start.task, start.execution),
                    Command::StartOn(start) => (start.task, start.execution),
                    _ => continue,
                };
                self.on_attempt(DispatchEvent::AskRefused(of.0, of.1));
            }
        }
    }

    pub fn hints(&mut self, hints: Vec<Hint>) {
        let (mut members, mut executors, mut scheduler) = (false, false, false);
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
                Hint::Line(task) => self.on_attempt(DispatchEvent::LineChanged(task)),
                Hint::Stop(task, execution) => {
                    self.on_watch(WatchEvent::Changed(task, execution));
                    self.on_attempt(DispatchEvent::StopAsked(execution));
                }
                Hint::Ended(task, execution, status) => {
                    self.on_watch(WatchEvent::Ended(execution, status));
                    self.on_attempt(DispatchEvent::ExecutionEnded(task, execution));
                }
                Hint::AttemptEnded(_, execution) => {
                    self.on_watch(WatchEvent::AttemptEnded(execution));
                }
                Hint::Accepted(task, execution) => {
                    self.on_watch(WatchEvent::Changed(task, execution));
                }
                Hint::Executors => executors = true,
                Hint::Node(_) | Hint::Strategy => members = true,
                Hint::Scheduler => scheduler = true,
                _ => {}
            }
        }
        let members = members || self.state.declared_tasks() != self.owners.declared();
        let moved = members && self.look_at_members();
        if scheduler {
            self.sweep();
        }
        if moved || scheduler {
            self.on_attempt(DispatchEvent::MembersChanged);
        } else if executors {
            self.on_attempt(DispatchEvent::ExecutorsChanged);
        }
        if members || scheduler || executors {
            self.on_probe(ProbeEvent::Look(Millis(0)));
        }
        self.on_attempt(DispatchEvent::Fill);
    }

    // ---- nodes

    /// This process learns that it is registered.
    pub fn register(&mut self) {
        self.session = self.sessions.get(&OWN).copied();
        self.sweep();
        self.find();
    }

    pub fn judge(&mut self) {
        let all = || self.sessions.keys().map(|node| node.0).collect();
        let members = if self.members.is_empty() { all() } else { self.members.clone() };
        let view = LeaderView {
            state: &self.state,
            members: &members,
            former_leader: self.former_leader,
            down_after: Millis(1_500),
        };
        let commands = self.judge.judge(self.leads.then_some(&view), boot(self.now));
        self.propose_all(commands);
    }

    pub fn propose_all(&mut self, commands: Vec<Command>) {
        for command in commands {
            self.told.push(match &command {
                Command::NodeLiveness(judged) => {
                    format!("n{} is {:?}", judged.node, judged.liveness).to_lowercase()
                }
                Command::NodeRemove(gone) => format!("n{} is removed", gone.node),
                Command::Lose(lost) => format!("e{} f{} is lost", lost.execution, lost.fence),
                other => format!("{other:?}"),
            });
            self.proposed.push_back(command);
        }
    }

    // ---- tasks

    pub fn task(&self, name: &str) -> TaskKey {
        self.state.named(name).unwrap_or_else(|| panic!("no task {name}")).key
    }

    /// Takes the members as they are now, and looks at the tasks that move.
    fn look_at_members(&mut self) -> bool {
        let Some(change) = self.refresh_members() else { return false };
        self.on_task(ResidencyEvent::MembersChanged(change));
        true
    }

    /// The events of a compare of all owners.
    fn compare(&self, change: &MembersChange) -> Vec<ResidencyEvent> {
        let mut parts = Vec::new();
        change.compare(&self.state, OWN, self.now, &settings(), |moved, last| {
            parts.push(ResidencyEvent::Moved(moved, last));
        });
        parts
    }

    /// The compare ends that was held up.
    pub fn end_compare(&mut self) {
        let change = self.comparing.take().expect("a compare runs");
        for event in self.compare(&change) {
            self.on_task(event);
        }
    }

    fn refresh_members(&mut self) -> Option<MembersChange> {
        let after = Arc::new(Members::of(&self.state));
        let before = std::mem::replace(&mut self.owners, Arc::clone(&after));
        (!after.give_as(&before)).then_some(MembersChange { before, after })
    }

    pub fn sweep(&mut self) {
        self.refresh_members();
        let tasks = self.state.tasks().map(|task| task.key).collect();
        self.on_task(ResidencyEvent::Sweep(tasks));
    }

    pub fn ring(&mut self) {
        self.alarms.sort_unstable();
        let due = self.alarms.iter().take_while(|(at, _)| *at <= self.now).count();
        let rang = self.alarms.drain(..due).map(|(at, task)| (task, at)).collect();
        self.on_task(ResidencyEvent::AlarmsDue(rang));
        let set = self.woken_at.len();
        self.woken_at.retain(|at| *at > self.now);
        if self.woken_at.len() < set {
            self.on_attempt(DispatchEvent::Woken);
        }
    }

    pub fn on_task(&mut self, event: ResidencyEvent) {
        let mut todo: VecDeque<ResidencyDo> = self.residency.on(event, self.now).into();
        while let Some(next) = todo.pop_front() {
            let event = match next {
                ResidencyDo::Look(task) => {
                    self.tell("look", task);
                    continue;
                }
                ResidencyDo::Assess(task, swept) => {
                    self.assessed += 1;
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
                ResidencyDo::Compare(change) if self.slow_compares => {
                    assert!(self.comparing.is_none(), "two compares run");
                    self.told.push("compare".to_owned());
                    self.comparing = Some(change);
                    continue;
                }
                ResidencyDo::Compare(change) => {
                    for event in self.compare(&change) {
                        todo.extend(self.residency.on(event, self.now));
                    }
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
        observed.need(self.now, &settings()).map_err(|error| error.message)
    }

    // ---- attempts

    pub fn view<'a>(&'a self, members: &'a Members) -> EngineView<'a> {
        view(&self.state, members, self.session, self.now)
    }

    pub fn find(&mut self) {
        let found = find_executions(&self.state, self.session);
        self.on_attempt(DispatchEvent::Found(found));
    }

    pub fn on_attempt(&mut self, event: DispatchEvent) {
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
                DispatchDo::AskOn(start) => {
                    let (id, executor) = (start.execution, start.executor.clone());
                    let again =
                        start.again.map_or(String::new(), |fence| format!(" again, f{fence}"));
                    self.proposed.push_back(Command::StartOn(start));
                    format!("ask e{id} on {executor}{again}")
                }
                DispatchDo::Fail(fail) => {
                    let id = fail.execution;
                    self.proposed.push_back(Command::Fail(fail));
                    format!("e{id} fails")
                }
                DispatchDo::GiveBack(grant) => {
                    self.proposed.push_back(Command::Return(grant));
                    format!("give back e{} f{}", grant.execution, grant.fence)
                }
                DispatchDo::Begin(grant, by) => {
                    let by = clock(NOON.plus(Millis(by.0)));
                    format!("begin e{} f{} by {by}", grant.execution, grant.fence)
                }
                DispatchDo::WakeAt(at) => {
                    self.woken_at.push(at);
                    format!("wake at {}", clock(at))
                }
                DispatchDo::Stop(execution, fence, how) => {
                    let how = if how == Stop::Kill { "kill" } else { "stop" };
                    format!("{how} e{execution} f{fence}")
                }
            });
        }
    }

    /// Tells what the state has of a task's executions, and what runs here.
    pub fn show(&mut self, name: &str) {
        let task = self.state.named(name).expect("a task");
        let lines = task.history.executions.iter().map(|found| {
            let fence = found.attempt.as_ref().map(|attempt| format!(" f{}", attempt.fence));
            let status = format!("{:?}", found.status).to_lowercase();
            format!("e{} {status}{}", found.id, fence.unwrap_or_default())
        });
        self.told.extend(lines);
        self.told.push(format!("{} run here", self.dispatch.running()));
    }
}

fn settings() -> EngineSettings {
    EngineSettings {
        failover_timeout: Millis(5_000),
        down_after: Millis(1_500),
        dispatch_ttl: Millis(1_000),
        activation_horizon: HORIZON,
        attempts_max: usize::MAX,
        strategy: None,
        executors: ExecutorSettings::default(),
        info: sample_node(1, Liveness::Working).info,
    }
}

/// Time since boot; the process began at noon.
pub(super) fn boot(at: Timestamp) -> BootInstant {
    BootInstant(at.since(NOON).0)
}

pub(super) fn view<'a>(
    state: &'a State,
    members: &'a Members,
    session: Option<SessionId>,
    now: Timestamp,
) -> EngineView<'a> {
    EngineView { state, members, node: OWN, session, now, boot: boot(now) }
}
