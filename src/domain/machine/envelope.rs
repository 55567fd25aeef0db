//! How commands travel: packed once where they are made, opaque until apply.
//!
//! A command is `kind u16 | flags u8 | [by: len u8, text] | [key: len u8, text, request u128] |
//! len u32 | body`, numbers little-endian. An entry is `version u8 | stamp i64 | origin u64 | seq u64 | commands`.
//! The origin is the proposing process, so that its own apply can answer those who wait.

use super::command::{Command, DecodeError};
use super::versions;
use crate::domain::time::Timestamp;

/// Bytes before the commands of an entry.
const HEAD: usize = 1 + 8 + 8 + 8;
const HAS_BY: u8 = 1;
const HAS_KEY: u8 = 2;

/// A name or key longer than this is cut by the caller.
pub const TEXT_BYTES_MAX: usize = 255;

/// What a request carries so that it may be repeated: the first answer under a key stands for all
/// repeats of the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey<'a> {
    /// The caller's text, at most [`TEXT_BYTES_MAX`] bytes.
    pub text: &'a str,
    /// A hash of the request's route and body. The command is not compared: a repeated request may
    /// make another one, since it is made of the state that the request meets.
    pub request: u128,
}

/// A command as it stands in an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed<'a> {
    /// Its kind's number.
    pub kind: u16,
    /// Who sent it; empty for the engine.
    pub by: &'a str,
    /// Idempotency key of the request.
    pub key: Option<IdempotencyKey<'a>>,
    /// Body of that kind.
    pub body: &'a [u8],
}

/// Appends one command.
pub fn pack(out: &mut Vec<u8>, command: &Command, by: &str, key: Option<IdempotencyKey<'_>>) {
    let by = cut(by);
    out.extend_from_slice(&command.kind().to_le_bytes());
    let flags = if by.is_empty() { 0 } else { HAS_BY } | if key.is_some() { HAS_KEY } else { 0 };
    out.push(flags);
    if !by.is_empty() {
        push(out, by);
    }
    if let Some(key) = key {
        push(out, cut(key.text));
        out.extend_from_slice(&key.request.to_le_bytes());
    }
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    command.encode_body(out);
    let len = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    if let Some(slot) = out.get_mut(at..at + 4) {
        slot.copy_from_slice(&len.to_le_bytes());
    }
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

/// The longest prefix that fits a length byte, cut at a character.
fn cut(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// What an entry says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryHead {
    /// The leader's cluster time.
    pub stamp: Timestamp,
    /// The proposing process.
    pub origin: u64,
    /// Its number of this entry.
    pub seq: u64,
}

/// Puts an entry together.
#[must_use]
pub fn entry(head: EntryHead, commands: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD + commands.len());
    out.push(versions::ENTRY);
    out.extend_from_slice(&head.stamp.0.to_le_bytes());
    out.extend_from_slice(&head.origin.to_le_bytes());
    out.extend_from_slice(&head.seq.to_le_bytes());
    out.extend_from_slice(commands);
    out
}

/// Takes an entry apart.
///
/// # Errors
/// Another version, or too few bytes.
pub fn open(entry: &[u8]) -> Result<(EntryHead, Commands<'_>), DecodeError> {
    let mut rest = Commands { rest: entry };
    let [version] = rest.number()?;
    if version != versions::ENTRY {
        return Err(DecodeError::Version { found: version });
    }
    let head = EntryHead {
        stamp: Timestamp(i64::from_le_bytes(rest.number()?)),
        origin: u64::from_le_bytes(rest.number()?),
        seq: u64::from_le_bytes(rest.number()?),
    };
    Ok((head, rest))
}

/// The commands of an entry, in order.
#[derive(Clone, Copy, Debug)]
pub struct Commands<'a> {
    rest: &'a [u8],
}

impl<'a> Commands<'a> {
    /// Commands that have no entry around them yet.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) =
            self.rest.split_first_chunk::<N>().ok_or(DecodeError::Entry("cut short"))?;
        self.rest = tail;
        Ok(*head)
    }

    fn slice(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) =
            self.rest.split_at_checked(len).ok_or(DecodeError::Entry("cut short"))?;
        self.rest = tail;
        Ok(head)
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let [len] = self.number()?;
        std::str::from_utf8(self.slice(usize::from(len))?)
            .map_err(|_error| DecodeError::Entry("not UTF-8"))
    }

    fn key(&mut self) -> Result<IdempotencyKey<'a>, DecodeError> {
        Ok(IdempotencyKey { text: self.text()?, request: u128::from_le_bytes(self.number()?) })
    }

    fn command(&mut self) -> Result<Packed<'a>, DecodeError> {
        let kind = u16::from_le_bytes(self.number()?);
        let [flags] = self.number()?;
        let by = if flags & HAS_BY != 0 { self.text()? } else { "" };
        let key = if flags & HAS_KEY != 0 { Some(self.key()?) } else { None };
        let len = u32::from_le_bytes(self.number()?) as usize;
        Ok(Packed { kind, by, key, body: self.slice(len)? })
    }
}

impl<'a> Iterator for Commands<'a> {
    type Item = Result<Packed<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = (!self.rest.is_empty()).then(|| self.command())?;
        if next.is_err() {
            // Where one command cannot be read, nobody knows where the next begins.
            self.rest = &[];
        }
        Some(next)
    }
}
