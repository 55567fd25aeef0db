//! `calendar`: named sets of times that schedules exclude.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::choose::{Chosen, confirm_many};
use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::many::{self, OneRequest};
use super::objects::{ListedArgs, ObjectsArgs};
use super::table::{Table, fields};
use crate::client::path;
use crate::config::files;
use crate::dto::{CalendarBody, CalendarChanged, CalendarRemoved, CalendarView};

/// Commands for calendars.
#[derive(Debug, Subcommand)]
pub enum CalendarCommand {
    /// List the calendars
    #[command(visible_alias = "ls")]
    List(ListedArgs),
    /// Show calendars and the tasks that exclude them
    Show(ObjectsArgs),
    /// Create or replace a calendar
    Set(SetArgs),
    /// Remove calendars that no task excludes
    #[command(visible_alias = "rm")]
    Delete(CalendarDeleteArgs),
}

/// Options of `calendar delete`.
#[derive(Debug, Args)]
pub struct CalendarDeleteArgs {
    #[command(flatten)]
    calendars: ObjectsArgs,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// Options of `calendar set`: one rule, whose conditions must all hold, or a file.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The calendar
    name: String,
    /// Days, such as 2026-12-25 or 2026-12-24/2027-01-02
    #[arg(long, value_name = "DATES", value_delimiter = ',')]
    dates: Vec<String>,
    /// Days of every year, such as 12-25 or 12-24/01-02
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    yearly: Vec<String>,
    /// Days of the week, such as sat,sun
    #[arg(long, value_name = "DAYS", value_delimiter = ',')]
    weekdays: Vec<String>,
    /// Times of day, such as 09:00/17:30 or 22:00/06:00
    #[arg(long, value_name = "TIMES", value_delimiter = ',')]
    times: Vec<String>,
    /// The time zone of these times [default: that of the schedule]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// The purpose of the calendar
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Read the whole calendar from a file: YAML, TOML or JSON
    #[arg(short, long, value_name = "FILE",
          conflicts_with_all = ["dates", "yearly", "weekdays", "times", "tz", "description"])]
    file: Option<PathBuf>,
}

/// Runs a command.
pub async fn run(command: CalendarCommand, context: &mut CliContext) -> CommandResult {
    match command {
        CalendarCommand::List(listed) => list(&listed, context).await,
        CalendarCommand::Show(calendars) => {
            let chosen = calendars.choose::<CalendarView>(context).await?;
            chosen.show_each(context, show).await
        }
        CalendarCommand::Set(args) => set(&args, context).await,
        CalendarCommand::Delete(args) => delete(&args, context).await,
    }
}

async fn show(name: &str, context: &mut CliContext) -> CommandResult {
    let reply = context.read(&path(["calendars", name]), &[]).await?;
    context.out.one(&reply.body, |_clock| describe(&reply.says))?;
    Ok(Exit::Ok)
}

async fn delete(args: &CalendarDeleteArgs, context: &mut CliContext) -> CommandResult {
    match args.calendars.choose::<CalendarView>(context).await? {
        Chosen::One(name) => {
            let path = path(["calendars", &name]);
            let reply = context.send::<CalendarRemoved>(Method::DELETE, &path, &[], None).await?;
            context.out.one(&reply.body, |_clock| format!("{name}: removed"))?;
            Ok(Exit::Ok)
        }
        Chosen::Many(names) => {
            confirm_many("remove", "calendars", &names, args.yes, context)?;
            let items = many::each(&names, &OneRequest::delete("calendars"), context).await?;
            many::tell(items, "calendars", "removed", |_item| "removed".to_owned(), context)
        }
    }
}

async fn list(listed: &ListedArgs, context: &mut CliContext) -> CommandResult {
    let list = listed.read::<CalendarView>(context).await?;
    context.out.many(&list.whole, &list.items, |clock| {
        let mut table = Table::new("calendars", &["NAME", "TIMES", "ZONE", "TASKS", "UPDATED"]);
        for calendar in &list.says {
            table.row([
                calendar.body.name.clone(),
                rules(&calendar.body).join("; "),
                calendar.body.timezone.clone().unwrap_or_default(),
                calendar.task_count.to_string(),
                clock.with_age(calendar.updated_at.0),
            ]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

async fn set(args: &SetArgs, context: &mut CliContext) -> CommandResult {
    let body = match &args.file {
        Some(file) => files::read(file).map_err(Failure::usage)?,
        None => args.body().map_err(Failure::usage)?,
    };
    let path = path(["calendars", &args.name]);
    let reply = context.send(Method::PUT, &path, &[], Some(&body)).await?;
    let did = if reply.status == 201 { "created" } else { "set" };
    context.out.one(&reply.body, |_clock| {
        let rules = match &reply.says {
            CalendarChanged::Kept(calendar) => rules(&calendar.body),
            CalendarChanged::Gone(_) => Vec::new(),
        };
        format!("{}: {did}, {}", args.name, rules.join("; "))
    })?;
    Ok(Exit::Ok)
}

impl SetArgs {
    fn body(&self) -> Result<Value, String> {
        let lists = [
            ("dates", &self.dates),
            ("yearly", &self.yearly),
            ("weekdays", &self.weekdays),
            ("times", &self.times),
        ];
        let given = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let rule: Map<String, Value> =
            given.map(|(key, list)| (key.to_owned(), json!(list))).collect();
        if rule.is_empty() {
            return Err("needs --dates, --yearly, --weekdays, --times or --file".to_owned());
        }
        Ok(json!({
            "rules": [rule],
            "timezone": self.tz,
            "description": self.description.as_deref().unwrap_or_default(),
        }))
    }
}

/// Each rule in short form: `sat,sun at 22:00/06:00`.
fn rules(calendar: &CalendarBody) -> Vec<String> {
    let rules = calendar.rules.iter().map(|rule| {
        let days = rule.weekdays.join(",");
        let lists = [rule.dates.join(","), rule.yearly.join(","), days, rule.times.join(",")];
        let given: Vec<&str> =
            lists.iter().map(String::as_str).filter(|list| !list.is_empty()).collect();
        given.join(" at ")
    });
    rules.collect()
}

fn describe(calendar: &CalendarView) -> String {
    let body = &calendar.body;
    let zone = body.timezone.clone().unwrap_or_else(|| "that of the schedule".to_owned());
    let mut lines =
        vec![("calendar", body.name.clone()), ("for", body.description.clone()), ("zone", zone)];
    lines.extend(rules(body).into_iter().map(|rule| ("leaves out", rule)));
    lines.push(("tasks", calendar.tasks.as_deref().unwrap_or_default().join(", ")));
    fields(&lines)
}
