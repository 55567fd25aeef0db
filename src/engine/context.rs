//! The context that all actors of a node share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use ractor::{Actor, ActorCell, ActorRef, SpawnErr};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::{BootInstant, Clock};
use crate::consensus::{Consensus, DigestPoll, Proposal, ProposalAnswers, ProposalReply};
use crate::domain::assign::Members;
use crate::domain::ids::{ExecutionId, Fence, NodeId, SessionId, TaskKey};
use crate::domain::machine::command::{Command, OfFence};
use crate::domain::machine::{Refusal, State, Task, envelope};
use crate::domain::time::{Millis, Timestamp};
use crate::exec::Exec;
use crate::life::Life;
use crate::telemetry::metrics::Metrics;

use super::EngineSettings;
use super::dispatch::{Dispatch, DispatchDo, DispatchEvent};
use super::judge::LastHeard;
use super::left::GrantsLeft;
use super::limits::{LEFT_AGAIN, PROPOSAL_LIMIT, TOGETHER};
use super::moved::MembersChange;
use super::node_actor::NodeMsg;
use super::sleepers::LEAD_MAX;
use super::timer::Alarm;
use super::view::EngineView;

/// The shortest lead: the runtime's timers are this coarse.
const LEAD_MIN_US: u64 = 5_000;
/// The longest lead.
const LEAD_MAX_US: u64 = LEAD_MAX.0 * 1_000;

/// One start, for the observer.
#[derive(Clone, Copy, Debug)]
pub struct AttemptStart {
    /// Its task.
    pub task: TaskKey,
    /// Its tick; none for triggers.
    pub tick: Option<Timestamp>,
    /// When it was due.
    pub due: Timestamp,
    /// Cluster time of the start, in nanoseconds.
    pub at_nanos: i64,
}

/// Called at each start.
pub type Observer = Arc<dyn Fn(AttemptStart) + Send + Sync>;

pub(super) struct EngineContext {
    pub settings: EngineSettings,
    pub consensus: Consensus,
    pub clock: Arc<dyn Clock>,
    pub exec: Arc<Exec>,
    pub metrics: Metrics,
    pub observer: Option<Observer>,
    pub boot: u128,
    timers: mpsc::UnboundedSender<Alarm>,
    /// The requests, waiting executions and attempts. A holder of this lock must not read the
    /// state. Code that needs both locks reads the state first.
    pub dispatch: Mutex<Dispatch>,
    /// When the node actor last came round.
    pub round: watch::Sender<BootInstant>,
    /// What the leader, this node, last heard of each node.
    pub heard: Mutex<BTreeMap<u64, LastHeard>>,
    /// When the leader last acknowledged this node.
    pub acknowledged: AtomicU64,
    /// The last other node that did so as leader, and when.
    pub other_leader: Mutex<Option<(u64, BootInstant)>>,
    /// As leader: the digests that the nodes reported.
    pub poll: Mutex<DigestPoll>,
    session: AtomicU64,
    members: RwLock<Arc<Members>>,
    lead_us: AtomicU64,
    running: watch::Sender<usize>,
    /// Whether the engine is stopping. Every task and actor holds a receiver, so that the number of
    /// receivers shows when the last one has ended.
    stopping: watch::Sender<bool>,
    /// Why the engine can go on no longer, when it cannot.
    failed: watch::Sender<Option<String>>,
    pub life: Life,
}

impl EngineContext {
    pub fn new(
        settings: EngineSettings,
        consensus: Consensus,
        clock: Arc<dyn Clock>,
        exec: Arc<Exec>,
        metrics: Metrics,
        observer: Option<Observer>,
        boot: u128,
    ) -> (Self, mpsc::UnboundedReceiver<Alarm>) {
        let (timers, alarms) = mpsc::unbounded_channel();
        let now = clock.boot();
        let dispatch =
            Mutex::new(Dispatch::new(settings.dispatch_ttl, settings.executors.dispatch_wait));
        let acknowledged = AtomicU64::new(now.0);
        let context = Self {
            settings,
            consensus,
            clock,
            exec,
            metrics,
            observer,
            boot,
            timers,
            dispatch,
            round: watch::Sender::new(now),
            heard: Mutex::new(BTreeMap::new()),
            acknowledged,
            other_leader: Mutex::new(None),
            poll: Mutex::default(),
            session: AtomicU64::new(0),
            members: RwLock::new(Arc::new(Members::default())),
            lead_us: AtomicU64::new(20_000),
            running: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            failed: watch::Sender::new(None),
            life: Life::current(),
        };
        (context, alarms)
    }

