//! The connections of the HTTP interface: accepted, bounded in number and in time, closed.
//!
//! ```text
//! accept ──▶ permit ──▶ connection task: hyper over a `Wire`, next to a clock that knows its phase
//!   │          │ none: the connection that has waited longest for a request is closed,
//!   │          └──────  or 503 is said
//!   └ no file left: one is closed, and accepting pauses
//! ```
//!
//! Hyper ends no connection by itself here: [`activity`] tells in which phase one is, and the task
//! closes it when the phase has lasted too long. What hyper refuses without asking anybody gets a
//! problem body in [`wire`].

mod activity;
mod answers;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tower::Service;

use super::Stopping;
use crate::domain::error_code::ErrorCode;
use crate::ops::OpError;

use self::activity::{Activity, Overdue, Tracked};
use self::wire::Wire;

/// Connections that are told at once that there are too many.
const REFUSALS_MAX: usize = 32;
/// A connection that was closed for another one has gone within this.
const MAKE_ROOM: Duration = Duration::from_secs(1);
/// Without a file for the next connection, accepting pauses for this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// And says so at most this often.
const PAUSE_TOLD_EVERY: Duration = Duration::from_secs(10);
/// After the last answer, a client that still sends is read for this long: closing earlier would
/// take the answer from it.
const LINGER: Duration = Duration::from_secs(1);
/// Bytes that are read and thrown away meanwhile.
const LINGER_BYTES_MAX: usize = 64 << 20;

/// What bounds the connections.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Connections at once.
    pub connections: usize,
    /// A request's head has to come within this, counted from its first byte, or from the
    /// connection's beginning.
    pub head: Duration,
    /// A connection without a request is kept open for this.
    pub idle: Duration,
    /// A client that takes nothing of its answer is given up after this.
    pub stalled: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: 8_192,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            stalled: Duration::from_secs(60),
        }
    }
}

