//! Many commands of one request on their way at once: packed into few proposals, several of them
//! in flight.

use futures_util::{StreamExt, stream};

use crate::domain::machine::envelope::{self, IdempotencyKey};
use crate::domain::machine::{Command, Response};

use super::changes;
use super::context::{Context, PRINCIPAL};
use crate::ops::error::OpError;

/// Commands of one proposal.
pub(crate) const COMMANDS_MAX: usize = 200;
/// Bytes after which a proposal takes no more.
const BYTES_MAX: usize = 192 << 10;
/// Proposals of one request in flight.
pub(crate) const IN_FLIGHT: usize = 8;

/// Packed commands.
pub(crate) struct Proposals {
    /// Who the log says sent them.
    principal: String,
    packed: Vec<(Vec<u8>, usize)>,
    /// What each of them changes, for the log.
    lines: Vec<Option<String>>,
}

impl Default for Proposals {
    fn default() -> Self {
        Self::by(PRINCIPAL)
    }
}

impl Proposals {
    /// Commands of this principal.
    pub fn by(principal: &str) -> Self {
        Self { principal: principal.to_owned(), packed: Vec::new(), lines: Vec::new() }
    }

    /// Adds a command.
    pub fn add(&mut self, command: &Command, key: Option<IdempotencyKey<'_>>) {
        let full =
            |(bytes, count): &(Vec<u8>, usize)| bytes.len() >= BYTES_MAX || *count >= COMMANDS_MAX;
        self.lines.push(changes::line(command));
        if self.packed.last().is_none_or(full) {
            self.packed.push((Vec::new(), 0));
        }
        if let Some((bytes, count)) = self.packed.last_mut() {
            envelope::pack(bytes, command, &self.principal, key);
            *count += 1;
        }
    }

    /// Proposes all of them; one answer a command, in the order in which they were added.
    pub async fn submit(self, context: &Context) -> Vec<Result<Response, OpError>> {
        let proposals = self.packed.into_iter().map(|(bytes, count)| async move {
            match context.propose(bytes.into(), count).await {
                Ok(answered) => answered.responses.into_iter().map(Ok).collect(),
                Err(problem) => vec![Err(problem); count],
            }
        });
        let answers: Vec<Vec<_>> = stream::iter(proposals).buffered(IN_FLIGHT).collect().await;
        let answers: Vec<_> = answers.into_iter().flatten().collect();
        let done = answers.iter().map(|answer| matches!(answer, Ok(Ok(_))));
        changes::log(
            self.lines.into_iter().zip(done).filter_map(|(line, done)| line.filter(|_| done)),
        );
        answers
    }
}
