//! The contact of this node with the other members: the time of the last contact with a leader,
//! which members answer or refuse, and whether their settings list the same members.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::transport::{CallError, PeerRefusalCode};

use super::ConsensusSettings;
use super::membership::{ListedMember, MemberList};

/// The shortest silence after which a node reports that it has no leader.
const SILENCE_MIN: Duration = Duration::from_secs(1);

/// After this time without a leader, members that do not answer may be lost for good.
const LOST_AFTER: Duration = Duration::from_secs(15);

/// Why this node has no leader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoLeaderReason {
    /// This node is leader itself, but no majority acknowledges it.
    pub leads: bool,
    /// Time since the last contact with a leader.
    pub silence: Duration,
    /// Peer addresses of the members that do not answer.
    pub unreachable: Vec<String>,
    /// Members that refuse this node, one sentence each.
    pub refusals: Vec<String>,
    /// Base URLs of the other members' APIs. Members that answer come first.
    pub others: Vec<String>,
    /// Too few voters have answered for so long that a majority may be lost for good.
    pub majority_lost: bool,
}

impl NoLeaderReason {
    /// What to do after the loss of a majority, as sentences. None: it is too early to say so.
    #[must_use]
    pub fn recovery(&self) -> Option<&'static str> {
        self.majority_lost.then_some(
            "Start the nodes that are down. If so many members lost their data for good that those left are no \
             majority, type on this node's machine, and read what it says: `punctual cluster recover --config FILE`.",
        )
    }
}

impl fmt::Display for NoLeaderReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.silence.as_secs();
        match (self.leads, seconds) {
            (true, _) => write!(f, "no majority has acknowledged this leader for {seconds} s")?,
            (false, 0) => f.write_str("no leader is known")?,
            (false, _) => write!(f, "no leader for {seconds} s")?,
        }
        if !self.unreachable.is_empty() {
            write!(f, "; {} unreachable", self.unreachable.join(", "))?;
        }
        self.refusals.iter().try_for_each(|refusal| write!(f, "; {refusal}"))
    }
}

/// The contact with one member.
#[derive(Clone, Debug, Default)]
struct Contact {
    /// The error of the last request. None: it succeeded, or there was no request yet.
    error: Option<CallError>,
    /// The hash of its member list, from its last answer.
    list: Option<u64>,
}

/// The contact with all members.
pub(super) struct Contacts {
    own: u16,
    /// The members in the settings. `list` is their hash.
    listed: BTreeSet<u16>,
    list: u64,
    silence_max: Duration,
    /// Time of the last contact with a leader, initially the start of this node.
    led: Mutex<Instant>,
    others: Mutex<BTreeMap<u16, Contact>>,
}

impl Contacts {
    pub fn new(settings: &ConsensusSettings) -> Self {
        Self {
            own: settings.member,
            listed: settings.members.iter().map(|member| member.id).collect(),
            list: super::bootstrap::list_hash(&settings.members),
            silence_max: (settings.election_max * 2).max(SILENCE_MIN),
            led: Mutex::new(Instant::now()),
            others: Mutex::default(),
        }
    }

    /// Records contact with another node as leader.
    pub fn led(&self) {
        *self.led.lock() = Instant::now();
    }

    /// Time since the last contact with another leader.
    pub fn silence(&self) -> Duration {
        self.led.lock().elapsed()
    }

    /// Whether a silence is longer than elections take.
    pub fn too_long(&self, silence: Duration) -> bool {
        silence >= self.silence_max
    }

    /// Records an answer of a member, with the hash of its member list.
    pub fn answered(&self, member: u16, list: u64) {
        self.others.lock().insert(member, Contact { error: None, list: Some(list) });
    }

    /// Records a failed request to a member.
    pub fn failed(&self, member: u16, error: CallError) {
        self.others.lock().entry(member).or_default().error = Some(error);
    }

