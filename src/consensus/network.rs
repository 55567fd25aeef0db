//! openraft's network on top of the transport: a persistent pipeline for entries, single calls for
//! all other requests.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{AnyError, OptionalSend};
use openraft::{base::BoxFuture, base::BoxStream};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::machine::State;
use crate::life;
use crate::telemetry::metrics::Metrics;
use crate::transport::{CallError, Dialer, PeerConnection, PeerFrame, Purpose, Sender};

use super::limits::{APPEND_LIMIT, INSTALL_LIMIT, PIPELINE_STALL};
use super::machine::FrozenState;
use super::peers::{PeerConnections, Peers};
use super::types::{LogId, RaftMember, TypeConfig, Vote, pos};
use super::wire::{self, AppendAnswer};

/// Frame kinds.
pub(super) mod kind {
    pub const VOTE: u16 = 1;
    pub const PRE_VOTE: u16 = 2;
    pub const APPEND: u16 = 3;
    pub const TRANSFER: u16 = 4;
    pub const SNAPSHOT_BEGIN: u16 = 10;
    pub const SNAPSHOT_ROWS: u16 = 11;
    pub const SNAPSHOT_END: u16 = 12;
    pub const SNAPSHOT_FETCH: u16 = 13;
    pub const PROPOSE: u16 = 20;
    pub const READ_INDEX: u16 = 21;
    pub const STATUS: u16 = 22;
    pub const ADOPT: u16 = 23;
    pub const CLOCK: u16 = 24;
    pub const ACKNOWLEDGED: u16 = 25;
    pub const LEAVE: u16 = 26;
    pub const MEMBERS: u16 = 27;
    pub const MEMBER: u16 = 28;
    /// Kinds from this one on belong to the layer above.
    pub const SERVICE: u16 = 100;
}

/// Maximum number of unanswered requests in a pipeline.
const PIPELINE_MAX: usize = 64;
/// Size of the snapshot rows in one frame, in bytes.
const ROWS_BYTES: usize = 256 << 10;
/// Number of encoded row chunks that wait for the connection.
const ROWS_QUEUE: usize = 4;

pub(super) fn config_id(node: u64) -> u16 {
    u16::try_from(node >> 16).unwrap_or(0)
}

/// Creates a [`RaftPeerConnection`] for each of openraft's tasks.
pub(super) struct PeerConnectionFactory {
    pub own: u64,
    pub peers: Arc<Peers>,
    pub metrics: Metrics,
}

impl RaftNetworkFactory<TypeConfig> for PeerConnectionFactory {
    type Network = RaftPeerConnection;

    async fn new_client(&mut self, target: u64, node: &RaftMember) -> RaftPeerConnection {
        let (peers, metrics) = (Arc::clone(&self.peers), self.metrics.clone());
        let addr = node.peer.clone();
        RaftPeerConnection {
            own: self.own,
            target,
            addr,
            peers,
            metrics,
            pipeline: Mutex::new(None),
        }
    }
}

/// The connection to one peer for one of openraft's tasks.
pub(super) struct RaftPeerConnection {
    own: u64,
    target: u64,
    /// Its address when this was created.
    addr: String,
    metrics: Metrics,
    peers: Arc<Peers>,
    /// Never contended. The mutex exists because a connection is not `Sync` and openraft requires
    /// it.
    pipeline: Mutex<Option<IdleReplication>>,
}

/// An open replication connection that is currently not used.
struct IdleReplication {
    connection: PeerConnection,
    last_id: u64,
}

type Rpc<T> = Result<T, RPCError<TypeConfig>>;

fn unreachable(error: impl std::fmt::Display) -> RPCError<TypeConfig> {
    RPCError::Unreachable(Unreachable::new(&AnyError::error(error.to_string())))
}

fn broken(error: impl std::fmt::Display) -> RPCError<TypeConfig> {
    RPCError::Network(NetworkError::new(&AnyError::error(error.to_string())))
}

impl RaftPeerConnection {
    /// The connections to the peer at its current address.
    fn peer(&self) -> Arc<PeerConnections> {
        self.peers.of_raft(self.target, &self.addr)
    }

    async fn call(&self, kind: u16, body: Bytes, limit: Duration) -> Rpc<Bytes> {
        self.peer().control.call(kind, body, limit).await.map_err(|error| match error {
            CallError::NoConnection(_) | CallError::NotSent(_) | CallError::Refused { .. } => {
                unreachable(error)
            }
            CallError::Unknown(_) => broken(error),
        })
    }
}

