//! The web page over HTTP, without a browser.

use reqwest::header::HeaderMap;
use serde_json::json;

use super::ApiRig;

/// A visitor of the page: keeps cookies, and reads forms.
pub(super) struct Browser<'a> {
    rig: &'a ApiRig,
    cookies: Vec<(String, String)>,
    headers: Vec<(&'static str, String)>,
}

/// A page, or the answer to a form.
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) html: String,
}

impl Seen {
    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.html);
        self
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The value of the first hidden field with this name.
    pub(super) fn field(&self, name: &str) -> String {
        let begin = format!("name=\"{name}\" value=\"");
        let at = self.html.find(&begin).unwrap_or_else(|| panic!("no field {name}: {}", self.html));
        self.html[at + begin.len()..].split('"').next().unwrap().to_owned()
    }
}

impl<'a> Browser<'a> {
    pub(super) fn new(rig: &'a ApiRig) -> Self {
        Self { rig, cookies: Vec::new(), headers: vec![("accept", "text/html".to_owned())] }
    }

    pub(super) fn with(rig: &'a ApiRig, name: &'static str, value: &str) -> Self {
        let mut browser = Self::new(rig);
        browser.headers.push((name, value.to_owned()));
        browser
    }

    /// The value of a cookie.
    pub(super) fn cookie(&self, name: &str) -> String {
        self.cookies.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone()).unwrap()
    }

    async fn send(&mut self, request: reqwest::RequestBuilder) -> Seen {
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = request.header("cookie", cookies.join("; "));
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        for set in headers.get_all("set-cookie") {
            let pair = set.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            assert!(set.to_str().unwrap().contains("HttpOnly; SameSite=Lax"), "{set:?}");
            self.cookies.retain(|(own, _)| own != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        Seen { status, headers, html: response.text().await.unwrap() }
    }

    pub(super) async fn get(&mut self, path: &str) -> Seen {
        let request = self.rig.client.get(format!("{}{path}", self.rig.base));
        self.send(request).await
    }

    pub(super) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Seen {
        let body =
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = self.rig.client.post(format!("{}{path}", self.rig.base));
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(body)).await
    }

    /// Opens a page and sends a form with its token, sure of what it does.
    pub(super) async fn act(&mut self, page: &str, path: &str, fields: &[(&str, &str)]) -> Seen {
        let token = self.get(page).await.expect(200).field("token");
        let mut all = vec![("token", token.as_str()), ("sure", "1")];
        all.extend_from_slice(fields);
        self.post(path, &all).await
    }
}

const PAGES: [&str; 12] = [
    "/",
    "/tasks",
    "/tasks?state=active&q=a&sort=next",
    "/executions",
    "/failed",
    "/nodes",
    "/executors",
    "/week",
    "/calendars",
    "/tasks/a%40b%2Bc",
    "/tasks/a%40b%2Bc/edit",
    "/new",
];

pub(super) async fn rig() -> ApiRig {
    let rig = ApiRig::start().await;
    rig.post(
        "/tasks",
        json!({"name": "a@b+c", "schedule": {"interval": "1h"},
        "description": "<script>alert(1)</script>", "action": {"func": {"id": "ok"}}}),
    )
    .await
    .expect(201);
    rig
}

#[tokio::test]
async fn each_page_keeps_to_its_policy_and_shows_markup_as_text() {
    let rig = rig().await;
    let mut browser = Browser::new(&rig);
    for page in PAGES {
        let seen = browser.get(page).await.expect(200);
        assert_eq!(seen.header("content-type"), "text/html; charset=utf-8", "{page}");
        assert_eq!(seen.header("cache-control"), "no-store", "{page}");
        let policy = seen.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'"), "{policy}");
        let html = seen.html.to_lowercase();
        for never in
            ["<style", " style=", "javascript:", "<script>", " onclick=", " onload=", "<iframe"]
        {
            assert!(!html.contains(never), "{page} contains {never}");
        }
        // Of other hosts only the addresses of nodes stand there, as text.
        for loaded in ["src=\"http", "href=\"http", "action=\"http", "src=\"//", "href=\"//"] {
            assert!(!html.contains(loaded), "{page} names another host");
        }
        let forms = html.matches("method=\"post\"").count();
        assert_eq!(html.matches("name=\"token\"").count(), forms, "{page}: a form without a token");
        assert!(seen.html.len() < 60 << 10, "{page} has {} bytes", seen.html.len());
    }
    let seen = browser.get("/tasks/a%40b%2Bc").await;
    assert!(seen.html.contains("&lt;script&gt;alert(1)"), "{}", seen.html);
    // Files are named by what is in them.
    let css = seen.html.split("href=\"/assets/page-").nth(1).unwrap().split('"').next().unwrap();
    let css = browser.get(&format!("/assets/page-{css}")).await.expect(200);
    assert!(css.header("cache-control").contains("immutable"));
    assert_eq!(browser.get("/assets/page-0.css").await.status, 404);
    rig.stop().await;
}

