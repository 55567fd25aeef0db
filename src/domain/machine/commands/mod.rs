//! What each command does, one file a family.

pub mod calendars;
pub mod executions;
pub mod nodes;
pub mod settle;
pub mod tasks;
