//! Executions: trigger, claim, stop, retry, read.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, Got, yearly};

async fn ended(rig: &ApiRig, id: &str) -> Got {
    let done = |got: &Got| got.body["end_time"].is_string();
    rig.until(&format!("/api/v1/executions/{id}"), done).await
}

fn id(got: &Got) -> String {
    got.body["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_is_carried_out_and_told() {
    let rig = ApiRig::start().await;
    let body = json!({"name": "greet", "schedule": yearly(), "action": {"func": {"id": "ok"}},
        "parameters": {"a": 1, "b": 1}});
    rig.post("/tasks", body).await.expect(201);
    let fired = rig.post("/tasks/greet/trigger", json!({"parameters": {"b": 2}})).await.expect(201);
    assert_eq!((&fired.body["trigger"], &fired.body["tick"]), (&json!("manual"), &Value::Null));
    let done = ended(&rig, &id(&fired)).await.body;
    assert_eq!((&done["status"], &done["task_id"]), (&json!("success"), &json!("greet")));
    assert_eq!(done["parameters"], json!({"a": 1, "b": 2}));
    assert_eq!(done["output_tail"], "hello from greet, {\"a\":1,\"b\":2}\n");
    let key = format!("greet/{}!{}", done["incarnation"], id(&fired));
    assert_eq!(done["idempotency_key"], key);
    assert_eq!((&done["attempt"], &done["node"]), (&json!(1), &json!("n1")));
    assert_eq!(done["attempts"][0]["outcome"], "success");
    assert!(done["lateness_ms"].is_i64() && done["duration_ms"].is_u64(), "{done}");

    let path = format!("/executions/{}/output", id(&fired));
    let output = rig.get(&path).await.expect(200);
    assert_eq!(output.text, "hello from greet, {\"a\":1,\"b\":2}\n");
    assert_eq!(output.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(rig.get(&format!("{path}?from=6")).await.expect(200).text, output.text[6..]);
    rig.get(&format!("{path}?attempt=2")).await.refused(404, "attempt_not_found");
    let stream = rig.get(&format!("{path}?follow=true")).await.expect(200);
    assert_eq!(stream.header("content-type"), "text/event-stream");
    assert!(stream.text.contains("event: output") && stream.text.contains("hello from greet"));
    assert!(stream.text.contains("event: end") && stream.text.contains("\"status\":\"success\""));
    // The event id contains the attempt number, because an offset is only valid for one attempt's
    // output.
    assert!(stream.text.contains(&format!("id: 1-{}\n", output.text.len())), "{}", stream.text);
    for (last, rest) in [("1-6", &output.text[6..]), ("2-6", &output.text), ("6", &output.text)] {
        let follow = format!("{path}?follow=true");
        let last = [("last-event-id", last)];
        let stream = rig.call(Method::GET, &follow, Value::Null, &last).await.expect(200);
        let text = json!({"text": rest}).to_string();
        assert!(stream.text.contains(&text[1..text.len() - 1]), "{last:?}: {}", stream.text);
    }

    let again =
        rig.post(&format!("/executions/{}/retry", id(&fired)), Value::Null).await.expect(201);
    assert_eq!((&again.body["retry_of"], &again.body["trigger"]), (&done["id"], &json!("retry")));
    assert_eq!(ended(&rig, &id(&again)).await.body["parameters"], json!({"a": 1, "b": 2}));
    let all = rig.get("/executions?task_id=greet&status=success&limit=1").await.expect(200);
    assert_eq!(all.body["items"][0]["id"], again.body["id"], "newest first");
    let cursor = all.body["next_cursor"].as_str().unwrap();
    let rest = rig.get(&format!("/executions?limit=5&cursor={cursor}")).await.expect(200);
    assert_eq!(rest.body["items"].as_array().unwrap().len(), 1);
    let own = rig.get("/tasks/greet/executions?page_size=1").await.expect(200);
    assert_eq!((&own.body["total"], &own.body["total_pages"]), (&json!(2), &json!(2)));
    let stats = rig.get("/tasks/greet/stats").await.expect(200).body;
    assert_eq!((&stats["success"], &stats["success_rate"]), (&json!(2), &json!(1.0)));
    assert!(stats["duration_ms"]["p95"].is_i64(), "{stats}");
    assert!(stats["last_success"].is_string(), "{stats}");
    let streak = json!({"outcome": "success", "current": 2, "longest_success": 2,
        "longest_failure": 0});
    assert_eq!(stats["streaks"], streak);
    let days = stats["days"].as_array().unwrap();
    assert!(days.iter().all(|day| day["date"].as_str().unwrap().len() == 10), "{stats}");
    // The tests may run past midnight.
    let success: u64 = days.iter().map(|day| day["success"].as_u64().unwrap()).sum();
    assert_eq!(success, 2, "{stats}");
    let last = rig.get("/tasks/greet").await.body["last_execution"].clone();
    assert_eq!((&last["status"], &last["id"]), (&json!("success"), &again.body["id"]));
    // It has no tick, but it has a due time.
    assert_eq!((&last["tick"], &last["due"]), (&Value::Null, &again.body["due"]));
    assert!(last["due"].is_string(), "{last}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_runs_can_be_stopped_and_what_failed_is_found() {
    let rig = ApiRig::start().await;
    rig.make("slow", yearly(), "slow").await;
    rig.make("broken", yearly(), "fail").await;
    let slow = rig.post("/tasks/slow/trigger", Value::Null).await.expect(201);
    let path = format!("/executions/{}", id(&slow));
    rig.until(&format!("/api/v1{path}"), |got| got.body["status"] == "running").await;
    rig.post(&format!("{path}/retry"), Value::Null).await.refused(409, "execution_live");
    rig.call(Method::DELETE, &path, Value::Null, &[]).await.refused(409, "execution_live");
    let deleted =
        rig.call(Method::DELETE, "/tasks/slow?wait=true", Value::Null, &[]).await.expect(200);
    assert_eq!(deleted.body["running"][0]["id"], slow.body["id"]);
    let stopped = rig.post(&format!("{path}/stop"), Value::Null).await;
    assert!(matches!(stopped.status, 200 | 202), "{}", stopped.text);
    assert_eq!(ended(&rig, &id(&slow)).await.body["status"], "cancelled");
    rig.post(&format!("{path}/stop"), Value::Null).await.refused(409, "execution_ended");
    let failed = rig.post("/tasks/broken/trigger", Value::Null).await.expect(201);
    let failed = ended(&rig, &id(&failed)).await;
    assert_eq!(failed.body["attempts"][0]["detail"], "it was meant to");
    let found = rig.get("/executions?failed=true&node=n1").await.expect(200);
    let found: Vec<&Value> =
        found.body["items"].as_array().unwrap().iter().map(|one| &one["task"]).collect();
    assert_eq!(found, ["broken"]);
    let path = format!("/executions/{}", id(&failed));
    for _again in 0..2 {
        let dismissed = rig.call(Method::DELETE, &path, Value::Null, &[]).await.expect(200);
        assert_eq!(
            (&dismissed.body["status"], &dismissed.body["dismissed"]),
            (&json!("failed"), &json!(true))
        );
    }
    let found = rig.get("/executions?failed=true").await.expect(200);
    assert_eq!(found.body["items"], json!([]), "someone has seen to it");
    assert_eq!(
        rig.get("/executions?status=failed").await.body["items"][0]["dismissed"],
        json!(true)
    );
    rig.call(Method::DELETE, "/executions/1", Value::Null, &[])
        .await
        .refused(404, "execution_not_found");
    let stats = rig.get("/executions/stats").await.expect(200).body;
    assert_eq!(
        (&stats["total"], &stats["failed"], &stats["cancelled"]),
        (&json!(2), &json!(1), &json!(1))
    );
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tick_has_one_claimer() {
    let rig = ApiRig::start().await;
    rig.make("manual", json!({"manual": true}), "ok").await;
    rig.make("yearly", yearly(), "ok").await;
    let tick = json!({"tick": "2026-01-01T00:00:00Z"});
    let early = json!({"tick": "2000-01-01T00:00:00Z"});
    let tick_now = {
        let got = rig.get("/scheduler/status").await.expect(200);
        json!({"tick": got.body["time"]})
    };
    rig.post("/tasks/yearly/claim", tick).await.refused(422, "not_manual");
    rig.post("/tasks/manual/claim", early).await.refused(409, "settled");
    let ahead = json!({"tick": "2099-01-01T00:00:00Z"});
    rig.post("/tasks/manual/claim", ahead).await.refused(409, "ahead_of_time");
    let key = &[("idempotency-key", "mine")];
    let won =
        rig.call(Method::POST, "/tasks/manual/claim", tick_now.clone(), key).await.expect(201);
    let (claimed, fence) = (won.body["execution_id"].clone(), won.body["fence"].clone());
    assert_eq!(
        (&won.body["execution"]["trigger"], &won.body["execution"]["tick"]),
        (&json!("claim"), &tick_now["tick"])
    );
    let lost =
        rig.post("/tasks/manual/claim", tick_now.clone()).await.refused(409, "already_claimed");
    assert_eq!((&lost.body["execution_id"], &lost.body["winner"]["id"]), (&claimed, &claimed));
    let other = &[("idempotency-key", "yours")];
    let theirs = rig.call(Method::POST, "/tasks/manual/claim", tick_now.clone(), other).await;
    theirs.refused(409, "already_claimed");
    let again = rig.call(Method::POST, "/tasks/manual/claim", tick_now, key).await.expect(201);
    assert_eq!((&again.body["execution_id"], &again.body["fence"]), (&claimed, &fence));

    let path = format!("/executions/{}/callback", claimed.as_str().unwrap());
    let end = json!({"execution_id": claimed, "status": "success", "result": {"rows": 3},
        "logs": "done"});
    rig.post(&path, end.clone()).await.refused(409, "fence_required");
    rig.post(&format!("{path}?fence=1"), end.clone()).await.refused(409, "stale_fence");
    let good = format!("{path}?fence={fence}");
    let told = rig.post(&good, end.clone()).await.expect(200);
    assert_eq!(told.body, json!({"message": "callback processed"}));
    rig.post(&good, end).await.expect(200);
    rig.post(&good, json!({"status": "failed"})).await.refused(409, "execution_ended");
    let done = ended(&rig, claimed.as_str().unwrap()).await.body;
    assert_eq!((&done["status"], &done["output_tail"]), (&json!("success"), &json!("done")));
    assert_eq!(done["attempts"][0]["detail"], "{\"rows\":3}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_claimers_one_wins() {
    let rig = ApiRig::start().await;
    rig.make("manual", json!({"manual": true}), "ok").await;
    for _ in 0..5 {
        let time = rig.get("/scheduler/status").await.expect(200).body["time"].clone();
        let claims = (0..16).map(|_| rig.post("/tasks/manual/claim", json!({"tick": time})));
        let answers = join_all(claims).await;
        let won: Vec<&Got> = answers.iter().filter(|got| got.status == 201).collect();
        assert_eq!(won.len(), 1);
        for lost in answers.iter().filter(|got| got.status != 201) {
            let told = (&lost.body["code"], &lost.body["execution_id"]);
            assert_eq!(told, (&json!("already_claimed"), &won[0].body["execution_id"]));
        }
    }
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_node() {
    let rig = ApiRig::start().await;
    rig.make("waits", yearly(), "ok").await;
    // A draining node starts no executions, so this one stays pending.
    rig.post("/nodes/1/drain", Value::Null).await.expect(200);
    let waiting = rig.post("/tasks/waits/trigger", Value::Null).await.expect(201);
    let url = format!("{}/api/v1/executions/{}/output?follow=true", rig.base, id(&waiting));
    let stream = rig.client.get(url).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let reader = tokio::spawn(stream.text());
    rig.stop().await;
    let text = tokio::time::timeout(Duration::from_secs(10), reader).await;
    assert!(text.expect("the stream ends").unwrap().is_ok());
}
