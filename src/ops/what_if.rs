//! What would become of the owners of tasks if members came, went or changed, or another strategy
//! were in force. Nothing changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::OpError;
use super::context::StateView;
use super::lists::PageRequest;
use super::nodes::find;
use super::views::node_name;
use crate::domain::assign::custom::OwnStrategy;
use crate::domain::assign::moves::{Moves, OwnerMove};
use crate::domain::assign::{Members, proposed};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::NodeId;
use crate::domain::machine::command::Assign;
use crate::domain::machine::record::{Intent, Liveness, NodeInfo, NodeRecord};
use crate::domain::machine::{State, Task};
use crate::domain::spec::strategy_word;
use crate::domain::task::Strategy;
use crate::dto::{MovedTaskView, MovesView, ShareView, WhatIfView};

/// A node that comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Newcomer {
    /// Its name, `n4`: of a new node, or of one that may own nothing now.
    pub name: String,
    /// Its weight; none: of a new node 1, of another one what it has.
    pub weight: Option<u32>,
    /// Its labels, beside those that it has.
    pub labels: BTreeMap<String, String>,
}

/// What is supposed to change, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Supposed {
    /// Nodes that go.
    pub leave: Vec<String>,
    /// Nodes that come.
    pub join: Vec<Newcomer>,
    /// Nodes that are drained.
    pub drain: Vec<String>,
    /// Weights of nodes.
    pub weights: Vec<(String, u32)>,
    /// The strategy of tasks that name none.
    pub strategy: Option<Strategy>,
}

/// Nodes by their ids.
type SupposedNodes = BTreeMap<NodeId, Arc<NodeRecord>>;

/// A frozen state, and the members after what is supposed.
pub(crate) struct WhatIf {
    view: StateView,
    nodes: SupposedNodes,
    members: Members,
    strategy: Strategy,
}

impl WhatIf {
    /// Applies what is supposed to the nodes of a state. `own` is the strategy of this program.
    ///
    /// # Errors
    /// `invalid_parameter`: no such node; `all_weights_0`; `not_supported`: tasks follow the strategy of
    /// an embedding program, and this one has none.
    pub fn of(
        view: StateView,
        supposed: &Supposed,
        own: Option<&OwnStrategy>,
    ) -> Result<Self, OpError> {
        let mut nodes: SupposedNodes =
            view.state.nodes().map(|node| (node.id, Arc::clone(node))).collect();
        for name in &supposed.leave {
            let id = named(&view, &nodes, "leave", name)?;
            nodes.remove(&id);
        }
        for newcomer in &supposed.join {
            join(&view, &mut nodes, newcomer)?;
        }
        for name in &supposed.drain {
            let id = named(&view, &nodes, "drain", name)?;
            change(&mut nodes, id, |node| node.intent = Intent::Draining);
        }
        for (name, weight) in &supposed.weights {
            let id = named(&view, &nodes, "weight", name)?;
            change(&mut nodes, id, |node| node.overrides.weight = Some(*weight));
        }
        if !nodes.is_empty() && nodes.values().all(|node| node.weight() == 0) {
            let why = "every node would have weight 0, so no task would have an owner";
            return Err(OpError::new(ErrorCode::AllWeights0, why));
        }
        let strategy = supposed.strategy.unwrap_or(view.state.cluster().strategy);
        let declared = view.state.declared_tasks().clone();
        let members = Members::among(nodes.values(), declared, strategy).by(view.state.assigned());
        let members = as_proposed(&view.state, members, own)?;
        Ok(Self { view, nodes, members, strategy })
    }

    /// Compares the owners. This looks at all tasks.
    pub fn answer(&self, page: &PageRequest) -> WhatIfView {
        let (now, after) = (&self.view.members, &self.members);
        let moves = Moves::of(self.tasks(""), now, after);
        let (owned_now, owned) = (moves.before(), moves.after());
        let of =
            |owned: &BTreeMap<Option<NodeId>, u64>, node| owned.get(&node).copied().unwrap_or(0);
        let named = |node: Option<NodeId>| node.map(|node| self.name(node));
        let moved = self.tasks(page.after().unwrap_or_default());
        let moved = moved.filter_map(|task| Some((task, OwnerMove::of(task, now, after)?)));
        WhatIfView {
            tasks: moves.tasks(),
            moved: moves.moved(),
            fewest: moves.fewest(),
            without_owner: of(&owned, None),
            without_owner_now: of(&owned_now, None),
            strategy: strategy_word(self.strategy).into(),
            nodes: self.shares(&moves),
            moves: moves
                .pairs()
                .map(|(from, to, tasks)| MovesView { from: named(from), to: named(to), tasks })
                .collect(),
            list: page.list(
                moved,
                |(task, _)| task.live.name.to_string(),
                |(task, moved)| MovedTaskView {
                    task: task.live.name.to_string(),
                    from: named(moved.from),
                    to: named(moved.to),
                },
            ),
        }
    }

    /// The tasks, by name, without those marked deleted.
    fn tasks<'a>(&'a self, after: &'a str) -> impl Iterator<Item = &'a Task> {
        let tasks = self.view.state.by_name(after).map(|task| &**task);
        tasks.filter(|task| task.live.deleted.is_none())
    }

    fn name(&self, node: NodeId) -> String {
        match self.nodes.get(&node) {
            Some(node) => node.info.name.clone(),
            None => node_name(&self.view.state, node),
        }
    }

