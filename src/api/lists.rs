//! Parameters of list routes.

use axum::http::header::HeaderValue;

use super::params::Params;
use crate::ops::OpError;
use crate::ops::lists::{PageRequest, decode};

/// Default page size.
const LIMIT: usize = 100;
/// Maximum page size.
const LIMIT_MAX: u64 = 1_000;

/// Parses the parameters of a list.
///
/// # Errors
/// `invalid_parameter`.
pub(super) fn page(params: &Params) -> Result<PageRequest, OpError> {
    let number = |name, range| {
        params
            .number(name, range)
            .map(|number| number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)))
    };
    let limit = number("limit", 1..=LIMIT_MAX)?;
    let page = number("page", 1..=1_000_000_000)?;
    let size = number("page_size", 1..=LIMIT_MAX)?;
    if page.is_some() || size.is_some() {
        if params.get("cursor").is_some() || limit.is_some() {
            let rule = "goes with page_size, not with cursor and limit";
            return Err(OpError::parameter("page", rule));
        }
        let (page, size) = (page.unwrap_or(1), size.unwrap_or(LIMIT));
        return Ok(PageRequest::Numbered { page, size });
    }
    let after = match params.get("cursor") {
        None | Some("") => None,
        Some(text) => Some(decode(text).ok_or_else(OpError::cursor)?),
    };
    Ok(PageRequest::Cursor { limit: limit.unwrap_or(LIMIT), after })
}

/// The `Location` of a created object.
pub(super) fn location(collection: &str, name: &str) -> Option<HeaderValue> {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    HeaderValue::from_str(&format!("/api/v1/{collection}/{name}")).ok()
}
