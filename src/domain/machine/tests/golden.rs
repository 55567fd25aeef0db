//! Golden bytes: what stands in logs and on disks that are in use cannot change unnoticed.
//!
//! A difference means that a node of this version misreads what another wrote. A command then needs
//! a new kind, a record a new version; only before the first release are the files blessed anew.

use std::fmt::Debug;
use std::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::State;
use super::super::command::{Command, Put, PutMode};
use super::super::envelope::{self, Commands, EntryHead, IdempotencyKey};
use super::super::persist::Loader;
use super::super::record_error::RecordError;
use super::super::store::codec;
use super::super::task::keys;
use super::samples;
use super::vocabulary;
use super::{DAY, TestWorld, folder};
use crate::domain::ids::{NodeId, Revision, TaskKey};
use crate::domain::time::{Millis, Timestamp};
use crate::stories::golden;

/// A name, and bytes in rows of 32.
fn hex(out: &mut String, name: &str, bytes: &[u8]) {
    writeln!(out, "{name}").unwrap();
    for row in bytes.chunks(32) {
        let row: String = row.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(out, "  {row}").unwrap();
    }
}

#[test]
fn every_kind_of_command_keeps_its_bytes() {
    let commands = samples::commands();
    let kinds: Vec<u16> = commands.iter().map(Command::kind).collect();
    let known: Vec<u16> = Command::KINDS.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, known, "a sample of every kind");
    let mut out = String::new();
    for (command, (kind, name)) in commands.iter().zip(Command::KINDS) {
        let mut packed = Vec::new();
        envelope::pack(
            &mut packed,
            command,
            "alice",
            Some(IdempotencyKey { text: "key-1", request: 0xAB5 << 100 }),
        );
        hex(&mut out, &format!("{kind} {name}"), &packed);
    }
    for (at, spec) in samples::specs().into_iter().enumerate() {
        let mut packed = Vec::new();
        let mode = if at % 2 == 0 { PutMode::Add } else { PutMode::Force };
        envelope::pack(&mut packed, &Command::Put(Box::new(Put { mode, spec })), "", None);
        hex(&mut out, &format!("2 Put, rule {at}"), &packed);
    }
    let head = EntryHead { stamp: DAY, origin: 0x0102_0304, seq: 9 };
    hex(&mut out, "entry without commands", &envelope::entry(head, &[]));
    golden(&folder("golden/commands.hex"), &out);
}

#[test]
fn the_bytes_in_the_file_are_read_as_the_commands_they_were() {
    let text = std::fs::read_to_string(folder("golden/commands.hex")).expect("golden bytes");
    let mut wanted = samples::commands();
    let specs = samples::specs().into_iter().enumerate();
    wanted.extend(specs.map(|(at, spec)| {
        let mode = if at % 2 == 0 { PutMode::Add } else { PutMode::Force };
        Command::Put(Box::new(Put { mode, spec }))
    }));
    let mut blobs: Vec<Vec<u8>> = Vec::new();
    for line in text.lines() {
        match line.strip_prefix("  ") {
            None => blobs.push(Vec::new()),
            Some(row) => {
                let bytes = (0..row.len()).step_by(2);
                let bytes = bytes.map(|at| u8::from_str_radix(&row[at..at + 2], 16).unwrap());
                blobs.last_mut().expect("a name first").extend(bytes);
            }
        }
    }
    let entry = blobs.pop().expect("the entry stands last");
    assert_eq!(envelope::open(&entry).unwrap().0.stamp, DAY);
    let found: Vec<Command> = blobs
        .iter()
        .map(|bytes| {
            let packed: Vec<_> = Commands::new(bytes).collect::<Result<_, _>>().unwrap();
            Command::decode(packed[0].kind, packed[0].body).unwrap()
        })
        .collect();
    assert_eq!(found, wanted);
}

#[test]
fn every_record_keeps_its_bytes() {
    let mut out = String::new();
    one(&mut out, "Definition", &samples::definition());
    one(&mut out, "Live", &samples::live());
    one(&mut out, "Progress", &samples::progress());
    one(&mut out, "Statistics", &samples::statistics());
    one(&mut out, "PastDay", &samples::past_day());
    one(&mut out, "ClusterStatistics", &samples::cluster_statistics());
    one(&mut out, "Execution", &samples::execution());
    one(&mut out, "Span", &samples::span());
    one(&mut out, "FiredTick", &samples::fired());
    one(&mut out, "Executor", &super::executors::record());
    one(&mut out, "Node", &samples::node());
    one(&mut out, "Backfill", &super::backfill::record());
    one(&mut out, "KeyRecord", &samples::key_record());
    one(&mut out, "Cluster", &samples::cluster());
    for response in vocabulary::responses() {
        one(&mut out, &format!("Response {response:?}"), &response);
    }
    each(&mut out, "Verdict", &vocabulary::verdicts());
    each(&mut out, "Reason", &vocabulary::reasons());
    each(&mut out, "Status", &vocabulary::statuses());
    each(&mut out, "Trigger", &vocabulary::triggers());
    each(&mut out, "Strategy", &vocabulary::strategies());
    golden(&folder("golden/records.hex"), &out);
}

