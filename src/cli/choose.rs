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
use crate::ops::lists::is_glob;

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

/// What was selected: tasks, or other objects.
#[derive(Debug, PartialEq, Eq)]
pub enum Chosen {
    /// One, by its name.
    One(String),
    /// Any number, in the order given, without duplicates.
    Many(Vec<String>),
}

impl Chosen {
    /// What these names select; of those that are repeated the first counts.
    #[must_use]
    pub fn many(names: Vec<String>) -> Self {
        let mut known = BTreeSet::new();
        Self::Many(names.into_iter().filter(|name| known.insert(name.clone())).collect())
    }

    /// The same of names of which none is a pattern.
    #[must_use]
    pub fn named(names: &[String]) -> Self {
        match names {
            [one] => Self::One(one.clone()),
            names => Self::many(names.to_vec()),
        }
    }

    /// Reads and shows each. A single name is shown as it is. Otherwise people see a block under
    /// each name, and programs one list. A name that is not found does not hide the others.
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
            && !is_glob(one)
        {
            return Ok(Chosen::One(one.clone()));
        }
        let mut chosen = Vec::new();
        for name in &self.names {
            if self.labels.is_empty() && !is_glob(name) {
                chosen.push(name.clone());
            } else {
                chosen.extend(self.look_up(Some(name), among, context).await?);
            }
        }
        if self.names.is_empty() {
            chosen.extend(self.look_up(None, among, context).await?);
        }
        Ok(Chosen::many(chosen))
    }

    /// The names of the tasks that match a pattern and have the labels.
    async fn look_up(
        &self,
        pattern: Option<&str>,
        among: LookAmong,
        context: &mut CliContext,
    ) -> Result<Vec<String>, Failure> {
        let mut query: Vec<(&str, String)> = Vec::new();
        query.extend(pattern.map(|pattern| ("name", pattern.to_owned())));
        query.extend(self.labels.iter().map(|(key, value)| ("label", format!("{key}={value}"))));
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
        let (what, lists) = match among {
            LookAmong::Present => ("task", "ls"),
            LookAmong::Deleted => ("deleted task", "ls --deleted"),
            LookAmong::Both => ("task, deleted or not,", "ls"),
        };
        Err(no_match(what, pattern, &self.labels, lists))
    }
}

/// The error that no object of a kind fits. `lists` is the command that lists them.
#[must_use]
pub fn no_match(
    what: &str,
    pattern: Option<&str>,
    labels: &[(String, String)],
    lists: &str,
) -> Failure {
    let fits = pattern.map(|pattern| format!("is called like `{pattern}`"));
    let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let has = (!labels.is_empty()).then(|| format!("has the label {}", labels.join(", ")));
    let rule: Vec<String> = fits.into_iter().chain(has).collect();
    let message = format!("no {what} {}; `punctual {lists}` lists them", rule.join(" and "));
    Failure { exit: Exit::Conflict, message }
}

/// The tasks to which a list is limited.
#[derive(Debug, Args)]
pub struct ListedTasksArgs {
    /// Only these tasks; * and ? match any characters, and must be quoted
    #[arg(id = "listed", value_name = "NAME", value_parser = name_or_pattern)]
    pub names: Vec<String>,
    /// Only tasks with this label
    #[arg(id = "listed_labels", long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
}

impl ListedTasksArgs {
    /// The query of the list; `key` is the parameter for names.
    #[must_use]
    pub fn query(&self, key: &'static str) -> Vec<(&'static str, String)> {
        let names = self.names.iter().map(|name| (key, name.clone()));
        let labels = self.labels.iter().map(|label| ("label", label.clone()));
        names.chain(labels).collect()
    }
}

/// Asks for confirmation before several objects are changed; `nouns` is what they are.
///
/// # Errors
/// The answer is no, or the session is not interactive.
pub fn confirm_many(
    verb: &str,
    nouns: &str,
    names: &[String],
    yes: bool,
    context: &mut CliContext,
) -> Result<(), Failure> {
    if yes || names.len() < 2 {
        return Ok(());
    }
    let rest = if names.len() > SHOWN { ", …" } else { "" };
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    let question = format!("{verb} {} {nouns} ({shown}{rest})? type yes:", names.len());
    match context.out.confirm(&question) {
        Some(true) => Ok(()),
        Some(false) => Err(Failure { exit: Exit::No, message: "nothing was done".to_owned() }),
        None => Err(Failure::usage(format!(
            "{} {nouns} are meant, and there is no terminal to ask on; add --yes",
            names.len()
        ))),
    }
}

/// Parses the name of a task, or a pattern of names.
fn name_or_pattern(text: &str) -> Result<String, String> {
    if is_glob(text) { Ok(text.to_owned()) } else { name(text) }
}
