//! The web page in a real browser: journeys of its users, its policy, and its accessibility. Without
//! Chromium and its driver this is left out.

mod browser;
mod picture;

use std::path::PathBuf;

use cluster_tests::{
    ClusterOptions, ProcessCluster, TestResult, field, free_address, items, shell, text, until,
};
use serde_json::{Value, json};
use thirtyfour::prelude::*;

use browser::{Driver, USUAL, Visitor, Window};

/// The file of axe-core, if the gate has fetched it.
const AXE: &str = "PUNCTUAL_AXE";
/// A folder for pictures of all pages, for those who want to look.
const SHOTS: &str = "PUNCTUAL_SHOTS";
/// Every kind of page; those of a task and an execution are added.
const PAGES: [&str; 9] = [
    "/",
    "/tasks",
    "/new",
    "/executions",
    "/failed",
    "/nodes",
    "/executors",
    "/week",
    "/calendars",
];

/// Three nodes with some tasks of each kind.
async fn cluster() -> TestResult<ProcessCluster> {
    let cluster = ProcessCluster::start(3, ClusterOptions::default()).await?;
    let often = json!({"interval": "1s"});
    let tasks = [
        json!({"name": "hello", "schedule": often, "action": shell("echo on time")}),
        json!({"name": "backup", "schedule": {"cron": "* * * * * *", "timezone": "Europe/Berlin"},
            "description": "It copies what matters, every second of the day.",
            "labels": {"team": "infra"}, "action": shell("true")}),
        json!({"name": "runaway", "schedule": {"manual": true},
            "action": shell("echo begun; sleep 600")}),
        json!({"name": "three", "schedule": {"manual": true}, "action": shell("exit 3")}),
        json!({"name": "four", "schedule": {"manual": true}, "action": shell("exit 4")}),
        json!({"name": "a-name-as-long-as-names-of-tasks-may-sometimes-get-in-large-companies",
            "schedule": {"daily": "02:00"}, "action": shell("true"), "then": {"success": ["hello"]}}),
    ];
    cluster.add(1, &tasks).await?;
    Ok(cluster)
}

/// The tick of a paused task has no execution. Its mark says why.
async fn why_it_did_not_run(window: &Window, cluster: &ProcessCluster) -> TestResult<()> {
    let api = cluster.api(1);
    api.post("/api/v1/tasks/backup/pause", &json!({"reason": "moving house"})).await?;
    // Meanwhile another task ticks every second.
    let fired = async || -> TestResult<u64> {
        let stats = api.get("/api/v1/tasks/hello/stats").await?;
        Ok(field(field(&stats, "totals"), "fired").as_u64().unwrap_or(0))
    };
    let before = fired().await?;
    until("some ticks", async || match fired().await? {
        now if now > before + 2 => Ok(()),
        now => Err(format!("{now}").into()),
    })
    .await?;
    window.go(cluster, 1, "/tasks?q=backup").await?;
    window.click("th.name a").await?;
    window.shows(".notice", "moving house").await?;
    api.post("/api/v1/tasks/backup/resume", &json!({})).await?;
    // The band appears by itself.
    window.go(cluster, 1, "/tasks/backup?zoom=15m").await?;
    until("the band", async || Ok(self::found(window, ".strip rect.band").await?)).await?;
    let href =
        "return document.querySelector('.strip rect.band').closest('a').getAttribute('href')";
    let href = window.driver.execute(href, Vec::new()).await?.convert::<String>()?;
    window.go(cluster, 1, &href).await?;
    window.shows("#why", "paused").await
}

async fn found(window: &Window, css: &str) -> TestResult<()> {
    window.driver.find(By::Css(css)).await?;
    Ok(())
}

/// The output of what runs appears while it runs. One button stops it.
async fn a_runaway_is_stopped(window: &Window, cluster: &ProcessCluster) -> TestResult<()> {
    window.go(cluster, 2, "/tasks/runaway").await?;
    window.click(".actions button.primary").await?;
    window.shows(".said", "was created").await?;
    until("the execution", async || found(window, "td a.id").await).await?;
    window.click("td a.id").await?;
    window.shows("#output", "begun").await?;
    window.confirm(".actions button.danger").await?;
    window.shows(".said", "asked to stop").await?;
    window.shows("h1", "cancelled").await
}

