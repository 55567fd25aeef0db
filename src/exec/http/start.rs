//! The moment an HTTP attempt starts: its connection stands, and no byte of the request is sent.
//!
//! The client connects within the task that asks, so what belongs to one request reaches the
//! connector by a task-local.

use std::future::pending;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::Mutex;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::oneshot;
use tower::{Layer, Service};

use crate::exec::boot::BootInstant;
use crate::exec::control::{Gate, may_start, passed};

type AnyError = Box<dyn std::error::Error + Send + Sync>;

tokio::task_local! {
    static START: Arc<Start>;
}

/// The start of one request.
pub(super) struct Start {
    gate: Gate,
    start_by: BootInstant,
    addresses: Vec<SocketAddr>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tell: Option<oneshot::Sender<BootInstant>>,
    verdict: Option<Result<BootInstant, &'static str>>,
}

/// Carries out a request whose connection is made for `start`.
pub(super) async fn scope<F: Future>(start: &Arc<Start>, request: F) -> F::Output {
    START.scope(Arc::clone(start), request).await
}

impl Start {
    pub(super) fn new(
        gate: &Gate,
        start_by: BootInstant,
        addresses: Vec<SocketAddr>,
        tell: oneshot::Sender<BootInstant>,
    ) -> Self {
        let state = Mutex::new(State { tell: Some(tell), verdict: None });
        Self { gate: Arc::clone(gate), start_by, addresses, state }
    }

    /// When the first byte was about to be sent.
    pub(super) fn started(&self) -> Option<BootInstant> {
        self.state.lock().verdict.and_then(Result::ok)
    }

    /// Why it was not.
    pub(super) fn refused(&self) -> Option<&'static str> {
        self.state.lock().verdict.and_then(Result::err)
    }

    /// Returns when the time to start has passed without a start.
    pub(super) async fn overdue(&self) {
        passed(self.start_by).await;
        if self.started().is_some() {
            pending::<()>().await;
        }
    }

    /// The last look: the connection is made.
    fn begin(&self) -> Result<(), &'static str> {
        let verdict = may_start(&self.gate, self.start_by);
        let mut state = self.state.lock();
        state.verdict = Some(verdict);
        if let (Ok(now), Some(tell)) = (verdict, state.tell.take()) {
            let _ = tell.send(now);
        }
        verdict.map(|_now| ())
    }
}

/// Puts the last look behind the making of a connection.
#[derive(Clone, Copy)]
pub(super) struct Gated;

/// A connector whose connections have passed the gate.
#[derive(Clone)]
pub(super) struct GatedConnector<S>(S);

impl<S> Layer<S> for Gated {
    type Service = GatedConnector<S>;
    fn layer(&self, inner: S) -> GatedConnector<S> {
        GatedConnector(inner)
    }
}

impl<S, Target> Service<Target> for GatedConnector<S>
where
    S: Service<Target, Error = AnyError>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = AnyError;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, AnyError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), AnyError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let connecting = self.0.call(target);
        Box::pin(async move {
            let connection = connecting.await?;
            START.try_with(|start| start.begin())??;
            Ok(connection)
        })
    }
}

/// Gives the connector the addresses that were looked up and checked before.
pub(super) struct Lookup;

impl Resolve for Lookup {
    fn resolve(&self, _name: Name) -> Resolving {
        let found = START.try_with(|start| start.addresses.clone());
        Box::pin(async move {
            let addresses: Addrs = Box::new(found?.into_iter());
            Ok(addresses)
        })
    }
}
