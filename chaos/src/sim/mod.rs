//! Simulates whole clusters in virtual time: the real domain, consensus and engine of several nodes
//! in one paused runtime, with simulated network, disks, clocks and actions. All randomness comes
//! from one seed. The same seed gives the same run, including the hash of all events.

mod actions;
mod backlog;
#[cfg(feature = "seeded-bugs")]
pub mod bugs;
mod clients;
mod clocks;
mod disk;
mod echo;
mod executors;
mod files;
mod members;
mod nemesis;
mod net;
mod node;
mod operator;
mod plan;
mod random;
mod readers;
mod restore;
mod run;
#[cfg(test)]
mod scenarios;
mod silence;
mod stopped;
mod story;
mod sweep;
#[cfg(test)]
mod upgrade;
mod world;

pub use self::plan::Focus;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// What `sim` is asked for.
#[derive(Args, Clone, Debug)]
pub struct SimArguments {
    /// The seed of one run.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Runs of many seeds, each in a process of its own: `A..B`, B left out, single ones, or a list of
    /// both with commas.
    #[arg(long, value_name = "A..B,C", conflicts_with = "seed")]
    seeds: Option<String>,
    /// Processes at once.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Goes on after a seed that failed.
    #[arg(long)]
    keep_going: bool,
    /// Appends a line about all seeds to this file.
    #[arg(long, value_name = "FILE", requires = "seeds")]
    ledger: Option<PathBuf>,
    /// Nodes; otherwise the seed decides.
    #[arg(long, value_parser = clap::builder::PossibleValuesParser::new(["3", "5"]))]
    nodes: Option<String>,
    /// Minutes of virtual time with trouble.
    #[arg(long, default_value_t = 2)]
    minutes: u64,
    /// What trouble is made; otherwise the seed decides.
    #[arg(long, value_enum)]
    focus: Option<Focus>,
    /// Prints the whole story.
    #[arg(long)]
    trace: bool,
    /// Lets several clocks be wrong at once; nothing is promised of early starts then.
    #[arg(long)]
    wild_clocks: bool,
    /// Puts a bug in.
    #[cfg(feature = "seeded-bugs")]
    #[arg(long)]
    bug: Option<String>,
    /// Prints what the nodes log, by the rules of `RUST_LOG`.
    #[arg(long)]
    log: bool,
}

/// Runs one seed, or many.
pub fn run(arguments: &SimArguments) -> ExitCode {
    #[cfg(feature = "seeded-bugs")]
    if let Some(bug) = &arguments.bug
        && !punctual::bugs::turn_on(bug)
    {
        eprintln!("there is no bug {bug}");
        return ExitCode::from(2);
    }
    match &arguments.seeds {
        Some(seeds) => sweep::run(arguments, seeds),
        None => run::one(arguments),
    }
}
