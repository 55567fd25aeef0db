//! `edit`: edits the whole definitions of tasks in an editor.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use super::set::{EditedTask, TaskOutcome};
use crate::cli::choose::{Chosen, LookAmong, TasksArgs};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::client::{ClientError, ErrorKind};
use crate::config::files;
use crate::config::yaml;

/// The default editor.
const EDITOR: &str = "vi";
/// Tasks of one editor session.
const TASKS_MAX: usize = 100;

/// Options of `edit`.
#[derive(Debug, Args)]
#[command(after_help = "Several tasks are one list in one file. None can be added or taken away \
    there; those without a change are not sent.")]
pub struct EditArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// The preferred editor.
    #[arg(long, env = "VISUAL", hide = true, value_name = "COMMAND")]
    visual: Option<String>,
    /// The editor used without VISUAL.
    #[arg(long, env = "EDITOR", hide = true, value_name = "COMMAND")]
    editor: Option<String>,
}

impl EditArgs {
    fn editor(&self) -> &str {
        let named = [&self.visual, &self.editor].into_iter().flatten();
        named.map(|editor| editor.trim()).find(|editor| !editor.is_empty()).unwrap_or(EDITOR)
    }
}

/// The result of sending an edited file.
enum EditOutcome {
    /// There is nothing to edit again.
    Done(Exit),
    /// What stands in the file is invalid.
    Wrong(Failure),
}

/// What is edited in one session.
enum Edited {
    /// One task; the file has its definition.
    One(Box<EditedTask>),
    /// The file has a list of definitions.
    Many(Vec<EditedTask>),
}

/// Opens tasks in an editor and sends the edited definitions.
pub async fn run(args: &EditArgs, context: &mut CliContext) -> CommandResult {
    let mut found = Exit::Ok;
    let edited = match args.tasks.choose(LookAmong::Present, context).await? {
        Chosen::One(name) => Edited::One(Box::new(EditedTask::read(&name, context).await?)),
        Chosen::Many(names) => {
            if names.len() > TASKS_MAX {
                let count = names.len();
                let message = format!("{count} tasks are meant; edit takes at most {TASKS_MAX}");
                return Err(Failure::usage(message));
            }
            let mut tasks = Vec::with_capacity(names.len());
            for name in &names {
                match EditedTask::read(name, context).await {
                    Ok(task) => tasks.push(task),
                    // A name that nothing has does not keep the others from the editor.
                    Err(failure) if failure.exit == Exit::Conflict => {
                        context.out.say(&format!("error: {}", failure.message));
                        found = failure.exit;
                    }
                    Err(failure) => return Err(failure),
                }
            }
            if tasks.is_empty() {
                return Ok(found);
            }
            Edited::Many(tasks)
        }
    };
    let path = write(&edited).map_err(|error| {
        let message = format!("a file for the editor cannot be made: {error}");
        Failure { exit: Exit::No, message }
    })?;
    let in_file = format!("Your text is in {}", path.display());
    match edit(&edited, &path, args.editor(), context).await {
        Ok(Exit::Ok) => {
            // The file is no longer needed. If it cannot be removed, the system cleans up its
            // temporary folder.
            let _removed = std::fs::remove_file(&path);
            Ok(found)
        }
        Ok(exit) => {
            context.out.say(&in_file);
            Ok(exit.worse(found))
        }
        Err(failure) => {
            let message = format!("{}\n  {in_file}", failure.message);
            Err(Failure { message, ..failure })
        }
    }
}

/// Repeats editing until the definitions are accepted or the user gives up.
async fn edit(
    edited: &Edited,
    path: &Path,
    editor: &str,
    context: &mut CliContext,
) -> CommandResult {
    loop {
        open(editor, path).await?;
        let taken = match files::read(path) {
            Ok(body) => edited.take(body, context).await?,
            Err(problem) => EditOutcome::Wrong(wrong(problem)),
        };
        let failure = match taken {
            EditOutcome::Done(exit) => return Ok(exit),
            EditOutcome::Wrong(failure) => failure,
        };
        context.out.say(&format!("error: {}", failure.message));
        if context.out.confirm("edit it again? type yes:") != Some(true) {
            let message = "nothing was changed".to_owned();
            return Err(Failure { exit: failure.exit, message });
        }
    }
}

const fn wrong(message: String) -> Failure {
    Failure { exit: Exit::Usage, message }
}

impl Edited {
    /// Sends the content of the file, as far as it differs from the current definitions.
    async fn take(&self, body: Value, context: &mut CliContext) -> Result<EditOutcome, Failure> {
        match self {
            Self::One(task) => take_one(task, &body, context).await,
            Self::Many(_) if body == Value::Null => {
                context.out.say("nothing changed");
                Ok(EditOutcome::Done(Exit::Ok))
            }
            Self::Many(tasks) => match paired(tasks, body) {
                Ok(changed) => take_many(&changed, tasks.len(), context).await,
                Err(rule) => Ok(EditOutcome::Wrong(wrong(rule))),
            },
        }
    }
}

