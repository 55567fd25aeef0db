//! A request for a page: who looks at what, and how.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::{ACCEPT, ACCEPT_LANGUAGE, COOKIE, HeaderMap, HeaderValue, SET_COOKIE};
use axum::http::request::Parts;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;
use xxhash_rust::xxh3::xxh3_128;

use super::clock::ZoneClock;
use super::text::{Language, Text};
use super::wire;
use crate::domain::error_code::ErrorCode;
use crate::ops::caller::IfMatch;
use crate::ops::context::{Context, Freshness, StateView};
use crate::ops::{Caller, OpError};

/// The cookies of a browser.
const LANGUAGE: &str = "punctual_language";
const THEME: &str = "punctual_theme";
const ZONE: &str = "punctual_zone";
/// The token of forms.
const FORM: &str = "punctual_form";
/// What the last action did.
const SAID: &str = "punctual_said";
/// A year, in seconds.
const YEAR: u32 = 31_536_000;
/// Maximum size of a form, in bytes.
const FORM_BYTES_MAX: usize = 1 << 20;
/// The header of a proxy that allows no changes.
pub(crate) const READ_ONLY: &str = "punctual-read-only";

/// The colours of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Theme {
    /// Those of the system.
    System,
    Light,
    Dark,
}

impl Theme {
    pub const ALL: [(Self, &'static str); 3] =
        [(Self::System, "system"), (Self::Light, "light"), (Self::Dark, "dark")];

    fn of(word: &str) -> Self {
        Self::ALL.into_iter().find(|(_, own)| *own == word).map_or(Self::System, |(theme, _)| theme)
    }

    pub fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(own, _)| *own == self).map_or("system", |(_, word)| word)
    }
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Visit {
    pub(super) context: Arc<Context>,
    pub(super) lang: Language,
    pub(super) theme: Theme,
    /// The zone of the browser. None: that of the cluster.
    pub(super) zone: Option<String>,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    /// The token of the forms of this browser.
    token: u128,
    /// What the token is masked with in this answer.
    mask: u128,
    /// Whether the browser does not have the token yet.
    new_token: bool,
    /// What the last action did.
    pub(super) said: Option<String>,
    /// Whether no changes are offered.
    pub(super) read_only: bool,
    /// Whether the client takes compressed pages.
    pub(super) gzip: bool,
    /// Whether the client asks for HTML.
    pub(crate) wants_page: bool,
}

impl Visit {
    fn of(context: &Arc<Context>, uri: &Uri, headers: &HeaderMap) -> Self {
        let cookie = |name: &str| cookie(headers, name);
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let lang = cookie(LANGUAGE).and_then(|word| Language::of(&word));
        let lang =
            lang.unwrap_or_else(|| Language::accepted(text(ACCEPT_LANGUAGE).unwrap_or_default()));
        let query = uri.query().unwrap_or_default().as_bytes();
        let token = cookie(FORM).and_then(|token| hex(&token));
        Self {
            context: Arc::clone(context),
            lang,
            theme: Theme::of(&cookie(THEME).unwrap_or_default()),
            zone: cookie(ZONE).filter(|zone| ZoneClock::knows(zone)),
            path: uri.path().to_owned(),
            query: form_urlencoded::parse(query).into_owned().collect(),
            new_token: token.is_none(),
            token: token.unwrap_or_else(rand::random),
            mask: rand::random(),
            said: cookie(SAID).filter(|said| !said.is_empty()),
            read_only: headers.contains_key(READ_ONLY),
            gzip: wire::takes_gzip(headers),
            wants_page: text(ACCEPT).is_some_and(|kinds| kinds.contains("text/html")),
        }
    }

    /// A text in the language of the visit.
    pub(super) fn say(&self, text: Text) -> &'static str {
        self.lang.say(text)
    }

    /// A value of the query.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// The address of this page with other values in its query; empty ones are left out.
    pub(super) fn with(&self, changes: &[(&str, &str)]) -> String {
        let kept =
            self.query.iter().filter(|(key, _)| !changes.iter().any(|(name, _)| name == key));
        let kept = kept.map(|(key, value)| (key.as_str(), value.as_str()));
        let all = kept.chain(changes.iter().copied()).filter(|(_, value)| !value.is_empty());
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish();
        if query.is_empty() { self.path.clone() } else { format!("{}?{query}", self.path) }
    }

