//! The time without a fired tick after the leader is killed or becomes silent.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::BrokenPromises;
use crate::starts::{self, TaskReport, WitnessLine};
use crate::{ProcessCluster, TestResult, now_ms, until, witness_program};

/// Distance of two ticks of one task in milliseconds.
const STEP_MS: i64 = 1_000;
/// The leader is gone, or silent, for so long: longer than the others may take to go on.
const AWAY: Duration = Duration::from_secs(6);
/// `failover_timeout`, in milliseconds: whichever node is lost, ticks fire within this.
const FAILOVER_MS: i64 = 5_000;
/// Starts before the leader goes: the load has come up to speed.
const STEADY: usize = 200;
/// An attempt that was granted to a node before it was frozen starts, or is given up, within this
/// of its waking, in milliseconds.
const SETTLED_MS: i64 = 1_000;

/// How the leader is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderLoss {
    /// `kill -9`: its connections are reset.
    Killed,
    /// SIGSTOP: its connections stay, and nothing comes.
    Frozen,
}

/// The size of the load.
#[derive(Clone, Copy, Debug)]
pub struct SilenceLoad {
    /// Tasks that tick each second.
    pub tasks: usize,
    /// How often the leader goes.
    pub rounds: usize,
    /// In which way.
    pub how: LeaderLoss,
}

/// The results.
#[derive(Clone, Debug, Default)]
pub struct SilenceFigures {
    /// For each round the longest time without any start while the leader was away, in milliseconds.
    pub silences_ms: Vec<i64>,
    /// For each round the longest time from the leader's return to a start of an older tick, in
    /// milliseconds.
    pub returns_ms: Vec<i64>,
    /// Promises that did not hold.
    pub broken: BrokenPromises,
}

impl SilenceFigures {
    /// Adds what is promised on any machine to the promises that are held against it: while the
    /// leader is away, and when it is back, starts come within `failover_timeout`.
    pub fn be_bounded(&mut self) {
        for silence in self.silences_ms.iter().filter(|silence| **silence > FAILOVER_MS) {
            self.broken.push(format!("nothing started for {silence} ms without the leader"));
        }
        for late in self.returns_ms.iter().filter(|late| **late > FAILOVER_MS) {
            self.broken.push(format!("a start came {late} ms after its frozen node woke"));
        }
    }

    /// Adds the promise of a prompt return to those that are held against it; tests on a busy
    /// machine leave that to the full form.
    pub fn be_prompt(&mut self) {
        for late in self.returns_ms.iter().filter(|late| **late > SETTLED_MS) {
            self.broken.push(format!("a start came {late} ms after its frozen node woke"));
        }
    }
}

/// One absence of the leader, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Absence {
    from: i64,
    to: i64,
}

/// Runs the load on a cluster that is ready.
///
/// # Errors
/// The load could not be carried out.
pub async fn run(cluster: &mut ProcessCluster, load: SilenceLoad) -> TestResult<SilenceFigures> {
    let witness = cluster.folder().join("starts");
    let program = witness_program()?;
    let names: Vec<String> = (0..load.tasks).map(|number| format!("beat-{number:03}")).collect();
    // One after the other, so that their ticks do not fall together.
    let apart = Duration::from_millis(STEP_MS.unsigned_abs()) / u32::try_from(load.tasks.max(1))?;
    for name in &names {
        let task: Value = json!({"name": name, "schedule": {"interval": "1s"},
            "catch_up": {"policy": "all"}, "action": {"shell": {"argv": [program, witness]}},
            "keep": {"ticks": 10_000, "executions": 10_000}});
        cluster.add(1, &[task]).await?;
        sleep(apart).await;
    }
    let mut absences = Vec::new();
    for _ in 0..load.rounds {
        absences.push(absence(cluster, load.how, &witness).await?);
    }
    let asked = cluster.leader().await?;
    // A pause would hold what still waits for a node.
    none(cluster, asked, "pending").await?;
    let pause = json!({"op": "pause", "names": names, "reason": "the load is over"});
    cluster.api(asked).post("/api/v1/tasks/bulk", &pause).await?;
    none(cluster, asked, "running").await?;
    cluster.agreed().await?;
    let mut stories = BTreeMap::new();
    for name in &names {
        stories.insert(name.clone(), TaskReport::ask(&cluster.api(asked), name, STEP_MS).await?);
    }
    Ok(figures(&starts::read(&witness)?, &stories, &absences, load.how))
}

/// Waits until no execution has this status.
async fn none(cluster: &ProcessCluster, node: u8, status: &str) -> TestResult<()> {
    until(&format!("no execution to be {status}"), async || {
        let path = format!("/api/v1/executions?status={status}&limit=1");
        let page = cluster.api(node).get(&path).await?;
        match crate::items(&page).first() {
            None => Ok(()),
            Some(one) => Err(one.to_string().into()),
        }
    })
    .await
}

/// Has the leader go, and come back.
async fn absence(
    cluster: &mut ProcessCluster,
    how: LeaderLoss,
    witness: &std::path::Path,
) -> TestResult<Absence> {
    cluster.all_ready().await?;
    let before = starts::read(witness)?.len();
    until("starts", async || match starts::read(witness)?.len() {
        now if now >= before + STEADY => Ok(()),
        now => Err(format!("{} starts", now - before).into()),
    })
    .await?;
    let leader = cluster.leader().await?;
    let begun = Instant::now();
    let from = now_ms();
    match how {
        LeaderLoss::Killed => cluster.kill9(leader)?,
        LeaderLoss::Frozen => cluster.pause(leader)?,
    }
    sleep((begun + AWAY).saturating_duration_since(Instant::now())).await;
    let to = now_ms();
    match how {
        LeaderLoss::Killed => cluster.start_node(leader)?,
        LeaderLoss::Frozen => cluster.resume(leader)?,
    }
    cluster.ready(leader).await?;
    Ok(Absence { from, to })
}

fn figures(
    lines: &[WitnessLine],
    stories: &BTreeMap<String, TaskReport>,
    absences: &[Absence],
    how: LeaderLoss,
) -> SilenceFigures {
    let mut figures = SilenceFigures::default();
    let at = |line: &WitnessLine| i64::try_from(line.nanos / 1_000_000).unwrap_or(i64::MAX);
    let mut times: Vec<i64> = lines.iter().map(at).collect();
    times.sort_unstable();
    for absence in absences {
        let inside = |time: &&i64| (absence.from - 100..=absence.to).contains(*time);
        let inside: Vec<i64> = times.iter().filter(inside).copied().collect();
        let gaps = inside.windows(2).map(|pair| pair[1] - pair[0]);
        let last = inside.last().map_or(absence.to - absence.from, |last| absence.to - last);
        figures.silences_ms.push(gaps.chain([last]).max().unwrap_or(0));
        // What was due while the node was frozen and starts after it woke.
        let late = lines.iter().filter(|line| {
            line.tick.is_some_and(|tick| (absence.from..absence.to - STEP_MS).contains(&tick))
                && at(line) > absence.to
        });
        let late = late.map(|line| at(line) - absence.to).max();
        if how == LeaderLoss::Frozen {
            figures.returns_ms.push(late.unwrap_or(0));
        }
    }
    figures.broken = starts::wrong_starts(lines, stories);
    figures.broken.extend(stories.values().flat_map(TaskReport::uncovered));
    figures
}
