//! `logs`: what executions printed, and what they print.

use std::collections::VecDeque;

use clap::Args;
use futures_util::stream::{self, BoxStream, SelectAll};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::json;

use super::read::find;
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{self, ListReply, typed};
use crate::cli::local::LocalClock;
use crate::cli::outputs::{OutputChoice, PrintedStream, Printing, say_gone, stream_of};
use crate::cli::suggest::not_found;
use crate::cli::{outputs, words};
use crate::client::{Client, ClientError, EventStream, ServerEvent, path};
use crate::dto::{ExecutionView, TaskView};

/// Executions looked at before following begins, for those that go on.
const WINDOW: usize = 100;
/// Outputs asked for at once.
const AT_ONCE: usize = 8;

/// Options of `logs`.
#[derive(Debug, Args)]
#[command(after_help = "An output is kept whole up to actions.output.kept_bytes (1 MiB) per \
    attempt; of a longer one the beginning and the end are kept, with a line between them.")]
pub struct LogsArgs {
    /// A task's name, or an execution's id
    name: String,
    /// Go on with what is printed: of an execution up to its end, of a task for ever
    #[arg(short, long, conflicts_with = "tail")]
    follow: bool,
    /// How many executions of a task, the newest
    #[arg(short, default_value_t = 10, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    n: u32,
    /// Only the last lines of each output
    #[arg(long, value_name = "LINES")]
    tail: Option<usize>,
    /// Of this attempt; otherwise of the newest, or, with --follow, of all
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    attempt: Option<u32>,
}

impl LogsArgs {
    const fn choice(&self) -> OutputChoice {
        OutputChoice { attempt: self.attempt, tail: self.tail }
    }
}

/// Shows what was printed.
pub async fn run(args: &LogsArgs, context: &mut CliContext) -> CommandResult {
    let name = &args.name;
    if find::<TaskView>(context, "tasks", name).await?.is_some() {
        return match args.follow {
            true => follow(args, context).await,
            false => of_task(args, context).await,
        };
    }
    let number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let found = match number {
        true => find::<ExecutionView>(context, "executions", name).await?,
        false => None,
    };
    if let Some(execution) = found {
        if args.follow {
            return outputs::follow(name, args.choice(), context).await;
        }
        let exit = outputs::output(name, args.choice(), context).await?;
        if outputs::end_may_miss(&execution.says, args.choice()) {
            context.out.say(outputs::END_MAY_MISS);
        }
        return Ok(exit);
    }
    Err(not_found("task or execution", name, "not_found", context).await)
}

/// What a task's last executions printed, oldest first.
async fn of_task(args: &LogsArgs, context: &mut CliContext) -> CommandResult {
    let most = usize::try_from(args.n).unwrap_or(usize::MAX);
    let live = print_ended(args, most, context).await?;
    if context.out.for_people() && !live.is_empty() {
        let (verb, many) = if live.len() == 1 { ("has", "") } else { ("have", "s") };
        let count = live.len();
        let line =
            format!("{count} execution{many} {verb} not ended: see the output with --follow");
        context.out.say(&line);
    }
    Ok(Exit::Ok)
}

/// Prints the ended ones of the newest executions; gives the others, oldest first.
async fn print_ended(
    args: &LogsArgs,
    most: usize,
    context: &mut CliContext,
) -> Result<Vec<ExecutionView>, Failure> {
    let path = path(["tasks", &args.name, "executions"]);
    let ListReply { whole, items, says } =
        fetch::up_to::<ExecutionView>(context, &path, &[], most).await?;
    let (ended, live): (Vec<_>, Vec<_>) =
        items.into_iter().zip(says).rev().partition(|(_, one)| words::ended(one));
    let shown = usize::try_from(args.n).unwrap_or(usize::MAX);
    let surplus = ended.len().saturating_sub(shown);
    let (items, executions): (Vec<_>, Vec<_>) = ended.into_iter().skip(surplus).unzip();
    if !context.out.for_people() {
        context.out.many(&whole, &items, |_clock| Default::default())?;
    } else {
        print(&executions, args.choice(), context).await?;
        if executions.is_empty() {
            context.out.say("no execution has ended yet");
        }
    }
    Ok(live.into_iter().map(|(_, one)| one).collect())
}

