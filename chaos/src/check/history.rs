//! What happened, in the order in which it happened, and a hash over all of it.
//!
//! Times are true time: that of the world, which no node knows.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use punctual::domain::machine::{Event, Response};
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

/// Classes of trouble, each of which a sweep must have met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// A segment was lost and came later.
    Loss,
    /// A connection request came twice.
    Duplication,
    /// A stream of which only one end knew that it was dead.
    HalfOpen,
    /// Streams were broken.
    Reset,
    /// A link was cut one way.
    CutOneWay,
    /// Links were cut both ways.
    Cut,
    /// A machine's segments took long.
    SlowLink,
    /// A process was killed.
    Kill,
    /// A machine lost its power, with what its disk had not synced.
    PowerCut,
    /// Of these, some that lost or tore unsynced writes.
    LostWrites,
    /// All machines lost their power.
    PowerCutAll,
    /// A process was held for a while.
    Pause,
    /// A process began on an empty disk.
    Wipe,
    /// A disk was full.
    DiskFull,
    /// A write failed.
    DiskFail,
    /// A disk took long to sync.
    SlowDisk,
    /// A wall clock was set.
    ClockJump,
    /// A wall clock ran too fast or too slow.
    ClockDrift,
    /// An action failed.
    ActionFails,
    /// An action did not end by itself.
    ActionHangs,
    /// An action outlived its time-out.
    ActionLate,
    /// A client's answer was lost.
    AnswerLost,
    /// A proposal came once more.
    Echo,
    /// The scheduler was stopped.
    Stopped,
    /// The leader fell silent while nothing else was wrong.
    SilentLeader,
    /// A member took a checkpoint while a snapshot was installed there.
    SnapshotMeanwhile,
}

impl FaultKind {
    /// All of them.
    pub const ALL: [Self; 26] = [
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
        Self::SilentLeader,
        Self::SnapshotMeanwhile,
    ];
}

/// How a client's call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returned {
    /// With this status, body code or revision, and log index.
    Answer {
        /// HTTP status.
        status: u16,
        /// The problem's code; empty: none.
        code: String,
        /// The task's revision, from the ETag.
        revision: Option<u64>,
        /// The log index the answer reflects.
        index: Option<u64>,
    },
    /// Nobody can tell what became of it.
    Unknown,
    /// No node took it.
    Never,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientRequest {
    /// `POST /tasks`.
    Add,
    /// The same with force.
    Force,
    /// `PUT`.
    Update,
    /// `PATCH`.
    Patch,
    /// Marks deleted.
    Delete {
        /// Answered when no start can follow.
        wait: bool,
    },
    /// Takes the mark away.
    Reuse,
    /// Removes all.
    Cleanup,
    /// Holds the ticks.
    Pause {
        /// Answered when no start can follow.
        wait: bool,
    },
    /// Ends what waits, and holds the ticks.
    Cancel {
        /// Answered when no start can follow.
        wait: bool,
    },
    /// Lets them go on.
    Resume,
    /// An execution now.
    Trigger,
    /// Another execution of what one did that has ended.
    Retry {
        /// This one.
        execution: u64,
    },
    /// The end of an execution.
    Stop {
        /// This one.
        execution: u64,
    },
    /// Reads the task.
    Read,
}

/// One thing that happened.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "the story and the hash show all of it")]
pub enum HistoryEvent {
    /// A process began.
    Boot {
        /// Its number among all processes of the run.
        process: u64,
    },
    /// A process ended.
    End {
        /// Which.
        process: u64,
        /// Why.
        why: String,
    },
    /// A vote became durable.
    Voted {
        /// As the disk has it.
        vote: Bytes,
    },
    /// A process applied its first entry in a row, or went on from a state.
    Loaded {
        /// Which process.
        process: u64,
        /// Up to here.
        index: u64,
    },
    /// The claim of a tick is about to be proposed.
    Claiming {
        /// By this process.
        process: u64,
        /// Of this task.
        task: u64,
        /// The tick.
        tick: i64,
        /// Whether the task is the process's by the state that it has applied.
        owned: bool,
    },
    /// An entry was applied for the first time anywhere.
    Committed {
        /// Its index.
        index: u64,
        /// Its bytes; none: it carries no commands.
        entry: Option<Bytes>,
        /// Its answers.
        answers: Arc<[Response]>,
        /// Names that it marks deleted, with their revisions after it, which the answers do not
        /// tell.
        marks: Vec<(String, u64)>,
        /// What it tells those who watch.
        events: Vec<Event>,
    },
    /// An attempt started.
    Start(ObservedStart),
    /// An attempt's work ended by itself.
    Done {
        /// Its grant.
        fence: u64,
        /// Whether well.
        well: bool,
    },
    /// A client asked.
    Call {
        /// The call's number.
        call: u64,
        /// For what.
        asked: ClientRequest,
        /// Of which task.
        task: String,
        /// The idempotency key as the log has it; none: a read.
        key: Option<String>,
    },
    /// A client got an answer, or gave up.
    Return {
        /// Which call.
        call: u64,
        /// What came.
        returned: Returned,
    },
    /// The leader fell silent while nothing else was wrong.
    LeaderSilent,
    /// Trouble was made.
    Trouble(String),
    /// All trouble ended.
    Healed,
}

