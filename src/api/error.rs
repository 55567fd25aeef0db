//! Why a request was not answered as asked: the one place where reasons become HTTP.
//!
//! Every reason has a stable code. [`status`] is the only table from codes to statuses, and
//! [`refusal`] the only one from refusals of the state machine to codes and sentences. The body
//! (RFC 9457) is written by [`frame`](super::frame), which knows the request's id.
//!
//! In `errors` a pointer is a JSON pointer into the body; `?limit` names a query parameter and
//! `If-Match` a header.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use axum::http::{Response as HttpResponse, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::consensus::{ProposeError, Unled};
use crate::domain::machine::Refusal;
use crate::domain::spec;

/// The media type of a problem.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";
/// A client that is told to come again waits so many seconds.
const RETRY_AFTER_S: &str = "1";

/// Why a request was not answered as asked.
#[derive(Clone, Debug)]
pub(super) struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    code: &'static str,
    detail: String,
    errors: Vec<spec::Problem>,
    extra: Map<String, Value>,
    allow: Option<HeaderValue>,
}

/// The status of a code; a code that is not listed is about what a request says: 422.
fn status(code: &str) -> StatusCode {
    match code {
        "invalid_json" | "duplicate_key" | "too_deep" | "invalid_header" | "invalid_path"
        | "bad_request" => StatusCode::BAD_REQUEST,
        "cross_site" | "foreign_host" => StatusCode::FORBIDDEN,
        "route_not_found"
        | "task_not_found"
        | "execution_not_found"
        | "node_not_found"
        | "attempt_not_found"
        | "member_not_found"
        | "calendar_not_found" => StatusCode::NOT_FOUND,
        "method_not_allowed" => StatusCode::METHOD_NOT_ALLOWED,
        "body_timeout" | "request_timeout" => StatusCode::REQUEST_TIMEOUT,
        "task_exists" | "task_deleted" | "execution_ended" | "execution_live" | "not_pending"
        | "stale_fence" | "fence_required" | "held" | "max_live" | "settled"
        | "already_claimed" | "order" | "ahead_of_time" | "inactive" | "not_due"
        | "initialised" | "limit_reached" | "no_other_voter" | "node_leaving"
        | "member_not_empty" | "calendar_in_use" => StatusCode::CONFLICT,
        "revision_mismatch" => StatusCode::PRECONDITION_FAILED,
        "body_too_large" => StatusCode::PAYLOAD_TOO_LARGE,
        "uri_too_long" => StatusCode::URI_TOO_LONG,
        "headers_too_large" => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "unsupported_media_type" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "internal" => StatusCode::INTERNAL_SERVER_ERROR,
        "no_leader"
        | "not_accepted"
        | "session_ended"
        | "transfer_failed"
        | "too_busy"
        | "too_many_connections" => StatusCode::SERVICE_UNAVAILABLE,
        "outcome_unknown" | "index_not_reached" | "node_unreachable" => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// What a refusal means to a caller, and what may be done about it; its code is its own.
const fn refusal(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::TaskExists => {
            "a task of this name exists; change it with PUT or PATCH, or replace it with force=true"
        }
        Refusal::TaskDeleted => {
            "the name carries a deleted mark; reuse or cleanup removes it, force=true creates anew"
        }
        Refusal::TaskNotFound => "there is no task of this name; GET /api/v1/tasks lists them",
        Refusal::RevisionMismatch { .. } => {
            "it was changed since the revision of If-Match; read it again, and send its ETag"
        }
        Refusal::KeyReused => {
            "the Idempotency-Key was used for another request; take a new key for each request, and \
             the same one only to repeat it unchanged"
        }
        Refusal::ExecutionNotFound => {
            "there is no such execution, or it is no longer kept; GET /api/v1/executions lists them"
        }
        Refusal::ExecutionEnded => "the execution has ended; its record says how",
        Refusal::NotPending => "the execution was granted before; its record says to which node",
        Refusal::StaleFence => {
            "a newer grant was made, or the execution has ended; what was done under the old fence \
             does not count"
        }
        Refusal::Held => {
            "a pause or the stopped scheduler holds the execution; resume the task or start the \
             scheduler"
        }
        Refusal::MaxLive => {
            "the task has as many live executions as it may have; wait for one to end, or stop one"
        }
        Refusal::Session => "this node may not take executions now; ask another node",
        Refusal::Cursor { .. } => "the tick was settled, and nobody claimed it; claim a later one",
        Refusal::Order => "ticks of a task must rise; claim one after the last",
        Refusal::Ahead => "the instant lies ahead of cluster time; wait for it",
        Refusal::Inactive => {
            "the task or the scheduler is not active; resume or enable the task, or start the \
             scheduler"
        }
        Refusal::NodeNotFound => "there is no such node; GET /api/v1/nodes lists them",
        Refusal::NotDue => "it is too early for this; ask again later",
        Refusal::Initialised => "the cluster has a name and an id already",
        Refusal::ClusterName => "must be the name of this cluster, as GET /api/v1/cluster shows it",
        Refusal::Full => {
            "a limit of the cluster is reached (2,000,000 names, 1,000,000 of them marked deleted; \
             10,000 calendars); cleanup removes what is no longer needed"
        }
        Refusal::CalendarNotFound => {
            "there is no calendar of this name; GET /api/v1/calendars lists them"
        }
        Refusal::CalendarInUse => "tasks leave the calendar out; they have to do without it first",
        Refusal::AllWeightsZero => {
            "must not be 0: every node would have weight 0, and no task an owner; give another node \
             a weight first"
        }
    }
}

impl Problem {
    /// A problem with a code of the table and a sentence for people.
    pub(super) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            extra: Map::new(),
            allow: None,
        }))
    }

    /// A problem with one field, parameter or header.
    pub(super) fn field(
        pointer: impl Into<String>,
        code: &'static str,
        message: impl Into<String>,
    ) -> Self {
        let (pointer, message) = (pointer.into(), message.into());
        Self::from(vec![spec::Problem { pointer, code, message }])
    }

    /// What this version cannot do yet.
    pub(super) fn not_supported(what: &str) -> Self {
        Self::new("not_supported", format!("{what}: not supported in this version; leave it out"))
    }

    /// No leader is known, or this node is not ready; the sentence says what is waited for.
    pub(super) fn no_leader(why: impl Into<String>) -> Self {
        Self::new("no_leader", why)
    }

    /// No leader serves this node: why, which members do not answer it (`unreachable`, by their
    /// peer addresses), and where else to ask (`ask`, base URLs of the others' APIs).
    pub(super) fn unled(unled: &Unled) -> Self {
        let problem = Self::no_leader(unled.to_string());
        problem.with("unreachable", unled.unreachable.clone()).with("ask", unled.others.clone())
    }

    /// Gives the reason for which something was not done, and what goes with it.
    pub(super) fn because(mut self, reason: Self) -> Self {
        self.0.detail = format!("{}: {}", self.0.detail, reason.0.detail);
        self.0.extra.extend(reason.0.extra);
        self
    }

    /// What should not happen.
    pub(super) fn internal(what: &str) -> Self {
        tracing::error!(what, "a request failed inside");
        Self::new("internal", what)
    }

    /// Adds a member to the body.
    pub(super) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(key.to_owned(), value.into());
        self
    }

    /// The route has these methods, not the one that was used.
    pub(super) fn method_not_allowed(methods: Option<HeaderValue>) -> Self {
        let why = match methods.as_ref().and_then(|methods| methods.to_str().ok()) {
            Some(methods) => format!("the route has no such method; it has {methods}"),
            None => "the route has no such method".to_owned(),
        };
        let mut problem = Self::new("method_not_allowed", why);
        problem.0.allow = methods;
        problem
    }

    /// Its sentence.
    pub(super) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Its status.
    pub(super) fn status(&self) -> StatusCode {
        status(self.0.code)
    }

    /// Moves the pointers of its errors below `prefix`.
    pub(super) fn below(mut self, prefix: &str) -> Self {
        for error in &mut self.0.errors {
            error.pointer.insert_str(0, prefix);
        }
        self
    }

    /// What an item of a list of results says of it.
    pub(super) fn item(&self) -> Map<String, Value> {
        let mut item = Map::new();
        item.insert("status".to_owned(), self.status().as_u16().into());
        item.insert("code".to_owned(), self.0.code.into());
        item.insert("detail".to_owned(), self.0.detail.clone().into());
        item.insert("errors".to_owned(), self.errors());
        item
    }

    fn errors(&self) -> Value {
        let one = |error: &spec::Problem| {
            let spec::Problem { pointer, code, message } = error;
            json!({"pointer": pointer, "code": code, "message": message})
        };
        self.0.errors.iter().map(one).collect()
    }

    /// The body of the answer.
    pub(super) fn body(&self, request_id: &str) -> Value {
        let status = self.status();
        let mut body = json!({
            "type": format!("urn:punctual:problem:{}", self.0.code),
            "title": self.0.code.replace('_', " "),
            "status": status.as_u16(),
            "detail": self.0.detail,
            "code": self.0.code,
            "request_id": request_id,
            "errors": self.errors(),
        });
        if let Value::Object(body) = &mut body {
            body.extend(self.0.extra.clone());
        }
        body
    }

    /// The whole answer.
    pub(super) fn render(self, request_id: &str) -> Response {
        let status = self.status();
        let body = self.body(request_id);
        let mut response = HttpResponse::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_S));
        }
        if let Some(methods) = self.0.allow {
            headers.insert(ALLOW, methods);
        }
        response
    }
}

