//! What is told about one task.

use std::sync::Arc;

use serde_json::Value;

use super::context::StateView;
use super::told::{Told, told};
use super::{eligibility, views};
use crate::domain::assign::{Members, draw, hash_slot, unfit};
use crate::domain::ids::NodeId;
use crate::domain::machine::Task;
use crate::domain::machine::record::NodeRecord;
use crate::domain::spec;
use crate::domain::task::{Strategy, TaskSpec};
use crate::dto::{
    AssignmentView, ChangeView, EligibilityView, RevisionView, RevisionsView, Rfc3339, TaskBody,
};

/// Its kept definitions, newest first, each with what it changed.
pub(crate) fn revisions(task: &Task) -> RevisionsView {
    let mut items = Vec::new();
    let mut before: Option<Value> = None;
    for kept in &task.definitions {
        let body = spec::write(&kept.spec);
        let changes = before.as_ref().map(|before| ChangeView::between(before, &body));
        items.push(RevisionView {
            revision: kept.revision.0,
            at: Rfc3339(kept.at),
            by: kept.by.to_string(),
            current: task.live.definition == Some(kept.revision),
            definition: TaskBody::from(&kept.spec),
            changes,
        });
        before = Some(body);
    }
    items.reverse();
    RevisionsView { items, next_cursor: () }
}

/// Who owns it, and why.
pub(crate) fn assignment(view: &StateView, task: &Task) -> AssignmentView {
    let spec = task.spec().filter(|_| task.live.deleted.is_none());
    let owner = spec.and_then(|_| view.members.owner(task));
    let owner = owner.map(|owner| views::node_name(&view.state, owner));
    let strategy =
        spec.map_or(view.state.cluster().strategy, |spec| view.members.strategy_of(spec));
    let nodes = ranked(view, task, spec, strategy);
    let eligible = nodes.iter().filter(|node| node.eligible).count();
    let why = match (&owner, spec) {
        (_, None) => told!("a task marked deleted has no owner", "已标记删除的任务没有负责节点"),
        (None, Some(spec)) => {
            let nobody = eligibility::nobody(&view.state, spec);
            told!("{nobody}; its ticks wait", "{nobody}；其触发将等待", nobody)
        }
        (Some(owner), Some(_)) => chosen(&view.members, strategy, task, owner, eligible),
    };
    AssignmentView {
        task: task.live.name.to_string(),
        owner,
        strategy: spec::strategy_word(strategy).into(),
        selector: spec.map(|spec| spec.assignment.selector.clone()),
        slot: (strategy == Strategy::HashSlot).then(|| hash_slot::slot(&task.live.name)),
        nodes,
        why: why.en,
        why_zh: why.zh,
    }
}

/// The eligible nodes in the order in which they would own a task, then the others by id.
fn ranked(
    view: &StateView,
    task: &Task,
    spec: Option<&TaskSpec>,
    strategy: Strategy,
) -> Vec<EligibilityView> {
    let ranking = if spec.is_some() { view.members.ranking(task) } else { Vec::new() };
    let rank = |node: NodeId| ranking.iter().position(|ranked| *ranked == node);
    let mut nodes: Vec<&Arc<NodeRecord>> = view.state.nodes().collect();
    nodes.sort_by_key(|node| rank(node.id).unwrap_or(usize::MAX));
    let nodes = nodes.into_iter().map(|node| {
        let unfit =
            spec.and_then(|spec| Some((unfit(node, spec, view.state.declared_tasks())?, spec)));
        let rank = rank(node.id).and_then(|rank| u64::try_from(rank + 1).ok());
        let lack = unfit.map(|(unfit, spec)| eligibility::lacks(unfit, spec));
        EligibilityView {
            node: node.info.name.clone(),
            rank,
            eligible: unfit.is_none(),
            weight: node.weight(),
            score: rank.and_then(|_| draw(strategy, &task.live.name, node)),
            reason: unfit.map(|(unfit, _)| eligibility::code(unfit).into()),
            detail_zh: lack.as_ref().map(|lack| lack.zh.clone()),
            detail: lack.map(|lack| lack.en),
        }
    });
    nodes.collect()
}

