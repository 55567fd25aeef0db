//! A rolling upgrade: a cluster changes from an old to a new version, node by node.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use punctual::consensus::Formats;
use punctual::domain::machine::command::{Put, PutMode};
use punctual::domain::machine::{Command, State, envelope};
use punctual::domain::schedule::{Rule, Schedule};
use punctual::domain::task::TaskSpec;
use punctual::domain::time::Millis;
use serde_json::Value;
use tokio::runtime::Builder;
use tokio::time::sleep;
use tower::ServiceExt;

use super::plan::RunPlan;
use super::world::{ProcessEnd, SimWorld};
use crate::check::history::HistoryEvent;

/// Number of nodes.
const NODES: usize = 3;
/// Number of entries per phase, more than between two digests of the same index.
const ENTRIES: usize = 1_100;
/// Time limit of a write.
const LIMIT: Duration = Duration::from_secs(5);

/// The level of a command kind if `PutCalendar` had been added in the second level.
fn level_of(kind: u16) -> u16 {
    match kind {
        25 => 2,
        _ => 1,
    }
}

/// The formats of a version. Its level is its number.
const fn version(level: u16) -> Formats {
    Formats { level, newest: 2, level_of, layout: State::LAYOUT + level - 1 }
}

async fn settled() {
    sleep(Duration::from_secs(8)).await;
}

/// Asks a node to create a calendar. Returns status and body of the response.
async fn put_calendar(world: &SimWorld, node: usize) -> (u16, Value) {
    let alive = world.alive(node).unwrap();
    let request = Request::put("/api/v1/calendars/holidays")
        .header("content-type", "application/json")
        .body(Body::from(r#"{"rules": [{"yearly": ["12-24/01-01"]}]}"#))
        .unwrap();
    let response = alive.process.spawn(alive.router.clone().oneshot(request)).await;
    let response = response.unwrap().unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

/// Writes enough entries for every node to compute a digest. Returns the layouts of the last
/// digests.
async fn write(world: &SimWorld, round: usize) -> Vec<u16> {
    let alive = world.alive(0).unwrap();
    let consensus = &alive.context.running.get().unwrap().consensus;
    for number in 0..ENTRIES {
        let schedule = Schedule::of(Rule::Interval { every: Millis(86_400_000), anchor: None });
        let spec = TaskSpec::new(format!("task-{round}-{number}"), schedule, None);
        let mut bytes = Vec::new();
        let put = Command::Put(Box::new(Put { mode: PutMode::Force, spec }));
        envelope::pack(&mut bytes, &put, "", None);
        consensus.submit(bytes.into(), 1, LIMIT).await.unwrap();
    }
    settled().await;
    let mark = |node| {
        let alive = world.alive(node).unwrap();
        let consensus = &alive.context.running.get().unwrap().consensus;
        consensus.replica().last_mark().unwrap().layout
    };
    (0..NODES).map(mark).collect()
}

/// The reasons of the processes that ended.
fn ended(world: &SimWorld) -> Vec<String> {
    let records = world.history().records();
    let ended = records.iter().filter_map(|record| match &record.event {
        HistoryEvent::End { why, .. } => Some(why.clone()),
        _ => None,
    });
    ended.collect()
}

#[test]
fn a_new_kind_waits_for_the_last_node_and_no_digest_condemns_one() {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut plan = RunPlan::of(1, Some(NODES), 1, false, None);
        plan.calm = true;
        (plan.shape.loss, plan.shape.twice) = (0, 0);
        let world: Arc<SimWorld> = SimWorld::new(plan);
        let upgrade = |node: usize, level: u16| {
            world.end(node, ProcessEnd::Process, "upgraded");
            world.machines.lock()[node].formats = version(level);
            world.start(node);
        };
        for node in 0..NODES {
            upgrade(node, 1);
        }
        settled().await;
        assert_eq!(write(&world, 0).await, [State::LAYOUT; NODES]);
        for next in 0..NODES {
            for node in 0..NODES {
                let (status, body) = put_calendar(&world, node).await;
                assert_eq!((status, body["code"].as_str()), (409, Some("needs_upgrade")), "{body}");
            }
            upgrade(next, 2);
            settled().await;
            let layouts = write(&world, next + 1).await;
            let expected = |node| State::LAYOUT + u16::from(node <= next);
            assert_eq!(layouts, (0..NODES).map(expected).collect::<Vec<_>>());
        }
        for node in 0..NODES {
            let (status, body) = put_calendar(&world, node).await;
            assert!(status < 300, "{status} {body}");
        }
        assert_eq!(ended(&world), ["upgraded"; NODES], "no node ended by itself");
    });
}
