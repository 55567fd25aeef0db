//! Processes that have a copy of the data folder of a node that runs.
//!
//! Two processes of one node would both vote, and acknowledge different entries under one name. The
//! known address of a member decides which of the two is the member. The other is refused as long
//! as the first answers there, and the operator is told.
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
use super::network::config_id;

/// The code of this refusal.
const REFUSED: PeerRefusalCode = PeerRefusalCode(100);
/// Interval between two looks whether the other process still answers.
const LOOK: Duration = Duration::from_secs(5);
/// A copy that has not asked for this long has ended, and is forgotten.
const IDLE: Duration = Duration::from_secs(60);

/// A process: the Raft id of its node, and its number.
type Process = (u64, u64);

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
#[derive(Debug, Default)]
struct SeenProcesses {
    heard: BTreeMap<Process, Heard>,
    /// By configured id: the number of the process, and when it was asked.
    answered: BTreeMap<u16, (u64, Instant)>,
}

impl SeenProcesses {
    /// Notes a poll of a process. True: meanwhile another one answered in its place.
    fn heard(&mut self, process: Process, now: Instant) -> bool {
        self.heard.retain(|_, heard| now.duration_since(heard.last) < IDLE);
        let heard = self.heard.entry(process).or_insert(Heard { first: now, last: now });
        heard.last = now;
        // A process that ended before the other began is heard no more after the other answered.
        let answered = self.answered.get(&config_id(process.0));
        answered.is_some_and(|(boot, asked)| *boot != process.1 && *asked > heard.first)
    }

    fn answered(&mut self, member: u16, boot: u64, asked: Instant) {
        self.answered.insert(member, (boot, asked));
    }
}

/// The processes that are refused.
#[derive(Debug, Default)]
pub(super) struct Copies {
    refused: Mutex<BTreeMap<Process, RefusedCopy>>,
    seen: Mutex<SeenProcesses>,
}

impl Copies {
    /// Refuses a peer that is one of them.
    pub fn check(&self, peer: &PeerIdentity) -> Result<(), PeerRefusal> {
        let Some(boot) = peer.boot else { return Ok(()) };
        let mut refused = self.refused.lock();
        let Some(copy) = refused.get_mut(&(peer.node.0, boot)) else { return Ok(()) };
        copy.asked = Instant::now();
        Err(PeerRefusal::new(REFUSED, copy.reason.clone()))
    }

    /// A sentence for each.
    pub fn warnings(&self) -> Vec<String> {
        self.refused.lock().values().map(|copy| copy.reason.clone()).collect()
    }

    /// Notes which process of a member answered a poll.
    pub fn answered(&self, member: u16, boot: u64, asked: Instant) {
        self.seen.lock().answered(member, boot, asked);
    }

    /// Notes a poll. True: another process answers in its place.
    pub fn is_second(&self, peer: &PeerIdentity) -> bool {
        let now = Instant::now();
        peer.boot.is_some_and(|boot| self.seen.lock().heard((peer.node.0, boot), now))
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
    if core.announced.copies.add((node, boot), reason) {
        let core = Arc::clone(core);
        life::spawn(async move { look_again(&core, (node, boot)).await });
    }
}

/// Refuses a process no longer once the other has ended, or it has ended itself.
async fn look_again(core: &RaftCore, process: Process) {
    let (node, boot) = process;
    loop {
        tokio::time::sleep(LOOK).await;
        let stays = match known_address(core, node) {
            Some(known) => {
                let there = addresses::answers(core, node, &known).await;
                !core.announced.copies.is_idle(process) && is_other(there, boot)
            }
            None => false,
        };
        if !stays {
            core.announced.copies.release(process);
            return;
        }
    }
}

/// Whether another process than this one answers.
fn is_other(there: AnswersThere, boot: u64) -> bool {
    matches!(there, AnswersThere::Process(other) if other != Some(boot))
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
        let (first, second) = ((node, 10), (node, 11));
        let mut seen = SeenProcesses::default();
        let step = async || {
            tokio::time::advance(Duration::from_secs(1)).await;
            Instant::now()
        };
        assert!(!seen.heard(first, step().await));
        seen.answered(3, 10, step().await);
        assert!(!seen.heard(first, step().await));
        // It starts again, and its former process was asked before it was heard.
        assert!(!seen.heard(second, step().await));
        seen.answered(3, 11, step().await);
        assert!(!seen.heard(second, step().await));
        // The former one still runs.
        assert!(seen.heard(first, step().await));
        assert!(!seen.heard(second, step().await), "the one that answers is the member");
        assert!(!seen.heard((NodeId::new(4, 1).0, 7), step().await));
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
        let copies = Copies::default();
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
        let process = (NodeId::new(3, 1).0, 11);
        assert!(copies.add(process, "why".to_owned()));
        assert!(!copies.add(process, "why".to_owned()), "it is known");
        assert_eq!(copies.check(&peer(Some(11))), Err(PeerRefusal::new(REFUSED, "why")));
        assert_eq!((copies.check(&peer(Some(10))), copies.check(&peer(None))), (Ok(()), Ok(())));
        assert_eq!(copies.warnings(), ["why"]);
        copies.release(process);
        assert_eq!(copies.check(&peer(Some(11))), Ok(()));
    }

    #[test]
    fn a_process_stays_refused_while_another_answers() {
        assert!(is_other(AnswersThere::Process(Some(10)), 11));
        assert!(is_other(AnswersThere::Process(None), 11));
        assert!(!is_other(AnswersThere::Process(Some(11)), 11));
        assert!(!is_other(AnswersThere::Nobody, 11));
    }
}
