//! Where members are, beside what the settings and the log say.
//!
//! A node tells its peers its own addresses with every poll of their clocks. A peer that knows it
//! elsewhere dials the known address first. If another process of the node answers there, one of
//! the two has a copy of the data folder of the other: the announcement is refused
//! ([`copies`](super::copies)). Otherwise the peer dials the announced address, and believes it
//! when the process that announced it answers there. So a member can move while the settings of the
//! others name its former address; the leader then changes the address in the membership of the
//! log.
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
use crate::transport::{CallError, PeerIdentity, Purpose};

use super::copies::{self, Copies};
use super::core::RaftCore;
use super::limits::{ADDRESS_PAUSE, ADDRESS_PAUSE_MAX, ADDRESS_SILENCE};
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
    boot: Option<u64>,
    dialling: bool,
    /// When it may be dialled again.
    next: Instant,
    pause: Duration,
}

/// The announcements that are not believed yet, by Raft id.
#[derive(Debug, Default)]
struct Announcements(BTreeMap<u64, Announcement>);

impl Announcements {
    /// Whether an announcement is to be looked into now. If so, it counts as being dialled.
    fn due(&mut self, node: u64, told: &RaftMember, boot: Option<u64>, now: Instant) -> bool {
        let known = self.0.get_mut(&node);
        match known {
            Some(known) if known.dialling => false,
            Some(known) if known.told == *told && known.boot == boot => {
                known.dialling = now >= known.next;
                known.dialling
            }
            _ => {
                let (told, pause) = (told.clone(), ADDRESS_PAUSE);
                let new = Announcement { told, boot, dialling: true, next: now, pause };
                self.0.insert(node, new);
                true
            }
        }
    }

    /// It is not believed, and is looked into again after a pause, which doubles. True: it is the
    /// first time.
    fn wait(&mut self, node: u64, now: Instant) -> bool {
        let Some(known) = self.0.get_mut(&node) else { return false };
        let first = known.pause == ADDRESS_PAUSE;
        (known.dialling, known.next) = (false, now + known.pause);
        known.pause = (known.pause * 2).min(ADDRESS_PAUSE_MAX);
        first
    }
}

/// Who answers at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswersThere {
    /// The node does not.
    Nobody,
    /// The process of the node with this number. None: its version tells none.
    Process(Option<u64>),
}

/// What an announcement comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AddressVerdict {
    /// It is believed.
    Believed,
    /// It is looked into again later.
    NotYet,
    /// Another process of the node runs at the known address.
    Copy,
}

