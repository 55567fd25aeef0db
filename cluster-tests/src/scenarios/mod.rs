//! The loads of the process tests. Each runs on a cluster and returns figures, among them broken
//! promises as sentences ([`BrokenPromises`]). A load that could not run is an error.

pub mod cut_off;
pub mod durable;
pub mod fresh;
pub mod kills;
pub mod silence;

/// Promises that did not hold, for people; empty: all held.
pub type BrokenPromises = Vec<String>;

/// Value at a share of a list, such as 0.5 for the median; 0 of an empty list.
#[must_use]
pub fn quantile(values: &[i64], share: f64) -> i64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let at = (last as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(0)
}
