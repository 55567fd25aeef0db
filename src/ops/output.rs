//! What attempts print, from whichever node keeps it.
//!
//! A node asks the one that ran the attempt: [`serve_output`] answers peer requests of kind
//! [`OUTPUT_KIND`].

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::OpError;
use super::context::{Context, Freshness, StateView};
use super::{executions, views, words};
use crate::consensus::SERVICE_KIND;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::{ExecutionId, NodeId};
use crate::domain::machine::record::{Attempt, Execution};
use crate::dto::{OutputEnd, OutputPiece};
use crate::exec::{Chunk, Exec, READ_MAX_BYTES};

/// The kind of peer requests for output.
pub const OUTPUT_KIND: u16 = SERVICE_KIND + 1;
/// Bytes asked for at once.
const CHUNK_BYTES: usize = 64 << 10;
/// A node that keeps output answers within this.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks at an output that goes on.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Which attempt's output, and where it is.
#[derive(Clone, Copy, Debug)]
struct OutputPlace {
    execution: ExecutionId,
    attempt: u32,
    node: NodeId,
}

/// Answers a peer's request for output: `execution u64 | attempt u32 | from u64 | max u32`,
/// little-endian. The answer is empty if nothing is kept here, else
/// `running u8 | from u64 | total u64 | bytes`; none: the request is no such thing.
pub async fn serve_output(exec: &Exec, mut body: Bytes) -> Option<Bytes> {
    if body.len() != 24 {
        return None;
    }
    let (execution, attempt) = (ExecutionId(body.get_u64_le()), body.get_u32_le());
    let (from, max) = (body.get_u64_le(), body.get_u32_le());
    let max = usize::try_from(max).unwrap_or(usize::MAX).min(CHUNK_BYTES);
    let Some(chunk) = exec.read_output(execution, attempt, from, max).await else {
        return Some(Bytes::new());
    };
    let mut out = BytesMut::with_capacity(17 + chunk.bytes.len());
    out.put_u8(u8::from(chunk.running));
    out.put_u64_le(chunk.from);
    out.put_u64_le(chunk.total);
    out.put_slice(&chunk.bytes);
    Some(out.freeze())
}

fn read_answer(mut body: Bytes) -> Option<Chunk> {
    if body.len() < 17 {
        return None;
    }
    let running = body.get_u8() != 0;
    let (from, total) = (body.get_u64_le(), body.get_u64_le());
    Some(Chunk { from, bytes: body.to_vec(), total, running })
}

/// A piece of an attempt's output; none: its node keeps none.
async fn fetch(context: &Context, place: OutputPlace, from: u64) -> Result<Option<Chunk>, OpError> {
    let consensus = &context.running()?.consensus;
    let OutputPlace { execution, attempt, node } = place;
    if node.0 == consensus.id() {
        return Ok(context.exec.read_output(execution, attempt, from, CHUNK_BYTES).await);
    }
    let mut body = BytesMut::with_capacity(24);
    body.put_u64_le(execution.0);
    body.put_u32_le(attempt);
    body.put_u64_le(from);
    body.put_u32_le(u32::try_from(CHUNK_BYTES).unwrap_or(u32::MAX));
    let answer = consensus.ask(node.0, OUTPUT_KIND, body.freeze(), ASK_LIMIT).await;
    answer.map(read_answer).map_err(|error| {
        let why = format!("the node that ran the attempt does not answer: {error}");
        OpError::new(ErrorCode::NodeUnreachable, why)
    })
}

/// The attempt that is asked for; none: the execution has not been granted yet.
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
    /// What a node keeps of it.
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
pub(crate) async fn read(
    context: &Context,
    view: &StateView,
    id: &str,
    number: Option<u32>,
    from: u64,
) -> Result<OutputNow, OpError> {
    let (_, execution) = executions::find(view, id)?;
    let Some(attempt) = chosen(execution, number)? else { return Ok(OutputNow::Tail(Vec::new())) };
    let place = place(execution, attempt);
    match fetch(context, place, from).await {
        Ok(Some(first)) => {
            let (bytes, next) = whole(context, place, &first).await?;
            let Chunk { from, total, running, .. } = first;
            Ok(OutputNow::Kept { from, next, total, running, bytes })
        }
        // Gone with its node, or never there: what went through the log is left.
        Ok(None) | Err(_) if from == 0 && attempt.report.is_some() => {
            let tail = attempt.report.as_ref().map(|report| report.tail.clone());
            Ok(OutputNow::Tail(tail.unwrap_or_default()))
        }
        Ok(None) => Ok(OutputNow::Tail(Vec::new())),
        Err(problem) => Err(problem),
    }
}

