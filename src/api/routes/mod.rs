//! The route table. It defines the router, the parameters of each route, `Allow` and
//! `/openapi.json`.
//!
//! A new route is an entry in [`table::ROUTES`].

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

/// The HTTP method.
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

/// The role that a route requires. It is not enforced yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccessRole {
    /// No role.
    Open,
    /// May read.
    Viewer,
    /// May trigger, pause, stop and drain.
    Operator,
    /// May change tasks and calendars.
    Editor,
    /// May change the cluster.
    Admin,
}

/// A query parameter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Param {
    pub name: &'static str,
    pub kind: ParamKind,
    /// Its description.
    pub says: &'static str,
    /// Whether a request must have it.
    pub needed: bool,
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug)]
pub(super) enum ParamKind {
    /// `true` or `false`.
    Flag,
    /// Any string.
    Text,
    /// Strings. The parameter may be repeated.
    Texts,
    /// An instant.
    Instant,
    /// An integer within inclusive bounds.
    Number(u64, u64),
    /// One of the given words.
    Word(&'static [&'static str]),
}

/// Creates the handler of one method.
pub(super) type Handler = fn() -> MethodRouter<Arc<Context>>;

/// Creates the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of a type of `dto`.
fn of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// The body of a successful response.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// JSON.
    Json(SchemaOf),
    /// Text of one of these media types.
    Text(&'static [&'static str]),
    /// Server-sent events with this data, each with an id from which a stream goes on.
    Events(SchemaOf),
}

/// The body of a request.
#[derive(Clone, Copy)]
pub(super) struct RequestBody {
    pub schema: SchemaOf,
    /// Whether the body is required.
    pub needed: bool,
}

/// One method of a path.
pub(super) struct Route {
    pub verb: Verb,
    pub path: &'static str,
    /// Operation id in the OpenAPI document.
    pub id: &'static str,
    /// Summary.
    pub says: &'static str,
    pub role: AccessRole,
    /// Groups of query parameters.
    pub query: &'static [&'static [Param]],
    pub body: Option<RequestBody>,
    /// Status and body of each successful response.
    pub answers: &'static [(u16, Content)],
    /// Error codes, in addition to those of all routes of its kind.
    pub errors: &'static [ErrorCode],
    /// Whether the route supports `If-Match`.
    pub bound: bool,
    /// The error format. It is the same for all routes of a path.
    pub form: ErrorForm,
    pub handler: Handler,
}

impl Route {
    /// The parameters that the query may have.
    pub fn params(&self) -> impl Iterator<Item = &'static Param> {
        self.query.iter().copied().flatten()
    }

    /// Whether the route changes state.
    fn writes(&self) -> bool {
        self.verb != Verb::Get
    }

    /// Whether the route responds at a path of the router: its own path, or a fixed path that
    /// overlaps with `{name}`, because a name can be any text.
    fn serves(&self, path: &str) -> bool {
        let pattern = |(own, other): (&str, &str)| own == other || own == "{name}";
        let (own, other) = (self.path.split('/'), path.split('/'));
        own.clone().count() == other.clone().count() && own.zip(other).all(pattern)
    }
}

/// The paths of the router without duplicates, in the order of the table.
fn paths() -> Vec<&'static str> {
    let mut paths: Vec<&str> = Vec::new();
    for route in ROUTES {
        if !paths.contains(&route.path) {
            paths.push(route.path);
        }
    }
    paths
}

/// The routes that respond at a path of the router.
fn at(path: &str) -> impl Iterator<Item = &'static Route> {
    ROUTES.iter().filter(move |route| route.serves(path))
}

/// The router of all routes with this error format.
pub(super) fn router(form: ErrorForm) -> Router<Arc<Context>> {
    let own = |path: &&str| at(path).any(|route| route.form.name == form.name);
    paths().into_iter().filter(own).fold(Router::new(), |router, path| {
        let methods = at(path).map(|route| (route.handler)());
        router.route(path, methods.fold(MethodRouter::new(), MethodRouter::merge))
    })
}

/// The route of a request.
pub(super) fn find(parts: &Parts) -> Option<&'static Route> {
    let path = parts.extensions.get::<MatchedPath>()?.as_str();
    let method = if parts.method == Method::HEAD { &Method::GET } else { &parts.method };
    at(path).find(|route| route.verb.method() == *method)
}
