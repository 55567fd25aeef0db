//! `bench lag`: the start delay of one-second tasks, and whether each tick starts exactly once.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::super::exit::{CommandResult, Exit, Failure};
use super::super::output::Output;
use super::super::table::Table;
use super::cluster::{BenchCluster, failure};
use super::{LagAction, LagArguments, LagDue, NOOP};
use crate::cli::fetch;
use crate::dto::{BenchStart, BenchState};

/// Time before the measurement. The first ticks run before actors and connections exist.
const WARM_UP: Duration = Duration::from_secs(5);
/// Time after the last tick for late starts.
const SETTLE: Duration = Duration::from_secs(3);

/// One start: task, tick in milliseconds, delay after the due time in microseconds.
type StartSample = (u64, i64, i64);

pub(super) async fn run(
    cluster: BenchCluster,
    arguments: &LagArguments,
    out: &mut Output,
) -> CommandResult {
    let together = match arguments.due {
        Some(due) => due == LagDue::Together,
        None => arguments.action == LagAction::Shell,
    };
    let witness = match arguments.action {
        LagAction::Shell => arguments.witness.as_deref(),
        LagAction::Noop => None,
    };
    // The nodes run it in a different folder, so its path must be absolute.
    let witness = witness.map(fs::canonicalize).transpose().map_err(failure)?;
    let file = cluster.folder.join("starts");
    let tasks =
        (0..arguments.tasks).map(|number| task(number, arguments, together, &witness, &file));
    cluster.add(tasks.collect()).await?;
    out.say(&format!("{} one-second tasks for {} s", arguments.tasks, arguments.seconds));
    tokio::time::sleep(WARM_UP).await;
    drain(&cluster).await?;
    let from = cluster_now(&cluster).await?;
    tokio::time::sleep(Duration::from_secs(arguments.seconds)).await;
    let to = from + i64::try_from(arguments.seconds).unwrap_or(0) * 1_000;
    tokio::time::sleep(SETTLE).await;
    let starts = match arguments.action {
        LagAction::Noop => drain(&cluster).await?,
        LagAction::Shell => read_witness(&file)?,
    };
    let row = summary(arguments, together, &starts, from, to);
    let rows = [fetch::value(&row)];
    out.many(&Value::Array(rows.to_vec()), &rows, |_clock| table(&row)).map_err(failure)?;
    Ok(Exit::Ok)
}

fn task(
    at: usize,
    arguments: &LagArguments,
    together: bool,
    witness: &Option<PathBuf>,
    file: &Path,
) -> Value {
    // The ticks are at whole seconds since 1970, or spread evenly over one second.
    let phase = if together { 0 } else { at * 1_000 / arguments.tasks.max(1) };
    let anchor = crate::domain::time::Timestamp(i64::try_from(phase).unwrap_or(0)).to_string();
    let action = match witness {
        Some(witness) => json!({"shell": {"argv": [witness, file]}}),
        None => json!({"func": {"id": NOOP}}),
    };
    json!({
        "name": format!("lag-{at:05}"),
        "schedule": {"interval": "1s", "anchor": anchor},
        "action": action,
        "catch_up": {"policy": "all"},
    })
}

async fn drain(cluster: &BenchCluster) -> Result<Vec<StartSample>, Failure> {
    let mut starts = Vec::new();
    for node in 0..cluster.urls.len() {
        let noted: Vec<BenchStart> = cluster.get(node, "/bench/starts").await?;
        let ticks = noted
            .into_iter()
            .filter_map(|BenchStart(task, tick, late)| tick.map(|tick| (task, tick, late)));
        starts.extend(ticks);
    }
    Ok(starts)
}

/// Cluster time, rounded up to a whole second.
async fn cluster_now(cluster: &BenchCluster) -> Result<i64, Failure> {
    let state: BenchState = cluster.get(0, "/bench/state").await?;
    Ok(state.now_ms / 1_000 * 1_000 + 1_000)
}

