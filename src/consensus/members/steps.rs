//! What the leader does next, so that the membership of the log follows the records.
//!
//! Plain functions over plain data. One step at a time; after each the leader looks again. A step
//! that cannot be taken holds up no other.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::ids::NodeId;
use crate::domain::machine::record::JoiningNode;

use super::super::types::RaftMember;

/// What the leader knows of records and membership.
#[derive(Clone, Debug, Default)]
pub(super) struct MembersView {
    /// The leader.
    pub own: u64,
    /// The voters. Two sets: the log is between two memberships.
    pub voters: Vec<BTreeSet<u64>>,
    /// All nodes in the membership, with their addresses there.
    pub logged: BTreeMap<u64, RaftMember>,
    /// The members that answer heartbeats, with or without a vote, and the leader.
    pub alive: BTreeSet<u64>,
    /// Nodes of the membership whose records say that they are members no more.
    pub gone: BTreeSet<u64>,
    /// Nodes that are being removed.
    pub removing: BTreeSet<u64>,
    /// Nodes that registered.
    pub registered: BTreeSet<u64>,
    /// The node that is being added.
    pub joining: Option<JoiningNode>,
    /// Where the leader reached other nodes, if that is what they tell of themselves.
    pub reached: BTreeMap<u64, RaftMember>,
}

/// A step of the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MembershipStep {
    /// Makes these the voters. Whoever loses its vote is no member any more.
    SetVoters(BTreeSet<u64>),
    /// Gives the lead to another voter.
    HandOver,
    /// Takes nodes without a vote out of the membership.
    Forget(BTreeSet<u64>),
    /// Changes the address of a member.
    SetAddress(u64, RaftMember),
    /// Gives the new node its identity and makes it a learner.
    Admit(JoiningNode),
    /// Waits until the learner [may vote](may_vote) and makes these the voters.
    Promote(u64, BTreeSet<u64>),
    /// Tells the state that the new node has its vote.
    Joined(u64),
}

/// Why a voter must stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum MustStay {
    /// It is the last one.
    Last,
    /// Too few of the others answer: how many do, and how many would have to.
    Majority(usize, usize),
}

/// Checks that these may be the voters: there is one, and a majority of them answers.
pub(super) fn may_decide(after: &BTreeSet<u64>, alive: &BTreeSet<u64>) -> Result<(), MustStay> {
    if after.is_empty() {
        return Err(MustStay::Last);
    }
    let (answer, needed) = (after.intersection(alive).count(), after.len() / 2 + 1);
    if answer >= needed { Ok(()) } else { Err(MustStay::Majority(answer, needed)) }
}

/// Why a learner gets no vote yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoVote {
    /// It does not answer.
    #[error("it does not answer")]
    Silent,
    /// It lacks entries.
    #[error("it does not have all data yet")]
    Behind,
    /// With it the voters that answer would be no majority.
    #[error("of the voters then {0} would answer, and a majority of {1} is needed")]
    Majority(usize, usize),
}

/// Checks that a learner may vote, so that these are the voters: it answers, has all entries, and a
/// majority of the voters then answers. That it had all entries says nothing of a node that has
/// fallen silent since.
pub(super) fn may_vote(
    learner: u64,
    complete: bool,
    after: &BTreeSet<u64>,
    alive: &BTreeSet<u64>,
) -> Result<(), NoVote> {
    if !alive.contains(&learner) {
        return Err(NoVote::Silent);
    }
    if !complete {
        return Err(NoVote::Behind);
    }
    may_decide(after, alive).map_err(|rule| match rule {
        // The learner is one.
        MustStay::Last => NoVote::Majority(0, 1),
        MustStay::Majority(answer, needed) => NoVote::Majority(answer, needed),
    })
}

/// Another address of a member, which the leader itself has reached and where it answers now. The
/// leader needs the address to send entries there, and others try their own addresses of the member
/// as well, so that no majority has to reach it first.
fn moved(view: &MembersView) -> Option<(u64, RaftMember)> {
    let moved = view.reached.iter().find(|(node, address)| {
        **node != view.own
            && view.alive.contains(node)
            && view.logged.get(node).is_some_and(|logged| logged != *address)
    });
    moved.map(|(node, address)| (*node, address.clone()))
}

