//! The history of a run in chronological order, and a hash over it.
//!
//! Times are true time: that of the simulated world, which no node knows.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use punctual::domain::machine::{Event, Response};
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

/// Classes of faults. A sweep must contain each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A segment was lost and delivered later.
    Loss,
    /// A connection request arrived twice.
    Duplication,
    /// Only one end of a stream noticed that it was closed.
    HalfOpen,
    /// Streams were reset.
    Reset,
    /// A link was cut in one direction.
    CutOneWay,
    /// Links were cut in both directions.
    Cut,
    /// The segments of a machine were delayed.
    SlowLink,
    /// A process was killed.
    Kill,
    /// A machine lost its power and the unsynced data on its disk.
    PowerCut,
    /// Power losses that lost or tore unsynced writes.
    LostWrites,
    /// All machines lost their power.
    PowerCutAll,
    /// A process was suspended for a while.
    Pause,
    /// A process started with an empty disk.
    Wipe,
    /// A disk was full.
    DiskFull,
    /// A write failed.
    DiskFail,
    /// Syncs of a disk were slow.
    SlowDisk,
    /// A wall clock was set.
    ClockJump,
    /// A wall clock ran too fast or too slow.
    ClockDrift,
    /// An action failed.
    ActionFails,
    /// An action did not end by itself.
    ActionHangs,
    /// An action ran longer than its timeout.
    ActionLate,
    /// The response to a client was lost.
    AnswerLost,
    /// A proposal was delivered again.
    Echo,
    /// The scheduler was stopped.
    Stopped,
    /// A node was drained for a while.
    Drained,
    /// The weight and labels of a node were set.
    NodeSet,
    /// A member was added.
    MemberAdded,
    /// A member was removed.
    MemberRemoved,
    /// A member lost its data and was admitted again.
    MemberReplaced,
    /// A member got another address.
    MemberMoved,
    /// The cluster was stopped, and a backup of it became a new one.
    Restored,
    /// A majority of the members was lost, and what was left became a new cluster.
    Recovered,
    /// The files of a node changed.
    FilesChanged,
    /// A node had no files any more.
    FilesGone,
    /// The leader stopped communicating while there was no other fault.
    SilentLeader,
    /// An engine got the events of its state late.
    EngineBehind,
    /// A member took a checkpoint while it installed a snapshot.
    SnapshotMeanwhile,
    /// An executor was cut off, or crashed.
    ExecutorDown,
    /// An executor accepted an attempt and said no more.
    ExecutorSilent,
    /// An executor called back once more.
    CallbackTwice,
    /// An executor called back under a grant that was not the newest.
    CallbackOld,
}

impl FaultKind {
    /// All classes.
    pub const ALL: [Self; 41] = [
        Self::Loss,
        Self::Duplication,
        Self::HalfOpen,
        Self::Reset,
        Self::CutOneWay,
        Self::Cut,
        Self::SlowLink,
        Self::Kill,
        Self::PowerCut,
        Self::LostWrites,
        Self::PowerCutAll,
        Self::Pause,
        Self::Wipe,
        Self::DiskFull,
        Self::DiskFail,
        Self::SlowDisk,
        Self::ClockJump,
        Self::ClockDrift,
        Self::ActionFails,
        Self::ActionHangs,
        Self::ActionLate,
        Self::AnswerLost,
        Self::Echo,
        Self::Stopped,
        Self::Drained,
        Self::NodeSet,
        Self::MemberAdded,
        Self::MemberRemoved,
        Self::MemberReplaced,
        Self::MemberMoved,
        Self::Restored,
        Self::Recovered,
        Self::FilesChanged,
        Self::FilesGone,
        Self::SilentLeader,
        Self::SnapshotMeanwhile,
        Self::EngineBehind,
        Self::ExecutorDown,
        Self::ExecutorSilent,
        Self::CallbackTwice,
        Self::CallbackOld,
    ];
}

/// The result of a client's call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// A response.
    Answer {
        /// HTTP status.
        status: u16,
        /// The error code; empty if there is none.
        code: String,
        /// The task's revision, from the ETag.
        revision: Option<u64>,
        /// The log index that the response reflects.
        index: Option<u64>,
    },
    /// The outcome is unknown.
    Unknown,
    /// No node accepted the call.
    Never,
}

