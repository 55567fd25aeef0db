//! The first start: empty nodes form a cluster, and an emptied node does not rejoin as if it were
//! new.
//!
//! An empty node neither votes nor initialises before every listed member has answered. If all are
//! new and have the same cluster name and member list, the member with the lowest id generates the
//! cluster id, waits until all others have stored it, and only then initialises. If any member
//! belongs to a running cluster, this node waits: an emptied voter that votes again could undo
//! acknowledged entries.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use crate::domain::ids::NodeId;
use crate::domain::time::Timestamp;
use crate::storage::{FolderIdentity, StorageError};

use super::members::removed::{self, MemberWord};
use super::network::kind;
use super::peers::{PeerConnections, Peers};
use super::wire::{Malformed, WireReader};
use super::{ConsensusSettings, MemberAddress};

/// Time limit for a member's answer.
const ASK_LIMIT: Duration = Duration::from_millis(500);
/// Minimum time between two equal messages to the operator.
const WARN_EVERY: Duration = Duration::from_secs(60);
/// Time between two rounds of requests.
const ROUND: Duration = Duration::from_millis(50);

/// Stores an identity durably.
pub type SaveIdentity = Box<dyn Fn(&FolderIdentity) -> Result<(), StorageError> + Send + Sync>;

/// The identity of this node before Raft runs, which it reports to the other members.
pub(super) struct MemberStanding {
    pub cluster_name: String,
    pub member: u16,
    /// Hash of the member list, which detects nodes with different lists.
    pub list: u64,
    pub identity: Option<FolderIdentity>,
    /// Whether its log has any content.
    pub initialised: bool,
    /// The number of this process. Raft runs under the identity from then on.
    pub process: Option<u64>,
    pub save: SaveIdentity,
    pub now: Timestamp,
}

impl MemberStanding {
    /// Notes that Raft runs from now on, in the process of this number. Returns the Raft node id,
    /// which changes no more.
    pub fn run(&mut self, process: u64) -> NodeId {
        self.process = Some(process);
        self.node()
    }

    /// Whether this node accepts an identity that it does not have. It has promised nothing under an
    /// earlier one: its log holds neither vote nor entry. Once Raft runs, its Raft id stays; the
    /// cluster id may still change, because a founder that lost its data before the cluster was
    /// created gives out another one.
    fn may_adopt(&self, node: NodeId) -> bool {
        let own = self.identity.as_ref();
        let promised = self.initialised || own.is_some_and(|own| own.voted);
        !promised && (self.process.is_none() || self.node() == node)
    }

    fn adopt(&mut self, cluster_id: u128, node: NodeId) -> Result<(), StorageError> {
        let identity = FolderIdentity {
            cluster_name: self.cluster_name.clone(),
            cluster_id,
            node,
            created: self.now,
            voted: false,
        };
        (self.save)(&identity)?;
        self.identity = Some(identity);
        Ok(())
    }

    /// The Raft node id of this member. The join number is 0 until one is assigned.
    pub fn node(&self) -> NodeId {
        self.identity.as_ref().map_or(NodeId::new(self.member, 0), |own| own.node)
    }

    /// Whether this member still has to create the cluster or needs an identity.
    pub fn is_new(&self, lowest: bool) -> bool {
        let first = self.node() <= NodeId::new(self.member, 1);
        self.identity.is_none() || (lowest && first && !self.initialised)
    }

