//! `ls` and `show`.

use clap::{Args, ValueEnum};
use serde_json::Value;

use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{self, TASK, given, instant, text, word};
use crate::cli::local::{LocalClock, length};
use crate::cli::suggest::not_found;
use crate::cli::table::{Table, fields};
use crate::cli::words::ON_TIME;
use crate::cli::{execution, node, words};
use crate::client::{ClientError, path};

/// Options of `ls`.
#[derive(Debug, Args)]
pub struct TaskListArgs {
    /// Only names like this; * stands for anything
    #[arg(value_name = "PATTERN")]
    pattern: Option<String>,
    /// Names marked deleted instead of tasks
    #[arg(long)]
    deleted: bool,
    /// Only tasks in this state, such as active or paused
    #[arg(long, value_name = "STATE")]
    status: Option<String>,
    /// Only tasks with this label
    #[arg(long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// In which order
    #[arg(long, value_enum, value_name = "ORDER")]
    sort: Option<Sort>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Sort {
    Name,
    Next,
    Last,
}

/// Options of `show`.
#[derive(Debug, Args)]
pub struct TaskShowArgs {
    /// A task's name, an execution's id or a node's name
    pub name: String,
}

/// Lists tasks.
pub async fn list(args: &TaskListArgs, context: &mut CliContext) -> CommandResult {
    context.tolerate_stale();
    let mut query = Vec::new();
    if args.deleted {
        query.push(("deleted", "true".to_owned()));
    }
    query.extend(args.pattern.iter().map(|pattern| ("name", pattern.clone())));
    query.extend(args.status.iter().map(|status| ("status", status.clone())));
    query.extend(args.labels.iter().map(|label| ("label", label.clone())));
    if let Some(sort) = args.sort {
        let order = match sort {
            Sort::Name => "name",
            Sort::Next => "next",
            Sort::Last => "last",
        };
        query.push(("sort", order.to_owned()));
    }
    let (whole, tasks) = fetch::all(context, &path(["tasks"]), &query, &TASK).await?;
    context.out.many(&whole, &tasks, |clock| {
        let mut table = Table::new(&["NAME", "STATE", "SCHEDULE", "NEXT", "LAST", "OWNER"]);
        for task in &tasks {
            table.row([
                word(task, "name"),
                words::state(task, clock),
                words::schedule(task),
                words::moment(task, "next_tick", clock),
                last(task, clock),
                word(task, "owner"),
            ]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

/// `success 12:00:05`
fn last(task: &Value, clock: &LocalClock) -> String {
    let Some(last) = given(task, "last_execution") else { return String::new() };
    // An execution that was triggered by hand has no tick.
    let at = instant(last, "tick").or_else(|| instant(last, "due"));
    let at = at.map(|at| format!(" {}", clock.short(at)));
    format!("{}{}", word(last, "status"), at.unwrap_or_default())
}

/// Finds what has this name and shows it.
pub async fn show(name: &str, context: &mut CliContext) -> CommandResult {
    let number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    if let Some(task) = find(context, "tasks", name).await? {
        context.out.one(&task, |clock| describe(&task, clock))?;
        return Ok(Exit::Ok);
    }
    if let Some(found) = if number { find(context, "executions", name).await? } else { None } {
        let says = fetch::typed(&found, Exit::NotAccepted)?;
        context.out.one(&found, |clock| execution::describe(&says, clock))?;
        return Ok(Exit::Ok);
    }
    if let Some(found) = find(context, "nodes", name).await? {
        let says = fetch::typed(&found, Exit::NotAccepted)?;
        context.out.one(&found, |clock| node::describe(&says, clock))?;
        return Ok(Exit::Ok);
    }
    Err(not_found("task, execution or node", name, "not_found", context).await)
}

/// What has this name in a collection, if anything has.
pub(super) async fn find(
    context: &mut CliContext,
    collection: &str,
    name: &str,
) -> Result<Option<Value>, Failure> {
    match context.get(&path([collection, name]), &[]).await {
        Ok(reply) => {
            if collection == "tasks" {
                TASK.check(&reply.body, Exit::NotAccepted)?;
            }
            Ok(Some(reply.body))
        }
        Err(ClientError::Refused(refusal)) if matches!(refusal.status, 400 | 404 | 422) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A task for people.
fn describe(task: &Value, clock: &LocalClock) -> String {
    let past = |key: &str| words::past(task, key, clock);
    let catch_up = given(task, "catch_up").map(|catch_up| {
        let policy = word(catch_up, "policy");
        let window = match policy.as_str() {
            "none" => String::new(),
            _ => format!(", window {}", word(catch_up, "window")),
        };
        format!("{policy}{window}; {ON_TIME}")
    });
    let selector = given(task, "assignment").map(|part| words::labels(part, "selector"));
    let last = given(task, "last_execution").map(|last| {
        let parts = [
            word(last, "status"),
            match given(last, "tick") {
                Some(_) => words::past(last, "tick", clock),
                None => words::past(last, "due", clock),
            },
            words::lateness(last.get("lateness_ms").and_then(Value::as_i64)),
            fetch::millis(last, "duration_ms").map(length).unwrap_or_default(),
        ];
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        format!("{} (execution {})", parts.join(", "), word(last, "id"))
    });
    let totals = task.get("totals").and_then(Value::as_object).into_iter().flatten();
    let totals: Vec<String> = totals
        .filter(|(_, count)| count.as_u64().is_some_and(|count| count > 0))
        .map(|(what, count)| match (what.as_str(), count.as_u64()) {
            ("uncounted_spans", Some(1)) => "1 stretch not counted yet".to_owned(),
            ("uncounted_spans", _) => format!("{count} stretches not counted yet"),
            _ => format!("{count} {what}"),
        })
        .collect();
    let timeout = text(task, "timeout").filter(|timeout| *timeout != "0s");
    fields(&[
        ("name", word(task, "name")),
        ("description", word(task, "description")),
        ("labels", words::labels(task, "labels")),
        ("state", words::state(task, clock)),
        ("schedule", words::schedule(task)),
        ("next", words::moment(task, "next_tick", clock)),
        ("action", words::action(task)),
        ("timeout", timeout.unwrap_or_default().to_owned()),
        ("catch-up", catch_up.unwrap_or_default()),
        ("selector", selector.unwrap_or_default()),
        ("owner", word(task, "owner")),
        ("warning", words::warnings(task).join("; ")),
        ("last", last.unwrap_or_default()),
        ("totals", totals.join(", ")),
        ("decided up to", past("cursor")),
        ("created", past("created_at")),
        ("updated", past("updated_at")),
        ("revision", word(task, "revision")),
    ])
}
