//! What is known of a task: its records, its past and what is kept of it, and the one way to change
//! it.

pub mod after_run;
pub mod assigned;
pub mod attempts;
pub mod backfills;
pub mod calendar_users;
pub mod chains;
pub mod counting;
pub mod definitions;
pub mod delayed;
pub mod dispatched;
pub mod editor;
pub mod execution;
pub mod files;
pub mod histogram;
pub mod history;
pub mod keys;
pub mod line;
pub mod lines;
pub mod needs;
pub mod node;
pub mod ready;
pub mod record;
pub mod retention;
pub mod statistics;
pub mod strategy_users;
pub mod tombstones;
pub mod totals;
pub mod turns;
pub mod waiting;
pub mod whole;
