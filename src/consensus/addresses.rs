//! Where members are, beside what the settings and the log say.
//!
//! A node tells its peers its own addresses with every poll of their clocks. A peer that knows it
//! elsewhere dials the known address first. If another process of the node answers there, one of
//! the two has a copy of the data folder of the other: the announcement is refused
//! ([`copies`](super::copies)). Otherwise the peer dials the announced address, and believes it
//! when the process that announced it answers there and every other process of the node has been
//! silent for [`ADDRESS_SILENCE`]. So a process that stalls is not replaced by a copy after one
//! failed dial, and a member can move while the settings of the others name its former address; the
//! leader then changes the address in the membership of the log. What accepts connections at the
//! known address and does not say who it is may be the node, and counts as it for [`UNCLEAR_MAX`].
//!
//! An address that cannot be dialled for some time is given up. Where the member was reached is
//! forgotten first; after that the addresses in the settings and in the log take turns.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::{base_url, host_port};
use crate::domain::ids::NodeId;
use crate::life;
use crate::transport::{CallError, DialError, PeerIdentity, PeerRefusalCode, Purpose};

use super::copies::{self, Copies, Process};
use super::core::RaftCore;
use super::limits::{ADDRESS_PAUSE, ADDRESS_PAUSE_MAX, ADDRESS_SILENCE, UNCLEAR_MAX};
use super::membership::ListedMember;
use super::network::config_id;
use super::types::RaftMember;
use super::wire::{self, Malformed, WireReader};

/// An address that was given up this often is given up no later than before.
const DOUBLINGS: u32 = 4;

/// What is known of the addresses of members, beside the settings and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KnownAddresses {
    /// Where nodes were reached, by Raft id.
    pub reached: BTreeMap<u64, RaftMember>,
    /// How many other addresses of a member were given up, by its configured id.
    turns: BTreeMap<u16, usize>,
}

impl KnownAddresses {
    /// The address of a node: where it was reached. Otherwise one of these, the first as long as
    /// none was given up.
    pub fn choose(&self, node: u64, others: &[RaftMember]) -> RaftMember {
        let turn = self.turns.get(&config_id(node)).copied().unwrap_or(0);
        let turn = turn.checked_rem(others.len()).unwrap_or(0);
        self.reached.get(&node).or_else(|| others.get(turn)).cloned().unwrap_or_default()
    }

    /// Gives an address of a member up.
    fn give_up(&mut self, member: u16, peer: &str) {
        if self.reached.keys().any(|node| config_id(*node) == member) {
            self.reached.retain(|node, at| config_id(*node) != member || at.peer != peer);
        } else {
            let turn = self.turns.entry(member).or_default();
            *turn = turn.wrapping_add(1);
        }
    }
}

/// The failed dials of a member since its last answer.
#[derive(Debug)]
struct FailedDials {
    addr: String,
    since: Instant,
    given_up: u32,
}

impl FailedDials {
    fn new(addr: &str, now: Instant) -> Self {
        Self { addr: addr.to_owned(), since: now, given_up: 0 }
    }

    /// Notes a failed dial. True: the address is given up. Each further one has more time, so that
    /// a member that is down has its address changed less and less often.
    fn note(&mut self, addr: &str, now: Instant) -> bool {
        if self.addr != addr {
            (self.addr, self.since) = (addr.to_owned(), now);
            return false;
        }
        let limit = ADDRESS_SILENCE * 2_u32.pow(self.given_up.min(DOUBLINGS));
        let over = now.duration_since(self.since) >= limit;
        if over {
            (self.since, self.given_up) = (now, self.given_up.saturating_add(1));
        }
        over
    }
}

/// An announcement that is not believed yet.
#[derive(Debug)]
struct Announcement {
    told: RaftMember,
    dialling: bool,
    /// When it may be dialled again.
    next: Instant,
    pause: Duration,
}

/// The announcements that are not believed yet. Each process has its own, so that two processes of a
/// node do not disturb each other's.
#[derive(Debug, Default)]
struct Announcements(BTreeMap<Process, Announcement>);

