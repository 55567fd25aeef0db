//! Crontabs of our own writing, which have the forms of real ones, against tables that people
//! have looked at. `PUNCTUAL_BLESS=1` writes the tables anew.

use std::fs;

use clap::Parser;
use serde_json::json;

use super::crontab::{Crontab, CrontabJob, parse};
use super::*;
use crate::cli::exit::Exit;
use crate::cli::local::LocalClock;
use crate::cli::output::{Format, Output};
use crate::cli::tests::CapturedOutput;
use crate::domain::schedule::Rule;
use crate::domain::time::Timestamp;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cluster-tests/crontabs");
const FROM: &str = "2026-01-01T00:00:00Z";

#[derive(Parser)]
struct TestLine {
    #[command(subcommand)]
    command: ImportCommand,
}

/// Imports without a cluster: exit code, data, talk.
async fn import(format: Format, arguments: &[&str]) -> (Exit, String, String) {
    let (data, talk) = (CapturedOutput::default(), CapturedOutput::default());
    let clock = LocalClock::new("UTC", Timestamp::parse(FROM).unwrap());
    let out = Output::to(format, clock, Box::new(data.clone()), Box::new(talk.clone()));
    let mut context = CliContext::with(out, Vec::new(), false);
    let line = ["import", "crontab", "--dry-run"].iter().chain(arguments);
    let line = TestLine::try_parse_from(line).unwrap();
    let exit = run(line.command, &mut context).await.unwrap();
    (exit, data.text(), talk.text())
}

fn fixture(name: &str) -> String {
    format!("{FOLDER}/{name}.cron")
}

#[tokio::test]
async fn fixtures_become_what_their_table_says() {
    let mut table = String::new();
    for name in [
        "filesystem-check",
        "activity",
        "arrays",
        "sessions",
        "certificates",
        "catchup",
        "crontab",
        "plugins",
        "forms",
    ] {
        let path = fixture(name);
        let arguments = [
            "--system",
            "--anywhere",
            "--tz",
            "Europe/Berlin",
            "--from",
            FROM,
            "--fingerprint",
            &path,
        ];
        let (exit, data, _) = import(Format::Table, &arguments).await;
        assert_eq!(exit, Exit::Ok, "{name}");
        for line in data.lines() {
            table.push_str(&format!("{name}\t{line}\n"));
        }
    }
    let golden = format!("{FOLDER}/fixtures.table");
    if std::env::var_os("PUNCTUAL_BLESS").is_some() {
        fs::write(&golden, &table).unwrap();
    }
    assert_eq!(table, fs::read_to_string(&golden).unwrap());
}

#[tokio::test]
async fn wrong_lines_are_named_and_the_others_imported() {
    let path = fixture("broken");
    let arguments = ["--system", "--host", "web1", "--tz", "UTC", "--from", FROM, &path];
    let (exit, data, talk) = import(Format::Table, &arguments).await;
    assert_eq!(exit, Exit::Usage);
    assert!(data.contains("cron-web1-broken-first") && data.contains("cron-web1-broken-last"));
    assert_eq!(data.lines().count(), 3, "{data}");
    for wrong in [
        ":3:1: minute must be 0 to 59, got 61",
        ":4:1: schedule never fires",
        ":5:15: five time fields or a nickname, a user and a command are needed",
        ":6:8: five time fields or a nickname, a user and a command are needed",
        ":7:1: is neither a job nor an assignment",
        ":8:1: is neither a job nor an assignment",
        ":9:7: five time fields",
        ":10:1: @sometimes is not one of",
        ":11:9: \"Mars/Olympus\" is not a known timezone",
        ":12:1: its zone is not known; see CRON_TZ in line 11",
        ":14:1: action.shell.user must be the name of a user",
        ":15:16: the command is empty",
    ] {
        assert!(talk.contains(&format!("{path}{wrong}")), "{wrong} is not in\n{talk}");
    }
    assert!(talk.contains("2 tasks would be created"), "{talk}");
}

