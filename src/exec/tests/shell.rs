//! Processes: their end and their environment. No process is left running.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::domain::task::ShellAction;

pub(super) fn argv(argv: &[&str]) -> ShellAction {
    ShellAction {
        argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
        env: std::collections::BTreeMap::new(),
        cwd: None,
        stdin: String::new(),
        user: None,
    }
}

pub(super) fn sh(script: &str) -> Action {
    Action::Shell(argv(&["/bin/sh", "-c", script]))
}

/// Waits until a script has written this number of process ids to the file, one per line.
pub(super) async fn pids(path: &Path, count: usize) -> Vec<Pid> {
    let read = || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _part)| whole);
        whole.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)).collect()
    };
    until("the script wrote its process ids", || {
        let pids: Vec<Pid> = read();
        pids.len() >= count
    })
    .await;
    read()
}

/// A process's state as the system reports it. None: there is no such process.
fn state(folder: &Path) -> Option<char> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn folder(pid: Pid) -> PathBuf {
    PathBuf::from(format!("/proc/{}", pid.as_raw_nonzero()))
}

/// Whether a process is running. A zombie is not.
pub(super) fn is_alive(pid: Pid) -> bool {
    !matches!(state(&folder(pid)), None | Some('Z' | 'X'))
}

/// Whether all threads of a process are stopped.
fn is_stopped(pid: Pid) -> bool {
    let mut threads = std::fs::read_dir(folder(pid).join("task")).unwrap();
    threads.all(|thread| state(&thread.unwrap().path()) == Some('T'))
}

/// The shim of a bench that has run a process.
fn shim_of(bench: &TestExec) -> Pid {
    Pid::from_raw(bench.exec.shim_pid().unwrap().try_into().unwrap()).unwrap()
}

/// The shim of a bench, started and then stopped.
async fn stopped_shim(bench: &TestExec) -> Pid {
    bench.run(&sh("true"), &attempt()).await;
    let shim = shim_of(bench);
    kill_process(shim, Signal::STOP).unwrap();
    until("the shim is stopped", || is_stopped(shim)).await;
    shim
}

async fn all_dead(pids: &[Pid]) {
    until("all processes are dead", || !pids.iter().any(|pid| is_alive(*pid))).await;
}

#[tokio::test]
async fn a_process_ends_as_its_exit_says() {
    let bench = TestExec::new();
    let before = BootInstant::now();
    let outcome = bench.run(&sh("echo out; echo err >&2"), &attempt()).await;
    assert_eq!((outcome.status, outcome.exit_code), (AttemptStatus::Success, Some(0)));
    assert_eq!((outcome.detail.as_str(), outcome.tail.as_slice()), ("exit 0", &b"out\nerr\n"[..]));
    assert!(outcome.started.unwrap() >= before && !outcome.unknown);

    let outcome = bench.run(&sh("exit 7"), &attempt()).await;
    assert_eq!((outcome.status, outcome.exit_code), (AttemptStatus::Failed, Some(7)));
    assert_eq!((outcome.detail.as_str(), outcome.unknown), ("exit 7", false));

    let outcome = bench.run(&sh("kill -9 $$"), &attempt()).await;
    assert_eq!((outcome.status, outcome.exit_code), (AttemptStatus::Failed, None));
    assert_eq!(outcome.detail, "killed by signal 9 (KILL)");
}