impl From<Vec<spec::Problem>> for Problem {
    /// The first problem of a body gives the code.
    fn from(errors: Vec<spec::Problem>) -> Self {
        let code = errors.first().map_or("invalid_value", |first| first.code);
        let detail = match errors.first() {
            Some(first) if first.pointer.is_empty() => first.message.clone(),
            Some(first) => format!("{} {}", first.pointer, first.message),
            None => "the request is not valid".to_owned(),
        };
        let mut problem = Self::new(code, detail);
        problem.0.errors = errors;
        problem
    }
}

impl From<spec::Problem> for Problem {
    fn from(error: spec::Problem) -> Self {
        Self::from(vec![error])
    }
}

impl From<Refusal> for Problem {
    fn from(refused: Refusal) -> Self {
        let problem = Self::new(refused.code(), refusal(&refused));
        match refused {
            Refusal::RevisionMismatch { current } => problem.with("revision", current.0),
            Refusal::Cursor { at } => problem.with("cursor", at.to_string()),
            Refusal::ClusterName => Self::field("/cluster", refused.code(), refusal(&refused)),
            Refusal::AllWeightsZero => Self::field("/weight", refused.code(), refusal(&refused)),
            _ => problem,
        }
    }
}

impl From<ProposeError> for Problem {
    fn from(error: ProposeError) -> Self {
        match error {
            ProposeError::NotAccepted | ProposeError::NoTime | ProposeError::Stopping => Self::new(
                "not_accepted",
                format!("{error}: nothing was changed, repeating is safe"),
            ),
            ProposeError::Unknown => Self::new(
                "outcome_unknown",
                "it was handed over and not answered in time: repeat it only with the same \
                 Idempotency-Key",
            ),
        }
    }
}

impl IntoResponse for Problem {
    /// The frame around all routes writes the body.
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}
