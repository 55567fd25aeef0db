//! Tests of the judges: every injected bug must be detected.

use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use clap::Args;
use parking_lot::Mutex;

use super::plan::Focus;

/// Options of `bugs`.
#[derive(Args, Clone, Debug)]
pub struct BugsArguments {
    /// Maximum number of seeds per bug.
    #[arg(long, default_value_t = 40)]
    tries: u64,
    /// Minutes of virtual time with faults per run.
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// Search only for these bugs.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Bugs searched for at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
}

/// Bugs that are only or most quickly detected with one focus. The others are searched with all.
const FOCUS: [(&str, Focus); 10] = [
    ("change-slept-over", Focus::Calm),
    ("checkpoint-into-other-store", Focus::Snapshots),
    ("late-grant-begun", Focus::SlowEngines),
    ("moves-ignored", Focus::Members),
    ("place-held-by-unknown", Focus::SilentLeaders),
    ("removed-keeps-vote", Focus::Members),
    ("removed-registers", Focus::Members),
    ("restored-attempts-kept", Focus::Restore),
    ("restored-counter-kept", Focus::Restore),
    ("stop-in-gap-lost", Focus::Snapshots),
];

/// Searches for each bug.
pub fn run(arguments: &BugsArguments) -> ExitCode {
    let named = |name: &str| punctual::bugs::ALL.iter().any(|(bug, _)| *bug == name);
    if let Some(unknown) = arguments.only.iter().find(|only| !named(only)) {
        eprintln!("there is no bug {unknown}");
        return ExitCode::from(2);
    }
    let wanted = |bug: &str| arguments.only.is_empty() || arguments.only.iter().any(|it| it == bug);
    let bugs = Mutex::new(punctual::bugs::ALL.into_iter().filter(|(bug, _)| wanted(bug)));
    let missed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let Some((bug, what)) = bugs.lock().next() else { return };
            let begun = Instant::now();
            match find(arguments, bug) {
                Some((seed, property)) => {
                    let seconds = begun.elapsed().as_secs_f64();
                    println!("{bug}: seed {seed}, {seconds:.1} s, by `{property}`");
                }
                None => {
                    println!("{bug}: not found in {} seeds ({what})", arguments.tries);
                    missed.lock().push(bug);
                }
            }
        }
    };
    std::thread::scope(|scope| (0..arguments.jobs.max(1)).for_each(|_| drop(scope.spawn(work))));
    let missed = missed.into_inner();
    println!("missed {missed:?}");
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// The first seed that detects a bug, and the violated property.
fn find(arguments: &BugsArguments, bug: &str) -> Option<(u64, String)> {
    for seed in 0..arguments.tries {
        let mut command = Command::new(std::env::current_exe().ok()?);
        command.args(["sim", "--seed", &seed.to_string(), "--bug", bug]);
        command.args(["--minutes", &arguments.minutes.to_string()]);
        if let Some((_, focus)) = FOCUS.iter().find(|(name, _)| *name == bug) {
            command.args(["--focus", focus.name()]);
        }
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let first = text.lines().find_map(|line| line.strip_prefix("violation "));
        if let Some(first) = first {
            // `12.345.678 property: what`
            let property = first.split_once(' ').map_or(first, |(_, rest)| rest);
            let property = property.split(':').next().unwrap_or(property);
            return Some((seed, property.to_owned()));
        }
    }
    None
}