    /// Why this node has no leader, if the silence is long enough to be sure.
    pub fn no_leader_reason(
        &self,
        leads: bool,
        silence: Duration,
        members: &MemberList,
    ) -> NoLeaderReason {
        let others = self.others.lock();
        let error = |member: &ListedMember| others.get(&member.id)?.error.as_ref();
        let mut no_leader_reason = NoLeaderReason { leads, silence, ..NoLeaderReason::default() };
        let (mut silent, mut silent_voters) = (Vec::new(), 0);
        for member in members.each().filter(|member| member.id != self.own) {
            match error(member) {
                Some(CallError::Refused { code, reason }) => {
                    no_leader_reason.refusals.push(refusal(member, *code, reason));
                }
                Some(
                    CallError::NoConnection(_) | CallError::NotSent(_) | CallError::Unknown(_),
                ) => {
                    no_leader_reason.unreachable.push(member.peer.clone());
                    silent.push(member.http.clone());
                    silent_voters += usize::from(member.votes);
                    continue;
                }
                None => {}
            }
            no_leader_reason.others.push(member.http.clone());
        }
        // A node that is refused is not cut off: it may be the one whose data is old.
        let voters = members.each().filter(|member| member.votes).count();
        let answer = voters.saturating_sub(silent_voters);
        no_leader_reason.majority_lost = silence >= LOST_AFTER
            && no_leader_reason.refusals.is_empty()
            && answer < voters / 2 + 1;
        no_leader_reason.others.append(&mut silent);
        no_leader_reason.others.retain(|http| !http.is_empty());
        no_leader_reason
    }

    /// Problems that do not stop the node: members that refuse it, and settings whose member list
    /// differs from the cluster's or from another member's.
    pub fn warnings(&self, members: &MemberList) -> Vec<String> {
        let others = self.others.lock();
        let mut warnings = Vec::new();
        for member in members.each() {
            let Some(contact) = others.get(&member.id) else { continue };
            if let Some(CallError::Refused { code, reason }) = &contact.error {
                warnings.push(refusal(member, *code, reason));
            } else if contact.list.is_some_and(|list| list != self.list) {
                warnings.push(format!(
                    "member {} ({}) has another cluster.member list than this node: make the \
                     lists the same",
                    member.id, member.peer
                ));
            }
        }
        let (listed, cluster) = (&self.listed, members.ids());
        let missing = cluster.difference(listed).map(|id| {
            format!("cluster.member lacks member {id}, which the cluster has: list it again")
        });
        let extra = listed.difference(&cluster).map(|id| {
            format!(
                "cluster.member lists member {id}, which the cluster does not have: take it off the \
                 list, or start it with an empty data folder and type the command that it prints"
            )
        });
        warnings.extend(missing.chain(extra));
        warnings
    }
}

