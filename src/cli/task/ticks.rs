//! `next`, `ticks` and `why`: a task's ticks before and after they are settled.

use clap::Args;
use serde_json::Value;

use super::name;
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::{self, ANY, TASK, TICK, VERDICT, WHY, instant, text, word};
use crate::cli::local::{Day, LocalClock};
use crate::cli::table::{Table, fields};
use crate::cli::words::{self, ON_TIME};
use crate::client::path;

/// Options of `next`.
#[derive(Debug, Args)]
pub struct NextArgs {
    /// The task [default: all]
    #[arg(value_parser = name)]
    name: Option<String>,
    /// How many ticks, or tasks
    #[arg(short, default_value_t = 10, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    n: u32,
    /// Ticks of the task from here on [default: now]
    #[arg(long, value_name = "TIME", requires = "name", allow_hyphen_values = true)]
    from: Option<String>,
}

/// Options of `ticks`.
#[derive(Debug, Args)]
pub struct TicksArgs {
    /// The task
    #[arg(value_parser = name)]
    name: String,
    /// How many, the newest
    #[arg(short, default_value_t = 20, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    n: u32,
    /// None before
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// None after
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
}

/// Options of `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    /// The task
    #[arg(value_parser = name)]
    name: String,
    /// The moment in question: a time, or "1h ago" [default: the next tick]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
}

/// Shows the ticks to come.
pub async fn next(args: &NextArgs, context: &mut CliContext) -> CommandResult {
    let Some(name) = &args.name else { return next_of_all(args.n, context).await };
    let mut query = vec![("n", args.n.to_string())];
    query.extend(moment("from", args.from.as_deref(), context)?);
    let path = path(["tasks", name, "next"]);
    let reply = context.read(&path, &query, &ANY).await?;
    let ticks = TICK.items(&reply.body, Exit::NotAccepted)?;
    context.out.many(&reply.body, ticks, |clock| {
        let mut table = Table::new(&["TICK", "IN", "UTC", "NOTE"]);
        for tick in ticks {
            let Some(at) = instant(tick, "at") else { continue };
            table.row([clock.short(at), clock.distance(at), at.to_string(), note(tick)]);
        }
        table
    })?;
    if let Some(held) = text(&reply.body, "held") {
        context.out.say(&format!("none of them will fire as things stand: {held}"));
    }
    Ok(Exit::Ok)
}

/// A moment as a parameter of a request.
fn moment(
    key: &'static str,
    text: Option<&str>,
    context: &CliContext,
) -> Result<Option<(&'static str, String)>, Failure> {
    let read = |text| context.out.clock().read(text, Day::Today).map_err(Failure::usage);
    let at = text.map(read).transpose()?;
    Ok(at.map(|at| (key, at.to_string())))
}

/// What is to be known of a tick to come.
fn note(tick: &Value) -> String {
    let excluded = text(tick, "excluded").map(|name| format!("calendar {name} leaves it out"));
    let notes = [excluded.unwrap_or_default(), word(tick, "note")];
    let notes: Vec<&str> =
        notes.iter().map(String::as_str).filter(|note| !note.is_empty()).collect();
    notes.join("; ")
}

async fn next_of_all(count: u32, context: &mut CliContext) -> CommandResult {
    let query = [("sort", "next".to_owned())];
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let (whole, tasks) = fetch::up_to(context, &path(["tasks"]), &query, &TASK, most).await?;
    context.out.many(&whole, &tasks, |clock| {
        let mut table = Table::new(&["TICK", "IN", "NAME", "SCHEDULE", "OWNER"]);
        for task in &tasks {
            let Some(at) = instant(task, "next_tick") else { continue };
            let (name, owner) = (word(task, "name"), word(task, "owner"));
            table.row([clock.short(at), clock.distance(at), name, words::schedule(task), owner]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

/// Shows the ticks that are settled.
pub async fn ticks(args: &TicksArgs, context: &mut CliContext) -> CommandResult {
    let most = usize::try_from(args.n).unwrap_or(usize::MAX);
    let path = path(["tasks", &args.name, "ticks"]);
    let mut query = Vec::new();
    query.extend(moment("from", args.from.as_deref(), context)?);
    query.extend(moment("to", args.to.as_deref(), context)?);
    let (whole, ticks) = fetch::up_to(context, &path, &query, &VERDICT, most).await?;
    context.out.many(&whole, &ticks, |clock| {
        let columns = ["TICK", "VERDICT", "ENDED", "NODE", "REASON", "COUNT", "EXECUTION"];
        let mut table = Table::new(&columns);
        for tick in &ticks {
            let ended = tick.get("ended").unwrap_or(&Value::Null);
            let reason = if ended.is_null() { word(tick, "reason") } else { word(ended, "reason") };
            table.row([
                stretch(tick, clock),
                word(tick, "verdict"),
                words::ending(ended),
                word(ended, "node"),
                reason,
                word(tick, "count"),
                word(tick, "execution_id"),
            ]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

/// A tick, or a stretch of them; what it begins after is no part of it.
fn stretch(tick: &Value, clock: &LocalClock) -> String {
    if let Some(at) = instant(tick, "tick") {
        return clock.short(at);
    }
    match (instant(tick, "from"), instant(tick, "to")) {
        (Some(from), Some(to)) => format!("after {} to {}", clock.short(from), clock.short(to)),
        _ => String::new(),
    }
}

/// Says why a task fired or did not.
pub async fn why(args: &WhyArgs, context: &mut CliContext) -> CommandResult {
    let query: Vec<_> = moment("at", args.at.as_deref(), context)?.into_iter().collect();
    context.tolerate_stale();
    let answer = context.read(&path(["tasks", &args.name, "why"]), &query, &WHY).await?.body;
    context.out.one(&answer, |clock| explain(&answer, clock))?;
    Ok(Exit::Ok)
}

/// `last, within 1h`, and what holds for all.
fn catch_up(answer: &Value) -> String {
    let policy = answer.pointer("/catch_up/policy").and_then(Value::as_str).unwrap_or_default();
    let window = answer.pointer("/catch_up/window").and_then(Value::as_str).unwrap_or_default();
    match policy {
        "" => String::new(),
        "none" => format!("none; {ON_TIME}"),
        _ => format!("{policy}, within {window}; {ON_TIME}"),
    }
}

/// The answer for people: its sentence, and what it rests on.
fn explain(answer: &Value, clock: &LocalClock) -> String {
    let summary = word(answer, "summary");
    let kept = answer.get("execution_kept").and_then(Value::as_bool).unwrap_or(false);
    let logs = text(answer, "execution_id").filter(|_| kept);
    let logs = logs.map(|id| format!("punctual logs {id}"));
    let facts = fields(&[
        ("at", instant(answer, "at").map(|at| clock.with_distance(at)).unwrap_or_default()),
        ("verdict", word(answer, "verdict")),
        ("expected", word(answer, "expected")),
        ("reason", word(answer, "reason")),
        ("index", word(answer, "index")),
        ("schedule", words::schedule(answer)),
        ("exclude", fetch::list(answer, "/schedule/exclude")),
        ("catch up", catch_up(answer)),
        ("state", words::state(answer, clock)),
        ("owner", word(answer, "owner")),
        ("help", logs.unwrap_or_default()),
    ]);
    format!("{summary}\n{facts}")
}