impl RaftNetworkV2<TypeConfig> for RaftPeerConnection {
    type SnapshotData = FrozenState;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<AppendEntriesResponse<TypeConfig>> {
        let limit = option.hard_ttl().max(APPEND_LIMIT);
        let answer = self.call(kind::APPEND, wire::append_bytes(&request), limit).await?;
        let last = request.entries.last().map(|entry| entry.log_id).or(request.prev_log_id);
        let answer = wire::read_appended(answer).map_err(broken)?;
        Ok(match check_answer(&self.peers, self.target, request.vote, answer)? {
            AppendAnswer::Matching(id) if id == last => AppendEntriesResponse::Success,
            AppendAnswer::Matching(id) => AppendEntriesResponse::PartialSuccess(id),
            AppendAnswer::Conflict(_) => AppendEntriesResponse::Conflict,
            AppendAnswer::HigherVote(vote) => AppendEntriesResponse::HigherVote(vote),
        })
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, Rpc<BoxStream<'s, Rpc<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            // Read it before dialling: after a failure openraft waits only in this stream.
            let first = input.next().await;
            let peer = self.peer();
            let slot = self.pipeline.get_mut();
            let kept = match slot.take() {
                Some(kept) => kept,
                None => {
                    let connected = peer.dialer.connect(Purpose::Replication).await;
                    IdleReplication { connection: connected.map_err(unreachable)?, last_id: 0 }
                }
            };
            let mut pipeline = Pipeline {
                own: self.own,
                target: self.target,
                peers: &self.peers,
                slot,
                kept,
                input,
                waiting: VecDeque::new(),
                ended: false,
            };
            pipeline.send(first).await?;
            let stream = futures_util::stream::unfold(Some(pipeline), |pipeline| async move {
                pipeline?.step().await
            });
            Ok(Box::pin(stream) as BoxStream<'s, _>)
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        let body = wire::vote_request_bytes(&request);
        let answer = self.call(kind::VOTE, body, option.hard_ttl()).await?;
        wire::read_vote_response(answer).map_err(broken)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<VoteResponse<TypeConfig>> {
        let body = wire::vote_request_bytes(&request);
        let answer = self.call(kind::PRE_VOTE, body, option.hard_ttl()).await?;
        wire::read_vote_response(answer).map_err(broken)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, FrozenState>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let peer = self.peer();
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = send_snapshot(&peer.dialer, vote, snapshot) => {
                if sent.is_ok() {
                    self.metrics.snapshots_sent.inc();
                }
                sent.map_err(|error| StreamingError::Network(NetworkError::new(&error)))
            }
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Rpc<TransferLeaderResponse<TypeConfig>> {
        let mut out = BytesMut::new();
        wire::put_vote(&mut out, request.from_leader());
        out.put_u64_le(*request.to_node_id());
        wire::put_log_id(&mut out, request.last_log_id());
        let limit = option.hard_ttl().max(APPEND_LIMIT);
        let answer = self.call(kind::TRANSFER, out.freeze(), limit).await?;
        wire::read_transferred(answer, &request).map_err(broken)
    }
}

/// Requests in flight. Answers arrive in the same order.
struct Pipeline<'s, S> {
    own: u64,
    target: u64,
    peers: &'s Peers,
    slot: &'s mut Option<IdleReplication>,
    kept: IdleReplication,
    input: S,
    /// The send time and the vote of each unanswered request.
    waiting: VecDeque<(Instant, Vote)>,
    ended: bool,
}

type PipelineStep<'s, S> = Option<(Rpc<StreamAppendResult<TypeConfig>>, Option<Pipeline<'s, S>>)>;

impl<'s, S> Pipeline<'s, S>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
{
    /// The next answer. A stream that ended normally returns its connection; an error drops it.
    async fn step(mut self) -> PipelineStep<'s, S> {
        loop {
            let Some((oldest, _)) = self.waiting.front().copied() else {
                if self.ended {
                    *self.slot = Some(self.kept);
                    return None;
                }
                let request = self.input.next().await;
                if let Err(error) = self.send(request).await {
                    return Some((Err(error), None));
                }
                continue;
            };
            let room = !self.ended && self.waiting.len() < PIPELINE_MAX;
            tokio::select! {
                biased;
                frame = self.kept.connection.receiver.next() => return self.answer(frame),
                request = self.input.next(), if room => {
                    if let Err(error) = self.send(request).await {
                        return Some((Err(error), None));
                    }
                }
                () = tokio::time::sleep_until(oldest + PIPELINE_STALL) => {
                    let error = Timeout {
                        action: RPCTypes::AppendEntries,
                        id: self.own,
                        target: self.target,
                        timeout: PIPELINE_STALL,
                    };
                    return Some((Err(RPCError::Timeout(error)), None));
                }
            }
        }
    }

    async fn send(&mut self, request: Option<AppendEntriesRequest<TypeConfig>>) -> Rpc<()> {
        let Some(request) = request else {
            self.ended = true;
            return Ok(());
        };
        self.kept.last_id += 1;
        let id = self.kept.last_id;
        let frame = PeerFrame { id, kind: kind::APPEND, body: wire::append_bytes(&request) };
        self.kept.connection.sender.send(frame).await.map_err(broken)?;
        self.waiting.push_back((Instant::now(), request.vote));
        Ok(())
    }

