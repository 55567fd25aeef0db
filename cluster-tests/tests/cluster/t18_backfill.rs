//! A backfill that is stopped half-way and continued on another node executes each tick once.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use cluster_tests::{
    ClusterOptions, LIMIT, ProcessCluster, ProcessExit, TestResult, field, items, node_program,
    now_ms, run, shell, text, until,
};
use punctual::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::timeout;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Ticks of the range.
const TICKS: usize = 24;
/// The execution that waits until it is let go.
const HELD: usize = 9;

/// The ticks that were executed, in order, as the executions noted them when they started.
fn noted_ticks(notes: &Path) -> Vec<String> {
    let noted = fs::read_to_string(notes).unwrap_or_default();
    let mut ticks: Vec<String> = noted.lines().map(str::to_owned).collect();
    ticks.sort();
    ticks
}

/// A script that notes its tick, if it is of a backfill. Execution `HELD` then waits.
fn script(folder: &Path) -> String {
    let (notes, go) = (folder.join("notes"), folder.join("go"));
    let (notes, go) = (notes.display(), go.display());
    format!(
        "case $PUNCTUAL_IDEMPOTENCY_KEY in *@*) exit 0;; esac\n\
         echo \"$PUNCTUAL_TICK\" >> {notes}\n\
         if [ $(wc -l < {notes}) -eq {HELD} ]; then while [ ! -e {go} ]; do sleep 0.1; done; fi"
    )
}

/// Runs `backfill` until the held execution has started, and interrupts it.
async fn interrupted(words: &[&str], notes: &Path) -> TestResult<ProcessExit> {
    let mut command = Command::new(node_program()?);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.kill_on_drop(true).spawn()?;
    until("the held execution", async || {
        let noted = noted_ticks(notes).len();
        if noted == HELD { Ok(()) } else { Err(format!("{noted} executions").into()) }
    })
    .await?;
    let pid = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    kill_process(pid.ok_or("the command has ended")?, Signal::INT)?;
    Ok(timeout(LIMIT, child.wait_with_output()).await??.into())
}

/// The executions of backfills by their tick.
async fn backfilled(cluster: &ProcessCluster) -> TestResult<BTreeMap<String, Vec<String>>> {
    let list = cluster.api(2).get("/api/v1/tasks/report/executions?limit=1000").await?;
    let mut ticks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for one in items(&list).iter().filter(|one| text(one, "trigger") == "backfill") {
        ticks.entry(text(one, "tick").to_owned()).or_default().push(text(one, "id").to_owned());
    }
    Ok(ticks)
}

#[tokio::test]
async fn a_stopped_backfill_goes_on_elsewhere_and_executes_each_tick_once() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let folder = cluster.folder().to_owned();
    let (notes, go) = (folder.join("notes"), folder.join("go"));
    let task = json!({"name": "report", "schedule": {"cron": "0 * * * *"}, "lost_after": "3s",
        "action": shell(&script(&folder))});
    cluster.add(1, &[task]).await?;

    let day = now_ms().div_euclid(DAY_MS) * DAY_MS - 2 * DAY_MS;
    let (from, to) = (Timestamp(day).to_string(), Timestamp(day + DAY_MS).to_string());
    let range = ["backfill", "report", "--from", &from, "--to", &to];
    let servers = [cluster.api(1).base().to_owned(), cluster.api(2).base().to_owned()];
    let first = [&range[..], &["--server", &servers[0]]].concat();
    let dry = run(&[&first[..], &["--dry-run"]].concat()).await?;
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(dry.stderr.contains("24 ticks"), "{dry:?}");
    assert_eq!(backfilled(&cluster).await?.len(), 0, "a dry run changes nothing");

    let stopped = interrupted(&first, &notes).await?;
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    let again = format!("punctual {} --server {}", range.join(" "), servers[0]);
    assert!(stopped.stderr.contains(&format!("To continue: {again}")), "{stopped:?}");
    cluster.kill9(1)?;
    fs::write(&go, "")?;

    // The node that led may have been the one that was killed: the command may be repeated.
    let more = ["--parallel", "5", "--server", &servers[1], "-o", "json"];
    let resumed = [&range[..], &more].concat();
    let view = until("the end of the backfill", async || {
        let ended = run(&resumed).await?;
        match ended.code {
            // One execution is lost if its node was killed.
            Some(0 | 1) => Ok(serde_json::from_str::<Value>(&ended.stdout)?),
            _ => Err(format!("{ended:?}").into()),
        }
    })
    .await?;
    assert_eq!(field(&view, "done"), true, "{view}");
    let count = |name: &str| field(&view, name).as_u64().unwrap_or(u64::MAX);
    assert_eq!((count("created"), count("remaining")), (TICKS as u64, 0), "{view}");
    assert!(count("success") + count("lost") == TICKS as u64 && count("lost") <= 1, "{view}");

    let hours = i64::try_from(TICKS)?;
    let wanted: Vec<String> =
        (0..hours).map(|hour| Timestamp(day + hour * HOUR_MS).to_string()).collect();
    assert_eq!(noted_ticks(&notes), wanted, "each once");
    // Once more: there is nothing left to do.
    let more = run(&resumed).await?;
    assert!(matches!(more.code, Some(0 | 1)), "{more:?}");
    // A complete range is not cancelled, and a half of it is a range of its own.
    let server = ["--server", servers[1].as_str()];
    let cancelled = run(&[&range[..], &["--cancel"], &server].concat()).await?;
    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    assert!(cancelled.stdout.contains(&format!("all {TICKS} ticks")), "{cancelled:?}");
    let half = Timestamp(day + HOUR_MS).to_string();
    let other = ["backfill", "report", "--from", &half, "--to", &to, "--cancel"];
    let unknown = run(&[&other[..], &server].concat()).await?;
    assert_eq!(unknown.code, Some(5), "{unknown:?}");
    assert!(unknown.stderr.contains("no backfill of this range"), "{unknown:?}");
    let executions = backfilled(&cluster).await?;
    assert!(executions.keys().eq(&wanted), "{executions:?}");
    assert!(executions.values().all(|ids| ids.len() == 1), "{executions:?}");
    assert_eq!(noted_ticks(&notes), wanted);

    // The ticks have no verdicts: the task was not there yet.
    let ticks = format!("/api/v1/tasks/report/ticks?from={from}&to={to}");
    let ticks = cluster.api(2).get(&ticks).await?;
    assert_eq!(items(&ticks).len(), 0, "{ticks}");
    let why = cluster.api(2).get(&format!("/api/v1/tasks/report/why?at={}", wanted[0])).await?;
    assert_eq!(field(&why, "backfills"), &json!(executions[&wanted[0]]), "{why}");
    let list = cluster.api(2).get("/api/v1/tasks/report/backfills").await?;
    assert_eq!(items(&list).len(), 1, "{list}");
    cluster.finish().await
}
