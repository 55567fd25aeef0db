//! `set`: changes some fields of tasks by options and keeps the others.

use clap::{Args, Command};
use reqwest::Method;
use serde_json::{Map, Value};

use super::definition::FormerTask;
use super::options::DefinitionArgs;
use crate::cli::choose::{Chosen, LookAmong, TasksArgs, confirm_many};
use crate::cli::context::CliContext;
use crate::cli::diff;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{TypedReply, typed};
use crate::cli::local::LocalClock;
use crate::cli::many;
use crate::cli::words;
use crate::client::{Client, ClientError, if_match, path};
use crate::domain::spec;
use crate::dto::{ChangeView, ItemView, TaskBody, TaskChanged, TaskView};

/// Options of `set`.
#[derive(Debug, Args)]
#[command(mut_arg("task_labels", |labels| labels.long("with-label")))]
pub struct TaskSetArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
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
        Self::of(name, &body, &says)
    }

    /// The task of an answer.
    ///
    /// # Errors
    /// It is marked deleted, or this version cannot read its definition.
    pub fn of(name: &str, body: &Value, says: &TaskView) -> Result<Self, Failure> {
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
        let definition = spec::definition(body);
        Ok(Self { name: name.to_owned(), revision: says.revision, definition, body: known.clone() })
    }

    /// Sends a change. It is rejected if the task has been changed in the meantime.
    pub async fn send(
        &self,
        method: Method,
        body: &Value,
        client: &Client,
    ) -> Result<TypedReply<TaskChanged>, ClientError> {
        let path = path(["tasks", &self.name]);
        let headers = if_match(self.revision);
        let reply = client.send(method, &path, &[], Some(body), &headers).await?;
        match typed(&reply.body, Exit::Unknown) {
            Ok(says) => Ok(TypedReply { status: reply.status, body: reply.body, says }),
            Err(failure) => Err(ClientError::Unknown(failure.message)),
        }
    }

    /// Sends a change of this task alone, and prints the differences.
    pub async fn change(
        &self,
        method: Method,
        body: &Value,
        context: &mut CliContext,
    ) -> CommandResult {
        match self.send(method, body, context.client()?).await {
            Ok(reply) => self.tell(&reply, context),
            Err(ClientError::Refused(refusal)) if refusal.status == 412 => {
                let message = format!(
                    "task `{}` changed while this command ran, and was left as it is now ({})\n  \
                     Repeat the command.",
                    self.name, refusal.code
                );
                Err(Failure { exit: Exit::Conflict, message })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Prints the differences, one field per line.
    pub fn tell(&self, reply: &TypedReply<TaskChanged>, context: &mut CliContext) -> CommandResult {
        let changes = |clock: &_| format!("{}: {}", self.name, self.changes(reply, clock));
        context.out.one(&reply.body, changes)?;
        let task = reply.says.task.kept();
        for warning in task.into_iter().flat_map(|task| words::warnings(&task.warnings)) {
            context.out.say(&format!("warning: {warning}"));
        }
        Ok(Exit::Ok)
    }

    /// `changed, next tick in 3 s (12:00:05)`, and each difference on a line of its own.
    fn changes(&self, reply: &TypedReply<TaskChanged>, clock: &LocalClock) -> String {
        let changes = ChangeView::between(&self.definition, &spec::definition(&reply.body));
        let did = if changes.is_empty() { UNCHANGED } else { "changed" };
        let next = reply.says.task.kept().map(|task| words::next_tick(task, clock));
        let lines = diff::lines(&changes);
        format!("{did}{}\n{lines}", next.unwrap_or_default()).trim_end().to_owned()
    }

    /// What became of the task as one of several, and what is told of it.
    pub fn outcome(
        &self,
        sent: Result<TypedReply<TaskChanged>, ClientError>,
        clock: &LocalClock,
    ) -> TaskOutcome {
        match sent {
            Ok(reply) => {
                let mut item = many::done(&self.name, reply.status, &reply.body);
                let kept = reply.says.task.kept();
                item.warnings = kept.map(|task| task.warnings.clone()).unwrap_or_default();
                TaskOutcome { item, told: self.changes(&reply, clock) }
            }
            Err(error) => TaskOutcome::of(unchanged(&self.name, error)),
        }
    }
}

/// What became of a change that was bound to a revision and was not made.
pub fn unchanged(name: &str, error: ClientError) -> ItemView {
    match error {
        ClientError::Refused(mut refusal) if refusal.status == 412 => {
            refusal.detail = "it changed meanwhile, and was left as it is now".to_owned();
            many::undone(name, ClientError::Refused(refusal))
        }
        error => many::undone(name, error),
    }
}

/// What became of one of several tasks that were changed.
pub struct TaskOutcome {
    /// For programs.
    item: ItemView,
    /// For people; empty if it was refused.
    told: String,
}

impl TaskOutcome {
    const fn of(item: ItemView) -> Self {
        Self { item, told: String::new() }
    }

    /// Prints what became of several tasks.
    ///
    /// # Errors
    /// Those of the stream.
    pub fn tell_all(all: Vec<Self>, done: &str, context: &mut CliContext) -> CommandResult {
        let (items, told): (Vec<_>, Vec<_>) =
            all.into_iter().map(|one| ((one.item.clone()), (one.item.name, one.told))).unzip();
        let told = |item: &ItemView| {
            let one = told.iter().find(|(name, _)| *name == item.name);
            one.map(|(_, told)| told.clone()).unwrap_or_default()
        };
        many::tell(items, "tasks", done, told, context)
    }
}

/// Message if there are no differences.
pub(super) const UNCHANGED: &str = "nothing changed";

/// Changes some fields of tasks.
pub async fn run(args: TaskSetArgs, context: &mut CliContext) -> CommandResult {
    if args.is_empty(context.out.clock()) {
        let message = format!("nothing is to be changed: give one of {}", TaskSetArgs::options());
        return Err(Failure::usage(message));
    }
    let name = match args.tasks.choose(LookAmong::Present, context).await? {
        Chosen::One(name) => name,
        Chosen::Many(names) => {
            confirm_many("change", "tasks", &names, args.yes, context)?;
            let (client, clock) = (context.own_client()?, context.out.clock().clone());
            let each = names.iter().map(|name| args.set_one(name, &client, &clock));
            let all = many::at_once(each, "tasks", &mut context.out).await;
            if all.iter().any(|one| one.item.status == 404) {
                context.out.say(
                    "if a command was meant, it stands after `--`: punctual set NAME -- echo hi",
                );
            }
            return TaskOutcome::tell_all(all, "set", context);
        }
    };
    let task = EditedTask::read(&name, context).await?;
    let patch = args.patch(&task, context.out.clock()).map_err(Failure::usage)?;
    task.change(Method::PATCH, &patch, context).await
}

impl TaskSetArgs {
    /// What is sent to change the task.
    fn patch(&self, task: &EditedTask, clock: &LocalClock) -> Result<Value, String> {
        let former = FormerTask { body: Some(&task.body), unset_env: &self.unset_env };
        let mut patch = Value::Object(self.definition.fields(former, clock)?);
        for field in &self.unset {
            unset(&task.definition, field, &mut patch)?;
        }
        Ok(patch)
    }

    /// Changes one of several tasks.
    async fn set_one(&self, name: &str, client: &Client, clock: &LocalClock) -> TaskOutcome {
        let body = match client.get(&path(["tasks", name]), &[]).await {
            Ok(reply) => reply.body,
            Err(error) => return TaskOutcome::of(many::undone(name, error)),
        };
        let task = typed::<TaskView>(&body, Exit::NotAccepted)
            .and_then(|says| EditedTask::of(name, &body, &says))
            .map_err(|failure| (failure.exit, failure.message));
        let patched = task.and_then(|task| match self.patch(&task, clock) {
            Ok(patch) => Ok((task, patch)),
            Err(rule) => Err((Exit::Usage, rule)),
        });
        match patched {
            Ok((task, patch)) => {
                task.outcome(task.send(Method::PATCH, &patch, client).await, clock)
            }
            Err((exit, why)) => TaskOutcome::of(many::unsent(name, exit, why)),
        }
    }

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
        let changes =
            |argument: &&clap::Arg| !["task_labels", "yes"].contains(&argument.get_id().as_str());
        let long = command.get_arguments().filter(changes).filter_map(|one| one.get_long());
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