#[tokio::test]
async fn a_process_sees_who_it_is_and_little_else() {
    let bench = TestExec::with(|options| options.refs.env = names(&["PATH"]));
    let mut action = argv(&["/bin/sh", "-c", "env; pwd; cat; echo \"$0 $1\"", "${env:PATH}"]);
    action.argv.push("$${env:PATH}".to_owned());
    action.env = [("GREETING", "hi ${env:PATH}"), ("PUNCTUAL_FENCE", "0")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    action.stdin = "from stdin ${env:PATH}\n".to_owned();
    let attempt = attempt();
    let outcome = bench.run(&Action::Shell(action), &attempt).await;
    assert_eq!(outcome.status, AttemptStatus::Success);
    let chunk = bench.exec.read_output(attempt.execution, 2, 0, 1 << 20).await.unwrap();
    let text = String::from_utf8(chunk.bytes).unwrap();
    let path = std::env::var("PATH").unwrap();
    for line in [
        format!("PUNCTUAL_EXECUTION_ID={}", attempt.execution),
        format!("PUNCTUAL_FENCE={}", attempt.fence),
        "PUNCTUAL_ATTEMPT=2".to_owned(),
        "PUNCTUAL_TASK=nächtlich".to_owned(),
        "PUNCTUAL_TICK=2027-01-15T08:00:00.000Z".to_owned(),
        "PUNCTUAL_IDEMPOTENCY_KEY=nächtlich/7@2027-01-15T08:00:00.000Z".to_owned(),
        r#"PUNCTUAL_PARAMETERS={"a":1}"#.to_owned(),
        "PUNCTUAL_PARAMETER_A=1".to_owned(),
        "PUNCTUAL_NODE=n3".to_owned(),
        "PUNCTUAL_PARENT_TASK=extract".to_owned(),
        "PUNCTUAL_PARENT_EXECUTION_ID=7".to_owned(),
        "PUNCTUAL_PARENT_STATUS=failed".to_owned(),
        "PUNCTUAL_PARENT_EXIT_CODE=3".to_owned(),
        "PUNCTUAL_PARENT_REASON=exit 3".to_owned(),
        "PUNCTUAL_PARENT_TAIL=no rows".to_owned(),
        "PUNCTUAL_PAYLOAD=load".to_owned(),
        format!("PATH={path}"),
        format!("GREETING=hi {path}"),
        bench.path("work").canonicalize().unwrap().to_str().unwrap().to_owned(),
        "from stdin ${env:PATH}".to_owned(),
        format!("{path} ${{env:PATH}}"),
    ] {
        assert!(text.lines().any(|seen| seen == line), "{line} in {text}");
    }
    assert!(!text.contains("CARGO"), "the command got the node's environment: {text}");
}

#[tokio::test]
async fn a_large_output_is_bounded_and_a_large_input_arrives() {
    let bench = TestExec::new();
    let attempt = attempt();
    let mut action =
        argv(&["/bin/sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; echo; wc -c"]);
    action.stdin = "y".repeat(500_000);
    let outcome = bench.run(&Action::Shell(action), &attempt).await;
    assert_eq!(outcome.status, AttemptStatus::Success);
    assert_eq!(outcome.tail.len(), TAIL_MAX_BYTES);
    assert!(outcome.tail.ends_with(b"x\n500000\n"), "{}", outcome.tail.escape_ascii());
    bench.exec.flush().await;
    let files = std::fs::read_dir(bench.path("output")).unwrap();
    let sizes: Vec<u64> = files.map(|file| file.unwrap().metadata().unwrap().len()).collect();
    assert_eq!(sizes, [1 << 20]);
    let chunk = bench.exec.read_output(attempt.execution, 2, 2_999_990, 100).await.unwrap();
    assert_eq!((chunk.bytes.as_slice(), chunk.running), (&b"xxxxxxxxxx\n500000\n"[..], false));
}

#[tokio::test]
async fn output_is_read_while_the_process_runs() {
    let bench = TestExec::new();
    let attempt = attempt();
    let id = attempt.execution;
    let go = bench.path("go");
    let script =
        format!("echo one; while [ ! -e {} ]; do sleep 0.01; done; echo two", go.display());
    let running = bench.start(sh(&script), attempt);
    let live = || bench.exec.live_output(id).map(|chunk| chunk.bytes).unwrap_or_default();
    until("the first line was printed", || live() == b"one\n").await;
    std::fs::write(go, "").unwrap();
    assert_eq!(running.ended().await.tail, b"one\ntwo\n");
    assert_eq!(bench.exec.live_output(id), None);
}

#[tokio::test]
async fn what_cannot_be_started_has_failed_by_name() {
    let bench = TestExec::new();
    let in_folder = |folder: &str| {
        Action::Shell(ShellAction { cwd: Some(folder.to_owned()), ..argv(&["/bin/true"]) })
    };
    let as_user = |user: &str| {
        Action::Shell(ShellAction { user: Some(user.to_owned()), ..argv(&["/bin/true"]) })
    };
    for (action, part) in [
        (Action::Shell(argv(&["no-such-program"])), "`no-such-program` not found in "),
        (
            Action::Shell(argv(&["/no/such/program"])),
            "cannot start `/no/such/program`: the program",
        ),
        (Action::Shell(argv(&["/etc/passwd"])), "cannot start `/etc/passwd` in "),
        (
            Action::Shell(argv(&["${env:PUNCTUAL_NOT_SET}"])),
            "${env:PUNCTUAL_NOT_SET}: actions.refs.env",
        ),
        (Action::Shell(argv(&["echo", "a\0b"])), "zero byte"),
        (Action::Shell(argv(&[])), "the command is empty"),
        (in_folder("/no/such/folder"), "in `/no/such/folder`: it is no folder"),
        (as_user("no such user"), "user `no such user`"),
    ] {
        let outcome = bench.run(&action, &attempt()).await;
        assert_eq!(
            (outcome.status, outcome.unknown),
            (AttemptStatus::Failed, false),
            "{outcome:?}"
        );
        assert_eq!(outcome.started, None);
        assert!(outcome.detail.contains(part), "{}", outcome.detail);
    }
    let off = TestExec::with(|options| options.shell = None);
    let outcome = off.run(&sh("true"), &attempt()).await;
    assert!(outcome.detail.contains("off on this node"), "{outcome:?}");
}

#[tokio::test]
async fn nothing_starts_late_or_without_leave() {
    let bench = TestExec::new();
    let mark = bench.path("mark");
    let touch = sh(&format!("touch {}", mark.display()));
    let late = GrantedAttempt { start_by: BootInstant(BootInstant::now().0 - 1), ..attempt() };
    let outcome = bench.run(&touch, &late).await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::NotStarted, None));
    let outcome = bench.exec.run(&touch, &attempt(), closed()).await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::NotStarted, None));
    let (control, strings) = control();
    strings.stop.send(Stop::Ask).unwrap();
    let outcome = bench.exec.run(&touch, &attempt(), control).await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::Cancelled, None));
    // Orders are executed in sequence, so the mark would exist by now.
    assert_eq!(bench.run(&sh("true"), &attempt()).await.status, AttemptStatus::Success);
    assert!(!mark.exists());
}