    fn shares(&self, moves: &Moves) -> Vec<ShareView> {
        let weights = |members: &Members| -> BTreeMap<NodeId, u32> {
            members.eligible().map(|node| (node.id, node.weight())).collect()
        };
        let (weights_now, weights) = (weights(&self.view.members), weights(&self.members));
        let (owned_now, owned) = (moves.before(), moves.after());
        let mut ids: Vec<NodeId> =
            self.view.state.nodes().map(|node| node.id).chain(self.nodes.keys().copied()).collect();
        ids.sort_unstable();
        ids.dedup();
        let share = |id: NodeId| ShareView {
            node: self.name(id),
            weight_now: weights_now.get(&id).copied(),
            weight: weights.get(&id).copied(),
            tasks_now: owned_now.get(&Some(id)).copied().unwrap_or(0),
            tasks: owned.get(&Some(id)).copied().unwrap_or(0),
            fair_now: fair(moves.tasks(), id, &weights_now),
            fair: fair(moves.tasks(), id, &weights),
        };
        ids.into_iter().map(share).collect()
    }
}

/// The members with what the leader would propose for them before long.
fn as_proposed(
    state: &State,
    members: Members,
    own: Option<&OwnStrategy>,
) -> Result<Members, OpError> {
    let mut assigns: Vec<Assign> = proposed::parts(state, &members).into_iter().collect();
    if proposed::is_followed_now(state, &members, Strategy::Custom) {
        let own = own.ok_or_else(no_strategy)?;
        let choices = proposed::choices(state, &members, &*own.0);
        assigns.extend(choices.map_err(|fault| OpError::internal(&fault.to_string()))?);
    }
    let table = assigns.iter().fold(members.table().clone(), |table, assign| match assign {
        Assign::Parts(parts) => table.with_parts(parts),
        Assign::Choices(choices) => table.with_choices(choices),
    });
    Ok(members.by(table))
}

fn no_strategy() -> OpError {
    let why = "tasks would follow the strategy custom, and the program of this node has no strategy \
               of its own";
    OpError::new(ErrorCode::NotSupported, why).advise("Ask a node whose program has one.")
}

/// The part of a node in proportion to the weights, rounded.
fn fair(tasks: u64, node: NodeId, weights: &BTreeMap<NodeId, u32>) -> u64 {
    let sum: u128 = weights.values().map(|weight| u128::from(*weight)).sum();
    let weight = weights.get(&node).map_or(0, |weight| u128::from(*weight));
    let part = (u128::from(tasks) * weight * 2 + sum).checked_div(sum * 2);
    part.and_then(|part| u64::try_from(part).ok()).unwrap_or(0)
}

/// A node by name or configured id, among those that are left.
fn named(
    view: &StateView,
    nodes: &SupposedNodes,
    parameter: &str,
    name: &str,
) -> Result<NodeId, OpError> {
    let here = find(view, name).ok().map(|node| node.id).filter(|id| nodes.contains_key(id));
    let called = nodes.values().filter(|node| node.info.name == name).map(|node| node.id);
    let found = here.or_else(|| called.max());
    found.ok_or_else(|| {
        let names: Vec<&str> = nodes.values().map(|node| node.info.name.as_str()).collect();
        let rule = format!("`{name}` is none of the nodes {}", names.join(", "));
        OpError::parameter(parameter, rule)
    })
}

fn change(nodes: &mut SupposedNodes, id: NodeId, change: impl FnOnce(&mut NodeRecord)) {
    if let Some(node) = nodes.get_mut(&id) {
        change(Arc::make_mut(node));
    }
}

/// A node comes: a new one, or one that may own nothing now.
fn join(view: &StateView, nodes: &mut SupposedNodes, newcomer: &Newcomer) -> Result<(), OpError> {
    let Newcomer { name, weight, labels } = newcomer;
    let id = match named(view, nodes, "join", name) {
        Ok(id) => {
            change(nodes, id, |node| {
                node.liveness = Liveness::Working;
                node.intent = Intent::None;
            });
            id
        }
        Err(_) => {
            let node = new_node(view, name)?;
            let id = node.id;
            nodes.insert(id, Arc::new(node));
            id
        }
    };
    change(nodes, id, |node| {
        node.overrides.weight = weight.or(node.overrides.weight);
        node.overrides.labels.extend(labels.clone());
    });
    Ok(())
}

/// A new node can carry out what any of the others can.
fn new_node(view: &StateView, name: &str) -> Result<NodeRecord, OpError> {
    let number = name.strip_prefix('n').and_then(|number| number.parse::<u16>().ok());
    let number = number.filter(|number| *number > 0).ok_or_else(|| {
        let rule = format!("`{name}` is neither a node nor the name of a new one, such as n4");
        OpError::parameter("join", rule)
    })?;
    let Some(pattern) = view.state.nodes().next() else {
        return Err(OpError::no_leader("no node is registered"));
    };
    let infos = || view.state.nodes().map(|node| &node.info);
    let mut functions: Vec<String> = infos().flat_map(|info| info.functions.clone()).collect();
    functions.sort_unstable();
    functions.dedup();
    let info = NodeInfo {
        name: name.to_owned(),
        hostname: name.to_owned(),
        weight: 1,
        labels: BTreeMap::new(),
        functions,
        shell: infos().any(|info| info.shell),
        users: None,
        ..pattern.info.clone()
    };
    Ok(NodeRecord {
        id: NodeId::new(number, 1),
        info,
        liveness: Liveness::Working,
        intent: Intent::None,
        overrides: Default::default(),
        ..NodeRecord::clone(pattern)
    })
}
