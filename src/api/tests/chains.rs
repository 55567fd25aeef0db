//! Chains: the executions that the end of an execution starts, as seen through the API and by the
//! attempts.

use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::ApiRig;
use crate::exec::{Func, FuncContext, ParentOfAttempt};

/// The parents that attempts received, with the names of their tasks.
type SeenParents = Arc<Mutex<Vec<(String, Option<ParentOfAttempt>)>>>;

/// A function that fails for the task `transform`.
fn step(seen: &SeenParents) -> Func {
    let seen = Arc::clone(seen);
    Arc::new(move |context: FuncContext| {
        let attempt = context.attempt;
        let fails = attempt.task == "transform";
        seen.lock().push((attempt.task, attempt.parent));
        Box::pin(async move {
            if fails { Err("no rows".to_owned()) } else { Ok("12 rows\n".to_owned()) }
        })
    })
}

async fn add(rig: &ApiRig, name: &str, then: Value) -> Value {
    let task = json!({"name": name, "schedule": {"manual": true}, "then": then,
        "action": {"func": {"id": "step"}}});
    rig.post("/tasks", task).await.expect(201).body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_with_a_failure_in_the_middle_tells_who_is_on_call() {
    let seen = SeenParents::default();
    let rig = ApiRig::having(&[], [("step", step(&seen))]).await;
    let made = add(&rig, "load", json!({"success": ["transform"], "failure": ["page"]})).await;
    assert_eq!(made["warnings"][0]["code"], "chained_task_missing", "{made}");
    let detail = made["warnings"][0]["detail"].as_str().unwrap();
    assert!(detail.ends_with("transform on success, page on failure"), "{detail}");
    let made = add(&rig, "transform", json!({"success": ["publish"], "failure": ["page"]})).await;
    assert_eq!(made["warnings"].as_array().map_or(0, Vec::len), 1, "{made}");
    for name in ["page", "publish"] {
        add(&rig, name, json!({})).await;
    }
    let made = rig.post("/tasks/load/trigger", json!({})).await.expect(201);
    let load = made.body["id"].as_str().unwrap().to_owned();
    rig.until("/api/v1/executions/stats", |got| got.body["success"] == json!(2)).await;

    let shown = rig.get(&format!("/executions/{load}")).await.expect(200);
    let transform = shown.body["chained"][0]["execution_id"].as_str().unwrap();
    let wanted = json!([{"on": "success", "task": "transform", "execution_id": transform,
        "refused": null}]);
    assert_eq!(shown.body["chained"], wanted, "{}", shown.text);
    let shown = rig.get(&format!("/executions/{transform}")).await.expect(200);
    assert_eq!(
        (&shown.body["trigger"], &shown.body["status"]),
        (&json!("chain"), &json!("failed"))
    );
    let parent = json!({"task": "load", "execution_id": load, "status": "success",
        "exit_code": null, "http_status": null, "reason": "", "depth": 1});
    assert_eq!(shown.body["parent"], parent, "{}", shown.text);
    assert_eq!(shown.body["chained"][0]["task"], "page", "{}", shown.text);

    let seen = seen.lock().clone();
    let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["load", "transform", "page"]);
    assert_eq!(seen[0].1, None);
    let parents: Vec<_> = seen.iter().filter_map(|(_, parent)| parent.as_ref()).collect();
    let told = parents.iter().map(|one| (one.task.as_str(), one.status, one.tail.as_str()));
    let wanted = [("load", "success", "12 rows\n"), ("transform", "failed", "no rows")];
    assert_eq!(told.collect::<Vec<_>>(), wanted);
    rig.stop().await;
}
