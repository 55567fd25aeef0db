//! The parameters of a run, all derived from the seed.

use std::time::Duration;

use super::clocks::EPOCHS_MS;
use super::net::LinkQuality;
use super::random::SeededRandom;

/// The kinds of faults in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Focus {
    /// Random faults of all kinds.
    General,
    /// No faults.
    Calm,
    /// Repeatedly, the leader becomes silent under load. No other faults.
    SilentLeaders,
    /// Random faults of all kinds, and snapshots installed during checkpoints and on members that
    /// missed the end of their executions.
    Snapshots,
    /// Repeatedly, the engine of a node is behind what the node has applied. No other faults.
    SlowEngines,
    /// Random faults of all kinds while members are added, removed, replaced and moved.
    Members,
    /// Random faults of all kinds, and once the cluster is stopped: a backup of it becomes a new one, or
    /// what is left of it after the loss of a majority.
    Restore,
}

impl Focus {
    /// Whether links lose messages and faults of all kinds occur at random.
    pub const fn general(self) -> bool {
        matches!(self, Self::General | Self::Snapshots | Self::Members | Self::Restore)
    }

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Calm => "calm",
            Self::SilentLeaders => "silent-leaders",
            Self::Snapshots => "snapshots",
            Self::SlowEngines => "slow-engines",
            Self::Members => "members",
            Self::Restore => "restore",
        }
    }
}

/// The parameters of a run.
#[derive(Clone, Debug)]
pub struct RunPlan {
    /// The seed.
    pub seed: u64,
    /// Number of nodes, of which some may not take part at a time.
    pub nodes: usize,
    /// Number of nodes that form the cluster, and the least number of members.
    pub founders: usize,
    /// How long faults are injected.
    pub length: Duration,
    /// Whether links are lossless and clients receive every response.
    pub calm: bool,
    /// The kinds of faults.
    pub focus: Focus,
    /// Maximum number of concurrent attempts of a node; 0 means no limit.
    pub slots: u32,
    /// The properties of links.
    pub shape: LinkQuality,
    /// Number of tasks that no client changes.
    pub steady: usize,
    /// Number of task names used by clients.
    pub names: usize,
    /// Number of clients.
    pub clients: usize,
    /// Mean time between two calls of a client.
    pub pace: Duration,
    /// Mean time between two faults.
    pub trouble: Duration,
    /// Number of log entries kept before a checkpoint.
    pub retained: u64,
    /// Number of entries between checkpoints.
    pub checkpoint: u64,
    /// Whether several clocks may be wrong at once.
    pub wild_clocks: bool,
    /// True time at the start, in milliseconds since 1970.
    pub epoch_ms: i64,
}

/// Nodes that are added to the cluster later, if members change.
const SPARES: usize = 2;

impl RunPlan {
    /// The parameters for a seed. `nodes` and `asked` override those from the seed.
    pub fn of(
        seed: u64,
        nodes: Option<usize>,
        minutes: u64,
        wild_clocks: bool,
        asked: Option<Focus>,
    ) -> Self {
        let mut random = SeededRandom::of(seed, "plan");
        let drawn = random.chance(200);
        let calm = asked.map_or(drawn, |focus| !focus.general());
        let size = if random.chance(300) { 5 } else { 3 };
        let far = random.chance(300);
        let shape = LinkQuality {
            base_us: if far { random.range(1_000, 8_000) } else { random.range(50, 500) },
            jitter_us: if far { random.range(0, 20_000) } else { random.range(20, 1_000) },
            loss: if calm || random.chance(400) { 0 } else { random.range(1, 15) },
            twice: if calm { 0 } else { random.range(0, 50) },
        };
        let retained = if random.chance(500) { random.range(100, 400) } else { 4_000 };
        let mut aim = SeededRandom::of(seed, "focus");
        let drawn = match (calm, aim.below(100)) {
            (true, 0..35) => Focus::Calm,
            (true, 35..55) => Focus::SlowEngines,
            (true, _) => Focus::SilentLeaders,
            (false, 0..25) => Focus::Snapshots,
            (false, 86..90) => Focus::Restore,
            (false, 90..) => Focus::Members,
            (false, _) => Focus::General,
        };
        let focus = asked.unwrap_or(drawn);
        let (silent, snapshots) = (focus == Focus::SilentLeaders, focus == Focus::Snapshots);
        let slots = if aim.chance(250) && !silent { aim.range(1, 4) } else { 0 };
        let founders = nodes.unwrap_or(size);
        Self {
            seed,
            nodes: founders + if focus == Focus::Members { SPARES } else { 0 },
            founders,
            length: Duration::from_secs(minutes * 60),
            calm,
            focus,
            slots: u32::try_from(slots).unwrap_or(0),
            shape,
            steady: usize::try_from(random.range(10, 28) + if silent { 70 } else { 0 })
                .unwrap_or(10),
            // With many names, most tasks are unchanged for long enough that late ticks after a
            // change are detected.
            names: usize::try_from(random.range(4, 16) + if focus == Focus::Calm { 60 } else { 0 })
                .unwrap_or(4),
            clients: usize::try_from(random.range(2, 5)).unwrap_or(2),
            pace: random.log_time(Duration::from_millis(100), Duration::from_secs(2)),
            trouble: random.log_time(Duration::from_millis(800), Duration::from_secs(8)),
            retained: if snapshots { aim.range(20, 80) } else { retained },
            checkpoint: if snapshots { aim.range(30, 120) } else { random.range(100, 1_500) },
            wild_clocks,
            epoch_ms: EPOCHS_MS[random.index(EPOCHS_MS.len())],
        }
    }
}
