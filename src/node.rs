//! The composition root: builds the parts of a node in order, connects them, and stops them in
//! order. Around it is the interface of embedding programs: `builder.rs` has the settings of a node,
//! `handle.rs` the node that runs, `tasks.rs`, `executions.rs`, `cluster.rs` and `functions.rs` what
//! a program does with it, `watch.rs` the changes that it sees.
//!
//! The library does not control the process: [`Node::run`] returns the reason for the node's end,
//! and only the binary exits.

mod builder;
mod cluster;
mod error;
mod executions;
mod fatal;
mod files;
mod functions;
mod handle;
mod listeners;
mod selected;
mod task_builder;
mod tasks;
#[cfg(test)]
mod tests;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::sync::watch::{Receiver, Sender, channel};

pub use self::builder::NodeBuilder;
pub use self::error::Error;
pub use self::executions::ClaimedTick;
pub use self::files::FilesReload;
pub use self::functions::FuncResult;
pub use self::handle::Node;
pub use self::selected::SelectedTasks;
pub use self::task_builder::TaskBuilder;
pub use self::watch::{Watch, WatchOptions};
use crate::api::{
    self, ApiSettings, Context, HttpLimits, KeptOverview, KeptTasks, NodeFiles, RunningParts,
    Scans, Streams,
};
use crate::budget::Budget;
use crate::clock::{Clock, ClusterClock, HardwareClocks};
use crate::config::Config;
use crate::consensus::{
    self, Consensus, ConsensusDisk, ConsensusParts, ConsensusSettings, Formats, MemberAddress,
    RunningConsensus, Service, StartError,
};
use crate::domain::machine::LEVEL;
use crate::domain::machine::record::NodeInfo;
use crate::engine::{Engine, EngineParts, EngineSettings};
use crate::exec::{Exec, ExecOptions};
use crate::ops::Starts;
use crate::storage::{DataFolder, FolderIdentity, LogStore, WalLog};
use crate::telemetry::metrics::Metrics;
use crate::transport::{ClusterSecret, Fabric, RandomSource, Tcp};
use builder::NodePlan;
use fatal::Fatal;
use handle::NodeParts;

/// Version of this software.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// A checkpoint is taken at least this often, if anything was applied.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(30);

/// The handle to the Raft thread.
struct RaftThread {
    started: oneshot::Receiver<Result<RunningConsensus, StartError>>,
    stop: Receiver<bool>,
}

impl Node {
    async fn build(plan: NodePlan) -> Result<Self, Fatal> {
        let config = plan.config.clone();
        let metrics = Metrics::new(VERSION);
        let members = config.cluster.members.len();
        let skew = Duration::from_millis(config.limits.max_clock_skew.0);
        let clock = Arc::new(ClusterClock::new(HardwareClocks, members, skew));
        let folder = DataFolder::open(&config.node.data_dir, config.log.file.as_deref())?;
        if folder.recovery().exists() {
            let path = folder.path().display();
            let why = format!(
                "{path}: a restore or a recovery was begun here and has not ended; repeat the \
                 command that began it: punctual restore, or punctual cluster recover"
            );
            return Err(Fatal::Part(why));
        }
        let (http, listener) = listen(&config).await?;
        let exec = Arc::new(exec(&plan, &folder, http)?);
        for (name, func) in &plan.functions {
            exec.register(name.clone(), Arc::clone(func));
        }
        let reload = FilesReload::new();
        let (progress, saying) = channel("starting".to_owned());
        let context = Arc::new(Context {
            running: OnceLock::new(),
            exec: Arc::clone(&exec),
            clock: Arc::<ClusterClock>::clone(&clock),
            metrics: metrics.clone(),
            progress: saying,
            scans: Scans::default(),
            files: NodeFiles::of(&config),
            streams: Streams::new(config.http.streams, config.http.event_readers),
            overview: KeptOverview::default(),
            kept: KeptTasks::default(),
            settings: ApiSettings {
                node_name: config.node.name(),
                version: VERSION,
                min_interval: config.schedule.min_interval,
                dispatch_ttl: config.limits.dispatch_ttl,
                functions_allowed: plan.functions_allowed,
                strategy: plan.strategy.clone(),
                loopback: config.http.listen.ip().is_loopback(),
                task_series: config.metrics.tasks,
                bench: plan.bench.clone(),
                executor_secret: config.executors.secret.clone(),
            },
        });
        let (stop, stopping) = channel(false);
        let (fatal, ended) = channel(None);
        let mut tasks = Vec::new();
        if let Some(listener) = listener {
            let router = api::router(Arc::clone(&context));
            let connections = Budget::of_process().connections;
            let limits = HttpLimits { connections, ..HttpLimits::default() };
            tasks.push(tokio::spawn(api::serve(listener, router, stopping.clone(), limits)));
        }
        let parts = parts(&plan, &folder, &clock, &metrics, progress)?;
        let (raft, thread) = raft_thread(parts, folder, stopping)?;
        let rest = UpperLayers {
            plan,
            context: Arc::clone(&context),
            http,
            exec,
            clock,
            metrics,
            reload: reload.clone(),
        };
        tasks.push(tokio::spawn(rest.run(thread, fatal)));
        Ok(Self::of(context, http, ended, reload, NodeParts { stop, raft, tasks }))
    }
}