fn one<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    out: &mut String,
    name: &str,
    value: &T,
) {
    let mut bytes = Vec::new();
    codec::append(value, &mut bytes);
    let read = bincode::serde::decode_from_slice::<T, _>(&bytes, codec::CONFIG);
    let (read, used) = read.expect("what was written");
    assert_eq!((&read, used), (value, bytes.len()));
    hex(out, name, &bytes);
}

fn each<T: Serialize + DeserializeOwned + PartialEq + Debug>(
    out: &mut String,
    name: &str,
    values: &[T],
) {
    for value in values {
        one(out, &format!("{name} {value:?}"), value);
    }
}

#[test]
fn every_row_keeps_its_bytes() {
    let mut out = String::new();
    let (task, at) = (TaskKey(0x0102_0304_0506_0708), Timestamp(-2));
    let registers = State::default().registers;
    hex(&mut out, "key of a live record", &keys::live(task));
    hex(&mut out, "key of a definition", &keys::definition(task, Revision(40)));
    hex(&mut out, "key of a span in the digest", &keys::span(task, at));
    hex(&mut out, "key of a node", &registers.nodes.row_key(&NodeId::new(1, 1)));
    hex(&mut out, "key of an idempotency key", &registers.keys.row_key(&"key-1".into()));
    hex(&mut out, "key of an executor", &registers.executors.row_key(&"executor-001".into()));
    hex(&mut out, "key of a calendar", &registers.calendars.row_key(&"holidays".into()));
    let world = small();
    for (key, value) in world.state.all_rows() {
        let name: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        hex(&mut out, &format!("row {name}"), &value);
    }
    writeln!(out, "digest\n  {:032x}", world.state.digest()).unwrap();
    golden(&folder("golden/rows.hex"), &out);
}

/// The last version of the records is read, and written again in today's form.
#[test]
fn the_rows_of_the_last_version_are_read() {
    let text = std::fs::read_to_string(folder("golden/rows-6.hex")).expect("golden rows");
    let bytes = |row: &str| -> Vec<u8> {
        let digits = (0..row.len()).step_by(2);
        digits.map(|at| u8::from_str_radix(&row[at..at + 2], 16).unwrap()).collect()
    };
    let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut in_row = false;
    for line in text.lines() {
        match (line.strip_prefix("row "), line.strip_prefix("  ")) {
            (Some(key), _) => rows.push((bytes(key), Vec::new())),
            (None, Some(value)) if in_row => rows.last_mut().unwrap().1.extend(bytes(value)),
            _ => {}
        }
        in_row = line.starts_with("row ") || (in_row && line.starts_with("  "));
    }
    // As they lie on the disk, and in any other order.
    rows.sort();
    for turn in 0..rows.len() {
        rows.rotate_left(turn);
        let mut loader = Loader::default();
        for (key, value) in &rows {
            loader.row(key, value).unwrap();
        }
        let mut state = loader.finish().unwrap();
        assert_eq!(state.digest(), small().state.digest());
        let changed = state.take_dirty().registers;
        assert_eq!(changed, [state.registers.nodes.row_key(&NodeId::new(1, 1))]);
        let mut written: Vec<_> = state.all_rows().collect();
        let mut now: Vec<_> = small().state.all_rows().collect();
        written.sort();
        now.sort();
        assert_eq!(written, now);
    }
    assert!(rows.iter().any(|(key, value)| key == b"c" && value[0] == 6));
    // A damaged record is found by the digest of the former form.
    let node = rows.iter_mut().find(|(key, _)| key[0] == b'n').unwrap();
    *node.1.last_mut().unwrap() ^= 1;
    let mut loader = Loader::default();
    rows.iter().for_each(|(key, value)| loader.row(key, value).unwrap());
    assert!(matches!(loader.finish(), Err(RecordError::Digest { .. })));
}

/// A state with a record of every kind.
fn small() -> TestWorld {
    let mut world = TestWorld::new();
    let session = world.node(1, 1);
    let (response, _) = world.apply_as(
        &super::put(PutMode::Add, super::every("hello", 1_000)),
        "alice",
        Some(IdempotencyKey { text: "key-1", request: 1 }),
    );
    response.unwrap();
    let task = world.state.named("hello").unwrap().key;
    world.wait(1_000);
    let now = world.stamp;
    let (execution, fence) = world.fire(task, session, now);
    let done = super::report(super::Status::Success, now);
    world.accept(&super::finish(task, execution, fence, done));
    world.wait(1_500);
    world.accept(&Command::Pause(super::super::command::PauseTask {
        name: "hello".to_owned(),
        reason: "golden".to_owned(),
        until: Some(world.stamp.plus(Millis(5_000))),
        if_match: None,
    }));
    world.accept(&super::trigger("hello"));
    let calendar = samples::calendar();
    world.accept(&Command::PutCalendar(Box::new(super::super::command::PutCalendar {
        calendar,
        if_match: None,
        source: None,
    })));
    world
}
