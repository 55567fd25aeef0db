//! Those who watch the events of a cluster, as a page does: each reads from one node, goes on from
//! what it has, and now and then changes to another node.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::random::SeededRandom;
use super::world::SimWorld;
use crate::check::events::{EventReader, READ};

/// Events of one reading.
const EVENTS_MAX: usize = 100;
/// A reader that has all there is waits so long, in milliseconds.
const WAIT_MS: (u64, u64) = (20, 200);
/// So many of a thousand readings are followed by a change of the node.
const MOVES: u64 = 20;

/// Begins one reader for each node.
pub fn begin(world: &Arc<SimWorld>) {
    for index in 0..world.common.plan.nodes {
        tokio::spawn(read(Arc::clone(world), index));
    }
}

async fn read(world: Arc<SimWorld>, mut index: usize) {
    let mut random = SeededRandom::of(world.common.plan.seed, &format!("reader {index}"));
    let mut reader = EventReader::default();
    loop {
        sleep(Duration::from_millis(random.range(WAIT_MS.0, WAIT_MS.1))).await;
        if random.chance(MOVES) {
            index = random.index(world.common.plan.nodes);
        }
        let Some(alive) = world.alive(index) else { continue };
        let Some(running) = alive.context.running.get() else { continue };
        let given = running.consensus.replica().events_after(reader.last, EVENTS_MAX);
        world.history().checked(READ);
        if let Err(what) = reader.take(given, &world.common.agreement) {
            world.history().violated(READ, format!("node {}: {what}", index + 1));
        }
    }
}
