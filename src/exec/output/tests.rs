//! Tests of kept output.

use std::os::unix::fs::PermissionsExt;

use super::*;

const ID: ExecutionId = ExecutionId(7);

const LIVE: usize = 64 << 10;
const KEPT: usize = 1 << 20;
/// The beginning that is kept of an output too large to keep.
const HEAD: u64 = (KEPT - LIVE - ring::MARK_BYTES) as u64;

fn limits(quota_bytes: u64) -> OutputLimits {
    OutputLimits { quota_bytes, ..OutputLimits::default() }
}

fn outputs(quota: u64) -> (tempfile::TempDir, Outputs) {
    let folder = tempfile::tempdir().unwrap();
    let outputs = Outputs::open(folder.path().to_owned(), limits(quota)).unwrap();
    (folder, outputs)
}

/// Distinguishable bytes: numbered lines of eight.
fn pattern(len: usize) -> Vec<u8> {
    let lines = (0..len.div_ceil(8)).flat_map(|n| format!("{n:7}\n").into_bytes());
    lines.take(len).collect()
}

async fn read_all(outputs: &Outputs, key: OutputKey, step: usize) -> Vec<(u64, Vec<u8>)> {
    let mut chunks = Vec::new();
    let mut at = 0;
    for _ in 0..10_000 {
        let chunk = outputs.read(key, at, step).await.unwrap();
        if chunk.bytes.is_empty() {
            assert_eq!(chunk.next(), chunk.total);
            return chunks;
        }
        at = chunk.next();
        chunks.push((chunk.from, chunk.bytes));
    }
    panic!("no end");
}

#[tokio::test]
async fn small_output_is_read_while_it_grows_and_after() {
    let (folder, outputs) = outputs(1 << 30);
    let output = outputs.begin(ID, 1);
    output.live().push(b"hello ");
    let newest = outputs.newest(ID).unwrap();
    assert_eq!((newest.from, newest.bytes.as_slice(), newest.running), (0, &b"hello "[..], true));
    output.live().push("wörld".as_bytes());
    let chunk = outputs.read((ID, 1), 6, 100).await.unwrap();
    assert_eq!((chunk.from, chunk.bytes.as_slice()), (6, "wörld".as_bytes()));
    assert_eq!(output.end(), "hello wörld".as_bytes());
    outputs.flush().await;
    let chunk = outputs.read((ID, 1), 0, 5).await.unwrap();
    assert_eq!(chunk, Chunk { from: 0, bytes: b"hello".to_vec(), total: 12, running: false });
    assert_eq!(std::fs::read(folder.path().join("7.1.log")).unwrap(), "hello wörld".as_bytes());
    assert_eq!(outputs.newest(ID), None);
    assert_eq!(outputs.read((ID, 2), 0, 5).await, None);
}

#[tokio::test]
async fn silence_makes_no_file() {
    let (folder, outputs) = outputs(1 << 30);
    assert_eq!(outputs.begin(ID, 1).end(), b"");
    outputs.flush().await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// What attempts print may be secret.
#[tokio::test]
async fn kept_output_is_its_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("output");
    let outputs = Outputs::open(folder.clone(), limits(1 << 30)).unwrap();
    // One that is kept whole, and one whose file gets another name because its middle is left out.
    for (id, len) in [(1, 10), (2, 3 << 20)] {
        let output = outputs.begin(ExecutionId(id), 1);
        output.live().push(&pattern(len));
        drop(output);
    }
    outputs.flush().await;
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&folder), 0o700);
    let kept = [folder.join("1.1.log"), folder.join(format!("2.1.{HEAD}.log"))];
    assert_eq!(kept.map(|path| mode(&path)), [0o600; 2]);
}

#[tokio::test]
async fn output_up_to_the_bound_is_kept_whole() {
    for len in [LIVE - 1, LIVE + 1, KEPT - ring::MARK_BYTES] {
        let (_folder, outputs) = outputs(1 << 30);
        let output = outputs.begin(ID, 1);
        let all = pattern(len);
        for part in all.chunks(9_999) {
            output.live().push(part);
        }
        let whole = |chunks: Vec<(u64, Vec<u8>)>| {
            chunks.into_iter().flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>()
        };
        let chunk = outputs.read((ID, 1), 10, 10).await.unwrap();
        assert_eq!((chunk.bytes.as_slice(), chunk.running), (&all[10..20], true));
        assert_eq!(chunk.total, len as u64);
        drop(output);
        assert!(whole(read_all(&outputs, (ID, 1), 50_000).await) == all, "{len}");
    }
}

