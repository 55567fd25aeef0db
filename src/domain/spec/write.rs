//! The canonical body of a definition: every field, in a fixed order, defaults shown.

use serde_json::Value;

use super::bodies::TaskBody;
use crate::domain::task::TaskSpec;

/// Writes a task's canonical body, which [`super::read`] turns back into the same definition.
#[must_use]
pub fn write(spec: &TaskSpec) -> Value {
    serde_json::to_value(TaskBody::from(spec)).unwrap_or_default()
}
