//! A new cluster from the data folder that is left of another, and from a backup.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use super::super::backup;
use super::super::restore::{self, FirstNode, RestoreError};
use super::*;
use crate::domain::machine::command::{Genesis, NodeUp};
use crate::domain::machine::envelope::EntryHead;
use crate::domain::machine::{COUNTER_LEAP, node_info};
use crate::domain::time::Timestamp;
use crate::storage::{DataFolder, FolderIdentity, LogPos, LogStore, StateFolders, WalLog};

const OLD: u128 = 0xC1;
const STAMP: Timestamp = Timestamp(1_790_000_000_000);

fn first(member: u16, cluster_id: u128) -> FirstNode {
    FirstNode {
        cluster_name: "test".to_owned(),
        cluster_id,
        member,
        peer: format!("n{member}:7070"),
        http: String::new(),
        now: STAMP,
        log_file: None,
    }
}

/// The entry of a command, as it stands in a log.
fn entry(seq: u64, command: &Command) -> Vec<u8> {
    let (mut packed, mut bytes) = (Vec::new(), vec![1]);
    envelope::pack(&mut packed, command, "", None);
    bytes.extend(envelope::entry(EntryHead { stamp: STAMP, origin: 7, seq }, &packed));
    bytes
}

/// The data folder of member 2 of three, as a crash left it: all is in the log, and nothing says
/// that it was committed.
fn left_over(path: &Path, voters: &[u16]) -> DataFolder {
    let folder = DataFolder::open(path, None).unwrap();
    let log = WalLog::open(&folder.log(), folder.reserve()).unwrap();
    let mut members = vec![2, 1, 0, 0, 0];
    members.extend(u32::try_from(voters.len()).unwrap().to_le_bytes());
    voters.iter().for_each(|id| members.extend(NodeId::new(*id, 1).0.to_le_bytes()));
    members.extend(u32::try_from(voters.len()).unwrap().to_le_bytes());
    for id in voters {
        members.extend(NodeId::new(*id, 1).0.to_le_bytes());
        // Neither address is known.
        members.extend([0; 8]);
    }
    let genesis = Genesis {
        id: OLD,
        name: "test".to_owned(),
        timezone: "UTC".to_owned(),
        scheduler: true,
        callback_key: 5,
    };
    let up = |id: u16| {
        let (node, info) = (NodeId::new(id, 1), node_info(u64::from(id)));
        Command::NodeUp(Box::new(NodeUp { node, boot: 9, info }))
    };
    let entries = [members, vec![0], entry(1, &Command::Genesis(genesis)), entry(2, &up(1))];
    let entries = entries.into_iter().chain([entry(3, &up(2))]).zip(0..);
    let at = |index| LogPos { term: 1, node: NodeId::new(1, 1).0, index };
    let entries = entries.map(|(bytes, index)| (at(index), bytes.into()));
    let (tell, told) = mpsc::channel();
    log.append(entries.collect(), Box::new(move |done| tell.send(done).unwrap()));
    told.recv().unwrap().unwrap();
    log.close();
    let identity = FolderIdentity {
        cluster_name: "test".to_owned(),
        cluster_id: OLD,
        node: NodeId::new(2, 1),
        created: STAMP,
        voted: true,
    };
    identity.write(folder.reserve(), folder.path()).unwrap();
    folder
}

fn refusal(result: Result<restore::NewCluster, RestoreError>) -> String {
    match result {
        Ok(made) => panic!("a new cluster was made: {made:?}"),
        Err(error) => error.to_string(),
    }
}

/// What a node finds that starts in this folder.
fn opened(folder: &DataFolder) -> (FolderIdentity, State, LogPos) {
    let identity = FolderIdentity::read(folder.reserve(), folder.path()).unwrap().unwrap();
    let log: Arc<dyn LogStore> = Arc::new(WalLog::open(&folder.log(), folder.reserve()).unwrap());
    let states = Box::new(StateFolders::new(folder.path(), folder.reserve()));
    let mut checkpoints = checkpoint::Checkpoints::open(states, Arc::clone(&log));
    let loaded = machine::load(checkpoints.as_ref().unwrap()).unwrap().unwrap();
    let seen = log.state();
    assert!(seen.vote.is_some() && seen.last == seen.purged, "{seen:?}");
    let voters: Vec<u64> = loaded.membership.membership().voter_ids().collect();
    assert_eq!(voters, [identity.node.0], "it is the only voter");
    checkpoints.as_mut().unwrap().close();
    log.close();
    (identity, loaded.state, seen.last.unwrap())
}

