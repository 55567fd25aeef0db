//! The encoding of Raft's entries, votes, memberships, requests and answers. openraft's own types
//! are never sent or stored. A change here is a new protocol version.

use std::collections::BTreeSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::entry::RaftEntry;
use openraft::raft::{
    AppendEntriesRequest, TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use openraft::{EntryPayload, Membership};

use crate::storage::LogPos;

use super::types::{
    LogEntry, LogId, Payload, RaftMember, StoredMembership, TypeConfig, Vote, log_id, pos,
};

/// First byte of an entry that only marks a term.
const BLANK: u8 = 0;
/// First byte of an entry of the state machine.
pub(super) const NORMAL: u8 = 1;
/// First byte of a membership.
const MEMBERSHIP: u8 = 2;

/// Malformed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed {0}")]
pub struct Malformed(pub &'static str);

pub(super) type WireResult<T> = Result<T, Malformed>;

/// Why bytes on the disk cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The bytes are damaged.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Another version wrote them.
    #[error("{what} {found}; this software reads {known}")]
    Version {
        /// A description, which the version number completes.
        what: &'static str,
        /// The version number: the first byte.
        found: u8,
        /// The highest number that this software reads.
        known: u8,
    },
}

impl From<Unreadable> for Malformed {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Malformed(malformed) => malformed,
            Unreadable::Version { .. } => Self("version: the peer is of another one"),
        }
    }
}

/// The version of votes and of Raft records on the disk, their first byte.
const FORM: u8 = 1;

fn form(reader: &mut WireReader, what: &'static str) -> Result<(), Unreadable> {
    match reader.u8()? {
        FORM => Ok(()),
        found => Err(Unreadable::Version { what, found, known: FORM }),
    }
}

/// A cursor over bytes; its results share the buffer.
pub(super) struct WireReader(pub Bytes);

impl WireReader {
    pub fn u8(&mut self) -> WireResult<u8> {
        self.need(1, "byte")?;
        Ok(self.0.get_u8())
    }

    pub fn u32(&mut self) -> WireResult<u32> {
        self.need(4, "u32")?;
        Ok(self.0.get_u32_le())
    }

    pub fn u64(&mut self) -> WireResult<u64> {
        self.need(8, "u64")?;
        Ok(self.0.get_u64_le())
    }

    pub fn bytes(&mut self, len: usize) -> WireResult<Bytes> {
        self.need(len, "length")?;
        Ok(self.0.split_to(len))
    }

    pub fn text(&mut self) -> WireResult<String> {
        let len = self.u32()? as usize;
        String::from_utf8(self.bytes(len)?.into()).map_err(|_error| Malformed("text"))
    }

    pub fn end(&self) -> WireResult<()> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("tail")) }
    }

    fn need(&self, len: usize, what: &'static str) -> WireResult<()> {
        if self.0.len() >= len { Ok(()) } else { Err(Malformed(what)) }
    }
}

pub(super) fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u32_le(u32::try_from(text.len()).unwrap_or(0));
    out.put_slice(text.as_bytes());
}

fn put_pos(out: &mut BytesMut, pos: LogPos) {
    out.put_u64_le(pos.term);
    out.put_u64_le(pos.node);
    out.put_u64_le(pos.index);
}

fn get_pos(reader: &mut WireReader) -> WireResult<LogPos> {
    Ok(LogPos { term: reader.u64()?, node: reader.u64()?, index: reader.u64()? })
}

pub(super) fn put_log_id(out: &mut BytesMut, id: Option<&LogId>) {
    match id {
        None => out.put_u8(0),
        Some(id) => {
            out.put_u8(1);
            put_pos(out, pos(id));
        }
    }
}

pub(super) fn get_log_id(reader: &mut WireReader) -> WireResult<Option<LogId>> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(log_id(get_pos(reader)?))),
        _ => Err(Malformed("option")),
    }
}

