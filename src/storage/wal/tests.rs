//! Damage, torn writes and failures of the log on disk. Tests for both logs are in `conformance`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc;
use std::time::Instant;

use super::super::conformance::{LogFolder, WAIT, all, append, durably, entry, pos};
use super::*;

/// The chunk files with their contents, in order.
fn files_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let names = files::names_in(&DescriptorReserve::default(), folder).unwrap();
    let chunk = |name: &std::ffi::OsString| name.to_str().unwrap().ends_with(".wal");
    let paths = names.iter().filter(|name| chunk(name)).map(|name| folder.join(name));
    paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn restore(folder: &Path, files: &[(PathBuf, Vec<u8>)]) {
    for (path, _) in files_of(folder) {
        fs::remove_file(path).unwrap();
    }
    for (path, bytes) in files {
        fs::write(path, bytes).unwrap();
    }
}

/// Sets the recorded synced length to `offset`, as if the power had been cut then.
fn synced_up_to(folder: &Path, offset: u64) {
    let _there = fs::remove_file(Synced::path(folder));
    Synced::open(folder, &DescriptorReserve::default()).unwrap().note(offset).unwrap();
}

/// A log of several files with every kind of record.
fn sample(folder: &Path) {
    let log = WalLog::open_with(folder, &DescriptorReserve::default(), 600).unwrap();
    durably(|done| log.save_vote(Bytes::from_static(b"v1"), done)).unwrap();
    append(&log, (0..12).map(|index| entry(1, index)).collect()).unwrap();
    log.save_committed(pos(1, 5));
    log.truncate_from(10);
    append(&log, vec![entry(2, 10), entry(2, 11)]).unwrap();
    log.purge_to(pos(1, 1));
    durably(|done| log.save_vote(Bytes::from_static(b"v2"), done)).unwrap();
    append(&log, vec![entry(2, 12), (pos(2, 13), Bytes::new())]).unwrap();
}

/// The names in a folder to which users other than the owner have access.
fn shared_with_others(folder: &Path) -> Vec<PathBuf> {
    let others = |path: &PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o077 != 0;
    let names = files::names_in(&DescriptorReserve::default(), folder).unwrap();
    names.iter().map(|name| folder.join(name)).filter(others).collect()
}

#[test]
fn every_file_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    sample(folder.path());
    assert!(files_of(folder.path()).len() > 2, "more than two files");
    assert_eq!(shared_with_others(folder.path()), Vec::<PathBuf>::new());
    // Files of an earlier version, or restored from a backup.
    for (path, _) in files_of(folder.path()) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    drop(WalLog::open_with(folder.path(), &DescriptorReserve::default(), 600).unwrap());
    assert_eq!(shared_with_others(folder.path()), Vec::<PathBuf>::new());
}

#[test]
fn every_flipped_bit_is_refused_and_its_file_named() {
    let folder = LogFolder::new();
    sample(folder.path());
    let files = files_of(folder.path());
    assert!(files.len() >= 3);
    for (at, (path, bytes)) in files.iter().enumerate() {
        for bit in 0..bytes.len() * 8 {
            let mut damaged = files.clone();
            damaged[at].1[bit / 8] ^= 1 << (bit % 8);
            restore(folder.path(), &damaged);
            let Err(error) = WalLog::open_with(folder.path(), &DescriptorReserve::default(), 600)
            else {
                panic!("bit {bit} of {} was not detected", path.display());
            };
            assert_eq!(&error.file, path, "bit {bit}: {error}");
        }
    }
    restore(folder.path(), &files);
    WalLog::open_with(folder.path(), &DescriptorReserve::default(), 600).unwrap();
}

