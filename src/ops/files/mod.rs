//! Definitions from the files of this node: reads them, proposes them if they are in force, and tells
//! how the cluster differs from them.
//!
//! The decisions are in `domain::declared`. The cluster knows the hash of each node's definitions;
//! what a node read is kept in that node only.

mod drift;
mod propose;
mod set;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

pub(crate) use self::drift::{hex, show};
pub(crate) use self::propose::{FilesOutcome, step, take, tell_none};
pub(crate) use self::set::FileSet;
use crate::config::Config;
use crate::domain::declared::Prune;
use crate::domain::time::Timestamp;
use crate::dto::DriftApplied;

/// The files of this node, and what it read in them.
#[derive(Debug, Default)]
pub struct NodeFiles {
    /// A file or folder of tasks and calendars.
    pub(crate) tasks: Option<PathBuf>,
    /// A file or folder of calendars.
    pub(crate) calendars: Option<PathBuf>,
    /// What becomes of what they have no more.
    pub(crate) prune: Prune,
    last: Mutex<LastReading>,
}

/// What was read last.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastReading {
    /// When.
    pub at: Option<Timestamp>,
    /// What is wrong with the files.
    pub problems: Vec<String>,
    /// The last definitions without problems.
    pub set: Option<Arc<FileSet>>,
    /// What was refused of them, by kind and name.
    pub refused: BTreeMap<(&'static str, String), String>,
    /// What was changed last.
    pub applied: Option<DriftApplied>,
}

impl NodeFiles {
    /// The files that these settings name.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            tasks: config.tasks.path.clone(),
            calendars: config.calendars.path.clone(),
            prune: config.tasks.prune,
            last: Mutex::default(),
        }
    }

    /// Their paths.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.calendars.iter().chain(&self.tasks).cloned().collect()
    }

    /// What was read last.
    pub(crate) fn last(&self) -> LastReading {
        self.last.lock().clone()
    }

    /// Notes a reading; what is wrong with it leaves the definitions of the one before.
    pub(crate) fn note(&self, at: Timestamp, reading: Result<Arc<FileSet>, Vec<String>>) {
        let mut last = self.last.lock();
        last.at = Some(at);
        match reading {
            Ok(set) => {
                last.problems.clear();
                last.set = Some(set);
            }
            Err(problems) => last.problems = problems,
        }
    }

    fn note_applied(
        &self,
        refused: BTreeMap<(&'static str, String), String>,
        applied: DriftApplied,
    ) {
        let mut last = self.last.lock();
        last.refused = refused;
        last.applied = Some(applied);
    }
}
