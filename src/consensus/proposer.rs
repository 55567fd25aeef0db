//! Packs commands into entries. When the proposer wakes, all waiting commands go into one entry,
//! and the number of entries in flight is bounded. The proposer never waits for an entry to fill.
//!
//! An entry occupies a slot until a leader has accepted it, not until its outcome is known. If a
//! leader becomes silent, the outcomes of its entries are unknown, and the entries for the next
//! leader must not wait for them. Liveness commands have their own [`Lane`], so that other work
//! does not delay them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::life;

use super::core::{RaftCore, SubmitOutcome};
use super::limits::LATE_CHECK;
use super::replica::{EntryInFlight, ProposalReply, ProposeError};

/// Maximum number of commands in one entry.
const ENTRY_COMMANDS: usize = 256;
/// Maximum size of one entry in bytes, unless a single command is larger.
const ENTRY_BYTES: usize = 256 << 10;
/// Maximum number of entries on the way to a leader, in [`Lane::Work`].
const ENTRIES_IN_FLIGHT: usize = 16;
/// The same for [`Lane::Liveness`]. Its commands are proposed again if they are refused or lost.
const LIVENESS_IN_FLIGHT: usize = 4;

/// Commands that go into the log together.
pub struct Proposal {
    /// Packed by [`envelope::pack`](crate::domain::machine::envelope::pack).
    pub commands: Bytes,
    /// The number of commands.
    pub count: usize,
    /// The receiver of the outcome.
    pub reply: ProposalReply,
    /// After this the outcome is unknown or, if no leader accepted it, not accepted.
    pub deadline: Instant,
}

/// The queue of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// Everything else.
    Work,
    /// Commands about which nodes are alive.
    Liveness,
}

/// Numbers the entries of this process, across both lanes.
#[derive(Debug, Default)]
pub(super) struct EntryNumbers(AtomicU64);

impl EntryNumbers {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Proposes the commands of one lane until its senders are dropped.
pub(super) async fn run(
    core: Arc<RaftCore>,
    lane: Lane,
    numbers: Arc<EntryNumbers>,
    mut queue: mpsc::Receiver<Proposal>,
) {
    let places = Arc::new(Semaphore::new(match lane {
        Lane::Work => ENTRIES_IN_FLIGHT,
        Lane::Liveness => LIVENESS_IN_FLIGHT,
    }));
    let mut waiting: Vec<Proposal> = Vec::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        if waiting.is_empty() && queue.recv_many(&mut waiting, ENTRY_COMMANDS).await == 0 {
            return;
        }
        let batch = take_batch(&mut waiting);
        let mut commands =
            BytesMut::with_capacity(batch.iter().map(|one| one.commands.len()).sum());
        let mut parts = Vec::with_capacity(batch.len());
        let mut deadline = None;
        for proposal in batch {
            commands.extend_from_slice(&proposal.commands);
            parts.push((proposal.count, proposal.reply));
            deadline = deadline.max(Some(proposal.deadline));
        }
        let Some(deadline) = deadline else { continue };
        let seq = numbers.next();
        let since = Instant::now();
        let mut place = Some(place);
        let _held = if bug!("place-held-by-unknown") { place.take() } else { None };
        core.replica.register_flight(seq, EntryInFlight { parts, since, deadline, _held });
        let (core, commands) = (Arc::clone(&core), commands.freeze());
        let submit = async move {
            let _until_it_returns = place;
            // If the entry may still be applied, it stays in flight until its deadline.
            if core.submit_entry(seq, commands, deadline).await == SubmitOutcome::Refused {
                let sure = core.clock.sure();
                let why = if sure { ProposeError::NotAccepted } else { ProposeError::NoTime };
                core.replica.fail(seq, why);
            }
        };
        life::spawn(submit);
    }
}

/// Takes as many waiting proposals as fit into one entry.
fn take_batch(waiting: &mut Vec<Proposal>) -> Vec<Proposal> {
    let (mut commands, mut bytes) = (0, 0);
    let fits = waiting.iter().take_while(|proposal| {
        commands += proposal.count;
        bytes += proposal.commands.len();
        commands <= ENTRY_COMMANDS && bytes <= ENTRY_BYTES
    });
    let count = fits.count().max(1).min(waiting.len());
    let rest = waiting.split_off(count);
    std::mem::replace(waiting, rest)
}

/// Ends entries in flight whose deadline has passed.
pub(super) async fn expire_flights(core: Arc<RaftCore>) {
    let mut tick = tokio::time::interval(LATE_CHECK);
    loop {
        tick.tick().await;
        core.replica.fail_late(Instant::now());
    }
}
