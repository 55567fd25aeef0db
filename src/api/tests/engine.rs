//! Behavior of a node when a part of its engine fails.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{ApiRig, PATIENCE, config, function, yearly};
use crate::config::MemberSettings;
use crate::consensus::{NOT_LEADER, SERVICE_KIND};
use crate::domain::ids::{ExecutionId, NodeId};
use crate::domain::machine::record::Status;
use crate::engine::ActorFault;
use crate::exec::tests::connect::full;
use crate::exec::{Func, FuncContext};

fn fail(rig: &ApiRig, fault: ActorFault) {
    rig.context.running.get().unwrap().engine.fail(fault);
}

async fn fired(rig: &ApiRig, more_than: u64) -> u64 {
    let path = "/api/v1/tasks/beat";
    let fires = |body: &Value| body["totals"]["fired"].as_u64().unwrap();
    let got = rig.until(path, |got| fires(&got.body) > more_than).await;
    fires(&got.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_its_node_actor_ends_and_says_why() {
    let rig = ApiRig::start().await;
    fail(&rig, ActorFault::KillNode);
    let ended = tokio::time::timeout(PATIENCE, rig.node).await.expect("it ends by itself");
    let why = ended.unwrap().unwrap_err().to_string();
    assert!(why.contains("the engine's node actor ended by itself"), "{why}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_whose_actor_fails_goes_on() {
    let rig = ApiRig::start().await;
    rig.make("beat", json!({"interval": "200ms"}), "ok").await;
    let before = fired(&rig, 0).await;
    fail(&rig, ActorFault::KillTask("beat".to_owned()));
    fired(&rig, before + 2).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_whose_actor_fails_ends_as_lost() {
    let rig = ApiRig::start().await;
    rig.make("slow", yearly(), "slow").await;
    let fired = rig.post("/tasks/slow/trigger", Value::Null).await.expect(201);
    let path = format!("/api/v1/executions/{}", fired.body["id"].as_str().unwrap());
    rig.until(&path, |got| {
        got.body["attempts"][0]["start_time"].is_string() || got.body["status"] == "running"
    })
    .await;
    fail(&rig, ActorFault::KillAttempts);
    let ended = rig.until(&path, |got| got.body["end_time"].is_string()).await.body;
    assert_eq!(ended["status"], "lost", "{ended}");
    assert_eq!(ended["attempts"][0]["detail"], "internal error: its actor ended", "{ended}");
    rig.stop().await;
}

/// A cluster of two nodes, the leader first.
async fn pair() -> (ApiRig, ApiRig) {
    // Both are bound at the same time, so that the ports differ.
    let [one, other] = {
        let listeners = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        listeners.map(|listener| listener.local_addr().unwrap().to_string())
    };
    let member = |id, peer: &String| MemberSettings { id, peer: peer.clone(), http: None };
    let members = vec![member(1, &one), member(2, &other)];
    let start = |id: u16, peer: &str| {
        let folder = tempfile::tempdir().unwrap();
        let settings = [("node.id", id.to_string()), ("peer.listen", peer.to_owned())];
        let mut config = config(&folder, &settings);
        config.cluster.members.clone_from(&members);
        ApiRig::of(config, folder, [("slow", function("slow"))])
    };
    let (one, other) = tokio::join!(start(1, &one), start(2, &other));
    let leads = one.context.running.get().unwrap().consensus.is_leader();
    if leads { (one, other) } else { (other, one) }
}

/// Without a majority its end cannot be reported. If it did not count as running until then, it would
/// be asked for again, and started again as soon as there is a majority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attempt_whose_actor_fails_runs_until_its_end_is_known() {
    let (leader, other) = pair().await;
    let parts = leader.context.running.get().unwrap();
    let engine = parts.engine.clone();
    let path = format!("/api/v1/nodes/{}", NodeId(parts.consensus.id()).configured());
    let own = leader.until(&path, |got| got.body["state"] == "working").await;
    let body = json!({"name": "slow", "schedule": yearly(), "action": {"func": {"id": "slow"}},
        "assignment": {"selector": {"node": own.body["name"]}}});
    leader.post("/tasks", body).await.expect(201);
    leader.post("/tasks/slow/trigger", Value::Null).await.expect(201);
    until("it runs", || engine.running() == 1).await;
    other.stop().await;
    let actors = engine.left();
    fail(&leader, ActorFault::KillAttempts);
    until("its actor is gone", || engine.left() < actors).await;
    engine.rounds(2).await;
    assert_eq!(engine.running(), 1);
    drop(leader);
}

/// The drain began before the process ended, and lasts longer than it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_ends_takes_no_tasks_again_when_its_drain_ends() {
    let rig = ApiRig::start().await;
    let parts = rig.context.running.get().unwrap();
    let id = NodeId(parts.consensus.id()).configured();
    let engine = parts.engine.clone();
    rig.make("slow", yearly(), "slow").await;
    rig.post("/tasks/slow/trigger", Value::Null).await.expect(201);
    until("it runs", || engine.running() == 1).await;
    rig.post(&format!("/nodes/{id}/drain"), Value::Null).await.expect(200);
    let applied = || parts.consensus.replica().applied();
    let before = applied();
    let leaving = tokio::spawn(async move { engine.leave(PATIENCE, PATIENCE).await });
    until("it leaves", || applied() > before).await;
    rig.post(&format!("/nodes/{id}/undrain"), Value::Null).await.expect(200);
    rig.until(&format!("/api/v1/nodes/{id}"), |got| got.body["intent"] == "leaving").await;
    leaving.abort();
    rig.stop().await;
}

/// Its connection is not made, so it has not begun. Another process may carry it out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_process_did_not_begin_waits_again_when_it_has_left() {
    let (listener, _fillers) = full();
    let address = listener.local_addr().unwrap();
    let rig = ApiRig::start().await;
    let parts = rig.context.running.get().unwrap();
    let engine = parts.engine.clone();
    let url = format!("http://{address}/");
    let action = json!({"http": {"url": url, "connect_timeout": "10m"}});
    let body = json!({"name": "call", "schedule": yearly(), "action": action});
    rig.post("/tasks", body).await.expect(201);
    let triggered = rig.post("/tasks/call/trigger", Value::Null).await.expect(201);
    let id: ExecutionId = triggered.body["id"].as_str().unwrap().parse().unwrap();
    let status = || {
        let state = parts.consensus.replica().read();
        state.execution(id).map(|(_, execution)| execution.status)
    };
    until("it is granted", || status() == Some(Status::Running)).await;
    engine.leave(Duration::ZERO, PATIENCE).await;
    engine.stop().await;
    assert_eq!((engine.running(), status()), (0, Some(Status::Pending)));
    drop(rig);
}

/// Waits until a condition holds.
async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until a node reports this state of another.
async fn until_state(leader: &ApiRig, id: u64, state: &str) {
    leader.until(&format!("/api/v1/nodes/{id}"), |got| got.body["state"] == state).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_engine_does_not_come_round_is_marked_down() {
    let (leader, other) = pair().await;
    let consensus = &other.context.running.get().unwrap().consensus;
    let id = NodeId(consensus.id()).configured();
    until_state(&leader, id, "working").await;
    let (release, until) = tokio::sync::oneshot::channel();
    fail(&other, ActorFault::HangNode(until));
    until_state(&leader, id, "down").await;
    // Its consensus continues. Otherwise there would be no majority to record the new state.
    assert!(consensus.leader().borrow().is_some(), "it hears its leader");
    release.send(()).unwrap();
    until_state(&leader, id, "working").await;
    other.stop().await;
    drop(leader);
}

/// Without a response the reporter would time out and close the connection, which other requests
/// use too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_is_not_taken_is_answered_at_once() {
    let (leader, other) = pair().await;
    let of = |rig: &ApiRig| rig.context.running.get().unwrap().consensus.clone();
    let (leads, follows) = (of(&leader), of(&other));
    // A report without session, entries and cluster time.
    let report = || Bytes::from_static(&[0; 43]);
    for (reporter, asked) in [(&leads, &follows), (&follows, &leads)] {
        let answer = reporter.ask(asked.id(), SERVICE_KIND, report(), PATIENCE).await;
        assert_eq!(answer.ok(), Some(NOT_LEADER));
    }
    // With cluster time the report is accepted, and the response contains a mark.
    let mut report = report().to_vec();
    report[16] = 1;
    let answer = follows.ask(leads.id(), SERVICE_KIND, report.into(), PATIENCE).await;
    assert_eq!(answer.map(|mark| mark.len()).ok(), Some(26));
    other.stop().await;
    drop(leader);
}

/// Records in a watch channel when it is dropped.
struct NoteGuard(watch::Sender<&'static str>);

impl Drop for NoteGuard {
    fn drop(&mut self) {
        self.0.send_replace("gone");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_engine_leaves_nothing_running() {
    let (noted, mut seen) = watch::channel("");
    let endless: Func = Arc::new(move |_context: FuncContext| {
        let guard = NoteGuard(noted.clone());
        noted.send_replace("begun");
        Box::pin(async move {
            let _guard = guard;
            std::future::pending().await
        })
    });
    let rig = ApiRig::having(&[], [("endless", endless), ("ok", function("ok"))]).await;
    rig.make("beat", json!({"interval": "1s"}), "ok").await;
    rig.make("endless", yearly(), "endless").await;
    rig.post("/tasks/endless/trigger", Value::Null).await.expect(201);
    within(seen.wait_for(|noted| *noted == "begun")).await;
    let engine = rig.context.running.get().unwrap().engine.clone();
    // The node actor, one actor for a task, one for an attempt, and further tasks.
    assert!(engine.left() > 3, "{}", engine.left());
    engine.stop().await;
    engine.stop().await;
    assert_eq!(engine.left(), 0, "tasks and actors that are left");
    // Its parts end as well. That must not be reported as a failure, whenever it is noticed.
    engine.note_end();
    within(seen.wait_for(|noted| *noted == "gone")).await;
    rig.stop().await;
}

async fn within<T>(wait: impl Future<Output = T>) {
    drop(tokio::time::timeout(PATIENCE, wait).await.expect("it happens in time"));
}
