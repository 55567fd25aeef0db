//! `export`: definitions as `apply` reads them, without state.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;
use serde_json::Value;

use super::choose::{TasksArgs, optional};
use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::fetch;
use super::table::Table;
use crate::client::path;
use crate::config::yaml;
use crate::domain::spec;
use crate::dto::{CalendarView, TaskView};
use crate::ops::lists::is_glob;

/// Options of `export`.
#[derive(Debug, Args)]
#[command(
    after_help = "The form is YAML unless -o says json. `punctual export | punctual apply -f -` \
    changes nothing."
)]
#[command(mut_arg("tasks", optional))]
pub struct ExportArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Print calendars as well: all, or of selected tasks those that they exclude
    #[arg(long)]
    calendars: bool,
}

/// A document of definitions.
#[derive(Serialize)]
struct ExportedDefinitions {
    #[serde(skip_serializing_if = "Option::is_none")]
    calendars: Option<Vec<Value>>,
    tasks: Vec<Value>,
}

/// What is exported: definitions by name, and the calendars that they exclude.
#[derive(Default)]
struct Export {
    tasks: BTreeMap<String, Value>,
    excluded: BTreeMap<String, usize>,
}

/// Prints definitions.
pub async fn run(args: &ExportArgs, context: &mut CliContext) -> CommandResult {
    let mut export = Export::default();
    let labels = args.tasks.labels.iter().map(|(key, value)| ("label", format!("{key}={value}")));
    let labels: Vec<(&str, String)> = labels.collect();
    for name in &args.tasks.names {
        if labels.is_empty() && !is_glob(name) {
            let reply = context.read::<TaskView>(&path(["tasks", name]), &[]).await?;
            if reply.says.state == "deleted" {
                let message = format!("task `{name}` is deleted (task_deleted)");
                return Err(Failure { exit: Exit::Conflict, message });
            }
            export.add(&reply.body, &reply.says);
            continue;
        }
        let mut query = labels.clone();
        query.push(("name", name.clone()));
        export.list(&query, &format!("that is called like `{name}`"), context).await?;
    }
    if args.tasks.names.is_empty() {
        let what = if labels.is_empty() { "" } else { "with the label" };
        export.list(&labels, what, context).await?;
    }
    let calendars = match args.calendars {
        true => Some(export.calendars(args.tasks.is_empty(), context).await?),
        false => None,
    };
    if !args.calendars && !export.excluded.is_empty() {
        let names: Vec<&str> = export.excluded.keys().map(String::as_str).collect();
        let names = names.join(", ");
        context.out.say(&format!("these tasks exclude calendars ({names}); --calendars adds them"));
    }
    let items: Vec<Value> =
        calendars.iter().flatten().chain(export.tasks.values()).cloned().collect();
    let tasks = export.tasks.into_values().collect();
    let whole = fetch::value(&ExportedDefinitions { calendars, tasks });
    if context.out.for_people() {
        context.out.bytes(yaml::write(&whole).as_bytes())?;
    } else {
        context.out.many(&whole, &items, |_clock| Table::default())?;
    }
    Ok(Exit::Ok)
}

impl Export {
    fn add(&mut self, body: &Value, says: &TaskView) {
        self.tasks.insert(says.id.clone(), spec::definition(body));
        let excluded = says.definition.body().map(|body| &body.schedule.exclude);
        for name in excluded.into_iter().flatten() {
            *self.excluded.entry(name.clone()).or_default() += 1;
        }
    }

    /// Adds the tasks of a list. `what` says which they are; none of them is an error.
    async fn list(
        &mut self,
        query: &[(&str, String)],
        what: &str,
        context: &mut CliContext,
    ) -> Result<(), Failure> {
        let list = fetch::all::<TaskView>(context, &path(["tasks"]), query).await?;
        if list.says.is_empty() && !what.is_empty() {
            let message = format!("there is no task {what}; `punctual ls` lists them");
            return Err(Failure { exit: Exit::Conflict, message });
        }
        for (body, says) in list.items.iter().zip(&list.says) {
            self.add(body, says);
        }
        Ok(())
    }

    /// All calendars, or those that the tasks exclude.
    async fn calendars(&self, all: bool, context: &mut CliContext) -> Result<Vec<Value>, Failure> {
        let list = fetch::all::<CalendarView>(context, &path(["calendars"]), &[]).await?;
        let kept = list.items.iter().zip(&list.says);
        let kept = kept.filter(|(_, says)| all || self.excluded.contains_key(&says.body.name));
        Ok(kept.map(|(body, _)| spec::calendar_definition(body)).collect())
    }
}
