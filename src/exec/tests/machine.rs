//! The environment of a process: a user with all groups, limits, a folder, descriptors. Also
//! attempts during a shortage of the machine.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, geteuid, getrlimit, kill_process_group};

use super::shell::{argv, is_alive, pids, sh};
use super::*;
use crate::domain::task::ShellAction;
use crate::exec::shim::wire::{Credentials, Spawn, ToShim, encode};
use crate::skip::skipped;

/// A shim with this limit of open files.
fn limited(limit: &str) -> ShimProgram {
    let ShimProgram { path, args } = shim_program();
    let script = format!("ulimit {limit} && exec \"$@\"");
    let all = ["-c".to_owned(), script, "sh".to_owned(), path.to_str().unwrap().to_owned()];
    ShimProgram { path: "/bin/sh".into(), args: all.into_iter().chain(args).collect() }
}

/// The soft limit of open files, as the shell prints it.
fn soft_limit() -> String {
    let limit = getrlimit(rustix::process::Resource::Nofile);
    limit.current.map_or("unlimited".to_owned(), |limit| limit.to_string())
}

#[tokio::test]
async fn a_user_is_taken_on_where_that_is_possible() {
    let bench = TestExec::new();
    let mut action = argv(&["/bin/sh", "-c", "id -u; id -G; echo $HOME $USER; pwd"]);
    action.user = Some("nobody".to_owned());
    let outcome = bench.run(&Action::Shell(action.clone()), &attempt()).await;
    if !geteuid().is_root() {
        assert!(outcome.detail.contains("runs as root, or as that user"), "{}", outcome.detail);
        return skipped("only root takes another user on");
    }
    // A user whose home does not exist.
    let text = String::from_utf8(outcome.tail).unwrap();
    assert!(text.contains("65534\n65534\n"), "{} {text}", outcome.detail);
    assert!(text.ends_with(" nobody\n/\n"), "{text}");
    // The node's own user, as an explicit user.
    action.user = Some("root".to_owned());
    let outcome = bench.run(&Action::Shell(action), &attempt()).await;
    let text = String::from_utf8(outcome.tail).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), ["0", "0", "/root root", "/root"]);
}

#[tokio::test]
async fn what_another_user_cannot_start_says_so_in_its_output() {
    if !geteuid().is_root() {
        return skipped("only root takes another user on");
    }
    let bench = TestExec::new();
    let closed = tempfile::tempdir().unwrap();
    std::fs::set_permissions(closed.path(), PermissionsExt::from_mode(0o700)).unwrap();
    for (folder, program, said) in [
        (closed.path().to_str().unwrap(), "/bin/true", "cannot start `/bin/true` in `"),
        ("/", "/no/such/program", "cannot start `/no/such/program`: No such file"),
    ] {
        let mut action = argv(&[program]);
        action.user = Some("nobody".to_owned());
        action.cwd = Some(folder.to_owned());
        let outcome = bench.run(&Action::Shell(action), &attempt()).await;
        let text = String::from_utf8(outcome.tail).unwrap();
        assert!(text.contains(said), "{} {text}", outcome.detail);
    }
}

/// Starts a shim without a node. Its orders are written to the stream.
fn shim_by_hand() -> (std::process::Child, UnixStream) {
    let ShimProgram { path, args } = shim_program();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let stdin = Stdio::from(OwnedFd::from(theirs));
    let shim = Command::new(path).args(args).stdin(stdin).stdout(Stdio::null()).spawn().unwrap();
    (shim, ours)
}

fn order(script: &str, user: Option<Credentials>) -> Spawn {
    Spawn {
        id: 1,
        start_by: BootInstant::now().plus(Millis(10_000)),
        program: "/bin/sh".to_owned(),
        argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec![("GREETING".to_owned(), "hi".to_owned())],
        folder: "/".to_owned(),
        stdin: "from stdin".to_owned(),
        open_files: None,
        user,
    }
}

