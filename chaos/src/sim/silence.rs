//! Trouble with one aim: leaders that fall silent under load, and snapshots that meet a checkpoint.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::random::SeededRandom;
use super::world::{ProcessEnd, SimWorld};
use crate::check::history::{FaultKind, HistoryEvent};

/// How long a leader is silent, in milliseconds.
const SILENT_MS: (u64, u64) = (3_000, 6_000);
/// Between two silences, in milliseconds: all nodes work again by then.
const REST_MS: (u64, u64) = (5_000, 9_000);
/// Writing a checkpoint takes so long meanwhile.
const WRITING: Duration = Duration::from_secs(14);
/// A checkpoint has begun by then.
const BEGUN: Duration = Duration::from_secs(4);
/// The log has moved on by then, if it does.
const MOVED_ON: Duration = Duration::from_secs(9);

/// The links of one machine, both ways.
fn links(world: &SimWorld, index: usize) -> Vec<(usize, usize)> {
    let others = (0..world.common.plan.nodes).filter(|other| *other != index);
    others.flat_map(|other| [(index, other), (other, index)]).collect()
}

/// Lets the leader fall silent, held or cut off, again and again.
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

/// Has members take a checkpoint that is still being written when a snapshot is installed: cut off
/// while they write, until the log of the others begins later than theirs ends.
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

/// Whether a leader's log begins later than a member's ends.
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
