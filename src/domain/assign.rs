//! Which node owns a task: a pure function of the members, evaluated wherever it is asked.
//!
//! `consistent` is weighted rendezvous hashing (Thaler and Ravishankar, 1998; weights by Schindelhauer
//! and Schomaker, 2005): each node draws an exponential number with its weight as rate from the
//! hash of task and node; the lowest wins. A node that joins takes only what it wins, a node that
//! leaves gives away only what it had.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::domain::ids::{NodeId, TaskKey};
use crate::domain::machine::record::{Intent, Liveness, NodeRecord};
use crate::domain::machine::{DeclaredTasks, LineKey, State, WaitingExecution};
use crate::domain::schedule::Rule;
use crate::domain::task::{Action, TaskSpec};
use crate::domain::time::Timestamp;

/// Largest weight of a node: shares up to here keep their proportions.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// Fraction bits of the logarithm.
const FRACTION: u32 = 24;

/// The function that serves every task without an action of its own.
pub const DEFAULT_FUNCTION: &str = "*";

/// The nodes that may own tasks, and the tasks that need no function of theirs.
#[derive(Clone, Debug, Default)]
pub struct Members {
    eligible: Vec<Arc<NodeRecord>>,
    /// The nodes that work, whatever is meant to become of them.
    working: Vec<Arc<NodeRecord>>,
    /// Those that executors carry out.
    declared: DeclaredTasks,
}

/// Why a node cannot own a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unfit {
    /// It does not work.
    Liveness(Liveness),
    /// It is draining, leaving or being removed.
    Intent(Intent),
    /// It has weight 0.
    Weight,
    /// It lacks labels of the task's selector.
    Selector,
    /// It starts no processes.
    Shell,
    /// It cannot start processes as the action's user.
    User,
    /// It does not have the function.
    Function,
}

/// Why a node can own no task at all at present; none: it can.
fn away(node: &NodeRecord) -> Option<Unfit> {
    if node.liveness != Liveness::Working {
        Some(Unfit::Liveness(node.liveness))
    } else if node.intent != Intent::None {
        Some(Unfit::Intent(node.intent))
    } else if node.weight() == 0 {
        Some(Unfit::Weight)
    } else {
        None
    }
}

/// Why a node that works can own no task like this; none: it can.
fn unsuited(node: &NodeRecord, spec: &TaskSpec, declared: &DeclaredTasks) -> Option<Unfit> {
    if matches(node, &spec.assignment.selector) {
        unable(node, spec, declared)
    } else {
        Some(Unfit::Selector)
    }
}

/// Why a node cannot own a task; none: it can.
#[must_use]
pub fn unfit(node: &NodeRecord, spec: &TaskSpec, declared: &DeclaredTasks) -> Option<Unfit> {
    away(node).or_else(|| unsuited(node, spec, declared))
}

/// What a node lacks to carry a task out, as it told when it registered. A `manual` task without an
/// action is for callers who claim its ticks, and one that executors declare is for these: it needs
/// nothing.
#[must_use]
pub fn unable(node: &NodeRecord, spec: &TaskSpec, declared: &DeclaredTasks) -> Option<Unfit> {
    let info = &node.info;
    let knows = |name: &String| info.functions.iter().any(|known| known == name);
    let handles = |name| knows(name) || info.functions.iter().any(|any| any == DEFAULT_FUNCTION);
    let can = |can: bool, lack: Unfit| (!can).then_some(lack);
    match &spec.action {
        Some(Action::Http(_) | Action::Executor(_)) => None,
        Some(Action::Shell(_)) if !info.shell => Some(Unfit::Shell),
        Some(Action::Shell(action)) => {
            let user = action.user.as_ref().zip(info.users.as_ref());
            can(user.is_none_or(|(user, users)| users.contains(user)), Unfit::User)
        }
        Some(Action::Func { id }) => can(handles(id), Unfit::Function),
        None if spec.schedule.rule == Rule::Manual || declared.any(&spec.name) => None,
        None => can(handles(&spec.name), Unfit::Function),
    }
}

impl Members {
    /// The eligible nodes of a state: working, with no intent, with a weight.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let eligible = state.nodes().filter(|node| away(node).is_none()).cloned().collect();
        let working = state.nodes().filter(|node| node.liveness == Liveness::Working);
        let working = working.cloned().collect();
        Self { eligible, working, declared: state.declared_tasks().clone() }
    }

    /// The owner of a task; none: no eligible node matches its selector and can carry it out.
    #[must_use]
    pub fn owner(&self, spec: &TaskSpec) -> Option<NodeId> {
        let name = spec.name.as_bytes();
        self.eligible
            .iter()
            .filter(|node| unsuited(node, spec, &self.declared).is_none())
            .map(|node| (draw(name, node.id, node.weight()), node.id))
            .min()
            .map(|(_, id)| id)
    }

    /// Whether a node may own a task of a state.
    #[must_use]
    pub fn may_own(&self, state: &State, task: TaskKey) -> bool {
        let suits = |spec: &TaskSpec| {
            self.eligible.iter().any(|node| unsuited(node, spec, &self.declared).is_none())
        };
        state.task(task).and_then(|task| task.spec()).is_some_and(suits)
    }

    /// The executions of a line of a state that may start now, in their order, whoever owns them.
    #[must_use]
    pub fn next_in_line(
        &self,
        state: &State,
        line: &LineKey,
        now: Timestamp,
    ) -> Vec<WaitingExecution> {
        state.lines().next(line, now, |task| self.may_own(state, task))
    }

    /// The tasks that executors declare.
    #[must_use]
    pub const fn declared(&self) -> &DeclaredTasks {
        &self.declared
    }

    /// The node that looks whether an executor answers. If no node may own tasks, one that works.
    #[must_use]
    pub fn prober(&self, executor: &str) -> Option<NodeId> {
        let name = format!("executor:{executor}");
        let nodes = if self.eligible.is_empty() { &self.working } else { &self.eligible };
        let draws =
            nodes.iter().map(|node| (draw(name.as_bytes(), node.id, node.weight()), node.id));
        draws.min().map(|(_, id)| id)
    }
}

