//! The web page: the cluster at a glance, what became of each tick and why, and the actions.
//!
//! Every node serves it. It is HTML that this module renders from the operations of `ops/`, with one
//! stylesheet and one script; it names no route of the API and no state. Reading and every action
//! work without the script, which keeps a page up to date (`live.rs`) and nothing else that matters.
//!
//! A request is a [`Visit`]: who looks (language, theme, time zone) at what. A page is a function of a
//! frozen state to [`maud`] markup, and [`shell`] puts it into the frame that all pages have. Texts
//! are in one table ([`text`]), in English and Chinese. `marks.rs` draws the charts.
//!
//! Architecture invariant: a page loads nothing from another host and runs no script but its own. The
//! content security policy says so, and the markup has no inline script, style or handler.
//! Architecture invariant: a change is a form with a token, which is compared with a cookie.

mod actions;
mod ansi;
mod assets;
mod calendars;
mod clock;
mod confirm;
mod edit;
mod execution;
mod executions;
mod executors;
mod graph;
mod hours;
mod live;
mod marks;
mod minute;
mod nodes;
mod overview;
mod parts;
mod printed;
mod shell;
mod task;
mod tasks;
mod text;
mod trend;
mod visit;
mod warnings;
mod week;
mod why;
mod wire;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};

use crate::domain::error_code::ErrorCode;
use crate::ops::{Context, OpError};

pub(crate) use self::visit::Visit;

/// The first segments of the page's addresses.
#[cfg(feature = "cli")]
const PLACES: [&str; 12] = [
    "",
    "tasks",
    "new",
    "executions",
    "failed",
    "nodes",
    "executors",
    "scheduler",
    "week",
    "calendars",
    "assets",
    "live",
];

/// Whether an address belongs to the page.
#[cfg(feature = "cli")]
pub(crate) fn serves(path: &str) -> bool {
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    PLACES.contains(&first) || path == "/settings"
}

/// The header by which a proxy of the page allows no changes.
#[cfg(feature = "cli")]
pub(crate) use self::visit::READ_ONLY;

/// The routes of the page.
pub(crate) fn router() -> Router<Arc<Context>> {
    Router::new()
        .route("/", get(overview::show))
        .route("/tasks", get(tasks::list).post(actions::tasks))
        .route("/new", get(edit::new).post(edit::send))
        .route("/tasks/{name}", get(task::show))
        .route("/tasks/{name}/edit", get(edit::edit).post(edit::send))
        .route("/tasks/{name}/{action}", post(actions::task))
        .route("/executions", get(executions::list).post(actions::executions))
        .route("/executions/{id}", get(execution::show))
        .route("/executions/{id}/output", get(printed::file))
        .route("/executions/{id}/{action}", post(actions::execution))
        .route("/failed", get(executions::failed))
        .route("/nodes", get(nodes::list).post(actions::add_member))
        .route("/nodes/{id}/{action}", post(actions::node))
        .route("/executors", get(executors::list))
        .route("/executors/{id}/{action}", post(actions::executor))
        .route("/scheduler/{action}", post(actions::scheduler))
        .route("/week", get(week::show))
        .route("/calendars", get(calendars::list))
        .route("/settings", post(visit::settings))
        .route("/live", get(live::changes))
        .route("/assets/{file}", get(assets::file))
}

/// The page for an address that has none.
pub(crate) fn not_found(visit: Visit) -> Response {
    let why = format!("there is no page {}", visit.path);
    visit.refuse(&OpError::new(ErrorCode::RouteNotFound, why))
}
