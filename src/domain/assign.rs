//! Which node owns a task: a pure function of the members, evaluated wherever it is asked.
//!
//! The task's strategy, else the cluster's, chooses one of the nodes that may own tasks and can
//! carry this one out. Each strategy is a file here; a further one is one more arm of [`choice`].

pub mod consistent;
pub mod custom;
pub mod hash_sharding;
pub mod hash_slot;
pub mod moves;
pub mod proposed;
pub mod range;
pub mod round_robin;
pub mod weighted;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::ids::{NodeId, TaskKey};
use crate::domain::machine::record::{Intent, Liveness, NodeInfo, NodeRecord};
use crate::domain::machine::{
    AssignmentTable, DeclaredTasks, LineKey, NodeNeed, OwnerNeeds, State, Task, TaskOwners,
    WaitingExecution,
};
use crate::domain::task::{Strategy, TaskSpec};
use crate::domain::time::Timestamp;

/// Largest weight of a node: shares up to here keep their proportions.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// The function that serves every task without an action of its own.
pub const DEFAULT_FUNCTION: &str = "*";

/// What strategies know of a task.
#[derive(Clone, Copy, Debug)]
pub struct Assignee<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its place in the table of tasks: the lowest one that was free when it was created.
    pub number: usize,
    /// What the leader proposed.
    pub table: &'a AssignmentTable,
}