#[tokio::test]
async fn a_line_that_may_not_mean_what_it_says_is_imported_with_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tab");
    fs::write(&file, "0 4 * * * date\n*/90 4 * * * backup\n").unwrap();
    let path = file.to_str().unwrap();
    let (exit, data, talk) = import(Format::Table, &["--tz", "UTC", path]).await;
    assert_eq!((exit, data.lines().count()), (Exit::Ok, 3), "{data}");
    let warning = format!("warning: {path}:2: */90 in the minute field is 0");
    assert!(talk.contains(&warning), "{talk}");
    assert_eq!(talk.matches("warning: ").count(), 1, "{talk}");
}

#[tokio::test]
async fn what_is_not_carried_over_is_listed() {
    let path = fixture("plugins");
    let (exit, _, talk) = import(Format::Table, &["--system", "--tz", "UTC", &path]).await;
    assert_eq!(exit, Exit::Ok);
    assert!(talk.contains(&format!("{path}:5: MAILTO=root")), "{talk}");
    assert!(talk.contains(&format!("{path}:9: @reboot")), "{talk}");
    let unprivileged = talk.contains(&format!("{path}:8: user daemon"));
    assert_eq!(unprivileged, !rustix::process::geteuid().is_root(), "{talk}");
}

#[tokio::test]
async fn what_cron_mails_becomes_a_chain_where_a_task_is_named_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tab");
    fs::write(
        &file,
        "0 1 * * * early\nMAILTO=ops@example.org\n0 2 * * * mailed\nMAILTO=\"\"\n0 3 * * * quiet\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    let arguments = ["--tz", "UTC", "--mailto", "notify", path];
    let (exit, data, _) = import(Format::Json, &arguments).await;
    assert_eq!(exit, Exit::Ok);
    let value: Value = serde_json::from_str(&data).unwrap();
    let then = |index: usize| value["items"][index]["task"].get("then").cloned();
    let wanted = json!({"failure": ["notify"], "timeout": ["notify"], "lost": ["notify"]});
    assert_eq!([then(0), then(1), then(2)], [None, Some(wanted), None]);
    assert_eq!(value["not_carried"], json!([]));
    let chained = value["chained"][0].as_str().unwrap();
    let begin = format!("{path}:2: MAILTO=ops@example.org: notify is started when a run fails");
    assert!(chained.starts_with(&begin), "{chained}");
    let (_, _, talk) = import(Format::Table, &arguments).await;
    assert!(talk.contains("carried over as chains:") && talk.contains(chained), "{talk}");
    // Without a name it is listed as not carried over.
    let (_, data, _) = import(Format::Json, &["--tz", "UTC", path]).await;
    let value: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&value["chained"], value["items"][1]["task"].get("then")), (&json!([]), None));
    let listed = value["not_carried"][0].as_str().unwrap();
    assert!(listed.contains("MAILTO=ops@example.org: nothing is mailed"), "{listed}");
}

#[test]
fn a_task_for_mail_has_the_name_of_a_task() {
    let line = ["import", "crontab", "--mailto", "a b", "-"];
    let Err(error) = TestLine::try_parse_from(line) else { panic!("it is no name") };
    assert!(error.to_string().contains("--mailto"), "{error}");
}

#[tokio::test]
async fn the_body_is_a_task_that_does_what_cron_did() {
    let path = fixture("forms");
    let arguments = ["--system", "--tz", "Asia/Tokyo", "--host", "web1", "--from", FROM, &path];
    let (exit, data, _) = import(Format::Json, &arguments).await;
    assert_eq!(exit, Exit::Ok);
    let value: Value = serde_json::from_str(&data).unwrap();
    let task = |index: usize| value["items"][index]["task"].clone();
    assert_eq!(
        task(0),
        json!({
            "name": "cron-web1-forms-report",
            "schedule": {"cron": "0 2 * * MON-FRI", "timezone": "Europe/Berlin"},
            "action": {"shell": {
                "argv": ["/bin/sh", "-c", "/usr/local/bin/report --mail"],
                "env": {"PATH": "/usr/bin:/bin", "CRON_TZ": "Europe/Berlin", "MAILTO": "",
                    "SHELL": "/bin/sh"},
                "cwd": null,
                "stdin": "Dear all,\n\nthe numbers: 5%\n",
                "user": "root",
            }},
            "catch_up": {"policy": "last"},
            "assignment": {"selector": {"host": "web1"}},
        })
    );
    assert_eq!(task(1)["schedule"]["timezone"], json!("America/New_York"));
    assert_eq!(task(3)["schedule"]["timezone"], json!("Asia/Tokyo"));
    assert_eq!(task(3)["schedule"]["cron"], json!("0 0 * * *"));
    assert_eq!(value["not_carried"], json!([]));
}