#[tokio::test]
async fn of_a_large_output_beginning_and_end_are_kept_at_their_positions() {
    let (folder, outputs) = outputs(1 << 30);
    let output = outputs.begin(ID, 1);
    let all = pattern(3 << 20);
    output.live().push(&all);
    let gone = outputs.read((ID, 1), HEAD, 8).await.unwrap();
    assert_eq!(gone.from, (all.len() - LIVE) as u64);
    assert_eq!(output.end().as_slice(), &all[all.len() - TAIL_MAX_BYTES..]);
    let chunks = read_all(&outputs, (ID, 1), 100_000).await;
    let mut kept = 0;
    for (from, bytes) in &chunks {
        let from = usize::try_from(*from).unwrap();
        assert!(bytes == &all[from..from + bytes.len()], "{from}");
        kept += bytes.len();
    }
    assert_eq!(kept, KEPT - ring::MARK_BYTES);
    let file = std::fs::read(folder.path().join(format!("7.1.{HEAD}.log"))).unwrap();
    assert_eq!(file.len(), KEPT);
    let left_out = all.len() - kept;
    let mark = format!("{left_out} bytes left out here]\n");
    assert!(file.windows(mark.len()).any(|part| part == mark.as_bytes()));
}

#[test]
fn a_tail_begins_with_a_whole_character() {
    let mut ring = Ring::new(OutputLimits::default());
    ring.push("ab€€".as_bytes());
    assert_eq!(ring.tail(4), "€".as_bytes());
    assert_eq!(ring.tail(6), "€€".as_bytes());
    assert_eq!(ring.tail(100), "ab€€".as_bytes());
    let mut whole = Ring::new(OutputLimits::default());
    whole.push(&[0x80, 0x81]);
    assert_eq!(whole.tail(2), [0x80, 0x81]);
}

#[tokio::test]
async fn the_quota_takes_the_oldest_also_after_a_restart() {
    let (folder, outputs) = outputs(3 * 4_096);
    for id in 1..=5 {
        let output = outputs.begin(ExecutionId(id), 1);
        output.live().push(b"x");
        drop(output);
    }
    outputs.flush().await;
    let names = || {
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    };
    assert_eq!(names(), ["3.1.log", "4.1.log", "5.1.log"]);
    drop(outputs);
    std::fs::write(folder.path().join("foreign.txt"), "x").unwrap();
    let outputs = Outputs::open(folder.path().to_owned(), limits(2 * 4_096)).unwrap();
    outputs.flush().await;
    assert_eq!(names(), ["4.1.log", "5.1.log", "foreign.txt"]);
}

#[tokio::test]
async fn what_was_kept_under_other_limits_is_read_all_the_same() {
    let (folder, outputs) = outputs(1 << 30);
    let all = pattern(3 << 20);
    let output = outputs.begin(ID, 1);
    output.live().push(&all);
    drop(output);
    outputs.flush().await;
    let before = read_all(&outputs, (ID, 1), 100_000).await;
    drop(outputs);
    let wide = OutputLimits { live_bytes: 128 << 10, kept_bytes: 4 << 20, quota_bytes: 1 << 30 };
    let outputs = Outputs::open(folder.path().to_owned(), wide).unwrap();
    assert_eq!(read_all(&outputs, (ID, 1), 100_000).await, before);
    // And more is kept from now on.
    let output = outputs.begin(ID, 2);
    output.live().push(&all);
    assert_eq!(outputs.newest(ID).unwrap().bytes.len(), 128 << 10);
    drop(output);
    let whole: Vec<u8> =
        read_all(&outputs, (ID, 2), 100_000).await.into_iter().flat_map(|(_, b)| b).collect();
    assert!(whole == all);
    // The quota finds both kinds of files.
    drop(outputs);
    let outputs = Outputs::open(folder.path().to_owned(), limits(0)).unwrap();
    outputs.flush().await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A reader is woken by the beginning of an output, by each piece, and by the end; nothing is asked
/// in turns: the wait is far longer than the test may take.
#[tokio::test]
async fn a_reader_is_woken() {
    const LONG: Duration = Duration::from_secs(3_600);
    const SOON: Duration = Duration::from_secs(30);
    let (_folder, outputs) = outputs(1 << 30);
    let outputs = Arc::new(outputs);
    let read = |attempt: u32, from: u64| {
        let outputs = Arc::clone(&outputs);
        let read = tokio::spawn(async move {
            outputs
                .read_grown((ID, attempt), from, 100, LONG)
                .await
                .map(|it| (it.bytes, it.running))
        });
        async move { tokio::time::timeout(SOON, read).await.expect("it is woken").unwrap() }
    };
    let first = read(1, 0);
    tokio::task::yield_now().await;
    let output = outputs.begin(ID, 1);
    tokio::task::yield_now().await;
    output.live().push(b"one");
    assert_eq!(first.await, Some((b"one".to_vec(), true)));
    let second = read(1, 3);
    tokio::task::yield_now().await;
    output.live().push(b"two");
    assert_eq!(second.await, Some((b"two".to_vec(), true)));
    let end = read(1, 6);
    tokio::task::yield_now().await;
    drop(output);
    assert_eq!(end.await, Some((Vec::new(), false)));
    // Of silence there is no file: only the end of the wait tells, or the state.
    let short = outputs.read_grown((ID, 2), 0, 100, Duration::from_millis(1)).await;
    assert_eq!(short, None);
    assert_eq!(read(1, 2).await, Some((b"etwo".to_vec(), false)));
}
