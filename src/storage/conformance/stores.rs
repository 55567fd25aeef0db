//! Rules for every [`Store`] and its [`Stores`].

use std::path::Path;
use std::time::Instant;

use proptest::prelude::*;

use super::super::descriptors::DescriptorReserve;
use super::super::memory::MemoryDisk;
use super::super::store::{KEY_MAX_BYTES, Store, StoreChange, Stores};
use super::super::{StateFolders, StorageError};
use super::{StoredRecords, WAIT, put, records};

type OpenStores<'a> = &'a dyn Fn() -> Box<dyn Stores>;

fn on_each_store(case: impl Fn(OpenStores<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    case(&|| Box::new(StateFolders::new(folder.path(), &DescriptorReserve::default())));
    let disk = MemoryDisk::new();
    case(&|| Box::new(disk.open()));
}

/// Opens the current store, or creates the first one. sled releases its lock some time after a
/// drop.
fn open_store(open: OpenStores<'_>) -> Box<dyn Store> {
    let mut stores = open();
    let started = Instant::now();
    loop {
        match stores.open_current() {
            Ok(Some(store)) => return store,
            Ok(None) => break,
            Err(error) => assert!(started.elapsed() < WAIT, "{error}"),
        }
        std::thread::yield_now();
    }
    let mut store = stores.create_next().unwrap();
    store.write(vec![]).unwrap();
    stores.switch().unwrap();
    store
}

fn applied(records: &mut StoredRecords, changes: &[StoreChange]) {
    for change in changes {
        match change.clone() {
            StoreChange::Put(key, value) => drop(records.insert(key, value)),
            StoreChange::Delete(key) => drop(records.remove(&key)),
        }
    }
}

#[test]
fn records_come_back_in_order_whatever_their_keys() {
    on_each_store(|open| {
        let keys: [&[u8]; 9] =
            [b"", b"\0", b"\0\0\0\0\0", b"a", b"a\0", b"a\0\0\0\x01", b"ab", b"b", b"\xff\xff"];
        let mut expected = StoredRecords::new();
        let mut store = open_store(open);
        // Long values, so that the pieces of one record could be confused with those of another.
        let changes: Vec<_> =
            keys.iter().rev().map(|key| put(*key, [*key, &[7; 9_000]].concat())).collect();
        applied(&mut expected, &changes);
        store.write(changes).unwrap();
        assert_eq!(records(&*store).unwrap(), expected);
        store
            .write(vec![StoreChange::Delete(b"a\0".to_vec()), StoreChange::Delete(b"?".to_vec())])
            .unwrap();
        expected.remove(&b"a\0"[..]);
        drop(store);
        assert_eq!(records(&*open_store(open)).unwrap(), expected);
    });
}

#[test]
fn values_of_all_lengths_grow_and_shrink() {
    on_each_store(|open| {
        let lengths =
            [0, 70_000, 3_996, 3_997, 4_000, 7_996, 7_997, 1, 65_536, 12_000, 11_999, 300_000, 2];
        let mut store = open_store(open);
        for (round, len) in lengths.into_iter().enumerate() {
            let value: Vec<u8> = (0..len).map(|at| (at + round) as u8).collect();
            store.write(vec![put("key", value.clone()), put("other", "x")]).unwrap();
            let expected =
                StoredRecords::from([(b"key".to_vec(), value), (b"other".to_vec(), b"x".to_vec())]);
            assert_eq!(records(&*store).unwrap(), expected, "length {len}");
            if round % 3 == 0 {
                drop(store);
                store = open_store(open);
            }
            assert_eq!(records(&*store).unwrap(), expected, "length {len}");
        }
    });
}

#[test]
fn the_last_change_of_a_key_counts() {
    on_each_store(|open| {
        let mut store = open_store(open);
        let long = vec![9; 20_000];
        let delete = |key: &str| StoreChange::Delete(key.into());
        store.write(vec![put("a", long.clone()), put("b", long.clone()), put("c", "c")]).unwrap();
        let changes = vec![
            delete("a"),
            put("a", "short"),
            put("b", "short"),
            put("b", long.clone()),
            put("c", long.clone()),
            delete("c"),
            put("d", long.clone()),
            put("d", "short"),
        ];
        store.write(changes).unwrap();
        let expected = StoredRecords::from([
            (b"a".to_vec(), b"short".to_vec()),
            (b"b".to_vec(), long),
            (b"d".to_vec(), b"short".to_vec()),
        ]);
        assert_eq!(records(&*store).unwrap(), expected);
        drop(store);
        assert_eq!(records(&*open_store(open)).unwrap(), expected);
    });
}

#[test]
fn a_visitor_can_end_the_scan() {
    on_each_store(|open| {
        let mut store = open_store(open);
        store.write(vec![put("a", "1"), put("b", "2")]).unwrap();
        let mut seen = 0;
        let error = store.scan(&mut |_, _| {
            seen += 1;
            Err(StorageError::corrupt("here", "enough"))
        });
        assert_eq!((seen, error.unwrap_err().to_string()), (1, "cannot read here: enough".into()));
    });
}

#[test]
fn keys_have_a_limit_and_a_refusal_harms_nothing() {
    on_each_store(|open| {
        let mut store = open_store(open);
        let longest = vec![1; KEY_MAX_BYTES];
        store.write(vec![put(longest.clone(), vec![2; 5_000])]).unwrap();
        store.write(vec![put("a", "1"), put(vec![1; KEY_MAX_BYTES + 1], "")]).unwrap_err();
        store.write(vec![put("b", "1")]).unwrap();
        let keys: Vec<_> = records(&*store).unwrap().into_keys().collect();
        assert_eq!(keys, [longest, b"b".to_vec()]);
    });
}

#[test]
fn a_store_becomes_current_by_a_switch_only() {
    on_each_store(|open| {
        let mut stores = open();
        assert!(stores.open_current().unwrap().is_none());
        stores.switch().unwrap_err();
        let mut first = stores.create_next().unwrap();
        first.write(vec![put("a", "first")]).unwrap();
        drop(first);
        let mut stores = open();
        assert!(stores.open_current().unwrap().is_none(), "it never became current");
        let mut first = open_store(open);
        first.write(vec![put("a", "first")]).unwrap();

        let mut second = stores_of(open).create_next().unwrap();
        assert!(records(&*second).unwrap().is_empty());
        second.write(vec![put("a", "second")]).unwrap();
        drop((first, second));
        let store = open_store(open);
        assert_eq!(records(&*store).unwrap()[&b"a"[..]], b"first", "no switch before it");
        drop(store);

        let mut stores = open();
        let mut third = stores.create_next().unwrap();
        assert!(records(&*third).unwrap().is_empty(), "no records of the second store");
        third.write(vec![put("a", "third")]).unwrap();
        stores.switch().unwrap();
        drop((third, stores));
        assert_eq!(records(&*open_store(open)).unwrap()[&b"a"[..]], b"third");
    });
}

/// Damage that is detected when a store is opened: of the pointer to it, and of its files.
#[test]
fn a_store_that_cannot_be_opened_is_damage_and_can_be_replaced() {
    let damage_of = |file: &'static str, bytes: &'static [u8]| {
        move |folder: &Path| std::fs::write(folder.join(file), bytes).unwrap()
    };
    let redo = damage_of("state.1/redo", b"junk");
    let pointer = damage_of("CURRENT", b"junk");
    let conf = damage_of("state.1/conf", b"segment_size: x\nand more");
    let damages: [&dyn Fn(&Path); 3] = [&redo, &pointer, &conf];
    for damage in damages {
        let folder = tempfile::tempdir().unwrap();
        replaced(
            &|| Box::new(StateFolders::new(folder.path(), &DescriptorReserve::default())),
            &|| damage(folder.path()),
        );
        assert_eq!(
            super::super::files::names_in(&DescriptorReserve::default(), folder.path()).unwrap(),
            ["CURRENT", "state.2"]
        );
    }
    let disk = MemoryDisk::new();
    replaced(&|| Box::new(disk.open()), &|| disk.make_unreadable());
}

fn replaced(open: OpenStores<'_>, damage: &dyn Fn()) {
    let mut store = open_store(open);
    store.write(vec![put("a", "1")]).unwrap();
    drop(store);
    drop(open_store(open));
    damage();
    let mut stores = open();
    let started = Instant::now();
    loop {
        let error = stores.open_current().err().expect("it is damaged");
        if error.is_damage() {
            break;
        }
        assert!(started.elapsed() < WAIT && error.to_string().contains("lock"), "{error}");
        std::thread::yield_now();
    }
    let mut store = stores.create_next().unwrap();
    store.write(vec![put("a", "2")]).unwrap();
    stores.switch().unwrap();
    drop((store, stores));
    assert_eq!(records(&*open_store(open)).unwrap()[&b"a"[..]], b"2");
}

fn stores_of(open: OpenStores<'_>) -> Box<dyn Stores> {
    open()
}

#[test]
fn a_void_store_is_passed_over_until_it_is_replaced() {
    on_each_store(|open| {
        let mut store = open_store(open);
        store.write(vec![put("a", "wrong")]).unwrap();
        drop(store);
        open().void_current().unwrap();
        let mut stores = open();
        assert!(stores.open_current().unwrap().is_none());
        let mut store = stores.create_next().unwrap();
        assert!(records(&*store).unwrap().is_empty());
        store.write(vec![put("a", "right")]).unwrap();
        stores.switch().unwrap();
        drop((store, stores));
        assert_eq!(records(&*open_store(open)).unwrap()[&b"a"[..]], b"right");
    });
}

fn change() -> impl Strategy<Value = StoreChange> {
    let key = proptest::collection::vec(0_u8..3, 0..5);
    let value = (0_usize..9, any::<u8>()).prop_map(|(size, byte)| vec![byte; size * size * 200]);
    (key, proptest::option::weighted(0.7, value)).prop_map(|(key, value)| match value {
        Some(value) => StoreChange::Put(key, value),
        None => StoreChange::Delete(key),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_store_is_a_map(
        batches in proptest::collection::vec((proptest::collection::vec(change(), 0..30), any::<bool>()), 1..10)
    ) {
        on_each_store(|open| {
            let mut expected = StoredRecords::new();
            let mut store = open_store(open);
            for (changes, reopen) in &batches {
                applied(&mut expected, changes);
                store.write(changes.clone()).unwrap();
                if *reopen {
                    drop(store);
                    store = open_store(open);
                }
                assert_eq!(records(&*store).unwrap(), expected);
            }
        });
    }
}
