//! Looks whether executors answer, on the node that assignment gives each of them to, and says so to
//! the log when that changed.
//!
//! An executor with a health check URL is asked in an interval. One without it sends heartbeats.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::BootInstant;
use crate::config::HealthCheckSettings;
use crate::domain::executor::ExecutorRecord;
use crate::domain::ids::Revision;
use crate::domain::machine::command::ExecutorLiveness;
use crate::domain::time::Millis;

use super::limits::HEARTBEATS_UNNOTED;
use super::view::EngineView;

/// An event.
#[derive(Clone, Debug)]
pub(super) enum ProbeEvent {
    /// Time passed, or an executor changed. No leader has acknowledged this node for so long.
    Look(Millis),
    /// What came of a probe; an error says why.
    Probed(Arc<str>, Result<(), String>),
}

/// An action to carry out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProbeDo {
    /// Probe an executor; [`ProbeEvent::Probed`] says what came of it.
    Probe(Arc<str>),
    /// Propose what was found.
    Tell(ExecutorLiveness),
}

/// What this node found of an executor.
#[derive(Clone, Copy, Debug)]
struct ProbedExecutor {
    /// The revision of the record that it is about.
    revision: Revision,
    /// Since when this node listens for its heartbeats.
    since: BootInstant,
    /// The next probe, or look at its heartbeat.
    due: BootInstant,
    /// The probe that is under way, by the revision that it was made for.
    asked: Option<Revision>,
    /// Failed probes in a row.
    failures: u32,
    /// Good probes in a row.
    successes: u32,
}

/// The executors that this node looks after.
#[derive(Debug)]
pub(super) struct Prober {
    settings: HealthCheckSettings,
    known: BTreeMap<Arc<str>, ProbedExecutor>,
}

impl Prober {
    /// One with these settings.
    pub const fn new(settings: HealthCheckSettings) -> Self {
        Self { settings, known: BTreeMap::new() }
    }

    /// Decides the consequences of an event.
    pub fn on(&mut self, event: ProbeEvent, view: &EngineView<'_>) -> Vec<ProbeDo> {
        if !self.settings.enabled {
            return Vec::new();
        }
        if view.session.is_none() {
            // What was asked and counted belongs to the session that is gone.
            self.known.clear();
            return Vec::new();
        }
        match event {
            ProbeEvent::Look(silence) => self.look(silence, view),
            ProbeEvent::Probed(id, found) => self.probed(&id, found, view).into_iter().collect(),
        }
    }

    fn look(&mut self, silence: Millis, view: &EngineView<'_>) -> Vec<ProbeDo> {
        let mut former = std::mem::take(&mut self.known);
        let mut todo = Vec::new();
        for executor in view.state.executors() {
            let id: Arc<str> = executor.info.id.as_str().into();
            if view.members.prober(&id) != Some(view.node) {
                continue;
            }
            let (revision, due) = (executor.revision, view.boot);
            let fresh = ProbedExecutor {
                revision,
                since: view.boot,
                due,
                asked: None,
                failures: 0,
                successes: 0,
            };
            let mut known = former.remove(&id).unwrap_or(fresh);
            if known.revision != revision {
                known = ProbedExecutor { revision, failures: 0, successes: 0, ..known };
            }
            if silence >= HEARTBEATS_UNNOTED {
                known.since = view.boot;
            }
            if known.due <= view.boot {
                todo.extend(self.due(&id, executor, &mut known, view));
            }
            self.known.insert(id, known);
        }
        todo
    }

    /// It is time to look at an executor.
    fn due(
        &self,
        id: &Arc<str>,
        executor: &ExecutorRecord,
        known: &mut ProbedExecutor,
        view: &EngineView<'_>,
    ) -> Option<ProbeDo> {
        if executor.info.health_check_url.is_some() {
            if known.asked.is_some() {
                return None;
            }
            known.asked = Some(executor.revision);
            known.due = view.boot.plus(self.settings.interval);
            return Some(ProbeDo::Probe(Arc::clone(id)));
        }
        let limit = self.settings.interval.0.saturating_mul(self.settings.failure_threshold.into());
        // A heartbeat that no leader could note does not count as missing: this node has listened for
        // an interval before it says so.
        let silence = view.now.since(executor.renewed_at);
        let silent = Millis(limit.saturating_sub(silence.0));
        let listened = self.settings.interval.0.saturating_sub(view.boot.since(known.since).0);
        let wait = silent.max(Millis(listened));
        if wait.0 > 0 {
            known.due = view.boot.plus(wait);
            return None;
        }
        known.due = view.boot.plus(self.settings.interval);
        let reason = format!("no heartbeat for {silence}");
        executor.offline_since.is_none().then(|| tell(executor, false, reason))
    }

    fn probed(
        &mut self,
        id: &Arc<str>,
        found: Result<(), String>,
        view: &EngineView<'_>,
    ) -> Option<ProbeDo> {
        let known = self.known.get_mut(id)?;
        let asked = known.asked.take();
        let executor = view.state.executor(id)?;
        // What was asked of another record counts for nothing.
        if asked != Some(executor.revision) || known.revision != executor.revision {
            return None;
        }
        match found {
            Ok(()) => {
                known.failures = 0;
                known.successes = known.successes.saturating_add(1);
                let back = known.successes >= self.settings.recovery_threshold;
                let silent = executor.offline_since.is_some();
                (back && silent).then(|| tell(executor, true, "answers again".to_owned()))
            }
            Err(why) => {
                known.successes = 0;
                known.failures = known.failures.saturating_add(1);
                let gone = known.failures >= self.settings.failure_threshold;
                let answered = executor.offline_since.is_none();
                (gone && answered).then(|| tell(executor, false, why))
            }
        }
    }
}

fn tell(executor: &ExecutorRecord, online: bool, reason: String) -> ProbeDo {
    let (id, revision, renewed_at) =
        (executor.info.id.clone(), executor.revision, executor.renewed_at);
    ProbeDo::Tell(ExecutorLiveness { id, revision, renewed_at, online, reason })
}
