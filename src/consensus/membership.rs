//! The members of the cluster, as one value that all parts watch.
//!
//! Before the first start, and while the log has no membership, it is the list in the settings.
//! After that it is the membership of the log. The address of a member in the settings precedes the
//! one in the log until the address in the log changes, and the address at which a member announced
//! itself and was reached precedes both. So all members can get other addresses in the settings
//! while the cluster stands still, and one can move while the settings of the others name its former
//! address. An address that cannot be dialled gives way to the next one
//! ([`addresses`](super::addresses)).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openraft::Membership;
use tokio::sync::watch;

use super::ConsensusSettings;
use super::addresses::KnownAddresses;
use super::core::RaftCore;
use super::network::config_id;
use super::types::RaftMember;
use crate::domain::ids::NodeId;

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedMember {
    /// Its Raft id. A member that is being readmitted has two.
    pub node: u64,
    /// Its configured id.
    pub id: u16,
    /// Host and port of its peer listener.
    pub peer: String,
    /// Base URL of its API. Empty: it has none, or it is not known.
    pub http: String,
    /// Whether it is a voter. Otherwise it is a learner.
    pub votes: bool,
}

/// All members, by Raft id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberList(Vec<ListedMember>);

impl MemberList {
    /// The list in the settings, for a new cluster.
    pub(super) fn of_settings(settings: &ConsensusSettings) -> Self {
        let listed = settings.members.iter().map(|member| ListedMember {
            node: NodeId::new(member.id, 1).0,
            id: member.id,
            peer: member.peer.clone(),
            http: member.http.clone(),
            votes: true,
        });
        let mut listed: Vec<_> = listed.collect();
        listed.sort_by_key(|member| member.node);
        Self(listed)
    }

    /// All members.
    pub fn iter(&self) -> impl Iterator<Item = &ListedMember> {
        self.0.iter()
    }

    /// Their Raft ids.
    #[must_use]
    pub fn nodes(&self) -> Vec<u64> {
        self.iter().map(|member| member.node).collect()
    }

    /// The Raft ids of the voters.
    #[must_use]
    pub fn voters(&self) -> Vec<u64> {
        self.iter().filter(|member| member.votes).map(|member| member.node).collect()
    }

    /// Their configured ids.
    #[must_use]
    pub fn ids(&self) -> BTreeSet<u16> {
        self.iter().map(|member| member.id).collect()
    }

    /// The member with a configured id. If it has several join numbers, the latest.
    #[must_use]
    pub fn get(&self, id: u16) -> Option<&ListedMember> {
        self.0.iter().rfind(|member| member.id == id)
    }

    /// Each configured id once.
    pub fn each(&self) -> impl Iterator<Item = &ListedMember> {
        self.ids().into_iter().filter_map(|id| self.get(id))
    }

    /// The number of members before this one, and of all members.
    #[must_use]
    pub fn place(&self, own: u16) -> (u32, u32) {
        let ids = self.ids();
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (number(ids.range(..own).count()), number(ids.len().max(1)))
    }
}

/// Builds member lists from memberships of the log.
pub(super) struct MemberListSource {
    settings: MemberList,
    /// The addresses in the log when this process first saw them.
    first: Option<BTreeMap<u16, RaftMember>>,
}

impl MemberListSource {
    pub fn new(settings: &ConsensusSettings) -> Self {
        Self { settings: MemberList::of_settings(settings), first: None }
    }

    /// The list for a membership, with what is known of addresses beside settings and log.
    pub fn of(
        &mut self,
        membership: &Membership<u64, RaftMember>,
        known: &KnownAddresses,
    ) -> MemberList {
        let nodes = || membership.nodes().map(|(node, member)| (*node, member.clone()));
        if nodes().next().is_none() {
            return self.settings.clone();
        }
        let by_id = || nodes().map(|(node, member)| (config_id(node), member)).collect();
        let first = self.first.get_or_insert_with(by_id);
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let listed = nodes().map(|(node, logged)| {
            let id = config_id(node);
            let same = first.get(&id).is_none_or(|first| *first == logged);
            let configured = self
                .settings
                .get(id)
                .map(|member| RaftMember { peer: member.peer.clone(), http: member.http.clone() });
            let others = in_order(configured, logged, same);
            let RaftMember { peer, http } = known.choose(node, &others);
            ListedMember { node, id, peer, http, votes: voters.contains(&node) }
        });
        MemberList(listed.collect())
    }
}

/// The addresses of a member in the settings and in the log, in the order in which they are tried:
/// that of the log comes first if it changed since the start of this process. Two of one peer
/// listener are one.
fn in_order(
    configured: Option<RaftMember>,
    logged: RaftMember,
    log_stands: bool,
) -> Vec<RaftMember> {
    let mut all: Vec<RaftMember> = configured.into_iter().chain([logged]).collect();
    if !log_stands {
        all.reverse();
    }
    all.dedup_by(|second, first| second.peer == first.peer);
    all
}

