//! Requests and answers over one persistent connection to one peer.
//!
//! Concurrent calls share the connection, and the dial if there is none. If a connection ends, the
//! next call dials again. After a failed dial, calls fail at once until the back-off has passed. A
//! call that times out closes the connection. The connection runs on the runtime that its caller was
//! made on, whichever runtime a call comes from.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{Instant, timeout_at};

use super::RandomSource;
use super::frame::{CANCEL_KIND, PeerFrame, Receiver, SendError, Sender};
use super::hello::{PeerRefusalCode, Purpose};
use super::link::{DialError, Dialer, PeerConnection};
use crate::life;

/// The wait after a first failed dial; it doubles up to [`BACKOFF_MAX`], and each wait is drawn
/// from the upper half of that.
pub const BACKOFF_MIN: Duration = Duration::from_millis(50);

/// The longest wait between dials.
pub const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// A notice that could not be queued after this long is given up.
#[cfg(test)]
pub const NOTIFY_MAX: Duration = Duration::from_secs(1);

const GONE: &str = "the connection has ended";

/// The reason why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection to the peer could be opened; not sent.
    #[error("not sent: {0}")]
    NoConnection(String),
    /// The peer has not seen it and never will, for a reason that is no failed dial.
    #[error("not sent: {0}")]
    NotSent(String),
    /// It was sent, or may have been: it may have happened, or may still happen.
    #[error("no answer, it may have happened: {0}")]
    Unknown(String),
    /// The peer refuses this node; not sent.
    #[error("refused: {reason}")]
    Refused {
        /// The kind of refusal.
        code: PeerRefusalCode,
        /// The peer's sentence.
        reason: String,
    },
}

impl From<DialError> for CallError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Refused { code, reason, .. } => Self::Refused { code, reason },
            error => Self::NoConnection(error.to_string()),
        }
    }
}

/// Calls one peer for one purpose; clones share the connection.
#[derive(Clone)]
pub struct PeerCaller {
    shared: Arc<CallerInner>,
}

impl PeerCaller {
    /// A caller that has not dialled yet.
    #[must_use]
    pub fn new(dialer: Dialer, purpose: Purpose) -> Self {
        let state = Mutex::new(CallerState { phase: DialPhase::Down(None), failures: 0 });
        let home = Handle::try_current().ok();
        Self { shared: Arc::new(CallerInner { dialer, purpose, home, state }) }
    }

    /// Asks, and waits at most `limit` in all for the answer's body. Dropping the future leaves
    /// the connection alone; the call may have happened.
    pub async fn call(&self, kind: u16, body: Bytes, limit: Duration) -> Result<Bytes, CallError> {
        self.ask(kind, body, limit, false).await
    }

    /// [`PeerCaller::call`] for an answer that may take long. If the future is dropped, the peer is
    /// told to give the call up.
    pub async fn hold(&self, kind: u16, body: Bytes, limit: Duration) -> Result<Bytes, CallError> {
        self.ask(kind, body, limit, true).await
    }

    async fn ask(
        &self,
        kind: u16,
        body: Bytes,
        limit: Duration,
        held: bool,
    ) -> Result<Bytes, CallError> {
        let deadline = Instant::now() + limit;
        loop {
            let link = self.link(deadline).await?;
            let failed = match link.ask(kind, body.clone(), deadline, held).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            match failed {
                Failed::Unfit(error) => return Err(CallError::NotSent(error.to_string())),
                // It had ended before the question: the next turn has a new one, or an error.
                Failed::Gone => self.shared.lose(&link.waiting, GONE),
                Failed::Stalled => return Err(self.stalled(&link, limit)),
                Failed::Broken(reason) => return Err(CallError::Unknown(reason)),
                Failed::Late => {
                    let reason = format!("no answer within {} ms", limit.as_millis());
                    self.shared.lose(&link.waiting, &reason);
                    return Err(CallError::Unknown(reason));
                }
            }
        }
    }

    /// Tells, without asking for an answer; returns once it is queued. A way to fill queues.
    #[cfg(test)]
    pub async fn notify(&self, kind: u16, body: Bytes) -> Result<(), CallError> {
        let deadline = Instant::now() + NOTIFY_MAX;
        loop {
            let link = self.link(deadline).await?;
            let sending = link.sender.send(PeerFrame { id: 0, kind, body: body.clone() });
            match timeout_at(deadline, sending).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(SendError::Closed)) => self.shared.lose(&link.waiting, GONE),
                Ok(Err(error)) => return Err(CallError::NotSent(error.to_string())),
                Err(_) => return Err(self.stalled(&link, NOTIFY_MAX)),
            }
        }
    }

    /// Drops a connection whose queue stayed full for `limit`.
    fn stalled(&self, link: &OpenCallConnection, limit: Duration) -> CallError {
        let reason = format!("the peer takes no bytes for {} ms", limit.as_millis());
        self.shared.lose(&link.waiting, &reason);
        CallError::NotSent(reason)
    }

    /// The connection, dialled if need be.
    async fn link(&self, deadline: Instant) -> Result<Arc<OpenCallConnection>, CallError> {
        loop {
            let mut dial = match self.shared.look() {
                CallRoute::Up(link) => return Ok(link),
                CallRoute::Down(error) => return Err(error),
                CallRoute::Dialling(dial) => dial,
            };
            // Either way the dial has ended, and the next look shows how.
            if timeout_at(deadline, dial.changed()).await.is_err() {
                let reason = format!("{} has not answered the dial yet", self.shared.dialer.addr);
                return Err(CallError::NoConnection(reason));
            }
        }
    }
}

