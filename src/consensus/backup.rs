//! A state as a backup, and back.

use std::io::{self, Read, Write};

use crate::domain::machine::{Loader, RecordError, State, WRITER};
use crate::storage::{BackupError, BackupHeader, BackupReader, BackupWriter};

/// What a backup holds.
#[derive(Debug)]
pub struct LoadedBackup {
    /// What it tells of itself.
    pub header: BackupHeader,
    /// The state in it.
    pub state: State,
    /// Its length in bytes.
    pub bytes: u64,
}

/// Why a backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UnusableBackup {
    /// The file is not whole.
    #[error(transparent)]
    File(#[from] BackupError),
    /// Its records cannot be read, or do not add up.
    #[error("its records cannot be used: {0}")]
    Records(#[from] RecordError),
    /// Its records are not those that the header tells of.
    #[error("its header tells of {told}, and its records have {found}")]
    Header {
        /// What the header says.
        told: String,
        /// What there is.
        found: String,
    },
}

/// What the header of a backup of this state says.
#[must_use]
pub fn header(state: &State) -> BackupHeader {
    let cluster = state.cluster();
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    BackupHeader {
        writer: WRITER.to_owned(),
        records: State::LAYOUT,
        cluster_name: cluster.name.clone(),
        cluster_id: cluster.id,
        applied: cluster.applied,
        counter: cluster.counter,
        taken: cluster.stamp,
        tasks: number(state.task_count()),
        executions: number(state.execution_count()),
        calendars: number(state.calendars().count()),
        digest: state.digest(),
    }
}

/// Writes a backup of a state. It blocks.
///
/// # Errors
/// It cannot be written.
pub fn write<W: Write>(state: &State, out: W) -> io::Result<W> {
    let mut writer = BackupWriter::begin(out, &header(state))?;
    for (key, value) in state.all_rows() {
        writer.row(&key, &value)?;
    }
    writer.finish()
}

/// Reads a backup and checks all of it. It blocks.
///
/// # Errors
/// The file is not whole, or its records do not add up to the digest in it.
pub fn read(input: impl Read) -> Result<LoadedBackup, UnusableBackup> {
    let mut reader = BackupReader::open(input)?;
    let told = reader.header().clone();
    let mut loader = Loader::default();
    // The file first: a changed byte is told as one, and not as a record that cannot be read.
    let mut unreadable = None;
    while let Some((key, value)) = reader.row()? {
        if unreadable.is_none() {
            unreadable = loader.row(&key, &value).err();
        }
    }
    if let Some(error) = unreadable {
        return Err(error.into());
    }
    let state = loader.finish()?;
    // The digest is one of the records' version.
    let digest = if told.records == State::LAYOUT { state.digest() } else { told.digest };
    let writer = told.writer.clone();
    let found = BackupHeader { writer, records: told.records, digest, ..header(&state) };
    if found != told {
        let (told, found) = (format!("{told:?}"), format!("{found:?}"));
        return Err(UnusableBackup::Header { told, found });
    }
    Ok(LoadedBackup { header: told, state, bytes: reader.read_bytes() })
}
