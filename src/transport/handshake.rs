//! The handshake: four messages, before any frame.
//!
//! ```text
//! dialler                      listener
//!    hello      ──────────▶
//!               ◀──────────      hello
//!    proof      ──────────▶
//!               ◀──────────      welcome (with the listener's proof)
//! ```
//!
//! Each message is `magic | protocol u16 | type u8 | length u16 | body`. Any of them can be a
//! refusal instead, whose format is the same in every version of the protocol. The dialler sends
//! its proof first, so that dialling a node does not reveal the node's proofs. The proofs
//! authenticate the peers, not the bytes that follow. On an untrusted network, use TLS below.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use super::Fabric;
use super::hello::{
    ClusterSecret, HandshakeSide, Hello, MESSAGE_MAX, Opening, PeerIdentity, PeerRefusal,
    PeerRefusalCode,
};

/// Time limit for the whole handshake, including the close after a refusal.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(1);

/// The version of the protocol. Nodes with different versions refuse each other.
pub const PROTOCOL: u16 = 1;

const MAGIC: [u8; 4] = *b"PNCT";
const HEADER: usize = 9;

/// Maximum number of bytes read from a refused peer before the close.
const GOODBYE_MAX: u64 = 64 << 10;

const HELLO: u8 = 1;
const PROOF: u8 = 2;
const WELCOME: u8 = 3;
const REFUSAL: u8 = 4;

/// The reason why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The peer refused this node.
    #[error("refused by the peer: {0}")]
    Refused(PeerRefusal),
    /// This node refused the peer and informed it.
    #[error("refused the peer: {0}")]
    Refusing(PeerRefusal),
    /// The stream broke.
    #[error("the handshake broke off: {0}")]
    Broken(#[from] io::Error),
    /// It took longer than [`HANDSHAKE_MAX`].
    #[error("the handshake took longer than {} s", HANDSHAKE_MAX.as_secs())]
    Late,
}

impl From<PeerRefusal> for HandshakeError {
    fn from(refusal: PeerRefusal) -> Self {
        Self::Refusing(refusal)
    }
}

/// The dialler's side; returns the listener's hello.
pub(super) async fn dial<S>(
    stream: &mut S,
    hello: Hello,
    fabric: &Fabric,
) -> Result<Hello, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limit = Instant::now() + HANDSHAKE_MAX;
    let outcome =
        timeout_at(limit, greet(stream, hello, fabric)).await.unwrap_or(Err(HandshakeError::Late));
    finish(stream, limit, outcome).await
}

/// The listener's side. `identify` gets the dialler's hello, before its proof, and returns the
/// identity of this node. `admit` registers the connection after the dialler's proof.
pub(super) async fn answer<S, P>(
    stream: &mut S,
    fabric: &Fabric,
    identify: impl Fn(&Hello) -> Result<PeerIdentity, PeerRefusal>,
    admit: impl FnOnce() -> Result<P, PeerRefusal>,
) -> Result<(Hello, P), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limit = Instant::now() + HANDSHAKE_MAX;
    let outcome = timeout_at(limit, welcome(stream, fabric, identify, admit))
        .await
        .unwrap_or(Err(HandshakeError::Late));
    finish(stream, limit, outcome).await
}

async fn greet<S>(stream: &mut S, hello: Hello, fabric: &Fabric) -> Result<Hello, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let secret = fabric.secret.as_ref();
    let ours = open(hello, fabric);
    let said = message(HELLO, &ours.encode()?)?;
    stream.write_all(&said).await?;

    let heard = read(stream, HELLO).await?;
    let theirs = Opening::decode(body(&heard))?;
    ours.hello.check(&theirs.hello)?;
    check_secured(&ours, &theirs)?;

    let proof = secret.map(|secret| secret.prove(HandshakeSide::Dialler, &said, &heard));
    stream.write_all(&message(PROOF, &proof.unwrap_or_default())?).await?;

    let welcomed = read(stream, WELCOME).await?;
    verify(secret, HandshakeSide::Listener, &said, &heard, body(&welcomed))?;
    Ok(theirs.hello)
}

async fn welcome<S, P>(
    stream: &mut S,
    fabric: &Fabric,
    identify: impl Fn(&Hello) -> Result<PeerIdentity, PeerRefusal>,
    admit: impl FnOnce() -> Result<P, PeerRefusal>,
) -> Result<(Hello, P), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let secret = fabric.secret.as_ref();
    let heard = read(stream, HELLO).await?;
    let theirs = Opening::decode(body(&heard))?;
    let hello = Hello {
        identity: identify(&theirs.hello)?,
        to_config_id: theirs.hello.identity.config_id,
        purpose: theirs.hello.purpose,
    };
    hello.check(&theirs.hello)?;
    let ours = open(hello, fabric);
    check_secured(&ours, &theirs)?;
    let said = message(HELLO, &ours.encode()?)?;
    stream.write_all(&said).await?;

    let proof = read(stream, PROOF).await?;
    verify(secret, HandshakeSide::Dialler, &heard, &said, body(&proof))?;
    let place = admit()?;

    let proof = secret.map(|secret| secret.prove(HandshakeSide::Listener, &heard, &said));
    stream.write_all(&message(WELCOME, &proof.unwrap_or_default())?).await?;
    stream.flush().await?;
    Ok((theirs.hello, place))
}