    /// Starts an actor that ends with its parent; the parent is notified if it fails. Also returns
    /// a future for its end.
    pub async fn actor<A: Actor>(
        &self,
        actor: A,
        arguments: A::Arguments,
        parent: Option<ActorCell>,
    ) -> Result<(ActorRef<A::Msg>, JoinHandle<()>), SpawnErr> {
        let (actor, task) = match parent {
            Some(parent) => Actor::spawn_linked(None, actor, arguments, parent).await?,
            None => Actor::spawn(None, actor, arguments).await?,
        };
        self.life.own(&task);
        Ok((actor, task))
    }

    /// Spawns a task that ends with the engine, wherever it is.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let mut stopping = self.stopping.subscribe();
        self.life.spawn(async move {
            tokio::select! {
                biased;
                // The engine cannot go away before its tasks: they hold it.
                _ = stopping.wait_for(|stopping| *stopping) => {}
                () = task => {}
            }
        })
    }

    /// Watches a task without which the engine cannot go on.
    pub fn watch(self: &Arc<Self>, name: &'static str, task: JoinHandle<()>) {
        let context = Arc::clone(self);
        self.spawn(async move {
            let ended = match task.await {
                Ok(()) => "ended".to_owned(),
                Err(error) => error.to_string(),
            };
            context.note_end(name, &ended);
        });
    }

    /// A part without which the engine cannot go on has ended. While the engine stops it may be told
    /// of that before it looks.
    pub fn note_end(&self, name: &str, ended: &str) {
        if !*self.stopping.borrow() {
            self.fail(format!("the engine's {name} ended by itself: {ended}"));
        }
    }

    /// Watches a task that ends when its work is done. The engine cannot go on if it fails before.
    pub fn watch_work(self: &Arc<Self>, name: &'static str, task: JoinHandle<()>) {
        let context = Arc::clone(self);
        self.spawn(async move {
            if let Some(why) = failure_of(task).await {
                context.fail(format!("the engine's {name} failed: {why}"));
            }
        });
    }

    /// Says why the engine cannot go on; the first word counts.
    pub fn fail(&self, why: String) {
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert(why);
            first
        });
    }

    /// Waits until the engine cannot go on; says why.
    pub async fn failure(&self) -> String {
        let mut failed = self.failed.subscribe();
        let why = failed.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
        why.unwrap_or_default()
    }

    /// A token that an actor holds while it runs.
    pub fn alive(&self) -> watch::Receiver<bool> {
        self.stopping.subscribe()
    }

    /// Ends all tasks that were spawned. Actors end with the node actor.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Waits until no task and no actor is left.
    pub async fn stopped(&self) {
        self.stopping.closed().await;
    }

    /// How many tasks and actors are left.
    #[cfg(test)]
    pub fn left(&self) -> usize {
        self.stopping.receiver_count()
    }

    /// Sets an alarm.
    pub fn set_alarm(&self, alarm: Alarm) {
        // The timer ends with the engine.
        let _ended = self.timers.send(alarm);
    }

    pub fn session(&self) -> Option<SessionId> {
        match self.session.load(Ordering::Acquire) {
            0 => None,
            session => Some(SessionId(session)),
        }
    }

    pub fn set_session(&self, session: SessionId) {
        self.session.store(session.0, Ordering::Release);
    }

    /// This process has no session any more.
    pub fn end_session(&self) {
        self.session.store(0, Ordering::Release);
    }

    /// Looks again who may own tasks, and how much this node may do at once. Returns the change, if
    /// tasks may have other owners since.
    pub fn refresh_members(&self) -> Option<MembersChange> {
        let (members, slots) = {
            let state = self.consensus.replica().read();
            let own = state.node(NodeId(self.consensus.id()));
            (self.members_of(&state), own.map_or(self.settings.info.slots, |node| node.slots()))
        };
        let after = Arc::new(members);
        let before = std::mem::replace(&mut *self.members.write(), Arc::clone(&after));
        self.dispatch.lock().slots.set_limit(limit(slots, self.settings.attempts_max));
        (!after.give_as(&before)).then_some(MembersChange { before, after })
    }

    /// The nodes that may own tasks, as this one takes them.
    #[cfg(not(feature = "seeded-bugs"))]
    fn members_of(&self, state: &State) -> Members {
        Members::of(state)
    }

    /// The same, while a bug is on.
    #[cfg(feature = "seeded-bugs")]
    fn members_of(&self, state: &State) -> Members {
        let second = NodeId(self.consensus.id()).configured() == 2;
        if bug!("drain-forgotten") {
            use crate::domain::machine::record::Intent;
            return Members::of_changed(state, |node| node.intent = Intent::None);
        }
        if bug!("overrides-forgotten") && second {
            return Members::of_changed(state, |node| node.overrides = Default::default());
        }
        if bug!("strategy-ignored") && second {
            return Members::of(state).under(crate::domain::task::Strategy::default());
        }
        Members::of(state)
    }

    /// Whether executors declare other tasks than when members were looked at last.
    pub fn declared_changed(&self) -> bool {
        let members = Arc::clone(&self.members.read());
        *self.consensus.replica().read().declared_tasks() != *members.declared()
    }

    /// For how long no leader has acknowledged this node.
    pub fn silence(&self) -> Millis {
        self.clock.boot().since(BootInstant(self.acknowledged.load(Ordering::Relaxed)))
    }

    /// Whether this node owns a task by the applied state alone, for those who check this node.
    pub fn owns_by_state(&self, task: &Task) -> bool {
        let members = Members::of(&self.consensus.replica().read());
        let owner = members.owner(task);
        owner.is_some_and(|owner| owner.0 == self.consensus.id())
    }

    /// Whether this node owns the task that it has before it.
    pub fn owns_task(&self, task: &Task) -> bool {
        let owner = self.members.read().owner(task);
        task.live.deleted.is_none() && owner.is_some_and(|owner| owner.0 == self.consensus.id())
    }

    /// How long before its due time a tick is claimed.
    pub fn lead(&self) -> Millis {
        Millis(self.lead_us.load(Ordering::Relaxed).div_ceil(1_000))
    }

    /// Notes the time of a settle from proposal to apply. The lead is four times the running mean,
    /// so that nearly all claims are granted before their due time.
    pub fn measured(&self, latency: Duration) {
        let latency = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).min(LEAD_MAX_US);
        let lead = self.lead_us.load(Ordering::Relaxed);
        let next = (lead * 15 + latency * 4) / 16;
        self.lead_us.store(next.clamp(LEAD_MIN_US, LEAD_MAX_US), Ordering::Relaxed);
    }

    /// Proposes commands in one entry, and leaves the outcome to the state.
    pub async fn propose(&self, commands: &[Command]) {
        self.consensus.propose(proposal(commands)).await;
    }

    /// The same for any number of commands, some hundreds in an entry.
    pub async fn propose_all(&self, commands: &[Command]) {
        for commands in commands.chunks(TOGETHER) {
            self.propose(commands).await;
        }
    }

    /// The same for commands about who is alive, which other work does not delay.
    pub async fn propose_liveness(&self, commands: &[Command]) {
        self.consensus.propose_liveness(proposal(commands)).await;
    }

    /// Proposes a command in an entry of its own, and waits for its answer; false: it was refused, or
    /// there is no answer in time.
    pub async fn accepted(&self, command: &Command) -> bool {
        let mut bytes = Vec::new();
        envelope::pack(&mut bytes, command, "", None);
        let outcome = self.consensus.submit(bytes.into(), 1, PROPOSAL_LIMIT).await;
        outcome.is_ok_and(|answered| answered.responses.iter().all(Result::is_ok))
    }

    /// Decides about attempts, by the state as it is applied here.
    pub fn decide(&self, event: DispatchEvent) -> Vec<DispatchDo> {
        if !self.dispatch.lock().concerns(&event) {
            return Vec::new();
        }
        self.look(|view| {
            let mut dispatch = self.dispatch.lock();
            let todo = dispatch.on(event, view);
            let count = dispatch.running();
            self.running.send_if_modified(|running| std::mem::replace(running, count) != count);
            todo
        })
    }

    /// Looks at the state as it is applied here.
    pub fn look<R>(&self, look: impl FnOnce(&EngineView<'_>) -> R) -> R {
        let members = Arc::clone(&self.members.read());
        let state = self.consensus.replica().read();
        look(&EngineView {
            state: &state,
            members: &members,
            node: NodeId(self.consensus.id()),
            session: self.session(),
            now: self.clock.now(),
            boot: self.clock.boot(),
        })
    }

    /// Proposes a start. If it fails, the node actor is notified. If no grant is possible any more,
    /// the previous grant is returned.
    pub fn propose_start(
        self: &Arc<Self>,
        command: Command,
        (task, execution): (TaskKey, ExecutionId),
        again: Option<Fence>,
        node: &ActorRef<NodeMsg>,
    ) {
        let (context, node) = (Arc::clone(self), node.clone());
        self.spawn(async move {
            let mut bytes = Vec::new();
            envelope::pack(&mut bytes, &command, "", None);
            let outcome = context.consensus.submit(bytes.into(), 1, PROPOSAL_LIMIT).await;
            let refusal = match outcome {
                // The grant is a hint like any other.
                Ok(ProposalAnswers { responses, .. }) if responses.iter().all(Result::is_ok) => {
                    return;
                }
                Ok(ProposalAnswers { responses, .. }) => {
                    responses.into_iter().find_map(Result::err)
                }
                Err(_) => None,
            };
            if let (true, Some(fence)) = (refusal.is_some_and(|why| is_final(&why)), again) {
                let back = Command::Return(OfFence { task, execution, fence });
                context.propose(&[back]).await;
            }
            // A node actor that is gone ends this process.
            let _gone = node.send_message(NodeMsg::Refused(task, execution));
        });
    }

    pub fn running(&self) -> usize {
        *self.running.borrow()
    }

    /// Waits until no attempt runs here and none is granted to this session; false: not before the
    /// deadline.
    pub async fn drained(&self, deadline: Instant) -> bool {
        let mut running = self.running.subscribe();
        let over = async {
            let mut left = GrantsLeft::default();
            while self.running() > 0 || left.any(&self.consensus.replica().frozen(), self.session())
            {
                let none_runs = running.wait_for(|running| *running == 0);
                drop(tokio::time::timeout(LEFT_AGAIN, none_runs).await);
                tokio::time::sleep(LEFT_AGAIN).await;
            }
        };
        tokio::time::timeout_at(deadline, over).await.is_ok()
    }
}

