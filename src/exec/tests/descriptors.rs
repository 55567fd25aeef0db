//! Attempts in a process without free descriptors.

use std::fs::File;
use std::process::Command;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::http::{serve, to};
use super::*;

/// Set for the child process.
const CHILD: &str = "PUNCTUAL_NO_DESCRIPTORS_FOR_ATTEMPTS";

/// Not a test by itself: the body of the child process, in which descriptors are used up.
#[tokio::test]
async fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let few = Some(64);
    setrlimit(Resource::Nofile, Rlimit { current: few, maximum: few }).unwrap();
    let (address, seen) = serve().await;
    let bench = TestExec::new();
    let mut hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let soon = GrantedAttempt { start_by: BootInstant::now().plus(Millis(300)), ..attempt() };
    let outcome = bench.run(&to(address, "/ok"), &soon).await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::NotStarted, None), "{outcome:?}");
    assert!(seen.lock().is_empty());
    hoard.clear();
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