pub(super) fn put_vote(out: &mut BytesMut, vote: &Vote) {
    out.put_u64_le(vote.leader_id.term);
    out.put_u64_le(vote.leader_id.node_id);
    out.put_u8(u8::from(vote.committed));
}

pub(super) fn get_vote(reader: &mut WireReader) -> WireResult<Vote> {
    let (term, node) = (reader.u64()?, reader.u64()?);
    match reader.u8()? {
        0 => Ok(Vote::new(term, node)),
        1 => Ok(Vote::new_committed(term, node)),
        _ => Err(Malformed("vote")),
    }
}

/// The bytes of a vote on disk.
pub(super) fn vote_bytes(vote: &Vote) -> Bytes {
    let mut out = BytesMut::with_capacity(18);
    out.put_u8(FORM);
    put_vote(&mut out, vote);
    out.freeze()
}

pub(super) fn read_vote(bytes: Bytes) -> Result<Vote, Unreadable> {
    let mut reader = WireReader(bytes);
    form(&mut reader, "a vote of version")?;
    let vote = get_vote(&mut reader)?;
    reader.end()?;
    Ok(vote)
}

/// The bytes of an entry's payload, on disk and on the wire.
pub(super) fn payload_bytes(entry: &LogEntry) -> Bytes {
    match &entry.payload {
        EntryPayload::Blank => Bytes::from_static(&[BLANK]),
        EntryPayload::Normal(payload) => payload.0.clone(),
        EntryPayload::Membership(membership) => {
            let mut out = BytesMut::new();
            out.put_u8(MEMBERSHIP);
            put_membership(&mut out, membership);
            out.freeze()
        }
    }
}

/// An entry from its position and the bytes of its payload.
pub(super) fn read_entry(at: LogPos, bytes: Bytes) -> Result<LogEntry, Unreadable> {
    let payload = match bytes.first() {
        Some(&BLANK) => EntryPayload::Blank,
        Some(&NORMAL) => EntryPayload::Normal(Payload(bytes)),
        Some(&MEMBERSHIP) => {
            let mut reader = WireReader(bytes.slice(1..));
            let membership = get_membership(&mut reader)?;
            reader.end()?;
            EntryPayload::Membership(membership)
        }
        Some(&found) => {
            let what = "an entry of kind";
            return Err(Unreadable::Version { what, found, known: MEMBERSHIP });
        }
        None => return Err(Malformed("entry without bytes").into()),
    };
    Ok(LogEntry { log_id: log_id(at), payload })
}

fn put_membership(out: &mut BytesMut, membership: &Membership<u64, RaftMember>) {
    let configs = membership.get_joint_config();
    out.put_u32_le(u32::try_from(configs.len()).unwrap_or(0));
    for config in configs {
        out.put_u32_le(u32::try_from(config.len()).unwrap_or(0));
        for id in config {
            out.put_u64_le(*id);
        }
    }
    let nodes: Vec<_> = membership.nodes().collect();
    out.put_u32_le(u32::try_from(nodes.len()).unwrap_or(0));
    for (id, node) in nodes {
        out.put_u64_le(*id);
        put_text(out, &node.peer);
        put_text(out, &node.http);
    }
}

fn get_membership(reader: &mut WireReader) -> WireResult<Membership<u64, RaftMember>> {
    let mut configs = Vec::new();
    for _ in 0..reader.u32()? {
        let mut config = BTreeSet::new();
        for _ in 0..reader.u32()? {
            config.insert(reader.u64()?);
        }
        configs.push(config);
    }
    let mut nodes = std::collections::BTreeMap::new();
    for _ in 0..reader.u32()? {
        let id = reader.u64()?;
        nodes.insert(id, RaftMember { peer: reader.text()?, http: reader.text()? });
    }
    Membership::new(configs, nodes).map_err(|_error| Malformed("membership"))
}

