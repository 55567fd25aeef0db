//! `bench scale`: the effect of failures with many dormant tasks and a few busy ones.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::exit::{CommandResult, Exit, Failure};
use super::super::output::Output;
use super::super::table::Table;
use super::ScaleArguments;
use super::cluster::{BenchCluster, failure};
use crate::dto::{BenchState, BenchUncovered};

/// Number of one-second tasks besides the dormant ones.
const BUSY: usize = 10;
/// Time before each kill in which the cluster is complete and ticks fire.
const CALM: Duration = Duration::from_secs(5);
/// Time limit of every wait.
const LIMIT: Duration = Duration::from_secs(120);
/// Polling interval.
const LOOK: Duration = Duration::from_millis(10);

pub(super) async fn run(
    mut cluster: BenchCluster,
    arguments: &ScaleArguments,
    out: &mut Output,
) -> CommandResult {
    let began = Instant::now();
    let dormant = (0..arguments.tasks).map(|at| {
        let time = format!("{:02}:{:02}", at % 24, at / 24 % 60);
        json!({
            "name": format!("dormant-{at:06}"),
            "schedule": {"daily": time, "not_before": "2100-01-01T00:00:00Z"},
            "action": {"func": {"id": "bench-noop"}},
        })
    });
    cluster.add(dormant.collect()).await?;
    let adds_per_s = arguments.tasks as f64 / began.elapsed().as_secs_f64();
    out.say(&format!("{} tasks added, {adds_per_s:.0}/s", arguments.tasks));
    let busy = (0..BUSY).map(|at| {
        json!({
            "name": format!("busy-{at}"),
            "schedule": {"interval": "1s"},
            "catch_up": {"policy": "all"},
            "action": {"func": {"id": "bench-noop"}},
        })
    });
    cluster.add(busy.collect()).await?;
    tokio::time::sleep(CALM).await;
    let rss_mb = memory(&cluster).await?;
    let mut failover_ms = Vec::new();
    for kill in 1..=arguments.kills {
        let took = kill_leader(&mut cluster).await?;
        out.say(&format!("kill {kill} of the leader: next fired tick after {took:.0} ms"));
        failover_ms.push(took);
    }
    let restart_ms = restart(&mut cluster).await?;
    out.say(&format!("all killed: first fired tick {restart_ms:.0} ms after the start"));
    let without_verdict = without_verdict(&cluster).await?;
    let row = json!({
        "load": "scale", "tasks": arguments.tasks, "adds_per_s": adds_per_s.round(),
        "rss_mb": rss_mb, "failover_ms": failover_ms, "restart_ms": restart_ms.round(),
        "without_verdict": without_verdict,
    });
    let rows = [row.clone()];
    out.many(&Value::Array(rows.to_vec()), &rows, |_clock| {
        let mut table = Table::new(
            "measurements",
            &["TASKS", "ADDS/S", "RSS MB", "FAILOVER MS", "RESTART MS", "WITHOUT VERDICT"],
        );
        let failovers: Vec<String> = failover_ms.iter().map(|took| format!("{took:.0}")).collect();
        table.row([
            arguments.tasks.to_string(),
            format!("{adds_per_s:.0}"),
            format!("{rss_mb:.0}"),
            failovers.join(" "),
            format!("{restart_ms:.0}"),
            without_verdict.to_string(),
        ]);
        table
    })
    .map_err(failure)?;
    Ok(Exit::Ok)
}

/// Resident memory of the largest node, in MB.
async fn memory(cluster: &BenchCluster) -> Result<f64, Failure> {
    let mut largest: f64 = 0.0;
    for node in 0..cluster.urls.len() {
        let state: BenchState = cluster.get(node, "/bench/state").await?;
        let status = fs::read_to_string(format!("/proc/{}/status", state.pid)).map_err(failure)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = line
            .and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok())
            .unwrap_or(0.0);
        largest = largest.max(kib / 1_024.0);
    }
    Ok(largest.round())
}

/// Number of fired ticks of each busy task, from the first node that responds.
async fn fired(cluster: &BenchCluster) -> Option<Vec<u64>> {
    for node in 0..cluster.urls.len() {
        if let Ok(counts) = cluster.get(node, "/bench/fired?prefix=busy-").await {
            return Some(counts);
        }
    }
    None
}

/// Kills the leader. Returns the milliseconds until every busy task has fired again.
async fn kill_leader(cluster: &mut BenchCluster) -> Result<f64, Failure> {
    let leader = cluster.leader().await?;
    let name = format!("n{}", leader + 1);
    cluster.children()?.act(&format!("kill {name}")).await.map_err(failure)?;
    let killed = Instant::now();
    let took = next_ticks(cluster, killed).await?;
    cluster.children()?.act(&format!("start {name}")).await.map_err(failure)?;
    cluster.ready().await?;
    tokio::time::sleep(CALM).await;
    Ok(took)
}

/// Milliseconds from `since` until every busy task has fired another tick.
async fn next_ticks(cluster: &BenchCluster, since: Instant) -> Result<f64, Failure> {
    let mut before: Option<Vec<u64>> = None;
    while since.elapsed() < LIMIT {
        if let Some(now) = fired(cluster).await {
            let then = before.get_or_insert_with(|| now.clone());
            if now.len() == BUSY && now.iter().zip(then.iter()).all(|(now, then)| now > then) {
                return Ok(since.elapsed().as_secs_f64() * 1_000.0);
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(failure("no tick fired in time"))
}

/// Kills all nodes. Returns the milliseconds from their restart to the first fired tick.
async fn restart(cluster: &mut BenchCluster) -> Result<f64, Failure> {
    let before: u64 = fired(cluster).await.unwrap_or_default().iter().sum();
    for node in 1..=cluster.urls.len() {
        cluster.children()?.act(&format!("kill n{node}")).await.map_err(failure)?;
    }
    let started = Instant::now();
    cluster.children()?.start_all().map_err(failure)?;
    while started.elapsed() < LIMIT {
        if fired(cluster).await.is_some_and(|now| now.iter().sum::<u64>() > before + BUSY as u64) {
            let took = started.elapsed().as_secs_f64() * 1_000.0;
            cluster.ready().await?;
            return Ok(took);
        }
        tokio::time::sleep(LOOK).await;
    }
    Err(failure("no tick fired in time"))
}

/// The time, in seconds, up to the cursors of the busy tasks that no verdict covers.
async fn without_verdict(cluster: &BenchCluster) -> Result<u64, Failure> {
    tokio::time::sleep(CALM).await;
    let answer: BenchUncovered = cluster.get(0, "/bench/uncovered?prefix=busy-").await?;
    Ok(answer.ms / 1_000)
}
