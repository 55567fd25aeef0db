//! Lines: what an execution mode makes of one more execution, how many run at once, and whose turn it
//! is. All of it is counted from the executions of the model.
//!
//! - Modes decide: what becomes of a claim, a trigger or a retry follows from the mode in force and
//!   from what of the task has not ended.
//! - Lines hold their limits: a start finds room in each line of its task, by the definition in force.
//! - Lines keep their order: who proposes a start has seen a state in which it was the turn of the
//!   execution. States are the same everywhere, so the turn came at some index before the start.

use std::collections::{BTreeMap, BTreeSet};

use punctual::domain::machine::{Answer, Command, Refusal};
use punctual::domain::task::{ExecutionMode, TaskSpec};

use super::{ReferenceModel, ReplayedExecution, ReplayedTask};

const LIMITS: &str = "lines hold their limits";
const MODES: &str = "modes decide";
const ORDER: &str = "lines keep their order";
/// The clocks of nodes and the stamps of entries differ by less, in milliseconds.
const CLOCKS_APART: i64 = 1_000;
/// The priority that goes first.
const PRIORITY_FIRST: u8 = 9;

/// A stretch in which it was the turn of an execution, and nobody started it.
#[derive(Clone, Debug)]
pub struct NextWait {
    /// It.
    pub execution: u64,
    /// Its task's name.
    pub task: String,
    /// The log index since which it was.
    pub from: u64,
    /// The log index of what ended it.
    pub to: u64,
    /// Whether it had been attempted before.
    pub again: bool,
}

/// A line, named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ReplayedLine<'a> {
    /// The own line of a task.
    Task(u64),
    /// That of a group.
    Group(&'a str),
}

/// An execution that waits and that nothing holds.
struct ReadyExecution<'a> {
    /// Whether the time of its next attempt has come.
    able: bool,
    /// Its rank, whether it is of a backfill, its tick or when it was asked for, and its id: the lowest
    /// goes first.
    order: (u8, bool, i64, u64),
    lines: Vec<(ReplayedLine<'a>, usize)>,
}

/// The lines of a task, each with its limit.
fn lines_of(key: u64, spec: &TaskSpec) -> Vec<(ReplayedLine<'_>, usize)> {
    let own = spec.execution_mode != ExecutionMode::Parallel;
    let own = own.then_some((ReplayedLine::Task(key), 1));
    let group = spec.concurrency.as_ref().map(|group| {
        (ReplayedLine::Group(&group.group), usize::try_from(group.limit).unwrap_or(usize::MAX))
    });
    own.into_iter().chain(group).collect()
}

impl ReferenceModel {
    fn execution_of(&self, id: u64) -> Option<&ReplayedExecution> {
        self.executions.get(&id)
    }

    /// How many executions of a task run.
    fn running(&self, task: &ReplayedTask) -> usize {
        let runs = |id: &&u64| self.execution_of(**id).is_some_and(|one| one.granted.is_some());
        task.live.iter().filter(runs).count()
    }

    /// Whether an execution that has not ended runs, and whether it is to stop.
    pub fn live(&self, id: u64) -> Option<(bool, bool)> {
        let one = self.execution_of(id).filter(|one| !one.ended)?;
        Some((one.granted.is_some(), one.stopping))
    }

    /// Which line of a task is full; none: all have room.
    fn full(&self, key: u64) -> Option<String> {
        let task = self.tasks.get(&key)?;
        let spec = task.spec.as_ref()?;
        let own = self.running(task);
        if spec.execution_mode != ExecutionMode::Parallel && own > 0 {
            return Some(format!("{own} of the task run"));
        }
        let wanted = spec.concurrency.as_ref()?;
        let shares = |task: &&ReplayedTask| {
            let group = task.spec.as_ref().and_then(|spec| spec.concurrency.as_ref());
            group.is_some_and(|group| group.group == wanted.group)
        };
        let running = self.tasks.values().filter(shares).map(|task| self.running(task));
        let (running, limit) = (running.sum::<usize>(), wanted.limit);
        let full = running >= usize::try_from(limit).unwrap_or(usize::MAX);
        full.then(|| format!("{running} of group {} run, the limit is {limit}", wanted.group))
    }

