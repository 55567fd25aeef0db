//! Pagination of lists, by cursor or by page number.

use std::time::Duration;

use tokio::time::Instant;

use crate::dto::{ListPlace, ListView};

/// The time after which a search for people tells what it has found.
const SEARCH: Duration = Duration::from_millis(20);
/// Items that are looked at between two looks at the clock.
const STEP: usize = 256;

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

/// A page of what is searched for.
pub(crate) struct SearchedPage<T> {
    /// What was found.
    pub items: Vec<T>,
    /// The key of the item behind which the search goes on. None: it is over.
    pub next: Option<String>,
    /// How many items were looked at, if the search took too long to fill the page.
    pub unfinished: Option<usize>,
}

/// Searches for a page of items that fit, in a bounded time.
pub(crate) fn search<T: Copy>(
    items: impl Iterator<Item = T>,
    limit: usize,
    fits: impl Fn(T) -> bool,
    key: impl Fn(T) -> String,
) -> SearchedPage<T> {
    search_until(Instant::now() + SEARCH, items, limit, fits, key)
}

fn search_until<T: Copy>(
    until: Instant,
    items: impl Iterator<Item = T>,
    limit: usize,
    fits: impl Fn(T) -> bool,
    key: impl Fn(T) -> String,
) -> SearchedPage<T> {
    let mut found: Vec<T> = Vec::new();
    for (seen, item) in items.enumerate() {
        if fits(item) {
            if found.len() == limit {
                let next = found.last().map(|last| key(*last));
                return SearchedPage { items: found, next, unfinished: None };
            }
            found.push(item);
        }
        let seen = seen + 1;
        if seen.is_multiple_of(STEP) && Instant::now() >= until {
            let next = Some(key(item));
            return SearchedPage { items: found, next, unfinished: Some(seen) };
        }
    }
    SearchedPage { items: found, next: None, unfinished: None }
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

/// What all names begin with that match a pattern.
pub(crate) fn prefix(pattern: &str) -> &str {
    pattern.split(['*', '?']).next().unwrap_or_default()
}

/// Whether a name matches a pattern with `*` and `?`.
pub(crate) fn glob(pattern: &str, name: &str) -> bool {
    if !is_glob(pattern) {
        return pattern == name;
    }
    // What people search for most: a part of the name.
    let part = pattern.strip_prefix('*').and_then(|rest| rest.strip_suffix('*'));
    if let Some(part) = part.filter(|part| !is_glob(part)) {
        return name.contains(part);
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
    fn a_search_goes_on_where_it_stopped() {
        let past = Instant::now();
        let later = past + Duration::from_secs(3_600);
        let fits = |item: u32| item.is_multiple_of(100);
        let key = |item: u32| item.to_string();
        let page = search_until(later, 1..10_000, 5, fits, key);
        assert_eq!(
            (page.items, page.next, page.unfinished),
            (vec![100, 200, 300, 400, 500], Some("500".to_owned()), None)
        );
        let page = search_until(later, 1..501, 5, fits, key);
        assert_eq!((page.items.len(), page.next), (5, None));
        // Without time it looks at some items and says so; all pages together have everything.
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let page = search_until(past, after + 1..10_001, 5, fits, key);
            found.extend(page.items);
            let Some(next) = page.next else { break };
            assert_eq!(page.unfinished, Some(STEP));
            after = next.parse().unwrap();
        }
        assert_eq!(found, (1..=100).map(|item| item * 100).collect::<Vec<u32>>());
    }

    #[test]
    fn cursors_come_back_and_others_do_not() {
        assert_eq!(decode(&encode("报表:1")).as_deref(), Some("报表:1"));
        for wrong in ["0", "zz", "ff", "é0"] {
            assert_eq!(decode(wrong), None, "{wrong}");
        }
    }
}
