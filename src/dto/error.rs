//! Error responses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Word;

/// An error response (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemView {
    /// A URN that contains the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// A short description of the code.
    pub title: String,
    /// The HTTP status of the response.
    pub status: u16,
    /// A description of the problem.
    pub detail: String,
    /// The next step for the user.
    #[serde(default)]
    pub advice: String,
    /// A machine-readable code. The meaning of a code never changes.
    pub code: Word,
    /// The id of the request, also in the header `X-Request-Id` and in the node's log.
    pub request_id: String,
    /// Problems of single fields of the request.
    pub errors: Vec<FieldError>,
    /// Additional fields of some codes, such as `winner` of `already_claimed`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A problem of one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// A JSON pointer into the body, `?name` for a parameter, or the name of a header.
    pub pointer: String,
    /// A machine-readable code of the broken rule.
    pub code: Word,
    /// A description of the rule. It can follow the name of the field in a sentence.
    pub message: String,
}