/// What failed for one reason is repeated together; the rest stays.
async fn one_cause_is_retried(window: &Window, cluster: &ProcessCluster) -> TestResult<()> {
    let api = cluster.api(3);
    for number in 0..40 {
        let name = if number % 8 < 5 { "three" } else { "four" };
        api.post(&format!("/api/v1/tasks/{name}/trigger"), &json!({})).await?;
    }
    until("failures", async || {
        let failed = api.get("/api/v1/executions?failed=true&limit=100").await?;
        if items(&failed).len() == 40 { Ok(()) } else { Err(failed.to_string().into()) }
    })
    .await?;
    api.post("/api/v1/tasks/four/pause", &json!({})).await?;
    window.go(cluster, 3, "/failed").await?;
    window.shows("main", "Retry these 25").await?;
    window.confirm("section:first-of-type .actions form:first-child button").await?;
    window.shows(".said", "25 done, 0 refused").await?;
    until("the retries", async || {
        let failed = api.get("/api/v1/executions?failed=true&limit=100").await?;
        let of = |name| items(&failed).iter().filter(|one| text(one, "task") == name).count();
        let again = items(&failed).iter().filter(|one| !field(one, "retry_of").is_null()).count();
        if (of("three"), of("four"), again) == (25, 15, 25) {
            Ok(())
        } else {
            Err(failed.to_string().into())
        }
    })
    .await
}

/// The chart of minutes is one stop of the tab key. Its minutes are reached by arrows.
async fn a_minute_is_reached_by_keys(window: &Window, cluster: &ProcessCluster) -> TestResult<()> {
    window.go(cluster, 1, "/").await?;
    let stops = "return document.querySelectorAll('.hours [data-rove] a[tabindex=\"0\"]').length";
    let stops = window.driver.execute(stops, Vec::new()).await?.convert::<u64>()?;
    assert!(stops <= 2, "{stops}");
    let minute = window.driver.find(By::Css(".hours [data-rove] a[tabindex='0']")).await?;
    minute.send_keys(Key::End + "").await?;
    let last = window.driver.active_element().await?;
    last.send_keys(Key::Left + "").await?;
    let one_before = window.driver.active_element().await?;
    assert_ne!(last.attr("id").await?, one_before.attr("id").await?);
    one_before.send_keys(Key::Enter + "").await?;
    window.shows("#minute", "hello").await
}

/// An executor gets no more work, and the reason is shown.
async fn an_executor_is_put_into_maintenance(
    window: &Window,
    cluster: &ProcessCluster,
) -> TestResult<()> {
    let api = cluster.api(1);
    let address = free_address()?;
    let registration = json!({"instance_id": "worker-1", "base_url": format!("http://{address}")});
    api.post("/api/v1/executors/register", &registration).await?;
    window.go(cluster, 1, "/executors").await?;
    window.click("details.pop summary").await?;
    let reason = window.driver.find(By::Css(".pop-body input[name=reason]")).await?;
    reason.send_keys("new disk").await?;
    window.click(".pop-body button").await?;
    window.shows(".card", "new disk").await?;
    let executor = api.get("/api/v1/executors/worker-1").await?;
    assert_eq!(text(&executor, "status"), "maintenance", "{executor}");
    Ok(())
}

/// A schedule is changed over a clock change, which is seen while one types, before it is saved.
async fn a_schedule_is_changed_safely(window: &Window, cluster: &ProcessCluster) -> TestResult<()> {
    let api = cluster.api(2);
    let daily = json!({"cron": "0 1 * * *", "timezone": "Europe/Berlin"});
    api.post(
        "/api/v1/tasks",
        &json!({"name": "nightly", "schedule": daily, "action": shell("true")}),
    )
    .await?;
    window.go(cluster, 2, "/tasks/nightly").await?;
    window.click(".actions a[href$='/edit']").await?;
    window.shows("#difference + p", "Nothing is changed.").await?;
    let cron = window.driver.find(By::Css("#f-cron")).await?;
    cron.clear().await?;
    cron.send_keys("30 2 * *").await?;
    // What is wrong is told at the field. Nothing is pressed.
    until("the field is marked", async || found(window, "#f-cron[aria-invalid=true]").await)
        .await?;
    cron.send_keys(" *").await?;
    window.shows("#clock-changes", "does not exist").await?;
    window.shows("#preview .words", "02:30").await?;
    window.shows("#preview .diff", "30 2 * * *").await?;
    window.shows("#moved", "Ticks that go: 7").await?;
    let active = window.driver.active_element().await?;
    assert_eq!(active.attr("id").await?.as_deref(), Some("f-cron"), "the focus stays");
    assert_eq!(cron.prop("value").await?.as_deref(), Some("30 2 * * *"));
    let task = api.get("/api/v1/tasks/nightly").await?;
    assert_eq!(text(field(&task, "schedule"), "cron"), "0 1 * * *", "nothing is saved yet");
    until("the button", async || found(window, "#save:enabled").await).await?;
    window.click("#save").await?;
    window.shows(".said", "nightly is saved").await?;
    window.shows(".lead", "30 2 * * * Europe/Berlin").await
}

