//! A backup of the cluster, from any node.

use std::io::{self, Write};

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::context::{Context, StateView};
use super::error::OpError;
use super::streams::StreamPlace;
use crate::consensus::backup;
use crate::life;

/// Pieces that wait for a slow reader. Each is at most some records longer than 64 KiB.
const PIECES_WAITING: usize = 16;

type BackupPiece = io::Result<Bytes>;

/// Hands each write on as a piece.
struct PieceWriter<'a>(&'a mut dyn FnMut(BackupPiece) -> bool);

impl Write for PieceWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let read = (self.0)(Ok(Bytes::copy_from_slice(bytes)));
        if read { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The backup of a state, piece by piece. It is made while it is read; one that breaks off has no
/// end, so its reader knows.
///
/// # Errors
/// `too_many_streams`.
pub(crate) fn pieces(
    context: &Context,
    view: StateView,
) -> Result<impl Stream<Item = BackupPiece> + Send + use<>, OpError> {
    let place = StreamPlace::take(context)?;
    let state = view.state;
    let (pieces, done) = life::produce(PIECES_WAITING, move |give| {
        let written = backup::write(&state, PieceWriter(&mut *give)).map(|_whole| ());
        if let Err(error) = written {
            // If the reader has gone, nobody is told.
            let _told = give(Err(error));
        }
    });
    // It ends by itself: with the backup, or when nobody reads it any more.
    drop(done);
    Ok(stream::unfold((pieces, place), |(mut pieces, place)| async move {
        let piece = pieces.recv().await?;
        Some((piece, (pieces, place)))
    }))
}
