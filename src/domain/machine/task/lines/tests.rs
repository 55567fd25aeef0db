//! The work to find the next executions does not grow with the number of those that wait.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::needs::NodeNeed;
use super::super::record::{Attempt, Definition, More};
use super::*;
use crate::domain::ids::{ExecutionId, Fence, NodeId, Revision, SessionId};
use crate::domain::schedule::{Rule, Schedule};
use crate::domain::task::{Action, TaskSpec};
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

/// A cluster of one node that starts no processes.
#[derive(Default)]
struct OneNode {
    labels: BTreeMap<String, String>,
    functions: Vec<String>,
    any_function: bool,
    /// How often it was asked.
    asked: Cell<usize>,
}

impl OneNode {
    fn ask(&self) {
        self.asked.set(self.asked.get() + 1);
    }

    fn matches(&self, needs: &OwnerNeeds) -> bool {
        let mut labels = needs.selector().into_iter().flatten();
        labels.all(|(key, value)| self.labels.get(key) == Some(value))
    }
}

impl TaskOwners for OneNode {
    fn has_owner(&self, needs: &OwnerNeeds) -> bool {
        self.ask();
        let met = match needs.need() {
            NodeNeed::Nothing => true,
            NodeNeed::Shell(_) => false,
            NodeNeed::Function(name) | NodeNeed::TaskName(name) => {
                self.any_function || self.functions.iter().any(|known| known == name)
            }
        };
        self.matches(needs) && met
    }

    fn each_label(&self, needs: &OwnerNeeds, tell: &mut dyn FnMut(&str, &str)) {
        self.ask();
        if self.matches(needs) {
            self.labels.iter().for_each(|(key, value)| tell(key, value));
        }
    }

    fn met_count(&self, needs: &OwnerNeeds) -> usize {
        self.ask();
        match needs.need() {
            _ if !self.matches(needs) => 0,
            NodeNeed::Nothing => usize::MAX,
            NodeNeed::Shell(_) => 0,
            NodeNeed::Function(_) | NodeNeed::TaskName(_) if self.any_function => usize::MAX,
            NodeNeed::Function(_) | NodeNeed::TaskName(_) => self.functions.len(),
        }
    }

    fn each_met(&self, needs: &OwnerNeeds, meet: &mut dyn FnMut(NodeNeed<&str>)) {
        for name in &self.functions {
            self.ask();
            meet(match needs.need() {
                NodeNeed::TaskName(_) => NodeNeed::TaskName(name),
                _ => NodeNeed::Function(name),
            });
        }
    }
}

/// The next executions of the group, how many were looked at, and how often owners were asked for.
fn look_for(
    all: &Lines,
    now: Timestamp,
    owners: &OneNode,
) -> (Vec<WaitingExecution>, usize, usize) {
    owners.asked.set(0);
    let next = all.next(&group(), now, owners);
    let asked = owners.asked.get();
    assert!(next.is_sorted());
    let looked_at = all.get(&group()).map_or(0, |line| line.looked_at(now, owners).len());
    (next, looked_at, asked)
}

/// The next executions of the group, and how many were looked at, where one class of tasks waits.
fn look(all: &Lines, now: Timestamp) -> (Vec<WaitingExecution>, usize) {
    let (next, looked_at, asked) = look_for(all, now, &OneNode::default());
    assert!(asked <= 1, "{asked}");
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
    let needs = OwnerNeeds::default();
    TaskLines { task, own, group: Some((group(), limit)), needs, below: 4, held: false }
}

/// The lines of a parallel task that needs this label, or this action.
fn needy(number: u64, label: Option<&str>, action: Option<Action>) -> TaskLines {
    let label = label.map(|value| ("zone".to_owned(), value.to_owned()));
    let needs = needs_of(number, label.into_iter().collect(), action);
    TaskLines { needs, ..lines(number, false, 20) }
}

/// The needs of a task with this selector and action.
fn needs_of(number: u64, selector: BTreeMap<String, String>, action: Option<Action>) -> OwnerNeeds {
    let rule = Rule::Interval { every: Millis(1_000), anchor: None };
    let mut spec = TaskSpec::new(format!("t{number}"), Schedule::of(rule), action);
    spec.assignment.selector = selector;
    let (revision, at, by) = (Revision(number), Timestamp(0), String::new());
    OwnerNeeds::of(&Arc::new(Definition { revision, at, by, spec }))
}

