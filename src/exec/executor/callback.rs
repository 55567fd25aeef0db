//! The URL under which an executor reports the end of an attempt. It carries the fence and a key
//! that only the cluster can make, so an executor needs neither a token nor the fence itself.

use std::fmt::Write;

use ring::hmac;

use crate::domain::ids::{ExecutionId, Fence};

/// The bytes of a key that stand in the URL.
const KEY_BYTES: usize = 16;

/// The callback URL of an attempt. `base` is the URL of a node without a final slash, `secret` the
/// cluster's.
#[must_use]
pub fn callback_url(base: &str, secret: u128, execution: ExecutionId, fence: Fence) -> String {
    let key = callback_key(secret, execution, fence);
    format!("{base}/api/v1/executions/{execution}/callback?fence={fence}&key={key}")
}

/// The key of an attempt's callback URL.
fn callback_key(secret: u128, execution: ExecutionId, fence: Fence) -> String {
    let tag = hmac::sign(&key(secret), message(execution, fence).as_bytes());
    hex(tag.as_ref().get(..KEY_BYTES).unwrap_or_default())
}

/// Whether `key` is that of the attempt; it takes the same time whatever is wrong with it.
#[must_use]
pub fn is_callback_key(secret: u128, execution: ExecutionId, fence: Fence, key: &str) -> bool {
    let expected = callback_key(secret, execution, fence);
    let differs = |(a, b): (u8, u8)| a ^ b;
    let bytes = expected.bytes().zip(key.bytes());
    expected.len() == key.len() && bytes.map(differs).fold(0, |all, one| all | one) == 0
}

fn key(secret: u128) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, &secret.to_be_bytes())
}

fn message(execution: ExecutionId, fence: Fence) -> String {
    format!("{execution}:{fence}")
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_one_attempt_of_one_cluster() {
        let (execution, fence) = (ExecutionId(40), Fence(41));
        let key = callback_key(7, execution, fence);
        assert_eq!(key.len(), 2 * KEY_BYTES);
        assert!(is_callback_key(7, execution, fence, &key));
        assert!(!is_callback_key(8, execution, fence, &key));
        assert!(!is_callback_key(7, ExecutionId(41), fence, &key));
        assert!(!is_callback_key(7, execution, Fence(42), &key));
        assert!(!is_callback_key(7, execution, fence, &key[1..]));
        assert!(!is_callback_key(7, execution, fence, ""));
        let url = callback_url("http://n1:8080", 7, execution, fence);
        assert_eq!(url, format!("http://n1:8080/api/v1/executions/40/callback?fence=41&key={key}"));
    }
}