/// What a task's last executions printed, and then what those print that go on and that come.
async fn follow(args: &LogsArgs, context: &mut CliContext) -> CommandResult {
    let newest = path(["tasks", &args.name, "executions"]);
    let newest = fetch::up_to::<ExecutionView>(context, &newest, &[], 1).await?;
    let newest = newest.says.first().map_or_else(|| "0".to_owned(), |one| one.id.clone());
    let most = usize::try_from(args.n).unwrap_or(usize::MAX).max(WINDOW);
    let live = print_ended(args, most, context).await?;
    let client = context.own_client()?;
    let news = path(["tasks", &args.name, "executions", "new"]);
    let mut followed = FollowedExecutions::new(&client, args.choice());
    followed.listen(client.events(news, vec![("after", newest.clone())]), String::new());
    // What came between the two looks is told by the stream.
    let begun = |one: &ExecutionView| id_number(&one.id) <= id_number(&newest);
    live.iter().filter(|one| begun(one)).for_each(|one| followed.add(one.id.clone()));
    while let Some((id, event)) = followed.streams.next().await {
        match id.as_str() {
            "" => {
                let execution: ExecutionView = typed(&event?.data, Exit::NotAccepted)?;
                followed.add(execution.id);
            }
            id => followed.take(id, event, context).await?,
        }
    }
    Ok(Exit::Ok)
}

/// The number of an execution.
fn id_number(id: &str) -> u64 {
    id.parse().unwrap_or(u64::MAX)
}

/// An event of one of several streams: that of an execution, or, without an id, that of the task.
type FollowedEvent = (String, Result<ServerEvent, ClientError>);

/// The executions whose output is printed as it comes.
struct FollowedExecutions<'a> {
    client: &'a Client,
    choice: OutputChoice,
    /// Of at most [`AT_ONCE`] executions.
    streams: SelectAll<BoxStream<'a, FollowedEvent>>,
    printed: Vec<(String, PrintedStream)>,
    /// Those that wait for one to end.
    waiting: VecDeque<String>,
    /// Whose output was printed last, and whether it ended its line.
    last: Option<(String, u32)>,
    line_ended: bool,
}

impl<'a> FollowedExecutions<'a> {
    fn new(client: &'a Client, choice: OutputChoice) -> Self {
        let (streams, printed, waiting) = (SelectAll::new(), Vec::new(), VecDeque::new());
        Self { client, choice, streams, printed, waiting, last: None, line_ended: true }
    }

    fn add(&mut self, id: String) {
        if self.printed.len() >= AT_ONCE {
            self.waiting.push_back(id);
            return;
        }
        let (path, query) = stream_of(&id, self.choice);
        self.printed.push((id.clone(), PrintedStream::default()));
        self.listen(self.client.events(path, query), id);
    }

    /// Takes the events of a stream, up to its `end`.
    fn listen(&mut self, events: EventStream<'a>, id: String) {
        let begin = (Some(events), id);
        let events = stream::unfold(begin, |(events, id)| async move {
            let mut events = events?;
            let event = events.next().await;
            let goes_on = event.as_ref().is_ok_and(|event| event.name != "end");
            let rest = goes_on.then_some(events);
            Some(((id.clone(), event), (rest, id)))
        });
        self.streams.push(events.boxed());
    }

