//! The lines of the README, as they are typed.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use cluster_tests::{Dev, LIMIT, ProcessExit, TestResult, node_program, skipped, until};
use tokio::time::timeout;

const README: &str = include_str!("../../../README.md");
/// Commands that other tests run, or that are too much for one: builds, nodes and workers with
/// fixed ports, and nodes on other machines.
const ELSEWHERE: [&str; 4] =
    ["cargo ", SERVE, "punctual executor --", "punctual cluster members add "];
/// Begins the lines that start the nodes of a cluster, each in a terminal of its own.
const SERVE: &str = "punctual serve ";
/// Programs that stand in the README.
const PROGRAMS: [&str; 4] = ["cargo", "punctual", "curl", "crontab"];

/// What is typed: the blocks of code, and the table of commands, each the lines of one terminal.
fn blocks() -> TestResult<Vec<Vec<&'static str>>> {
    let mut blocks = Vec::new();
    let mut open = None;
    let mut table = Vec::new();
    // Blocks of a language are not typed.
    let mut language = false;
    for line in README.lines() {
        match &mut open {
            None if language => language = line != "```",
            None if line.len() > 3 && line.starts_with("```") => language = true,
            None if line == "```" => open = Some(Vec::new()),
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => block.push(line),
            None => table.extend(line.strip_prefix("| `").and_then(|rest| rest.split('`').next())),
        }
    }
    // The first table is about what the second block made.
    table.retain(|line| line.starts_with("punctual "));
    if blocks.len() < 8 || table.len() < 6 || open.is_some() {
        return Err(format!("the README has {} blocks: {table:?}", blocks.len()).into());
    }
    blocks.insert(2, table);
    Ok(blocks)
}

/// Types lines in one terminal, which ends at the first that fails.
async fn types(
    shell: &str,
    lines: &[String],
    folder: &Path,
    server: &str,
) -> TestResult<ProcessExit> {
    let mut terminal = terminal(shell, &lines.join("\n"), folder);
    terminal.env("PUNCTUAL_SERVER", server);
    Ok(timeout(LIMIT, terminal.output()).await??.into())
}

/// A shell that has these lines before it.
fn terminal(shell: &str, lines: &str, folder: &Path) -> tokio::process::Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut terminal = tokio::process::Command::new(shell);
    terminal
        .args(["-e", "-x", "-c", lines])
        .current_dir(folder)
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    terminal
}

/// A folder with a program or two on its path, where lines are typed.
fn home(folder: &Path) -> TestResult<()> {
    let bin = folder.join("bin");
    fs::create_dir(&bin)?;
    symlink(node_program()?, bin.join("punctual"))?;
    // The crontabs of this machine are no business of a test.
    let user = String::from_utf8(Command::new("id").arg("-un").output()?.stdout)?;
    fs::write(folder.join("system.cron"), format!("0 5 * * * {} date\n", user.trim()))?;
    let crontab = bin.join("crontab");
    fs::write(&crontab, "#!/bin/sh\ncat my.cron\n")?;
    Ok(fs::set_permissions(&crontab, fs::Permissions::from_mode(0o755))?)
}

#[tokio::test]
async fn the_lines_of_the_readme_work_as_typed() -> TestResult<()> {
    let curl = Path::new("/usr/bin/curl").exists();
    if !curl {
        skipped("curl is not installed")?;
    }
    let dev = Dev::start(3).await?;
    let folder = tempfile::tempdir()?;
    home(folder.path())?;
    // Where this cluster differs from the one that the README starts.
    let here = |line: &str| {
        let mut line = line.replace("punctual dev ", &format!("punctual dev --port {} ", dev.port));
        line = line.replace(" /etc/crontab ", " system.cron ");
        for node in 0..3 {
            let (there, own) = (format!("127.0.0.1:808{node}"), dev.port + node);
            line = line.replace(&there, &format!("127.0.0.1:{own}"));
        }
        line
    };
    let mut typed = 0;
    for block in blocks()? {
        let left_out = |line: &&str| {
            ELSEWHERE.iter().any(|begin| line.starts_with(begin))
                || (!curl && line.starts_with("curl "))
        };
        let lines: Vec<String> =
            block.into_iter().filter(|line| !left_out(line)).map(here).collect();
        typed += lines.len();
        let ended = types("sh", &lines, folder.path(), &dev.server()).await?;
        assert_eq!(ended.code, Some(0), "{lines:#?}: {ended:?}");
        // curl ends well whatever it is answered.
        assert!(!ended.stdout.contains("\"request_id\""), "{lines:#?}: {ended:?}");
        // A node that was killed and started again is back for the next ones.
        dev.ready().await?;
    }
    assert!(typed > 25, "{typed} lines");
    dev.stop().await
}

