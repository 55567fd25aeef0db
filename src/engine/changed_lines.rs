//! The lines that changed, until they are looked at.

use std::collections::BTreeSet;

use crate::domain::ids::TaskKey;
use crate::domain::machine::LineKey;

use super::view::EngineView;

/// The lines that are to be looked at.
#[derive(Debug, Default)]
pub(super) struct ChangedLines {
    pub all: bool,
    /// Those of these tasks.
    pub of: BTreeSet<TaskKey>,
}

impl ChangedLines {
    /// Whether there are any.
    pub fn any(&self) -> bool {
        self.all || !self.of.is_empty()
    }

    /// Takes the names of the lines.
    pub fn take(&mut self, view: &EngineView<'_>) -> BTreeSet<LineKey> {
        let of = std::mem::take(&mut self.of);
        if std::mem::take(&mut self.all) {
            return view.state.lines().contended().cloned().collect();
        }
        let tasks = of.into_iter().filter_map(|key| view.state.task(key));
        let mut keys = BTreeSet::new();
        for task in tasks {
            keys.extend(task.lines().iter().map(|(key, _)| key.clone()));
        }
        keys
    }
}