/// The start of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedStart {
    /// The process that did it.
    pub process: u64,
    /// Its grant.
    pub fence: u64,
    /// The execution.
    pub execution: u64,
    /// 1 for the first.
    pub attempt: u32,
    /// The task's name.
    pub task: String,
    /// Its tick, in milliseconds; none: a trigger's.
    pub tick: Option<i64>,
    /// What the process had applied.
    pub applied: u64,
}

/// When and where.
#[derive(Clone, Debug)]
pub struct HistoryRecord {
    /// True time since the beginning, in microseconds.
    pub at: u64,
    /// The node; none: the world.
    pub node: Option<usize>,
    /// What.
    pub event: HistoryEvent,
}

/// See the module.
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
    /// An empty history that begins now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { begun: Instant::now(), inner: Mutex::default() })
    }

    /// True time since the beginning, in microseconds.
    pub fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes something that happened.
    pub fn note(&self, node: Option<usize>, event: HistoryEvent) {
        let record = HistoryRecord { at: self.now(), node, event };
        let mut inner = self.inner.lock();
        // Writing to a hash cannot fail.
        let _ = write!(inner.hash, "{record:?}");
        inner.records.push(record);
    }

    /// Notes trouble, and counts it.
    pub fn trouble(&self, node: Option<usize>, fault: FaultKind, what: impl fmt::Display) {
        self.fault(fault);
        self.note(node, HistoryEvent::Trouble(format!("{fault:?}: {what}")));
    }

    /// Counts trouble that is too common to be noted.
    pub fn fault(&self, fault: FaultKind) {
        *self.inner.lock().faults.entry(fault).or_insert(0) += 1;
    }

    /// Adds numbers to the hash that are worth no line in the story.
    pub fn mix(&self, numbers: &[u64]) {
        let now = self.now();
        let mut inner = self.inner.lock();
        inner.hash.0.update(&now.to_le_bytes());
        for number in numbers {
            inner.hash.0.update(&number.to_le_bytes());
        }
    }

    /// A promise was looked at while something happened.
    pub fn checked(&self, property: &'static str) {
        *self.inner.lock().checked.entry(property).or_insert(0) += 1;
    }

    /// How often each promise was looked at while something happened.
    pub fn checks(&self) -> BTreeMap<&'static str, u64> {
        self.inner.lock().checked.clone()
    }

    /// A promise was seen broken while it happened.
    pub fn violated(&self, property: &'static str, what: impl Into<String>) {
        let now = self.now();
        self.inner.lock().violations.push((now, property, what.into()));
    }

    /// What was seen broken: when, which property, how.
    pub fn violations(&self) -> Vec<(u64, &'static str, String)> {
        self.inner.lock().violations.clone()
    }

    /// The hash so far.
    pub fn hash(&self) -> u64 {
        self.inner.lock().hash.0.digest()
    }

    /// How often each class of trouble happened.
    pub fn faults(&self) -> BTreeMap<FaultKind, u64> {
        self.inner.lock().faults.clone()
    }

    /// The bytes of the entry that was committed so many before the newest.
    pub fn committed(&self, back: usize) -> Option<Bytes> {
        let inner = self.inner.lock();
        let mut entries = inner.records.iter().rev().filter_map(|record| match &record.event {
            HistoryEvent::Committed { entry, .. } => entry.clone(),
            _ => None,
        });
        entries.nth(back)
    }

    /// All of it so far.
    pub fn records(&self) -> Vec<HistoryRecord> {
        self.inner.lock().records.clone()
    }
}
