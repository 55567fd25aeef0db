//! Untrusted text in log lines.

/// Makes untrusted text safe for a single log line: control characters, which could end the line or
/// control a terminal, become spaces.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_others_stay_on_their_line() {
        assert_eq!(one_line("a\nERROR b\x1b[2Jc\u{85}d"), "a ERROR b [2Jc d");
    }
}
