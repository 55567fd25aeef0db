//! What is answered where no handler is asked.

use std::time::Duration;

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::{StatusCode, Version};

use crate::api::error;
use crate::api::frame::new_request_id;
use crate::domain::error_code::ErrorCode;
use crate::ops::OpError;

/// The status of an answer that hyper gives by itself: a head with nothing in it that a handler
/// could have said. None: the bytes are something else.
pub(super) fn automatic(written: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(written).ok()?;
    let mut lines = text.strip_suffix("\r\n\r\n")?.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 4")?;
    let bare = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        matches!((name, value), ("content-length", "0") | ("connection", "close") | ("date", _))
    };
    let status = status.get(..2)?.parse::<u16>().ok()?;
    lines.all(bare).then_some(400 + status)
}

/// Why a request could not be read, by the status that hyper gave it.
pub(super) fn unreadable(status: u16) -> OpError {
    match status {
        414 => OpError::new(ErrorCode::UriTooLong, "the request line is too long"),
        431 => OpError::new(
            ErrorCode::HeadersTooLarge,
            "the head of the request is too large, or has more than 100 header fields",
        ),
        _ => OpError::new(ErrorCode::BadRequest, "the request is no HTTP/1.1 (RFC 9112)").advise(
            "Check that its first line is `METHOD /path HTTP/1.1`, that each header is `Name: \
             value`, and that one length is given, by Content-Length or by Transfer-Encoding.",
        ),
    }
}

/// The head of a request did not come in time.
pub(super) fn late_head(limit: Duration) -> OpError {
    let why = format!("the head of the request took longer than {limit:?}");
    OpError::new(ErrorCode::RequestTimeout, why)
}

/// A request of HTTP/1.1 that does not name one host (RFC 9112, 3.2).
pub(super) fn without_host(request: &Request) -> Option<OpError> {
    let hosts = request.headers().get_all(HOST).iter().count();
    (request.version() == Version::HTTP_11 && hosts != 1).then(|| {
        let why = format!("must be there once, with the name of this server; {hosts} were sent");
        OpError::field("Host", ErrorCode::InvalidHeader, why)
    })
}

/// A problem as the last bytes of a connection.
pub(super) fn bytes(problem: OpError) -> Vec<u8> {
    let id = new_request_id();
    let status = error::status(&problem);
    let body = (error::PROBLEM.body)(&problem, &id).to_string();
    let retry = match status {
        StatusCode::SERVICE_UNAVAILABLE => "retry-after: 1\r\n",
        _ => "",
    };
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: {}\r\ncontent-length: {}\r\nx-request-id: {id}\r\n\
         {retry}connection: close\r\n\r\n",
        status.as_u16(),
        status.canonical_reason().unwrap_or_default(),
        error::PROBLEM.content_type,
        body.len(),
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::automatic;

    #[test]
    fn only_a_bare_head_is_taken_for_hypers_own() {
        for (written, status) in [
            ("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\ndate: x\r\n\r\n", Some(400)),
            ("HTTP/1.1 431 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", Some(431)),
            ("HTTP/1.1 404 Not Found\r\nx-request-id: 1\r\ncontent-length: 0\r\n\r\n", None),
            ("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n\r\n{}", None),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", None),
            ("HTTP/1.1 100 Continue\r\n\r\n", None),
            ("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n", None),
            ("", None),
        ] {
            assert_eq!(automatic(written.as_bytes()), status, "{written:?}");
        }
    }
}
