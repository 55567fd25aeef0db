//! The liveness report: a round trip of the engine, not of Raft. Every node reports to the leader,
//! whose [`judge`](super::judge) decides which nodes are working or down.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ractor::ActorRef;

use crate::consensus::{DigestMark, NOT_LEADER, SERVICE_KIND, Service};
use crate::domain::ids::SessionId;
use crate::domain::time::Millis;

use super::context::EngineContext;
use super::judge::{LastHeard, LivenessReport, UNKNOWN_INDEX, may_report};
use super::limits::REPORT_LIMIT;
use super::node_actor::NodeMsg;

/// The report of a node: its session, its applied index, whether it has cluster time, its last
/// mark. The answer is the last mark of a majority, or [`NOT_LEADER`] from a node that does not
/// lead.
const REPORT_KIND: u16 = SERVICE_KIND;
/// A question for the leader: what it last heard of each node. The answer is a list of
/// `node u64 | milliseconds ago u64 | applied index u64`, or [`NOT_LEADER`]. The number before it was
/// that of lists without the index.
const HEARD_KIND: u16 = SERVICE_KIND + 3;
/// A leader tells that within this.
const HEARD_LIMIT: Duration = Duration::from_secs(1);
/// Length of a mark on the wire.
const MARK_BYTES: usize = 8 + 2 + 16;
/// Length of a report.
const REPORT_BYTES: usize = 8 + 8 + 1 + MARK_BYTES;

/// Tells the leader, whenever the node actor comes round or the leader changes.
pub(super) async fn report(context: Arc<EngineContext>, node: ActorRef<NodeMsg>) {
    let mut round = context.round.subscribe();
    let mut leader_seen = context.consensus.leader();
    let mut at_once = false;
    loop {
        if !std::mem::take(&mut at_once) {
            tokio::select! {
                changed = round.changed() => if changed.is_err() { return },
                changed = leader_seen.changed() => if changed.is_err() { return },
            }
        }
        let at = *round.borrow_and_update();
        if !may_report(at, context.clock.boot()) {
            continue;
        }
        let leader = *leader_seen.borrow_and_update();
        let (Some(session), Some(leader)) = (context.session(), leader) else { continue };
        let applied = context.consensus.replica().applied();
        let own = context.consensus.id();
        let mark = context.consensus.replica().last_mark();
        let acknowledged = if leader == own {
            let report = LivenessReport { node: own, session, applied };
            let told = node.send_message(NodeMsg::Reported(report)).is_ok();
            collect(&context, own, mark).inspect(|majority| context.consensus.compare(*majority));
            // A leader is acknowledged by its followers.
            told && context.consensus.read_barrier(REPORT_LIMIT).await
        } else {
            let mut body = BytesMut::with_capacity(REPORT_BYTES);
            body.put_u64_le(session.0);
            body.put_u64_le(applied);
            body.put_u8(context.clock.sure().into());
            put_mark(&mut body, mark);
            let answer = tokio::select! {
                answer = context.consensus.ask(leader, REPORT_KIND, body.freeze(), REPORT_LIMIT) => {
                    answer.ok()
                }
                // The next leader hears at once, however long this one stays silent.
                _ = leader_seen.changed() => {
                    at_once = true;
                    None
                }
            };
            // A node that does not lead sends a shorter answer.
            answer.filter(|answer| answer.len() == MARK_BYTES).is_some_and(|mut answer| {
                get_mark(&mut answer).inspect(|majority| context.consensus.compare(*majority));
                true
            })
        };
        if acknowledged {
            let at = context.clock.boot();
            context.acknowledged.store(at.0, Ordering::Relaxed);
            if leader != own {
                *context.other_leader.lock() = Some((leader, at));
            }
        }
    }
}

