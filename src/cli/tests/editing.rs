//! Tests of `edit` with scripted editors.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Ran, answered, hello, ran};
use crate::cli::exit::Exit;

/// An editor that is this shell script, and the folder that contains it.
fn editor(script: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("editor.sh");
    std::fs::write(&path, script).unwrap();
    let command = format!("sh {}", path.display());
    (folder, command)
}

/// The path where a command reports that the text was kept. The file must exist.
fn kept(ran: &Ran) -> PathBuf {
    let place = ran.talk.lines().find_map(|line| line.trim().strip_prefix("Your text is in "));
    let path = PathBuf::from(place.unwrap_or_else(|| panic!("{}", ran.talk)));
    assert!(path.exists(), "{path:?}");
    path
}

fn sent(ran: &Ran) -> Option<Value> {
    let sent = ran.asked.iter().find_map(|asked| asked.strip_prefix("PUT /tasks/hello if \"7\" "));
    sent.map(|sent| serde_json::from_str(sent).unwrap())
}

#[tokio::test]
async fn what_was_written_is_sent_as_a_whole() {
    let (folder, command) =
        editor("cp \"$1\" \"$0.seen\"\nsed -i 's/interval: \"5s\"/interval: 10s/' \"$1\"\n");
    let mut changed = hello();
    changed["schedule"]["interval"] = json!("10s");
    let answers = [("GET /tasks/hello", 200, hello()), ("PUT /tasks/hello", 200, changed)];
    let done = ran(&["edit", "hello", "--visual", &command], &answers).await;
    assert_eq!(
        (done.exit, done.data.as_str()),
        (Exit::Ok, "hello: changed, next tick in 3 s (12:00:05)\n  schedule.interval: 5s → 10s\n"),
        "{}",
        done.talk
    );
    let body = sent(&done).unwrap();
    assert_eq!(body["schedule"]["interval"], json!("10s"));
    assert_eq!(body["name"], json!("hello"));
    assert!(body.get("revision").is_none() && body.get("owner").is_none(), "{body}");
    let seen = std::fs::read_to_string(folder.path().join("editor.sh.seen")).unwrap();
    assert!(seen.starts_with("# The task hello, revision 7. "), "{seen}");
    assert!(seen.contains("\nname: hello\n") && !seen.contains("owner"), "{seen}");
}

#[tokio::test]
async fn a_file_without_a_change_or_without_content_changes_nothing() {
    for script in ["true", "echo '# more' >> \"$1\"", ": > \"$1\"", "echo '# x' > \"$1\""] {
        let (_folder, command) = editor(script);
        let answers = [("GET /tasks/hello", 200, hello())];
        let done = ran(&["edit", "hello", "--visual", &command], &answers).await;
        assert_eq!(
            (done.exit, done.talk.as_str()),
            (Exit::Ok, "hello: nothing changed\n"),
            "{script}"
        );
        assert_eq!(done.asked, ["GET /tasks/hello"]);
    }
}

#[tokio::test]
async fn what_is_wrong_is_shown_and_can_be_edited_again() {
    let script = "if grep -q '^}$' \"$1\"; then sed -i -e '/^}$/d' -e s/5s/10s/ \"$1\"; \
                  else echo '}' >> \"$1\"; fi";
    let (_folder, command) = editor(script);
    let answers = [("GET /tasks/hello", 200, hello()), ("PUT /tasks/hello", 200, hello())];
    let line = ["edit", "hello", "--visual", &command];
    let done = answered(&line, &answers, "yes\n").await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.talk);
    assert!(done.talk.starts_with("error: ") && done.talk.contains("line "), "{}", done.talk);
    assert_eq!(sent(&done).unwrap()["schedule"]["interval"], json!("10s"));
    // In a session that is not interactive, or if the answer is no, the text is kept.
    let (_folder, command) = editor("echo '}' >> \"$1\"");
    let line = ["edit", "hello", "--visual", &command];
    for ran in [ran(&line, &answers).await, answered(&line, &answers, "no\n").await] {
        assert_eq!(ran.exit, Exit::Usage);
        assert!(ran.talk.contains("error: nothing was changed\n"), "{}", ran.talk);
        remove(&kept(&ran));
    }
    let refusal = json!({"code": "invalid_task", "detail": "no", "errors":
        [{"pointer": "/schedule/interval", "message": "must be a duration"}]});
    let (_folder, command) = editor("sed -i s/5s/never/ \"$1\"");
    let answers = [("GET /tasks/hello", 200, hello()), ("PUT /tasks/hello", 422, refusal)];
    let refused = ran(&["edit", "hello", "--visual", &command], &answers).await;
    assert_eq!(refused.exit, Exit::Usage);
    assert!(refused.talk.contains("schedule.interval: must be a duration"), "{}", refused.talk);
    remove(&kept(&refused));
}

