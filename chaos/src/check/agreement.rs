//! Replica agreement: replicas at the same index have applied the same entry with the same
//! responses and events, and their digests are equal, even after a restart or a snapshot. Each
//! process applies entries without a gap. Periodically, and whenever a process continues from a
//! stored state, the records of the state are checked for consistency.

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

    /// The number of comparisons between replicas.
    pub fn compared(&self) -> u64 {
        self.inner.lock().compared
    }

    /// The number of checks of a whole state.
    pub fn checked(&self) -> u64 {
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