fn open(hello: Hello, fabric: &Fabric) -> Opening {
    let mut nonce = [0; 32];
    (fabric.random)(&mut nonce);
    Opening { hello, secured: fabric.secret.is_some(), nonce }
}

/// Checks that both sides use a secret or neither, for a clear message. The proof, not this flag,
/// provides the security.
fn check_secured(ours: &Opening, theirs: &Opening) -> Result<(), PeerRefusal> {
    match (ours.secured, theirs.secured) {
        (true, false) => Err(PeerRefusal::new(
            PeerRefusalCode::PROOF_MISSING,
            format!("node {} has no cluster.secret", theirs.hello.identity.config_id),
        )),
        (false, true) => Err(PeerRefusal::new(
            PeerRefusalCode::PROOF_UNEXPECTED,
            format!("node {} has no cluster.secret", ours.hello.identity.config_id),
        )),
        _ => Ok(()),
    }
}

fn verify(
    secret: Option<&ClusterSecret>,
    role: HandshakeSide,
    dialler: &[u8],
    listener: &[u8],
    proof: &[u8],
) -> Result<(), PeerRefusal> {
    secret.map_or(Ok(()), |secret| secret.verify(role, dialler, listener, proof))
}

fn message(kind: u8, body: &[u8]) -> Result<Vec<u8>, PeerRefusal> {
    let length = u16::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= MESSAGE_MAX)
        .ok_or_else(|| PeerRefusal::malformed(too_long(body.len())))?;
    let mut message = Vec::with_capacity(HEADER + body.len());
    message.put_slice(&MAGIC);
    message.put_u16(PROTOCOL);
    message.put_u8(kind);
    message.put_u16(length);
    message.put_slice(body);
    Ok(message)
}

fn body(message: &[u8]) -> &[u8] {
    message.get(HEADER..).unwrap_or_default()
}

fn too_long(length: usize) -> String {
    format!("a handshake message of {length} bytes is longer than {MESSAGE_MAX}")
}

/// Reads one whole message of the expected type.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, due: u8) -> Result<Vec<u8>, HandshakeError> {
    let mut message = vec![0; HEADER];
    stream.read_exact(&mut message).await?;
    let mut header = message.as_slice();
    if !header.starts_with(&MAGIC) {
        return Err(PeerRefusal::new(PeerRefusalCode::MAGIC, "this is a punctual peer port").into());
    }
    header.advance(MAGIC.len());
    let (protocol, kind, length) = (header.get_u16(), header.get_u8(), header.get_u16());
    let length = usize::from(length);
    // A refusal is read before the version check, because the version may be its reason.
    if kind != REFUSAL && protocol != PROTOCOL {
        let reason = format!("this node speaks peer protocol {PROTOCOL}, not {protocol}");
        return Err(PeerRefusal::new(PeerRefusalCode::PROTOCOL, reason).into());
    }
    if length > MESSAGE_MAX {
        return Err(PeerRefusal::malformed(too_long(length)).into());
    }
    message.resize(HEADER + length, 0);
    stream.read_exact(message.get_mut(HEADER..).unwrap_or_default()).await?;
    match kind {
        REFUSAL => Err(HandshakeError::Refused(PeerRefusal::decode(body(&message)))),
        kind if kind == due => Ok(message),
        kind => {
            let reason = format!("handshake message {kind} came where {due} was due");
            Err(PeerRefusal::malformed(reason).into())
        }
    }
}

/// Sends the reason of a refusal to the peer, within the remaining time.
async fn finish<S, T>(
    stream: &mut S,
    limit: Instant,
    outcome: Result<T, HandshakeError>,
) -> Result<T, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let Err(HandshakeError::Refusing(refusal)) = &outcome {
        // Best effort: the outcome does not depend on it.
        let _ = timeout_at(limit, refuse(stream, refusal)).await;
    }
    outcome
}

/// Closing a socket that has unread bytes resets the connection, and the reset can overtake the
/// refusal. So the remaining bytes are read first.
async fn refuse<S>(stream: &mut S, refusal: &PeerRefusal) -> Result<(), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    stream.write_all(&message(REFUSAL, &refusal.encode())?).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(GOODBYE_MAX), &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