    /// The state: confirmed by a leader, or without one as this node has it.
    pub(super) async fn view(&self) -> Result<StateView, OpError> {
        match self.context.view(Freshness::default()).await {
            Err(problem) if problem.code() == ErrorCode::NoLeader => self.context.here(),
            result => result,
        }
    }

    /// The times of a page.
    pub(super) fn clock(&self, view: &StateView) -> ZoneClock {
        ZoneClock::new(self.zone.as_deref().unwrap_or_else(|| view.zone()), view.now, self.lang)
    }

    /// The token as the forms of this answer have it. It is another text each time, so that the
    /// size of compressed answers tells nothing about it.
    pub(super) fn masked_token(&self) -> String {
        format!("{:032x}{:032x}", self.mask, self.token ^ self.mask)
    }

    /// Cookies that go with the answer.
    pub(super) fn cookies(&self) -> Vec<HeaderValue> {
        let mut all = Vec::new();
        if self.new_token {
            all.extend(set_cookie(FORM, &format!("{:032x}", self.token), None));
        }
        if self.said.is_some() {
            all.extend(set_cookie(SAID, "", Some(0)));
        }
        all
    }
}

impl FromRequestParts<Arc<Context>> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        context: &Arc<Context>,
    ) -> Result<Self, Infallible> {
        Ok(Self::of(context, &parts.uri, &parts.headers))
    }
}

/// A form that was sent.
pub(super) struct Form {
    pub visit: Visit,
    pub fields: Vec<(String, String)>,
}

impl Form {
    /// A field that is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.trim()).filter(|value| !value.is_empty())
    }

    /// The values of a field that may stand there several times.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.fields.iter().filter(move |(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The caller of the operation that the form is about. A form that carries a key is done once,
    /// however often it is sent.
    pub fn caller(&self) -> Caller {
        let key = self.get("key").map(|key| format!("page {key}"));
        let sent =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.fields).finish();
        Caller {
            context: Arc::clone(&self.visit.context),
            fresh: Freshness::default(),
            if_match: IfMatch::Any,
            key,
            request: xxh3_128(format!("{}\n{sent}", self.visit.path).as_bytes()),
        }
    }

    /// The page from which the form was sent, or this one.
    pub fn back<'a>(&'a self, otherwise: &'a str) -> &'a str {
        self.get("back").filter(|path| is_local(path)).unwrap_or(otherwise)
    }
}

/// Whether an address is a path of this page, whatever a browser takes for one.
pub(super) fn is_local(path: &str) -> bool {
    path.starts_with('/')
        && !path.starts_with("//")
        && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\')
}

impl FromRequest<Arc<Context>> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, context: &Arc<Context>) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let visit = Visit::of(context, &parts.uri, &parts.headers);
        if foreign(&parts.headers) {
            let why = "a page of another site may not change anything here";
            return Err(visit.refuse(&OpError::new(ErrorCode::CrossSite, why)));
        }
        match read(&visit, body).await {
            Ok(fields) => Ok(Self { visit, fields }),
            Err(problem) => Err(visit.refuse(&problem)),
        }
    }
}

/// Whether a browser sends a form on behalf of another site. Over plain HTTP beyond loopback it tells
/// the origin only.
fn foreign(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let told = headers.contains_key("sec-fetch-site");
    let (Some(origin), Some(host)) = (text(header::ORIGIN), text(header::HOST)) else {
        return false;
    };
    !told && origin.split_once("://").is_none_or(|(_, own)| own != host)
}

