//! Why a request has no good answer.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::error_code::ErrorCode;

/// One field that a request got wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FieldProblem {
    /// JSON pointer into the body; empty: the body as a whole.
    pub pointer: String,
    /// The rule; reads on after the name of the field.
    pub message: String,
}

/// What is read of an answer that says no; a proxy may have written it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ProblemText {
    code: Option<String>,
    detail: Option<String>,
    title: Option<String>,
    error: Option<String>,
    advice: String,
    errors: Vec<FieldProblem>,
}

/// An answer in an envelope: what is wrong is its data.
#[derive(Deserialize)]
struct ProblemEnvelope {
    data: ProblemText,
}

/// A node's answer that says no: `application/problem+json`, as far as it is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRefusal {
    /// HTTP status, 400 or above.
    pub status: u16,
    /// For programs, such as `task_exists`; `http_<status>` if the answer names none.
    pub code: String,
    /// What is wrong, for people.
    pub detail: String,
    /// What to do next, for people; empty: the node does not say.
    pub advice: String,
    /// What is wrong with the fields of the body.
    pub errors: Vec<FieldProblem>,
    /// The whole answer.
    pub body: Value,
}

/// Why a request has no good answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No server took the connection; nothing was handed over.
    #[error("no node answers: {0}")]
    Unreachable(String),
    /// A node says no.
    #[error("{} ({})", .0.detail, .0.code)]
    Refused(Box<ServerRefusal>),
    /// A write was handed over, and nobody said what became of it.
    #[error("the outcome is unknown: {0}")]
    Unknown(String),
    /// A read found no node that answers it in full.
    #[error("no answer: {0}")]
    Broken(String),
    /// What this program was asked to send is no request.
    #[error("{0}")]
    Usage(String),
}

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request is wrong: repeating it does not help.
    Invalid,
    /// Nothing was changed, and the same request may succeed later.
    NotAccepted,
    /// The caller may not do this.
    NotAllowed,
    /// What is there, or is not there, stands against it.
    Conflict,
    /// It may have been carried out or not.
    Unknown,
}

impl ServerRefusal {
    /// Reads an answer of this status.
    #[must_use]
    pub fn read(status: u16, body: Value) -> Self {
        let said = ProblemEnvelope::deserialize(&body).map(|envelope| envelope.data);
        let said = said.or_else(|_| ProblemText::deserialize(&body)).unwrap_or_default();
        let code = said.code.unwrap_or_else(|| format!("http_{status}"));
        let plain = || body.as_str().map(str::trim).filter(|text| !text.is_empty());
        let detail = said.detail.or(said.title).or(said.error);
        let detail = detail.or_else(|| plain().map(str::to_owned));
        let detail = detail.unwrap_or_else(|| format!("the node answered with status {status}"));
        Self { status, code, detail, advice: said.advice, errors: said.errors, body }
    }

    /// Its code; none: a program of another version, or no node, wrote it.
    #[must_use]
    pub fn known(&self) -> Option<ErrorCode> {
        ErrorCode::named(&self.code)
    }

    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match (self.status, self.known()) {
            (_, Some(ErrorCode::IndexNotReached | ErrorCode::NodeUnreachable)) => {
                ErrorKind::NotAccepted
            }
            (401 | 403, _) => ErrorKind::NotAllowed,
            (404 | 409 | 410 | 412, _) => ErrorKind::Conflict,
            (408 | 429 | 503, _) => ErrorKind::NotAccepted,
            (500.., _) => ErrorKind::Unknown,
            _ => ErrorKind::Invalid,
        }
    }
}

impl ClientError {
    /// What the caller can do.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable(_) | Self::Broken(_) => ErrorKind::NotAccepted,
            Self::Refused(refusal) => refusal.kind(),
            Self::Unknown(_) => ErrorKind::Unknown,
            Self::Usage(_) => ErrorKind::Invalid,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_are_read_as_far_as_they_are_problems() {
        let body = json!({"code": "invalid_task", "title": "t", "detail": "the task is not valid",
            "errors": [{"pointer": "/schedule/cron", "message": "column 3: no"}]});
        let refusal = ServerRefusal::read(422, body);
        assert_eq!((refusal.code.as_str(), refusal.kind()), ("invalid_task", ErrorKind::Invalid));
        assert_eq!(refusal.errors.first().map(|e| e.pointer.as_str()), Some("/schedule/cron"));
        let plain = ServerRefusal::read(502, json!("bad gateway\n"));
        assert_eq!((plain.code.as_str(), plain.detail.as_str()), ("http_502", "bad gateway"));
        assert_eq!(ServerRefusal::read(404, json!({"error": "gone"})).detail, "gone");
        let problem = json!({"code": "no_leader", "detail": "none leads"});
        let envelope = json!({"code": 503, "message": "none leads", "data": problem});
        let refusal = ServerRefusal::read(503, envelope);
        assert_eq!((refusal.code.as_str(), refusal.detail.as_str()), ("no_leader", "none leads"));
        assert_eq!(
            ServerRefusal::read(400, Value::Null).detail,
            "the node answered with status 400"
        );
    }

    #[test]
    fn kinds_follow_code_and_status() {
        for (status, code, kind) in [
            (503, "no_leader", ErrorKind::NotAccepted),
            (503, "not_accepted", ErrorKind::NotAccepted),
            (504, "outcome_unknown", ErrorKind::Unknown),
            (504, "index_not_reached", ErrorKind::NotAccepted),
            (500, "internal", ErrorKind::Unknown),
            (403, "forbidden", ErrorKind::NotAllowed),
            (404, "task_not_found", ErrorKind::Conflict),
            (409, "task_exists", ErrorKind::Conflict),
            (412, "revision_mismatch", ErrorKind::Conflict),
            (422, "invalid_task", ErrorKind::Invalid),
            (400, "invalid_json", ErrorKind::Invalid),
        ] {
            assert_eq!(ServerRefusal::read(status, json!({ "code": code })).kind(), kind, "{code}");
        }
    }
}
