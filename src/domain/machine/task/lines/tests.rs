//! The work to find the next executions does not grow with the number of those that wait.

use super::*;
use crate::domain::ids::{ExecutionId, Revision};
use crate::domain::time::Timestamp;

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
    let mut all = Lines::new(true);
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

    let unable = |one: &WaitingExecution| one.execution.0.is_multiple_of(4);
    let (mut looked_at, mut passed) = (0, 0);
    let next = all.next(&group(), |one| {
        looked_at += 1;
        passed += usize::from(unable(one));
        !unable(one)
    });
    let free = usize::try_from(LIMIT - 1).expect("few");
    assert_eq!((next.len(), looked_at), (free, free + passed));
    assert!(next.is_sorted());

    let own = LineKey::Task(TaskKey(1));
    assert_eq!(all.next(&own, |_| unreachable!("one of it runs")), []);
    all.leave(&lines(1, true, LIMIT), &requested(1, Status::Running));
    let mut looked_at = 0;
    let next = all.next(&own, |_| {
        looked_at += 1;
        true
    });
    assert_eq!(next.iter().map(|one| one.execution.0).collect::<Vec<_>>(), [2]);
    assert_eq!(looked_at, 1);
    assert_eq!(all.next(&group(), |_| true).first().map(|one| one.execution.0), Some(2));
}