fn function(name: &str) -> Option<Action> {
    Some(Action::Func { id: name.to_owned() })
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
    let (next, looked_at) = look(&all, STAMP);
    assert_eq!((next.len(), looked_at), (free, free));

    let own = LineKey::Task(TaskKey(1));
    let nobody = OneNode::default();
    assert_eq!(all.next(&own, STAMP, &nobody), [], "one of it runs");
    all.leave(&lines(1, true, LIMIT), &requested(1, Status::Running));
    assert_eq!(numbers(&all.next(&own, STAMP, &nobody)), [2]);
    assert_eq!(nobody.asked.get(), 0, "it is its caller who asks");
    assert_eq!(numbers(&look(&all, STAMP).0)[0], 2);
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
    assert_eq!(look(&all, STAMP), (vec![], 0));
    for number in 100_000..100_100 {
        all.enter(&lines(1 + number % 10, false, LIMIT), &requested(number, Status::Pending));
    }
    let (next, looked_at) = look(&all, STAMP);
    assert_eq!((numbers(&next), looked_at), ((100_000..100_020).collect(), 20));

    // The time of some has come, and no entry came since.
    let soon = STAMP.plus(Millis(5));
    for number in [7, 60_001] {
        all.leave(&lines(task(number), false, LIMIT), &delayed(number, far));
        all.enter(&lines(task(number), false, LIMIT), &delayed(number, soon));
    }
    let (next, looked_at) = look(&all, soon);
    let expected: Vec<u64> = [7, 60_001].into_iter().chain(100_000..100_018).collect();
    assert_eq!((numbers(&next), looked_at), (expected, 20));
    assert_eq!(look(&all, STAMP).0[0].execution.0, 100_000);

    // The time of all has come, and an entry after it.
    let mut later = Lines::new(true, far);
    for number in 0..100_000 {
        later.enter(&lines(task(number), false, LIMIT), &delayed(number, far));
    }
    let (next, looked_at) = look(&later, far);
    assert_eq!((numbers(&next), looked_at), ((0..20).collect(), 20));
}

#[test]
fn tasks_that_no_node_may_own_are_passed_over_together() {
    let mut all = Lines::new(true, STAMP);
    let soon = STAMP.plus(Millis(5));
    for number in 0..100_000_u64 {
        // Of two classes, and of the second family the time of some comes after the last entry.
        let lines = match number % 2 {
            0 => needy(number, Some("north"), function("sum")),
            _ => needy(number, Some("south"), None),
        };
        all.enter(
            &lines,
            &match number % 3 {
                0 => delayed(number, STAMP),
                1 => delayed(number, soon),
                _ => requested(number, Status::Pending),
            },
        );
    }
    let owners = OneNode { any_function: true, ..OneNode::default() };
    // Which labels the node has: of those whose time has come, and of the others.
    let (next, looked_at, asked) = look_for(&all, STAMP, &owners);
    assert_eq!((next, looked_at, asked), (vec![], 0, 2));
    let (next, looked_at, asked) = look_for(&all, soon, &owners);
    assert_eq!((next, looked_at, asked), (vec![], 0, 2));

    for number in 100_000..100_100 {
        all.enter(&needy(number, None, function("sum")), &requested(number, Status::Pending));
    }
    let (next, looked_at, asked) = look_for(&all, soon, &owners);
    assert_eq!((numbers(&next), looked_at, asked), ((100_000..100_020).collect(), 20, 3));
}

#[test]
fn of_many_functions_those_that_nodes_have_are_looked_at() {
    let mut all = Lines::new(true, STAMP);
    for number in 0..100_000_u64 {
        let lines = match number % 2 {
            0 => needy(number, None, function(&format!("f{number}"))),
            _ => needy(number, None, None),
        };
        all.enter(&lines, &requested(number, Status::Pending));
    }
    let functions = ["f90000", "t70001", "f2", "none"].map(str::to_owned).into();
    let mut owners = OneNode { functions, ..OneNode::default() };
    let (next, looked_at, asked) = look_for(&all, STAMP, &owners);
    assert_eq!((numbers(&next), looked_at), (vec![2, 70_001, 90_000], 3));
    // Two families; in each, five classes without an owner and then the four functions, and one with.
    assert_eq!(asked, 2 + 2 * (5 + 4) + 1);

    owners.any_function = true;
    let (next, looked_at, asked) = look_for(&all, STAMP, &owners);
    assert_eq!((numbers(&next), looked_at, asked), ((0..20).collect(), 20, 2));
}