impl Announcements {
    /// Whether an announcement is to be looked into now. If so, it counts as being dialled.
    fn due(&mut self, process: Process, told: &RaftMember, now: Instant) -> bool {
        // Those of processes that announce nothing any more.
        self.0.retain(|_, known| known.dialling || now < known.next + ADDRESS_PAUSE_MAX);
        match self.0.get_mut(&process) {
            Some(known) if known.dialling => false,
            Some(known) if known.told == *told => {
                known.dialling = now >= known.next;
                known.dialling
            }
            _ => {
                let (told, pause) = (told.clone(), ADDRESS_PAUSE);
                self.0.insert(process, Announcement { told, dialling: true, next: now, pause });
                true
            }
        }
    }

    /// It is not believed, and is looked into again after a pause, which doubles. True: it is the
    /// first time.
    fn wait(&mut self, process: Process, now: Instant) -> bool {
        let Some(known) = self.0.get_mut(&process) else { return false };
        let first = known.pause == ADDRESS_PAUSE;
        (known.dialling, known.next) = (false, now + known.pause);
        known.pause = (known.pause * 2).min(ADDRESS_PAUSE_MAX);
        first
    }

    /// It is not believed yet, and is looked into again at this time.
    fn wait_until(&mut self, process: Process, next: Instant) {
        if let Some(known) = self.0.get_mut(&process) {
            (known.dialling, known.next) = (false, next);
        }
    }
}

/// The refusals that say that what answers is not the node: another program, cluster or node.
const OTHERS: [PeerRefusalCode; 4] = [
    PeerRefusalCode::MAGIC,
    PeerRefusalCode::CLUSTER_NAME,
    PeerRefusalCode::CLUSTER_ID,
    PeerRefusalCode::ADDRESSEE,
];

/// Who answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswersThere {
    /// The node does not: no stream was opened, or what answers is not the node.
    Nobody,
    /// Something is there that did not say who it is. It may be the node.
    Unclear,
    /// The process of the node with this number. None: its version tells none.
    Process(Option<u64>),
}

impl AnswersThere {
    /// What a failed dial shows.
    ///
    /// A process that is stopped for a moment, or busy, still has its listener: the system opens the
    /// stream, and the handshake is late or breaks off. A busy or older node refuses. None of this
    /// shows that the node is gone, so none of it lets another process take its place. A refusal
    /// that names another node, cluster or program does: the address was given to somebody else.
    /// A full queue of the listener looks like an address that is not reached, which is why the node
    /// must have been silent for some time too ([`judge`]).
    fn after(error: &DialError) -> Self {
        match error {
            DialError::Unreachable { .. } => Self::Nobody,
            DialError::Refused { code, .. } | DialError::Untrusted { code, .. }
                if OTHERS.contains(code) =>
            {
                Self::Nobody
            }
            DialError::Broken { .. } | DialError::Refused { .. } | DialError::Untrusted { .. } => {
                Self::Unclear
            }
        }
    }
}

/// Since when something at the known address of a node has not said who it is.
#[derive(Debug)]
struct UnclearAnswer {
    addr: String,
    since: Instant,
    last: Instant,
    warned: bool,
}

/// The nodes, by Raft id, at whose known addresses something does not say who it is.
#[derive(Debug, Default)]
pub(super) struct UnclearAnswers(BTreeMap<u64, UnclearAnswer>);

impl UnclearAnswers {
    /// Notes who answers at the known address of a node. Returns who is taken to answer: nobody, once
    /// it has been unclear for [`UNCLEAR_MAX`], at all looks.
    fn note(&mut self, node: u64, addr: &str, there: AnswersThere, now: Instant) -> AnswersThere {
        if there != AnswersThere::Unclear {
            self.0.remove(&node);
            return there;
        }
        // A former look says nothing of now if many were left out since.
        let lasts = |known: &UnclearAnswer| {
            known.addr == addr && now.duration_since(known.last) <= ADDRESS_PAUSE_MAX * 2
        };
        self.0.retain(|of, known| *of != node || lasts(known));
        let new = || UnclearAnswer { addr: addr.to_owned(), since: now, last: now, warned: false };
        let known = self.0.entry(node).or_insert_with(new);
        known.last = now;
        let over = now.duration_since(known.since) >= UNCLEAR_MAX;
        if over { AnswersThere::Nobody } else { AnswersThere::Unclear }
    }

