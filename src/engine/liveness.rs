//! Who is alive: a round trip of the engine, not of Raft. Every node tells the leader of itself,
//! the leader writes down who works and who is down.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use ractor::ActorRef;

use crate::clock::BootInstant;
use crate::consensus::{Mark, NOT_LEADER, SERVICE_KIND, Service};
use crate::domain::ids::{NodeId, SessionId};
use crate::domain::machine::State;
use crate::domain::machine::command::{Command, NodeLiveness, OfFence, OfNode};
use crate::domain::machine::record::{Liveness, Node, Status, Trigger};
use crate::domain::time::{Millis, Timestamp};

use super::node_actor::NodeMsg;
use super::shared::Shared;

/// A node tells of itself: its session, what it has applied, whether it has cluster time, its last
/// mark. The answer is the last mark of a majority, or [`NOT_LEADER`] from a node that did not hear.
const TELL: u16 = SERVICE_KIND;
/// Length of a mark on the wire.
const MARK_BYTES: usize = 8 + 2 + 16;
/// Length of what is told.
const TELL_BYTES: usize = 8 + 8 + 1 + MARK_BYTES;
/// A node actor that came round longer ago than this is dead or far behind, and its node does not
/// tell of itself.
pub(super) const BEHIND: Millis = Millis(1_000);
/// A leader that has not answered by then is asked again.
const LIMIT: Duration = Duration::from_millis(500);
/// A node is heard of when it told within this.
const FRESH: Millis = Millis(600);

/// What a node tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tale {
    pub node: u64,
    pub session: SessionId,
    pub applied: u64,
}

/// Tells the leader, whenever the node actor comes round or the leader changes.
pub(super) async fn tell(shared: Arc<Shared>, node: ActorRef<NodeMsg>) {
    let mut round = shared.round.subscribe();
    let mut leader_seen = shared.consensus.leader();
    let mut at_once = false;
    loop {
        if !std::mem::take(&mut at_once) {
            tokio::select! {
                changed = round.changed() => if changed.is_err() { return },
                changed = leader_seen.changed() => if changed.is_err() { return },
            }
        }
        let at = *round.borrow_and_update();
        if shared.clock.boot().since(at) >= BEHIND {
            continue;
        }
        let leader = *leader_seen.borrow_and_update();
        let (Some(session), Some(leader)) = (shared.session(), leader) else { continue };
        let applied = shared.consensus.replica().applied();
        let own = shared.consensus.id();
        let mark = shared.consensus.replica().last_mark();
        let acknowledged = if leader == own {
            let tale = Tale { node: own, session, applied };
            let told = node.send_message(NodeMsg::Heard(tale)).is_ok();
            collect(&shared, own, mark).inspect(|majority| shared.consensus.compare(*majority));
            // A leader is acknowledged by its followers.
            told && shared.consensus.read_barrier(LIMIT).await
        } else {
            let mut body = BytesMut::with_capacity(TELL_BYTES);
            body.put_u64_le(session.0);
            body.put_u64_le(applied);
            body.put_u8(shared.clock.sure().into());
            put_mark(&mut body, mark);
            let answer = tokio::select! {
                answer = shared.consensus.ask(leader, TELL, body.freeze(), LIMIT) => answer.ok(),
                // The next leader hears at once, however long this one stays silent.
                _ = leader_seen.changed() => {
                    at_once = true;
                    None
                }
            };
            // Of a node that does not lead the answer is shorter.
            answer.filter(|answer| answer.len() == MARK_BYTES).is_some_and(|mut answer| {
                get_mark(&mut answer).inspect(|majority| shared.consensus.compare(*majority));
                true
            })
        };
        if acknowledged {
            let at = shared.clock.boot();
            shared.acknowledged.store(at.0, Ordering::Relaxed);
            if leader != own {
                *shared.other_leader.lock() = Some((leader, at));
            }
        }
    }
}

/// Answers what peers tell, if this node leads; other kinds belong to the layers above.
pub(super) fn service(shared: Arc<Shared>, node: ActorRef<NodeMsg>, others: Service) -> Service {
    Arc::new(move |from, kind, mut body: Bytes| {
        if kind != TELL {
            return others(from, kind, body);
        }
        let heard = body.len() == TELL_BYTES && shared.consensus.is_leader();
        let answer = heard.then(|| {
            let session = SessionId(body.get_u64_le());
            let tale = Tale { node: from, session, applied: body.get_u64_le() };
            // A node without cluster time settles nothing: others take its tasks, if they have it.
            if body.get_u8() == 0 && shared.clock.sure() {
                return None;
            }
            if node.send_message(NodeMsg::Heard(tale)).is_err() {
                return None;
            }
            let mut answer = BytesMut::with_capacity(MARK_BYTES);
            put_mark(&mut answer, collect(&shared, from, get_mark(&mut body)));
            Some(answer.freeze())
        });
        let answer = answer.flatten().unwrap_or(NOT_LEADER);
        Box::pin(async move { Some(answer) })
    })
}

