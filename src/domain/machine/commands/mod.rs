//! What each command does, one file a family; the rules that more than one of them knows, and those
//! that keep a promise, are in `guards`.

pub mod after_run;
mod assign;
pub mod attempts;
mod backfill;
pub mod calendars;
pub mod chains;
pub mod dispatches;
pub mod executions;
pub mod executors;
pub mod files;
pub mod guards;
pub mod holds;
pub mod keys;
pub mod members;
mod nodes;
pub mod overlap;
pub mod settle;
pub mod tasks;
