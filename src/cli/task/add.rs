//! `add`: a task from options.

use clap::{Args, ValueEnum};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::{name, pair};
use crate::cli::context::Context;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::fetch::{instant, word};
use crate::cli::local::{Day, LocalClock};
use crate::cli::words;
use crate::client::path;

/// Options of `add`.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// The task's name
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    when: When,
    /// The zone of the times [default: the cluster's]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Replace what has this name, or its deleted mark
    #[arg(long)]
    force: bool,
    /// Send a POST request to this URL
    #[arg(long, value_name = "URL", conflicts_with = "argv")]
    http: Option<String>,
    /// A label of the task
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair)]
    labels: Vec<(String, String)>,
    /// Stop an attempt that takes longer, such as 90s or 1h
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
    /// Leave out the times of a calendar
    #[arg(long, value_name = "CALENDAR")]
    exclude: Vec<String>,
    /// Fire so often, and then no more
    #[arg(long, value_name = "COUNT")]
    max_ticks: Option<u64>,
    /// Become due up to this much later than the tick
    #[arg(long, value_name = "DURATION")]
    jitter: Option<String>,
    /// Which late ticks fire
    #[arg(long, value_enum, value_name = "WHICH")]
    catch_up: Option<CatchUp>,
    /// Start this program, without a shell in between
    #[arg(last = true, value_name = "ARGV")]
    argv: Vec<String>,
}

/// When the task fires; exactly one of them.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct When {
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
    /// Only when it is run by hand or claimed
    #[arg(long)]
    manual: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CatchUp {
    Last,
    All,
    None,
}

/// Creates a task.
pub async fn run(args: AddArgs, context: &mut Context) -> Outcome {
    let body = args.body(context.out.clock()).map_err(Failure::usage)?;
    let query: &[(&str, String)] = if args.force { &[("force", "true".to_owned())] } else { &[] };
    let reply =
        context.client()?.send(Method::POST, &path(["tasks"]), query, Some(&body), &[]).await?;
    context.out.one(&reply.body, |clock| created(&reply.body, clock))?;
    for warning in words::warnings(&reply.body) {
        context.out.say(&format!("warning: {warning}"));
    }
    Ok(Exit::Ok)
}

/// `hello: created, every 5s, next tick in 3 s (12:00:05)`
fn created(task: &Value, clock: &LocalClock) -> String {
    let next = match instant(task, "next_tick") {
        Some(at) => format!(", next tick {} ({})", clock.distance(at), clock.short(at)),
        None => String::new(),
    };
    format!("{}: created, {}{next}", word(task, "name"), words::schedule(task))
}

impl AddArgs {
    /// The canonical body, without what is default.
    fn body(&self, clock: &LocalClock) -> Result<Value, String> {
        let mut body = Map::new();
        body.insert("name".to_owned(), json!(self.name));
        if !self.labels.is_empty() {
            let labels: Map<String, Value> =
                self.labels.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
            body.insert("labels".to_owned(), Value::Object(labels));
        }
        let mut schedule = Map::new();
        let (key, rule) = self.when.rule(self.tz.as_deref(), clock)?;
        schedule.insert(key.to_owned(), rule);
        if let Some(tz) = &self.tz {
            schedule.insert("timezone".to_owned(), json!(tz));
        }
        if !self.exclude.is_empty() {
            schedule.insert("exclude".to_owned(), json!(self.exclude));
        }
        if let Some(max_ticks) = self.max_ticks {
            schedule.insert("max_ticks".to_owned(), json!(max_ticks));
        }
        if let Some(jitter) = &self.jitter {
            schedule.insert("jitter".to_owned(), json!(jitter));
        }
        body.insert("schedule".to_owned(), Value::Object(schedule));
        if let Some(url) = &self.http {
            body.insert("action".to_owned(), json!({"http": {"url": url}}));
        } else if !self.argv.is_empty() {
            body.insert("action".to_owned(), json!({"shell": {"argv": self.argv}}));
        }
        if let Some(policy) = self.catch_up {
            let policy = match policy {
                CatchUp::Last => "last",
                CatchUp::All => "all",
                CatchUp::None => "none",
            };
            body.insert("catch_up".to_owned(), json!({ "policy": policy }));
        }
        if let Some(timeout) = &self.timeout {
            body.insert("timeout".to_owned(), json!(timeout));
        }
        Ok(Value::Object(body))
    }
}

impl When {
    fn rule(&self, tz: Option<&str>, clock: &LocalClock) -> Result<(&'static str, Value), String> {
        if let Some(every) = &self.every {
            return Ok(("interval", json!(every)));
        }
        if let Some(cron) = &self.cron {
            return Ok(("cron", json!(cron)));
        }
        if let Some(at) = &self.at {
            let there = tz.map(|tz| LocalClock::new(tz, clock.now()));
            let at = there.as_ref().unwrap_or(clock).read(at, Day::Next)?;
            return Ok(("at", json!(at.to_string())));
        }
        if self.now {
            return Ok(("immediate", json!(true)));
        }
        if self.manual {
            return Ok(("manual", json!(true)));
        }
        Ok(match self.daily.as_slice() {
            [one] => ("daily", json!(one)),
            many => ("daily", json!(many)),
        })
    }
}
