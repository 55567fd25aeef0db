//! Operations on the cluster and its scheduler.

use super::context::{Context, StateView};
use super::views::{digest, node_name};
use super::{Caller, OpAnswer, OpError, nodes, words};
use crate::consensus::TransferError;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::NodeId;
use crate::domain::machine::command::{CleanupAll, SetScheduler, StrategyChange};
use crate::domain::machine::{Answer, Command};
use crate::domain::spec;
use crate::domain::task::Strategy;
use crate::dto::{
    ClusterView, CurrentLeader, InstanceView, Rfc3339, SchedulerSwitched, SchedulerView,
    StrategyView, TasksLeft,
};

/// The state of the cluster.
///
/// # Errors
/// `no_leader`, `too_busy`.
pub(crate) async fn show(context: &Context, view: &StateView) -> Result<ClusterView, OpError> {
    let seen = nodes::nodes_seen(context, view).await?;
    let status = context.running()?.consensus.status();
    let cluster = view.state.cluster();
    Ok(ClusterView {
        name: cluster.name.clone(),
        id: format!("{:032x}", cluster.id),
        timezone: cluster.timezone.clone(),
        leader: leader(view, status.leader),
        term: status.term,
        members: nodes::members(view, &seen),
        joining: view.state.joining().map(|joining| node_name(&view.state, joining.node)),
        applied_index: cluster.applied,
        committed_index: status.committed.max(cluster.applied),
        last_log_term: status.last_log_term,
        last_log_index: status.last_log,
        digest: digest(&view.state),
        scheduler: if cluster.scheduler { "started" } else { "stopped" }.into(),
        floor: Rfc3339(cluster.floor),
        tasks: seen.tasks,
        level: view.state.level(),
        version: context.settings.version.to_owned(),
        node: context.settings.node_name.clone(),
    })
}

fn leader(view: &StateView, leader: Option<u64>) -> Option<String> {
    leader.map(|leader| node_name(&view.state, NodeId(leader)))
}

/// Transfers leadership to another voter, or to the one with this configured id or node name.
///
/// # Errors
/// `member_not_found`, `no_other_voter`, `transfer_failed`, `no_leader`.
pub(crate) async fn transfer_leader(
    caller: &Caller,
    to: Option<&str>,
) -> Result<OpAnswer<CurrentLeader>, OpError> {
    let consensus = &caller.context.running()?.consensus;
    let here = caller.context.here()?;
    let to = to.map(|to| member(&here, to)).transpose()?;
    let next = consensus.transfer(to).await.map_err(|error| {
        let code = match error {
            TransferError::NoLeader => return caller.context.unled(&error.to_string()),
            TransferError::Alone => ErrorCode::NoOtherVoter,
            TransferError::NotListed(_) => ErrorCode::MemberNotFound,
            TransferError::NotTaken | TransferError::NotTakenBy(_) | TransferError::NotVoter(_) => {
                ErrorCode::TransferFailed
            }
        };
        OpError::new(code, error.to_string())
    })?;
    let view = caller.context.here()?;
    let leader = leader(&view, next);
    Ok(OpAnswer::of(view, CurrentLeader { leader }))
}

/// The configured id of a member. The member's node does not have to be up.
pub(super) fn member(view: &StateView, id: &str) -> Result<u16, OpError> {
    let named = nodes::find(view, id).ok().map(|node| node.id.configured());
    let number = named.or_else(|| id.parse().ok()).and_then(|id| u16::try_from(id).ok());
    let rule = format!("there is no member {id:?}: a member is named by its id or its node's name");
    number.ok_or_else(|| OpError::new(ErrorCode::MemberNotFound, rule))
}

/// Whether ticks fire, and the nodes that fire them.
///
/// # Errors
/// `no_leader`.
pub(crate) fn scheduler(context: &Context, view: &StateView) -> Result<SchedulerView, OpError> {
    let leads = *context.running()?.consensus.leader().borrow();
    let instances = view.state.nodes().map(|node| {
        let (host, port) = host_and_port(&node.info.http);
        InstanceView {
            id: node.id.configured().to_string(),
            instance_id: node.info.name.clone(),
            host,
            port,
            is_leader: leads == Some(node.id.0),
            state: words::liveness(node.liveness).into(),
        }
    });
    Ok(SchedulerView {
        started: view.state.cluster().scheduler,
        strategy: spec::strategy_word(view.state.cluster().strategy).into(),
        instances: instances.collect(),
        leader_id: leader(view, leads),
        time: Rfc3339(view.now),
    })
}

/// Host and port of a node's base URL.
fn host_and_port(http: &str) -> (Option<String>, Option<u16>) {
    match url::Url::parse(http) {
        Ok(url) => (url.host_str().map(str::to_owned), url.port_or_known_default()),
        Err(_) => (None, None),
    }
}

/// Enables or disables claiming of ticks on all nodes.
///
/// # Errors
/// `not_accepted`, `outcome_unknown`.
pub(crate) async fn set_scheduler(
    caller: &Caller,
    on: bool,
) -> Result<OpAnswer<SchedulerSwitched>, OpError> {
    caller.submit(&Command::Scheduler(SetScheduler { on })).await?;
    let view = caller.context.here()?;
    let cluster = view.state.cluster();
    let body = SchedulerSwitched { started: cluster.scheduler, floor: Rfc3339(cluster.floor) };
    Ok(OpAnswer::of(view, body))
}

/// Changes how the tasks that name no strategy are given to nodes.
///
/// # Errors
/// `not_supported`: a strategy of the embedding program, and the program of this node has none.
/// `not_accepted`, `outcome_unknown`.
pub(crate) async fn set_strategy(
    caller: &Caller,
    strategy: Strategy,
) -> Result<OpAnswer<StrategyView>, OpError> {
    if strategy == Strategy::Custom && caller.context.settings.strategy.is_none() {
        return Err(spec::no_strategy().into());
    }
    caller.submit(&Command::SetStrategy(StrategyChange { strategy })).await?;
    let view = caller.context.here()?;
    let strategy = spec::strategy_word(view.state.cluster().strategy).into();
    Ok(OpAnswer::of(view, StrategyView { strategy }))
}

/// Removes all tasks. `cluster` must be the name of the cluster.
///
/// # Errors
/// `wrong_cluster_name`, `not_accepted`, `outcome_unknown`.
pub(crate) async fn cleanup_all(
    caller: &Caller,
    cluster: String,
) -> Result<OpAnswer<TasksLeft>, OpError> {
    let mut part = CleanupAll { cluster, from: 0, upto: None };
    // A repeated request gets the response to the first part again and continues from there.
    let mut answer = caller.submit(&Command::CleanupAll(part.clone())).await?;
    while let Answer::Swept { upto, next: Some(from) } = answer {
        part = CleanupAll { from, upto: Some(upto), ..part };
        answer = caller.context.submit(&Command::CleanupAll(part.clone()), None).await??;
    }
    let view = caller.context.here()?;
    let tasks = view.state.task_count();
    Ok(OpAnswer::of(view, TasksLeft { tasks }))
}