async fn read(visit: &Visit, body: Body) -> Result<Vec<(String, String)>, OpError> {
    let bytes: Bytes = to_bytes(body, FORM_BYTES_MAX).await.map_err(|_error| {
        let rule = format!("a form may have at most {FORM_BYTES_MAX} bytes");
        OpError::new(ErrorCode::BodyTooLarge, rule)
    })?;
    let fields: Vec<(String, String)> = form_urlencoded::parse(&bytes).into_owned().collect();
    let token = fields.iter().find(|(key, _)| key == "token").map(|(_, token)| token.as_str());
    if visit.new_token || token.and_then(unmasked) != Some(visit.token) {
        let why = "the form is not one of this page, or the browser keeps no cookies";
        return Err(OpError::new(ErrorCode::CrossSite, why));
    }
    if visit.read_only {
        let why = "this page only shows, and changes nothing";
        return Err(OpError::new(ErrorCode::CrossSite, why));
    }
    Ok(fields)
}

/// A token out of the field of a form.
fn unmasked(text: &str) -> Option<u128> {
    let (mask, masked) = text.split_at_checked(32)?;
    Some(hex(mask)? ^ hex(masked)?)
}

/// 32 hexadecimal digits.
fn hex(text: &str) -> Option<u128> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let found = all
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)?;
    // Percent-encoded, as in a query.
    let decoded =
        form_urlencoded::parse(format!("v={}", found.1).as_bytes()).next()?.1.into_owned();
    Some(decoded)
}

fn set_cookie(name: &str, value: &str, age: Option<u32>) -> Option<HeaderValue> {
    let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let age = age.map(|age| format!("; Max-Age={age}")).unwrap_or_default();
    // The script reads none of them. With a link from another page they are sent, with a form of
    // another page they are not.
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}");
    HeaderValue::try_from(text).ok()
}

/// Shows another page, and there what was done.
pub(super) fn done(to: &str, said: &str) -> Response {
    let mut response = (StatusCode::SEE_OTHER, ()).into_response();
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(to).map(|to| (header::LOCATION, to)));
    // It is shown on the next page, or not at all.
    headers.extend(set_cookie(SAID, said, Some(60)).map(|cookie| (SET_COOKIE, cookie)));
    response
}

/// `POST /settings`: language, theme and time zone of this browser.
pub(super) async fn settings(form: Form) -> Response {
    let mut response = (StatusCode::SEE_OTHER, ()).into_response();
    let headers = response.headers_mut();
    headers.extend(HeaderValue::try_from(form.back("/")).map(|to| (header::LOCATION, to)));
    let known = |name: &str, word: &str| match name {
        "language" => Language::of(word).is_some(),
        "theme" => Theme::ALL.iter().any(|(_, own)| *own == word),
        _ => ZoneClock::knows(word),
    };
    for (field, name) in [("language", LANGUAGE), ("theme", THEME), ("zone", ZONE)] {
        if let Some(word) = form.get(field).filter(|word| known(field, word)) {
            headers.append(
                SET_COOKIE,
                match set_cookie(name, word, Some(YEAR)) {
                    Some(cookie) => cookie,
                    None => continue,
                },
            );
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_this_page_are_gone_back_to() {
        for (path, local) in [
            ("/", true),
            ("/tasks/a%20b?x=1", true),
            ("//other.example", false),
            ("/\\other.example", false),
            ("https://other.example", false),
            ("/a\nb", false),
            ("/ä", false),
            ("", false),
        ] {
            assert_eq!(is_local(path), local, "{path:?}");
        }
    }

    #[test]
    fn cookies_come_back_as_they_were_set() {
        let set = set_cookie(SAID, "报表: paused; ok", Some(1)).unwrap();
        let pair = set.to_str().unwrap().split(';').next().unwrap().to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::try_from(format!("a=b; {pair}; c=d")).unwrap());
        assert_eq!(cookie(&headers, SAID).as_deref(), Some("报表: paused; ok"));
        assert_eq!(cookie(&headers, "punctual"), None);
    }

    #[test]
    fn a_token_comes_out_of_its_mask_and_nothing_else_does() {
        let text = format!("{:032x}{:032x}", 7, 7 ^ u128::MAX);
        assert_eq!(unmasked(&text), Some(u128::MAX));
        for wrong in ["", "0", &text[1..], &format!("{text}0"), &text.replace('f', "g")] {
            assert_eq!(unmasked(wrong), None, "{wrong}");
        }
        assert_eq!(unmasked(&"é".repeat(32)), None);
        assert_eq!(hex(&format!("+{}", "0".repeat(31))), None);
    }
}
