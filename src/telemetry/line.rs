//! Texts of others in log lines.

/// A text of somebody else as a part of one line: what would end the line or change a terminal
/// becomes a space.
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