#[tokio::test]
async fn the_page_speaks_the_language_that_the_browser_or_its_user_wants() {
    let rig = rig().await;
    let mut browser = Browser::with(&rig, "accept-language", "zh-CN,en;q=0.5");
    let seen = browser.get("/").await.expect(200);
    assert!(seen.html.contains("lang=\"zh\"") && seen.html.contains("概览"), "{}", seen.html);
    let at = rig.get("/tasks/a%40b%2Bc/next").await.body["items"][0]["at"].clone();
    let why = browser.get(&format!("/tasks/a%40b%2Bc?at={}", at.as_str().unwrap())).await;
    for shown in ["将由负责节点 n1 触发", "1 个符合条件的节点中，n1 得到的数最小"]
    {
        assert!(why.html.contains(shown), "{shown}: {}", why.html);
    }
    let chosen =
        [("language", "en"), ("theme", "dark"), ("zone", "Asia/Shanghai"), ("back", "/week")];
    let seen = browser.act("/", "/settings", &chosen).await.expect(303);
    assert_eq!(seen.header("location"), "/week");
    let seen = browser.get("/week").await.expect(200);
    for shown in ["lang=\"en\"", "data-theme=\"dark\"", "Times in Asia/Shanghai"] {
        assert!(seen.html.contains(shown), "{shown}: {}", seen.html);
    }
    // What is not known is not kept.
    let seen =
        browser.act("/", "/settings", &[("zone", "Mars/Base"), ("back", "//x.example")]).await;
    assert_eq!(
        (seen.header("location"), seen.headers.get_all("set-cookie").iter().count()),
        ("/", 0)
    );
    rig.stop().await;
}

#[tokio::test]
async fn a_form_needs_the_token_of_its_browser() {
    let rig = rig().await;
    let (mut browser, mut other) = (Browser::new(&rig), Browser::new(&rig));
    let path = "/tasks/a%40b%2Bc/pause";
    other.get("/").await.expect(200);
    let foreign = other.get("/").await.field("token");
    for token in ["", "0123456789abcdef0123456789abcdef", &foreign] {
        browser.get("/").await.expect(200);
        browser.post(path, &[("token", token)]).await.expect(403);
    }
    // Without its cookie a token is worth nothing.
    let mut bare = Browser::new(&rig);
    bare.post(path, &[("token", &foreign)]).await.expect(403);
    let mut proxied = Browser::with(&rig, "punctual-read-only", "true");
    let seen = proxied.get("/tasks/a%40b%2Bc").await.expect(200);
    assert!(!seen.html.contains("/pause\""), "{}", seen.html);
    proxied.act("/", path, &[]).await.expect(403);
    let mut site = Browser::with(&rig, "sec-fetch-site", "cross-site");
    site.act("/", path, &[]).await.expect(403);
    let mut origin = Browser::with(&rig, "origin", "http://other.example");
    origin.act("/", path, &[]).await.expect(403);
    let task = rig.get("/tasks/a%40b%2Bc").await.expect(200);
    assert_eq!(task.body["state"], "active");
    rig.stop().await;
}