/// Judges the announcement of a process by who answers at the known and at the announced address.
fn judge(boot: Option<u64>, known: AnswersThere, told: AnswersThere) -> AddressVerdict {
    match (known, boot) {
        (AnswersThere::Process(Some(other)), Some(boot)) if other != boot => AddressVerdict::Copy,
        // The known address is good, and whether the other is the same process is not known.
        (AnswersThere::Process(other), _) if other.is_none() || boot.is_none() => {
            AddressVerdict::NotYet
        }
        _ if told == AnswersThere::Process(boot) => AddressVerdict::Believed,
        _ => AddressVerdict::NotYet,
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
    failed: Mutex<BTreeMap<u16, FailedDials>>,
}

impl AnnouncedAddresses {
    pub fn new(own: RaftMember) -> Self {
        Self {
            own,
            known: watch::Sender::default(),
            copies: Copies::default(),
            heard: Mutex::default(),
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
        if matches!(error, CallError::Unknown(_)) {
            // It was sent, so the member is there.
            failed.remove(&member);
        } else if failed
            .entry(member)
            .or_insert_with(|| FailedDials::new(addr, now))
            .note(addr, now)
        {
            tracing::debug!(%addr, "the address of n{member} is given up");
            self.known.send_modify(|known| known.give_up(member, addr));
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
    let (node, boot) = (from.node.0, from.boot);
    let known = core.members.borrow().iter().find(|member| member.node == node).cloned();
    let Some(known) = known else { return Ok(()) };
    if told.http.is_empty() {
        told.http.clone_from(&known.http);
    }
    if known.peer == told.peer && known.http == told.http {
        core.announced.heard.lock().0.remove(&node);
        if let Some(boot) = boot.filter(|_| core.announced.copies.is_second(from)) {
            copies::refuse(core, node, boot, &known.peer);
        }
        return Ok(());
    }
    let now = Instant::now();
    if !core.announced.heard.lock().due(node, &told, boot, now) {
        return Ok(());
    }
    if let Some(fault) = fault(&told) {
        if core.announced.heard.lock().wait(node, now) {
            tracing::warn!("n{} announces an address that cannot be used: {fault}", known.id);
        }
        return Ok(());
    }
    let core = Arc::clone(core);
    life::spawn(async move { look_into(&core, known, told, boot).await });
    Ok(())
}

/// Dials the known address of a member, and the one that it announces.
async fn look_into(core: &Arc<RaftCore>, known: ListedMember, told: RaftMember, boot: Option<u64>) {
    let node = known.node;
    let at_known = answers(core, node, &known.peer).await;
    let at_told = match told.peer == known.peer || judge(boot, at_known, at_known).is_copy() {
        true => at_known,
        false => answers(core, node, &told.peer).await,
    };
    match judge(boot, at_known, at_told) {
        AddressVerdict::Believed => {
            tracing::info!("n{} is at {} now", known.id, told.peer);
            core.announced.known.send_modify(|known| {
                known.reached.insert(node, told);
            });
            core.announced.heard.lock().0.remove(&node);
        }
        AddressVerdict::NotYet => {
            tracing::debug!(peer = %told.peer, "n{} is not where it says", known.id);
            core.announced.heard.lock().wait(node, Instant::now());
        }
        AddressVerdict::Copy => {
            core.announced.heard.lock().wait(node, Instant::now());
            if let Some(boot) = boot {
                copies::refuse(core, node, boot, &told.peer);
            }
        }
    }
}

impl AddressVerdict {
    fn is_copy(self) -> bool {
        self == Self::Copy
    }
}

/// Which process of a node answers at an address.
pub(super) async fn answers(core: &RaftCore, node: u64, addr: &str) -> AnswersThere {
    let dialer = core.peers.dialer(config_id(node), Some(node), addr);
    match dialer.connect(Purpose::Forward).await {
        Ok(there) => AnswersThere::Process(there.hello.identity.boot),
        Err(error) => {
            tracing::debug!(%error, "{} does not answer there", NodeId(node));
            AnswersThere::Nobody
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: u64 = 3 << 16 | 1;

    fn at(peer: &str) -> RaftMember {
        RaftMember { peer: peer.to_owned(), http: String::new() }
    }

    #[test]
    fn a_process_is_believed_only_where_no_other_one_answers() {
        use AddressVerdict::{Believed, Copy, NotYet};
        let (nobody, process) = (AnswersThere::Nobody, |boot| AnswersThere::Process(Some(boot)));
        let untold = AnswersThere::Process(None);
        let (own, first) = (Some(7), None);
        for (boot, known, told, verdict) in [
            (own, nobody, process(7), Believed),
            (own, process(7), process(7), Believed),
            (own, nobody, nobody, NotYet),
            (own, process(7), nobody, NotYet),
            // Another process than the one that announces it.
            (own, nobody, process(8), NotYet),
            (own, nobody, untold, NotYet),
            // The known address still answers.
            (own, process(8), process(7), Copy),
            (own, process(8), nobody, Copy),
            // A version without numbers moves once its former address is silent.
            (first, nobody, untold, Believed),
            (first, untold, untold, NotYet),
            (own, untold, process(7), NotYet),
            (first, process(8), untold, NotYet),
        ] {
            assert_eq!(judge(boot, known, told), verdict, "{boot:?} {known:?} {told:?}");
        }
    }

    #[test]
    fn an_address_that_is_given_up_gives_way_to_the_next() {
        let mut known = KnownAddresses::default();
        let others = [at("file"), at("log")];
        let choose = |known: &KnownAddresses| known.choose(NODE, &others).peer;
        assert_eq!(choose(&known), "file");
        known.reached.insert(NODE, at("reached"));
        assert_eq!(choose(&known), "reached");
        // Another member's address, and a former one of its own.
        known.give_up(4, "reached");
        known.give_up(3, "former");
        assert_eq!(choose(&known), "reached");
        known.give_up(3, "reached");
        assert_eq!(choose(&known), "file");
        known.give_up(3, "file");
        assert_eq!(choose(&known), "log");
        known.give_up(3, "log");
        assert_eq!(choose(&known), "file");
        assert_eq!(known.choose(NODE, &others[..1]).peer, "file");
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_is_given_up_after_some_time_and_each_further_one_later() {
        let mut dials = FailedDials::new("a", Instant::now());
        let mut given_up = async |addr: &str| {
            let begun = Instant::now();
            while !dials.note(addr, Instant::now()) {
                tokio::time::advance(Duration::from_millis(100)).await;
            }
            begun.elapsed()
        };
        assert_eq!(given_up("a").await, ADDRESS_SILENCE);
        assert_eq!(given_up("b").await, ADDRESS_SILENCE * 2);
        assert_eq!(given_up("a").await, ADDRESS_SILENCE * 4);
        for _ in 0..3 {
            given_up("b").await;
        }
        assert_eq!(given_up("b").await, ADDRESS_SILENCE * 16, "the longest");
    }

    #[tokio::test(start_paused = true)]
    async fn an_announcement_that_is_not_believed_is_looked_into_less_and_less_often() {
        let mut heard = Announcements::default();
        let mut dials = 0;
        for _ in 0..600 {
            if heard.due(NODE, &at("a"), Some(1), Instant::now()) {
                dials += 1;
                assert!(!heard.due(NODE, &at("a"), Some(1), Instant::now()), "it is dialled");
                assert!(!heard.due(NODE, &at("b"), Some(1), Instant::now()), "one at a time");
                assert_eq!(heard.wait(NODE, Instant::now()), dials == 1);
            }
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        // At 0, 1, 3, 7, 15 and 31 s.
        assert_eq!(dials, 6);
        assert!(heard.due(NODE, &at("b"), Some(1), Instant::now()), "another address");
        heard.wait(NODE, Instant::now());
        assert!(heard.due(NODE, &at("b"), Some(2), Instant::now()), "another process");
    }

    #[test]
    fn an_address_that_cannot_be_dialled_is_none() {
        let told = |peer: &str, http: &str| {
            fault(&RaftMember { peer: peer.to_owned(), http: http.to_owned() })
        };
        assert_eq!(told("n3:7070", ""), None);
        assert_eq!(told("10.0.0.3:7070", "http://10.0.0.3:8080"), None);
        for (peer, http) in [("", ""), ("n3", ""), ("n3:0", ""), ("n3:7070", "n3:8080")] {
            assert!(told(peer, http).is_some(), "{peer} {http}");
        }
    }

    #[test]
    fn a_node_without_an_address_announces_none() {
        assert!(AnnouncedAddresses::new(RaftMember::default()).announcement().is_empty());
        let own = RaftMember { peer: "n3:7070".to_owned(), http: String::new() };
        let announced = AnnouncedAddresses::new(own.clone()).announcement();
        assert_eq!(read(announced), Ok(own));
    }

    #[test]
    fn only_a_dial_that_fails_gives_an_address_up() {
        let announced = AnnouncedAddresses::new(RaftMember::default());
        announced.known.send_modify(|known| {
            known.reached.insert(NODE, at("reached"));
        });
        let late = CallError::Unknown("late".to_owned());
        announced.failed(3, "reached", &CallError::NotSent("nobody".to_owned()));
        assert!(announced.failed.lock().contains_key(&3));
        announced.failed(3, "reached", &late);
        assert!(!announced.failed.lock().contains_key(&3), "it is there");
        assert!(announced.known.borrow().reached.contains_key(&NODE));
    }
}
