//! `events`: what changes in the cluster.

use clap::Args;

use super::context::CliContext;
use super::exit::{CommandResult, Exit};
use super::fetch::typed;
use super::local::LocalClock;
use crate::client::{ClientError, ErrorKind, EventStream, ServerEvent, path};
use crate::dto::EventView;

/// Options of `events`.
#[derive(Debug, Args)]
#[command(
    after_help = "Each line has the id of its event: `--after ID` goes on behind it, on any \
    node. A node keeps the newest 100,000 events since it started or loaded a snapshot. Where some are no longer kept, \
    a line on stderr says so."
)]
pub struct EventsArgs {
    /// Go on for ever with what happens, over restarts of nodes
    #[arg(short, long)]
    follow: bool,
    /// How many of the newest events are shown first [default: 20; with --follow none]
    #[arg(short, value_name = "COUNT", conflicts_with = "after",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    n: Option<u32>,
    /// Begin behind this event
    #[arg(long, value_name = "ID")]
    after: Option<u64>,
    /// Only events of these kinds, such as task.put,task.deleted
    #[arg(long, value_name = "KIND[,KIND]", value_delimiter = ',')]
    kinds: Vec<String>,
    /// Only what is about this task and its executions; may be given several times
    #[arg(long, value_name = "NAME")]
    task: Vec<String>,
}

/// Events shown, unless -n or --after says otherwise.
const SHOWN: u32 = 20;

impl EventsArgs {
    fn query(&self) -> Vec<(&'static str, String)> {
        let last = self.n.or((!self.follow && self.after.is_none()).then_some(SHOWN));
        let mut query = vec![("follow", self.follow.to_string())];
        query.extend(last.map(|last| ("last", last.to_string())));
        query.extend(self.after.map(|after| ("after", after.to_string())));
        query.extend((!self.kinds.is_empty()).then(|| ("kinds", self.kinds.join(","))));
        query.extend(self.task.iter().map(|name| ("task", name.clone())));
        query
    }
}

/// Prints events.
pub async fn run(args: &EventsArgs, context: &mut CliContext) -> CommandResult {
    let client = context.own_client()?;
    let mut events = client.events(path(["events"]), args.query());
    let mut none = true;
    while let Some(event) = next(&mut events, args.follow, context).await? {
        none = false;
        print(&event, context)?;
    }
    if none && context.out.for_people() {
        context.out.nothing("events");
    }
    Ok(Exit::Ok)
}

/// Waits for the next event; none: there are no more. One who follows waits until a node answers
/// again, once one has.
async fn next(
    events: &mut EventStream<'_>,
    follow: bool,
    context: &mut CliContext,
) -> Result<Option<ServerEvent>, ClientError> {
    if !follow {
        return events.next_or_end().await;
    }
    loop {
        match events.next().await {
            Ok(event) => return Ok(Some(event)),
            Err(error) if events.began() && error.kind() == ErrorKind::NotAccepted => {
                context.out.say(&format!("{error}; asking again"));
            }
            Err(error) => return Err(error),
        }
    }
}

fn print(event: &ServerEvent, context: &mut CliContext) -> CommandResult {
    if event.name == "reset" {
        context.out.say(
            "some events are no longer kept and are left out: look at what there is now, such as \
             with `punctual ls`",
        );
        return Ok(Exit::Ok);
    }
    let view: EventView = typed(&event.data, Exit::NotAccepted)?;
    context.out.item(&event.data, |clock| line(&view, clock))?;
    Ok(Exit::Ok)
}

/// `12:00:05.000  42  task hello: paused`
fn line(event: &EventView, clock: &LocalClock) -> String {
    let id = event.id.as_deref().unwrap_or("-");
    format!("{}  {id}  {}", clock.exact(event.at.0), words(event))
}

fn words(event: &EventView) -> String {
    let object = &event.object;
    let [task, status, node, state, calendar, executor] = [
        object.task.as_deref(),
        object.status.as_deref(),
        object.node.as_deref(),
        object.state.as_deref(),
        object.calendar.as_deref(),
        object.executor.as_deref(),
    ]
    .map(Option::unwrap_or_default);
    match &*event.kind {
        "task.put" => format!("task {task}: created or changed"),
        "task.deleted" => format!("task {task}: marked deleted"),
        "task.reused" => format!("task {task}: brought back"),
        "task.cleaned" => format!("task {task}: removed with all that was known of it"),
        "execution.changed" => {
            let execution = object.execution.as_deref().unwrap_or_default();
            format!("task {task}: execution {execution} {status}")
        }
        "node.put" => format!("node {node}: its process started"),
        "node.changed" => match object.intent.as_deref() {
            None | Some("none") => format!("node {node}: {state}"),
            Some(intent) => format!("node {node}: {state}, {intent}"),
        },
        "node.gone" => format!("node {node}: removed"),
        "calendar.put" => format!("calendar {calendar}: created or changed"),
        "calendar.deleted" => format!("calendar {calendar}: removed"),
        "executor.changed" => format!("executor {executor}: {status}"),
        "scheduler.changed" => {
            let on = if object.started == Some(true) { "started" } else { "stopped" };
            let strategy = object.strategy.as_deref().unwrap_or("unknown");
            format!("scheduler: {on}, strategy {strategy}")
        }
        "leader.changed" => match &object.leader {
            Some(leader) => format!("leader: {leader}"),
            None => "leader: none".to_owned(),
        },
        // task.paused, task.resumed, task.cancelled, task.completed, and what newer nodes tell.
        kind => match kind.split_once('.') {
            Some(("task", what)) => format!("task {task}: {what}"),
            _ => kind.to_owned(),
        },
    }
}
