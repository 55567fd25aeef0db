//! Answers the requests of peers.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use openraft::raft::{AppendEntriesResponse, StreamAppendError, TransferLeaderRequest};
use openraft::storage::Snapshot;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::clock::ClusterClock;
use crate::domain::machine::{Loader, RecordError};
use crate::life;
use crate::transport::{
    PeerConnection, PeerFrame, PeerIdentity, PeerRefusal, Purpose, answer_calls, answer_held,
};

use super::acknowledged;
use super::addresses;
use super::bootstrap::{self, MemberStanding};
use super::core::{RaftCore, Service};
use super::machine::FrozenState;
use super::network::{kind, stream_snapshot};
use super::types::{SnapshotMeta, Vote};
use super::wire::{self, AppendAnswer, Malformed, WireReader};

/// The handler of connections from peers.
pub(super) struct PeerRequests {
    /// Set once Raft runs; before that only questions about this node's standing are answered.
    pub core: OnceLock<Arc<RaftCore>>,
    /// Set once the layer above listens.
    pub service: OnceLock<Service>,
    /// The identity of this node, until Raft runs.
    pub standing: Arc<Mutex<MemberStanding>>,
    /// Cluster time, and the wall clock that others ask for.
    pub clock: Arc<ClusterClock>,
    /// Where it says why this node can go on no longer.
    pub fatal: watch::Sender<Option<String>>,
    /// Unknown kinds of requests; each is logged once.
    pub unknown: Mutex<BTreeSet<u16>>,
}

impl PeerRequests {
    /// Refuses a process that has a copy of the data of a member.
    ///
    /// # Errors
    /// The reason, for its operator.
    pub fn admit(&self, peer: &PeerIdentity) -> Result<(), PeerRefusal> {
        self.core.get().map_or(Ok(()), |core| core.announced.copies.check(peer))
    }