#[test]
fn a_file_cut_anywhere_at_the_end_loses_its_torn_record_only() {
    let folder = LogFolder::new();
    sample(folder.path());
    let files = files_of(folder.path());
    let log = WalLog::open_with(folder.path(), &DescriptorReserve::default(), 600).unwrap();
    let whole = all(&log);
    drop(log);
    let mut lengths = Vec::new();
    let last = files.len() - 1;
    let start =
        recovery::chunk_files(folder.path(), &DescriptorReserve::default()).unwrap()[last].0;
    for len in 0..files[last].1.len() {
        let mut torn = files.clone();
        torn[last].1.truncate(len);
        restore(folder.path(), &torn);
        synced_up_to(folder.path(), start);
        let log = WalLog::open_with(folder.path(), &DescriptorReserve::default(), 600).unwrap();
        let entries = all(&log);
        assert_eq!(entries, whole[..entries.len()]);
        lengths.push(entries.len());
        let next = log.state().last.unwrap().index + 1;
        append(&log, vec![entry(9, next)]).unwrap();
        drop(log);
        assert_eq!(
            all(&WalLog::open_with(folder.path(), &DescriptorReserve::default(), 600).unwrap())
                .len(),
            entries.len() + 1
        );
    }
    assert!(lengths.is_sorted());
    // In a file that is not the last one, the same end is damage.
    synced_up_to(folder.path(), start);
    let mut damaged = files.clone();
    let len = damaged[0].1.len() - 1;
    damaged[0].1.truncate(len);
    restore(folder.path(), &damaged);
    let error = WalLog::open_with(folder.path(), &DescriptorReserve::default(), 600).err().unwrap();
    assert_eq!(error.file, files[0].0, "{error}");
}

#[test]
fn a_missing_file_is_noticed() {
    let folder = LogFolder::new();
    sample(folder.path());
    let files = files_of(folder.path());
    for missing in 0..files.len() {
        let mut left = files.clone();
        left.remove(missing);
        restore(folder.path(), &left);
        assert!(
            WalLog::open_with(folder.path(), &DescriptorReserve::default(), 600).is_err(),
            "without file {missing}"
        );
    }
}

/// The same ends are damage if they were synced.
#[test]
fn what_was_synced_is_never_taken_for_a_torn_write() {
    let folder = LogFolder::new();
    sample(folder.path());
    let files = files_of(folder.path());
    let last = files.len() - 1;
    let refused = |damaged: &[(PathBuf, Vec<u8>)], what: &str| {
        restore(folder.path(), damaged);
        let error =
            WalLog::open_with(folder.path(), &DescriptorReserve::default(), 600).err().expect(what);
        assert!(error.is_damage() && error.file.starts_with(folder.path()), "{what}: {error}");
        // Refusing the log changed nothing.
        assert_eq!(files_of(folder.path()), damaged, "{what}");
    };
    for len in 0..files[last].1.len() {
        let mut cut = files.clone();
        cut[last].1.truncate(len);
        refused(&cut, &format!("cut to {len}"));
        cut[last].1.resize(files[last].1.len(), 0);
        if cut != files {
            refused(&cut, &format!("zeros from {len} on"));
        }
    }
    refused(&files[..last], "the newest file is gone");
    refused(&[], "all files are gone");
    restore(folder.path(), &files);
    WalLog::open_with(folder.path(), &DescriptorReserve::default(), 600).unwrap();
}

/// A sector of zeros with later, synced entries behind it.
#[test]
fn a_hole_in_what_was_synced_is_damage() {
    let folder = LogFolder::new();
    let data: Vec<u8> = (0..1_700_u32).map(|at| (at % 251) as u8 + 1).collect();
    let (path, bytes, _) = tail_sample(folder.path(), &data);
    for start in (512..bytes.len()).step_by(512) {
        let mut holed = bytes.clone();
        let end = (start + 512).min(holed.len());
        holed[start..end].fill(0);
        fs::write(&path, &holed).unwrap();
        let error = WalLog::open(folder.path(), &DescriptorReserve::default()).err().unwrap();
        assert_eq!(error.file, path, "sector at {start}: {error}");
        assert_eq!(fs::read(&path).unwrap(), holed, "sector at {start}");
    }
}

/// If the mark is missing, the log is taken as complete, and nothing is lost.
#[test]
fn without_its_mark_a_log_opens() {
    let folder = LogFolder::new();
    sample(folder.path());
    fs::remove_file(Synced::path(folder.path())).unwrap();
    let log = WalLog::open_with(folder.path(), &DescriptorReserve::default(), 600).unwrap();
    append(&log, vec![entry(2, 14)]).unwrap();
    drop(log);
    let end = recovery::sync_end(folder.path(), &DescriptorReserve::default()).unwrap();
    assert_eq!(
        Synced::open(folder.path(), &DescriptorReserve::default()).unwrap().offset(),
        end,
        "the mark was written again"
    );
}

