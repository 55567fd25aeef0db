//! `apply`: makes the tasks and calendars of a cluster those of files.
//!
//! [`compare`] decides what is to be done with each object, [`ticks`] adds what that means for its
//! next ticks, [`send`] carries it out and [`show`] tells it. Nothing is sent while anything is wrong
//! with a file.

mod compare;
mod known;
mod prune;
mod send;
mod show;
mod ticks;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use self::known::KnownCluster;
use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::task::pair;
use crate::config::Definitions;
use crate::dto::{ChangeView, ItemView, NextTick, WarningView};

/// Printed below the options.
const NOTES: &str = "\
Each object is created, changed, unchanged, removed or refused. A field that a file leaves out has
its default. A task that was changed by somebody else while this command ran is left as it is.

Exit codes with --exit-code: 0 there was nothing to do, 1 something was changed (or would be, with
--dry-run); all others as always.";

/// Options of `apply`.
#[derive(Debug, Args)]
#[command(after_help = NOTES)]
pub struct ApplyArgs {
    /// Files or folders with tasks and calendars: YAML, TOML or JSON; - reads standard input
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    files: Vec<PathBuf>,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Delete tasks that are not in the files, of those that carry the label of --label
    #[arg(long, requires = "owned")]
    prune: bool,
    /// The label that all tasks of the files have, and no others
    #[arg(id = "owned", long = "label", value_name = "KEY=VALUE", value_parser = pair,
          requires = "prune")]
    labels: Vec<(String, String)>,
    /// Exit with 1 if there was something to change
    #[arg(long)]
    exit_code: bool,
    /// Delete without asking
    #[arg(long, requires = "prune")]
    yes: bool,
}

/// What kind of object a definition is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum ObjectKind {
    Task,
    Calendar,
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum ApplyResult {
    Created,
    Changed,
    Unchanged,
    Removed,
    Refused,
}

/// The next ticks of a task before and after a change of its schedule.
#[derive(Debug, Serialize)]
struct TicksChange {
    before: Vec<NextTick>,
    after: Vec<NextTick>,
}

/// An object of the files, or one that is removed.
#[derive(Debug, Serialize)]
struct ApplyItem {
    kind: ObjectKind,
    name: String,
    result: ApplyResult,
    /// What differs from the definition in the cluster.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ChangeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_ticks: Option<TicksChange>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<ItemView>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<WarningView>,
    /// Of a new one: what it is, in words.
    #[serde(skip)]
    words: String,
    /// What is sent.
    #[serde(skip)]
    body: Value,
    /// The revision with which it was compared.
    #[serde(skip)]
    revision: u64,
}

impl ApplyItem {
    fn new(kind: ObjectKind, name: &str, result: ApplyResult) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            result,
            changes: Vec::new(),
            next_ticks: None,
            refusal: None,
            warnings: Vec::new(),
            words: String::new(),
            body: Value::Null,
            revision: 0,
        }
    }

    fn refuse(&mut self, why: ItemView) {
        self.result = ApplyResult::Refused;
        self.refusal = Some(why);
    }

    fn is(&self, kind: ObjectKind, result: ApplyResult) -> bool {
        self.kind == kind && self.result == result
    }
}

/// Applies files.
pub async fn run(args: &ApplyArgs, context: &mut CliContext) -> CommandResult {
    let (files, mut problems) = Definitions::look(&args.files);
    if problems.is_empty() && files.file_count() == 0 {
        problems.push("there is no file that ends in .yaml, .yml, .toml or .json".to_owned());
    }
    // Most rules can be checked without the cluster, so what is wrong with the files is told
    // whether or not it answers.
    let known = KnownCluster::read(&files, &args.labels, context).await;
    let now = context.out.clock().now();
    let (mut items, wanted) = compare::compare(&files, known.as_ref().ok(), now, &mut problems);
    if args.prune {
        let unlabelled = prune::unlabelled(&files, &wanted, &args.labels);
        problems.extend(unlabelled);
    }
    if !problems.is_empty() {
        return Err(wrong(&problems));
    }
    let known = known?;
    if args.prune {
        items.extend(prune::removals(&files, &wanted, &known));
    }
    ticks::add(&mut items, &wanted, &files, &known, context).await?;
    let removed = items.iter().filter(|item| item.result == ApplyResult::Removed);
    let removed: Vec<&str> = removed.map(|item| item.name.as_str()).collect();
    if !args.dry_run {
        prune::confirm(&removed, args.yes, context)?;
        send::carry_out(&mut items, context).await?;
    }
    let changed = show::print(&items, args.dry_run, context)?;
    let refusals = items.iter().filter_map(|item| item.refusal.as_ref());
    match refusals.map(super::many::exit_of).fold(Exit::Ok, Exit::worse) {
        Exit::Ok if args.exit_code && changed => Ok(Exit::No),
        exit => Ok(exit),
    }
}

/// The error for files in which something is wrong.
fn wrong(problems: &[String]) -> Failure {
    let what = match problems {
        [only] => only.clone(),
        many => format!("{} problems\n  {}", many.len(), many.join("\n  ")),
    };
    Failure { exit: Exit::Usage, message: format!("{what}\nnothing was changed") }
}
