//! Specific situations that seeds rarely produce.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use punctual::domain::assign::Members;
use punctual::domain::machine::record::Status;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::sleep;
use tower::ServiceExt;

use super::plan::{Focus, RunPlan};
use super::world::{ProcessEnd, SimWorld};
use super::{actions, clients};
use crate::check::history::HistoryEvent;
use crate::check::judge::{Run, judge};

/// Runs a scenario in virtual time.
fn run(situation: impl Future<Output = ()>) {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(situation);
}

/// A running cluster of five nodes without faults.
async fn five() -> Arc<SimWorld> {
    let mut plan = RunPlan::of(1, Some(5), 1, false, None);
    plan.calm = true;
    (plan.shape.loss, plan.shape.twice) = (0, 0);
    plan.steady = 24;
    let world = SimWorld::new(plan);
    for index in 0..5 {
        world.start(index);
    }
    sleep(Duration::from_secs(6)).await;
    clients::set_up(&world).await;
    world
}

fn ahead(world: &SimWorld, index: usize, ms: i64) {
    let clocks = world.machines.lock()[index].clocks.clone();
    clocks.set(ms, 0);
}

/// The clocks of members may differ by half a second. The leader and two others agree on one time.
/// An owner that is separated from these two, but not from the leader, agrees with another node on
/// a time that is 400 ms later. Its proposals are then ahead of the leader's timestamps.
#[test]
fn an_owner_whose_time_is_ahead_of_the_leader_s_settles_all_the_same() {
    run(async {
        let world = five().await;
        let first = world.leader().unwrap();
        let others: Vec<usize> = (0..5).filter(|index| *index != first).collect();
        let [owner, friend, one, two] = others[..] else { unreachable!() };
        let cut = [(owner, one), (one, owner), (owner, two), (two, owner)];
        world.common.net.cut(&cut);
        for index in [first, one, two] {
            ahead(&world, index, -400);
        }
        for index in [owner, friend] {
            ahead(&world, index, 0);
        }
        sleep(Duration::from_secs(20)).await;
        assert_eq!(world.leader(), Some(first), "the leader is unchanged");
        let times = |index: usize| world.alive(index).unwrap().context.clock.now().0;
        let apart = times(owner) - times(first);
        assert!((300..=500).contains(&apart), "the owner's time is {apart} ms ahead");

        let states = world.states();
        let (_, state) = states.iter().find(|(index, _)| *index == first).unwrap();
        let members = Members::of(state);
        let id = world.alive(owner).unwrap().context.running.get().unwrap().consensus.id();
        let now = times(first);
        let mut owned = 0;
        for task in state.tasks() {
            let spec = task.spec().unwrap();
            if members.owner(task).is_none_or(|found| found.0 != id) {
                continue;
            }
            owned += 1;
            let plan = state.plan(spec, task.live.scheduled_at).unwrap();
            let next = plan.next_after(state.settled(task));
            let late = next.map_or(0, |next| now - plan.due(next).0);
            assert!(late < 5_000, "{} is {late} ms behind", task.live.name);
        }
        assert!(owned > 0, "it owns a task");
    });
}

