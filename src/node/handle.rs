//! A node that runs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::sync::watch::{Receiver, Sender};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Error, Fatal, FilesReload};
use crate::domain::ids::NodeId;
use crate::domain::machine::record::Liveness;
use crate::ops::caller::IfMatch;
use crate::ops::context::{Freshness, StateView};
use crate::ops::{Caller, Context, RunningParts};

/// A node that leaves waits this long for its attempts.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);
/// And this long for another to take the lead.
const LEADERSHIP_LIMIT: Duration = Duration::from_secs(2);
/// A node that is not ready is looked at so often.
const LOOK: Duration = Duration::from_millis(20);

/// A node that runs in this program. Clones are handles to the same node.
///
/// Operations are answered by any node of the cluster, whoever leads it. A change is acknowledged
/// once a majority of the nodes has it on disk, and this node has applied it. Reads show all that
/// was acknowledged before, on any node.
///
/// A node runs until [`Node::stop`], or until it fails ([`Node::failure`]); with the last handle it
/// ends without handing its tasks over.
///
/// ```no_run
/// # async fn embed() -> Result<(), punctual::Error> {
/// use punctual::{Node, TaskBuilder};
///
/// let node = Node::builder().data_dir("/var/lib/report").start().await?;
/// node.ready().await?;
/// let report = TaskBuilder::cron("report", "0 2 * * *").timezone("Europe/Berlin");
/// node.add_func(report, |call| async move {
///     call.output().line("the report");
///     Ok(())
/// })
/// .await?;
/// println!("{:?} {:?}", node.all_tasks().await?, node.task("report").await?.next_tick);
/// node.stop().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Node(Arc<NodeShared>);

/// What the handles of a node share.
struct NodeShared {
    context: Arc<Context>,
    http: Option<SocketAddr>,
    ended: Receiver<Option<Arc<Fatal>>>,
    reload: FilesReload,
    /// None: it was stopped.
    parts: Mutex<Option<NodeParts>>,
}

/// What ends when a node is stopped.
pub(super) struct NodeParts {
    /// Tells all of them to end.
    pub(super) stop: Sender<bool>,
    pub(super) raft: std::thread::JoinHandle<()>,
    pub(super) tasks: Vec<JoinHandle<()>>,
}

impl Node {
    pub(super) fn of(
        context: Arc<Context>,
        http: Option<SocketAddr>,
        ended: Receiver<Option<Arc<Fatal>>>,
        reload: FilesReload,
        parts: NodeParts,
    ) -> Self {
        let parts = Mutex::new(Some(parts));
        Self(Arc::new(NodeShared { context, http, ended, reload, parts }))
    }

    /// Where the API listens; `None`: it is off.
    #[must_use]
    pub fn http(&self) -> Option<SocketAddr> {
        self.0.http
    }

    /// Makes the node read its files of tasks again, also while it runs.
    #[must_use]
    pub fn files(&self) -> FilesReload {
        self.0.reload.clone()
    }

    /// The name of this node, such as `n1`: what the node is called in answers of any node.
    #[must_use]
    pub fn node_id(&self) -> &str {
        &self.0.context.settings.node_name
    }

    /// Waits until the cluster has a leader and this node takes tasks, or cannot go on. A cluster of
    /// several nodes needs a majority of them for that.
    ///
    /// # Errors
    /// `node_failed`, `node_stopped`.
    pub async fn ready(&self) -> Result<(), Error> {
        let mut ended = self.0.ended.clone();
        loop {
            if self.takes_tasks() && self.view().await.is_ok() {
                return Ok(());
            }
            tokio::select! {
                failure = failure(&mut ended) => return Err(failure),
                () = sleep(LOOK) => {}
            }
        }
    }

    /// Whether this process is registered and working, as far as this node knows.
    fn takes_tasks(&self) -> bool {
        let Ok(running) = self.0.context.running() else { return false };
        let own = NodeId(running.consensus.id());
        let state = running.consensus.replica().read();
        let own = state.node(own);
        let working = own.filter(|own| own.liveness == Liveness::Working);
        working.is_some_and(|own| Some(own.session) == running.engine.session())
    }

    /// Waits until the node cannot go on, and says why. After [`Node::stop`] it is `node_stopped`.
    pub async fn failure(&self) -> Error {
        failure(&mut self.0.ended.clone()).await
    }

    /// Runs until the node fails, or `until` resolves; then the node leaves in order.
    ///
    /// # Errors
    /// `node_failed`.
    pub async fn run(self, until: impl Future<Output = ()>) -> Result<(), Error> {
        tokio::select! {
            failure = self.failure() => Err(failure),
            () = until => {
                self.stop().await;
                Ok(())
            }
        }
    }

    /// Stops the node in order: its tasks go to other nodes, running attempts get 10 s to end, those
    /// that were granted and not begun wait again for another node, the lead goes to another node, the
    /// API closes. When it returns, the tasks and threads of the node
    /// have ended, and its folder and addresses are free; the thread that keeps output, and the shim
    /// if there is one, end with the last handle. A second call waits for the first one.
    pub async fn stop(&self) {
        let mut held = self.0.parts.lock().await;
        let Some(parts) = held.as_ref() else { return };
        let context = &self.0.context;
        if let Some(RunningParts { consensus, engine }) = context.running.get() {
            tracing::info!("leaving: tasks go to other nodes");
            engine.leave(LEAVE_LIMIT, LEAVE_LIMIT).await;
            let _handed_over = consensus.leave_leadership(LEADERSHIP_LIMIT).await;
            engine.stop().await;
        }
        context.exec.flush().await;
        parts.stop.send_replace(true);
        let Some(NodeParts { stop: _stop, raft, tasks }) = held.take() else { return };
        let _joined = tokio::task::spawn_blocking(move || raft.join()).await;
        for task in tasks {
            let _joined = task.await;
        }
    }

    /// What the operations are given.
    #[must_use]
    pub(crate) fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    /// Who makes a change.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            context: Arc::clone(&self.0.context),
            fresh: Freshness::default(),
            if_match: IfMatch::Any,
            key: None,
            request: 0,
        }
    }

    /// A state that shows all that was acknowledged.
    pub(super) async fn view(&self) -> Result<StateView, Error> {
        if self.0.ended.has_changed().is_err() {
            return Err(Error::stopped());
        }
        Ok(self.0.context.view(Freshness::default()).await?)
    }
}

async fn failure(ended: &mut Receiver<Option<Arc<Fatal>>>) -> Error {
    match ended.wait_for(Option::is_some).await.map(|why| why.clone()) {
        Ok(Some(fatal)) => Error::from(fatal),
        Ok(None) | Err(_) => Error::stopped(),
    }
}
