//! A drained node still answers requests.

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
