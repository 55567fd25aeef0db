//! The root actor: receives events, asks the decisions, and supervises the actors of tasks and
//! attempts.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::BootInstant;
use crate::consensus::ReplicaEvent;
use crate::domain::ids::{ExecutionId, Fence, NodeId, SessionId, TaskKey};
use crate::domain::machine::Hint;
use crate::domain::machine::command::OfFence;
use crate::domain::machine::record::Liveness;
use crate::domain::time::Timestamp;
use crate::exec::Stop;

use super::context::EngineContext;
use super::dispatch::DispatchEvent;
use super::execution_actor::ExecutionMsg;
use super::judge::{LeaderView, LivenessJudge, LivenessReport};
use super::limits::REPORT_TICKS;
use super::moved::MovedTasks;
use super::operator_log::OperatorLog;
use super::prober::{ProbeEvent, Prober};
use super::pulse;
use super::residency::{Residence, Residency, ResidencyEvent};
use super::slots::AskPurpose;
use super::task_actor::TaskMsg;
use super::watcher::{WatchEvent, Watcher};

/// Ticks between two looks at grants that no actor carries out.
const GRANTS_EVERY: u64 = 5;
/// Ticks between two looks at live executions.
const LIVE_EVERY: u64 = 10;
/// Ticks between two looks for orphaned attempts.
const LOSE_EVERY: u64 = 100;
/// Ticks between two looks at all tasks.
const ALL_EVERY: u64 = 300;

pub(super) struct NodeActor;

/// A message to the node actor.
pub(super) enum NodeMsg {
    /// Something happened to the state.
    Event(ReplicaEvent),
    /// This process is registered.
    Registered(SessionId),
    /// Time passed; when this was said.
    Tick(BootInstant),
    /// A node reported itself.
    Reported(LivenessReport),
    /// Sleeping tasks whose alarms rang, each with its instant.
    Awake(Vec<(TaskKey, Timestamp)>),
    /// The alarm rang that was set for attempts.
    AttemptsDue,
    /// A task's actor ended; when to look at it again.
    Asleep(TaskKey, Residence, Option<Timestamp>),
    /// An attempt is over.
    Ended(ExecutionId, Fence),
    /// A grant was not begun in time.
    NotStarted(OfFence),
    /// An ask for a grant came to nothing.
    Refused(TaskKey, ExecutionId),
    /// An executor took an attempt, or did not.
    Dispatched(Arc<str>, bool),
    /// What came of a probe of an executor.
    Probed(Arc<str>, Result<(), String>),
    /// Tasks that other members give to this node or take from it; the last of them are told as such.
    Moved(MovedTasks, bool),
    /// The next slice of a look at tasks.
    Continue,
    /// Stops every attempt.
    StopAll,
    /// Makes actors fail.
    #[cfg(test)]
    Fail(ActorFault),
}

/// A fault that a test causes in an actor.
#[cfg(test)]
#[derive(Debug)]
pub(crate) enum ActorFault {
    /// Kills the node actor itself.
    KillNode,
    /// Has the node actor hang until this ends.
    HangNode(tokio::sync::oneshot::Receiver<()>),
    /// Kills the actor of the task of this name.
    KillTask(String),
    /// Kills the actors of all attempts.
    KillAttempts,
}

pub(super) struct NodeState {
    pub(super) context: Arc<EngineContext>,
    pub(super) me: ActorRef<NodeMsg>,
    /// Which tasks need an actor.
    pub(super) residency: Residency,
    /// The actors of tasks.
    pub(super) tasks: HashMap<TaskKey, ActorRef<TaskMsg>>,
    /// The actors of attempts. A B-tree, so that all are killed in one order in tests.
    pub(super) executions: BTreeMap<(ExecutionId, Fence), ActorRef<ExecutionMsg>>,
    judge: LivenessJudge,
    /// The attempts that executors accepted.
    pub(super) watcher: Watcher,
    /// Whether executors answer.
    pub(super) prober: Prober,
    pub(super) operator_log: OperatorLog,
    /// The pending proposal about nodes.
    judging: Option<JoinHandle<()>>,
    /// The pending proposal about lost attempts.
    pub(super) losing: Option<JoinHandle<()>>,
    ticks: u64,
    _alive: watch::Receiver<bool>,
}

impl Actor for NodeActor {
    type Msg = NodeMsg;
    type State = NodeState;
    type Arguments = Arc<EngineContext>;

