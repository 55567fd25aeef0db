//! Whether the process lives, whether the node works.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::domain::ids::NodeId;
use crate::domain::machine::record::Liveness;

use crate::dto::{HealthView, LiveView, ReadyView, Rfc3339};
use crate::ops::OpError;
use crate::ops::context::{Context, RunningParts};

/// A node this far behind what is committed catches up first, in entries.
const BEHIND_MAX: u64 = 1_024;

/// `GET /livez`: the process answers.
pub(super) async fn livez() -> Response {
    Json(LiveView { status: "alive".into() }).into_response()
}

/// `GET /readyz`: the node takes its part in the cluster. `warnings` says what is wrong with its
/// settings or those of others, whether it does or not.
pub(super) async fn readyz(State(context): State<Arc<Context>>) -> Result<Response, OpError> {
    let warnings = context.running.get().map(|running| running.consensus.warnings());
    let warnings = warnings.unwrap_or_default();
    match unready(&context) {
        None => Ok(Json(ReadyView { status: "ready".into(), warnings }).into_response()),
        Some(problem) if warnings.is_empty() => Err(problem),
        Some(problem) => Err(problem.with("warnings", warnings)),
    }
}

/// `GET /health`: the same in the older form.
pub(super) async fn health(State(context): State<Arc<Context>>) -> Response {
    if let Some(problem) = unready(&context) {
        let error = problem.detail().to_owned();
        let body = HealthView::Unhealthy { status: "unhealthy".into(), error };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response();
    }
    Json(HealthView::Healthy {
        status: "healthy".into(),
        instance_id: context.settings.node_name.clone(),
        timestamp: Rfc3339(context.clock.now()),
        mode: "cluster".into(),
    })
    .into_response()
}

/// Why the node does not take its part; none: it does.
fn unready(context: &Context) -> Option<OpError> {
    let Some(running) = context.running.get() else {
        return Some(OpError::no_leader(context.progress.borrow().clone()));
    };
    if let Some(unled) = running.consensus.no_leader_reason() {
        return Some(OpError::unled(&unled));
    }
    idle(context, running).map(OpError::no_leader)
}

/// Why a node that a leader serves does not take its part.
fn idle(context: &Context, running: &RunningParts) -> Option<String> {
    let consensus = &running.consensus;
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
