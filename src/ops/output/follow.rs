//! One who reads the output of an execution while it grows, attempt after attempt.
//!
//! Nothing is asked in turns: a request for more is held by the node that runs the attempt, and a
//! change of the execution in the applied state wakes the reader too. The reader asks for the next
//! piece only when the last one was taken, so a slow one holds up nobody.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::{OutputPlace, fetch, gone, over, place, reported, tail};
use crate::consensus::Replica;
use crate::domain::error_code::ErrorCode;
use crate::domain::ids::ExecutionId;
use crate::domain::machine::State;
use crate::domain::machine::record::{Attempt, Execution, Liveness};
use crate::dto::{OutputAttempt, OutputEnd, OutputGone, OutputPiece};
use crate::exec::Chunk;
use crate::ops::context::{Context, StateView};
use crate::ops::streams::StreamPlace;
use crate::ops::{OpError, executions, views, words};

/// A request for more is held so long, and then made again.
const HOLD: Duration = Duration::from_secs(15);
/// A node that did not answer is asked again after this.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The output of an ended attempt is given up when its node did not answer so often.
const ASKED_MAX: u32 = 3;

/// What is told of an output that goes on.
pub(crate) enum OutputEvent {
    /// An attempt, whose output follows.
    Attempt(OutputAttempt),
    /// More of it.
    Piece(OutputPiece),
    /// What is left of an attempt's output cannot be read, or not now.
    Gone(OutputGone),
    /// There will be no more.
    End(OutputEnd),
}

/// Follows the output of an execution to its end, from a place on: an attempt (none: the first one
/// that is known) and a byte of its output. `told`: the beginning of that attempt was told before.
///
/// # Errors
/// `too_many_streams`, and what is not there.
pub(crate) fn follow(
    context: &Arc<Context>,
    view: &StateView,
    id: &str,
    (attempt, next): (Option<u32>, u64),
    told: bool,
) -> Result<Follower, OpError> {
    let (_, execution) = executions::find(view, id)?;
    let newest = execution.attempt.as_ref().map_or(0, |attempt| attempt.number);
    let (attempt, next, told) = match attempt {
        // A place in an attempt that there never was is none.
        Some(number) if told && number > newest && execution.status.ended() => (None, 0, false),
        attempt => (attempt, next, told),
    };
    let attempt = match attempt {
        // A byte alone is one of the newest attempt.
        None if next > 0 => newest,
        None => 0,
        Some(number) if number > newest && execution.status.ended() => {
            return Err(OpError::new(ErrorCode::AttemptNotFound, "there was no such attempt"));
        }
        Some(number) => number,
    };
    Ok(Follower {
        context: Arc::clone(context),
        execution: execution.id,
        attempt,
        next,
        told: told || next > 0,
        all_read: false,
        seen_running: false,
        unanswered: 0,
        broken: Vec::new(),
        ready: VecDeque::new(),
        ended: false,
        _place: StreamPlace::take(context)?,
    })
}

/// See the module.
pub(crate) struct Follower {
    context: Arc<Context>,
    execution: ExecutionId,
    /// 0: none yet.
    attempt: u32,
    next: u64,
    /// Whether it was said that this attempt's output begins.
    told: bool,
    /// Whether there is no more of this attempt.
    all_read: bool,
    /// Whether this attempt had not ended when it was looked at.
    seen_running: bool,
    /// How often its node did not answer, in a row.
    unanswered: u32,
    /// The beginning of a character whose rest has not been printed.
    broken: Vec<u8>,
    ready: VecDeque<OutputEvent>,
    ended: bool,
    /// Its place among the streams.
    _place: StreamPlace,
}

