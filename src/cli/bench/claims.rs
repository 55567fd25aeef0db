//! `bench claims`: how many claims a second, and how long one takes.

use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;

use super::super::exit::{CommandResult, Exit, Failure};
use super::super::output::Output;
use super::super::table::Table;
use super::cluster::{BenchCluster, failure};
use super::{ClaimMode, ClaimsArguments};
use crate::cli::fetch;
use crate::dto::{BenchClaims, BenchClaimsReport, BenchState, BenchTasks};

pub(super) async fn run(
    cluster: BenchCluster,
    arguments: &ClaimsArguments,
    out: &mut Output,
) -> CommandResult {
    out.say(&format!("three nodes are ready; making {} tasks", arguments.tasks));
    let sequential = arguments.mode == ClaimMode::Sequential;
    let tasks = BenchTasks { tasks: arguments.tasks, sequential };
    cluster.post::<BenchTasks>(0, "/bench/setup", &tasks).await?;
    let mut rows = Vec::new();
    for in_flight in &arguments.in_flight {
        out.say(&format!("{in_flight} in flight for {} s", arguments.seconds));
        rows.push(load(&cluster, arguments, *in_flight).await?);
    }
    let values: Vec<Value> = rows.iter().map(fetch::value).collect();
    out.many(&Value::Array(values.clone()), &values, |_clock| {
        let mut table = Table::new(
            "measurements",
            &[
                "IN FLIGHT",
                "CLAIMS/S",
                "P50 MS",
                "P99 MS",
                "FSYNCS/NODE",
                "CLAIMS/ENTRY",
                "ELECTIONS",
            ],
        );
        for row in &rows {
            table.row([
                row.in_flight.to_string(),
                format!("{:.0}", row.claims_per_s),
                format!("{:.2}", row.p50_ms),
                format!("{:.2}", row.p99_ms),
                format!("{:.0}", row.fsyncs_per_node),
                format!("{:.1}", row.claims_per_entry),
                row.elections.to_string(),
            ]);
        }
        table
    })
    .map_err(failure)?;
    Ok(Exit::Ok)
}

/// A row of the result.
#[derive(Serialize)]
struct ClaimsRow {
    load: &'static str,
    in_flight: usize,
    claims_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
    fsyncs_per_node: f64,
    claims_per_entry: f64,
    elections: u64,
    unanswered: u64,
}

async fn load(
    cluster: &BenchCluster,
    arguments: &ClaimsArguments,
    in_flight: usize,
) -> Result<ClaimsRow, Failure> {
    let nodes = cluster.urls.len().min(in_flight);
    let before = cluster.agreed().await?;
    let runs = (0..nodes).map(|node| {
        let load = BenchClaims {
            in_flight: in_flight / nodes + usize::from(node < in_flight % nodes),
            seconds: arguments.seconds,
            offset: node,
            stride: nodes,
            finish: arguments.finish || arguments.mode == ClaimMode::Sequential,
        };
        async move { cluster.post(node, "/bench/claims", &load).await }
    });
    let results = join_all(runs).await.into_iter();
    let results: Vec<BenchClaimsReport> = results.collect::<Result<_, _>>()?;
    let after = cluster.agreed().await?;
    let (Some(first), Some(last)) = (before.first(), after.first()) else {
        return Err(failure("there is no node"));
    };
    let granted: u64 = results.iter().map(|result| result.granted).sum();
    let unanswered: u64 = results.iter().map(|result| result.unanswered).sum();
    let found = last.fired.saturating_sub(first.fired);
    // What was not answered in time may still have been applied.
    if found < granted || found > granted + unanswered {
        return Err(failure(format!("{granted} claims granted, {found} found: {results:?}")));
    }
    let entries = last.applied.saturating_sub(first.applied);
    let fsyncs = |states: &[BenchState]| states.iter().map(|state| state.fsyncs).sum::<u64>();
    let synced = fsyncs(&after).saturating_sub(fsyncs(&before)) as f64;
    let seconds = results.iter().map(|result| result.seconds).fold(0.0, f64::max);
    let (p50_ms, p99_ms) = latencies(&results);
    Ok(ClaimsRow {
        load: match arguments.mode {
            ClaimMode::Parallel => "claims",
            ClaimMode::Sequential => "sequential claims",
        },
        in_flight,
        claims_per_s: (granted as f64 / seconds).round(),
        p50_ms,
        p99_ms,
        fsyncs_per_node: (synced / after.len() as f64).round(),
        claims_per_entry: granted as f64 / entries.max(1) as f64,
        elections: last.term.saturating_sub(first.term),
        unanswered,
    })
}

/// Median and 99th percentile over the joined percentiles of the nodes, each weighted by its load.
fn latencies(results: &[BenchClaimsReport]) -> (f64, f64) {
    let mut all: Vec<(f64, f64)> = Vec::new();
    for BenchClaimsReport { granted, latencies_us, .. } in results {
        let weight = *granted as f64 / latencies_us.len().max(1) as f64;
        all.extend(latencies_us.iter().map(|sample| (f64::from(*sample), weight)));
    }
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let total: f64 = all.iter().map(|(_, weight)| weight).sum();
    let at = |part: f64| {
        let mut seen = 0.0;
        for (sample, weight) in &all {
            seen += weight;
            if seen >= total * part {
                return sample / 1_000.0;
            }
        }
        0.0
    };
    (at(0.5), at(0.99))
}
