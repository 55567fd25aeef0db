//! What a task is made of, as options: `add` makes a task of them, `set` changes one by them.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use super::pair;
use crate::cli::local::{Day, LocalClock, pad_hour};
use crate::domain::task::ChainCondition;

/// A word that takes a value away where an empty one could be meant.
const NONE: &str = "none";

/// All of them.
#[derive(Debug, Args)]
pub struct DefinitionArgs {
    #[command(flatten)]
    pub when: WhenArgs,
    #[command(flatten)]
    pub schedule: ScheduleArgs,
    #[command(flatten)]
    pub action: ActionArgs,
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// When the task fires; one of them at most.
#[derive(Debug, Args)]
#[group(id = "when", multiple = false)]
#[command(next_help_heading = "When it fires")]
pub struct WhenArgs {
    /// At this distance, such as 5s or 1h30m
    #[arg(long, value_name = "DURATION")]
    every: Option<String>,
    /// By a cron expression of 5, 6 or 7 fields
    #[arg(long, value_name = "EXPR")]
    cron: Option<String>,
    /// Each day at these local times
    #[arg(long, value_name = "HH:MM", value_delimiter = ',')]
    daily: Vec<String>,
    /// Once: 2026-12-01T09:00:00Z, "2026-12-01 09:00", 09:00, or 10m from now
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Once, immediately
    #[arg(long)]
    now: bool,
    /// Only by `punctual run`
    #[arg(long)]
    manual: bool,
}

/// What holds for every schedule.
#[derive(Debug, Args)]
#[command(next_help_heading = "When it fires")]
pub struct ScheduleArgs {
    /// The zone of the times [default: the cluster's]
    #[arg(long, value_name = "ZONE")]
    pub tz: Option<String>,
    /// Skip the times of this calendar
    #[arg(long, value_name = "CALENDAR")]
    pub exclude: Vec<String>,
    /// Stop the schedule after that many runs
    #[arg(long, value_name = "COUNT")]
    pub max_ticks: Option<u64>,
    /// Become due up to this much later than the tick
    #[arg(long, value_name = "DURATION")]
    pub jitter: Option<String>,
    /// Which late ticks fire; up to limits.failover_timeout (5 s) late counts as on time
    #[arg(long, value_enum, value_name = "WHICH")]
    pub catch_up: Option<CatchUpChoice>,
    /// Let its ticks fire, if it was disabled
    #[arg(long, conflicts_with = "disabled")]
    pub enabled: bool,
    /// Skip its ticks until it is enabled
    #[arg(long)]
    pub disabled: bool,
}

/// What a task does: a command, an HTTP request, or work for an executor.
#[derive(Debug, Args)]
#[command(next_help_heading = "What it does")]
pub struct ActionArgs {
    /// Send a request to this URL, by POST unless --method says otherwise
    #[arg(long, value_name = "URL", conflicts_with = "argv")]
    pub http: Option<String>,
    /// The method of the request
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    /// A header of the request, such as "Accept: text/plain"
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    pub headers: Vec<(String, String)>,
    /// The body of the request; an empty text: none
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// Give it to an executor that declared the task; with names, to one of these
    #[arg(long, value_name = "NAME[,NAME]", num_args = 0..=1, require_equals = true,
          default_missing_value = "", conflicts_with_all = ["http", "argv"])]
    pub executor: Option<String>,
    /// How one of the executors is chosen
    #[arg(long, value_enum, value_name = "HOW")]
    pub balance: Option<BalanceChoice>,
    /// A variable in the environment of the command
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub env: Vec<(String, String)>,
    /// The working folder of the command; an empty text: the default
    #[arg(long, value_name = "FOLDER")]
    pub cwd: Option<String>,
    /// The user that the command runs as; an empty text: that of the node
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Start this program, without a shell in between; it stands after `--`
    #[arg(last = true, value_name = "ARGV")]
    pub argv: Vec<String>,
}