async fn listen(
    config: &Config,
) -> Result<(Option<SocketAddr>, Option<tokio::net::TcpListener>), Fatal> {
    if !config.http.enabled {
        return Ok((None, None));
    }
    let addr = config.http.listen;
    let fault = |source| Fatal::Http { addr, source };
    let listener = tokio::net::TcpListener::bind(addr).await.map_err(fault)?;
    let addr = listener.local_addr().map_err(fault)?;
    Ok((Some(addr), Some(listener)))
}

/// `http` is where the API really listens.
fn exec(plan: &NodePlan, folder: &DataFolder, http: Option<SocketAddr>) -> Result<Exec, Fatal> {
    let config = &plan.config;
    let data_dir = std::path::absolute(folder.path()).unwrap_or_else(|_| PathBuf::from("/"));
    let work_dir = std::path::absolute(folder.work()).unwrap_or_else(|_| PathBuf::from("/"));
    let options = ExecOptions {
        shell: plan.shim.clone().filter(|_program| config.actions.shell_enabled),
        http_allow: config.actions.http_allow.clone(),
        own: config.listeners(http),
        loopback_only: config.loopback_only(),
        executors: config.executors.clone(),
        output_dir: folder.output(),
        output: config.actions.output,
        data_dir,
        work_dir,
        open_files: plan.open_files,
        refs: config.actions.refs.clone(),
    };
    let exec = Exec::new(options);
    let exec = exec.map_err(|error| Fatal::Part(format!("the output folder: {error}")))?;
    Ok(exec.with_failure_hook(plan.failure_hook.clone()))
}

fn random() -> RandomSource {
    Arc::new(|bytes: &mut [u8]| rand::fill(bytes))
}

fn parts(
    plan: &NodePlan,
    folder: &DataFolder,
    clock: &Arc<ClusterClock>,
    metrics: &Metrics,
    progress: Sender<String>,
) -> Result<ConsensusParts, Fatal> {
    let config = &plan.config;
    let settings = settings(plan);
    let disk_fault = |error| StartError::of_disk(error, &settings);
    let identity = FolderIdentity::read(folder.reserve(), folder.path()).map_err(disk_fault)?;
    if let Some(identity) = &identity {
        identity.expect(folder.path(), &config.cluster.name, u64::from(config.node.id))?;
    }
    let secret = config.cluster.secret.as_ref().map(|secret| {
        ClusterSecret::new(secret.expose().as_bytes())
            .map_err(|error| Fatal::Part(format!("cluster.secret: {error}")))
    });
    let log: Arc<dyn LogStore> =
        Arc::new(WalLog::open(&folder.log(), folder.reserve()).map_err(disk_fault)?);
    let (path, reserve) = (folder.path().to_owned(), folder.reserve().clone());
    Ok(ConsensusParts {
        settings,
        disk: ConsensusDisk {
            log,
            stores: Box::new(folder.states()),
            identity,
            save_identity: Box::new(move |identity| identity.write(&reserve, &path)),
        },
        fabric: Fabric { network: Arc::new(Tcp), random: random(), secret: secret.transpose()? },
        clock: Arc::clone(clock),
        metrics: metrics.clone(),
        progress,
    })
}

fn settings(plan: &NodePlan) -> ConsensusSettings {
    let config = &plan.config;
    let members = config.cluster.members.iter().map(|member| MemberAddress {
        id: member.id,
        peer: member.peer.clone(),
        http: member.http.clone().unwrap_or_default(),
    });
    ConsensusSettings {
        cluster_name: config.cluster.name.clone(),
        member: config.node.id,
        members: members.collect(),
        listen: config.peer.listen.to_string(),
        heartbeat: config.raft.heartbeat.std(),
        election_min: config.raft.election_min.std(),
        election_max: config.raft.election_max.std(),
        retained_log: config.raft.retained_log,
        snapshot_every: config.raft.snapshot_every,
        checkpoint_interval: CHECKPOINT_EVERY,
        timezone: config.cluster.timezone.clone(),
        scheduler: config.scheduler.enabled,
        strategy: config.scheduler.strategy,
        bootstrap_without: plan.bootstrap_without.clone(),
        formats: Formats::SOFTWARE,
        software: format!("punctual {VERSION}"),
    }
}

