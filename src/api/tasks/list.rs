//! Finding tasks.

use std::sync::Arc;

use serde_json::Value;

use crate::api::context::{View, aside};
use crate::api::error::Problem;
use crate::api::extract::{Read, Reply};
use crate::api::lists::{PAGING, Page, glob};
use crate::api::nodes;
use crate::api::params::{Params, bad};
use crate::api::words::{TASK_STATES, task_state};
use crate::api::{plans, views};
use crate::domain::ids::NodeId;
use crate::domain::machine::Task;

const FILTERS: [&str; 6] = ["status", "name", "label", "owner", "deleted", "sort"];

/// `GET /tasks`: tasks that fit all filters, marked deleted only where asked for.
pub(in crate::api) async fn list(read: Read) -> Reply {
    let known: Vec<&'static str> = FILTERS.into_iter().chain(PAGING).collect();
    let params = read.params.only(&known)?;
    let page = Page::of(params)?;
    let sort = params.word("sort", &["name", "next", "last"])?.unwrap_or("name");
    let after = match (sort, page.after()) {
        ("name", _) | (_, None) => None,
        (_, Some(cursor)) => Some(keyed(cursor)?),
    };
    let view = read.view().await?;
    let filter = Filter::of(params, &view)?;
    aside(move || {
        let body = match sort {
            "next" => by_key(&view, &filter, &page, after, next_key),
            "last" => by_key(&view, &filter, &page, after, last_key),
            _ => by_name(&view, &filter, &page),
        };
        view.ok(body)
    })
    .await
}

/// Which tasks are asked for.
struct Filter {
    status: Option<&'static str>,
    name: Option<String>,
    labels: Vec<(String, Option<String>)>,
    owner: Option<NodeId>,
    deleted: bool,
}

impl Filter {
    fn of(params: &Params, view: &View) -> Result<Self, Problem> {
        let status = params.word("status", &TASK_STATES)?;
        let labels = params.all("label").map(|label| match label.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (label.to_owned(), None),
        });
        let owner = match params.get("owner") {
            None => None,
            Some(node) => {
                let found = nodes::find(view, node);
                Some(found.map_err(|_unknown| bad("owner", "is no node of this cluster"))?.id)
            }
        };
        Ok(Self {
            status,
            name: params.get("name").map(str::to_owned),
            labels: labels.collect(),
            owner,
            deleted: params.flag("deleted")? || status == Some("deleted"),
        })
    }

    fn fits(&self, view: &View, task: &Task) -> bool {
        let label = |(key, value): &(String, Option<String>)| {
            let found = task.spec().and_then(|spec| spec.labels.get(key));
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        };
        let owned =
            |node: NodeId| task.spec().is_some_and(|spec| view.members.owner(spec) == Some(node));
        task.live.deleted.is_some() == self.deleted
            && self.status.is_none_or(|status| task_state(task) == status)
            && self.name.as_ref().is_none_or(|pattern| glob(pattern, &task.live.name))
            && self.labels.iter().all(label)
            && self.owner.is_none_or(owned)
    }
}

fn by_name(view: &View, filter: &Filter, page: &Page) -> Value {
    let tasks = view.state.by_name(page.after().unwrap_or_default());
    let tasks = tasks.filter(|task| filter.fits(view, task));
    page.list(tasks, |task| task.live.name.to_string(), |task| views::task(view, task))
}

/// The key and the name of a cursor.
fn keyed(cursor: &str) -> Result<(i64, String), Problem> {
    let parts = cursor.split_once(' ');
    let found = parts.and_then(|(key, name)| Some((key.parse::<i64>().ok()?, name.to_owned())));
    found.ok_or_else(|| bad("cursor", "is not one of this list"))
}

/// In the order of a key; tasks of equal keys by name.
fn by_key(
    view: &View,
    filter: &Filter,
    page: &Page,
    after: Option<(i64, String)>,
    key: fn(&View, &Task) -> i64,
) -> Value {
    let tasks = view.state.by_name("").filter(|task| filter.fits(view, task));
    let mut keyed: Vec<(i64, &Arc<Task>)> = tasks.map(|task| (key(view, task), task)).collect();
    // Stable, and they come by name.
    keyed.sort_by_key(|(key, _)| *key);
    let behind = |(key, task): &(i64, &Arc<Task>)| {
        after.as_ref().is_none_or(|(at, name)| (*key, &*task.live.name) > (*at, name.as_str()))
    };
    page.list(
        keyed.into_iter().filter(behind),
        |(key, task)| format!("{key} {}", task.live.name),
        |(_, task)| views::task(view, task),
    )
}

/// Soonest first, those without a next tick last.
fn next_key(view: &View, task: &Task) -> i64 {
    plans::next_tick(view, task).map_or(i64::MAX, |next| next.0)
}

/// Newest execution first, those without one last.
fn last_key(_view: &View, task: &Task) -> i64 {
    task.history.executions.back().map_or(i64::MAX, |last| -last.created_at.0)
}
