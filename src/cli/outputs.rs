//! What executions printed: as far as it is kept, and as it comes.

use super::context::CliContext;
use super::exit::{CommandResult, Exit, Failure};
use crate::client::{Client, ClientError, Query, Reply, ServerEvent, path};
use crate::domain::error_code::ErrorCode;
use crate::dto::{ExecutionView, OutputAttempt, OutputEnd, OutputGone, OutputPiece};
use crate::exec::{TAIL_MAX_BYTES, left_out, tail_is_whole};

/// The header that says where in the whole output an answer begins.
const OUTPUT_FROM: &str = "punctual-output-from";
/// The header that says where the rest of it begins.
const OUTPUT_NEXT: &str = "punctual-output-next";
/// The header that says how long the whole output is.
const OUTPUT_TOTAL: &str = "punctual-output-total";
/// The header that says whether an answer is the kept output, not only the end of it that the
/// execution's record holds.
const OUTPUT_KEPT: &str = "punctual-output-kept";

/// Which part of an output is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct OutputChoice {
    /// This attempt; none: the newest, or, where it is followed, all.
    pub attempt: Option<u32>,
    /// The last lines only.
    pub tail: Option<usize>,
}

impl OutputChoice {
    fn query(self, freshness: Query<'_>) -> Vec<(&'static str, String)> {
        let attempt = self.attempt.map(|attempt| ("attempt", attempt.to_string()));
        let fresh = freshness.iter().filter(|(key, _)| *key == "consistency");
        attempt.into_iter().chain(fresh.map(|(_, value)| ("consistency", value.clone()))).collect()
    }

    /// Leaves the last lines.
    pub fn cut(self, bytes: &[u8]) -> &[u8] {
        self.tail.map_or(bytes, |lines| last_lines(bytes, lines))
    }
}

/// The last so many lines; one that does not end counts too.
fn last_lines(bytes: &[u8], lines: usize) -> &[u8] {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if lines == 0 {
        return &[];
    }
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    let start = ends.map(|(at, _)| at + 1).nth(lines - 1).unwrap_or(0);
    bytes.get(start..).unwrap_or_default()
}

/// Prints the output of an execution.
pub async fn output(id: &str, choice: OutputChoice, context: &mut CliContext) -> CommandResult {
    let query = choice.query(&context.freshness());
    let (bytes, cut) = kept(id, &query, context.client()?).await?;
    let bytes = choice.cut(&bytes);
    match cut {
        Some(cut) => context.out.say(&cut),
        None if bytes.is_empty() && context.out.for_people() => context.out.nothing("output"),
        None => {}
    }
    context.out.printed(bytes)?;
    Ok(Exit::Ok)
}

/// All that is kept of an output, in as many requests as it takes, and a line about what is not.
async fn kept(
    id: &str,
    query: Query<'_>,
    client: &Client,
) -> Result<(Vec<u8>, Option<String>), ClientError> {
    let place = path(["executions", id, "output"]);
    let first = client.get(&place, query).await?;
    let cut = cut(&first);
    let mut bytes = first.raw.to_vec();
    let mut next = number(&first, OUTPUT_NEXT);
    let total = number(&first, OUTPUT_TOTAL).unwrap_or(0);
    while let Some(from) = next.filter(|next| *next < total) {
        let mut query = query.to_vec();
        query.push(("from", from.to_string()));
        let more = client.get(&place, &query).await?;
        let begins = number(&more, OUTPUT_FROM).unwrap_or(from);
        if begins > from {
            bytes.extend(left_out(begins - from).into_bytes());
        }
        bytes.extend_from_slice(&more.raw);
        next = number(&more, OUTPUT_NEXT).filter(|next| *next > from);
    }
    Ok((bytes, cut))
}

/// A header of an answer that is a number.
fn number(reply: &Reply, header: &str) -> Option<u64> {
    reply.headers.get(header)?.to_str().ok()?.parse().ok()
}

/// What is said of the output of a lost attempt: its node may have had more that it did not keep.
pub const END_MAY_MISS: &str =
    "[punctual: the attempt was lost; the end of its output may be missing]";

