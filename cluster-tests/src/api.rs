//! An HTTP client for one node.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;

use crate::TestResult;

/// A single answer comes within this; a cluster that has just lost its leader needs a while.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// A connection on this machine is made within this.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// The API of one node. Nothing is repeated: what fails is to be seen.
#[derive(Clone, Debug)]
pub struct Api {
    http: reqwest::Client,
    base: String,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct ApiAnswer {
    /// HTTP status.
    pub status: u16,
    /// The log index that it reflects; 0: it does not say.
    pub index: u64,
    /// JSON, or a text.
    pub body: Value,
}

impl ApiAnswer {
    /// Whether the request was carried out.
    #[must_use]
    pub const fn good(&self) -> bool {
        self.status < 300
    }

    /// Whether waiting may change the answer.
    #[must_use]
    pub const fn come_again(&self) -> bool {
        matches!(self.status, 503 | 504)
    }
}

impl Api {
    /// A client for the node at this base URL.
    ///
    /// # Errors
    /// No TLS library.
    pub fn new(base: impl Into<String>) -> TestResult<Self> {
        // Another thread may have been first.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_LIMIT)
            .timeout(ANSWER_LIMIT)
            .build()?;
        Ok(Self { http, base: base.into() })
    }

    /// The same client for another node.
    #[must_use]
    pub fn at(&self, base: impl Into<String>) -> Self {
        Self { http: self.http.clone(), base: base.into() }
    }

    pub(crate) const fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// The base URL.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends one request; a key makes it safe to send it again.
    ///
    /// # Errors
    /// There is no whole answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: Option<&Value>,
    ) -> TestResult<ApiAnswer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let reply = request.send().await?;
        let status = reply.status().as_u16();
        let index = reply.headers().get("Punctual-Index");
        let index = index.and_then(|index| index.to_str().ok()?.parse().ok()).unwrap_or(0);
        let text = reply.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(ApiAnswer { status, index, body })
    }

    async fn good(&self, method: Method, path: &str, body: Option<&Value>) -> TestResult<Value> {
        let said = format!("{method} {}{path}", self.base);
        let answer = self.send(method, path, None, body).await?;
        match answer.good() {
            true => Ok(answer.body),
            false => Err(format!("{said}: {} {}", answer.status, answer.body).into()),
        }
    }

    /// Reads.
    ///
    /// # Errors
    /// Any answer that is not good.
    pub async fn get(&self, path: &str) -> TestResult<Value> {
        self.good(Method::GET, path, None).await
    }

    /// Writes.
    ///
    /// # Errors
    /// Any answer that is not good.
    pub async fn post(&self, path: &str, body: &Value) -> TestResult<Value> {
        self.good(Method::POST, path, Some(body)).await
    }

    /// All items of a list, page by page.
    ///
    /// # Errors
    /// Any answer that is not good.
    pub async fn all(&self, path: &str) -> TestResult<Vec<Value>> {
        let mut found = Vec::new();
        let mut cursor = String::new();
        loop {
            let sign = if path.contains('?') { '&' } else { '?' };
            let page = self.get(&format!("{path}{sign}limit=1000&cursor={cursor}")).await?;
            found.extend(items(&page).iter().cloned());
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => next.clone_into(&mut cursor),
                None => return Ok(found),
            }
        }
    }

    /// Whether the node takes its part; if not, why.
    ///
    /// # Errors
    /// Its sentence, or that it does not answer.
    pub async fn ready(&self) -> TestResult<()> {
        let answer = self.send(Method::GET, "/readyz", None, None).await?;
        match answer.good() {
            true => Ok(()),
            false => Err(text(&answer.body, "detail").into()),
        }
    }

    /// The log index that the node has applied.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn applied(&self) -> TestResult<u64> {
        Ok(self.send(Method::GET, "/livez", None, None).await?.index)
    }

    /// The page of `/metrics`.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn metrics_page(&self) -> TestResult<String> {
        let page = self.get("/metrics").await?;
        Ok(page.as_str().unwrap_or_default().to_owned())
    }

    /// The sum of all series whose name and labels begin like this.
    ///
    /// # Errors
    /// There is none.
    pub async fn metrics(&self, begin: &str) -> TestResult<f64> {
        let page = self.metrics_page().await?;
        let found: Vec<&str> = page.lines().filter(|line| line.starts_with(begin)).collect();
        let values = found.iter().filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        match found.is_empty() {
            true => Err(format!("{}: no metric {begin}", self.base).into()),
            false => Ok(values.sum()),
        }
    }

    /// The value of one metric.
    ///
    /// # Errors
    /// There is no such metric.
    pub async fn metric(&self, name: &str) -> TestResult<f64> {
        let page = self.metrics_page().await?;
        let lines = page.lines();
        let found = lines.filter_map(|line| line.split_once(' ')).find(|(found, _)| *found == name);
        let (_, value) = found.ok_or_else(|| format!("{}: no metric {name}", self.base))?;
        Ok(value.parse()?)
    }
}

/// The items of a list.
#[must_use]
pub fn items(list: &Value) -> &[Value] {
    list.get("items").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// A field that is a text; empty if it is none.
#[must_use]
pub fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A field, or null.
#[must_use]
pub fn field<'v>(value: &'v Value, name: &str) -> &'v Value {
    value.get(name).unwrap_or(&Value::Null)
}
