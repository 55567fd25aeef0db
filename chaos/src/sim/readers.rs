//! Readers of a cluster's events: each reads from one node, continues from its last event, and
//! occasionally switches to another node.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::random::SeededRandom;
use super::world::SimWorld;
use crate::check::events::{EventReader, READ};

/// Maximum number of events per read.
const EVENTS_MAX: usize = 100;
/// How long a reader without new events waits, in milliseconds.
const WAIT_MS: (u64, u64) = (20, 200);
/// Probability that a reader switches to another node after a read, in per mille.
const MOVES: u64 = 20;

/// Starts one reader for each node.
pub fn begin(world: &Arc<SimWorld>) {
    for index in 0..world.common.plan.nodes {
        tokio::spawn(read(Arc::clone(world), index));
    }
}

async fn read(world: Arc<SimWorld>, mut index: usize) {
    let mut random = SeededRandom::of(world.common.plan.seed, &format!("reader {index}"));
    let mut reader = EventReader::default();
    let mut cluster = world.common.clusters.newest();
    loop {
        sleep(Duration::from_millis(random.range(WAIT_MS.0, WAIT_MS.1))).await;
        if random.chance(MOVES) {
            index = random.index(world.common.plan.nodes);
        }
        let Some(alive) = world.alive(index) else { continue };
        let Some(running) = alive.context.running.get() else { continue };
        let newest = world.common.clusters.newest();
        if !Arc::ptr_eq(&cluster, &newest) {
            // The events of a new cluster begin with its first entry.
            (reader, cluster) = (EventReader::default(), newest);
        }
        if !Arc::ptr_eq(&cluster, &alive.agreement) {
            continue;
        }
        let given = running.consensus.replica().events_after(reader.last, EVENTS_MAX);
        world.history().checked(READ);
        if let Err(what) = reader.take(given, &cluster) {
            world.history().violated(READ, format!("node {}: {what}", index + 1));
        }
    }
}
