//! What was written comes back, and whatever was cut or changed is told.

use super::*;

fn header() -> BackupHeader {
    BackupHeader {
        writer: "punctual 0.1.0".to_owned(),
        records: 7,
        cluster_name: "night check shift".to_owned(),
        cluster_id: 0xC1,
        applied: 77,
        counter: 1_234,
        taken: Timestamp(1_790_000_000_000),
        tasks: 2,
        executions: 3,
        calendars: 1,
        digest: 0xD16E57,
    }
}

/// Rows that fill several blocks.
fn rows() -> Vec<BackupRow> {
    let row = |number: u32| {
        let length = usize::try_from(number * 311 % 4_000).unwrap();
        (number.to_be_bytes().to_vec(), vec![u8::try_from(number % 251).unwrap(); length])
    };
    (0..100).map(row).collect()
}

fn written(rows: &[BackupRow]) -> Vec<u8> {
    let mut writer = BackupWriter::begin(Vec::new(), &header()).unwrap();
    for (key, value) in rows {
        writer.row(key, value).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<BackupRow>, BackupError> {
    let mut reader = BackupReader::open(bytes)?;
    assert_eq!(reader.header(), &header());
    let mut rows = Vec::new();
    while let Some(row) = reader.row()? {
        rows.push(row);
    }
    assert!(reader.row()?.is_none(), "the end stays the end");
    assert_eq!(reader.read_bytes(), u64::try_from(bytes.len()).unwrap());
    Ok(rows)
}

#[test]
fn it_comes_back_as_written() {
    for count in [0, 1, 100] {
        let rows = &rows()[..count];
        assert_eq!(read(&written(rows)).unwrap(), rows);
    }
    let blocks = written(&rows()).len() / BLOCK_BYTES;
    assert!(blocks >= 2, "the tests below need several blocks");
    let mut header = header();
    header.cluster_name = "a\nb".to_owned();
    assert!(BackupWriter::begin(Vec::new(), &header).is_err());
}

#[test]
fn a_cut_file_is_told_with_its_length() {
    let whole = written(&rows());
    let begun = header().encode().unwrap().len();
    let near = |at: usize| at.saturating_sub(3)..at + 3;
    let places = (0..begun + 3).chain(near(begun + HEAD)).chain((0..whole.len()).step_by(997));
    for at in places.chain(whole.len() - 50..whole.len()) {
        let error = read(&whole[..at]).unwrap_err();
        let length = u64::try_from(at).unwrap();
        match error {
            BackupError::Cut { at, .. } if at == length => {}
            BackupError::Foreign if at == 0 => {}
            other => panic!("cut after {at} bytes: {other}"),
        }
    }
    let error = read(&whole[..begun + 30]).unwrap_err().to_string();
    assert_eq!(error, format!("it was cut: it ends after {} bytes, in block 1", begun + 30));
}

#[test]
fn a_changed_byte_is_told_with_the_part_that_it_is_in() {
    let whole = written(&rows());
    let begun = header().encode().unwrap().len();
    let places = (0..begun + 60).chain((0..whole.len()).step_by(499));
    for at in places.chain(whole.len() - 60..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        let place = u64::try_from(at).unwrap();
        match read(&bytes).unwrap_err() {
            BackupError::Changed { from, to, .. } if from <= place && place < to => {}
            BackupError::Foreign if at < TITLE.len() => {}
            // The line of the check is not found any more.
            BackupError::Changed { from: 0, .. } if at < begun => {}
            other => panic!("byte {at}: {other}"),
        }
    }
    let mut longer = whole.clone();
    longer.push(0);
    let length = u64::try_from(whole.len()).unwrap();
    assert!(matches!(read(&longer), Err(BackupError::Excess(at)) if at == length));
}

#[test]
fn blocks_that_changed_places_are_noticed() {
    let rows: Vec<_> = (0..3_u8).map(|number| (vec![number], vec![7; BLOCK_BYTES])).collect();
    let whole = written(&rows);
    let (begun, block) = (header().encode().unwrap().len(), HEAD + 9 + BLOCK_BYTES);
    let mut moved = whole[..begun].to_vec();
    moved.extend_from_slice(&whole[begun + block..begun + 2 * block]);
    moved.extend_from_slice(&whole[begun..begun + block]);
    moved.extend_from_slice(&whole[begun + 2 * block..]);
    let error = read(&moved).unwrap_err();
    assert!(
        matches!(error, BackupError::Changed { from, .. } if from == u64::try_from(begun).unwrap())
    );
    let mut without = whole[..begun + block].to_vec();
    without.extend_from_slice(&whole[begun + 2 * block..]);
    assert!(matches!(read(&without).unwrap_err(), BackupError::Changed { .. }));
}

#[test]
fn other_files_and_other_versions_are_told_apart() {
    for other in ["", "[node]\nid = 1\n", "punctual data, format 2\n"] {
        assert!(matches!(read(other.as_bytes()), Err(BackupError::Foreign)), "{other}");
    }
    let text = String::from_utf8(header().encode().unwrap()).unwrap();
    let text = text.replace("format 1", "format 9");
    let (lines, _) = text.rsplit_once("check ").unwrap();
    let later = format!("{lines}check {:032x}\n", xxh3_128(lines.as_bytes()));
    let error = read(later.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("it has format 9, and this version reads format 1"), "{error}");
}
