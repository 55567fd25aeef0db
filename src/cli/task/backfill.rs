//! `backfill`: executions for the ticks of a past range.
//!
//! This command drives the backfill: it repeats the request for the next ticks until all have ended.
//! The cluster keeps how far the range is, so the same command continues after a stop, through any
//! node.

use std::future::pending;
use std::time::Duration;

use clap::Args;
use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

use super::{name, pair};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit, Failure};
use crate::cli::fetch::value;
use crate::cli::local::{Day, LocalClock};
use crate::cli::table::Table;
use crate::client::path;
use crate::domain::time::Timestamp;
use crate::dto::{BackfillRequest, BackfillTicksView, BackfillView, BackfillsView, Rfc3339};

/// Between two requests while executions run and end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The same, at most, when nothing changes.
const LOOK_RARELY: Duration = Duration::from_secs(1);
/// The state of a range that was cancelled.
const CANCELLED: &str = "cancelled";
/// Maximum number of ticks that are shown to people.
const SAMPLE: usize = 20;

/// Options of `backfill`.
#[derive(Debug, Args)]
pub struct BackfillArgs {
    /// The task; without --from and --to its backfills are listed
    #[arg(value_parser = name)]
    name: String,
    /// The start of the range: 2026-12-01, "2026-12-01 09:00", 2026-12-01T09:00:00Z
    #[arg(long, value_name = "TIME", requires = "to")]
    from: Option<String>,
    /// The end of the range; a tick at this time is not part of it
    #[arg(long, value_name = "TIME", requires = "from")]
    to: Option<String>,
    /// Executions of the range that may be live at once
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "from",
          value_parser = clap::value_parser!(u32).range(1..=100))]
    parallel: u32,
    /// Show the ticks of the range, and change nothing
    #[arg(long, requires = "from")]
    dry_run: bool,
    /// Create no further executions for the range; those that were created go on
    #[arg(long, requires = "from", conflicts_with_all = ["dry_run", "parallel", "parameters"])]
    cancel: bool,
    /// A parameter, over the task's own
    #[arg(short, long = "parameter", value_name = "KEY=VALUE", value_parser = pair,
          requires = "from")]
    parameters: Vec<(String, String)>,
}

/// The range that a command is about.
struct RangeArgs {
    name: String,
    from: Timestamp,
    to: Timestamp,
    parallel: u32,
    parameters: Vec<(String, String)>,
}

