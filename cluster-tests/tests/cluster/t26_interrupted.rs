//! A node that is stopped while it runs something, and what the others know of each other.

use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, field, items, text, until};
use serde_json::{Value, json};

#[tokio::test]
async fn a_run_that_its_node_interrupts_is_a_failure() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let api = cluster.api(2);
    let notice = json!({"name": "notice", "schedule": {"manual": true},
        "assignment": {"selector": {"node": "n2"}},
        "action": {"shell": {"argv": ["sh", "-c", "echo $PUNCTUAL_PARENT_STATUS"]}}});
    api.post("/api/v1/tasks", &notice).await?;
    let long = json!({"name": "long", "schedule": {"manual": true}, "then": {"failure": ["notice"]},
        "assignment": {"selector": {"node": "n1"}},
        "action": {"shell": {"argv": ["sh", "-c", "echo begun; exec sleep 600"]}}});
    api.post("/api/v1/tasks", &long).await?;
    let made = api.post("/api/v1/tasks/long/trigger", &json!({})).await?;
    let path = format!("/api/v1/executions/{}", text(&made, "id"));
    until("it to run", async || match api.get(&format!("{path}/output")).await? {
        Value::String(printed) if printed == "begun\n" => Ok(()),
        other => Err(format!("{other}").into()),
    })
    .await?;
    assert!(cluster.stop(1).await?.success());
    let ended = api.get(&path).await?;
    assert_eq!(text(&ended, "status"), "failed", "{ended}");
    let detail =
        field(&ended, "attempts").get(0).map(|one| text(one, "detail")).unwrap_or_default();
    assert!(detail.starts_with("interrupted by its node: "), "{ended}");
    let failed = api.get("/api/v1/executions?failed=true").await?;
    assert_eq!(items(&failed).len(), 1, "{failed}");
    let told = until("the notice", async || {
        let told = api.get("/api/v1/executions?task_id=notice&status=success").await?;
        items(&told).first().cloned().ok_or_else(|| format!("{told}").into())
    })
    .await?;
    assert_eq!(text(&told, "output_tail"), "failed\n", "{told}");
    cluster.finish().await
}

#[tokio::test]
async fn every_node_tells_when_each_was_heard_of_last() -> TestResult<()> {
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    for node in cluster.numbers() {
        let api = cluster.api(node);
        until("all to be heard of", async || {
            let told = api.get("/api/cron/instances").await?;
            let instances = field(&told, "instances").as_array().cloned().unwrap_or_default();
            let heard = instances.iter().filter(|one| !text(one, "last_heartbeat").is_empty());
            if heard.count() == 3 { Ok(()) } else { Err(format!("{told}").into()) }
        })
        .await?;
    }
    cluster.finish().await
}
