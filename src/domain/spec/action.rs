//! The `action` of a body.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use url::Url;

use super::bodies::ActionBody;
use super::reader::{BrokenRule, Object, choice, duration, echo, escape, text, whole};
use super::rules::{ACTION_BYTES_MAX, DURATION_MAX, check_name};
use super::words::BALANCES;
use crate::domain::error_code::ErrorCode;
use crate::domain::task::{Action, ExecutorAction, HttpAction, ShellAction};
use crate::domain::time::Millis;

/// Headers that every attempt sets itself, or that the HTTP connection uses.
const RESERVED_HEADERS: [&str; 7] = [
    "connection",
    "content-length",
    "idempotency-key",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Prefix of headers and environment variables about the attempt's identity, in any case.
const RESERVED_PREFIX: &str = "punctual";
/// The default time limit to open a connection.
const CONNECT_TIMEOUT: Millis = Millis::from_secs(10);
/// Longest request method.
const METHOD_BYTES_MAX: usize = 32;

/// Reads `action`. None if it is null or absent.
pub(super) fn read(body: &mut Object<'_, '_>) -> Option<Action> {
    body.present("action")?;
    let action = body.object("action", |object| {
        match object.one_of(&["http", "shell", "executor", "func"])? {
            "http" => object.object("http", http).map(Action::Http),
            "shell" => object.object("shell", shell).map(Action::Shell),
            "executor" => Some(Action::Executor(object.object("executor", executor))),
            _ => object.object("func", |func| {
                let id = func.required("id", name)?;
                Some(Action::Func { id })
            }),
        }
    })?;
    let bytes = serde_json::to_string(&ActionBody::from(&action)).map_or(0, |text| text.len());
    if bytes > ACTION_BYTES_MAX {
        let message = format!("must have at most {ACTION_BYTES_MAX} bytes, has {bytes}");
        body.refuse("/action", BrokenRule::new(ErrorCode::TooLarge, message));
    }
    Some(action)
}

fn http(object: &mut Object<'_, '_>) -> Option<HttpAction> {
    let url = object.required("url", url);
    let method = object.field("method", "POST".to_owned(), method);
    let headers = object.map("headers", header);
    refuse_twins(object, &headers);
    let body = object.optional("body", |value| text(value).map(str::to_owned));
    let expect_status = object.filled_list("expect_status", status);
    let expect_status = expect_status.unwrap_or_else(|| vec![(200, 299)]);
    let connect_timeout = object.field("connect_timeout", CONNECT_TIMEOUT, |value| {
        duration(value, Millis(1)..=DURATION_MAX)
    });
    Some(HttpAction { url: url?, method, headers, body, expect_status, connect_timeout })
}

/// Reads an absolute URL without user information, by the rules of the HTTP client.
fn url(value: &Value) -> Result<String, BrokenRule> {
    let text = text(value)?;
    check_url(text).map(|()| text.to_owned()).map_err(|rule| {
        BrokenRule::new(ErrorCode::InvalidUrl, format!("{rule}, got {}", echo(text)))
    })
}

/// Checks an absolute URL without user information, by the rules of the HTTP client.
///
/// # Errors
/// The rule that is broken.
pub fn check_url(text: &str) -> Result<(), String> {
    let absolute = || "must be an absolute http or https URL".to_owned();
    let (_, rest) = text.split_once("://").ok_or_else(absolute)?;
    // The parser drops these silently, so the request would differ from the definition.
    if text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err("must not contain spaces, control characters or backslashes".to_owned());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must not carry a user name or password (use headers)".to_owned());
    }
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && !authority.is_empty() => Ok(()),
        Ok(_) => Err(absolute()),
        Err(error) => Err(format!("is no URL ({error})")),
    }
}

/// `token` of RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    !text.is_empty() && text.chars().all(part)
}

fn method(value: &Value) -> Result<String, BrokenRule> {
    let text = text(value)?;
    if is_token(text) && text.len() <= METHOD_BYTES_MAX {
        return Ok(text.to_ascii_uppercase());
    }
    let message = format!("must be a method such as GET or POST, got {}", echo(text));
    Err(BrokenRule::new(ErrorCode::InvalidMethod, message))
}

fn header(name: &str, value: &Value) -> Result<String, BrokenRule> {
    let invalid = |rule: String| Err(BrokenRule::new(ErrorCode::InvalidHttpHeader, rule));
    if !is_token(name) {
        return invalid("is no header name".to_owned());
    }
    let lower = name.to_ascii_lowercase();
    if RESERVED_HEADERS.contains(&lower.as_str()) || lower.starts_with(RESERVED_PREFIX) {
        return invalid("is set by the attempt itself".to_owned());
    }
    let text = text(value)?;
    if text.chars().any(|c| !matches!(c, ' '..='~' | '\t')) {
        return invalid("must be printable ASCII on one line".to_owned());
    }
    Ok(text.to_owned())
}

