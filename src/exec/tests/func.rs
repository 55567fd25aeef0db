//! Functions of the embedding program.

use std::io::Write;

use super::*;
use crate::exec::{FuncContext, FuncFuture};

fn call(id: &str) -> Action {
    Action::Func { id: id.to_owned() }
}

fn bench() -> TestExec {
    let bench = TestExec::new();
    bench
        .exec
        .register("ok", Arc::new(|context| Box::pin(async move { Ok(context.attempt.task) })));
    bench.exec.register("bad", Arc::new(|_| Box::pin(async { Err("no luck".to_owned()) })));
    bench.exec.register("panics", Arc::new(|_| panic!("on purpose")));
    bench.exec.register(
        "waits",
        Arc::new(|mut context| {
            Box::pin(async move {
                context.cancel.wait_for(|cancel| *cancel).await.unwrap();
                Ok("let go".to_owned())
            })
        }),
    );
    bench.exec.register("deaf", Arc::new(|_| Box::pin(std::future::pending())));
    bench
}

#[tokio::test]
async fn a_function_ends_as_it_says() {
    let bench = bench();
    let outcome = bench.run(&call("ok"), &attempt()).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Success, false));
    assert_eq!(outcome.tail, "nächtlich".as_bytes());
    let outcome = bench.run(&call("bad"), &attempt()).await;
    assert_eq!((outcome.status, outcome.detail.as_str()), (AttemptStatus::Failed, "no luck"));
    let outcome = bench.run(&call("panics"), &attempt()).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Failed, false));
    assert_eq!(outcome.detail, "the function panicked: on purpose");
    assert_eq!(outcome.tail, outcome.detail.as_bytes());
    let outcome = bench.run(&call("unheard"), &attempt()).await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::Failed, None));
    assert!(outcome.detail.contains("`unheard`"));
    assert_eq!(bench.exec.functions(), ["bad", "deaf", "ok", "panics", "waits"]);
    bench.exec.register("*", Arc::new(|_| Box::pin(async { Ok(String::new()) })));
    assert_eq!(bench.run(&call("unheard"), &attempt()).await.status, AttemptStatus::Success);
}

#[tokio::test]
async fn a_function_is_asked_to_end_and_then_dropped() {
    let bench = bench();
    let bounded = GrantedAttempt { timeout: Millis(20), ..attempt() };
    let outcome = bench.run(&call("waits"), &bounded).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Timeout, false));
    assert!(outcome.detail.contains("on request"), "{}", outcome.detail);

    let bounded = GrantedAttempt { timeout: Millis(20), kill_grace: Millis(20), ..attempt() };
    let outcome = bench.run(&call("deaf"), &bounded).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Timeout, false));
    assert!(outcome.detail.contains("dropped"), "{}", outcome.detail);

    let mut running = bench.start(call("deaf"), attempt());
    running.started().await;
    running.stop.send(Stop::Kill).unwrap();
    assert_eq!(running.ended().await.status, AttemptStatus::Cancelled);
}

#[tokio::test]
async fn a_function_writes_its_output_until_it_ends() {
    let bench = TestExec::new();
    let (give, mut given) = tokio::sync::mpsc::unbounded_channel();
    let writes = move |context: FuncContext| -> FuncFuture {
        let give = give.clone();
        Box::pin(async move {
            context.output().line("one");
            write!(context.output(), "two").unwrap();
            give.send(context.output().clone()).unwrap();
            Ok(" three".to_owned())
        })
    };
    bench.exec.register("writes", Arc::new(writes));
    let outcome = bench.run(&call("writes"), &attempt()).await;
    assert_eq!(outcome.tail, b"one\ntwo three");
    let late = given.recv().await.unwrap();
    late.line("dropped");
    assert!(write!(&late, "late").is_err());
}

#[tokio::test]
async fn a_function_without_leave_is_not_called() {
    let bench = bench();
    bench.exec.register("never", Arc::new(|_| panic!("called")));
    let outcome = bench.exec.run(&call("never"), &attempt(), closed()).await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::NotStarted, None));
    let late = GrantedAttempt { start_by: BootInstant(0), ..attempt() };
    assert_eq!(bench.run(&call("never"), &late).await.status, AttemptStatus::NotStarted);
}

/// Neither is looked at first by chance.
#[tokio::test]
async fn an_end_that_has_come_counts_before_a_stop() {
    let bench = TestExec::new();
    let (control, ControlHandles { stop, started: _started }) = control();
    let stop = Arc::new(stop);
    let asks = Arc::clone(&stop);
    bench.exec.register(
        "ends",
        Arc::new(move |_| {
            let asks = Arc::clone(&asks);
            Box::pin(async move {
                asks.send_replace(Stop::Ask);
                Ok("done".to_owned())
            })
        }),
    );
    for _ in 0..20 {
        let (tell, _started) = oneshot::channel();
        stop.send_replace(Stop::No);
        let control = AttemptControl {
            gate: Arc::clone(&control.gate),
            stop: control.stop.clone(),
            started: tell,
        };
        let outcome = bench.exec.run(&call("ends"), &attempt(), control).await;
        assert_eq!(outcome.status, AttemptStatus::Success, "{}", outcome.detail);
    }
}
