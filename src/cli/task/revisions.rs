//! `revisions` and `revert`: the definitions that a task had, and one of them again.

use clap::Args;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::name;
use super::set::{EditedTask, UNCHANGED};
use crate::cli::choose::TasksArgs;
use crate::cli::context::CliContext;
use crate::cli::diff;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{self, ReplyKind};
use crate::cli::local::LocalClock;
use crate::cli::words;
use crate::client::path;
use crate::dto::{ChangeView, RevisionView, RevisionsView};

/// Options of `revert`.
#[derive(Debug, Args)]
#[command(
    after_help = "The task gets the definition of that revision as a new one; statistics and \
    history stay. `punctual revisions NAME` lists the revisions that are kept, at most 20."
)]
pub struct RevertArgs {
    /// The task
    #[arg(value_parser = name)]
    name: String,
    /// The revision whose definition the task gets
    #[arg(long, value_name = "REVISION")]
    to: u64,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What is read of a revision that is sent again. The definition is sent as it came, with the
/// fields that this version does not know.
#[derive(Deserialize)]
struct KeptDefinition {
    revision: u64,
    definition: Value,
}

/// What is read of all of them.
#[derive(Deserialize)]
struct KeptDefinitions {
    items: Vec<KeptDefinition>,
}

impl ReplyKind for KeptDefinitions {
    const WHAT: &'static str = "a list of revisions";
}

/// Shows the kept definitions of tasks, and what each of them changed.
pub async fn list(args: &TasksArgs, context: &mut CliContext) -> CommandResult {
    args.show_each(context, list_one).await
}

async fn list_one(name: &str, context: &mut CliContext) -> CommandResult {
    let reply = context.read::<RevisionsView>(&path(["tasks", name, "revisions"]), &[]).await?;
    if context.out.for_people() {
        let clock = context.out.clock();
        let blocks = reply.says.items.iter().map(|revision| describe(revision, clock));
        let shown: String = blocks.collect();
        context.out.printed(shown.as_bytes())?;
    } else {
        let items = fetch::page::<RevisionsView>(&reply.body)?.items;
        context.out.many(&reply.body, &items, |_clock| Default::default())?;
    }
    Ok(Exit::Ok)
}

/// `revision 17, 12:00:05 (3 s ago), by api, in force`, and what it changed.
fn describe(revision: &RevisionView, clock: &LocalClock) -> String {
    let at = words::ago(Some(revision.at), clock);
    let RevisionView { revision: number, by, .. } = revision;
    let current = if revision.current { ", in force" } else { "" };
    let changes = match &revision.changes {
        None => "  the oldest that is kept\n".to_owned(),
        Some(none) if none.is_empty() => format!("  {UNCHANGED}\n"),
        Some(changes) => diff::lines(changes),
    };
    format!("revision {number}, {at}, by {by}{current}\n{changes}")
}

/// Gives a task a definition again that it had.
pub async fn revert(args: &RevertArgs, context: &mut CliContext) -> CommandResult {
    let (name, to) = (args.name.as_str(), args.to);
    let task = EditedTask::read(name, context).await?;
    let revisions = path(["tasks", name, "revisions"]);
    let kept = context.read::<KeptDefinitions>(&revisions, &[]).await?.says.items;
    let Some(KeptDefinition { definition, .. }) = kept.iter().find(|one| one.revision == to) else {
        let numbers: Vec<String> = kept.iter().map(|one| one.revision.to_string()).collect();
        let message = format!(
            "revision {to} of `{name}` is not kept; these are: {}\n  `punctual revisions {name}` \
             shows what each of them changed.",
            numbers.join(", ")
        );
        return Err(Failure { exit: Exit::Conflict, message });
    };
    let changes = ChangeView::between(&task.definition, definition);
    if changes.is_empty() {
        context.out.say(&format!("{name}: {UNCHANGED}"));
        return Ok(Exit::Ok);
    }
    if args.dry_run {
        let shown = json!({"task": name, "revision": to, "changes": changes});
        let lines = diff::lines(&changes);
        context.out.one(&shown, |_clock| format!("{name}: would change\n{lines}"))?;
        return Ok(Exit::Ok);
    }
    task.change(Method::PUT, definition, context).await
}