/// Notes the digest that a node told, and gives the majority's.
fn collect(shared: &Shared, node: u64, mark: Option<Mark>) -> Option<Mark> {
    let voters = shared.consensus.status().voters;
    shared.poll.lock().tell(node, mark?, &voters)
}

/// A mark, or zeros.
fn put_mark(out: &mut BytesMut, mark: Option<Mark>) {
    let mark = mark.unwrap_or(Mark { index: 0, layout: 0, digest: 0 });
    out.put_u64_le(mark.index);
    out.put_u16_le(mark.layout);
    out.put_u128_le(mark.digest);
}

fn get_mark(from: &mut Bytes) -> Option<Mark> {
    let mark = Mark {
        index: from.try_get_u64_le().ok()?,
        layout: from.try_get_u16_le().ok()?,
        digest: from.try_get_u128_le().ok()?,
    };
    Some(mark).filter(|mark| mark.index > 0)
}

/// What a leader has heard.
#[derive(Debug, Default)]
pub(super) struct Ear {
    leads: bool,
    heard: BTreeMap<u64, Heard>,
    /// What this node, leading, had applied, and when; oldest first.
    applied: VecDeque<(BootInstant, u64)>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    session: SessionId,
    at: BootInstant,
    applied: u64,
}

impl Ear {
    /// Notes a tale, unless it comes late from a former process.
    pub fn hear(&mut self, tale: Tale, now: BootInstant) {
        if self.heard.get(&tale.node).is_some_and(|heard| heard.session > tale.session) {
            return;
        }
        let heard = Heard { session: tale.session, at: now, applied: tale.applied };
        self.heard.insert(tale.node, heard);
    }

    /// What the leader has to write down now.
    pub fn judge(&mut self, shared: &Shared, now: BootInstant) -> Vec<Command> {
        if !shared.consensus.is_leader() {
            self.leads = false;
            // Only a leader hears of the others; what it heard before grows old.
            shared.heard.lock().clear();
            return Vec::new();
        }
        let state = shared.consensus.replica().read();
        let begins = !self.leads;
        if begins {
            // All timers start afresh, but the former leader's.
            self.leads = true;
            self.heard.clear();
            self.applied.clear();
        }
        for node in state.nodes() {
            self.meet(node, now);
        }
        if begins && let Some((former, at)) = *shared.other_leader.lock() {
            self.inherit(former, at);
        }
        self.applied.push_back((now, state.cluster().applied));
        let down_after = shared.settings.down_after;
        while self.applied.get(1).is_some_and(|(at, _)| now.since(*at) >= down_after) {
            self.applied.pop_front();
        }
        let old = self.applied.front().filter(|(at, _)| now.since(*at) >= down_after);
        // Whoever has not applied what was applied here so long ago is behind.
        let least = old.map_or(0, |(_, applied)| *applied);
        let commands =
            state.nodes().filter_map(|node| self.judge_node(node, now, least, down_after));
        let mut commands: Vec<Command> = commands.collect();
        let members = shared.consensus.status().members;
        commands.extend(gone(&state, &members));
        let ages = self.heard.iter().map(|(id, heard)| (*id, now.since(heard.at).0));
        *shared.heard.lock() = ages.collect();
        commands
    }

    /// A session that is new here has not been silent yet, whatever the one before it was.
    fn meet(&mut self, node: &Node, now: BootInstant) {
        let session = node.session;
        if self.heard.get(&node.id.0).is_none_or(|heard| heard.session != session) {
            self.heard.insert(node.id.0, Heard { session, at: now, applied: u64::MAX });
        }
    }

    /// The former leader has been silent since it last acknowledged this node.
    fn inherit(&mut self, former: u64, at: BootInstant) {
        if let Some(heard) = self.heard.get_mut(&former) {
            heard.at = heard.at.min(at);
        }
    }

    fn judge_node(
        &self,
        node: &Node,
        now: BootInstant,
        least: u64,
        down_after: Millis,
    ) -> Option<Command> {
        let heard = self.heard.get(&node.id.0)?;
        let age = now.since(heard.at);
        let up_to_date = heard.applied >= least;
        let told = heard.session == node.session && age < FRESH && heard.applied != u64::MAX;
        let silent = age >= down_after;
        let liveness = match node.liveness {
            Liveness::Working if silent || !up_to_date => Liveness::Down,
            Liveness::Starting | Liveness::Down if told && up_to_date => Liveness::Working,
            Liveness::Starting if silent => Liveness::Down,
            Liveness::Working | Liveness::Starting | Liveness::Down => return None,
        };
        let command = NodeLiveness { node: node.id, session: node.session, liveness };
        Some(Command::NodeLiveness(command))
    }
}

