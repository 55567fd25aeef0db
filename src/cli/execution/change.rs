//! What is done to executions: they are stopped, run again or dismissed. They are named by their
//! ids, or by their tasks.

use std::collections::BTreeSet;

use clap::{Arg, Args};
use reqwest::Method;
use serde::Deserialize;

use crate::cli::choose::{Chosen, LookAmong, TasksArgs, confirm_many};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::{fetch, many};
use crate::client::{ClientError, ErrorKind, path};
use crate::domain::error_code::ErrorCode;
use crate::dto::{ExecutionChanged, ExecutionView, ItemView, TaskView};

/// Executions, by their ids or by their tasks.
#[derive(Debug, Args)]
#[command(mut_arg("tasks", or_ids))]
pub struct ExecutionsArgs {
    #[command(flatten)]
    tasks: TasksArgs,
}

/// Options of `stop`.
#[derive(Debug, Args)]
#[command(mut_arg("tasks", or_ids))]
pub struct StopArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

fn or_ids(tasks: Arg) -> Arg {
    tasks.value_name("EXECUTION|TASK").help(
        "Executions by their ids, or tasks; a number is an id. * and ? match any characters of a \
         task's name, and must be quoted",
    )
}

/// What is done to executions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExecutionVerb {
    Stop,
    Retry,
    Dismiss,
}

/// An execution that is meant.
struct MeantExecution {
    id: String,
    /// Its task, if it was named by it.
    task: Option<String>,
}

/// What is meant by the names of a command.
#[derive(Default)]
struct MeantExecutions {
    executions: Vec<MeantExecution>,
    /// The names that no task has, with what is said of them.
    unknown: Vec<ItemView>,
}

/// Stops executions.
pub async fn stop(args: &StopArgs, context: &mut CliContext) -> CommandResult {
    let meant = ExecutionVerb::Stop.meant(&args.tasks, context).await?;
    let tasks: BTreeSet<String> =
        meant.executions.iter().filter_map(|one| one.task.clone()).collect();
    let tasks: Vec<String> = tasks.into_iter().collect();
    confirm_many("stop the executions of", "tasks", &tasks, args.yes, context)?;
    ExecutionVerb::Stop.apply(meant, context).await
}

/// Runs again what executions did.
pub async fn retry(args: &ExecutionsArgs, context: &mut CliContext) -> CommandResult {
    let meant = ExecutionVerb::Retry.meant(&args.tasks, context).await?;
    ExecutionVerb::Retry.apply(meant, context).await
}

/// Takes executions off the list of failed ones.
pub async fn dismiss(args: &ExecutionsArgs, context: &mut CliContext) -> CommandResult {
    let meant = ExecutionVerb::Dismiss.meant(&args.tasks, context).await?;
    ExecutionVerb::Dismiss.apply(meant, context).await
}

impl ExecutionVerb {
    const fn request(self) -> (Method, Option<&'static str>) {
        match self {
            Self::Stop => (Method::POST, Some("stop")),
            Self::Retry => (Method::POST, Some("retry")),
            Self::Dismiss => (Method::DELETE, None),
        }
    }