#[test]
fn selectors_that_no_node_matches_are_not_looked_at() {
    let mut all = Lines::new(true, STAMP);
    let soon = STAMP.plus(Millis(5));
    // Each task has a selector of its own. A node may own 50,000 and three of the others.
    let lines = |number: u64| {
        let label = format!("z{number}");
        needy(
            number,
            Some(&label).filter(|_| number < 100_000).map(String::as_str),
            function("sum"),
        )
    };
    for number in 0..100_003 {
        let execution = match number % 2 {
            0 => requested(number, Status::Pending),
            _ => delayed(number, soon),
        };
        all.enter(&lines(number), &execution);
    }
    let labels = [("node", "a"), ("zone", "z50000")].map(|(key, value)| (key.into(), value.into()));
    let owners = OneNode { labels: labels.into(), any_function: true, ..OneNode::default() };
    let (next, looked_at, asked) = look_for(&all, soon, &owners);
    assert_eq!((numbers(&next), looked_at), (vec![50_000, 100_000, 100_001, 100_002], 4));
    // The labels, of those whose time has come and of the others; then two families.
    assert_eq!(asked, 4);
    let none = OneNode { any_function: true, ..OneNode::default() };
    let (next, looked_at, asked) = look_for(&all, soon, &none);
    assert_eq!((numbers(&next), looked_at, asked), (vec![100_000, 100_001, 100_002], 3, 3));
    for number in 0..100_000 {
        let execution = match number % 2 {
            0 => requested(number, Status::Pending),
            _ => delayed(number, soon),
        };
        all.leave(&lines(number), &execution);
    }
    assert_eq!(look_for(&all, soon, &owners).2, 1, "no selector is left");
}

/// Nodes with labels.
struct Labelled(Vec<BTreeMap<String, String>>);

impl Labelled {
    fn matching(&self, needs: &OwnerNeeds) -> impl Iterator<Item = &BTreeMap<String, String>> {
        let labels = needs.selector().cloned().unwrap_or_default();
        let matches = move |node: &BTreeMap<String, String>| {
            labels.iter().all(|(key, value)| node.get(key) == Some(value))
        };
        self.0.iter().filter(move |node| matches(node))
    }
}

impl TaskOwners for Labelled {
    fn has_owner(&self, needs: &OwnerNeeds) -> bool {
        self.matching(needs).next().is_some()
    }

    fn each_label(&self, needs: &OwnerNeeds, tell: &mut dyn FnMut(&str, &str)) {
        for node in self.matching(needs) {
            node.iter().for_each(|(key, value)| tell(key, value));
        }
    }

    fn met_count(&self, needs: &OwnerNeeds) -> usize {
        if self.has_owner(needs) { usize::MAX } else { 0 }
    }

    fn each_met(&self, _: &OwnerNeeds, _: &mut dyn FnMut(NodeNeed<&str>)) {}
}

/// Up to four labels of two values each.
fn some_labels(number: u8) -> BTreeMap<String, String> {
    let each = (0..4).filter_map(|key| match number >> (2 * key) & 3 {
        0 | 1 => None,
        value => Some((format!("k{key}"), format!("v{value}"))),
    });
    each.collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn of_many_selectors_those_that_nodes_match_are_found(
        nodes in prop::collection::vec(any::<u8>(), 0..4),
        tasks in prop::collection::vec((any::<u8>(), 0_u8..3), 1..60),
    ) {
        let owners = Labelled(nodes.into_iter().map(some_labels).collect());
        let mut all = Lines::new(true, STAMP);
        let soon = STAMP.plus(Millis(5));
        let mut expected = Vec::new();
        for (number, (labels, kind)) in (0..).zip(tasks) {
            let selector = some_labels(labels);
            let action = (kind > 0).then(|| function("sum")).flatten();
            let lines = TaskLines { needs: needs_of(number, selector, action), ..lines(number, false, 99) };
            let due = kind != 2;
            let one = if due { requested(number, Status::Pending) } else { delayed(number, soon) };
            all.enter(&lines, &one);
            if owners.has_owner(&lines.needs) {
                expected.push((due, number));
            }
        }
        let found = all.next(&group(), soon, &owners);
        prop_assert_eq!(numbers(&found), expected.iter().map(|(_, it)| *it).collect::<Vec<_>>());
        let found = all.next(&group(), STAMP, &owners);
        let due = expected.iter().filter(|(due, _)| *due).map(|(_, it)| *it);
        prop_assert_eq!(numbers(&found), due.collect::<Vec<_>>());
    }
}

#[test]
fn a_task_is_of_the_class_of_what_it_needs() {
    let of = |number, label, action| needy(number, label, action).needs;
    assert_eq!(of(1, None, function("sum")), of(2, None, function("sum")));
    assert_ne!(of(1, None, function("sum")), of(1, None, function("max")));
    assert_ne!(of(1, None, None), of(2, None, None), "they need functions of their names");
    assert_ne!(of(1, None, function("t1")), of(1, None, None), "executors declare tasks");
    assert_ne!(of(1, Some("a"), function("sum")), of(1, Some("b"), function("sum")));
    assert_ne!(of(1, Some("a"), function("sum")), of(1, None, function("sum")));
    let one = of(1, Some("a"), function("sum"));
    assert_eq!(one.with(NodeNeed::Function("sum")), one);
    assert_eq!(one.with(NodeNeed::Function("max")), of(9, Some("a"), function("max")));
    assert_eq!(OwnerNeeds::default().with(NodeNeed::Nothing), OwnerNeeds::default());
}
