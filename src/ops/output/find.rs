//! The end of an output, its length, and what is found in it.

use std::time::Duration;

use super::{OutputNow, chosen, fetch, place, read, reported, tail};
use crate::exec::Chunk;
use crate::ops::context::{Context, StateView};
use crate::ops::{OpError, executions};

/// The most that is searched, in bytes.
const SEARCHED_MAX: usize = 8 << 20;

/// How much an execution's newest attempt has printed so far, in bytes.
///
/// # Errors
/// `execution_not_found`, `node_unreachable`.
pub(crate) async fn total(context: &Context, view: &StateView, id: &str) -> Result<u64, OpError> {
    let (_, execution) = executions::find(view, id)?;
    let Some(attempt) = chosen(execution, None)? else { return Ok(0) };
    let none = fetch(context, place(execution, attempt), u64::MAX, Duration::ZERO).await?;
    Ok(none.map_or(0, |chunk| chunk.total))
}

/// The end of an output, at least its last `max` bytes if there are so many. What stands before them
/// is not read.
///
/// # Errors
/// Those of [`read`].
pub(crate) async fn end(
    context: &Context,
    view: &StateView,
    id: &str,
    number: Option<u32>,
    max: u64,
) -> Result<OutputNow, OpError> {
    let (_, execution) = executions::find(view, id)?;
    let from = match chosen(execution, number)? {
        Some(attempt) if reported(execution, attempt, 0).is_none() => {
            let place = place(execution, attempt);
            match (fetch(context, place, u64::MAX, Duration::ZERO).await, tail(attempt)) {
                (Ok(Some(Chunk { total, .. })), _) => total.saturating_sub(max),
                (Ok(None), _) => 0,
                (Err(_), Some(tail)) => return Ok(OutputNow::Tail(tail.to_vec())),
                (Err(problem), None) => return Err(problem),
            }
        }
        _ => 0,
    };
    read(context, view, id, number, from).await
}

/// What is kept of an output, to be searched; and whether there is more than can be searched.
///
/// # Errors
/// Those of [`read`].
pub(crate) async fn searchable(
    context: &Context,
    view: &StateView,
    id: &str,
    number: Option<u32>,
) -> Result<(Vec<u8>, bool), OpError> {
    let (mut all, mut from) = (Vec::new(), 0);
    loop {
        match read(context, view, id, number, from).await? {
            OutputNow::Tail(bytes) => {
                all.extend(bytes);
                return Ok((all, false));
            }
            OutputNow::Kept { next, total, bytes, .. } => {
                let got = !bytes.is_empty();
                all.extend(bytes);
                if !got || next >= total {
                    return Ok((all, false));
                }
                if all.len() >= SEARCHED_MAX {
                    return Ok((all, true));
                }
                from = next;
            }
        }
    }
}
