//! Metrics from the applied state: the nodes, pending executions and the status of each task.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::add;

/// The applied state as seen by one node. All nodes that are up to date agree on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterSeen {
    /// The nodes by name, with true for nodes that are up.
    pub nodes: Vec<(String, bool)>,
    /// Number of tasks that are not marked deleted.
    pub tasks: u64,
    /// Number of those tasks that are not in `series`.
    pub without_series: u64,
    /// Number of executions that wait for a grant.
    pub pending: u64,
    /// Seconds since the due time of the oldest pending execution.
    pub oldest_pending: f64,
    /// The status of tasks.
    pub series: Vec<TaskSeen>,
}

/// The status of one task. Times are in Unix seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskSeen {
    /// Its name.
    pub name: String,
    /// Creation time.
    pub created: f64,
    /// End of the last successful execution. `None` if there is none.
    pub last_success: Option<f64>,
    /// Status of the execution that ended last. `None` if none has ended.
    pub last_status: Option<&'static str>,
    /// Its failures since its last success.
    pub failures: u64,
    /// Its next tick; none: there is none.
    pub next_tick: Option<f64>,
}

type Seconds = Gauge<f64, AtomicU64>;
type PerTask = Family<[(&'static str, String); 1], Seconds>;

/// Registers metrics of this state.
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
    let failures: Family<[(&'static str, String); 1], Gauge> = add(
        registry,
        "task_failures_in_a_row",
        "Executions of the task that failed, timed out or were lost since its last success",
    );
    let status: Family<[(&'static str, String); 2], Gauge> = add(
        registry,
        "task_last_run_status",
        "1 for the status of the last execution of the task that ended",
    );
    for task in tasks {
        let label = [("task", task.name.clone())];
        created.get_or_create(&label).set(task.created);
        failures.get_or_create(&label).set(i64::try_from(task.failures).unwrap_or(i64::MAX));
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
