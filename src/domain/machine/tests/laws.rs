//! What holds after every command, whatever the commands.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::command::{Command, DeclaredObject, PutMode, Settle};
use super::super::limits::KEY_AGE;
use super::super::task::record::Execution;
use super::super::{Event, EventKind, EventObject, Hint, Task};
use super::plausible::{self, StepNumbers};
use super::*;
use crate::domain::ids::Revision;
use crate::domain::task::{AfterRun, ExecutionMode};

/// What the test knows of a name without looking at the state.
#[derive(Clone, Debug, Default)]
struct KnownTask {
    deleted: bool,
    enabled: bool,
    catch_up_on_resume: bool,
    /// Paused, and until when.
    paused: Option<Option<Timestamp>>,
    cancelled: bool,
}

/// What a proposal from files amounts to.
fn plain(command: &Command) -> Option<Command> {
    let Command::Declare(body) = command else { return None };
    let if_match = body.if_match;
    Some(match &body.object {
        DeclaredObject::Task { spec, .. } => {
            let mode = if_match.map_or(PutMode::Add, |_| PutMode::Update { if_match });
            put(mode, spec.clone())
        }
        DeclaredObject::TaskGone(name) => Command::MarkDeleted(deletion(name)),
        _ => return None,
    })
}

/// A cluster, its twin that is written out and read back, and what was seen so far.
struct LawWitness {
    world: TestWorld,
    twin: State,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    known: BTreeMap<String, KnownTask>,
    scheduler: bool,
    greatest: u64,
    claimed: BTreeSet<(TaskKey, Revision, Timestamp)>,
    /// Ticks of ranges that were backfilled.
    backfilled: BTreeSet<(TaskKey, Revision, [Timestamp; 3])>,
    /// Incarnations that fired while they were to fire once only.
    one_shots: BTreeSet<(TaskKey, Revision)>,
    ended: BTreeMap<ExecutionId, Execution>,
    cursors: BTreeMap<TaskKey, (Revision, Timestamp)>,
}

impl LawWitness {
    fn new() -> Self {
        Self {
            world: TestWorld::empty(),
            twin: State::default(),
            store: BTreeMap::new(),
            known: BTreeMap::new(),
            scheduler: false,
            greatest: 0,
            claimed: BTreeSet::new(),
            backfilled: BTreeSet::new(),
            one_shots: BTreeSet::new(),
            ended: BTreeMap::new(),
            cursors: BTreeMap::new(),
        }
    }

    fn step(&mut self, command: &Command, key: Option<IdempotencyKey<'_>>, dice: &mut StepNumbers) {
        let before = self.world.rows();
        let counter = self.world.state.cluster().counter;
        let entry = self.world.entry(command, "someone", key);
        let old = self.world.state.clone();
        let (response, effects) = self.world.apply_as(command, "someone", key);
        let mut applied = Applied::default();
        self.twin.apply(self.world.index, &entry, &mut applied).expect("the same entry");
        assert_eq!(applied.responses, std::slice::from_ref(&response));
        assert_eq!(applied.effects, effects, "the same on every node");

        // A key is as old as it is when the command is applied.
        let stamp = self.world.state.cluster().stamp;
        let first = key.and_then(|key| old.first(key).ok().flatten());
        let replayed = first.is_some_and(|first| stamp.since(first.at) <= KEY_AGE);

        assert!(self.world.state.cluster().counter > counter, "the counter rises");
        if response.is_err() || replayed {
            self.nothing_changed(&before, key);
            assert_eq!(effects, Effects::default(), "a refusal has no effects");
        } else {
            let plain = plain(command);
            let command = plain.as_ref().unwrap_or(command);
            self.allowed(&old, command, &response);
            self.learn(command, &response);
            self.backfilled_once(command, &response);
            self.ended_by_runs(&old, command, &effects.events);
        }
        self.numbers_rise(&effects, counter);
        told(&old, &self.world.state, &effects.events);
        executors::listed(&self.world.state);
        backfill::counted(&self.world.state);
        self.checkpoint(dice);
        self.digests();
        for task in self.world.state.tasks() {
            bounded(task, self.world.state.task_count());
        }
        self.executions();
    }