/// Whether a grant that was asked for again will not be given.
fn is_final(refusal: &Refusal) -> bool {
    matches!(
        refusal,
        Refusal::Held
            | Refusal::TaskDeleted
            | Refusal::Session
            | Refusal::WrongAction
            | Refusal::ExecutorNotFound
            | Refusal::ExecutorUnavailable
    )
}

/// Why a task ended before its work was done; none: it was done.
async fn failure_of(task: JoinHandle<()>) -> Option<String> {
    task.await.err().map(|error| error.to_string())
}

/// The limit of parallel attempts: the smaller of the node's slots (0: no limit) and the limit of
/// the process.
fn limit(slots: u32, attempts_max: usize) -> usize {
    match usize::try_from(slots) {
        Ok(0) | Err(_) => attempts_max,
        Ok(slots) => slots.min(attempts_max),
    }
}

fn proposal(commands: &[Command]) -> Proposal {
    let mut bytes = Vec::new();
    for command in commands {
        envelope::pack(&mut bytes, command, "", None);
    }
    let deadline = Instant::now() + PROPOSAL_LIMIT;
    Proposal {
        commands: Bytes::from(bytes),
        count: commands.len(),
        reply: ProposalReply::Nobody,
        deadline,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_fails_is_told_from_work_that_is_done() {
        assert_eq!(failure_of(tokio::spawn(async {})).await, None);
        let failed = failure_of(tokio::spawn(async { panic!("for this test") })).await;
        assert!(failed.is_some_and(|why| why.contains("for this test")));
    }

    #[test]
    fn the_smaller_bound_counts() {
        assert_eq!(limit(0, usize::MAX), usize::MAX);
        assert_eq!(limit(0, 40), 40);
        assert_eq!(limit(4, 40), 4);
        assert_eq!(limit(u32::MAX, 40), 40);
    }
}
