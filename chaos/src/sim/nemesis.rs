//! Fault injection. Faults start at random times and overlap. Each ends by itself, or when all
//! faults end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::backlog;
use super::plan::Focus;
use super::random::SeededRandom;
use super::silence;
use super::world::{ProcessEnd, SimWorld};
use crate::check::history::{FaultKind, HistoryEvent};

/// The shortest and the longest duration of a fault.
const LENGTH: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(20));

/// The kinds of faults. The number of entries is the weight.
const KINDS: [FaultKind; 27] = [
    FaultKind::Cut,
    FaultKind::Cut,
    FaultKind::Cut,
    FaultKind::CutOneWay,
    FaultKind::CutOneWay,
    FaultKind::Reset,
    FaultKind::Reset,
    FaultKind::SlowLink,
    FaultKind::Kill,
    FaultKind::Kill,
    FaultKind::Kill,
    FaultKind::Kill,
    FaultKind::PowerCut,
    FaultKind::PowerCut,
    FaultKind::PowerCut,
    FaultKind::PowerCutAll,
    FaultKind::Pause,
    FaultKind::Pause,
    FaultKind::Wipe,
    FaultKind::DiskFull,
    FaultKind::DiskFail,
    FaultKind::SlowDisk,
    FaultKind::ClockJump,
    FaultKind::ClockDrift,
    FaultKind::Echo,
    FaultKind::Echo,
    FaultKind::EngineBehind,
];

/// Injects faults until stopped.
pub async fn run(world: Arc<SimWorld>) {
    match world.common.plan.focus {
        Focus::Calm => {}
        Focus::SilentLeaders => silence::leaders(world).await,
        Focus::SlowEngines => backlog::engines(world).await,
        Focus::Snapshots => {
            tokio::join!(silence::snapshots(Arc::clone(&world)), anything(world));
        }
        Focus::General | Focus::Members | Focus::Restore => anything(world).await,
    }
}

/// Injects faults of all kinds.
async fn anything(world: Arc<SimWorld>) {
    let mut random = SeededRandom::of(world.common.plan.seed, "nemesis");
    let mean = u64::try_from(world.common.plan.trouble.as_micros()).unwrap_or(1_000_000);
    let mut number = 0;
    loop {
        sleep(Duration::from_micros(random.range(mean / 4, mean * 7 / 4))).await;
        number += 1;
        let Some(kind) = random.pick(&KINDS).copied() else { return };
        let own = SeededRandom::of(world.common.plan.seed, &format!("trouble {number}"));
        tokio::spawn(piece(Arc::clone(&world), kind, own));
    }
}

/// How long a node uses a measurement of another node's clock, with a margin.
const REMEMBERED: Duration = Duration::from_secs(11);

/// One fault.
async fn piece(world: Arc<SimWorld>, kind: FaultKind, mut random: SeededRandom) {
    let index = random.index(world.common.plan.nodes);
    let length = random.log_time(LENGTH.0, LENGTH.1);
    let node = Some(index);
    match kind {
        FaultKind::Cut | FaultKind::CutOneWay => cut(&world, kind, index, length, random).await,
        FaultKind::Reset => {
            let broken = world.common.net.reset(index, random.range(100, 1_000));
            world.history().trouble(node, kind, format!("{broken} streams"));
        }
        FaultKind::SlowLink => {
            let by = random.log_time(Duration::from_millis(2), Duration::from_millis(800));
            world.history().trouble(node, kind, format!("{by:?} for {length:?}"));
            world.common.net.slow(index, by);
            sleep(length).await;
            world.common.net.slow(index, Duration::ZERO);
        }
        FaultKind::Kill => down(&world, index, ProcessEnd::Process, kind, length).await,
        FaultKind::PowerCut => down(&world, index, ProcessEnd::Power, kind, length).await,
        FaultKind::PowerCutAll => {
            world.history().trouble(None, kind, format!("for {length:?}"));
            if random.chance(500) {
                // This increases the amount of unsynced data.
                let by = random.log_time(SLOW.0, SLOW.1);
                slow_disks(&world, by);
                sleep(by * 2).await;
            }
            for index in 0..world.common.plan.nodes {
                world.end(index, ProcessEnd::Power, "power");
            }
            slow_disks(&world, Duration::ZERO);
            for index in 0..world.common.plan.nodes {
                let wait = length / 4 + Duration::from_millis(random.range(0, 2_000));
                sleep(wait.min(Duration::from_secs(3))).await;
                world.start(index);
            }
        }
        FaultKind::Pause => {
            let Some(alive) = world.alive(index) else { return };
            world.history().trouble(node, kind, format!("for {length:?}"));
            alive.process.pause();
            sleep(length).await;
            alive.process.resume();
        }
        FaultKind::EngineBehind => backlog::hold(&world, index, length, &mut random).await,
        FaultKind::Echo => super::echo::again(&world, index, &mut random),
        // Members that lost their data are replaced.
        FaultKind::Wipe if matches!(world.common.plan.focus, Focus::Members | Focus::Restore) => {}
        FaultKind::Wipe => wipe(&world, index, length).await,
        _ => machine(&world, kind, index, length, random).await,
    }
}