/// A client request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRequest {
    /// `POST /tasks`.
    Add,
    /// The same with `force`.
    Force,
    /// `PUT`.
    Update,
    /// `PATCH`.
    Patch,
    /// Marks the task deleted.
    Delete {
        /// Whether the response is sent when no start can follow.
        wait: bool,
    },
    /// Removes the deleted mark.
    Reuse,
    /// Removes everything stored under the name.
    Cleanup,
    /// Pauses the task.
    Pause {
        /// Whether the response is sent when no start can follow.
        wait: bool,
    },
    /// Cancels the task and ends its waiting executions.
    Cancel {
        /// Whether the response is sent when no start can follow.
        wait: bool,
    },
    /// Resumes the task.
    Resume,
    /// Triggers an execution.
    Trigger,
    /// Retries an ended execution.
    Retry {
        /// The execution.
        execution: u64,
    },
    /// Stops an execution.
    Stop {
        /// The execution.
        execution: u64,
    },
    /// Reads the task.
    Read,
}

/// An event of the history.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "the story and the hash show all of it")]
pub enum HistoryEvent {
    /// A process started.
    Boot {
        /// Its number among all processes of the run.
        process: u64,
    },
    /// A process ended.
    End {
        /// Its number.
        process: u64,
        /// The reason.
        why: String,
    },
    /// A machine got an empty disk in place of its own.
    EmptyDisk,
    /// A vote became durable.
    Voted {
        /// Its bytes on disk.
        vote: Bytes,
    },
    /// A process applied its first entry in sequence, or continued from a stored state.
    Loaded {
        /// Its number.
        process: u64,
        /// The last applied index.
        index: u64,
    },
    /// A process is about to propose the claim of a tick.
    Claiming {
        /// The process.
        process: u64,
        /// The task.
        task: u64,
        /// The tick.
        tick: i64,
        /// Whether the process owns the task according to its applied state.
        owned: bool,
    },
    /// An entry was applied for the first time on any replica.
    Committed {
        /// Its index.
        index: u64,
        /// Its bytes. `None` if it contains no commands.
        entry: Option<Bytes>,
        /// Its responses.
        answers: Arc<[Response]>,
        /// The names that it marks deleted, with their new revisions, which are not in the
        /// responses.
        marks: Vec<(String, u64)>,
        /// Its events.
        events: Vec<Event>,
    },
    /// An attempt started.
    Start(ObservedStart),
    /// The work of an attempt ended by itself.
    Done {
        /// Its fence.
        fence: u64,
        /// Whether it succeeded.
        well: bool,
    },
    /// A client sent a request.
    Call {
        /// The number of the call.
        call: u64,
        /// The request.
        asked: ClientRequest,
        /// The task.
        task: String,
        /// The idempotency key as in the log. `None` for a read.
        key: Option<String>,
    },
    /// A client received a response or gave up.
    Return {
        /// The number of the call.
        call: u64,
        /// The result.
        returned: Returned,
    },
    /// The leader stopped communicating while there was no other fault.
    LeaderSilent,
    /// The engine of a process gets no events of its state from now on, or it has got them all.
    EngineBehind {
        /// The process.
        process: u64,
        /// Whether it gets none.
        held: bool,
    },
    /// A new cluster goes on from what the former one had committed up to here. Entries that the
    /// former one had not committed may follow before [`Self::Succeeded`].
    NewCluster {
        /// The log index.
        index: u64,
    },
    /// The state of the new cluster was made.
    Succeeded {
        /// The log index.
        index: u64,
        /// The counter of the former cluster there: what it issued up to here is known to the new one.
        counter: u64,
        /// The executions that began with it, with the names of their tasks: those that follow others
        /// that were lost.
        begun: Vec<(u64, String)>,
    },
    /// A fault was injected.
    Trouble(String),
    /// All faults ended.
    Healed,
}

/// The start of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedStart {
    /// The process.
    pub process: u64,
    /// The fence.
    pub fence: u64,
    /// The execution.
    pub execution: u64,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The task's name.
    pub task: String,
    /// The tick in milliseconds. `None` for a trigger.
    pub tick: Option<i64>,
    /// The last index that the process had applied.
    pub applied: u64,
}

