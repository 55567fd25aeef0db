//! Whether the process lives, whether the node works.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::domain::ids::NodeId;
use crate::domain::machine::record::Liveness;

use super::context::Context;
use super::error::Problem;

/// A node this far behind what is committed catches up first, in entries.
const BEHIND_MAX: u64 = 1_024;

/// `GET /livez`: the process answers.
pub(super) async fn livez() -> Response {
    Json(json!({"status": "alive"})).into_response()
}

/// `GET /readyz`: the node takes its part in the cluster.
pub(super) async fn readyz(State(context): State<Arc<Context>>) -> Result<Response, Problem> {
    match unready(&context) {
        None => Ok(Json(json!({"status": "ready"})).into_response()),
        Some(why) => Err(Problem::no_leader(why)),
    }
}

/// `GET /health`: the same in the older form.
pub(super) async fn health(State(context): State<Arc<Context>>) -> Response {
    if let Some(error) = unready(&context) {
        let body = json!({"status": "unhealthy", "error": error});
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    Json(json!({
        "status": "healthy",
        "instance_id": context.settings.node_name,
        "timestamp": context.clock.now().to_string(),
        "mode": "cluster",
    }))
    .into_response()
}

/// Why the node does not take its part; none: it does.
fn unready(context: &Context) -> Option<String> {
    let Some(running) = context.running.get() else {
        return Some(context.progress.borrow().clone());
    };
    let consensus = &running.consensus;
    if consensus.leader().borrow().is_none() {
        return Some("no leader is known".to_owned());
    }
    if !consensus.is_led() {
        return Some("it leads, but no majority acknowledges it".to_owned());
    }
    if !context.clock.sure() {
        return Some("the clocks of a majority do not agree".to_owned());
    }
    let liveness = {
        let state = consensus.replica().read();
        let node = state.node(NodeId(consensus.id()));
        node.filter(|node| Some(node.session) == running.engine.session()).map(|node| node.liveness)
    };
    match liveness {
        Some(Liveness::Working) => {}
        Some(Liveness::Starting) => return Some("the leader has not yet heard of it".to_owned()),
        Some(Liveness::Down) => return Some("the leader counts it as down".to_owned()),
        None => return Some("it is not yet registered".to_owned()),
    }
    let status = consensus.status();
    let behind = status.committed.saturating_sub(status.applied);
    (behind > BEHIND_MAX).then(|| format!("it is {behind} entries behind"))
}
