//! What is told about one task.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::context::{View, aside};
use crate::api::eligibility;
use crate::api::extract::{Read, Reply, Segment};
use crate::api::fields::escape;
use crate::api::lists::{PAGING, Page};
use crate::api::params::bad_cursor;
use crate::api::stats::Ends;
use crate::api::ticks::{self, Range};
use crate::api::{plans, preview, views, why, words};
use crate::domain::assign::unfit;
use crate::domain::ids::ExecutionId;
use crate::domain::machine::Task;
use crate::domain::machine::record::Execution;
use crate::domain::spec;
use crate::domain::time::Millis;
use crate::ops::error::OpError;

/// Next ticks that are told, unless asked otherwise.
const NEXT: u64 = 10;
/// At most so many.
const NEXT_MAX: u64 = 1_000;

/// Answers with what is computed from a task, beside other requests.
async fn tell<T: Serialize>(
    read: &Read,
    name: String,
    tell: impl FnOnce(&View, &Arc<Task>) -> Result<T, OpError> + Send + 'static,
) -> Reply {
    let view = read.view().await?;
    aside(move || {
        let body = tell(&view, view.task(&name)?)?;
        Ok(view.ok(body))
    })
    .await?
}

/// `GET /tasks/{name}/next`: its next ticks.
pub(in crate::api) async fn next(Segment(name): Segment, read: Read) -> Reply {
    let params = read.params.only(&["n", "from"])?;
    let n = params.number("n", 1..=NEXT_MAX)?.unwrap_or(NEXT);
    let from = params.instant("from")?;
    tell(&read, name, move |view, task| {
        let settled = view.state.settled(task);
        let mut at = from.map_or(settled.max(view.now), |from| from.minus(Millis(1)).max(settled));
        let plan = plans::current(&view.state, task).filter(|_| !task.progress.exhausted);
        let max = task.spec().and_then(|spec| spec.schedule.max_ticks);
        let mut left = max.map_or(u64::MAX, |max| max.saturating_sub(task.progress.totals.fired));
        let mut items = Vec::new();
        while let Some(plan) = plan.as_ref().filter(|_| (items.len() as u64) < n && left > 0) {
            let Some(tick) = plan.next_noted(at) else { break };
            at = tick.at;
            left -= u64::from(plan.excluded(at).is_none());
            let mut item = preview::tick(plan, &tick);
            if let Value::Object(item) = &mut item {
                item.insert("due".to_owned(), plan.due(tick.at).to_string().into());
            }
            items.push(item);
        }
        let held = task.inactive().map(words::reason);
        let stopped = (!view.state.cluster().scheduler).then_some("stopped");
        Ok(json!({"items": items, "next_cursor": null, "held": held.or(stopped)}))
    })
    .await
}

/// `GET /tasks/{name}/ticks`: what became of its ticks.
pub(in crate::api) async fn ticks(Segment(name): Segment, read: Read) -> Reply {
    let params = read.params.only(&["from", "to", "limit", "cursor", "empty"])?;
    let range = Range::of(params)?;
    tell(&read, name, move |view, task| Ok(ticks::list(&view.state, task, &range))).await
}

/// `GET /tasks/{name}/why`: what became of a tick, or will.
pub(in crate::api) async fn why(Segment(name): Segment, read: Read) -> Reply {
    let at = read.params.only(&["at"])?.instant("at")?;
    tell(&read, name, move |view, task| Ok(why::why(view, task, at))).await
}

/// `GET /tasks/{name}/executions`: its executions, newest first.
pub(in crate::api) async fn executions(Segment(name): Segment, read: Read) -> Reply {
    let known: Vec<&'static str> = ["status"].into_iter().chain(PAGING).collect();
    let params = read.params.only(&known)?;
    let status = params.word("status", &words::STATUSES)?;
    let page = Page::of(params)?;
    let before = match page.after() {
        None => ExecutionId(u64::MAX),
        Some(id) => id.parse().map_err(|_error| bad_cursor())?,
    };
    tell(&read, name, move |view, task| {
        let kept = task.history.executions.iter().rev().filter(|one| {
            one.id < before && status.is_none_or(|status| words::status(one.status) == status)
        });
        let show = |one: &_| views::execution(&view.state, task, one);
        Ok(page.list(kept, |one| one.id.to_string(), |one| show(one)))
    })
    .await
}

