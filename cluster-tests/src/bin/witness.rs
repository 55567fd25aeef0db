//! `punctual-witness FILE`: appends the line `task tick nanoseconds fence execution` to a file and
//! exits. It is the action of measurements and chaos tests. It is small, so that the measurement is
//! that of a process start, and it does not depend on the code that started it.

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let Some(path) = std::env::args_os().nth(1) else { return ExitCode::from(2) };
    let field = |name| std::env::var(name).unwrap_or_else(|_| "-".to_owned());
    let line = format!(
        "{} {} {nanos} {} {}\n",
        field("PUNCTUAL_TASK"),
        field("PUNCTUAL_TICK"),
        field("PUNCTUAL_FENCE"),
        field("PUNCTUAL_EXECUTION_ID"),
    );
    let file = File::options().create(true).append(true).open(path);
    // A single write, so that the lines of several processes do not mix.
    match file.and_then(|mut file| file.write_all(line.as_bytes())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
