//! Strict parsing of query parameters and headers.

use axum::http::header::{HeaderMap, HeaderName, HeaderValue, IF_MATCH};
use url::form_urlencoded;

use crate::domain::error_code::ErrorCode;
use crate::domain::spec::closest;
use crate::domain::time::Timestamp;

use super::routes::{Param, ParamKind, Route};
use crate::ops::OpError;
use crate::ops::caller::IfMatch;
use crate::ops::context::Freshness;

/// Parameters of every route.
const COMMON: [&str; 2] = ["consistency", "min_index"];
/// The header with the idempotency key of a write.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Maximum length of an idempotency key.
const KEY_BYTES_MAX: usize = 200;

/// The query parameters of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Parses a query.
    pub fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// Parses a query and checks that the route has these parameters.
    ///
    /// # Errors
    /// `unknown_parameter` with a suggestion; `invalid_parameter` if a parameter occurs twice.
    pub(super) fn of(query: Option<&str>, route: Option<&'static Route>) -> Result<Self, OpError> {
        let params = Self::parse(query);
        let known = || route.into_iter().flat_map(Route::params);
        let names = || known().map(|param| param.name).chain(COMMON);
        for (at, (name, _)) in params.0.iter().enumerate() {
            if !names().any(|one| one == name) {
                let message = match closest(name, names()) {
                    Some(near) => format!("is unknown; did you mean `{near}`?"),
                    None => {
                        let all: Vec<&str> = names().collect();
                        format!("is unknown; known here: {}", all.join(", "))
                    }
                };
                let pointer = format!("?{name}");
                return Err(OpError::field(pointer, ErrorCode::UnknownParameter, message));
            }
            let again = params.0.iter().skip(at + 1).any(|(other, _)| other == name);
            let many = |param: &Param| param.name == name && matches!(param.kind, ParamKind::Texts);
            if again && !known().any(many) {
                return Err(OpError::parameter(name, "stands twice"));
            }
        }
        Ok(params)
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| value.as_str())
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A boolean parameter. False if absent.
    pub fn flag(&self, name: &str) -> Result<bool, OpError> {
        match self.get(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(OpError::parameter(name, "must be true or false")),
        }
    }

    /// An integer within bounds, if present.
    pub fn number(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<u64>,
    ) -> Result<Option<u64>, OpError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match text.parse::<u64>() {
            Ok(number) if range.contains(&number) => Ok(Some(number)),
            _ => {
                let rule =
                    format!("must be a whole number from {} to {}", range.start(), range.end());
                Err(OpError::parameter(name, rule))
            }
        }
    }

    /// An instant, if present.
    pub fn instant(&self, name: &str) -> Result<Option<Timestamp>, OpError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        Timestamp::parse(text).map(Some).map_err(|rule| OpError::parameter(name, rule))
    }

    /// One of the given words, if present.
    pub fn word(
        &self,
        name: &str,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, OpError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        match words.iter().find(|word| **word == text) {
            Some(word) => Ok(Some(word)),
            None => Err(OpError::parameter(name, format!("must be one of {}", words.join(", ")))),
        }
    }

    /// The required freshness of the response.
    pub fn freshness(&self) -> Result<Freshness, OpError> {
        let stale = self.word("consistency", &["stale", "linearizable"])? == Some("stale");
        Ok(Freshness { stale, min_index: self.number("min_index", 0..=u64::MAX)? })
    }
}

/// The revisions that a request may change, from all `If-Match` headers (RFC 9110, 13.1.1). Tags
/// that cannot match a revision (weak tags, and tags that this API never issues) are ignored.
///
/// # Errors
/// `invalid_header`.
pub(super) fn if_match(headers: &HeaderMap) -> Result<IfMatch, OpError> {
    let lines: Vec<&HeaderValue> = headers.get_all(IF_MATCH).iter().collect();
    if lines.is_empty() {
        return Ok(IfMatch::Any);
    }
    let wrong = || {
        let rule = "must be *, or entity tags in quotes separated by commas, such as \"42\"";
        let problem = OpError::field("If-Match", ErrorCode::InvalidHeader, rule);
        problem.advise("Send the ETag of the answer that you saw.")
    };
    let mut revisions = Vec::new();
    for line in &lines {
        let text = line.to_str().map_err(|_error| wrong())?.trim();
        if text == "*" && lines.len() == 1 {
            return Ok(IfMatch::Any);
        }
        for (weak, tag) in entity_tags(text).ok_or_else(wrong)? {
            if let (false, Ok(revision)) = (weak, tag.parse()) {
                revisions.push(revision);
            }
        }
    }
    Ok(IfMatch::OneOf(revisions))
}

/// The entity tags of a list, each with true if it is weak. Tags may contain commas.
fn entity_tags(text: &str) -> Option<Vec<(bool, &str)>> {
    let mut tags = Vec::new();
    let mut rest = text;
    loop {
        // Empty list elements are ignored.
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return (!tags.is_empty()).then_some(tags);
        }
        let (weak, opaque) = match rest.strip_prefix("W/") {
            Some(opaque) => (true, opaque),
            None => (false, rest),
        };
        let (tag, behind) = opaque.strip_prefix('"')?.split_once('"')?;
        rest = behind.trim_start_matches([' ', '\t']);
        if !(rest.is_empty() || rest.starts_with(',')) || tag.contains(char::is_whitespace) {
            return None;
        }
        tags.push((weak, tag));
    }
}

/// The caller's idempotency key.
///
/// # Errors
/// `invalid_header`.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, OpError> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    let key = value.to_str().ok().filter(|key| {
        (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic())
    });
    let one = headers.get_all(IDEMPOTENCY_KEY).iter().count() == 1;
    let rule = "must be one value of 1 to 200 visible ASCII characters without spaces";
    key.filter(|_| one)
        .map(Some)
        .ok_or_else(|| OpError::field("Idempotency-Key", ErrorCode::InvalidHeader, rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Revision;

    #[test]
    fn if_match_is_a_list_of_strong_tags() {
        let one_of =
            |numbers: &[u64]| Some(IfMatch::OneOf(numbers.iter().copied().map(Revision).collect()));
        let rows: [(&[&str], Option<IfMatch>); 16] = [
            (&[], Some(IfMatch::Any)),
            (&["*"], Some(IfMatch::Any)),
            (&["\"5\""], one_of(&[5])),
            (&[" \"5\" ,\"7\", ,"], one_of(&[5, 7])),
            (&["\"5\"", "\"7\""], one_of(&[5, 7])),
            (&["W/\"5\", \"7\""], one_of(&[7])),
            (&["W/\"5\""], one_of(&[])),
            (&["\"a,b\", \"7\""], one_of(&[7])),
            (&["\"\""], one_of(&[])),
            (&["5"], None),
            (&[""], None),
            (&[","], None),
            (&["\"5\" \"7\""], None),
            (&["\"5"], None),
            (&["*, \"5\""], None),
            (&["*", "\"5\""], None),
        ];
        for (lines, wanted) in rows {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(IF_MATCH, HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(if_match(&headers).ok(), wanted, "{lines:?}");
        }
    }
}
