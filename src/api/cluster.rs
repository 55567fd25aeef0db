//! The cluster as a whole, and its scheduler.

use crate::consensus::{ReplaceError, TransferError};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::NodeId;
use crate::domain::machine::command::{CleanupAll, SetScheduler};
use crate::domain::machine::{Answer, Command};
use axum::http::StatusCode;

use super::extract::{Read, Reply, Segment, Write};
use super::fields::Fields;
use super::nodes;
use super::reply::{ok, reply};
use crate::dto::{
    ClusterView, InstanceView, LeaderView, MemberReplaced, Rfc3339, SchedulerSwitched,
    SchedulerView, TasksLeft,
};
use crate::ops::OpError;
use crate::ops::context::View;
use crate::ops::views::{digest, node_name};
use crate::ops::words;

/// `GET /cluster`.
pub(super) async fn get(read: Read) -> Reply {
    let view = read.view().await?;
    let seen = nodes::nodes_seen(&read.context, &view).await?;
    let status = read.context.running()?.consensus.status();
    let cluster = view.state.cluster();
    let level = view.state.nodes().map(|node| node.info.level).min();
    let body = ClusterView {
        name: cluster.name.clone(),
        id: format!("{:032x}", cluster.id),
        timezone: cluster.timezone.clone(),
        leader: leader(&view, status.leader),
        term: status.term,
        members: nodes::members(&view, &seen),
        applied_index: cluster.applied,
        committed_index: status.committed.max(cluster.applied),
        digest: digest(&view.state),
        scheduler: if cluster.scheduler { "started" } else { "stopped" }.into(),
        floor: Rfc3339(cluster.floor),
        tasks: seen.tasks,
        level,
        version: read.context.settings.version.to_owned(),
        node: read.context.settings.node_name.clone(),
    };
    Ok(ok(&view, body))
}

fn leader(view: &View, leader: Option<u64>) -> Option<String> {
    leader.map(|leader| node_name(&view.state, NodeId(leader)))
}

/// `POST /cluster/transfer-leader`: gives the lead to another voter.
pub(super) async fn transfer_leader(write: Write) -> Reply {
    let fields = Fields::of(write.body.as_ref(), &["to"])?;
    if fields.has("to") {
        return Err(OpError::not_supported("choosing who leads next"));
    }
    fields.done()?;
    let next =
        write.caller.context.running()?.consensus.transfer().await.map_err(|error| match error {
            TransferError::Alone => OpError::new(ErrorCode::NoOtherVoter, error.to_string()),
            TransferError::NotTaken => OpError::new(ErrorCode::TransferFailed, error.to_string()),
            TransferError::NoLeader => write.caller.context.unled(&error.to_string()),
        })?;
    let view = write.caller.context.here()?;
    Ok(ok(&view, LeaderView { leader: leader(&view, next) }))
}

/// `POST /cluster/members/{id}/replace`: readmits a member that lost its data, by its configured id
/// or its node's name.
pub(super) async fn replace(Segment(id): Segment, write: Write) -> Reply {
    write.no_fields()?;
    let consensus = &write.caller.context.running()?.consensus;
    let member = member(&write.caller.context.here()?, &id)?;
    let new = consensus.replace(member).await.map_err(|error| {
        let code = match error {
            ReplaceError::NoLeader => return write.caller.context.unled(&error.to_string()),
            ReplaceError::NotListed(_) => ErrorCode::MemberNotFound,
            ReplaceError::Unreachable(..) => ErrorCode::NodeUnreachable,
            ReplaceError::NotEmpty(_) => ErrorCode::MemberNotEmpty,
            ReplaceError::Unfinished(..) => ErrorCode::OutcomeUnknown,
        };
        OpError::new(code, error.to_string())
    })?;
    let view = write.caller.context.here()?;
    let (node, join) = (new.to_string(), new.0 & 0xFFFF);
    Ok(ok(&view, MemberReplaced { member, node, join }))
}

/// The configured id of a member, which need not have a node that works.
fn member(view: &View, id: &str) -> Result<u16, OpError> {
    let named = nodes::find(view, id).ok().map(|node| node.id.configured());
    let number = named.or_else(|| id.parse().ok()).and_then(|id| u16::try_from(id).ok());
    let rule = format!("there is no member {id:?}: a member is named by its id or its node's name");
    number.ok_or_else(|| OpError::new(ErrorCode::MemberNotFound, rule))
}

/// `GET /scheduler/status`.
pub(super) async fn scheduler(read: Read) -> Reply {
    let view = read.view().await?;
    let leads = *read.context.running()?.consensus.leader().borrow();
    let instances = view
        .state
        .nodes()
        .map(|node| {
            let (host, port) = host_and_port(&node.info.http);
            InstanceView {
                id: node.id.configured().to_string(),
                instance_id: node.info.name.clone(),
                host,
                port,
                is_leader: leads == Some(node.id.0),
                state: words::liveness(node.liveness).into(),
            }
        })
        .collect();
    let body = SchedulerView {
        started: view.state.cluster().scheduler,
        instances,
        leader_id: leader(&view, leads),
        time: Rfc3339(view.now),
    };
    Ok(ok(&view, body))
}

/// Where a node's API is, of its base URL.
fn host_and_port(http: &str) -> (Option<String>, Option<u16>) {
    match url::Url::parse(http) {
        Ok(url) => (url.host_str().map(str::to_owned), url.port_or_known_default()),
        Err(_) => (None, None),
    }
}

/// `POST /scheduler/start`: ticks are claimed from now on.
pub(super) async fn start(write: Write) -> Reply {
    set(&write, true).await
}

/// `POST /scheduler/stop`: no more ticks are claimed, on any node.
pub(super) async fn stop(write: Write) -> Reply {
    set(&write, false).await
}

async fn set(write: &Write, on: bool) -> Reply {
    write.no_fields()?;
    write.caller.submit(&Command::Scheduler(SetScheduler { on })).await?;
    let view = write.caller.context.here()?;
    let cluster = view.state.cluster();
    let body = SchedulerSwitched { started: cluster.scheduler, floor: Rfc3339(cluster.floor) };
    Ok(reply(&view, StatusCode::OK, body))
}

/// `POST /admin/cleanup-all`: removes all tasks, if the request names the cluster.
pub(super) async fn cleanup_all(write: Write) -> Reply {
    let fields = Fields::of(Some(write.body()?), &["cluster"])?;
    let cluster = fields.need("cluster").text("cluster").unwrap_or_default().to_owned();
    fields.done()?;
    let mut part = CleanupAll { cluster, from: 0, upto: None };
    // A repeated request hears the answer to the first part again, and goes on from there.
    let mut answer = write.caller.submit(&Command::CleanupAll(part.clone())).await?;
    while let Answer::Swept { upto, next: Some(from) } = answer {
        part = CleanupAll { from, upto: Some(upto), ..part };
        answer = write.caller.context.submit(&Command::CleanupAll(part.clone()), None).await??;
    }
    let view = write.caller.context.here()?;
    Ok(ok(&view, TasksLeft { tasks: view.state.task_count() }))
}