/// Whether a node has all these labels.
fn matches(node: &NodeRecord, selector: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| node.label(key) == Some(value))
}

/// −log2(u) ÷ weight in fixed point, for u uniform in (0, 1] by hash.
fn draw(name: &[u8], node: NodeId, weight: u32) -> u64 {
    let hash = xxh3_64_with_seed(name, node.0.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    // Scaled for weights up to the largest.
    (u64::from(minus_log2(hash | 1)) << 16) / u64::from(weight.max(1))
}

/// −log2(x ÷ 2^64) with [`FRACTION`] bits after the point, by repeated squaring.
fn minus_log2(x: u64) -> u32 {
    let zeros = x.leading_zeros();
    let mut mantissa = u128::from(x) << zeros;
    let mut fraction = 0_u32;
    for _ in 0..FRACTION {
        mantissa = (mantissa * mantissa) >> 63;
        fraction <<= 1;
        if mantissa >= 1 << 64 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    ((zeros + 1) << FRACTION) - fraction
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::executor::ExecutorInfo;
    use crate::domain::machine::node_info;
    use crate::domain::machine::record::NodeOverrides;
    use crate::domain::schedule::Schedule;
    use crate::domain::task::ShellAction;
    use crate::domain::time::Millis;

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
        declared.add(&ExecutorInfo {
            id: "e1".to_owned(),
            name: "worker".to_owned(),
            base_url: "http://10.0.0.9:9090".to_owned(),
            health_check_url: None,
            weight: 1,
            capacity: 0,
            metadata: BTreeMap::new(),
            tasks: vec!["report".to_owned()],
        });
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
        let members = Members { eligible, working, declared: DeclaredTasks::default() };
        for name in 0..100 {
            for mut spec in [shell(None), task(Some(Action::Func { id: "report".to_owned() }))] {
                spec.name = format!("t{name}");
                assert_eq!(members.owner(&spec), Some(NodeId::new(2, 1)), "{name}");
            }
        }
        assert_eq!(members.owner(&task(Some(Action::Func { id: "sum".to_owned() }))), None);
    }

    fn counts(nodes: &[(u64, u32)], tasks: u32) -> BTreeMap<u64, u32> {
        let mut counts = BTreeMap::new();
        for task in 0..tasks {
            let name = format!("task-{task}");
            let draws =
                nodes.iter().map(|(id, weight)| (draw(name.as_bytes(), NodeId(*id), *weight), *id));
            *counts.entry(draws.min().unwrap().1).or_insert(0) += 1;
        }
        counts
    }

    #[test]
    fn the_logarithm_is_one() {
        assert_eq!(minus_log2(1 << 63), 1 << FRACTION);
        assert_eq!(minus_log2(1), 64 << FRACTION);
        for x in [3_u64, 1_000, 1 << 40, u64::MAX / 3, u64::MAX] {
            let exact = 64.0 - (x as f64).log2();
            let found = f64::from(minus_log2(x)) / f64::from(1 << FRACTION);
            assert!((exact - found).abs() < 1e-6, "{x}: {exact} {found}");
        }
    }

    #[test]
    fn equal_nodes_get_equal_shares() {
        let nodes: Vec<(u64, u32)> = (1..=5).map(|id| (id << 16 | 1, 1)).collect();
        for share in counts(&nodes, 10_000).values() {
            assert!((1_800..=2_200).contains(share), "{share}");
        }
    }

    #[test]
    fn shares_follow_weights() {
        let found = counts(&[(1, 1), (2, 3)], 10_000);
        assert!((2_300..=2_700).contains(&found[&1]), "{found:?}");
    }

    #[test]
    fn a_leaving_node_moves_only_its_own() {
        let all: Vec<(u64, u32)> = (1..=5).map(|id| (id << 16 | 1, 1)).collect();
        for task in 0..2_000 {
            let name = format!("t{task}");
            let owner = |nodes: &[(u64, u32)]| {
                nodes.iter().map(|(id, w)| (draw(name.as_bytes(), NodeId(*id), *w), *id)).min()
            };
            let before = owner(&all).unwrap().1;
            let after = owner(&all[..4]).unwrap().1;
            assert!(before == after || before == all[4].0);
        }
    }
}
