//! The time without a fired tick after the leader is killed or frozen.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{BrokenPromises, quantile};
use crate::starts::{self, TaskReport, WitnessLine};
use crate::{ProcessCluster, TestResult, now_ms, until, witness_program};

/// Interval of a task in milliseconds.
const STEP_MS: i64 = 1_000;
/// Time for which the leader is down or frozen. It is longer than the failover may take.
const AWAY: Duration = Duration::from_secs(6);
/// `failover_timeout` in milliseconds: after the loss of any node, ticks fire within this time.
const FAILOVER_MS: i64 = 5_000;
/// Number of starts before the leader is lost, so that the load is steady.
const STEADY: usize = 200;
/// Maximum time without a start on an idle machine when the leader is lost, in milliseconds.
const SILENCE_MS: i64 = 1_300;
/// An attempt that was granted to a node before it was frozen starts, or is given up, within this
/// time after the node resumes, in milliseconds.
const SETTLED_MS: i64 = 1_000;
/// Maximum additional time without a start for a frozen leader, in milliseconds.
const DEARER_MS: i64 = 650;

/// How the leader is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaderLoss {
    /// `kill -9`. Its connections are reset.
    Killed,
    /// SIGSTOP. Its connections stay open, and it sends nothing.
    Frozen,
}

/// The results.
#[derive(Clone, Debug, Default)]
pub struct SilenceFigures {
    /// For each killed leader, the longest time without any start, from the last start before the
    /// kill, in milliseconds.
    pub killed_ms: Vec<i64>,
    /// The same for each frozen leader.
    pub frozen_ms: Vec<i64>,
    /// For each frozen leader, the longest time from its return to a start of an older tick, in
    /// milliseconds.
    pub returns_ms: Vec<i64>,
    /// Broken promises.
    pub broken: BrokenPromises,
}

impl SilenceFigures {
    /// The broken promises about medians. A busy machine has `times` the time of an idle one. On
    /// both, the loss of a frozen leader must take about as long as that of a killed one.
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

    /// Adds a broken promise for each late start after a return. Tests on a busy machine do not
    /// check this; only the long form does.
    pub fn be_prompt(&mut self) {
        for late in self.returns_ms.iter().filter(|late| **late > SETTLED_MS) {
            self.broken.push(format!("a start came {late} ms after its frozen node woke"));
        }
    }

    /// Adds the broken promises that hold on any machine: while the leader is lost, and when it is
    /// back, starts must come within `failover_timeout`.
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

/// Tasks that tick on a cluster whose leader is lost repeatedly.
#[derive(Debug)]
pub struct SilenceRun<'a> {
    cluster: &'a mut ProcessCluster,
    witness: PathBuf,
    names: Vec<String>,
    absences: Vec<Absence>,
}

impl<'a> SilenceRun<'a> {
    /// Creates this number of tasks that tick each second, on a cluster that is ready.
    ///
    /// # Errors
    /// A task cannot be created.
    pub async fn begin(cluster: &'a mut ProcessCluster, tasks: usize) -> TestResult<Self> {
        let witness = cluster.folder().join("starts");
        let program = witness_program()?;
        let names: Vec<String> = (0..tasks).map(|number| format!("beat-{number:03}")).collect();
        // Sequentially, so that their ticks are spread over a second.
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

    /// Removes the leader for a while.
    ///
    /// # Errors
    /// There is no leader, nothing starts, or the leader does not return.
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

    /// The figures of the losses so far.
    ///
    /// # Errors
    /// The starts cannot be read.
    pub fn seen(&self) -> TestResult<SilenceFigures> {
        Ok(figures(&starts::read(&self.witness)?, &self.absences))
    }

    /// Ends the load, and compares the starts with the data of the cluster.
    ///
    /// # Errors
    /// Something does not end in time.
    pub async fn end(self) -> TestResult<SilenceFigures> {
        let asked = self.cluster.leader().await?;
        // A pause would hold executions that still wait for a node.
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
        // From the last start before the loss until its end.
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

/// The delays, after the return of the node, of starts that were due while it was frozen.
fn late_starts(lines: &[WitnessLine], absence: Absence) -> impl Iterator<Item = i64> {
    let at = |line: &WitnessLine| i64::try_from(line.nanos / 1_000_000).unwrap_or(i64::MAX);
    let late = lines.iter().filter(move |line| {
        let due =
            line.tick.is_some_and(|tick| (absence.from..absence.to - STEP_MS).contains(&tick));
        due && at(line) > absence.to
    });
    late.map(move |line| at(line) - absence.to)
}
