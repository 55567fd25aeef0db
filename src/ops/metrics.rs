//! The metrics page: the counters of the node, and metrics from the applied state.

use super::OpError;
use super::context::{Context, StateView};
use super::plans;
use crate::domain::machine::Task;
use crate::domain::machine::record::{Liveness, Status};
use crate::domain::time::Timestamp;
use crate::telemetry::exposition::MetricsFormat;
use crate::telemetry::seen::{ClusterSeen, TaskSeen};

/// Builds the page in the given format.
pub(crate) async fn page(context: &Context, format: MetricsFormat) -> Result<String, OpError> {
    let view = context.here().ok();
    let (metrics, most) = (context.metrics.clone(), context.settings.task_series);
    let page = context.scans.run(move || {
        let seen = view.map(|view| seen(&view, most));
        metrics.encode(seen.as_ref(), format)
    });
    page.await
}

/// The applied state on this node, with series for the first `most` tasks by name.
fn seen(view: &StateView, most: usize) -> ClusterSeen {
    let nodes = view.state.nodes();
    let mut seen = ClusterSeen {
        nodes: nodes
            .map(|node| (node.info.name.clone(), node.liveness == Liveness::Working))
            .collect(),
        ..ClusterSeen::default()
    };
    let mut oldest: Option<Timestamp> = None;
    for task in view.state.by_name("") {
        if task.progress.live > 0 {
            for waiting in task.live_executions().filter(|one| one.status == Status::Pending) {
                seen.pending += 1;
                let due = waiting.attempt_due();
                oldest = Some(oldest.map_or(due, |oldest| oldest.min(due)));
            }
        }
        if task.live.deleted.is_some() {
            continue;
        }
        seen.tasks += 1;
        if seen.series.len() < most {
            seen.series.push(task_seen(view, task));
        } else {
            seen.without_series += 1;
        }
    }
    seen.oldest_pending = oldest.map_or(0.0, |due| view.now.since(due).0 as f64 / 1e3);
    seen
}

fn task_seen(view: &StateView, task: &Task) -> TaskSeen {
    TaskSeen {
        name: task.live.name.to_string(),
        created: seconds(task.live.created_at),
        last_success: task.progress.last_success.map(seconds),
        last_status: task.progress.last.map(Status::word),
        failures: task.recent().map_or(0, |recent| recent.streaks.failures()),
        next_tick: plans::next_tick(view, task).map(seconds),
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.0 as f64 / 1e3
}
