//! Who may own a task, and the bounds that strategies keep.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::domain::executor::ExecutorInfo;
use crate::domain::ids::Revision;
use crate::domain::machine::node_info;
use crate::domain::machine::record::{Definition, NodeOverrides};
use crate::domain::schedule::{Rule, Schedule};
use crate::domain::task::{Action, ShellAction, Strategy};
use crate::domain::time::Millis;
use crate::stories::golden;

fn node(number: u16) -> NodeRecord {
    let id = NodeId::new(number, 1);
    let mut info = node_info(number.into());
    info.functions.clear();
    NodeRecord {
        id,
        info,
        session: crate::domain::ids::SessionId(number.into()),
        boot: 1,
        liveness: Liveness::Working,
        intent: Intent::None,
        down_since: None,
        created_at: Timestamp(0),
        started_at: Timestamp(0),
        overrides: NodeOverrides::default(),
    }
}

fn unfit(node: &NodeRecord, spec: &TaskSpec) -> Option<Unfit> {
    super::unfit(node, spec, &DeclaredTasks::default())
}

fn task(action: Option<Action>) -> TaskSpec {
    let rule = Rule::Interval { every: Millis::from_secs(1), anchor: None };
    TaskSpec::new("report", Schedule::of(rule), action)
}

fn shell(user: Option<&str>) -> TaskSpec {
    let (argv, env) = (vec!["true".to_owned()], BTreeMap::new());
    let user = user.map(str::to_owned);
    let action = ShellAction { argv, env, cwd: None, stdin: String::new(), user };
    task(Some(Action::Shell(action)))
}

fn executor(tasks: Vec<String>) -> ExecutorInfo {
    ExecutorInfo {
        id: "e1".to_owned(),
        name: "worker".to_owned(),
        base_url: "http://10.0.0.9:9090".to_owned(),
        health_check_url: None,
        weight: 1,
        capacity: 0,
        metadata: BTreeMap::new(),
        tasks,
    }
}

#[test]
fn who_cannot_carry_a_task_out_is_no_candidate() {
    let func = |id: &str| task(Some(Action::Func { id: id.to_owned() }));
    let mut one = node(1);
    assert_eq!(unfit(&one, &shell(None)), None);
    assert_eq!(unfit(&one, &shell(Some("www"))), None, "it likes any user");
    one.info.users = Some(vec!["backup".to_owned()]);
    assert_eq!(unfit(&one, &shell(None)), None);
    assert_eq!(unfit(&one, &shell(Some("backup"))), None);
    assert_eq!(unfit(&one, &shell(Some("www"))), Some(Unfit::User));
    one.info.shell = false;
    assert_eq!(unfit(&one, &shell(None)), Some(Unfit::Shell));
    assert_eq!(unfit(&one, &shell(Some("www"))), Some(Unfit::Shell));
    assert_eq!(unfit(&one, &func("sum")), Some(Unfit::Function));
    assert_eq!(unfit(&one, &task(None)), Some(Unfit::Function));
    one.info.functions = vec!["report".to_owned()];
    assert_eq!(unfit(&one, &func("sum")), Some(Unfit::Function));
    assert_eq!(unfit(&one, &task(None)), None, "the function of its name");
    one.info.functions = vec![DEFAULT_FUNCTION.to_owned()];
    assert_eq!(unfit(&one, &func("sum")), None);
    assert_eq!(unfit(&one, &task(None)), None);
    let manual = TaskSpec::new("claimed", Schedule::of(Rule::Manual), None);
    assert_eq!(unfit(&node(2), &manual), None, "its callers carry it out");
    let mut declared = DeclaredTasks::default();
    declared.add(&executor(vec!["report".to_owned()]));
    assert_eq!(unfit(&node(2), &task(None)), Some(Unfit::Function));
    assert_eq!(super::unfit(&node(2), &task(None), &declared), None, "an executor has it");
    one.liveness = Liveness::Down;
    assert_eq!(unfit(&one, &task(None)), Some(Unfit::Liveness(Liveness::Down)));
}

#[test]
fn tasks_go_to_those_who_can() {
    let (mut one, mut two) = (node(1), node(2));
    one.info.shell = false;
    two.info.functions = vec!["report".to_owned()];
    let eligible = vec![Arc::new(one), Arc::new(two)];
    let working = Vec::new();
    let members = Members { eligible, working, ..Members::default() };
    for name in 0..100 {
        for mut spec in [shell(None), task(Some(Action::Func { id: "report".to_owned() }))] {
            spec.name = format!("t{name}");
            assert_eq!(members.owner_of(&spec, name), Some(NodeId::new(2, 1)), "{name}");
        }
    }
    assert_eq!(members.owner_of(&task(Some(Action::Func { id: "sum".to_owned() })), 0), None);
}