/// What a shell makes of a line before its command runs: words that it takes for patterns, say.
#[tokio::test]
async fn every_shell_reads_the_lines_of_the_readme() -> TestResult<()> {
    for shell in ["sh", "bash", "zsh"] {
        let there = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join(shell).exists());
        if !there {
            skipped(&format!("{shell} is not installed"))?;
            continue;
        }
        let folder = tempfile::tempdir()?;
        let mut lines: Vec<String> =
            PROGRAMS.iter().map(|program| format!("{program}() {{ :; }}")).collect();
        lines.extend(blocks()?.concat().into_iter().map(str::to_owned));
        let ended = types(shell, &lines, folder.path(), "").await?;
        assert_eq!(ended.code, Some(0), "{shell}: {ended:?}");
    }
    Ok(())
}

/// The settings of the repository, with an address of this test's own in the place of 127.0.0.1.
fn settings(folder: &Path, address: &str) -> TestResult<()> {
    let there = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    fs::create_dir(folder.join("configs"))?;
    for node in 1..=3 {
        let name = format!("node{node}.toml");
        let text = fs::read_to_string(there.join(&name))?;
        assert!(text.contains("127.0.0.1"), "{name}");
        fs::write(folder.join("configs").join(name), text.replace("127.0.0.1", address))?;
    }
    Ok(())
}

/// The three terminals with a node each, and the fourth one, in which tasks run.
#[tokio::test]
async fn the_nodes_of_the_readme_start_as_typed() -> TestResult<()> {
    let folder = tempfile::tempdir()?;
    home(folder.path())?;
    // 127.0.*.* is for everybody else.
    let (a, b) = (rand::random_range(1..=254_u8), rand::random::<u8>());
    let address = format!("127.{a}.{b}.1");
    settings(folder.path(), &address)?;
    let all = blocks()?;
    let starts: Vec<&str> =
        all.iter().flatten().copied().filter(|line| line.starts_with(SERVE)).collect();
    assert_eq!(starts.len(), 3, "{starts:?}");
    let mut nodes = Vec::new();
    for line in starts {
        let mut terminal = terminal("sh", &format!("exec {line}"), folder.path());
        nodes.push(terminal.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    }
    let fourth = all.iter().find(|block| block.iter().any(|line| line.starts_with("export ")));
    let mut lines: Vec<String> = fourth
        .ok_or("no fourth terminal")?
        .iter()
        .map(|line| line.replace("127.0.0.1", &address))
        .collect();
    until("all three nodes to work", async || {
        let ended = types("sh", &lines, folder.path(), "").await?;
        let working = ended.stdout.matches(" working ").count();
        if (ended.code, working) == (Some(0), 3) {
            Ok(())
        } else {
            Err(format!("{ended:?}").into())
        }
    })
    .await?;
    // A node can carry it out: they start processes.
    lines.push("punctual add hello --now -- echo hi".to_owned());
    let ended = types("sh", &lines, folder.path(), "").await?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("warning"), "{ended:?}");
    for node in 1..=3 {
        assert!(folder.path().join(format!("data/n{node}/identity")).exists(), "n{node}");
    }
    for mut node in nodes {
        assert!(node.try_wait()?.is_none(), "a node has ended");
        node.kill().await?;
    }
    Ok(())
}
