//! Simulates an operator who takes a backup while the cluster runs, and stops the whole cluster later.
//! One machine becomes the first node of a new cluster: from the backup, or, where a majority lost its
//! data, from what the survivor has whose log ends last. The others join with empty disks. One of them
//! runs with its former data for a while.
//!
//! What the commands `restore` and `recover` do with a data folder, the product's own functions do here
//! with a simulated disk.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use punctual::consensus::backup::{self, LoadedBackup};
use punctual::consensus::restore::{self as product, FirstNode};
use punctual::domain::machine::State;
use punctual::domain::time::Timestamp;
use punctual::storage::LogPos;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::disk::MachineDisk;
use super::members;
use super::random::SeededRandom;
use super::world::{ProcessEnd, SimWorld};
use crate::check::agreement::LeftOver;
use crate::check::history::{FaultKind, HistoryEvent};

const GOES_ON: &str = "a new cluster goes on as promised";
const FORMER: &str = "no node joins another cluster";
/// Time limit for a backup.
const PATIENCE: Duration = Duration::from_secs(5);
/// From the stop of all processes to the new cluster: until then, what they answered is noted.
const STOPPED: Duration = Duration::from_secs(1);

/// What a new cluster goes on from.
struct NewBeginning {
    /// The machine of its first node.
    first: usize,
    from: LoadedBackup,
    /// The last index up to which it is what the former cluster had committed.
    agreed: u64,
    /// The entries after that.
    tail: Vec<HistoryEvent>,
}

