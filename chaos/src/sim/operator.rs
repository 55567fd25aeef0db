//! Simulates an operator who occasionally stops and restarts the scheduler, drains nodes for a while,
//! sets weights and labels of nodes, and changes how tasks are assigned to nodes.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Builder;
use axum::http::{Request, StatusCode};
use futures_util::future::OptionFuture;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use super::plan::Focus;
use super::random::SeededRandom;
use super::world::SimWorld;
use super::{members, restore};
use crate::check::history::FaultKind;

/// Time limit for a response.
const PATIENCE: Duration = Duration::from_secs(3);
/// Maximum number of requests. At the end of a run all nodes are up.
const TRIES: usize = 60;
/// After this time, an unanswered stop can no longer be applied.
const LATE: Duration = Duration::from_secs(12);

/// The strategies of assignment.
const STRATEGIES: [&str; 6] =
    ["consistent", "hash_sharding", "hash_slot", "range", "weighted", "round_robin"];

/// Runs until the switch is true. Leaves the scheduler started, and every node as it was.
pub fn begin(world: &Arc<SimWorld>, stop: watch::Receiver<bool>) -> JoinHandle<()> {
    let random = SeededRandom::of(world.common.plan.seed, "operator");
    tokio::spawn(assign(Arc::clone(world), stop.clone()));
    let nodes = nodes(Arc::clone(world), stop.clone());
    let changes = world.common.plan.focus == Focus::Members;
    let members = changes.then(|| members::change(Arc::clone(world), stop.clone()));
    let restores = world.common.plan.focus == Focus::Restore;
    let restore = restores.then(|| restore::restore(Arc::clone(world), stop.clone()));
    let work = work(Arc::clone(world), random, stop);
    tokio::spawn(async {
        tokio::join!(work, nodes, OptionFuture::from(members), OptionFuture::from(restore));
    })
}

/// Drains nodes, and changes what is set for them, until the switch is true.
async fn nodes(world: Arc<SimWorld>, mut stop: watch::Receiver<bool>) {
    let mut random = SeededRandom::of(world.common.plan.seed, "operated nodes");
    loop {
        let rest = random.log_time(Duration::from_secs(2), Duration::from_secs(20));
        let first = random.index(world.common.plan.nodes);
        let node = random.index(world.common.plan.nodes);
        if timeout(rest, stop.wait_for(|stop| *stop)).await.is_ok() {
            break;
        }
        if random.chance(500) {
            if ask(&world, post(of_node(node, "/drain")), first, 1).await {
                world.history().trouble(Some(node), FaultKind::Drained, "");
                sleep(random.log_time(Duration::from_millis(200), Duration::from_secs(8))).await;
            }
            // An unanswered request may have been applied.
            ask(&world, post(of_node(node, "/undrain")), first, TRIES).await;
            continue;
        }
        // Weight 0 is for one of the nodes only: with it and a drain, another one takes tasks.
        let weight = random.below(5).max(u64::from(node > 0));
        let zone = ["a", "b"][random.index(2)];
        let body = serde_json::json!({"weight": weight, "labels": {"zone": zone}});
        if ask(&world, patch(of_node(node, ""), &body), first, 1).await {
            world.history().trouble(Some(node), FaultKind::NodeSet, body);
        }
    }
    sleep(LATE).await;
    let unset = serde_json::json!({"weight": null, "labels": null});
    for node in 0..world.common.plan.nodes {
        ask(&world, post(of_node(node, "/undrain")), node, TRIES).await;
        ask(&world, patch(of_node(node, ""), &unset), node, TRIES).await;
    }
}

fn of_node(index: usize, more: &str) -> String {
    format!("/api/v1/nodes/n{}{more}", index + 1)
}

/// Changes the strategy of assignment until the switch is true.
async fn assign(world: Arc<SimWorld>, mut stop: watch::Receiver<bool>) {
    let mut random = SeededRandom::of(world.common.plan.seed, "strategies");
    loop {
        let rest = random.log_time(Duration::from_secs(2), Duration::from_secs(40));
        let first = random.index(world.common.plan.nodes);
        let strategy = random.pick(&STRATEGIES).copied().unwrap_or_default();
        if timeout(rest, stop.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        let body = serde_json::json!({ "strategy": strategy });
        let request = with_body(Request::put, "/api/v1/scheduler/strategy".to_owned(), &body);
        ask(&world, request, first, 1).await;
    }
}

/// A request without a body.
fn post(path: impl Into<String>) -> impl Fn() -> Option<Request<Body>> {
    let path = path.into();
    move || Request::post(&*path).body(Body::empty()).ok()
}

fn patch(path: String, body: &Value) -> impl Fn() -> Option<Request<Body>> {
    with_body(Request::patch, path, body)
}

fn with_body(
    method: fn(String) -> Builder,
    path: String,
    body: &Value,
) -> impl Fn() -> Option<Request<Body>> {
    let body = body.to_string();
    move || {
        let request = method(path.clone()).header("content-type", "application/json");
        request.body(Body::from(body.clone())).ok()
    }
}

async fn work(world: Arc<SimWorld>, mut random: SeededRandom, mut stop: watch::Receiver<bool>) {
    loop {
        let rest = random.log_time(Duration::from_secs(3), Duration::from_secs(30));
        let first = random.index(world.common.plan.nodes);
        if timeout(rest, stop.wait_for(|stop| *stop)).await.is_ok() {
            sleep(LATE).await;
            ask(&world, post("/api/v1/scheduler/start"), first, TRIES).await;
            return;
        }
        if ask(&world, post("/api/v1/scheduler/stop"), first, 1).await {
            world.history().fault(FaultKind::Stopped);
            sleep(random.log_time(Duration::from_millis(50), Duration::from_secs(2))).await;
        }
        // An unanswered request may have been applied.
        ask(&world, post("/api/v1/scheduler/start"), first, TRIES).await;
    }
}

/// Asks one node after another. Returns true when one has applied the request.
async fn ask(
    world: &SimWorld,
    request: impl Fn() -> Option<Request<Body>>,
    first: usize,
    tries: usize,
) -> bool {
    for number in 0..tries {
        let index = (first + number) % world.common.plan.nodes;
        if let Some(alive) = world.alive(index) {
            let Some(request) = request() else { return false };
            let answering = alive.process.spawn(alive.router.clone().oneshot(request));
            if let Ok(Ok(Ok(response))) = timeout(PATIENCE, answering).await {
                let status = response.status();
                if status.is_success() || status == StatusCode::NOT_FOUND {
                    return status.is_success();
                }
            }
        }
        sleep(Duration::from_millis(200)).await;
    }
    false
}
