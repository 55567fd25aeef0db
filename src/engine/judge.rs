//! The leader's judgement: which nodes are working or down, from their reports, and which attempts
//! lost their node.
//!
//! Plain functions over plain data. [`liveness`](super::liveness) receives the reports, the node
//! actor proposes the commands.

use std::collections::{BTreeMap, VecDeque};

use crate::clock::BootInstant;
use crate::domain::ids::{NodeId, SessionId};
use crate::domain::machine::State;
use crate::domain::machine::command::{Command, NodeLiveness, OfFence, OfNode};
use crate::domain::machine::record::{Intent, Liveness, NodeRecord, Status, Trigger};
use crate::domain::time::{Millis, Timestamp};

use super::limits::{BEHIND, FRESH};

/// Whether a node may report itself alive: its node actor came round lately.
pub(super) fn may_report(round: BootInstant, now: BootInstant) -> bool {
    now.since(round) < BEHIND
}

/// A node's report to the leader.
#[derive(Clone, Copy, Debug)]
pub(super) struct LivenessReport {
    /// Its number.
    pub node: u64,
    /// Its registration.
    pub session: SessionId,
    /// The index up to which it has applied.
    pub applied: u64,
}

/// The leader's knowledge of the other nodes, from their reports.
#[derive(Debug, Default)]
pub(super) struct LivenessJudge {
    leads: bool,
    /// When it last judged; none: not since it began to lead.
    judged: Option<BootInstant>,
    reports: BTreeMap<u64, LastReport>,
    /// What this node, leading, had applied, and when; oldest first.
    applied: VecDeque<(BootInstant, u64)>,
}

/// The applied index of a node that has not told it.
pub(super) const UNKNOWN_INDEX: u64 = u64::MAX;

/// What a leader last heard of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastHeard {
    /// How long ago that was.
    pub ago: Millis,
    /// What the node had applied then; none if it has not told yet.
    pub applied: Option<u64>,
}

/// The last report of a node.
#[derive(Clone, Copy, Debug)]
struct LastReport {
    session: SessionId,
    at: BootInstant,
    applied: u64,
}

/// The input of a leader's judgement.
pub(super) struct LeaderView<'a> {
    pub state: &'a State,
    /// The members of the log.
    pub members: &'a [u64],
    /// The last other leader that acknowledged this node, and when.
    pub former_leader: Option<(u64, BootInstant)>,
    /// A silent node is down after this.
    pub down_after: Millis,
}

impl LivenessJudge {
    /// Notes a report, unless it comes late from a former process.
    pub fn note_report(&mut self, report: LivenessReport, now: BootInstant) {
        if self.reports.get(&report.node).is_some_and(|heard| heard.session > report.session) {
            return;
        }
        let heard = LastReport { session: report.session, at: now, applied: report.applied };
        self.reports.insert(report.node, heard);
    }

    /// The commands that the leader has to propose now; `view` is none on other nodes.
    pub fn judge(&mut self, view: Option<&LeaderView<'_>>, now: BootInstant) -> Vec<Command> {
        let Some(view) = view else {
            // Only a leader hears of the others.
            self.leads = false;
            self.judged = None;
            return Vec::new();
        };
        let begins = !self.leads;
        // A leader that did not run meanwhile has heard nobody, and another may lead by now.
        let held_still = self.judged.is_some_and(|at| now.since(at) >= view.down_after);
        self.judged = Some(now);
        if begins || held_still {
            // All timers start afresh, but a former leader's.
            self.leads = true;
            self.reports.clear();
            self.applied.clear();
        }
        for node in view.state.nodes() {
            self.note_session(node, now);
        }
        if begins && let Some((former, at)) = view.former_leader {
            self.inherit_silence(former, at);
        }
        let least = self.required_applied(view, now);
        let judged = view
            .state
            .nodes()
            .filter_map(|node| self.judge_node(node, now, least, view.down_after));
        let mut commands: Vec<Command> = judged.collect();
        commands.extend(removed_members(view.state, view.members));
        commands
    }

    /// What a node must have applied to be up to date: what was applied here `down_after` ago.
    fn required_applied(&mut self, view: &LeaderView<'_>, now: BootInstant) -> u64 {
        self.applied.push_back((now, view.state.cluster().applied));
        let old = |at: BootInstant| now.since(at) >= view.down_after;
        while self.applied.get(1).is_some_and(|(at, _)| old(*at)) {
            self.applied.pop_front();
        }
        self.applied.front().filter(|(at, _)| old(*at)).map_or(0, |(_, applied)| *applied)
    }

    /// What each node reported last; nothing of a node that does not lead.
    pub fn heard(&self, now: BootInstant) -> BTreeMap<u64, LastHeard> {
        let reports = self.reports.iter().filter(|_| self.leads);
        let heard = |report: &LastReport| LastHeard {
            ago: now.since(report.at),
            applied: Some(report.applied).filter(|index| *index != UNKNOWN_INDEX),
        };
        reports.map(|(id, report)| (*id, heard(report))).collect()
    }

