//! The differences between two definitions in the words of the command line.

use super::words;
use crate::dto::ChangeView;

/// Each difference on a line of its own: `  timeout: 0s → 1m`.
#[must_use]
pub fn lines(changes: &[ChangeView]) -> String {
    let line = |change: &ChangeView| {
        let place = change.pointer.trim_start_matches('/').replace('/', ".");
        format!("  {place}: {} → {}\n", words::value(&change.before), words::value(&change.after))
    };
    changes.iter().map(line).collect()
}

/// The fields of the whole in which there are differences.
#[must_use]
pub fn fields(changes: &[ChangeView]) -> Vec<&str> {
    let mut fields: Vec<&str> =
        changes.iter().filter_map(|change| change.pointer.split('/').nth(1)).collect();
    fields.dedup();
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn differences_are_told_by_field() {
        let before =
            json!({"name": "a", "retry": {"delay": "1s", "max_retry": 0}, "timeout": "0s"});
        let after = json!({"name": "a", "retry": {"delay": "2s", "max_retry": 1}, "timeout": "1m"});
        let changes = ChangeView::between(&before, &after);
        assert_eq!(
            lines(&changes),
            "  retry.delay: 1s → 2s\n  retry.max_retry: 0 → 1\n  timeout: 0s → 1m\n"
        );
        assert_eq!(fields(&changes), ["retry", "timeout"]);
        assert_eq!(fields(&[]), Vec::<&str>::new());
    }
}
