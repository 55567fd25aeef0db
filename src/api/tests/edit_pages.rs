//! The form for tasks over HTTP, without a browser: what it previews, saves and refuses.

use reqwest::Method;
use serde_json::{Value, json};

use super::ApiRig;
use super::pages::{Browser, Seen};

/// What is looked at in a page: the text without markup.
fn text(html: &str) -> String {
    let mut shown = String::new();
    for part in html.split('<') {
        shown.push_str(part.split_once('>').map_or(part, |(_, rest)| rest));
    }
    plain(&shown)
}

/// Entities as they are read.
fn plain(html: &str) -> String {
    html.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

/// Fields and their texts.
type Fields<'f> = &'f [(&'f str, &'f str)];

/// Sends a form that was seen with other texts in some fields, as a browser does without a script.
async fn step(
    browser: &mut Browser<'_>,
    path: &str,
    seen: &Seen,
    step: &str,
    fields: Fields<'_>,
) -> Seen {
    let mut sent = vec![("step".to_owned(), step.to_owned())];
    for name in ["token", "base", "view"] {
        sent.push((name.to_owned(), plain(&seen.field(name))));
    }
    for name in ["revision", "seen", "key"] {
        if seen.html.contains(&format!("name=\"{name}\"")) {
            sent.push((name.to_owned(), seen.field(name)));
        }
    }
    sent.extend(fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())));
    let sent: Vec<(&str, &str)> = sent.iter().map(|(name, text)| (&**name, &**text)).collect();
    browser.post(path, &sent).await
}

async fn task(rig: &ApiRig, name: &str) -> Value {
    rig.get(&format!("/tasks/{name}")).await.expect(200).body
}

const DAILY: Fields<'_> = &[
    ("name", "nightly"),
    ("rule", "cron"),
    ("cron", "30 2 * * *"),
    ("timezone", "Europe/Berlin"),
    ("act", "func"),
    ("func", "ok"),
];