#[tokio::test]
async fn a_crontab_of_a_user_runs_in_the_home_with_the_name() {
    let path = fixture("every-minute");
    let (_, data, _) = import(Format::Jsonl, &["--tz", "UTC", &path]).await;
    let first: Value = serde_json::from_str(data.lines().next().unwrap()).unwrap();
    let task = &first["task"];
    assert_eq!(task["description"], json!(null));
    assert_eq!(task["action"]["shell"]["env"]["GREETING"], json!("on time"));
    assert_eq!(task["assignment"]["selector"]["host"], json!(machine::hostname()));
    // As under cron: whoever imports it is whom it runs as, whoever the node runs as.
    if let Some(owner) = machine::owner() {
        assert_eq!(first["user"], json!(owner.name));
        assert_eq!(task["action"]["shell"]["user"], json!(owner.name));
        assert_eq!(task["action"]["shell"]["cwd"], json!(null));
    }
    let (_, data, _) = import(Format::Jsonl, &["--anywhere", "--user", "www", &path]).await;
    let first: Value = serde_json::from_str(data.lines().next().unwrap()).unwrap();
    assert_eq!(first["user"], json!("www"));
    assert_eq!(task_name(&first), "cron-www-echo");
    assert_eq!(first["task"].get("assignment"), None);
    assert_eq!(first["task"]["action"]["shell"]["env"].get("HOME"), None);
}

fn task_name(item: &Value) -> &str {
    item["task"]["name"].as_str().unwrap()
}

#[tokio::test]
async fn names_tell_machine_and_crontab_and_not_the_file_of_a_user() {
    let one = fixture("every-minute");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    fs::copy(&one, &copy).unwrap();
    let names = async |more: &[&str]| {
        let (_, data, _) = import(Format::Jsonl, more).await;
        let items = data.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        items.map(|item| task_name(&item).to_owned()).collect::<Vec<_>>()
    };
    let first = names(&["--user", "ann", "--host", "web1", &one]).await;
    assert_eq!(first, ["cron-web1-ann-echo", "cron-web1-ann-cat"]);
    let copied = names(&["--user", "ann", "--host", "web1", copy.to_str().unwrap()]).await;
    assert_eq!(copied, first, "another file");
    let elsewhere = names(&["--user", "ann", "--host", "web2", &one]).await;
    assert_eq!(elsewhere[0], "cron-web2-ann-echo");
    assert_eq!(names(&["--prefix", "mine", &one]).await, ["mine-echo", "mine-cat"]);
}

#[tokio::test]
async fn an_import_of_nothing_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    fs::write(&empty, "# nothing\n@reboot /bin/x\n").unwrap();
    let (exit, _, talk) = import(Format::Table, &["--tz", "UTC", empty.to_str().unwrap()]).await;
    assert_eq!(exit, Exit::No);
    assert!(talk.ends_with("nothing to import: there is no job in it\n"), "{talk}");
}

fn only(text: &str, system: bool) -> CrontabJob {
    let crontab = parse(text.as_bytes(), system);
    assert_eq!(crontab.problems, Vec::new(), "{text}");
    assert_eq!(crontab.jobs.len(), 1, "{text}");
    crontab.jobs.into_iter().next().unwrap()
}

#[test]
fn percent_signs_split_the_command_as_cron_does() {
    for (text, command, stdin) in [
        ("a b", "a b", ""),
        ("a%", "a", ""),
        ("a%b", "a", "b\n"),
        ("a%b%c%", "a", "b\nc\n"),
        (r"date +\%d", "date +%d", ""),
        (r"a \\%b", r"a \\", "b\n"),
        (r"a \n '\\' %50\%", r"a \n '\\' ", "50%\n"),
        ("a # no comment", "a # no comment", ""),
        ("a  ", "a  ", ""),
    ] {
        let job = only(&format!("* * * * * {text}"), false);
        assert_eq!((job.command.as_str(), job.stdin.as_str()), (command, stdin), "{text}");
    }
}

