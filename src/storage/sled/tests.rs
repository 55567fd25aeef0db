//! Tests that apply only to sled. Those for all stores are in `conformance`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use super::super::conformance::{StoredRecords, WAIT, put, records};
use super::super::descriptors::DescriptorReserve;
use super::*;

/// sled releases its lock some time after the store is dropped.
fn reopen(folder: &Path) -> Result<DiskStore, StorageError> {
    let started = Instant::now();
    loop {
        match DiskStore::open(folder, &DescriptorReserve::default()) {
            Err(error) if error.to_string().contains("lock") && started.elapsed() < WAIT => {
                std::thread::yield_now();
            }
            opened => return opened,
        }
    }
}

#[test]
fn values_and_keys_of_every_size_stay_out_of_the_blobs() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = DiskStore::open(folder.path(), &DescriptorReserve::default()).unwrap();
    let sizes = [300, 3_996, 4_000, 8_192, 16_384, 65_536, 200_000];
    for round in 0..6_usize {
        let changes = (0..140_usize).map(|at| {
            let key = [vec![b'k'; at % 7 * 50], at.to_be_bytes().to_vec()].concat();
            put(key, vec![at as u8; sizes[(at + round) % sizes.len()]])
        });
        store.write(changes.collect()).unwrap();
    }
    assert_eq!(records(&store).unwrap().len(), 140);
    // The longest keys, without a common prefix, fill the index pages.
    for round in 0..3_u32 {
        let changes = (0..6_000_u32).map(|at| {
            let start = xxhash_rust::xxh3::xxh3_64(&at.to_be_bytes()).to_be_bytes();
            let key = [&start[..], &[at as u8; KEY_MAX_BYTES - 8]].concat();
            if (at + round) % 4 == 0 { StoreChange::Delete(key) } else { put(key, vec![7; 30]) }
        });
        store.write(changes.collect()).unwrap();
    }
}

#[test]
fn every_file_is_its_owners_alone() {
    fn shared_with_others(folder: &Path) -> Vec<std::ffi::OsString> {
        let mode = |name: &std::ffi::OsString| {
            fs::metadata(folder.join(name)).unwrap().permissions().mode()
        };
        let names = files::names_in(&DescriptorReserve::default(), folder).unwrap();
        names.into_iter().filter(|name| mode(name) & 0o077 != 0).collect()
    }
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3_u32 {
        let mut store = reopen(folder.path()).unwrap();
        let changes = (0..500_u32).map(|at| put((at + round).to_be_bytes(), [7; 5_000]));
        store.write(changes.collect()).unwrap();
        assert_eq!(shared_with_others(folder.path()), [""; 0], "while it is open");
        drop(store);
        drop(reopen(folder.path()).unwrap());
        assert_eq!(shared_with_others(folder.path()), [""; 0], "round {round}");
    }
}

#[test]
fn a_blob_fails_the_write_and_all_later_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = DiskStore::open(folder.path(), &DescriptorReserve::default()).unwrap();
    store.write(vec![put("a", "1")]).unwrap();
    let blob = folder.path().join("blobs").join("17");
    fs::write(&blob, b"").unwrap();
    let error = store.write(vec![put("a", "2")]).unwrap_err();
    assert!(error.to_string().contains("never syncs"), "{error}");
    fs::remove_file(&blob).unwrap();
    store.write(vec![put("a", "3")]).unwrap_err();
}

#[test]
fn a_folder_that_is_no_store_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("db")).unwrap();
    let error = DiskStore::open(folder.path(), &DescriptorReserve::default()).err().unwrap();
    assert!(error.file.starts_with(folder.path()), "{error}");
}

/// Opens a store with three records and saves a redo file of a write that was not applied.
fn interrupted(folder: &Path, number: u64) -> StoredRecords {
    let mut store = DiskStore::open(folder, &DescriptorReserve::default()).unwrap();
    store.write(vec![put("a", "1"), put("b", vec![2; 9_000]), put("c", "3")]).unwrap();
    let changes =
        vec![put("a", vec![4; 20_000]), put("b", "5"), StoreChange::Delete(b"c".to_vec())];
    let steps = store.plan(changes).unwrap();
    redo::save(&DescriptorReserve::default(), folder, number, &steps).unwrap();
    // A part of it was applied to sled.
    let mut batch = ::sled::Batch::default();
    batch.insert(steps[2].0.clone(), steps[2].1.clone().unwrap());
    store.apply(batch).unwrap();
    StoredRecords::from([(b"a".to_vec(), vec![4; 20_000]), (b"b".to_vec(), b"5".to_vec())])
}

