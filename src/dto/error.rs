//! Error responses.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Word;

/// Why a request was not answered as asked (RFC 9457).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemView {
    /// A URN of the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong.
    pub detail: String,
    /// What to do next.
    #[serde(default)]
    pub advice: String,
    /// For programs; it never changes its meaning.
    pub code: Word,
    /// Also in the header `X-Request-Id` and in the node's log.
    pub request_id: String,
    /// What is wrong with the fields of the request.
    pub errors: Vec<FieldError>,
    /// What goes with some codes, such as `winner` with `already_claimed`.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FieldError {
    /// A JSON pointer into the body, `?name` for a parameter, or the name of a header.
    pub pointer: String,
    /// Which rule it breaks, for programs.
    pub code: Word,
    /// What the rule says; reads on after the name of the field.
    pub message: String,
}