    fn nothing_changed(
        &self,
        before: &BTreeMap<Vec<u8>, Vec<u8>>,
        key: Option<IdempotencyKey<'_>>,
    ) {
        let mut after = self.world.rows();
        let mut before = before.clone();
        if key.is_some() {
            after.retain(|key, _| key[0] != b'k');
            before.retain(|key, _| key[0] != b'k');
        }
        assert_eq!(after, before, "a refused command changes nothing");
    }

    /// Whether a tick that was claimed, or a grant that was given, was allowed by all that was
    /// acknowledged before.
    fn allowed(&self, old: &State, command: &Command, response: &Response) {
        let name = |task: TaskKey| old.task(task).map(|task| task.live.name.to_string());
        match (command, response) {
            (Command::Settle(settle), Ok(Answer::Execution { .. })) => {
                let known = &self.known[&name(settle.task).expect("a task")];
                assert!(self.scheduler && !known.deleted && known.enabled, "{known:?}");
                assert!(!known.cancelled, "{known:?}");
                self.pause_allows(known, settle);
                overlap_allows(old.task(settle.task).expect("a task"));
            }
            (Command::Start(start), Ok(_)) => {
                let known = &self.known[&name(start.task).expect("a task")];
                let (_, execution) = old.execution(start.execution).expect("an execution");
                assert!(!known.deleted && !execution.stopping);
                if start.again.is_none() {
                    room_for(old, start.task);
                }
                let held = known.paused.is_some() || known.cancelled || !known.enabled;
                let held = held || !self.scheduler;
                assert!(execution.tick.is_none() || !held, "{known:?}");
            }
            (Command::TriggerTask(body), Ok(_)) => {
                assert!(!self.known[&body.name].deleted);
                overlap_allows(old.named(&body.name).expect("a task"));
            }
            _ => {}
        }
    }

    /// What ended tasks in the wake of a run: the events tell, and the definition says so.
    fn ended_by_runs(&mut self, old: &State, command: &Command, events: &[Event]) {
        for event in events {
            let EventObject::Task(name) = &event.object else { continue };
            match event.kind {
                EventKind::TaskDeleted => {
                    self.known.entry(name.to_string()).or_default().deleted = true;
                }
                EventKind::TaskCleaned => drop(self.known.remove(&**name)),
                _ => {}
            }
        }
        let asked = |name: &str| match command {
            Command::MarkDeleted(body) => body.name == name,
            Command::Cleanup(body) | Command::Reuse(body) => body.name == name,
            command => matches!(command, Command::CleanupAll(_)),
        };
        for task in old.tasks().filter(|task| task.live.deleted.is_none()) {
            let left = self.world.state.task(task.key).filter(|task| task.live.deleted.is_none());
            let Some(spec) = task.spec().filter(|_| left.is_none()) else { continue };
            let mut ended = events.iter().filter_map(|event| match event.object {
                EventObject::Execution { execution, status, .. } if status.ended() => {
                    task.history.execution(execution)
                }
                _ => None,
            });
            let ran = spec.after_run != AfterRun::Keep && ended.any(Execution::settled_tick);
            assert!(ran || asked(&task.live.name), "{} went by itself", task.live.name);
        }
    }

    /// Each tick of a range has one execution.
    fn backfilled_once(&mut self, command: &Command, response: &Response) {
        let (Command::Backfill(body), Ok(Answer::Backfilled { executions, .. })) =
            (command, response)
        else {
            return;
        };
        let task = self.world.state.task(body.task).expect("a task");
        for (at, id) in executions.iter().enumerate() {
            let execution = task.history.execution(*id).expect("it was created");
            assert_eq!(execution.tick, Some(body.ticks[at]));
            let tick = [body.from, body.to, body.ticks[at]];
            let once = self.backfilled.insert((body.task, task.live.incarnation, tick));
            assert!(once, "created twice: {tick:?}");
        }
    }

