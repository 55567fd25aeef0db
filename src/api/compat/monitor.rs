//! `/api/cron`: nodes and tasks for monitoring.

use std::collections::BTreeMap;

use super::{last_run, limit, owner};
use crate::api::extract::{HandlerResult, PathSegment, ReadRequest};
use crate::api::reply::ok;
use crate::api::tasks::about::tell;
use crate::domain::ids::NodeId;
use crate::domain::machine::Task;
use crate::domain::machine::record::Liveness;
use crate::domain::schedule::Rule;
use crate::domain::time::Millis;
use crate::dto::{
    CronCounts, CronInstanceView, CronInstancesView, CronStatusView, CronTaskStatsView,
    CronTaskView, CronTasksView, NodeView, Rfc3339,
};
use crate::ops::context::StateView;
use crate::ops::describe::describe;
use crate::ops::{OpError, nodes, plans, views, words};

/// `GET /api/cron/status`: the status of the responding node.
pub(in crate::api) async fn status(read: ReadRequest) -> HandlerResult {
    let view = read.view().await?;
    let run = move || Ok(ok(&view, status_of(&view)?));
    read.context.scans.run(run).await?
}

fn status_of(view: &StateView) -> Result<CronStatusView, OpError> {
    let unknown = || OpError::no_leader("this node is not yet registered");
    let node = view.state.node(view.own).ok_or_else(unknown)?;
    let active = view.state.tasks().filter(|task| words::task_state(task) == "active");
    let working = view.state.nodes().filter(|node| node.liveness == Liveness::Working);
    let Millis(uptime) = view.now.since(node.started_at);
    Ok(CronStatusView {
        instance_id: node.info.name.clone(),
        status: if view.state.cluster().scheduler { "running" } else { "stopped" }.into(),
        start_time: Rfc3339(node.started_at),
        active_tasks: active.count() as u64,
        instance_count: working.count() as u64,
        uptime: Millis::from_secs(uptime / 1_000).to_string(),
    })
}

/// `GET /api/cron/instances`: the nodes and the tasks that each node owns.
pub(in crate::api) async fn instances(read: ReadRequest) -> HandlerResult {
    let limit = limit(&read.params)?;
    let view = read.view().await?;
    let seen = nodes::nodes_seen(&read.context, &view).await?;
    let tell = move || {
        let mut owned = owned(&view, limit);
        let instances = view.state.nodes().map(|node| {
            let tasks = owned.remove(&node.id).unwrap_or_default();
            instance(views::node(&view, &seen, node), tasks)
        });
        let instances: Vec<CronInstanceView> = instances.collect();
        let count = instances.len();
        ok(&view, CronInstancesView { instances, count })
    };
    read.context.scans.run(tell).await
}

/// The tasks of each node, sorted by name, at most `limit` per node.
fn owned(view: &StateView, limit: usize) -> BTreeMap<NodeId, Vec<String>> {
    let mut owned: BTreeMap<NodeId, Vec<String>> = BTreeMap::new();
    for task in super::tasks(view) {
        let Some(owner) = view.members.owner(task) else { continue };
        let names = owned.entry(owner).or_default();
        if names.len() < limit {
            names.push(task.live.name.to_string());
        }
    }
    owned
}

fn instance(node: NodeView, tasks: Vec<String>) -> CronInstanceView {
    CronInstanceView {
        instance_id: node.name,
        hostname: node.hostname,
        pid: node.pid,
        start_time: node.started_at,
        last_heartbeat: node.last_seen,
        status: node.state,
        version: node.version,
        tasks,
    }
}

/// `GET /api/cron/tasks`: the tasks, sorted by name.
pub(in crate::api) async fn tasks(read: ReadRequest) -> HandlerResult {
    let limit = limit(&read.params)?;
    let view = read.view().await?;
    let tell = move || {
        let tasks = super::tasks(&view).take(limit).map(|task| task_view(&view, task)).collect();
        let count = super::tasks(&view).count();
        ok(&view, CronTasksView { tasks, count })
    };
    read.context.scans.run(tell).await
}

fn task_view(view: &StateView, task: &Task) -> CronTaskView {
    let spec = task.spec();
    let schedule = spec.map(|spec| match &spec.schedule.rule {
        Rule::Cron(expression) => expression.clone(),
        _ => describe(&spec.schedule, view.zone()),
    });
    CronTaskView {
        name: task.live.name.to_string(),
        description: spec.map(|spec| spec.description.clone()).unwrap_or_default(),
        schedule: schedule.unwrap_or_default(),
        instances: owner(view, task).into_iter().collect(),
    }
}

/// `GET /api/cron/tasks/{name}/stats`: execution statistics of a task.
pub(in crate::api) async fn stats(
    PathSegment(name): PathSegment,
    read: ReadRequest,
) -> HandlerResult {
    tell(&read, name, |view, task| {
        let totals = &task.progress.totals;
        let stats = CronCounts {
            success_count: totals.success,
            failure_count: totals.failed + totals.timeout + totals.lost,
            last_run_at: last_run(task),
            next_run_at: plans::next_tick(view, task).map(Rfc3339),
        };
        Ok(CronTaskStatsView { task_name: task.live.name.to_string(), stats })
    })
    .await
}
