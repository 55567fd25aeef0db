//! Asks the other members for their wall clocks, so that the clocks of a majority make cluster time.
//! By the same questions a node knows which members answer, and what their settings list.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use crate::clock::{Clock, ClusterClock};
use crate::life;

use super::core::Core;
use super::network::{Peer, kind};
use super::wire::{Malformed, Reader};

/// How often a clock is asked for.
const EVERY: Duration = Duration::from_secs(1);
/// And as long as no majority is found, or no leader.
const SOON: Duration = Duration::from_millis(100);
/// An answer that takes longer bounds a clock too loosely to be of use.
const LIMIT: Duration = Duration::from_millis(500);

/// So many looks without cluster time are told of; those of a start are fewer.
const GRACE: u32 = 5;

/// Asks every other member, and looks at the own clock.
pub(super) fn watch(core: &Arc<Core>) {
    for peer in core.peers.all() {
        life::spawn(ask(Arc::clone(core), peer));
    }
    life::spawn(look(Arc::clone(core)));
}

async fn ask(core: Arc<Core>, peer: Arc<Peer>) {
    loop {
        let asked = core.clock.asking();
        match peer.forward.call(kind::CLOCK, Bytes::new(), LIMIT).await {
            Ok(answer) => match read(answer) {
                Ok((wall, list)) => {
                    core.clock.answered(peer.id, asked, wall);
                    core.contacts.answered(peer.id, list);
                }
                Err(error) => tracing::warn!(peer = peer.id, %error, "a clock cannot be read"),
            },
            Err(error) => core.contacts.failed(peer.id, error),
        }
        let calm = core.clock.sure() && super::lead::unled(&core).is_none();
        tokio::time::sleep(if calm { EVERY } else { SOON }).await;
    }
}

/// What is answered: the wall clock, and the hash of the member list.
pub(super) fn shown(clock: &ClusterClock, list: u64) -> Bytes {
    let mut out = BytesMut::with_capacity(16);
    out.put_i64_le(clock.wall());
    out.put_u64_le(list);
    out.freeze()
}

fn read(answer: Bytes) -> Result<(i64, u64), Malformed> {
    let mut reader = Reader(answer);
    Ok((reader.u64()?.cast_signed(), reader.u64()?))
}

/// Says what is new among the things that are wrong.
fn warn(core: &Core, told: &mut Vec<String>) {
    let warnings = super::lead::warnings(core);
    for warning in warnings.iter().filter(|warning| !told.contains(warning)) {
        tracing::warn!("{warning}");
    }
    *told = warnings;
}

async fn look(core: Arc<Core>) {
    let (clock, metrics) = (&core.clock, &core.metrics);
    let (mut unsure, mut moves) = (0_u32, clock.moves());
    let mut told = Vec::new();
    loop {
        warn(&core, &mut told);
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