/// Parses the lines `task tick nanoseconds` written by the witness program.
fn read_witness(file: &Path) -> Result<Vec<StartSample>, Failure> {
    let text = fs::read_to_string(file).map_err(failure)?;
    let mut tasks: HashMap<&str, u64> = HashMap::new();
    let mut starts = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(task), Some(tick), Some(nanos)) = (words.next(), words.next(), words.next())
        else {
            return Err(failure(format!("the witness wrote {line:?}")));
        };
        let next = u64::try_from(tasks.len()).unwrap_or(0);
        let task = *tasks.entry(task).or_insert(next);
        let tick = crate::domain::time::Timestamp::parse(tick).map_err(failure)?.0;
        let nanos: i64 = nanos.parse().map_err(failure)?;
        starts.push((task, tick, nanos / 1_000 - tick * 1_000));
    }
    Ok(starts)
}

fn summary(
    arguments: &LagArguments,
    together: bool,
    starts: &[StartSample],
    from: i64,
    to: i64,
) -> LagRow {
    let mut seen: HashMap<(u64, i64), u32> = HashMap::new();
    let mut late: Vec<i64> = Vec::new();
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for (task, tick, lag) in starts.iter().filter(|(_, tick, _)| (from..to).contains(tick)) {
        *seen.entry((*task, *tick)).or_insert(0) += 1;
        late.push(*lag);
        if *tick < from + 10_000 {
            first.push(*lag);
        }
        if *tick >= to - 10_000 {
            last.push(*lag);
        }
    }
    let expected = arguments.tasks * usize::try_from(arguments.seconds).unwrap_or(0);
    let doubled = seen.values().filter(|times| **times > 1).count();
    LagRow {
        load: "lag",
        action: format!("{:?}", arguments.action).to_lowercase(),
        due: if together { "together" } else { "staggered" },
        tasks: arguments.tasks,
        starts: late.len(),
        missed: expected.saturating_sub(seen.len()),
        doubled,
        p50_ms: percentile(&mut late, 0.5),
        p99_ms: percentile(&mut late, 0.99),
        p999_ms: percentile(&mut late, 0.999),
        max_ms: percentile(&mut late, 1.0),
        min_ms: percentile(&mut late, 0.0),
        p99_first_10_s_ms: percentile(&mut first, 0.99),
        p99_last_10_s_ms: percentile(&mut last, 0.99),
    }
}

/// One row of the result.
#[derive(Serialize)]
struct LagRow {
    load: &'static str,
    action: String,
    due: &'static str,
    tasks: usize,
    starts: usize,
    missed: usize,
    doubled: usize,
    p50_ms: f64,
    p99_ms: f64,
    p999_ms: f64,
    max_ms: f64,
    min_ms: f64,
    p99_first_10_s_ms: f64,
    p99_last_10_s_ms: f64,
}

fn percentile(values: &mut [i64], part: f64) -> f64 {
    values.sort_unstable();
    let at = (values.len().saturating_sub(1) as f64 * part).round() as usize;
    values.get(at).map_or(0.0, |micros| *micros as f64 / 1_000.0)
}

fn table(row: &LagRow) -> Table {
    let mut table = Table::new(
        "measurements",
        &[
            "DUE",
            "STARTS",
            "MISSED",
            "DOUBLED",
            "MIN MS",
            "P50 MS",
            "P99 MS",
            "P99.9 MS",
            "MAX MS",
            "P99 FIRST 10 S",
            "P99 LAST 10 S",
        ],
    );
    let millis = |millis: f64| format!("{millis:.2}");
    table.row([
        row.due.to_owned(),
        row.starts.to_string(),
        row.missed.to_string(),
        row.doubled.to_string(),
        millis(row.min_ms),
        millis(row.p50_ms),
        millis(row.p99_ms),
        millis(row.p999_ms),
        millis(row.max_ms),
        millis(row.p99_first_10_s_ms),
        millis(row.p99_last_10_s_ms),
    ]);
    table
}
