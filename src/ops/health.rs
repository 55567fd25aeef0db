//! Whether the node participates in the cluster.

use super::OpError;
use super::context::{Context, RunningParts};
use crate::domain::ids::NodeId;
use crate::domain::machine::record::Liveness;
use crate::dto::{HealthView, ReadyView, Rfc3339};

/// A node that is more than this number of entries behind the committed index is not ready.
const BEHIND_MAX: u64 = 1_024;

/// Whether the node is ready. `warnings` describes problems in its settings or those of other
/// nodes, in both cases.
pub(crate) fn ready(context: &Context) -> Result<ReadyView, OpError> {
    let warnings = context.running.get().map(|running| running.consensus.warnings());
    let warnings = warnings.unwrap_or_default();
    match unready(context) {
        None => Ok(ReadyView { status: "ready".into(), warnings }),
        Some(problem) if warnings.is_empty() => Err(problem),
        Some(problem) => Err(problem.with("warnings", warnings)),
    }
}

/// The same in an older format.
pub(crate) fn health(context: &Context) -> HealthView {
    match unready(context) {
        None => HealthView::Healthy {
            status: "healthy".into(),
            instance_id: context.settings.node_name.clone(),
            timestamp: Rfc3339(context.clock.now()),
            mode: "cluster".into(),
        },
        Some(problem) => {
            let error = problem.detail().to_owned();
            HealthView::Unhealthy { status: "unhealthy".into(), error }
        }
    }
}

/// Why the node is not ready. `None` if it is ready.
fn unready(context: &Context) -> Option<OpError> {
    let Some(running) = context.running.get() else {
        return Some(OpError::no_leader(context.progress.borrow().clone()));
    };
    if let Some(unled) = running.consensus.no_leader_reason() {
        return Some(OpError::unled(&unled));
    }
    idle(context, running).map(OpError::no_leader)
}

/// Why a node that follows a leader is not ready.
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
