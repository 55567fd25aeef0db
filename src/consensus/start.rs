//! Starts and stops consensus.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use openraft::SnapshotPolicy;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::clock::{Clock, ClusterClock};
use crate::domain::ids::NodeId;
use crate::domain::machine::State;
use crate::domain::time::Timestamp;
use crate::life;
use crate::storage::{FolderIdentity, LogStore, StorageError, Stores};
use crate::telemetry::metrics::Metrics;
use crate::transport::{self, Dialer, Fabric, Hello, ListenError, Listener, PeerRefusal};

use super::acknowledged::{self, LostAcknowledged};
use super::addresses::AnnouncedAddresses;
use super::bootstrap::{self, MemberStanding, SaveIdentity};
use super::checkpoint::Checkpoints;
use super::contact::Contacts;
use super::core::RaftCore;
use super::load::Advice;
use super::log::RaftLog;
use super::machine::{LoadedCheckpoint, MachineStore};
use super::membership::{MemberList, MemberListSource};
use super::network::PeerConnectionFactory;
use super::peers::Peers;
use super::proposer::{self, EntryNumbers, Lane};
use super::replica::{Replica, ReplicaEvent};
use super::server::PeerRequests;
use super::types::{RaftHandle, RaftMember};
use super::watches::CheckpointSchedule;
use super::{Consensus, ConsensusSettings, QUEUE_MAX};

/// A stop waits this long for a last checkpoint.
pub(super) const LAST_CHECKPOINT: Duration = Duration::from_secs(10);
/// And asks for it at this interval.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(200);

/// The parts of the disk that consensus uses.
pub struct ConsensusDisk {
    /// The Raft log.
    pub log: Arc<dyn LogStore>,
    /// The checkpoints.
    pub stores: Box<dyn Stores>,
    /// The owner of the data; none: the node is new.
    pub identity: Option<FolderIdentity>,
    /// Writes an identity down.
    pub save_identity: SaveIdentity,
}

/// The parts of consensus.
pub struct ConsensusParts {
    /// Its settings.
    pub settings: ConsensusSettings,
    /// Its disk.
    pub disk: ConsensusDisk,
    /// Its network.
    pub fabric: Fabric,
    /// Its time.
    pub clock: Arc<ClusterClock>,
    /// Where it counts.
    pub metrics: Metrics,
    /// Receives what the start waits for, as a sentence.
    pub progress: watch::Sender<String>,
}

/// Running consensus.
pub struct RunningConsensus {
    /// The handle.
    pub consensus: Consensus,
    /// Changes of the state.
    pub events: mpsc::UnboundedReceiver<ReplicaEvent>,
}