/// Those that choose by themselves, without what the leader proposes.
pub(super) const BUILT: [Strategy; 5] = [
    Strategy::Consistent,
    Strategy::HashSharding,
    Strategy::HashSlot,
    Strategy::Weighted,
    Strategy::RoundRobin,
];

#[test]
fn the_ranking_says_who_would_own_a_task_if_those_before_were_away() {
    let nodes = cluster(&[1, 2, 3, 0, 10]).into_iter().map(Arc::new);
    let nodes: Vec<Arc<NodeRecord>> = nodes.collect();
    for strategy in BUILT {
        let among = |nodes: &[Arc<NodeRecord>]| {
            Members::among(nodes.iter(), DeclaredTasks::default(), strategy)
        };
        for (number, name) in names(50).enumerate() {
            let mut spec = shell(None);
            spec.name = name;
            let mut left = nodes.clone();
            let ranking = among(&left).ranking_of(&spec, number);
            assert_eq!(ranking.len(), 4, "weight 0 owns nothing: {strategy:?}");
            for next in ranking {
                assert_eq!(among(&left).owner_of(&spec, number), Some(next), "{strategy:?}");
                left.retain(|node| node.id != next);
            }
            assert_eq!(among(&left).owner_of(&spec, number), None, "{strategy:?}");
        }
    }
}

#[test]
fn members_differ_in_what_assignment_looks_at() {
    let nodes = [node(1), node(2)];
    let among = |nodes: &[NodeRecord]| {
        let nodes: Vec<Arc<NodeRecord>> = nodes.iter().cloned().map(Arc::new).collect();
        Members::among(nodes.iter(), DeclaredTasks::default(), Strategy::Consistent)
    };
    let now = among(&nodes);
    let after = |change: fn(&mut NodeRecord)| {
        let mut nodes = nodes.clone();
        change(&mut nodes[1]);
        now.give_as(&among(&nodes))
    };
    let unseen: [fn(&mut NodeRecord); 4] = [
        |node| node.overrides.slots = Some(7),
        |node| node.info.pid += 1,
        |node| node.session.0 += 1,
        |node| node.overrides.weight = Some(node.info.weight),
    ];
    assert!(unseen.into_iter().all(after));
    let seen: [fn(&mut NodeRecord); 8] = [
        |node| node.overrides.weight = Some(7),
        |node| drop(node.overrides.labels.insert("zone".to_owned(), "a".to_owned())),
        |node| node.info.functions.push("f".to_owned()),
        |node| node.info.shell = !node.info.shell,
        |node| node.info.users = Some(Vec::new()),
        |node| node.info.hostname.push('x'),
        |node| node.liveness = Liveness::Down,
        |node| node.intent = Intent::Draining,
    ];
    assert!(!seen.into_iter().any(after));
    let other = Members { strategy: Strategy::HashSlot, ..now.clone() };
    assert!(!now.give_as(&other));
}

/// Nodes with these weights, numbered from 1.
pub(super) fn cluster(weights: &[u32]) -> Vec<NodeRecord> {
    let nodes = (1..).zip(weights).map(|(number, weight)| {
        let mut node = node(number);
        node.overrides.weight = Some(*weight);
        node
    });
    nodes.collect()
}

fn names(many: usize) -> impl Iterator<Item = String> {
    (0..many).map(|number| format!("task-{number}"))
}

/// The owners of tasks.
fn owners(strategy: Strategy, nodes: &[NodeRecord], many: usize) -> Vec<NodeId> {
    let (choose, table) = (choice(strategy), &AssignmentTable::default());
    let nodes: Vec<&NodeRecord> = nodes.iter().collect();
    let names: Vec<String> = names(many).collect();
    let tasks = names.iter().enumerate().map(|(number, name)| Assignee { name, number, table });
    tasks.map(|name| choose(name, &nodes).expect("each task has an owner")).collect()
}

fn counts(owners: &[NodeId]) -> BTreeMap<NodeId, usize> {
    let mut counts = BTreeMap::new();
    for owner in owners {
        *counts.entry(*owner).or_insert(0) += 1;
    }
    counts
}

fn moved(before: &[NodeId], after: &[NodeId]) -> usize {
    before.iter().zip(after).filter(|(before, after)| before != after).count()
}

#[test]
fn no_strategy_chooses_among_no_nodes() {
    let all = [Strategy::Range, Strategy::Custom].into_iter().chain(BUILT);
    for strategy in all {
        let task = Assignee { name: "a", number: 0, table: &AssignmentTable::default() };
        assert_eq!(choice(strategy)(task, &[]), None, "{strategy:?}");
    }
}

