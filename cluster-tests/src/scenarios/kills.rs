//! Ticks while nodes are killed and restarted: each starts at most once, and each has one verdict.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::beats::{self, STEP_MS};
use super::{BrokenPromises, to_ms};
use crate::starts::{self, TaskReport, WitnessLine};
use crate::{ProcessCluster, TestResult, now_ms};

/// Time between a kill and the restart of the node.
const AWAY: Duration = Duration::from_millis(1_500);
/// Every kill with a multiple of this number is of the leader.
const LEADER_EVERY: usize = 3;
/// If a node is killed this close to an attempt, the attempt may have started or not, in
/// milliseconds.
const UNSURE_MS: i64 = 1_000;
/// Precision of the sampled times at which an entry was applied, in milliseconds.
const SAMPLED_MS: i64 = 150;
/// Time after a kill during which ticks may be missed, in milliseconds.
const TAKEOVER_MS: i64 = 3_000;
/// Minimum share of the other ticks that must fire, in percent.
const FIRED_PERCENT: i64 = 95;
/// Maximum number of log lines per second, even while a node is down.
const LOG_LINES_PER_S: u64 = 200;
/// Polling interval for the nodes' applied index.
const SAMPLE: Duration = Duration::from_millis(20);
/// Time limit for a node's answer to a poll.
const SAMPLE_LIMIT: Duration = Duration::from_millis(300);

/// The size of the load.
#[derive(Clone, Copy, Debug)]
pub struct KillsLoad {
    /// Number of tasks that tick each second.
    pub tasks: usize,
    /// Minimum duration in seconds.
    pub seconds: u64,
    /// Number of kills in that time. Every third one is of the leader.
    pub kills: usize,
}

/// The results.
#[derive(Clone, Debug, Default)]
pub struct KillsFigures {
    /// Number of kills, and of those of the leader.
    pub kills: (usize, usize),
    /// Number of lines in the witness file.
    pub starts: usize,
    /// Number of ticks of the period by verdict and reason.
    pub verdicts: BTreeMap<String, i64>,
    /// Number of ticks outside of [kill, kill + 3 s], and of those that fired.
    pub calm: (i64, i64),
    /// Number of fired ticks without a line. If no promise is broken, all of them are of killed
    /// nodes.
    pub without_line: usize,
    /// Longest time without any start, in milliseconds.
    pub longest_silence_ms: i64,
    /// Longest time between two starts of one task, in milliseconds.
    pub longest_gap_ms: i64,
    /// Longest time from a tick to its start, in milliseconds.
    pub latest_start_ms: i64,
    /// Time from the end of the period until all its ticks were settled, in milliseconds.
    pub settled_after_ms: i64,
    /// The maximum number of log lines of a node.
    pub log_lines: usize,
    /// Broken promises.
    pub broken: BrokenPromises,
}

/// One kill.
#[derive(Clone, Debug)]
struct Kill {
    node: String,
    leader: bool,
    /// When the signal was sent, and when the process had ended, in milliseconds.
    from: i64,
    to: i64,
}

impl Kill {
    fn is_near(&self, at: i64, margin: i64) -> bool {
        (self.from - margin..=self.to + margin).contains(&at)
    }
}

/// Runs the load on a cluster, which must be ready.
///
/// # Errors
/// The load could not be run.
pub async fn run(cluster: &mut ProcessCluster, load: KillsLoad) -> TestResult<KillsFigures> {
    let witness = cluster.folder().join("starts");
    let catch_up = json!({"catch_up": {"policy": "all"}});
    let (names, bodies) = beats::tasks(load.tasks, &witness, &catch_up)?;
    let sampler = Sampler::start(cluster);
    cluster.add(1, &bodies).await?;
    let kills = kill_and_start(cluster, load).await?;
    let end = now_ms();
    beats::settled(&cluster.api(1), load.tasks, end).await?;
    let settled_after_ms = now_ms() - end;
    beats::quiet(&cluster.api(1), &names).await?;
    cluster.agreed().await?;
    let samples = sampler.stop();
    let stories = beats::stories(&cluster.api(1), &names).await?;
    let seen = KillRecord { lines: starts::read(&witness)?, stories, kills, samples, end };
    let mut figures = seen.figures();
    figures.settled_after_ms = settled_after_ms;
    figures.log_lines = cluster.log_lines();
    if figures.log_lines as u64 > load.seconds * LOG_LINES_PER_S {
        figures.broken.push(format!("a node logged {} lines", figures.log_lines));
    }
    if figures.verdicts.get("fired").is_none_or(|fired| *fired == 0) {
        figures.broken.push("no tick fired at all".to_owned());
    }
    Ok(figures)
}

/// Kills nodes at intervals, and restarts each after a while.
async fn kill_and_start(cluster: &mut ProcessCluster, load: KillsLoad) -> TestResult<Vec<Kill>> {
    let begun = Instant::now();
    let whole = Duration::from_secs(load.seconds);
    let apart = whole / u32::try_from(load.kills + 1)?;
    let mut kills = Vec::new();
    let mut last = 0;
    for number in 1..=load.kills {
        sleep_until(begun + apart * u32::try_from(number)?).await;
        let leader = cluster.leader().await?;
        // Of the other nodes, one that was not killed last.
        let other = cluster.numbers().find(|node| *node != leader && *node != last);
        let node = if number % LEADER_EVERY == 0 { leader } else { other.unwrap_or(leader) };
        let from = now_ms();
        cluster.kill9(node)?;
        let (name, leader) = (format!("n{node}"), node == leader);
        kills.push(Kill { node: name, leader, from, to: now_ms() });
        sleep(AWAY).await;
        cluster.start_node(node)?;
        cluster.ready(node).await?;
        last = node;
    }
    sleep_until(begun + whole).await;
    Ok(kills)
}