/// How a task is carried out, where, and what is kept of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "How it runs")]
pub struct PolicyArgs {
    /// What the task is for
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// A label of the task
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    pub labels: Vec<(String, String)>,
    /// A parameter, given to each execution
    #[arg(short = 'p', long = "parameter", value_name = "KEY=VALUE", value_parser = pair)]
    pub parameters: Vec<(String, String)>,
    /// Text that is given to each execution as it is
    #[arg(long, value_name = "TEXT")]
    pub payload: Option<String>,
    /// Stop an attempt that takes longer, such as 90s or 1h; 0s: never
    #[arg(long, value_name = "DURATION")]
    pub timeout: Option<String>,
    /// From the request to stop to the kill
    #[arg(long, value_name = "DURATION")]
    pub kill_grace: Option<String>,
    /// Give up an attempt whose node is silent for so long; at least 1s
    #[arg(long, value_name = "DURATION")]
    pub lost_after: Option<String>,
    /// While an execution has not ended: run beside it, skip the tick, wait, or take its place
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: Option<ModeChoice>,
    /// Executions that may be there at once without having ended, 1 to 10000
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_live: Option<u32>,
    /// Executions that may wait
    #[arg(long, value_name = "COUNT")]
    pub queue_max: Option<u32>,
    /// A limit that several tasks share, by the name of the group; `none` takes it away
    #[arg(long, value_name = "GROUP:LIMIT", value_parser = concurrency)]
    pub concurrency: Option<Value>,
    /// Higher ones start first, 0 to 9
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u8).range(0..=9))]
    pub priority: Option<u8>,
    /// Try what failed again, so many times
    #[arg(long, value_name = "COUNT")]
    pub retry: Option<u32>,
    /// Wait so long before it is tried again
    #[arg(long, value_name = "DURATION")]
    pub retry_delay: Option<String>,
    /// How the wait grows with each retry
    #[arg(long, value_enum, value_name = "HOW")]
    pub retry_backoff: Option<BackoffChoice>,
    /// The wait grows to this
    #[arg(long, value_name = "DURATION")]
    pub retry_max_delay: Option<String>,
    /// At most this is added to each wait
    #[arg(long, value_name = "DURATION")]
    pub retry_jitter: Option<String>,
    /// Whether what may have taken effect, or not, is done again
    #[arg(long, value_enum, value_name = "HOW")]
    pub delivery: Option<DeliveryChoice>,
    /// Complete the task with its first tick, whether it fires or is missed
    #[arg(long)]
    pub one_shot: bool,
    /// What becomes of the task when an execution of a tick has ended
    #[arg(long, value_enum, value_name = "WHAT")]
    pub after_run: Option<AfterRunChoice>,
    /// Only on this node
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
    /// Only on nodes with this label
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub selector: Vec<(String, String)>,
    /// How its owner is chosen, in place of the cluster's strategy: consistent, hash_sharding,
    /// hash_slot, range, weighted, round_robin, or custom of an embedding program
    #[arg(long, value_name = "NAME")]
    pub strategy: Option<String>,
    /// Start another task when an execution ends: on success, failure, lost, timeout or recovered
    #[arg(long, value_name = "END=TASK", value_parser = chain)]
    pub then: Vec<(String, String)>,
    /// What is kept of the past: executions=N, ticks=N or age=DURATION
    #[arg(long, value_name = "WHAT=LIMIT", value_parser = keep)]
    pub keep: Vec<(String, Value)>,
}

/// How the wait before a retry grows.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum BackoffChoice {
    /// Not
    Fixed,
    /// It doubles
    Exponential,
}

/// What follows an attempt whose outcome is unknown.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum DeliveryChoice {
    /// The execution ends
    #[value(alias = "at_most_once")]
    AtMostOnce,
    /// It is attempted again, with the same idempotency key
    #[value(alias = "at_least_once")]
    AtLeastOnce,
}

/// How an executor is chosen: by turns, by turns in proportion to the weights, by chance, the same
/// as long as it is online, or the one that has the least to do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum BalanceChoice {
    #[value(alias = "round_robin")]
    RoundRobin,
    #[value(alias = "weighted_round_robin")]
    WeightedRoundRobin,
    Random,
    Sticky,
    #[value(alias = "least_loaded")]
    LeastLoaded,
}

/// Which late ticks fire.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CatchUpChoice {
    Last,
    All,
    None,
}

/// What becomes of a tick while an execution has not ended: the next one runs beside it, does not
/// run, waits for its end, or stops it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ModeChoice {
    Parallel,
    Skip,
    Sequential,
    Replace,
}

/// What becomes of a task when an execution of a tick has ended.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum AfterRunChoice {
    Keep,
    #[value(alias = "mark_deleted")]
    MarkDeleted,
    Cleanup,
}