#[tokio::test]
async fn a_task_is_made_by_a_form_after_its_preview() {
    let rig = ApiRig::start().await;
    let mut browser = Browser::new(&rig);
    let blank = browser.get("/new").await.expect(200);
    assert!(!blank.html.contains("class=\"problem\""), "nobody has typed yet: {}", blank.html);
    assert!(!blank.html.contains("value=\"save\""), "there is nothing to save");
    let seen = step(&mut browser, "/new", &blank, "preview", DAILY).await.expect(200);
    rig.get("/tasks/nightly").await.refused(404, "task_not_found");
    let shown = text(&seen.html);
    for what in [
        "at 02:30",
        "02:30:00 CET",
        " 01:30:00 UTC",
        // The clock changes of a year, wherever it begins.
        "does not exist, clocks go from",
        "Ticks of each day, for a year, in Europe/Berlin",
    ] {
        assert!(shown.contains(what), "{what}: {shown}");
    }
    assert_eq!(seen.html.matches("<rect class=\"h").count(), seen.html.matches("</rect>").count());
    // What was typed is still there.
    assert!(seen.html.contains("name=\"cron\" value=\"30 2 * * *\""), "{}", seen.html);
    let made = step(&mut browser, "/new", &seen, "save", DAILY).await.expect(303);
    assert_eq!(made.header("location"), "/tasks/nightly");
    let made = task(&rig, "nightly").await;
    assert_eq!(made["schedule"]["cron"], "30 2 * * *");
    assert_eq!(made["action"], json!({"func": {"id": "ok"}}));
    assert!(browser.get("/tasks/nightly").await.html.contains("nightly is created."));
    // Sent once more by mistake it is the same.
    step(&mut browser, "/new", &seen, "save", DAILY).await.expect(303);
    // Another one of this name is refused at its name.
    let again = browser.get("/new").await.expect(200);
    let again = step(&mut browser, "/new", &again, "preview", DAILY).await.expect(200);
    let refused = step(&mut browser, "/new", &again, "save", DAILY).await.expect(409);
    let at = refused.html.split("id=\"e-name\"").nth(1).unwrap();
    assert!(at.split("</div>").next().unwrap().contains("exists"), "{}", refused.html);
    rig.stop().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_at_its_field_and_what_was_typed_stays() {
    let rig = ApiRig::start().await;
    let mut browser = Browser::new(&rig);
    let typed = [
        ("name", "a<b>"),
        ("rule", "cron"),
        ("cron", "61 * * * *"),
        ("act", "shell"),
        ("argv", "echo 'never closed"),
        ("max_retry", "often"),
        ("parameters", "{\"a\":"),
        ("description", "<script>alert(1)</script>"),
    ];
    for to in ["preview", "save"] {
        let seen = browser.get("/new").await.expect(200);
        let seen = step(&mut browser, "/new", &seen, to, &typed).await.expect(200);
        for field in ["name", "cron", "argv", "max_retry", "parameters"] {
            let told = seen.html.split(&format!("id=\"e-{field}\"")).nth(1).unwrap();
            let told = told.split("</div>").next().unwrap();
            assert!(told.contains("class=\"problem\""), "{field}: {told}");
            let input = seen.html.split(&format!("id=\"f-{field}\"")).nth(1).unwrap();
            let input = input.split('>').next().unwrap();
            assert!(input.contains("aria-invalid=\"true\""), "{field}: {input}");
            assert!(input.contains(&format!("aria-describedby=\"e-{field}\"")), "{field}: {input}");
            assert!(
                seen.html.contains(&format!("href=\"#f-{field}\"")),
                "{field} is in the summary"
            );
        }
        for (_, kept) in typed.iter().filter(|(name, _)| !["rule", "act"].contains(name)) {
            assert!(
                text(&seen.html).contains(kept)
                    || seen.html.contains(&format!(
                        "value=\"{}\"",
                        kept.replace('<', "&lt;").replace('>', "&gt;")
                    )),
                "{kept}: {}",
                seen.html
            );
        }
        assert!(!seen.html.contains("<script>alert"), "{}", seen.html);
        assert!(!seen.html.contains("value=\"save\""), "it cannot be saved");
    }
    assert_eq!(rig.get("/tasks").await.body["items"], json!([]));
    // A schedule is previewed before the rest is valid.
    let seen = browser.get("/new").await.expect(200);
    let fields = [("rule", "interval"), ("interval", "90m")];
    let seen = step(&mut browser, "/new", &seen, "preview", &fields).await.expect(200);
    assert!(text(&seen.html).contains("every 1h30m"), "{}", seen.html);
    rig.stop().await;
}

/// A task with fields that the form does not show.
fn with_hidden_fields() -> Value {
    json!({
        "name": "report", "schedule": {"interval": "1h", "anchor": "2026-01-01T00:10:00Z"},
        "action": {"executor": {"balance": "weighted_round_robin", "names": ["w1"], "weights": {"w1": 7}}},
        "keep": {"executions": 33, "ticks": 44, "age": "5d"},
        "then": {"recovered": ["x"]}, "retry": {"max_retry": 2, "jitter": "3s"},
    })
}

#[tokio::test]
async fn an_edit_keeps_what_the_form_does_not_show_and_saves_only_what_was_seen() {
    let rig = ApiRig::start().await;
    rig.post("/tasks", with_hidden_fields()).await.expect(201);
    let before = task(&rig, "report").await;
    let mut browser = Browser::new(&rig);
    let page = "/tasks/report/edit";
    let seen = browser.get(page).await.expect(200);
    assert!(text(&seen.html).contains("Nothing is changed."), "{}", seen.html);
    assert!(!seen.html.contains("value=\"save\""));
    let fields = [("interval", "2h"), ("timeout", "5m")];
    let seen = step(&mut browser, page, &seen, "preview", &fields).await.expect(200);
    let shown = text(&seen.html);
    for what in ["/schedule/interval: 1h → 2h", "/timeout: 0s → 5m", "Ticks that go: 84"] {
        assert!(shown.contains(what), "{what}: {shown}");
    }
    assert_eq!(task(&rig, "report").await["revision"], before["revision"], "nothing is saved");
    // Something else than what was seen is shown first.
    let other = [("interval", "3h"), ("timeout", "5m")];
    let held = step(&mut browser, page, &seen, "save", &other).await.expect(200);
    assert!(text(&held.html).contains("1h → 3h"), "{}", held.html);
    assert_eq!(task(&rig, "report").await["revision"], before["revision"]);
    step(&mut browser, page, &seen, "save", &fields).await.expect(303);
    let after = task(&rig, "report").await;
    assert_eq!(after["schedule"]["interval"], "2h");
    assert_eq!(after["timeout"], "5m");
    for kept in ["action", "keep", "then", "retry"] {
        assert_eq!(after[kept], before[kept], "{kept}");
    }
    assert_eq!(after["schedule"]["anchor"], before["schedule"]["anchor"]);
    rig.stop().await;
}

#[tokio::test]
async fn yaml_and_form_are_two_views_of_the_same() {
    let rig = ApiRig::start().await;
    rig.post("/tasks", with_hidden_fields()).await.expect(201);
    let mut browser = Browser::new(&rig);
    let page = "/tasks/report/edit";
    let seen = browser.get(page).await.expect(200);
    let source = step(&mut browser, page, &seen, "source", &[("timeout", "5m")]).await.expect(200);
    let area = |seen: &Seen| {
        let begin = seen.html.split("name=\"source\"").nth(1).unwrap();
        let inner = begin.split_once('>').unwrap().1.split("</textarea>").next().unwrap();
        text(inner).trim_start_matches('\n').to_owned()
    };
    let yaml = area(&source);
    assert!(yaml.contains("timeout: \"5m\""), "{yaml}");
    assert!(yaml.contains("w1: 7"), "{yaml}");
    // What is no YAML stays as it was typed, in both ways.
    for to in ["form", "preview", "save"] {
        let wrong = [("source", "name: [report\n  x: 1")];
        let held = step(&mut browser, page, &source, to, &wrong).await.expect(200);
        assert_eq!(area(&held), "name: [report\n  x: 1");
        assert!(held.html.contains("class=\"problem\""), "{to}: {}", held.html);
    }
    let edited = yaml.replace("executions: 33", "executions: 34") + "description: by hand\n";
    let edited = edited.replace("description: \"\"\n", "");
    let fields = [("source", edited.as_str())];
    let form = step(&mut browser, page, &source, "form", &fields).await.expect(200);
    assert!(form.html.contains("by hand"), "{}", form.html);
    let seen = step(&mut browser, page, &form, "preview", &[]).await.expect(200);
    assert!(text(&seen.html).contains("/keep/executions: 33 → 34"), "{}", seen.html);
    step(&mut browser, page, &seen, "save", &[]).await.expect(303);
    let after = task(&rig, "report").await;
    assert_eq!(after["keep"]["executions"], 34);
    assert_eq!((&after["timeout"], &after["description"]), (&json!("5m"), &json!("by hand")));
    // A rule that is broken is told with its pointer.
    let seen = browser.get(page).await.expect(200);
    let source = step(&mut browser, page, &seen, "source", &[]).await.expect(200);
    let wrong = area(&source).replace("timeout: \"5m\"", "timeout: long");
    let held =
        step(&mut browser, page, &source, "preview", &[("source", &wrong)]).await.expect(200);
    let line = 1 + wrong.lines().position(|line| line.starts_with("timeout")).unwrap();
    let told = format!("<code>/timeout</code> line {line}: must be a duration");
    assert!(held.html.contains(&told), "{told}: {}", held.html);
    rig.stop().await;
}

#[tokio::test]
async fn what_others_changed_meanwhile_is_shown_and_kept() {
    let rig = ApiRig::start().await;
    rig.post("/tasks", with_hidden_fields()).await.expect(201);
    let mut browser = Browser::new(&rig);
    let page = "/tasks/report/edit";
    let seen = browser.get(page).await.expect(200);
    let fields = [("timeout", "5m")];
    let seen = step(&mut browser, page, &seen, "preview", &fields).await.expect(200);
    let others = json!({"labels": {"team": "<infra>"}, "priority": 3});
    rig.call(Method::PATCH, "/tasks/report", others, &[]).await.expect(200);
    let conflict = step(&mut browser, page, &seen, "save", &fields).await.expect(412);
    let shown = text(&conflict.html);
    for what in [
        "report was changed since this form was opened",
        "/labels/team: none → <infra>",
        "/timeout: 0s → 5m",
        "Save over revision",
    ] {
        assert!(shown.contains(what), "{what}: {shown}");
    }
    assert_eq!(task(&rig, "report").await["timeout"], "0s", "nothing is saved");
    assert_ne!(conflict.field("revision"), seen.field("revision"));
    step(&mut browser, page, &conflict, "save", &[]).await.expect(303);
    let after = task(&rig, "report").await;
    assert_eq!(after["timeout"], "5m");
    assert_eq!(after["labels"], json!({"team": "<infra>"}), "what others changed is kept");
    assert_eq!(after["priority"], 3);
    rig.stop().await;
}

#[tokio::test]
async fn a_former_revision_is_seen_before_it_is_in_force_again() {
    let rig = ApiRig::start().await;
    rig.post("/tasks", with_hidden_fields()).await.expect(201);
    let first = task(&rig, "report").await["revision"].clone();
    rig.call(Method::PATCH, "/tasks/report", json!({"schedule": {"interval": "4h"}}), &[])
        .await
        .expect(200);
    let mut browser = Browser::new(&rig);
    let seen = browser.get("/tasks/report").await.expect(200);
    let page = format!("/tasks/report/edit?from={first}");
    assert!(seen.html.contains(&page), "{}", seen.html);
    let seen = browser.get(&page).await.expect(200);
    assert!(text(&seen.html).contains("/schedule/interval: 4h → 1h"), "{}", seen.html);
    step(&mut browser, "/tasks/report/edit", &seen, "save", &[]).await.expect(303);
    let after = task(&rig, "report").await;
    assert_eq!(after["schedule"]["interval"], "1h");
    browser.get("/tasks/report/edit?from=999999").await.expect(422);
    rig.stop().await;
}

#[tokio::test]
async fn the_form_is_for_those_who_may_change_something_only() {
    let rig = ApiRig::start().await;
    rig.post("/tasks", with_hidden_fields()).await.expect(201);
    let mut browser = Browser::new(&rig);
    browser.get("/tasks").await.expect(200);
    let fields =
        [("step", "preview"), ("name", "x"), ("token", "0123456789abcdef0123456789abcdef")];
    browser.post("/new", &fields).await.expect(403);
    let seen = browser.get("/tasks").await.expect(200);
    assert!(seen.html.contains("href=\"/new\""));
    let seen = browser.get("/tasks/report").await.expect(200);
    assert!(seen.html.contains("/tasks/report/edit\""));
    let mut reader = Browser::with(&rig, "punctual-read-only", "true");
    for page in ["/tasks", "/tasks/report", "/"] {
        let html = reader.get(page).await.expect(200).html;
        assert!(!html.contains("/new") && !html.contains("/edit"), "{page}: {html}");
    }
    for page in ["/new", "/tasks/report/edit"] {
        reader.get(page).await.expect(403);
    }
    browser.get("/tasks/none/edit").await.expect(404);
    // Without what it was filled from a form could lose what it does not show.
    for base in ["", "[]", "{"] {
        let fields = [("step", "preview"), ("base", base), ("timeout", "1m")];
        browser.act("/tasks", "/tasks/report/edit", &fields).await.expect(422);
    }
    rig.stop().await;
}

#[tokio::test]
async fn the_form_speaks_the_language_of_its_user() {
    let rig = ApiRig::start().await;
    rig.post("/tasks", with_hidden_fields()).await.expect(201);
    let mut browser = Browser::with(&rig, "accept-language", "zh-CN");
    let seen = browser.get("/tasks/report/edit").await.expect(200);
    for what in ["编辑 report", "若前一次执行未结束", "每 1 小时", "没有更改。"]
    {
        assert!(text(&seen.html).contains(what), "{what}: {}", seen.html);
    }
    let seen = browser.get("/new?copy=report").await.expect(200);
    assert!(seen.html.contains("value=\"report-copy\""), "{}", seen.html);
    rig.stop().await;
}
