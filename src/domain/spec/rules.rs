//! The rules for names and labels, which also apply outside task bodies, and the limits of a body.

use unicode_normalization::char::is_combining_mark;

use crate::domain::time::Millis;

/// Longest task name.
const NAME_BYTES_MAX: usize = 200;
/// Longest label key.
const LABEL_KEY_BYTES_MAX: usize = 100;
/// Longest label value.
const LABEL_VALUE_BYTES_MAX: usize = 200;
/// Most labels of one task, and of one selector.
pub(super) const LABELS_MAX: usize = 64;
/// Longest description.
pub(super) const DESCRIPTION_BYTES_MAX: usize = 4 * 1024;
/// Maximum size of payload and parameters together.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 * 1024;
/// Maximum size of the action as compact JSON.
pub(super) const ACTION_BYTES_MAX: usize = 64 * 1024;
/// Longest duration anywhere: 100 years of 365.25 days.
pub(super) const DURATION_MAX: Millis = Millis::from_secs(36_525 * 86_400);
/// Maximum number of late ticks that `catch_up.policy` `all` may fire.
pub(super) const CATCH_UP_MAX: u64 = 10_000;
/// Maximum number of attempts after known failures.
pub(super) const RETRIES_MAX: i64 = 1_000;
/// Maximum number of tasks that `then` names for one outcome.
pub(super) const CHAINED_MAX: usize = 20;
/// Minimum of `lost_after`. With a shorter one, slow owners would be treated as lost.
pub(super) const LOST_AFTER_MIN: Millis = Millis::from_secs(1);

/// Checks a task's name: 1 to 200 bytes in NFC, letters and digits of any script and `._-:@+`, no
/// dot at the start.
///
/// # Errors
/// A sentence about the broken rule.
pub fn check_name(name: &str) -> Result<(), String> {
    word(name, NAME_BYTES_MAX, "._-:@+")?;
    if name.starts_with('.') {
        return Err("must not begin with a dot".to_owned());
    }
    Ok(())
}

/// Checks a label: a key of 1 to 100 bytes with the rules of a name, `/` allowed; a value of at
/// most 200 bytes without control characters.
///
/// # Errors
/// A sentence about the broken rule.
pub fn check_label(key: &str, value: &str) -> Result<(), String> {
    word(key, LABEL_KEY_BYTES_MAX, "._-:@+/").map_err(|rule| format!("its key {rule}"))?;
    if value.len() > LABEL_VALUE_BYTES_MAX {
        return Err(format!("must have at most {LABEL_VALUE_BYTES_MAX} bytes"));
    }
    if value.chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(())
}

fn word(text: &str, bytes_max: usize, punctuation: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > bytes_max {
        return Err(format!("must have 1 to {bytes_max} bytes, has {}", text.len()));
    }
    let mut carries_marks = false;
    for c in text.chars() {
        // Several scripts need combining marks. A mark must follow a letter.
        let letter = c.is_alphanumeric() || (carries_marks && is_combining_mark(c));
        if !letter && !punctuation.contains(c) {
            let c = c.escape_debug();
            return Err(format!("must be letters, digits and `{punctuation}`, but has `{c}`"));
        }
        carries_marks = letter;
    }
    if !unicode_normalization::is_nfc(text) {
        return Err("must be in Unicode normal form C".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{check_label, check_name};

    #[test]
    fn names_of_every_script_pass_and_odd_ones_do_not() {
        for good in
            ["a", "nightly-report", "报表.每日", "отчёт", "हिन्दी", "a:b@c+d_e", "7", "Ⅷ", "été"]
        {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(201);
        for bad in [
            "",
            ".",
            ".a",
            "a b",
            "a/b",
            "a\0",
            "a\n",
            "a,b",
            "e\u{301}",
            "\u{301}a",
            "-\u{301}",
            &long,
            "a\u{200d}b",
            "😀",
            "a%20b",
            "*",
        ] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(check_name(&"x".repeat(200)), Ok(()));
    }

    #[test]
    fn labels_have_keys_like_names_and_any_printable_value() {
        assert_eq!(check_label("example.com/team", "billing and more"), Ok(()));
        assert_eq!(check_label("zone", ""), Ok(()));
        let long = "v".repeat(201);
        for (key, value) in [("", "x"), ("a=b", "x"), ("a b", "x"), ("a", "x\ny"), ("a", &long)] {
            assert!(check_label(key, value).is_err(), "{key} {value}");
        }
    }
}