#[tokio::test]
async fn another_user_has_all_groups_and_only_the_commands_variables() {
    if !geteuid().is_root() {
        return skipped("only root takes another user on");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen");
    std::fs::write(&file, "").unwrap();
    // The folder belongs to root; everyone can access the file.
    for (path, mode) in [(folder.path(), 0o755), (&file, 0o666)] {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    let (mut shim, mut link) = shim_by_hand();
    let script =
        format!("(id -u; id -g; id -G; env; cat; ulimit -Sn; echo; echo end) > {}", file.display());
    let user = Credentials { uid: 65_534, gid: 65_534, groups: vec![4, 27, 65_534] };
    let frame = encode(&ToShim::Spawn(Box::new(order(&script, Some(user))))).unwrap();
    io::Write::write_all(&mut link, &frame).unwrap();
    until("the command is done", || std::fs::read_to_string(&file).unwrap().ends_with("end\n"))
        .await;
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["65534", "65534"], "{text}");
    let mut groups: Vec<&str> = lines[2].split(' ').collect();
    groups.sort_unstable();
    assert_eq!(groups, ["27", "4", "65534"]);
    assert!(lines.contains(&"GREETING=hi"), "{text}");
    assert!(!text.contains("as_user_") && !text.contains("CARGO"), "{text}");
    assert!(text.contains(&format!("from stdin{}\n", soft_limit())), "{text}");
    drop(link);
    shim.wait().unwrap();
}

#[tokio::test]
async fn a_stop_that_comes_after_the_end_reaches_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let (mut shim, mut link) = shim_by_hand();
    // More output than fits into all buffers, so that the shim still has output to relay when the
    // main process has ended. Another process remains in the group.
    let script = format!(
        "sleep 600 >/dev/null 2>&1 & echo $! >> {0}; echo $$ >> {0}; \
         head -c 60000 /dev/zero; exec head -c 60000 /dev/zero",
        file.display()
    );
    let mut send = |order: &ToShim| {
        io::Write::write_all(&mut link, &encode(order).unwrap()).unwrap();
    };
    send(&ToShim::Spawn(Box::new(order(&script, None))));
    let pids = pids(&file, 2).await;
    let (left, main): (Pid, Pid) = (pids[0], pids[1]);
    // Until the shim has reaped it: an ended process stays visible as a zombie.
    let entry = format!("/proc/{}", main.as_raw_nonzero());
    until("the main process has ended", || !std::path::Path::new(&entry).exists()).await;
    send(&ToShim::Kill { id: 1, force: true });
    // Orders are executed in sequence: when this one has run, the previous one is done.
    let mark = folder.path().join("mark");
    send(&ToShim::Spawn(Box::new(Spawn {
        id: 2,
        ..order(&format!("echo > {}", mark.display()), None)
    })));
    until("the orders are done", || mark.exists()).await;
    assert!(is_alive(left), "a process left by an ended attempt was killed");
    kill_process_group(main, Signal::KILL).unwrap();
    drop(link);
    shim.wait().unwrap();
}

#[tokio::test]
async fn a_process_never_sees_the_shims_own_limit() {
    let bench = TestExec::with(|options| options.shell = Some(limited("-S -n 64")));
    // More attempts than the limit of each process.
    let all: Vec<GrantedAttempt> = (0..100).map(|_| attempt()).collect();
    let running: Vec<StartedAttempt> = all
        .iter()
        .map(|attempt| bench.start(sh("ulimit -S -n; exec sleep 600"), attempt.clone()))
        .collect();
    for attempt in &all {
        let printed = || bench.exec.live_output(attempt.execution).is_some_and(|c| c.total > 0);
        until("all attempts are running", printed).await;
    }
    for attempted in running {
        attempted.stop.send(Stop::Kill).unwrap();
        let outcome = attempted.ended().await;
        assert_eq!(
            (outcome.status, outcome.tail.as_slice()),
            (AttemptStatus::Cancelled, &b"64\n"[..])
        );
    }
}

