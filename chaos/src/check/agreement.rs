//! Replica agreement: replicas at the same index have applied the same entry with the same
//! responses and events, and their digests are equal, even after a restart or a snapshot. Each
//! process applies entries without a gap. Periodically, and whenever a process continues from a
//! stored state, the records of the state are checked for consistency.
//!
//! Each cluster of a run has an observer of its own. A process that was started with the data of one
//! cluster never has a state of another one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use punctual::domain::ids::EventId;
use punctual::domain::machine::command::{FilesRead, FilesStep};
use punctual::domain::machine::{Applied, Command, Event, Response, State, envelope};
use xxhash_rust::xxh3::xxh3_64;

use super::history::{HistoryEvent, RunHistory};
use super::owners;

const SAME: &str = "same answer everywhere";
const RECORDS: &str = "records agree with each other";
const FILES: &str = "the newest files are in force";
const CLUSTER: &str = "no node joins another cluster";
/// Number of entries between two checks of a whole state.
const CHECK_EVERY: u64 = 64;

/// Observes all replicas as they apply entries.
pub struct ReplicaAgreement {
    history: Arc<RunHistory>,
    inner: Mutex<AgreementState>,
}

#[derive(Default)]
struct AgreementState {
    known: BTreeMap<u64, KnownEntry>,
    /// The events of all entries.
    events: Vec<Event>,
    /// The last applied index of each process.
    at: BTreeMap<u64, u64>,
    compared: u64,
    checked: u64,
    /// The hash of the set of files that was begun last.
    begun: Option<u128>,
    /// The id of the cluster; none: it has not begun.
    cluster: Option<u128>,
    /// Whether another cluster took its place. What is applied for the first time then is not part
    /// of the history.
    closed: bool,
}

/// The clusters of a run, of which each takes the place of the one before.
pub struct Clusters(Mutex<ClusterSequence>);

struct ClusterSequence {
    former: Vec<Arc<ReplicaAgreement>>,
    newest: Arc<ReplicaAgreement>,
}

impl Clusters {
    /// The first one.
    pub fn new(first: ReplicaAgreement) -> Self {
        Self(Mutex::new(ClusterSequence { former: Vec::new(), newest: Arc::new(first) }))
    }

    /// The newest one.
    pub fn newest(&self) -> Arc<ReplicaAgreement> {
        Arc::clone(&self.0.lock().newest)
    }

    /// A cluster that begins with this state takes the place of the newest one.
    pub fn succeed(&self, state: &State) {
        let mut clusters = self.0.lock();
        let next = Arc::new(clusters.newest.succeed(state));
        let former = std::mem::replace(&mut clusters.newest, next);
        clusters.former.push(former);
    }

    /// The number of comparisons between replicas, and of checks of a whole state.
    pub fn looks(&self) -> (u64, u64) {
        let clusters = self.0.lock();
        let all = clusters.former.iter().chain([&clusters.newest]);
        let looks = all.map(|cluster| (cluster.compared(), cluster.checked()));
        looks.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

/// Compares the log of a node that is left of a cluster with what was committed there.
pub struct LeftOver<'a> {
    former: &'a ReplicaAgreement,
    /// The last index up to which it is what was committed.
    agreed: Option<u64>,
    /// The entries after that.
    pub tail: Vec<HistoryEvent>,
}

impl<'a> LeftOver<'a> {
    /// Nothing was read of the log.
    pub fn of(former: &'a ReplicaAgreement) -> Self {
        Self { former, agreed: None, tail: Vec::new() }
    }

    /// An entry of the log, the state after it, and its responses.
    pub fn entry(&mut self, state: &State, index: u64, entry: Option<&[u8]>, out: &Applied) {
        let inner = self.former.inner.lock();
        let known = inner.known.get(&index).filter(|_| self.tail.is_empty());
        if let Some(known) = known.filter(|known| known.entry == entry.map_or(0, xxh3_64)) {
            if known.digest != state.digest() {
                let what = format!("what is left of the cluster leads to another entry {index}");
                self.former.history.violated(SAME, what);
            }
            self.agreed = Some(index);
            return;
        }
        let before = index.saturating_sub(1);
        self.agreed.get_or_insert(before);
        self.tail.push(HistoryEvent::Committed {
            index,
            entry: entry.map(Bytes::copy_from_slice),
            answers: out.responses[..].into(),
            marks: entry.map(|entry| marks(state, entry)).unwrap_or_default(),
            events: out.effects.events.clone(),
        });
    }

    /// The last index up to which the log, which ends in this state, is what was committed.
    pub fn agreed(&self, end: &State) -> u64 {
        self.agreed.unwrap_or(end.cluster().applied)
    }
}

/// The names that an entry marks deleted, with their new revisions.
fn marks(state: &State, entry: &[u8]) -> Vec<(String, u64)> {
    let Ok((_, commands)) = envelope::open(entry) else { return Vec::new() };
    let named = commands.filter_map(|packed| {
        let packed = packed.ok()?;
        match Command::decode(packed.kind, packed.body) {
            Ok(Command::MarkDeleted(mark)) => Some(mark.name),
            _ => None,
        }
    });
    let revision = |name: String| Some((state.named(&name)?.live.revision.0, name));
    named.filter_map(revision).map(|(revision, name)| (name, revision)).collect()
}

/// An entry as the first replica applied it.
struct KnownEntry {
    entry: u64,
    answers: Arc<[Response]>,
    events: Vec<Event>,
    digest: u128,
}

impl ReplicaAgreement {
    /// Creates an observer without entries.
    pub fn new(history: Arc<RunHistory>) -> Self {
        Self { history, inner: Mutex::default() }
    }