/// Sends a request to the first node. Returns status and body of the response.
async fn ask(world: &SimWorld, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let alive = world.alive(0).unwrap();
    let request = Request::builder()
        .method(method)
        .uri(format!("/api/v1{path}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = alive.process.spawn(alive.router.clone().oneshot(request)).await;
    let response = response.unwrap().unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    (status, body["code"].clone())
}

async fn post(world: &SimWorld, path: &str, body: &Value) -> (u16, Value) {
    ask(world, "POST", path, body).await
}

/// The index of the node that owns a task.
fn owner(world: &SimWorld, name: &str) -> usize {
    let states = world.states();
    let (_, state) = states.first().unwrap();
    let owner = Members::of(state).owner(state.named(name).unwrap());
    let is_it = |index: &usize| {
        let alive = world.alive(*index).unwrap();
        Some(alive.context.running.get().unwrap().consensus.id()) == owner.map(|owner| owner.0)
    };
    (0..5).find(is_it).unwrap()
}

/// The statuses of a task's executions on the first node, oldest first.
fn statuses(world: &SimWorld, name: &str) -> Vec<Status> {
    let states = world.states();
    let (_, state) = states.first().unwrap();
    state.named(name).unwrap().history.executions.iter().map(|one| one.status).collect()
}

/// One execution of a sequential task runs and three wait when the owner is killed. The owner
/// restarts after `back`, or not at all. When the running execution is lost, and not before, the
/// others run one after another. `second` is when the second one starts after the kill, in
/// milliseconds.
async fn a_line_outlives_its_owner(back: Option<Duration>, second: std::ops::Range<u64>) {
    let world = five().await;
    let body = json!({
        "name": "line", "schedule": {"manual": true}, "action": {"func": {"id": "work"}},
        "execution_mode": "sequential", "queue_max": 3, "lost_after": "3s",
        "payload": actions::payload(0, Duration::from_secs(4)),
    });
    assert!(post(&world, "/tasks", &body).await.0 < 300);
    for _ in 0..4 {
        assert!(post(&world, "/tasks/line/trigger", &json!({})).await.0 < 300);
        sleep(Duration::from_millis(50)).await;
    }
    let (status, code) = post(&world, "/tasks/line/trigger", &json!({})).await;
    assert_eq!((status, code.as_str()), (409, Some("queue_full")));
    sleep(Duration::from_millis(300)).await;
    let waiting = [Status::Running, Status::Pending, Status::Pending, Status::Pending];
    assert_eq!(statuses(&world, "line"), waiting);

    let owner = owner(&world, "line");
    let killed = world.history().now();
    assert!(world.end(owner, ProcessEnd::Process, "killed"));
    if let Some(back) = back {
        sleep(back).await;
        world.start(owner);
    }
    sleep(Duration::from_secs(25)).await;
    let ended = [Status::Lost, Status::Success, Status::Success, Status::Success];
    assert_eq!(statuses(&world, "line"), ended);

    let records = world.history().records();
    let starts = records.iter().filter_map(|record| match &record.event {
        HistoryEvent::Start(start) if start.task == "line" => Some((start.execution, record.at)),
        _ => None,
    });
    let starts: Vec<(u64, u64)> = starts.collect();
    let [(one, _), (two, first), (three, then), (four, last)] = starts[..] else {
        unreachable!("{starts:?}")
    };
    assert!(one < two && two < three && three < four, "{starts:?}");
    let took = (first - killed) / 1_000;
    assert!(second.contains(&took), "the second execution starts after {took} ms");
    for (from, to) in [(first, then), (then, last)] {
        let took = (to - from) / 1_000;
        assert!((4_000..4_300).contains(&took), "the next execution starts after {took} ms");
    }
    let mut run = Run::new(records, world.states(), 5);
    run.focus = Focus::Calm;
    run.ended = world.history().now();
    let violations = judge(&run).violations.into_iter();
    let of_lines = violations.filter(|violation| {
        violation.property.starts_with("lines") || violation.property == "modes decide"
    });
    assert_eq!(of_lines.collect::<Vec<_>>(), []);
}

#[test]
fn what_waits_behind_an_execution_goes_on_when_its_node_is_lost() {
    run(a_line_outlives_its_owner(None, 3_500..5_500));
}

#[test]
fn what_waits_behind_an_execution_goes_on_when_its_node_begins_again() {
    run(a_line_outlives_its_owner(Some(Duration::from_millis(100)), 100..3_000));
}

/// A task leaves its group while its execution runs: the waiting execution of the group takes its
/// slot.
async fn a_place_is_left(method: &str, path: &str, body: Value) {
    let world = five().await;
    for name in ["first", "second"] {
        let body = json!({
            "name": name, "schedule": {"manual": true}, "action": {"func": {"id": "work"}},
            "concurrency": {"group": "pair", "limit": 1},
            "payload": actions::payload(0, Duration::from_secs(20)),
        });
        assert!(post(&world, "/tasks", &body).await.0 < 300);
        assert!(post(&world, &format!("/tasks/{name}/trigger"), &json!({})).await.0 < 300);
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(statuses(&world, "first"), [Status::Running]);
    assert_eq!(statuses(&world, "second"), [Status::Pending]);
    assert!(ask(&world, method, path, &body).await.0 < 300);
    sleep(Duration::from_millis(500)).await;
    assert_eq!(statuses(&world, "second"), [Status::Running]);
}

#[test]
fn a_task_that_leaves_its_group_leaves_its_place_there() {
    run(a_place_is_left("PATCH", "/tasks/first", json!({"concurrency": null})));
}

#[test]
fn a_task_that_changes_its_group_leaves_its_place_in_the_former() {
    let other = json!({"concurrency": {"group": "other", "limit": 1}});
    run(a_place_is_left("PATCH", "/tasks/first", other));
}

#[test]
fn a_task_that_is_cleaned_up_leaves_its_place() {
    run(a_place_is_left("POST", "/tasks/first/cleanup", json!({})));
}
