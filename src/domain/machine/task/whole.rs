//! A task as a whole: what the state keeps of it, and what is read of that.

use std::collections::VecDeque;
use std::sync::Arc;

use super::history::History;
use super::keys;
use super::record::{
    DayCounts, Definition, Execution, LiveRecord, Reason, Statistics, TaskProgress, TaskStatistics,
};
use crate::domain::ids::{Revision, TaskKey};
use crate::domain::machine::store::digest;
use crate::domain::machine::store::dirty::Dirty;
use crate::domain::machine::store::table::TableTask;
use crate::domain::task::{Action, AfterRun, ExecutionMode, Keep, MAX_LIVE_MAX, TaskSpec};
use crate::domain::time::{Millis, Timestamp};

/// A task: its definitions, its live record, its past.
#[derive(Clone, Debug)]
pub struct Task {
    /// Names the record in the log.
    pub key: TaskKey,
    /// What claims leave alone.
    pub live: LiveRecord,
    /// What they rewrite.
    pub progress: TaskProgress,
    /// Kept revisions, oldest first.
    pub definitions: VecDeque<Arc<Definition>>,
    /// The past.
    pub history: History,
    /// Statistics beside the totals. `None`: nothing was counted.
    pub statistics: Option<Box<TaskStatistics>>,
    /// Hashes of these two as the digest has them.
    pub(in crate::domain::machine) counted: RecordHashes,
    /// What claims need of the definition in force.
    pub(in crate::domain::machine) rules: ClaimRules,
    /// The checkpoint epoch in which it was last noted as changed.
    pub(in crate::domain::machine) noted: u64,
}

/// Hashes of a task's two records, as the digest has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::domain::machine) struct RecordHashes {
    pub live: u128,
    pub progress: u128,
}

/// What claims need of a definition, so that they need not reach for all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::machine) struct ClaimRules {
    pub enabled: bool,
    pub catch_up_on_resume: bool,
    pub max_ticks: Option<u64>,
    pub excludes: bool,
    pub keep: Keep,
    pub mode: ExecutionMode,
    pub max_live: u32,
    pub queue_max: u32,
    pub priority: u8,
    /// Whether executions stand in a line: the task's own, or that of a group.
    pub lined: bool,
    /// One claim completes the task.
    pub one_shot: bool,
    pub after_run: AfterRun,
    pub carried_by: CarriedBy,
}

/// Who carries out the executions of a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::domain::machine) enum CarriedBy {
    /// The node that an attempt is granted to.
    Node,
    /// An executor.
    Executor,
    /// An executor, if one declares the task.
    Declared,
}

impl CarriedBy {
    fn of(spec: &TaskSpec) -> Self {
        match spec.action {
            Some(Action::Executor(_)) => Self::Executor,
            Some(_) => Self::Node,
            None => Self::Declared,
        }
    }
}

impl ClaimRules {
    /// Those of a definition. Without a definition they impose no limit.
    pub(in crate::domain::machine) fn of(spec: Option<&TaskSpec>) -> Self {
        Self {
            enabled: spec.is_none_or(|spec| spec.enabled),
            catch_up_on_resume: spec.is_some_and(|spec| spec.catch_up_on_resume),
            excludes: spec.is_some_and(|spec| !spec.schedule.exclude.is_empty()),
            max_ticks: spec.and_then(|spec| spec.schedule.max_ticks),
            keep: spec.map_or_else(Keep::default, |spec| spec.keep),
            mode: spec.map_or(ExecutionMode::Parallel, |spec| spec.execution_mode),
            max_live: spec.map_or(MAX_LIVE_MAX, |spec| spec.max_live),
            queue_max: spec.map_or(0, |spec| spec.queue_max),
            priority: spec.map_or(0, |spec| spec.priority),
            lined: spec.is_some_and(TaskSpec::lined),
            one_shot: spec.is_some_and(|spec| spec.one_shot),
            after_run: spec.map_or(AfterRun::Keep, |spec| spec.after_run),
            carried_by: spec.map_or(CarriedBy::Node, CarriedBy::of),
        }
    }
}

impl Task {
    /// A task of which nothing is known but its name.
    pub(in crate::domain::machine) fn new(
        key: TaskKey,
        name: Arc<str>,
        revision: Revision,
        stamp: Timestamp,
        epoch: u64,
    ) -> Self {
        let live = LiveRecord {
            name,
            revision,
            incarnation: revision,
            created_at: stamp,
            updated_at: stamp,
            definition: None,
            scheduled_at: stamp,
            paused: None,
            deleted: None,
            cancelled: None,
            dispatched: None,
        };
        let progress =
            TaskProgress { cursor: stamp, truncated_before: stamp, ..TaskProgress::default() };
        let (definitions, history) = (VecDeque::new(), History::default());
        let records = Self::of_records(key, live, progress, None, definitions, history);
        Self { noted: epoch, ..records }
    }

    /// A task from its records, as they lie in a checkpoint.
    pub(in crate::domain::machine) fn of_records(
        key: TaskKey,
        live: LiveRecord,
        progress: TaskProgress,
        statistics: Option<Box<TaskStatistics>>,
        mut definitions: VecDeque<Arc<Definition>>,
        mut history: History,
    ) -> Self {
        history.count();
        definitions.make_contiguous().sort_by_key(|definition| definition.revision);
        let counted = RecordHashes::of(key, &live, &progress);
        let rules = ClaimRules::of(None);
        let mut task = Self {
            key,
            live,
            progress,
            definitions,
            history,
            statistics,
            counted,
            rules,
            noted: 0,
        };
        task.rules = ClaimRules::of(task.spec());
        task
    }

