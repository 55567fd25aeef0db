//! The commands of the README against a cluster of one node.

use cluster_tests::{
    ClusterOptions, ProcessCluster, ProcessExit, TestResult, node_program, run, until,
};

struct PseudoTerminal {
    server: String,
}

impl PseudoTerminal {
    async fn types(&self, line: &[&str]) -> TestResult<ProcessExit> {
        let server = ["--server", &self.server];
        run(&[&server, line].concat()).await
    }

    /// Runs a command that must succeed.
    async fn good(&self, line: &[&str]) -> TestResult<ProcessExit> {
        let ended = self.types(line).await?;
        assert_eq!(ended.code, Some(0), "{line:?}: {ended:?}");
        Ok(ended)
    }
}

#[tokio::test]
async fn the_second_terminal_of_the_readme() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let terminal = PseudoTerminal { server: cluster.api(1).base().to_owned() };

    let add = ["add", "hello", "--every", "1s", "--", "echo", "on time"];
    let said = terminal.good(&add).await?;
    assert!(said.first_line().starts_with("hello: created, every 1s, next tick "), "{said:?}");
    let again = terminal.types(&add).await?;
    assert_eq!(again.code, Some(5), "{again:?}");
    assert!(again.stderr.contains("task_exists"), "{again:?}");

    let listed = terminal.good(&["ls"]).await?;
    assert!(listed.first_line().starts_with("NAME"), "{listed:?}");
    assert!(listed.stdout.lines().any(|line| line.starts_with("hello")), "{listed:?}");
    let shown = terminal.good(&["show", "hello"]).await?;
    assert!(shown.first_line().contains("hello"), "{shown:?}");
    let next = terminal.good(&["next", "hello"]).await?;
    assert!(next.first_line().starts_with("TICK"), "{next:?}");
    until("a tick that fired", async || {
        let ticks = terminal.good(&["ticks", "hello"]).await?;
        let fired = ticks.stdout.contains("fired");
        if fired { Ok(()) } else { Err(format!("{ticks:?}").into()) }
    })
    .await?;
    until("its output", async || {
        let logs = terminal.good(&["logs", "hello"]).await?;
        let printed = logs.stdout.contains("success") && logs.stdout.contains("on time");
        if printed { Ok(()) } else { Err(format!("{logs:?}").into()) }
    })
    .await?;
    let ran = terminal.good(&["run", "hello"]).await?;
    assert!(ran.first_line().starts_with("hello: execution "), "{ran:?}");
    let ran = terminal.good(&["run", "hello", "--wait"]).await?;
    assert!(ran.stdout.contains("on time"), "{ran:?}");

    let paused = terminal.good(&["pause", "hello", "--reason", "just looking"]).await?;
    assert_eq!(paused.first_line(), "hello: paused: just looking");
    let resumed = terminal.good(&["resume", "hello"]).await?;
    assert!(resumed.first_line().starts_with("hello: resumed, next tick "), "{resumed:?}");
    let deleted = terminal.good(&["delete", "hello"]).await?;
    assert_eq!(deleted.first_line(), "hello: deleted; no tick fires any more");
    // The name stays marked as deleted.
    let add = terminal.types(&add).await?;
    assert_eq!(add.code, Some(5), "{add:?}");
    assert!(add.stderr.contains("task_deleted"), "{add:?}");

    let status = terminal.good(&["cluster", "status"]).await?;
    assert!(
        status.first_line().starts_with("cluster") && status.stdout.contains("n1"),
        "{status:?}"
    );
    let status = terminal.good(&["-o", "json", "cluster", "status"]).await?;
    assert!(status.stdout.contains("\"tasks\": 0,"), "a deleted name counts as a task: {status:?}");
    let nodes = terminal.good(&["node", "list"]).await?;
    assert!(nodes.first_line().starts_with("NAME"), "{nodes:?}");
    cluster.finish().await
}