impl RangeArgs {
    /// The range as parameters of a request.
    fn query(&self) -> [(&'static str, String); 2] {
        [("from", self.from.to_string()), ("to", self.to.to_string())]
    }
}

/// Runs a backfill to its end, cancels it, shows what it would do, or lists those of a task.
pub async fn run(args: BackfillArgs, context: &mut CliContext) -> CommandResult {
    let read = |text: &str| context.out.clock().read(text, Day::Today).map_err(Failure::usage);
    let (from, to) = match (&args.from, &args.to) {
        (Some(from), Some(to)) => (read(from)?, read(to)?),
        _ => return list(&args.name, context).await,
    };
    if to <= from {
        return Err(Failure::usage("--to must lie after --from"));
    }
    let BackfillArgs { name, parallel, parameters, dry_run, cancel: cancels, .. } = args;
    let range = RangeArgs { name, from, to, parallel, parameters };
    match (dry_run, cancels) {
        (true, _) => preview(&range, context).await,
        (false, true) => cancel(&range, context).await,
        (false, false) => drive(&range, context).await,
    }
}

async fn cancel(range: &RangeArgs, context: &mut CliContext) -> CommandResult {
    let path = path(["tasks", &range.name, "backfill"]);
    let query = range.query();
    let sent = context.send::<BackfillView>(Method::DELETE, &path, &query, None).await?;
    let view = &sent.says;
    let live = match view.live.len() {
        0 => String::new(),
        live => format!("; {live} of these have not ended and go on"),
    };
    let line = if &*view.state == CANCELLED {
        format!("{}: cancelled; {} ticks have an execution{live}", view.task, view.created)
    } else {
        format!("{}: all {} ticks have an execution{live}", view.task, view.created)
    };
    context.out.one(&sent.body, |_clock| line)?;
    Ok(Exit::Ok)
}

async fn preview(range: &RangeArgs, context: &mut CliContext) -> CommandResult {
    let query = range.query();
    let path = path(["tasks", &range.name, "backfill"]);
    let reply = context.read::<BackfillTicksView>(&path, &query).await?;
    let says = &reply.says;
    let items: Vec<Value> = says.ticks.iter().map(|tick| json!({"tick": tick})).collect();
    context.out.many(&reply.body, &items, |clock| sample(&says.ticks, clock))?;
    let clock = context.out.clock();
    let (first, last) = (clock.short(says.first.0), clock.short(says.last.0));
    let more = match says.ticks.len().saturating_sub(SAMPLE) {
        0 => String::new(),
        more => format!(", {more} more in between"),
    };
    let text = format!(
        "{} ticks: the first {first}, the last {last}{more}; {} without an execution of this \
         backfill. Nothing was changed.",
        says.total, says.remaining
    );
    context.out.say(&text);
    Ok(Exit::Ok)
}

/// The first and the last ticks.
fn sample(ticks: &[Rfc3339], clock: &LocalClock) -> Table {
    let mut table = Table::new("ticks", &["TICK", "UTC"]);
    let left_out = SAMPLE / 2..ticks.len().saturating_sub(SAMPLE / 2);
    for (at, tick) in ticks.iter().enumerate() {
        if ticks.len() <= SAMPLE || !left_out.contains(&at) {
            table.row([clock.short(tick.0), tick.0.to_string()]);
        }
    }
    table
}

async fn drive(range: &RangeArgs, context: &mut CliContext) -> CommandResult {
    let again = again(range, context);
    let stop = stopped();
    tokio::pin!(stop);
    let mut seen: Option<BackfillView> = None;
    let (mut told, mut same) = (None, 0);
    loop {
        let step = async { Some(step(range, context).await) };
        let stepped = tokio::select! {
            stepped = step => stepped,
            () = &mut stop => None,
        };
        let Some(stepped) = stepped else { return Ok(interrupted(seen.as_ref(), &again, context)) };
        let (body, view) = match stepped {
            Ok(stepped) => stepped,
            Err(failure) if seen.is_some() => {
                context.out.say(&format!("To continue: {again}"));
                return Err(failure);
            }
            Err(failure) => return Err(failure),
        };
        if view.done {
            return conclude(&body, &view, context);
        }
        context.out.progress(count(ended(&view)), count(view.total), "ticks");
        let why = view.waits_for.as_deref().and_then(held).filter(|_| view.executions.is_empty());
        if why != told {
            why.iter().for_each(|why| context.out.say(&format!("{}: {why}", range.name)));
            told = why;
        }
        same = if seen.as_ref() == Some(&view) { same + 1 } else { 0 };
        seen = Some(view);
        tokio::select! {
            () = sleep(pause(same)) => {}
            () = &mut stop => return Ok(interrupted(seen.as_ref(), &again, context)),
        }
    }
}

/// How long to wait before the next request, after so many answers in a row that told nothing new.
fn pause(same: u32) -> Duration {
    LOOK_EVERY.saturating_mul(2_u32.saturating_pow(same)).min(LOOK_RARELY)
}

/// Ends when the user interrupts the command.
async fn stopped() {
    if tokio::signal::ctrl_c().await.is_err() {
        pending::<()>().await;
    }
}

async fn step(
    range: &RangeArgs,
    context: &mut CliContext,
) -> Result<(Value, BackfillView), Failure> {
    let parameters: Map<String, Value> =
        range.parameters.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    let request = BackfillRequest {
        from: Rfc3339(range.from),
        to: Rfc3339(range.to),
        parallel: Some(range.parallel.into()),
        parameters: (!parameters.is_empty()).then_some(parameters),
    };
    let path = path(["tasks", &range.name, "backfill"]);
    let body = value(&request);
    let sent = context.send::<BackfillView>(Method::POST, &path, &[], Some(&body));
    let reply = sent.await?;
    Ok((reply.body, reply.says))
}

/// What holds up the range although executions of it are to start, as a sentence.
fn held(word: &str) -> Option<&'static str> {
    match word {
        "paused" => Some("the task is paused; its executions wait until it is resumed"),
        "disabled" => Some("the task is disabled; its executions wait until it is enabled"),
        "cancelled" => Some("the task is cancelled"),
        "stopped" => Some("the scheduler is stopped; executions wait until it is started"),
        "overlap" => Some("waiting for an execution of the task to end"),
        "queue_full" => Some("waiting for room in the queue of the task"),
        "max_live" => Some("waiting: the task has as many live executions as it may have"),
        _ => None,
    }
}