    async fn pre_start(
        &self,
        me: ActorRef<NodeMsg>,
        context: Arc<EngineContext>,
    ) -> Result<NodeState, ActorProcessingErr> {
        let alive = context.alive();
        let executors = &context.settings.executors;
        let watcher = Watcher::new(executors.max_silence);
        let prober = Prober::new(executors.health_check);
        Ok(NodeState {
            context,
            watcher,
            prober,
            me,
            residency: Residency::default(),
            tasks: HashMap::new(),
            executions: BTreeMap::new(),
            judge: LivenessJudge::default(),
            operator_log: OperatorLog::default(),
            judging: None,
            losing: None,
            ticks: 0,
            _alive: alive,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<NodeMsg>,
        message: NodeMsg,
        state: &mut NodeState,
    ) -> Result<(), ActorProcessingErr> {
        let life = state.context.life.clone();
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
        let life = state.context.life.clone();
        life.wrap(state.actor_failed(actor.get_id(), &why)).await;
        Ok(())
    }
}

impl NodeState {
    async fn take(&mut self, message: NodeMsg) {
        match message {
            NodeMsg::Event(ReplicaEvent::Applied(index, mut hints)) => {
                if bug!("act-on-answer") && index > 0 {
                    hints.retain(|hint| !self.claimed(hint));
                }
                self.applied(hints).await;
            }
            NodeMsg::Event(ReplicaEvent::Replaced(index)) => {
                tracing::debug!(index, "the state was replaced by a snapshot");
                self.sweep().await;
                self.on_attempt(DispatchEvent::Replaced).await;
                self.find_executions().await;
            }
            NodeMsg::Registered(session) => {
                self.context.set_session(session);
                self.operator_log.begin(&self.context);
                self.sweep().await;
                self.find_executions().await;
            }
            NodeMsg::Tick(sent) => self.tick(sent).await,
            NodeMsg::Reported(report) => self.judge.note_report(report, self.context.clock.boot()),
            NodeMsg::Awake(alarms) => self.on_task(ResidencyEvent::AlarmsDue(alarms)).await,
            NodeMsg::AttemptsDue => self.on_attempt(DispatchEvent::Woken).await,
            NodeMsg::Asleep(task, residence, until) => {
                self.on_task(ResidencyEvent::Asleep(task, residence, until)).await;
            }
            NodeMsg::Ended(execution, fence) => self.ended(execution, fence).await,
            NodeMsg::NotStarted(grant) => self.on_attempt(DispatchEvent::NotStarted(grant)).await,
            NodeMsg::Refused(task, execution) => {
                self.on_attempt(DispatchEvent::AskRefused(task, execution)).await;
            }
            NodeMsg::Dispatched(executor, took) => {
                self.on_attempt(DispatchEvent::Dispatched(executor, took)).await;
            }
            NodeMsg::Probed(executor, found) => {
                self.on_probe(ProbeEvent::Probed(executor, found));
            }
            NodeMsg::Moved(moved, last) => self.on_task(ResidencyEvent::Moved(moved, last)).await,
            NodeMsg::Continue => self.on_task(ResidencyEvent::Continue).await,
            NodeMsg::StopAll => self.on_attempt(DispatchEvent::StopAll(Stop::Ask)).await,
            #[cfg(test)]
            NodeMsg::Fail(fault) => {
                self.fail(fault).await;
            }
        }
    }

    #[cfg(test)]
    async fn fail(&self, fault: ActorFault) {
        match fault {
            ActorFault::KillNode => self.me.kill(),
            ActorFault::HangNode(until) => drop(until.await),
            ActorFault::KillTask(name) => {
                let state = self.context.consensus.replica().read();
                let key = state.named(&name).map(|task| task.key).expect("the task is there");
                self.tasks.get(&key).expect("it has an actor").kill();
            }
            ActorFault::KillAttempts => self.executions.values().for_each(|actor| actor.kill()),
        }
    }

    async fn applied(&mut self, hints: Vec<Hint>) {
        self.operator_log.tell(&self.context, &hints);
        let (mut members, mut executors, mut scheduler) = (false, false, false);
        for hint in hints {
            match hint {
                Hint::Settled(key) => {
                    self.on_attempt(DispatchEvent::Settled(key)).await;
                    self.on_task(ResidencyEvent::Settled(key)).await;
                }
                Hint::Task(key) => {
                    self.on_attempt(DispatchEvent::TaskChanged(key)).await;
                    self.on_task(ResidencyEvent::Changed(key)).await;
                }
                // Whoever proposed a verdict counts it.
                Hint::Verdict(..) => {}
                Hint::AttemptEnded(_, execution) => {
                    self.on_watch(WatchEvent::AttemptEnded(execution));
                }
                Hint::Pending(task, execution) => {
                    self.on_attempt(DispatchEvent::Pending(task, execution)).await;
                }
                Hint::Granted { task, execution, fence, session } => {
                    let replayed = bug!("replay-starts-work") && self.context.session().is_none();
                    if Some(session) == self.context.session() || replayed {
                        let grant = OfFence { task, execution, fence };
                        self.on_attempt(DispatchEvent::Granted(grant)).await;
                    }
                }
                Hint::Line(task) => self.on_attempt(DispatchEvent::LineChanged(task)).await,
                Hint::Stop(task, execution) => {
                    self.on_watch(WatchEvent::Changed(task, execution));
                    self.on_attempt(DispatchEvent::StopAsked(execution)).await;
                }
                Hint::Ended(task, execution, status) => {
                    self.on_watch(WatchEvent::Ended(execution, status));
                    self.on_attempt(DispatchEvent::ExecutionEnded(task, execution)).await;
                }
                Hint::Accepted(task, execution) => {
                    self.on_watch(WatchEvent::Changed(task, execution));
                }
                Hint::Executors => executors = true,
                Hint::Node(_) | Hint::Strategy => members = true,
                Hint::Scheduler => scheduler = true,
            }
        }
        // Whether a node can own a task may depend on executors that declare it.
        let members = members || (executors && self.context.declared_changed());
        let moved = members && self.look_at_members().await;
        if scheduler {
            self.sweep().await;
        }
        if moved || scheduler {
            self.on_attempt(DispatchEvent::MembersChanged).await;
        } else if executors {
            self.on_attempt(DispatchEvent::ExecutorsChanged).await;
        }
        if members || scheduler || executors {
            self.look_at_executors();
        }
        self.on_attempt(DispatchEvent::Fill).await;
    }

    /// Whether a hint is the grant of a claim: one that nobody asked for by itself.
    fn claimed(&self, hint: &Hint) -> bool {
        let Hint::Granted { execution, .. } = hint else { return false };
        !self.context.dispatch.lock().slots.knows(AskPurpose::Start(*execution))
    }

    async fn tick(&mut self, sent: BootInstant) {
        self.ticks += 1;
        if self.ticks.is_multiple_of(REPORT_TICKS) {
            self.context.round.send_replace(sent);
        }
        self.judge();
        let silence = self.context.silence();
        self.on_attempt(DispatchEvent::Unacknowledged(silence)).await;
        self.keep_session().await;
        if self.ticks.is_multiple_of(GRANTS_EVERY) {
            self.on_attempt(DispatchEvent::CheckGrants).await;
            self.look_at_executors();
        }
        if self.ticks.is_multiple_of(LIVE_EVERY) {
            self.on_attempt(DispatchEvent::Check).await;
            self.operator_log.tick(&self.context);
            let someone_down = {
                let state = self.context.consensus.replica().read();
                state.nodes().any(|node| node.liveness == Liveness::Down)
            };
            if someone_down || self.ticks.is_multiple_of(LOSE_EVERY) {
                self.lose();
            }
        }
        if self.ticks.is_multiple_of(ALL_EVERY) {
            self.sweep().await;
            self.find_executions().await;
        }
    }

    async fn ended(&mut self, execution: ExecutionId, fence: Fence) {
        self.executions.remove(&(execution, fence));
        self.on_attempt(DispatchEvent::AttemptEnded(execution, fence)).await;
    }

    /// An actor failed. A task is looked at again. An attempt stays among those that run here until
    /// its end is in the log, which its work reports: otherwise it would be asked for again.
    async fn actor_failed(&mut self, actor: ActorId, why: &str) {
        let task = self.tasks.iter().find(|(_, other)| other.get_id() == actor);
        if let Some(key) = task.map(|(key, _)| *key) {
            tracing::error!(%key, why, "a task's actor failed; the task is looked at again");
            self.on_task(ResidencyEvent::Failed(key)).await;
        }
        let attempt = self.executions.iter().find(|(_, other)| other.get_id() == actor);
        if let Some((execution, fence)) = attempt.map(|(key, _)| *key) {
            tracing::error!(%execution, %fence, why, "an attempt's actor failed; the attempt ends as lost");
        }
    }

    /// As leader, proposes which nodes are working or down. This actor does not wait for room in
    /// the queue of proposals: it would look dead itself.
    fn judge(&mut self) {
        let (context, now) = (&self.context, self.context.clock.boot());
        let members = context.consensus.status().members;
        let commands = {
            let state = context.consensus.replica().read();
            let view = LeaderView {
                state: &state,
                members: &members,
                former_leader: *context.other_leader.lock(),
                down_after: context.settings.down_after,
            };
            self.judge.judge(context.consensus.is_leader().then_some(&view), now)
        };
        *context.heard.lock() = self.judge.heard(now);
        let busy = self.judging.as_ref().is_some_and(|judging| !judging.is_finished());
        if commands.is_empty() || busy {
            return;
        }
        let context = Arc::clone(&self.context);
        self.judging =
            Some(self.context.spawn(async move { context.propose_liveness(&commands).await }));
    }

    /// A late registration of the previous process ends this session and all its attempts. This
    /// process then registers again. A removed node does not.
    async fn keep_session(&mut self) {
        let context = Arc::clone(&self.context);
        let Some(session) = context.session() else { return };
        let id = NodeId(context.consensus.id());
        let (current, gone) = {
            let state = context.consensus.replica().read();
            (state.node(id).map(|node| node.session), state.is_gone(id))
        };
        if gone {
            // It is no member any more, and ends as soon as another member has confirmed it.
            context.end_session();
            self.on_attempt(DispatchEvent::StopAll(Stop::Kill)).await;
        } else if current != Some(session) {
            tracing::warn!(%session, "this node's session was ended by another; registering again");
            context.end_session();
            self.on_attempt(DispatchEvent::StopAll(Stop::Kill)).await;
            pulse::keep_registering(&context, self.me.clone());
        }
    }
}