/// A page that is open shows by itself that a node died; what is being typed stays.
async fn a_node_dies(window: &Window, cluster: &mut ProcessCluster) -> TestResult<()> {
    window.go(cluster, 1, "/tasks").await?;
    let search = window.driver.find(By::Css("input[type=search]")).await?;
    search.send_keys("hel").await?;
    cluster.kill9(3)?;
    until("the node is down", async || {
        let nodes = cluster.api(1).get("/api/v1/nodes").await?;
        let down = items(&nodes).iter().any(|node| text(node, "state") == "down");
        if down { Ok(()) } else { Err(nodes.to_string().into()) }
    })
    .await?;
    search.send_keys("lo").await?;
    assert_eq!(search.prop("value").await?.as_deref(), Some("hello"));
    window.go(cluster, 1, "/").await?;
    window.shows("h1", "2 of 3 nodes work").await?;
    window.shows("[aria-labelledby=attention]", "down").await?;
    cluster.start_node(3)?;
    cluster.ready(3).await?;
    // Nothing is pressed.
    window.shows("h1", "All 3 nodes work").await
}

/// A window without its node says so, and goes on when the node is back.
async fn a_lost_stream_comes_back(window: &Window, cluster: &mut ProcessCluster) -> TestResult<()> {
    window.go(cluster, 2, "/").await?;
    cluster.kill9(2)?;
    window.shows("#lost", "not up to date").await?;
    cluster.start_node(2)?;
    cluster.ready(2).await?;
    until("the page is up to date", async || {
        let lost = window.driver.find(By::Css("#lost")).await?;
        if lost.is_displayed().await? { Err("it is still lost".into()) } else { Ok(()) }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn journeys() -> TestResult<()> {
    let Some(driver) = Driver::start().await? else {
        return cluster_tests::skipped("chromium and its driver are not installed");
    };
    let mut cluster = cluster().await?;
    let window = driver.open(USUAL).await?;
    why_it_did_not_run(&window, &cluster).await?;
    a_runaway_is_stopped(&window, &cluster).await?;
    one_cause_is_retried(&window, &cluster).await?;
    an_executor_is_put_into_maintenance(&window, &cluster).await?;
    a_minute_is_reached_by_keys(&window, &cluster).await?;
    a_schedule_is_changed_safely(&window, &cluster).await?;
    assert_eq!(window.faults("").await?, [""; 0]);
    a_node_dies(&window, &mut cluster).await?;
    a_lost_stream_comes_back(&window, &mut cluster).await?;
    // A connection that breaks is an error of the browser's network.
    assert_eq!(window.faults("net::ERR_").await?, [""; 0]);
    window.close().await?;
    cluster.finish().await
}

/// Every action is a form, so it is there without the script too.
#[tokio::test(flavor = "multi_thread")]
async fn without_script() -> TestResult<()> {
    let Some(driver) = Driver::start().await? else {
        return cluster_tests::skipped("chromium and its driver are not installed");
    };
    let cluster = cluster().await?;
    let window = driver.open(Visitor { script: false, ..USUAL }).await?;
    window.go(&cluster, 1, "/tasks/hello").await?;
    window.click("details.pop summary").await?;
    window.driver.find(By::Css(".pop-body input[name=reason]")).await?.send_keys("by hand").await?;
    window.click(".pop-body button").await?;
    window.shows(".notice", "by hand").await?;
    window.shows(".said", "is paused").await?;
    window.click(".actions form[action$='/resume'] button").await?;
    window.shows("h1", "active").await?;
    window.click(".actions form[action$='/trigger'] button").await?;
    window.shows(".said", "was created").await?;
    window.go(&cluster, 1, "/tasks").await?;
    window.click("input[value=hello]").await?;
    window.click("input[value=backup]").await?;
    window.click(".bulk button[value=pause]").await?;
    window.shows("h1", "Pause: 2 tasks?").await?;
    window.click("#confirm button").await?;
    window.shows(".said", "2 done, 0 refused").await?;
    a_task_is_made_without_script(&window, &cluster).await?;
    for name in ["hello", "backup"] {
        let task = cluster.api(2).get(&format!("/api/v1/tasks/{name}")).await?;
        assert_eq!(text(&task, "state"), "paused", "{task}");
    }
    window.close().await?;
    cluster.finish().await
}

/// The preview is a step of its own, with the button that saves.
async fn a_task_is_made_without_script(
    window: &Window,
    cluster: &ProcessCluster,
) -> TestResult<()> {
    window.go(cluster, 1, "/new").await?;
    for (field, typed) in [("name", "by-form"), ("cron", "15 3 * * 1"), ("argv", "echo 'by form'")]
    {
        window.driver.find(By::Id(format!("f-{field}"))).await?.send_keys(typed).await?;
    }
    window.click("#edit button[value=preview]").await?;
    window.shows("#preview .words", "03:15").await?;
    window.click("#save").await?;
    window.shows(".said", "by-form is created").await?;
    let task = cluster.api(2).get("/api/v1/tasks/by-form").await?;
    let argv = field(field(field(&task, "action"), "shell"), "argv");
    assert_eq!(argv, &json!(["echo", "by form"]), "{task}");
    Ok(())
}

/// The faults that axe-core finds on the page, except slight ones.
async fn axe(window: &Window, source: &str) -> TestResult<Vec<String>> {
    window.driver.execute(source.to_owned(), Vec::new()).await?;
    let run = "const done = arguments[arguments.length - 1];\
        axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']})\
        .then(r => done(r.violations.map(v => v.impact + ' ' + v.id + ': ' + \
        v.nodes.map(n => n.html.slice(0, 200)).join(' | '))), e => done([String(e)]))";
    let found = window.driver.execute_async(run, Vec::new()).await?.convert::<Vec<String>>()?;
    Ok(found.into_iter().filter(|fault| !fault.starts_with("minor")).collect())
}

/// Sets language and colours as their user does, by the form of the page.
async fn prefer(window: &Window, visitor: Visitor) -> TestResult<()> {
    let script = "const form = document.getElementById('preferences');\
        form.elements.language.value = arguments[0];\
        form.elements.theme.value = arguments[1]; form.submit();";
    let wanted: Vec<Value> = vec![visitor.language.into(), visitor.theme.into()];
    window.driver.execute(script, wanted).await?;
    let css = format!("html[lang={}][data-theme={}]", visitor.language, visitor.theme);
    until("the preferences", async || found(window, &css).await).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_in_each_language_and_theme() -> TestResult<()> {
    let Some(driver) = Driver::start().await? else {
        return cluster_tests::skipped("chromium and its driver are not installed");
    };
    let cluster = cluster().await?;
    let api = cluster.api(1);
    api.post("/api/v1/tasks/three/trigger", &json!({})).await?;
    let id = until("an execution", async || {
        let all = api.get("/api/v1/executions?task_id=three").await?;
        let id = items(&all).first().map(|one| text(one, "id").to_owned());
        id.ok_or_else(|| all.to_string().into())
    })
    .await?;
    let axe_source = match std::env::var(AXE) {
        Ok(path) => Some(std::fs::read_to_string(path)?),
        Err(_) => None,
    };
    let shots = std::env::var_os(SHOTS).map(PathBuf::from);
    let mut pages: Vec<String> = PAGES.map(str::to_owned).to_vec();
    pages.extend(["/tasks/hello".to_owned(), "/tasks/backup?zoom=1y".to_owned()]);
    pages.extend(["/tasks/backup/edit", "/new?copy=three"].map(str::to_owned));
    pages.extend([format!("/executions/{id}"), "/nothing".to_owned()]);
    let window = driver.open(USUAL).await?;
    let mut faults = Vec::new();
    for (language, theme) in [("en", "light"), ("zh", "dark")] {
        window.go(&cluster, 1, "/").await?;
        prefer(&window, Visitor { script: true, language, theme }).await?;
        for page in &pages {
            window.go(&cluster, 1, page).await?;
            let place = format!("{page} {language} {theme}");
            for width in [360, 1280, 2560] {
                window.driver.set_window_rect(0, 0, width, 900).await?;
                let wide = "return document.documentElement.scrollWidth > innerWidth";
                if window.driver.execute(wide, Vec::new()).await?.convert::<bool>()? {
                    faults.push(format!("{place}: it is wider than {width} pixels"));
                }
                if let Some(folder) = &shots {
                    let name = page.replace(['/', '?', '='], "_");
                    let shot = window.driver.screenshot_as_png().await?;
                    std::fs::write(
                        folder.join(format!("{name}-{language}-{theme}-{width}.png")),
                        shot,
                    )?;
                }
            }
            window.driver.set_window_rect(0, 0, 1280, 900).await?;
            if let Some(source) = &axe_source {
                let found = axe(&window, source).await?;
                faults.extend(found.into_iter().map(|fault| format!("{place}: {fault}")));
            }
            // The page of an address that has none is an answer 404.
            let found = window.faults("status of 404").await?;
            faults.extend(found.into_iter().map(|fault| format!("{place}: {fault}")));
        }
    }
    assert_eq!(faults, [""; 0]);
    window.close().await?;
    cluster.finish().await?;
    match axe_source {
        Some(_) => Ok(()),
        None => cluster_tests::skipped("PUNCTUAL_AXE names no file of axe-core"),
    }
}
