//! `add`: a task from options.

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::definition::FormerTask;
use super::name;
use super::options::DefinitionArgs;
use super::read::find;
use crate::cli::context::CliContext;
use crate::cli::diff;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{self, typed};
use crate::cli::local::LocalClock;
use crate::cli::words;
use crate::client::{ClientError, path};
use crate::domain::error_code::ErrorCode;
use crate::dto::{ChangeView, ExecutionView, TaskChanged, TaskNow, TaskView};

/// Executions of a task that is replaced which are looked at.
const LIVE: usize = 1_000;

/// Options of `add`.
#[derive(Debug, Args)]
#[command(mut_group("when", |when| when.required(true)))]
pub struct AddArgs {
    /// The task's name
    #[arg(value_parser = name)]
    name: String,
    /// Replace the task of this name: stop its executions, end a pause, drop its settings and
    /// totals
    #[arg(long)]
    force: bool,
    /// Do not ask for confirmation with --force
    #[arg(long, requires = "force")]
    yes: bool,
    #[command(flatten)]
    definition: DefinitionArgs,
}

/// Creates a task.
pub async fn run(args: AddArgs, context: &mut CliContext) -> CommandResult {
    let body = args.body(context.out.clock()).map_err(Failure::usage)?;
    let query: &[(&str, String)] = if args.force { &[("force", "true".to_owned())] } else { &[] };
    let before = if args.force { Before::look(&args.name, context).await? } else { None };
    if let Some(before) = before.as_ref().filter(|_| !args.yes) {
        before.confirm(context)?;
    }
    let path = path(["tasks"]);
    let answer = context.client()?.send(Method::POST, &path, query, Some(&body), &[]).await;
    let answer = answer.map_err(|error| refused(&args.name, error))?.body;
    let changed: TaskChanged = typed(&answer, Exit::Unknown)?;
    let did = if before.is_some() { "replaced" } else { "created" };
    context.out.one(&answer, |clock| told(&args.name, &changed.task, did, clock))?;
    let task = changed.task.kept();
    if let Some(before) = before {
        before.tell(task, context);
    }
    for warning in task.into_iter().flat_map(|task| words::warnings(&task.warnings)) {
        context.out.say(&format!("warning: {warning}"));
    }
    Ok(Exit::Ok)
}

/// What stands in the way of a new task, in the words of the command line.
fn refused(name: &str, error: ClientError) -> Failure {
    let code = match &error {
        ClientError::Refused(refusal) => refusal.known(),
        _ => None,
    };
    let why = match code {
        Some(ErrorCode::TaskExists) => {
            format!(
                "task `{name}` exists; `punctual set {name}` changes it, --force replaces it (and \
                 stops what runs)"
            )
        }
        Some(ErrorCode::TaskDeleted) => format!(
            "task `{name}` was deleted; `punctual reuse {name}` brings it back, \
             add --force makes a new one"
        ),
        Some(ErrorCode::NoHandler) => "nothing can carry the task out: give it a command \
                                       (-- COMMAND) or a URL (--http URL)"
            .to_owned(),
        _ => return error.into(),
    };
    let code = code.map_or("", ErrorCode::as_str);
    Failure { exit: error.kind().into(), message: format!("{why} ({code})") }
}

/// What a task was before it is replaced.
struct Before {
    task: TaskView,
    /// Its executions that have not ended.
    live: Vec<ExecutionView>,
}

impl Before {
    /// The task of this name, unless it is deleted.
    async fn look(name: &str, context: &mut CliContext) -> Result<Option<Self>, Failure> {
        let Some(found) = find::<TaskView>(context, "tasks", name).await? else { return Ok(None) };
        let task = found.says;
        if task.state == "deleted" {
            return Ok(None);
        }
        let path = path(["tasks", name, "executions"]);
        let mut live = fetch::up_to::<ExecutionView>(context, &path, &[], LIVE).await?.says;
        live.retain(|execution| !words::ended(execution));
        Ok(Some(Self { task, live }))
    }

    fn paused(&self) -> bool {
        self.task.paused.is_some()
    }

    /// Asks on a terminal if somebody would miss what goes.
    fn confirm(&self, context: &mut CliContext) -> Result<(), Failure> {
        let mut lost = Vec::new();
        match self.live.len() {
            0 => {}
            1 => lost.push("stops 1 execution".to_owned()),
            many => lost.push(format!("stops {many} executions")),
        }
        if self.paused() {
            lost.push("ends its pause".to_owned());
        }
        if lost.is_empty() {
            return Ok(());
        }
        let name = &self.task.id;
        let question = format!("replacing {name} {}; type yes:", lost.join(" and "));
        match context.out.confirm(&question) {
            Some(false) => {
                Err(Failure { exit: Exit::No, message: "nothing was replaced".to_owned() })
            }
            // Without a terminal --force is the answer.
            Some(true) | None => Ok(()),
        }
    }

    /// Says what was stopped and dropped.
    fn tell(&self, now: Option<&TaskView>, context: &mut CliContext) {
        for execution in &self.live {
            let node = execution.node.as_deref().unwrap_or_default();
            context.out.say(&format!("execution {} on {node} was stopped", execution.id));
        }
        if self.paused() {
            let state = words::state(&self.task, context.out.clock());
            context.out.say(&format!("it was {state}; the pause is over"));
        }
        let (old, new) = (self.task.definition.body(), now.and_then(|now| now.definition.body()));
        let changes = old
            .zip(new)
            .map(|(old, new)| ChangeView::between(&fetch::value(old), &fetch::value(new)))
            .unwrap_or_default();
        let differs = match diff::fields(&changes).as_slice() {
            [] => String::new(),
            some => format!("; changed: {}", some.join(", ")),
        };
        context.out.say(&format!("its totals and history begin anew{differs}"));
    }
}

/// `hello: created, every 5s, next tick in 3 s (12:00:05)`
fn told(name: &str, task: &TaskNow, did: &str, clock: &LocalClock) -> String {
    match task.kept() {
        Some(task) => {
            let (schedule, next) = (words::schedule_of(task), words::next_tick(task, clock));
            format!("{name}: {did}, {schedule}{next}")
        }
        None => format!("{name}: {did}"),
    }
}

impl AddArgs {
    /// The canonical body, without what is default.
    fn body(&self, clock: &LocalClock) -> Result<Value, String> {
        let mut body = Map::new();
        body.insert("name".to_owned(), json!(self.name));
        body.extend(self.definition.fields(FormerTask::default(), clock)?);
        Ok(Value::Object(body))
    }
}
