//! The outcome of an attempt.

use super::boot::BootInstant;

/// The last bytes of the output that travel with the outcome.
pub const TAIL_MAX_BYTES: usize = 1_024;
/// A longer character has at most so many bytes more, which a tail may lack at its beginning.
const CHARACTER_REST_MAX: usize = 3;
/// The explanation that travels with the outcome.
const DETAIL_MAX_BYTES: usize = 240;

/// Whether a tail is all of an output, by its length.
#[must_use]
pub const fn tail_is_whole(tail: &[u8]) -> bool {
    tail.len() + CHARACTER_REST_MAX < TAIL_MAX_BYTES
}

/// The line in the place of bytes of an output that are not kept.
#[must_use]
pub fn left_out(count: u64) -> String {
    format!("\n[punctual: {count} bytes left out here]\n")
}

/// The end of an attempt in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptStatus {
    /// It did what was asked.
    Success,
    /// It did not, or could not be started.
    Failed,
    /// Its time was up.
    Timeout,
    /// It was asked to stop.
    Cancelled,
    /// Its end is unknown.
    Lost,
    /// An executor took it over, and reports its end: this is no end.
    Accepted,
    /// Its time to start had passed, or its fence was no longer current: nothing happened.
    NotStarted,
}

/// The end of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptOutcome {
    /// In one word.
    pub status: AttemptStatus,
    /// Whether the action may have taken effect, or go on doing so, beyond what is told here.
    pub unknown: bool,
    /// A short sentence for people.
    pub detail: String,
    /// A process that ended by itself.
    pub exit_code: Option<i32>,
    /// A server that answered.
    pub http_status: Option<u16>,
    /// The last bytes of the output, at most [`TAIL_MAX_BYTES`].
    pub tail: Vec<u8>,
    /// None: it never started.
    pub started: Option<BootInstant>,
    /// From the start to the end.
    pub duration_ms: u64,
}

impl AttemptOutcome {
    /// An outcome that is known, without any start.
    pub(super) fn new(status: AttemptStatus, detail: impl Into<String>) -> Self {
        let mut detail = detail.into();
        detail.truncate(detail.floor_char_boundary(DETAIL_MAX_BYTES));
        Self {
            status,
            unknown: status == AttemptStatus::Lost,
            detail,
            exit_code: None,
            http_status: None,
            tail: Vec::new(),
            started: None,
            duration_ms: 0,
        }
    }

    /// A known failure.
    pub(super) fn failed(detail: impl Into<String>) -> Self {
        Self::new(AttemptStatus::Failed, detail)
    }

    /// It is unknown whether it took effect.
    pub(super) fn lost(detail: impl Into<String>) -> Self {
        Self::new(AttemptStatus::Lost, detail)
    }

    /// Stopped on request.
    pub(super) fn cancelled(detail: impl Into<String>) -> Self {
        Self::new(AttemptStatus::Cancelled, detail)
    }

    /// Nothing happened.
    pub(super) fn not_started(detail: impl Into<String>) -> Self {
        Self::new(AttemptStatus::NotStarted, detail)
    }

    /// Adds the time from start to end.
    pub(super) fn timed(mut self, started: BootInstant, ended: BootInstant) -> Self {
        self.started = Some(started);
        self.duration_ms = ended.since(started).0;
        self
    }
}