/// An event with time and node.
#[derive(Clone, Debug)]
pub struct HistoryRecord {
    /// True time since the start, in microseconds.
    pub at: u64,
    /// The node. `None` for the world.
    pub node: Option<usize>,
    /// The event.
    pub event: HistoryEvent,
}

/// The history of a run.
pub struct RunHistory {
    begun: Instant,
    inner: Mutex<HistoryState>,
}

#[derive(Default)]
struct HistoryState {
    records: Vec<HistoryRecord>,
    faults: BTreeMap<FaultKind, u64>,
    checked: BTreeMap<&'static str, u64>,
    violations: Vec<(u64, &'static str, String)>,
    hash: Hash,
}

struct Hash(Box<Xxh3>);

impl Default for Hash {
    fn default() -> Self {
        Self(Box::new(Xxh3::new()))
    }
}

impl fmt::Write for Hash {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.update(text.as_bytes());
        Ok(())
    }
}

impl RunHistory {
    /// An empty history that starts now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), inner: Mutex::default() })
    }

    /// True time since the start, in microseconds.
    pub fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Records an event.
    pub fn note(&self, node: Option<usize>, event: HistoryEvent) {
        let record = HistoryRecord { at: self.now(), node, event };
        let mut inner = self.inner.lock();
        // Writing to a hash cannot fail.
        let _ = write!(inner.hash, "{record:?}");
        inner.records.push(record);
    }

    /// Records and counts a fault.
    pub fn trouble(&self, node: Option<usize>, fault: FaultKind, what: impl fmt::Display) {
        self.fault(fault);
        self.note(node, HistoryEvent::Trouble(format!("{fault:?}: {what}")));
    }

    /// Counts a fault that is too frequent to be recorded.
    pub fn fault(&self, fault: FaultKind) {
        *self.inner.lock().faults.entry(fault).or_insert(0) += 1;
    }

    /// Adds numbers to the hash without recording an event.
    pub fn mix(&self, numbers: &[u64]) {
        let now = self.now();
        let mut inner = self.inner.lock();
        inner.hash.0.update(&now.to_le_bytes());
        for number in numbers {
            inner.hash.0.update(&number.to_le_bytes());
        }
    }

    /// Counts a check of a property during the run.
    pub fn checked(&self, property: &'static str) {
        *self.inner.lock().checked.entry(property).or_insert(0) += 1;
    }

    /// The number of checks of each property during the run.
    pub fn checks(&self) -> BTreeMap<&'static str, u64> {
        self.inner.lock().checked.clone()
    }

    /// Records a violation seen during the run.
    pub fn violated(&self, property: &'static str, what: impl Into<String>) {
        let now = self.now();
        self.inner.lock().violations.push((now, property, what.into()));
    }

    /// The violations seen during the run: time, property, description.
    pub fn violations(&self) -> Vec<(u64, &'static str, String)> {
        self.inner.lock().violations.clone()
    }

    /// The hash of the events so far.
    pub fn hash(&self) -> u64 {
        self.inner.lock().hash.0.digest()
    }

    /// The number of faults of each class.
    pub fn faults(&self) -> BTreeMap<FaultKind, u64> {
        self.inner.lock().faults.clone()
    }

    /// The bytes of the committed entry that is `back` entries before the newest.
    pub fn committed(&self, back: usize) -> Option<Bytes> {
        let inner = self.inner.lock();
        let mut entries = inner.records.iter().rev().filter_map(|record| match &record.event {
            HistoryEvent::Committed { entry, .. } => entry.clone(),
            _ => None,
        });
        entries.nth(back)
    }

    /// What is found in the newest committed entry in which there is something to be found.
    pub fn newest_committed<T>(&self, find: impl Fn(&Bytes) -> Option<T>) -> Option<T> {
        let inner = self.inner.lock();
        inner.records.iter().rev().find_map(|record| match &record.event {
            HistoryEvent::Committed { entry: Some(entry), .. } => find(entry),
            _ => None,
        })
    }

    /// All records so far.
    pub fn records(&self) -> Vec<HistoryRecord> {
        self.inner.lock().records.clone()
    }
}
