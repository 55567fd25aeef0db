//! Repeated attempts across failovers.

use std::path::Path;

use cluster_tests::{
    Api, ClusterOptions, ProcessCluster, TestResult, field, items, noted, shell, text, until, with,
};
use serde_json::{Value, json};

/// Adds a manual task whose script records its attempts in a file that all nodes share, and
/// triggers it.
async fn triggered(api: &Api, notes: &Path, script: &str, more: Value) -> TestResult<String> {
    let note = "echo $PUNCTUAL_ATTEMPT $PUNCTUAL_NODE $PUNCTUAL_FENCE $PUNCTUAL_IDEMPOTENCY_KEY";
    let script = format!("{note} >> {}; {script}", notes.display());
    let task = json!({"name": "load", "schedule": {"manual": true}, "lost_after": "1s",
        "action": shell(&script)});
    api.add(&with(task, more)).await?;
    api.trigger("load", &json!({})).await
}

fn node(name: &str) -> TestResult<u8> {
    Ok(name.trim_start_matches('n').parse()?)
}

/// The attempts in the cluster's report: the outcome of each, and whether it is unknown.
fn outcomes(execution: &Value) -> Vec<(String, bool)> {
    let attempts = items_of(execution);
    let outcome = |one: &Value| {
        (text(one, "outcome").to_owned(), field(one, "unknown").as_bool().unwrap_or_default())
    };
    attempts.iter().map(outcome).collect()
}

fn items_of(execution: &Value) -> &[Value] {
    field(execution, "attempts").as_array().map_or(&[], Vec::as_slice)
}

#[tokio::test]
async fn a_retry_outlives_the_node_that_failed() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let retry = json!({"retry": {"max_retry": 2, "delay": "3s", "backoff": "fixed"}});
    let script = "[ $PUNCTUAL_ATTEMPT = 2 ] || exit 7";
    let id = triggered(&cluster.api(1), &notes, script, retry).await?;
    let waits = |one: &Value| !field(one, "next_attempt_at").is_null();
    let waits = cluster.api(1).execution_when(&id, waits).await?;
    assert_eq!((text(&waits, "status"), field(&waits, "exit_code")), ("pending", &json!(7)));
    let first = node(text(&waits, "node"))?;
    cluster.kill9(first)?;
    let api = cluster.api(if first == 1 { 2 } else { 1 });
    let ended = api.execution(&id, "success").await?;
    assert_eq!(outcomes(&ended), [("failed".to_owned(), false), ("success".to_owned(), false)]);
    // Number, node, fence and key of each attempt.
    let noted = noted(&notes);
    let [one, two] = noted.as_slice() else { return Err(format!("{noted:?}").into()) };
    assert_eq!((&*one[0], &*two[0], &one[3]), ("1", "2", &two[3]), "{noted:?}");
    assert!(one[1] != two[1] && one[2].parse::<u64>()? < two[2].parse()?, "{noted:?}");
    cluster.finish().await
}

#[tokio::test]
async fn what_is_delivered_at_least_once_survives_its_node() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    let notes = folder.path().join("notes");
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let script = "[ $PUNCTUAL_ATTEMPT = 2 ] || sleep 600";
    let delivery = json!({"delivery": "at_least_once"});
    let id = triggered(&cluster.api(1), &notes, script, delivery).await?;
    until("the first attempt to start", async || match noted(&notes).len() {
        1 => Ok(()),
        other => Err(format!("{other} attempts").into()),
    })
    .await?;
    let runs = cluster.api(1).get(&format!("/api/v1/executions/{id}")).await?;
    let first = node(text(&runs, "node"))?;
    cluster.kill9(first)?;
    let api = cluster.api(if first == 1 { 2 } else { 1 });
    let ended = api.execution(&id, "success").await?;
    assert_eq!(outcomes(&ended), [("lost".to_owned(), true), ("success".to_owned(), false)]);
    // Number, node, fence and key of each attempt.
    let noted = noted(&notes);
    let [one, two] = noted.as_slice() else { return Err(format!("{noted:?}").into()) };
    assert_eq!((&*one[0], &*two[0], &one[3]), ("1", "2", &two[3]), "{noted:?}");
    assert!(one[1] != two[1] && one[2].parse::<u64>()? < two[2].parse()?, "{noted:?}");
    let lost = api.get("/api/v1/executions?status=lost").await?;
    assert!(items(&lost).is_empty(), "{lost}");
    cluster.finish().await
}