struct CallerInner {
    dialer: Dialer,
    purpose: Purpose,
    /// Where the connection lives; none: where it was first asked for.
    home: Option<Handle>,
    state: Mutex<CallerState>,
}

struct CallerState {
    phase: DialPhase,
    /// Dials in a row that led to no answer.
    failures: u32,
}

enum DialPhase {
    /// No connection; calls fail with this error until the instant.
    Down(Option<(CallError, Instant)>),
    /// A task dials; the channel closes when it has written the outcome here.
    Dialling(watch::Receiver<()>),
    Up(Arc<OpenCallConnection>),
}

enum CallRoute {
    Up(Arc<OpenCallConnection>),
    Dialling(watch::Receiver<()>),
    Down(CallError),
}

impl CallerState {
    /// The connection, or the dial, ended without use: wait longer each time.
    fn back_off(&mut self, error: CallError, random: &RandomSource) {
        self.failures = self.failures.saturating_add(1);
        let until = Instant::now() + back_off(self.failures, random);
        self.phase = DialPhase::Down(Some((error, until)));
    }
}

fn back_off(failures: u32, random: &RandomSource) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let half = BACKOFF_MIN.saturating_mul(1 << doublings).min(BACKOFF_MAX) / 2;
    let mut draw = [0; 4];
    random(&mut draw);
    half + half.mul_f64(f64::from(u32::from_be_bytes(draw)) / f64::from(u32::MAX))
}

impl CallerInner {
    /// The next step of a call; starts the dial if there is none.
    fn look(self: &Arc<Self>) -> CallRoute {
        let mut state = self.state.lock();
        match &state.phase {
            DialPhase::Up(link) => return CallRoute::Up(link.clone()),
            DialPhase::Down(Some((error, until))) if Instant::now() < *until => {
                return CallRoute::Down(error.clone());
            }
            // A closed channel in this phase: the task died without an outcome.
            DialPhase::Dialling(dial) if dial.has_changed().is_ok() => {
                return CallRoute::Dialling(dial.clone());
            }
            DialPhase::Down(_) | DialPhase::Dialling(_) => {}
        }
        let (ended, dial) = watch::channel(());
        state.phase = DialPhase::Dialling(dial.clone());
        // It cannot have an outcome yet, which it needs this lock for: its runtime has ended.
        if self.spawn_dial(ended).is_finished() {
            let error = CallError::NotSent("this node is ending".to_owned());
            state.back_off(error.clone(), &self.dialer.fabric.random);
            return CallRoute::Down(error);
        }
        CallRoute::Dialling(dial)
    }

    fn spawn_dial(self: &Arc<Self>, ended: watch::Sender<()>) -> JoinHandle<()> {
        let _at_home = self.home.as_ref().map(Handle::enter);
        life::spawn(self.clone().dial(ended))
    }

    /// In a task of its own, so that a cancelled call does not cancel the dial of others.
    async fn dial(self: Arc<Self>, ended: watch::Sender<()>) {
        let dialled = self.dialer.connect(self.purpose).await;
        let mut state = self.state.lock();
        match dialled {
            // Under the lock, so that the reader's end cannot come before this.
            Ok(connection) => {
                state.phase = DialPhase::Up(OpenCallConnection::new(connection, &self))
            }
            Err(error) => state.back_off(error.into(), &self.dialer.fabric.random),
        }
        drop(state);
        drop(ended);
    }

    /// Gives up the connection that has these waiting, if it is still the present one. One that
    /// answered, or lived longer than any back-off, is dialled again at once; any other counts as
    /// a failed dial.
    fn lose(&self, waiting: &Arc<Waiting>, reason: &str) {
        let mut state = self.state.lock();
        let lost = match &state.phase {
            DialPhase::Up(link) if Arc::ptr_eq(&link.waiting, waiting) => link.clone(),
            _ => return,
        };
        if waiting.answered() || lost.since.elapsed() > BACKOFF_MAX {
            state.phase = DialPhase::Down(None);
            state.failures = 0;
        } else {
            let error = CallError::NotSent(reason.to_owned());
            state.back_off(error, &self.dialer.fabric.random);
        }
        drop(state);
        lost.cut(reason);
    }
}

