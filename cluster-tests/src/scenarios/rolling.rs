//! Ticks while each node is restarted in turn with SIGTERM: each starts once, and none is missed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::json;

use super::beats::{self, STEP_MS};
use super::{BrokenPromises, to_ms};
use crate::starts::{self, TaskReport, WitnessLine};
use crate::{ProcessCluster, TestResult, now_ms, until};

/// Maximum time from a tick to its start, in milliseconds, on a machine that is not overloaded.
const LATE_MS: i64 = 1_000;

/// The results.
#[derive(Clone, Debug, Default)]
pub struct RollingFigures {
    /// Restarted nodes in order. The last one led the cluster.
    pub restarted: Vec<u8>,
    /// Number of lines in the witness file.
    pub starts: usize,
    /// Number of ticks of the period by verdict and reason.
    pub verdicts: BTreeMap<String, i64>,
    /// Times from a tick to its start, in milliseconds, in increasing order.
    pub late_ms: Vec<i64>,
    /// Broken promises.
    pub broken: BrokenPromises,
}

impl RollingFigures {
    /// Adds late starts to the broken promises. Only on an otherwise idle machine.
    pub fn be_prompt(&mut self) {
        let late = self.late_ms.iter().filter(|late| **late > LATE_MS).count();
        if late > 0 {
            self.broken.push(format!("{late} starts came more than {LATE_MS} ms after their tick"));
        }
    }
}

/// Restarts all nodes of a ready cluster, the leader last, while this number of tasks tick each
/// second.
///
/// # Errors
/// The load could not be run.
pub async fn run(cluster: &mut ProcessCluster, tasks: usize) -> TestResult<RollingFigures> {
    let witness = cluster.folder().join("starts");
    let (names, bodies) = beats::tasks(tasks, &witness, &json!({}))?;
    cluster.add(1, &bodies).await?;
    started(&witness, 3 * tasks).await?;
    let leader = cluster.leader().await?;
    let mut restarted: Vec<u8> = cluster.numbers().filter(|node| *node != leader).collect();
    restarted.push(leader);
    for node in &restarted {
        let status = cluster.stop(*node).await?;
        if !status.success() {
            return Err(format!("n{node} ended with {status}").into());
        }
        cluster.start_node(*node)?;
        cluster.ready(*node).await?;
        // The node works again for a while before the next one stops.
        started(&witness, starts::read(&witness)?.len() + 2 * tasks).await?;
    }
    let end = now_ms();
    let api = cluster.api(1);
    beats::settled(&api, tasks, end).await?;
    beats::quiet(&api, &names).await?;
    cluster.agreed().await?;
    let stories = beats::stories(&api, &names).await?;
    let mut figures = figures(&starts::read(&witness)?, &stories, end - STEP_MS);
    figures.restarted = restarted;
    Ok(figures)
}

/// Waits until the witness file has this number of lines.
async fn started(witness: &Path, count: usize) -> TestResult<()> {
    until("starts", async || match starts::read(witness)?.len() {
        lines if lines < count => Err(format!("{lines} of {count}").into()),
        _ => Ok(()),
    })
    .await
}

/// The figures of ticks up to this time.
fn figures(
    lines: &[WitnessLine],
    stories: &BTreeMap<String, TaskReport>,
    upto: i64,
) -> RollingFigures {
    let mut broken = starts::wrong_starts(lines, stories);
    let mut verdicts = BTreeMap::new();
    let started: BTreeSet<(&str, i64)> =
        lines.iter().filter_map(|line| Some((line.task.as_str(), line.tick?))).collect();
    for story in stories.values() {
        broken.extend(story.uncovered());
        story.count(upto, &mut verdicts);
        let lost = story.fired().filter(|(tick, _, _)| !started.contains(&(&*story.name, *tick)));
        broken.extend(lost.map(|(tick, _, _)| format!("{}: {tick} never started", story.name)));
    }
    let others = verdicts.iter().filter(|(verdict, _)| verdict.as_str() != "fired");
    broken.extend(others.map(|(verdict, count)| format!("{count} ticks are {verdict}")));
    if verdicts.get("fired").is_none_or(|fired| *fired == 0) {
        broken.push("no tick fired at all".to_owned());
    }
    let late = lines.iter().filter_map(|line| Some(to_ms(line.nanos) - line.tick?));
    let mut late_ms: Vec<i64> = late.collect();
    late_ms.sort_unstable();
    RollingFigures { restarted: Vec::new(), starts: lines.len(), verdicts, late_ms, broken }
}