/// Which node owns a task is agreed on by comparing nothing: no release may see it otherwise.
#[test]
fn owners_stay_the_same_from_release_to_release() {
    let mut out = String::new();
    for strategy in BUILT {
        for weights in [&[1, 1, 1][..], &[1, 2, 3, 0, 10][..]] {
            let nodes = cluster(weights);
            let nodes: Vec<NodeRecord> =
                nodes.into_iter().filter(|node| away(node).is_none()).collect();
            let owners = owners(strategy, &nodes, 40).into_iter();
            let owners: String = owners.map(|owner| owner.configured().to_string()).collect();
            writeln!(out, "{strategy:?} {weights:?}: {owners}").unwrap();
        }
    }
    golden(&PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/domain/assign/owners.txt"), &out);
}

#[test]
fn equal_nodes_get_equal_shares() {
    for strategy in BUILT {
        for count in 3..=9 {
            let counts = counts(&owners(strategy, &cluster(&vec![1; count]), 10_000));
            let largest = counts.values().max().unwrap() * count;
            assert!(largest <= 11_000, "{strategy:?}, {count} nodes: {counts:?}");
            assert_eq!(counts.len(), count, "{strategy:?}");
        }
    }
}

#[test]
fn shares_follow_weights() {
    let weights = [1, 2, 3, 4, 10];
    for strategy in [Strategy::Consistent, Strategy::HashSlot, Strategy::Weighted] {
        let counts = counts(&owners(strategy, &cluster(&weights), 100_000));
        for (weight, share) in weights.into_iter().zip(counts.values()) {
            let fair = 100_000 / 20 * weight as usize;
            assert!(share.abs_diff(fair) * 10 <= fair, "{strategy:?}: {counts:?}");
        }
    }
}

/// At most 1.2 times the share of the node that joins or leaves, which has to move.
#[test]
fn no_more_tasks_move_than_have_to() {
    for strategy in [Strategy::Consistent, Strategy::HashSlot] {
        for count in 3..=9 {
            let all = cluster(&vec![1; count]);
            let before = owners(strategy, &all, 10_000);
            for left in 0..count {
                let mut fewer = all.clone();
                let gone = fewer.remove(left).id;
                let after = owners(strategy, &fewer, 10_000);
                let moves = moved(&before, &after);
                assert!(moves * count <= 12_000, "{strategy:?}, {count} nodes: {moves}");
                // Seen the other way round, the node joins and takes nothing but its own.
                let own = before.iter().filter(|owner| **owner == gone).count();
                assert_eq!(moves, own, "{strategy:?}, {count} nodes");
            }
        }
    }
}

proptest! {
    #[test]
    fn each_task_has_one_owner_that_depends_on_nothing_else(
        weights in prop::collection::vec(0_u32..=WEIGHT_MAX, 3..=9),
        many in 10_usize..300,
        chosen in 0_usize..BUILT.len(),
        strays in prop::collection::vec(any::<bool>(), 9),
    ) {
        let strategy = BUILT[chosen];
        let mut nodes = cluster(&weights);
        for (node, stray) in nodes.iter_mut().zip(&strays) {
            node.info.shell = !stray;
        }
        let eligible: Vec<Arc<NodeRecord>> =
            nodes.iter().filter(|node| away(node).is_none()).cloned().map(Arc::new).collect();
        let able = eligible.iter().any(|node| node.info.shell);
        let members = |strategy| Members { eligible: eligible.clone(), strategy, ..Members::default() };
        let (members, others) = (members(strategy), members(Strategy::Range));
        for (number, name) in names(many).enumerate() {
            let mut spec = shell(None);
            spec.name = name;
            let owner = members.owner_of(&spec, number);
            prop_assert_eq!(owner.is_some(), able);
            if let Some(owner) = owner {
                let node = nodes.iter().find(|node| node.id == owner).unwrap();
                prop_assert!(node.weight() > 0 && node.info.shell, "{:?}", node);
            }
            // The task's own strategy stands above the cluster's.
            spec.assignment.strategy = Some(strategy);
            prop_assert_eq!(others.owner_of(&spec, number), owner);
        }
    }
}

/// A few names, labels and users, so that what nodes have and what tasks need often meets.
const WORDS: [&str; 3] = ["report", "sum", "www"];

fn words(mask: u8) -> Vec<String> {
    let chosen = WORDS.iter().enumerate().filter(|(at, _)| mask & (1 << at) != 0);
    chosen.map(|(_, word)| (*word).to_owned()).collect()
}

fn labels(mask: u8) -> BTreeMap<String, String> {
    let label = |name: String| (name, "yes".to_owned());
    words(mask).into_iter().map(label).collect()
}

/// A node with the labels, functions and users of these numbers.
fn node_of(number: u16, (labelled, functions, users, more): (u8, u8, u8, u8)) -> NodeRecord {
    let mut node = node(number);
    node.info.labels = labels(labelled);
    node.info.functions = words(functions);
    if more & 3 == 0 {
        node.info.functions.push(DEFAULT_FUNCTION.to_owned());
    }
    node.info.users = (more & 4 == 0).then(|| words(users));
    node.info.shell = more & 8 == 0;
    if more & 48 == 0 {
        node.overrides.weight = Some(0);
    }
    node
}

/// A task with this selector, name and action.
fn task_of((selector, name, action, word): (u8, usize, u8, usize)) -> TaskSpec {
    let word = WORDS[word];
    let mut spec = match action {
        0 => shell(None),
        1 => shell(Some(word)),
        2 => task(Some(Action::Func { id: word.to_owned() })),
        3 => TaskSpec::new("", Schedule::of(Rule::Manual), None),
        _ => task(None),
    };
    spec.name = WORDS[name].to_owned();
    spec.assignment.selector = labels(selector);
    spec
}

#[test]
fn each_label_of_the_nodes_that_match_is_told() {
    let mut one = node_of(1, (7, 0, 0, 8));
    one.overrides.labels =
        [("sum", "no"), ("zone", "a")].map(|(key, value)| (key.into(), value.into())).into();
    let eligible = vec![Arc::new(one), Arc::new(node_of(2, (1, 0, 0, 0)))];
    let members = Members { eligible, ..Members::default() };
    let told = |selector: &[(&str, &str)]| {
        let mut spec = task(None);
        spec.assignment.selector =
            selector.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (at, by) = (Timestamp(0), String::new());
        let needs = OwnerNeeds::of(&Arc::new(Definition { revision: Revision(1), at, by, spec }));
        let mut told = BTreeSet::new();
        members.each_label(&needs, &mut |key, value| _ = told.insert(format!("{key}={value}")));
        told.into_iter().collect::<Vec<_>>().join(" ")
    };
    let first = "host=host-1 node=n1 report=yes shell=false sum=no www=yes zone=a";
    assert_eq!(told(&[("zone", "a")]), first);
    assert_eq!(told(&[("shell", "true")]), "host=host-2 node=n2 report=yes shell=true");
    assert_eq!(
        told(&[]),
        "host=host-1 host=host-2 node=n1 node=n2 report=yes shell=false shell=true sum=no www=yes zone=a"
    );
    assert_eq!(told(&[("sum", "yes")]), "");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_node_may_own_all_tasks_of_a_class_or_none(
        nodes in prop::collection::vec((0_u8..8, 0_u8..8, 0_u8..8, 0_u8..64), 0..4),
        tasks in prop::collection::vec((0_u8..8, 0_usize..3, 0_u8..6, 0_usize..3), 1..40),
        declared in 0_u8..8,
    ) {
        let nodes = (1..).zip(nodes).map(|(number, dice)| node_of(number, dice));
        let eligible = nodes.filter(|node| away(node).is_none()).map(Arc::new).collect();
        let mut all = DeclaredTasks::default();
        all.add(&executor(words(declared)));
        let members = Members { eligible, declared: all, ..Members::default() };
        let mut classes: Vec<(OwnerNeeds, TaskSpec)> = Vec::new();
        for spec in tasks.into_iter().map(task_of) {
            let (at, by) = (Timestamp(0), String::new());
            let definition = Definition { revision: Revision(1), at, by, spec: spec.clone() };
            let needs = OwnerNeeds::of(&Arc::new(definition));
            let owned = members.owner_of(&spec, 0).is_some();
            prop_assert_eq!(members.has_owner(&needs), owned, "{:?}", &spec);

            // What is said of the family is true of the class.
            let (count, mut visits, mut met) = (members.met_count(&needs), 0, false);
            members.each_met(&needs, &mut |need| {
                visits += 1;
                let other = needs.with(need);
                assert!(members.has_owner(&other), "{other:?}");
                met |= other == needs;
            });
            match count {
                0 => prop_assert!(!owned && visits == 0),
                usize::MAX => prop_assert!(owned),
                _ => prop_assert!(met == owned && visits == count, "{:?}", &spec),
            }

            // The class is the selector and what carries the task out.
            for (others, other) in &classes {
                let same = NodeNeed::of(&spec) == NodeNeed::of(other)
                    && spec.assignment.selector == other.assignment.selector;
                prop_assert_eq!(&needs == others, same);
                prop_assert_eq!(needs.cmp(others), others.cmp(&needs).reverse());
            }
            classes.push((needs, spec));
        }
    }
}
