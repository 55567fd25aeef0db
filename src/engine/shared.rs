//! What all actors of a node hold.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use ractor::{Actor, ActorRef, SpawnErr};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::clock::{BootInstant, Clock};
use crate::consensus::{Consensus, Poll, Proposal, Reply};
use crate::domain::assign::Members;
use crate::domain::ids::{ExecutionId, SessionId, TaskKey};
use crate::domain::machine::command::{Command, OfFence, Start};
use crate::domain::machine::{Refusal, Task, envelope};
use crate::domain::task::TaskSpec;
use crate::domain::time::{Millis, Timestamp};
use crate::exec::Exec;
use crate::life::Life;
use crate::telemetry::metrics::Metrics;

use super::EngineSettings;
use super::timer::Alarm;

/// The shortest lead: the runtime's timers are this coarse.
const LEAD_MIN_US: u64 = 5_000;
/// The longest lead of the contract.
const LEAD_MAX_US: u64 = 100_000;
/// A proposal that is neither applied nor refused by then is over.
pub(super) const PROPOSAL_LIMIT: Duration = Duration::from_secs(2);
/// First proposals are remembered this long.
const REMEMBER: Millis = Millis::from_secs(60);

/// One start, for whoever measures.
#[derive(Clone, Copy, Debug)]
pub struct Started {
    /// Its task.
    pub task: TaskKey,
    /// Its tick; none for triggers.
    pub tick: Option<Timestamp>,
    /// When it was due.
    pub due: Timestamp,
    /// Cluster time of the start, in nanoseconds.
    pub at_nanos: i64,
}

/// Is told of each start.
pub type Observer = Arc<dyn Fn(Started) + Send + Sync>;

/// What a proposal was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// The claim of a tick.
    Claim(TaskKey, Timestamp),
    /// A grant of an execution.
    Start(ExecutionId),
}

pub(super) struct Shared {
    pub settings: EngineSettings,
    pub consensus: Consensus,
    pub clock: Arc<dyn Clock>,
    pub exec: Arc<Exec>,
    pub metrics: Metrics,
    pub observer: Option<Observer>,
    pub boot: u128,
    pub timers: mpsc::UnboundedSender<Alarm>,
    /// Milliseconds since the leader, this node, heard of each node.
    pub heard: Mutex<BTreeMap<u64, u64>>,
    /// When the leader last acknowledged this node.
    pub acknowledged: AtomicU64,
    /// The last other node that did so as leader, and when.
    pub other_leader: Mutex<Option<(u64, BootInstant)>>,
    /// The digests that the nodes told this one, leading.
    pub poll: Mutex<Poll>,
    session: AtomicU64,
    members: RwLock<Arc<Members>>,
    first_proposed: Mutex<HashMap<Purpose, BootInstant>>,
    lead_us: AtomicU64,
    running: watch::Sender<usize>,
    pub life: Life,
}