#[tokio::test]
async fn tasks_are_changed_in_place_and_several_at_a_time() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let terminal = PseudoTerminal { server: cluster.api(1).base().to_owned() };
    for name in ["web-1", "web-2"] {
        let add = ["add", name, "--every", "1h", "--env", "A=1", "--label", "team=web", "--"];
        terminal.good(&[&add[..], &["date"]].concat()).await?;
    }
    let set = ["set", "web-1", "--cron", "0 2 * * *", "--tz", "Europe/Berlin", "--timeout", "60s"];
    let said = terminal.good(&set).await?;
    for line in [
        "  schedule.interval: 1h → none",
        "  schedule.cron: none → 0 2 * * *",
        "  schedule.timezone: none → Europe/Berlin",
        "  timeout: 0s → 1m",
    ] {
        assert!(said.stdout.lines().any(|one| one == line), "{line}: {said:?}");
    }
    let again = terminal.good(&set).await?;
    assert!(again.first_line().starts_with("web-1: nothing changed"), "{again:?}");
    let said = terminal.good(&["set", "web-1", "--unset-env", "A"]).await?;
    assert!(said.stdout.contains("  action.shell.env.A: 1 → none\n"), "{said:?}");
    let edit = ["edit", "web-2", "--visual", "sed -i 's/A: \"1\"/A: two/'"];
    let said = terminal.good(&edit).await?;
    assert!(said.stdout.contains("  action.shell.env.A: 1 → two\n"), "{said:?}");
    let said = terminal.good(&["edit", "web-2", "--visual", "true"]).await?;
    assert_eq!(said.stderr.trim(), "web-2: nothing changed");

    let said = terminal.good(&["pause", "web-*", "--reason", "x"]).await?;
    assert_eq!(said.stdout, "web-1: paused\nweb-2: paused\n");
    let said = terminal.good(&["resume", "--label", "team=web"]).await?;
    assert_eq!(said.stderr, "2 of 2 tasks resumed\n");
    let said = terminal.types(&["pause", "web-1", "nobody"]).await?;
    assert_eq!((said.code, said.stderr.as_str()), (Some(5), "1 of 2 tasks paused\n"), "{said:?}");
    let said = terminal.good(&["run", "web-1", "web-2", "--wait"]).await?;
    assert_eq!(said.stderr, "2 of 2 tasks ran with success\n", "{said:?}");

    let well = terminal.good(&["status"]).await?;
    assert_eq!(well.first_line(), "nothing needs attention; tasks: 2, nodes: 1");
    terminal.good(&["add", "bad", "--manual", "--", "false"]).await?;
    let ran = terminal.types(&["run", "bad", "--wait"]).await?;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let listed = terminal.types(&["status"]).await?;
    assert_eq!(listed.code, Some(1), "{listed:?}");
    assert!(listed.stdout.contains("exit 1") && listed.stdout.contains("punctual logs bad"));
    let failing = terminal.good(&["ls", "--failing", "--no-headers"]).await?;
    assert!(failing.first_line().starts_with("bad "), "{failing:?}");
    let failed = terminal.good(&["failed", "--no-headers"]).await?;
    let id = failed.first_line().split(' ').next().unwrap_or_default().to_owned();
    let retried = terminal.good(&["retry", &id]).await?;
    assert!(retried.first_line().contains("tried again as execution "), "{retried:?}");
    terminal.good(&["failed", "dismiss", &id]).await?;

    let unasked = terminal.types(&["delete", "web-*"]).await?;
    assert_eq!(unasked.code, Some(2), "{unasked:?}");
    terminal.good(&["delete", "web-*", "--yes"]).await?;
    let said = terminal.good(&["reuse", "web-*"]).await?;
    assert_eq!(said.stderr, "2 of 2 tasks in use again\n");
    terminal.good(&["cleanup", "web-*", "bad", "--yes"]).await?;
    let nothing = terminal.types(&["pause", "web-*"]).await?;
    assert_eq!(nothing.code, Some(5), "{nothing:?}");
    assert!(nothing.stderr.contains("no task is called like `web-*`"), "{nothing:?}");
    cluster.finish().await
}

