//! A headless browser and its windows.

use std::path::PathBuf;
use std::process::Stdio;

use cluster_tests::{ProcessCluster, TestResult, until};
use serde_json::json;
use thirtyfour::common::log::LoggingPrefsLogLevel;
use thirtyfour::prelude::*;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Where Debian and others keep the browser.
const BROWSERS: [&str; 3] =
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/// How the browser is set up.
#[derive(Clone, Copy)]
pub(crate) struct Visitor {
    pub(crate) script: bool,
    pub(crate) language: &'static str,
    pub(crate) theme: &'static str,
}

pub(crate) const USUAL: Visitor = Visitor { script: true, language: "en", theme: "light" };

/// The driver of the browser, which ends with this.
pub(crate) struct Driver {
    port: u16,
    browser: PathBuf,
    /// Kept open, so that the driver may go on to print.
    #[expect(dead_code, reason = "it closes when this ends")]
    said: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Driver {
    /// None: this machine has no browser, or no driver for it.
    pub(crate) async fn start() -> TestResult<Option<Self>> {
        let Some(browser) = BROWSERS.map(PathBuf::from).into_iter().find(|path| path.exists())
        else {
            return Ok(None);
        };
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let Ok(mut process) = command.spawn() else { return Ok(None) };
        let mut said = BufReader::new(process.stdout.take().ok_or("its output")?).lines();
        // "ChromeDriver was started successfully on port 41234."
        let port = loop {
            let line = said.next_line().await?.ok_or("the driver has ended")?;
            if let Some((_, port)) = line.split_once("successfully on port ") {
                break port.trim_end_matches('.').parse::<u16>()?;
            }
        };
        Ok(Some(Self { port, browser, said, _process: process }))
    }

    pub(crate) async fn open(&self, visitor: Visitor) -> TestResult<Window> {
        let mut wanted = DesiredCapabilities::chrome();
        let browser = self.browser.to_str().ok_or("the path of the browser")?;
        wanted.set_binary(browser)?;
        for arg in
            ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"]
        {
            wanted.add_arg(arg)?;
        }
        wanted.set_browser_log_level(LoggingPrefsLogLevel::All)?;
        if !visitor.script {
            let off = json!({"profile.managed_default_content_settings.javascript": 2});
            wanted.add_experimental_option("prefs", off)?;
        }
        let url = format!("http://127.0.0.1:{}", self.port);
        let driver = WebDriver::new(url, wanted).await?;
        driver.set_window_rect(0, 0, 1280, 900).await?;
        Ok(Window { driver })
    }
}

/// One window of the browser.
pub(crate) struct Window {
    pub(crate) driver: WebDriver,
}

impl Window {
    pub(crate) async fn go(
        &self,
        cluster: &ProcessCluster,
        node: u8,
        path: &str,
    ) -> TestResult<()> {
        self.driver.goto(format!("{}{path}", cluster.api(node).base())).await?;
        Ok(())
    }

    /// The text of what a selector finds first.
    pub(crate) async fn text(&self, css: &str) -> TestResult<String> {
        Ok(self.driver.find(By::Css(css)).await?.text().await?)
    }

    /// Waits until the text of what a selector finds contains this.
    pub(crate) async fn shows(&self, css: &str, what: &str) -> TestResult<()> {
        until(&format!("{css} with {what:?}"), async || {
            let text = self.text(css).await?;
            if text.contains(what) { Ok(()) } else { Err(text.into()) }
        })
        .await
    }

    pub(crate) async fn click(&self, css: &str) -> TestResult<()> {
        Ok(self.driver.find(By::Css(css)).await?.click().await?)
    }

    /// Presses a button that asks first.
    pub(crate) async fn confirm(&self, css: &str) -> TestResult<()> {
        self.click(css).await?;
        Ok(self.driver.accept_alert().await?)
    }

    /// Every error that the page made, and every address that it loaded from.
    pub(crate) async fn faults(&self, expected: &str) -> TestResult<Vec<String>> {
        let log = self.driver.browser_log().await?;
        let severe = log.into_iter().filter(|entry| entry.level == "SEVERE");
        let mut faults: Vec<String> = severe
            .map(|entry| entry.message)
            .filter(|message| expected.is_empty() || !message.contains(expected))
            .collect();
        let script = "return performance.getEntriesByType('resource').map(e => e.name)\
            .filter(name => !name.startsWith(location.origin + '/'))";
        let foreign = self.driver.execute(script, Vec::new()).await?.convert::<Vec<String>>()?;
        faults.extend(foreign.into_iter().map(|name| format!("it loads {name}")));
        Ok(faults)
    }

    pub(crate) async fn close(self) -> TestResult<()> {
        Ok(self.driver.quit().await?)
    }
}
