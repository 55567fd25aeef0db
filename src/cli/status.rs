//! `status`: what needs attention, each with the reason and the command that shows more.

use clap::Args;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::Value;

use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::fetch::{self, typed};
use super::local::{LocalClock, length};
use super::table::Table;
use super::watch::WatchArgs;
use super::words;
use crate::client::{Client, Query, path};
use crate::domain::schedule::Plan;
use crate::domain::spec::{self, ReadContext};
use crate::domain::time::{Millis, Timestamp};
use crate::dto::{
    ClusterView, DriftView, ExecutionView, ExecutorWait, LastExecution, NextView, NodeView,
    SchedulerView, TaskView,
};

/// What should have happened so long ago and has not needs attention.
const LATE: Millis = Millis::from_secs(10);
/// Requests at once.
const AT_ONCE: usize = 8;
/// The kind of an execution that no executor takes.
const WAITING: &str = "waiting_for_executor";

/// Options of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    watch: WatchArgs,
}

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct AttentionItem {
    /// Which kind of thing, for programs.
    kind: &'static str,
    /// The task or node; empty: the cluster.
    name: String,
    /// What is wrong, for people.
    reason: String,
    /// What shows more of it.
    command: String,
}

/// All there is to look at.
#[derive(Serialize)]
struct AttentionList {
    items: Vec<AttentionItem>,
    /// How many tasks were looked at.
    tasks: usize,
    /// How many nodes there are.
    nodes: usize,
}

/// Shows what needs attention; exit code 1 if anything does.
pub async fn run(args: &StatusArgs, context: &mut CliContext) -> CommandResult {
    args.watch.repeat(context, look).await
}

async fn look(context: &mut CliContext) -> CommandResult {
    let cluster = context.read::<ClusterView>(&path(["cluster"]), &[]).await?.says;
    let scheduler = context.read::<SchedulerView>(&path(["scheduler", "status"]), &[]).await?.says;
    let nodes = fetch::all::<NodeView>(context, &path(["nodes"]), &[]).await?.says;
    let tasks = fetch::all::<TaskView>(context, &path(["tasks"]), &[]).await?;
    let now = scheduler.time.0;
    let mut items = Vec::new();
    if !scheduler.started {
        items.push(AttentionItem {
            kind: "scheduling_off",
            name: String::new(),
            reason: "scheduling is off: no tick fires".to_owned(),
            command: "punctual scheduler start".to_owned(),
        });
    }
    items.extend(nodes.iter().filter_map(of_node));
    items.extend(of_files(context).await?);
    items.extend(tasks.says.iter().filter_map(|task| waiting(task, now)));
    let told: Vec<AttentionItem> =
        tasks.says.iter().filter_map(|task| of_task(task, now, context.out.clock())).collect();
    items.extend(with_results(told, &tasks.says, context).await?);
    if scheduler.started {
        let late = tasks.items.iter().zip(&tasks.says);
        let late = late.filter(|(item, task)| may_be_late(item, task, &cluster.timezone, now));
        let names: Vec<&TaskView> = late.map(|(_, task)| task).collect();
        items.extend(late_ones(&names, now, context).await?);
    }
    items.sort_by(|a, b| (rank(a), &a.name).cmp(&(rank(b), &b.name)));
    tell(AttentionList { items, tasks: tasks.says.len(), nodes: nodes.len() }, context)
}

fn tell(list: AttentionList, context: &mut CliContext) -> CommandResult {
    let exit = if list.items.is_empty() { Exit::Ok } else { Exit::No };
    if list.items.is_empty() {
        let said = format!("nothing needs attention; tasks: {}, nodes: {}", list.tasks, list.nodes);
        context.out.one(&fetch::value(&list), |_clock| said)?;
        return Ok(exit);
    }
    let each: Vec<Value> = list.items.iter().map(fetch::value).collect();
    context.out.many(&fetch::value(&list), &each, |_clock| {
        let mut table = Table::new("attention", &["WHAT", "NAME", "REASON", "LOOK FURTHER"]);
        for item in &list.items {
            let kind = item.kind.replace('_', " ");
            table.row([kind, item.name.clone(), item.reason.clone(), item.command.clone()]);
        }
        table
    })?;
    Ok(exit)
}

