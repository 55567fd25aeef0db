//! What executions printed, as far as it is kept.

use std::time::Duration;

use tokio::time::sleep;

use super::context::CliContext;
use super::exit::{CommandResult, Exit};
use super::words;
use crate::client::{Client, ClientError, Query, Reply, path};
use crate::dto::ExecutionView;
use crate::exec::TAIL_MAX_BYTES;

/// Between two looks at an output that may grow.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The header that says where in the whole output an answer begins.
const OUTPUT_FROM: &str = "punctual-output-from";
/// The header that says whether an answer is the kept output, not only the end of it that the
/// execution's record holds.
const OUTPUT_KEPT: &str = "punctual-output-kept";

/// Prints the whole output of an execution; following, until the execution has ended.
pub async fn output(id: &str, follow: bool, context: &mut CliContext) -> CommandResult {
    let mut from: u64 = 0;
    loop {
        // Looked at before the output is read: what an ended execution printed is then all there.
        let ended = !follow || {
            let path = path(["executions", id]);
            words::ended(&context.read(&path, &[]).await?.says)
        };
        let query = [("from", from.to_string())];
        let reply = context.get(&path(["executions", id, "output"]), &query).await?;
        if let Some(cut) = cut(&reply).filter(|_| from == 0) {
            context.out.say(&cut);
        }
        context.out.printed(&reply.raw)?;
        // Of a long output the middle may be gone: then it goes on behind the gap.
        let begins = number(&reply, OUTPUT_FROM).unwrap_or(from);
        from = begins.saturating_add(reply.raw.len() as u64);
        if ended {
            return Ok(Exit::Ok);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// A header of an answer that is a number.
fn number(reply: &Reply, header: &str) -> Option<u64> {
    reply.headers.get(header)?.to_str().ok()?.parse().ok()
}

/// What is missing from an answer with an output; none: nothing is, or a line in it says so.
fn cut(reply: &Reply) -> Option<String> {
    let kept = reply.headers.get(OUTPUT_KEPT).is_some_and(|kept| kept == "true");
    let length = reply.raw.len();
    match number(reply, OUTPUT_FROM) {
        Some(from) if kept && from > 0 => {
            Some(format!("[punctual: the first {from} bytes are no longer kept]"))
        }
        None if !kept && length >= TAIL_MAX_BYTES => {
            Some(format!("[punctual: only the last {length} bytes are kept]"))
        }
        _ => None,
    }
}

/// What is left of what an ended execution printed, and a line about what is not.
///
/// # Errors
/// No good answer. An execution that is gone has what its own record holds.
pub async fn printed(
    execution: &ExecutionView,
    query: Query<'_>,
    client: &Client,
) -> Result<(Vec<u8>, Option<String>), ClientError> {
    let tail = execution.output_tail.as_deref().unwrap_or_default();
    // Less than a tail can hold is all there was; of a lost execution the node may have kept some.
    if tail.len() < TAIL_MAX_BYTES && execution.status != "lost" {
        return Ok((tail.as_bytes().to_vec(), None));
    }
    let path = path(["executions", &execution.id, "output"]);
    match client.get(&path, query).await {
        Ok(reply) => Ok((reply.raw.to_vec(), cut(&reply))),
        Err(ClientError::Refused(refusal)) if refusal.status == 404 => {
            Ok((tail.as_bytes().to_vec(), None))
        }
        Err(error) => Err(error),
    }
}
