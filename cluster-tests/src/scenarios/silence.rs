//! The time without a fired tick after the leader is killed or becomes silent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{BrokenPromises, quantile};
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
/// On an idle machine nothing starts for at most this long when the leader is lost, in milliseconds.
const SILENCE_MS: i64 = 1_300;
/// An attempt that was granted to a node before it was frozen starts, or is given up, within this
/// of its waking, in milliseconds.
const SETTLED_MS: i64 = 1_000;
/// What a silent leader may cost more than a killed one, in milliseconds.
const DEARER_MS: i64 = 650;

/// How the leader is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderLoss {
    /// `kill -9`: its connections are reset.
    Killed,
    /// SIGSTOP: its connections stay, and nothing comes.
    Frozen,
}

/// The results.
#[derive(Clone, Debug, Default)]
pub struct SilenceFigures {
    /// For each leader that was killed the longest time without any start, from the last one before
    /// on, in milliseconds.
    pub killed_ms: Vec<i64>,
    /// The same for each leader that was frozen.
    pub frozen_ms: Vec<i64>,
    /// For each frozen leader the longest time from its return to a start of an older tick, in
    /// milliseconds.
    pub returns_ms: Vec<i64>,
    /// Promises that did not hold.
    pub broken: BrokenPromises,
}

impl SilenceFigures {
    /// What is promised of the medians and does not hold. A busy machine has `times` the time of an
    /// idle one; on either a silent leader costs what a killed one costs.
    #[must_use]
    pub fn slow(&self, times: i64) -> BrokenPromises {
        let rows = [
            ("nothing started after the leader was killed", &self.killed_ms, SILENCE_MS),
            ("nothing started after the leader was frozen", &self.frozen_ms, SILENCE_MS),
            ("a start of an older tick came after SIGCONT", &self.returns_ms, SETTLED_MS),
        ];
        let slow = rows.into_iter().filter_map(|(what, times_ms, most)| {
            let (median, most) = (quantile(times_ms, 0.5), most * times);
            (median > most)
                .then(|| format!("{what}: median {median} ms of at most {most}, {times_ms:?}"))
        });
        let mut slow: BrokenPromises = slow.collect();
        let (killed, frozen) = (quantile(&self.killed_ms, 0.5), quantile(&self.frozen_ms, 0.5));
        if frozen > killed + DEARER_MS {
            slow.push(format!("a silent leader costs {frozen} ms, a killed one {killed} ms"));
        }
        slow
    }

    /// Adds the promise of a prompt return to those that are held against each round; tests on a busy
    /// machine leave that to the full form.
    pub fn be_prompt(&mut self) {
        for late in self.returns_ms.iter().filter(|late| **late > SETTLED_MS) {
            self.broken.push(format!("a start came {late} ms after its frozen node woke"));
        }
    }

    /// Adds what is promised on any machine to the promises that are held against it: while the
    /// leader is away, and when it is back, starts come within `failover_timeout`.
    fn be_bounded(&mut self) {
        for silence in self.killed_ms.iter().chain(&self.frozen_ms) {
            if *silence > FAILOVER_MS {
                self.broken.push(format!("nothing started for {silence} ms without the leader"));
            }
        }
        for late in self.returns_ms.iter().filter(|late| **late > FAILOVER_MS) {
            self.broken.push(format!("a start came {late} ms after its frozen node woke"));
        }
    }
}

/// One absence of the leader, in milliseconds.
#[derive(Clone, Copy, Debug)]
struct Absence {
    how: LeaderLoss,
    from: i64,
    to: i64,
}

/// Tasks that tick on a cluster whose leader goes again and again.
#[derive(Debug)]
pub struct SilenceRun<'a> {
    cluster: &'a mut ProcessCluster,
    witness: PathBuf,
    names: Vec<String>,
    absences: Vec<Absence>,
}

impl<'a> SilenceRun<'a> {
    /// Makes so many tasks that tick each second, on a cluster that is ready.
    ///
    /// # Errors
    /// One cannot be made.
    pub async fn begin(cluster: &'a mut ProcessCluster, tasks: usize) -> TestResult<Self> {
        let witness = cluster.folder().join("starts");
        let program = witness_program()?;
        let names: Vec<String> = (0..tasks).map(|number| format!("beat-{number:03}")).collect();
        // One after the other, so that their ticks do not fall together.
        let apart = Duration::from_millis(STEP_MS.unsigned_abs()) / u32::try_from(tasks.max(1))?;
        for name in &names {
            let task: Value = json!({"name": name, "schedule": {"interval": "1s"},
                "catch_up": {"policy": "all"}, "action": {"shell": {"argv": [program, witness]}},
                "keep": {"ticks": 10_000, "executions": 10_000}});
            cluster.add(1, &[task]).await?;
            sleep(apart).await;
        }
        Ok(Self { cluster, witness, names, absences: Vec::new() })
    }