/// The metadata of a checkpoint or snapshot: the last applied entry and the membership at it.
pub(super) fn meta_bytes(applied: Option<&LogId>, membership: &StoredMembership) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(FORM);
    put_log_id(&mut out, applied);
    put_log_id(&mut out, membership.log_id().as_ref());
    put_membership(&mut out, membership.membership());
    out.freeze()
}

pub(super) fn read_meta(bytes: Bytes) -> Result<(Option<LogId>, StoredMembership), Unreadable> {
    let mut reader = WireReader(bytes);
    form(&mut reader, "a Raft record of version")?;
    let applied = get_log_id(&mut reader)?;
    let at = get_log_id(&mut reader)?;
    let membership = get_membership(&mut reader)?;
    reader.end()?;
    Ok((applied, StoredMembership::new(at, membership)))
}

pub(super) fn append_bytes(request: &AppendEntriesRequest<TypeConfig>) -> Bytes {
    let payloads: Vec<Bytes> = request.entries.iter().map(payload_bytes).collect();
    let size: usize = payloads.iter().map(|payload| payload.len() + 28).sum();
    let mut out = BytesMut::with_capacity(96 + size);
    put_vote(&mut out, &request.vote);
    put_log_id(&mut out, request.prev_log_id.as_ref());
    put_log_id(&mut out, request.leader_commit.as_ref());
    out.put_u32_le(u32::try_from(payloads.len()).unwrap_or(0));
    for (entry, payload) in request.entries.iter().zip(payloads) {
        put_pos(&mut out, pos(&entry.log_id()));
        out.put_u32_le(u32::try_from(payload.len()).unwrap_or(0));
        out.put_slice(&payload);
    }
    out.freeze()
}

pub(super) fn read_append(bytes: Bytes) -> WireResult<AppendEntriesRequest<TypeConfig>> {
    let mut reader = WireReader(bytes);
    let vote = get_vote(&mut reader)?;
    let prev_log_id = get_log_id(&mut reader)?;
    let leader_commit = get_log_id(&mut reader)?;
    let mut entries = Vec::new();
    for _ in 0..reader.u32()? {
        let at = get_pos(&mut reader)?;
        let len = reader.u32()? as usize;
        entries.push(read_entry(at, reader.bytes(len)?)?);
    }
    reader.end()?;
    Ok(AppendEntriesRequest { vote, prev_log_id, entries, leader_commit })
}

pub(super) fn vote_request_bytes(request: &VoteRequest<TypeConfig>) -> Bytes {
    let mut out = BytesMut::new();
    put_vote(&mut out, &request.vote);
    put_log_id(&mut out, request.last_log_id.as_ref());
    out.put_u8(u8::from(request.leadership_transfer));
    out.freeze()
}

pub(super) fn read_vote_request(bytes: Bytes) -> WireResult<VoteRequest<TypeConfig>> {
    let mut reader = WireReader(bytes);
    let mut request = VoteRequest::new(get_vote(&mut reader)?, get_log_id(&mut reader)?);
    request.leadership_transfer = reader.u8()? != 0;
    reader.end()?;
    Ok(request)
}

pub(super) fn vote_response_bytes(response: &VoteResponse<TypeConfig>) -> Bytes {
    let mut out = BytesMut::new();
    put_vote(&mut out, &response.vote);
    out.put_u8(u8::from(response.vote_granted));
    put_log_id(&mut out, response.last_log_id.as_ref());
    out.freeze()
}

pub(super) fn read_vote_response(bytes: Bytes) -> WireResult<VoteResponse<TypeConfig>> {
    let mut reader = WireReader(bytes);
    let vote = get_vote(&mut reader)?;
    let granted = reader.u8()? != 0;
    let response = VoteResponse::new(vote, get_log_id(&mut reader)?, granted);
    reader.end()?;
    Ok(response)
}

