//! `run`: executions now, beside the schedule.

use std::time::Duration;

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::pair;
use crate::cli::choose::{Chosen, LookAmong, TasksArgs};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{typed, value};
use crate::cli::outputs::OutputChoice;
use crate::cli::{execution, many, outputs, words};
use crate::client::{ClientError, path};
use crate::domain::error_code::ErrorCode;
use crate::dto::{
    BulkRequest, ExecutionChanged, ExecutionNow, ExecutionView, ItemView, TriggerRequest,
};

/// Between two looks at an execution that has not ended.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Options of `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Wait for its end; exit code 1 if that is not success
    #[arg(long)]
    wait: bool,
    /// A parameter, over the task's own
    #[arg(short, long = "parameter", value_name = "KEY=VALUE", value_parser = pair)]
    parameters: Vec<(String, String)>,
}

/// Triggers executions, and perhaps waits for their ends.
pub async fn run(args: RunArgs, context: &mut CliContext) -> CommandResult {
    let parameters: Map<String, Value> =
        args.parameters.into_iter().map(|(key, value)| (key, json!(value))).collect();
    let parameters = (!parameters.is_empty()).then_some(parameters);
    match args.tasks.choose(LookAmong::Present, context).await? {
        Chosen::One(name) => one(&name, parameters, args.wait, context).await,
        Chosen::Many(names) => {
            let op = "trigger".into();
            let request = BulkRequest { op, parameters, ..BulkRequest::default() };
            let items = many::bulk(&names, &request, context).await?;
            if args.wait {
                return ends(items, context).await;
            }
            many::tell(items, "tasks", "triggered", triggered, context)
        }
    }
}

/// `execution 42 triggered`
fn triggered(item: &ItemView) -> String {
    format!("execution {} triggered", item.execution_id.as_deref().unwrap_or_default())
}

async fn one(
    name: &str,
    parameters: Option<Map<String, Value>>,
    wait: bool,
    context: &mut CliContext,
) -> CommandResult {
    let body = parameters.map(|given| value(&TriggerRequest { parameters: Some(given) }));
    let path_to = path(["tasks", name, "trigger"]);
    let sent = context.send::<ExecutionChanged>(Method::POST, &path_to, &[], body.as_ref());
    let reply = sent.await?;
    let id = reply.says.execution.id().to_owned();
    for warning in &reply.says.warnings {
        context.out.say(&format!("warning: {}", warning.detail));
    }
    if !wait {
        let line = format!("{name}: execution {id} triggered");
        context.out.one(&reply.body, |_clock| line)?;
        return Ok(Exit::Ok);
    }
    let made = match reply.says.execution {
        ExecutionNow::Kept(execution) => Some((reply.body, *execution)),
        ExecutionNow::Gone { .. } => None,
    };
    let Some((shown, execution)) = end(&id, made, context).await? else {
        let line = format!("{name}: {}", gone(&id));
        context.out.one(&json!({"id": id, "task": name}), |_clock| line)?;
        return Ok(Exit::Ok);
    };
    context.out.one(&shown, |clock| execution::line(&execution, clock))?;
    if context.out.for_people() {
        let query = context.freshness();
        let (bytes, cut) =
            outputs::printed(&execution, OutputChoice::default(), &query, context.client()?)
                .await?;
        if let Some(cut) = cut {
            context.out.say(&cut);
        }
        context.out.printed(&bytes)?;
    }
    Ok(if execution.status == "success" { Exit::Ok } else { Exit::No })
}

/// Waits for an execution; none: it has ended, and its record is no longer kept.
async fn end(
    id: &str,
    mut found: Option<(Value, ExecutionView)>,
    context: &mut CliContext,
) -> Result<Option<(Value, ExecutionView)>, Failure> {
    loop {
        match found {
            Some((_, execution)) if !words::ended(&execution) => sleep(LOOK_EVERY).await,
            Some(ended) => return Ok(Some(ended)),
            None => {}
        }
        found = match context.get(&path(["executions", id]), &[]).await {
            Ok(reply) => {
                let says = typed(&reply.body, Exit::Unknown)?;
                Some((reply.body, says))
            }
            // What is live is always kept.
            Err(ClientError::Refused(refusal))
                if refusal.known() == Some(ErrorCode::ExecutionNotFound) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
    }
}

/// What is said of an execution whose record is gone.
fn gone(id: &str) -> String {
    format!("execution {id} has ended; no record is kept")
}

/// Waits for the executions of several tasks, and tells how each ended.
async fn ends(items: Vec<ItemView>, context: &mut CliContext) -> CommandResult {
    let (made, refused): (Vec<ItemView>, Vec<ItemView>) =
        items.into_iter().partition(|item| item.execution_id.is_some());
    let all = made.len() + refused.len();
    let mut ended = Vec::new();
    let mut well = 0;
    for item in &made {
        let id = item.execution_id.as_deref().unwrap_or_default();
        match end(id, None, context).await? {
            Some((shown, execution)) => {
                well += usize::from(execution.status == "success");
                if context.out.for_people() {
                    context.out.one(&shown, |clock| execution::line(&execution, clock))?;
                }
                ended.push(shown);
            }
            None => {
                let name = item.name.as_str().unwrap_or_default();
                context.out.say(&format!("{name}: {}", gone(id)));
                well += 1;
            }
        }
    }
    if !context.out.for_people() {
        let whole = json!({ "items": ended });
        context.out.many(&whole, &ended, |_clock| Default::default())?;
    }
    let failed = many::complain(&refused, context);
    context.out.say(&format!("{well} of {all} tasks ran with success"));
    Ok(match failed {
        Exit::Ok if well < all => Exit::No,
        other => other,
    })
}