/// Ten entries in one file. The tests below treat the last five as unsynced.
fn tail_sample(folder: &Path, data: &[u8]) -> (PathBuf, Vec<u8>, usize) {
    let log = WalLog::open(folder, &DescriptorReserve::default()).unwrap();
    let entries =
        |range: std::ops::Range<u64>| range.map(|index| (pos(1, index), data.to_vec().into()));
    append(&log, entries(0..5).collect()).unwrap();
    let synced = files_of(folder)[0].1.len();
    append(&log, entries(5..10).collect()).unwrap();
    drop(log);
    let (path, bytes) = files_of(folder).remove(0);
    (path, bytes, synced)
}

#[test]
fn a_sector_that_never_reached_the_disk_ends_the_log() {
    let folder = LogFolder::new();
    let data: Vec<u8> = (0..1_700_u32).map(|at| (at % 251) as u8 + 1).collect();
    let (path, bytes, synced) = tail_sample(folder.path(), &data);
    // Every set of up to two missing sectors after the synced length.
    let first = synced / 512 * 512;
    let sectors: Vec<usize> = (first..bytes.len()).step_by(512).collect();
    for one in &sectors {
        for two in &sectors {
            let mut torn = bytes.clone();
            for start in [*one, *two] {
                let end = (start + 512).min(torn.len());
                torn[start.max(synced)..end].fill(0);
            }
            fs::write(&path, &torn).unwrap();
            synced_up_to(folder.path(), synced as u64);
            let log = WalLog::open(folder.path(), &DescriptorReserve::default()).unwrap();
            let kept = all(&log);
            assert!((5..10).contains(&kept.len()), "sectors at {one}, {two}: {}", kept.len());
            assert!(kept.iter().all(|(_, kept)| *kept == data));
            drop(log);
            for (path, _) in files_of(folder.path()) {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

#[test]
fn zeros_in_an_entry_are_not_taken_for_a_missing_sector() {
    let folder = LogFolder::new();
    let mut data = vec![7; 3_000];
    data[500..2_500].fill(0);
    let (path, bytes, _) = tail_sample(folder.path(), &data);
    for at in (100..bytes.len()).step_by(97) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        fs::write(&path, &damaged).unwrap();
        let error = WalLog::open(folder.path(), &DescriptorReserve::default()).err().unwrap();
        assert_eq!(error.file, path, "byte {at}: {error}");
    }
}

#[test]
fn a_length_written_without_its_content_is_cut_off() {
    let folder = LogFolder::new();
    let (path, bytes, _) = tail_sample(folder.path(), &[7; 100]);
    for zeros in [1, 4, 40, 5_000, 100_000] {
        fs::write(&path, [&bytes[..], &vec![0; zeros]].concat()).unwrap();
        synced_up_to(folder.path(), bytes.len() as u64);
        let log = WalLog::open(folder.path(), &DescriptorReserve::default()).unwrap();
        assert_eq!(all(&log).len(), 10);
        append(&log, vec![entry(2, 10)]).unwrap();
        drop(log);
        assert_eq!(
            all(&WalLog::open(folder.path(), &DescriptorReserve::default()).unwrap()).len(),
            11
        );
        for (other, _) in files_of(folder.path()) {
            fs::remove_file(other).unwrap();
        }
    }
}

#[test]
fn after_a_failure_every_caller_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let log = WalLog::open_with(&folder.path().join("log"), &DescriptorReserve::default(), 5_000)
        .unwrap();
    append(&log, vec![entry(1, 0)]).unwrap();
    // The next file cannot be created.
    fs::remove_dir_all(folder.path().join("log")).unwrap();
    let (answer, answers) = mpsc::channel();
    for index in 1..500 {
        let answer = answer.clone();
        let done: Done = Box::new(move |result| answer.send((index, result.is_ok())).unwrap());
        log.append(vec![entry(1, index)], done);
    }
    drop(answer);
    let mut results: Vec<_> = answers.iter().collect();
    results.sort_unstable();
    assert_eq!(results.len(), 499, "all callers were answered");
    assert!(results.is_sorted_by(|(_, a), (_, b)| a >= b), "no success after a failure");
    assert_eq!(results[498], (499, false));
    let error = durably(|done| log.save_vote(Bytes::new(), done)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "the first error stays: {error}");
    let named = format!("cannot write {}: ", folder.path().join("log").display());
    assert!(error.to_string().starts_with(&named), "{error}");
    assert_eq!(log.oldest_unflushed(), None);
}

/// A small file system in memory, if this process may mount one.
struct TinyFileSystem(tempfile::TempDir);

impl TinyFileSystem {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path());
        let mounted = mount.output().is_ok_and(|mounted| mounted.status.success());
        mounted.then(|| Self(folder))
    }
}

