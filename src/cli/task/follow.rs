//! `logs --follow`: what executions print, as it comes, and what those print that come.

use std::collections::{BTreeMap, VecDeque};

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use serde_json::json;

use super::logs::{Printer, find_printer, print_ended, result};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{self, typed};
use crate::cli::outputs::{self, OutputChoice, PrintedStream, Printing, stream_of};
use crate::client::{Client, ClientError, EventStream, ServerEvent, path};
use crate::dto::{ExecutionView, OutputGone};

/// Executions looked at beside those that are shown, for those that go on.
pub(super) const WINDOW: usize = 100;
/// Outputs of one task that are followed at once.
const AT_ONCE: usize = 8;
/// Tasks that are followed at once. Each takes two of the streams that a node has for all.
const TASKS_MAX: usize = 20;
/// A line that does not end is printed in parts of this length.
const LINE_MAX: usize = 64 << 10;

/// Follows an execution, or a task.
pub async fn one(
    name: String,
    choice: OutputChoice,
    count: usize,
    context: &mut CliContext,
) -> CommandResult {
    match find_printer(&name, context).await? {
        Printer::Execution(_) => outputs::follow(&name, choice, context).await,
        Printer::Task => {
            let client = context.own_client()?;
            let mut followed = FollowedExecutions::new(&client, choice);
            followed.begin(&name, count, context).await?;
            followed.print_all(context).await
        }
    }
}

/// Follows several executions and tasks; the name is in front of each line.
pub async fn several(
    names: &[String],
    choice: OutputChoice,
    count: usize,
    context: &mut CliContext,
) -> CommandResult {
    if names.len() > TASKS_MAX {
        let many = names.len();
        let message = format!("--follow takes at most {TASKS_MAX} tasks, and {many} are meant");
        return Err(Failure::usage(message));
    }
    let client = context.own_client()?;
    let mut followed = FollowedExecutions::headed(&client, choice, names);
    let mut found = Exit::Ok;
    context.out.begin_blocks();
    for name in names {
        match find_printer(name, context).await {
            Ok(Printer::Execution(_)) => followed.add(name.clone(), name.clone()),
            Ok(Printer::Task) => {
                context.out.heading(name)?;
                followed.begin(name, count, context).await?;
            }
            Err(failure) => found = unknown(failure, context)?,
        }
    }
    context.out.end_blocks()?;
    Ok(followed.print_all(context).await?.worse(found))
}

/// Follows several executions, by their ids; the id is in front of each line.
pub async fn executions(
    ids: &[String],
    choice: OutputChoice,
    context: &mut CliContext,
) -> CommandResult {
    let client = context.own_client()?;
    let mut followed = FollowedExecutions::headed(&client, choice, ids);
    let mut found = Exit::Ok;
    for id in ids {
        match context.read::<ExecutionView>(&path(["executions", id]), &[]).await {
            Ok(_) => followed.add(id.clone(), id.clone()),
            Err(failure) => found = unknown(failure, context)?,
        }
    }
    Ok(followed.print_all(context).await?.worse(found))
}

/// Says that nothing has a name; the others are followed.
fn unknown(failure: Failure, context: &mut CliContext) -> CommandResult {
    if failure.exit != Exit::Conflict {
        return Err(failure);
    }
    context.out.say(&format!("error: {}", failure.message));
    Ok(failure.exit)
}

/// Whose event it is.
#[derive(Clone)]
enum FollowedThing {
    /// The executions of this task that come.
    Task(String),
    /// The output of this execution.
    Execution(String),
}

/// An event of one of several streams.
type FollowedEvent = (FollowedThing, Result<ServerEvent, ClientError>);

/// An execution whose output is printed as it comes.
struct FollowedExecution {
    id: String,
    /// What its lines are headed by, if they are: its task, or its id.
    name: String,
    stream: PrintedStream,
    /// A line of which the end is to come, if lines are headed.
    begun: Vec<u8>,
}

/// The executions whose output is printed as it comes.
struct FollowedExecutions<'a> {
    client: &'a Client,
    choice: OutputChoice,
    /// Names of this width are in front of lines.
    width: Option<usize>,
    at_once: usize,
    /// Of tasks, and of at most `at_once` executions.
    streams: SelectAll<BoxStream<'a, FollowedEvent>>,
    printed: Vec<FollowedExecution>,
    /// Those that wait for one to end, each with its name.
    waiting: VecDeque<(String, String)>,
    /// Under each name, whose output was printed last.
    last: BTreeMap<String, (String, u32)>,
    /// Whether what was printed last ended its line.
    line_ended: bool,
}