/// Prints what is known of a range whose command was stopped.
fn interrupted(seen: Option<&BackfillView>, again: &str, context: &mut CliContext) -> Exit {
    if let Some(view) = seen {
        let BackfillView { created, total, .. } = view;
        let live = match view.live.len() {
            0 => String::new(),
            live => format!("; {live} of these have not ended and go on"),
        };
        context.out.say(&format!("stopped: {created} of {total} ticks have an execution{live}"));
    }
    context.out.say(&format!("To continue: {again}"));
    Exit::No
}

/// The command that continues a range.
fn again(range: &RangeArgs, context: &CliContext) -> String {
    let RangeArgs { name, from, to, parallel, parameters } = range;
    let mut command = format!("punctual backfill {} --from {from} --to {to}", quoted(name));
    if *parallel != 1 {
        command.push_str(&format!(" --parallel {parallel}"));
    }
    for (key, value) in parameters {
        command.push_str(&format!(" -p {}", quoted(&format!("{key}={value}"))));
    }
    for server in &context.servers {
        command.push_str(&format!(" --server {}", quoted(server.as_str().trim_end_matches('/'))));
    }
    command
}

/// A word of a shell command.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "._-:@+=/,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// Prints how a range ended. Exit code 1 if not all of its executions succeeded, or it was cancelled.
fn conclude(body: &Value, view: &BackfillView, context: &mut CliContext) -> CommandResult {
    let cancelled = &*view.state == CANCELLED;
    let after = if cancelled { "cancelled after " } else { "" };
    let line = format!("{}: {after}{} ticks, {}", view.task, view.created, ends(view));
    context.out.one(body, |_clock| line)?;
    Ok(if view.success == view.created && !cancelled { Exit::Ok } else { Exit::No })
}

/// `23 success, 1 failed`
fn ends(view: &BackfillView) -> String {
    let counts = [
        ("success", view.success),
        ("failed", view.failed),
        ("timeout", view.timeout),
        ("cancelled", view.cancelled),
        ("lost", view.lost),
    ];
    let some = counts.iter().filter(|(word, count)| *count > 0 || *word == "success");
    let some: Vec<String> = some.map(|(word, count)| format!("{count} {word}")).collect();
    some.join(", ")
}

const fn ended(view: &BackfillView) -> u64 {
    let BackfillView { success, failed, timeout, cancelled, lost, .. } = *view;
    success + failed + timeout + cancelled + lost
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

async fn list(name: &str, context: &mut CliContext) -> CommandResult {
    let path = path(["tasks", name, "backfills"]);
    let reply = context.read::<BackfillsView>(&path, &[]).await?;
    let items: Vec<Value> = reply.says.items.iter().map(value).collect();
    context.out.many(&reply.body, &items, |clock| {
        let columns = ["FROM", "TO", "STATE", "TICKS", "CREATED", "LIVE", "ENDED", "CHANGED"];
        let mut table = Table::new("backfills", &columns);
        for view in &reply.says.items {
            table.row([
                clock.short(view.from.0),
                clock.short(view.to.0),
                view.state.to_string(),
                view.total.to_string(),
                view.created.to_string(),
                view.live.len().to_string(),
                ends(view),
                view.changed_at.map(|at| clock.with_age(at.0)).unwrap_or_default(),
            ]);
        }
        table
    })?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_a_shell_would_change_are_quoted() {
        assert_eq!(quoted("a-1_b"), "a-1_b");
        assert_eq!(quoted("day=2026-12-01T00:00:00.000Z"), "day=2026-12-01T00:00:00.000Z");
        assert_eq!(quoted("it's $x"), r"'it'\''s $x'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_range_in_which_nothing_changes_is_looked_at_less_and_less_often() {
        let millis = |same| pause(same).as_millis();
        let pauses = [0, 1, 2, 3, 4, 5, 1_000].map(millis);
        assert_eq!(pauses, [100, 200, 400, 800, 1_000, 1_000, 1_000]);
    }

    #[test]
    fn a_sample_has_both_ends() {
        let clock = LocalClock::new("UTC", Timestamp(0));
        let ticks: Vec<Rfc3339> = (0..100).map(|at| Rfc3339(Timestamp(at * 3_600_000))).collect();
        let shown = |ticks: &[Rfc3339]| sample(ticks, &clock).render(false).lines().count();
        assert_eq!(shown(&ticks[..20]), 20);
        assert_eq!(shown(&ticks), 20);
        assert!(sample(&ticks, &clock).render(false).contains("1970-01-05T03:00:00.000Z"));
    }
}