/// What is read of a task in the file; the node reads the rest.
#[derive(Deserialize)]
struct NamedItem {
    name: String,
}

/// The tasks of which the file says something new, each with its new definition.
fn paired(tasks: &[EditedTask], body: Value) -> Result<Vec<(&EditedTask, Value)>, String> {
    let Value::Array(items) = body else {
        return Err("the file must stay a list of tasks, as it was".to_owned());
    };
    let mut by_name = BTreeMap::new();
    for (at, item) in items.into_iter().enumerate() {
        let place = at + 1;
        let named = NamedItem::deserialize(&item);
        let name = named.map_err(|_| format!("item {place} of the list has no name"))?.name;
        if !tasks.iter().any(|task| task.name == name) {
            let add = "a task can be neither added nor renamed here (`punctual add` makes one)";
            return Err(format!(
                "item {place} of the list is `{name}`, which was not in it: {add}"
            ));
        }
        if by_name.insert(name.clone(), item).is_some() {
            return Err(format!("`{name}` is in the list twice"));
        }
    }
    let mut changed = Vec::new();
    for task in tasks {
        let Some(item) = by_name.remove(&task.name) else {
            let delete = format!("`punctual delete {}` deletes it", task.name);
            return Err(format!("`{}` is missing; leave it as it was ({delete})", task.name));
        };
        if item != task.definition {
            changed.push((task, item));
        }
    }
    Ok(changed)
}

/// Sends what is new of one of many tasks.
async fn take_many(
    changed: &[(&EditedTask, Value)],
    all: usize,
    context: &mut CliContext,
) -> Result<EditOutcome, Failure> {
    if changed.is_empty() {
        context.out.say(&format!("{all} tasks: nothing changed"));
        return Ok(EditOutcome::Done(Exit::Ok));
    }
    let mut outcomes = Vec::with_capacity(changed.len());
    for (task, body) in changed {
        context.out.progress(outcomes.len(), changed.len(), "tasks");
        let sent = task.send(Method::PUT, body, context.client()?).await;
        outcomes.push(task.outcome(sent, context.out.clock()));
    }
    TaskOutcome::tell_all(outcomes, "changed", context).map(EditOutcome::Done)
}

/// Sends the definition of a single task.
async fn take_one(
    task: &EditedTask,
    body: &Value,
    context: &mut CliContext,
) -> Result<EditOutcome, Failure> {
    if *body == task.definition || *body == Value::Null {
        context.out.say(&format!("{}: nothing changed", task.name));
        return Ok(EditOutcome::Done(Exit::Ok));
    }
    match task.send(Method::PUT, body, context.client()?).await {
        Ok(reply) => task.tell(&reply, context).map(EditOutcome::Done),
        Err(ClientError::Refused(refusal)) if refusal.status == 412 => {
            let (name, code) = (&task.name, &refusal.code);
            let message = format!(
                "task `{name}` changed while you edited it, and was left as it is now ({code})\n  \
                 Edit it again, and carry your changes over."
            );
            Err(Failure { exit: Exit::Conflict, message })
        }
        Err(error) if error.kind() == ErrorKind::Invalid => Ok(EditOutcome::Wrong(error.into())),
        Err(error) => Err(error.into()),
    }
}

/// Runs the editor until it exits. It may be a command with options and is parsed by a shell.
async fn open(editor: &str, path: &Path) -> Result<(), Failure> {
    let script = format!("{editor} \"$1\"");
    let ended = Command::new("sh").arg("-c").arg(&script).arg("sh").arg(path).status().await;
    let why = match ended {
        Ok(status) if status.success() => return Ok(()),
        Ok(status) => format!("{status}"),
        Err(error) => error.to_string(),
    };
    let message = format!("the editor `{editor}` failed ({why}); nothing was changed");
    Err(Failure { exit: Exit::No, message })
}

/// Creates the file to edit. Only its owner may read it.
fn write(edited: &Edited) -> io::Result<PathBuf> {
    let number: u64 = rand::random();
    let path = std::env::temp_dir().join(format!("punctual-{number:016x}.yaml"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let (head, body) = match edited {
        Edited::One(task) => {
            let head = format!(
                "# The task {}, revision {}. When the editor ends, the task becomes what stands \
                 here.\n# A file without a change, or without content, changes nothing.\n",
                task.name, task.revision
            );
            (head, yaml::write(&task.definition))
        }
        Edited::Many(tasks) => {
            let head = format!(
                "# A list of {} tasks. When the editor ends, each becomes what stands here.\n\
                 # What has no change is left alone. No task can be added or taken away.\n",
                tasks.len()
            );
            let all = tasks.iter().map(|task| task.definition.clone()).collect();
            (head, yaml::write(&Value::Array(all)))
        }
    };
    file.write_all(head.as_bytes())?;
    file.write_all(body.as_bytes())?;
    Ok(path)
}
