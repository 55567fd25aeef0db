//! What puts `punctual` to the test, one command each.
#![forbid(unsafe_code)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that prints what it found"
)]

mod model;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "chaos", about = "Puts punctual to the test")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Looks at every state of a model of the agreement on ticks
    Model(model::Arguments),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Model(arguments) => model::run(&arguments),
    }
}
