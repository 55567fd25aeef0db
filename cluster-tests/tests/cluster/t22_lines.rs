//! Execution modes and concurrency groups across failovers.

use cluster_tests::lines::{most_at_once, started};
use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, field, items, shell, text, until};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn ticks_of_a_sequential_task_wait_in_order_while_its_owner_is_killed() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    api.add(
        &json!({"name": "load", "schedule": {"interval": "500ms"}, "execution_mode": "sequential",
            "queue_max": 20, "lost_after": "1s", "action": shell("sleep 1")}),
    )
    .await?;
    let queue = until("three executions to wait", async || {
        let live = api.get("/api/v1/executions?task_id=load&status=pending&limit=3").await?;
        let waiting = items(&live);
        if waiting.len() < 3 { Err(format!("{live}").into()) } else { Ok(waiting.to_vec()) }
    })
    .await?;
    let place = field(queue.last().ok_or("one")?, "queue");
    assert_eq!(text(place, "line"), "task load", "{place}");
    assert!(field(place, "position").as_u64() >= Some(1), "{place}");

    let task = api.get("/api/v1/tasks/load").await?;
    let owner = text(&task, "owner").trim_start_matches('n').parse()?;
    let asked = if owner == 1 { 2 } else { 1 };
    cluster.kill9(owner)?;
    let api = cluster.api(asked);
    let tasks = ["load".to_owned()];
    let after = until("four executions to end after the kill", async || {
        let before = queue.last().map(|one| text(one, "tick").to_owned()).unwrap_or_default();
        let all = started(&api, &tasks).await?;
        let later = all.iter().filter(|one| one.tick > before).count();
        if later < 4 { Err(format!("{all:#?}").into()) } else { Ok(all) }
    })
    .await?;
    assert!(after.is_sorted_by_key(|one| &one.tick), "not in the order of their ticks: {after:#?}");
    assert_eq!(most_at_once(&after), 1, "{after:#?}");
    let skipped = api.get("/api/v1/tasks/load").await?;
    assert_eq!(field(field(&skipped, "totals"), "missed").as_u64(), Some(0), "{skipped}");
    cluster.finish().await
}

#[tokio::test]
async fn a_group_never_runs_more_than_its_limit_on_three_nodes() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    let tasks: Vec<String> = (0..8).map(|at| format!("part-{at}")).collect();
    for task in &tasks {
        api.add(&json!({"name": task, "schedule": {"manual": true}, "lost_after": "1s",
                "concurrency": {"group": "db", "limit": 2}, "action": shell("sleep 0.5")}))
            .await?;
    }
    for round in 0..2 {
        for task in &tasks {
            // The leader may be the killed node. With the key, a repeated request counts once.
            let (key, body) = (format!("{task}-{round}"), json!({}));
            until("the trigger to be accepted", async || {
                let path = format!("/api/v1/tasks/{task}/trigger");
                let answer = api.send(Method::POST, &path, Some(&key), Some(&body)).await?;
                if answer.good() { Ok(()) } else { Err(format!("{}", answer.body).into()) }
            })
            .await?;
        }
        if round == 0 {
            cluster.kill9(3)?;
        }
    }
    let all = until("all executions to end", async || {
        let all = started(&api, &tasks).await?;
        if all.len() < 16 { Err(format!("{} ended", all.len()).into()) } else { Ok(all) }
    })
    .await?;
    assert!(most_at_once(&all) <= 2, "{all:#?}");
    let ids: Vec<&str> = all.iter().map(|one| one.id.as_str()).collect();
    println!("{ids:?}");
    cluster.finish().await
}

#[tokio::test]
async fn skip_refuses_and_replace_stops_what_runs() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let api = cluster.api(1);
    for mode in ["skip", "replace"] {
        api.add(&json!({"name": mode, "schedule": {"manual": true}, "execution_mode": mode,
                "kill_grace": "1s", "action": shell("exec sleep 60")}))
            .await?;
    }
    let first = api.trigger("skip", &json!({})).await?;
    api.execution(&first, "running").await?;
    let refused = api.trigger("skip", &json!({})).await.map_err(|error| error.to_string());
    assert!(refused.as_ref().is_err_and(|error| error.contains("overlap")), "{refused:?}");

    let first = api.trigger("replace", &json!({})).await?;
    api.execution(&first, "running").await?;
    let second = api.trigger("replace", &json!({})).await?;
    let third = api.trigger("replace", &json!({})).await?;
    let displaced = api.execution(&second, "cancelled").await?;
    assert_eq!(field(&displaced, "attempt").as_u64(), Some(0), "{displaced}");
    api.execution(&first, "cancelled").await?;
    api.execution(&third, "running").await?;
    cluster.finish().await
}
