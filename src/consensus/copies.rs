//! Processes that have a copy of the data folder of a node that runs.
//!
//! Two processes of one node would both vote, and acknowledge different entries under one name. The
//! known address of a member decides which of the two is the member. The other is refused until the
//! first has been silent for [`ADDRESS_SILENCE`], and the operator is told. One failed dial is no
//! silence: the first may have stalled for a moment. What accepts connections at the known address
//! and does not say who it is counts as the first for
//! [`UNCLEAR_MAX`](super::limits::UNCLEAR_MAX).
//!
//! A process shows itself by its number, which it draws at each start. There are two when one
//! announces another address while the other answers at the known one
//! ([`addresses`](super::addresses)), or when one polls this node's clock while the other answers
//! its polls at the same address.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::life;
use crate::transport::{PeerIdentity, PeerRefusal, PeerRefusalCode};

use super::addresses::{self, AnswersThere};
use super::core::RaftCore;
use super::limits::ADDRESS_SILENCE;
use super::network::config_id;

/// The code of this refusal.
const REFUSED: PeerRefusalCode = PeerRefusalCode(100);
/// Interval between two looks whether the other process still answers.
const LOOK: Duration = Duration::from_secs(5);
/// A copy that has not asked for this long has ended, and is forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// A process: the Raft id of its node, and its number. None: its version tells none.
pub(super) type Process = (u64, Option<u64>);

/// A refused process.
#[derive(Debug)]
struct RefusedCopy {
    reason: String,
    asked: Instant,
}

/// When a process was heard.
#[derive(Debug)]
struct Heard {
    first: Instant,
    last: Instant,
}

/// Which processes of the members polled this node, and which answered its polls.
#[derive(Debug)]
struct SeenProcesses {
    /// Before this time nobody was asked.
    since: Instant,
    heard: BTreeMap<Process, Heard>,
    /// When processes were asked that answered, by configured id and number.
    answered: BTreeMap<(u16, Option<u64>), Instant>,
}

impl SeenProcesses {
    fn new(now: Instant) -> Self {
        Self { since: now, heard: BTreeMap::new(), answered: BTreeMap::new() }
    }

    /// Notes a poll of a process. True: meanwhile another one answered in its place.
    fn heard(&mut self, process: Process, now: Instant) -> bool {
        self.heard.retain(|_, heard| now.duration_since(heard.last) < IDLE);
        let heard = self.heard.entry(process).or_insert(Heard { first: now, last: now });
        heard.last = now;
        let first = heard.first;
        // A process that ended before the other began is heard no more after the other answered.
        let newest = self.answers_of(process.0).max_by_key(|(_, asked)| *asked);
        newest.is_some_and(|(boot, asked)| boot != process.1 && asked > first)
    }

    fn answered(&mut self, member: u16, boot: Option<u64>, asked: Instant) {
        let old = |at: &Instant| asked.duration_since(*at) >= IDLE;
        self.answered.retain(|(of, _), at| *of != member || !old(at));
        self.answered.insert((member, boot), asked);
    }

    /// The numbers of the processes that answered for a node, and when they were asked.
    fn answers_of(&self, node: u64) -> impl Iterator<Item = (Option<u64>, Instant)> {
        let member = config_id(node);
        let answers = self.answered.range((member, None)..=(member, Some(u64::MAX)));
        answers.map(|((_, boot), asked)| (*boot, *asked))
    }

    /// When every other process of this one's node will have been silent for [`ADDRESS_SILENCE`]:
    /// none answered a poll, and none was heard that says that it is at the known address. Processes
    /// without numbers cannot be told apart, so each counts as another one.
    fn others_silent_from(&self, process: Process) -> Instant {
        let (node, boot) = process;
        let other = |one: Option<u64>| boot.is_none() || one != boot;
        let answered = self.answers_of(node).filter(|(one, _)| other(*one));
        let heard = self.heard.iter().filter(|((of, one), _)| *of == node && other(*one));
        let signs = answered.map(|(_, asked)| asked).chain(heard.map(|(_, heard)| heard.last));
        signs.fold(self.since, Instant::max) + ADDRESS_SILENCE
    }
}

/// The processes that are refused.
#[derive(Debug)]
pub(super) struct Copies {
    refused: Mutex<BTreeMap<Process, RefusedCopy>>,
    seen: Mutex<SeenProcesses>,
}

impl Copies {
    pub fn new(now: Instant) -> Self {
        Self { refused: Mutex::default(), seen: Mutex::new(SeenProcesses::new(now)) }
    }

