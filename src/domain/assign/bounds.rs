//! The bounds of the strategies: for 3 to 9 nodes and 10 to 100,000 tasks.

use std::collections::BTreeMap;

use proptest::prelude::{ProptestConfig, prop_assert, prop_assert_eq, proptest};
use proptest::strategy::Strategy as _;

use super::moves::Moves;
use super::tests::{BUILT, cluster};
use super::*;

/// With the one for which the leader proposes parts.
const PROVED: [Strategy; 6] = {
    let [a, b, c, d, e] = BUILT;
    [a, b, c, d, e, Strategy::Range]
};

/// The owner of each task.
fn owners(strategy: Strategy, nodes: &[NodeRecord], tasks: &[String]) -> Vec<NodeId> {
    let choose = choice(strategy);
    let nodes: Vec<&NodeRecord> = nodes.iter().collect();
    let mut table = AssignmentTable::default();
    if strategy == Strategy::Range {
        let mut names: Vec<&str> = tasks.iter().map(String::as_str).collect();
        names.sort_unstable();
        table = table.with_parts(&range::parts(&names, &nodes));
        assert!(range::fits(&table, &names, &nodes), "what is proposed fits");
    }
    let table = &table;
    let tasks = tasks.iter().enumerate().map(|(number, name)| Assignee { name, number, table });
    tasks.map(|task| choose(task, &nodes).expect("each task has an owner")).collect()
}

fn moves(before: &[NodeId], after: &[NodeId]) -> Moves {
    let mut moves = Moves::default();
    for (before, after) in before.iter().zip(after) {
        moves.note(Some(*before), Some(*after));
    }
    moves
}

/// The most of a share that hashing gives: a tenth more than the fair part, or six standard
/// deviations where tasks are few.
fn most(fair: u64) -> u64 {
    fair + (fair / 10).max(6 * fair.isqrt()) + 1
}

/// A strategy, a number of nodes, a prefix of names, and a number of tasks: of each size as often.
fn cases() -> impl proptest::strategy::Strategy<Value = (Strategy, usize, String, usize)> {
    let sizes = (1_u32..=4).prop_flat_map(|digits| 10_usize.pow(digits)..=10_usize.pow(digits + 1));
    (0..PROVED.len(), 3_usize..=9, "[a-z]{0,8}", sizes)
        .prop_map(|(chosen, nodes, prefix, tasks)| (PROVED[chosen], nodes, prefix, tasks))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn shares_are_fair_and_few_tasks_move(
        (strategy, count, prefix, many) in cases(),
        gone in 0_usize..9,
    ) {
        let names: Vec<String> = (0..many).map(|number| format!("{prefix}{number}")).collect();
        let nodes = cluster(&vec![1; count]);
        let all = owners(strategy, &nodes, &names);
        prop_assert_eq!(&owners(strategy, &nodes, &names), &all, "the same again");
        let (tasks, fair) = (many as u64, many as u64 / count as u64);
        let still = moves(&all, &all);
        prop_assert_eq!((still.tasks(), still.moved(), still.fewest()), (tasks, 0, 0));
        let shares: BTreeMap<_, _> = still.after();
        prop_assert!(!shares.contains_key(&None));
        prop_assert_eq!(shares.values().sum::<u64>(), tasks, "one owner each");
        let largest = shares.values().copied().max().unwrap_or(0);
        let even = matches!(strategy, Strategy::RoundRobin | Strategy::Range);
        let bound = if even { tasks.div_ceil(count as u64) } else { most(fair) };
        prop_assert!(largest <= bound, "{:?}: {} of {}, fair is {}", strategy, largest, tasks, fair);

        let mut fewer = nodes.clone();
        let gone = fewer.remove(gone % count).id;
        let left = owners(strategy, &fewer, &names);
        let own = shares.get(&Some(gone)).copied().unwrap_or(0);
        for (leaves, moved) in [(true, moves(&all, &left)), (false, moves(&left, &all))] {
            prop_assert!(moved.fewest() <= moved.moved());
            prop_assert!(moved.moved() >= own, "what it had or gets has to move");
            if matches!(strategy, Strategy::Consistent | Strategy::HashSlot) {
                // Nothing else moves: the optimum, for this share of the node.
                prop_assert_eq!(moved.moved(), own, "{:?}", strategy);
                prop_assert_eq!(moved.fewest(), own, "{:?}", strategy);
                let other = |(from, to, _)| if leaves { from == Some(gone) } else { to == Some(gone) };
                prop_assert!(moved.pairs().all(other), "{:?}", strategy);
            }
        }
    }
}

/// Of the contract, as it stands there.
#[test]
fn the_largest_of_five_shares_of_ten_thousand_tasks() {
    let names: Vec<String> = (0..10_000).map(|number| format!("task-{number}")).collect();
    for strategy in PROVED {
        let nodes = cluster(&[1; 5]);
        let all = owners(strategy, &nodes, &names);
        let shares = moves(&all, &all).after();
        assert!(shares.values().all(|share| *share <= 2_200), "{strategy:?}: {shares:?}");
        for gone in 0..5 {
            let mut fewer = nodes.clone();
            fewer.remove(gone);
            let moved = moves(&all, &owners(strategy, &fewer, &names)).moved();
            if matches!(strategy, Strategy::Consistent | Strategy::HashSlot) {
                assert!(moved <= 2_400, "{strategy:?}: {moved}");
            }
        }
    }
}