    fn pause_allows(&self, known: &KnownTask, settle: &Settle) {
        let Some(until) = known.paused else { return };
        let until = until.expect("a pause without end");
        let tick = settle.claim.expect("a claim").tick;
        assert!(until <= tick || (known.catch_up_on_resume && until <= settle.now));
    }

    fn learn(&mut self, command: &Command, response: &Response) {
        let known = |names: &mut BTreeMap<String, KnownTask>,
                     name: &str,
                     change: &dyn Fn(&mut KnownTask)| {
            change(names.entry(name.to_owned()).or_default());
        };
        let names = &mut self.known;
        match command {
            Command::Put(body) => {
                let (enabled, late) = (body.spec.enabled, body.spec.catch_up_on_resume);
                let fresh = !matches!(body.mode, PutMode::Update { .. });
                known(names, &body.spec.name, &|known| {
                    let paused = known.paused.filter(|_| !fresh);
                    let cancelled = known.cancelled && !fresh;
                    *known = KnownTask {
                        deleted: false,
                        enabled,
                        catch_up_on_resume: late,
                        paused,
                        cancelled,
                    };
                });
            }
            Command::MarkDeleted(body) => known(names, &body.name, &|known| known.deleted = true),
            Command::Reuse(body) => {
                if matches!(response, Ok(Answer::Task { .. })) {
                    known(names, &body.name, &|known| known.deleted = false);
                } else {
                    names.remove(&body.name);
                }
            }
            Command::Cleanup(body) => drop(names.remove(&body.name)),
            Command::CleanupAll(_) => names.clear(),
            Command::Pause(body) => {
                known(names, &body.name, &|known| known.paused = Some(body.until));
            }
            Command::Resume(body) => known(names, &body.name, &|known| {
                (known.paused, known.cancelled) = (None, false);
            }),
            Command::Cancel(body) => known(names, &body.name, &|known| {
                (known.paused, known.cancelled) = (None, true);
            }),
            Command::Settle(settle) => {
                let task = self.world.state.task(settle.task).expect("a task");
                let cursor = task.progress.cursor;
                known(names, &task.live.name, &|known| {
                    let over = known.paused.flatten().is_some_and(|until| {
                        until <= cursor || (known.catch_up_on_resume && until <= settle.now)
                    });
                    known.paused = known.paused.filter(|_| !over);
                });
                assert_eq!(
                    task.live.paused.is_some(),
                    self.known[&*task.live.name].paused.is_some()
                );
            }
            Command::Genesis(_) => self.scheduler = true,
            Command::Scheduler(body) => self.scheduler = body.on,
            _ => {}
        }
    }

    /// Fences, execution ids and ids of events rise, cursors do not go back, no tick is claimed twice.
    fn numbers_rise(&mut self, effects: &Effects, before: u64) {
        let counter = self.world.state.cluster().counter;
        let ids = effects.events.iter().map(|event| event.id.0);
        assert!(ids.clone().is_sorted_by(|one, next| one < next), "ids of events rise");
        assert!(ids.clone().all(|id| before < id && id <= counter), "ids are of the counter");
        for hint in &effects.hints {
            if let Hint::Granted { fence, .. } = hint {
                assert!(fence.0 > before && fence.0 > self.greatest);
                self.greatest = fence.0;
            }
        }
        for task in self.world.state.tasks() {
            for execution in task.history.executions.iter().rev() {
                if execution.id.0 <= before {
                    break;
                }
                if let Some(tick) = execution.tick.filter(|_| execution.settled_tick()) {
                    let claim = (task.key, execution.incarnation, tick);
                    assert!(self.claimed.insert(claim), "claimed twice: {claim:?}");
                    if task.spec().is_some_and(|spec| spec.one_shot) {
                        let one_shot = (task.key, execution.incarnation);
                        assert!(self.one_shots.insert(one_shot), "fired twice: {claim:?}");
                        assert!(task.progress.exhausted, "fired, and goes on: {claim:?}");
                    }
                }
            }
            let live = &task.live;
            if let Some((incarnation, cursor)) = self.cursors.get(&task.key)
                && *incarnation == live.incarnation
            {
                assert!(task.progress.cursor >= *cursor, "the cursor went back");
            }
            self.cursors.insert(task.key, (live.incarnation, task.progress.cursor));
        }
    }

