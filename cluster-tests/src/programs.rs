//! The paths of the programs under test.

use std::path::PathBuf;

use crate::TestResult;

/// The `punctual` binary. The variable `PUNCTUAL_UNDER_TEST` names another one than that which is built
/// with the tests.
///
/// # Errors
/// It was not built.
pub fn node_program() -> TestResult<PathBuf> {
    match std::env::var_os("PUNCTUAL_UNDER_TEST").map(PathBuf::from) {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => Err(format!("PUNCTUAL_UNDER_TEST: {} is no file", path.display()).into()),
        None => find("punctual-under-test"),
    }
}

/// The program that writes down each start of it: one line, `task tick nanoseconds fence
/// execution`.
///
/// # Errors
/// It was not built.
pub fn witness_program() -> TestResult<PathBuf> {
    find("witness-under-test")
}

/// A program among the examples.
///
/// # Errors
/// It was not built.
pub fn example_program(name: &str) -> TestResult<PathBuf> {
    find(&format!("{name}-example-under-test"))
}

/// Cargo puts a package's binaries beside each other, and its tests one folder below.
fn find(name: &str) -> TestResult<PathBuf> {
    let own = std::env::current_exe()?;
    let beside = own.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    beside.into_iter().find(|path| path.is_file()).ok_or_else(|| {
        format!(
            "{name} is not beside {}: build all of it with `cargo build -p cluster-tests`",
            own.display()
        )
        .into()
    })
}