    /// Whether the operator is told of it now: once, and not of a process that just ends.
    fn warn(&mut self, node: u64, now: Instant) -> bool {
        let Some(known) = self.0.get_mut(&node) else { return false };
        let warn = !known.warned && now.duration_since(known.since) >= ADDRESS_SILENCE;
        known.warned |= warn;
        warn
    }
}

/// What an announcement comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressVerdict {
    /// It is believed.
    Believed,
    /// It is looked into again later.
    NotYet,
    /// It would be believed if no other process of the node had been heard shortly before.
    TooSoon,
    /// Another process of the node runs at the known address.
    Copy,
}

/// Judges the announcement of a process by who answers at the known and at the announced address,
/// and by whether every other process of the node has been silent for some time.
fn judge(
    boot: Option<u64>,
    known: AnswersThere,
    told: AnswersThere,
    others_silent: bool,
) -> AddressVerdict {
    match (known, boot) {
        (AnswersThere::Process(Some(other)), Some(boot)) if other != boot => AddressVerdict::Copy,
        // The known address is good, and whether the other is the same process is not known.
        (AnswersThere::Process(other), _) if other.is_none() || boot.is_none() => {
            AddressVerdict::NotYet
        }
        (AnswersThere::Unclear, _) => AddressVerdict::NotYet,
        _ if told != AnswersThere::Process(boot) => AddressVerdict::NotYet,
        _ if others_silent => AddressVerdict::Believed,
        _ => AddressVerdict::TooSoon,
    }
}

/// The addresses of members, as they announce them.
pub(super) struct AnnouncedAddresses {
    /// This node's own.
    pub own: RaftMember,
    /// What is known of those of others.
    pub known: watch::Sender<KnownAddresses>,
    /// Processes that have a copy of the data of a member.
    pub copies: Copies,
    heard: Mutex<Announcements>,
    unclear: Mutex<UnclearAnswers>,
    failed: Mutex<BTreeMap<u16, FailedDials>>,
}

impl AnnouncedAddresses {
    pub fn new(own: RaftMember) -> Self {
        Self {
            own,
            known: watch::Sender::default(),
            copies: Copies::new(Instant::now()),
            heard: Mutex::default(),
            unclear: Mutex::default(),
            failed: Mutex::default(),
        }
    }

    /// This node's addresses, as a poll carries them. A node that has none announces none.
    pub fn announcement(&self) -> Bytes {
        let mut out = BytesMut::new();
        if !self.own.peer.is_empty() {
            wire::put_text(&mut out, &self.own.peer);
            wire::put_text(&mut out, &self.own.http);
        }
        out.freeze()
    }

    /// Notes that a member answered a poll.
    pub fn answered(&self, member: u16) {
        self.failed.lock().remove(&member);
    }

    /// Notes that a poll of a member failed. An address that cannot be dialled is given up.
    pub fn failed(&self, member: u16, addr: &str, error: &CallError) {
        let now = Instant::now();
        let mut failed = self.failed.lock();
        match error {
            // It was sent, so the member is there.
            CallError::Unknown(_) => drop(failed.remove(&member)),
            // It says nothing of the address.
            CallError::NotSent(_) => {}
            CallError::NoConnection(_) | CallError::Refused { .. } => {
                let dials = failed.entry(member).or_insert_with(|| FailedDials::new(addr, now));
                if dials.note(addr, now) {
                    tracing::debug!(%addr, "the address of n{member} is given up");
                    self.known.send_modify(|known| known.give_up(member, addr));
                }
            }
        }
    }
}

fn read(body: Bytes) -> Result<RaftMember, Malformed> {
    let mut reader = WireReader(body);
    let member = RaftMember { peer: reader.text()?, http: reader.text()? };
    reader.end()?;
    Ok(member)
}

/// What an announced address lacks, if it cannot be one. The base URL may be empty.
fn fault(told: &RaftMember) -> Option<String> {
    let http = if told.http.is_empty() { Ok(()) } else { base_url(&told.http) };
    let peer = host_port(&told.peer).map_err(|rule| format!("peer {:?} {rule}", told.peer));
    peer.and(http.map_err(|rule| format!("http {:?} {rule}", told.http))).err()
}

