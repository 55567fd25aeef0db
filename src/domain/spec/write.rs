//! The canonical body of a definition: every field, in a fixed order, including defaults.

use serde_json::Value;

use super::bodies::TaskBody;
use crate::domain::task::TaskSpec;

/// Writes a task's canonical body. [`super::read`] converts it back to the same definition.
#[must_use]
pub fn write(spec: &TaskSpec) -> Value {
    serde_json::to_value(TaskBody::from(spec)).unwrap_or_default()
}
