//! Envelope and rows with valid and invalid bytes: packed bytes can be read back, other bytes are
//! an error, and nothing panics.

use proptest::prelude::*;

use super::super::command::Command;
use super::super::envelope::{self, Commands, EntryHead, IdempotencyKey, TEXT_BYTES_MAX};
use super::super::{Applied, DecodeError, Loader, RecordError, State};
use super::{DAY, TestWorld, samples};
use crate::domain::time::{Millis, Timestamp};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// The longest prefix of at most 255 bytes.
fn cut(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if out.len() + c.len_utf8() > TEXT_BYTES_MAX {
            break;
        }
        out.push(c);
    }
    out
}

/// A key in its packed form.
fn borrowed((text, request): &(String, u128)) -> IdempotencyKey<'_> {
    IdempotencyKey { text, request: *request }
}

fn unpack(bytes: &[u8]) -> Result<Vec<Command>, DecodeError> {
    Commands::new(bytes)
        .map(|packed| packed.and_then(|packed| Command::decode(packed.kind, packed.body)))
        .collect()
}

/// Keys and values.
type StoredRows = Vec<(Vec<u8>, Vec<u8>)>;

/// A state, and its rows, which cover every letter.
fn rows() -> (State, StoredRows) {
    let mut world = TestWorld::new();
    let session = world.node(1, 1);
    let key = Some(IdempotencyKey { text: "key-1", request: 7 });
    world.apply_as(&super::put(super::PutMode::Add, super::every("a", 500)), "me", key).0.unwrap();
    let task = world.state.named("a").unwrap().key;
    for _ in 0..3 {
        world.wait(500);
        let now = world.stamp;
        world.fire(task, session, now);
        world.wait(100);
        world
            .accept(&super::put(super::PutMode::Update { if_match: None }, super::every("a", 501)));
    }
    let calendar = samples::calendar();
    world.accept(&Command::PutCalendar(Box::new(super::super::command::PutCalendar {
        calendar,
        if_match: None,
        source: None,
    })));
    let rows = world.state.all_rows().collect();
    (world.state, rows)
}

fn read(rows: &[(Vec<u8>, Vec<u8>)]) -> Option<State> {
    let mut loader = Loader::default();
    for (key, value) in rows {
        loader.row(key, value).ok()?;
    }
    loader.finish().ok()
}