    /// What each of its records adds to the digest, but for the live record and the progress.
    pub(in crate::domain::machine) fn each_hash(&self, mut note: impl FnMut(u128)) {
        let key = self.key;
        for definition in &self.definitions {
            note(digest::hash(&keys::definition(key, definition.revision), &**definition));
        }
        for tick in &self.history.ticks {
            note(tick.hash(key));
        }
        for span in &self.history.spans {
            note(digest::hash(&keys::span(key, span.to), span));
        }
        for execution in &self.history.executions {
            note(execution.hash(key));
        }
        if let Some(statistics) = &self.statistics {
            note(statistics.recent.hash(key));
            statistics.days.iter().for_each(|day| note(day.hash(key)));
        }
    }

    /// The counts of all kept days, oldest first.
    pub fn days(&self) -> impl Iterator<Item = DayCounts> {
        self.statistics.iter().flat_map(|statistics| statistics.days())
    }

    /// Streaks, histograms and the newest day. `None`: nothing was counted.
    #[must_use]
    pub fn recent(&self) -> Option<&Statistics> {
        self.statistics.as_ref().map(|statistics| &statistics.recent)
    }

    /// Marks all past days as changed, because they are about to be dropped.
    pub(in crate::domain::machine) fn note_days(&mut self, dirty: &mut Dirty) {
        if let Some(statistics) = &mut self.statistics
            && !statistics.days.is_empty()
        {
            Arc::make_mut(&mut statistics.days).note_all(self.key, dirty);
        }
    }

    /// The definition in force; none for a bare tombstone.
    #[must_use]
    pub fn definition(&self) -> Option<&Arc<Definition>> {
        self.revision(self.live.definition?)
    }

    /// What the definition in force says.
    #[must_use]
    pub fn spec(&self) -> Option<&TaskSpec> {
        self.definition().map(|definition| &definition.spec)
    }

    /// A kept revision.
    #[must_use]
    pub fn revision(&self, revision: Revision) -> Option<&Arc<Definition>> {
        // The newest is nearly always the one in force.
        match self.definitions.back() {
            Some(newest) if newest.revision == revision => Some(newest),
            _ => self.definitions.iter().find(|kept| kept.revision == revision),
        }
    }

    /// How long the node or the executor of an attempt may be silent, by this revision.
    #[must_use]
    pub fn lost_after(&self, revision: Revision) -> Millis {
        let spec = self.revision(revision).map(|kept| &kept.spec);
        spec.map_or(Millis::from_secs(10), |spec| spec.lost_after)
    }

    /// Why its ticks do not fire, whatever their time; none: they do.
    #[must_use]
    pub fn inactive(&self) -> Option<Reason> {
        if self.live.deleted.is_some() {
            Some(Reason::Deleted)
        } else if self.live.cancelled.is_some() {
            Some(Reason::Cancelled)
        } else if !self.rules.enabled {
            Some(Reason::Disabled)
        } else if self.live.paused.is_some() {
            Some(Reason::Paused)
        } else {
            None
        }
    }

    /// Who carries out an execution that keeps this revision of the definition.
    pub(super) fn carried_by(&self, revision: Revision) -> CarriedBy {
        if self.live.definition == Some(revision) {
            return self.rules.carried_by;
        }
        let kept = self.revision(revision);
        kept.map_or(CarriedBy::Node, |definition| CarriedBy::of(&definition.spec))
    }

    /// A number made of what a claim reads first: see `State::warm`.
    pub(in crate::domain::machine) fn warmth(&self) -> u64 {
        self.key.0
            ^ self.live.revision.0
            ^ self.progress.totals.lost
            ^ self.history.warmth()
            ^ self.counted.progress as u64
            ^ self.statistics.as_ref().map_or(0, |statistics| statistics.warmth())
            ^ self.noted
    }

    /// Its executions that have not ended, newest first.
    pub fn live_executions(&self) -> impl Iterator<Item = &Execution> {
        let live = usize::try_from(self.progress.live).unwrap_or(usize::MAX);
        let all = self.history.executions.iter().rev();
        all.filter(|execution| !execution.status.ended()).take(live)
    }

    /// How many of its executions wait.
    #[must_use]
    pub fn waiting(&self) -> u32 {
        self.progress.live.saturating_sub(self.history.running)
    }

    /// Whether no tick is left and nothing runs.
    #[must_use]
    pub fn over(&self) -> bool {
        self.progress.exhausted && self.progress.live == 0 && self.live.deleted.is_none()
    }

    /// Whether no more ticks may fire, whatever the rule of the schedule says.
    #[must_use]
    pub fn used_up(&self) -> bool {
        let fired = self.progress.totals.fired;
        (self.rules.one_shot && fired > 0) || self.rules.max_ticks.is_some_and(|max| fired >= max)
    }
}

impl TableTask for Task {
    fn key(&self) -> TaskKey {
        self.key
    }

    fn busy(&self) -> bool {
        self.progress.live > 0
    }
}

impl RecordHashes {
    pub fn of(key: TaskKey, live: &LiveRecord, progress: &TaskProgress) -> Self {
        let live = digest::hash(&keys::live(key), live);
        Self { live, progress: progress.hash(key) }
    }
}
