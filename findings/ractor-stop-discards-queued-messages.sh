#!/usr/bin/env bash
# ractor 0.16.5: a message sent to an actor that was asked to stop is accepted and never handled.
#
# One would expect that `stop` lets the queue run empty, as `drain` does, or that sending fails from
# then on. Seen: of five messages queued behind one that is being handled, none is handled after
# `stop(None)`; a message sent right after `stop` is answered with Ok, and is lost too. `drain` handles
# all five. So an actor that stops itself cannot tell its senders, and whoever relies on delivery has to
# look again at what the message was about.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
ractor = { version = "=0.16.5", default-features = false, features = ["tokio_runtime"] }
tokio = { version = "1", features = ["macros", "rt", "sync"] }
TOML
cat > src/main.rs <<'RUST'
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::Notify;

struct Counter {
    handled: Arc<AtomicUsize>,
    begun: Arc<Notify>,
    go_on: Arc<Notify>,
}

impl Actor for Counter {
    type Msg = bool;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<bool>, _: ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(&self, _: ActorRef<bool>, wait: bool, _: &mut ()) -> Result<(), ActorProcessingErr> {
        if wait {
            self.begun.notify_one();
            self.go_on.notified().await;
        } else {
            self.handled.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

async fn run(drain: bool) -> (usize, bool) {
    let handled = Arc::new(AtomicUsize::new(0));
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let counter = Counter { handled: handled.clone(), begun: begun.clone(), go_on: go_on.clone() };
    let (actor, ends) = Actor::spawn(None, counter, ()).await.expect("an actor");
    actor.send_message(true).expect("taken");
    begun.notified().await;
    for _ in 0..5 {
        actor.send_message(false).expect("taken");
    }
    if drain { actor.drain().expect("drains") } else { actor.stop(None) }
    let late = actor.send_message(false).is_ok();
    go_on.notify_one();
    ends.await.expect("ends");
    (handled.load(Ordering::SeqCst), late)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (stopped, drained) = (run(false).await, run(true).await);
    println!("stop: {} of 5 handled, a later send is taken: {}", stopped.0, stopped.1);
    println!("drain: {} of 5 handled, a later send is taken: {}", drained.0, drained.1);
    std::process::exit(i32::from(stopped != (0, true) || drained != (5, false)));
}
RUST
cargo run --quiet
