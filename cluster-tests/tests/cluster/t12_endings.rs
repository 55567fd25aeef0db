//! How tasks end on every node: with their first tick, with a run, by a cancellation. Also across a
//! restart.

use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, field, items, text, until, with};
use serde_json::{Value, json};

fn task(name: &str, schedule: Value, more: Value) -> Value {
    let task = json!({"name": name, "schedule": schedule,
        "action": {"shell": {"argv": ["echo", "hi"]}}});
    with(task, more)
}

/// Waits until a node reports this state of a task. `null`: there is no such task.
async fn is(cluster: &ProcessCluster, node: u8, name: &str, state: &Value) -> TestResult<Value> {
    until(&format!("{name} to be {state}"), async || {
        let all = cluster.api(node).all("/api/v1/tasks").await?;
        let gone = cluster.api(node).all("/api/v1/tasks?deleted=true").await?;
        let found = all.into_iter().chain(gone).find(|task| text(task, "name") == name);
        let found = found.unwrap_or_default();
        let now = field(&found, "state").clone();
        if now == *state { Ok(found) } else { Err(format!("it is {now}").into()) }
    })
    .await
}

#[tokio::test]
async fn tasks_end_as_they_say_on_every_node() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let every = || json!({"interval": "300ms"});
    for (node, body) in [
        (1, task("once", every(), json!({"one_shot": true}))),
        (2, task("marked", every(), json!({"after_run": "mark_deleted"}))),
        (3, task("cleaned", every(), json!({"after_run": "cleanup"}))),
        (1, task("held", json!({"delay": "3s"}), json!({}))),
    ] {
        cluster.api(node).post("/api/v1/tasks", &body).await?;
    }
    cluster.api(2).post("/api/v1/tasks/held/cancel?wait=true", &json!({})).await?;
    is(&cluster, 2, "once", &json!("completed")).await?;
    is(&cluster, 3, "marked", &json!("deleted")).await?;
    is(&cluster, 1, "cleaned", &Value::Null).await?;

    for node in cluster.numbers() {
        assert!(cluster.stop(node).await?.success());
    }
    cluster.start_all()?;
    cluster.all_ready().await?;
    let once = is(&cluster, 3, "once", &json!("completed")).await?;
    assert_eq!(once["totals"]["fired"], 1, "{once}");
    is(&cluster, 1, "marked", &json!("deleted")).await?;
    is(&cluster, 2, "cleaned", &Value::Null).await?;
    let held = is(&cluster, 1, "held", &json!("cancelled")).await?;
    assert_eq!(held["totals"]["fired"], 0, "{held}");

    until("its due time", async || {
        let why = cluster.api(1).get("/api/v1/tasks/held/why").await?;
        if why["previous_tick"].is_null() { Err(format!("{why}").into()) } else { Ok(()) }
    })
    .await?;
    let resumed = cluster.api(3).post("/api/v1/tasks/held/resume", &json!({})).await?;
    let ran = until("the execution that replaces it", async || {
        let list = cluster.api(2).get("/api/v1/executions?task_id=held&status=success").await?;
        items(&list).first().cloned().ok_or_else(|| "none has ended".into())
    });
    let ran = ran.await?;
    assert_eq!(text(&ran, "id"), text(&resumed, "execution_id"));
    is(&cluster, 1, "held", &json!("completed")).await?;
    cluster.agreed().await?;
    cluster.finish().await
}