    /// Serves one connection until it ends.
    pub async fn serve(self: Arc<Self>, connection: PeerConnection) {
        let purpose = connection.hello.purpose;
        let from = connection.hello.identity.config_id;
        let ended = match purpose {
            Purpose::Replication => self.replicate(connection).await,
            Purpose::Snapshot => self.snapshot(connection).await,
            Purpose::Control | Purpose::Forward => self.calls(connection).await,
            Purpose::Watch => self.held(connection).await,
        };
        match ended {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::warn!(from, %error, "a peer sends a snapshot of a later version");
            }
            Err(error) => tracing::debug!(from, ?purpose, %error, "a peer connection ended"),
            Ok(()) => {}
        }
    }

    async fn calls(self: Arc<Self>, connection: PeerConnection) -> io::Result<()> {
        let from = Arc::new(connection.hello.identity.clone());
        let answer = move |frame: PeerFrame| {
            let (requests, from) = (Arc::clone(&self), Arc::clone(&from));
            async move { requests.answer(&from, frame).await }
        };
        answer_calls(connection, answer).await.map_err(io::Error::other)
    }

    /// Requests to the layer above that may be held.
    async fn held(self: Arc<Self>, connection: PeerConnection) -> io::Result<()> {
        let from = Arc::new(connection.hello.identity.clone());
        let answer = move |frame: PeerFrame| {
            let (requests, from) = (Arc::clone(&self), Arc::clone(&from));
            async move {
                requests.admit(&from).ok()?;
                let service = requests.service.get().filter(|_| frame.kind >= kind::SERVICE)?;
                let answer = service(from.node.0, frame.kind, frame.body).await;
                // It may have been refused while the request was held.
                requests.admit(&from).ok()?;
                answer
            }
        };
        answer_held(connection, answer).await.map_err(io::Error::other)
    }

    async fn answer(&self, peer: &PeerIdentity, frame: PeerFrame) -> Option<Bytes> {
        // The peer drops a connection without answers, and its next one is refused with the reason.
        self.admit(peer).ok()?;
        let (kind, from) = (frame.kind, peer.node.0);
        let answered = match (kind, self.core.get()) {
            (kind::STATUS, _) => Ok(Some(bootstrap::standing_bytes(&self.standing.lock()))),
            (kind::CLOCK, core) => {
                let heard = core.map_or(Ok(()), |core| addresses::heard(core, peer, frame.body));
                heard.map(|()| Some(super::clocks::shown(&self.clock, &self.standing.lock())))
            }
            (kind::ADOPT, _) => bootstrap::adopt(&self.standing, frame.body).map(Some),
            (_, None) => Ok(None),
            (kind::SERVICE.., Some(_)) => match self.service.get() {
                Some(service) => Ok(service(from, kind, frame.body).await),
                None => Ok(None),
            },
            (_, Some(core)) => self.raft(core, from, kind, frame.body).await,
        };
        match answered {
            // It may have been refused meanwhile.
            Ok(answer) => answer.filter(|_| self.admit(peer).is_ok()),
            Err(error) => {
                tracing::warn!(from, kind, %error, "a peer's request cannot be read");
                None
            }
        }
    }

    async fn raft(
        &self,
        core: &Arc<RaftCore>,
        from: u64,
        kind: u16,
        body: Bytes,
    ) -> Result<Option<Bytes>, Malformed> {
        Ok(match kind {
            kind::VOTE => {
                let answer = core.raft.vote(wire::read_vote_request(body)?).await.ok();
                answer.map(|answer| wire::vote_response_bytes(&answer))
            }
            kind::PRE_VOTE => {
                let answer = core.raft.pre_vote(wire::read_vote_request(body)?).await.ok();
                answer.map(|answer| wire::vote_response_bytes(&answer))
            }
            kind::APPEND => {
                let answer = append(core, body).await?;
                if let Some(answer) = &answer {
                    self.followed(core, from, answer);
                }
                answer.map(|answer| wire::appended_bytes(&answer))
            }
            kind::TRANSFER => {
                let mut reader = WireReader(body);
                let from = wire::get_vote(&mut reader)?;
                let to = reader.u64()?;
                let last = wire::get_log_id(&mut reader)?;
                let request = TransferLeaderRequest::new(from, to, last);
                let answer = core.raft.handle_transfer_leader(request).await.ok();
                answer.map(|answer| wire::transferred_bytes(&answer))
            }
            kind::PROPOSE => Some(core.propose(body).await?),
            kind::READ_INDEX => Some(core.read_index().await),
            kind::LEAVE => Some(super::lead::leave_for(core, body).await?),
            kind::MEMBERS => Some(super::members::check_for(core, body).await?),
            kind::MEMBER => Some(super::members::removed::answer(core, body)?),
            kind::ACKNOWLEDGED => Some(acknowledged::answer(core, body)?),
            _ => {
                if self.unknown.lock().insert(kind) {
                    tracing::warn!(kind, "a peer sends a request that this version does not know");
                }
                None
            }
        })
    }

    /// Notes this node's answer to a leader. If the leader's entries do not follow the log, the log
    /// may have lost entries; the leader knows.
    fn followed(&self, core: &Arc<RaftCore>, leader: u64, answer: &AppendAnswer) {
        match answer {
            AppendAnswer::Matching(_) => core.contacts.led(),
            AppendAnswer::Conflict(_) => {
                let (core, fatal) = (Arc::clone(core), self.fatal.clone());
                life::spawn(async move {
                    if let Err(lost) = acknowledged::check_with(&core, leader).await {
                        fatal.send_replace(Some(lost.to_string()));
                    }
                });
            }
            AppendAnswer::HigherVote(_) => {}
        }
    }

    /// [`Self::admit`] for a connection that was opened before: a process may be refused later.
    fn still_admit(&self, peer: &PeerIdentity) -> io::Result<()> {
        self.admit(peer).map_err(io::Error::other)
    }

    /// Entries, in order, each answered in order.
    async fn replicate(self: Arc<Self>, connection: PeerConnection) -> io::Result<()> {
        let Some(core) = self.core.get() else { return Ok(()) };
        let peer = connection.hello.identity.clone();
        let from = peer.node.0;
        let (sender, receiver) = connection.split();
        let fault = Arc::new(Mutex::new(None));
        let requests = Arc::clone(&self);
        let input = (receiver, requests, peer, Arc::clone(&fault));
        let input = stream::unfold(input, |(mut receiver, requests, peer, seen)| async move {
            let frame = receiver.next().await.map_err(io::Error::other).transpose()?;
            let request = frame.and_then(|frame| {
                requests.still_admit(&peer)?;
                wire::read_append(frame.body).map_err(io::Error::other)
            });
            match request {
                Ok(request) => Some((request, (receiver, requests, peer, seen))),
                Err(error) => {
                    *seen.lock() = Some(error);
                    None
                }
            }
        });
        let mut output = Box::pin(core.raft.stream_append(input));
        let mut id = 0;
        while let Some(result) = output.next().await {
            id += 1;
            let (answer, last) = match result.map_err(io::Error::other)? {
                Ok(matching) => (AppendAnswer::Matching(matching), false),
                Err(StreamAppendError::Conflict(at)) => (AppendAnswer::Conflict(at), true),
                Err(StreamAppendError::HigherVote(vote)) => (AppendAnswer::HigherVote(vote), true),
            };
            self.followed(core, from, &answer);
            let frame = PeerFrame { id, kind: kind::APPEND, body: wire::appended_bytes(&answer) };
            sender.send(frame).await.map_err(io::Error::other)?;
            if last {
                break;
            }
        }
        fault.lock().take().map_or(Ok(()), Err)
    }

    async fn snapshot(&self, mut connection: PeerConnection) -> io::Result<()> {
        let Some(core) = self.core.get() else { return Ok(()) };
        let first = next(&mut connection).await?;
        self.still_admit(&connection.hello.identity)?;
        if first.kind == kind::SNAPSHOT_FETCH {
            let snapshot = core.raft.get_snapshot().await.map_err(io::Error::other)?;
            let Some(snapshot) = snapshot else { return Ok(()) };
            stream_snapshot(&connection.sender, BytesMut::new(), &snapshot).await?;
            // The peer ends the connection when it has read all of it.
            let _ended = connection.receiver.next().await;
            return Ok(());
        }
        let mut reader = WireReader(first.body);
        let vote = wire::get_vote(&mut reader).map_err(io::Error::other)?;
        let (meta, frozen) = receive_snapshot(&mut connection, reader.0).await?;
        self.still_admit(&connection.hello.identity)?;
        let from = connection.hello.identity.config_id;
        let upto = super::network::shown(meta.last_log_id.as_ref());
        tracing::info!(from, upto, "installing a snapshot");
        let vote: Vote = core
            .raft
            .install_full_snapshot(vote, Snapshot { meta, snapshot: frozen })
            .await
            .map_err(io::Error::other)?
            .vote;
        let mut out = BytesMut::new();
        wire::put_vote(&mut out, &vote);
        let frame = PeerFrame { id: 1, kind: kind::SNAPSHOT_END, body: out.freeze() };
        connection.sender.send(frame).await.map_err(io::Error::other)?;
        let _ended = connection.receiver.next().await;
        Ok(())
    }
}

