//! What a run is like: everything that is drawn from the seed before it begins.

use std::time::Duration;

use super::clocks::EPOCHS_MS;
use super::net::Shape;
use super::random::Random;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Nodes.
    pub nodes: usize,
    /// How long trouble is made.
    pub length: Duration,
    /// Whether any is made.
    pub calm: bool,
    /// How links are.
    pub shape: Shape,
    /// Tasks that no client touches.
    pub steady: usize,
    /// Names that clients work on.
    pub names: usize,
    /// Clients.
    pub clients: usize,
    /// The mean time between two calls of one client.
    pub pace: Duration,
    /// The mean time between two pieces of trouble.
    pub trouble: Duration,
    /// Entries kept behind a checkpoint.
    pub retained: u64,
    /// A checkpoint after so many entries.
    pub checkpoint: u64,
    /// Whether several clocks may be wrong at once.
    pub wild_clocks: bool,
    /// True time at the beginning, in milliseconds since 1970.
    pub epoch_ms: i64,
}

impl Plan {
    /// The run of a seed.
    pub fn of(seed: u64, nodes: Option<usize>, minutes: u64, wild_clocks: bool) -> Self {
        let mut random = Random::of(seed, "plan");
        let calm = random.chance(200);
        let drawn = if random.chance(300) { 5 } else { 3 };
        let far = random.chance(300);
        let shape = Shape {
            base_us: if far { random.range(1_000, 8_000) } else { random.range(50, 500) },
            jitter_us: if far { random.range(0, 20_000) } else { random.range(20, 1_000) },
            loss: if calm || random.chance(400) { 0 } else { random.range(1, 15) },
            twice: if calm { 0 } else { random.range(0, 50) },
        };
        let retained = if random.chance(500) { random.range(100, 400) } else { 4_000 };
        Self {
            seed,
            nodes: nodes.unwrap_or(drawn),
            length: Duration::from_secs(minutes * 60),
            calm,
            shape,
            steady: usize::try_from(random.range(6, 24)).unwrap_or(6),
            names: usize::try_from(random.range(4, 16)).unwrap_or(4),
            clients: usize::try_from(random.range(2, 5)).unwrap_or(2),
            pace: random.log_time(Duration::from_millis(100), Duration::from_secs(2)),
            trouble: random.log_time(Duration::from_millis(800), Duration::from_secs(8)),
            retained,
            checkpoint: random.range(100, 1_500),
            wild_clocks,
            epoch_ms: EPOCHS_MS[random.index(EPOCHS_MS.len())],
        }
    }
}