    /// What keeps one more execution of a task out; none: it comes in.
    pub(super) fn verdict(&self, key: u64, by_caller: bool) -> Option<Refusal> {
        let task = self.tasks.get(&key)?;
        let spec = task.spec.as_ref()?;
        let live = task.live.len();
        let max_live = usize::try_from(spec.max_live).unwrap_or(usize::MAX);
        let queue_max = usize::try_from(spec.queue_max).unwrap_or(usize::MAX);
        match spec.execution_mode {
            _ if live >= max_live => Some(Refusal::MaxLive),
            ExecutionMode::Skip if live > 0 => Some(Refusal::Overlap),
            ExecutionMode::Sequential if live > 0 && live - self.running(task) >= queue_max => {
                Some(Refusal::QueueFull)
            }
            // A caller does not wait.
            _ if by_caller && self.full(key).is_some() => Some(Refusal::NoRoom),
            _ => None,
        }
    }

    /// One more execution of a task came in, or was kept out: judges it, and makes room for it where
    /// the mode says so.
    pub(super) fn admit(
        &mut self,
        key: u64,
        by_caller: bool,
        refused: Option<&Refusal>,
        what: &str,
    ) {
        let Some(task) = self.tasks.get(&key) else { return };
        let Some(mode) = task.spec.as_ref().map(|spec| spec.execution_mode) else { return };
        let live = task.live.clone();
        let expected = self.verdict(key, by_caller);
        if expected.as_ref() != refused {
            let (name, live) = (&task.name, live.len());
            let found = format!("{refused:?}, not {expected:?}");
            self.complain(MODES, format!("{what} of {name}, {mode:?}, {live} live: {found}"));
        }
        if mode != ExecutionMode::Parallel {
            self.judge(MODES);
        }
        if mode == ExecutionMode::Replace && refused.is_none() {
            let waits = |id: &u64| self.execution_of(*id).is_some_and(|one| one.granted.is_none());
            let replaced: Vec<u64> = live.into_iter().filter(waits).collect();
            self.replaced.extend(replaced);
            self.stop_all(key);
            self.ran.remove(&key);
        }
    }

    /// A request was refused; where that was for what of the task has not ended, it is judged.
    pub(super) fn kept_out(&mut self, command: &Command, refusal: &Refusal) {
        if !matches!(refusal, Refusal::Overlap | Refusal::QueueFull | Refusal::MaxLive) {
            return;
        }
        match command {
            Command::TriggerTask(trigger) => {
                let key = self.names.get(&trigger.name).copied().unwrap_or(0);
                self.admit(key, false, Some(refusal), "a trigger");
            }
            Command::Retry(of) => self.admit(of.task.0, false, Some(refusal), "a retry"),
            _ => {}
        }
    }

    /// Ends an execution that waits; one that runs is to stop.
    pub(super) fn stop(&mut self, id: u64) {
        let index = self.index;
        let Some(one) = self.executions.get_mut(&id).filter(|one| !one.ended) else { return };
        if one.granted.is_none() {
            self.end_where_id(id);
        } else if !one.stopping {
            one.stopping = true;
            self.stops.push((index, id));
        }
    }

    /// The same for all executions of a task.
    pub(super) fn stop_all(&mut self, key: u64) {
        let live = self.tasks.get(&key).map(|task| task.live.clone()).unwrap_or_default();
        live.into_iter().for_each(|id| self.stop(id));
    }

    /// A claim: what it starts by itself needs room, and stands in no line or is its caller's.
    pub(super) fn judge_claimed(&mut self, key: u64, by_caller: bool, answer: &Answer) {
        let Some(task) = self.tasks.get(&key) else { return };
        let lined = task.spec.as_ref().is_some_and(|spec| !lines_of(key, spec).is_empty());
        let starts = matches!(answer, Answer::Execution { fence: Some(_), .. });
        if !(lined && starts) {
            return;
        }
        let name = task.name.clone();
        self.judge(LIMITS);
        if !by_caller {
            self.complain(LIMITS, format!("a tick of {name}, in a line, started with its claim"));
        }
        if let Some(full) = self.full(key) {
            self.complain(LIMITS, format!("a claim of {name} started while {full}"));
        }
    }

    /// A first start since it began to wait: there is room, and its turn has come.
    pub(super) fn judge_turn(&mut self, key: u64, id: u64) {
        let Some(task) = self.tasks.get(&key) else { return };
        let lined = task.spec.as_ref().is_some_and(|spec| !lines_of(key, spec).is_empty());
        if !lined {
            return;
        }
        let name = task.name.clone();
        self.judge(LIMITS);
        if let Some(full) = self.full(key) {
            self.complain(LIMITS, format!("execution {id} of {name} started while {full}"));
        }
        self.judge(ORDER);
        if !self.execution_of(id).is_some_and(|one| one.was_next) {
            let what = format!("execution {id} of {name} started before its turn");
            self.complain(ORDER, what);
        }
    }

