//! Changes of the members: nodes are added, removed, and readmitted after they lost their data.
//!
//! Records come first: the state says who is being added and who is removed, and the leader has the
//! membership of the log follow it ([`reconcile`]), also after a crash in between. Any node takes a
//! request. It asks the leader whether the change is allowed ([`checks`]), proposes the command that
//! the leader names, and waits until the membership has followed. Every request can be repeated: what
//! is under way goes on.
//!
//! A member that lost its data comes back under a new Raft id. The promises of the old id were lost
//! with its log, so the old id must never vote again.

mod checks;
pub(super) mod reconcile;
pub(super) mod removed;
mod steps;

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::time::Instant;

use crate::domain::ids::NodeId;
use crate::domain::machine::Command;
use crate::transport::CallError;

use super::core::RaftCore;
use super::limits::{MEMBER_ANSWER, MEMBER_CHANGE};
use super::network::kind;
use super::wire::{self, Malformed, WireReader};

/// A change of the members that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// Adds a node, which waits with an empty data folder.
    Add {
        /// Its configured id.
        member: u16,
        /// Host and port of its peer listener.
        peer: String,
        /// Base URL of its API. Empty: it has none.
        http: String,
    },
    /// Readmits a member that lost its data.
    Replace(u16),
    /// Removes a member.
    Remove(u16),
}

impl MemberChange {
    /// The configured id of the member.
    #[must_use]
    pub const fn member(&self) -> u16 {
        match self {
            Self::Add { member, .. } | Self::Replace(member) | Self::Remove(member) => *member,
        }
    }
}

/// The leader's consent to a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeAllowed {
    /// The member, with its join number.
    pub node: NodeId,
    /// The command that begins the change. None: it is under way.
    pub command: Option<Command>,
}

/// Why the members were not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Only a leader can do it, and no leader answers.
    #[error("no leader answered, and only a leader can change the members")]
    NoLeader,
    /// The cluster has no such member.
    #[error("there is no member {0}")]
    NotListed(u16),
    /// The cluster has a member of this id.
    #[error("there is a member {0} already")]
    Exists(u16),
    /// The member does not answer.
    #[error("member {0} cannot be asked: {1}")]
    Unreachable(u16, String),
    /// The member has data, or is this node.
    #[error("member {0} has its data, and only an empty one is readmitted or added")]
    NotEmpty(u16),
    /// Its software does not know all commands of the cluster.
    #[error("member {0} runs a version that is too old for this cluster")]
    TooOld(u16),
    /// Another change is under way.
    #[error("{0}; members are changed one at a time")]
    Changing(String),
    /// It is the only member with a vote.
    #[error("member {0} is the last one with a vote, and a cluster needs one")]
    LastVoter(u16),
    /// Without it no majority would answer.
    #[error("member {0} cannot be removed: {1}")]
    QuorumAtRisk(u16, String),
    /// It was never up, so the state has no record of it.
    #[error(
        "node {0} has not run since it became a member, and only a member that ran once can be \
         removed: start it, wait until `punctual cluster status` lists it, and remove it then"
    )]
    NotRegistered(u16),
    /// A step took too long, or the leader changed.
    #[error("member {0} is not ready yet: {1}; the same request goes on with it")]
    Unfinished(u16, String),
}

/// Time for which a node without a leader waits for one.
const LEADER_LIMIT: Duration = Duration::from_secs(2);
/// Pause after a node answered that it does not lead, and between two looks at the members.
const ASK_PAUSE: Duration = Duration::from_millis(50);

/// Asks the leader whether a change is allowed, and how it begins.
pub(super) async fn check(
    core: &RaftCore,
    change: &MemberChange,
) -> Result<ChangeAllowed, MemberError> {
    let deadline = Instant::now() + LEADER_LIMIT;
    let mut leader = core.leader.clone();
    loop {
        let now = *leader.borrow_and_update();
        let allowed = match now {
            None => Err(MemberError::NoLeader),
            Some(now) if now == core.id => checks::check(core, change).await,
            Some(now) => ask(core, now, change).await,
        };
        match allowed {
            Err(MemberError::NoLeader) if Instant::now() < deadline => {}
            allowed => return allowed,
        }
        let _changed = tokio::time::timeout(ASK_PAUSE, leader.changed()).await;
    }
}