/// Runs consensus on a thread and runtime of its own, so that requests and actions cannot starve
/// heartbeats. The data folder stays locked until it ends.
fn raft_thread(
    parts: ConsensusParts,
    folder: DataFolder,
    mut stop: Receiver<bool>,
) -> Result<(std::thread::JoinHandle<()>, RaftThread), Fatal> {
    let (tell, started) = oneshot::channel();
    let stopping = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fatal::Part(format!("the Raft runtime: {error}")))?;
    let body = move || {
        let _locked = folder;
        runtime.block_on(async move {
            let outcome = tokio::select! {
                outcome = consensus::start(parts) => outcome,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let consensus: Option<Consensus> =
                outcome.as_ref().ok().map(|started| started.consensus.clone());
            if tell.send(outcome).is_err() {
                return;
            }
            let Some(consensus) = consensus else { return };
            let _stop = stop.wait_for(|stop| *stop).await;
            consensus.stop().await;
        });
    };
    let thread = std::thread::Builder::new()
        .name("raft".to_owned())
        .spawn(body)
        .map_err(|error| Fatal::Part(format!("the Raft thread: {error}")))?;
    Ok((thread, RaftThread { started, stop: stopping }))
}

/// The parts that are built once consensus runs.
struct UpperLayers {
    plan: NodePlan,
    context: Arc<Context>,
    /// Where the API listens.
    http: Option<SocketAddr>,
    exec: Arc<Exec>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    reload: FilesReload,
}

impl UpperLayers {
    async fn run(self, thread: RaftThread, fatal: Sender<Option<Arc<Fatal>>>) {
        let why = self.until_fatal(thread).await;
        if let Some(why) = why {
            fatal.send_replace(Some(Arc::new(why)));
        }
    }

    /// Builds the engine and watches consensus; none: the node was asked to stop.
    async fn until_fatal(self, mut thread: RaftThread) -> Option<Fatal> {
        let started = match thread.started.await {
            Ok(Ok(started)) => started,
            Ok(Err(error)) => return Some(error.into()),
            Err(_stopped) if *thread.stop.borrow() => return None,
            Err(_panicked) => return Some(Fatal::Ended("the Raft thread ended".to_owned())),
        };
        let RunningConsensus { consensus, events } = started;
        let mut ended = consensus.fatal();
        let engine = Engine::start(EngineParts {
            settings: self.engine_settings(),
            consensus: consensus.clone(),
            events,
            clock: Arc::clone(&self.clock),
            exec: Arc::clone(&self.exec),
            metrics: self.metrics.clone(),
            observer: self.plan.bench.as_ref().map(Starts::observer),
            service: self.service(),
            boot: rand::random(),
        })
        .await;
        let engine = match engine {
            Ok(engine) => engine,
            Err(error) => return Some(Fatal::Part(format!("the engine: {error}"))),
        };
        let (exec, config, http) = (self.exec, self.plan.config, self.http);
        let guarded = listeners::hand_on(consensus.members(), |members| {
            let members = members.iter().map(|member| (&*member.peer, &*member.http));
            exec.set_own(config.listeners_of(members, http));
        });
        let files = files::follow(Arc::clone(&self.context), self.reload);
        let _first = self
            .context
            .running
            .set(RunningParts { consensus: consensus.clone(), engine: engine.clone() });
        let why = tokio::select! {
            biased;
            never = guarded => match never {},
            never = files => match never {},
            _ = thread.stop.wait_for(|stop| *stop) => None,
            why = ended.wait_for(Option::is_some) => {
                let why = why.ok().and_then(|why| why.clone());
                let why = why.unwrap_or_else(|| "consensus ended".to_owned());
                Some(if consensus.was_removed() { Fatal::Removed(why) } else { Fatal::Ended(why) })
            }
            why = engine.failure() => Some(Fatal::Ended(why)),
        };
        engine.stop().await;
        why
    }

    /// What peers ask of this node beside the engine: output of attempts.
    fn service(&self) -> Service {
        let exec = Arc::clone(&self.exec);
        Arc::new(move |_from, kind, body| {
            let exec = Arc::clone(&exec);
            Box::pin(async move {
                if kind == api::OUTPUT_KIND { api::serve_output(&exec, body).await } else { None }
            })
        })
    }

    fn engine_settings(&self) -> EngineSettings {
        let config = &self.plan.config;
        let member = config.this_member();
        let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
        EngineSettings {
            failover_timeout: config.limits.failover_timeout,
            down_after: config.limits.down_after,
            dispatch_ttl: config.limits.dispatch_ttl,
            activation_horizon: config.limits.activation_horizon,
            attempts_max: Budget::of_process().attempts,
            executors: listeners::executors(config, self.http),
            strategy: self.plan.strategy.clone(),
            info: NodeInfo {
                name: config.node.name(),
                hostname,
                pid: std::process::id(),
                http: member.and_then(|member| member.http.clone()).unwrap_or_default(),
                peer: member.map(|member| member.peer.clone()).unwrap_or_default(),
                version: VERSION.to_owned(),
                level: LEVEL,
                weight: config.node.weight,
                labels: config.node.labels.clone(),
                slots: config.node.slots,
                functions: self.exec.functions(),
                shell: self.exec.starts_processes(),
                users: Exec::users(),
            },
        }
    }
}
