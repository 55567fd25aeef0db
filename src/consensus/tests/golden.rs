//! Golden bytes, which detect changes of the contents of Raft's logs, checkpoints and connections.
//!
//! A difference means that a node of this version misreads the bytes of another version. A change
//! on the disk needs a new version number, its first byte. A change on the wire needs a new
//! protocol number, which the handshake carries (`transport::handshake::PROTOCOL`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, VoteRequest, VoteResponse};
use openraft::{EntryPayload, Membership};

use super::super::types::{LogEntry, LogId, Payload, RaftMember, StoredMembership, Vote, log_id};
use super::super::wire::{self, AppendAnswer, Malformed, Unreadable};
use crate::storage::LogPos;

const VOTE: &str = "010700000000000000020001000000000000";
const COMMITTED_VOTE: &str = "010700000000000000020001000000000001";
const BLANK: &str = "00";
const NORMAL: &str = "01616263";
const MEMBERSHIP: &str = concat!(
    "0202000000010000000100010000000000020000000100010000000000020001000000000002000000010001",
    "000000000006000000613a3730373008000000687474703a2f2f61020001000000000006000000623a373037",
    "3000000000",
);
const META: &str = concat!(
    "0101070000000000000002000100000000000807060504030201010600000000000000010001000000000009",
    "0000000000000002000000010000000100010000000000020000000100010000000000020001000000000002",
    "000000010001000000000006000000613a3730373008000000687474703a2f2f610200010000000000060000",
    "00623a3730373000000000",
);
const META_OF_NOTHING: &str = "0100000000000000000000";
const APPEND: &str = concat!(
    "0700000000000000020001000000000001010600000000000000010001000000000009000000000000000002",
    "0000000700000000000000020001000000000008070605040302010400000001616263070000000000000002",
    "0001000000000008070605040302010100000000",
);
const HEARTBEAT: &str = concat!(
    "0700000000000000020001000000000001010600000000000000010001000000000009000000000000000106",
    "000000000000000100010000000000090000000000000000000000",
);
const VOTE_REQUEST: &str =
    "07000000000000000200010000000000000106000000000000000100010000000000090000000000000001";
const VOTE_RESPONSE: &str = "07000000000000000200010000000000000100";
const MATCHING: &str = "0001060000000000000001000100000000000900000000000000";
const MATCHING_NOTHING: &str = "0000";
const CONFLICT: &str = "0101060000000000000001000100000000000900000000000000";
const HIGHER_VOTE: &str = "020700000000000000020001000000000001";

fn at() -> LogPos {
    LogPos { term: 7, node: 0x1_0002, index: 0x0102_0304_0506_0708 }
}

fn before() -> LogId {
    log_id(LogPos { term: 6, node: 0x1_0001, index: 9 })
}

fn vote() -> Vote {
    Vote::new(7, 0x1_0002)
}

fn committed_vote() -> Vote {
    Vote::new_committed(7, 0x1_0002)
}

fn membership() -> Membership<u64, RaftMember> {
    let member =
        |peer: &str, http: &str| RaftMember { peer: peer.to_owned(), http: http.to_owned() };
    let (one, two) = (0x1_0001, 0x1_0002);
    let configs = vec![BTreeSet::from([one]), BTreeSet::from([one, two])];
    let nodes = BTreeMap::from([(one, member("a:7070", "http://a")), (two, member("b:7070", ""))]);
    Membership::new(configs, nodes).unwrap()
}

fn entry(payload: EntryPayload<Payload, u64, RaftMember>) -> LogEntry {
    LogEntry { log_id: log_id(at()), payload }
}

