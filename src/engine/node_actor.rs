//! The root actor: this process's registration, what it heard of others, which tasks are resident,
//! which attempts run.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef};

use crate::consensus::Event;
use crate::domain::ids::{ExecutionId, Fence, SessionId, TaskKey};
use crate::domain::machine::Effect;
use crate::domain::machine::command::Start;
use crate::domain::machine::record::{Execution, Liveness, Status, Trigger};
use crate::domain::schedule::Plan;
use crate::domain::settling::{Outlook, View, outlook};
use crate::domain::task::Action;
use crate::domain::time::{Millis, Timestamp};
use crate::exec::Stop;

use super::execution_actor::{ExecutionActor, ExecutionArguments, ExecutionMsg, Grant};
use super::liveness::{Ear, Tale};
use super::news::News;
use super::shared::{Purpose, Shared};
use super::task_actor::{TaskActor, TaskArguments, TaskMsg};
use super::timer::{Alarm, Whom};

/// Ticks between two looks at executions that want something of this node.
const WANTING_EVERY: u64 = 5;
/// Ticks between two looks at live executions.
const LIVE_EVERY: u64 = 10;
/// Ticks between two looks for attempts that nobody will end.
const LOSE_EVERY: u64 = 100;
/// Ticks between two looks at all tasks.
const ALL_EVERY: u64 = 300;
/// Tasks considered before other messages get a turn.
const SLICE: usize = 500;

pub(super) struct NodeActor;

/// What the node actor is told.
pub(super) enum NodeMsg {
    /// Something happened to the state.
    Event(Event),
    /// This process is registered.
    Registered(SessionId),
    /// Time passed.
    Tick,
    /// A node told of itself.
    Heard(Tale),
    /// Sleeping tasks whose time has come.
    Awake(Vec<TaskKey>),
    /// A task's actor ended; when to look at it again.
    Asleep(TaskKey, ActorId, Option<Timestamp>),
    /// An attempt is over.
    Ended(ExecutionId),
    /// The next slice of a look at all tasks.
    Consider,
    /// Stops every attempt.
    StopAll,
}

pub(super) struct NodeState {
    pub(super) shared: Arc<Shared>,
    tasks: HashMap<TaskKey, ActorRef<TaskMsg>>,
    /// Sleeping tasks with an alarm set, and for when.
    asleep: HashMap<TaskKey, Timestamp>,
    /// A B-tree, so that all of them are stopped in one order, also in a simulation.
    pub(super) executions: BTreeMap<ExecutionId, (Fence, ActorRef<ExecutionMsg>)>,
    /// Executions that may want something of this node: pending ones, and grants to this session.
    pub(super) wanting: BTreeSet<(TaskKey, ExecutionId)>,
    /// Tasks still to be considered.
    queue: VecDeque<TaskKey>,
    ear: Ear,
    news: News,
    ticks: u64,
}