    /// Refuses a peer that is one of them.
    pub fn check(&self, peer: &PeerIdentity) -> Result<(), PeerRefusal> {
        let mut refused = self.refused.lock();
        let Some(copy) = refused.get_mut(&(peer.node.0, peer.boot)) else { return Ok(()) };
        copy.asked = Instant::now();
        Err(PeerRefusal::new(REFUSED, copy.reason.clone()))
    }

    /// A sentence for each.
    pub fn warnings(&self) -> Vec<String> {
        self.refused.lock().values().map(|copy| copy.reason.clone()).collect()
    }

    /// Notes which process of a member answered a poll.
    pub fn answered(&self, member: u16, boot: Option<u64>, asked: Instant) {
        self.seen.lock().answered(member, boot, asked);
    }

    /// Notes a poll. True: another process answers in its place.
    pub fn is_second(&self, peer: &PeerIdentity) -> bool {
        self.seen.lock().heard((peer.node.0, peer.boot), Instant::now()) && peer.boot.is_some()
    }

    /// When every other process of this one's node will have been silent for some time.
    pub fn others_silent_from(&self, process: Process) -> Instant {
        self.seen.lock().others_silent_from(process)
    }

    fn add(&self, process: Process, reason: String) -> bool {
        let copy = RefusedCopy { reason, asked: Instant::now() };
        self.refused.lock().insert(process, copy).is_none()
    }

    fn is_idle(&self, process: Process) -> bool {
        self.refused.lock().get(&process).is_none_or(|copy| copy.asked.elapsed() >= IDLE)
    }

    fn release(&self, process: Process) {
        self.refused.lock().remove(&process);
        self.seen.lock().heard.remove(&process);
    }
}

/// What the operators of this node and of the copy are told.
fn reason(member: u16, known: &str, told: &str) -> String {
    let place = match known == told {
        true => format!("a second process of it says that it is there too ({told})"),
        false => format!("a second process of it says that it is at {told}"),
    };
    format!(
        "n{member} runs at {known}, and {place}: one has a copy of the other's data folder, and the \
         second is refused. Stop one of the two; to have one more node, start it with an id of its \
         own and an empty data folder"
    )
}

/// Refuses a process that says that it is at this address, as long as another one of its node
/// answers at the known one.
pub(super) fn refuse(core: &Arc<RaftCore>, node: u64, boot: u64, told: &str) {
    let Some(known) = known_address(core, node) else { return };
    let reason = reason(config_id(node), &known, told);
    if core.announced.copies.add((node, Some(boot)), reason) {
        let core = Arc::clone(core);
        life::spawn(async move { look_again(&core, node, boot).await });
    }
}

/// Refuses a process no longer once the other has ended, or it has ended itself.
async fn look_again(core: &RaftCore, node: u64, boot: u64) {
    let (process, copies) = ((node, Some(boot)), &core.announced.copies);
    loop {
        tokio::time::sleep(LOOK).await;
        let stays = match known_address(core, node) {
            Some(known) => {
                let there = addresses::answers_at_known(core, node, &known).await;
                let silent = Instant::now() >= copies.others_silent_from(process);
                !copies.is_idle(process) && stays(boot, there, silent)
            }
            None => false,
        };
        if !stays {
            copies.release(process);
            return;
        }
    }
}

/// Whether a process stays refused, by who answers at the known address and by whether every other
/// process has been silent for some time.
fn stays(boot: u64, there: AnswersThere, others_silent: bool) -> bool {
    match there {
        AnswersThere::Unclear => true,
        AnswersThere::Process(other) if other != Some(boot) => true,
        AnswersThere::Process(_) | AnswersThere::Nobody => !others_silent,
    }
}