fn normal() -> LogEntry {
    entry(EntryPayload::Normal(Payload(Bytes::from_static(b"\x01abc"))))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `value` encodes to `golden` and decodes from it. Truncated bytes and trailing bytes are refused.
fn keeps<T: Debug, E: Debug>(
    golden: &str,
    value: &T,
    write: impl Fn(&T) -> Bytes,
    read: impl Fn(Bytes) -> Result<T, E>,
) {
    let bytes = write(value);
    assert_eq!(hex(&bytes), golden, "{value:?}");
    let found = read(bytes.clone()).unwrap();
    assert_eq!(format!("{found:?}"), format!("{value:?}"));
    assert_eq!(hex(&write(&found)), golden, "encoded again: {value:?}");
    for len in 0..bytes.len() {
        assert!(read(bytes.slice(..len)).is_err(), "{value:?} cut to {len} bytes");
    }
    assert!(read([&bytes[..], &[0]].concat().into()).is_err(), "{value:?} with a trailing byte");
}

#[test]
fn what_lies_on_disks_keeps_its_bytes() {
    keeps(VOTE, &vote(), wire::vote_bytes, wire::read_vote);
    keeps(COMMITTED_VOTE, &committed_vote(), wire::vote_bytes, wire::read_vote);
    let meta = |(applied, membership): &(Option<LogId>, StoredMembership)| {
        wire::meta_bytes(applied.as_ref(), membership)
    };
    let stored = StoredMembership::new(Some(before()), membership());
    keeps(META, &(Some(log_id(at())), stored), meta, wire::read_meta);
    keeps(META_OF_NOTHING, &(None, StoredMembership::default()), meta, wire::read_meta);
    let read = |bytes| wire::read_entry(at(), bytes);
    keeps(MEMBERSHIP, &entry(EntryPayload::Membership(membership())), wire::payload_bytes, read);
    // These two have no defined length: the state machine's bytes follow the first byte.
    for (golden, entry) in [(BLANK, entry(EntryPayload::Blank)), (NORMAL, normal())] {
        let bytes = wire::payload_bytes(&entry);
        assert_eq!(hex(&bytes), golden);
        assert_eq!(read(bytes).unwrap(), entry);
    }
    assert_eq!(read(Bytes::new()), Err(Malformed("entry without bytes").into()));
    for bytes in [&[3][..], &[0xff, 1]] {
        let (what, found) = ("an entry of kind", bytes[0]);
        let later = Unreadable::Version { what, found, known: 2 };
        assert_eq!(read(Bytes::from_static(bytes)), Err(later));
    }
    for of_a_later_version in [VOTE, META] {
        let mut bytes: Vec<u8> = (0..of_a_later_version.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&of_a_later_version[at..at + 2], 16).unwrap())
            .collect();
        bytes[0] = 2;
        let errors = [
            wire::read_vote(bytes.clone().into()).unwrap_err(),
            wire::read_meta(bytes.into()).unwrap_err(),
        ];
        assert!(errors.iter().all(|error| matches!(error, Unreadable::Version { found: 2, .. })));
    }
}

#[test]
fn what_peers_say_to_each_other_keeps_its_bytes() {
    let append = AppendEntriesRequest {
        vote: committed_vote(),
        prev_log_id: Some(before()),
        entries: vec![normal(), entry(EntryPayload::Blank)],
        leader_commit: None,
    };
    keeps(APPEND, &append, wire::append_bytes, wire::read_append);
    let heartbeat =
        AppendEntriesRequest { entries: vec![], leader_commit: Some(before()), ..append };
    keeps(HEARTBEAT, &heartbeat, wire::append_bytes, wire::read_append);
    let mut request = VoteRequest::new(vote(), Some(before()));
    request.leadership_transfer = true;
    keeps(VOTE_REQUEST, &request, wire::vote_request_bytes, wire::read_vote_request);
    let response = VoteResponse::new(vote(), None, true);
    keeps(VOTE_RESPONSE, &response, wire::vote_response_bytes, wire::read_vote_response);
    for (golden, answer) in [
        (MATCHING, AppendAnswer::Matching(Some(before()))),
        (MATCHING_NOTHING, AppendAnswer::Matching(None)),
        (CONFLICT, AppendAnswer::Conflict(before())),
        (HIGHER_VOTE, AppendAnswer::HigherVote(committed_vote())),
    ] {
        keeps(golden, &answer, wire::appended_bytes, wire::read_appended);
    }
}
