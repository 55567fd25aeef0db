//! What is said where a rule meets a case that few think of.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, ok, yearly};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_shot_completes_what_has_fired_and_is_taken_away_again() {
    let rig = ApiRig::start().await;
    let beat = json!({"name": "beat", "schedule": {"interval": "200ms"}, "action": ok()});
    rig.post("/tasks", beat).await.expect(201);
    let fired = |got: &super::Got| got.body["totals"]["fired"].as_u64().unwrap_or_default();
    rig.until("/api/v1/tasks/beat", |got| fired(got) > 0).await;
    let patch = |change: Value| rig.call(Method::PATCH, "/tasks/beat", change, &[]);
    let once = patch(json!({"one_shot": true})).await.expect(200).body;
    let warned = once["warnings"].as_array().unwrap();
    assert!(warned.iter().any(|one| one["code"] == "completed"), "{once}");
    let over = rig.until("/api/v1/tasks/beat", |got| got.body["state"] == "completed").await;
    let why = rig.get("/tasks/beat/why").await.expect(200).body;
    assert!(why["summary"].as_str().unwrap().contains("the task is one_shot"), "{why}");
    // What may fire more than once after all has ticks again; `why` and the engine agree.
    let again = patch(json!({"one_shot": null})).await.expect(200).body;
    assert_eq!(again["state"], "active", "{again}");
    assert!(again["next_tick"].is_string(), "{again}");
    let why = rig.get("/tasks/beat/why").await.expect(200).body;
    assert!(!why["summary"].as_str().unwrap().contains("no tick"), "{why}");
    rig.until("/api/v1/tasks/beat", |got| fired(got) > fired(&over)).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn why_knows_what_goes_on() {
    let rig = ApiRig::start().await;
    let why = async |name: &str| {
        let why = rig.get(&format!("/tasks/{name}/why")).await.expect(200).body;
        why["summary"].as_str().unwrap().to_owned()
    };
    for (mode, then) in [
        ("skip", "it is skipped"),
        ("sequential", "it waits for its turn"),
        ("replace", "it takes the place of that one"),
    ] {
        let slow = json!({"name": mode, "schedule": yearly(), "execution_mode": mode,
            "action": {"func": {"id": "slow"}}});
        rig.post("/tasks", slow).await.expect(201);
        let before = why(mode).await;
        assert!(before.ends_with("if nothing changes"), "{before}");
        let made = rig.post(&format!("/tasks/{mode}/trigger"), Value::Null).await.expect(201);
        let id = made.body["id"].as_str().unwrap();
        let told = format!("; if execution {id} has not ended by then, {then}");
        let now = why(mode).await;
        assert!(now.contains(&told) && now.contains(mode), "{now}");
    }
    // A bound that is reached is told, with its rule.
    for (name, bound, triggers) in [("bounded", "max_live", 1), ("queued", "queue_max", 2)] {
        let mode = if name == "queued" { "sequential" } else { "parallel" };
        let slow = json!({"name": name, "schedule": yearly(), "execution_mode": mode, bound: 1,
            "action": {"func": {"id": "slow"}}});
        rig.post("/tasks", slow).await.expect(201);
        for _ in 0..triggers {
            rig.post(&format!("/tasks/{name}/trigger"), Value::Null).await.expect(201);
            let runs = |got: &super::Got| got.body["items"][0]["id"].is_string();
            rig.until(&format!("/api/v1/executions?status=running&task_id={name}"), runs).await;
        }
        let told = format!(
            "; if none of its {triggers} executions has ended by then, it is skipped ({bound} 1)"
        );
        let now = why(name).await;
        assert!(now.ends_with(&told), "{now}");
    }
    rig.make("hand", json!({"manual": true}), "fail").await;
    assert!(why("hand").await.contains("`punctual run hand`"));
    let made = rig.post("/tasks/hand/trigger", Value::Null).await.expect(201);
    let id = made.body["id"].as_str().unwrap();
    rig.until(&format!("/api/v1/executions/{id}"), |got| got.body["status"] == "failed").await;
    let told = why("hand").await;
    assert!(told.contains(&format!("the last one is execution {id} of ")), "{told}");
    assert!(told.ends_with(", failed: it was meant to"), "{told}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_command_cannot_be_handed_is_refused() {
    let rig = ApiRig::start().await;
    let command = |parameters: Value| {
        json!({"name": "c", "schedule": {"manual": true}, "parameters": parameters,
            "action": {"shell": {"argv": ["true"]}}})
    };
    let nul = rig.post("/tasks", command(json!({"a": "x\u{0}"}))).await;
    assert_eq!(nul.refused(422, "invalid_value").body["errors"][0]["pointer"], "/parameters/a");
    let twins = rig.post("/tasks", command(json!({"a-b": 1, "a.b": 2}))).await.expect(201).body;
    let warned = twins["warnings"].as_array().unwrap();
    assert!(warned.iter().any(|one| one["code"] == "parameters_share_variable"), "{twins}");
    let nul = json!({"parameters": {"b/c": "\u{0}"}});
    let nul = rig.post("/tasks/c/trigger", nul).await.refused(422, "invalid_value").body;
    assert_eq!(nul["errors"][0]["pointer"], "/parameters/b~1c", "{nul}");
    rig.stop().await;
}
