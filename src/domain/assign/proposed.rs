//! What the leader proposes for the strategies whose choices are part of the state.

use std::collections::{BTreeMap, BTreeSet};

use super::custom::{AssignmentStrategy, NodeToAssign, TaskToAssign};
use super::{Members, range};
use crate::domain::ids::NodeId;
use crate::domain::machine::State;
use crate::domain::machine::command::Assign;
use crate::domain::machine::record::NodeRecord;
use crate::domain::task::{Strategy, TaskSpec};

/// Most choices in one command: of the longest names they take less than 256 KiB.
const TOGETHER: usize = 1_000;

/// Whether a task may follow a strategy: the cluster's, or one that a task names. It costs nothing.
#[must_use]
pub fn is_followed(state: &State, members: &Members, strategy: Strategy) -> bool {
    members.strategy == strategy || state.names_strategy(strategy)
}

/// Whether there may be something to propose.
#[must_use]
pub fn is_needed(state: &State, members: &Members) -> bool {
    is_followed(state, members, Strategy::Range)
        || is_followed(state, members, Strategy::Custom)
        || members.table().chosen().next().is_some()
}

/// Whether a proposal gives a task to another node although that of its choice may own tasks.
#[must_use]
pub fn is_moving(assigns: &[Assign], members: &Members) -> bool {
    let may = |node: NodeId| members.eligible().any(|one| one.id == node);
    let former = |name: &str| members.table().choice(name).filter(|node| may(*node));
    assigns.iter().any(|assign| match assign {
        Assign::Parts(_) => false,
        Assign::Choices(choices) => choices.iter().any(|(name, node)| {
            node.is_some() && former(name).is_some_and(|former| Some(former) != *node)
        }),
    })
}

/// The definitions of the tasks that follow a strategy, by name, each with its owner.
fn following<'a>(
    state: &'a State,
    members: &'a Members,
    strategy: Strategy,
) -> impl Iterator<Item = (&'a TaskSpec, Option<NodeId>)> {
    let tasks = state.by_name("").filter(|task| task.live.deleted.is_none());
    tasks.filter_map(move |task| {
        let spec = task.spec().filter(|spec| members.strategy_of(spec) == strategy)?;
        Some((spec, members.owner(task)))
    })
}

/// Whether a task follows a strategy. A deleted mark that named it does not.
#[must_use]
pub fn is_followed_now(state: &State, members: &Members, strategy: Strategy) -> bool {
    is_followed(state, members, strategy) && following(state, members, strategy).next().is_some()
}

/// Other parts for `range`; none: those of the state fit.
#[must_use]
pub fn parts(state: &State, members: &Members) -> Option<Assign> {
    if !is_followed(state, members, Strategy::Range) {
        return None;
    }
    let names: Vec<&str> = state
        .by_name("")
        .filter(|task| task.live.deleted.is_none())
        .filter_map(|task| task.spec())
        .filter(|spec| members.strategy_of(spec) == Strategy::Range)
        .map(|spec| spec.name.as_str())
        .collect();
    let parts = supposed_parts(&names, members)?;
    Some(Assign::Parts(parts))
}

/// The parts of these names, which are sorted, that these members should have; none: those that they
/// have fit.
#[must_use]
pub fn supposed_parts(names: &[&str], members: &Members) -> Option<Vec<(String, NodeId)>> {
    let nodes: Vec<&NodeRecord> = members.eligible().map(|node| &**node).collect();
    if nodes.is_empty() || names.is_empty() || range::fits(members.table(), names, &nodes) {
        return None;
    }
    let parts = range::parts(names, &nodes);
    let kept = members.table().parts();
    let same = kept.eq(parts.iter().map(|(from, node)| (from.as_str(), *node)));
    (!same).then_some(parts)
}

/// An answer of a strategy that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategyFault {
    /// Not one choice for each task.
    #[error("the strategy answered {found} choices for {tasks} tasks")]
    Count {
        /// So many tasks it was asked for.
        tasks: usize,
        /// So many choices it answered.
        found: usize,
    },
    /// A place where no node is.
    #[error("the strategy chose node {place} of {nodes} for task {task}, counted from 0")]
    Place {
        /// The task.
        task: String,
        /// The place that it chose.
        place: usize,
        /// So many nodes there are.
        nodes: usize,
    },
}

/// What a strategy of the embedding program chooses otherwise than the state has it.
///
/// # Errors
/// Its answer cannot be followed.
pub fn choices(
    state: &State,
    members: &Members,
    strategy: &dyn AssignmentStrategy,
) -> Result<Vec<Assign>, StrategyFault> {
    if !is_followed(state, members, Strategy::Custom) && members.table().chosen().next().is_none() {
        return Ok(Vec::new());
    }
    let nodes: Vec<&NodeRecord> = members.eligible().map(|node| &**node).collect();
    let specs: Vec<(&TaskSpec, Option<NodeId>)> =
        following(state, members, Strategy::Custom).collect();
    let chosen = if nodes.is_empty() || specs.is_empty() {
        vec![None; specs.len()]
    } else {
        ask(&specs, &nodes, strategy)?
    };
    let table = members.table();
    let differs = |name: &str, node: Option<NodeId>| table.choice(name) != node;
    let mut changes: Vec<(String, Option<NodeId>)> = specs
        .iter()
        .zip(chosen)
        .filter(|((spec, _), node)| !nodes.is_empty() && differs(&spec.name, *node))
        .map(|((spec, _), node)| (spec.name.clone(), node))
        .collect();
    // Tasks that follow another strategy by now.
    let known: BTreeSet<&str> = specs.iter().map(|(spec, _)| spec.name.as_str()).collect();
    let others = table.chosen().filter(|name| !known.contains(name));
    changes.extend(others.map(|name| (name.to_owned(), None)));
    Ok(changes.chunks(TOGETHER).map(|part| Assign::Choices(part.to_vec())).collect())
}

fn ask(
    specs: &[(&TaskSpec, Option<NodeId>)],
    nodes: &[&NodeRecord],
    strategy: &dyn AssignmentStrategy,
) -> Result<Vec<Option<NodeId>>, StrategyFault> {
    let place = |id: NodeId| nodes.iter().position(|node| node.id == id);
    let tasks = specs.iter().map(|(spec, owner)| TaskToAssign {
        name: &spec.name,
        labels: &spec.labels,
        owner: owner.and_then(place),
    });
    let tasks: Vec<TaskToAssign<'_>> = tasks.collect();
    let labels: Vec<BTreeMap<String, String>> = nodes.iter().map(|node| node.labels()).collect();
    let asked = nodes.iter().zip(&labels).map(|(node, labels)| NodeToAssign {
        name: &node.info.name,
        weight: node.weight(),
        labels,
    });
    let asked: Vec<NodeToAssign<'_>> = asked.collect();
    let answer = strategy.assign(&tasks, &asked);
    if answer.len() != tasks.len() {
        return Err(StrategyFault::Count { tasks: tasks.len(), found: answer.len() });
    }
    let node = |(task, place): (&TaskToAssign<'_>, Option<usize>)| match place {
        None => Ok(None),
        Some(place) => match nodes.get(place) {
            Some(node) => Ok(Some(node.id)),
            None => {
                let (task, nodes) = (task.name.to_owned(), nodes.len());
                Err(StrategyFault::Place { task, place, nodes })
            }
        },
    };
    tasks.iter().zip(answer).map(node).collect()
}