    /// Prints an event.
    async fn take(
        &mut self,
        id: &str,
        event: Result<ServerEvent, ClientError>,
        context: &mut CliContext,
    ) -> Result<(), Failure> {
        let event = match event {
            Ok(event) => event,
            // It was removed with its task.
            Err(ClientError::Refused(refusal)) if refusal.status == 404 => {
                self.done(id);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if !context.out.for_people() {
            let shown = json!({"execution": id, "event": event.name, "data": event.data});
            context.out.one(&shown, |_clock| String::new())?;
        }
        let printing = Printing::of(&event);
        if context.out.for_people()
            && let Some(printing) = &printing
        {
            self.print(id, printing, context).await?;
        }
        if matches!(printing, Some(Printing::End(_))) {
            self.done(id);
        }
        Ok(())
    }

    async fn print(
        &mut self,
        id: &str,
        printing: &Printing,
        context: &mut CliContext,
    ) -> Result<(), Failure> {
        let only = self.choice.attempt;
        match printing {
            Printing::Attempt(begins) if only.is_none_or(|only| begins.attempt == only) => {
                let again = if begins.attempt > 1 { ", attempt " } else { "" };
                let number =
                    if begins.attempt > 1 { begins.attempt.to_string() } else { String::new() };
                self.heading(&format!("[{id} on {}{again}{number}]", begins.node), context)?;
                self.last = Some((id.to_owned(), begins.attempt));
            }
            Printing::Piece(piece) if only.is_none_or(|only| piece.attempt == only) => {
                let place = (id.to_owned(), piece.attempt);
                if self.last.as_ref() != Some(&place) {
                    self.heading(&format!("[{id}]"), context)?;
                    self.last = Some(place);
                }
                let printed = self.printed.iter_mut().find(|(one, _)| one == id);
                let bytes = printed.map(|(_, stream)| stream.piece(piece)).unwrap_or_default();
                self.line_ended = bytes.last().is_none_or(|last| *last == b'\n');
                context.out.printed(&bytes)?;
            }
            Printing::Gone(gone) => {
                if let Some((_, stream)) = self.printed.iter().find(|(one, _)| one == id) {
                    say_gone(stream, gone, context)?;
                }
            }
            Printing::End(end) => {
                let path = path(["executions", id]);
                let told = match context.read::<ExecutionView>(&path, &[]).await {
                    Ok(reply) => result(&reply.says, context.out.clock()),
                    Err(_gone) => end.status.to_string(),
                };
                self.heading(&format!("[{id} {told}]"), context)?;
                self.last = None;
            }
            Printing::Attempt(_) | Printing::Piece(_) => {}
        }
        Ok(())
    }

    /// Prints a line of its own between outputs.
    fn heading(&mut self, line: &str, context: &mut CliContext) -> Result<(), Failure> {
        let before = if std::mem::replace(&mut self.line_ended, true) { "" } else { "\n" };
        context.out.printed(format!("{before}{line}\n").as_bytes())?;
        Ok(())
    }

    /// There is no more of an execution: another one may begin.
    fn done(&mut self, id: &str) {
        self.printed.retain(|(one, _)| one != id);
        if let Some(next) = self.waiting.pop_front() {
            self.add(next);
        }
    }
}

/// Prints each execution with all that is kept of its output.
async fn print(
    executions: &[ExecutionView],
    choice: OutputChoice,
    context: &mut CliContext,
) -> Result<(), Failure> {
    let query = context.freshness();
    let client = context.client()?;
    let outputs: Vec<_> = stream::iter(executions)
        .map(|one| outputs::printed(one, choice, &query, client))
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    for (one, (bytes, cut)) in executions.iter().zip(outputs) {
        let mut head = heading(one, context.out.clock());
        head.push('\n');
        head.extend(cut.map(|cut| cut + "\n"));
        context.out.printed(head.as_bytes())?;
        let bytes = choice.cut(&bytes);
        context.out.printed(bytes)?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            context.out.bytes(b"\n")?;
        }
    }
    Ok(())
}

/// `12:00:05.000 n2 failed 3 ms exit 5`
fn heading(execution: &ExecutionView, clock: &LocalClock) -> String {
    let at = execution.start_time.unwrap_or(execution.due).0;
    let node = execution.node.clone().unwrap_or_default();
    let parts = [clock.exact(at), node, result(execution, clock)];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// `failed 3 ms exit 5`
fn result(execution: &ExecutionView, clock: &LocalClock) -> String {
    let status = execution.status.to_string();
    // A success needs no reason.
    let result = if status == "success" { String::new() } else { words::result(execution) };
    let parts = [status, words::duration(execution, clock), result];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}