    /// Records durably, once, that the log holds a vote.
    pub fn note_vote(&mut self) -> Result<(), StorageError> {
        match &self.identity {
            Some(identity) if !identity.voted => {
                let identity = FolderIdentity { voted: true, ..identity.clone() };
                (self.save)(&identity)?;
                self.identity = Some(identity);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The reason why the parts of a data folder do not belong together, if they do not.
    pub fn torn(&self, checkpoint: bool) -> Option<&'static str> {
        match &self.identity {
            Some(identity) if identity.voted && !self.initialised => Some(
                "the Raft log is empty, but this member has voted: what it acknowledged is gone",
            ),
            None if self.initialised => Some("it has a Raft log, but its identity is gone"),
            None if checkpoint => Some("it has a checkpoint, but its identity is gone"),
            _ => None,
        }
    }
}

/// The hash of a member list.
pub(super) fn list_hash(members: &[MemberAddress]) -> u64 {
    let mut hasher = Xxh3::new();
    let sorted: BTreeMap<u16, &str> =
        members.iter().map(|member| (member.id, member.peer.as_str())).collect();
    for (id, peer) in sorted {
        hasher.write(&id.to_le_bytes());
        hasher.write(peer.as_bytes());
        hasher.write(&[0]);
    }
    hasher.finish()
}

pub(super) fn standing_bytes(standing: &MemberStanding) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u64_le(standing.list);
    out.put_u8(u8::from(standing.initialised));
    out.put_u8(u8::from(standing.identity.is_some()));
    out.freeze()
}

struct StandingAnswer {
    list: u64,
    initialised: bool,
}

fn read_standing(body: Bytes) -> Result<StandingAnswer, Malformed> {
    let mut reader = WireReader(body);
    let answer = StandingAnswer { list: reader.u64()?, initialised: reader.u8()? != 0 };
    reader.u8()?;
    reader.end()?;
    Ok(answer)
}

/// Handles the assignment of an identity to this node, which takes it if it
/// [may](MemberStanding::may_adopt) or has it.
pub(super) fn adopt(standing: &Mutex<MemberStanding>, body: Bytes) -> Result<Bytes, Malformed> {
    let mut reader = WireReader(body);
    let (high, low) = (reader.u64()?, reader.u64()?);
    let cluster_id = (u128::from(high) << 64) | u128::from(low);
    let node = NodeId(reader.u64()?);
    reader.end()?;
    let mut standing = standing.lock();
    if node.configured() != u64::from(standing.member) {
        return Err(Malformed("an identity of another member"));
    }
    let own = standing.identity.as_ref();
    let same = own.is_some_and(|own| own.cluster_id == cluster_id && own.node == node);
    let taken = same || (standing.may_adopt(node) && standing.adopt(cluster_id, node).is_ok());
    Ok(Bytes::from_static(if taken { &[1] } else { &[0] }))
}

/// The result of one round of requests.
enum AskRound {
    /// Every member is new and has the same list.
    AllNew,
    /// A member belongs to a running cluster.
    Running(u16),
    /// No decision yet. The text is the reason.
    Wait(String),
}

/// Waits until an empty node has an identity. True: this node initialises the cluster.
pub(super) async fn run(
    settings: &ConsensusSettings,
    standing: &Arc<Mutex<MemberStanding>>,
    peers: &Peers,
    progress: &watch::Sender<String>,
    mint: impl Fn() -> u128,
) -> Result<bool, StorageError> {
    let others: Vec<Arc<PeerConnections>> = settings
        .members
        .iter()
        .filter(|member| member.id != settings.member)
        .map(|member| peers.at(member.id, &member.peer))
        .collect();
    let asked: Vec<&Arc<PeerConnections>> =
        others.iter().filter(|peer| !settings.bootstrap_without.contains(&peer.id)).collect();
    let lowest = asked.iter().all(|peer| settings.member < peer.id);
    for id in &settings.bootstrap_without {
        tracing::warn!(member = id, "initialising without this member, as the operator asked");
    }
    let mut reminder = Reminder::default();
    loop {
        if !standing.lock().is_new(lowest) {
            return Ok(false);
        }
        let list = standing.lock().list;
        match ask_all(&asked, list).await {
            AskRound::AllNew if lowest => {
                let known = standing.lock().identity.as_ref().map(|own| own.cluster_id);
                let id = known.unwrap_or_else(&mint);
                if known.is_none() {
                    standing.lock().adopt(id, NodeId::new(settings.member, 1))?;
                }
                if give(&asked, id).await {
                    return Ok(true);
                }
                say(progress, "waiting for every member to write the cluster's id down".to_owned());
            }
            AskRound::AllNew => say(progress, "waiting for the lowest member to begin".to_owned()),
            // A cluster that runs has given it an identity.
            AskRound::Running(_) if standing.lock().identity.is_some() => return Ok(false),
            AskRound::Running(member) => {
                let word = ask_about(&others, member, settings.member).await;
                let what = format!(
                    "this node's data folder is empty, but member {member} belongs to a running \
                     cluster; {}",
                    command(settings, word)
                );
                if reminder.is_due() {
                    tracing::warn!("{what}");
                }
                progress.send_replace(what);
            }
            AskRound::Wait(why) => say(progress, why),
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// What a member of a running cluster says of this one.
async fn ask_about(others: &[Arc<PeerConnections>], member: u16, own: u16) -> MemberWord {
    let Some(peer) = others.iter().find(|peer| peer.id == member) else {
        return MemberWord::Unknown;
    };
    let question = removed::question(NodeId::new(own, 0));
    let answer = peer.forward.call(kind::MEMBER, question, ASK_LIMIT).await;
    answer.map_or(MemberWord::Unknown, |answer| MemberWord::read(&answer))
}

/// The command that takes this node in, as an operator types it.
fn command(settings: &ConsensusSettings, word: MemberWord) -> String {
    let id = settings.member;
    if word != MemberWord::NotListed {
        return format!("readmit this node with: punctual cluster members replace {id}");
    }
    let own = settings.members.iter().find(|member| member.id == id);
    let (peer, http) = own.map_or(("", ""), |own| (&*own.peer, &*own.http));
    let http = if http.is_empty() { String::new() } else { format!(" --http {http}") };
    format!(
        "this node is no member yet; add it with: punctual cluster members add {id} --peer \
         {peer}{http}"
    )
}

/// Limits how often a message for the operator is repeated.
#[derive(Default)]
pub(super) struct Reminder {
    said: Option<Instant>,
}

impl Reminder {
    /// Whether the message is due: the first time, and once per [`WARN_EVERY`].
    pub fn is_due(&mut self) -> bool {
        let due = self.said.is_none_or(|at| at.elapsed() >= WARN_EVERY);
        if due {
            self.said = Some(Instant::now());
        }
        due
    }
}

fn say(progress: &watch::Sender<String>, what: String) {
    let news = progress.send_if_modified(|said| {
        let news = *said != what;
        said.clone_from(&what);
        news
    });
    if news {
        tracing::info!("{what}");
    }
}

async fn ask_all(asked: &[&Arc<PeerConnections>], list: u64) -> AskRound {
    let calls = asked.iter().map(|peer| async move {
        let answer = peer.forward.call(kind::STATUS, Bytes::new(), ASK_LIMIT).await;
        (peer, answer)
    });
    let mut silent = Vec::new();
    let mut wrong = None;
    for (peer, answer) in join_all(calls).await {
        let standing = answer
            .map_err(|error| error.to_string())
            .and_then(|body| read_standing(body).map_err(|error| error.to_string()));
        match standing {
            Ok(answer) if answer.initialised => return AskRound::Running(peer.id),
            Ok(answer) if answer.list != list => {
                wrong = Some(format!("member {} has another member list", peer.id));
            }
            Ok(_) => {}
            Err(error) => silent.push(format!("member {} ({error})", peer.id)),
        }
    }
    if let Some(wrong) = wrong {
        return AskRound::Wait(wrong);
    }
    if silent.is_empty() {
        return AskRound::AllNew;
    }
    AskRound::Wait(format!("waiting for {}", silent.join(", ")))
}

/// The request that assigns an identity to a member without data.
pub(super) fn adopt_bytes(cluster_id: u128, node: NodeId) -> Bytes {
    let mut body = BytesMut::new();
    // Both halves fit into 64 bits.
    body.put_u64_le(u64::try_from(cluster_id >> 64).unwrap_or(0));
    body.put_u64_le(u64::try_from(cluster_id & u128::from(u64::MAX)).unwrap_or(0));
    body.put_u64_le(node.0);
    body.freeze()
}

async fn give(asked: &[&Arc<PeerConnections>], id: u128) -> bool {
    let calls = asked.iter().map(|peer| {
        let body = adopt_bytes(id, NodeId::new(peer.id, 1));
        peer.forward.call(kind::ADOPT, body, ASK_LIMIT)
    });
    join_all(calls).await.into_iter().all(|answer| answer.is_ok_and(|answer| *answer == [1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_node_names_the_command_that_takes_it_in() {
        let addresses = ["n1:7070".to_owned(), "n2:7070".to_owned()];
        let mut settings = super::super::tests::settings(&addresses, 2, 1_000);
        let readmit = "readmit this node with: punctual cluster members replace 2";
        for word in [MemberWord::Unknown, MemberWord::Listed, MemberWord::Removed] {
            assert_eq!(command(&settings, word), readmit);
        }
        let add = "this node is no member yet; add it with: punctual cluster members add 2 --peer \
                   n2:7070";
        assert_eq!(command(&settings, MemberWord::NotListed), add);
        settings.members[1].http = "http://n2:8080".to_owned();
        assert_eq!(
            command(&settings, MemberWord::NotListed),
            format!("{add} --http http://n2:8080")
        );
    }

    fn standing(identity: Option<FolderIdentity>) -> Mutex<MemberStanding> {
        Mutex::new(MemberStanding {
            cluster_name: "test".to_owned(),
            member: 3,
            list: 0,
            identity,
            initialised: false,
            process: None,
            save: Box::new(|_| Ok(())),
            now: Timestamp(0),
        })
    }

    #[test]
    fn an_identity_is_replaced_only_before_anything_is_promised_under_it() {
        let takes = |standing: &Mutex<MemberStanding>, cluster, node| {
            *adopt(standing, adopt_bytes(cluster, node)).unwrap() == [1]
        };
        let [first, second] = [1, 2].map(|join| NodeId::new(3, join));
        let new = standing(None);
        assert!(takes(&new, 7, first));
        assert!(takes(&new, 8, second), "Raft does not run yet");
        // Raft runs under the id, and nothing is in its log.
        assert_eq!(new.lock().run(99), second);
        assert!(!takes(&new, 8, first) && !takes(&new, 8, NodeId::new(3, 3)));
        assert!(takes(&new, 8, second), "it has it");
        assert!(takes(&new, 9, second), "the cluster was never created");
        // It has voted; its log is seen to have content only later.
        new.lock().note_vote().unwrap();
        assert!(!takes(&new, 10, second));
        assert!(takes(&new, 9, second));
        let held = new.lock().identity.clone().unwrap();
        assert_eq!((held.cluster_id, held.node, held.voted), (9, second, true));
        // Another member's is no answer at all.
        assert!(adopt(&new, adopt_bytes(9, NodeId::new(4, 1))).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_wants_an_operator_is_said_once_a_minute() {
        let mut reminder = Reminder::default();
        let mut said = 0;
        // Rounds for two and a half minutes.
        for _ in 0..150_000 / ROUND.as_millis() {
            said += u32::from(reminder.is_due());
            tokio::time::advance(ROUND).await;
        }
        assert_eq!(said, 3);
    }
}