/// The order in which kinds are shown.
fn rank(item: &AttentionItem) -> usize {
    const ORDER: [&str; 7] =
        ["scheduling_off", "node", "files", "failing", "late", WAITING, "stuck"];
    ORDER.iter().position(|kind| *kind == item.kind).unwrap_or(ORDER.len())
}

/// A node that does not work.
fn of_node(node: &NodeView) -> Option<AttentionItem> {
    (node.state != "working").then(|| AttentionItem {
        kind: "node",
        name: node.name.clone(),
        reason: format!("it is {}", node.state),
        command: format!("punctual node show {}", node.name),
    })
}

/// The nodes whose files of tasks have problems, or are not those in force.
async fn of_files(context: &CliContext) -> Result<Vec<AttentionItem>, Failure> {
    let (client, query) = (context.client()?, context.freshness());
    // A node of an earlier version does not tell.
    let Ok(reply) = client.get(&path(["drift"]), query.as_slice()).await else {
        return Ok(Vec::new());
    };
    let drift: Option<DriftView> = typed(&reply.body, Exit::NotAccepted).ok();
    let nodes = drift.map(|drift| drift.nodes).unwrap_or_default().into_iter();
    let told = nodes.filter_map(|node| {
        let reason = match (node.problems, node.in_force) {
            (0, true) => return None,
            (0, false) => "its files define other tasks than those in force".to_owned(),
            (problems, _) => format!("its files of tasks have problems: {problems}"),
        };
        let command = "punctual task drift".to_owned();
        Some(AttentionItem { kind: "files", name: node.node, reason, command })
    });
    Ok(told.collect())
}

/// The oldest execution of a task that no executor has taken for too long.
fn waiting(task: &TaskView, now: Timestamp) -> Option<AttentionItem> {
    let wait = task.waits_for_executor.as_ref()?;
    let ExecutorWait { execution_id: id, since, detail } = wait;
    (since.0.plus(LATE) < now).then(|| AttentionItem {
        kind: WAITING,
        name: task.id.clone(),
        reason: format!("execution {id} waits ({}) {detail}", length(now.since(since.0))),
        command: "punctual executor ls".to_owned(),
    })
}

/// What is wrong with a task as far as the list of tasks tells.
fn of_task(task: &TaskView, now: Timestamp, clock: &LocalClock) -> Option<AttentionItem> {
    let name = task.id.clone();
    let found = |kind, reason, command| AttentionItem { kind, name: name.clone(), reason, command };
    // One that runs does not hide how the one before it ended.
    if let Some(last) = task.last_ended.as_ref().filter(|last| words::went_wrong(last)) {
        let at = clock.short(last.tick.unwrap_or(last.due).0);
        let reason = format!("{} {at}", last.status);
        return Some(found("failing", reason, format!("punctual logs {name}")));
    }
    if let Some(last) = &task.last_execution
        && let Some(reason) = stuck(task, last, now, clock)
    {
        let look = match (last.status == "pending", last.tick) {
            (false, _) => format!("punctual show {}", last.id),
            (true, None) => format!("punctual why {name}"),
            (true, Some(tick)) => format!("punctual why {name} --at {}", tick.0),
        };
        return Some(found("stuck", reason, look));
    }
    let enabled = task.definition.body().is_some_and(|body| body.enabled);
    if task.state == "active" && enabled && task.owner.is_none() {
        let warning = words::warnings(&task.warnings).into_iter().next();
        let reason = warning.unwrap_or_else(|| "no node can own it".to_owned());
        return Some(found("stuck", reason, format!("punctual why {name}")));
    }
    None
}