/// What there is to do for the next event.
enum NextStep {
    /// The execution, or the next attempt of it, has to change first.
    Wait,
    /// This attempt is read.
    Read(AttemptSource),
    /// The last one has been told.
    End(&'static str),
}

/// Where the output of an attempt comes from.
struct AttemptSource {
    place: OutputPlace,
    /// It has ended.
    over: bool,
    /// All of it that is left to read, as its report has it.
    reported: Option<Chunk>,
    /// Why nothing is kept of it, should that be so, and the end of it.
    gone: OutputGone,
    /// Whether its node is taken for down.
    down: bool,
}

/// What changes when a reader has to look again: status, newest attempt, its fence, its end.
#[derive(PartialEq, Eq)]
struct ExecutionMark(Option<(u8, u32, u64, bool)>);

impl ExecutionMark {
    fn of(state: &State, id: ExecutionId) -> Self {
        let mark = |execution: &Execution| {
            let attempt = execution.attempt.as_ref();
            let numbers = attempt.map_or((0, 0), |attempt| (attempt.number, attempt.fence.0));
            let ended = attempt.is_some_and(|attempt| attempt.report.is_some());
            (execution.status as u8, numbers.0, numbers.1, ended)
        };
        Self(state.execution(id).map(|(_, execution)| mark(execution)))
    }
}

impl Follower {
    /// Waits for the next event; none: the last one was told.
    pub async fn event(&mut self) -> Option<OutputEvent> {
        let context = Arc::clone(&self.context);
        let replica = context.running().ok()?.consensus.replica();
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let (mark, step) = {
                let state = replica.read();
                (ExecutionMark::of(&state, self.execution), self.look(&state))
            };
            match step {
                // It was told that an attempt begins.
                _ if !self.ready.is_empty() => {}
                NextStep::Wait => changed(replica, self.execution, &mark).await,
                NextStep::Read(source) => self.read(replica, &mark, source).await,
                NextStep::End(status) => self.end(status),
            }
        }
    }

    /// Chooses the attempt to read.
    fn look(&mut self, state: &State) -> NextStep {
        let Some((_, execution)) = state.execution(self.execution) else {
            return NextStep::End("gone");
        };
        let after = if self.all_read { self.attempt + 1 } else { self.attempt };
        let found = views::attempts(execution).find(|attempt| attempt.number >= after);
        let Some(attempt) = found else {
            return match execution.status.ended() {
                true => NextStep::End(words::status(execution.status)),
                false => NextStep::Wait,
            };
        };
        if attempt.number != self.attempt {
            self.begin(attempt.number);
        }
        if !std::mem::replace(&mut self.told, true) {
            let node = views::node_name(state, attempt.node);
            let begins = OutputAttempt { attempt: attempt.number, node };
            self.ready.push_back(OutputEvent::Attempt(begins));
        }
        NextStep::Read(self.source(state, execution, attempt))
    }

    /// Another attempt begins from its own beginning.
    fn begin(&mut self, number: u32) {
        self.attempt = number;
        self.next = 0;
        (self.told, self.all_read, self.seen_running) = (false, false, false);
        self.unanswered = 0;
        self.broken.clear();
    }

    fn source(&self, state: &State, execution: &Execution, attempt: &Attempt) -> AttemptSource {
        let down = state.node(attempt.node).is_none_or(|node| node.liveness == Liveness::Down);
        let tail = tail(attempt).map(|tail| String::from_utf8_lossy(tail).into_owned());
        AttemptSource {
            place: place(execution, attempt),
            over: over(execution, attempt),
            reported: reported(execution, attempt, self.next),
            gone: OutputGone {
                attempt: attempt.number,
                from: self.next,
                code: ErrorCode::OutputGone.as_str().into(),
                detail: gone(state, attempt),
                last: true,
                tail,
            },
            down,
        }
    }