    /// Now and then the twin is written out, and now and then read back.
    fn checkpoint(&mut self, dice: &mut StepNumbers) {
        if !dice.percent(15) {
            return;
        }
        let dirty = self.twin.take_dirty();
        let frozen = self.twin.clone();
        if dice.percent(20) {
            // The disk failed.
            self.twin.merge_dirty(dirty);
            return;
        }
        write(&mut self.store, frozen.changed_rows(&dirty));
        assert_eq!(self.store, frozen.all_rows().collect());
        if dice.percent(40) {
            self.twin = load(self.store.clone());
        }
    }

    fn digests(&self) {
        assert_eq!(self.world.state.check(), Ok(()));
        assert_eq!(self.twin.check(), Ok(()));
        assert_eq!(derived(&self.world.state), derived(&self.twin));
        assert_eq!(self.twin.digest(), self.world.state.digest(), "the same on every node");
    }

    /// What has ended does not change, but that someone saw to it.
    fn executions(&mut self) {
        for task in self.world.state.tasks() {
            for execution in &task.history.executions {
                if !execution.status.ended() {
                    assert!(!self.ended.contains_key(&execution.id));
                    continue;
                }
                let first = self.ended.entry(execution.id).or_insert_with(|| execution.clone());
                if execution.dismissed() {
                    first.more.get_or_insert_default().dismissed = true;
                }
                assert_eq!(first, execution);
            }
        }
    }
}

/// The executions of some tasks that are in a state.
fn in_status<'a>(tasks: impl Iterator<Item = &'a Task>, status: Status) -> u32 {
    let all = tasks.flat_map(|task| &task.history.executions);
    u32::try_from(all.filter(|one| one.status == status).count()).expect("few")
}

/// Whether every line of a task has room, counted from the executions of all tasks.
fn room_for(state: &State, task: TaskKey) {
    let task = state.task(task).expect("a task");
    let spec = task.spec().expect("a definition");
    let own = in_status([&**task].into_iter(), Status::Running);
    assert!(spec.execution_mode == ExecutionMode::Parallel || own == 0, "{own} of the task run");
    let Some(wanted) = &spec.concurrency else { return };
    let same = |other: &&Task| {
        let other = other.spec().and_then(|spec| spec.concurrency.as_ref());
        other.is_some_and(|other| other.group == wanted.group)
    };
    let tasks = state.tasks().map(|task| &**task).filter(same);
    let running = in_status(tasks, Status::Running);
    assert!(running < wanted.limit, "{running} of the group run");
}

/// Whether an execution more of a task may be created, by its mode.
fn overlap_allows(task: &Task) {
    let spec = task.spec().expect("a definition");
    let [waiting, running] =
        [Status::Pending, Status::Running].map(|status| in_status([task].into_iter(), status));
    assert!(waiting + running < spec.max_live, "{waiting} wait, {running} run");
    match spec.execution_mode {
        ExecutionMode::Skip => assert_eq!((waiting, running), (0, 0)),
        ExecutionMode::Sequential => {
            assert!(waiting + running == 0 || waiting < spec.queue_max, "{waiting} wait");
        }
        ExecutionMode::Parallel | ExecutionMode::Replace => {}
    }
}

