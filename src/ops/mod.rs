//! What can be asked of a node, without a word of HTTP.
//!
//! An operation takes typed input and gives a typed answer of `dto` or an [`OpError`]. The API turns
//! requests into operations and answers into bytes. Reads are functions of a frozen state
//! ([`context::StateView`]); whatever changes it is proposed.

pub(crate) mod about;
pub(crate) mod attention;
pub(crate) mod backup;
pub(crate) mod bars;
pub(crate) mod bench;
pub(crate) mod calendars;
pub(crate) mod callbacks;
pub(crate) mod caller;
pub(crate) mod chains;
pub(crate) mod changes;
pub(crate) mod cluster;
pub(crate) mod context;
pub(crate) mod describe;
pub(crate) mod describe_zh;
pub(crate) mod draft;
pub(crate) mod eligibility;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod executions;
pub(crate) mod executors;
pub(crate) mod files;
pub(crate) mod health;
pub(crate) mod kept;
mod limits;
pub(crate) mod lists;
mod measure;
pub(crate) mod members;
pub(crate) mod metrics;
pub(crate) mod minute;
pub(crate) mod nodes;
mod note_zh;
pub(crate) mod output;
pub(crate) mod overview;
pub(crate) mod plans;
pub(crate) mod preview;
pub(crate) mod proposals;
mod queue;
pub(crate) mod scans;
pub(crate) mod stats;
pub(crate) mod streams;
pub(crate) mod tasks;
pub(crate) mod ticks;
pub(crate) mod told;
pub(crate) mod views;
pub(crate) mod watched;
pub(crate) mod week;
pub(crate) mod what_if;
pub(crate) mod why;
pub(crate) mod words;

pub use self::context::{ApiSettings, Context, RunningParts};
pub use self::files::NodeFiles;
pub use self::kept::KeptTasks;
pub use self::measure::Starts;
pub use self::overview::KeptOverview;
pub use self::scans::Scans;
pub use self::streams::Streams;

pub(crate) use self::caller::{Caller, OpAnswer};
pub(crate) use self::error::OpError;
