//! `ls` and `show`.

use clap::{Args, ValueEnum};

use crate::cli::choose::{ListedTasksArgs, TasksArgs};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{self, ReplyKind, TypedReply, typed};
use crate::cli::local::{LocalClock, length};
use crate::cli::suggest::not_found;
use crate::cli::table::{Table, fields};
use crate::cli::watch::WatchArgs;
use crate::cli::words::ON_TIME;
use crate::cli::{execution, node, words};
use crate::client::{ClientError, Reply, path};
use crate::domain::time::Millis;
use crate::dto::{
    CatchUpBody, ChainsBody, LastExecution, RetryBody, TaskBody, TaskView, TotalsView,
};

/// Options of `ls`.
#[derive(Debug, Args)]
pub struct TaskListArgs {
    #[command(flatten)]
    listed: ListedTasksArgs,
    /// Names marked deleted instead of tasks
    #[arg(long)]
    deleted: bool,
    /// Only tasks in this state, such as active or paused
    #[arg(long, value_name = "STATE")]
    status: Option<String>,
    /// Only tasks whose execution that ended last failed, timed out or was lost
    #[arg(long, conflicts_with = "deleted")]
    failing: bool,
    /// In which order
    #[arg(long, value_enum, value_name = "ORDER")]
    sort: Option<Sort>,
    #[command(flatten)]
    watch: WatchArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    Name,
    Next,
    Last,
}

/// Options of `show`.
#[derive(Debug, Args)]
#[command(mut_arg("tasks", |tasks| tasks.help(
    "Tasks, executions by their ids, or nodes; * and ? match any characters of a task's name, and \
     must be quoted"
)))]
pub struct TaskShowArgs {
    #[command(flatten)]
    tasks: TasksArgs,
}

/// Lists tasks, once or again and again.
pub async fn list(args: &TaskListArgs, context: &mut CliContext) -> CommandResult {
    let look = async |context: &mut CliContext| list_once(args, context).await;
    args.watch.repeat(context, look).await
}