/// The number of an execution.
fn id_number(id: &str) -> u64 {
    id.parse().unwrap_or(u64::MAX)
}

impl<'a> FollowedExecutions<'a> {
    fn new(client: &'a Client, choice: OutputChoice) -> Self {
        let (streams, printed, waiting) = (SelectAll::new(), Vec::new(), VecDeque::new());
        let (width, at_once, last, line_ended) = (None, AT_ONCE, BTreeMap::new(), true);
        Self { client, choice, width, at_once, streams, printed, waiting, last, line_ended }
    }

    /// The same, with one of these names in front of each line.
    fn headed(client: &'a Client, choice: OutputChoice, names: &[String]) -> Self {
        let width = names.iter().map(|name| name.chars().count()).max();
        Self { at_once: AT_ONCE + names.len(), width, ..Self::new(client, choice) }
    }

    /// Prints what a task's last executions printed, and begins to follow the others and those to
    /// come.
    async fn begin(
        &mut self,
        name: &str,
        count: usize,
        context: &mut CliContext,
    ) -> Result<(), Failure> {
        let newest = path(["tasks", name, "executions"]);
        let newest = fetch::up_to::<ExecutionView>(context, &newest, &[], 1).await?;
        let newest = newest.says.first().map_or_else(|| "0".to_owned(), |one| one.id.clone());
        let live = print_ended(name, self.choice, count, count.max(WINDOW), context).await?;
        let news = path(["tasks", name, "executions", "new"]);
        let news = self.client.events(news, vec![("after", newest.clone())]);
        self.listen(news, FollowedThing::Task(name.to_owned()));
        // What came between the two looks is told by the stream.
        let begun = |one: &&ExecutionView| id_number(&one.id) <= id_number(&newest);
        live.iter().filter(begun).for_each(|one| self.add(one.id.clone(), name.to_owned()));
        Ok(())
    }

    /// Prints what comes, until nothing more can come.
    async fn print_all(mut self, context: &mut CliContext) -> CommandResult {
        while let Some((thing, event)) = self.streams.next().await {
            match thing {
                FollowedThing::Task(name) => match event {
                    Ok(event) => {
                        let execution: ExecutionView = typed(&event.data, Exit::NotAccepted)?;
                        self.add(execution.id, name);
                    }
                    // The others go on.
                    Err(ClientError::Refused(refusal))
                        if refusal.status == 404 && self.width.is_some() =>
                    {
                        context.out.say(&format!("{}the task is gone", self.head(&name)));
                    }
                    Err(error) => return Err(error.into()),
                },
                FollowedThing::Execution(id) => self.take(&id, event, context).await?,
            }
        }
        Ok(Exit::Ok)
    }

    fn add(&mut self, id: String, name: String) {
        if self.printed.len() >= self.at_once {
            self.waiting.push_back((id, name));
            return;
        }
        let (path, query) = stream_of(&id, self.choice);
        let (stream, begun) = (PrintedStream::default(), Vec::new());
        self.printed.push(FollowedExecution { id: id.clone(), name, stream, begun });
        self.listen(self.client.events(path, query), FollowedThing::Execution(id));
    }

    /// Takes the events of a stream, up to its `end`.
    fn listen(&mut self, events: EventStream<'a>, thing: FollowedThing) {
        let begin = (Some(events), thing);
        let events = stream::unfold(begin, |(events, thing)| async move {
            let mut events = events?;
            let event = events.next().await;
            let goes_on = event.as_ref().is_ok_and(|event| event.name != "end");
            let rest = goes_on.then_some(events);
            Some(((thing.clone(), event), (rest, thing)))
        });
        self.streams.push(events.boxed());
    }

