//! The `punctual` binary: reads the command line, carries it out, ends with its exit code.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use punctual::cli::{self, Arguments, Command};

/// What still runs when the command is done has this long to end.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
        Ok(runtime) => {
            let code = runtime.block_on(cli::run(arguments));
            // Not for longer: a thread may hang in a disk that answers no more, and a node that
            // has said so must end all the same.
            runtime.shutdown_timeout(LAST_WORDS);
            code
        }
        Err(_) => ExitCode::FAILURE,
    }
}
