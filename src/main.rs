//! The `punctual` binary: everything is in the library, so that nothing is compiled twice.

use std::process::ExitCode;

fn main() -> ExitCode {
    punctual::cli::main()
}
