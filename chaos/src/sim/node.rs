//! One simulated machine: its clocks, its disk, its port, and the node process that runs on it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use punctual::api::{
    self, ApiSettings, Context, KeptOverview, KeptTasks, NodeFiles, RunningParts, Scans, Streams,
};
use punctual::clock::{Clock, ClusterClock};
use punctual::consensus::{
    self, ConsensusParts, ConsensusSettings, Formats, MemberAddress, RunningConsensus,
};
use punctual::domain::ids::TaskKey;
use punctual::domain::machine::record::NodeInfo;
use punctual::domain::machine::{Applied, State};
use punctual::domain::task::Strategy;
use punctual::domain::time::{Millis, Timestamp};
use punctual::engine::{Engine, EngineParts, EngineSettings};
use punctual::exec::Exec;
use punctual::life::simulation::{SimulatedProcess, Witness};
use punctual::telemetry::metrics::Metrics;
use punctual::transport::{Fabric, RandomSource};
use tokio::sync::{mpsc, watch};

use super::actions::{self, ActionContext};
use super::backlog::EventValve;
use super::clocks::Clocks;
use super::disk::MachineDisk;
use super::executors::SimExecutors;
use super::net::{Net, address};
use super::plan::RunPlan;
use crate::check::agreement::{Clusters, ReplicaAgreement};
use crate::check::history::{HistoryEvent, RunHistory};

/// The clocks of a majority agree within this.
const MAX_CLOCK_SKEW: Duration = Duration::from_millis(500);
/// What the contract promises of starts.
pub const DISPATCH_TTL: Millis = Millis(1_000);
/// Younger ticks are on time.
pub const FAILOVER: Millis = Millis(5_000);

/// Streams of output, and of events, that a node may have.
const STREAMS_MAX: usize = 16;

/// A process ended by itself: which, and why.
pub type Ends = mpsc::UnboundedSender<(usize, u64, String)>;

/// What all machines share.
pub struct Common {
    pub plan: RunPlan,
    pub history: Arc<RunHistory>,
    pub clusters: Clusters,
    pub net: Net,
    pub ends: Ends,
    pub executors: Arc<SimExecutors>,
}

/// A machine.
pub struct SimMachine {
    pub index: usize,
    pub clocks: Clocks,
    pub disk: MachineDisk,
    /// The cluster whose data is on its disk, or will be.
    pub agreement: Arc<ReplicaAgreement>,
    /// Its own disk, while another is in its place.
    pub hidden: Option<MachineDisk>,
    pub alive: Option<Alive>,
    /// The version that it runs.
    pub formats: Formats,
    /// Whether it is a member of the cluster, or is to become one.
    pub takes_part: bool,
    /// How often it got another address.
    pub moves: u32,
    /// How many disks it has had.
    pub disks: u32,
}

/// A running process.
#[derive(Clone)]
pub struct Alive {
    pub number: u64,
    pub process: SimulatedProcess,
    pub router: Router,
    pub context: Arc<Context>,
    /// The attempts that it carries out.
    pub running: actions::RunningAttempts,
    /// What the events of its state pass on their way to its engine.
    pub events: EventValve,
    /// Its cluster.
    pub agreement: Arc<ReplicaAgreement>,
}

/// Hands what a process applies to the judges.
struct JudgeWitness {
    at: (usize, u64),
    agreement: Arc<ReplicaAgreement>,
    history: Arc<RunHistory>,
}

impl Witness for JudgeWitness {
    fn applied(&self, state: &State, index: u64, entry: &[u8], out: &Applied) {
        self.agreement.applied(self.at, state, index, Some((entry, out)));
    }

    fn skipped(&self, state: &State, index: u64) {
        self.agreement.applied(self.at, state, index, None);
    }

    fn replaced(&self, state: &State) {
        self.agreement.replaced(self.at, state);
    }

    fn claiming(&self, task: TaskKey, tick: Timestamp, owned: bool) {
        let (node, process) = self.at;
        let event = HistoryEvent::Claiming { process, task: task.0, tick: tick.0, owned };
        self.history.note(Some(node), event);
    }
}

/// The base URL of the API of a machine.
pub fn base_url(index: usize) -> String {
    format!("http://10.0.0.{}:7001", index + 1)
}

fn consensus_settings(
    plan: &RunPlan,
    index: usize,
    formats: Formats,
    addresses: &BTreeMap<usize, String>,
) -> ConsensusSettings {
    let member = |index: usize| u16::try_from(index + 1).unwrap_or(u16::MAX);
    let members = addresses.iter().map(|(index, peer)| MemberAddress {
        id: member(*index),
        peer: peer.clone(),
        http: base_url(*index),
    });
    ConsensusSettings {
        cluster_name: "sim".to_owned(),
        member: member(index),
        members: members.collect(),
        listen: addresses.get(&index).cloned().unwrap_or_default(),
        heartbeat: Duration::from_millis(100),
        election_min: Duration::from_millis(300),
        election_max: Duration::from_millis(600),
        retained_log: plan.retained,
        snapshot_every: plan.checkpoint,
        checkpoint_interval: Duration::from_secs(30),
        timezone: "UTC".to_owned(),
        scheduler: true,
        strategy: Strategy::default(),
        bootstrap_without: Vec::new(),
        formats,
        software: "sim".to_owned(),
    }
}

