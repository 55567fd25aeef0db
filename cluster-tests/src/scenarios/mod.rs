//! The loads of the process tests. Each runs on a cluster and returns figures, including broken
//! promises as sentences ([`BrokenPromises`]). A load that could not be run is an error.

mod beats;
pub mod cut_off;
pub mod durable;
pub mod fresh;
pub mod kills;
pub mod rolling;
pub mod silence;

/// Broken promises, as sentences. Empty: none was broken.
pub type BrokenPromises = Vec<String>;

/// A quantile of a list; 0.5 is the median. 0 for an empty list.
#[must_use]
pub fn quantile(values: &[i64], share: f64) -> i64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(0)
}

/// Whole milliseconds of a time in nanoseconds.
fn to_ms(nanos: i128) -> i64 {
    i64::try_from(nanos / 1_000_000).unwrap_or(i64::MAX)
}