/// Serves until `stop`: then no more connections, open streams end, requests under way are
/// answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: watch::Receiver<bool>,
    limits: HttpLimits,
) {
    let router = router.layer(axum::Extension(Stopping(stop.clone())));
    let server = Arc::new(Server {
        router,
        limits,
        permits: Arc::new(Semaphore::new(limits.connections)),
        refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
        open: Mutex::new(BTreeMap::new()),
        stop: stop.clone(),
    });
    let accepting = server.accept(listener);
    let mut stop = stop;
    tokio::select! {
        () = accepting => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    let all = u32::try_from(limits.connections).unwrap_or(u32::MAX);
    let _every_one_has_ended = server.permits.acquire_many(all).await;
}

struct Server {
    router: Router,
    limits: HttpLimits,
    permits: Arc<Semaphore>,
    refusals: Arc<Semaphore>,
    /// The open connections in the order in which they were accepted.
    open: Mutex<BTreeMap<u64, Arc<Activity>>>,
    stop: watch::Receiver<bool>,
}

impl Server {
    async fn accept(self: &Arc<Self>, listener: TcpListener) {
        let mut told: Option<Instant> = None;
        for number in 0.. {
            match listener.accept().await {
                Ok((stream, _)) => self.admit(number, stream).await,
                // The client gave up before it was accepted.
                Err(error) if of_one_connection(&error) => {}
                Err(error) => {
                    let now = Instant::now();
                    if told.is_none_or(|told| now.duration_since(told) >= PAUSE_TOLD_EVERY) {
                        tracing::warn!(
                            %error,
                            open = self.open.lock().len(),
                            "no connection can be accepted: idle ones are closed; raise the limit \
                             of open files if this stays"
                        );
                        told = Some(now);
                    }
                    self.close_idlest();
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Takes a connection, in the place of another one if need be.
    async fn admit(self: &Arc<Self>, number: u64, stream: TcpStream) {
        // Answers are small and whole: waiting for more of them helps nobody.
        let _as_it_is = stream.set_nodelay(true);
        let mut permit = Arc::clone(&self.permits).try_acquire_owned().ok();
        if permit.is_none() && self.close_idlest() {
            let free = timeout(MAKE_ROOM, Arc::clone(&self.permits).acquire_owned());
            permit = free.await.ok().and_then(Result::ok);
        }
        match permit {
            Some(permit) => {
                let server = Arc::clone(self);
                tokio::spawn(async move { server.connection(number, stream, permit).await });
            }
            None => self.refuse(stream),
        }
    }

    /// Says that there are too many connections.
    fn refuse(&self, mut stream: TcpStream) {
        let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned() else { return };
        let why = format!(
            "{} connections are open, as many as this node may have, and all are in use",
            self.limits.connections
        );
        tokio::spawn(async move {
            let answer = answers::bytes(OpError::new(ErrorCode::TooManyConnections, why));
            if stream.write_all(&answer).await.is_ok() {
                linger(stream).await;
            }
            drop(place);
        });
    }

    /// Asks the connection to close that has waited longest for a request; false: all are in use.
    fn close_idlest(&self) -> bool {
        let open = self.open.lock();
        let waiting = open.values().filter_map(|one| Some((one.waits_since()?, one)));
        let idlest = waiting.min_by_key(|(since, _)| *since);
        idlest.map(|(_, activity)| activity.ask_to_close()).is_some()
    }

    async fn connection(&self, number: u64, stream: TcpStream, permit: OwnedSemaphorePermit) {
        let activity = Arc::new(Activity::new());
        self.open.lock().insert(number, Arc::clone(&activity));
        self.run(stream, &activity).await;
        self.open.lock().remove(&number);
        drop(permit);
    }

    async fn run(&self, stream: TcpStream, activity: &Arc<Activity>) {
        let service = service_fn(|request| self.call(request, activity));
        let wire = TokioIo::new(Wire::new(stream, Arc::clone(activity)));
        let mut connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // Hyper counts the wait between two requests as reading a head.
            .header_read_timeout(None)
            .serve_connection(wire, service);
        let mut stop = self.stop.clone();
        let mut stopping = false;
        let ended = loop {
            tokio::select! {
                ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break Ok(ended),
                overdue = activity.overdue(&self.limits) => break Err(overdue),
                () = activity.asked_to_close() => return,
                _ = stop.wait_for(|stop| *stop), if !stopping => {
                    stopping = true;
                    std::pin::Pin::new(&mut connection).graceful_shutdown();
                }
            }
        };
        let mut wire = connection.into_parts().io.into_inner();
        let problem = match ended {
            Ok(Err(error)) if error.is_parse() && !wire.replaced() => {
                Some(answers::unreadable(400))
            }
            Ok(_) => None,
            Err(Overdue::Head) => Some(answers::late_head(self.limits.head)),
            Err(Overdue::Idle | Overdue::Stalled) => return,
        };
        if let Some(problem) = problem.filter(|_| activity.between_answers())
            && wire.write_all(&answers::bytes(problem)).await.is_err()
        {
            return;
        }
        if wire.flush().await.is_ok() {
            linger(wire.into_inner()).await;
        }
    }

    fn call(
        &self,
        request: Request<Incoming>,
        activity: &Arc<Activity>,
    ) -> BoxFuture<'static, Result<Response<Tracked>, Infallible>> {
        let busy = activity.begin();
        let request = request.map(Body::new);
        let answering = match answers::without_host(&request) {
            Some(problem) => {
                let answer = super::frame::refuse(problem, request.headers());
                async move { Ok::<_, Infallible>(answer) }.left_future()
            }
            None => self.router.clone().call(request).right_future(),
        };
        async move {
            let answer = answering.await?;
            Ok(answer.map(|body| Tracked::new(body, busy)))
        }
        .boxed()
    }
}

/// Whether the failure to accept is about one connection only.
fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Closes a connection whose client may still send: bytes that nobody reads would reset it, and the
/// answer be lost.
async fn linger(mut stream: TcpStream) {
    if stream.shutdown().await.is_err() {
        return;
    }
    let drained = async {
        let mut buffer = [0; 4 << 10];
        let mut total = 0;
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            total += read;
            if total > LINGER_BYTES_MAX {
                break;
            }
        }
    };
    let _gone_or_late = timeout(LINGER, drained).await;
}