/// Why consensus did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The peer address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The disk failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The log failed.
    #[error("the Raft log: {0}")]
    Log(#[from] io::Error),
    /// Something that was written is damaged or gone.
    #[error("{0}; {1}")]
    Damaged(String, Advice),
    /// Another version of this software wrote the data on the disk: the version found, and the
    /// version that this one reads.
    #[error("{0}; start the version that wrote it: nothing was changed")]
    Version(String),
    /// The log ends before an entry that this node acknowledged.
    #[error(transparent)]
    Lost(#[from] LostAcknowledged),
    /// openraft did not start.
    #[error("Raft: {0}")]
    Raft(String),
}

impl StartError {
    /// A disk error, with advice if there is any.
    #[must_use]
    pub fn of_disk(error: StorageError, settings: &ConsensusSettings) -> Self {
        if error.is_damage() {
            return Self::Damaged(error.to_string(), Advice::of(settings));
        }
        error.into()
    }
}

/// Starts consensus: listens, finds or creates the cluster, loads the state, runs Raft. It waits as
/// long as the first start needs, and reports in `progress` what it waits for.
///
/// # Errors
/// What cannot be listened on or read.
pub async fn start(parts: ConsensusParts) -> Result<RunningConsensus, StartError> {
    let ConsensusParts { settings, disk, fabric, clock, metrics, progress } = parts;
    let ConsensusDisk { log: log_disk, stores, identity, save_identity } = disk;
    let log = RaftLog::open(Arc::clone(&log_disk))?;
    let mut checkpoints = Checkpoints::open(stores, Arc::clone(&log_disk))?;
    let standing = standing(&settings, identity, save_identity);
    standing.lock().initialised = !log.is_empty();
    standing.lock().now = clock.now();
    let advice = Advice::of(&settings);
    check_whole(&standing, &log, &checkpoints, advice)?;
    let requests = requests(&standing, &clock);
    let identify = identify(&settings, &standing);
    let stop = Arc::new(watch::Sender::new(false));
    listen(&settings, &fabric, &requests, &identify, &stop).await?;
    let asked = peers(&settings, &fabric, Arc::clone(&identify));
    let lowest = settings.members.iter().all(|member| settings.member <= member.id);
    let mint = || mint(&fabric);
    let initialise = standing.lock().is_new(lowest)
        && bootstrap::run(&settings, &standing, &asked, &progress, mint).await?;
    // Connections made so far were those of a node without an id.
    drop(asked);
    let origin = draw(&fabric);
    let id = standing.lock().run(origin);
    let peers = Arc::new(peers(&settings, &fabric, identify));
    let loaded = super::load::load(&mut checkpoints, &peers, advice, &progress).await?;
    let (state, meta) = match loaded {
        Some(LoadedCheckpoint { state, applied, membership, .. }) => {
            (state, Some((applied, membership)))
        }
        None => (State::default(), None),
    };
    if !log.is_empty() {
        acknowledged::check_all(&peers, id.0, &log).await?;
    }
    let replica = Replica::new(origin, state, settings.formats, metrics.clone());
    let replica = Arc::new(replica);
    let machine = MachineStore::new(Arc::clone(&replica), checkpoints, meta, metrics.clone());
    let checkpoints = machine.checkpoints();
    let factory =
        PeerConnectionFactory { own: id.0, peers: Arc::clone(&peers), metrics: metrics.clone() };
    let raft = raft(&settings, factory, &log, machine).await?;
    let (leading, leader) = watch::channel(None);
    let (listed, members) = watch::channel(MemberList::of_settings(&settings));
    let core = Arc::new(RaftCore {
        id: id.0,
        raft,
        log,
        replica,
        peers,
        contacts: Contacts::new(&settings),
        clock,
        leader,
        members,
        announced: AnnouncedAddresses::new(own_address(&settings)),
        removed: AtomicBool::new(false),
        metrics,
    });
    let _first = requests.core.set(Arc::clone(&core));
    if initialise {
        let voters = founders(&settings);
        core.raft.initialize(voters).await.map_err(|error| StartError::Raft(error.to_string()))?;
    }
    let events = core.replica.attach();
    let lists = MemberListSource::new(&settings);
    let follow = super::watches::RaftWatches { leader: leading, members: listed, lists };
    let founding = (settings, mint());
    let consensus = run(core, follow, requests, stop, (log_disk, checkpoints), founding);
    Ok(RunningConsensus { consensus, events })
}

/// What this node tells of itself before Raft runs.
fn standing(
    settings: &ConsensusSettings,
    identity: Option<FolderIdentity>,
    save: SaveIdentity,
) -> Arc<Mutex<MemberStanding>> {
    Arc::new(Mutex::new(MemberStanding {
        cluster_name: settings.cluster_name.clone(),
        member: settings.member,
        list: bootstrap::list_hash(&settings.members),
        identity,
        initialised: false,
        process: None,
        save,
        now: Timestamp(0),
    }))
}

/// The handler of peers' requests, before Raft runs.
fn requests(standing: &Arc<Mutex<MemberStanding>>, clock: &Arc<ClusterClock>) -> Arc<PeerRequests> {
    Arc::new(PeerRequests {
        core: OnceLock::new(),
        service: OnceLock::new(),
        standing: Arc::clone(standing),
        clock: Arc::clone(clock),
        fatal: watch::Sender::new(None),
        unknown: Mutex::new(BTreeSet::new()),
    })
}

/// Starts openraft, which applies all entries known to be committed.
async fn raft(
    settings: &ConsensusSettings,
    factory: PeerConnectionFactory,
    log: &RaftLog,
    machine: MachineStore,
) -> Result<RaftHandle, StartError> {
    let config = config(settings).map_err(StartError::Raft)?;
    let (starting, refused) = (machine.starting(), machine.refused());
    let raft = RaftHandle::new(factory.own, Arc::new(config), factory, log.clone(), machine).await;
    let raft = raft.map_err(|error| match refused.lock().take().or_else(|| log.refused()) {
        Some(version) => StartError::Version(version),
        None => StartError::Raft(error.to_string()),
    })?;
    starting.lock().take();
    Ok(raft)
}

/// Answers peers from now on.
async fn listen(
    settings: &ConsensusSettings,
    fabric: &Fabric,
    requests: &Arc<PeerRequests>,
    identify: &transport::link::Identify,
    stop: &watch::Sender<bool>,
) -> Result<(), ListenError> {
    let listener = Listener::bind(fabric.clone(), &settings.listen).await?;
    if let Ok(addr) = listener.local_addr() {
        tracing::info!(%addr, "listening for peers");
    }
    let (serving, known) = (Arc::clone(requests), Arc::clone(identify));
    let admitting = Arc::clone(requests);
    let accept = move |hello: &Hello| -> Result<transport::PeerIdentity, PeerRefusal> {
        admitting.admit(&hello.identity)?;
        Ok(known())
    };
    let handle = move |connection| Arc::clone(&serving).serve(connection);
    life::spawn(transport::serve(listener, accept, handle, stop.subscribe()));
    Ok(())
}

/// Refuses a folder whose parts do not belong together, and has it noted that the log holds a vote.
fn check_whole(
    standing: &Arc<Mutex<MemberStanding>>,
    log: &RaftLog,
    checkpoints: &Checkpoints,
    advice: Advice,
) -> Result<(), StartError> {
    {
        let mut standing = standing.lock();
        if let Some(why) = standing.torn(checkpoints.exist()) {
            let why = format!("the data folder is not whole: {why}");
            return Err(StartError::Damaged(why, advice));
        }
        if !log.is_empty() {
            standing.note_vote()?;
        }
    }
    let noting = Arc::clone(standing);
    log.on_vote(move || noting.lock().note_vote().map_err(io::Error::other));
    Ok(())
}

/// Starts the background tasks.
fn run(
    core: Arc<RaftCore>,
    followed: super::watches::RaftWatches,
    requests: Arc<PeerRequests>,
    stop: Arc<watch::Sender<bool>>,
    (disk, checkpoints): (Arc<dyn LogStore>, Arc<Mutex<Checkpoints>>),
    (settings, callback_key): (ConsensusSettings, u128),
) -> Consensus {
    let numbers = Arc::new(EntryNumbers::default());
    let lane = |lane| {
        let (queue, proposals) = mpsc::channel(QUEUE_MAX);
        life::spawn(proposer::run(Arc::clone(&core), lane, Arc::clone(&numbers), proposals));
        queue
    };
    let (work, liveness) = (lane(Lane::Work), lane(Lane::Liveness));
    let fatal = requests.fatal.clone();
    let standing = Arc::clone(&requests.standing);
    life::spawn(proposer::expire_flights(Arc::clone(&core)));
    life::spawn(super::clocks::look(Arc::clone(&core)));
    life::spawn(super::membership::follow(Arc::clone(&core), core.members.clone()));
    life::spawn(super::watches::follow(Arc::clone(&core), followed, fatal.clone(), standing));
    life::spawn(super::watches::watch_disk(Arc::clone(&disk), fatal.clone(), core.metrics.clone()));
    life::spawn(super::watches::checkpoint(Arc::clone(&core), CheckpointSchedule::of(&settings)));
    life::spawn(super::members::removed::watch(Arc::clone(&core), fatal.clone()));
    life::spawn(super::watches::purge(Arc::clone(&core), settings.retained_log));
    let formats = settings.formats;
    let consensus =
        Consensus { core, formats, requests, work, liveness, fatal, checkpoints, stop, disk };
    life::spawn(super::watches::create_cluster(consensus.clone(), settings, callback_key));
    life::spawn(super::members::reconcile::run(consensus.clone()));
    consensus
}

/// The number by which entries name this process.
fn draw(fabric: &Fabric) -> u64 {
    let mut origin = [0; 8];
    (fabric.random)(&mut origin);
    u64::from_le_bytes(origin)
}

fn mint(fabric: &Fabric) -> u128 {
    let mut bytes = [0; 16];
    loop {
        (fabric.random)(&mut bytes);
        match u128::from_le_bytes(bytes) {
            0 => {}
            id => return id,
        }
    }
}

fn identify(
    settings: &ConsensusSettings,
    standing: &Arc<Mutex<MemberStanding>>,
) -> transport::link::Identify {
    let standing = Arc::clone(standing);
    let (level, software) = (settings.formats.level, settings.software.clone());
    Arc::new(move || {
        let standing = standing.lock();
        let own = standing.identity.as_ref();
        transport::PeerIdentity {
            level,
            cluster_name: standing.cluster_name.clone(),
            // An id that nothing was written under does not keep peers apart.
            cluster_id: own.filter(|_| standing.initialised).map(|own| own.cluster_id),
            node: standing.node(),
            config_id: standing.member,
            software: software.clone(),
            empty: !standing.initialised,
            boot: standing.process,
        }
    })
}

fn peers(
    settings: &ConsensusSettings,
    fabric: &Fabric,
    identify: transport::link::Identify,
) -> Peers {
    let addresses: BTreeMap<u16, String> =
        settings.members.iter().map(|member| (member.id, member.peer.clone())).collect();
    let local_ip: Option<IpAddr> =
        settings.listen.rsplit_once(':').and_then(|(host, _)| host.parse().ok());
    let local_ip = local_ip.filter(|ip| !ip.is_unspecified());
    let fabric = fabric.clone();
    let peers = Peers::new(move |id, node, addr| Dialer {
        fabric: fabric.clone(),
        local_ip,
        addr,
        to_config_id: id,
        node: node.map(NodeId),
        connect_timeout: transport::link::CONNECT_TIMEOUT,
        identify: Arc::clone(&identify),
    });
    for (id, addr) in addresses.iter().filter(|(id, _)| **id != settings.member) {
        peers.at(*id, addr);
    }
    peers
}

/// The addresses of this node in its settings.
fn own_address(settings: &ConsensusSettings) -> RaftMember {
    let own = settings.members.iter().find(|member| member.id == settings.member);
    own.map_or_else(RaftMember::default, |own| RaftMember {
        peer: own.peer.clone(),
        http: own.http.clone(),
    })
}

/// The voters of a new cluster.
fn founders(settings: &ConsensusSettings) -> BTreeMap<u64, RaftMember> {
    settings
        .members
        .iter()
        .map(|member| {
            let address = RaftMember { peer: member.peer.clone(), http: member.http.clone() };
            (NodeId::new(member.id, 1).0, address)
        })
        .collect()
}

fn config(settings: &ConsensusSettings) -> Result<openraft::Config, String> {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let election_timeout_max = millis(settings.election_max);
    let config = openraft::Config {
        cluster_name: settings.cluster_name.clone(),
        heartbeat_interval: millis(settings.heartbeat),
        election_timeout_min: millis(settings.election_min),
        election_timeout_max,
        enable_pre_vote: Some(true),
        // A restarted leader is no leader until it is elected again (openraft#1467).
        enable_leader_restore: Some(false),
        quorum_loss_probe_interval: Some(election_timeout_max.saturating_mul(4)),
        install_snapshot_timeout: 120_000,
        // See `watches::checkpoint`.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: settings.retained_log,
        purge_batch_size: (settings.retained_log / 4).clamp(1, 1_024),
        max_payload_entries: 1_000,
        replication_lag_threshold: 10_000,
        // Always the same; of one value alone it would make a series that doubles.
        backoff: "100ms 100ms 100ms".to_owned(),
        ..openraft::Config::default()
    };
    config.validate().map_err(|error| error.to_string())
}

pub(super) async fn stop(consensus: &Consensus) {
    let core = &consensus.core;
    last_checkpoint(core).await;
    if let Err(error) = core.raft.shutdown().await {
        tracing::warn!(%error, "Raft did not stop cleanly");
    }
    consensus.stop.send_replace(true);
    // Until nobody listens any more: whoever starts next in this process needs the address.
    consensus.stop.closed().await;
    // Handles to a consensus that has ended may outlive it, and hold no file open.
    let (disk, checkpoints) = (Arc::clone(&consensus.disk), Arc::clone(&consensus.checkpoints));
    let close = move || {
        checkpoints.lock().close();
        disk.close()
    };
    let closed = life::blocking(close).await;
    if let Err(error) = closed {
        tracing::warn!(%error, "the Raft log was not closed cleanly");
    }
}

/// Takes a last checkpoint, within a time limit. Without it the next start replays more of the log,
/// and nothing is lost. openraft ignores the request while another checkpoint is in progress, so it
/// is repeated.
async fn last_checkpoint(core: &RaftCore) {
    let applied = core.replica.applied();
    let deadline = Instant::now() + LAST_CHECKPOINT;
    while Instant::now() < deadline && core.raft.trigger().snapshot().await.is_ok() {
        let wait = core.raft.wait(Some(ASK_AGAIN));
        let covered = wait.metrics(
            |seen| seen.snapshot.is_some_and(|id| id.index() >= applied),
            "a last checkpoint",
        );
        if covered.await.is_ok() {
            return;
        }
    }
}
