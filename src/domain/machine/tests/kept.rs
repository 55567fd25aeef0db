//! Compares storage in blocks with storage in one map.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::persist::{self, RecordRow};
use super::super::store::blocks::Blocks;
use super::super::store::dirty::Dirty;
use super::super::store::index::Index;
use super::super::task::record::{Execution, FiredTick, Status};
use super::samples;
use crate::domain::ids::{ExecutionId, TaskKey};
use crate::domain::time::Timestamp;

const TASK: TaskKey = TaskKey(7);

fn tick(at: i64) -> FiredTick {
    FiredTick { tick: Timestamp(at), ..samples::fired() }
}

fn epoch(epoch: u64) -> Dirty {
    Dirty { epoch, ..Dirty::default() }
}

/// Writes the changed blocks, as a checkpoint does.
fn write(store: &mut BTreeMap<Vec<u8>, Vec<u8>>, blocks: &Blocks<FiredTick>, dirty: &Dirty) {
    for row in dirty.blocks.iter().map(|noted| persist::noted_row(blocks, noted)) {
        match row {
            (key, Some(value)) => store.insert(key, value),
            (key, None) => store.remove(&key),
        };
    }
}

fn all(blocks: &Blocks<FiredTick>) -> Vec<RecordRow> {
    persist::block_rows(TASK, blocks).map(|(key, value)| (key, Some(value))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn blocks_keep_what_a_map_keeps(steps in prop::collection::vec((0..10_u8, any::<prop::sample::Index>()), 1..200)) {
        let mut blocks = Blocks::default();
        let mut map = BTreeMap::new();
        let mut store = BTreeMap::new();
        let mut dirty = epoch(1);
        let mut views = Vec::new();
        for (at, (kind, pick)) in (0..).zip(steps) {
            let some = || map.keys().nth(pick.index(map.len().max(1))).copied();
            match (kind, some()) {
                (0..5, _) | (_, None) => {
                    blocks.push(tick(at), TASK, &mut dirty);
                    map.insert(at, tick(at));
                }
                (5, Some(at)) => {
                    let place = blocks.find(Timestamp(at)).unwrap();
                    blocks.get_mut(place, TASK, &mut dirty).unwrap().index += 1;
                    map.get_mut(&at).unwrap().index += 1;
                }
                (6, Some(at)) => {
                    let place = blocks.find(Timestamp(at)).unwrap();
                    prop_assert_eq!(blocks.remove(place, TASK, &mut dirty), map.remove(&at));
                }
                (7, Some(_)) => {
                    let gone = map.pop_first().map(|(_, gone)| gone);
                    prop_assert_eq!(blocks.pop_front(TASK, &mut dirty), gone);
                }
                (8, Some(_)) => {
                    let gone = map.pop_last().map(|(_, gone)| gone);
                    prop_assert_eq!(blocks.pop_back(TASK, &mut dirty), gone);
                }
                (_, Some(_)) => {
                    views.push((blocks.clone(), map.clone()));
                    write(&mut store, &blocks, &std::mem::replace(&mut dirty, epoch(2 + at.unsigned_abs())));
                    let rows = store.iter().map(|(key, value)| (key.clone(), Some(value.clone())));
                    prop_assert_eq!(rows.collect::<Vec<_>>(), all(&blocks));
                    // As the next process reads them.
                    let mut read = Blocks::default();
                    for (key, value) in &store {
                        persist::read_block(TASK, key, value, &mut read).unwrap();
                    }
                    prop_assert_eq!(&read, &blocks);
                    if pick.index(2) == 0 {
                        blocks = read;
                    }
                }
            }
            views.push((blocks.clone(), map.clone()));
            for (blocks, map) in views.iter().rev().take(3) {
                prop_assert!(blocks.iter().eq(map.values()));
                prop_assert_eq!(blocks.len(), map.len());
                prop_assert_eq!(blocks.front(), map.first_key_value().map(|(_, first)| first));
                prop_assert_eq!(blocks.back(), map.last_key_value().map(|(_, last)| last));
                let near = at - i64::try_from(pick.index(8)).unwrap();
                let found = blocks.find(Timestamp(near)).and_then(|place| blocks.get(place));
                prop_assert_eq!(found, map.get(&near));
                let after = map.range(near..).next().map(|(_, after)| after);
                prop_assert_eq!(blocks.at_or_after(Timestamp(near)), after);
            }
        }
    }

    /// The first execution that ended is found, whatever was added, changed and removed before.
    #[test]
    fn the_first_marked_record_is_the_first_that_has_the_mark(steps in prop::collection::vec((0..10_u8, any::<prop::sample::Index>()), 1..200)) {
        let mut blocks: Blocks<Execution> = Blocks::default();
        let mut dirty = epoch(1);
        for (id, (kind, pick)) in (1..).zip(steps) {
            let ids: Vec<ExecutionId> = blocks.iter().map(|one| one.id).collect();
            let some = (!ids.is_empty()).then(|| ids[pick.index(ids.len())]);
            let status = [Status::Pending, Status::Running, Status::Success, Status::Failed][pick.index(4)];
            match (kind, some.and_then(|id| blocks.find(id))) {
                (0..4, _) | (_, None) => {
                    let (id, status) = (ExecutionId(id), Status::Pending);
                    let execution = Execution { id, status, ..samples::execution() };
                    blocks.push(execution, TASK, &mut dirty);
                }
                (4..7, Some(place)) => {
                    blocks.get_mut(place, TASK, &mut dirty).unwrap().status = status;
                }
                (7, Some(place)) => drop(blocks.remove(place, TASK, &mut dirty)),
                (8, Some(_)) => drop(blocks.pop_back(TASK, &mut dirty)),
                (_, Some(_)) => {
                    let mut read = Blocks::default();
                    for (key, value) in persist::block_rows(TASK, &blocks) {
                        persist::read_block(TASK, &key, &value, &mut read).unwrap();
                    }
                    blocks = read;
                }
            }
            prop_assert!(blocks.marks_are_counted());
            let ended = |one: &&Execution| one.status.ended();
            let firsts = [
                blocks.iter().find(ended),
                blocks.iter().filter(ended).find(|one| !one.status.failure()),
            ];
            for (mark, first) in firsts.into_iter().enumerate() {
                let found = blocks.first_marked(mark).and_then(|place| blocks.get(place));
                prop_assert_eq!(found.map(|one| one.id), first.map(|one| one.id));
            }
        }
    }

    #[test]
    fn the_index_keeps_what_a_map_keeps(steps in prop::collection::vec((0..8_u8, any::<prop::sample::Index>()), 1..300)) {
        let mut index = Index::default();
        let mut map = BTreeMap::new();
        for (at, (kind, pick)) in (0_u64..).zip(steps) {
            let before = index.clone();
            let kept: Vec<_> = map.iter().rev().map(|(id, task)| (*id, *task)).collect();
            let (id, task) = (ExecutionId(2 * at), TaskKey(at % 5));
            if kind < 4 {
                index.push(id, task);
                map.insert(id, task);
            } else {
                // Older ones are removed more often. Removing one that does not exist has no
                // effect.
                let pick = if kind < 7 { pick.index(map.len().clamp(1, 6)) } else { pick.index(map.len().max(1)) };
                let gone = map.keys().nth(pick).copied().unwrap_or(ExecutionId(1));
                index.remove(gone);
                map.remove(&gone);
            }
            prop_assert!(before.before(ExecutionId(u64::MAX)).eq(kept), "a view does not change");
            for below in [2 * at, 2 * at + 1, at, u64::MAX].map(ExecutionId) {
                let wanted = map.range(..below).rev().map(|(id, task)| (*id, *task));
                prop_assert!(index.before(below).eq(wanted));
                prop_assert_eq!(index.get(below), map.get(&below).copied());
            }
            let read: Index = map.iter().map(|(id, task)| (*id, *task)).collect();
            prop_assert!(read.before(ExecutionId(u64::MAX)).eq(index.before(ExecutionId(u64::MAX))));
        }
    }
}
