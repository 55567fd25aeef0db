//! `stats`: statistics of a task, or of all tasks.

use clap::Args;

use crate::cli::choose::{TasksArgs, optional};
use crate::cli::context::CliContext;
use crate::cli::exit::{CommandResult, Exit};
use crate::cli::local::{LocalClock, length};
use crate::cli::table::{Table, fields};
use crate::cli::watch::WatchArgs;
use crate::cli::words;
use crate::client::path;
use crate::domain::time::Millis;
use crate::dto::{Percentiles, StatsView, StreaksView};

/// Options of `stats`.
#[derive(Debug, Args)]
#[command(mut_arg("tasks", optional))]
#[command(after_help = "Without a name, the tasks that were removed are counted too.")]
pub struct StatsArgs {
    #[command(flatten)]
    tasks: TasksArgs,
    /// Number of days to list; 90 are kept
    #[arg(long, default_value_t = 7, value_name = "COUNT")]
    days: usize,
    #[command(flatten)]
    watch: WatchArgs,
}

/// Shows the statistics, once or repeatedly.
pub async fn run(args: &StatsArgs, context: &mut CliContext) -> CommandResult {
    let look = async |context: &mut CliContext| {
        if args.tasks.is_empty() {
            return show(&path(["executions", "stats"]), args.days, context).await;
        }
        let look = async |name: &str, context: &mut CliContext| {
            show(&path(["tasks", name, "stats"]), args.days, context).await
        };
        args.tasks.show_each(context, look).await
    };
    args.watch.repeat(context, look).await
}

async fn show(path: &str, most: usize, context: &mut CliContext) -> CommandResult {
    let reply = context.read::<StatsView>(path, &[]).await?;
    let summary = describe(&reply.says, context.out.clock());
    context.out.one(&reply.body, |_clock| {
        let days = days(&reply.says, most);
        if days.is_empty() { summary.clone() } else { format!("{summary}\n{}", days.render(true)) }
    })?;
    if summary.is_empty() && context.out.for_people() {
        context.out.nothing("ticks or executions");
    }
    Ok(Exit::Ok)
}

fn describe(stats: &StatsView, clock: &LocalClock) -> String {
    let counted = |counts: &[(&str, u64)]| {
        let counts = counts.iter().filter(|(_, count)| *count > 0);
        let parts: Vec<String> = counts.map(|(what, count)| format!("{count} {what}")).collect();
        parts.join(", ")
    };
    let totals = &stats.totals;
    fields(&[
        ("ticks", counted(&totals.counts()[..4])),
        ("executions", counted(&totals.counts()[4..])),
        ("live", counted(&[("running", stats.running), ("waiting", stats.pending)])),
        ("success rate", rate(stats.success_rate)),
        ("last success", words::ago(stats.last_success, clock)),
        ("in a row", streaks(&stats.streaks)),
        ("duration", percentiles(&stats.duration_ms)),
        ("lateness", percentiles(&stats.lateness_ms)),
    ])
}

/// `99.5 %`, rounded down: 100 % is shown only if all succeeded.
fn rate(rate: Option<f64>) -> String {
    let percent = rate.map(|rate| (rate * 1_000.0).floor() / 10.0);
    percent.map(|percent| format!("{percent:.1} %")).unwrap_or_default()
}

/// `3 failures; at most 9 successes, 3 failures`
fn streaks(streaks: &StreaksView) -> String {
    let count = |count: u64, what: &str| match (count, what) {
        (1, what) => format!("1 {what}"),
        (count, "success") => format!("{count} successes"),
        (count, what) => format!("{count} {what}s"),
    };
    let Some(outcome) = &streaks.outcome else { return String::new() };
    let success = count(streaks.longest_success, "success");
    let failure = count(streaks.longest_failure, "failure");
    format!("{}; at most {success}, {failure}", count(streaks.current, outcome))
}

/// `50 % within 3 ms, 95 % within 10 ms, at most 12 ms`
fn percentiles(values: &Percentiles) -> String {
    let Percentiles { p50: Some(p50), p95: Some(p95), max: Some(max) } = *values else {
        return String::new();
    };
    let [p50, p95, max] = [p50, p95, max].map(|value| length(Millis(value)));
    format!("50 % within {p50}, 95 % within {p95}, at most {max}")
}

/// The newest days, in ascending order.
fn days(stats: &StatsView, most: usize) -> Table {
    let mut table = Table::new(
        "days",
        &[
            "DATE (UTC)",
            "FIRED",
            "SKIPPED",
            "MISSED",
            "SUCCESS",
            "FAILED",
            "TIMEOUT",
            "CANCELLED",
            "LOST",
            "RATE",
        ],
    );
    let first = stats.days.len().saturating_sub(most);
    for day in stats.days.iter().skip(first) {
        let of = &day.totals;
        let counts = [
            of.fired,
            of.skipped,
            // A coalesced tick did not fire either.
            of.missed.saturating_add(of.coalesced),
            of.success,
            of.failed,
            of.timeout,
            of.cancelled,
            of.lost,
        ];
        let counts = counts.map(|count| count.to_string());
        table.row([day.date.clone()].into_iter().chain(counts).chain([rate(day.success_rate)]));
    }
    table
}
