//! Pages and files as they go to the client: compressed if the client takes it.
//!
//! A page shows parts of its own address beside the token of its forms. The size of a compressed
//! page would tell what they have in common, so the token looks different in each answer (see
//! `visit.rs`). Streams are never compressed: an event would wait for those after it.

use std::io::Write;

use axum::http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, VARY,
};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

/// What is smaller goes as it is, in bytes.
const SMALL: usize = 1_024;

/// Whether a client takes gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let all = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let mut any = false;
    for one in all.flat_map(|text| text.split(',')) {
        let (name, quality) = one.split_once(';').unwrap_or((one, ""));
        let quality = quality.trim().strip_prefix("q=").map_or(Some(1.0), |q| q.parse().ok());
        let wanted = quality.is_some_and(|quality: f32| quality > 0.0);
        match name.trim() {
            name if name.eq_ignore_ascii_case("gzip") => return wanted,
            "*" => any = wanted,
            _ => {}
        }
    }
    any
}

/// An answer with a text.
pub(super) fn answer(kind: &'static str, text: &str, gzip: bool) -> Response {
    let packed = (gzip && text.len() >= SMALL).then(|| pack(text.as_bytes())).flatten();
    let encoded = packed.is_some();
    let body = packed.unwrap_or_else(|| text.as_bytes().to_vec());
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if encoded {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

/// Compressed bytes, with little work.
fn pack(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_goes_to_those_who_take_it() {
        for (accepted, takes) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.2", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0.1", true),
            ("*;q=0", false),
            ("br, xgzip", false),
            ("gzip;q=x", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(accepted));
            assert_eq!(takes_gzip(&headers), takes, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_small_goes_as_it_is() {
        let encoded = |length: usize| {
            let response = answer("text/plain", &"a".repeat(length), true);
            response.headers().contains_key(CONTENT_ENCODING)
        };
        assert!(!encoded(SMALL - 1) && encoded(SMALL));
    }
}