/// Sync delay before a power cut.
const SLOW: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Sets the sync delay of all disks.
fn slow_disks(world: &SimWorld, by: Duration) {
    for machine in world.machines.lock().iter() {
        machine.disk.slow(by);
    }
}

/// A fault of a disk or a clock.
async fn machine(
    world: &Arc<SimWorld>,
    kind: FaultKind,
    index: usize,
    length: Duration,
    mut random: SeededRandom,
) {
    let (disk, clocks) = {
        let machines = world.machines.lock();
        let Some(machine) = machines.get(index) else { return };
        (machine.disk.clone(), machine.clocks.clone())
    };
    let tell = |what: String| world.history().trouble(Some(index), kind, what);
    match kind {
        FaultKind::DiskFull => {
            tell(format!("for {length:?}"));
            disk.full(true);
            sleep(length).await;
            disk.full(false);
        }
        FaultKind::DiskFail => {
            let checkpoint = random.chance(300);
            tell(if checkpoint { "the next checkpoint" } else { "the next append" }.to_owned());
            disk.fail_next(checkpoint);
        }
        FaultKind::SlowDisk => {
            let by = random.log_time(Duration::from_millis(2), Duration::from_secs(2));
            tell(format!("{by:?} for {length:?}"));
            disk.slow(by);
            sleep(length).await;
            disk.slow(Duration::ZERO);
        }
        FaultKind::ClockJump | FaultKind::ClockDrift => {
            // Only one clock is wrong at a time, including the time for which other nodes remember
            // it.
            let turn = world.wrong_clock.try_lock();
            if turn.is_err() && !world.common.plan.wild_clocks {
                return;
            }
            let (by, ppm) = wrong(kind, &mut random);
            tell(format!("{by} ms and {ppm} ppm for {length:?}"));
            clocks.set(clocks.ahead() / 1_000_000 + by, ppm);
            sleep(length).await;
            clocks.heal();
            sleep(REMEMBERED).await;
        }
        _ => {}
    }
}

/// The jump of a clock in milliseconds, and its drift in parts per million.
fn wrong(kind: FaultKind, random: &mut SeededRandom) -> (i64, i64) {
    if kind == FaultKind::ClockDrift {
        return (0, i64::try_from(random.range(0, 1_000)).unwrap_or(0) - 500);
    }
    let by = random.log_time(Duration::from_millis(100), Duration::from_secs(86_400));
    let by = i64::try_from(by.as_millis()).unwrap_or(0);
    (if random.chance(500) { by } else { -by }, 0)
}

/// Isolates a machine, or cuts some random links.
async fn cut(
    world: &SimWorld,
    kind: FaultKind,
    index: usize,
    length: Duration,
    mut random: SeededRandom,
) {
    let nodes = world.common.plan.nodes;
    let whole = random.chance(600);
    let inward = random.chance(500);
    let mut cuts = Vec::new();
    for (from, to) in (0..nodes).flat_map(|from| (0..nodes).map(move |to| (from, to))) {
        let touches = from == index || to == index;
        let chosen = if whole { touches } else { random.chance(350) };
        let direction = kind == FaultKind::Cut || (to == index) == inward;
        if from != to && chosen && direction {
            cuts.push((from, to));
        }
    }
    let shown: Vec<String> = cuts.iter().map(|(a, b)| format!("{}>{}", a + 1, b + 1)).collect();
    world.history().trouble(None, kind, format!("{} for {length:?}", shown.join(" ")));
    world.common.net.cut(&cuts);
    sleep(length).await;
    world.common.net.mend(&cuts);
}

/// Ends a process and restarts it later.
async fn down(
    world: &Arc<SimWorld>,
    index: usize,
    how: ProcessEnd,
    kind: FaultKind,
    length: Duration,
) {
    if world.end(index, how, "killed") {
        world.history().trouble(Some(index), kind, format!("for {length:?}"));
        sleep(length).await;
        world.start(index);
    }
}

/// Starts a machine without its disk, as if a folder were not mounted, and later with it.
async fn wipe(world: &Arc<SimWorld>, index: usize, length: Duration) {
    if world.end(index, ProcessEnd::Process, "killed, to lose its folder") {
        world.history().trouble(Some(index), FaultKind::Wipe, format!("for {length:?}"));
        world.hide_disk(index);
        world.start(index);
        sleep(length).await;
        world.show_disk(index);
    }
}

/// Ends all faults.
pub async fn heal(world: &Arc<SimWorld>) {
    // Active faults end by themselves within the maximum duration. Their effects are removed now.
    let nodes = world.common.plan.nodes;
    world.common.net.heal();
    for index in 0..nodes {
        world.common.net.slow(index, Duration::ZERO);
        let (disk, clocks) = {
            let machines = world.machines.lock();
            let Some(machine) = machines.get(index) else { continue };
            (machine.disk.clone(), machine.clocks.clone())
        };
        disk.heal();
        clocks.heal();
        if let Some(alive) = world.alive(index) {
            alive.process.resume();
            alive.process.slow_background(Duration::ZERO);
            backlog::release(world, index, &alive);
        }
        world.show_disk(index);
        world.start(index);
    }
    world.common.executors.heal();
    world.history().note(None, HistoryEvent::Healed);
}
