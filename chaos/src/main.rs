//! Tests of `punctual`: one command for each kind.
#![forbid(unsafe_code)]

mod check;
mod model;
mod sim;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tests of punctual with injected faults.
#[derive(Parser)]
#[command(name = "chaos", version)]
struct ChaosArguments {
    #[command(subcommand)]
    command: ChaosCommand,
}

#[derive(Subcommand)]
enum ChaosCommand {
    /// Checks every state of a model of the agreement on ticks.
    Model(model::ModelArguments),
    /// Runs a whole cluster in virtual time, derived from one seed, and checks its properties.
    Sim(sim::SimArguments),
    /// Searches for a seed that detects each seeded bug.
    #[cfg(feature = "seeded-bugs")]
    Bugs(sim::bugs::BugsArguments),
}

fn main() -> ExitCode {
    match ChaosArguments::parse().command {
        ChaosCommand::Model(arguments) => model::run(&arguments),
        ChaosCommand::Sim(arguments) => sim::run(&arguments),
        #[cfg(feature = "seeded-bugs")]
        ChaosCommand::Bugs(arguments) => sim::bugs::run(&arguments),
    }
}

#[cfg(all(test, not(feature = "seeded-bugs")))]
mod tests {
    use super::*;

    #[test]
    fn no_bug_can_be_put_in() {
        let asked = |words: &[&str]| ChaosArguments::try_parse_from(words).is_ok();
        assert!(asked(&["chaos", "sim", "--seed", "1"]));
        assert!(!asked(&["chaos", "sim", "--seed", "1", "--bug", "settle-any-cursor"]));
        assert!(!asked(&["chaos", "bugs"]));
    }
}