async fn list_once(args: &TaskListArgs, context: &mut CliContext) -> CommandResult {
    context.tolerate_stale();
    let mut query = Vec::new();
    if args.deleted {
        query.push(("deleted", "true".to_owned()));
    }
    query.extend(args.listed.query("name"));
    query.extend(args.status.iter().map(|status| ("status", status.clone())));
    if let Some(sort) = args.sort {
        let order = match sort {
            Sort::Name => "name",
            Sort::Next => "next",
            Sort::Last => "last",
        };
        query.push(("sort", order.to_owned()));
    }
    let mut list = fetch::all::<TaskView>(context, &path(["tasks"]), &query).await?;
    if args.failing {
        list.retain(|task| task.last_ended.as_ref().is_some_and(words::went_wrong));
    }
    context.out.many(&list.whole, &list.items, |clock| {
        let what = match (args.deleted, args.failing) {
            (true, _) => "deleted tasks",
            (false, true) => "failing tasks",
            (false, false) => "tasks",
        };
        let mut table = Table::new(what, &["NAME", "STATE", "SCHEDULE", "NEXT", "LAST", "OWNER"]);
        for task in &list.says {
            table.row([
                task.id.clone(),
                words::state(task, clock),
                words::schedule_of(task),
                words::at(task.next_tick, clock),
                last(task, clock),
                task.owner.clone().unwrap_or_default(),
            ]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

/// `success 12:00:05`
fn last(task: &TaskView, clock: &LocalClock) -> String {
    let Some(last) = &task.last_execution else { return String::new() };
    // An execution that was triggered by hand has no tick.
    format!("{} {}", last.status, clock.short(last.tick.unwrap_or(last.due).0))
}

/// Finds what has these names and shows it.
pub async fn show(args: &TaskShowArgs, context: &mut CliContext) -> CommandResult {
    args.tasks.show_each(context, show_one).await
}

async fn show_one(name: &str, context: &mut CliContext) -> CommandResult {
    let number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(task) = find::<TaskView>(context, "tasks", name).await? {
        context.out.one(&task.body, |clock| describe(&task.says, clock))?;
        return Ok(Exit::Ok);
    }
    if number && let Some(found) = find(context, "executions", name).await? {
        context.out.one(&found.body, |clock| execution::describe(&found.says, clock))?;
        return Ok(Exit::Ok);
    }
    if let Some(found) = find(context, "nodes", name).await? {
        context.out.one(&found.body, |clock| node::describe(&found.says, clock))?;
        return Ok(Exit::Ok);
    }
    Err(not_found("task, execution or node", name, "not_found", context).await)
}

/// What has this name in a collection, if anything has.
pub(super) async fn find<T: ReplyKind>(
    context: &mut CliContext,
    collection: &str,
    name: &str,
) -> Result<Option<TypedReply<T>>, Failure> {
    match context.get(&path([collection, name]), &[]).await {
        Ok(Reply { status, body, .. }) => {
            let says = typed(&body, Exit::NotAccepted)?;
            Ok(Some(TypedReply { status, body, says }))
        }
        Err(ClientError::Refused(refusal)) if matches!(refusal.status, 400 | 404 | 422) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A task for people.
fn describe(task: &TaskView, clock: &LocalClock) -> String {
    let body = task.definition.body();
    let catch_up = body.map(|TaskBody { catch_up: CatchUpBody { policy, window, .. }, .. }| {
        let window = if policy == "none" { String::new() } else { format!(", window {window}") };
        format!("{policy}{window}; {ON_TIME}")
    });
    let timeout = body.map(|body| body.timeout.clone()).filter(|timeout| timeout != "0s");
    let strategy = body.and_then(|body| body.assignment.strategy.as_ref());
    fields(&[
        ("name", task.id.clone()),
        ("description", body.map(|body| body.description.clone()).unwrap_or_default()),
        ("labels", body.map(|body| words::pairs(&body.labels)).unwrap_or_default()),
        ("state", words::state(task, clock)),
        ("schedule", words::schedule_of(task)),
        ("next", words::at(task.next_tick, clock)),
        ("action", body.map(|body| words::action(body.action.as_ref())).unwrap_or_default()),
        ("timeout", timeout.unwrap_or_default()),
        ("overlap", body.map(overlap).unwrap_or_default()),
        ("retries", body.map(attempts).unwrap_or_default()),
        ("then", body.map(then).unwrap_or_default()),
        ("lifetime", body.map(lifetime).unwrap_or_default()),
        ("live", live(task)),
        ("catch-up", catch_up.unwrap_or_default()),
        ("selector", body.map(|body| words::pairs(&body.assignment.selector)).unwrap_or_default()),
        ("strategy", strategy.map(ToString::to_string).unwrap_or_default()),
        ("owner", task.owner.clone().unwrap_or_default()),
        ("warning", words::warnings(&task.warnings).join("; ")),
        ("last", task.last_execution.as_ref().map(|one| newest(one, clock)).unwrap_or_default()),
        ("totals", totals(&task.totals)),
        ("decided up to", words::ago(Some(task.cursor), clock)),
        ("created", words::ago(Some(task.created_at), clock)),
        ("updated", words::ago(Some(task.updated_at), clock)),
        ("revision", task.revision.to_string()),
    ])
}

/// `sequential, at most 100 wait; group db, at most 2 run; priority 9`; nothing for the defaults.
fn overlap(body: &TaskBody) -> String {
    let mode = &*body.execution_mode;
    let mode = match mode {
        "parallel" => None,
        "sequential" => Some(format!("{mode}, at most {} wait", body.queue_max)),
        _ => Some(mode.to_owned()),
    };
    let group = body.concurrency.as_ref();
    let group = group.map(|group| format!("group {}, at most {} run", group.group, group.limit));
    let live = (body.max_live != 1_000).then(|| format!("at most {} live", body.max_live));
    let priority = (body.priority != 5).then(|| format!("priority {}", body.priority));
    let parts: Vec<String> = [mode, group, live, priority].into_iter().flatten().collect();
    parts.join("; ")
}

/// `at most 3, after 1s, doubling up to 30s; delivered at least once`; nothing for the defaults.
fn attempts(body: &TaskBody) -> String {
    let RetryBody { max_retry, delay, backoff, max_delay, .. } = &body.retry;
    let length = |text: &str| Millis::parse(text).unwrap_or_default();
    let grows = backoff != "fixed" && length(delay) < length(max_delay);
    let growth = if grows { format!(", doubling up to {max_delay}") } else { String::new() };
    let retries = (*max_retry > 0).then(|| format!("at most {max_retry}, after {delay}{growth}"));
    let delivery = (body.delivery != "at_most_once").then(|| "delivered at least once".to_owned());
    let parts: Vec<String> = [retries, delivery].into_iter().flatten().collect();
    parts.join("; ")
}

/// `on success load; on failure page`; nothing where nothing follows.
fn then(body: &TaskBody) -> String {
    let ChainsBody { success, failure, lost, timeout, recovered } = &body.then;
    let lists = [
        ("success", success),
        ("failure", failure),
        ("lost", lost),
        ("timeout", timeout),
        ("recovered", recovered),
    ];
    let named = lists.iter().filter(|(_, names)| !names.is_empty());
    let parts: Vec<String> =
        named.map(|(end, names)| format!("on {end} {}", names.join(", "))).collect();
    parts.join("; ")
}

/// `fires once only; marked deleted after a run`; nothing for the defaults.
fn lifetime(body: &TaskBody) -> String {
    let once = body.one_shot.then_some("fires once only");
    let then = match &*body.after_run {
        "mark_deleted" => Some("marked deleted after a run"),
        "cleanup" => Some("removed with its history after a run"),
        _ => None,
    };
    let parts: Vec<&str> = once.into_iter().chain(then).collect();
    parts.join("; ")
}

/// `1 running, 3 waiting`; nothing where nothing is live.
fn live(task: &TaskView) -> String {
    let counts = [(task.live.running, "running"), (task.live.waiting, "waiting")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = counts.map(|(count, what)| format!("{count} {what}")).collect();
    parts.join(", ")
}

/// `success, 12:00:00 (2 s ago), +1 ms, 3 ms (execution 42)`
fn newest(last: &LastExecution, clock: &LocalClock) -> String {
    let parts = [
        last.status.to_string(),
        words::ago(Some(last.tick.unwrap_or(last.due)), clock),
        words::lateness(last.lateness_ms),
        last.duration_ms.map(|lasted| length(Millis(lasted))).unwrap_or_default(),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    format!("{} (execution {})", parts.join(", "), last.id)
}

/// `9 fired, 9 success`
fn totals(totals: &TotalsView) -> String {
    let counts = totals.counts().into_iter().filter(|(_, count)| *count > 0);
    let mut words: Vec<String> = counts.map(|(what, count)| format!("{count} {what}")).collect();
    match totals.uncounted_spans {
        0 => {}
        1 => words.push("1 stretch not counted yet".to_owned()),
        many => words.push(format!("{many} stretches not counted yet")),
    }
    words.join(", ")
}
