//! Specific faults: leaders that stop communicating under load, and snapshots that coincide with a
//! checkpoint.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::random::SeededRandom;
use super::world::{ProcessEnd, SimWorld};
use crate::check::history::{FaultKind, HistoryEvent};

/// Duration of a leader's silence, in milliseconds.
const SILENT_MS: (u64, u64) = (3_000, 6_000);
/// Time between two silences, in milliseconds. All nodes work again within this time.
const REST_MS: (u64, u64) = (5_000, 9_000);
/// How long writing a checkpoint takes during the fault.
const WRITING: Duration = Duration::from_secs(14);
/// Time limit for a checkpoint to start.
const BEGUN: Duration = Duration::from_secs(4);
/// Time limit for the log to advance.
const MOVED_ON: Duration = Duration::from_secs(9);

/// The links of one machine, in both directions.
fn links(world: &SimWorld, index: usize) -> Vec<(usize, usize)> {
    let others = (0..world.common.plan.nodes).filter(|other| *other != index);
    others.flat_map(|other| [(index, other), (other, index)]).collect()
}

/// Repeatedly suspends or isolates the leader.
pub async fn leaders(world: Arc<SimWorld>) {
    let mut random = SeededRandom::of(world.common.plan.seed, "silence");
    loop {
        sleep(Duration::from_millis(random.range(REST_MS.0, REST_MS.1))).await;
        let Some((index, alive)) = world.leader().and_then(|at| Some((at, world.alive(at)?)))
        else {
            continue;
        };
        let length = Duration::from_millis(random.range(SILENT_MS.0, SILENT_MS.1));
        let cut = random.chance(500);
        let how = if cut { "cut off" } else { "held" };
        world.history().trouble(
            Some(index),
            FaultKind::SilentLeader,
            format!("{how} for {length:?}"),
        );
        world.history().note(Some(index), HistoryEvent::LeaderSilent);
        let links = links(&world, index);
        if cut {
            world.common.net.cut(&links);
        } else {
            alive.process.pause();
        }
        sleep(length).await;
        world.common.net.mend(&links);
        alive.process.resume();
    }
}

/// Makes members take a checkpoint that is still being written when a snapshot is installed. They
/// are isolated while they write, until the log of the others begins after the end of theirs.
pub async fn snapshots(world: Arc<SimWorld>) {
    let mut random = SeededRandom::of(world.common.plan.seed, "snapshots");
    loop {
        sleep(Duration::from_millis(random.range(4_000, 12_000))).await;
        let index = random.index(world.common.plan.nodes);
        let Some(alive) = world.alive(index) else { continue };
        alive.process.slow_background(WRITING);
        sleep(BEGUN).await;
        let links = links(&world, index);
        world.common.net.cut(&links);
        let deadline = Instant::now() + MOVED_ON;
        while !moved_on(&world, index) && Instant::now() < deadline {
            sleep(Duration::from_millis(200)).await;
        }
        let fell_behind = moved_on(&world, index);
        world.common.net.mend(&links);
        if fell_behind {
            let what = "while it writes a checkpoint";
            world.history().trouble(Some(index), FaultKind::SnapshotMeanwhile, what);
        }
        sleep(WRITING + Duration::from_secs(2)).await;
        alive.process.slow_background(Duration::ZERO);
        if random.chance(500)
            && world.end(index, ProcessEnd::Process, "killed, to start from its checkpoint")
        {
            sleep(Duration::from_millis(500)).await;
            world.start(index);
        }
    }
}

/// Whether the leader's log begins after the end of a member's log.
fn moved_on(world: &SimWorld, index: usize) -> bool {
    let applied = world
        .alive(index)
        .and_then(|alive| Some(alive.context.running.get()?.consensus.replica().applied()));
    let purged = (0..world.common.plan.nodes).filter(|other| *other != index).filter_map(|other| {
        let alive = world.alive(other)?;
        let status = alive.context.running.get()?.consensus.status();
        (status.role == punctual::consensus::RaftRole::Leader).then_some(status.purged)
    });
    applied.zip(purged.max()).is_some_and(|(applied, purged)| purged > applied + 1)
}
