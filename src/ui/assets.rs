//! The stylesheet and the script. Their addresses contain a hash, so browsers may keep them.

use axum::extract::RawPathParams;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use xxhash_rust::xxh3::xxh3_64;

use super::wire;

const CSS: &str = include_str!("assets/page.css");
const JS: &str = include_str!("assets/page.js");
const ICON: &str = include_str!("assets/icon.svg");

/// One file.
struct Asset {
    path: String,
    content: &'static str,
    kind: &'static str,
}

impl Asset {
    fn new(name: &str, ending: &str, content: &'static str, kind: &'static str) -> Self {
        let hash = xxh3_64(content.as_bytes());
        Self { path: format!("/assets/{name}-{hash:016x}.{ending}"), content, kind }
    }
}

/// All files. To hash them takes some microseconds.
fn all() -> [Asset; 3] {
    [
        Asset::new("page", "css", CSS, "text/css; charset=utf-8"),
        Asset::new("page", "js", JS, "text/javascript; charset=utf-8"),
        Asset::new("icon", "svg", ICON, "image/svg+xml"),
    ]
}

/// The addresses of stylesheet, script and icon.
pub(super) fn paths() -> [String; 3] {
    all().map(|asset| asset.path)
}

/// `GET /assets/{file}`.
pub(super) async fn file(params: RawPathParams, headers: HeaderMap) -> Response {
    let name = params.iter().next().map_or("", |(_, name)| name);
    let named = |asset: &Asset| asset.path.strip_prefix("/assets/") == Some(name);
    let Some(asset) = all().into_iter().find(named) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = wire::answer(asset.kind, asset.content, wire::takes_gzip(&headers));
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(CACHE_CONTROL, kept);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_script_and_style_are_small() {
        assert!(JS.len() <= 40 << 10, "{}", JS.len());
        assert!(CSS.len() <= 40 << 10, "{}", CSS.len());
        for text in [JS, CSS, ICON] {
            let foreign = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!foreign.contains("http"), "it names another host");
        }
    }
}
