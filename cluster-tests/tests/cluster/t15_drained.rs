//! A drained node still answers requests, and stays drained until told otherwise.

use cluster_tests::{ClusterOptions, ProcessCluster, TestResult, field, text, until};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_drained_node_takes_a_callers_claim() -> TestResult<()> {
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let manual = json!({"name": "manual", "schedule": {"manual": true},
        "action": {"shell": {"argv": ["true"]}}});
    cluster.api(1).post("/api/v1/tasks", &manual).await?;
    cluster.api(1).post("/api/v1/nodes/1/drain", &json!({})).await?;
    // Another node holds the claim, and all nodes know that the tick is claimed.
    let time = cluster.api(1).get("/api/v1/scheduler/status").await?;
    let tick = json!({"tick": field(&time, "time")});
    let claimed = cluster.api(1).post("/api/v1/tasks/manual/claim", &tick).await?;
    let execution = field(&claimed, "execution");
    assert_ne!(text(execution, "node"), "n1", "{claimed}");
    let again = cluster.api(2);
    let again = again.send(Method::POST, "/api/v1/tasks/manual/claim", None, Some(&tick)).await?;
    assert_eq!((again.status, text(&again.body, "code")), (409, "already_claimed"), "{again:?}");
    assert_eq!(again.body["execution_id"], claimed["execution_id"]);
    // It ends by its fence, also if this is reported to the drained node.
    let path = format!("/api/v1/executions/{}/callback", text(&claimed, "execution_id"));
    let end = json!({"execution_id": claimed["execution_id"], "status": "success"});
    let path = format!("{path}?fence={}", field(&claimed, "fence"));
    cluster.api(1).post(&path, &end).await?;
    // If no node takes work, none can hold a claim, and the refusal reports this.
    for node in [2, 3] {
        let drain = format!("/api/v1/nodes/{node}/drain");
        cluster.api(1).post(&drain, &json!({})).await?;
    }
    let time = cluster.api(1).get("/api/v1/scheduler/status").await?;
    let tick = json!({"tick": field(&time, "time")});
    let refused = cluster.api(1);
    let refused =
        refused.send(Method::POST, "/api/v1/tasks/manual/claim", None, Some(&tick)).await?;
    assert_eq!((refused.status, text(&refused.body, "code")), (503, "session_ended"));
    cluster.api(1).post("/api/v1/nodes/2/undrain", &json!({})).await?;
    until("a claim after a node is working", async || {
        let claimed = cluster.api(1).post("/api/v1/tasks/manual/claim", &tick).await?;
        assert_eq!(text(field(&claimed, "execution"), "node"), "n2");
        Ok(())
    })
    .await?;
    cluster.finish().await
}

#[tokio::test]
async fn what_an_operator_set_for_a_node_outlasts_its_restart() -> TestResult<()> {
    let mut cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let busy = json!({"name": "busy", "schedule": {"manual": true},
        "assignment": {"selector": {"node": "n1"}},
        "action": {"shell": {"argv": ["sh", "-c", "sleep 2; echo ended by itself"]}}});
    cluster.api(2).post("/api/v1/tasks", &busy).await?;
    let triggered = cluster.api(2).post("/api/v1/tasks/busy/trigger", &json!({})).await?;
    let path = format!("/api/v1/executions/{}", text(&triggered, "id"));
    until("the execution runs", async || {
        let execution = cluster.api(2).get(&path).await?;
        let runs = text(&execution, "status") == "running";
        if runs { Ok(()) } else { Err(execution.to_string().into()) }
    })
    .await?;
    cluster.api(2).post("/api/v1/nodes/1/drain", &json!({})).await?;
    let set = json!({"weight": 4, "slots": 3, "labels": {"zone": "b"}});
    let patched = cluster.api(2);
    let patched = patched.send(Method::PATCH, "/api/v1/nodes/1", None, Some(&set)).await?;
    assert_eq!(patched.status, 200, "{patched:?}");
    // It waits for what runs there, although it owns no task any more.
    let ended = cluster.stop(1).await?;
    assert!(ended.success(), "{ended:?}");
    let execution = cluster.api(2).get(&path).await?;
    assert_eq!(text(&execution, "status"), "success", "{execution}");
    let stopped = cluster.api(2).get("/api/v1/nodes/1").await?;
    assert_eq!(text(&stopped, "intent"), "draining", "{stopped}");
    cluster.start_node(1)?;
    let node = until("the new process works", async || {
        let node = cluster.api(2).get("/api/v1/nodes/1").await?;
        let new = text(&node, "started_at") != text(&stopped, "started_at");
        if new && text(&node, "state") == "working" {
            Ok(node)
        } else {
            Err(node.to_string().into())
        }
    })
    .await?;
    assert_eq!(text(&node, "intent"), "draining", "{node}");
    assert_eq!(field(&node, "tasks_owned"), &json!(0), "{node}");
    assert_eq!(field(&node, "overrides"), &set, "{node}");
    assert_eq!((&node["weight"], &node["slots"]), (&json!(4), &json!(3)), "{node}");
    let undrained = cluster.api(2).post("/api/v1/nodes/1/undrain", &json!({})).await?;
    assert_eq!(text(&undrained, "intent"), "none", "{undrained}");
    // A node that is only stopped takes tasks again at its next start.
    cluster.stop(1).await?;
    assert_eq!(text(&cluster.api(2).get("/api/v1/nodes/1").await?, "intent"), "leaving");
    cluster.finish().await
}