#[tokio::test]
async fn wrong_usage_and_missing_nodes_have_their_own_exit_codes() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let terminal = PseudoTerminal { server: cluster.api(1).base().to_owned() };
    for (line, code, said) in [
        (&["add", "bad name", "--every", "5s", "--", "true"][..], 2, ""),
        (&["add", "a", "--cron", "61 * * * *", "--", "true"], 2, "column 1"),
        (&["add", "a", "--every", "5s", "--tz", "Mars/Olympus", "--", "true"], 2, ""),
        (&["add", "a", "--cron", "0 0 30 2 *", "--", "true"], 2, ""),
        (&["add", "a", "--at", "2026-01-01T00:00:00Z", "--", "true"], 2, "is past ("),
        (&["add", "a"], 2, ""),
        (&["pause", "nobody"], 5, "task_not_found"),
        (&["show", "nobody"], 5, "nobody"),
        (&["frobnicate"], 2, ""),
    ] {
        let ended = terminal.types(line).await?;
        assert_eq!(ended.code, Some(code), "{line:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{line:?}: {ended:?}");
        assert!(ended.stdout.is_empty(), "{line:?}: {ended:?}");
    }
    let nothing = terminal.good(&["ls"]).await?;
    assert_eq!((nothing.stdout.as_str(), nothing.stderr.trim()), ("", "no tasks"));
    cluster.finish().await?;
    let nobody = terminal.types(&["ls"]).await?;
    assert_eq!(nobody.code, Some(3), "{nobody:?}");
    Ok(())
}

/// By name or id, through any node. If the target already leads, it stays leader.
#[tokio::test]
async fn the_lead_is_given_to_the_node_that_is_named() -> TestResult<()> {
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    for (asked, to, leads) in [(1, "n2", "n2"), (1, "3", "n3"), (2, "n1", "n1"), (3, "n1", "n1")] {
        let terminal = PseudoTerminal { server: cluster.api(asked).base().to_owned() };
        // On a busy machine the node may be late. The error message permits a retry.
        until("the transfer of the lead", async || {
            let given = terminal.types(&["cluster", "transfer-leader", to]).await?;
            let wanted = (Some(0), format!("leader: {leads}\n"));
            if (given.code, given.stdout.clone()) == wanted {
                Ok(())
            } else {
                Err(format!("{given:?}").into())
            }
        })
        .await?;
        let status = terminal.good(&["-o", "json", "cluster", "status"]).await?;
        assert!(status.stdout.contains(&format!("\"leader\": \"{leads}\"")), "{status:?}");
    }
    let terminal = PseudoTerminal { server: cluster.api(1).base().to_owned() };
    let nobody = terminal.types(&["cluster", "transfer-leader", "n9"]).await?;
    assert_eq!(nobody.code, Some(5), "{nobody:?}");
    assert!(nobody.stderr.contains("member_not_found"), "{nobody:?}");
    cluster.finish().await
}

/// A command warns about settings that are valid but often unintended.
#[tokio::test]
async fn a_new_task_with_a_step_too_large_is_made_with_a_warning() -> TestResult<()> {
    let cluster = ProcessCluster::start(1, ClusterOptions::default()).await?;
    let terminal = PseudoTerminal { server: cluster.api(1).base().to_owned() };
    let made = terminal.good(&["add", "odd", "--cron", "*/90 * * * *", "--", "true"]).await?;
    assert!(made.first_line().starts_with("odd: created"), "{made:?}");
    let warning = "warning: */90 in the minute field is 0 and nothing else";
    assert!(made.stderr.starts_with(warning), "{made:?}");
    let quiet = terminal.good(&["add", "even", "--cron", "*/30 * * * *", "--", "true"]).await?;
    assert_eq!(quiet.stderr, "", "{quiet:?}");
    cluster.finish().await
}

#[tokio::test]
async fn no_bug_can_be_put_into_the_program() -> TestResult<()> {
    let program = std::fs::read(node_program()?)?;
    let holds = |name: &str| program.windows(name.len()).any(|bytes| bytes == name.as_bytes());
    // A check of the search itself, with a name that exists.
    assert!(holds("task_not_found"));
    for bug in ["settle-any-cursor", "vote-not-persisted", "acknowledged-before-fsync"] {
        assert!(!holds(bug), "{bug}");
    }
    let version = run(&["version", "-o", "json"]).await?;
    assert!(!version.stdout.contains("seeded_bugs"), "{version:?}");
    let refused = run(&["--bug", "settle-any-cursor", "version"]).await?;
    assert_eq!(refused.code, Some(2), "{refused:?}");
    Ok(())
}
