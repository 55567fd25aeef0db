//! In which phase a connection is, and since when.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::HttpLimits;

/// What a connection does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionPhase {
    /// The head of a request is awaited or read.
    Head,
    /// Nothing, after an answer.
    Idle,
    /// A request is answered.
    Busy,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No whole head came.
    Head,
    /// No further request came.
    Idle,
    /// Nothing of an answer was taken.
    Stalled,
}

#[derive(Debug)]
struct Now {
    phase: ConnectionPhase,
    since: Instant,
    /// Since when bytes wait to be written.
    blocked: Option<Instant>,
}

/// The phase of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    now: Mutex<Now>,
    changed: Notify,
    close: Notify,
}

impl Activity {
    pub fn new() -> Self {
        let now = Now { phase: ConnectionPhase::Head, since: Instant::now(), blocked: None };
        Self { now: Mutex::new(now), changed: Notify::new(), close: Notify::new() }
    }

    fn enter(&self, phase: ConnectionPhase) {
        let mut now = self.now.lock();
        (now.phase, now.since) = (phase, Instant::now());
        drop(now);
        self.changed.notify_one();
    }

    /// Bytes came.
    pub fn read(&self) {
        if self.now.lock().phase == ConnectionPhase::Idle {
            self.enter(ConnectionPhase::Head);
        }
    }

    /// Bytes could be written, or could not.
    pub fn wrote(&self, ready: bool) {
        let mut now = self.now.lock();
        let was = now.blocked.is_some();
        now.blocked = if ready { None } else { now.blocked.or_else(|| Some(Instant::now())) };
        if ready && now.phase == ConnectionPhase::Idle {
            now.since = Instant::now();
        }
        drop(now);
        if was == ready {
            self.changed.notify_one();
        }
    }

    /// A request is whole as far as its head goes.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.enter(ConnectionPhase::Busy);
        Busy(Arc::clone(self))
    }

    /// Whether no answer of ours is on its way: what is written then, hyper says by itself.
    pub fn between_answers(&self) -> bool {
        self.now.lock().phase != ConnectionPhase::Busy
    }

    /// Since when it waits for a request; none: it answers one.
    pub fn waits_since(&self) -> Option<Instant> {
        let now = self.now.lock();
        (now.phase != ConnectionPhase::Busy).then_some(now.since)
    }

    pub fn ask_to_close(&self) {
        self.close.notify_one();
    }

    /// Returns once another connection needs the place, and this one waits for a request.
    pub async fn asked_to_close(&self) {
        loop {
            self.close.notified().await;
            if self.between_answers() {
                return;
            }
        }
    }

    /// Returns when a phase has lasted too long.
    pub async fn overdue(&self, limits: &HttpLimits) -> Overdue {
        loop {
            let (at, why) = self.deadline(limits);
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep_until(at) => {
                    if self.deadline(limits).0 <= Instant::now() {
                        return why;
                    }
                }
            }
        }
    }

    fn deadline(&self, limits: &HttpLimits) -> (Instant, Overdue) {
        let now = self.now.lock();
        match (now.blocked, now.phase) {
            (Some(since), _) => (since + limits.stalled, Overdue::Stalled),
            (None, ConnectionPhase::Head) => (now.since + limits.head, Overdue::Head),
            (None, ConnectionPhase::Idle) => (now.since + limits.idle, Overdue::Idle),
            // The handler has limits of its own; look again later.
            (None, ConnectionPhase::Busy) => (Instant::now() + limits.idle, Overdue::Stalled),
        }
    }
}

/// A request being answered; dropped with the last byte of the answer's body.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.enter(ConnectionPhase::Idle);
    }
}

/// The body of an answer, which tells when it has been taken.
#[derive(Debug)]
pub(super) struct Tracked {
    body: Body,
    _busy: Busy,
}

impl Tracked {
    pub const fn new(body: Body, busy: Busy) -> Self {
        Self { body, _busy: busy }
    }
}

impl HttpBody for Tracked {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