#[test]
fn a_large_write_that_was_interrupted_is_made_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = interrupted(folder.path(), 2);
    let redo = fs::read(folder.path().join(redo::REDO)).unwrap();
    let mut store = reopen(folder.path()).unwrap();
    assert_eq!(records(&store).unwrap(), expected);
    store.write(vec![put("d", "6")]).unwrap();
    expected.insert(b"d".to_vec(), b"6".to_vec());
    drop(store);
    // A power cut may restore the file, but newer writes followed it.
    fs::write(folder.path().join(redo::REDO), redo).unwrap();
    let mut store = reopen(folder.path()).unwrap();
    assert_eq!(records(&store).unwrap(), expected);
    store.write((0..200_u32).map(|at| put(at.to_be_bytes(), "7")).collect()).unwrap();
    drop(store);
    assert_eq!(records(&reopen(folder.path()).unwrap()).unwrap().len(), 203);
}

#[test]
fn a_write_older_than_the_store_is_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    interrupted(folder.path(), 1);
    let store = reopen(folder.path()).unwrap();
    assert_eq!(records(&store).unwrap()[&b"c"[..]], b"3");
}

#[test]
fn a_damaged_redo_file_is_refused_and_named() {
    let folder = tempfile::tempdir().unwrap();
    interrupted(folder.path(), 2);
    let path = folder.path().join(redo::REDO);
    let sound = fs::read(&path).unwrap();
    for at in (0..sound.len()).step_by(997) {
        let mut bytes = sound.clone();
        bytes[at] ^= 16;
        fs::write(&path, bytes).unwrap();
        let error = redo::load(&DescriptorReserve::default(), folder.path()).unwrap_err();
        assert_eq!(error.file, path);
        fs::write(&path, &sound[..at]).unwrap();
        redo::load(&DescriptorReserve::default(), folder.path()).unwrap_err();
    }
    let error = reopen(folder.path()).err().unwrap();
    assert_eq!(error.file, path, "{error}");
}

/// sled may not detect damage; only the caller's digest does. This test shows that damage leads to
/// an error or to other records.
#[test]
fn damage_is_an_error_or_other_records_and_never_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut store = DiskStore::open(&path, &DescriptorReserve::default()).unwrap();
    let changes = (0..2_000_u32).map(|at| put(at.to_be_bytes(), vec![at as u8; 300]));
    store.write(changes.collect()).unwrap();
    store.write((0..500_u32).map(|at| put(at.to_be_bytes(), vec![1; 200])).collect()).unwrap();
    let expected: StoredRecords = records(&store).unwrap();
    drop(store);
    drop(reopen(&path).unwrap());
    let names: Vec<_> = files::names_in(&DescriptorReserve::default(), &path).unwrap();
    let (mut refused, mut other, mut same) = (0, 0, 0);
    let sound: Vec<_> = names
        .iter()
        .map(|name| path.join(name))
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), fs::read(&path).unwrap()))
        .collect();
    for round in 0..60_usize {
        let copy = folder.path().join(format!("copy {round}"));
        fs::create_dir_all(copy.join("blobs")).unwrap();
        for (file, bytes) in &sound {
            let mut bytes = bytes.clone();
            if file.ends_with("db") {
                let at = (round * 7_919 + 13) * 31 % bytes.len();
                bytes[at] ^= 1 << (round % 8);
            }
            fs::write(copy.join(file.file_name().unwrap()), bytes).unwrap();
        }
        match DiskStore::open(&copy, &DescriptorReserve::default())
            .and_then(|store| records(&store))
        {
            Err(error) => {
                assert!(error.file.starts_with(&copy), "{error}");
                refused += 1;
            }
            Ok(found) if found == expected => same += 1,
            Ok(_) => other += 1,
        }
    }
    println!("{refused} refused, {other} with other records, {same} without effect");
}
