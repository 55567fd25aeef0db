//! `next`, `ticks` and `why`: the ticks of a task before and after they are settled.

use clap::Args;

use crate::cli::choose::{TasksArgs, optional};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch;
use crate::cli::local::{Day, LocalClock};
use crate::cli::table::{Table, fields};
use crate::cli::words::{self, ON_TIME};
use crate::client::path;
use crate::dto::{
    CatchUpBody, FiredView, NextTick, NextView, SpanView, TaskView, TickView, WhyView,
};

/// Options of `next`.
#[derive(Debug, Args)]
#[command(mut_arg("tasks", optional))]
pub struct NextArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Number of ticks of each task; without a name, of tasks
    #[arg(short, default_value_t = 10, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    n: u32,
    /// Show ticks of the named tasks after this time [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
}

/// Options of `ticks`.
#[derive(Debug, Args)]
pub struct TicksArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Number of ticks of each task, the newest first
    #[arg(short, default_value_t = 20, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    n: u32,
    /// Show no ticks before this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Show no ticks after this time
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
}

/// Options of `why`.
#[derive(Debug, Args)]
pub struct WhyArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// The time to explain, such as "1h ago" [default: the next tick]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
}

/// Prints future ticks.
pub async fn next(args: &NextArgs, context: &mut CliContext) -> CommandResult {
    if args.tasks.is_empty() {
        if args.from.is_some() {
            return Err(Failure::usage("--from needs the name of a task"));
        }
        return next_of_all(args.n, context).await;
    }
    let mut query = vec![("n", args.n.to_string())];
    query.extend(moment("from", args.from.as_deref(), context)?);
    let look = async |name: &str, context: &mut CliContext| next_of(name, &query, context).await;
    args.tasks.show_each(context, look).await
}

async fn next_of(name: &str, query: &[(&str, String)], context: &mut CliContext) -> CommandResult {
    let path = path(["tasks", name, "next"]);
    let reply = context.read::<NextView>(&path, query).await?;
    let items = fetch::page::<NextView>(&reply.body)?.items;
    context.out.many(&reply.body, &items, |clock| {
        let mut table = Table::new("ticks to come", &["TICK", "IN", "UTC", "NOTE"]);
        for tick in &reply.says.items {
            let at = tick.at.0;
            table.row([clock.short(at), clock.distance(at), at.to_string(), note(tick)]);
        }
        table
    })?;
    if let Some(held) = &reply.says.held {
        context.out.say(&format!("none of them will fire as things stand: {held}"));
    }
    Ok(Exit::Ok)
}

/// An instant as a query parameter.
fn moment(
    key: &'static str,
    text: Option<&str>,
    context: &CliContext,
) -> Result<Option<(&'static str, String)>, Failure> {
    let read = |text| context.out.clock().read(text, Day::Today).map_err(Failure::usage);
    let at = text.map(read).transpose()?;
    Ok(at.map(|at| (key, at.to_string())))
}

/// Remarks about a future tick.
fn note(tick: &NextTick) -> String {
    let excluded = tick.excluded.as_ref().map(|name| format!("calendar {name} leaves it out"));
    let notes: Vec<String> = excluded.into_iter().chain(tick.note.clone()).collect();
    notes.join("; ")
}