fn refusal(member: &ListedMember, code: PeerRefusalCode, reason: &str) -> String {
    let who = format!("member {} ({})", member.id, member.peer);
    match code {
        // The peer's sentence is about this node, and would read as if it were about the peer.
        PeerRefusalCode::PROOF_WRONG => {
            format!("cluster.secret of this node and of {who} differ: make them the same")
        }
        PeerRefusalCode::CLUSTER_ID => format!(
            "{who} is of a cluster with another id ({reason}): if that cluster was restored or \
             recovered, the data of this node is of the former one; move its data folder away, \
             start it with an empty one, and type the command that it prints"
        ),
        _ => format!("{who} refuses this node: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::membership::tests::list;
    use super::*;
    use crate::domain::ids::NodeId;

    fn contacts() -> Contacts {
        let addresses: Vec<String> = (1..=3).map(|id| format!("127.0.0.1:707{id}")).collect();
        Contacts::new(&super::super::tests::settings(&addresses, 3, 1_000))
    }

    fn members() -> MemberList {
        let addresses: Vec<String> = (1..=3).map(|id| format!("127.0.0.1:707{id}")).collect();
        let members =
            addresses.iter().zip(1..).map(|(addr, id)| (NodeId::new(id, 1), &**addr, true));
        list(&members.collect::<Vec<_>>())
    }

    fn refused(code: PeerRefusalCode, reason: &str) -> CallError {
        CallError::Refused { code, reason: reason.to_owned() }
    }

    #[test]
    fn a_node_without_a_leader_names_those_that_do_not_answer() {
        let contacts = contacts();
        let silence = Duration::from_secs(4);
        assert_eq!(
            contacts.no_leader_reason(false, silence, &members()).to_string(),
            "no leader for 4 s"
        );
        assert_eq!(
            contacts.no_leader_reason(false, Duration::ZERO, &members()).to_string(),
            "no leader is known"
        );
        contacts.failed(1, CallError::Unknown("late".to_owned()));
        let no_leader_reason = contacts.no_leader_reason(false, silence, &members());
        assert_eq!(no_leader_reason.to_string(), "no leader for 4 s; 127.0.0.1:7071 unreachable");
        assert_eq!(
            no_leader_reason.others,
            ["http://127.0.0.1:7072", "http://127.0.0.1:7071"],
            "those that answer come first"
        );
        contacts.failed(2, CallError::NoConnection("nobody listens".to_owned()));
        assert_eq!(
            contacts.no_leader_reason(true, silence, &members()).to_string(),
            "no majority has acknowledged this leader for 4 s; 127.0.0.1:7071, 127.0.0.1:7072 \
             unreachable"
        );
        contacts.failed(2, refused(PeerRefusalCode::PROOF_WRONG, "the peer has another secret"));
        assert_eq!(
            contacts.no_leader_reason(false, silence, &members()).to_string(),
            "no leader for 4 s; 127.0.0.1:7071 unreachable; cluster.secret of this node and of \
             member 2 (127.0.0.1:7072) differ: make them the same"
        );
        contacts.failed(2, refused(PeerRefusalCode::CLUSTER_ID, "this cluster's id is 1, not 2"));
        let former = contacts.no_leader_reason(false, LOST_AFTER, &members());
        assert!(former.to_string().contains("the data of this node is of the former one"));
        assert_eq!(former.recovery(), None, "the one that is refused is no survivor");
        let list = contacts.list;
        contacts.answered(1, list);
        contacts.answered(2, list);
        assert_eq!(
            contacts.no_leader_reason(false, silence, &members()).unreachable,
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_survivor_is_told_of_the_way_out_when_a_majority_is_silent_for_long() {
        let contacts = contacts();
        let told = |silence| contacts.no_leader_reason(false, silence, &members()).recovery();
        assert_eq!(told(LOST_AFTER), None, "nobody is known to be silent");
        contacts.failed(1, CallError::NoConnection("nobody listens".to_owned()));
        assert_eq!(told(LOST_AFTER), None, "two of three answer");
        contacts.failed(2, CallError::Unknown("late".to_owned()));
        assert_eq!(told(LOST_AFTER - Duration::from_millis(1)), None, "it is too early");
        assert!(told(LOST_AFTER).is_some_and(|said| said.contains("punctual cluster recover")));
    }

    #[test]
    fn a_silent_member_without_a_vote_is_no_lost_majority() {
        let contacts = contacts();
        let members = [(1, "127.0.0.1:7071", true), (2, "127.0.0.1:7072", true)];
        let members = members.into_iter().chain([(3, "127.0.0.1:7073", true), (4, "new", false)]);
        let members = members.map(|(id, addr, votes)| (NodeId::new(id, 1), addr, votes));
        let members = list(&members.collect::<Vec<_>>());
        contacts.failed(1, CallError::NoConnection("nobody listens".to_owned()));
        contacts.failed(4, CallError::NoConnection("nobody listens".to_owned()));
        let told = || contacts.no_leader_reason(false, LOST_AFTER, &members).recovery();
        assert_eq!(told(), None, "two of three voters answer");
        contacts.failed(2, CallError::Unknown("late".to_owned()));
        assert!(told().is_some());
    }

    #[test]
    fn other_member_lists_and_refusals_are_told() {
        let contacts = contacts();
        let all = members();
        assert_eq!(contacts.warnings(&all), Vec::<String>::new());
        contacts.answered(1, contacts.list);
        contacts.answered(2, contacts.list + 1);
        let other = "member 2 (127.0.0.1:7072) has another cluster.member list than this node: \
                     make the lists the same";
        assert_eq!(contacts.warnings(&all), [other]);
        contacts.failed(2, refused(PeerRefusalCode::CLUSTER_NAME, "this cluster is \"b\""));
        let refuses = "member 2 (127.0.0.1:7072) refuses this node: this cluster is \"b\"";
        assert_eq!(contacts.warnings(&all), [refuses]);
        contacts.answered(2, contacts.list);
        // A membership change.
        let changed = [(1, "127.0.0.1:7071"), (2, "moved"), (4, "127.0.0.1:7074")];
        let changed = list(&changed.map(|(id, addr)| (NodeId::new(id, 1), addr, true)));
        let told = contacts.warnings(&changed);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("lacks member 4"), "{told:?}");
        assert!(told[1].contains("lists member 3"), "{told:?}");
        for member in [1, 2, 4] {
            contacts.failed(member, CallError::Unknown("late".to_owned()));
        }
        let no_leader_reason = contacts.no_leader_reason(false, Duration::ZERO, &changed);
        assert_eq!(no_leader_reason.unreachable, ["127.0.0.1:7071", "moved", "127.0.0.1:7074"]);
    }
}
