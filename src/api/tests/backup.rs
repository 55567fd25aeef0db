//! A backup over HTTP.

use serde_json::json;

use super::ApiRig;
use crate::consensus::backup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_whole_and_has_what_was_acknowledged() {
    let rig = ApiRig::start().await;
    for name in ["first", "second"] {
        let task =
            json!({"name": name, "schedule": {"manual": true}, "payload": "x".repeat(9_000)});
        rig.post("/tasks", task).await.expect(201);
    }
    let url = format!("{}/api/v1/cluster/backup", rig.base);
    let answer = rig.client.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    let index = answer.headers()["punctual-index"].to_str().unwrap().to_owned();
    let bytes = answer.bytes().await.unwrap();
    let loaded = backup::read(&*bytes).unwrap();
    assert_eq!(loaded.header.applied.to_string(), index);
    assert_eq!(loaded.bytes, u64::try_from(bytes.len()).unwrap());
    let names: Vec<&str> = loaded.state.tasks().map(|task| &*task.live.name).collect();
    assert_eq!(names, ["first", "second"]);
    // What breaks off on the way is noticed, wherever that is.
    for at in [1, bytes.len() / 2, bytes.len() - 1] {
        assert!(backup::read(&bytes[..at]).is_err(), "{at}");
    }
    rig.stop().await;
}