/// When each index was first seen as applied: (milliseconds, index).
type Samples = Vec<(i64, u64)>;

/// Polls the nodes' applied index.
struct Sampler {
    samples: Arc<Mutex<Samples>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Sampler {
    fn start(cluster: &ProcessCluster) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        let watch = |node| {
            let (api, samples) = (cluster.api(node), Arc::clone(&samples));
            tokio::spawn(async move {
                loop {
                    if let Ok(Ok(index)) = timeout(SAMPLE_LIMIT, api.applied()).await
                        && let Ok(mut samples) = samples.lock()
                    {
                        samples.push((now_ms(), index));
                    }
                    sleep(SAMPLE).await;
                }
            })
        };
        let tasks = cluster.numbers().map(watch).collect();
        Self { samples, tasks }
    }

    /// The samples with increasing indexes, so that the first one for an index can be searched.
    fn stop(self) -> Samples {
        for task in &self.tasks {
            task.abort();
        }
        let mut all = self.samples.lock().map_or_else(|_| Vec::new(), |samples| samples.clone());
        all.sort_unstable();
        let mut highest = 0;
        all.retain(|(_, index)| {
            let news = *index > highest;
            highest = highest.max(*index);
            news
        });
        all
    }
}

/// The data of a run.
struct KillRecord {
    lines: Vec<WitnessLine>,
    stories: BTreeMap<String, TaskReport>,
    kills: Vec<Kill>,
    samples: Samples,
    /// End of the period in milliseconds.
    end: i64,
}

impl KillRecord {
    fn figures(&self) -> KillsFigures {
        let mut broken = starts::wrong_starts(&self.lines, &self.stories);
        let (mut verdicts, mut calm) = (BTreeMap::new(), (0, 0));
        for story in self.stories.values() {
            broken.extend(story.uncovered());
            story.count(self.end - STEP_MS, &mut verdicts);
            let (all, fired) = self.calm(story);
            calm = (calm.0 + all, calm.1 + fired);
        }
        if calm.1 * 100 < calm.0 * FIRED_PERCENT {
            broken.push(format!("of {} ticks away from kills only {} fired", calm.0, calm.1));
        }
        let without_line = self.without_line(&mut broken);
        let leaders = self.kills.iter().filter(|kill| kill.leader).count();
        let (longest_silence_ms, longest_gap_ms) = self.gaps();
        let late = |line: &WitnessLine| Some(to_ms(line.nanos) - line.tick?);
        KillsFigures {
            kills: (self.kills.len(), leaders),
            starts: self.lines.len(),
            verdicts,
            calm,
            without_line,
            longest_silence_ms,
            longest_gap_ms,
            latest_start_ms: self.lines.iter().filter_map(late).max().unwrap_or(0),
            settled_after_ms: 0,
            log_lines: 0,
            broken,
        }
    }

    /// The number of ticks of the period that are not near kills, and of those that fired.
    fn calm(&self, story: &TaskReport) -> (i64, i64) {
        let calm = |tick: i64| {
            let shaken = |kill: &Kill| (kill.from..=kill.from + TAKEOVER_MS).contains(&tick);
            tick <= self.end - STEP_MS && !self.kills.iter().any(shaken)
        };
        let count = |found: usize| i64::try_from(found).unwrap_or(i64::MAX);
        let all = story.ticks().filter(|tick| calm(*tick)).count();
        let fired = story.fired().filter(|(tick, _, _)| calm(*tick)).count();
        (count(all), count(fired))
    }

    /// Counts fired ticks without a start. It is a broken promise unless the responsible node was
    /// killed.
    fn without_line(&self, broken: &mut BrokenPromises) -> usize {
        let started: BTreeSet<(&str, i64)> =
            self.lines.iter().filter_map(|line| Some((line.task.as_str(), line.tick?))).collect();
        let mut without = 0;
        for story in self.stories.values() {
            for (tick, id, index) in story.fired() {
                if started.contains(&(&story.name, tick)) {
                    continue;
                }
                without += 1;
                let execution = story.executions.get(id);
                // It starts when it is due and granted, whichever is later.
                let at = self.applied_at(index).max(tick);
                let killed = |kill: &Kill| {
                    kill.is_near(at, UNSURE_MS + SAMPLED_MS)
                        && execution.is_some_and(|execution| execution.node == kill.node)
                };
                if !self.kills.iter().any(killed) {
                    broken.push(format!(
                        "{} fired at {tick} (granted at {at}) and never started: {execution:?}; \
                         kills: {:?}",
                        story.name, self.kills
                    ));
                }
            }
        }
        without
    }

    /// When an index was first seen as applied.
    fn applied_at(&self, index: u64) -> i64 {
        let at = self.samples.partition_point(|(_, seen)| *seen < index);
        self.samples.get(at).map_or(0, |(at, _)| *at)
    }

    /// The longest time without any start, and without a start of the same task.
    fn gaps(&self) -> (i64, i64) {
        let mut times: Vec<(i64, &str)> =
            self.lines.iter().map(|line| (to_ms(line.nanos), line.task.as_str())).collect();
        times.sort_unstable();
        let silence = times.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap_or(0);
        let mut last: BTreeMap<&str, i64> = BTreeMap::new();
        let mut gap = 0;
        for (at, task) in times {
            let before = last.insert(task, at).unwrap_or(at);
            gap = gap.max(at - before);
        }
        (silence, gap)
    }
}