/// Passes each change of the list to the parts that keep data per member.
pub(super) async fn follow(core: Arc<RaftCore>, mut members: watch::Receiver<MemberList>) {
    let asked = super::clocks::PolledMembers::default();
    loop {
        let list = members.borrow_and_update().clone();
        core.peers.follow(&list, config_id(core.id));
        core.clock.set_members(&list.ids());
        super::clocks::follow(&core, &asked, &list);
        if members.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::MemberAddress;
    use super::*;

    /// A list of members, each with its Raft id, address and voting right.
    pub fn list(members: &[(NodeId, &str, bool)]) -> MemberList {
        let listed = members.iter().map(|(node, peer, votes)| ListedMember {
            node: node.0,
            id: config_id(node.0),
            peer: (*peer).to_owned(),
            http: format!("http://{peer}"),
            votes: *votes,
        });
        MemberList(listed.collect())
    }

    fn logged(voters: &[u64], nodes: &[(u64, &str)]) -> Membership<u64, RaftMember> {
        let nodes = nodes.iter().map(|(node, peer)| {
            (*node, RaftMember { peer: (*peer).to_owned(), http: format!("http://{peer}") })
        });
        let nodes: BTreeMap<u64, RaftMember> = nodes.collect();
        Membership::new(vec![voters.iter().copied().collect()], nodes).unwrap()
    }

    fn peers(list: &MemberList) -> Vec<(u64, &str, bool)> {
        list.iter().map(|member| (member.node, member.peer.as_str(), member.votes)).collect()
    }

    #[test]
    fn the_log_s_members_take_the_place_of_the_settings() {
        let addresses = ["a".to_owned(), "b".to_owned(), "new-c".to_owned()];
        let mut settings = super::super::tests::settings(&addresses, 1, 1_000);
        settings.members.push(MemberAddress { id: 9, peer: "z".to_owned(), http: String::new() });
        let [a, b, c, d] =
            [(1, 1), (2, 1), (3, 1), (4, 1)].map(|(id, join)| NodeId::new(id, join).0);
        let (mut lists, none) = (MemberListSource::new(&settings), KnownAddresses::default());
        let seed = lists.of(&Membership::default(), &none);
        assert_eq!(seed.ids(), BTreeSet::from([1, 2, 3, 9]), "the log has no membership yet");
        // The address of c in the settings differs from the one that the log had at the start.
        let first = lists.of(&logged(&[a, b, c], &[(a, "a"), (b, "b"), (c, "c")]), &none);
        assert_eq!(peers(&first), [(a, "a", true), (b, "b", true), (c, "new-c", true)]);
        // A change in the log overrides the settings, and removed members disappear.
        let changed = logged(&[b, c], &[(b, "moved-b"), (c, "c"), (d, "d")]);
        let then = lists.of(&changed, &none);
        assert_eq!(peers(&then), [(b, "moved-b", true), (c, "new-c", true), (d, "d", false)]);
        assert_eq!(then.voters(), [b, c]);
        // Where a member was reached is where it is.
        let there = RaftMember { peer: "there".to_owned(), http: String::new() };
        let mut known = KnownAddresses::default();
        known.reached.insert(c, there);
        let then = lists.of(&changed, &known);
        assert_eq!(peers(&then), [(b, "moved-b", true), (c, "there", true), (d, "d", false)]);
        assert_eq!((then.place(3), then.place(2)), ((1, 3), (0, 3)));
    }

    #[test]
    fn the_settings_and_the_log_are_tried_in_order() {
        let at = |peer: &str| RaftMember { peer: peer.to_owned(), http: String::new() };
        let peers = |configured: Option<&str>, stands| -> Vec<String> {
            let all = in_order(configured.map(at), at("log"), stands);
            all.into_iter().map(|member| member.peer).collect()
        };
        assert_eq!(peers(Some("file"), true), ["file", "log"]);
        assert_eq!(peers(Some("file"), false), ["log", "file"], "the log changed");
        assert_eq!(peers(Some("log"), true), ["log"]);
        assert_eq!(peers(None, true), ["log"]);
    }

    #[test]
    fn of_two_joins_under_one_id_the_last_counts() {
        let [old, new] = [1, 2].map(|join| NodeId::new(1, join));
        let list = list(&[(old, "old", true), (new, "new", false)]);
        assert_eq!(list.get(1).map(|member| member.peer.as_str()), Some("new"));
        assert_eq!(list.each().count(), 1);
        assert_eq!(list.nodes(), [old.0, new.0]);
    }
}
