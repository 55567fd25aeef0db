//! The error type of invalid schedules.

use std::error::Error;
use std::fmt;

use crate::domain::error_code::ErrorCode;

/// An invalid schedule: the field and the rule it violates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleError {
    /// The invalid field of the schedule, such as `cron` or `timezone`.
    pub field: &'static str,
    /// For a cron expression: the column of the error, counted in characters from 1.
    pub column: Option<usize>,
    /// Machine-readable error code, such as `invalid_cron`.
    pub code: ErrorCode,
    /// Human-readable description.
    pub message: String,
}

impl ScheduleError {
    /// An error about a whole field.
    pub(super) fn new(field: &'static str, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { field, column: None, code, message: message.into() }
    }

    /// An error about the character at `index` (counted from 0) of a cron expression.
    pub(super) fn cron(index: usize, message: impl Into<String>) -> Self {
        Self::new("cron", ErrorCode::InvalidCron, message).at(index)
    }

    /// The same error, located at the character at `index` (counted from 0) of the cron expression.
    pub(super) fn at(self, index: usize) -> Self {
        Self { field: "cron", column: Some(index + 1), ..self }
    }
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.column {
            Some(column) => write!(f, "{}, column {column}: {}", self.field, self.message),
            None => write!(f, "{}: {}", self.field, self.message),
        }
    }
}

impl Error for ScheduleError {}