/// Follows the output of an execution, of one attempt or of whichever is the newest, from a place
/// on: an attempt (0: any) and a byte of its output.
pub(crate) fn follow(
    context: Arc<Context>,
    view: &StateView,
    id: &str,
    number: Option<u32>,
    place: (u32, u64),
) -> Result<Follower, OpError> {
    let (_, execution) = executions::find(view, id)?;
    chosen(execution, number)?;
    Ok(Follower::new(context, execution.id, number, place))
}

/// What is told of an output that goes on.
pub(crate) enum OutputEvent {
    /// More of it.
    Piece(OutputPiece),
    /// There will be no more.
    End(OutputEnd),
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
        let Some(chunk) = fetch(context, place, next).await? else { break };
        if chunk.bytes.is_empty() {
            break;
        }
        if chunk.from > next {
            let left_out = chunk.from - next;
            let mark = format!("\n[punctual: {left_out} bytes left out here]\n");
            bytes.extend_from_slice(mark.as_bytes());
        }
        next = chunk.next();
        bytes.extend_from_slice(&chunk.bytes);
    }
    Ok((bytes, next))
}

/// One who reads an output while it grows.
pub(crate) struct Follower {
    context: Arc<Context>,
    execution: ExecutionId,
    /// None: the newest, whichever that becomes.
    number: Option<u32>,
    attempt: u32,
    next: u64,
    /// The beginning of a character whose rest has not been printed.
    broken: Vec<u8>,
    /// Whether there may be more without waiting.
    eager: bool,
    ended: bool,
}

impl Follower {
    /// Goes on at a place: an attempt (0: any) and a byte of its output.
    pub fn new(
        context: Arc<Context>,
        execution: ExecutionId,
        number: Option<u32>,
        (attempt, next): (u32, u64),
    ) -> Self {
        let (broken, eager, ended) = (Vec::new(), true, false);
        Self { context, execution, number, attempt, next, broken, eager, ended }
    }

    /// Waits for the next event; none: the last one was told.
    pub async fn event(&mut self) -> Option<OutputEvent> {
        while !self.ended {
            if !std::mem::take(&mut self.eager) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            if let Some(event) = self.look().await {
                return Some(event);
            }
        }
        None
    }

    async fn look(&mut self) -> Option<OutputEvent> {
        let stale = Freshness { stale: true, min_index: None };
        let view = self.context.view(stale).await.ok()?;
        let Some((_, execution)) = view.state.execution(self.execution) else {
            return Some(self.end("gone"));
        };
        let ended = execution.status.ended();
        let Ok(Some(attempt)) = chosen(execution, self.number) else {
            return ended.then(|| self.end(words::status(execution.status)));
        };
        if attempt.number != self.attempt {
            // Another attempt begins from its own beginning.
            self.next = if self.attempt == 0 { self.next } else { 0 };
            self.attempt = attempt.number;
            self.broken.clear();
        }
        let over = attempt.report.is_some();
        let fetched = fetch(&self.context, place(execution, attempt), self.next).await;
        match fetched {
            Ok(Some(chunk)) if !chunk.bytes.is_empty() => {
                self.eager = chunk.next() < chunk.total;
                self.piece(chunk)
            }
            Ok(Some(chunk)) if chunk.running => None,
            Ok(_) | Err(_) if over && ended => Some(self.end(words::status(execution.status))),
            Ok(_) | Err(_) => None,
        }
    }

    /// A piece as text; a character that is not complete waits for the next one.
    fn piece(&mut self, chunk: Chunk) -> Option<OutputEvent> {
        let from = chunk.from;
        self.next = chunk.next();
        let mut bytes = std::mem::take(&mut self.broken);
        bytes.extend(chunk.bytes);
        let whole = match std::str::from_utf8(&bytes) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => bytes.len(),
        };
        self.broken = bytes.split_off(whole);
        if bytes.is_empty() {
            return None;
        }
        let id = self.next.saturating_sub(self.broken.len() as u64);
        let text = String::from_utf8_lossy(&bytes);
        let text = text.into_owned();
        let piece = OutputPiece { attempt: self.attempt, from, next: id, text };
        Some(OutputEvent::Piece(piece))
    }

    fn end(&mut self, status: &str) -> OutputEvent {
        self.ended = true;
        let status = status.to_owned().into();
        OutputEvent::End(OutputEnd { attempt: self.attempt, next: self.next, status })
    }
}
