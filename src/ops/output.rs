//! What attempts print, from whichever node keeps it: as a whole, or followed while it grows.
//!
//! A node asks the one that ran the attempt: [`serve_output`] answers peer requests of kind
//! [`OUTPUT_KIND`]. What an ended attempt printed is in its report too, if it is short: that part
//! needs no node.

mod find;
mod follow;
mod peer;

use std::time::Duration;

use super::context::{Context, StateView};
use super::{OpError, executions, views};
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{ExecutionId, NodeId};
use crate::domain::machine::State;
use crate::domain::machine::record::{Attempt, Execution, Status};
use crate::exec::{Chunk, READ_MAX_BYTES, left_out, tail_is_whole};

pub(crate) use self::find::{end, searchable, total};
pub(crate) use self::follow::{OutputEvent, follow};
use self::peer::fetch;
pub use self::peer::{OUTPUT_KIND, serve_output};

/// Which attempt's output, and where it is.
#[derive(Clone, Copy, Debug)]
struct OutputPlace {
    execution: ExecutionId,
    attempt: u32,
    node: NodeId,
}

/// The attempt that is asked for, else the newest; none: the execution has not been granted yet.
fn chosen(execution: &Execution, number: Option<u32>) -> Result<Option<&Attempt>, OpError> {
    match number {
        None => Ok(execution.attempt.as_ref()),
        Some(number) => {
            let found = views::attempts(execution).find(|attempt| attempt.number == number);
            let missing = || OpError::new(ErrorCode::AttemptNotFound, "there was no such attempt");
            found.map(Some).ok_or_else(missing)
        }
    }
}

/// What there is of an output.
pub(crate) enum OutputNow {
    /// What a node keeps of it, or all of it.
    Kept {
        /// Where the first byte stands in the whole.
        from: u64,
        /// The byte behind the last one.
        next: u64,
        /// Bytes of the whole, when the first ones were read.
        total: u64,
        /// Whether the attempt goes on.
        running: bool,
        /// What was printed.
        bytes: Vec<u8>,
    },
    /// What went through the log: the end of it, or nothing.
    Tail(Vec<u8>),
}

/// The output of an execution from a byte on: of one attempt, or of the newest.
///
/// # Errors
/// `output_gone`, `node_unreachable`, and what is not there.
pub(crate) async fn read(
    context: &Context,
    view: &StateView,
    id: &str,
    number: Option<u32>,
    from: u64,
) -> Result<OutputNow, OpError> {
    let (_, execution) = executions::find(view, id)?;
    let Some(attempt) = chosen(execution, number)? else { return Ok(OutputNow::Tail(Vec::new())) };
    if let Some(all) = reported(execution, attempt, from) {
        let (next, total) = (all.next(), all.total);
        return Ok(OutputNow::Kept {
            from: all.from,
            next,
            total,
            running: false,
            bytes: all.bytes,
        });
    }
    let place = place(execution, attempt);
    match fetch(context, place, from, Duration::ZERO).await {
        Ok(Some(first)) => {
            let (bytes, next) = whole(context, place, &first).await?;
            let Chunk { from, total, running, .. } = first;
            Ok(OutputNow::Kept { from, next, total, running, bytes })
        }
        // Gone with its node: what went through the log is left.
        Ok(None) | Err(_) if from == 0 && tail(attempt).is_some() => {
            Ok(OutputNow::Tail(tail(attempt).unwrap_or_default().to_vec()))
        }
        // It has not begun, or printed nothing yet.
        Ok(None) if !over(execution, attempt) => Ok(OutputNow::Tail(Vec::new())),
        Ok(None) => Err(OpError::new(ErrorCode::OutputGone, gone(&view.state, attempt))),
        Err(problem) => Err(problem),
    }
}

/// Whether an attempt has ended.
fn over(execution: &Execution, attempt: &Attempt) -> bool {
    attempt.report.is_some() || execution.status.ended()
}

/// The end of what an attempt printed, as its report has it; none: it has nothing.
fn tail(attempt: &Attempt) -> Option<&[u8]> {
    let tail = attempt.report.as_ref()?.tail.as_slice();
    (!tail.is_empty()).then_some(tail)
}

/// The output of an attempt from a byte on, if its report has all of it. The report of an attempt
/// that another one follows has none of it; that of a lost one is none of its node.
fn reported(execution: &Execution, attempt: &Attempt, from: u64) -> Option<Chunk> {
    let newest = execution.attempt.as_ref().is_some_and(|newest| newest.number == attempt.number);
    let report = attempt.report.as_ref()?;
    if !newest || report.unknown || report.status == Status::Lost || !tail_is_whole(&report.tail) {
        return None;
    }
    let total = report.tail.len() as u64;
    let from = from.min(total);
    let skip = usize::try_from(from).unwrap_or(usize::MAX);
    let bytes = report.tail.iter().skip(skip).copied().collect();
    Some(Chunk { from, bytes, total, running: false })
}

/// Why there is no output of an attempt that has ended.
fn gone(state: &State, attempt: &Attempt) -> String {
    let node = views::node_name(state, attempt.node);
    let number = attempt.number;
    match tail(attempt) {
        Some(_) => format!(
            "{node} no longer keeps the output of attempt {number}: it made room for newer output, \
             or went with the node's disk"
        ),
        None => format!(
            "{node} keeps no output of attempt {number}: it printed nothing, or what it printed is \
             gone"
        ),
    }
}

fn place(execution: &Execution, attempt: &Attempt) -> OutputPlace {
    OutputPlace { execution: execution.id, attempt: attempt.number, node: attempt.node }
}

/// What is there now, from the first piece on, and the position behind it.
async fn whole(
    context: &Context,
    place: OutputPlace,
    first: &Chunk,
) -> Result<(Vec<u8>, u64), OpError> {
    let mut bytes = first.bytes.clone();
    let mut next = first.next();
    while next < first.total && bytes.len() < READ_MAX_BYTES {
        let Some(chunk) = fetch(context, place, next, Duration::ZERO).await? else { break };
        if chunk.bytes.is_empty() {
            break;
        }
        if chunk.from > next {
            bytes.extend(left_out(chunk.from - next).into_bytes());
        }
        next = chunk.next();
        bytes.extend_from_slice(&chunk.bytes);
    }
    Ok((bytes, next))
}
