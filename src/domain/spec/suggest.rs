//! "Did you mean": finds the known word closest to an unknown one.

/// Longer words are not compared, because the cost is quadratic in their length.
const WORD_BYTES_MAX: usize = 60;

/// The word of `known` that was probably meant by `word`: at most a third of its letters are wrong,
/// swapped or missing.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let plain = word.to_lowercase().replace('-', "_");
    let bound = (plain.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&plain, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["listen", "token_file", "enabled"];
        for (word, want) in [
            ("lisen", Some("listen")),
            ("Listen", Some("listen")),
            ("token-file", Some("token_file")),
            ("enbaled", Some("enabled")),
            ("port", None),
            ("", None),
        ] {
            assert_eq!(closest(word, known), want, "{word}");
        }
        assert_eq!(closest(&"a".repeat(1 << 20), known), None);
    }
}
