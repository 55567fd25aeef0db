//! openraft's own suite for log and state machine, for the implementations on disk and in memory.

use std::path::Path;
use std::sync::Arc;

use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;

use super::super::checkpoint::Checkpoints;
use super::super::formats::Formats;
use super::super::log::RaftLog;
use super::super::machine::MachineStore;
use super::super::replica::Replica;
use super::super::types::TypeConfig;
use crate::domain::machine::State;
use crate::storage::descriptors::DescriptorReserve;
use crate::storage::memory::MemoryDisk;
use crate::storage::sim::SimDisk;
use crate::storage::{LogStore, StateFolders, Stores, WalLog};
use crate::telemetry::metrics::Metrics;

type OpenDisk = fn(&Path) -> (Arc<dyn LogStore>, Box<dyn Stores>);

/// Creates a new log and state machine for each case. The folder is removed after the case.
struct BuildLog(OpenDisk);

type BuiltLog = (tempfile::TempDir, RaftLog, MachineStore);

impl StoreBuilder<TypeConfig, RaftLog, MachineStore, tempfile::TempDir> for BuildLog {
    async fn build(&self) -> Result<BuiltLog, openraft::StorageError<TypeConfig>> {
        let folder = tempfile::tempdir().unwrap();
        let (log, stores) = self.0(folder.path());
        let checkpoints = Checkpoints::open(stores, Arc::clone(&log)).unwrap();
        let log = RaftLog::open(log).unwrap();
        let replica = Replica::new(7, State::default(), Formats::SOFTWARE, Metrics::new("test"));
        let metrics = Metrics::new("test");
        let machine = MachineStore::new(Arc::new(replica), checkpoints, None, metrics);
        Ok((folder, log, machine))
    }
}

fn passes(open: OpenDisk) {
    TypeConfig::run(async { Suite::test_all(BuildLog(open)).await.unwrap() });
}

#[test]
fn the_files_pass_openrafts_suite() {
    passes(|folder| {
        let log = WalLog::open(&folder.join("log"), &DescriptorReserve::default()).unwrap();
        (Arc::new(log), Box::new(StateFolders::new(folder, &DescriptorReserve::default())))
    });
}

#[test]
fn the_twins_pass_openrafts_suite() {
    passes(|_folder| (Arc::new(SimDisk::new().open()), Box::new(MemoryDisk::new().open())));
}