    /// Looks at the lines at the time of an entry, where executions wait for a time.
    pub(super) fn look_at_delays(&mut self) {
        if !self.delays().is_empty() {
            self.look_at_lines();
        }
    }

    /// When the next attempts are due of the executions that wait for them.
    fn delays(&self) -> BTreeSet<i64> {
        let live = self.tasks.values().flat_map(|task| &task.live);
        let waiting = live.filter_map(|id| self.execution_of(*id));
        let waiting = waiting.filter(|one| one.granted.is_none());
        waiting.filter_map(|one| one.attempts.next_at).collect()
    }

    /// Notes, after an entry, whose turn it is. Who proposes a start reads a clock of its own, which
    /// may show any time near the stamp.
    pub(super) fn look_at_lines(&mut self) {
        let (from, to) = (self.stamp - CLOCKS_APART, self.stamp + CLOCKS_APART);
        let next = self.turns(from);
        let near: Vec<i64> = self.delays().range(from + 1..=to).copied().collect();
        let possible: BTreeSet<u64> = near.into_iter().flat_map(|now| self.turns(now)).collect();
        let former = std::mem::take(&mut self.next);
        for (id, from) in &former {
            if !next.contains(id) {
                let name = |key| self.tasks.get(&key).map(|task| task.name.clone());
                let one = self.execution_of(*id);
                let task = one.and_then(|one| name(one.task)).unwrap_or_default();
                let again = one.is_some_and(|one| one.attempts.next_at.is_some());
                let (execution, from, to) = (*id, *from, self.index);
                self.waits.push(NextWait { execution, task, from, to, again });
            }
        }
        for id in next {
            let since = former.get(&id).copied().unwrap_or(self.index);
            self.next.insert(id, since);
            self.note_turn(id);
        }
        possible.into_iter().for_each(|id| self.note_turn(id));
    }

    fn note_turn(&mut self, id: u64) {
        if let Some(one) = self.executions.get_mut(&id) {
            one.was_next = true;
        }
    }

    /// The executions that may start now, as far as lines go: all their lines have room, and it is
    /// not taken by others that may start and go first. One that may not start takes no place from
    /// others, except that what is to be attempted again keeps its turn among the executions of its
    /// task. Of those that stand in no line, the ones that are attempted again.
    fn turns(&self, now: i64) -> BTreeSet<u64> {
        let mut taken: BTreeMap<ReplayedLine<'_>, usize> = BTreeMap::new();
        let mut waiting = Vec::new();
        for (key, task) in self.tasks.iter().filter(|(_, task)| !task.live.is_empty()) {
            let Some(spec) = &task.spec else { continue };
            let lines = lines_of(*key, spec);
            let rank = PRIORITY_FIRST.saturating_sub(spec.priority);
            for id in &task.live {
                let Some(one) = self.execution_of(*id) else { continue };
                if one.granted.is_some() {
                    lines.iter().for_each(|(line, _)| *taken.entry(*line).or_insert(0) += 1);
                } else if !one.by_caller && !self.holds(task, one) {
                    let order = (rank, one.backfilled, one.tick.unwrap_or(one.due), *id);
                    let next_at = one.attempts.next_at;
                    if lines.is_empty() && next_at.is_none() {
                        continue;
                    }
                    let able = next_at.is_none_or(|at| at <= now);
                    waiting.push(ReadyExecution { able, order, lines: lines.clone() });
                }
            }
        }
        waiting.sort_by_key(|one| one.order);
        let mut next = BTreeSet::new();
        for one in waiting {
            let full = |(line, limit): &(_, usize)| taken.get(line).is_some_and(|it| it >= limit);
            if one.lines.iter().any(full) {
                continue;
            }
            let own = |line: &ReplayedLine<'_>| matches!(line, ReplayedLine::Task(_));
            for (line, _) in one.lines.iter().filter(|(line, _)| one.able || own(line)) {
                *taken.entry(*line).or_insert(0) += 1;
            }
            if one.able {
                next.insert(one.order.3);
            }
        }
        next
    }
}

#[cfg(test)]
mod tests;
