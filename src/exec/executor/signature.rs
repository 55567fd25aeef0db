//! The signature of requests to executors and of callbacks:
//! `Punctual-Signature: t=<unix seconds>,v1=<hex HMAC-SHA-256 of "t.body">`.

use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;

use super::callback::hex;

/// The header that carries it.
pub const SIGNATURE_HEADER: &str = "Punctual-Signature";
/// How far the times of signer and checker may be apart, in seconds.
const TOLERANCE: u64 = 300;

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none in the expected form.
    #[error("the header {SIGNATURE_HEADER} must be `t=<unix seconds>,v1=<hex HMAC-SHA-256>`")]
    Form,
    /// It is too old, or from the future.
    #[error("the signature's time differs by more than {TOLERANCE} s from the time here")]
    Time,
    /// It is not of this body, or not made with the secret.
    #[error("the signature is not that of this body and the secret")]
    Wrong,
}

/// The header's value for a body.
#[must_use]
pub fn sign(secret: &str, unix_seconds: u64, body: &[u8]) -> String {
    let tag = hmac::sign(&key(secret), &message(unix_seconds, body));
    format!("t={unix_seconds},v1={}", hex(tag.as_ref()))
}

/// Checks the header's value; `now` in seconds since 1970.
///
/// # Errors
/// Why it does not count.
pub fn verify(
    secret: &str,
    signature: Option<&str>,
    body: &[u8],
    now: u64,
) -> Result<(), SignatureError> {
    let mut time = None;
    let mut tag = None;
    for part in signature.ok_or(SignatureError::Form)?.split(',') {
        match part.trim().split_once('=') {
            Some(("t", text)) => time = text.parse::<u64>().ok(),
            Some(("v1", text)) => tag = unhex(text),
            // A later version may add its own beside.
            _ => {}
        }
    }
    let (Some(time), Some(tag)) = (time, tag) else { return Err(SignatureError::Form) };
    if time.abs_diff(now) > TOLERANCE {
        return Err(SignatureError::Time);
    }
    hmac::verify(&key(secret), &message(time, body), &tag).map_err(|_| SignatureError::Wrong)
}

/// The time of this machine's clock. Signatures tolerate a wrong one; nothing is due by it.
#[must_use]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn key(secret: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())
}

fn message(time: u64, body: &[u8]) -> Vec<u8> {
    [time.to_string().as_bytes(), b".", body].concat()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_body_one_secret_and_one_time() {
        let signature = sign("secret-0123456789", 1_000, b"{}");
        let check = |secret, signature, body: &[u8], now| verify(secret, signature, body, now);
        let signed = Some(signature.as_str());
        assert_eq!(check("secret-0123456789", signed, b"{}", 1_300), Ok(()));
        assert_eq!(check("secret-0123456789", signed, b"{}", 701), Ok(()));
        let late = check("secret-0123456789", signed, b"{}", 1_301);
        assert_eq!(late, Err(SignatureError::Time));
        let other = check("another-0123456789", signed, b"{}", 1_000);
        assert_eq!(other, Err(SignatureError::Wrong));
        let changed = check("secret-0123456789", signed, b"{} ", 1_000);
        assert_eq!(changed, Err(SignatureError::Wrong));
        for form in
            [None, Some(""), Some("t=1"), Some("v1=00"), Some("t=1,v1=0"), Some("t=1,v1=zz")]
        {
            let refused = check("secret-0123456789", form, b"{}", 1);
            assert_eq!(refused, Err(SignatureError::Form), "{form:?}");
        }
    }

    /// As `openssl dgst -sha256 -hmac` computes it of `1000.{}`.
    #[test]
    fn a_signature_is_what_other_programs_compute() {
        let signature = sign("secret-0123456789", 1_000, b"{}");
        assert_eq!(
            signature,
            "t=1000,v1=c41accc5e1fed5348fb724571f5f127bf38ec3cfdec92f8e8b103f4173439a77"
        );
    }
}