/// The leader's next step. None: the membership is what the records say.
pub(super) fn next_step(view: &MembersView) -> Option<MembershipStep> {
    let voters = view.voters.last()?;
    if view.voters.len() > 1 {
        return Some(MembershipStep::SetVoters(voters.clone()));
    }
    let leaves = |node: &u64| view.gone.contains(node) || view.removing.contains(node);
    if leaves(&view.own) && voters.iter().any(|node| !leaves(node) && view.alive.contains(node)) {
        return Some(MembershipStep::HandOver);
    }
    // The leader does not remove itself: it could not see to it that the others know.
    let others = |gone: &&u64| **gone != view.own && !bug!("removed-keeps-vote");
    for gone in voters.intersection(&view.gone).filter(others) {
        let after: BTreeSet<u64> = voters.iter().copied().filter(|node| node != gone).collect();
        if may_decide(&after, &view.alive).is_ok() {
            return Some(MembershipStep::SetVoters(after));
        }
    }
    let forgotten: BTreeSet<u64> = view
        .logged
        .keys()
        .filter(|node| !voters.contains(node))
        .filter(|node| view.gone.contains(node) || replaced(view, voters, **node))
        .copied()
        .collect();
    if !forgotten.is_empty() {
        return Some(MembershipStep::Forget(forgotten));
    }
    if let Some((node, address)) = moved(view) {
        return Some(MembershipStep::SetAddress(node, address));
    }
    join(view, voters)
}

/// Whether a later node of the same configured id is a voter or is being added.
fn replaced(view: &MembersView, voters: &BTreeSet<u64>, node: u64) -> bool {
    let later =
        |other: u64| NodeId(other).configured() == NodeId(node).configured() && other > node;
    voters.iter().any(|voter| later(*voter))
        || view.joining.as_ref().is_some_and(|joining| later(joining.node.0))
}

