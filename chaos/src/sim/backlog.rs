//! Engines that are behind what their node has applied: events of the state reach them late, while
//! consensus goes on and time reaches them as ever. A starved machine has such an engine.

use std::sync::Arc;
use std::time::Duration;

use punctual::consensus::ReplicaEvent;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::node::Alive;
use super::random::SeededRandom;
use super::world::SimWorld;
use crate::check::history::{FaultKind, HistoryEvent};

/// How long an engine gets no event, and no more than this.
const HELD: (Duration, Duration) = (Duration::from_millis(700), Duration::from_secs(60));
/// Time between two of them in runs without other faults, in milliseconds.
const REST_MS: (u64, u64) = (500, 3_000);
/// Pause between two events that an engine gets while it catches up, in microseconds.
const PACE_US: (u64, u64) = (500, 40_000);
/// An engine that catches up slowly gets all that is left after this.
const CATCH_UP: Duration = Duration::from_secs(10);
/// How much later the messages of a starved machine are.
const SLOW: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

/// What the events of a process have to pass on their way to its engine.
#[derive(Clone, Debug)]
pub struct EventValve(Arc<watch::Sender<ValvePosition>>);

/// How events pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ValvePosition {
    /// At once.
    #[default]
    Open,
    /// One after each such pause.
    Throttled(Duration),
    /// Not at all.
    Closed,
}

impl Default for EventValve {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(ValvePosition::Open)))
    }
}

impl EventValve {
    /// Lets no event pass.
    fn close(&self) {
        self.0.send_replace(ValvePosition::Closed);
    }

    /// Lets every event pass at once.
    fn open(&self) {
        self.0.send_replace(ValvePosition::Open);
    }

    /// Lets one event pass after each such pause; false: it was opened meanwhile.
    fn throttle(&self, pause: Duration) -> bool {
        self.0.send_if_modified(|now| {
            let closed = *now == ValvePosition::Closed;
            if closed {
                *now = ValvePosition::Throttled(pause);
            }
            closed
        })
    }

    /// Passes events on in their order, until either end is gone.
    pub async fn pass(
        &self,
        mut events: mpsc::UnboundedReceiver<ReplicaEvent>,
        engine: mpsc::UnboundedSender<ReplicaEvent>,
    ) {
        let mut position = self.0.subscribe();
        while let Some(event) = events.recv().await {
            let passes = |position: &ValvePosition| *position != ValvePosition::Closed;
            let Ok(now) = position.wait_for(passes).await.map(|now| *now) else { return };
            if let ValvePosition::Throttled(pause) = now {
                tokio::select! {
                    biased;
                    _opened = position.wait_for(|now| *now == ValvePosition::Open) => {}
                    () = sleep(pause) => {}
                }
            }
            if engine.send(event).is_err() {
                return;
            }
        }
    }
}

/// Repeatedly holds the engines of all nodes back, each at its own times.
pub async fn engines(world: Arc<SimWorld>) {
    let nodes = 0..world.common.plan.nodes;
    futures_util::future::join_all(nodes.map(|index| engine(Arc::clone(&world), index))).await;
}

async fn engine(world: Arc<SimWorld>, index: usize) {
    let mut random = SeededRandom::of(world.common.plan.seed, &format!("backlog {index}"));
    loop {
        sleep(Duration::from_millis(random.range(REST_MS.0, REST_MS.1))).await;
        let length = random.log_time(HELD.0, HELD.1);
        hold(&world, index, length, &mut random).await;
    }
}

/// Holds the engine of a node back for so long, and then lets it catch up.
pub async fn hold(world: &SimWorld, index: usize, length: Duration, random: &mut SeededRandom) {
    let Some(alive) = world.alive(index) else { return };
    let starved = random.chance(600).then(|| random.log_time(SLOW.0, SLOW.1));
    let pause = Duration::from_micros(random.range(PACE_US.0, PACE_US.1));
    let slowly = random.chance(500);
    let how = if slowly { format!("then one event each {pause:?}") } else { "then all".to_owned() };
    let what = format!("held for {length:?}, {how}, its messages {starved:?} later");
    world.history().trouble(Some(index), FaultKind::EngineBehind, what);
    let event = HistoryEvent::EngineBehind { process: alive.number, held: true };
    world.history().note(Some(index), event);
    alive.events.close();
    if let Some(by) = starved {
        world.common.net.slow(index, by);
    }
    sleep(length).await;
    if slowly && alive.events.throttle(pause) {
        sleep(CATCH_UP).await;
    }
    release(world, index, &alive);
    if starved.is_some() {
        sleep(Duration::from_millis(500)).await;
        world.common.net.slow(index, Duration::ZERO);
    }
}

/// Lets the engine of a process have all events.
pub fn release(world: &SimWorld, index: usize, alive: &Alive) {
    alive.events.open();
    let event = HistoryEvent::EngineBehind { process: alive.number, held: false };
    world.history().note(Some(index), event);
}