/// The bytes of a peer's answer to a transfer of the lead.
pub(super) fn transferred_bytes(answer: &TransferLeaderResponse<TypeConfig>) -> Bytes {
    let mut out = BytesMut::new();
    match answer {
        Ok(()) => out.put_u8(0),
        Err(TransferLeaderError::VoteChanged { actual, .. }) => {
            out.put_u8(1);
            put_vote(&mut out, actual);
        }
        Err(TransferLeaderError::LogNotFlushed { actual, .. }) => {
            out.put_u8(2);
            put_log_id(&mut out, actual.as_ref());
        }
    }
    out.freeze()
}

pub(super) fn read_transferred(
    bytes: Bytes,
    request: &TransferLeaderRequest<TypeConfig>,
) -> WireResult<TransferLeaderResponse<TypeConfig>> {
    let mut reader = WireReader(bytes);
    let answer = match reader.u8()? {
        0 => Ok(()),
        1 => Err(TransferLeaderError::VoteChanged {
            expected: *request.from_leader(),
            actual: get_vote(&mut reader)?,
        }),
        2 => Err(TransferLeaderError::LogNotFlushed {
            expected: request.last_log_id().copied(),
            actual: get_log_id(&mut reader)?,
        }),
        _ => return Err(Malformed("answer")),
    };
    reader.end()?;
    Ok(answer)
}

/// A peer's answer to an append.
#[derive(Debug)]
pub(super) enum AppendAnswer {
    /// The peer has all entries up to this one.
    Matching(Option<LogId>),
    /// The entry before does not match.
    Conflict(LogId),
    /// The peer voted for another candidate.
    HigherVote(Vote),
}

pub(super) fn appended_bytes(answer: &AppendAnswer) -> Bytes {
    let mut out = BytesMut::new();
    match answer {
        AppendAnswer::Matching(id) => {
            out.put_u8(0);
            put_log_id(&mut out, id.as_ref());
        }
        AppendAnswer::Conflict(id) => {
            out.put_u8(1);
            put_log_id(&mut out, Some(id));
        }
        AppendAnswer::HigherVote(vote) => {
            out.put_u8(2);
            put_vote(&mut out, vote);
        }
    }
    out.freeze()
}

pub(super) fn read_appended(bytes: Bytes) -> WireResult<AppendAnswer> {
    let mut reader = WireReader(bytes);
    let answer = match reader.u8()? {
        0 => AppendAnswer::Matching(get_log_id(&mut reader)?),
        1 => AppendAnswer::Conflict(get_log_id(&mut reader)?.ok_or(Malformed("conflict"))?),
        2 => AppendAnswer::HigherVote(get_vote(&mut reader)?),
        _ => return Err(Malformed("answer")),
    };
    reader.end()?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A refusal of the lead is not decoded as acceptance, and its reason is kept.
    #[test]
    fn answers_to_a_transfer_of_the_lead_read_back() {
        let leader = Vote::new_committed(3, 1 << 16);
        let last = |index| log_id(LogPos { term: 3, node: 1 << 16, index });
        let request = TransferLeaderRequest::<TypeConfig>::new(leader, 2 << 16, Some(last(9)));
        let later = Vote::new(4, 3 << 16);
        let answers: [TransferLeaderResponse<TypeConfig>; 4] = [
            Ok(()),
            Err(TransferLeaderError::VoteChanged { expected: leader, actual: later }),
            Err(TransferLeaderError::LogNotFlushed {
                expected: Some(last(9)),
                actual: Some(last(7)),
            }),
            Err(TransferLeaderError::LogNotFlushed { expected: Some(last(9)), actual: None }),
        ];
        for answer in answers {
            let read = read_transferred(transferred_bytes(&answer), &request).unwrap();
            assert_eq!(format!("{read:?}"), format!("{answer:?}"));
        }
        for malformed in [&[][..], &[0, 0], &[1], &[2, 1], &[3]] {
            let bytes = Bytes::copy_from_slice(malformed);
            assert!(read_transferred(bytes, &request).is_err(), "{malformed:?}");
        }
    }
}
