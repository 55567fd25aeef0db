//! `edit`: edits the whole definition of a task in an editor.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Method;
use serde_json::Value;
use tokio::process::Command;

use super::name;
use super::set::EditedTask;
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::yaml;
use crate::client::{ClientError, ErrorKind};
use crate::config::files;

/// The default editor.
const EDITOR: &str = "vi";

/// Options of `edit`.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// The task
    #[arg(value_parser = name)]
    name: String,
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

/// The result of sending an edited definition.
enum EditOutcome {
    /// It was accepted, or nothing was changed.
    Done,
    /// The definition is invalid.
    Wrong(Failure),
}

/// Opens a task in an editor and sends the edited definition.
pub async fn run(args: &EditArgs, context: &mut CliContext) -> CommandResult {
    let task = EditedTask::read(&args.name, context).await?;
    let path = write(&task).map_err(|error| {
        let message = format!("a file for the editor cannot be made: {error}");
        Failure { exit: Exit::No, message }
    })?;
    let done = edit(&task, &path, args.editor(), context).await;
    match done {
        Ok(()) => {
            // The file is no longer needed. If it cannot be removed, the system cleans up its
            // temporary folder.
            let _removed = std::fs::remove_file(&path);
            Ok(Exit::Ok)
        }
        Err(failure) => {
            let message = format!("{}\n  Your text is in {}", failure.message, path.display());
            Err(Failure { message, ..failure })
        }
    }
}

/// Repeats editing until the definition is accepted or the user gives up.
async fn edit(
    task: &EditedTask,
    path: &Path,
    editor: &str,
    context: &mut CliContext,
) -> Result<(), Failure> {
    loop {
        open(editor, path).await?;
        let failure = match take(task, path, context).await? {
            EditOutcome::Done => return Ok(()),
            EditOutcome::Wrong(failure) => failure,
        };
        context.out.say(&format!("error: {}", failure.message));
        if context.out.confirm("edit it again? type yes:") != Some(true) {
            let message = "nothing was changed".to_owned();
            return Err(Failure { exit: failure.exit, message });
        }
    }
}

/// Sends the content of the file, unless it equals the current definition.
async fn take(
    task: &EditedTask,
    path: &Path,
    context: &mut CliContext,
) -> Result<EditOutcome, Failure> {
    let body = match files::read(path) {
        Ok(body) => body,
        Err(problem) => {
            return Ok(EditOutcome::Wrong(Failure { exit: Exit::Usage, message: problem }));
        }
    };
    if body == task.definition || body == Value::Null {
        context.out.say(&format!("{}: nothing changed", task.name));
        return Ok(EditOutcome::Done);
    }
    match task.send(Method::PUT, &body, context).await {
        Ok(reply) => {
            task.tell(&reply, context)?;
            Ok(EditOutcome::Done)
        }
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
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let message = format!(
        "the editor `{editor}` failed ({why}); nothing was changed\n  Set $VISUAL or $EDITOR."
    );
    Err(Failure { exit: Exit::No, message })
}

/// Creates the file to edit. Only its owner may read it.
fn write(task: &EditedTask) -> io::Result<PathBuf> {
    let number: u64 = rand::random();
    let path = std::env::temp_dir().join(format!("punctual-{number:016x}.yaml"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    let head = format!(
        "# The task {}, revision {}. When the editor ends, the task becomes what stands here.\n\
         # A file without a change, or without content, changes nothing.\n",
        task.name, task.revision
    );
    file.write_all(head.as_bytes())?;
    file.write_all(yaml::write(&task.definition).as_bytes())?;
    Ok(path)
}