#[test]
fn what_is_left_of_a_cluster_becomes_a_new_one_with_all_entries_of_its_log() {
    let path = tempfile::tempdir().unwrap();
    let folder = left_over(path.path(), &[1, 2, 3]);
    let made = restore::recover(&folder, &first(2, 0xC2)).unwrap();
    assert_eq!((made.node, made.cluster_id), (NodeId::new(2, 2), 0xC2));
    assert_eq!(made.from.header.applied, 4, "also what is not known to be committed");
    let former = made.former.unwrap();
    assert!(former.join("identity").exists() && former.join("log").exists());
    assert!(!folder.recovery().exists());
    let (identity, state, last) = opened(&folder);
    assert_eq!((identity.cluster_id, identity.node), (0xC2, NodeId::new(2, 2)));
    assert_eq!((state.cluster().id, state.cluster().applied, last.index), (0xC2, 4, 4));
    assert!(state.cluster().counter >= made.from.header.counter + COUNTER_LEAP);
    assert_eq!(state.nodes().count(), 0);
    // It is the only voter now, and needs nobody.
    let again = refusal(restore::recover(&folder, &first(2, 0xC3)));
    assert!(again.contains("this node is the only one with a vote"), "{again}");
    assert_eq!(opened(&folder).0.cluster_id, 0xC2, "nothing was changed");
}

#[test]
fn survivors_are_compared_by_where_their_logs_end() {
    let path = tempfile::tempdir().unwrap();
    let folder = left_over(path.path(), &[1, 2, 3]);
    let end = restore::log_end(&folder, &first(2, 0xC2)).unwrap();
    assert_eq!(end, Some(LogPos { term: 1, node: NodeId::new(1, 1).0, index: 4 }));
    let other = restore::log_end(&folder, &first(3, 0xC2)).unwrap_err().to_string();
    assert!(other.contains("it belongs to node 2"), "{other}");
    // Looking changes nothing.
    assert_eq!(restore::recover(&folder, &first(2, 0xC2)).unwrap().from.header.applied, 4);
    // A checkpoint that was installed counts for what the log has lost.
    let end = restore::log_end(&folder, &first(2, 0xC2)).unwrap();
    assert!(end.is_some_and(|end| end.index == 4), "{end:?}");
    std::fs::remove_dir_all(folder.log()).unwrap();
    std::fs::remove_file(path.path().join("log.synced")).unwrap();
    assert_eq!(restore::log_end(&folder, &first(2, 0xC2)).unwrap(), end);
}

/// The files of a folder with their content, except its lock.
fn files_in(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_in(&path));
        } else if !path.ends_with("lock") {
            let content = std::fs::read(&path).unwrap();
            files.insert(path, content);
        }
    }
    files
}

/// Where a recovery is interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RecoveryStep {
    FormerFolder,
    WasRead,
    SomeWereMoved,
    AllWereMoved,
    SomeWereMade,
    AllWereMade,
}

/// Recovers a folder up to a step.
fn interrupted(folder: &DataFolder, step: RecoveryStep) {
    folder.begin_former().unwrap();
    let (path, former) = (folder.path(), folder.path().join("former.1"));
    if step >= RecoveryStep::WasRead {
        restore::begin_recovery(folder, &first(2, 0xC2)).unwrap();
    }
    if step == RecoveryStep::SomeWereMoved {
        std::fs::rename(path.join("log"), former.join("log")).unwrap();
    }
    if step >= RecoveryStep::AllWereMoved {
        folder.set_aside().unwrap();
    }
    if step >= RecoveryStep::SomeWereMade {
        let from = backup::read(std::fs::File::open(folder.recovery()).unwrap()).unwrap();
        restore::found(folder, &from, &first(2, 0xC2)).unwrap();
    }
    if step == RecoveryStep::SomeWereMade {
        std::fs::remove_file(path.join("identity")).unwrap();
        std::fs::remove_file(path.join("CURRENT")).unwrap();
    }
}

#[test]
fn a_recovery_that_was_interrupted_goes_on_and_keeps_the_former_data_in_one_folder() {
    use RecoveryStep::{
        AllWereMade, AllWereMoved, FormerFolder, SomeWereMade, SomeWereMoved, WasRead,
    };
    for step in [FormerFolder, WasRead, SomeWereMoved, AllWereMoved, SomeWereMade, AllWereMade] {
        let path = tempfile::tempdir().unwrap();
        let folder = left_over(path.path(), &[1, 2, 3]);
        // Opening the log for the first time may change its files, so that comes before.
        restore::log_end(&folder, &first(2, 0xC2)).unwrap();
        let in_former = |(file, content): (PathBuf, Vec<u8>)| {
            let name = file.strip_prefix(path.path()).unwrap().to_owned();
            (path.path().join("former.1").join(name), content)
        };
        let before: BTreeMap<_, _> = files_in(path.path()).into_iter().map(in_former).collect();
        interrupted(&folder, step);
        let made = restore::recover(&folder, &first(2, 0xC3)).unwrap();
        assert_eq!(made.former, Some(path.path().join("former.1")), "{step:?}");
        let kept = files_in(&path.path().join("former.1"));
        let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
        let identity = path.path().join("former.1/identity");
        assert_eq!(kept[&identity], before[&identity], "{step:?}");
        let left_out = |file: &PathBuf| !kept.contains_key(file);
        assert_eq!(names(&before).into_iter().filter(left_out).count(), 0, "{step:?}");
        let content = folder.content(None).unwrap();
        let all = ["CURRENT", "former.1", "identity", "log", "log.synced", "state.1"];
        assert_eq!(content, all, "{step:?}");
        // The first call had ended but for the last step, or the second one began anew.
        let id = if step == AllWereMade { 0xC2 } else { 0xC3 };
        let (identity, state, _) = opened(&folder);
        assert_eq!((made.cluster_id, identity.cluster_id, state.cluster().id), (id, id, id));
        assert_eq!(made.node, identity.node);
    }
}

