//! HTTP connections: accepting, limits on number and time, closing.
//!
//! ```text
//! accept ──▶ permit ──▶ connection task: hyper over a `Wire`, with a timer for each phase
//!   │          │ none: the connection that has been idle longest is closed,
//!   │          └──────  or the new one gets a 503
//!   └ no file descriptor left: one connection is closed, and accepting pauses
//! ```
//!
//! The time limits of hyper are not used. [`activity`] tracks the phase of a connection, and the
//! task closes the connection when a phase takes too long. Requests that hyper rejects itself get a
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

use crate::domain::error_code::ErrorCode;
use crate::ops::OpError;
use crate::ops::streams::Stopping;

use self::activity::{Activity, Overdue, Tracked};
use self::wire::Wire;

/// Maximum number of concurrent connections that receive the "too many connections" error.
const REFUSALS_MAX: usize = 32;
/// Time limit for closing an idle connection in favor of a new one.
const MAKE_ROOM: Duration = Duration::from_secs(1);
/// Pause of accepting when there is no file descriptor for the next connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Minimum time between two warnings about that.
const PAUSE_TOLD_EVERY: Duration = Duration::from_secs(10);
/// After the last response, input is read for at most this long. Closing earlier could reset the
/// connection before the client has read the response.
const LINGER: Duration = Duration::from_secs(1);
/// Maximum number of bytes read and discarded in that time.
const LINGER_BYTES_MAX: usize = 64 << 20;

/// Limits of connections.
#[derive(Clone, Copy, Debug)]
pub struct HttpLimits {
    /// Maximum number of concurrent connections.
    pub connections: usize,
    /// Time limit for a complete request head, from its first byte or from the start of the
    /// connection.
    pub head: Duration,
    /// How long a connection without a request is kept open.
    pub idle: Duration,
    /// A connection is closed after this time if the client does not read the response.
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

/// Serves until `stop` is true. Then it accepts no more connections, ends open streams, and
/// completes the requests in progress.
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
    /// The open connections, in the order of acceptance.
    open: Mutex<BTreeMap<u64, Arc<Activity>>>,
    stop: watch::Receiver<bool>,
}

impl Server {
    async fn accept(self: &Arc<Self>, listener: TcpListener) {
        let mut told: Option<Instant> = None;
        for number in 0.. {
            match listener.accept().await {
                Ok((stream, _)) => self.admit(number, stream).await,
                // The client disconnected before it was accepted.
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

    /// Admits a connection. If there is no permit, an idle connection is closed.
    async fn admit(self: &Arc<Self>, number: u64, stream: TcpStream) {
        // Responses are written as a whole, so Nagle's algorithm would only add delay.
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

    /// Responds that there are too many connections.
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

    /// Closes the connection that has been idle longest. Returns false if all are in use.
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
            // Hyper would count the idle time between two requests as part of reading a head.
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

/// Whether an accept error concerns only one connection.
fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Closes a connection whose client may still be sending. Unread bytes would reset the connection,
/// and the response would be lost.
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