#[tokio::test]
async fn the_shim_itself_refuses_what_comes_late() {
    let bench = TestExec::new();
    let shim = stopped_shim(&bench).await;
    let mark = bench.path("mark");
    let soon = GrantedAttempt { start_by: BootInstant::now().plus(Millis(100)), ..attempt() };
    let deadline = soon.start_by;
    let running = bench.start(sh(&format!("touch {}", mark.display())), soon);
    until("the time to start is over", || BootInstant::now() > deadline).await;
    kill_process(shim, Signal::CONT).unwrap();
    assert_eq!(running.ended().await.status, AttemptStatus::NotStarted);
    assert!(!mark.exists());
}

#[tokio::test]
async fn a_shim_that_answers_late_is_believed() {
    let bench = TestExec::new();
    let shim = stopped_shim(&bench).await;
    let mark = bench.path("mark");
    let soon = GrantedAttempt { start_by: BootInstant::now().plus(Millis(50)), ..attempt() };
    // Two seconds after the time to start it is killed.
    let killed = soon.start_by.plus(Millis(2_200));
    let running = bench.start(sh(&format!("touch {}", mark.display())), soon);
    until("the shim is late", || BootInstant::now() > killed).await;
    kill_process(shim, Signal::CONT).unwrap();
    assert_eq!(running.ended().await.status, AttemptStatus::NotStarted);
    assert!(!mark.exists());
}

#[tokio::test]
async fn a_timeout_is_term_for_the_whole_group() {
    let bench = TestExec::new();
    let file = bench.path("pids");
    let script = format!("sleep 600 & echo $! >> {0}; echo $$ >> {0}; wait", file.display());
    let bounded = GrantedAttempt { timeout: Millis(300), ..attempt() };
    let outcome = bench.run(&sh(&script), &bounded).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Timeout, false));
    assert!(outcome.detail.contains("300ms: killed by signal 15 (TERM)"), "{}", outcome.detail);
    assert!((300..4_000).contains(&outcome.duration_ms), "{}", outcome.duration_ms);
    all_dead(&pids(&file, 2).await).await;
}

#[tokio::test]
async fn who_ignores_term_is_killed_after_the_grace() {
    let bench = TestExec::new();
    let file = bench.path("pids");
    // The main process ends by TERM. Another member of its group, with separate output, does not.
    let script = format!(
        "sh -c 'trap \"\" TERM; echo $$ >> {0}; while :; do sleep 0.05; done' >/dev/null 2>&1 & \
         echo $$ >> {0}; wait",
        file.display()
    );
    let stubborn = GrantedAttempt { timeout: Millis(300), kill_grace: Millis(300), ..attempt() };
    let outcome = bench.run(&sh(&script), &stubborn).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Timeout, false));
    assert!(outcome.duration_ms >= 600, "{}", outcome.duration_ms);
    let pids = pids(&file, 2).await;
    assert!(!pids.iter().any(|pid| is_alive(*pid)), "the attempt ended before its group");

    let stubborn = GrantedAttempt { timeout: Millis(300), kill_grace: Millis(0), ..attempt() };
    let outcome = bench.run(&sh("trap '' TERM; while :; do sleep 0.05; done"), &stubborn).await;
    assert!(outcome.detail.contains("signal 9 (KILL)"), "{}", outcome.detail);
}

