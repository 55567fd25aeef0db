//! The work to find the next executions does not grow with the number of those that wait.

use super::super::record::{Attempt, More};
use super::*;
use crate::domain::ids::{ExecutionId, Fence, NodeId, Revision, SessionId};
use crate::domain::time::Millis;

/// An execution that somebody requested.
fn requested(number: u64, status: Status) -> Execution {
    let at = Timestamp(i64::try_from(number).expect("few"));
    Execution {
        id: ExecutionId(number),
        incarnation: Revision(1),
        revision: Revision(1),
        tick: None,
        due: at,
        created_at: at,
        trigger: Trigger::Manual,
        status,
        stopping: false,
        attempt: None,
        ended_at: None,
        index: 1,
        more: None,
    }
}

/// The stamp of the last entry.
const STAMP: Timestamp = Timestamp(1_000_000);

/// One that waits for its second attempt until this time.
fn delayed(number: u64, until: Timestamp) -> Execution {
    let attempt = Attempt {
        number: 1,
        fence: Fence(number),
        node: NodeId(1),
        session: SessionId(1),
        granted_at: Timestamp(0),
        report: None,
        executor: None,
    };
    let more = More { next_at: Some(until), ..More::default() };
    let pending = requested(number, Status::Pending);
    Execution { attempt: Some(attempt), more: Some(Box::new(more)), ..pending }
}

/// The next executions of the group, and how many were looked at.
fn look(
    all: &Lines,
    now: Timestamp,
    unowned: impl Fn(TaskKey) -> bool,
) -> (Vec<WaitingExecution>, usize) {
    let mut looked_at = 0;
    let next = all.next(&group(), now, |task| {
        looked_at += 1;
        !unowned(task)
    });
    assert!(next.is_sorted());
    (next, looked_at)
}

fn numbers(next: &[WaitingExecution]) -> Vec<u64> {
    next.iter().map(|one| one.execution.0).collect()
}

fn group() -> LineKey {
    LineKey::Group("g".into())
}

/// The lines of a task in the group.
fn lines(task: u64, own: bool, limit: u32) -> TaskLines {
    let task = TaskKey(task);
    let own = own.then_some(LineKey::Task(task));
    TaskLines { task, own, group: Some((group(), limit)), rank: 4, held: false }
}

#[test]
fn only_those_that_may_start_are_looked_at() {
    const LIMIT: u32 = 20;
    let mut all = Lines::new(true, STAMP);
    // One execution runs, and 50,000 of its sequential task are ahead of all others.
    all.enter(&lines(1, true, LIMIT), &requested(1, Status::Running));
    for number in 2..50_002 {
        all.enter(&lines(1, true, LIMIT), &requested(number, Status::Pending));
    }
    // Sequential and parallel tasks follow, and tasks whose smaller limits are reached.
    for number in 50_002..100_002_u64 {
        let task = 2 + number % 1_000;
        let limit = if task.is_multiple_of(3) { 1 } else { LIMIT };
        all.enter(&lines(task, task.is_multiple_of(2), limit), &requested(number, Status::Pending));
    }
    assert_eq!(all.get(&group()).map(|line| line.waiting().len()), Some(100_000));

    let free = usize::try_from(LIMIT - 1).expect("few");
    let (next, looked_at) = look(&all, STAMP, |_| false);
    assert_eq!((next.len(), looked_at), (free, free));

    let own = LineKey::Task(TaskKey(1));
    assert_eq!(all.next(&own, STAMP, |_| unreachable!("one of it runs")), []);
    all.leave(&lines(1, true, LIMIT), &requested(1, Status::Running));
    let mut looked_at = 0;
    let next = all.next(&own, STAMP, |_| {
        looked_at += 1;
        true
    });
    assert_eq!((numbers(&next), looked_at), (vec![2], 1));
    assert_eq!(numbers(&look(&all, STAMP, |_| false).0)[0], 2);
}

#[test]
fn those_that_wait_for_a_further_attempt_are_not_looked_at() {
    const LIMIT: u32 = 20;
    let mut all = Lines::new(true, STAMP);
    let far = STAMP.plus(Millis::from_secs(3_600));
    // 50,000 of ten parallel tasks, and one of each of 50,000 tasks.
    let task = |number: u64| if number < 50_000 { 1 + number % 10 } else { number };
    for number in 0..100_000_u64 {
        let own = number.is_multiple_of(2) && number >= 50_000;
        all.enter(&lines(task(number), own, LIMIT), &delayed(number, far));
    }
    assert_eq!(look(&all, STAMP, |_| false), (vec![], 0));
    for number in 100_000..100_100 {
        all.enter(&lines(1 + number % 10, false, LIMIT), &requested(number, Status::Pending));
    }
    let (next, looked_at) = look(&all, STAMP, |_| false);
    assert_eq!((numbers(&next), looked_at), ((100_000..100_020).collect(), 20));

    // The time of some has come, and no entry came since.
    let soon = STAMP.plus(Millis(5));
    for number in [7, 60_001] {
        all.leave(&lines(task(number), false, LIMIT), &delayed(number, far));
        all.enter(&lines(task(number), false, LIMIT), &delayed(number, soon));
    }
    let (next, looked_at) = look(&all, soon, |_| false);
    let expected: Vec<u64> = [7, 60_001].into_iter().chain(100_000..100_018).collect();
    assert_eq!((numbers(&next), looked_at), (expected, 20));
    assert_eq!(look(&all, STAMP, |_| false).0[0].execution.0, 100_000);

    // The time of all has come, and an entry after it.
    let mut later = Lines::new(true, far);
    for number in 0..100_000 {
        later.enter(&lines(task(number), false, LIMIT), &delayed(number, far));
    }
    let (next, looked_at) = look(&later, far, |_| false);
    assert_eq!((numbers(&next), looked_at), ((0..20).collect(), 20));
}

#[test]
fn a_task_without_an_owner_is_looked_at_once() {
    const LIMIT: u32 = 20;
    let mut all = Lines::new(true, STAMP);
    for number in 0..100_000_u64 {
        let execution = match number % 3 {
            0 => delayed(number, STAMP),
            _ => requested(number, Status::Pending),
        };
        all.enter(&lines(1 + number % 100, false, LIMIT), &execution);
    }
    let (next, looked_at) = look(&all, STAMP, |task| task != TaskKey(100));
    let expected: Vec<u64> = (0..20).map(|nth| 99 + nth * 100).collect();
    assert_eq!((numbers(&next), looked_at), (expected, 99 + 20));
    assert_eq!(look(&all, STAMP, |_| true), (vec![], 100));
}