impl WhenArgs {
    /// The field of a schedule and its value, if one is given.
    pub fn rule(
        &self,
        tz: Option<&str>,
        clock: &LocalClock,
    ) -> Result<Option<(&'static str, Value)>, String> {
        if let Some(at) = &self.at {
            let there = tz.map(|tz| LocalClock::new(tz, clock.now()));
            let at = there.as_ref().unwrap_or(clock).read(at, Day::Next)?;
            return Ok(Some(("at", json!(at.to_string()))));
        }
        Ok(match (&self.every, &self.cron, self.daily.as_slice()) {
            (Some(every), _, _) => Some(("interval", json!(every))),
            (_, Some(cron), _) => Some(("cron", json!(cron))),
            (_, _, [one]) => Some(("daily", json!(pad_hour(one)))),
            (_, _, many) if !many.is_empty() => {
                Some(("daily", many.iter().map(|time| pad_hour(time)).collect()))
            }
            _ if self.now => Some(("immediate", json!(true))),
            _ if self.manual => Some(("manual", json!(true))),
            _ => None,
        })
    }
}

/// Reads `name: value` or `name=value`.
fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once([':', '=']) {
        Some((name, value)) if !name.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("must be NAME:VALUE".to_owned()),
    }
}

/// Reads `failure=page`.
fn chain(text: &str) -> Result<(String, String), String> {
    let conditions = ChainCondition::ALL.map(ChainCondition::word);
    match text.split_once('=') {
        Some((condition, task)) if conditions.contains(&condition) && !task.is_empty() => {
            Ok((condition.to_owned(), task.to_owned()))
        }
        _ => Err(format!("must be END=TASK, where END is one of {}", conditions.join(", "))),
    }
}

/// Reads `group:limit`, or `none`.
fn concurrency(text: &str) -> Result<Value, String> {
    if text == NONE {
        return Ok(Value::Null);
    }
    let (group, limit) = text.rsplit_once(':').unwrap_or_default();
    match limit.parse::<u32>() {
        Ok(limit) if !group.is_empty() => Ok(json!({"group": group, "limit": limit})),
        _ => Err("must be GROUP:LIMIT, such as database:2, or none".to_owned()),
    }
}

/// Reads what is kept: a number, or an age.
fn keep(text: &str) -> Result<(String, Value), String> {
    let (what, limit) = pair(text)?;
    match (what.as_str(), limit.parse::<u32>()) {
        ("executions" | "ticks", Ok(count)) => Ok((what, json!(count))),
        ("executions" | "ticks", Err(_)) => Err(format!("{what} must be a number")),
        ("age", _) => Ok((what, json!(limit))),
        _ => Err("must be executions=N, ticks=N or age=DURATION".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::balance;

    #[test]
    fn every_way_to_choose_an_executor_is_an_option() {
        let options = BalanceChoice::value_variants().iter();
        let words = options.filter_map(ValueEnum::to_possible_value);
        let words = words.map(|word| word.get_name().replace('-', "_"));
        assert_eq!(words.collect::<Vec<_>>(), balance::WORDS);
    }

    #[test]
    fn values_of_two_parts_are_read() {
        for (text, name, value) in [
            ("Accept: text/plain", "Accept", "text/plain"),
            ("X-Url=http://x/", "X-Url", "http://x/"),
            ("Authorization: Basic YQ==", "Authorization", "Basic YQ=="),
        ] {
            assert_eq!(header(text), Ok((name.to_owned(), value.to_owned())), "{text}");
        }
        assert!(header("Accept").is_err() && header(": x").is_err());
        assert_eq!(concurrency("a:b:2"), Ok(json!({"group": "a:b", "limit": 2})));
        assert_eq!(concurrency("none"), Ok(Value::Null));
        for wrong in ["a", "a:", ":2", "a:x", ""] {
            assert!(concurrency(wrong).is_err(), "{wrong}");
        }
        assert_eq!(keep("ticks=7"), Ok(("ticks".to_owned(), json!(7))));
        assert_eq!(keep("age=7d"), Ok(("age".to_owned(), json!("7d"))));
        for wrong in ["ticks", "ticks=x", "runs=1"] {
            assert!(keep(wrong).is_err(), "{wrong}");
        }
    }
}
