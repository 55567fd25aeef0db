//! The `punctual` binary: reads the command line, carries it out, ends with its exit code.

use std::process::ExitCode;

use clap::Parser;
use punctual::cli::{self, Arguments, Command};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if matches!(arguments.command, Command::Shim) {
        // The shim has a runtime of its own, and no more of this program than it needs.
        return match punctual::exec::shim::serve() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::run(arguments)),
        Err(_) => ExitCode::FAILURE,
    }
}