async fn next_of_all(count: u32, context: &mut CliContext) -> CommandResult {
    let query = [("sort", "next".to_owned())];
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let list = fetch::up_to::<TaskView>(context, &path(["tasks"]), &query, most).await?;
    context.out.many(&list.whole, &list.items, |clock| {
        let columns = ["TICK", "IN", "NAME", "SCHEDULE", "OWNER"];
        let mut table = Table::new("ticks to come", &columns);
        for task in &list.says {
            let Some(at) = task.next_tick else { continue };
            table.row([
                clock.short(at.0),
                clock.distance(at.0),
                task.id.clone(),
                words::schedule_of(task),
                task.owner.clone().unwrap_or_default(),
            ]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

/// Prints settled ticks.
pub async fn ticks(args: &TicksArgs, context: &mut CliContext) -> CommandResult {
    let most = usize::try_from(args.n).unwrap_or(usize::MAX);
    let mut query = Vec::new();
    query.extend(moment("from", args.from.as_deref(), context)?);
    query.extend(moment("to", args.to.as_deref(), context)?);
    let look =
        async |name: &str, context: &mut CliContext| ticks_of(name, &query, most, context).await;
    args.tasks.show_each(context, look).await
}

async fn ticks_of(
    name: &str,
    query: &[(&str, String)],
    most: usize,
    context: &mut CliContext,
) -> CommandResult {
    let path = path(["tasks", name, "ticks"]);
    let list = fetch::up_to::<TickView>(context, &path, query, most).await?;
    context.out.many(&list.whole, &list.items, |clock| {
        let columns = ["TICK", "VERDICT", "ENDED", "NODE", "REASON", "COUNT", "EXECUTION"];
        let mut table = Table::new("ticks", &columns);
        for tick in &list.says {
            table.row(match tick {
                TickView::Fired(fired) => fired_row(fired, clock),
                TickView::Span(span) => span_row(span, clock),
            });
        }
        table
    })?;
    list.say_more("ticks", context);
    Ok(Exit::Ok)
}

/// The row of a tick that fired.
fn fired_row(fired: &FiredView, clock: &LocalClock) -> [String; 7] {
    let ended = fired.ended.as_ref();
    [
        clock.short(fired.tick.0),
        fired.verdict.to_string(),
        ended.map(words::ending).unwrap_or_default(),
        ended.and_then(|ended| ended.node.clone()).unwrap_or_default(),
        ended.and_then(|ended| ended.reason.clone()).unwrap_or_default(),
        String::new(),
        fired.execution_id.clone(),
    ]
}

/// The row of a span. Its start is exclusive.
fn span_row(span: &SpanView, clock: &LocalClock) -> [String; 7] {
    [
        format!("after {} to {}", clock.short(span.from.0), clock.short(span.to.0)),
        span.verdict.to_string(),
        String::new(),
        String::new(),
        span.reason.to_string(),
        span.count.map(|count| count.to_string()).unwrap_or_default(),
        String::new(),
    ]
}

/// Prints why a task fired or did not fire.
pub async fn why(args: &WhyArgs, context: &mut CliContext) -> CommandResult {
    let query: Vec<_> = moment("at", args.at.as_deref(), context)?.into_iter().collect();
    context.tolerate_stale();
    let look = async |name: &str, context: &mut CliContext| {
        let reply = context.read::<WhyView>(&path(["tasks", name, "why"]), &query).await?;
        context.out.one(&reply.body, |clock| explain(&reply.says, clock))?;
        Ok(Exit::Ok)
    };
    args.tasks.show_each(context, look).await
}

/// The catch-up policy, such as `last, within 1h`, and a general rule.
fn catch_up(catch_up: &CatchUpBody) -> String {
    match &*catch_up.policy {
        "none" => format!("none; {ON_TIME}"),
        policy => format!("{policy}, within {}; {ON_TIME}", catch_up.window),
    }
}

/// The explanation: the summary sentence, and the facts behind it.
fn explain(why: &WhyView, clock: &LocalClock) -> String {
    let word = |word: &Option<_>| word.as_ref().map(ToString::to_string).unwrap_or_default();
    let kept = why.execution_id.as_ref().filter(|_| why.execution_kept == Some(true));
    let schedule = why.schedule.as_ref();
    let enabled = why.enabled != Some(false);
    let strategy = word(&why.strategy);
    let owner = |owner: &String| match strategy.as_str() {
        "" | "consistent" => owner.clone(),
        other => format!("{owner}, by {other}"),
    };
    let facts = fields(&[
        ("at", words::at(Some(why.at), clock)),
        ("verdict", word(&why.verdict)),
        ("verdict (expected)", word(&why.expected)),
        ("reason", word(&why.reason)),
        ("index", why.index.map(|index| index.to_string()).unwrap_or_default()),
        ("schedule", schedule.map(words::schedule).unwrap_or_default()),
        ("exclude", schedule.map(|schedule| schedule.exclude.join(", ")).unwrap_or_default()),
        ("catch up", why.catch_up.as_ref().map(catch_up).unwrap_or_default()),
        ("state", words::state_of(&why.state, enabled, why.paused.as_ref(), clock)),
        ("owner", why.owner.as_ref().map(owner).unwrap_or_default()),
        ("backfills", why.backfills.join(", ")),
        ("help", kept.map(|id| format!("punctual logs {id}")).unwrap_or_default()),
    ]);
    format!("{}\n{facts}", why.summary)
}