impl Actor for NodeActor {
    type Msg = NodeMsg;
    type State = NodeState;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        _myself: ActorRef<NodeMsg>,
        shared: Arc<Shared>,
    ) -> Result<NodeState, ActorProcessingErr> {
        Ok(NodeState {
            shared,
            tasks: HashMap::new(),
            asleep: HashMap::new(),
            executions: BTreeMap::new(),
            wanting: BTreeSet::new(),
            queue: VecDeque::new(),
            ear: Ear::default(),
            news: News::default(),
            ticks: 0,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<NodeMsg>,
        message: NodeMsg,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        let life = state.shared.life.clone();
        life.wrap(state.take(&myself, message)).await;
        Ok(())
    }
}

impl NodeState {
    async fn take(&mut self, myself: &ActorRef<NodeMsg>, message: NodeMsg) {
        match message {
            NodeMsg::Event(Event::Applied(index, mut effects)) => {
                if bug!("act-on-answer") && index > 0 {
                    effects.retain(|effect| !self.claimed(effect));
                }
                self.applied(myself, effects).await;
            }
            NodeMsg::Event(Event::Replaced(_)) => {
                self.consider_all(myself);
                self.find_wanting();
            }
            NodeMsg::Registered(session) => {
                self.shared.set_session(session);
                self.news.begin(&self.shared);
                self.consider_all(myself);
                self.find_wanting();
            }
            NodeMsg::Tick => self.tick(myself).await,
            NodeMsg::Heard(tale) => self.ear.hear(tale, self.shared.clock.boot()),
            NodeMsg::Awake(keys) => {
                for key in keys {
                    self.asleep.remove(&key);
                    self.consider(myself, key).await;
                }
            }
            NodeMsg::Asleep(key, actor, until) => self.asleep(myself, key, actor, until).await,
            NodeMsg::Ended(execution) => self.ended(execution),
            NodeMsg::Consider => self.consider_slice(myself).await,
            NodeMsg::StopAll => self.stop_all(Stop::Ask),
        }
    }

    async fn applied(&mut self, myself: &ActorRef<NodeMsg>, effects: Vec<Effect>) {
        self.news.tell(&self.shared, &effects);
        let mut members = false;
        for effect in effects {
            match effect {
                Effect::Settled(key) => self.look(key),
                Effect::Task(key) => self.task_changed(myself, key).await,
                // Whoever proposed it counts it.
                Effect::Verdict(..) => {}
                Effect::Pending(task, execution) => {
                    self.wanting.insert((task, execution));
                    self.pending(task, execution);
                }
                Effect::Granted { task, execution, fence, session } => {
                    let replayed = bug!("replay-starts-work") && self.shared.session().is_none();
                    if Some(session) == self.shared.session() || replayed {
                        self.wanting.insert((task, execution));
                        self.granted(myself, task, execution, fence).await;
                    }
                }
                Effect::Stop(_, execution) => self.stop(execution, Stop::Ask),
                Effect::Ended(task, execution, _) => {
                    self.wanting.remove(&(task, execution));
                    // Whatever runs here of it runs for nobody.
                    self.stop(execution, Stop::Ask);
                }
                Effect::Node(_) | Effect::Scheduler => members = true,
            }
        }
        if members {
            self.shared.refresh_members();
            self.consider_all(myself);
        }
    }

    /// Whether an effect is the grant of a claim: one that nobody asked for by itself.
    fn claimed(&self, effect: &Effect) -> bool {
        let Effect::Granted { execution, .. } = effect else { return false };
        !self.shared.was_proposed(Purpose::Start(*execution), Millis::from_secs(60))
    }

    fn look(&self, key: TaskKey) {
        if let Some(actor) = self.tasks.get(&key) {
            let _stopping = actor.send_message(TaskMsg::Look);
        }
    }

    async fn task_changed(&mut self, myself: &ActorRef<NodeMsg>, key: TaskKey) {
        if self.tasks.contains_key(&key) {
            self.look(key);
        } else {
            self.asleep.remove(&key);
            self.consider(myself, key).await;
        }
    }

    /// Begins a look at every task.
    fn consider_all(&mut self, myself: &ActorRef<NodeMsg>) {
        self.shared.refresh_members();
        let idle = self.queue.is_empty();
        self.queue =
            self.shared.consensus.replica().frozen().tasks().map(|task| task.key).collect();
        if idle && !self.queue.is_empty() {
            let _stopping = myself.send_message(NodeMsg::Consider);
        }
    }

    async fn consider_slice(&mut self, myself: &ActorRef<NodeMsg>) {
        for _ in 0..SLICE {
            let Some(key) = self.queue.pop_front() else { return self.news.considered() };
            if self.tasks.contains_key(&key) {
                self.look(key);
            } else {
                let known = self.asleep.contains_key(&key);
                self.consider(myself, key).await;
                let has = self.asleep.contains_key(&key) || self.tasks.contains_key(&key);
                self.news.took(has && !known);
            }
        }
        let _stopping = myself.send_message(NodeMsg::Consider);
    }

    /// Gives an owned task an actor if its next tick is near, else an alarm.
    async fn consider(&mut self, myself: &ActorRef<NodeMsg>, key: TaskKey) {
        if self.shared.session().is_none() || self.tasks.contains_key(&key) {
            return;
        }
        match self.next_look(key) {
            None => {}
            Some(at) if at <= self.shared.clock.now() => self.activate(myself, key).await,
            Some(at) => self.sleep_until(key, at),
        }
    }

    fn sleep_until(&mut self, key: TaskKey, at: Timestamp) {
        if self.asleep.get(&key) != Some(&at) {
            self.asleep.insert(key, at);
            let _stopping = self.shared.timers.send(Alarm { at, whom: Whom::Sleeper(key) });
        }
    }

    /// When an owned task needs its actor; none: not before it changes. It asks what the
    /// actor's decision begins with, so that the two never disagree.
    fn next_look(&self, key: TaskKey) -> Option<Timestamp> {
        let shared = &self.shared;
        let (task, settled, scheduler, zone) = {
            let state = shared.consensus.replica().read();
            let task = Arc::clone(state.task(key)?);
            let cluster = state.cluster();
            let settled = state.settled(&task);
            (task, settled, cluster.scheduler, cluster.timezone.clone())
        };
        if !shared.owns_task(&task) {
            return None;
        }
        let spec = task.spec()?;
        let set_at = task.live.scheduled_at;
        // An outlook does not depend on calendars.
        let plan = Plan::compile(&spec.schedule, &spec.name, &zone, set_at).ok()?;
        let now = shared.clock.now();
        let seen = outlook(&View {
            task: &task,
            plan: &plan,
            settled,
            scheduler,
            now,
            lead: shared.lead(),
            failover: shared.settings.failover_timeout,
        });
        match seen {
            Outlook::Idle => None,
            Outlook::Wake(at) => Some(at.minus(shared.settings.activation_horizon)),
            Outlook::Due => Some(now),
        }
    }

    async fn activate(&mut self, myself: &ActorRef<NodeMsg>, key: TaskKey) {
        self.asleep.remove(&key);
        let shared = Arc::clone(&self.shared);
        let arguments = TaskArguments { key, shared, node: myself.clone() };
        match self.shared.actor(TaskActor, arguments).await {
            Ok(actor) => drop(self.tasks.insert(key, actor)),
            Err(error) => tracing::error!(%error, "a task's actor could not be started"),
        }
    }

    async fn asleep(
        &mut self,
        myself: &ActorRef<NodeMsg>,
        key: TaskKey,
        actor: ActorId,
        until: Option<Timestamp>,
    ) {
        if self.tasks.get(&key).is_some_and(|resident| resident.get_id() == actor) {
            self.tasks.remove(&key);
        }
        match until {
            Some(until) => self.sleep_until(key, until),
            // It may have changed between its last look and now.
            None => self.consider(myself, key).await,
        }
    }

    async fn granted(
        &mut self,
        myself: &ActorRef<NodeMsg>,
        task: TaskKey,
        execution: ExecutionId,
        fence: Fence,
    ) {
        let session = self.shared.session();
        let found = {
            let state = self.shared.consensus.replica().read();
            state.task(task).and_then(|task| task.history.execution(execution).cloned())
        };
        let Some(found) = found.filter(|found| is_granted(found, fence)) else { return };
        if found.trigger == Trigger::Claim {
            return;
        }
        let now = self.shared.clock.boot();
        let replayed = bug!("replay-starts-work") && session.is_none();
        let proposed = self.shared.first_proposal(task, found.tick, execution);
        let Some(proposed) = proposed.or(replayed.then_some(now)) else {
            let Some(session) = session else { return };
            self.shared.ask_start(Start { task, execution, session, again: Some(fence) });
            return;
        };
        let proposed = if bug!("ttl-from-apply") { now } else { proposed };
        let start_by = proposed.plus(self.shared.settings.dispatch_ttl);
        let grant = Grant { task, execution, fence, start_by };
        let shared = Arc::clone(&self.shared);
        let arguments = ExecutionArguments { grant, shared, node: myself.clone() };
        match self.shared.actor(ExecutionActor, arguments).await {
            Ok(actor) => {
                self.executions.insert(execution, (fence, actor));
                self.shared.set_running(self.executions.len());
            }
            Err(error) => tracing::error!(%error, "an execution's actor could not be started"),
        }
    }

    fn stop(&self, execution: ExecutionId, how: Stop) {
        if let Some((_, actor)) = self.executions.get(&execution) {
            let _done = actor.send_message(ExecutionMsg::Stop(how));
        }
    }

    fn stop_all(&self, how: Stop) {
        for execution in self.executions.keys() {
            self.stop(*execution, how);
        }
    }

    fn ended(&mut self, execution: ExecutionId) {
        self.executions.remove(&execution);
        self.shared.set_running(self.executions.len());
        if self.shared.settings.info.slots > 0 {
            self.look_at_wanting();
        }
    }

    async fn tick(&mut self, myself: &ActorRef<NodeMsg>) {
        self.ticks += 1;
        let now = self.shared.clock.boot();
        let commands = self.ear.judge(&self.shared, now);
        if !commands.is_empty() {
            self.shared.propose_liveness(&commands).await;
        }
        self.kill_unacknowledged();
        self.keep_session(myself);
        if self.ticks.is_multiple_of(WANTING_EVERY) {
            self.look_at_wanting();
        }
        if self.ticks.is_multiple_of(LIVE_EVERY) {
            self.shared.forget_old_proposals();
            self.news.tick(&self.shared);
            let someone_down = {
                let state = self.shared.consensus.replica().read();
                state.nodes().any(|node| node.liveness == Liveness::Down)
            };
            if someone_down || self.ticks.is_multiple_of(LOSE_EVERY) {
                self.lose().await;
            }
        }
        if self.ticks.is_multiple_of(ALL_EVERY) {
            self.consider_all(myself);
            self.find_wanting();
        }
    }

    /// A registration of the process before this one that came late takes the session away, and
    /// with it every attempt: this process registers again.
    fn keep_session(&self, myself: &ActorRef<NodeMsg>) {
        let shared = &self.shared;
        let Some(session) = shared.session() else { return };
        let id = crate::domain::ids::NodeId(shared.consensus.id());
        let current = shared.consensus.replica().read().node(id).map(|node| node.session);
        if current != Some(session) {
            tracing::warn!(%session, "this node's session was ended by another; registering again");
            shared.end_session();
            self.stop_all(Stop::Kill);
            tokio::spawn(super::pulse::register(Arc::clone(shared), myself.clone()));
        }
    }

    /// A node that nobody acknowledges stops what its successor may start again.
    fn kill_unacknowledged(&self) {
        if self.executions.is_empty() {
            return;
        }
        let acknowledged =
            crate::clock::BootInstant(self.shared.acknowledged.load(Ordering::Relaxed));
        let silence = self.shared.clock.boot().since(acknowledged);
        if silence < Millis(500) {
            return;
        }
        let state = self.shared.consensus.replica().read();
        for id in self.executions.keys() {
            let Some((task, execution)) = state.execution(*id) else { continue };
            let Some(definition) = task.revision(execution.revision) else { continue };
            let local = !matches!(definition.spec.action, Some(Action::Http(_)));
            if local && silence.0 * 10 >= definition.spec.lost_after.0 * 7 {
                self.stop(*id, Stop::Kill);
            }
        }
    }
}

fn is_granted(execution: &Execution, fence: Fence) -> bool {
    execution.status == Status::Running
        && execution.attempt.as_ref().is_some_and(|attempt| attempt.fence == fence)
}
