//! Pagination of lists, by cursor or by page number.

use crate::dto::{ListPlace, ListView};

/// The requested part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PageRequest {
    /// Items after the item with this key.
    Cursor {
        /// Maximum number of items.
        limit: usize,
        /// The key of the last item before the page. `None` for the first page.
        after: Option<String>,
    },
    /// A numbered page.
    Numbered {
        /// Page number, from 1.
        page: usize,
        /// Items per page.
        size: usize,
    },
}

impl PageRequest {
    /// The key after which the page starts.
    pub fn after(&self) -> Option<&str> {
        match self {
            Self::Cursor { after, .. } => after.as_deref(),
            Self::Numbered { .. } => None,
        }
    }

    /// Builds the page. `items` are the items after [`PageRequest::after`], in order.
    pub fn list<T, V>(
        &self,
        mut items: impl Iterator<Item = T>,
        key: impl Fn(&T) -> String,
        mut show: impl FnMut(&T) -> V,
    ) -> ListView<V> {
        match *self {
            Self::Cursor { limit, .. } => {
                let shown: Vec<T> = items.by_ref().take(limit).collect();
                let more = shown.len() == limit && items.next().is_some();
                let next = shown.last().filter(|_| more).map(|last| encode(&key(last)));
                let items = shown.iter().map(show).collect();
                ListView { items, place: ListPlace::Cursor { next_cursor: next } }
            }
            Self::Numbered { page, size } => {
                let skip = (page - 1).saturating_mul(size);
                let (mut total, mut shown) = (0_usize, Vec::new());
                for item in items {
                    if total >= skip && shown.len() < size {
                        shown.push(show(&item));
                    }
                    total += 1;
                }
                let total_pages = total.div_ceil(size);
                let place = ListPlace::Numbered { total, page, page_size: size, total_pages };
                ListView { items: shown, place }
            }
        }
    }
}

/// Encodes a key as a cursor.
pub(crate) fn encode(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// Decodes a cursor. `None` if it is invalid.
pub(crate) fn decode(text: &str) -> Option<String> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect::<Option<_>>()?;
    let bytes = digits.chunks_exact(2).filter_map(|pair| match pair {
        [high, low] => Some(high << 4 | low),
        _ => None,
    });
    String::from_utf8(bytes.collect()).ok()
}

/// Whether a word is a pattern, and not a name.
pub(crate) fn is_glob(word: &str) -> bool {
    word.contains(['*', '?'])
}

/// Whether a name matches a pattern with `*` and `?`.
pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    if !is_glob(pattern) {
        return pattern == name;
    }
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to continue after the last star if the rest does not match.
    let mut back: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                back = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == '?' || Some(c) == name.get(n) => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((after, from)) => {
                    back = Some((after, from + 1));
                    p = after;
                    n = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xaxbx", true),
            ("*a*b", "aabab", true),
            ("abc", "abcd", false),
            ("报*", "报表", true),
            ("a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaa", false),
        ] {
            assert_eq!(glob(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn cursors_come_back_and_others_do_not() {
        assert_eq!(decode(&encode("报表:1")).as_deref(), Some("报表:1"));
        for wrong in ["0", "zz", "ff", "é0"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