/// What changed between two states has an event, and what has an event changed.
fn told(old: &State, new: &State, events: &[Event]) {
    let shown = |state: &State| -> BTreeMap<String, String> {
        let tasks = state.tasks().map(|task| {
            let Task { live, progress, .. } = &**task;
            let deleted = live.deleted.is_some();
            let now = (live.revision, &live.paused, live.cancelled, deleted, progress.exhausted);
            (format!("task {}", live.name), format!("{now:?}"))
        });
        let executions = state.tasks().flat_map(|task| &task.history.executions);
        let executions =
            executions.map(|one| (format!("execution {}", one.id), format!("{one:?}")));
        let nodes = state.nodes().map(|node| (format!("node {}", node.id), format!("{node:?}")));
        let calendars = state.calendars();
        let calendars = calendars
            .map(|kept| (format!("calendar {}", kept.calendar.name), kept.revision.to_string()));
        let scheduler = ("scheduler".to_owned(), state.cluster().scheduler.to_string());
        let executors = state.executors();
        let executors =
            executors.map(|kept| (format!("executor {}", kept.info.id), kept.revision.to_string()));
        let records = tasks.chain(executions).chain(nodes).chain(calendars).chain(executors);
        records.chain([scheduler]).collect()
    };
    let (before, after) = (shown(old), shown(new));
    let objects = events.iter().map(|event| match &event.object {
        EventObject::Task(name) => format!("task {name}"),
        EventObject::Execution { execution, .. } => format!("execution {execution}"),
        EventObject::Node { node, .. } => format!("node {node}"),
        EventObject::Calendar(name) => format!("calendar {name}"),
        EventObject::Executor { id, .. } => format!("executor {id}"),
        EventObject::Scheduler { .. } => "scheduler".to_owned(),
    });
    let told: BTreeSet<String> = objects.collect();
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let (was, is) = (before.get(name), after.get(name));
        // Executions go without a word: as too old ones, or with their task.
        let gone = is.is_none() && name.starts_with("execution");
        assert!(was == is || gone || told.contains(name), "{name}: from {was:?} to {is:?}, untold");
        let first = name == "scheduler" && new.cluster().id != old.cluster().id;
        assert!(was != is || first || !told.contains(name), "{name}: {was:?}, told as changed");
    }
    let executions: Vec<(ExecutionId, Status)> = events
        .iter()
        .filter_map(|event| match event.object {
            EventObject::Execution { execution, status, .. } => Some((execution, status)),
            _ => None,
        })
        .collect();
    for (at, one) in executions.iter().enumerate() {
        assert!(!executions[..at].contains(one), "one change has one event: {one:?} has two");
    }
    let last: BTreeMap<ExecutionId, Status> = executions.into_iter().collect();
    for (execution, status) in last {
        let kept = new.execution(execution).map(|(_, kept)| kept.status);
        assert!(kept.is_none_or(|kept| kept == status), "{execution} is {kept:?}, told {status:?}");
    }
}

/// No more ticks are kept than the definition says.
fn bounded(task: &Task, tasks: usize) {
    let keep = task.spec().map(|spec| spec.keep).unwrap_or_default();
    let bound = |wanted: u32| usize::try_from(wanted).unwrap();
    assert!(tasks < 1_000, "so that the cluster's share binds nobody");
    // What an edit lowered is trimmed when the next record comes.
    assert!(task.history.ticks.len() <= bound(keep.ticks.max(5)) + 1);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn all_laws_hold_after_every_command(steps in plausible::steps()) {
        let mut witness = LawWitness::new();
        for (at, faces) in steps.into_iter().enumerate() {
            let mut dice = StepNumbers::new(faces);
            witness.world.stamp = plausible::stamp(witness.world.stamp, &mut dice);
            let (command, key) = match at {
                0 => (genesis(), None),
                1..4 => (node_up(NodeId::new(u16::try_from(at).unwrap(), 1), 99), None),
                _ => plausible::command(&witness.world.state, witness.world.stamp, &mut dice),
            };
            witness.step(&command, key, &mut dice);
        }
        let state = &witness.world.state;
        assert_eq!(load(state.all_rows()).digest(), state.digest());
    }
}