async fn append(core: &RaftCore, body: Bytes) -> Result<Option<AppendAnswer>, Malformed> {
    let request = wire::read_append(body)?;
    let prev = request.prev_log_id;
    let last = request.entries.last().map(|entry| entry.log_id).or(prev);
    let Ok(answer) = core.raft.append_entries(request).await else { return Ok(None) };
    Ok(Some(match answer {
        AppendEntriesResponse::Success => AppendAnswer::Matching(last),
        AppendEntriesResponse::PartialSuccess(id) => AppendAnswer::Matching(id),
        AppendEntriesResponse::Conflict => {
            AppendAnswer::Conflict(prev.ok_or(Malformed("conflict without an entry before"))?)
        }
        AppendEntriesResponse::HigherVote(vote) => AppendAnswer::HigherVote(vote),
    }))
}

async fn next(connection: &mut PeerConnection) -> io::Result<PeerFrame> {
    let frame = connection.receiver.next().await.map_err(io::Error::other)?;
    frame.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Takes a frozen state from a peer; its digest is checked.
pub(super) async fn receive_snapshot(
    connection: &mut PeerConnection,
    meta: Bytes,
) -> io::Result<(SnapshotMeta, FrozenState)> {
    let (last_log_id, last_membership) = wire::read_meta(meta).map_err(io::Error::other)?;
    let mut loader = Loader::default();
    loop {
        let frame = next(connection).await?;
        match frame.kind {
            kind::SNAPSHOT_ROWS => {
                let mut reader = WireReader(frame.body);
                while !reader.0.is_empty() {
                    let key = row(&mut reader).map_err(io::Error::other)?;
                    let value = row(&mut reader).map_err(io::Error::other)?;
                    loader.row(&key, &value).map_err(|error| match error {
                        RecordError::Version { .. } => {
                            io::Error::new(io::ErrorKind::Unsupported, error)
                        }
                        error => io::Error::other(error),
                    })?;
                }
            }
            kind::SNAPSHOT_END => break,
            other => return Err(io::Error::other(format!("frame {other} within a snapshot"))),
        }
        tokio::task::yield_now().await;
    }
    let finish = life::blocking(move || loader.finish());
    let state = finish.await?.map_err(io::Error::other)?;
    Ok((SnapshotMeta { last_log_id, last_membership }, FrozenState::new(state)))
}

fn row(reader: &mut WireReader) -> Result<Bytes, Malformed> {
    let len = reader.u32()? as usize;
    reader.bytes(len)
}