#[tokio::test]
async fn a_task_that_changed_meanwhile_is_left_and_the_text_kept() {
    let (_folder, command) = editor("sed -i s/5s/10s/ \"$1\"");
    let moved = json!({"code": "revision_mismatch", "detail": "it has revision 9"});
    let answers = [("GET /tasks/hello", 200, hello()), ("PUT /tasks/hello", 412, moved)];
    let refused = ran(&["edit", "hello", "--visual", &command], &answers).await;
    assert_eq!(refused.exit, Exit::Conflict);
    assert!(refused.talk.contains("changed while you edited it"), "{}", refused.talk);
    let path = kept(&refused);
    assert!(std::fs::read_to_string(&path).unwrap().contains("10s"));
    remove(&path);
    let (_folder, command) = editor("exit 3");
    let failed = ran(&["edit", "hello", "--visual", &command], &answers).await;
    assert_eq!(failed.exit, Exit::No);
    assert!(failed.talk.contains("the editor `sh "), "{}", failed.talk);
    remove(&kept(&failed));
}

/// Several tasks stand in one list; what has no change is not sent.
#[tokio::test]
async fn several_tasks_are_edited_at_once() {
    let named = |name: &str| {
        let mut task = hello();
        (task["name"], task["id"]) = (json!(name), json!(name));
        task
    };
    let answers = [
        ("GET /tasks/a", 200, named("a")),
        ("GET /tasks/b", 200, named("b")),
        ("PUT /tasks/b", 200, named("b")),
    ];
    let last = "awk '/interval: \"5s\"/ && ++n == 2 {sub(/\"5s\"/, \"10s\")} {print}' \"$1\" \
                > \"$1.new\" && mv \"$1.new\" \"$1\"";
    let (_folder, command) = editor(last);
    let done = ran(&["edit", "a", "b", "--visual", &command], &answers).await;
    assert_eq!(done.exit, Exit::Ok, "{}", done.talk);
    let sent: Vec<&String> = done.asked.iter().filter(|asked| asked.starts_with("PUT")).collect();
    assert_eq!(sent.len(), 1, "{:?}", done.asked);
    let body = sent[0].strip_prefix("PUT /tasks/b if \"7\" ").unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["schedule"]["interval"], "10s");
    assert!(done.talk.ends_with("1 of 1 tasks changed\n"), "{}", done.talk);
    for (script, said) in [
        ("true", "2 tasks: nothing changed"),
        ("sed -i 's/name: a/name: z/' \"$1\"", "item 1 of the list is `z`, which was not in it"),
        ("sed -i 's/name: a/name: b/' \"$1\"", "`b` is in the list twice"),
        ("echo '- name: b' > \"$1\"", "`a` is missing"),
        ("echo '- schedule: {}' >> \"$1\"", "item 3 of the list has no name"),
        ("echo 'a: 1' > \"$1\"", "must stay a list"),
        (": > \"$1\"", "nothing changed"),
    ] {
        let (_folder, command) = editor(script);
        let done = ran(&["edit", "a", "b", "--visual", &command], &answers).await;
        assert!(done.talk.contains(said), "{script}: {}", done.talk);
        assert_eq!(done.exit == Exit::Ok, said.contains("nothing changed"), "{script}");
        assert!(done.asked.iter().all(|asked| asked.starts_with("GET ")), "{:?}", done.asked);
        if done.exit != Exit::Ok {
            remove(&kept(&done));
        }
    }
}

fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}