proptest! {
    #![proptest_config(config(200))]

    #[test]
    fn what_is_packed_is_opened(
        picks in prop::collection::vec((0_usize..30, "\\PC{0,80}|.{260}", prop::option::of(("\\PC{0,90}", any::<u128>()))), 0..6),
        stamp: i64,
        origin: u64,
        seq: u64,
    ) {
        let mut all = samples::commands();
        all.extend(samples::specs().into_iter().map(|spec| super::put(super::PutMode::Add, spec)));
        let mut packed = Vec::new();
        for (pick, by, key) in &picks {
            envelope::pack(&mut packed, &all[pick % all.len()], by, key.as_ref().map(borrowed));
        }
        let head = EntryHead { stamp: Timestamp(stamp), origin, seq };
        let entry = envelope::entry(head, &packed);
        let (opened, commands) = envelope::open(&entry).unwrap();
        prop_assert_eq!(opened, head);
        let commands: Vec<_> = commands.collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(commands.len(), picks.len());
        for (found, (pick, by, key)) in commands.iter().zip(&picks) {
            let wanted = &all[pick % all.len()];
            prop_assert_eq!(&Command::decode(found.kind, found.body).unwrap(), wanted);
            prop_assert_eq!(found.by, cut(by));
            prop_assert_eq!(
                found.key.map(|key| (key.text.to_owned(), key.request)),
                key.as_ref().map(|(text, request)| (cut(text), *request))
            );
        }
        // If it is truncated anywhere, it is an error or a prefix of the commands.
        for end in 0..entry.len() {
            if let Ok((_, commands)) = envelope::open(&entry[..end]) {
                let read: Result<Vec<_>, _> = commands.collect();
                prop_assert!(read.is_err() || read.unwrap().len() < picks.len());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_quietly(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        for (kind, _) in Command::KINDS {
            let _decoded = Command::decode(*kind, &bytes);
        }
        prop_assert_eq!(Command::decode(0, &bytes), Err(DecodeError::UnknownKind(0)));
        let mut applied = Applied::default();
        let mut entry = envelope::entry(EntryHead { stamp: DAY, origin: 0, seq: 0 }, &bytes);
        let _applied = State::default().apply(1, &entry, &mut applied);
        entry[0] = 2;
        prop_assert_eq!(
            State::default().apply(1, &entry, &mut applied),
            Err(DecodeError::Version { found: 2 })
        );
        // There is at most one error, and it is the end.
        let found: Vec<_> = Commands::new(&bytes).take(1_000).collect();
        prop_assert!(found.len() <= bytes.len());
        prop_assert!(found.iter().filter(|packed| packed.is_err()).count() <= 1);
        for letter in *b"cltsedpnkx" {
            let _row = Loader::default().row(&[letter], &bytes);
            let _row = Loader::default().row(&[&[letter, 0, 0, 0, 0][..], &[7; 12]].concat(), &bytes);
            let _row = Loader::default().row(&[letter, 0, 0, 0, 0, 0, 0, 0, 7], &bytes);
        }
        let _row = Loader::default().row(&bytes, b"");
    }

    #[test]
    fn damaged_commands_are_refused_quietly(
        pick: usize,
        damage in prop::collection::vec((any::<usize>(), any::<u8>()), 1..6),
    ) {
        let mut all = samples::commands();
        all.extend(samples::specs().into_iter().map(|spec| super::put(super::PutMode::Add, spec)));
        let mut packed = Vec::new();
        envelope::pack(&mut packed, &all[pick % all.len()], "me", Some(IdempotencyKey { text: "k", request: 3 }));
        for (at, byte) in damage {
            let len = packed.len();
            packed[at % len] = byte;
        }
        if let Ok(commands) = unpack(&packed) {
            // Whatever the changed bytes mean, the commands can be applied.
            let mut world = TestWorld::new();
            for command in commands {
                let _answer = world.apply(&command);
            }
        }
    }

    #[test]
    fn a_damaged_row_is_noticed(pick: usize, bit: usize, in_key: bool) {
        let (state, mut rows) = rows();
        prop_assert_eq!(read(&rows).unwrap().digest(), state.digest());
        let at = pick % rows.len();
        let bytes = if in_key { &mut rows[at].0 } else { &mut rows[at].1 };
        let place = bit % (bytes.len() * 8);
        bytes[place / 8] ^= 1 << (place % 8);
        prop_assert!(read(&rows).is_none(), "row {at}, bit {place}, in the key: {in_key}");
    }

    #[test]
    fn a_missing_or_foreign_row_is_noticed(pick: usize) {
        let (_, rows) = rows();
        let mut without = rows.clone();
        without.remove(pick % rows.len());
        prop_assert!(read(&without).is_none());
    }
}

#[test]
fn a_length_beyond_the_bytes_is_an_error() {
    // A text with an encoded length of 2^63 bytes, then others.
    for len in [1_u64 << 63, 1 << 40, u64::from(u32::MAX)] {
        let mut body = vec![253];
        body.extend_from_slice(&len.to_le_bytes());
        for (kind, name) in Command::KINDS {
            // This is a valid body only for the command that consists of one number.
            let number = ["NodeRemove", "NodeJoined"].contains(name);
            assert_eq!(Command::decode(*kind, &body).is_ok(), number);
            let mut later = vec![0; 9];
            later.extend_from_slice(&body);
            let _decoded = Command::decode(*kind, &later);
        }
        assert!(Loader::default().row(b"c", &body).is_err());
        let (_, rows) = rows();
        let (_, cluster) = rows.iter().find(|(key, _)| key == b"c").unwrap();
        for letter in *b"clptsednk" {
            let key = [letter, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9];
            for key in [&key[..], &key[..9]] {
                let mut loader = Loader::default();
                loader.row(b"c", cluster).unwrap();
                assert!(loader.row(key, &body).is_err());
            }
        }
    }
}

#[test]
fn records_of_another_version_are_named_as_such() {
    let (_, mut rows) = rows();
    let cluster = rows.iter_mut().find(|(key, _)| key == b"c").unwrap();
    let ours = "punctual 0.0.0";
    for (found, writer) in [(9, ours), (3, "an earlier version")] {
        let row = super::super::as_version(&cluster.1, found);
        let error = Loader::default().row(&cluster.0, &row).unwrap_err();
        let said = format!(
            "records of version {found}, written by {writer}; this software, {ours}, reads \
             versions 6 to 7"
        );
        assert_eq!(error.to_string(), said);
    }
    // A damaged version number is not another version.
    cluster.1[0] = 9;
    let error = Loader::default().row(&cluster.0, &cluster.1).unwrap_err();
    assert!(matches!(error, RecordError::Value { .. }), "{error}");
    assert!(Loader::default().finish().is_err());
}

#[test]
fn large_rows_and_commands_are_read() {
    let mut world = TestWorld::new();
    let mut spec = super::every("big", 1_000);
    spec.payload = "x".repeat(1 << 20);
    let task = world.add(spec);
    let session = world.node(1, 1);
    for _ in 0..500 {
        world.wait(1_000);
        let now = world.stamp;
        let (execution, fence) = world.fire(task, session, now);
        let mut report = super::report(super::Status::Success, now);
        report.detail = "d".repeat(5_000);
        report.tail = vec![7; 5_000];
        world.accept(&super::finish(task, execution, fence, report));
    }
    let read = super::load(world.state.all_rows());
    assert_eq!(read.digest(), world.state.digest());
    assert_eq!(world.stamp, DAY.plus(Millis::from_secs(43_200 + 500)));
}
