//! `bench claims`: how many claims a second, and how long one takes.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::super::exit::{CommandResult, Exit, Failure};
use super::super::output::Output;
use super::super::table::Table;
use super::ClaimsArguments;
use super::cluster::{BenchCluster, failure, number};

pub(super) async fn run(
    cluster: BenchCluster,
    arguments: &ClaimsArguments,
    out: &mut Output,
) -> CommandResult {
    out.say(&format!("three nodes are ready; making {} tasks", arguments.tasks));
    cluster.post(0, "/bench/setup", &json!({"tasks": arguments.tasks})).await?;
    let mut rows = Vec::new();
    for in_flight in &arguments.in_flight {
        out.say(&format!("{in_flight} in flight for {} s", arguments.seconds));
        rows.push(load(&cluster, arguments, *in_flight).await?);
    }
    let whole = Value::Array(rows.clone());
    out.many(&whole, &rows, |_clock| {
        let mut table = Table::new(&[
            "IN FLIGHT",
            "CLAIMS/S",
            "P50 MS",
            "P99 MS",
            "FSYNCS/NODE",
            "CLAIMS/ENTRY",
            "ELECTIONS",
        ]);
        for row in &rows {
            table.row([
                format!("{:.0}", number(row, "in_flight")),
                format!("{:.0}", number(row, "claims_per_s")),
                format!("{:.2}", number(row, "p50_ms")),
                format!("{:.2}", number(row, "p99_ms")),
                format!("{:.0}", number(row, "fsyncs_per_node")),
                format!("{:.1}", number(row, "claims_per_entry")),
                format!("{:.0}", number(row, "elections")),
            ]);
        }
        table
    })
    .map_err(failure)?;
    Ok(Exit::Ok)
}

fn sum(states: &[Value], field: &str) -> f64 {
    states.iter().map(|state| number(state, field)).sum()
}

async fn load(
    cluster: &BenchCluster,
    arguments: &ClaimsArguments,
    in_flight: usize,
) -> Result<Value, Failure> {
    let nodes = cluster.urls.len().min(in_flight);
    let before = cluster.agreed().await?;
    let runs = (0..nodes).map(|node| {
        let share = in_flight / nodes + usize::from(node < in_flight % nodes);
        let body = json!({
            "in_flight": share, "seconds": arguments.seconds, "offset": node, "stride": nodes,
            "finish": arguments.finish,
        });
        async move { cluster.post(node, "/bench/claims", &body).await }
    });
    let results: Vec<Value> = join_all(runs).await.into_iter().collect::<Result<_, _>>()?;
    let after = cluster.agreed().await?;
    let granted = sum(&results, "granted");
    let found = number(&after[0], "fired") - number(&before[0], "fired");
    let unanswered = sum(&results, "unanswered");
    // What was not answered in time may still have been applied.
    if found < granted || found > granted + unanswered {
        return Err(failure(format!("{granted} claims granted, {found} found: {results:?}")));
    }
    let entries = number(&after[0], "applied") - number(&before[0], "applied");
    let fsyncs = (sum(&after, "fsyncs") - sum(&before, "fsyncs")) / after.len().max(1) as f64;
    let seconds = results.iter().map(|result| number(result, "seconds")).fold(0.0, f64::max);
    let (p50, p99) = latencies(&results);
    Ok(json!({
        "load": "claims",
        "in_flight": in_flight,
        "claims_per_s": (granted / seconds).round(),
        "p50_ms": p50,
        "p99_ms": p99,
        "fsyncs_per_node": fsyncs.round(),
        "claims_per_entry": granted / entries.max(1.0),
        "elections": number(&after[0], "term") - number(&before[0], "term"),
        "unanswered": unanswered,
    }))
}

/// Median and 99th percentile over the joined percentiles of the nodes, each weighted by its load.
fn latencies(results: &[Value]) -> (f64, f64) {
    let mut all: Vec<(f64, f64)> = Vec::new();
    for result in results {
        let samples = result.get("latencies_us").and_then(Value::as_array);
        let samples = samples.cloned().unwrap_or_default();
        let weight = number(result, "granted") / (samples.len().max(1) as f64);
        all.extend(samples.iter().filter_map(Value::as_f64).map(|sample| (sample, weight)));
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
