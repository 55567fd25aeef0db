//! Selects the tasks of a command, by names, patterns and labels, and reads each of them.

use std::collections::BTreeSet;

use clap::builder::Resettable;
use clap::{Arg, Args, Id};

use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::fetch;
use super::task::{name, pair};
use crate::client::path;
use crate::dto::TaskView;

/// Maximum number of names shown in a question.
const SHOWN: usize = 5;

/// Names, patterns and labels.
#[derive(Debug, Args)]
pub struct TasksArgs {
    /// The tasks; * and ? match any characters, and must be quoted
    #[arg(id = "tasks", value_name = "NAME", value_parser = name_or_pattern,
          required_unless_present = "task_labels")]
    pub names: Vec<String>,
    /// Select tasks with this label; without names, from all tasks
    #[arg(id = "task_labels", long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
}

/// Makes the names of a [`TasksArgs`] optional: without any, the command is about all tasks.
pub fn optional(names: Arg) -> Arg {
    names
        .required_unless_present(Resettable::<Id>::Reset)
        .help("The tasks [default: all]; * and ? match any characters, and must be quoted")
}

/// Whether to search among existing tasks, those marked deleted, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookAmong {
    Present,
    Deleted,
    Both,
}

/// The selected tasks.
#[derive(Debug, PartialEq, Eq)]
pub enum Chosen {
    /// One task, by its name.
    One(String),
    /// Any number of tasks, in the order given, without duplicates.
    Many(Vec<String>),
}

impl Chosen {
    /// Reads and shows each of the tasks. A single name is shown as it is. Otherwise people see a
    /// block under the name of each task, and programs one list. A name that is not found does not
    /// hide the others.
    ///
    /// # Errors
    /// Whatever is wrong with more than one name.
    pub async fn show_each(
        self,
        context: &mut CliContext,
        mut look: impl AsyncFnMut(&str, &mut CliContext) -> CommandResult,
    ) -> CommandResult {
        let names = match self {
            Self::One(name) => return look(&name, context).await,
            Self::Many(names) => names,
        };
        let mut worst = Ok(Exit::Ok);
        context.out.begin_blocks();
        for name in &names {
            context.out.heading(name)?;
            let exit = match look(name, context).await {
                Ok(exit) => exit,
                Err(failure) if failure.exit == Exit::Conflict => {
                    context.out.say(&format!("error: {}", failure.message));
                    failure.exit
                }
                Err(failure) => {
                    worst = Err(failure);
                    break;
                }
            };
            worst = worst.map(|worst| worst.worse(exit));
        }
        // What was read is shown, whatever came after it.
        context.out.end_blocks()?;
        worst
    }
}

impl TasksArgs {
    /// Whether nothing is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.labels.is_empty()
    }

    /// Reads and shows each of the tasks: see [`Chosen::show_each`].
    ///
    /// # Errors
    /// Those of [`Self::choose`], and whatever is wrong with more than one name.
    pub async fn show_each(
        &self,
        context: &mut CliContext,
        look: impl AsyncFnMut(&str, &mut CliContext) -> CommandResult,
    ) -> CommandResult {
        self.choose(LookAmong::Present, context).await?.show_each(context, look).await
    }

    /// The selected tasks. Names are taken as given; patterns and labels are looked up.
    ///
    /// # Errors
    /// A pattern or label that matches no task, or a failed request.
    pub async fn choose(
        &self,
        among: LookAmong,
        context: &mut CliContext,
    ) -> Result<Chosen, Failure> {
        if let ([one], []) = (self.names.as_slice(), self.labels.as_slice())
            && !is_pattern(one)
        {
            return Ok(Chosen::One(one.clone()));
        }
        let mut known = BTreeSet::new();
        let mut chosen = Vec::new();
        let mut add = |name: String| {
            if known.insert(name.clone()) {
                chosen.push(name);
            }
        };
        for name in &self.names {
            if self.labels.is_empty() && !is_pattern(name) {
                add(name.clone());
            } else {
                self.look_up(Some(name), among, context).await?.into_iter().for_each(&mut add);
            }
        }
        if self.names.is_empty() {
            self.look_up(None, among, context).await?.into_iter().for_each(&mut add);
        }
        Ok(Chosen::Many(chosen))
    }

    /// The names of the tasks that match a pattern and have the labels.
    async fn look_up(
        &self,
        pattern: Option<&str>,
        among: LookAmong,
        context: &mut CliContext,
    ) -> Result<Vec<String>, Failure> {
        let labels: Vec<String> =
            self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut query: Vec<(&str, String)> = Vec::new();
        query.extend(pattern.map(|pattern| ("name", pattern.to_owned())));
        query.extend(labels.iter().map(|label| ("label", label.clone())));
        let mut names = Vec::new();
        for (unless, deleted) in [(LookAmong::Deleted, false), (LookAmong::Present, true)] {
            if among == unless {
                continue;
            }
            if deleted {
                query.push(("deleted", "true".to_owned()));
            }
            let list = fetch::all::<TaskView>(context, &path(["tasks"]), &query).await?;
            names.extend(list.says.into_iter().map(|task| task.id));
        }
        if !names.is_empty() {
            return Ok(names);
        }
        let (what, option) = match among {
            LookAmong::Present => ("task", ""),
            LookAmong::Deleted => ("deleted task", " --deleted"),
            LookAmong::Both => ("task, deleted or not,", ""),
        };
        let fits = pattern.map(|pattern| format!("is called like `{pattern}`"));
        let has = (!labels.is_empty()).then(|| format!("has the label {}", labels.join(", ")));
        let rule: Vec<String> = fits.into_iter().chain(has).collect();
        let message = format!("no {what} {}; `punctual ls{option}` lists them", rule.join(" and "));
        Err(Failure { exit: Exit::Conflict, message })
    }
}

/// Asks for confirmation before several tasks are changed.
///
/// # Errors
/// The answer is no, or the session is not interactive.
pub fn confirm_many(
    verb: &str,
    names: &[String],
    yes: bool,
    context: &mut CliContext,
) -> Result<(), Failure> {
    if yes || names.len() < 2 {
        return Ok(());
    }
    let rest = if names.len() > SHOWN { ", …" } else { "" };
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let question = format!("{verb} {} tasks ({shown}{rest})? type yes:", names.len());
    match context.out.confirm(&question) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure { exit: Exit::No, message: "nothing was done".to_owned() }),
        None => Err(Failure::usage(format!(
            "{} tasks are meant, and there is no terminal to ask on; add --yes",
            names.len()
        ))),
    }
}

/// Whether a word is a pattern, and not a name.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Parses the name of a task, or a pattern of names.
fn name_or_pattern(text: &str) -> Result<String, String> {
    if is_pattern(text) { Ok(text.to_owned()) } else { name(text) }
}