/// Why a strategy chose this owner.
fn chosen(
    members: &Members,
    strategy: Strategy,
    task: &Task,
    owner: &str,
    eligible: usize,
) -> Told {
    let nodes = if eligible == 1 { "node" } else { "nodes" };
    let lowest = told!(
        "{owner} drew the lowest number of the {eligible} eligible {nodes}: a hash of task and \
         node, divided by the node's weight",
        "在 {eligible} 个符合条件的节点中，{owner} 得到的数最小：任务与节点的哈希除以节点权重"
    );
    match strategy {
        Strategy::HashSharding => told!(
            "{owner} has the place, among the {eligible} eligible {nodes} in the order of their \
             ids, that the hash of the task's name names modulo their number",
            "任务名的哈希对 {eligible} 个符合条件的节点数取模，按编号顺序对应 {owner}"
        ),
        Strategy::HashSlot => {
            let (slot, slots) = (hash_slot::slot(&task.live.name), hash_slot::SLOTS);
            told!(
                "{owner} drew the lowest number of the {eligible} eligible {nodes} for slot {slot} of \
                 {slots}, to which the task's name is hashed: a hash of slot and node, divided by the \
                 node's weight",
                "任务名的哈希落在 {slots} 个槽中的 {slot} 号；在 {eligible} 个符合条件的节点中，{owner} \
                 得到的数最小：槽与节点的哈希除以节点权重"
            )
        }
        Strategy::Weighted => told!(
            "the hash of the task's name, modulo the sum of the weights of the {eligible} eligible \
             {nodes}, falls into the share of {owner}",
            "任务名的哈希对 {eligible} 个符合条件的节点的权重之和取模，落在 {owner} 的份额内"
        ),
        Strategy::RoundRobin => {
            let number = task.key.slot();
            told!(
                "{owner} has the place, among the {eligible} eligible {nodes} in the order of their \
                 ids, that the task's number {number} names modulo their number",
                "任务序号 {number} 对 {eligible} 个符合条件的节点数取模，按编号顺序对应 {owner}"
            )
        }
        Strategy::Range => of_part(members, task, owner, &lowest),
        Strategy::Custom if members.table().choice(&task.live.name) == members.owner(task) => {
            told!(
                "the strategy of the embedding program chose {owner}",
                "嵌入程序的策略选择了 {owner}"
            )
        }
        Strategy::Custom => told!(
            "the strategy of the embedding program has chosen no node for it that may own it, so \
             {lowest}",
            "嵌入程序的策略没有为其选出可承接的节点，因此{lowest}",
            lowest
        ),
        Strategy::Consistent => lowest,
    }
}

/// Why `range` chose this owner.
fn of_part(members: &Members, task: &Task, owner: &str, lowest: &Told) -> Told {
    let Some((from, node)) = members.table().part_of(&task.live.name) else {
        return told!(
            "the leader has proposed no parts of the names yet, so {lowest}",
            "Leader 尚未划分名称区间，因此{lowest}",
            lowest
        );
    };
    let part = match from {
        "" => told!("the first part of the names", "名称的第一个区间"),
        from => told!("the part of the names from `{from}` on", "从 `{from}` 开始的名称区间"),
    };
    if members.owner(task) == Some(node) {
        told!(
            "{owner} has {part}; the parts are in proportion to the nodes' weights",
            "{owner} 负责{part}；区间大小与节点权重成正比",
            part
        )
    } else {
        told!(
            "the node of {part} may not own it now, and {owner} has the next part whose node may, or \
             drew the lowest number if there is none",
            "{part}的节点目前不能承接；{owner} 负责下一个可承接的区间，若没有这样的区间，则其得到的数最小",
            part
        )
    }
}