#[tokio::test]
async fn each_action_does_what_it_says_and_the_next_page_says_so_once() {
    let rig = rig().await;
    let mut browser = Browser::new(&rig);
    let home = "/tasks/a%40b%2Bc";
    let state = async || rig.get("/tasks/a%40b%2Bc").await.body["state"].clone();
    for (action, after) in [
        ("pause", "paused"),
        ("resume", "active"),
        ("cancel", "cancelled"),
        ("resume", "active"),
        ("delete", "deleted"),
        ("reuse", "active"),
    ] {
        let done = browser.act(home, &format!("{home}/{action}"), &[("reason", "why & how")]).await;
        assert_eq!((done.status, done.header("location")), (303, home), "{action}: {}", done.html);
        assert_eq!(state().await, after, "{action}");
        let seen = browser.get(home).await.expect(200);
        assert!(seen.html.contains("class=\"said\""), "{action}: {}", seen.html);
        assert_eq!(seen.html.contains("why &amp; how"), after == "paused", "{action}");
        assert!(!browser.get(home).await.html.contains("class=\"said\""), "{action}");
    }
    // A form that is sent twice starts one execution.
    let token = browser.get(home).await.field("token");
    let fields = [("token", token.as_str()), ("key", "0123")];
    for _ in 0..2 {
        browser.post(&format!("{home}/trigger"), &fields).await.expect(303);
    }
    let executions = rig.get("/executions").await;
    let items = executions.body["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{}", executions.text);
    let id = items[0]["id"].as_str().unwrap().to_owned();
    rig.until(&format!("/api/v1/executions/{id}"), |got| got.body["status"] == "success").await;
    let seen = browser.get(&format!("/executions/{id}")).await.expect(200);
    assert!(seen.html.contains("success"), "{}", seen.html);
    browser.act("/", &format!("/executions/{id}/retry"), &[]).await.expect(303);
    assert_eq!(rig.get("/executions").await.body["items"].as_array().unwrap().len(), 2);
    // What is refused says why, and changes nothing.
    let refused = browser.act("/", &format!("/executions/{id}/stop"), &[]).await;
    assert_eq!(refused.status, 409, "{}", refused.html);
    assert!(refused.html.contains("execution_ended"), "{}", refused.html);
    browser.act("/", &format!("{home}/fly"), &[]).await.expect(404);
    let many = [("action", "pause"), ("name", "a@b+c"), ("name", "none")];
    browser.act("/tasks", "/tasks", &many).await.expect(303);
    let seen = browser.get("/tasks").await;
    assert!(seen.html.contains("1 done, 1 refused"), "{}", seen.html);
    assert_eq!(state().await, "paused");
    browser.act("/nodes", "/nodes/1/drain", &[]).await.expect(303);
    assert_eq!(rig.get("/nodes/1").await.body["intent"], "draining");
    browser.act("/nodes", "/nodes/1/undrain", &[]).await.expect(303);
    browser.act("/nodes", "/scheduler/stop", &[]).await.expect(303);
    assert!(browser.get("/").await.html.contains("The scheduler is stopped"));
    browser.act("/", "/scheduler/start", &[]).await.expect(303);
    browser.act(home, &format!("{home}/cleanup"), &[]).await.expect(303);
    rig.get("/tasks/a%40b%2Bc").await.refused(404, "task_not_found");
    rig.stop().await;
}

#[tokio::test]
async fn what_cannot_be_taken_back_and_what_is_about_many_is_asked_first() {
    let rig = rig().await;
    let mut browser = Browser::new(&rig);
    let home = "/tasks/a%40b%2Bc";
    let token = browser.get(home).await.field("token");
    for (path, asked) in [
        (format!("{home}/cleanup"), "Remove everything: a@b+c?"),
        (format!("{home}/delete"), "Mark deleted: a@b+c?"),
        ("/nodes/1/drain".to_owned(), "Drain: 1?"),
        ("/nodes/1/remove".to_owned(), "Remove from the cluster: 1?"),
        ("/scheduler/stop".to_owned(), "Stop the scheduler?"),
    ] {
        let seen = browser.post(&path, &[("token", &token), ("back", home)]).await.expect(200);
        assert!(seen.html.contains(asked), "{path}: {}", seen.html);
        assert!(seen.html.contains(&format!("href=\"{home}\"")), "{path}: {}", seen.html);
    }
    let task = rig.get("/tasks/a%40b%2Bc").await;
    let node = rig.get("/nodes/1").await;
    assert_eq!((&task.body["state"], &node.body["intent"]), (&json!("active"), &json!("none")));
    let many = [("token", token.as_str()), ("action", "retry"), ("ids", "1 2"), ("key", "7")];
    let seen = browser.post("/executions", &many).await.expect(200);
    assert!(seen.html.contains("Retry: 2 executions?"), "{}", seen.html);
    // The question carries the form, so that its button does what was asked.
    let many = [("token", token.as_str()), ("action", "pause"), ("name", "a@b+c")];
    let seen = browser.post("/tasks", &many).await.expect(200);
    assert!(seen.html.contains("Pause: 1 tasks?"), "{}", seen.html);
    let fields = ["token", "action", "name", "sure"].map(|name| (name, seen.field(name)));
    let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
    browser.post("/tasks", &fields).await.expect(303);
    assert_eq!(rig.get("/tasks/a%40b%2Bc").await.body["state"], "paused");
    rig.stop().await;
}

#[tokio::test]
async fn a_member_is_added_with_all_of_its_addresses() {
    let rig = rig().await;
    let mut browser = Browser::new(&rig);
    for (fields, wrong) in [
        (vec![("id", "0"), ("peer", "127.0.0.1:9"), ("http", "http://127.0.0.1:8")], "id"),
        (vec![("id", "4"), ("http", "http://127.0.0.1:8")], "peer"),
        (vec![("id", "4"), ("peer", "127.0.0.1:9")], "http"),
    ] {
        let seen = browser.act("/nodes", "/nodes", &fields).await.expect(422);
        assert!(seen.html.contains(&format!("<code>?{wrong}</code>")), "{}", seen.html);
    }
    let taken = [("id", "1"), ("peer", "127.0.0.1:9"), ("http", "http://127.0.0.1:8")];
    let seen = browser.act("/nodes", "/nodes", &taken).await.expect(409);
    assert!(seen.html.contains("member_exists"), "{}", seen.html);
    // The only voter stays.
    let seen = browser.act("/nodes", "/nodes/1/remove", &[]).await.expect(409);
    assert!(seen.html.contains("last_voter"), "{}", seen.html);
    rig.stop().await;
}

