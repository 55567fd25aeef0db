//! Asks the other members for their wall clocks, so that the clocks of a majority make cluster time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::clock::{Clock, ClusterClock};
use crate::life;
use crate::telemetry::metrics::Metrics;

use super::core::Core;
use super::network::{Peer, kind};
use super::wire::Reader;

/// How often a clock is asked for.
const EVERY: Duration = Duration::from_secs(1);
/// And as long as no majority is found.
const SOON: Duration = Duration::from_millis(100);
/// An answer that takes longer bounds a clock too loosely to be of use.
const LIMIT: Duration = Duration::from_millis(500);

/// So many looks without cluster time are told of; those of a start are fewer.
const GRACE: u32 = 5;

/// Asks every other member, and looks at the own clock.
pub(super) fn watch(core: &Arc<Core>) {
    for peer in core.peers.all() {
        life::spawn(ask(Arc::clone(&core.clock), peer));
    }
    life::spawn(look(Arc::clone(&core.clock), core.metrics.clone()));
}

async fn ask(clock: Arc<ClusterClock>, peer: Arc<Peer>) {
    loop {
        let asked = clock.asking();
        if let Ok(answer) = peer.forward.call(kind::CLOCK, Bytes::new(), LIMIT).await {
            match Reader(answer).u64() {
                Ok(wall) => clock.answered(peer.id, asked, wall.cast_signed()),
                Err(error) => tracing::warn!(peer = peer.id, %error, "a clock cannot be read"),
            }
        }
        tokio::time::sleep(if clock.sure() { EVERY } else { SOON }).await;
    }
}

/// What is answered.
pub(super) fn shown(clock: &ClusterClock) -> Bytes {
    Bytes::copy_from_slice(&clock.wall().to_le_bytes())
}

async fn look(clock: Arc<ClusterClock>, metrics: Metrics) {
    let (mut unsure, mut moves) = (0_u32, clock.moves());
    loop {
        clock.agree();
        if !clock.sure() {
            unsure = unsure.saturating_add(1);
            if unsure == GRACE {
                tracing::warn!(
                    "the clocks of a majority do not agree: nothing is stamped or settled"
                );
            }
        } else if std::mem::take(&mut unsure) >= GRACE {
            tracing::info!("the clocks of a majority agree");
        }
        if clock.moves() != moves {
            moves = clock.moves();
            tracing::info!(ahead_ms = clock.skew() / 1_000_000, "cluster time was set");
        }
        metrics.clock_skew_seconds.set(seconds(clock.skew()));
        metrics.clock_agreed.set(i64::from(clock.agrees()));
        tokio::time::sleep(EVERY).await;
    }
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a gauge; within a year it is exact to a microsecond"
)]
fn seconds(nanos: i64) -> f64 {
    nanos as f64 / 1e9
}
