//! Tests that this machine cannot run.

/// Prints that a test, or a part of one, is skipped. Panics with `STRICT=1`.
pub(crate) fn skipped(why: &str) {
    println!("skipped: {why}");
    let strict = std::env::var_os("STRICT").is_some_and(|value| value == "1");
    assert!(!strict, "skipped, which STRICT=1 does not allow: {why}");
}