impl Drop for TinyFileSystem {
    fn drop(&mut self) {
        let _left = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

/// Waiting callers get an error when the disk is full, also if it is full when the next file is
/// created. raft-log does not report such a failure to them.
#[test]
fn a_full_disk_is_named_to_everybody() {
    for chunk_bytes in [1 << 20, CHUNK_MAX_BYTES] {
        let Some(disk) = TinyFileSystem::mount() else {
            crate::skip::skipped("no file system can be mounted here");
            return;
        };
        fill(&disk.0.path().join("log"), chunk_bytes);
    }
}

fn fill(folder: &Path, chunk_bytes: usize) {
    let log = WalLog::open_with(folder, &DescriptorReserve::default(), chunk_bytes).unwrap();
    let (answer, answers) = mpsc::channel();
    for index in 0..100 {
        let answer = answer.clone();
        let done: Done = Box::new(move |result| answer.send((index, result)).unwrap());
        log.append(vec![(pos(1, index), vec![7; 60_000].into())], done);
        if index % 3 == 0 {
            log.save_vote(Bytes::from_static(b"vote"), Box::new(drop));
        }
    }
    drop(answer);
    let refused: Vec<_> =
        answers.iter().filter_map(|(index, result)| Some((index, result.err()?))).collect();
    assert!(!refused.is_empty());
    for (index, error) in refused {
        let text = error.to_string();
        assert!(text.contains("No space left") && text.contains("/log"), "{index}: {text}");
    }
    log.close();
}

#[test]
fn a_panic_of_the_writer_answers_everybody() {
    let folder = LogFolder::new();
    let log = WalLog::open(folder.path(), &DescriptorReserve::default()).unwrap();
    append(&log, vec![entry(1, 0)]).unwrap();
    let ours: Done = Box::new(|_| panic!("a callback that must not panic"));
    log.append(vec![entry(1, 1)], ours);
    let started = Instant::now();
    let mut index = 2;
    while append(&log, vec![entry(1, index)]).is_ok() {
        index += 1;
        assert!(started.elapsed() < WAIT);
    }
    append(&log, vec![]).unwrap_err();
    log.close();
    assert_eq!(log.oldest_unflushed(), None);
}

#[test]
fn closing_makes_durable_what_is_on_its_way() {
    let folder = LogFolder::new();
    let log = WalLog::open(folder.path(), &DescriptorReserve::default()).unwrap();
    let (answer, answers) = mpsc::channel();
    for index in 0..1_000 {
        let answer = answer.clone();
        log.append(vec![entry(1, index)], Box::new(move |result| answer.send(result).unwrap()));
    }
    drop(answer);
    log.close();
    assert_eq!(answers.iter().filter(io::Result::is_ok).count(), 1_000);
    drop(log);
    assert_eq!(
        all(&WalLog::open(folder.path(), &DescriptorReserve::default()).unwrap()).len(),
        1_000
    );
}

#[test]
fn readers_see_whole_prefixes_while_the_log_grows_and_is_cut() {
    let folder = LogFolder::new();
    let log =
        Arc::new(WalLog::open_with(folder.path(), &DescriptorReserve::default(), 1 << 20).unwrap());
    let data = Bytes::from(vec![5; 40_000]);
    let writer = Arc::clone(&log);
    let content = data.clone();
    let writing = std::thread::spawn(move || {
        for term in 1..20 {
            writer.truncate_from(term);
            let entries = (term..term + 30).map(|index| (pos(term, index), content.clone()));
            let first = (term == 1).then(|| (pos(1, 0), content.clone()));
            append(&*writer, first.into_iter().chain(entries).collect()).unwrap();
        }
    });
    while !writing.is_finished() {
        let entries = all(&*log);
        for pair in entries.windows(2) {
            assert_eq!(pair[0].0.index + 1, pair[1].0.index);
            assert!(pair[0].0.term <= pair[1].0.term, "entries of two histories are mixed");
        }
        assert!(entries.iter().all(|(_, found)| *found == data));
    }
    writing.join().unwrap();
}

#[test]
fn only_one_process_can_have_it_open() {
    let folder = LogFolder::new();
    let _log = WalLog::open(folder.path(), &DescriptorReserve::default()).unwrap();
    assert!(WalLog::open(folder.path(), &DescriptorReserve::default()).is_err());
}