    /// The observer of the cluster that takes the place of this one and begins with this state.
    fn succeed(&self, state: &State) -> Self {
        self.inner.lock().closed = true;
        let known =
            KnownEntry { entry: 0, answers: [].into(), events: Vec::new(), digest: state.digest() };
        let inner = AgreementState {
            known: BTreeMap::from([(state.cluster().applied, known)]),
            begun: state.files_in_force().map(|set| set.hash),
            cluster: Some(state.cluster().id),
            ..AgreementState::default()
        };
        Self { history: Arc::clone(&self.history), inner: Mutex::new(inner) }
    }

    /// The state of a process is one of this cluster.
    fn belongs(&self, node: usize, state: &State) {
        let id = state.cluster().id;
        if id == 0 {
            return;
        }
        let cluster = *self.inner.lock().cluster.get_or_insert(id);
        self.history.checked(CLUSTER);
        if cluster != id {
            let index = state.cluster().applied;
            let what = format!("node {} has entry {index} of another cluster", node + 1);
            self.history.violated(CLUSTER, what);
        }
    }

    /// The number of comparisons between replicas.
    fn compared(&self) -> u64 {
        self.inner.lock().compared
    }

    /// The number of checks of a whole state.
    fn checked(&self) -> u64 {
        self.inner.lock().checked
    }

    /// Checks the records of a state for consistency.
    fn check(&self, node: usize, state: &State) {
        self.inner.lock().checked += 1;
        if let Err(what) = state.check() {
            let index = state.cluster().applied;
            let what = format!("node {} at entry {index}: {what}", node + 1);
            self.history.violated(RECORDS, what);
        }
    }

    /// The last applied index of a process.
    pub fn at(&self, process: u64) -> u64 {
        self.inner.lock().at.get(&process).copied().unwrap_or(0)
    }

    /// The events of all entries with ids after `id`, at most `limit`.
    pub fn events_after(&self, id: EventId, limit: usize) -> Vec<Event> {
        let inner = self.inner.lock();
        let from = inner.events.partition_point(|event| event.id <= id);
        inner.events.iter().skip(from).take(limit).cloned().collect()
    }

    /// A process applied an entry, with its responses and events. `None`: the entry has no
    /// commands.
    pub fn applied(
        &self,
        (node, process): (usize, u64),
        state: &State,
        index: u64,
        entry: Option<(&[u8], &Applied)>,
    ) {
        self.belongs(node, state);
        if index.is_multiple_of(CHECK_EVERY) {
            self.check(node, state);
        }
        let (entry, out) = entry.unzip();
        let answers = out.map_or(&[][..], |out| &out.responses);
        let events = out.map_or(&[][..], |out| &out.effects.events);
        let hash = entry.map_or(0, xxh3_64);
        let mut inner = self.inner.lock();
        let former = inner.at.insert(process, index);
        if former.is_some_and(|former| former + 1 != index) {
            self.history.violated(
                SAME,
                format!("agreement: node {} applied entry {index} after {former:?}", node + 1),
            );
        }
        if let Some(known) = inner.known.get(&index) {
            let same = (known.entry, known.digest) == (hash, state.digest());
            if !same || *known.answers != *answers || known.events != events {
                let what = if known.entry == hash { "with another result" } else { "another" };
                self.history.violated(
                    SAME,
                    format!(
                        "agreement: node {} applied entry {index} {what} than the others",
                        node + 1
                    ),
                );
            }
            inner.compared += 1;
            return;
        }
        let answers: Arc<[Response]> = answers.into();
        let known = KnownEntry {
            entry: hash,
            answers: Arc::clone(&answers),
            events: events.to_vec(),
            digest: state.digest(),
        };
        inner.known.insert(index, known);
        inner.events.extend_from_slice(events);
        if inner.closed {
            return;
        }
        drop(inner);
        self.first(state, index, entry, &answers);
        let marks = entry.map(|entry| marks(state, entry)).unwrap_or_default();
        let entry = entry.map(Bytes::copy_from_slice);
        let events = events.to_vec();
        let event = HistoryEvent::Committed { index, entry, answers, marks, events };
        self.history.note(Some(node), event);
    }

