//! A new record kind needs only one line of a declaration.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::record::{Execution, FiredTick, NodeRecord, Span};
use super::super::state::{Registers, State};
use super::super::store::blocks::BlockRecord;
use super::super::store::digest::Digest;
use super::super::store::register::{RegisterRows, RowError, registers};
use super::super::task::keys;
use super::TestWorld;
use crate::domain::ids::{NodeId, Revision, TaskKey};
use crate::domain::time::Timestamp;

/// A record of the new kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    places: u32,
    note: String,
}

registers! {
    /// The registers of another version: nodes, and a kind that does not exist yet.
    LaterRegisters {
        nodes: NodeId => NodeRecord, b'n';
        samples: Arc<str> => Sample, b'x';
    }
}

type RegisterRowMap = BTreeMap<Vec<u8>, Vec<u8>>;

fn rows(registers: &LaterRegisters) -> RegisterRowMap {
    registers.each().into_iter().flat_map(RegisterRows::rows).collect()
}

fn digest(registers: &LaterRegisters) -> Digest {
    let mut digest = Digest::default();
    for register in registers.each() {
        assert_eq!(register.digest(), register.recomputed(), "kept up");
        digest.join(register.digest());
    }
    digest
}

fn load(rows: &RegisterRowMap) -> LaterRegisters {
    let mut registers = LaterRegisters::default();
    for (key, value) in rows {
        let mut each = registers.each_mut().into_iter();
        let register = each.find(|register| register.letter() == key[0]).expect("its register");
        register.load(key, value).expect("a row that was written");
    }
    registers
}

/// Writes the changes, as a checkpoint does. Returns the number of rows.
fn checkpoint(registers: &mut LaterRegisters, store: &mut RegisterRowMap) -> usize {
    let dirty: Vec<Vec<u8>> =
        registers.each_mut().into_iter().flat_map(RegisterRows::take_dirty).collect();
    for key in &dirty {
        match registers.each().into_iter().find_map(|register| register.value(key)) {
            Some(value) => store.insert(key.clone(), value),
            None => store.remove(key),
        };
    }
    dirty.len()
}

/// A letter identifies the kind of a row. No two kinds share one, including rows outside registers.
#[test]
fn the_letters_of_rows_are_all_different() {
    let (task, revision, tick) = (TaskKey(1), Revision(1), Timestamp(1));
    let mut letters = vec![
        keys::definition(task, revision)[0],
        keys::live(task)[0],
        keys::progress(task)[0],
        keys::span(task, tick)[0],
        FiredTick::LETTER,
        Execution::LETTER,
        // The log position of a checkpoint: `consensus/machine.rs`.
        b'r',
    ];
    assert_eq!(Span::LETTER, keys::span(task, tick)[0]);
    // The row of the cluster, which an empty state also has.
    letters.extend(State::default().all_rows().map(|(key, _)| key[0]));
    letters.extend(Registers::default().each().map(RegisterRows::letter));
    let different: BTreeSet<u8> = letters.iter().copied().collect();
    let named: Vec<char> = letters.iter().map(|letter| char::from(*letter)).collect();
    assert_eq!(different.len(), letters.len(), "{named:?}");
}

#[test]
fn a_new_kind_of_record_is_one_declaration() {
    let mut world = TestWorld::new();
    world.node(1, 99);
    let mut registers = LaterRegisters::default();
    assert_eq!((rows(&registers).len(), digest(&registers)), (0, Digest::default()));

    let node = NodeRecord::clone(world.state.nodes().next().expect("a node"));
    registers.nodes.set(node.id, node);
    let mut store = RegisterRowMap::new();
    assert_eq!(checkpoint(&mut registers, &mut store), 1);
    let without = digest(&registers);

    let sample = |places| Sample { places, note: "of a test".to_owned() };
    registers.samples.set("one".into(), sample(1));
    registers.samples.set("two".into(), sample(1));
    let view = registers.frozen();
    let seen = digest(&view);
    registers.samples.set("two".into(), sample(2));
    assert_eq!(checkpoint(&mut registers, &mut store), 2, "each changed row is written once");
    assert_eq!(checkpoint(&mut registers, &mut store), 0);
    assert_eq!(store, rows(&registers));
    let loaded = load(&store);
    assert_eq!(digest(&loaded), digest(&registers));
    assert_eq!(loaded.samples.get("two").map(|sample| sample.places), Some(2));

    assert_eq!(view.samples.get("two").map(|sample| sample.places), Some(1), "frozen view");
    assert_eq!(digest(&view), seen);
    assert_ne!(seen, digest(&registers));

    for name in ["one", "two"] {
        registers.samples.remove(&name.into());
    }
    assert_eq!(checkpoint(&mut registers, &mut store), 2);
    assert_eq!((store.len(), digest(&registers)), (1, without));
}

#[test]
fn a_row_of_another_register_is_refused() {
    let mut registers = LaterRegisters::default();
    let sample = Sample { places: 3, note: String::new() };
    registers.samples.set("one".into(), sample);
    let (key, value) = registers.samples.rows().next().expect("a row");
    let mut other = LaterRegisters::default();
    assert_eq!(other.nodes.load(&key, &value), Err(RowError::Key));
    assert_eq!(other.samples.load(&key[..key.len() - 1], &value), Err(RowError::Key));
    let cut = other.samples.load(&key, &value[..value.len() - 1]);
    assert!(matches!(cut, Err(RowError::Value(_))), "{cut:?}");
    assert_eq!(other.samples.load(&key, &value), Ok(()));
}