/// Header names are case-insensitive, so names that differ only in case are duplicates.
fn refuse_twins(object: &mut Object<'_, '_>, headers: &BTreeMap<String, String>) {
    let mut seen = BTreeSet::new();
    for name in headers.keys() {
        if !seen.insert(name.to_ascii_lowercase()) {
            let fault =
                BrokenRule::new(ErrorCode::DuplicateItem, "stands twice; header names ignore case");
            object.refuse(&format!("/headers/{}", escape(name)), fault);
        }
    }
}

/// Reads `"204"` or `"200-299"`.
fn status(value: &Value) -> Result<(u16, u16), BrokenRule> {
    let expected = "a status such as \"204\" or a range such as \"200-299\"";
    let text = value.as_str().ok_or_else(|| BrokenRule::wrong(expected, value))?;
    let number = |part: &str| {
        let digits = part.len() == 3 && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u16>().ok().filter(|code| digits && (100..=599).contains(code))
    };
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    match (number(low), number(high)) {
        (Some(low), Some(high)) if low <= high => Ok((low, high)),
        _ => {
            let message = format!("must be {expected}, 100 to 599, got {}", echo(text));
            Err(BrokenRule::new(ErrorCode::InvalidStatus, message))
        }
    }
}

fn shell(object: &mut Object<'_, '_>) -> Option<ShellAction> {
    let given = object.required("argv", |_value| Ok(())).is_some();
    let argv = object.filled_list("argv", |value| without_nul(text(value)?)).unwrap_or_default();
    if argv.first().is_some_and(String::is_empty) {
        object.refuse("/argv/0", BrokenRule::new(ErrorCode::Empty, "must name a program"));
    }
    let env = object.map("env", variable);
    let cwd = object.optional("cwd", |value| {
        let path = without_nul(text(value)?)?;
        if path.starts_with('/') {
            return Ok(path);
        }
        Err(BrokenRule::new(
            ErrorCode::InvalidValue,
            format!("must be an absolute path, got {}", echo(&path)),
        ))
    });
    let stdin = object.field("stdin", String::new(), |value| text(value).map(str::to_owned));
    let user = object.optional("user", |value| {
        let user = text(value)?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || c == ':' || c == '/';
        if user.is_empty() || user.contains(odd) {
            return Err(BrokenRule::new(ErrorCode::InvalidValue, "must be the name of a user"));
        }
        Ok(user.to_owned())
    });
    given.then_some(ShellAction { argv, env, cwd, stdin, user })
}

fn without_nul(text: &str) -> Result<String, BrokenRule> {
    if text.contains('\0') {
        return Err(BrokenRule::new(ErrorCode::InvalidValue, "must not contain NUL"));
    }
    Ok(text.to_owned())
}

fn variable(name: &str, value: &Value) -> Result<String, BrokenRule> {
    let invalid = |rule: &str| Err(BrokenRule::new(ErrorCode::InvalidEnv, rule));
    let first = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    if !first || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return invalid("is no variable name: letters, digits and `_`, no digit in front");
    }
    if name.to_ascii_lowercase().starts_with(&format!("{RESERVED_PREFIX}_")) {
        return invalid("is set by the attempt itself");
    }
    without_nul(text(value)?)
}

fn executor(object: &mut Object<'_, '_>) -> ExecutorAction {
    let names = object.list("names", name).unwrap_or_default();
    let unique: BTreeSet<_> = names.iter().collect();
    if unique.len() < names.len() {
        object
            .refuse("/names", BrokenRule::new(ErrorCode::DuplicateItem, "must not name one twice"));
    }
    ExecutorAction {
        balance: object.field("balance", "round_robin", |value| choice(value, BALANCES)).to_owned(),
        weights: object.map("weights", |id, value| {
            check_name(id).map_err(|rule| BrokenRule::new(ErrorCode::InvalidName, rule))?;
            whole(value, 0..=i64::from(u32::MAX))
        }),
        names,
    }
}

fn name(value: &Value) -> Result<String, BrokenRule> {
    let name = text(value)?;
    check_name(name).map_err(|rule| BrokenRule::new(ErrorCode::InvalidName, rule))?;
    Ok(name.to_owned())
}
