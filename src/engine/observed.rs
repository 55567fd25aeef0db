//! The view of a task at one index. The task's actor and the decision whether it needs one use the
//! same view.

use std::sync::Arc;

use crate::domain::ids::{Revision, TaskKey};
use crate::domain::machine::{State, Task};
use crate::domain::schedule::calendar::Calendar;
use crate::domain::schedule::{Plan, ScheduleError};
use crate::domain::settling::{NextDecision, SettleView, outlook};
use crate::domain::time::{Millis, Timestamp};

use super::EngineSettings;
use super::sleepers::{LEAD_MAX, Need, need};

/// A task and what its ticks depend on.
pub(super) struct ObservedTask {
    pub task: Arc<Task>,
    /// The later of its cursor and the floor.
    pub settled: Timestamp,
    pub scheduler: bool,
    /// Whether executors carry its executions out.
    pub by_executors: bool,
    zone: String,
    pub calendars: Vec<Arc<Calendar>>,
    pub calendars_at: Revision,
}

impl ObservedTask {
    /// A task as a state has it.
    pub fn of(state: &State, key: TaskKey) -> Option<Self> {
        let task = Arc::clone(state.task(key)?);
        let cluster = state.cluster();
        let calendars = task.spec().map(|spec| state.excluded_by(&spec.schedule));
        Some(Self {
            settled: state.settled(&task),
            scheduler: cluster.scheduler,
            zone: cluster.timezone.clone(),
            calendars: calendars.unwrap_or_default(),
            calendars_at: state.calendars_of(&task),
            by_executors: task
                .live
                .definition
                .is_some_and(|revision| state.needs_executor(&task, revision)),
            task,
        })
    }

    /// Its ticks; none: nothing is defined.
    ///
    /// # Errors
    /// A schedule or calendar that this software cannot compute: one of a later version.
    pub fn plan(&self) -> Option<Result<Plan, ScheduleError>> {
        let spec = self.task.spec()?;
        let (set_at, calendars) = (self.task.live.scheduled_at, self.calendars.iter().cloned());
        Some(Plan::excluding(&spec.schedule, &spec.name, &self.zone, set_at, calendars))
    }

    /// What is decided upon.
    pub fn view<'a>(
        &'a self,
        plan: &'a Plan,
        now: Timestamp,
        lead: Millis,
        failover: Millis,
    ) -> SettleView<'a> {
        let Self { task, settled, scheduler, .. } = self;
        // What stands in a line cannot be granted ahead of its tick.
        let lead = if task.lined() { Millis(0) } else { lead };
        SettleView { task, plan, settled: *settled, scheduler: *scheduler, now, lead, failover }
    }

    /// When it needs something first: now, at an instant, or never as things stand.
    pub fn wanted_at(&self, now: Timestamp, settings: &EngineSettings) -> Timestamp {
        let never = Timestamp(i64::MAX);
        let Some(Ok(plan)) = self.plan() else { return never };
        match outlook(&self.view(&plan, now, LEAD_MAX, settings.failover_timeout)) {
            NextDecision::Due => self.settled.min(now),
            NextDecision::Wake(at) => at,
            NextDecision::Idle => never,
        }
    }

    /// What it needs: an actor, an alarm or nothing.
    ///
    /// # Errors
    /// Ticks that cannot be computed. Its actor could not either, so it needs none.
    pub fn need(&self, now: Timestamp, settings: &EngineSettings) -> Result<Need, ScheduleError> {
        let Some(plan) = self.plan() else { return Ok(Need::Nothing) };
        let plan = plan?;
        let outlook = outlook(&self.view(&plan, now, LEAD_MAX, settings.failover_timeout));
        Ok(need(outlook, settings.activation_horizon, now))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::machine::command::{Genesis, Put, PutCalendar, PutMode};
    use crate::domain::machine::envelope::{self, EntryHead};
    use crate::domain::machine::record::Liveness;
    use crate::domain::machine::{Applied, Command};
    use crate::domain::spec::{self, ReadContext};
    use crate::engine::judge::sample_node;

    const NOON: Timestamp = Timestamp(1_772_452_800_000);

    fn apply(state: &mut State, command: &Command) {
        let mut packed = Vec::new();
        envelope::pack(&mut packed, command, "", None);
        let index = state.cluster().applied + 1;
        let entry = envelope::entry(EntryHead { stamp: NOON, origin: 1, seq: index }, &packed);
        let mut applied = Applied::default();
        state.apply(index, &entry, &mut applied).unwrap();
        assert!(applied.responses[0].is_ok(), "{command:?} {:?}", applied.responses);
    }

    fn put_calendar(state: &mut State, timezone: &str) {
        let calendar = Calendar {
            name: "rest".to_owned(),
            description: String::new(),
            timezone: Some(timezone.to_owned()),
            rules: Vec::new(),
        };
        let put = PutCalendar { calendar, if_match: None, source: None };
        apply(state, &Command::PutCalendar(Box::new(put)));
    }

    fn settings() -> EngineSettings {
        EngineSettings {
            failover_timeout: Millis(5_000),
            down_after: Millis(1_000),
            dispatch_ttl: Millis(1_000),
            activation_horizon: Millis(10_000),
            attempts_max: usize::MAX,
            strategy: None,
            executors: crate::config::ExecutorSettings::default(),
            info: sample_node(1, Liveness::Working).info,
        }
    }

    /// In a cluster of several releases a member may not know a zone. Ticks of that zone are due,
    /// but an actor could only end again, so the task must not get one.
    #[test]
    fn a_task_that_cannot_be_computed_needs_no_actor() {
        let mut state = State::default();
        let genesis = Genesis {
            id: 1,
            name: "test".to_owned(),
            timezone: "UTC".to_owned(),
            scheduler: true,
            callback_key: 7,
        };
        apply(&mut state, &Command::Genesis(genesis));
        put_calendar(&mut state, "Europe/Berlin");
        let body = json!({"name": "t", "schedule": {"interval": "1s", "exclude": ["rest"]}});
        let context = ReadContext {
            default_zone: "UTC",
            now: NOON,
            min_interval: Millis(100),
            functions_allowed: true,
            custom_strategy: true,
            current: None,
            settled: Timestamp(0),
            calendars: Some(&state),
        };
        let spec = spec::read(&body, context).unwrap();
        apply(&mut state, &Command::Put(Box::new(Put { mode: PutMode::Add, spec })));
        let key = state.named("t").unwrap().key;
        let later = NOON.plus(Millis(60_000));
        let need = |state: &State| ObservedTask::of(state, key).unwrap().need(later, &settings());
        assert_eq!(need(&state), Ok(Need::Actor));
        put_calendar(&mut state, "Mars/Olympus");
        assert!(need(&state).is_err());
        assert!(
            ObservedTask::of(&state, key).unwrap().plan().unwrap().is_err(),
            "nor can its actor"
        );
        put_calendar(&mut state, "Europe/Paris");
        assert_eq!(need(&state), Ok(Need::Actor));
    }
}
