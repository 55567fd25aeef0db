//! Tests of `punctual`: one command for each kind.
#![forbid(unsafe_code)]

mod check;
mod model;
mod sim;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Puts punctual to the test.
#[derive(Parser)]
#[command(name = "chaos", version)]
struct ChaosArguments {
    #[command(subcommand)]
    command: ChaosCommand,
}

#[derive(Subcommand)]
enum ChaosCommand {
    /// Looks at every state of a model of the agreement on ticks.
    Model(model::ModelArguments),
    /// Runs a whole cluster in virtual time, drawn from one seed, and judges it.
    Sim(sim::SimArguments),
    /// Looks for each bug put in on purpose, and tells the seed that found it.
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
