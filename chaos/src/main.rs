//! What puts `punctual` to the test, one command each.
#![forbid(unsafe_code)]

mod check;
mod model;
mod sim;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Puts punctual to the test.
#[derive(Parser)]
#[command(name = "chaos", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Looks at every state of a model of the agreement on ticks.
    Model(model::Arguments),
    /// Runs a whole cluster in virtual time, drawn from one seed, and judges it.
    Sim(sim::Arguments),
    /// Looks for each bug put in on purpose, and tells the seed that found it.
    #[cfg(feature = "seeded-bugs")]
    Bugs(sim::bugs::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Model(arguments) => model::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
        #[cfg(feature = "seeded-bugs")]
        Command::Bugs(arguments) => sim::bugs::run(&arguments),
    }
}
