//! The routes: one table, from which the router, the parameters that each takes, `Allow` and
//! `/openapi.json` come.
//!
//! A new route is an entry of [`table::ROUTES`].

mod document;
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use axum::extract::MatchedPath;
use axum::http::Method;
use axum::http::request::Parts;
use axum::routing::MethodRouter;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::error::ErrorForm;
use crate::domain::error_code::ErrorCode;
use crate::ops::Context;

pub(super) use self::document::openapi;
use self::table::ROUTES;

/// What a caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Patch => Method::PATCH,
            Self::Delete => Method::DELETE,
        }
    }
}

/// Who may. Nobody is asked for a token yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccessRole {
    /// Everybody.
    Open,
    /// Who may read.
    Viewer,
    /// Who may trigger, pause, stop, drain.
    Operator,
    /// Who may change tasks and calendars.
    Editor,
    /// Who may change the cluster.
    Admin,
}

/// A parameter of the query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Param {
    pub name: &'static str,
    pub kind: ParamKind,
    /// What it asks for.
    pub says: &'static str,
}

/// What a parameter may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum ParamKind {
    /// `true` or `false`.
    Flag,
    /// Any text.
    Text,
    /// Texts; it may stand several times.
    Texts,
    /// An instant.
    Instant,
    /// A whole number within bounds.
    Number(u64, u64),
    /// One of some words.
    Word(&'static [&'static str]),
}

/// Makes the method of a router.
pub(super) type Handler = fn() -> MethodRouter<Arc<Context>>;

/// Makes the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of a type of `dto`.
fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The body of a good answer.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// JSON.
    Json(SchemaOf),
    /// A text of one of these media types.
    Text(&'static [&'static str]),
}

/// The body of a request.
#[derive(Clone, Copy)]
pub(super) struct RequestBody {
    pub schema: SchemaOf,
    /// Whether it must be there.
    pub needed: bool,
}

/// One method of one path.
pub(super) struct Route {
    pub verb: Verb,
    pub path: &'static str,
    /// Its name in the document.
    pub id: &'static str,
    /// What it does.
    pub says: &'static str,
    pub role: AccessRole,
    /// Its parameters, in groups.
    pub query: &'static [&'static [Param]],
    pub body: Option<RequestBody>,
    /// Statuses and bodies of good answers.
    pub answers: &'static [(u16, Content)],
    /// Codes of refusals, beyond those of all routes of its kind.
    pub errors: &'static [ErrorCode],
    /// Whether `If-Match` binds it to a revision.
    pub bound: bool,
    /// How its refusals are written; the same for all routes of a path.
    pub form: ErrorForm,
    pub handler: Handler,
}

impl Route {
    /// Whether the query may have a parameter of this name.
    pub fn params(&self) -> impl Iterator<Item = &'static Param> {
        self.query.iter().copied().flatten()
    }

    /// Whether it changes something.
    fn writes(&self) -> bool {
        self.verb != Verb::Get
    }

    /// Whether it answers at a path of the router: at its own, and, since names may be anything, at
    /// a fixed path where a name could stand.
    fn serves(&self, path: &str) -> bool {
        let pattern = |(own, other): (&str, &str)| own == other || own == "{name}";
        let (own, other) = (self.path.split('/'), path.split('/'));
        own.clone().count() == other.clone().count() && own.zip(other).all(pattern)
    }
}

/// The paths of the router, each once, in the order of the table.
fn paths() -> Vec<&'static str> {
    let mut paths: Vec<&str> = Vec::new();
    for route in ROUTES {
        if !paths.contains(&route.path) {
            paths.push(route.path);
        }
    }
    paths
}

/// The routes that answer at a path of the router.
fn at(path: &str) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| route.serves(path))
}

/// The router of the routes in the table that write their errors in this form.
pub(super) fn router(form: ErrorForm) -> Router<Arc<Context>> {
    let own = |path: &&str| at(path).any(|route| route.form.name == form.name);
    paths().into_iter().filter(own).fold(Router::new(), |router, path| {
        let methods = at(path).map(|route| (route.handler)());
        router.route(path, methods.fold(MethodRouter::new(), MethodRouter::merge))
    })
}

/// The route that a request goes to.
pub(super) fn find(parts: &Parts) -> Option<&'static Route> {
    let path = parts.extensions.get::<MatchedPath>()?.as_str();
    let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
    at(path).find(|route| route.verb.method() == *method)
}