impl Shared {
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
        let acknowledged = AtomicU64::new(clock.boot().0);
        let shared = Self {
            settings,
            consensus,
            clock,
            exec,
            metrics,
            observer,
            boot,
            timers,
            heard: Mutex::new(BTreeMap::new()),
            acknowledged,
            other_leader: Mutex::new(None),
            poll: Mutex::default(),
            session: AtomicU64::new(0),
            members: RwLock::new(Arc::new(Members::default())),
            first_proposed: Mutex::new(HashMap::new()),
            lead_us: AtomicU64::new(20_000),
            running: watch::Sender::new(0),
            life: Life::current(),
        };
        (shared, alarms)
    }

    /// Starts an actor of this process.
    pub async fn actor<A: Actor>(
        &self,
        actor: A,
        arguments: A::Arguments,
    ) -> Result<ActorRef<A::Msg>, SpawnErr> {
        let (actor, task) = Actor::spawn(None, actor, arguments).await?;
        self.life.own(&task);
        Ok(actor)
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

    /// Looks again who may own tasks.
    pub fn refresh_members(&self) {
        let members = Members::of(&self.consensus.replica().read());
        *self.members.write() = Arc::new(members);
    }

    /// Whether this node owns a task.
    pub fn owns(&self, spec: &TaskSpec) -> bool {
        let owner = self.members.read().owner(spec);
        owner.is_some_and(|owner| owner.0 == self.consensus.id())
    }

    /// The same by the applied state alone, for those who check this node.
    pub fn owns_by_state(&self, task: &Task) -> bool {
        let members = Members::of(&self.consensus.replica().read());
        let owner = task.spec().and_then(|spec| members.owner(spec));
        owner.is_some_and(|owner| owner.0 == self.consensus.id())
    }

    /// Whether this node owns the task that it has before it.
    pub fn owns_task(&self, task: &Task) -> bool {
        task.live.deleted.is_none() && task.spec().is_some_and(|spec| self.owns(spec))
    }

    /// How long before its due time a tick is claimed.
    pub fn lead(&self) -> Millis {
        Millis(self.lead_us.load(Ordering::Relaxed).div_ceil(1_000))
    }

    /// A settle took this long from proposal to apply. The lead follows at four times the running
    /// mean, so that nearly all claims are granted before their due time.
    pub fn measured(&self, latency: Duration) {
        let latency = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).min(LEAD_MAX_US);
        let lead = self.lead_us.load(Ordering::Relaxed);
        let next = (lead * 15 + latency * 4) / 16;
        self.lead_us.store(next.clamp(LEAD_MIN_US, LEAD_MAX_US), Ordering::Relaxed);
    }

    /// Notes the first proposal for something, and nothing if there was one before.
    pub fn note_proposal(&self, purpose: Purpose) {
        let now = self.clock.boot();
        let mut noted = self.first_proposed.lock();
        if bug!("ttl-from-last-proposal") {
            noted.insert(purpose, now);
        }
        noted.entry(purpose).or_insert(now);
    }

    /// When a grant was first proposed here; none: this process does not remember.
    pub fn first_proposal(
        &self,
        task: TaskKey,
        tick: Option<Timestamp>,
        execution: ExecutionId,
    ) -> Option<BootInstant> {
        let mut noted = self.first_proposed.lock();
        let start = noted.remove(&Purpose::Start(execution));
        start.or_else(|| tick.and_then(|tick| noted.remove(&Purpose::Claim(task, tick))))
    }

    /// Whether something was proposed lately.
    pub fn was_proposed(&self, purpose: Purpose, within: Millis) -> bool {
        let now = self.clock.boot();
        self.first_proposed.lock().get(&purpose).is_some_and(|at| now.since(*at) < within)
    }

    /// Forgets what nothing can come of any more. A proposal that may still be applied stays
    /// noted, however late that is: a start counts from the first one.
    pub fn forget_old_proposals(&self) {
        let now = self.clock.boot();
        let state = self.consensus.replica().read();
        self.first_proposed.lock().retain(|purpose, at| {
            let open = || match purpose {
                Purpose::Claim(key, tick) => {
                    state.task(*key).is_some_and(|task| state.settled(task) < *tick)
                }
                Purpose::Start(id) => {
                    state.execution(*id).is_some_and(|(_, found)| !found.status.ended())
                }
            };
            now.since(*at) < REMEMBER || open()
        });
    }

    /// Proposes commands in one entry, and leaves the outcome to the state.
    pub async fn propose(&self, commands: &[Command]) {
        self.consensus.propose(proposal(commands)).await;
    }

    /// The same for commands about who is alive, which other work does not delay.
    pub async fn propose_liveness(&self, commands: &[Command]) {
        self.consensus.propose_liveness(proposal(commands)).await;
    }

    /// Asks for a grant; where it can no longer be had, gives the former one back.
    pub fn ask_start(self: &Arc<Self>, start: Start) {
        self.note_proposal(Purpose::Start(start.execution));
        let shared = Arc::clone(self);
        self.life.spawn(async move {
            let mut bytes = Vec::new();
            envelope::pack(&mut bytes, &Command::Start(start), "", None);
            let outcome = shared.consensus.submit(bytes.into(), 1, PROPOSAL_LIMIT).await;
            let refusal = match outcome {
                Ok(answered) => answered.responses.into_iter().next().and_then(Result::err),
                Err(_) => None,
            };
            let Some(refusal) = refusal else { return };
            let held = matches!(refusal, Refusal::Held | Refusal::TaskDeleted | Refusal::Session);
            if let (true, Some(fence)) = (held, start.again) {
                let (task, execution) = (start.task, start.execution);
                let back = Command::Return(OfFence { task, execution, fence });
                shared.propose(&[back]).await;
            }
        });
    }

    pub fn running(&self) -> usize {
        *self.running.borrow()
    }

    pub fn set_running(&self, count: usize) {
        self.running.send_replace(count);
    }

    /// Waits until no attempt runs here, or the deadline.
    pub async fn drained(&self, deadline: Instant) {
        let mut running = self.running.subscribe();
        let _in_time =
            tokio::time::timeout_at(deadline, running.wait_for(|running| *running == 0)).await;
    }

    /// Whether another attempt may be asked for.
    pub fn has_slot(&self) -> bool {
        let id = crate::domain::ids::NodeId(self.consensus.id());
        let slots = match self.consensus.replica().read().node(id) {
            Some(node) => node.info.slots,
            None => self.settings.info.slots,
        };
        slots == 0 || self.running() < usize::try_from(slots).unwrap_or(usize::MAX)
    }
}

fn proposal(commands: &[Command]) -> Proposal {
    let mut bytes = Vec::new();
    for command in commands {
        envelope::pack(&mut bytes, command, "", None);
    }
    let deadline = Instant::now() + PROPOSAL_LIMIT;
    Proposal { commands: Bytes::from(bytes), count: commands.len(), reply: Reply::Nobody, deadline }
}