#[tokio::test]
async fn a_minute_of_the_chart_lists_what_is_in_it() {
    let rig = rig().await;
    let mut browser = Browser::new(&rig);
    let at = rig.get("/tasks/a%40b%2Bc/next").await.body["items"][0]["at"].clone();
    let seen = browser.get(&format!("/?minute={}", at.as_str().unwrap())).await.expect(200);
    let card = |seen: &Seen| seen.html.split("id=\"minute\"").nth(1).unwrap().to_owned();
    assert!(card(&seen).contains(">a@b+c</a>"), "{}", seen.html);
    let made = rig.post("/tasks/a%40b%2Bc/trigger", json!({})).await.expect(201);
    let due = made.body["due"].as_str().unwrap();
    let seen = browser.get(&format!("/?minute={due}")).await.expect(200);
    let id = made.body["id"].as_str().unwrap();
    assert!(card(&seen).contains(&format!("href=\"/executions/{id}\"")), "{}", seen.html);
    let seen = browser.get("/?minute=2000-01-01T00:00:00Z").await.expect(200);
    assert!(card(&seen).contains("nothing"), "{}", seen.html);
    rig.stop().await;
}

#[tokio::test]
async fn a_task_shows_its_chains_and_its_line() {
    let rig = rig().await;
    for task in [
        json!({"name": "first", "schedule": {"manual": true}, "then": {"failure": ["second"]},
            "action": {"func": {"id": "ok"}}}),
        json!({"name": "second", "schedule": {"manual": true}, "execution_mode": "sequential",
            "action": {"func": {"id": "slow"}}}),
    ] {
        rig.post("/tasks", task).await.expect(201);
    }
    let mut browser = Browser::new(&rig);
    for name in ["first", "second"] {
        let seen = browser.get(&format!("/tasks/{name}")).await.expect(200);
        assert!(seen.html.contains("first → second: failure"), "{}", seen.html);
    }
    let seen = browser.get("/tasks/a%40b%2Bc").await.expect(200);
    assert!(!seen.html.contains("id=\"chain\""), "{}", seen.html);
    for _ in 0..3 {
        rig.post("/tasks/second/trigger", json!({})).await.expect(201);
    }
    let runs = |got: &super::Got| got.body["items"][0]["task"] == "second";
    rig.until("/api/v1/executions?status=running", runs).await;
    let seen = browser.get("/tasks/second").await.expect(200);
    let line = seen.html.split("id=\"queue\"").nth(1).unwrap_or_else(|| panic!("{}", seen.html));
    assert!(line.contains("1 in task second: 1 of 1 run"), "{line}");
    assert!(line.contains("2 in task second: 1 of 1 run"), "{line}");
    let seen = browser.get("/executions?task=second").await.expect(200);
    assert_eq!(seen.html.matches("<td><a class=\"id\"").count(), 3, "{}", seen.html);
    rig.stop().await;
}

#[tokio::test]
async fn a_tick_says_why_and_an_unknown_page_is_one_for_browsers_only() {
    let rig = rig().await;
    let mut browser = Browser::new(&rig);
    let at = rig.get("/tasks/a%40b%2Bc/next").await.body["items"][0]["at"].clone();
    let page = format!("/tasks/a%40b%2Bc?at={}", at.as_str().unwrap());
    let seen = browser.get(&page).await.expect(200);
    assert!(seen.html.contains("id=\"why\"") && seen.html.contains("fired"), "{}", seen.html);
    let seen = browser.get("/nothing").await.expect(404);
    assert!(seen.html.contains("there is no page /nothing"), "{}", seen.html);
    browser.get("/tasks/none").await.expect(404);
    let answer = rig.client.get(format!("{}/nothing", rig.base)).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    rig.stop().await;
}

#[tokio::test]
async fn a_page_is_told_that_something_changed() {
    let rig = rig().await;
    let mut live = rig.client.get(format!("{}/live", rig.base)).send().await.unwrap();
    let mut read = String::new();
    let mut until = async |what: &str| {
        while !read.contains(what) {
            let next = tokio::time::timeout(super::PATIENCE, live.chunk()).await;
            let bytes = next.expect("it is told in time").unwrap().expect("it goes on");
            read.push_str(&String::from_utf8_lossy(&bytes));
        }
    };
    until("event: ready").await;
    rig.post("/tasks/a%40b%2Bc/pause", json!({})).await.expect(200);
    until("event: changed").await;
    rig.stop().await;
}
