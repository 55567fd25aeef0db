//! The root actor: this process's registration, what it heard of others, which tasks are resident,
//! which attempts run.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::task::JoinHandle;

use crate::clock::BootInstant;
use crate::consensus::Event;
use crate::domain::ids::{ExecutionId, Fence, NodeId, SessionId, TaskKey};
use crate::domain::machine::Effect;
use crate::domain::machine::record::Liveness;
use crate::domain::task::Action;
use crate::domain::time::{Millis, Timestamp};
use crate::exec::Stop;

use super::carried::Carried;
use super::execution_actor::ExecutionMsg;
use super::liveness::{Ear, Tale};
use super::news::News;
use super::pulse;
use super::shared::Shared;
use super::sleepers::Sleepers;
use super::slots::Purpose;
use super::task_actor::TaskMsg;
use super::wanting::Wanting;

/// Ticks between two words to the leader.
const TELL_EVERY: u64 = 2;
/// Ticks between two looks at grants that no actor carries out.
const GRANTS_EVERY: u64 = 5;
/// Ticks between two looks at live executions.
const LIVE_EVERY: u64 = 10;
/// Ticks between two looks for attempts that nobody will end.
const LOSE_EVERY: u64 = 100;
/// Ticks between two looks at all tasks.
const ALL_EVERY: u64 = 300;

pub(super) struct NodeActor;

/// What the node actor is told.
pub(super) enum NodeMsg {
    /// Something happened to the state.
    Event(Event),
    /// This process is registered.
    Registered(SessionId),
    /// Time passed; when this was said.
    Tick(BootInstant),
    /// A node told of itself.
    Heard(Tale),
    /// Sleeping tasks whose alarms rang, each with its instant.
    Awake(Vec<(TaskKey, Timestamp)>),
    /// A task's actor ended; when to look at it again.
    Asleep(TaskKey, ActorId, Option<Timestamp>),
    /// An attempt is over.
    Ended(ExecutionId, Fence),
    /// A grant was not begun in time.
    Unused(TaskKey, ExecutionId, Fence),
    /// An ask for a grant came to nothing.
    Refused(TaskKey, ExecutionId),
    /// The next slice of a look at tasks.
    Consider,
    /// Stops every attempt.
    StopAll,
    /// Kills an actor, as if it had failed.
    #[cfg(test)]
    Kill(Victim),
}

/// An actor that a test kills.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(crate) enum Victim {
    /// The node actor itself.
    Node,
    /// That of the task of this name.
    Task(String),
    /// Those of all attempts.
    Attempts,
}

pub(super) struct NodeState {
    pub(super) shared: Arc<Shared>,
    pub(super) me: ActorRef<NodeMsg>,
    /// Actors of tasks.
    pub(super) tasks: HashMap<TaskKey, ActorRef<TaskMsg>>,
    pub(super) asleep: Sleepers,
    pub(super) executions: Carried<ActorRef<ExecutionMsg>>,
    pub(super) wanting: Wanting,
    /// Tasks that woke and are to be considered.
    pub(super) awake: VecDeque<TaskKey>,
    /// Other tasks that are still to be considered.
    pub(super) queue: VecDeque<TaskKey>,
    /// Whether a message to consider some is on its way.
    pub(super) considering: bool,
    /// Tasks of which it was said that their ticks cannot be computed.
    pub(super) unreadable: HashSet<TaskKey>,
    ear: Ear,
    pub(super) news: News,
    /// What is being written down of nodes.
    judging: Option<JoinHandle<()>>,
    /// What is being written down of lost attempts.
    pub(super) losing: Option<JoinHandle<()>>,
    ticks: u64,
}

impl Actor for NodeActor {
    type Msg = NodeMsg;
    type State = NodeState;
    type Arguments = Arc<Shared>;