    /// Prints an event of an execution.
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
                if let Some(at) = self.printed.iter().position(|one| one.id == id) {
                    self.end_line(at, context)?;
                }
                self.done(id);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let Some(at) = self.printed.iter().position(|one| one.id == id) else { return Ok(()) };
        let printing = Printing::of(&event);
        if context.out.for_people() {
            if let Some(printing) = &printing {
                self.print(at, printing, context).await?;
            }
        } else {
            let ServerEvent { name, data, .. } = &event;
            let shown = match self.width {
                None => json!({"execution": id, "event": name, "data": data}),
                Some(_) => {
                    let task = &self.printed[at].name;
                    json!({"task": task, "execution": id, "event": name, "data": data})
                }
            };
            context.out.one(&shown, |_clock| String::new())?;
        }
        if matches!(printing, Some(Printing::End(_))) {
            self.done(id);
        }
        Ok(())
    }

    /// Prints an event of the execution that stands at `at`.
    async fn print(
        &mut self,
        at: usize,
        printing: &Printing,
        context: &mut CliContext,
    ) -> Result<(), Failure> {
        let only = self.choice.attempt;
        let (id, name) = (self.printed[at].id.clone(), self.printed[at].name.clone());
        match printing {
            Printing::Attempt(begins) if only.is_none_or(|only| begins.attempt == only) => {
                let again = match begins.attempt {
                    ..=1 => String::new(),
                    number => format!(", attempt {number}"),
                };
                self.end_line(at, context)?;
                self.heading(&name, &format!("[{id} on {}{again}]", begins.node), context)?;
                self.last.insert(name, (id, begins.attempt));
            }
            Printing::Piece(piece) if only.is_none_or(|only| piece.attempt == only) => {
                let place = (id.clone(), piece.attempt);
                if self.last.get(&name) != Some(&place) {
                    self.heading(&name, &format!("[{id}]"), context)?;
                    self.last.insert(name, place);
                }
                let bytes = self.printed[at].stream.piece(piece);
                self.bytes(at, &bytes, context)?;
            }
            Printing::Gone(gone) => self.gone(at, gone, context)?,
            Printing::End(end) => {
                let path = path(["executions", &id]);
                let told = match context.read::<ExecutionView>(&path, &[]).await {
                    Ok(reply) => result(&reply.says, context.out.clock()),
                    Err(_gone) => end.status.to_string(),
                };
                self.end_line(at, context)?;
                self.heading(&name, &format!("[{id} {told}]"), context)?;
                self.last.remove(&name);
            }
            Printing::Attempt(_) | Printing::Piece(_) => {}
        }
        Ok(())
    }

    /// Says what output of an execution cannot be had, and prints the end of it.
    fn gone(
        &mut self,
        at: usize,
        gone: &OutputGone,
        context: &mut CliContext,
    ) -> Result<(), Failure> {
        let (line, tail) = self.printed[at].stream.gone(gone);
        let head = self.head(&self.printed[at].name);
        context.out.say(&format!("{head}{line}"));
        match tail {
            Some(tail) => self.bytes(at, tail.as_bytes(), context),
            None => Ok(()),
        }
    }

    /// Prints bytes of an execution; where lines are headed, those that have ended.
    fn bytes(&mut self, at: usize, bytes: &[u8], context: &mut CliContext) -> Result<(), Failure> {
        if self.width.is_none() {
            self.line_ended = bytes.last().is_none_or(|last| *last == b'\n');
            context.out.printed(bytes)?;
            return Ok(());
        }
        let mut begun = std::mem::take(&mut self.printed[at].begun);
        begun.extend_from_slice(bytes);
        let name = self.printed[at].name.clone();
        while let Some(end) = begun.iter().position(|byte| *byte == b'\n') {
            let rest = begun.split_off(end + 1);
            begun.truncate(end);
            self.line(&name, &begun, context)?;
            begun = rest;
        }
        if begun.len() > LINE_MAX {
            self.line(&name, &std::mem::take(&mut begun), context)?;
        }
        self.printed[at].begun = begun;
        Ok(())
    }

    /// Prints what an execution printed without an end of the line.
    fn end_line(&mut self, at: usize, context: &mut CliContext) -> Result<(), Failure> {
        let rest = std::mem::take(&mut self.printed[at].begun);
        if rest.is_empty() {
            return Ok(());
        }
        let name = self.printed[at].name.clone();
        self.line(&name, &rest, context)
    }

    /// `web-1 | `, or nothing.
    fn head(&self, name: &str) -> String {
        self.width.map(|width| format!("{name:width$} | ")).unwrap_or_default()
    }

    /// Prints a line under a name.
    fn line(&mut self, name: &str, line: &[u8], context: &mut CliContext) -> Result<(), Failure> {
        let whole = [self.head(name).as_bytes(), line, b"\n"].concat();
        context.out.printed(&whole)?;
        Ok(())
    }

    /// Prints a line of its own between outputs.
    fn heading(&mut self, name: &str, line: &str, context: &mut CliContext) -> Result<(), Failure> {
        if !std::mem::replace(&mut self.line_ended, true) {
            context.out.bytes(b"\n")?;
        }
        self.line(name, line.as_bytes(), context)
    }

    /// There is no more of an execution: another one may begin.
    fn done(&mut self, id: &str) {
        self.printed.retain(|one| one.id != id);
        if let Some((id, name)) = self.waiting.pop_front() {
            self.add(id, name);
        }
    }
}