/// A later loss of a majority of the new cluster.
#[test]
fn a_further_recovery_keeps_the_data_of_each_former_cluster() {
    let path = tempfile::tempdir().unwrap();
    let folder = left_over(path.path(), &[1, 2, 3]);
    restore::recover(&folder, &first(2, 0xC2)).unwrap();
    let first_former = files_in(&path.path().join("former.1"));
    // The data of a cluster of three again.
    folder.remove_data().unwrap();
    drop(folder);
    let folder = left_over(path.path(), &[1, 2, 3]);
    let made = restore::recover(&folder, &first(2, 0xC4)).unwrap();
    assert_eq!(made.former, Some(path.path().join("former.2")));
    assert_eq!(files_in(&path.path().join("former.1")), first_former);
}

#[test]
fn a_restore_that_was_interrupted_begins_anew_and_a_recovery_is_not_taken_for_one() {
    let path = tempfile::tempdir().unwrap();
    let folder = left_over(&path.path().join("old"), &[1, 2, 3]);
    interrupted(&folder, RecoveryStep::AllWereMoved);
    let file = path.path().join("test.backup");
    std::fs::copy(folder.recovery(), &file).unwrap();
    let used = refusal(restore::restore(&folder, &file, &first(2, 0xC3)));
    assert!(used.contains("is not empty (former.1, recovery.backup)"), "{used}");
    for gone in [&["identity", "CURRENT"][..], &["identity"], &[]] {
        let folder = DataFolder::open(&path.path().join(gone.len().to_string()), None).unwrap();
        restore::restore(&folder, &file, &first(1, 0xC5)).unwrap();
        std::fs::copy(&file, folder.recovery()).unwrap();
        for name in gone {
            std::fs::remove_file(folder.path().join(name)).unwrap();
        }
        restore::restore(&folder, &file, &first(1, 0xC6)).unwrap();
        assert_eq!(opened(&folder).0.cluster_id, 0xC6, "{gone:?}");
        assert!(!folder.recovery().exists());
        // It is whole now, and not restored over.
        let used = refusal(restore::restore(&folder, &file, &first(1, 0xC7)));
        assert!(used.contains("is not empty"), "{used}");
    }
}

#[test]
fn folders_that_cannot_become_a_new_cluster_are_left_as_they_are() {
    let path = tempfile::tempdir().unwrap();
    let folder = DataFolder::open(&path.path().join("empty"), None).unwrap();
    let empty = refusal(restore::recover(&folder, &first(2, 0xC2)));
    assert!(empty.contains("has no data of a cluster"), "{empty}");
    assert_eq!(folder.content(None).unwrap(), Vec::<String>::new());
    let folder = left_over(&path.path().join("other"), &[1, 2, 3]);
    let before = folder.content(None).unwrap();
    let other = refusal(restore::recover(&folder, &first(3, 0xC2)));
    assert!(other.contains("it belongs to node 2"), "{other}");
    let named = FirstNode { cluster_name: "day".to_owned(), ..first(2, 0xC2) };
    let other = refusal(restore::recover(&folder, &named));
    assert!(other.contains("it belongs to cluster test"), "{other}");
    assert_eq!(folder.content(None).unwrap(), before);
    let folder = left_over(&path.path().join("alone"), &[2]);
    let alone = refusal(restore::recover(&folder, &first(2, 0xC2)));
    assert!(alone.contains("it needs no other node"), "{alone}");
}

#[test]
fn a_backup_is_restored_to_an_empty_folder_only_and_to_the_cluster_of_its_name() {
    let path = tempfile::tempdir().unwrap();
    let folder = left_over(&path.path().join("old"), &[1, 2, 3]);
    let state = restore::recover(&folder, &first(2, 0xC2)).unwrap().from.state;
    let file = path.path().join("test.backup");
    backup::write(&state, std::fs::File::create(&file).unwrap()).unwrap();
    let used = refusal(restore::restore(&folder, &file, &first(2, 0xC3)));
    assert!(used.contains("is not empty (CURRENT, former.1, identity, log"), "{used}");
    let folder = DataFolder::open(&path.path().join("new"), None).unwrap();
    let named = FirstNode { cluster_name: "day".to_owned(), ..first(1, 0xC3) };
    let other = refusal(restore::restore(&folder, &file, &named));
    assert!(other.contains("set cluster.name to test"), "{other}");
    let missing = refusal(restore::restore(&folder, &path.path().join("no"), &first(1, 0xC3)));
    assert!(missing.contains("cannot open"), "{missing}");
    assert_eq!(folder.content(None).unwrap(), Vec::<String>::new(), "nothing was begun");
    let made = restore::restore(&folder, &file, &first(9, 0xC3)).unwrap();
    assert_eq!(made.node, NodeId::new(9, 1), "no member had that id");
    assert_eq!(opened(&folder).1.cluster().id, 0xC3);
}