fn join(view: &MembersView, voters: &BTreeSet<u64>) -> Option<MembershipStep> {
    let joining = view.joining.as_ref()?;
    let node = joining.node.0;
    if voters.contains(&node) {
        return view.registered.contains(&node).then_some(MembershipStep::Joined(node));
    }
    if !view.logged.contains_key(&node) {
        return Some(MembershipStep::Admit(joining.clone()));
    }
    if view.removing.contains(&node) {
        return None;
    }
    let same = |voter: &u64| NodeId(*voter).configured() == joining.node.configured();
    let mut after: BTreeSet<u64> = voters.iter().copied().filter(|voter| !same(voter)).collect();
    after.insert(node);
    Some(MembershipStep::Promote(node, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1 << 16 | 1);
    const B: NodeId = NodeId(2 << 16 | 1);
    const C: NodeId = NodeId(3 << 16 | 1);
    const D: NodeId = NodeId(4 << 16 | 1);

    fn set(nodes: &[NodeId]) -> BTreeSet<u64> {
        nodes.iter().map(|node| node.0).collect()
    }

    fn at(peer: &str) -> RaftMember {
        RaftMember { peer: peer.to_owned(), http: String::new() }
    }

    fn joining(node: NodeId) -> Option<JoiningNode> {
        Some(JoiningNode { node, peer: "new".to_owned(), http: String::new() })
    }

    /// A leads these voters, all of which answer and have registered.
    fn led_by_a(voters: &[NodeId], learners: &[NodeId]) -> MembersView {
        let all = voters.iter().chain(learners);
        MembersView {
            own: A.0,
            voters: vec![set(voters)],
            logged: all.map(|node| (node.0, at("old"))).collect(),
            alive: set(voters),
            registered: set(voters),
            ..MembersView::default()
        }
    }

    #[test]
    fn a_node_is_added_step_by_step_and_each_step_follows_from_what_is_seen() {
        let mut view = led_by_a(&[A, B, C], &[]);
        assert_eq!(next_step(&view), None);
        view.joining = joining(D);
        let admit = MembershipStep::Admit(joining(D).unwrap());
        assert_eq!(next_step(&view), Some(admit));
        view.logged.insert(D.0, at("new"));
        let promote = MembershipStep::Promote(D.0, set(&[A, B, C, D]));
        assert_eq!(next_step(&view), Some(promote));
        view.voters.push(set(&[A, B, C, D]));
        let finish = MembershipStep::SetVoters(set(&[A, B, C, D]));
        assert_eq!(next_step(&view), Some(finish), "a leader was lost between two memberships");
        view.voters.remove(0);
        assert_eq!(next_step(&view), None, "it has not registered");
        view.registered.insert(D.0);
        assert_eq!(next_step(&view), Some(MembershipStep::Joined(D.0)));
        view.joining = None;
        assert_eq!(next_step(&view), None);
    }

    #[test]
    fn a_readmitted_member_takes_the_place_of_its_former_self() {
        let (first, second) = (NodeId::new(3, 2), NodeId::new(3, 3));
        let mut view = led_by_a(&[A, B, C], &[first]);
        view.joining = joining(second);
        // It lost its data again while it joined.
        assert_eq!(next_step(&view), Some(MembershipStep::Forget(set(&[first]))));
        view.logged.remove(&first.0);
        view.logged.insert(second.0, at("new"));
        let promote = MembershipStep::Promote(second.0, set(&[A, B, second]));
        assert_eq!(next_step(&view), Some(promote));
    }

    #[test]
    fn a_removed_node_leaves_and_the_lead_goes_first() {
        let mut view = led_by_a(&[A, B, C], &[]);
        view.removing = set(&[C]);
        assert_eq!(next_step(&view), None, "its record stays until nothing runs there");
        (view.removing, view.gone) = (set(&[]), set(&[C]));
        assert_eq!(next_step(&view), Some(MembershipStep::SetVoters(set(&[A, B]))));
        (view.removing, view.gone) = (set(&[A]), set(&[]));
        assert_eq!(next_step(&view), Some(MembershipStep::HandOver));
        (view.removing, view.gone) = (set(&[]), set(&[A]));
        assert_eq!(next_step(&view), Some(MembershipStep::HandOver));
        view.alive = set(&[A]);
        assert_eq!(next_step(&view), None, "nobody answers who could lead");
        let mut learner = led_by_a(&[A], &[D]);
        learner.gone = set(&[D]);
        assert_eq!(next_step(&learner), Some(MembershipStep::Forget(set(&[D]))));
    }

    #[test]
    fn no_step_leaves_a_cluster_without_a_majority() {
        let mut view = led_by_a(&[A, B, C], &[]);
        view.gone = set(&[C]);
        view.alive = set(&[A, C]);
        assert_eq!(next_step(&view), None);
        assert_eq!(may_decide(&set(&[A, B]), &view.alive), Err(MustStay::Majority(1, 2)));
        assert_eq!(may_decide(&set(&[]), &view.alive), Err(MustStay::Last));
        assert_eq!(may_decide(&set(&[A, C]), &view.alive), Ok(()));
        // Other steps go on.
        view.reached = BTreeMap::from([(C.0, at("moved"))]);
        assert_eq!(next_step(&view), Some(MembershipStep::SetAddress(C.0, at("moved"))));
    }

    #[test]
    fn an_address_changes_where_another_node_was_reached() {
        let mut view = led_by_a(&[A, B], &[]);
        view.reached = BTreeMap::from([(A.0, at("moved")), (B.0, at("old")), (D.0, at("x"))]);
        assert_eq!(next_step(&view), None, "a leader knows of itself only what it tells");
        view.reached.insert(B.0, at("moved"));
        assert_eq!(next_step(&view), Some(MembershipStep::SetAddress(B.0, at("moved"))));
        view.alive.remove(&B.0);
        assert_eq!(next_step(&view), None, "it was there, and does not answer now");
    }

    #[test]
    fn a_learner_votes_when_it_answers_and_has_all_and_a_majority_answers() {
        let (before, after) = (set(&[A, B, C]), set(&[A, B, C, D]));
        let of = |complete, alive: &[NodeId]| may_vote(D.0, complete, &after, &set(alive));
        assert_eq!(of(true, &[A, B, C, D]), Ok(()));
        assert_eq!(of(true, &[A, B, C]), Err(NoVote::Silent), "it has fallen silent");
        assert_eq!(of(false, &[A, B, C, D]), Err(NoVote::Behind));
        // Two of the three decide, and two of the four would not.
        assert_eq!(may_decide(&before, &set(&[A, B])), Ok(()));
        assert_eq!(of(true, &[A, D]), Err(NoVote::Majority(2, 3)));
        assert_eq!(of(true, &[A, B, D]), Ok(()));
    }
}
