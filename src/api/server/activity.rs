//! Tracks the phase of a connection and when it began.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::HttpLimits;

/// The phase of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionPhase {
    /// Waiting for or reading the head of a request.
    Head,
    /// Idle after a response.
    Idle,
    /// Processing a request.
    Busy,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// No complete request head arrived in time.
    Head,
    /// No further request arrived in time.
    Idle,
    /// The client stopped reading a response.
    Stalled,
}

#[derive(Debug)]
struct Now {
    phase: ConnectionPhase,
    since: Instant,
    /// Since when a write has been blocked.
    blocked: Option<Instant>,
}

/// The activity of one connection.
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

    /// Records that bytes were read.
    pub fn read(&self) {
        if self.now.lock().phase == ConnectionPhase::Idle {
            self.enter(ConnectionPhase::Head);
        }
    }

    /// Records whether a write could proceed.
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

    /// Records that the head of a request is complete.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.enter(ConnectionPhase::Busy);
        Busy(Arc::clone(self))
    }

    /// Whether no handler is active. Bytes written in this state come from hyper itself.
    pub fn between_answers(&self) -> bool {
        self.now.lock().phase != ConnectionPhase::Busy
    }

    /// Since when the connection has been waiting for a request. `None` while a request is
    /// processed.
    pub fn waits_since(&self) -> Option<Instant> {
        let now = self.now.lock();
        (now.phase != ConnectionPhase::Busy).then_some(now.since)
    }

    pub fn ask_to_close(&self) {
        self.close.notify_one();
    }

    /// Returns when the connection should close in favor of another and is waiting for a request.
    pub async fn asked_to_close(&self) {
        loop {
            self.close.notified().await;
            if self.between_answers() {
                return;
            }
        }
    }

    /// Returns when a phase has exceeded its time limit.
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
            // The handler has its own time limits. This deadline only triggers another check.
            (None, ConnectionPhase::Busy) => (Instant::now() + limits.idle, Overdue::Stalled),
        }
    }
}

/// A request in progress. Dropped after the last byte of the response body.
#[derive(Debug)]
pub(super) struct Busy(Arc<Activity>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.enter(ConnectionPhase::Idle);
    }
}

/// A response body that ends the request when it has been sent.
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
