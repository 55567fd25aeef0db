//! What a node sees in the applied state when its metrics are asked for: the other nodes, what
//! waits, and how each task fares.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::add;

/// What one node sees of the cluster. Every node that is up to date sees the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterSeen {
    /// The nodes by name, and whether they work.
    pub nodes: Vec<(String, bool)>,
    /// Tasks that are not marked deleted.
    pub tasks: u64,
    /// Those of them that have no series of their own below.
    pub without_series: u64,
    /// Executions that wait to be granted.
    pub pending: u64,
    /// Seconds since the due time of the one that waits longest.
    pub oldest_pending: f64,
    /// How tasks fare, by name.
    pub series: Vec<TaskSeen>,
}

/// How one task fares; times in Unix seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSeen {
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: f64,
    /// When an execution of it last ended in success; none: it never did.
    pub last_success: Option<f64>,
    /// How the last execution that ended did so; none: none has ended.
    pub last_status: Option<&'static str>,
    /// Its next tick; none: there is none.
    pub next_tick: Option<f64>,
}

type Seconds = Gauge<f64, AtomicU64>;
type PerTask = Family<[(&'static str, String); 1], Seconds>;

/// Makes metrics of it.
pub(super) fn register(registry: &mut Registry, seen: &ClusterSeen) {
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let up: Family<[(&'static str, String); 1], Gauge> =
        add(registry, "node_up", "1 for a node that works, 0 for one that is down, by name");
    for (name, works) in &seen.nodes {
        up.get_or_create(&[("node", name.clone())]).set(i64::from(*works));
    }
    let tasks: Gauge = add(registry, "tasks", "Tasks that are not deleted");
    tasks.set(whole(seen.tasks));
    let without: Gauge = add(
        registry,
        "tasks_without_series",
        "Tasks beyond metrics.tasks, which have no series of their own",
    );
    without.set(whole(seen.without_series));
    let pending: Gauge = add(registry, "executions_pending", "Executions that wait to start");
    pending.set(whole(seen.pending));
    let oldest: Seconds = add(
        registry,
        "oldest_pending_execution_age_seconds",
        "Time since the due time of the execution that waits longest, 0 without one",
    );
    oldest.set(seen.oldest_pending);
    tasks_of(registry, &seen.series);
}

fn tasks_of(registry: &mut Registry, tasks: &[TaskSeen]) {
    let created: PerTask =
        add(registry, "task_created_timestamp_seconds", "Unix time when the task was created");
    let success: PerTask = add(
        registry,
        "task_last_success_timestamp_seconds",
        "Unix time when an execution of the task last ended in success",
    );
    let next: PerTask =
        add(registry, "task_next_tick_timestamp_seconds", "Unix time of the next tick of the task");
    let status: Family<[(&'static str, String); 2], Gauge> = add(
        registry,
        "task_last_run_status",
        "1 for the status of the last execution of the task that ended",
    );
    for task in tasks {
        let label = [("task", task.name.clone())];
        created.get_or_create(&label).set(task.created);
        if let Some(at) = task.last_success {
            success.get_or_create(&label).set(at);
        }
        if let Some(at) = task.next_tick {
            next.get_or_create(&label).set(at);
        }
        if let Some(last) = task.last_status {
            let labels = [("task", task.name.clone()), ("status", last.to_owned())];
            status.get_or_create(&labels).set(1);
        }
    }
}
