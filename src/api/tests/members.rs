//! Members are added and removed by rules that are named.

use reqwest::Method;
use serde_json::{Value, json};

use super::ApiRig;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_the_members_that_cannot_be_is_refused_with_its_rule() {
    let rig = ApiRig::start().await;
    for (body, code, pointer) in [
        (json!({"peer": "n4:7070"}), "missing_field", "/id"),
        (json!({"id": 4}), "missing_field", "/peer"),
        (json!({"id": 0, "peer": "n4:7070"}), "out_of_range", "/id"),
        (json!({"id": 65_536, "peer": "n4:7070"}), "out_of_range", "/id"),
        (json!({"id": 4, "peer": "n4"}), "invalid_value", "/peer"),
        (json!({"id": 4, "peer": "n4:7070", "http": "n4:8080"}), "invalid_value", "/http"),
        (json!({"id": 4, "peer": "n4:7070", "htp": "x"}), "unknown_field", "/htp"),
    ] {
        let refused = rig.post("/cluster/members", body).await.refused(422, code).body;
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }
    // Nobody listens there.
    let nobody = json!({"id": 4, "peer": "127.0.0.1:1"});
    rig.post("/cluster/members", nobody).await.refused(504, "node_unreachable");
    let own = json!({"id": 1, "peer": "127.0.0.1:1"});
    rig.post("/cluster/members", own).await.refused(409, "member_exists");
    let remove = async |member: &str| {
        rig.call(Method::DELETE, &format!("/cluster/members/{member}"), Value::Null, &[]).await
    };
    remove("n1").await.refused(409, "last_voter");
    remove("9").await.refused(404, "member_not_found");
    let cluster = rig.get("/cluster").await.expect(200).body;
    assert_eq!(
        (&cluster["joining"], &cluster["members"][0]["intent"]),
        (&Value::Null, &json!("none"))
    );
    rig.stop().await;
}