/// Nodes that are no members any more, once nothing runs there.
fn gone(state: &State, members: &[u64]) -> Vec<Command> {
    let nodes = state.nodes().filter(|node| !members.contains(&node.id.0));
    let ended = nodes.filter(|node| node.liveness == Liveness::Down && !state.runs_on(node.id));
    ended.map(|node| Command::NodeRemove(OfNode { node: node.id })).collect()
}

/// Attempts of nodes that are down for good, and callers' claims over time: nobody will report
/// their end.
pub(super) fn losses(state: &State, now: Timestamp) -> Vec<Command> {
    let down: Vec<(NodeId, Timestamp)> = state
        .nodes()
        .filter(|node| node.liveness == Liveness::Down)
        .filter_map(|node| Some((node.id, node.down_since?)))
        .collect();
    let mut lost = Vec::new();
    for task in state.tasks().filter(|task| task.progress.live > 0) {
        for execution in task.live_executions() {
            let Some(attempt) = &execution.attempt else { continue };
            if execution.status != Status::Running {
                continue;
            }
            let spec = task.revision(execution.revision).map(|definition| &definition.spec);
            let over = if execution.trigger == Trigger::Claim {
                let timeout = spec.map_or(Millis(0), |spec| spec.timeout);
                let timeout = if timeout.0 == 0 { Millis::from_secs(300) } else { timeout };
                attempt.granted_at.plus(timeout) < now
            } else {
                let lost_after = spec.map_or(Millis::from_secs(10), |spec| spec.lost_after);
                down.iter().any(|(id, since)| *id == attempt.node && since.plus(lost_after) < now)
            };
            if over {
                let (task, execution, fence) = (task.key, execution.id, attempt.fence);
                lost.push(Command::Lose(OfFence { task, execution, fence }));
            }
        }
    }
    lost
}

/// A node, for tests.
#[cfg(test)]
pub(super) fn sample_node(session: u64, liveness: Liveness) -> Node {
    let info = crate::domain::machine::record::NodeInfo {
        name: "n1".to_owned(),
        hostname: String::new(),
        pid: 1,
        http: String::new(),
        peer: String::new(),
        version: String::new(),
        level: 1,
        weight: 1,
        labels: BTreeMap::new(),
        slots: 0,
        functions: Vec::new(),
        shell: false,
        users: None,
    };
    let session = SessionId(session);
    let (id, intent) = (NodeId(1), crate::domain::machine::record::Intent::None);
    let (created_at, started_at) = (Timestamp(0), Timestamp(0));
    Node { id, info, session, boot: 1, liveness, intent, down_since: None, created_at, started_at }
}

#[cfg(test)]
mod tests {
    use super::sample_node as node;
    use super::*;

    const DOWN_AFTER: Millis = Millis(1_500);

    fn judged(ear: &mut Ear, node: &Node, now: u64) -> Option<Liveness> {
        ear.meet(node, BootInstant(now));
        match ear.judge_node(node, BootInstant(now), 0, DOWN_AFTER)? {
            Command::NodeLiveness(judged) => Some(judged.liveness),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_session_is_not_judged_by_the_silence_of_the_one_before() {
        let mut ear = Ear::default();
        let tale = |session| Tale { node: 1, session: SessionId(session), applied: 5 };
        let old = node(7, Liveness::Working);
        assert_eq!(judged(&mut ear, &old, 0), None);
        ear.hear(tale(7), BootInstant(100));
        assert_eq!(judged(&mut ear, &old, 1_599), None);
        assert_eq!(judged(&mut ear, &old, 1_600), Some(Liveness::Down));
        // Ten seconds later the process is there again and has registered, but not told yet.
        let new = node(8, Liveness::Starting);
        assert_eq!(judged(&mut ear, &new, 10_000), None);
        // What comes late from the process before changes nothing.
        ear.hear(tale(7), BootInstant(10_100));
        assert_eq!(judged(&mut ear, &new, 10_200), None);
        ear.hear(tale(8), BootInstant(10_300));
        assert_eq!(judged(&mut ear, &new, 10_400), Some(Liveness::Working));
        let silent = node(9, Liveness::Starting);
        assert_eq!(judged(&mut ear, &silent, 20_000), None);
        assert_eq!(judged(&mut ear, &silent, 21_500), Some(Liveness::Down));
    }

    #[test]
    fn the_former_leader_is_silent_since_it_last_acknowledged() {
        let mut ear = Ear::default();
        let former = node(7, Liveness::Working);
        ear.meet(&former, BootInstant(5_000));
        ear.inherit(1, BootInstant(4_200));
        assert_eq!(judged(&mut ear, &former, 5_699), None);
        assert_eq!(judged(&mut ear, &former, 5_700), Some(Liveness::Down));
        // It lives, and tells the new leader of itself.
        ear.hear(Tale { node: 1, session: SessionId(7), applied: 5 }, BootInstant(5_600));
        assert_eq!(judged(&mut ear, &former, 5_700), None);
    }
}