    async fn pre_start(
        &self,
        me: ActorRef<NodeMsg>,
        shared: Arc<Shared>,
    ) -> Result<NodeState, ActorProcessingErr> {
        Ok(NodeState {
            shared,
            me,
            tasks: HashMap::new(),
            asleep: Sleepers::default(),
            executions: Carried::default(),
            wanting: Wanting::default(),
            awake: VecDeque::new(),
            queue: VecDeque::new(),
            considering: false,
            unreadable: HashSet::new(),
            ear: Ear::default(),
            news: News::default(),
            judging: None,
            losing: None,
            ticks: 0,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<NodeMsg>,
        message: NodeMsg,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        let life = state.shared.life.clone();
        life.wrap(state.take(message)).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _myself: ActorRef<NodeMsg>,
        event: SupervisionEvent,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        let (actor, why) = match event {
            SupervisionEvent::ActorFailed(actor, error) => (actor, error.to_string()),
            // Whoever stops by itself says so before; the reason is given to nobody else.
            SupervisionEvent::ActorTerminated(actor, _, Some(reason)) => (actor, reason),
            _ => return Ok(()),
        };
        let life = state.shared.life.clone();
        life.wrap(async { state.actor_failed(actor.get_id(), &why) }).await;
        Ok(())
    }
}

impl NodeState {
    async fn take(&mut self, message: NodeMsg) {
        match message {
            NodeMsg::Event(Event::Applied(index, mut effects)) => {
                if bug!("act-on-answer") && index > 0 {
                    effects.retain(|effect| !self.claimed(effect));
                }
                self.applied(effects).await;
            }
            NodeMsg::Event(Event::Replaced(_)) => {
                self.consider_all();
                self.stop_superseded();
                self.wanting.all_changed();
                self.find_wanting();
            }
            NodeMsg::Registered(session) => {
                self.shared.set_session(session);
                self.news.begin(&self.shared);
                self.consider_all();
                self.find_wanting();
            }
            NodeMsg::Tick(sent) => self.tick(sent),
            NodeMsg::Heard(tale) => self.ear.hear(tale, self.shared.clock.boot()),
            NodeMsg::Awake(alarms) => self.awake(alarms),
            NodeMsg::Asleep(key, actor, until) => self.fell_asleep(key, actor, until).await,
            NodeMsg::Ended(execution, fence) => self.ended(execution, fence),
            NodeMsg::Unused(task, execution, fence) => self.unused(task, execution, fence),
            NodeMsg::Refused(task, execution) => self.refused(task, execution),
            NodeMsg::Consider => self.consider_slice().await,
            NodeMsg::StopAll => self.stop_all(Stop::Ask),
            #[cfg(test)]
            NodeMsg::Kill(victim) => {
                self.kill(&victim);
            }
        }
    }

    #[cfg(test)]
    fn kill(&self, victim: &Victim) {
        match victim {
            Victim::Node => self.me.kill(),
            Victim::Task(name) => {
                let state = self.shared.consensus.replica().read();
                let key = state.named(name).map(|task| task.key).expect("the task is there");
                self.tasks.get(&key).expect("it has an actor").kill();
            }
            Victim::Attempts => self.executions.iter().for_each(|(_, _, actor)| actor.kill()),
        }
    }

    async fn applied(&mut self, effects: Vec<Effect>) {
        self.news.tell(&self.shared, &effects);
        let mut members = false;
        for effect in effects {
            match effect {
                Effect::Settled(key) => {
                    self.settled(key);
                    self.look(key).await;
                }
                Effect::Task(key) => {
                    self.wanting.task_changed(key);
                    self.look_or_consider(key).await;
                }
                // Whoever proposed it counts it.
                Effect::Verdict(..) => {}
                Effect::Pending(task, execution) => self.pending(task, execution),
                Effect::Granted { task, execution, fence, session } => {
                    let replayed = bug!("replay-starts-work") && self.shared.session().is_none();
                    if Some(session) == self.shared.session() || replayed {
                        self.granted(task, execution, fence).await;
                    }
                }
                Effect::Stop(_, execution) => self.stop(execution, Stop::Ask),
                Effect::Ended(task, execution, _) => {
                    self.wanting.end(task, execution);
                    // Whatever runs here of it runs for nobody.
                    self.stop(execution, Stop::Ask);
                }
                Effect::Node(_) | Effect::Scheduler => members = true,
            }
        }
        if members {
            self.consider_all();
            self.wanting.all_changed();
        }
        self.fill();
    }

    /// Whether an effect is the grant of a claim: one that nobody asked for by itself.
    fn claimed(&self, effect: &Effect) -> bool {
        let Effect::Granted { execution, .. } = effect else { return false };
        !self.shared.slots.lock().knows(Purpose::Start(*execution))
    }

    fn tick(&mut self, sent: BootInstant) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(TELL_EVERY) {
            self.shared.round.send_replace(sent);
        }
        self.judge();
        self.kill_unacknowledged();
        self.keep_session();
        if self.ticks.is_multiple_of(GRANTS_EVERY) {
            self.look_at_grants();
        }
        if self.ticks.is_multiple_of(LIVE_EVERY) {
            self.look_after_attempts();
            self.news.tick(&self.shared);
            let someone_down = {
                let state = self.shared.consensus.replica().read();
                state.nodes().any(|node| node.liveness == Liveness::Down)
            };
            if someone_down || self.ticks.is_multiple_of(LOSE_EVERY) {
                self.lose();
            }
        }
        if self.ticks.is_multiple_of(ALL_EVERY) {
            self.consider_all();
            self.find_wanting();
        }
    }

    /// As leader, writes down who works and who is down. Where proposals wait for room this actor
    /// does not: it would look dead itself.
    fn judge(&mut self) {
        let commands = self.ear.judge(&self.shared, self.shared.clock.boot());
        let busy = self.judging.as_ref().is_some_and(|judging| !judging.is_finished());
        if commands.is_empty() || busy {
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.judging =
            Some(self.shared.spawn(async move { shared.propose_liveness(&commands).await }));
    }

    /// A registration of the process before this one that came late takes the session away, and
    /// with it every attempt: this process registers again.
    fn keep_session(&self) {
        let shared = &self.shared;
        let Some(session) = shared.session() else { return };
        let id = NodeId(shared.consensus.id());
        let current = shared.consensus.replica().read().node(id).map(|node| node.session);
        if current != Some(session) {
            tracing::warn!(%session, "this node's session was ended by another; registering again");
            shared.end_session();
            self.stop_all(Stop::Kill);
            shared.spawn(pulse::register(Arc::clone(shared), self.me.clone()));
        }
    }

    /// A node that nobody acknowledges stops what its successor may start again.
    fn kill_unacknowledged(&self) {
        if self.executions.len() == 0 {
            return;
        }
        let acknowledged = BootInstant(self.shared.acknowledged.load(Ordering::Relaxed));
        let silence = self.shared.clock.boot().since(acknowledged);
        if silence < Millis(500) {
            return;
        }
        let state = self.shared.consensus.replica().read();
        for (id, _, actor) in self.executions.iter() {
            let Some((task, execution)) = state.execution(id) else { continue };
            let Some(definition) = task.revision(execution.revision) else { continue };
            let local = !matches!(definition.spec.action, Some(Action::Http(_)));
            if local && silence.0 * 10 >= definition.spec.lost_after.0 * 7 {
                // One that has ended has nothing left to stop.
                let _ended = actor.send_message(ExecutionMsg::Stop(Stop::Kill));
            }
        }
    }
}