    /// A session that is new here has not been silent yet, whatever the one before it was.
    fn note_session(&mut self, node: &NodeRecord, now: BootInstant) {
        let session = node.session;
        if self.reports.get(&node.id.0).is_none_or(|heard| heard.session != session) {
            self.reports.insert(node.id.0, LastReport { session, at: now, applied: UNKNOWN_INDEX });
        }
    }

    /// The former leader has been silent since it last acknowledged this node.
    fn inherit_silence(&mut self, former: u64, at: BootInstant) {
        if let Some(heard) = self.reports.get_mut(&former) {
            heard.at = heard.at.min(at);
        }
    }

    fn judge_node(
        &self,
        node: &NodeRecord,
        now: BootInstant,
        least: u64,
        down_after: Millis,
    ) -> Option<Command> {
        let heard = self.reports.get(&node.id.0)?;
        let age = now.since(heard.at);
        let up_to_date = heard.applied >= least;
        let told = heard.session == node.session && age < FRESH && heard.applied != UNKNOWN_INDEX;
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

/// Nodes that are members no more, once nothing runs there: those that are being removed, and former
/// selves of members that lost their data.
fn removed_members(state: &State, members: &[u64]) -> Vec<Command> {
    let joins = |node: &NodeRecord| state.joining().is_some_and(|joining| joining.node == node.id);
    let goes = |node: &NodeRecord| {
        let former = node.liveness == Liveness::Down && !members.contains(&node.id.0);
        node.intent == Intent::Removing || (former && !joins(node))
    };
    let ended = state.nodes().filter(|node| goes(node) && !state.runs_on(node.id));
    ended.map(|node| Command::NodeRemove(OfNode { node: node.id })).collect()
}

/// Attempts of nodes that are down beyond their limit, and expired claims of callers. Nobody will
/// report their ends.
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
            // What an executor has accepted is watched by the owner of its task.
            if execution.status != Status::Running || attempt.accepted_at().is_some() {
                continue;
            }
            let spec = task.revision(execution.revision).map(|definition| &definition.spec);
            let over = if execution.trigger == Trigger::Claim {
                let timeout = spec.map_or(Millis(0), |spec| spec.timeout);
                let timeout = if timeout.0 == 0 { Millis::from_secs(300) } else { timeout };
                attempt.granted_at.plus(timeout) < now
            } else {
                let lost_after = task.lost_after(execution.revision);
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
pub(super) fn sample_node(session: u64, liveness: Liveness) -> NodeRecord {
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
    let (id, intent) = (NodeId(1), Intent::None);
    let (created_at, started_at) = (Timestamp(0), Timestamp(0));
    NodeRecord {
        id,
        info,
        session,
        boot: 1,
        liveness,
        intent,
        down_since: None,
        created_at,
        started_at,
        overrides: crate::domain::machine::record::NodeOverrides::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::sample_node as node;
    use super::*;

    const DOWN_AFTER: Millis = Millis(1_500);

    fn judged(judge: &mut LivenessJudge, node: &NodeRecord, now: u64) -> Option<Liveness> {
        judge.note_session(node, BootInstant(now));
        match judge.judge_node(node, BootInstant(now), 0, DOWN_AFTER)? {
            Command::NodeLiveness(judged) => Some(judged.liveness),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_session_is_not_judged_by_the_silence_of_the_one_before() {
        let mut judge = LivenessJudge::default();
        let report = |session| LivenessReport { node: 1, session: SessionId(session), applied: 5 };
        let old = node(7, Liveness::Working);
        assert_eq!(judged(&mut judge, &old, 0), None);
        judge.note_report(report(7), BootInstant(100));
        assert_eq!(judged(&mut judge, &old, 1_599), None);
        assert_eq!(judged(&mut judge, &old, 1_600), Some(Liveness::Down));
        // Ten seconds later the process is there again and has registered, but not told yet.
        let new = node(8, Liveness::Starting);
        assert_eq!(judged(&mut judge, &new, 10_000), None);
        // What comes late from the process before changes nothing.
        judge.note_report(report(7), BootInstant(10_100));
        assert_eq!(judged(&mut judge, &new, 10_200), None);
        judge.note_report(report(8), BootInstant(10_300));
        assert_eq!(judged(&mut judge, &new, 10_400), Some(Liveness::Working));
        let silent = node(9, Liveness::Starting);
        assert_eq!(judged(&mut judge, &silent, 20_000), None);
        assert_eq!(judged(&mut judge, &silent, 21_500), Some(Liveness::Down));
    }

    #[test]
    fn the_former_leader_is_silent_since_it_last_acknowledged() {
        let mut judge = LivenessJudge::default();
        let former = node(7, Liveness::Working);
        judge.note_session(&former, BootInstant(5_000));
        judge.inherit_silence(1, BootInstant(4_200));
        assert_eq!(judged(&mut judge, &former, 5_699), None);
        assert_eq!(judged(&mut judge, &former, 5_700), Some(Liveness::Down));
        // It lives, and tells the new leader of itself.
        judge.note_report(
            LivenessReport { node: 1, session: SessionId(7), applied: 5 },
            BootInstant(5_600),
        );
        assert_eq!(judged(&mut judge, &former, 5_700), None);
    }
}