/// Why the newest execution should have come further by now.
fn stuck(
    task: &TaskView,
    last: &LastExecution,
    now: Timestamp,
    clock: &LocalClock,
) -> Option<String> {
    let due = last.attempt_due.unwrap_or(last.due).0;
    let (id, since) = (&last.id, clock.short(due));
    let told = task.waits_for_executor.is_some();
    let held = last.tick.is_some() && task.state != "active";
    if last.status == "pending" && due.plus(LATE) < now && !told && !held {
        return Some(format!("execution {id} has been due since {since}, and waits"));
    }
    let body = task.definition.body()?;
    let length = |text: &str| Millis::parse(text).unwrap_or_default();
    let (timeout, grace) = (length(&body.timeout), length(&body.kill_grace));
    let over = due.plus(timeout).plus(grace).plus(LATE) < now;
    (last.status == "running" && timeout > Millis(0) && over).then(|| {
        let timeout = &body.timeout;
        format!("execution {id} has run since {since}, longer than its timeout of {timeout}")
    })
}

/// The same, with what became of the executions of failing tasks.
async fn with_results(
    items: Vec<AttentionItem>,
    tasks: &[TaskView],
    context: &CliContext,
) -> Result<Vec<AttentionItem>, Failure> {
    let (client, query) = (context.client()?, context.freshness());
    let query = query.as_slice();
    let with_result = async |mut item: AttentionItem| {
        let task = tasks.iter().find(|task| task.id == item.name && item.kind == "failing");
        if let Some(last) = task.and_then(|task| task.last_ended.as_ref()) {
            let result = result(&last.id, client, query).await;
            item.reason.extend(result.map(|result| format!(", {result}")));
        }
        item
    };
    Ok(stream::iter(items).map(with_result).buffered(AT_ONCE).collect().await)
}

/// What became of an execution, if its record says so.
async fn result(id: &str, client: &Client, query: Query<'_>) -> Option<String> {
    let reply = client.get(&path(["executions", id]), query).await.ok()?;
    let execution: ExecutionView = typed(&reply.body, Exit::NotAccepted).ok()?;
    Some(words::result(&execution)).filter(|result| !result.is_empty())
}

/// Whether a tick of the task may be without a verdict for too long. The node is asked about those;
/// it knows the calendars, and from where intervals count.
fn may_be_late(item: &Value, task: &TaskView, zone: &str, now: Timestamp) -> bool {
    let enabled = task.definition.body().is_none_or(|body| body.enabled);
    let cursor = task.cursor.0;
    if task.state != "active" || !enabled || cursor.plus(LATE) >= now {
        return false;
    }
    let context = ReadContext {
        default_zone: zone,
        now: cursor,
        min_interval: Millis(1),
        functions_allowed: true,
        custom_strategy: true,
        current: None,
        settled: Timestamp(0),
        calendars: None,
    };
    // What this version cannot read, the node can.
    let Ok(read) = spec::read(&spec::definition(item), context) else { return true };
    let plan = Plan::excluding(&read.schedule, &read.name, zone, cursor, []);
    let first = plan.ok().and_then(|plan| plan.next_after(cursor));
    first.is_some_and(|first| first.plus(LATE) < now)
}

/// Those of the tasks whose next tick without a verdict has been due for too long.
async fn late_ones(
    tasks: &[&TaskView],
    now: Timestamp,
    context: &CliContext,
) -> Result<Vec<AttentionItem>, Failure> {
    let (client, clock) = (context.client()?, context.out.clock());
    let late = async |task: &&TaskView| {
        let (name, from) = (&task.id, task.cursor.0.to_string());
        let query = [("n", "1".to_owned()), ("from", from)];
        let reply = client.get(&path(["tasks", name, "next"]), &query).await.ok()?;
        let next: NextView = typed(&reply.body, Exit::NotAccepted).ok()?;
        let tick = next.items.first()?;
        let due = tick.due.unwrap_or(tick.at).0;
        let late = next.held.is_none() && tick.excluded.is_none() && due.plus(LATE) < now;
        late.then(|| AttentionItem {
            kind: "late",
            name: name.clone(),
            reason: format!("its tick of {} has no verdict yet", clock.short(tick.at.0)),
            command: format!("punctual why {name} --at {}", tick.at.0),
        })
    };
    let found: Vec<Option<AttentionItem>> =
        stream::iter(tasks).map(late).buffered(AT_ONCE).collect().await;
    Ok(found.into_iter().flatten().collect())
}
