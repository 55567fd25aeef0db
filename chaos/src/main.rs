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
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Sim(arguments) => sim::run(&arguments),
    }
}