/// Whether that is said of the output of this choice.
#[must_use]
pub fn end_may_miss(execution: &ExecutionView, choice: OutputChoice) -> bool {
    execution.status == "lost" && choice.attempt.is_none_or(|attempt| execution.attempt == attempt)
}

/// What is missing from an answer with an output; none: nothing is, or a line in it says so.
fn cut(reply: &Reply) -> Option<String> {
    let kept = reply.headers.get(OUTPUT_KEPT).is_some_and(|kept| kept == "true");
    let length = reply.raw.len();
    match number(reply, OUTPUT_FROM) {
        Some(from) if kept && from > 0 => {
            Some(format!("[punctual: the first {from} bytes are no longer kept]"))
        }
        None if !kept && !tail_is_whole(&reply.raw) => {
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
    choice: OutputChoice,
    freshness: Query<'_>,
    client: &Client,
) -> Result<(Vec<u8>, Option<String>), ClientError> {
    let tail = execution.output_tail.as_deref().unwrap_or_default();
    // Less than a tail can hold is all there was; of a lost execution the node may have kept some.
    let whole = tail_is_whole(tail.as_bytes()) && execution.status != "lost";
    if whole && choice.attempt.is_none_or(|attempt| execution.attempt == attempt) {
        return Ok((tail.as_bytes().to_vec(), None));
    }
    let lost = end_may_miss(execution, choice);
    match kept(&execution.id, &choice.query(freshness), client).await {
        Ok((bytes, cut)) => Ok((bytes, cut.or_else(|| lost.then(|| END_MAY_MISS.to_owned())))),
        Err(ClientError::Refused(refusal))
            if refusal.known() == Some(ErrorCode::AttemptNotFound) =>
        {
            let attempt = choice.attempt.unwrap_or_default();
            Ok((Vec::new(), Some(format!("[punctual: there was no attempt {attempt}]"))))
        }
        Err(ClientError::Refused(refusal)) if refusal.status == 404 => {
            Ok((tail.as_bytes().to_vec(), None))
        }
        Err(ClientError::Refused(refusal))
            if matches!(
                refusal.known(),
                Some(ErrorCode::OutputGone | ErrorCode::NodeUnreachable)
            ) =>
        {
            Ok((Vec::new(), Some(format!("[punctual: {}]", refusal.detail))))
        }
        Err(error) => Err(error),
    }
}

/// What a stream of output tells.
#[derive(Clone, Debug)]
pub enum Printing {
    /// An attempt begins.
    Attempt(OutputAttempt),
    /// More of it.
    Piece(OutputPiece),
    /// Some of it cannot be had.
    Gone(OutputGone),
    /// It has ended.
    End(OutputEnd),
}

impl Printing {
    /// Reads an event; none: this version does not know it.
    #[must_use]
    pub fn of(event: &ServerEvent) -> Option<Self> {
        use serde::Deserialize;
        let data = &event.data;
        match event.name.as_str() {
            "attempt" => OutputAttempt::deserialize(data).map(Self::Attempt).ok(),
            "output" => OutputPiece::deserialize(data).map(Self::Piece).ok(),
            "gone" => OutputGone::deserialize(data).map(Self::Gone).ok(),
            "end" => OutputEnd::deserialize(data).map(Self::End).ok(),
            _ => None,
        }
    }
}

/// The reader of one stream of output: what is printed of its events.
#[derive(Debug, Default)]
pub struct PrintedStream {
    attempt: u32,
    next: u64,
}

impl PrintedStream {
    /// The bytes of a piece, with a line in front of them where some are left out.
    pub fn piece(&mut self, piece: &OutputPiece) -> Vec<u8> {
        let expected = if self.attempt == piece.attempt { self.next } else { 0 };
        (self.attempt, self.next) = (piece.attempt, piece.next);
        let missing = piece.from.saturating_sub(expected);
        let mark = if missing > 0 { left_out(missing) } else { String::new() };
        (mark + &piece.text).into_bytes()
    }

    /// What is said of output that cannot be had, and the end of it, if that is known.
    pub fn gone(&self, gone: &OutputGone) -> (String, Option<String>) {
        let OutputGone { from, code, detail, .. } = gone;
        let line = match gone.last {
            true => format!("[punctual: no output from byte {from} on: {detail} ({code})]"),
            false => format!("[punctual: waiting for output: {detail} ({code})]"),
        };
        let tail = gone.tail.clone().filter(|_| gone.last && *from == 0).map(|tail| {
            let length = tail.len().min(TAIL_MAX_BYTES);
            format!("[punctual: only the last {length} bytes are kept]\n{tail}")
        });
        (line, tail)
    }
}

/// The path and the query of an execution's stream.
#[must_use]
pub fn stream_of(id: &str, choice: OutputChoice) -> (String, Vec<(&'static str, String)>) {
    let mut query = vec![("follow", "true".to_owned())];
    query.extend(choice.attempt.map(|attempt| ("attempt", attempt.to_string())));
    (path(["executions", id, "output"]), query)
}

/// Prints the output of an execution as it comes, to its end; of one attempt only, if one is chosen.
pub async fn follow(id: &str, choice: OutputChoice, context: &mut CliContext) -> CommandResult {
    let (path, query) = stream_of(id, choice);
    let client = context.own_client()?;
    let mut events = client.events(path, query);
    let mut stream = PrintedStream::default();
    let mut line_ended = true;
    loop {
        let event = events.next().await?;
        let Some(printing) = Printing::of(&event) else { continue };
        if !context.out.for_people() {
            let end = matches!(printing, Printing::End(_));
            let shown =
                serde_json::json!({"execution": id, "event": event.name, "data": event.data});
            context.out.one(&shown, |_clock| String::new())?;
            if end {
                return Ok(Exit::Ok);
            }
            continue;
        }
        match printing {
            Printing::Attempt(begins)
                if choice.attempt.is_some_and(|only| begins.attempt > only) =>
            {
                return Ok(Exit::Ok);
            }
            Printing::Attempt(begins) if begins.attempt > 1 => {
                context.out.say(&format!("[attempt {} on {}]", begins.attempt, begins.node));
            }
            Printing::Attempt(_) => {}
            Printing::Piece(piece) => {
                let bytes = stream.piece(&piece);
                line_ended = bytes.last().is_none_or(|last| *last == b'\n');
                context.out.printed(&bytes)?;
            }
            Printing::Gone(gone) => say_gone(&stream, &gone, context)?,
            Printing::End(end) => {
                let before = if line_ended { "" } else { "\n" };
                context.out.say(&format!("{before}[{id} {}]", end.status));
                return Ok(Exit::Ok);
            }
        }
    }
}

/// Says what output cannot be had, and prints the end of it.
pub fn say_gone(
    stream: &PrintedStream,
    gone: &OutputGone,
    context: &mut CliContext,
) -> Result<(), Failure> {
    let (line, tail) = stream.gone(gone);
    context.out.say(&line);
    if let Some(tail) = tail {
        context.out.printed(tail.as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_whole_lines() {
        for (bytes, lines, last) in [
            ("a\nb\nc\n", 2, "b\nc\n"),
            ("a\nb\nc", 2, "b\nc"),
            ("a\n", 5, "a\n"),
            ("", 3, ""),
            ("a\n\n", 1, "\n"),
            ("a\nb\n", 0, ""),
        ] {
            assert_eq!(last_lines(bytes.as_bytes(), lines), last.as_bytes(), "{bytes:?} {lines}");
        }
    }

    #[test]
    fn a_gap_in_a_stream_is_said() {
        let piece = |attempt, from, next, text: &str| OutputPiece {
            attempt,
            from,
            next,
            text: text.to_owned(),
        };
        let mut stream = PrintedStream::default();
        assert_eq!(stream.piece(&piece(1, 0, 2, "ab")), b"ab");
        assert_eq!(stream.piece(&piece(1, 2, 3, "c")), b"c");
        let gap = stream.piece(&piece(1, 13, 14, "n"));
        assert_eq!(gap, b"\n[punctual: 10 bytes left out here]\nn");
        assert_eq!(stream.piece(&piece(2, 0, 1, "x")), b"x");
    }
}