/// `GET /tasks/{name}/stats`: how its ticks and executions went.
pub(in crate::api) async fn stats(Segment(name): Segment, read: Read) -> Reply {
    read.params.only(&[])?;
    tell(&read, name, move |_view, task| {
        let mut ends = Ends::default();
        // Like the totals beside them: former incarnations are not counted.
        let own = |one: &&Execution| one.incarnation == task.live.incarnation;
        for one in task.history.executions.iter().filter(own) {
            ends.count(one);
        }
        let mut body = ends.show();
        if let Value::Object(body) = &mut body {
            body.insert("task".to_owned(), task.live.name.as_ref().into());
            body.insert("totals".to_owned(), views::totals(&task.progress.totals));
            body.insert("live".to_owned(), task.progress.live.into());
        }
        Ok(body)
    })
    .await
}

/// `GET /tasks/{name}/revisions`: its kept definitions, newest first, each with what it changed.
pub(in crate::api) async fn revisions(Segment(name): Segment, read: Read) -> Reply {
    read.params.only(&[])?;
    tell(&read, name, move |_view, task| {
        let mut items = Vec::new();
        let mut before: Option<Value> = None;
        for kept in &task.definitions {
            let body = spec::write(&kept.spec);
            let mut changes = Vec::new();
            if let Some(before) = &before {
                diff("", before, &body, &mut changes);
            }
            items.push(json!({
                "revision": kept.revision.0,
                "at": kept.at.to_string(),
                "by": kept.by,
                "current": task.live.definition == Some(kept.revision),
                "definition": body.clone(),
                "changes": before.is_some().then_some(changes),
            }));
            before = Some(body);
        }
        items.reverse();
        Ok(json!({"items": items, "next_cursor": null}))
    })
    .await
}

/// What differs, down to the values that do.
fn diff(pointer: &str, before: &Value, after: &Value, out: &mut Vec<Value>) {
    if before == after {
        return;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        out.push(json!({"pointer": pointer, "before": before, "after": after}));
        return;
    };
    let added = new.keys().filter(|key| !old.contains_key(*key));
    for key in old.keys().chain(added) {
        let side = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
        diff(&format!("{pointer}/{}", escape(key)), &side(old), &side(new), out);
    }
}

/// `GET /tasks/{name}/assignment`: who owns it, and why.
pub(in crate::api) async fn assignment(Segment(name): Segment, read: Read) -> Reply {
    read.params.only(&[])?;
    tell(&read, name, move |view, task| {
        let spec = task.spec().filter(|_| task.live.deleted.is_none());
        let owner = spec.and_then(|spec| view.members.owner(spec));
        let owner = owner.map(|owner| views::node_name(&view.state, owner));
        let nodes: Vec<Value> = view
            .state
            .nodes()
            .map(|node| {
                let unfit = spec.and_then(|spec| Some((unfit(node, spec)?, spec)));
                json!({
                    "node": node.info.name,
                    "eligible": unfit.is_none(),
                    "reason": unfit.map(|(unfit, _)| eligibility::code(unfit)),
                    "detail": unfit.map(|(unfit, spec)| eligibility::told(unfit, spec)),
                })
            })
            .collect();
        let eligible =
            nodes.iter().filter(|node| node.get("eligible") == Some(&Value::Bool(true))).count();
        let why = match (&owner, spec) {
            (_, None) => "a task marked deleted has no owner".to_owned(),
            (None, Some(spec)) => {
                format!("{}; its ticks wait", eligibility::nobody(&view.state, spec))
            }
            (Some(owner), Some(_)) => format!(
                "{owner} drew the lowest number of the {eligible} eligible nodes: a hash of task \
                 and node, divided by the node's weight"
            ),
        };
        Ok(json!({
            "task": &*task.live.name,
            "owner": owner,
            "strategy": "consistent",
            "selector": spec.map(|spec| &spec.assignment.selector),
            "nodes": nodes,
            "why": why,
        }))
    })
    .await
}
