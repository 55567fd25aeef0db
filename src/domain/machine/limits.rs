//! Every maximum of the state machine, in one place. A change of one changes what apply answers,
//! so it needs a new level.

use crate::domain::time::Millis;

/// How far the proposer's clock may run ahead of the stamp.
pub const AHEAD_MAX: Millis = Millis(200);
/// Attempts of an execution that are kept beside the newest.
pub const EARLIER_MAX: usize = 20;
/// Further attempts after unknown outcomes.
pub const REDELIVERIES_MAX: u32 = 10;
/// Executions that follow each other by chains.
pub const CHAIN_DEPTH_MAX: u32 = 16;
/// Output kept in the log per attempt.
pub const TAIL_BYTES: usize = 1_024;
/// Detail text kept per attempt.
pub const DETAIL_BYTES: usize = 1_024;
/// What a fired tick keeps of the detail of its execution.
pub const REASON_BYTES: usize = 120;
/// Records of one kind that one command takes out of a task's past at most: a bound that was lowered
/// is reached step by step.
pub const TRIM_MAX: usize = 64;
/// Slots of the table that one command of a cleanup of all tasks looks at.
pub const SWEEP_SLOTS: usize = 128;
/// Names that carry the deleted mark.
pub const TOMBSTONES_MAX: usize = 1_000_000;
/// A mark that is older keeps only its name, its numbers and its cursor.
pub const TOMBSTONE_AGE: Millis = Millis::from_secs(30 * 86_400);
/// Definitions kept per task.
pub const REVISIONS_MAX: usize = 20;
/// Ended executions kept in the cluster.
pub const EXECUTIONS_MAX: u64 = 500_000;
/// Fired ticks kept in the cluster.
pub const TICKS_MAX: u64 = 10_000_000;
/// Days with counts that are kept, including the current one.
pub const DAYS_MAX: u32 = 90;
/// Past days of all tasks that are kept in the cluster.
pub const TASK_DAYS_MAX: u64 = 10_000_000;
/// A task keeps at least so many of each, however many tasks there are.
pub const KEEP_MIN: u64 = 10;
/// Idempotency keys kept.
pub const KEYS_MAX: usize = 200_000;
/// How long an idempotency key is kept.
pub const KEY_AGE: Millis = Millis::from_secs(3_600);
/// Spans in one settle.
pub const SETTLE_SPANS_MAX: usize = 64;
/// Memory that reading one command or record may claim: damaged lengths must not.
pub const DECODE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Calendars.
pub const CALENDARS_MAX: usize = 10_000;
/// Executors.
pub const EXECUTORS_MAX: usize = 10_000;
/// Ticks in one command of a backfill.
pub const BACKFILL_TICKS_MAX: usize = 100;
/// Executions of one backfill that may be live at once.
pub const BACKFILL_PARALLEL_MAX: u32 = 100;
/// Backfills of a task that are remembered. A further one replaces the first that is complete.
pub const TASK_BACKFILLS_MAX: usize = 100;
/// Backfills of all tasks that are remembered. A further one replaces the first that is finished.
pub const BACKFILLS_MAX: usize = 100_000;
/// Tasks, those marked deleted included.
pub const TASKS_MAX: usize = 2_000_000;