    fn answer(
        mut self,
        frame: Result<Option<PeerFrame>, crate::transport::RecvError>,
    ) -> PipelineStep<'s, S> {
        let frame = match frame {
            Ok(Some(frame)) => frame,
            Ok(None) => return Some((Err(broken("the peer ended the connection")), None)),
            Err(error) => return Some((Err(broken(error)), None)),
        };
        let Some((_, vote)) = self.waiting.pop_front() else {
            return Some((Err(broken("an answer without a question")), None));
        };
        let answer = wire::read_appended(frame.body).map_err(broken);
        let answer = answer.and_then(|answer| check_answer(self.peers, self.target, vote, answer));
        Some(match answer {
            Ok(AppendAnswer::Matching(id)) => (Ok(Ok(id)), Some(self)),
            Ok(AppendAnswer::Conflict(id)) => (Ok(Err(StreamAppendError::Conflict(id))), None),
            Ok(AppendAnswer::HigherVote(vote)) => {
                (Ok(Err(StreamAppendError::HigherVote(vote))), None)
            }
            Err(error) => (Err(error), None),
        })
    }
}

/// Records the acknowledgements of a member. A member without an entry that it acknowledged has
/// lost data. openraft must not handle this as a log that is merely behind.
fn check_answer(peers: &Peers, target: u64, vote: Vote, answer: AppendAnswer) -> Rpc<AppendAnswer> {
    match &answer {
        AppendAnswer::Matching(Some(upto)) => peers.acknowledged.note(target, vote, *upto),
        AppendAnswer::Conflict(missing)
            if peers.acknowledged.contradicts(target, &vote, missing) =>
        {
            let index = missing.index();
            return Err(unreachable(format!("it lost entry {index}, which it acknowledged")));
        }
        AppendAnswer::Matching(None) | AppendAnswer::Conflict(_) | AppendAnswer::HigherVote(_) => {}
    }
    Ok(answer)
}

async fn send_snapshot(
    dialer: &Dialer,
    vote: Vote,
    snapshot: SnapshotOf<TypeConfig, FrozenState>,
) -> io::Result<SnapshotResponse<TypeConfig>> {
    let mut connection = dialer.connect(Purpose::Snapshot).await.map_err(io::Error::other)?;
    let mut begin = BytesMut::new();
    wire::put_vote(&mut begin, &vote);
    stream_snapshot(&connection.sender, begin, &snapshot).await?;
    let answer = tokio::time::timeout(INSTALL_LIMIT, connection.receiver.next()).await;
    let frame = answer.map_err(io::Error::other)?.map_err(io::Error::other)?;
    let frame = frame.ok_or_else(|| io::Error::other("the peer refused the snapshot"))?;
    let mut reader = wire::WireReader(frame.body);
    let vote = wire::get_vote(&mut reader).map_err(io::Error::other)?;
    Ok(SnapshotResponse::new(vote))
}

/// Sends a frozen state: metadata, rows, end marker.
pub(super) async fn stream_snapshot(
    to: &Sender,
    mut begin: BytesMut,
    snapshot: &SnapshotOf<TypeConfig, FrozenState>,
) -> io::Result<()> {
    let meta = &snapshot.meta;
    begin.extend_from_slice(&wire::meta_bytes(meta.last_log_id.as_ref(), &meta.last_membership));
    send(to, kind::SNAPSHOT_BEGIN, begin.freeze()).await?;
    let state = snapshot.snapshot.state().clone();
    let (mut ready, encoding) = life::produce(ROWS_QUEUE, move |give| encode_rows(&state, give));
    while let Some(rows) = ready.recv().await {
        send(to, kind::SNAPSHOT_ROWS, rows).await?;
    }
    encoding.await?;
    send(to, kind::SNAPSHOT_END, Bytes::new()).await
}

/// Encodes a state in chunks of rows, until all are sent or the receiver is dropped.
fn encode_rows(state: &State, give: &mut dyn FnMut(Bytes) -> bool) {
    let mut rows = BytesMut::with_capacity(ROWS_BYTES * 2);
    for (key, value) in state.all_rows() {
        for part in [key, value] {
            // The size of a row is bounded by the limits of a task.
            rows.put_u32_le(u32::try_from(part.len()).unwrap_or(u32::MAX));
            rows.put_slice(&part);
        }
        if rows.len() >= ROWS_BYTES && !give(rows.split().freeze()) {
            return;
        }
    }
    let _taken = give(rows.freeze());
}

async fn send(to: &Sender, kind: u16, body: Bytes) -> io::Result<()> {
    to.send(PeerFrame { id: 1, kind, body }).await.map_err(io::Error::other)
}

/// A log id as text.
pub(super) fn shown(id: Option<&LogId>) -> String {
    id.map_or_else(|| "nothing".to_owned(), |id| format!("{}.{}", pos(id).term, id.index()))
}