/// One connection, in use.
struct OpenCallConnection {
    sender: Sender,
    waiting: Arc<Waiting>,
    last_id: AtomicU64,
    since: Instant,
    reader: AbortHandle,
}

/// How a call failed.
enum Failed {
    /// The connection had ended before.
    Gone,
    /// This frame can never be sent.
    Unfit(SendError),
    /// It did not fit in the queue in time.
    Stalled,
    /// The connection ended after it was queued.
    Broken(String),
    /// No answer in time.
    Late,
}

impl OpenCallConnection {
    fn new(connection: PeerConnection, shared: &Arc<CallerInner>) -> Arc<Self> {
        let (sender, receiver) = connection.split();
        let waiting = Arc::new(Waiting::default());
        let reading = read(receiver, waiting.clone(), Arc::downgrade(shared));
        let reader = life::spawn(reading).abort_handle();
        let last_id = AtomicU64::new(0);
        Arc::new(Self { sender, waiting, last_id, since: Instant::now(), reader })
    }

    async fn ask(
        &self,
        kind: u16,
        body: Bytes,
        deadline: Instant,
        held: bool,
    ) -> Result<Bytes, Failed> {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let mut place = Waiting::enter(&self.waiting, id).ok_or(Failed::Gone)?;
        place.cancel = held.then(|| self.sender.clone());
        let sending = self.sender.send(PeerFrame { id, kind, body });
        match timeout_at(deadline, sending).await {
            Ok(Ok(())) => {}
            Ok(Err(SendError::Closed)) => return Err(Failed::Gone),
            Ok(Err(error)) => return Err(Failed::Unfit(error)),
            Err(_) => return Err(Failed::Stalled),
        }
        match timeout_at(deadline, place.answer()).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(Failed::Broken(self.waiting.end_reason())),
            Err(_) => Err(Failed::Late),
        }
    }

    /// Ends both directions at once, and all that wait.
    fn cut(&self, reason: &str) {
        self.waiting.end(reason);
        self.reader.abort();
        self.sender.cut();
    }
}

impl Drop for OpenCallConnection {
    fn drop(&mut self) {
        self.cut("the caller was dropped");
    }
}

async fn read(mut receiver: Receiver, waiting: Arc<Waiting>, shared: Weak<CallerInner>) {
    let reason = loop {
        match receiver.next().await {
            Ok(Some(frame)) => waiting.answer(frame),
            Ok(None) => break "the peer ended the connection".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    waiting.end(&reason);
    if let Some(shared) = shared.upgrade() {
        shared.lose(&waiting, &reason);
    }
}

/// The questions of one connection that have no answer yet. A B-tree, so that all of them are
/// woken in one order, also in a simulation.
#[derive(Default)]
struct Waiting(Mutex<WaitingState>);

#[derive(Default)]
struct WaitingState {
    places: BTreeMap<u64, oneshot::Sender<Bytes>>,
    answered: bool,
    ended: Option<String>,
}

impl Waiting {
    /// A place for the answer with this id; none: the connection has ended.
    fn enter(this: &Arc<Self>, id: u64) -> Option<PendingCall> {
        let mut state = this.0.lock();
        if state.ended.is_some() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        state.places.insert(id, sender);
        Some(PendingCall { id, receiver, waiting: this.clone(), cancel: None })
    }

    fn answer(&self, frame: PeerFrame) {
        let mut state = self.0.lock();
        state.answered = true;
        if let Some(place) = state.places.remove(&frame.id) {
            // A call that was dropped in this moment needs no answer.
            let _ = place.send(frame.body);
        }
    }

    /// No more answers: the first reason counts.
    fn end(&self, reason: &str) {
        let mut state = self.0.lock();
        state.ended.get_or_insert_with(|| reason.to_owned());
        state.places.clear();
    }

    fn answered(&self) -> bool {
        self.0.lock().answered
    }

    fn end_reason(&self) -> String {
        self.0.lock().ended.clone().unwrap_or_default()
    }
}

/// One call's place among the waiting; it is given up with the call.
struct PendingCall {
    id: u64,
    receiver: oneshot::Receiver<Bytes>,
    waiting: Arc<Waiting>,
    /// Where the peer is told that nobody waits any more.
    cancel: Option<Sender>,
}

impl PendingCall {
    /// None: the connection ended first.
    async fn answer(mut self) -> Option<Bytes> {
        (&mut self.receiver).await.ok()
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        let unanswered = self.waiting.0.lock().places.remove(&self.id).is_some();
        if let Some(sender) = self.cancel.as_ref().filter(|_| unanswered) {
            // A full queue takes no more: the peer then gives the call up when its time is over.
            let _told =
                sender.offer(PeerFrame { id: self.id, kind: CANCEL_KIND, body: Bytes::new() });
        }
    }
}

#[cfg(test)]
mod tests;