#[test]
fn assignments_are_read_with_and_without_quotes() {
    let text = "A=1\nB = two words  \nC=\"  kept \"\n'D'='it \"is\"'\nE=a#b\nF=\nLOGNAME=x\nUSER=y\n\
                \tG=h=i\n* * * * * x\nA=2";
    let job = only(text, false);
    let env: Vec<(&str, &str)> = job.env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(
        env,
        [
            ("A", "1"),
            ("B", "two words"),
            ("C", "  kept "),
            ("D", "it \"is\""),
            ("E", "a#b"),
            ("F", ""),
            ("G", "h=i"),
        ]
    );
}

#[test]
fn a_comment_describes_the_job_below_it() {
    let comment = |text: &str| only(&format!("{text}\n0 0 * * * x"), false).comment;
    assert_eq!(comment("# Nightly report").as_deref(), Some("Nightly report"));
    assert_eq!(comment("# one\n## two ##").as_deref(), Some("two"));
    for none in ["# far away\n", "# m h dom mon dow command", "#---", "#0 5 * * * /bin/off", "#"] {
        assert_eq!(comment(none), None, "{none}");
    }
    assert_eq!(comment("# of the variable\nA=b"), None);
}

#[test]
fn odd_bytes_and_line_ends_are_taken() {
    let crontab = parse(b"\xEF\xBB\xBF* * * * * a\r\n* * * * * b\xFFc\n\n@every 90s  d", false);
    assert_eq!(crontab.jobs.len(), 2);
    let rules: Vec<&Rule> = crontab.jobs.iter().map(|job| &job.rule).collect();
    assert!(matches!(rules.as_slice(), [Rule::Cron(_), Rule::Interval { .. }]));
    let problem = crontab.problems.first().unwrap();
    assert_eq!((problem.line, problem.column), (2, 12));
    assert_eq!(parse(b"", true), Crontab::default());
    assert_eq!(parse(b"\n \t \n#", true), Crontab::default());
}

#[test]
fn columns_count_characters_of_the_line() {
    let at = |text: &str, system| {
        let crontab = parse(text.as_bytes(), system);
        crontab.problems.first().map(|problem| problem.column)
    };
    assert_eq!(at("  0 0 x * * a", false), Some(7));
    assert_eq!(at("-0 25 * * * a", false), Some(4));
    assert_eq!(at("* * * * *", false), Some(10));
    assert_eq!(at("* * * * * root", true), Some(15));
    assert_eq!(at("@nightly a", false), Some(1));
    assert_eq!(at("@every soon a", false), Some(8));
}

#[test]
fn a_users_crontab_never_runs_as_the_nodes_user() {
    let job = only("* * * * * backup", false);
    let owner = machine::CrontabOwner { name: "daemon".to_owned(), home: "/usr/sbin".to_owned() };
    let setting = |uids: &[u32], owner: Option<&machine::CrontabOwner>| ImportSettings {
        zone: "UTC".to_owned(),
        host: None,
        runs_as: RunsAs::Users(uids.iter().copied().collect()),
        user: None,
        owner: owner.cloned(),
        mailto: None,
        from: Timestamp::parse(FROM).unwrap(),
    };
    let shell = |setting: &ImportSettings| {
        let prepared = body::prepare(&job, "x", setting).unwrap();
        (prepared.body["action"]["shell"].clone(), prepared.user)
    };
    // Nodes of root, and of the same user: the task names the user.
    for uids in [0, 1] {
        let (action, user) = shell(&setting(&[uids], Some(&owner)));
        assert_eq!((&action["user"], user.as_deref()), (&json!("daemon"), Some("daemon")));
        assert_eq!((&action["cwd"], action["env"].get("HOME")), (&json!(null), None));
    }
    // Nodes of somebody else: listed as not carried over, and told by the user that is shown.
    let (action, user) = shell(&setting(&[2], Some(&owner)));
    assert_eq!((action.get("user"), user.as_deref()), (None, Some("daemon")));
    assert_eq!(action["env"]["LOGNAME"], json!("daemon"));
    // A crontab in cron's own folder is its user's, whoever imports it.
    let root = machine::CrontabOwner { name: "root".to_owned(), home: "/root".to_owned() };
    let spool = setting(&[0], Some(&root)).of_file(Path::new("/var/spool/cron/crontabs/daemon"));
    assert_eq!(shell(&spool).0["user"], json!("daemon"));
}