    /// Has the leader go, and come back.
    ///
    /// # Errors
    /// There is no leader, nothing starts, or the leader does not come back.
    pub async fn lose_leader(&mut self, how: LeaderLoss) -> TestResult<()> {
        self.cluster.all_ready().await?;
        let before = starts::read(&self.witness)?.len();
        until("starts", async || match starts::read(&self.witness)?.len() {
            now if now >= before + STEADY => Ok(()),
            now => Err(format!("{} starts", now - before).into()),
        })
        .await?;
        let leader = self.cluster.leader().await?;
        let begun = Instant::now();
        let from = now_ms();
        match how {
            LeaderLoss::Killed => self.cluster.kill9(leader)?,
            LeaderLoss::Frozen => self.cluster.pause(leader)?,
        }
        sleep((begun + AWAY).saturating_duration_since(Instant::now())).await;
        let to = now_ms();
        match how {
            LeaderLoss::Killed => self.cluster.start_node(leader)?,
            LeaderLoss::Frozen => self.cluster.resume(leader)?,
        }
        self.cluster.ready(leader).await?;
        self.absences.push(Absence { how, from, to });
        Ok(())
    }

    /// The figures of the absences up to now.
    ///
    /// # Errors
    /// The starts cannot be read.
    pub fn seen(&self) -> TestResult<SilenceFigures> {
        Ok(figures(&starts::read(&self.witness)?, &self.absences))
    }

    /// Ends the load, and compares what was seen with what the cluster says.
    ///
    /// # Errors
    /// Something does not end.
    pub async fn end(self) -> TestResult<SilenceFigures> {
        let asked = self.cluster.leader().await?;
        // A pause would hold what still waits for a node.
        none(self.cluster, asked, "pending").await?;
        let pause = json!({"op": "pause", "names": self.names, "reason": "the load is over"});
        self.cluster.api(asked).post("/api/v1/tasks/bulk", &pause).await?;
        none(self.cluster, asked, "running").await?;
        self.cluster.agreed().await?;
        let mut stories = BTreeMap::new();
        for name in &self.names {
            let story = TaskReport::ask(&self.cluster.api(asked), name, STEP_MS).await?;
            stories.insert(name.clone(), story);
        }
        let lines = starts::read(&self.witness)?;
        let mut figures = figures(&lines, &self.absences);
        figures.broken = starts::wrong_starts(&lines, &stories);
        figures.broken.extend(stories.values().flat_map(TaskReport::uncovered));
        figures.be_bounded();
        Ok(figures)
    }
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

fn figures(lines: &[WitnessLine], absences: &[Absence]) -> SilenceFigures {
    let mut figures = SilenceFigures::default();
    let at = |line: &WitnessLine| i64::try_from(line.nanos / 1_000_000).unwrap_or(i64::MAX);
    let mut times: Vec<i64> = lines.iter().map(at).collect();
    times.sort_unstable();
    for absence in absences {
        // From the last start before on, to the end of the absence.
        let first = times.partition_point(|time| *time <= absence.from).saturating_sub(1);
        let last = times.partition_point(|time| *time <= absence.to);
        let inside = &times[first.min(last)..last];
        let after = inside.last().map_or(absence.to - absence.from, |last| absence.to - last);
        let gaps = inside.windows(2).map(|pair| pair[1] - pair[0]);
        let silence = gaps.chain([after]).max().unwrap_or(0);
        match absence.how {
            LeaderLoss::Killed => figures.killed_ms.push(silence),
            LeaderLoss::Frozen => {
                figures.frozen_ms.push(silence);
                figures.returns_ms.push(late_starts(lines, *absence).max().unwrap_or(0));
            }
        }
    }
    figures
}

/// What was due while the node was frozen and starts after it woke: how long after.
fn late_starts(lines: &[WitnessLine], absence: Absence) -> impl Iterator<Item = i64> {
    let at = |line: &WitnessLine| i64::try_from(line.nanos / 1_000_000).unwrap_or(i64::MAX);
    let late = lines.iter().filter(move |line| {
        let due =
            line.tick.is_some_and(|tick| (absence.from..absence.to - STEP_MS).contains(&tick));
        due && at(line) > absence.to
    });
    late.map(move |line| at(line) - absence.to)
}
