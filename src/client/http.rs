//! The HTTP library: connections, certificates and error messages.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// Connection timeout. After it the next server is tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// Creates a client that trusts the certificate authorities of the machine. Without a limit an answer
/// may take as long as it likes, as a stream does.
///
/// # Errors
/// A sentence with the reason.
pub(super) fn make(answer_within: Option<Duration>) -> Result<reqwest::Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    // Without certificates, https requests fail with an error. http does not need any.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut builder = reqwest::Client::builder();
    if let Some(limit) = answer_within {
        builder = builder.timeout(limit);
    }
    builder
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("punctual/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        // Our own code retries, because it selects the next server.
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(CONNECT_WITHIN)
        .build()
        .map_err(|error| format!("the HTTP client cannot be made: {}", reason(&error)))
}

/// The innermost cause. The outer errors only repeat the URL.
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

/// Whether the response was not HTTP.
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