    /// An entry was applied for the first time.
    fn first(&self, state: &State, index: u64, entry: Option<&[u8]>, answers: &[Response]) {
        let commands = entry.and_then(|entry| Some(envelope::open(entry).ok()?.1));
        let commands = commands.into_iter().flatten().zip(answers);
        let (mut files, mut members) = (false, index.is_multiple_of(CHECK_EVERY));
        for (packed, answer) in commands {
            let Ok(packed) = packed else { continue };
            match Command::decode(packed.kind, packed.body) {
                Ok(Command::FilesRead(FilesRead { step, .. })) if answer.is_ok() => {
                    files = true;
                    if let FilesStep::Begin(hash) = step {
                        self.inner.lock().begun = Some(hash);
                    }
                }
                Ok(Command::NodeRemove(_)) => (files, members) = (true, true),
                Ok(
                    Command::NodeUp(_)
                    | Command::NodeLiveness(_)
                    | Command::NodeIntent(_)
                    | Command::NodePatch(_)
                    | Command::SetStrategy(_)
                    | Command::Put(_)
                    | Command::Declare(_),
                ) => members = true,
                _ => {}
            }
        }
        if files {
            self.judge_files(state, index);
        }
        if members {
            owners::judge_state(&self.history, state, index);
        }
    }

    /// The files in force are those that were begun last, whichever nodes have them.
    fn judge_files(&self, state: &State, index: u64) {
        let begun = self.inner.lock().begun;
        let in_force = state.files_in_force().map(|set| set.hash);
        self.history.checked(FILES);
        if in_force != begun {
            let what =
                format!("entry {index}: {in_force:?} are in force, {begun:?} were begun last");
            self.history.violated(FILES, what);
        }
    }

    /// A process continues from a stored state.
    pub fn replaced(&self, (node, process): (usize, u64), state: &State) {
        self.belongs(node, state);
        self.check(node, state);
        let index = state.cluster().applied;
        let mut inner = self.inner.lock();
        if index > 0 {
            inner.at.insert(process, index);
        }
        if let Some(known) = inner.known.get(&index) {
            if known.digest != state.digest() {
                self.history.violated(
                    SAME,
                    format!(
                        "agreement: node {} goes on from another state at entry {index}",
                        node + 1
                    ),
                );
            }
            inner.compared += 1;
        }
        drop(inner);
        self.history.note(Some(node), HistoryEvent::Loaded { process, index });
    }
}

#[cfg(test)]
mod tests {
    use punctual::domain::machine::command::Genesis;
    use punctual::domain::machine::envelope::EntryHead;
    use punctual::domain::time::Timestamp;

    use super::*;

    /// The first entry of a cluster.
    fn genesis(id: u128) -> Vec<u8> {
        let genesis = Command::Genesis(Genesis {
            id,
            name: "sim".to_owned(),
            timezone: "UTC".to_owned(),
            scheduler: true,
            callback_key: 5,
        });
        let mut packed = Vec::new();
        envelope::pack(&mut packed, &genesis, "", None);
        envelope::entry(EntryHead { stamp: Timestamp(1), origin: 7, seq: 1 }, &packed)
    }

    fn applied(state: &mut State, index: u64, entry: &[u8]) -> Applied {
        let mut out = Applied::default();
        state.apply(index, entry, &mut out).unwrap();
        out
    }

    /// What complains, of whatever was applied or read.
    fn complaints(history: &RunHistory) -> Vec<&'static str> {
        history.violations().into_iter().map(|(_, property, _)| property).collect()
    }

    #[test]
    fn a_node_with_the_state_of_another_cluster_is_found() {
        let history = RunHistory::new();
        let former = ReplicaAgreement::new(Arc::clone(&history));
        let mut state = State::default();
        let out = applied(&mut state, 1, &genesis(0xC1));
        former.applied((0, 1), &state, 1, Some((&genesis(0xC1), &out)));
        let mut begun = state.frozen();
        assert!(begun.succeed(0xC2, Timestamp(1)));
        let next = former.succeed(&begun);
        next.replaced((0, 2), &begun);
        // A former node starts again.
        former.replaced((1, 3), &state);
        assert_eq!(complaints(&history), Vec::<&str>::new());
        former.replaced((1, 3), &begun);
        next.replaced((2, 4), &state);
        assert_eq!(complaints(&history), [CLUSTER, SAME, CLUSTER, SAME]);
    }

    #[test]
    fn a_log_is_what_was_committed_up_to_the_first_other_entry() {
        let history = RunHistory::new();
        let former = ReplicaAgreement::new(Arc::clone(&history));
        let mut state = State::default();
        let out = applied(&mut state, 1, &genesis(0xC1));
        former.applied((0, 1), &state, 1, Some((&genesis(0xC1), &out)));
        let (mut read, mut left) = (LeftOver::of(&former), State::default());
        assert_eq!(read.agreed(&state), 1, "all of it is in the checkpoint");
        for (index, id) in [(1, 0xC1), (2, 0xC3), (3, 0xC1)] {
            let out = applied(&mut left, index, &genesis(id));
            read.entry(&left, index, Some(&genesis(id)), &out);
        }
        assert_eq!((read.agreed(&left), read.tail.len()), (1, 2));
        let mut other = LeftOver::of(&former);
        let mut left = State::default();
        let out = applied(&mut left, 1, &genesis(0xC3));
        other.entry(&left, 1, Some(&genesis(0xC3)), &out);
        assert_eq!((other.agreed(&left), other.tail.len()), (0, 1));
        assert_eq!(complaints(&history), Vec::<&str>::new());
    }
}