    /// What is said of an execution to which it was done.
    const fn done(self) -> &'static str {
        match self {
            Self::Stop => "is being stopped",
            Self::Retry => "tried again",
            Self::Dismiss => "dismissed",
        }
    }

    /// Which executions of a task are meant: the filters of one list after another, and how many
    /// there are at most. Those that wait come first, so that none starts when another one ends; and
    /// last, since one that ran may wait again.
    const fn of_task(self) -> (&'static [(&'static str, &'static str)], usize) {
        match self {
            Self::Stop => {
                (&[("status", "pending"), ("status", "running"), ("status", "pending")], usize::MAX)
            }
            Self::Retry => (&[("failed", "true")], 1),
            Self::Dismiss => (&[("failed", "true")], usize::MAX),
        }
    }

    /// The executions that are named.
    async fn meant(
        self,
        args: &TasksArgs,
        context: &mut CliContext,
    ) -> Result<MeantExecutions, Failure> {
        let is_id = |word: &String| word.parse::<u64>().is_ok();
        let (ids, names): (Vec<String>, Vec<String>) = args.names.iter().cloned().partition(is_id);
        if !ids.is_empty() && !args.labels.is_empty() {
            return Err(Failure::usage("--label selects tasks; leave out the ids of executions"));
        }
        let alone = args.names.len() == 1;
        let executions = ids.into_iter().map(|id| MeantExecution { id, task: None }).collect();
        let mut meant = MeantExecutions { executions, unknown: Vec::new() };
        let tasks = TasksArgs { names, labels: args.labels.clone() };
        if tasks.is_empty() {
            return Ok(meant);
        }
        let names = match tasks.choose(LookAmong::Both, context).await? {
            Chosen::One(name) => vec![name],
            Chosen::Many(names) => names,
        };
        let mut known: BTreeSet<String> =
            meant.executions.iter().map(|one| one.id.clone()).collect();
        for name in names {
            let ids = self.find(&name, context).await?;
            if ids.is_empty() && alone {
                context.read::<TaskView>(&path(["tasks", &name]), &[]).await?;
            } else if ids.is_empty()
                && let Err(error) = context.get(&path(["tasks", &name]), &[]).await
            {
                // A name that nothing has does not keep the command from the others.
                match error.kind() {
                    ErrorKind::Conflict => meant.unknown.push(many::undone(&name, error)),
                    _ => return Err(error.into()),
                }
            }
            for id in ids {
                if known.insert(id.clone()) {
                    meant.executions.push(MeantExecution { id, task: Some(name.clone()) });
                }
            }
        }
        Ok(meant)
    }

    /// The ids of those of a task that are meant.
    async fn find(self, task: &str, context: &mut CliContext) -> Result<Vec<String>, Failure> {
        let (filters, most) = self.of_task();
        let mut ids = Vec::new();
        for (key, value) in filters {
            let query = [("task_id", task.to_owned()), (*key, (*value).to_owned())];
            let path = path(["executions"]);
            let list = fetch::up_to::<ExecutionView>(context, &path, &query, most).await?;
            ids.extend(list.says.into_iter().map(|one| one.id));
        }
        Ok(ids)
    }

    /// Does it to each of them. For programs one id has its answer as it came, tasks a list.
    async fn apply(self, meant: MeantExecutions, context: &mut CliContext) -> CommandResult {
        let (method, verb) = self.request();
        let path_to = |id: &str| path(["executions", id].into_iter().chain(verb));
        let MeantExecutions { executions: meant, unknown } = meant;
        let meant = meant.as_slice();
        if meant.is_empty() && unknown.is_empty() && context.out.for_people() {
            context.out.nothing(match self {
                Self::Stop => "live executions",
                Self::Retry | Self::Dismiss => "failed executions",
            });
            return Ok(if self == Self::Retry { Exit::No } else { Exit::Ok });
        }
        if let ([MeantExecution { id, task: None }], []) = (meant, unknown.as_slice()) {
            let reply = context.send::<ExecutionChanged>(method, &path_to(id), &[], None).await?;
            let said = as_execution(id, self.done(), reply.says.execution.id());
            context.out.one(&reply.body, |_clock| format!("execution {id}: {said}"))?;
            return Ok(Exit::Ok);
        }
        let mut items = Vec::with_capacity(meant.len() + unknown.len());
        for MeantExecution { id, task } in meant {
            context.out.progress(items.len(), meant.len(), "executions");
            let sent = context.client()?.send(method.clone(), &path_to(id), &[], None, &[]).await;
            if self == Self::Stop && task.is_some() && sent.as_ref().is_err_and(has_ended) {
                continue;
            }
            let says = sent.as_ref().ok().map(|reply| ExecutionChanged::deserialize(&reply.body));
            let made = says.and_then(Result::ok).map(|says| says.execution.id().to_owned());
            let item = ItemView { execution_id: made, ..many::item(id, sent) };
            items.push(item);
        }
        items.extend(unknown);
        if let ([item], [MeantExecution { id, task: Some(task) }]) = (items.as_slice(), meant)
            && item.status < 400
            && context.out.for_people()
        {
            let said = as_execution(id, self.done(), item.execution_id.as_deref().unwrap_or(id));
            context
                .out
                .one(&fetch::value(item), |_clock| format!("execution {id} of {task}: {said}"))?;
            return Ok(Exit::Ok);
        }
        let good = |item: &ItemView| {
            let id = item.name.as_str().unwrap_or_default();
            let said = as_execution(id, self.done(), item.execution_id.as_deref().unwrap_or(id));
            let task = meant.iter().find(|one| one.id == id).and_then(|one| one.task.as_ref());
            let of = task.map(|task| format!(" (task {task})")).unwrap_or_default();
            format!("{said}{of}")
        };
        let all = if self == Self::Stop { "asked to stop" } else { self.done() };
        let told = many::tell(items, "executions", all, good, context)?;
        let none = meant.is_empty() && self == Self::Retry;
        Ok(if none { Exit::No } else { told })
    }
}

/// Whether an execution ended by itself before it was stopped.
fn has_ended(error: &ClientError) -> bool {
    let ended = ErrorCode::ExecutionEnded.as_str();
    matches!(error, ClientError::Refused(refusal) if refusal.code == ended)
}

/// What was done, and the execution that was made by it, if one was.
fn as_execution(id: &str, done: &str, made: &str) -> String {
    if made == id { done.to_owned() } else { format!("{done} as execution {made}") }
}
