//! Process tests: real nodes as processes on loopback, killed, frozen and cut off.
//!
//! [`ProcessCluster`] starts and controls them, [`Api`] queries them, [`Links`] are proxies between
//! them, [`starts`] compares the observed starts with the cluster's reports. The loads of
//! [`scenarios`] run twice: short in `cargo test`, in full by the binary `show`, which prints
//! figures.
//!
//! No test sleeps for luck: [`until`] waits for a condition within a generous limit, and the only
//! sleeps are part of a load.
#![forbid(unsafe_code)]

mod api;
mod cluster;
mod dev;
mod events;
mod executors;
pub mod lines;
mod links;
pub mod loads;
mod process;
mod programs;
pub mod scenarios;
mod small_disk;
pub mod starts;
mod tasks;
mod wait;

pub use self::api::{Api, ApiAnswer, field, items, text};
pub use self::cluster::{ClusterOptions, ProcessCluster};
pub use self::dev::Dev;
pub use self::events::{OpenStream, StreamedEvent};
pub use self::executors::{ExecutorProcess, free_address};
pub use self::links::Links;
pub use self::process::{FileLimit, ProcessExit, piped, run};
pub use self::programs::{example_program, node_program, witness_program};
pub use self::small_disk::SmallDisk;
pub use self::tasks::{noted, shell, with};
pub use self::wait::{LIMIT, now_ms, until};

/// The reason why a test cannot continue.
pub type TestError = Box<dyn std::error::Error + Send + Sync>;

/// The result of every function here.
pub type TestResult<T> = Result<T, TestError>;

/// Says that this machine cannot run a test, or a part of one.
///
/// # Errors
/// With `STRICT=1`, where nothing may be left out.
pub fn skipped(why: &str) -> TestResult<()> {
    println!("skipped: {why}");
    let strict = std::env::var_os("STRICT").is_some_and(|value| value == "1");
    if strict {
        Err(format!("skipped, which STRICT=1 does not allow: {why}").into())
    } else {
        Ok(())
    }
}
