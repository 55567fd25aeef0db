//! A node that is cut off from the others, and reconnected.

use std::cell::Cell;
use std::time::Duration;

use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::BrokenPromises;
use crate::{Api, ProcessCluster, TestResult, now_ms, until};

/// Time limit for a reconnected node to catch up.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(5);
/// Number of concurrent writers. It is small, because concurrent commands share a log entry, and
/// the number of entries must be large.
const WRITERS: usize = 6;
/// Number of tasks that they change.
const TASKS: usize = 100;

/// The size of the load.
#[derive(Clone, Copy, Debug)]
pub struct CutOffLoad {
    /// The minimum time for which a node is cut off.
    pub seconds: u64,
    /// Number of single commands during this time.
    pub commands: usize,
    /// Whether the leader is cut off.
    pub leader: bool,
}

/// The results.
#[derive(Clone, Debug, Default)]
pub struct CutOffFigures {
    /// Time until the other nodes had a leader that accepted writes, in milliseconds.
    pub writable_after_ms: i64,
    /// How long the node was cut off, in milliseconds.
    pub cut_off_ms: i64,
    /// Number of log entries during this time.
    pub entries: u64,
    /// Time from the reconnection until the node had applied all of them, in milliseconds.
    pub caught_up_ms: i64,
    /// Number of snapshots that the node installed.
    pub snapshots: f64,
    /// The digest of all nodes at the end.
    pub digest: String,
    /// Broken promises.
    pub broken: BrokenPromises,
}

impl CutOffFigures {
    /// Adds a broken promise if the node did not catch up promptly. Tests on a busy machine do not
    /// check this; only the long form does.
    pub fn be_prompt(&mut self) {
        let limit = i64::try_from(CATCH_UP_LIMIT.as_millis()).unwrap_or(i64::MAX);
        if self.caught_up_ms > limit {
            self.broken.push(format!("caught up only {} ms after healing", self.caught_up_ms));
        }
    }
}

/// Runs the load on a cluster with proxies, which must be ready.
///
/// # Errors
/// The load could not be run.
pub async fn run(cluster: &mut ProcessCluster, load: CutOffLoad) -> TestResult<CutOffFigures> {
    let mut figures = CutOffFigures::default();
    let tasks: Vec<Value> = (0..TASKS).map(task).collect();
    cluster.add(1, &tasks).await?;
    let leader = cluster.leader().await?;
    let others: Vec<u8> = cluster.numbers().filter(|node| *node != leader).collect();
    let node = if load.leader { leader } else { others[0] };
    let rest: Vec<Api> =
        cluster.numbers().filter(|other| *other != node).map(|other| cluster.api(other)).collect();
    let away = cluster.api(node);
    let snapshots = away.metric("punctual_snapshots_installed_total").await?;
    let first = away.applied().await?;

    let (begun, begun_ms) = (Instant::now(), now_ms());
    cluster.cut_off(node)?;
    until("other nodes to accept writes", async || change(&rest[0], 0, "the others go on").await)
        .await?;
    figures.writable_after_ms = now_ms() - begun_ms;
    let (written, refused) = tokio::join!(write(&rest, load.commands), refuses_writes(&away));
    written?;
    figures.broken.extend(refused);
    sleep((begun + Duration::from_secs(load.seconds)).saturating_duration_since(Instant::now()))
        .await;
    if away.applied().await? > first + 64 {
        figures.broken.push("what the others did reached the node that was cut off".to_owned());
    }
    let target = rest[0].applied().await?;
    figures.entries = target.saturating_sub(first);

    let healed = now_ms();
    figures.cut_off_ms = healed - begun_ms;
    cluster.heal()?;
    until("the node to catch up", async || match away.applied().await? {
        applied if applied >= target => Ok(()),
        applied => Err(format!("it is at entry {applied} of {target}").into()),
    })
    .await?;
    figures.caught_up_ms = now_ms() - healed;
    cluster.all_ready().await?;
    figures.digest = cluster.agreed().await?;
    figures.snapshots = away.metric("punctual_snapshots_installed_total").await? - snapshots;
    Ok(figures)
}

fn task(number: usize) -> Value {
    json!({"name": format!("paper-{number:03}"), "schedule": {"manual": true},
        "action": {"shell": {"argv": ["true"]}}})
}

/// One command.
async fn change(api: &Api, task: usize, what: &str) -> TestResult<()> {
    let path = format!("/api/v1/tasks/paper-{:03}", task % TASKS);
    let answer = api.send(Method::PATCH, &path, None, Some(&json!({"description": what}))).await?;
    if answer.good() { Ok(()) } else { Err(format!("{answer:?}").into()) }
}

/// Executes this number of commands, each in its own request.
async fn write(nodes: &[Api], commands: usize) -> TestResult<()> {
    let next = Cell::new(0);
    let writers = (0..WRITERS).map(async |writer| {
        while next.get() < commands {
            let number = next.replace(next.get() + 1);
            // Writers use different tasks, so that changes do not conflict.
            let what = format!("change {number}");
            let api = &nodes[writer % nodes.len()];
            until("a write", async || change(api, number, &what).await).await?;
        }
        TestResult::Ok(())
    });
    try_join_all(writers).await?;
    Ok(())
}

/// A node without a majority must not acknowledge a write.
async fn refuses_writes(away: &Api) -> Option<String> {
    let body = task(TASKS);
    match away.send(Method::POST, "/api/v1/tasks", None, Some(&body)).await {
        Ok(answer) if answer.good() => Some(format!("without a majority it wrote: {answer:?}")),
        Ok(answer) if !answer.come_again() => {
            Some(format!("without a majority it answers {answer:?}"))
        }
        // It may answer that it cannot write, or not answer within the time limit.
        Ok(_) | Err(_) => None,
    }
}
