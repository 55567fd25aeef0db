//! Trouble for clusters of `punctual`, and judges of what they made of it.

mod check;
mod sim;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Trouble for clusters of punctual, and judges of what they made of it.
#[derive(Parser)]
#[command(name = "chaos", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs a whole cluster in virtual time, drawn from one seed, and judges it.
    Sim(sim::Arguments),
    /// Looks for each bug put in on purpose, and tells the seed that found it.
    #[cfg(feature = "seeded-bugs")]
    Bugs(sim::bugs::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Sim(arguments) => sim::run(&arguments),
        #[cfg(feature = "seeded-bugs")]
        Command::Bugs(arguments) => sim::bugs::run(&arguments),
    }
}