/// A strategy: from a task and the nodes that can own it, in the order of their ids, to its owner;
/// none: there are no nodes.
pub type OwnerChoice = fn(Assignee<'_>, &[&NodeRecord]) -> Option<NodeId>;

/// The function of a strategy.
#[must_use]
pub fn choice(strategy: Strategy) -> OwnerChoice {
    match strategy {
        Strategy::Consistent => consistent::choose,
        Strategy::HashSharding => hash_sharding::choose,
        Strategy::HashSlot => hash_slot::choose,
        Strategy::Weighted => weighted::choose,
        Strategy::RoundRobin => round_robin::choose,
        Strategy::Range => range::choose,
        Strategy::Custom => custom::choose,
    }
}

/// The nodes that may own tasks, and the tasks that need no function of theirs.
#[derive(Clone, Debug, Default)]
pub struct Members {
    eligible: Vec<Arc<NodeRecord>>,
    /// The nodes that work, whatever is meant to become of them.
    working: Vec<Arc<NodeRecord>>,
    /// Those that executors carry out.
    declared: DeclaredTasks,
    /// Of tasks that name none.
    strategy: Strategy,
    /// For strategies whose choices the leader proposes.
    table: AssignmentTable,
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

/// What a node lacks to carry a task out, as it told when it registered.
#[must_use]
pub fn unable(node: &NodeRecord, spec: &TaskSpec, declared: &DeclaredTasks) -> Option<Unfit> {
    lack(node, NodeNeed::of(spec), declared)
}

/// What a node lacks of a need. A task that executors declare is for these: it needs nothing.
fn lack(node: &NodeRecord, need: NodeNeed<&str>, declared: &DeclaredTasks) -> Option<Unfit> {
    let info = &node.info;
    let has = |name: &str| info.functions.iter().any(|known| known == name);
    let handles = |name: &str| has(name) || has(DEFAULT_FUNCTION);
    let can = |can: bool, lack: Unfit| (!can).then_some(lack);
    match need {
        NodeNeed::Nothing => None,
        NodeNeed::Shell(_) if !info.shell => Some(Unfit::Shell),
        NodeNeed::Shell(user) => {
            let mut named = user.into_iter().zip(&info.users);
            can(named.all(|(user, users)| users.iter().any(|known| known == user)), Unfit::User)
        }
        NodeNeed::Function(name) => can(handles(name), Unfit::Function),
        NodeNeed::TaskName(name) => can(declared.any(name) || handles(name), Unfit::Function),
    }
}

/// The number of the needs of the same kind that a node meets; `usize::MAX`: all of them.
fn met(node: &NodeRecord, need: NodeNeed<&str>) -> usize {
    let info = &node.info;
    let any = || info.functions.iter().any(|name| name == DEFAULT_FUNCTION);
    match need {
        NodeNeed::Nothing => usize::MAX,
        NodeNeed::Shell(_) if !info.shell => 0,
        NodeNeed::Shell(_) => info.users.as_ref().map_or(usize::MAX, |users| users.len() + 1),
        NodeNeed::Function(_) | NodeNeed::TaskName(_) if any() => usize::MAX,
        NodeNeed::Function(_) | NodeNeed::TaskName(_) => info.functions.len(),
    }
}

impl Members {
    /// The eligible nodes of a state: working, with no intent, with a weight.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let declared = state.declared_tasks().clone();
        Self::among(state.nodes(), declared, state.cluster().strategy).by(state.assigned())
    }

    /// The same nodes, with another table of what the leader proposed.
    #[must_use]
    pub fn by(self, table: AssignmentTable) -> Self {
        Self { table, ..self }
    }

    /// What the leader proposed.
    #[must_use]
    pub const fn table(&self) -> &AssignmentTable {
        &self.table
    }

    /// The eligible ones of these nodes, which are in the order of their ids.
    #[must_use]
    pub fn among<'a>(
        nodes: impl Iterator<Item = &'a Arc<NodeRecord>>,
        declared: DeclaredTasks,
        strategy: Strategy,
    ) -> Self {
        let working = nodes.filter(|node| node.liveness == Liveness::Working).cloned();
        let working: Vec<Arc<NodeRecord>> = working.collect();
        let eligible = working.iter().filter(|node| away(node).is_none()).cloned().collect();
        Self { eligible, working, declared, strategy, table: AssignmentTable::default() }
    }

    /// The eligible nodes, in the order of their ids.
    pub fn eligible(&self) -> impl Iterator<Item = &Arc<NodeRecord>> {
        self.eligible.iter()
    }

    /// The same nodes under another strategy.
    #[cfg(feature = "seeded-bugs")]
    #[must_use]
    pub fn under(self, strategy: Strategy) -> Self {
        Self { strategy, ..self }
    }

    /// The eligible nodes of a state, if each of its nodes were changed like this.
    #[cfg(feature = "seeded-bugs")]
    #[must_use]
    pub fn of_changed(state: &State, change: impl Fn(&mut NodeRecord)) -> Self {
        let nodes = state.nodes().map(|node| {
            let mut node = NodeRecord::clone(node);
            change(&mut node);
            Arc::new(node)
        });
        let nodes: Vec<Arc<NodeRecord>> = nodes.collect();
        Self::among(nodes.iter(), state.declared_tasks().clone(), state.cluster().strategy)
    }

    /// Whether these members give every task to the node to which the others give it. It is true
    /// only if all that strategies look at is the same.
    #[must_use]
    pub fn give_as(&self, others: &Self) -> bool {
        let alike = |(one, other): (&Arc<NodeRecord>, &Arc<NodeRecord>)| {
            Arc::ptr_eq(one, other) || looked_at(one) == looked_at(other)
        };
        self.strategy == others.strategy
            && self.eligible.len() == others.eligible.len()
            && self.eligible.iter().zip(&others.eligible).all(alike)
            && self.declared == others.declared
            && self.table == others.table
    }

    /// The owner of a task; none: it has no definition, or no eligible node matches its selector and
    /// can carry it out.
    #[must_use]
    pub fn owner(&self, task: &Task) -> Option<NodeId> {
        task.spec().and_then(|spec| self.owner_of(spec, task.key.slot()))
    }

    fn owner_of(&self, spec: &TaskSpec, number: usize) -> Option<NodeId> {
        self.choose(spec, number, &self.suited(spec))
    }

    /// The nodes that can own a task, in the order in which they would own it: the first is the
    /// owner, and each further one would own it if those before it were away.
    #[must_use]
    pub fn ranking(&self, task: &Task) -> Vec<NodeId> {
        task.spec().map(|spec| self.ranking_of(spec, task.key.slot())).unwrap_or_default()
    }

    fn ranking_of(&self, spec: &TaskSpec, number: usize) -> Vec<NodeId> {
        let mut left = self.suited(spec);
        let mut ranking = Vec::new();
        while let Some(next) = self.choose(spec, number, &left) {
            left.retain(|node| node.id != next);
            ranking.push(next);
        }
        ranking
    }

    /// The eligible nodes that can own a task.
    fn suited(&self, spec: &TaskSpec) -> Vec<&NodeRecord> {
        let nodes = self.eligible.iter().map(|node| &**node);
        nodes.filter(|node| unsuited(node, spec, &self.declared).is_none()).collect()
    }

    fn choose(&self, spec: &TaskSpec, number: usize, nodes: &[&NodeRecord]) -> Option<NodeId> {
        let choose = choice(self.strategy_of(spec));
        choose(Assignee { name: &spec.name, number, table: &self.table }, nodes)
    }

    /// The strategy that is in force for a task.
    #[must_use]
    pub fn strategy_of(&self, spec: &TaskSpec) -> Strategy {
        spec.assignment.strategy.unwrap_or(self.strategy)
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
        let mut next = state.lines().next(line, now, self);
        if let LineKey::Task(task) = line {
            next.retain(|_| self.may_own(state, *task));
        }
        next
    }

    /// The nodes with the labels of a selector that may own tasks.
    fn with_labels(&self, needs: &OwnerNeeds) -> impl Iterator<Item = &NodeRecord> {
        let has =
            |node: &&Arc<NodeRecord>| needs.selector().is_none_or(|labels| matches(node, labels));
        self.eligible.iter().filter(has).map(|node| &**node)
    }

    /// The tasks that executors declare.
    #[must_use]
    pub const fn declared(&self) -> &DeclaredTasks {
        &self.declared
    }

    /// The node that looks whether an executor answers. If no node may own tasks, one that works.
    #[must_use]
    pub fn prober(&self, executor: &str) -> Option<NodeId> {
        let nodes = if self.eligible.is_empty() { &self.working } else { &self.eligible };
        let nodes: Vec<&NodeRecord> = nodes.iter().map(|node| &**node).collect();
        consistent::winner(&format!("executor:{executor}"), &nodes)
    }
}

