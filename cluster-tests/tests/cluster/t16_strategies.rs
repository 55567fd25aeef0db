//! The strategy of assignment changes while the cluster works.

use std::collections::BTreeMap;

use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, items, text, until};
use reqwest::Method;
use serde_json::json;

/// The owner of each task, as a node tells it.
async fn owners(cluster: &ProcessCluster, node: u8) -> TestResult<BTreeMap<String, String>> {
    let list = cluster.api(node).get("/api/v1/tasks").await?;
    let owner = |task| (text(task, "name").to_owned(), text(task, "owner").to_owned());
    Ok(items(&list).iter().map(owner).collect())
}

#[tokio::test]
async fn tasks_move_with_a_change_of_the_strategy_and_go_on_firing() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    for number in 0..12 {
        let task = json!({"name": format!("beat-{number}"), "schedule": {"interval": "1s"},
            "action": {"shell": {"argv": ["true"]}}});
        cluster.api(1).post("/api/v1/tasks", &task).await?;
    }
    let before = owners(&cluster, 1).await?;
    let body = json!({"strategy": "hash_sharding"});
    let changed = cluster.api(2);
    let changed =
        changed.send(Method::PUT, "/api/v1/scheduler/strategy", None, Some(&body)).await?;
    assert_eq!((changed.status, &changed.body), (200, &body), "{changed:?}");
    let after = owners(&cluster, 1).await?;
    for node in [2, 3] {
        assert_eq!(owners(&cluster, node).await?, after, "n{node}");
    }
    let moved = after.iter().find(|(name, owner)| before.get(*name) != Some(*owner));
    let (name, owner) = moved.ok_or("no task moved")?;
    let path = format!("/api/v1/tasks/{name}/executions?limit=1");
    until("the new owner fires the task", async || {
        let newest = cluster.api(1).get(&path).await?;
        let there = items(&newest).first().is_some_and(|newest| text(newest, "node") == *owner);
        if there { Ok(()) } else { Err(newest.to_string().into()) }
    })
    .await?;
    // It outlasts a restart of all nodes.
    cluster.kill9_all()?;
    for node in 1..=3 {
        cluster.start_node(node)?;
    }
    until("the owners are as before", async || {
        let found = owners(&cluster, 3).await?;
        if found == after { Ok(()) } else { Err(format!("{found:?}").into()) }
    })
    .await?;
    let status = cluster.api(1).get("/api/v1/scheduler/status").await?;
    assert_eq!(text(&status, "strategy"), "hash_sharding", "{status}");
    cluster.finish().await
}
