//! Backfills of recent ranges, each driven by two clients at once, through different nodes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::Method;
use punctual::Timestamp;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{CALLS, Exchange, SimClient, name};
use crate::sim::random::SeededRandom;

/// Length of a range, in milliseconds. Ranges begin at its multiples.
const RANGE_MS: i64 = 5_000;
/// Most executions that the second client has live at once.
const PARALLEL_MAX: u64 = 100;
/// Maximum number of steps of a client.
const STEPS: u32 = 12;

impl SimClient {
    /// Drives the backfill of a range of a task, together with another client.
    pub(super) async fn backfill(&mut self) {
        let task = name(self.random.below(self.world.common.plan.names as u64));
        let now_us = i64::try_from(self.world.history().now()).unwrap_or(i64::MAX);
        let now = self.world.common.plan.epoch_ms + now_us / 1_000;
        let to = (now - 1_000).div_euclid(RANGE_MS) * RANGE_MS;
        let body = |parallel: u64| {
            let (from, to) = (Timestamp(to - RANGE_MS).to_string(), Timestamp(to).to_string());
            json!({"from": from, "to": to, "parallel": parallel})
        };
        // The other one leaves room, so only the cursor refuses a step that was taken already.
        let (few, many) = (body(self.random.range(1, 4)), body(PARALLEL_MAX));
        let call = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
        let random = SeededRandom::of(self.world.common.plan.seed, &format!("backfill {call}"));
        let node = (self.node + 1) % self.world.common.plan.nodes;
        let mut other = Self { world: Arc::clone(&self.world), random, node };
        tokio::join!(self.steps(&task, &few), other.steps(&task, &many));
    }

    async fn steps(&mut self, task: &str, body: &Value) {
        for _ in 0..STEPS {
            let request = (Method::POST, format!("/tasks/{task}/backfill"));
            match self.exchange(request, None, Some(body)).await {
                Exchange::Answered { status: 200, body, .. } if body["done"] != true => {}
                // It is done, or refused.
                Exchange::Answered { status: 200..=499, .. } => return,
                Exchange::Answered { .. } | Exchange::Nowhere | Exchange::Unknown => {
                    self.node = self.random.index(self.world.common.plan.nodes);
                }
            }
            sleep(Duration::from_millis(self.random.range(1, 150))).await;
        }
    }
}