    /// Reads the attempt: what is there, or what comes.
    async fn read(&mut self, replica: &Replica, mark: &ExecutionMark, source: AttemptSource) {
        if let Some(chunk) = source.reported {
            return self.take(chunk);
        }
        let wait = if source.over { Duration::ZERO } else { HOLD };
        self.seen_running |= !source.over;
        let fetched = tokio::select! {
            biased;
            fetched = fetch(&self.context, source.place, self.next, wait) => fetched,
            () = changed(replica, self.execution, mark), if !source.over => return,
        };
        match fetched {
            Ok(Some(chunk)) => {
                self.unanswered = 0;
                let nothing_yet = chunk.running && chunk.bytes.is_empty();
                self.take(chunk);
                if nothing_yet && source.over {
                    // It is being stopped: its end comes soon, and no entry tells of that.
                    sleep(ASK_AGAIN).await;
                }
            }
            // It has not begun.
            Ok(None) if !source.over => self.unanswered = 0,
            Ok(None) => {
                let silent = self.next == 0 && self.seen_running && source.gone.tail.is_none();
                if !silent {
                    self.ready.push_back(OutputEvent::Gone(source.gone));
                }
                self.finish();
            }
            Err(problem) => self.unreachable(replica, mark, source, problem).await,
        }
    }

    /// The node of the attempt does not answer.
    async fn unreachable(
        &mut self,
        replica: &Replica,
        mark: &ExecutionMark,
        source: AttemptSource,
        problem: OpError,
    ) {
        self.unanswered = self.unanswered.saturating_add(1);
        let last = source.over && (source.down || self.unanswered >= ASKED_MAX);
        if last || self.unanswered == 1 {
            let code = ErrorCode::NodeUnreachable.as_str().into();
            let gone =
                OutputGone { code, detail: problem.detail().to_owned(), last, ..source.gone };
            self.ready.push_back(OutputEvent::Gone(gone));
        }
        if last {
            return self.finish();
        }
        tokio::select! {
            () = sleep(ASK_AGAIN) => {}
            () = changed(replica, self.execution, mark) => {}
        }
    }

    /// Takes what a node told of the attempt.
    fn take(&mut self, chunk: Chunk) {
        let ends = !chunk.running && chunk.next() >= chunk.total;
        if !chunk.bytes.is_empty() {
            if chunk.from > self.next {
                self.flush();
            }
            self.piece(chunk);
        }
        if ends {
            self.finish();
        }
    }

    /// There is no more of this attempt.
    fn finish(&mut self) {
        self.flush();
        self.all_read = true;
    }

    /// A piece as text; a character that is not complete waits for the next one.
    fn piece(&mut self, chunk: Chunk) {
        let next = chunk.next();
        let from = chunk.from.saturating_sub(self.broken.len() as u64);
        let mut bytes = std::mem::take(&mut self.broken);
        bytes.extend(chunk.bytes);
        let whole = match std::str::from_utf8(&bytes) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Ok(_) | Err(_) => bytes.len(),
        };
        self.broken = bytes.split_off(whole);
        self.next = next;
        self.push(from, &bytes);
    }

    /// What waits for the rest of a character that does not come.
    fn flush(&mut self) {
        let bytes = std::mem::take(&mut self.broken);
        self.push(self.next.saturating_sub(bytes.len() as u64), &bytes);
    }

    fn push(&mut self, from: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            let next = from.saturating_add(bytes.len() as u64);
            let text = String::from_utf8_lossy(bytes).into_owned();
            let piece = OutputPiece { attempt: self.attempt, from, next, text };
            self.ready.push_back(OutputEvent::Piece(piece));
        }
    }

    fn end(&mut self, status: &'static str) {
        self.ended = true;
        let end = OutputEnd { attempt: self.attempt, next: self.next, status: status.into() };
        self.ready.push_back(OutputEvent::End(end));
    }
}

/// Returns when an execution is no longer as it was when it was marked.
async fn changed(replica: &Replica, id: ExecutionId, mark: &ExecutionMark) {
    loop {
        let last = replica.newest_event();
        if ExecutionMark::of(&replica.read(), id) != *mark {
            return;
        }
        replica.event_after(last).await;
    }
}