fn known_address(core: &RaftCore, node: u64) -> Option<String> {
    let members = core.members.borrow();
    members.iter().find(|member| member.node == node).map(|member| member.peer.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::NodeId;

    #[tokio::test(start_paused = true)]
    async fn a_process_is_the_second_when_another_answers_while_it_is_heard() {
        let node = NodeId::new(3, 1).0;
        let (first, second) = ((node, Some(10)), (node, Some(11)));
        let mut seen = SeenProcesses::new(Instant::now());
        let step = async || {
            tokio::time::advance(Duration::from_secs(1)).await;
            Instant::now()
        };
        assert!(!seen.heard(first, step().await));
        seen.answered(3, Some(10), step().await);
        assert!(!seen.heard(first, step().await));
        // It starts again, and its former process was asked before it was heard.
        assert!(!seen.heard(second, step().await));
        seen.answered(3, Some(11), step().await);
        assert!(!seen.heard(second, step().await));
        // The former one still runs.
        assert!(seen.heard(first, step().await));
        assert!(!seen.heard(second, step().await), "the one that answers is the member");
        assert!(!seen.heard((NodeId::new(4, 1).0, Some(7)), step().await));
        // What is heard no more is forgotten.
        tokio::time::advance(IDLE).await;
        assert!(!seen.heard(first, Instant::now()));
        assert_eq!(seen.heard.len(), 1);
    }

    #[test]
    fn the_operator_is_told_both_addresses_and_what_to_do() {
        let told = reason(3, "n3:7070", "other:7071");
        for part in ["n3 runs at n3:7070", "at other:7071", "Stop one of the two"] {
            assert!(told.contains(part), "{told}");
        }
        // It is not cut on the wire, with names of a usual length.
        assert!(reason(3, &"a".repeat(64), &"b".repeat(64)).len() <= 512);
        assert!(reason(3, "n3:7070", "n3:7070").contains("there too"));
    }

    #[test]
    fn only_that_process_is_refused() {
        let copies = Copies::new(Instant::now());
        let peer = |boot| PeerIdentity {
            level: 1,
            cluster_name: String::new(),
            cluster_id: None,
            node: NodeId::new(3, 1),
            config_id: 3,
            software: String::new(),
            empty: false,
            boot,
        };
        let process = (NodeId::new(3, 1).0, Some(11));
        assert!(copies.add(process, "why".to_owned()));
        assert!(!copies.add(process, "why".to_owned()), "it is known");
        assert_eq!(copies.check(&peer(Some(11))), Err(PeerRefusal::new(REFUSED, "why")));
        assert_eq!((copies.check(&peer(Some(10))), copies.check(&peer(None))), (Ok(()), Ok(())));
        assert_eq!(copies.warnings(), ["why"]);
        copies.release(process);
        assert_eq!(copies.check(&peer(Some(11))), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn others_are_silent_when_none_was_heard_for_some_time() {
        let node = NodeId::new(3, 1).0;
        let (runs, copy, untold) = ((node, Some(10)), (node, Some(11)), (node, None));
        let begun = Instant::now();
        let mut seen = SeenProcesses::new(begun);
        let step = async || {
            tokio::time::advance(Duration::from_secs(10)).await;
            Instant::now()
        };
        let after = |last: Instant| last + ADDRESS_SILENCE;
        // This node has not asked anybody for long enough.
        assert_eq!(seen.others_silent_from(copy), after(begun));
        let answered = step().await;
        seen.answered(3, Some(10), answered);
        assert_eq!(seen.others_silent_from(copy), after(answered));
        assert_eq!(seen.others_silent_from(runs), after(begun), "it is the one that answered");
        assert_eq!(seen.others_silent_from(untold), after(answered));
        // Its own answers, and those of other members, say nothing of the other.
        seen.answered(3, Some(11), step().await);
        seen.answered(4, Some(10), step().await);
        assert_eq!(seen.others_silent_from(copy), after(answered));
        // It cannot be asked, and polls this node itself.
        let heard = step().await;
        seen.heard(runs, heard);
        seen.heard((NodeId::new(4, 1).0, Some(12)), step().await);
        assert_eq!(seen.others_silent_from(copy), after(heard));
        let answered = step().await;
        seen.answered(3, None, answered);
        assert_eq!(seen.others_silent_from(copy), after(answered), "one without a number");
        assert_eq!(seen.others_silent_from(untold), after(answered));
        // The numbers of former processes are not kept for ever.
        for boot in 20..90 {
            seen.answered(3, Some(boot), step().await);
        }
        assert!(seen.answered.len() <= 8, "{seen:?}");
    }

    #[test]
    fn a_process_stays_refused_while_another_answers_and_for_some_time_after() {
        for (there, silent, refused) in [
            (AnswersThere::Process(Some(10)), true, true),
            (AnswersThere::Process(None), true, true),
            (AnswersThere::Process(Some(11)), true, false),
            (AnswersThere::Nobody, true, false),
            // One failed dial is no silence.
            (AnswersThere::Nobody, false, true),
            (AnswersThere::Process(Some(11)), false, true),
            // Something is there that may be the other.
            (AnswersThere::Unclear, true, true),
            (AnswersThere::Unclear, false, true),
        ] {
            assert_eq!(stays(11, there, silent), refused, "{there:?} {silent}");
        }
    }
}
