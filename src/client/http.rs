//! The library underneath: connections, certificates, and what its errors mean.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// A connection is made within this, or the next server is tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// A client that trusts the machine's certificate authorities.
///
/// # Errors
/// A sentence that says what is missing.
pub(super) fn make(answer_within: Duration) -> Result<reqwest::Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    // None at all: https then fails and says so; http needs none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("punctual/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        // Repeating is ours: only we know which server is next.
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(CONNECT_WITHIN)
        .timeout(answer_within)
        .build()
        .map_err(|error| format!("the HTTP client cannot be made: {}", reason(&error)))
}

/// The innermost cause; the outer ones only repeat the URL.
pub(super) fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() && error.is_connect() {
        return format!("takes no connection within {} s", CONNECT_WITHIN.as_secs());
    }
    if error.is_timeout() {
        return "gives no answer in time".to_owned();
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let cause = cause.to_string();
    if error.is_connect() { format!("takes no connection: {cause}") } else { cause }
}

/// Whether what came is no HTTP.
pub(super) fn no_http(error: &reqwest::Error) -> bool {
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(inner) = cause {
        if inner.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_parse) {
            return true;
        }
        cause = inner.source();
    }
    false
}
