//! Output of attempts between nodes: the one that has it is asked by the one that shows it.
//!
//! A request may be held by the node that has the output until there is more of it. Such requests
//! have a connection of their own, and are given up there as soon as nobody waits for them here.

use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::OutputPlace;
use crate::consensus::SERVICE_KIND;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::ExecutionId;
use crate::exec::{Chunk, Exec};
use crate::ops::OpError;
use crate::ops::context::Context;

/// The kind of peer requests for output.
pub const OUTPUT_KIND: u16 = SERVICE_KIND + 1;
/// Bytes asked for at once.
const CHUNK_BYTES: usize = 64 << 10;
/// A node that keeps output answers within this, beside the time that it may hold the request.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// The longest that a request is held.
const HOLD_MAX: Duration = Duration::from_secs(30);

/// Answers a peer's request for output: `execution u64 | attempt u32 | from u64 | wait u32`,
/// little-endian, `wait` in milliseconds. It waits so long for bytes or the end of the attempt. The
/// answer is empty if nothing is kept here, else `running u8 | from u64 | total u64 | bytes`; none:
/// the request is no such thing.
pub async fn serve_output(exec: &Exec, mut body: Bytes) -> Option<Bytes> {
    if body.len() != 24 {
        return None;
    }
    let (execution, attempt) = (ExecutionId(body.get_u64_le()), body.get_u32_le());
    let (from, wait) = (body.get_u64_le(), body.get_u32_le());
    let wait = Duration::from_millis(wait.into()).min(HOLD_MAX);
    let Some(chunk) = here(exec, (execution, attempt), from, wait).await else {
        return Some(Bytes::new());
    };
    let mut out = BytesMut::with_capacity(17 + chunk.bytes.len());
    out.put_u8(u8::from(chunk.running));
    out.put_u64_le(chunk.from);
    out.put_u64_le(chunk.total);
    out.put_slice(&chunk.bytes);
    Some(out.freeze())
}

/// A piece of what this node keeps.
async fn here(
    exec: &Exec,
    (execution, attempt): (ExecutionId, u32),
    from: u64,
    wait: Duration,
) -> Option<Chunk> {
    match wait.is_zero() {
        true => exec.read_output(execution, attempt, from, CHUNK_BYTES).await,
        false => exec.wait_output(execution, attempt, from, CHUNK_BYTES, wait).await,
    }
}

fn read_answer(mut body: Bytes) -> Option<Chunk> {
    if body.len() < 17 {
        return None;
    }
    let running = body.get_u8() != 0;
    let (from, total) = (body.get_u64_le(), body.get_u64_le());
    Some(Chunk { from, bytes: body.to_vec(), total, running })
}

/// A piece of an attempt's output, from its node; none: that keeps none. It waits so long for bytes
/// or the end of the attempt.
pub(super) async fn fetch(
    context: &Context,
    place: OutputPlace,
    from: u64,
    wait: Duration,
) -> Result<Option<Chunk>, OpError> {
    let consensus = &context.running()?.consensus;
    let OutputPlace { execution, attempt, node } = place;
    if node.0 == consensus.id() {
        return Ok(here(&context.exec, (execution, attempt), from, wait).await);
    }
    let mut body = BytesMut::with_capacity(24);
    body.put_u64_le(execution.0);
    body.put_u32_le(attempt);
    body.put_u64_le(from);
    body.put_u32_le(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
    let limit = ASK_LIMIT + wait;
    let answer = match wait.is_zero() {
        true => consensus.ask(node.0, OUTPUT_KIND, body.freeze(), limit).await,
        false => consensus.watch(node.0, OUTPUT_KIND, body.freeze(), limit).await,
    };
    answer.map(read_answer).map_err(|error| {
        let why = format!("the node that ran the attempt does not answer: {error}");
        OpError::new(ErrorCode::NodeUnreachable, why)
    })
}
