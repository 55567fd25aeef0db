//! Why a schedule is refused.

use std::error::Error;
use std::fmt;

use crate::domain::error_code::ErrorCode;

/// A refusal that names the field and the rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleError {
    /// The field of the schedule that is wrong, such as `cron` or `timezone`.
    pub field: &'static str,
    /// In a cron text: where, counted in characters from 1.
    pub column: Option<usize>,
    /// What is wrong, for programs, such as `invalid_cron`.
    pub code: ErrorCode,
    /// What is wrong, for people.
    pub message: String,
}

impl ScheduleError {
    /// A refusal of a whole field.
    pub(super) fn new(field: &'static str, code: ErrorCode, message: impl Into<String>) -> Self {
        Self { field, column: None, code, message: message.into() }
    }

    /// A refusal of a cron text because of its character at `index`, counted from 0.
    pub(super) fn cron(index: usize, message: impl Into<String>) -> Self {
        Self::new("cron", ErrorCode::InvalidCron, message).at(index)
    }

    /// The same refusal, tied to the cron text's character at `index`, counted from 0.
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