fn engine_settings(
    plan: &RunPlan,
    (index, peer): (usize, String),
    exec: &Exec,
    level: u16,
) -> EngineSettings {
    EngineSettings {
        failover_timeout: FAILOVER,
        down_after: Millis(1_000),
        dispatch_ttl: DISPATCH_TTL,
        activation_horizon: Millis(10_000),
        attempts_max: usize::MAX,
        strategy: None,
        executors: super::executors::settings(),
        info: NodeInfo {
            name: format!("n{}", index + 1),
            hostname: format!("machine-{}", index + 1),
            pid: 1,
            http: base_url(index),
            peer,
            version: "sim".to_owned(),
            level,
            weight: 1,
            labels: Default::default(),
            slots: plan.slots,
            functions: exec.functions(),
            shell: false,
            users: None,
        },
    }
}

impl SimMachine {
    /// What observes one of its processes.
    fn witness(&self, history: &Arc<RunHistory>, number: u64) -> Arc<dyn Witness> {
        Arc::new(JudgeWitness {
            at: (self.index, number),
            agreement: Arc::clone(&self.agreement),
            history: Arc::clone(history),
        })
    }

    /// Starts a node process, which knows the addresses of all members. `number` is its own among
    /// all of the run.
    pub fn start(&mut self, common: &Common, members: BTreeMap<usize, String>, number: u64) {
        let (index, history) = (self.index, &common.history);
        let seed = common.plan.seed.rotate_left(32) ^ (number << 8) ^ index as u64;
        let process = SimulatedProcess::new(seed, self.witness(history, number));
        let (clocks, count) = (self.clocks.clone(), members.len());
        let cluster = Arc::new(ClusterClock::new(clocks, count, MAX_CLOCK_SKEW));
        let clock: Arc<dyn Clock> = Arc::<ClusterClock>::clone(&cluster);
        let exec = Arc::new(Exec::simulated(Arc::clone(&clock)));
        let running = actions::RunningAttempts::default();
        let stage = ActionContext {
            seed: common.plan.seed,
            history: Arc::clone(history),
            agreement: Arc::clone(&self.agreement),
            slots: common.plan.slots,
            running: Arc::clone(&running),
        };
        exec.register("*", stage.function(index, number));
        common.executors.attach(&exec, (index, number), &self.agreement);
        let metrics = Metrics::new("sim");
        let (progress, saying) = watch::channel("starting".to_owned());
        let context = Arc::new(Context {
            running: OnceLock::new(),
            exec: Arc::clone(&exec),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
            progress: saying,
            scans: Scans::default(),
            streams: Streams::new(STREAMS_MAX, STREAMS_MAX),
            overview: KeptOverview::default(),
            kept: KeptTasks::default(),
            files: NodeFiles::default(),
            settings: ApiSettings {
                node_name: format!("n{}", index + 1),
                version: "sim",
                min_interval: Millis(100),
                dispatch_ttl: DISPATCH_TTL,
                functions_allowed: true,
                strategy: None,
                task_series: 10,
                bench: None,
                executor_secret: None,
                loopback: false,
            },
        });
        let random = random_bytes(process.clone());
        let fabric = Fabric { network: common.net.port(index), random, secret: None };
        let parts = ConsensusParts {
            settings: consensus_settings(&common.plan, index, self.formats, &members),
            disk: self.disk.open(),
            fabric,
            clock: cluster,
            metrics: metrics.clone(),
            progress,
        };
        history.note(Some(index), HistoryEvent::Boot { process: number });
        let boot = u128::from(process.draw()) << 64 | u128::from(process.draw());
        let own = (index, address(index, self.moves));
        let engine = engine_settings(&common.plan, own, &exec, self.formats.level);
        let events = EventValve::default();
        let (context_of, valve) = (Arc::clone(&context), events.clone());
        let rest = ProcessParts { context: context_of, exec, clock, metrics, engine, boot, valve };
        let ends = common.ends.clone();
        process.spawn(async move {
            let why = rest.run(parts).await;
            // The world ends first only when the run is over.
            let _over = ends.send((index, number, why));
        });
        let router = api::router(Arc::clone(&context));
        let agreement = Arc::clone(&self.agreement);
        self.alive = Some(Alive { number, process, router, context, running, events, agreement });
    }
}

/// The random source of a process: its own seeded draws.
fn random_bytes(draws: SimulatedProcess) -> RandomSource {
    Arc::new(move |bytes| {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&draws.draw().to_le_bytes()[..chunk.len()]);
        }
    })
}

/// What a process does once it has its parts.
struct ProcessParts {
    context: Arc<Context>,
    exec: Arc<Exec>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    engine: EngineSettings,
    boot: u128,
    valve: EventValve,
}

impl ProcessParts {
    /// Runs until the node cannot go on; says why.
    async fn run(self, parts: ConsensusParts) -> String {
        let RunningConsensus { consensus, events } = match consensus::start(parts).await {
            Ok(started) => started,
            Err(error) => return format!("it did not start: {error}"),
        };
        let mut ended = consensus.fatal();
        let (passed, engine_events) = mpsc::unbounded_channel();
        let engine = Engine::start(EngineParts {
            settings: self.engine,
            consensus: consensus.clone(),
            events: engine_events,
            clock: self.clock,
            exec: self.exec,
            metrics: self.metrics,
            observer: None,
            service: Arc::new(|_from, _kind, _body| Box::pin(async { None })),
            boot: self.boot,
        })
        .await;
        let engine = match engine {
            Ok(engine) => engine,
            Err(error) => return format!("the engine did not start: {error}"),
        };
        let _first = self.context.running.set(RunningParts { consensus, engine: engine.clone() });
        tokio::select! {
            biased;
            why = ended.wait_for(Option::is_some) => {
                let why = why.ok().and_then(|why| why.clone());
                why.unwrap_or_else(|| "consensus ended".to_owned())
            }
            why = engine.failure() => why,
            () = self.valve.pass(events, passed) => "the events ended".to_owned(),
        }
    }
}