#[tokio::test]
async fn no_command_works_among_what_the_node_keeps() {
    let bench = TestExec::with(|options| options.work_dir = options.data_dir.join("work"));
    let data = bench.path("data");
    for folder in ["log", "work/mine"] {
        std::fs::create_dir_all(data.join(folder)).unwrap();
    }
    let linked = bench.path("linked");
    std::os::unix::fs::symlink(data.join("log"), &linked).unwrap();
    let allowed = [(data.join("work"), true), (data.join("work/mine"), true)];
    let refused = [&data, &data.join("log"), &data.join("work/../log"), &linked];
    let refused = refused.map(|folder| (folder.clone(), false));
    for (folder, good) in allowed.into_iter().chain(refused) {
        let Action::Shell(action) = sh("echo > mark") else { unreachable!() };
        let cwd = Some(folder.to_str().unwrap().to_owned());
        let outcome = bench.run(&Action::Shell(ShellAction { cwd, ..action }), &attempt()).await;
        assert_eq!(
            outcome.status == AttemptStatus::Success,
            good,
            "{}: {outcome:?}",
            folder.display()
        );
        assert_eq!(outcome.detail.contains("data folder"), !good, "{outcome:?}");
        assert_eq!(folder.join("mark").exists(), good, "{}", folder.display());
    }
}

#[tokio::test]
async fn a_process_has_the_limit_that_the_node_says() {
    let bench = TestExec::with(|options| options.open_files = Some(100));
    assert_eq!(bench.run(&sh("ulimit -S -n"), &attempt()).await.tail, b"100\n");
}

#[tokio::test]
async fn without_descriptors_an_attempt_waits_and_does_not_fail() {
    // The hard limit too, so that the shim cannot raise its limit.
    let bench = TestExec::with(|options| options.shell = Some(limited("-n 24")));
    let all: Vec<GrantedAttempt> = (0..30).map(|_| attempt()).collect();
    let mut running: Vec<StartedAttempt> =
        all.iter().map(|attempt| bench.start(sh("exec sleep 600"), attempt.clone())).collect();
    until("an attempt ends", || running.iter().any(|attempted| attempted.task.is_finished())).await;
    let at = running.iter().position(|attempted| attempted.task.is_finished()).unwrap();
    let outcome = running.swap_remove(at).ended().await;
    assert_eq!((outcome.status, outcome.started), (AttemptStatus::NotStarted, None), "{outcome:?}");
    assert_eq!(outcome.detail, shortage::SHORT);
    for attempted in running {
        // Others may have ended in the same way.
        let _ended = attempted.stop.send(Stop::Kill);
        let outcome = attempted.ended().await;
        assert!(
            matches!(outcome.status, AttemptStatus::Cancelled | AttemptStatus::NotStarted),
            "{outcome:?}"
        );
    }
    // There are free descriptors again, and the attempt that waited starts.
    let mut again = bench.start(sh("exec sleep 600"), all[at].clone());
    again.started().await;
    again.stop.send(Stop::Kill).unwrap();
    assert_eq!(again.ended().await.status, AttemptStatus::Cancelled);
}

#[tokio::test]
async fn a_reference_that_does_not_answer_ends_with_the_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "key\n").unwrap();
    let allowed = format!("{}/", folder.path().display());
    let bench = TestExec::with(|options| {
        options.refs.files = vec![config::RefFiles::parse(&allowed).unwrap()];
    });
    let action = Action::Shell(argv(&["echo", &format!("${{file:{}}}", file.display())]));
    assert_eq!(bench.run(&action, &attempt()).await.tail, b"key\n");
    // As if every reader were blocked by a network disk.
    let readers = Arc::clone(&bench.exec.refs.readers);
    let hung = readers.acquire_many_owned(u32::try_from(refs::READERS).unwrap()).await.unwrap();
    let soon = BootInstant::now().plus(Millis(50));
    let bounded = GrantedAttempt { timeout: Millis(200), start_by: soon, ..attempt() };
    let outcome = bench.run(&action, &bounded).await;
    assert_eq!((outcome.status, outcome.unknown), (AttemptStatus::Timeout, false), "{outcome:?}");
    assert!(outcome.detail.contains("not resolved within 200ms"), "{}", outcome.detail);
    let mut running = bench.start(action.clone(), attempt());
    running.stop.send(Stop::Ask).unwrap();
    assert!(running.started.try_recv().is_err());
    assert_eq!(running.ended().await.status, AttemptStatus::Cancelled);
    drop(hung);
    assert_eq!(bench.run(&action, &attempt()).await.status, AttemptStatus::Success);
}