async fn ask(
    core: &RaftCore,
    leader: u64,
    change: &MemberChange,
) -> Result<ChangeAllowed, MemberError> {
    let peer = core.peers.node(leader).ok_or(MemberError::NoLeader)?;
    let member = change.member();
    match peer.ask_alone(kind::MEMBERS, change_bytes(change), MEMBER_ANSWER).await {
        Ok(answer) => read_answer(answer, member).unwrap_or_else(|error| {
            Err(MemberError::Unfinished(member, format!("the leader's answer: {error}")))
        }),
        Err(CallError::NoConnection(_) | CallError::NotSent(_) | CallError::Refused { .. }) => {
            Err(MemberError::NoLeader)
        }
        Err(CallError::Unknown(why)) => {
            Err(MemberError::Unfinished(member, format!("the leader did not answer: {why}")))
        }
    }
}

/// Handles a peer's question for [`check`].
pub(super) async fn check_for(core: &RaftCore, body: Bytes) -> Result<Bytes, Malformed> {
    let change = read_change(body)?;
    Ok(answer_bytes(&checks::check(core, &change).await))
}

/// Waits until the membership has followed: the node has its vote, or is gone.
pub(super) async fn followed(
    core: &RaftCore,
    change: &MemberChange,
    node: NodeId,
) -> Result<(), MemberError> {
    let deadline = Instant::now() + MEMBER_CHANGE;
    let adds = !matches!(change, MemberChange::Remove(_));
    let unfinished = |why: &str| Err(MemberError::Unfinished(change.member(), why.to_owned()));
    loop {
        let gone = core.replica.read().is_gone(node);
        // A removed node does not learn of the membership without it, and of its end perhaps only
        // from the others.
        let own_end = || node.0 == core.id && core.removed.load(Ordering::Relaxed);
        let done = match adds {
            true => core.members.borrow().voters().contains(&node.0),
            false => {
                let listed = || core.members.borrow().nodes().contains(&node.0);
                own_end() || (gone && (node.0 == core.id || !listed()))
            }
        };
        if done {
            return Ok(());
        }
        if adds && gone {
            return unfinished("it was removed meanwhile");
        }
        if Instant::now() >= deadline {
            return unfinished(&format!("not within {} s", MEMBER_CHANGE.as_secs()));
        }
        tokio::time::sleep(ASK_PAUSE).await;
    }
}

fn change_bytes(change: &MemberChange) -> Bytes {
    let mut out = BytesMut::new();
    let (number, peer, http) = match change {
        MemberChange::Add { peer, http, .. } => (0, peer.as_str(), http.as_str()),
        MemberChange::Replace(_) => (1, "", ""),
        MemberChange::Remove(_) => (2, "", ""),
    };
    out.put_u8(number);
    out.put_u64_le(u64::from(change.member()));
    wire::put_text(&mut out, peer);
    wire::put_text(&mut out, http);
    out.freeze()
}

fn read_change(body: Bytes) -> Result<MemberChange, Malformed> {
    let mut reader = WireReader(body);
    let number = reader.u8()?;
    let member = u16::try_from(reader.u64()?).map_err(|_large| Malformed("member"))?;
    let (peer, http) = (reader.text()?, reader.text()?);
    reader.end()?;
    match number {
        0 => Ok(MemberChange::Add { member, peer, http }),
        1 => Ok(MemberChange::Replace(member)),
        2 => Ok(MemberChange::Remove(member)),
        _ => Err(Malformed("change")),
    }
}

