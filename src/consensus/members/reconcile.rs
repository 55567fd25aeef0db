//! Has the membership of the log follow the records, as leader.

use std::collections::BTreeSet;
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::Instant;

use crate::domain::ids::NodeId;
use crate::domain::machine::command::OfNode;
use crate::domain::machine::record::{Intent, JoiningNode};
use crate::domain::machine::{Command, envelope};

use super::super::Consensus;
use super::super::bootstrap;
use super::super::core::RaftCore;
use super::super::lead;
use super::super::limits::TRANSFER_LIMIT;
use super::super::network::{config_id, kind};
use super::super::types::RaftMember;
use super::steps::{MembersView, MembershipStep, may_vote, next_step};

/// Interval between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// Time limit for a step. It is taken again as long as it is the next one.
const STEP_LIMIT: Duration = Duration::from_secs(10);
/// Time within which a learner must have all entries. Shorter than [`STEP_LIMIT`], so that the reason
/// is known.
const LEARN_LIMIT: Duration = Duration::from_secs(9);
/// Interval between two looks at a learner.
const LEARN_LOOK: Duration = Duration::from_millis(50);
/// Time limit for the new node to store its identity.
const ADOPT_LIMIT: Duration = Duration::from_secs(2);

/// Follows the records until the node stops.
pub(in super::super) async fn run(consensus: Consensus) {
    let mut stop = consensus.stop.subscribe();
    let follow = async {
        let mut failed = String::new();
        loop {
            tokio::time::sleep(LOOK).await;
            let step = view(&consensus.core).as_ref().and_then(next_step);
            let Some(step) = step else {
                failed.clear();
                continue;
            };
            let taken = tokio::time::timeout(STEP_LIMIT, take(&consensus, &step)).await;
            let taken = taken.unwrap_or_else(|_late| Err("it takes long".to_owned()));
            tell(&step, taken, &mut failed);
        }
    };
    tokio::select! {
        () = follow => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Logs what was done, and why something is not done, each once.
fn tell(step: &MembershipStep, taken: Result<(), String>, failed: &mut String) {
    match (step, taken) {
        (MembershipStep::Joined(_), Ok(())) => {}
        (MembershipStep::Promote(node, _), Ok(())) => {
            let (member, again) = (config_id(*node), NodeId(*node).join() > 1);
            let what = if again { "readmitted with an empty data folder" } else { "added" };
            tracing::info!("n{member} is {what}; it has all data and a vote");
        }
        (_, Ok(())) => tracing::info!("the members follow the records: {}", words(step)),
        (_, Err(why)) => {
            let what = format!("{} is not done yet: {why}", words(step));
            if *failed != what {
                tracing::warn!("{what}");
                *failed = what;
            }
        }
    }
}

fn words(step: &MembershipStep) -> String {
    let names = |nodes: &BTreeSet<u64>| {
        nodes.iter().map(|node| format!("n{}", config_id(*node))).collect::<Vec<_>>().join(", ")
    };
    match step {
        MembershipStep::SetVoters(voters) => format!("the votes of {}", names(voters)),
        MembershipStep::HandOver => "the transfer of the lead, since this node leaves".to_owned(),
        MembershipStep::Forget(nodes) => {
            format!("the removal of what is left of {}", names(nodes))
        }
        MembershipStep::SetAddress(node, member) => {
            format!("n{} at {}", config_id(*node), member.peer)
        }
        MembershipStep::Admit(joining) => {
            format!("n{} at {} as a learner", config_id(joining.node.0), joining.peer)
        }
        MembershipStep::Promote(node, _) => format!("the vote of n{}", config_id(*node)),
        MembershipStep::Joined(node) => format!("the end of the join of n{}", config_id(*node)),
    }
}

/// What this node knows as leader. None: it does not lead.
fn view(core: &RaftCore) -> Option<MembersView> {
    if *core.leader.borrow() != Some(core.id) {
        return None;
    }
    let seen = core.raft.metrics().borrow_watched().membership_config.clone();
    let membership = seen.membership();
    let logged = membership.nodes().map(|(node, member)| (*node, member.clone()));
    let reached = core.announced.known.borrow().reached.clone();
    let state = core.replica.read();
    if state.cluster().id == 0 {
        return None;
    }
    let nodes = membership.nodes().map(|(node, _)| *node);
    Some(MembersView {
        own: core.id,
        voters: membership.get_joint_config().clone(),
        logged: logged.collect(),
        alive: lead::answering(core),
        gone: nodes.filter(|node| state.is_gone(NodeId(*node))).collect(),
        removing: state
            .nodes()
            .filter(|node| node.intent == Intent::Removing)
            .map(|node| node.id.0)
            .collect(),
        registered: state.nodes().map(|node| node.id.0).collect(),
        joining: state.joining().cloned(),
        reached,
    })
}

async fn take(consensus: &Consensus, step: &MembershipStep) -> Result<(), String> {
    let core = &consensus.core;
    match step {
        MembershipStep::SetVoters(voters) => {
            change(core, ChangeMembers::ReplaceAllVoters(voters.clone())).await
        }
        MembershipStep::HandOver => match lead::leave(core, None, TRANSFER_LIMIT).await {
            true => Ok(()),
            false => Err("no other voter took it".to_owned()),
        },
        MembershipStep::Forget(nodes) => {
            change(core, ChangeMembers::RemoveNodes(nodes.clone())).await
        }
        MembershipStep::SetAddress(node, member) => {
            change(core, ChangeMembers::SetNodes([(*node, member.clone())].into())).await
        }
        MembershipStep::Admit(joining) => admit(core, joining).await,
        MembershipStep::Promote(node, voters) => {
            learned(core, *node, voters).await?;
            change(core, ChangeMembers::ReplaceAllVoters(voters.clone())).await
        }
        MembershipStep::Joined(node) => {
            let mut bytes = Vec::new();
            let command = Command::NodeJoined(OfNode { node: NodeId(*node) });
            envelope::pack(&mut bytes, &command, "", None);
            let outcome = consensus.submit(bytes.into(), 1, STEP_LIMIT).await;
            outcome.map(|_answered| ()).map_err(|error| error.to_string())
        }
    }
}

async fn change(core: &RaftCore, members: ChangeMembers<u64, RaftMember>) -> Result<(), String> {
    let changed = core.raft.change_membership(members, false).await;
    changed.map(|_response| ()).map_err(|error| error.to_string())
}

/// Gives the new node its identity, which it stores, and makes it a learner.
async fn admit(core: &RaftCore, joining: &JoiningNode) -> Result<(), String> {
    let cluster_id = core.replica.read().cluster().id;
    let (member, node) = (config_id(joining.node.0), joining.node);
    let peer = core.peers.alone(member, &joining.peer);
    let body = bootstrap::adopt_bytes(cluster_id, node);
    let answer = peer.call(kind::ADOPT, body, ADOPT_LIMIT).await;
    if *answer.map_err(|error| error.to_string())? != [1] {
        return Err("it has other data".to_owned());
    }
    let address = RaftMember { peer: joining.peer.clone(), http: joining.http.clone() };
    let added = core.raft.add_learner(node.0, address, false).await;
    added.map(|_response| ()).map_err(|error| error.to_string())
}

/// Waits until a learner may vote: it answers, and has all entries that this node has now. openraft's
/// own wait returns immediately while the log is shorter than its `replication_lag_threshold`.
async fn learned(core: &RaftCore, learner: u64, after: &BTreeSet<u64>) -> Result<(), String> {
    let (upto, deadline) = (core.log.last(), Instant::now() + LEARN_LIMIT);
    loop {
        let followers = core.raft.metrics().borrow_watched().replication.clone();
        let followers = followers.ok_or("this node no longer leads")?;
        let complete = followers.get(&learner).copied().flatten() >= upto;
        match may_vote(learner, complete, after, &lead::answering(core)) {
            Ok(()) => return Ok(()),
            Err(why) if Instant::now() >= deadline => return Err(why.to_string()),
            Err(_not_yet) => tokio::time::sleep(LEARN_LOOK).await,
        }
    }
}
