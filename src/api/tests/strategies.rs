//! How tasks are given to nodes.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, ok, yearly};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_strategy_of_the_cluster_and_of_a_task_is_set_and_told() {
    let rig = ApiRig::start().await;
    rig.make("plain", yearly(), "ok").await;
    let put = async |strategy: Value| {
        rig.call(Method::PUT, "/scheduler/strategy", json!({"strategy": strategy}), &[]).await
    };
    let told = async || rig.get("/scheduler/status").await.expect(200).body["strategy"].clone();
    let assigned =
        async |task: &str| rig.get(&format!("/tasks/{task}/assignment")).await.expect(200).body;
    assert_eq!(told().await, "consistent");
    assert_eq!(assigned("plain").await["strategy"], "consistent");
    for (strategy, why) in [
        ("hash-sharding", "n1 has the place, among the 1 eligible node"),
        ("weighted", "falls into the share of n1"),
        ("hash_slot", "n1 drew the lowest number of the 1 eligible node for slot "),
    ] {
        let changed = put(json!(strategy)).await.expect(200).body;
        let word = strategy.replace('-', "_");
        assert_eq!(changed, json!({"strategy": word}));
        assert_eq!(told().await, *word);
        let assigned = assigned("plain").await;
        assert_eq!((&assigned["strategy"], &assigned["owner"]), (&json!(word), &json!("n1")));
        assert!(assigned["why"].as_str().unwrap().contains(why), "{assigned}");
    }
    // A task's own strategy stands above that of the cluster.
    let own = json!({"name": "own", "schedule": yearly(), "action": ok(),
        "assignment": {"strategy": "weighted"}});
    rig.post("/tasks", own).await.expect(201);
    assert_eq!(assigned("own").await["strategy"], "weighted");
    for (task, strategy) in [("own", "weighted"), ("plain", "hash_slot")] {
        let why = rig.get(&format!("/tasks/{task}/why")).await.expect(200).body;
        assert_eq!((&why["strategy"], &why["owner"]), (&json!(strategy), &json!("n1")));
    }
    // What is refused changes nothing.
    for (strategy, code, message) in [
        (
            json!("range"),
            "not_supported",
            "it can be consistent, hash_sharding, hash_slot, weighted",
        ),
        (json!("hash_slots"), "invalid_value", "did you mean `hash_slot`?"),
        (json!(7), "wrong_type", "must be one of consistent"),
        (Value::Null, "missing_field", "is needed"),
    ] {
        let refused = put(strategy.clone()).await.refused(422, code).body;
        assert_eq!(refused["errors"][0]["pointer"], "/strategy", "{refused}");
        let said = refused["errors"][0]["message"].as_str().unwrap();
        assert!(said.contains(message), "{said}");
    }
    assert_eq!(told().await, "hash_slot");
    rig.stop().await;
}
