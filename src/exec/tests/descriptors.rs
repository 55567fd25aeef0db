//! Attempts in a process without free descriptors.

use std::process::Command;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::http::{serve, to};
use super::*;

/// Set for the child process.
const CHILD: &str = "PUNCTUAL_NO_DESCRIPTORS_FOR_ATTEMPTS";

/// Sets the limit of open files of this process.
fn limit_descriptors(current: u64) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit }).unwrap();
}

/// Not a test by itself: the body of the child process, which cannot open descriptors. Open ones
/// stay open, and a descriptor closed by any thread does not allow another one.
#[tokio::test]
async fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let (address, seen) = serve().await;
    let bench = TestExec::new();
    let before = getrlimit(Resource::Nofile).current.unwrap_or(1_024);
    limit_descriptors(3);
    let soon = GrantedAttempt { start_by: BootInstant::now().plus(Millis(300)), ..attempt() };
    let outcome = bench.run(&to(address, "/ok"), &soon).await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::NotStarted, None), "{outcome:?}");
    assert!(seen.lock().is_empty());
    limit_descriptors(before);
    let outcome = bench.run(&to(address, "/ok"), &attempt()).await;
    assert_eq!(outcome.status, AttemptStatus::Success, "{outcome:?}");
    assert_eq!(seen.lock().len(), 1);
}

#[test]
fn a_request_without_a_descriptor_waits_and_fails_nothing() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "exec::tests::descriptors::child", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
}