fn answer_bytes(allowed: &Result<ChangeAllowed, MemberError>) -> Bytes {
    let mut out = BytesMut::new();
    let (number, why) = match allowed {
        Ok(allowed) => {
            out.put_u8(0);
            out.put_u64_le(allowed.node.0);
            if let Some(command) = &allowed.command {
                let mut body = Vec::new();
                command.encode_body(&mut body);
                out.put_u32_le(u32::from(command.kind()));
                out.put_slice(&body);
            }
            return out.freeze();
        }
        Err(MemberError::NoLeader) => (1, ""),
        Err(MemberError::NotListed(_)) => (2, ""),
        Err(MemberError::NotEmpty(_)) => (3, ""),
        Err(MemberError::Unreachable(_, why)) => (4, why.as_str()),
        Err(MemberError::Unfinished(_, why)) => (5, why.as_str()),
        Err(MemberError::Exists(_)) => (6, ""),
        Err(MemberError::TooOld(_)) => (7, ""),
        Err(MemberError::Changing(what)) => (8, what.as_str()),
        Err(MemberError::LastVoter(_)) => (9, ""),
        Err(MemberError::QuorumAtRisk(_, why)) => (10, why.as_str()),
        Err(MemberError::NotRegistered(_)) => (11, ""),
    };
    out.put_u8(number);
    wire::put_text(&mut out, why);
    out.freeze()
}

fn read_answer(
    answer: Bytes,
    member: u16,
) -> Result<Result<ChangeAllowed, MemberError>, Malformed> {
    let mut reader = WireReader(answer);
    let number = reader.u8()?;
    if number == 0 {
        let node = NodeId(reader.u64()?);
        let command = if reader.0.is_empty() {
            None
        } else {
            let kind = u16::try_from(reader.u32()?).map_err(|_large| Malformed("command"))?;
            Some(Command::decode(kind, &reader.0).map_err(|_error| Malformed("command"))?)
        };
        return Ok(Ok(ChangeAllowed { node, command }));
    }
    let why = reader.text()?;
    reader.end()?;
    Ok(Err(match number {
        1 => MemberError::NoLeader,
        2 => MemberError::NotListed(member),
        3 => MemberError::NotEmpty(member),
        4 => MemberError::Unreachable(member, why),
        5 => MemberError::Unfinished(member, why),
        6 => MemberError::Exists(member),
        7 => MemberError::TooOld(member),
        8 => MemberError::Changing(why),
        9 => MemberError::LastVoter(member),
        10 => MemberError::QuorumAtRisk(member, why),
        11 => MemberError::NotRegistered(member),
        _ => return Err(Malformed("answer")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::machine::command::{NodeJoin, OfNode};

    #[test]
    fn questions_and_answers_read_back() {
        let (peer, http) = ("n3:7070".to_owned(), "http://n3:8080".to_owned());
        for change in [
            MemberChange::Add { member: 3, peer: peer.clone(), http: http.clone() },
            MemberChange::Replace(3),
            MemberChange::Remove(65_535),
        ] {
            assert_eq!(read_change(change_bytes(&change)), Ok(change));
        }
        let why = || "because".to_owned();
        let node = NodeId::new(3, 2);
        let join = Command::NodeJoin(Box::new(NodeJoin { node, peer, http }));
        for allowed in [
            Ok(ChangeAllowed { node, command: None }),
            Ok(ChangeAllowed { node, command: Some(join) }),
            Ok(ChangeAllowed { node, command: Some(Command::NodeRemove(OfNode { node })) }),
            Err(MemberError::NoLeader),
            Err(MemberError::NotListed(3)),
            Err(MemberError::Exists(3)),
            Err(MemberError::NotEmpty(3)),
            Err(MemberError::TooOld(3)),
            Err(MemberError::LastVoter(3)),
            Err(MemberError::NotRegistered(3)),
            Err(MemberError::Changing(why())),
            Err(MemberError::QuorumAtRisk(3, why())),
            Err(MemberError::Unreachable(3, why())),
            Err(MemberError::Unfinished(3, why())),
        ] {
            assert_eq!(read_answer(answer_bytes(&allowed), 3), Ok(allowed));
        }
    }
}