#[tokio::test]
async fn a_stop_gives_the_work_its_grace() {
    let bench = TestExec::new();
    // Like cron lines: the shell ends by TERM immediately, and its child cleans up.
    let script = format!(
        "sh -c 'trap \"sleep 0.2; echo clean > {0}; exit 0\" TERM; echo up; \
         while :; do sleep 0.01; done'; true",
        bench.path("clean").display()
    );
    let attempt = attempt();
    let id = attempt.execution;
    let running = bench.start(sh(&script), attempt);
    until("the work has started", || bench.exec.live_output(id).is_some_and(|c| c.total > 0)).await;
    running.stop.send(Stop::Ask).unwrap();
    let outcome = running.ended().await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Cancelled, false));
    assert_eq!(std::fs::read_to_string(bench.path("clean")).unwrap(), "clean\n");
}

#[tokio::test]
async fn a_kill_does_not_wait() {
    let bench = TestExec::new();
    let file = bench.path("pids");
    let attempt = GrantedAttempt { kill_grace: Millis::from_secs(3_600), ..attempt() };
    let script =
        format!("trap '' TERM; echo $$ >> {}; while :; do sleep 0.05; done", file.display());
    let running = bench.start(sh(&script), attempt);
    let pids = pids(&file, 1).await;
    running.stop.send(Stop::Ask).unwrap();
    running.stop.send(Stop::Kill).unwrap();
    assert_eq!(running.ended().await.status, AttemptStatus::Cancelled);
    assert!(!is_alive(pids[0]));
}

#[tokio::test]
async fn background_processes_hold_no_attempt_and_outlive_it() {
    let bench = TestExec::new();
    let file = bench.path("pids");
    let go = bench.path("go");
    let script = format!(
        "(while [ ! -e {1} ]; do sleep 0.01; done; echo late; echo later; echo $$ > {1}.done) & \
         echo $! >> {0}; echo main",
        file.display(),
        go.display()
    );
    let outcome = bench.run(&sh(&script), &attempt()).await;
    assert_eq!((outcome.status, outcome.tail.as_slice()), (AttemptStatus::Success, &b"main\n"[..]));
    assert!(is_alive(pids(&file, 1).await[0]));
    std::fs::write(&go, "").unwrap();
    // It can still print, although nothing reads its output.
    until("it ends by itself", || bench.path("go.done").exists()).await;
}

#[tokio::test]
async fn when_the_node_lets_go_every_group_dies() {
    let bench = TestExec::new();
    let file = bench.path("pids");
    let script = format!(
        "trap '' TERM HUP; sleep 600 & echo $! >> {0}; echo $$ >> {0}; wait",
        file.display()
    );
    let running: Vec<StartedAttempt> =
        (0..5).map(|_| bench.start(sh(&script), attempt())).collect();
    let pids = pids(&file, 10).await;
    let shim = shim_of(&bench);
    // The last owners of the socket are dropped, as when the process dies.
    for attempted in &running {
        attempted.task.abort();
    }
    drop(bench);
    drop(running);
    all_dead(&pids).await;
    all_dead(&[shim]).await;
}

#[tokio::test]
async fn a_dropped_attempt_kills_its_group() {
    let bench = TestExec::new();
    let file = bench.path("pids");
    let script = format!("sleep 600 & echo $! >> {0}; echo $$ >> {0}; wait", file.display());
    let running = bench.start(sh(&script), attempt());
    let pids = pids(&file, 2).await;
    running.task.abort();
    all_dead(&pids).await;
}

#[tokio::test]
async fn when_the_shim_dies_its_groups_die_and_a_new_one_starts() {
    let bench = TestExec::new();
    let file = bench.path("pids");
    let script = format!("sleep 600 & echo $! >> {0}; echo $$ >> {0}; wait", file.display());
    let mut running = bench.start(sh(&script), attempt());
    // The node does not know a group that was not reported yet: see the documentation of `shim`.
    running.started().await;
    let pids = pids(&file, 2).await;
    let shim = shim_of(&bench);
    kill_process(shim, Signal::KILL).unwrap();
    let outcome = running.ended().await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Lost, true));
    all_dead(&pids).await;
    assert_eq!(bench.run(&sh("true"), &attempt()).await.status, AttemptStatus::Success);
    assert_ne!(bench.exec.shim_pid().unwrap(), shim.as_raw_nonzero().get().cast_unsigned());
}

#[tokio::test]
async fn many_at_once_all_start_once() {
    let bench = TestExec::new();
    let folder = bench.path("marks");
    std::fs::create_dir(&folder).unwrap();
    let script = format!("echo x >> {}/$PUNCTUAL_EXECUTION_ID", folder.display());
    let running: Vec<StartedAttempt> =
        (0..200).map(|_| bench.start(sh(&script), attempt())).collect();
    for attempted in running {
        assert_eq!(attempted.ended().await.status, AttemptStatus::Success);
    }
    let marks: Vec<_> = std::fs::read_dir(folder).unwrap().map(Result::unwrap).collect();
    assert_eq!(marks.len(), 200);
    assert!(marks.iter().all(|mark| mark.metadata().unwrap().len() == 2));
}