/// All that assignment looks at of an eligible node.
fn looked_at(node: &NodeRecord) -> impl PartialEq + '_ {
    let NodeInfo { name, hostname, functions, shell, users, .. } = &node.info;
    (node.id, node.weight(), node.labels(), (name, hostname), functions, *shell, users)
}

/// The number that a node draws for a task: the lowest one wins. None: the strategy draws none.
#[must_use]
pub fn draw(strategy: Strategy, task: &str, node: &NodeRecord) -> Option<u64> {
    match strategy {
        Strategy::Consistent => Some(consistent::draw(task, node.id, node.weight())),
        Strategy::HashSlot => Some(hash_slot::draw(task, node)),
        Strategy::HashSharding
        | Strategy::Weighted
        | Strategy::RoundRobin
        | Strategy::Range
        | Strategy::Custom => None,
    }
}

impl TaskOwners for Members {
    fn has_owner(&self, needs: &OwnerNeeds) -> bool {
        let need = needs.need();
        self.with_labels(needs).any(|node| lack(node, need, &self.declared).is_none())
    }

    fn each_label(&self, needs: &OwnerNeeds, tell: &mut dyn FnMut(&str, &str)) {
        self.with_labels(needs).for_each(|node| node.each_label(tell));
    }

    fn met_count(&self, needs: &OwnerNeeds) -> usize {
        let mut nodes = self.with_labels(needs).peekable();
        let declared = match needs.need() {
            NodeNeed::TaskName(_) if nodes.peek().is_some() => self.declared.names().len(),
            _ => 0,
        };
        nodes.map(|node| met(node, needs.need())).fold(declared, usize::saturating_add)
    }

    fn each_met(&self, needs: &OwnerNeeds, meet: &mut dyn FnMut(NodeNeed<&str>)) {
        let mut nodes = self.with_labels(needs).peekable();
        if nodes.peek().is_some() && matches!(needs.need(), NodeNeed::TaskName(_)) {
            self.declared.names().for_each(|name| meet(NodeNeed::TaskName(name)));
        }
        for NodeRecord { info, .. } in nodes {
            match needs.need() {
                NodeNeed::Nothing => meet(NodeNeed::Nothing),
                NodeNeed::Shell(_) if !info.shell => {}
                NodeNeed::Shell(_) => {
                    meet(NodeNeed::Shell(None));
                    info.users.iter().flatten().for_each(|user| meet(NodeNeed::Shell(Some(user))));
                }
                NodeNeed::Function(_) => {
                    info.functions.iter().for_each(|name| meet(NodeNeed::Function(name)));
                }
                NodeNeed::TaskName(_) => {
                    info.functions.iter().for_each(|name| meet(NodeNeed::TaskName(name)));
                }
            }
        }
    }
}

/// Whether a node has all these labels.
fn matches(node: &NodeRecord, selector: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| node.label(key) == Some(value))
}

#[cfg(test)]
mod bounds;
#[cfg(test)]
mod tests;
