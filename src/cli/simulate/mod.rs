//! `simulate`: what tasks from files would do in a time range. It uses the schedules of a node with
//! simulated time. Nothing is sent, stored or started.

mod load;
mod run;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use self::load::load;
use self::run::{SimulatedTask, SimulationOutcome as Ran, run as walk};
use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::local::{Day, LocalClock, length};
use super::table::Table;
use super::task::pair;
use crate::domain::time::Millis;

/// Options of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Files or folders with tasks and calendars: YAML, TOML or JSON
    #[arg(short, long = "file", value_name = "PATH", required = true)]
    files: Vec<PathBuf>,
    /// The start: 2026-12-01, "2026-12-01 09:00", 2026-12-01T09:00:00Z
    #[arg(long, value_name = "TIME")]
    from: String,
    /// The end
    #[arg(long, value_name = "TIME")]
    to: String,
    /// The default time zone of tasks [default: the display time zone]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Duration of an execution: for all tasks, or for one as NAME=DURATION
    #[arg(long, value_name = "DURATION")]
    expect: Vec<String>,
}

/// Runs the simulation.
pub fn run(args: &SimulateArgs, context: &mut CliContext) -> CommandResult {
    let clock = context.out.clock();
    let from = clock.read(&args.from, Day::Today).map_err(Failure::usage)?;
    let to = clock.read(&args.to, Day::Today).map_err(Failure::usage)?;
    if to <= from {
        return Err(Failure::usage("--to must lie after --from"));
    }
    let zone = args.tz.as_deref().unwrap_or(clock.zone());
    let expected = Expected::of(&args.expect).map_err(Failure::usage)?;
    let tasks = load(&args.files, zone, from).map_err(Failure::usage)?;
    if let Some(name) = expected.by_task.keys().find(|name| !tasks.iter().any(|t| t.name == **name))
    {
        return Err(Failure::usage(format!("--expect {name}: there is no such task in the files")));
    }
    let ran = walk(&tasks, to, &|task| expected.of_task(task)).map_err(Failure::usage)?;
    let reports: Vec<Value> = ran.reports.iter().map(shown).collect();
    let whole = json!({
        "from": from.to_string(),
        "to": to.to_string(),
        "tasks": reports,
        "ticks": ran.ticks,
        "excluded": ran.excluded,
        "busiest": ran.busiest.iter().map(|(at, count)| {
            json!({"minute": at.to_string(), "ticks": count})
        }).collect::<Vec<_>>(),
    });
    let whole = match (whole, args.expect.is_empty()) {
        (Value::Object(mut whole), false) => {
            whole.insert("running_at_once".to_owned(), ran.at_once.into());
            Value::Object(whole)
        }
        (whole, _) => whole,
    };
    context.out.many(&whole, &reports, |clock| table(&ran.reports, clock))?;
    for line in summary(&ran, clock_of(context), !args.expect.is_empty()) {
        context.out.say(&line);
    }
    Ok(Exit::Ok)
}

fn clock_of(context: &CliContext) -> &LocalClock {
    context.out.clock()
}

/// Expected durations of executions.
struct Expected {
    all: Millis,
    by_task: BTreeMap<String, Millis>,
}

impl Expected {
    fn of(texts: &[String]) -> Result<Self, String> {
        let mut expected = Self { all: Millis(0), by_task: BTreeMap::new() };
        for text in texts {
            let length =
                |text: &str| Millis::parse(text).map_err(|rule| format!("--expect {text}: {rule}"));
            match pair(text) {
                Ok((name, value)) => drop(expected.by_task.insert(name, length(&value)?)),
                Err(_) => expected.all = length(text)?,
            }
        }
        Ok(expected)
    }

    fn of_task(&self, name: &str) -> Millis {
        self.by_task.get(name).copied().unwrap_or(self.all)
    }
}

fn shown(report: &SimulatedTask) -> Value {
    json!({
        "name": report.name,
        "ticks": report.ticks,
        "excluded": report.excluded,
        "first": report.first.map(|at| at.to_string()),
        "last": report.last.map(|at| at.to_string()),
        "expected": report.expected.to_string(),
        "overlaps": report.overlaps,
        "running_at_once": report.at_once,
    })
}

fn table(reports: &[SimulatedTask], clock: &LocalClock) -> Table {
    let mut table = Table::new(
        "tasks",
        &["NAME", "TICKS", "EXCLUDED", "FIRST", "LAST", "TAKES", "OVERLAPS", "AT ONCE"],
    );
    for report in reports {
        let at = |at: Option<crate::domain::time::Timestamp>| {
            at.map(|at| clock.short(at)).unwrap_or_default()
        };
        let timed = report.expected > Millis(0);
        let if_timed = |text: String| if timed { text } else { String::new() };
        table.row([
            report.name.clone(),
            report.ticks.to_string(),
            report.excluded.to_string(),
            at(report.first),
            at(report.last),
            if_timed(length(report.expected)),
            if_timed(report.overlaps.to_string()),
            if_timed(report.at_once.to_string()),
        ]);
    }
    table
}

/// The summary of all tasks.
fn summary(ran: &Ran, clock: &LocalClock, timed: bool) -> Vec<String> {
    let mut lines = vec![format!("{} ticks of {} tasks", ran.ticks, ran.reports.len())];
    if let Some((at, count)) = ran.busiest.first() {
        lines.push(format!("busiest minute: {}, {count} ticks", clock.short(*at)));
    }
    if timed {
        lines.push(format!("at most {} executions at once", ran.at_once));
    }
    lines
}