/// Notes what a peer announces, if it is a member and answers there. An empty body says nothing.
pub(super) fn heard(
    core: &Arc<RaftCore>,
    from: &PeerIdentity,
    body: Bytes,
) -> Result<(), Malformed> {
    if body.is_empty() || bug!("moves-ignored") {
        return Ok(());
    }
    let mut told = read(body)?;
    let process @ (node, boot) = (from.node.0, from.boot);
    let known = core.members.borrow().iter().find(|member| member.node == node).cloned();
    let Some(known) = known else { return Ok(()) };
    if told.http.is_empty() {
        told.http.clone_from(&known.http);
    }
    if known.peer == told.peer && known.http == told.http {
        core.announced.heard.lock().0.remove(&process);
        if let Some(boot) = boot.filter(|_| core.announced.copies.is_second(from)) {
            copies::refuse(core, node, boot, &known.peer);
        }
        return Ok(());
    }
    let now = Instant::now();
    if !core.announced.heard.lock().due(process, &told, now) {
        return Ok(());
    }
    if let Some(fault) = fault(&told) {
        if core.announced.heard.lock().wait(process, now) {
            tracing::warn!("n{} announces an address that cannot be used: {fault}", known.id);
        }
        return Ok(());
    }
    let core = Arc::clone(core);
    life::spawn(async move { look_into(&core, known, told, process).await });
    Ok(())
}

/// Dials the known address of a member, and the one that a process of it announces.
async fn look_into(core: &Arc<RaftCore>, known: ListedMember, told: RaftMember, process: Process) {
    let (node, boot) = process;
    let at_known = answers_at_known(core, node, &known.peer).await;
    let is_copy = judge(boot, at_known, at_known, true) == AddressVerdict::Copy;
    let at_told = match told.peer == known.peer || is_copy {
        true => at_known,
        false => answers(core, node, &told.peer).await,
    };
    let (now, silent_from) = (Instant::now(), core.announced.copies.others_silent_from(process));
    let heard = &core.announced.heard;
    match judge(boot, at_known, at_told, now >= silent_from) {
        AddressVerdict::Believed => {
            tracing::info!("n{} is at {} now", known.id, told.peer);
            core.announced.known.send_modify(|known| {
                known.reached.insert(node, told);
            });
            heard.lock().0.remove(&process);
        }
        AddressVerdict::NotYet => {
            tracing::debug!(peer = %told.peer, "n{} is not where it says", known.id);
            let only_unclear = at_known == AnswersThere::Unclear
                && judge(boot, AnswersThere::Nobody, at_told, true) == AddressVerdict::Believed;
            if only_unclear && core.announced.unclear.lock().warn(node, now) {
                tracing::warn!("{}", unclear(known.id, &known.peer, &told.peer));
            }
            heard.lock().wait(process, now);
        }
        AddressVerdict::TooSoon => {
            tracing::debug!(peer = %told.peer, "n{} was heard elsewhere just before", known.id);
            heard.lock().wait_until(process, silent_from);
        }
        AddressVerdict::Copy => {
            heard.lock().wait(process, now);
            if let Some(boot) = boot {
                copies::refuse(core, node, boot, &told.peer);
            }
        }
    }
}

/// What the operator is told of a node that moved, while something is at its former address.
fn unclear(member: u16, known: &str, told: &str) -> String {
    let seconds = UNCLEAR_MAX.as_secs();
    format!(
        "n{member} says that it is at {told}, but something at {known}, where it was, accepts \
         connections and does not say who it is. If n{member} has not answered at {known} for \
         {seconds} s, {told} is taken as its address. If a second process of n{member} is at \
         {known}, stop one of the two: one has a copy of the other's data folder"
    )
}

/// Which process of a node is taken to answer at its known address.
pub(super) async fn answers_at_known(core: &RaftCore, node: u64, known: &str) -> AnswersThere {
    let there = answers(core, node, known).await;
    core.announced.unclear.lock().note(node, known, there, Instant::now())
}

/// Which process of a node answers at an address.
async fn answers(core: &RaftCore, node: u64, addr: &str) -> AnswersThere {
    let dialer = core.peers.dialer(config_id(node), Some(node), addr);
    match dialer.connect(Purpose::Forward).await {
        Ok(there) => AnswersThere::Process(there.hello.identity.boot),
        Err(error) => {
            tracing::debug!(%error, "{} does not answer there", NodeId(node));
            AnswersThere::after(&error)
        }
    }
}

#[cfg(test)]
mod tests;