/// Answers what peers tell, if this node leads; other kinds belong to the layers above.
pub(super) fn service(
    context: Arc<EngineContext>,
    node: ActorRef<NodeMsg>,
    others: Service,
) -> Service {
    Arc::new(move |from, kind, mut body: Bytes| {
        if kind == HEARD_KIND {
            let leads = context.consensus.is_leader();
            let heard = leads.then(|| heard_bytes(&context.heard.lock()));
            let answer = heard.unwrap_or(NOT_LEADER);
            return Box::pin(async move { Some(answer) });
        }
        if kind != REPORT_KIND {
            return others(from, kind, body);
        }
        let heard = body.len() == REPORT_BYTES && context.consensus.is_leader();
        let answer = heard.then(|| {
            let session = SessionId(body.get_u64_le());
            let report = LivenessReport { node: from, session, applied: body.get_u64_le() };
            // A node without cluster time settles nothing: others take its tasks, if they have it.
            if body.get_u8() == 0 && context.clock.sure() {
                return None;
            }
            if node.send_message(NodeMsg::Reported(report)).is_err() {
                return None;
            }
            let mut answer = BytesMut::with_capacity(MARK_BYTES);
            put_mark(&mut answer, collect(&context, from, get_mark(&mut body)));
            Some(answer.freeze())
        });
        let answer = answer.flatten().unwrap_or(NOT_LEADER);
        Box::pin(async move { Some(answer) })
    })
}

/// What the leader last heard of each node; empty if no leader tells.
pub(super) async fn heard(context: &EngineContext) -> BTreeMap<u64, LastHeard> {
    let leader = *context.consensus.leader().borrow();
    match leader {
        Some(leader) if leader != context.consensus.id() => {
            if context.consensus.no_leader_reason().is_some() {
                return BTreeMap::new();
            }
            let answer = context.consensus.ask(leader, HEARD_KIND, Bytes::new(), HEARD_LIMIT);
            answer.await.map(read_heard).unwrap_or_default()
        }
        _ => context.heard.lock().clone(),
    }
}

fn heard_bytes(heard: &BTreeMap<u64, LastHeard>) -> Bytes {
    let mut out = BytesMut::with_capacity(heard.len() * 24);
    for (node, last) in heard {
        out.put_u64_le(*node);
        out.put_u64_le(last.ago.0);
        out.put_u64_le(last.applied.unwrap_or(UNKNOWN_INDEX));
    }
    out.freeze()
}

fn read_heard(mut answer: Bytes) -> BTreeMap<u64, LastHeard> {
    let mut heard = BTreeMap::new();
    while let (Ok(node), Ok(ago), Ok(applied)) =
        (answer.try_get_u64_le(), answer.try_get_u64_le(), answer.try_get_u64_le())
    {
        let applied = Some(applied).filter(|index| *index != UNKNOWN_INDEX);
        heard.insert(node, LastHeard { ago: Millis(ago), applied });
    }
    heard
}

/// Notes the digest that a node told, and gives the majority's.
fn collect(context: &EngineContext, node: u64, mark: Option<DigestMark>) -> Option<DigestMark> {
    let voters = context.consensus.status().voters;
    context.poll.lock().tell(node, mark?, &voters)
}

/// A mark, or zeros.
fn put_mark(out: &mut BytesMut, mark: Option<DigestMark>) {
    let mark = mark.unwrap_or(DigestMark { index: 0, layout: 0, digest: 0 });
    out.put_u64_le(mark.index);
    out.put_u16_le(mark.layout);
    out.put_u128_le(mark.digest);
}

fn get_mark(from: &mut Bytes) -> Option<DigestMark> {
    let mark = DigestMark {
        index: from.try_get_u64_le().ok()?,
        layout: from.try_get_u16_le().ok()?,
        digest: from.try_get_u128_le().ok()?,
    };
    Some(mark).filter(|mark| mark.index > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_leader_heard_is_read_as_it_was_written() {
        let heard = BTreeMap::from([
            (1, LastHeard { ago: Millis(5), applied: Some(7) }),
            (2, LastHeard { ago: Millis(0), applied: None }),
        ]);
        assert_eq!(read_heard(heard_bytes(&heard)), heard);
        assert_eq!(read_heard(NOT_LEADER), BTreeMap::new());
    }
}
