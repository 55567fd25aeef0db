//! `set`: changes some fields of a task by options and keeps the others.

use clap::{Args, Command};
use reqwest::Method;
use serde_json::{Map, Value};

use super::definition::FormerTask;
use super::name;
use super::options::DefinitionArgs;
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{TypedReply, typed};
use crate::cli::local::LocalClock;
use crate::cli::words;
use crate::client::{ClientError, if_match, path};
use crate::domain::spec;
use crate::dto::{ChangeView, TaskBody, TaskChanged, TaskView};

/// Options of `set`.
#[derive(Debug, Args)]
pub struct TaskSetArgs {
    /// The task
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    definition: DefinitionArgs,
    /// Remove a variable from the environment of the command
    #[arg(long, value_name = "KEY", help_heading = "What is taken away")]
    unset_env: Vec<String>,
    /// Reset a field to its default, such as timeout, labels.env or schedule.exclude
    #[arg(long, value_name = "FIELD", help_heading = "What is taken away")]
    unset: Vec<String>,
}

/// A task that was read in order to change it.
pub struct EditedTask {
    /// Its name.
    pub name: String,
    /// Its revision.
    pub revision: u64,
    /// Its definition as received. A newer node may send fields that this version does not know.
    pub definition: Value,
    /// The same definition, as far as this version knows it.
    pub body: TaskBody,
}

impl EditedTask {
    /// Reads the task with this name.
    ///
    /// # Errors
    /// A failed request, a deleted mark without a task, or a definition that this version cannot
    /// read.
    pub async fn read(name: &str, context: &mut CliContext) -> Result<Self, Failure> {
        let TypedReply { body, says, .. } =
            context.read::<TaskView>(&path(["tasks", name]), &[]).await?;
        if says.state == "deleted" {
            let message = format!(
                "task `{name}` is deleted; `punctual reuse {name}` brings it back (task_deleted)"
            );
            return Err(Failure { exit: Exit::Conflict, message });
        }
        let Some(known) = says.definition.body() else {
            let message = format!(
                "the definition of `{name}` has something that this version does not know\n  Use \
                 a `punctual` of the version that the node has."
            );
            return Err(Failure { exit: Exit::NotAccepted, message });
        };
        let definition = spec::definition(&body);
        Ok(Self { name: name.to_owned(), revision: says.revision, definition, body: known.clone() })
    }

    /// Sends a change. It is rejected if the task has been changed in the meantime.
    pub async fn send(
        &self,
        method: Method,
        body: &Value,
        context: &CliContext,
    ) -> Result<TypedReply<TaskChanged>, ClientError> {
        let path = path(["tasks", &self.name]);
        let headers = if_match(self.revision);
        let reply = context.client()?.send(method, &path, &[], Some(body), &headers).await?;
        match typed(&reply.body, Exit::Unknown) {
            Ok(says) => Ok(TypedReply { status: reply.status, body: reply.body, says }),
            Err(failure) => Err(ClientError::Unknown(failure.message)),
        }
    }

    /// Prints the differences, one field per line.
    pub fn tell(&self, reply: &TypedReply<TaskChanged>, context: &mut CliContext) -> CommandResult {
        let changes = ChangeView::between(&self.definition, &spec::definition(&reply.body));
        let task = reply.says.task.kept();
        context.out.one(&reply.body, |clock| {
            let did = if changes.is_empty() { UNCHANGED } else { "changed" };
            let next = task.map(|task| words::next_tick(task, clock)).unwrap_or_default();
            let lines = changes.iter().map(line).collect::<String>();
            format!("{}: {did}{next}\n{lines}", self.name)
        })?;
        for warning in task.into_iter().flat_map(|task| words::warnings(&task.warnings)) {
            context.out.say(&format!("warning: {warning}"));
        }
        Ok(Exit::Ok)
    }
}

/// Message if there are no differences.
const UNCHANGED: &str = "nothing changed";

/// `  timeout: 0s → 1m`
fn line(change: &ChangeView) -> String {
    let place = change.pointer.trim_start_matches('/').replace('/', ".");
    format!("  {place}: {} → {}\n", words::value(&change.before), words::value(&change.after))
}

/// Changes some fields of a task.
pub async fn run(args: TaskSetArgs, context: &mut CliContext) -> CommandResult {
    if args.is_empty(context.out.clock()) {
        let message = format!("nothing is to be changed: give one of {}", TaskSetArgs::options());
        return Err(Failure::usage(message));
    }
    let task = EditedTask::read(&args.name, context).await?;
    let former = FormerTask { body: Some(&task.body), unset_env: &args.unset_env };
    let fields = args.definition.fields(former, context.out.clock()).map_err(Failure::usage)?;
    let mut patch = Value::Object(fields);
    for field in &args.unset {
        unset(&task.definition, field, &mut patch).map_err(Failure::usage)?;
    }
    match task.send(Method::PATCH, &patch, context).await {
        Ok(reply) => task.tell(&reply, context),
        Err(ClientError::Refused(refusal)) if refusal.status == 412 => {
            let message = format!(
                "task `{}` changed while this command ran, and was left as it is now ({})\n  Repeat \
                 the command.",
                task.name, refusal.code
            );
            Err(Failure { exit: Exit::Conflict, message })
        }
        Err(error) => Err(error.into()),
    }
}

impl TaskSetArgs {
    /// Whether no option requests a change.
    fn is_empty(&self, clock: &LocalClock) -> bool {
        // Options that require other settings of the task cause an error here. They count as a
        // change.
        let definition = self.definition.fields(FormerTask::default(), clock);
        let none = definition.is_ok_and(|fields| fields.is_empty());
        none && self.unset.is_empty() && self.unset_env.is_empty()
    }

    /// The options that change something, as typed.
    fn options() -> String {
        let command = Self::augment_args(Command::new("set"));
        let long = command.get_arguments().filter_map(|argument| argument.get_long());
        let long: Vec<String> = long.map(|long| format!("--{long}")).collect();
        format!("{}, or a command after `--`", long.join(", "))
    }
}

/// Adds to a merge patch that a field is reset to its default.
fn unset(definition: &Value, field: &str, patch: &mut Value) -> Result<(), String> {
    let plain = |part: &str| part.replace("~1", "/").replace("~0", "~");
    let parts: Vec<String> = match field.strip_prefix('/') {
        Some(pointer) => pointer.split('/').map(plain).collect(),
        None => field.split('.').map(str::to_owned).collect(),
    };
    let mut known = definition;
    let mut place = patch;
    for part in &parts {
        known = known.as_object().and_then(|fields| fields.get(part)).ok_or_else(|| {
            format!(
                "--unset {field}: the task has no such field; `punctual show NAME -o yaml` shows \
                     all of them"
            )
        })?;
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        let Value::Object(fields) = place else { continue };
        place = fields.entry(part.clone()).or_insert(Value::Null);
    }
    *place = Value::Null;
    Ok(())
}
