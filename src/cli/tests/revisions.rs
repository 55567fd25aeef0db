//! `revisions` and `revert`.

use serde_json::{Value, json};

use super::{Ran, hello, ran};
use crate::cli::exit::Exit;
use crate::domain::spec;

/// The answer with three definitions of `hello`. The newest one has a field of a newer version.
fn revisions() -> Value {
    let definition = |timeout: &str| {
        let mut body = spec::definition(&hello());
        body["timeout"] = json!(timeout);
        body
    };
    let changed = |before: &str, after: &str| json!([{"pointer": "/timeout", "before": before, "after": after}]);
    let item = |revision: u64, body: Value, changes: Value| {
        json!({"revision": revision, "at": "2026-12-01T12:00:00.000Z", "by": "api",
            "current": revision == 7, "definition": body, "changes": changes})
    };
    let mut odd = definition("2m");
    odd["newer"] = json!({"deep": 1});
    json!({"next_cursor": null, "items": [
        item(7, definition("0s"), changed("2m", "0s")),
        item(6, odd, changed("1m", "2m")),
        item(5, definition("1m"), Value::Null),
    ]})
}

/// The body of the change that was sent, if one was.
fn sent(ran: &Ran) -> Option<Value> {
    let sent = ran.asked.iter().find_map(|asked| asked.strip_prefix("PUT /tasks/hello if \"7\" "));
    sent.map(|sent| serde_json::from_str(sent).unwrap())
}

#[tokio::test]
async fn revisions_are_listed_with_what_they_changed() {
    let answers = [("GET /tasks/hello/revisions", 200, revisions())];
    let shown = ran(&["revisions", "hello"], &answers).await;
    assert_eq!(
        shown.data,
        "revision 7, 12:00:00 (2 s ago), by api, in force\n  timeout: 2m → 0s\n\
         revision 6, 12:00:00 (2 s ago), by api\n  timeout: 1m → 2m\n\
         revision 5, 12:00:00 (2 s ago), by api\n  the oldest that is kept\n",
        "{}",
        shown.talk
    );
    let json = ran(&["task", "revisions", "hello", "-o", "json"], &answers).await;
    assert_eq!(serde_json::from_str::<Value>(&json.data).unwrap(), revisions());
    let lines = ran(&["revisions", "hello", "-o", "jsonl"], &answers).await;
    assert_eq!(lines.data.lines().count(), 3);
    let several = ran(&["revisions", "hello", "x"], &answers).await;
    assert!(several.data.starts_with("==> hello <==\nrevision 7"), "{}", several.data);
    assert_eq!(several.exit, Exit::Conflict);
}

#[tokio::test]
async fn a_task_gets_a_former_definition_again() {
    let mut after = hello();
    after["timeout"] = json!("1m");
    let answers = [
        ("GET /tasks/hello", 200, hello()),
        ("GET /tasks/hello/revisions", 200, revisions()),
        ("PUT /tasks/hello", 200, after),
    ];
    let done = ran(&["revert", "hello", "--to", "5"], &answers).await;
    assert_eq!(
        done.data, "hello: changed, next tick in 3 s (12:00:05)\n  timeout: 0s → 1m\n",
        "{}",
        done.talk
    );
    assert_eq!(sent(&done), Some(revisions()["items"][2]["definition"].clone()));
    // A field that this version does not know is not lost.
    let odd = ran(&["revert", "hello", "--to", "6"], &answers).await;
    assert_eq!(sent(&odd).unwrap()["newer"], json!({"deep": 1}), "{}", odd.talk);
    let dry = ran(&["revert", "hello", "--to", "5", "--dry-run"], &answers).await;
    assert_eq!(
        (dry.exit, dry.data.as_str()),
        (Exit::Ok, "hello: would change\n  timeout: 0s → 1m\n")
    );
    let json = ran(&["revert", "hello", "--to", "5", "--dry-run", "-o", "json"], &answers).await;
    let json: Value = serde_json::from_str(&json.data).unwrap();
    let change = json!({"pointer": "/timeout", "before": "0s", "after": "1m"});
    assert_eq!(json, json!({"task": "hello", "revision": 5, "changes": [change]}));
    let same = ran(&["revert", "hello", "--to", "7"], &answers).await;
    assert_eq!((same.exit, same.talk.as_str()), (Exit::Ok, "hello: nothing changed\n"));
    for nothing in [&dry, &same] {
        assert!(nothing.asked.iter().all(|asked| asked.starts_with("GET ")), "{:?}", nothing.asked);
    }
}

#[tokio::test]
async fn what_cannot_be_reverted_is_left() {
    let moved = json!({"code": "revision_mismatch", "detail": "it has revision 9"});
    let mut dead = hello();
    dead["state"] = json!("deleted");
    let list = ("GET /tasks/hello/revisions", 200, revisions());
    let answers =
        [("GET /tasks/hello", 200, hello()), list.clone(), ("PUT /tasks/hello", 412, moved)];
    let gone = ran(&["revert", "hello", "--to", "3"], &answers).await;
    assert_eq!((gone.exit, sent(&gone)), (Exit::Conflict, None));
    let said = "error: revision 3 of `hello` is not kept; these are: 7, 6, 5\n";
    assert!(gone.talk.starts_with(said), "{}", gone.talk);
    let raced = ran(&["revert", "hello", "--to", "5"], &answers).await;
    assert_eq!(raced.exit, Exit::Conflict);
    assert!(raced.talk.contains("changed while this command ran"), "{}", raced.talk);
    let deleted =
        ran(&["revert", "hello", "--to", "5"], &[("GET /tasks/hello", 200, dead), list]).await;
    assert_eq!((deleted.exit, sent(&deleted)), (Exit::Conflict, None));
    assert!(deleted.talk.contains("`punctual reuse hello`"), "{}", deleted.talk);
    for line in [&["revert", "hello"][..], &["revert", "--to", "5"], &["revert", "h*", "--to", "5"]]
    {
        assert_eq!(ran(line, &answers).await.exit, Exit::Usage, "{line:?}");
    }
}