/// Does it once, unless the switch is true before.
pub async fn restore(world: Arc<SimWorld>, mut stop: watch::Receiver<bool>) {
    let mut random = SeededRandom::of(world.common.plan.seed, "restore");
    let rest = random.log_time(Duration::from_secs(4), Duration::from_secs(20));
    if timeout(rest, stop.wait_for(|stop| *stop)).await.is_ok() {
        return;
    }
    // A cluster of one uses its own clock: until there are others, no clock is wrong.
    let _clocks = tokio::select! {
        clocks = world.wrong_clock.lock() => clocks,
        _stopped = stop.wait_for(|stop| *stop) => return,
    };
    // So some of few seeds do the one, and some the other.
    let recovers = !world.common.plan.seed.is_multiple_of(2);
    let bytes = loop {
        let index = random.index(world.common.plan.nodes);
        if let Some(bytes) = take_backup(&world, index).await {
            break bytes;
        }
        let rest = Duration::from_millis(random.range(50, 500));
        if timeout(rest, stop.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
    };
    sleep(random.log_time(Duration::from_millis(100), Duration::from_secs(12))).await;
    let power = random.chance(500);
    let how = if power { ProcessEnd::Power } else { ProcessEnd::Process };
    (0..world.common.plan.nodes).for_each(|index| world.withdraw(index, how));
    sleep(STOPPED).await;
    let beginning = match recovers {
        true => left_over(&world, &mut random),
        false => from_backup(&world, &bytes, &mut random),
    };
    let begun = beginning.and_then(|beginning| begin(&world, beginning, recovers, &mut random));
    match begun {
        Ok(first) => go_on(&world, first, &mut random).await,
        Err(what) => world.history().violated(GOES_ON, what),
    }
}

/// A backup that a node gives while the cluster runs. None: it gave none, or it broke off.
async fn take_backup(world: &SimWorld, index: usize) -> Option<Vec<u8>> {
    let alive = world.alive(index)?;
    let request = Request::get("/api/v1/cluster/backup").body(Body::empty()).ok()?;
    let answering = alive.process.spawn(alive.router.clone().oneshot(request));
    let response = timeout(PATIENCE, answering).await.ok()?.ok()?.ok()?;
    if !response.status().is_success() {
        return None;
    }
    let body = timeout(PATIENCE, to_bytes(response.into_body(), usize::MAX)).await.ok()?.ok()?;
    backup::read(&body[..]).ok()?;
    Some(body.to_vec())
}

fn from_backup(
    world: &SimWorld,
    bytes: &[u8],
    random: &mut SeededRandom,
) -> Result<NewBeginning, String> {
    let from = backup::read(bytes).map_err(|error| error.to_string())?;
    let agreed = from.header.applied;
    let first = random.index(world.common.plan.nodes);
    Ok(NewBeginning { first, from, agreed, tail: Vec::new() })
}

/// What is left after the loss of a majority: the survivor whose log ends last is taken.
fn left_over(world: &SimWorld, random: &mut SeededRandom) -> Result<NewBeginning, String> {
    let nodes = world.common.plan.nodes;
    let mut machines: Vec<usize> = (0..nodes).collect();
    for _ in 0..nodes / 2 + 1 {
        let lost = machines.remove(random.index(machines.len()));
        world.history().note(Some(lost), HistoryEvent::Trouble("its data is lost".to_owned()));
    }
    let mut last: Option<(Option<LogPos>, usize, MachineDisk)> = None;
    for index in machines {
        let Some(disk) = world.disk(index) else { continue };
        let end = disk.offline(|log, stores| product::end_of(stores, log));
        let end = end.map_err(|error| error.to_string())?;
        if last.as_ref().is_none_or(|(furthest, _, _)| end > *furthest) {
            last = Some((end, index, disk));
        }
    }
    let (_, first, disk) = last.ok_or("nothing is left")?;
    let identity = disk.identity().ok_or("a survivor has no identity")?;
    let former = world.common.clusters.newest();
    let mut read = LeftOver::of(&former);
    let state = disk.offline(|log, stores| {
        let tell = &mut |state: &State, index, entry: Option<&[u8]>, out: &_| {
            read.entry(state, index, entry, out);
        };
        product::left_over(stores, log, identity.node, tell)
    });
    let state = state.map_err(|error| error.to_string())?;
    // The command writes it to a file first, and reads that.
    let bytes = backup::write(&state, Vec::new()).map_err(|error| error.to_string())?;
    let from = backup::read(&bytes[..]).map_err(|error| error.to_string())?;
    Ok(NewBeginning { first, from, agreed: read.agreed(&state), tail: read.tail })
}

/// Makes the disk of the first node of the new cluster. Returns its machine.
fn begin(
    world: &SimWorld,
    beginning: NewBeginning,
    recovers: bool,
    random: &mut SeededRandom,
) -> Result<usize, String> {
    let NewBeginning { first, from, agreed, tail } = beginning;
    let (peer, http) = world.addresses(first);
    let now = i64::try_from(world.history().now() / 1_000).unwrap_or(0);
    let node = FirstNode {
        cluster_name: from.header.cluster_name.clone(),
        cluster_id: u128::from(random.next()) << 64 | 1,
        member: u16::try_from(first + 1).unwrap_or(u16::MAX),
        peer,
        http,
        now: Timestamp(world.common.plan.epoch_ms + now),
        log_file: None,
    };
    world.bring_back(first, true);
    let disk = world.disk(first).ok_or("there is no such machine")?;
    let identity = disk.offline(|log, stores| product::fill(log, stores, &from, &node));
    disk.identify(identity.map_err(|error| error.to_string())?);
    let state = disk.checkpoint()?;
    world.begin_cluster(first, &state);
    let kind = if recovers { FaultKind::Recovered } else { FaultKind::Restored };
    let what = format!("at entry {}, after {}", state.cluster().applied, from.header.taken.0);
    world.history().trouble(Some(first), kind, what);
    world.history().note(None, HistoryEvent::NewCluster { index: agreed });
    for entry in tail {
        world.history().note(Some(first), entry);
    }
    let all = state.tasks().flat_map(|task| {
        let name = &task.live.name;
        task.history.executions.iter().map(move |one| (one.id.0, name.to_string()))
    });
    // The counter leaps before anything begins.
    let mut begun: Vec<(u64, String)> = all.filter(|(id, _)| *id > from.header.counter).collect();
    begun.sort_unstable();
    let (index, counter) = (state.cluster().applied, from.header.counter);
    world.history().note(None, HistoryEvent::Succeeded { index, counter, begun });
    *world.begun.lock() = Some(state);
    Ok(first)
}

/// Starts the first node, and adds the others to its cluster.
async fn go_on(world: &Arc<SimWorld>, first: usize, random: &mut SeededRandom) {
    let mut others: Vec<usize> =
        (0..world.common.plan.nodes).filter(|index| *index != first).collect();
    // It runs with its former data until it is added.
    let former = others.remove(random.index(others.len()));
    for index in &others {
        world.bring_back(*index, true);
    }
    world.bring_back(former, false);
    for index in [first, former].into_iter().chain(others.iter().copied()) {
        world.start(index);
        sleep(Duration::from_millis(random.range(0, 400))).await;
    }
    sleep(random.log_time(Duration::from_millis(200), Duration::from_secs(3))).await;
    world.history().checked(FORMER);
    if members::add_as_it_is(world, former, first).await {
        let what = format!("node {} was added with the data of the former one", former + 1);
        world.history().violated(FORMER, what);
    }
    for index in others.into_iter().chain([former]) {
        members::add(world, index, first).await;
    }
}
