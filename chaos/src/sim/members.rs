//! Simulates an operator who adds, removes, replaces and moves members, one at a time. Each change is
//! requested again and again, from any node, until it is done.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::request::Builder;
use axum::http::{Request, StatusCode};
use punctual::domain::machine::Command;
use punctual::domain::machine::envelope::{self, Packed};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tower::ServiceExt;

use super::random::SeededRandom;
use super::world::SimWorld;
use crate::check::history::FaultKind;

/// The property.
pub const CHANGED: &str = "a change of members ends";
/// Time limit for a response. The change goes on without it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Time between two requests.
const PAUSE: Duration = Duration::from_millis(300);
/// Faults of one kind and another may keep a change from its end for this long.
const WITHIN: Duration = Duration::from_secs(180);
/// Time limit for a delayed registration to be accepted.
const LATE: Duration = Duration::from_secs(5);
/// Time between two changes.
const REST: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(15));

/// Changes members until the switch is true.
pub async fn change(world: Arc<SimWorld>, mut stop: watch::Receiver<bool>) {
    let plan = &world.common.plan;
    let mut random = SeededRandom::of(plan.seed, "members");
    loop {
        let rest = random.log_time(REST.0, REST.1);
        if timeout(rest, stop.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        let members = world.members();
        let away: Vec<usize> = (0..plan.nodes).filter(|index| !members.contains(index)).collect();
        let (member, first) = (random.pick(&members).copied(), random.index(plan.nodes));
        let (new, kind) = (random.pick(&away).copied(), random.below(100));
        match (kind, new, member) {
            (0..40, Some(index), _) => add(&world, index, first).await,
            (0..60, _, Some(index)) if members.len() > plan.founders => {
                remove(&world, index, first).await;
            }
            (0..80, _, Some(index)) => replace(&world, index, first).await,
            (_, _, Some(index)) => {
                world.history().trouble(Some(index), FaultKind::MemberMoved, "");
                world.move_away(index);
                sleep(random.log_time(Duration::from_millis(100), Duration::from_secs(3))).await;
                world.start(index);
            }
            (_, _, None) => {}
        }
    }
}

pub async fn add(world: &SimWorld, index: usize, first: usize) {
    world.history().trouble(Some(index), FaultKind::MemberAdded, "");
    world.take_part(index, true);
    world.start(index);
    let (peer, http) = world.addresses(index);
    let body = json!({"id": index + 1, "peer": peer, "http": http});
    let request = || (Request::post("/api/v1/cluster/members"), Some(&body));
    until_done(world, first, request, "member_exists").await;
}

/// Asks a node once to add a machine as it is. True: it was added.
pub async fn add_as_it_is(world: &SimWorld, index: usize, asked: usize) -> bool {
    let (peer, http) = world.addresses(index);
    let body = json!({"id": index + 1, "peer": peer, "http": http});
    let request = Request::post("/api/v1/cluster/members");
    let answer = ask(world, asked, (request, Some(&body))).await;
    answer.is_some_and(|(status, _)| status.is_success())
}

async fn remove(world: &SimWorld, index: usize, first: usize) {
    world.history().trouble(Some(index), FaultKind::MemberRemoved, "");
    let path = format!("/api/v1/cluster/members/n{}", index + 1);
    until_done(world, first, || (Request::delete(&*path), None), "member_not_found").await;
    register_late(world, index);
    world.take_part(index, false);
}

/// Delivers the registration of a removed member again, as if a frame had been delayed.
fn register_late(world: &SimWorld, index: usize) {
    let of_member = |command: &Command| match command {
        Command::NodeUp(up) => up.node.configured() == index as u64 + 1,
        _ => false,
    };
    let registration = world.history().newest_committed(|entry| {
        let (_, commands) = envelope::open(entry).ok()?;
        let read = |packed: Packed<'_>| Command::decode(packed.kind, packed.body).ok();
        commands.flatten().filter_map(read).find(of_member)
    });
    let Some(registration) = registration else { return };
    for other in world.members().into_iter().filter(|other| *other != index) {
        let Some(alive) = world.alive(other) else { continue };
        let Some(running) = alive.context.running.get() else { continue };
        if running.consensus.hint(&registration, LATE) {
            world.history().fault(FaultKind::Echo);
            return;
        }
    }
}

async fn replace(world: &SimWorld, index: usize, first: usize) {
    world.history().trouble(Some(index), FaultKind::MemberReplaced, "");
    world.take_part(index, true);
    world.start(index);
    let path = format!("/api/v1/cluster/members/n{}/replace", index + 1);
    until_done(world, first, || (Request::post(&*path), None), "member_not_empty").await;
}

/// Asks one node after another until the change is done. `done` is how a change that is done is
/// refused.
async fn until_done<'a>(
    world: &SimWorld,
    first: usize,
    request: impl Fn() -> (Builder, Option<&'a Value>),
    done: &str,
) {
    world.history().checked(CHANGED);
    let began = Instant::now();
    let mut last = String::new();
    for index in (0..world.common.plan.nodes).cycle().skip(first) {
        if began.elapsed() > WITHIN {
            return world.history().violated(CHANGED, format!("the last answer: {last}"));
        }
        if world.alive(index).is_none() {
            // All may be without power.
            sleep(PAUSE).await;
            continue;
        }
        if let Some((status, body)) = ask(world, index, request()).await {
            if status.is_success() || body.get("code").is_some_and(|code| code == done) {
                return;
            }
            last = format!("{status} {body}");
        }
        sleep(PAUSE).await;
    }
}

/// One request to a node. None: it does not run, or did not answer.
async fn ask(
    world: &SimWorld,
    index: usize,
    (builder, body): (Builder, Option<&Value>),
) -> Option<(StatusCode, Value)> {
    let alive = world.alive(index)?;
    let builder = match body {
        Some(_) => builder.header("content-type", "application/json"),
        None => builder,
    };
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    let request = builder.body(body).ok()?;
    let answering = alive.process.spawn(alive.router.clone().oneshot(request));
    let response = timeout(PATIENCE, answering).await.ok()?.ok()?.ok()?;
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
    Some((status, serde_json::from_slice(&body).unwrap_or_default()))
}
