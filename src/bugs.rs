//! Seeded bugs, which show that the judges find faults. Without the cargo feature `seeded-bugs` there
//! are none: the question whether one is on is then `false` at compile time.

/// Whether this program can have a bug put in.
#[cfg(feature = "cli")]
pub const COMPILED_IN: bool = cfg!(feature = "seeded-bugs");

/// Whether a bug is on, or one of several.
#[cfg(feature = "seeded-bugs")]
macro_rules! bug {
    ($($name:literal)|+) => {
        [$($name),+].into_iter().any($crate::bugs::on)
    };
}

/// Whether a bug is on: there are none.
#[cfg(not(feature = "seeded-bugs"))]
macro_rules! bug {
    ($($name:literal)|+) => {
        false
    };
}

/// What the machine's clock shows.
#[cfg(feature = "seeded-bugs")]
macro_rules! reading {
    () => {
        $crate::bugs::wall_clock()
    };
}

/// All bugs, each with what it does.
#[cfg(feature = "seeded-bugs")]
pub const ALL: [(&str, &str); 65] = [
    ("settle-any-cursor", "a settle is accepted wherever the cursor stands"),
    ("backfill-cursor-ignored", "ticks of a backfill are taken wherever its cursor stands"),
    ("settle-any-revision", "a settle is accepted for whatever revision"),
    ("settle-any-activity", "a claim is accepted while the task is held"),
    ("overlap-ignored", "an execution comes in beside others whatever the task's mode"),
    ("line-limit-ignored", "an execution starts while a line of its task is full"),
    ("replaced-not-stopped", "what runs is not stopped for the execution that takes its place"),
    ("line-order-ignored", "an owner asks for whatever waits in a line that has room"),
    ("line-not-looked-at", "a line that changed is not looked at"),
    ("line-forgotten-in-snapshot", "a state that is loaded has nothing in its lines"),
    ("retry-at-once", "the delay before a further attempt is left out"),
    ("retries-without-end", "what fails is attempted again however often it did"),
    (
        "delivery-ignored",
        "an unknown outcome is followed by one further attempt, whatever is asked",
    ),
    ("delay-not-woken", "nobody is woken when the time of a further attempt has come"),
    ("chain-forgotten", "the end of an execution starts nothing"),
    ("attempt-counted-as-end", "an attempt that is followed by another one is counted as an end"),
    ("one-shot-goes-on", "a claim does not complete a task that fires once only"),
    ("after-run-forgotten", "a task stays whose definition says that it goes after a run"),
    ("cancel-leaves-waiting", "what waits is left alone when its task is cancelled"),
    ("overdue-forgotten", "a resume does not make up for the one tick of a cancelled task"),
    ("session-ignored", "an ended or silent session may propose"),
    ("old-fence-accepted", "a report is accepted whatever its fence"),
    ("node-up-ends-accepted", "a node that restarts ends what executors have accepted"),
    ("stale-callback-accepted", "a report of an accepted attempt counts whatever its fence"),
    ("dispatch-to-offline", "attempts are given to executors that are offline or full"),
    ("silence-not-awaited", "an executor that is silent loses its attempts at once"),
    ("accepted-not-watched", "nobody looks after the time of what executors have accepted"),
    ("keys-forgotten", "a repeated idempotency key takes effect again"),
    ("tombstone-ignored", "an add replaces a task that is marked deleted"),
    ("ttl-from-apply", "the time to start counts from the grant's apply"),
    ("ttl-from-last-proposal", "the time to start counts from the last proposal"),
    ("gate-ignored", "the applied state is not looked at before a start"),
    ("due-ignored", "an attempt starts when it is granted"),
    ("label-excluded", "ticks that were late are said to be excluded"),
    ("vote-not-persisted", "a vote is answered and not written"),
    ("acknowledged-before-fsync", "an append is acknowledged when it is queued"),
    ("snapshot-without-tombstones", "a checkpoint leaves out what is marked deleted"),
    ("snapshot-without-cursors", "a checkpoint leaves out how far tasks are settled"),
    ("snapshot-without-counter", "a checkpoint leaves out the counter"),
    ("snapshot-without-floor", "a checkpoint leaves out the floor"),
    ("checkpoint-into-other-store", "a checkpoint is written into the store of a later snapshot"),
    ("wall-clock-in-apply", "apply takes the time from the machine it runs on"),
    ("own-wall-clock", "cluster time is the node's own wall clock"),
    ("end-without-event", "the events leave out how executions end"),
    ("events-lost-unsaid", "a reader is not told what a snapshot passed over"),
    ("delete-does-not-wait", "a delete with wait answers at once"),
    ("act-on-answer", "what a proposal's answer grants is started, not what is applied"),
    ("clock-for-cursor", "a tick is new if the node's own clock has not passed it"),
    ("replay-starts-work", "grants that a new process applies are started whosever they are"),
    ("strategy-ignored", "a node assigns tasks by the strategy that a cluster begins with"),
    ("drain-forgotten", "a node that is drained goes on as before"),
    (
        "overrides-forgotten",
        "a node assigns tasks by the weights that nodes told, not by those set",
    ),
    (
        "old-set-in-force",
        "older files come into force when a node with the newest has none any more",
    ),
    ("moves-ignored", "nobody listens when a member says that it is at another address"),
    ("removed-keeps-vote", "a member that is removed stays a voter"),
    ("removed-registers", "a node that was removed registers again"),
    ("restored-counter-kept", "the counter of a new cluster is that of the state it goes on from"),
    ("restored-attempts-kept", "attempts of the former cluster go on in a new one"),
    ("former-owner-goes-on", "the actor of a task that moved to another node stays"),
    (
        "place-held-by-unknown",
        "an entry whose outcome is unknown keeps its place among those carried",
    ),
    ("slots-not-reserved", "only what runs counts against the slots, not what was asked for"),
    ("ended-by-execution", "an attempt that ends takes the one that follows it out of the table"),
    ("stop-in-gap-lost", "a stop that came with a snapshot reaches no running attempt"),
    ("late-grant-begun", "a grant that is told late is begun though another one was asked for"),
    ("change-slept-over", "a change that comes while an actor falls asleep is not looked at"),
];

/// What the machine's clock shows, in milliseconds since 1970. Simulated machines share one, so the
/// last digits are those of a finer clock: no two readings are the same.
#[cfg(feature = "seeded-bugs")]
pub fn wall_clock() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos());
    i64::try_from(nanos / 1_000_000_000 * 1_000 + nanos % 1_000).unwrap_or(0)
}

#[cfg(feature = "seeded-bugs")]
static ON: std::sync::OnceLock<String> = std::sync::OnceLock::new();

/// Turns a bug on, once in a process; false: there is none of that name, or another is on.
#[cfg(feature = "seeded-bugs")]
pub fn turn_on(name: &str) -> bool {
    ALL.iter().any(|(known, _)| *known == name) && ON.set(name.to_owned()).is_ok()
}

/// Whether a bug is on.
#[cfg(feature = "seeded-bugs")]
pub fn on(name: &str) -> bool {
    ON.get().is_some_and(|on| on == name)
}
