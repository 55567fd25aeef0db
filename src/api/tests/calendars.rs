//! Calendars: creation, changes, and the ticks that they exclude.

use reqwest::Method;
use serde_json::{Value, json};

use super::{ApiRig, Got, ok, yearly};

/// A calendar that covers all times.
fn always() -> Value {
    json!({"rules": [{"weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calendars_are_made_changed_and_removed() {
    let rig = ApiRig::start().await;
    rig.get("/calendars/holidays").await.refused(404, "calendar_not_found");
    let body = json!({"description": "d", "rules": [{"yearly": ["12-24/01-01"]}]});
    let made = rig.call(Method::PUT, "/calendars/holidays", body.clone(), &[]).await.expect(201);
    let revision = made.header("etag").to_owned();
    assert_eq!(made.body["rules"][0]["yearly"], json!(["12-24/01-01"]));
    assert_eq!(made.body["origin"], "api");
    // The same definition again changes nothing.
    let same =
        rig.call(Method::PUT, "/calendars/holidays", made.body.clone(), &[]).await.expect(200);
    assert_eq!(same.body["revision"], made.body["revision"]);
    let other = rig.call(Method::PUT, "/calendars/holidays", always(), &[("if-match", "\"1\"")]);
    other.await.refused(412, "revision_mismatch");
    let changed =
        rig.call(Method::PUT, "/calendars/holidays", always(), &[("if-match", &revision)]).await;
    assert_ne!(changed.expect(200).header("etag"), revision);
    let wrong = json!({"rules": [{"times": ["9-17"]}]});
    let wrong =
        rig.call(Method::PUT, "/calendars/c", wrong, &[]).await.refused(422, "invalid_value");
    assert_eq!(wrong.body["errors"][0]["pointer"], "/rules/0/times/0");

    let schedule = |exclude: &str| json!({"cron": "0 0 1 1 *", "exclude": [exclude]});
    let task = |exclude: &str| json!({"name": "t", "schedule": schedule(exclude), "action": ok()});
    let unknown = rig.post("/tasks", task("holiday")).await.refused(422, "unknown_calendar");
    assert_eq!(unknown.body["errors"][0]["pointer"], "/schedule/exclude/0");
    assert!(unknown.text.contains("did you mean `holidays`?"), "{}", unknown.text);
    rig.post("/tasks", task("holidays")).await.expect(201);
    let listed = rig.get("/calendars").await.expect(200).body;
    assert_eq!(
        (&listed["items"][0]["name"], &listed["items"][0]["task_count"]),
        (&json!("holidays"), &json!(1))
    );
    let used = rig.call(Method::DELETE, "/calendars/holidays", Value::Null, &[]).await;
    let used = used.refused(409, "calendar_in_use").body;
    assert_eq!(used["tasks"], json!(["t"]));
    assert_eq!(used["detail"], "the calendar is in use by: t");
    // A deleted task can be restored and then needs its calendar.
    rig.call(Method::DELETE, "/tasks/t", Value::Null, &[]).await.expect(200);
    let used = rig.call(Method::DELETE, "/calendars/holidays", Value::Null, &[]).await;
    used.refused(409, "calendar_in_use");
    rig.call(Method::PUT, "/tasks/t", json!({"schedule": yearly(), "action": ok()}), &[]).await;
    rig.post("/tasks/t/cleanup", Value::Null).await.expect(200);
    rig.call(Method::DELETE, "/calendars/holidays", Value::Null, &[]).await.expect(200);
    rig.get("/calendars/holidays").await.refused(404, "calendar_not_found");
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn excluded_ticks_are_skipped_and_told_before_and_after() {
    let rig = ApiRig::start().await;
    rig.call(Method::PUT, "/calendars/all", always(), &[]).await.expect(201);
    let schedule = json!({"interval": "200ms", "exclude": ["all"]});
    let made = rig.make("beat", schedule.clone(), "ok").await;
    assert_eq!(made.body["next_tick"], Value::Null, "none that fires");
    let next = rig.get("/tasks/beat/next?n=2").await.expect(200).body;
    assert_eq!(next["items"][1]["excluded"], "all");
    let preview = rig.post("/schedules/preview", json!({"schedule": schedule, "n": 1})).await;
    let preview = preview.expect(200).body;
    assert_eq!(preview["ticks"][0]["excluded"], "all");
    assert_eq!(preview["words"], "every 200ms, without calendar all");
    assert_eq!(preview["words_zh"], "每 200 毫秒，除去日历 all");
    assert_eq!(preview["warnings"].as_array().unwrap().len(), 1, "{preview}");

    let skipped = |got: &Got| got.body["totals"]["skipped"].as_u64() >= Some(3);
    let told = rig.until("/api/v1/tasks/beat", skipped).await;
    assert_eq!(told.body["totals"]["fired"], 0);
    let ticks = rig.get("/tasks/beat/ticks").await.expect(200).body;
    let (span, more) = ticks["items"].as_array().unwrap().split_first().unwrap();
    assert_eq!((&span["verdict"], &span["reason"]), (&json!("skipped"), &json!("excluded")));
    assert!(more.is_empty(), "neighbours are one span: {ticks}");
    let past = span["to"].as_str().unwrap();
    let why = rig.get(&format!("/tasks/beat/why?at={past}")).await.expect(200).body;
    assert_eq!(
        (&why["verdict"], &why["reason"], &why["settled"]),
        (&json!("skipped"), &json!("excluded"), &json!(true))
    );
    let future = rig.get("/tasks/beat/next?n=40").await.expect(200).body;
    let future = future["items"][39]["at"].as_str().unwrap().to_owned();
    let why = rig.get(&format!("/tasks/beat/why?at={future}")).await.expect(200).body;
    assert_eq!((&why["reason"], &why["settled"]), (&json!("excluded"), &json!(false)));
    assert!(why["summary"].as_str().unwrap().ends_with("calendar all leaves it out"), "{why}");

    // Settled ticks stay settled. From now on the calendar has no times.
    rig.call(Method::PUT, "/calendars/all", json!({"rules": []}), &[]).await.expect(200);
    let fired = |got: &Got| got.body["totals"]["fired"].as_u64() >= Some(2);
    rig.until("/api/v1/tasks/beat", fired).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_fires_as_often_as_it_may() {
    let rig = ApiRig::start().await;
    rig.make("thrice", json!({"interval": "100ms", "max_ticks": 3}), "ok").await;
    let over = |got: &Got| got.body["state"] == "completed";
    let told = rig.until("/api/v1/tasks/thrice", over).await;
    assert_eq!(told.body["totals"]["fired"], 3);
    assert_eq!(told.body["next_tick"], Value::Null);
    assert_eq!(rig.get("/tasks/thrice/next").await.expect(200).body["items"], json!([]));
    let later = format!("/tasks/thrice/why?at={}", told.body["created_at"].as_str().unwrap());
    let later = later.replacen("?at=2", "?at=3", 1);
    let why = rig.get(&later).await.expect(200).body;
    assert_eq!((&why["verdict"], &why["settled"]), (&Value::Null, &json!(false)), "{why}");
    let preview = json!({"schedule": {"interval": "1h", "max_ticks": 3}});
    let preview = rig.post("/schedules/preview", preview).await.expect(200).body;
    assert_eq!(preview["ticks"].as_array().unwrap().len(), 3);
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_warns_of_a_crowd_on_the_hour_and_of_steps_too_large() {
    let rig = ApiRig::start().await;
    let preview = async |expression: &str| {
        let body = json!({"expression": expression, "n": 1});
        let told = rig.post("/schedules/preview", body).await.expect(200).body;
        told["warnings"].as_array().unwrap().len()
    };
    assert_eq!(preview("0 3 1 1 *").await, 0);
    for number in 0..12 {
        rig.make(&format!("t{number}"), json!({"cron": "0 3 * * *"}), "ok").await;
    }
    assert_eq!(preview("0 3 1 1 *").await, 1);
    assert_eq!(preview("0 4 1 1 *").await, 0);
    assert_eq!(preview("1 3 1 1 *").await, 0);
    // A step wider than the field selects the first value only.
    let body = json!({"expression": "*/90 4 * * *", "n": 1});
    let told = rig.post("/schedules/preview", body).await.expect(200).body;
    let warning = &told["warnings"][0];
    assert_eq!(warning["code"], "step_beyond_field", "{told}");
    assert!(warning["detail"].as_str().unwrap().contains("*/90 in the minute field is 0"));
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_declare_calendars_and_leave_changed_ones_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("calendars.yaml");
    let text = "calendars:\n  - name: nights\n    rules: [{times: ['22:00/06:00']}]\n";
    std::fs::write(&file, text).unwrap();
    let rig = ApiRig::with(&[("calendars.path", file.display().to_string())]).await;
    let declared = rig.until("/api/v1/calendars/nights", |got| got.status == 200).await;
    assert_eq!(declared.body["origin"], "static");
    let changed = rig.call(Method::PUT, "/calendars/nights", always(), &[]).await.expect(200);
    assert_eq!(changed.body["origin"], "api");
    rig.stop().await;
}
