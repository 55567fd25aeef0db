//! `preview`: the ticks of an expression, without a cluster.

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use super::fetch;
use super::local::{Day, LocalClock};
use super::table::Table;
use crate::domain::schedule::{NotedTick, Plan, Schedule};
use crate::domain::spec::{self, ReadContext};
use crate::domain::time::{Millis, Timestamp};
use crate::ops::preview;

/// Maximum number of ticks inspected to find those affected by a clock change.
const LOOKS_MAX: usize = 2_000_000;
/// Maximum time range of that search: five years.
const LOOK_AHEAD: Millis = Millis::from_secs(5 * 366 * 86_400);

/// Options of `preview`.
#[derive(Debug, Args)]
pub struct PreviewArgs {
    /// A cron expression, "every 90s" or "daily 02:00,14:00"
    #[arg(value_name = "EXPR")]
    expression: String,
    /// The time zone of the ticks [default: the display time zone]
    #[arg(long, value_name = "ZONE")]
    tz: Option<String>,
    /// Show ticks after this time [default: now]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// Number of ticks
    #[arg(short, default_value_t = 10, value_name = "COUNT",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    n: u32,
    /// How to handle local times that a clock change skips
    #[arg(long, value_enum, value_name = "WHICH")]
    dst_gap: Option<GapChoice>,
    /// How to handle local times that a clock change repeats
    #[arg(long, value_enum, value_name = "WHICH")]
    dst_fold: Option<FoldChoice>,
    /// Show only ticks affected by a clock change
    #[arg(long)]
    only_dst: bool,
    /// The language of the description [default: that of LANG]
    #[arg(long, value_enum, value_name = "WHICH")]
    lang: Option<Lang>,
    /// The locale of the environment.
    #[arg(long, env = "LANG", hide = true, hide_env = true, value_name = "LOCALE")]
    locale: Option<String>,
    /// The task's name, on which H in the expression depends
    #[arg(long, default_value = "preview", hide = true)]
    name: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum GapChoice {
    Shift,
    Skip,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FoldChoice {
    First,
    Second,
    Both,
}

/// The language of a schedule's description.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Lang {
    En,
    Zh,
}

/// Prints the ticks.
pub fn run(args: &PreviewArgs, context: &mut CliContext) -> CommandResult {
    let clock = context.out.clock();
    let from = match &args.from {
        Some(text) => clock.read(text, Day::Today).map_err(Failure::usage)?,
        None => clock.now(),
    };
    let (plan, schedule) = args.plan(clock, from)?;
    let most = usize::try_from(args.n).unwrap_or(usize::MAX);
    let end = from.plus(LOOK_AHEAD);
    let first = plan.next_noted(from);
    let ticks = std::iter::successors(first, |tick| plan.next_noted(tick.at));
    let ticks: Vec<NotedTick> = if args.only_dst {
        let touched = ticks.take(LOOKS_MAX).take_while(|tick| tick.at <= end);
        touched.filter(|tick| tick.note.is_some()).take(most).collect()
    } else {
        ticks.take(most).collect()
    };
    print(args, &ticks, &plan, &schedule, context)
}

impl PreviewArgs {
    /// The selected language, otherwise that of the locale.
    fn lang(&self) -> Lang {
        let zh = self.locale.as_deref().is_some_and(|locale| locale.starts_with("zh"));
        self.lang.unwrap_or(if zh { Lang::Zh } else { Lang::En })
    }

    /// The schedule and its plan.
    fn plan(&self, clock: &LocalClock, from: Timestamp) -> Result<(Plan, Schedule), Failure> {
        let mut schedule = Map::new();
        let (key, rule) = match self.expression.trim().split_once(char::is_whitespace) {
            Some(("every", every)) => ("interval", json!(every.trim())),
            Some(("daily", times)) => {
                ("daily", times.split([',', ' ']).filter(|time| !time.is_empty()).collect())
            }
            _ => ("cron", json!(self.expression)),
        };
        schedule.insert(key.to_owned(), rule);
        if let Some(tz) = &self.tz {
            schedule.insert("timezone".to_owned(), json!(tz));
        }
        let mut dst = Map::new();
        if let Some(gap) = self.dst_gap {
            let word = match gap {
                GapChoice::Shift => "shift",
                GapChoice::Skip => "skip",
            };
            dst.insert("gap".to_owned(), json!(word));
        }
        if let Some(fold) = self.dst_fold {
            let word = match fold {
                FoldChoice::First => "first",
                FoldChoice::Second => "second",
                FoldChoice::Both => "both",
            };
            dst.insert("fold".to_owned(), json!(word));
        }
        schedule.insert("dst".to_owned(), Value::Object(dst));
        let context = ReadContext {
            default_zone: clock.zone(),
            now: from,
            min_interval: Millis(100),
            functions_allowed: false,
            custom_strategy: false,
            current: None,
            settled: Timestamp(0),
            calendars: None,
        };
        let body = json!({"name": self.name, "schedule": schedule});
        let task = spec::read(&body, context).map_err(|problems| {
            let one = |problem: spec::BodyProblem| {
                let place = problem.pointer.trim_start_matches("/schedule").trim_matches('/');
                let place = if place.is_empty() { "expression" } else { place };
                format!("{place}: {}", problem.message)
            };
            Failure::usage(problems.into_iter().map(one).collect::<Vec<_>>().join("\n"))
        })?;
        let plan = Plan::compile(&task.schedule, &self.name, clock.zone(), from)
            .map_err(|error| Failure::usage(error.to_string()))?;
        Ok((plan, task.schedule))
    }
}

fn print(
    args: &PreviewArgs,
    ticks: &[NotedTick],
    plan: &Plan,
    schedule: &Schedule,
    context: &mut CliContext,
) -> CommandResult {
    let shown = ticks.iter().map(|tick| preview::tick(plan, tick)).collect();
    let preview = preview::body(shown, schedule, context.out.clock().zone());
    let whole = fetch::value(&preview);
    let values: Vec<Value> = preview.ticks.iter().map(fetch::value).collect();
    context.out.many(&whole, &values, |clock| {
        let zone = schedule.timezone.as_deref().unwrap_or(clock.zone());
        let there = LocalClock::new(zone, clock.now());
        let local = if there.zone() == clock.zone() { "LOCAL" } else { "THERE" };
        let mut table = Table::new("ticks", &[local, "UTC", "IN", "NOTE"]);
        for tick in ticks {
            let note = tick.note.as_ref().map(ToString::to_string).unwrap_or_default();
            let distance = clock.distance(tick.at);
            table.row([tick.local.replacen('T', " ", 1), tick.at.to_string(), distance, note]);
        }
        table
    })?;
    context.out.say(match args.lang() {
        Lang::En => &preview.words,
        Lang::Zh => &preview.words_zh,
    });
    for warning in &preview.warnings {
        context.out.say(&format!("warning: {}", warning.detail));
    }
    let most = usize::try_from(args.n).unwrap_or(usize::MAX);
    if args.only_dst && ticks.len() < most {
        context.out.say("within five years, or two million ticks, clock changes touch no other");
    }
    Ok(Exit::Ok)
}
