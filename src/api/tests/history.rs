//! Ticks through the API: future ticks, settled ticks, and explanations.

use serde_json::{Value, json};

use super::{ApiRig, Got, yearly};
use crate::domain::time::Timestamp;

fn at(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_settled_tick_is_told_once() {
    let rig = ApiRig::start().await;
    rig.make("beat", json!({"interval": "200ms"}), "ok").await;
    let fired = |got: &Got| got.body["totals"]["fired"].as_u64() >= Some(3);
    rig.until("/api/v1/tasks/beat", fired).await;
    let paused =
        rig.post("/tasks/beat/pause?wait=true", json!({"reason": "look"})).await.expect(200);
    assert_eq!(paused.body["running"], json!([]));
    let resumed = rig.post("/tasks/beat/resume", Value::Null).await.expect(200);
    let fired = paused.body["totals"]["fired"].as_u64().unwrap();
    let more = move |got: &Got| got.body["totals"]["fired"].as_u64() > Some(fired);
    rig.until("/api/v1/tasks/beat", more).await;
    rig.post("/scheduler/stop", Value::Null).await.expect(200);

    let told = rig.get("/tasks/beat/ticks?limit=1000").await.expect(200).body;
    let items = told["items"].as_array().unwrap();
    let mut end = Timestamp(i64::MAX);
    for item in items {
        let to = at(if item["tick"].is_null() { &item["to"] } else { &item["tick"] });
        assert!(to < end, "newest first: {items:#?}");
        end = to;
        assert_eq!(item["verdict"] == "fired", item["execution_id"].is_string(), "{item}");
    }
    let span = items.iter().find(|item| item["reason"] == "paused").unwrap();
    // The pause lasted 1.1 s, and its ticks were not counted when it ended.
    assert!(span["count"].as_u64() >= Some(4), "{span}");
    let first = items.iter().rev().find(|item| item["verdict"] == "fired").unwrap();

    let why = async |at: &str| rig.get(&format!("/tasks/beat/why?at={at}")).await;
    let known = why(first["tick"].as_str().unwrap()).await.expect(200).body;
    assert_eq!((&known["verdict"], &known["settled"]), (&json!("fired"), &json!(true)));
    assert_eq!(known["execution_id"], first["execution_id"]);
    assert_eq!((&known["ended"], &known["execution_kept"]), (&first["ended"], &json!(true)));
    let near = at(&first["tick"]).plus(crate::domain::time::Millis(1));
    let near = why(&near.to_string()).await.expect(200).body;
    assert_eq!((&near["tick"], &near["previous_tick"]), (&json!(false), &first["tick"]), "{near}");
    let skipped = why(&at(&span["from"]).plus(crate::domain::time::Millis(1)).to_string()).await;
    let skipped = skipped.expect(200).body;
    assert_eq!((&skipped["tick"], &skipped["verdict"]), (&json!(false), &Value::Null), "{skipped}");
    let old = why("2020-01-01T00:00:00Z").await.expect(200).body;
    assert_eq!((&old["tick"], &old["settled"]), (&Value::Null, &json!(false)));
    let next = rig.get("/tasks/beat/next?n=3").await.expect(200).body;
    assert_eq!((next["items"].as_array().unwrap().len(), &next["held"]), (3, &json!("stopped")));
    let next = next["items"][0]["at"].as_str().unwrap();
    let foreseen = why(next).await.expect(200).body;
    assert_eq!(foreseen["verdict"], Value::Null, "no verdict before it is settled");
    let expected = (&foreseen["expected"], &foreseen["reason"]);
    assert_eq!(expected, (&json!("skipped"), &json!("stopped")));
    assert_eq!(foreseen["owner"], "n1");
    rig.post("/scheduler/start", Value::Null).await.expect(200);
    let started = rig.get("/scheduler/status").await.expect(200).body;
    assert_eq!((&started["started"], &started["leader_id"]), (&json!(true), &json!("n1")));

    let page = rig.get("/tasks/beat/ticks?limit=2").await.expect(200).body;
    let cursor = page["next_cursor"].as_str().unwrap();
    let rest =
        rig.get(&format!("/tasks/beat/ticks?limit=1&cursor={cursor}")).await.expect(200).body;
    let key = |item: &Value| at(if item["tick"].is_null() { &item["to"] } else { &item["tick"] });
    assert!(key(&rest["items"][0]) < key(&page["items"][1]));
    let from = first["tick"].as_str().unwrap();
    let exact = rig.get(&format!("/tasks/beat/ticks?from={from}&to={from}")).await.expect(200).body;
    assert_eq!(exact["items"], json!([first]));
    assert!(resumed.body["truncated_before"].is_null(), "not a field of a task");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_will_be_is_foreseen() {
    let rig = ApiRig::start().await;
    rig.make("yearly", yearly(), "ok").await;
    let why = rig.get("/tasks/yearly/why").await.expect(200).body;
    assert_eq!(
        (&why["tick"], &why["verdict"], &why["expected"], &why["settled"]),
        (&json!(true), &Value::Null, &json!("fired"), &json!(false))
    );
    assert!(why["summary"].as_str().unwrap().contains("will fire on n1"), "{why}");
    rig.post("/tasks/yearly/pause", Value::Null).await.expect(200);
    let why = rig.get("/tasks/yearly/why").await.expect(200).body;
    assert_eq!((&why["expected"], &why["reason"]), (&json!("skipped"), &json!("paused")));
    assert_eq!(rig.get("/tasks/yearly/next").await.expect(200).body["held"], "paused");
    let patch = json!({"selector_typo": 1});
    rig.call(reqwest::Method::PATCH, "/tasks/yearly", patch, &[])
        .await
        .refused(422, "unknown_field");
    let patch = json!({"assignment": {"selector": {"node": "n9"}}});
    rig.call(reqwest::Method::PATCH, "/tasks/yearly", patch, &[]).await.expect(200);
    rig.post("/tasks/yearly/resume", Value::Null).await.expect(200);
    let who = rig.get("/tasks/yearly/assignment").await.expect(200).body;
    assert_eq!((&who["owner"], &who["nodes"][0]["reason"]), (&Value::Null, &json!("selector")));
    let why = rig.get("/tasks/yearly/why").await.expect(200).body;
    let told = "no node can own the task (without the labels of its selector: n1)";
    assert!(why["summary"].as_str().unwrap().ends_with(told), "{why}");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statistics_are_those_of_the_incarnation() {
    let rig = ApiRig::start().await;
    let stats = async |total: u64| {
        let right = move |got: &Got| got.body["success"] == total && got.body["total"] == total;
        rig.until("/api/v1/tasks/again/stats", right).await.body
    };
    rig.make("again", yearly(), "ok").await;
    rig.post("/tasks/again/trigger", Value::Null).await.expect(201);
    stats(1).await;
    let body = json!({"name": "again", "schedule": yearly(), "action": {"func": {"id": "ok"}}});
    rig.post("/tasks?force=true", body).await.expect(201);
    let none = stats(0).await;
    assert_eq!((&none["totals"]["success"], &none["success_rate"]), (&json!(0), &Value::Null));
    assert_eq!((&none["days"], &none["streaks"]["outcome"]), (&json!([]), &Value::Null));
    rig.post("/tasks/again/trigger", Value::Null).await.expect(201);
    let again = stats(1).await;
    assert_eq!(again["totals"]["fired"], json!(0));
    // Nobody waits for a trigger.
    assert_eq!(again["lateness_ms"]["max"], Value::Null);
    // The cluster has counted both incarnations, also when the task is gone.
    rig.post("/tasks/again/cleanup", Value::Null).await.expect(200);
    let all = rig.get("/executions/stats").await.expect(200).body;
    let of = |name: &str| all[name].as_u64();
    assert_eq!((of("total"), of("success"), of("running")), (Some(2), Some(2), Some(0)), "{all}");
    assert_eq!(all["totals"]["success"], json!(2));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_stores_nothing_and_tells_what_clocks_do() {
    let rig = ApiRig::start().await;
    let body = json!({"expression": "30 2 * * *", "timezone": "Europe/Berlin",
        "from": "2026-03-28T00:00:00Z", "n": 3});
    let shown = rig.post("/schedules/preview", body.clone()).await.expect(200).body;
    assert_eq!(shown["ticks"][1]["at"], "2026-03-29T01:00:00.000Z");
    assert!(shown["ticks"][1]["note"].as_str().unwrap().contains("does not exist"), "{shown}");
    assert_eq!(shown["expression"], "30 2 * * *");
    assert_eq!(shown["words"], "at 02:30, every day, Europe/Berlin time");
    let mut only = body;
    only["only_dst"] = json!(true);
    only["n"] = json!(2);
    let shown = rig.post("/schedules/preview", only).await.expect(200).body;
    let ats: Vec<&str> = shown["ticks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tick| tick["at"].as_str().unwrap())
        .collect();
    assert_eq!(ats, ["2026-03-29T01:00:00.000Z", "2026-10-25T00:30:00.000Z"]);
    let shown = rig.post("/schedules/preview", json!({"schedule": {"immediate": true}})).await;
    assert_eq!(shown.expect(200).body["ticks"].as_array().unwrap().len(), 1);
    assert_eq!(rig.get("/tasks?page=1").await.body["total"], 0);
    rig.stop().await;
}
