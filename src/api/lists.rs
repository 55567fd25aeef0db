//! Lists: by cursor, or by page number.

use axum::http::header::HeaderValue;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::params::{Params, bad, bad_cursor};
use crate::ops::error::OpError;

/// The parameters of every list.
pub(super) const PAGING: [&str; 4] = ["limit", "cursor", "page", "page_size"];
/// Items of a page, unless asked otherwise.
const LIMIT: u64 = 100;
/// At most so many.
const LIMIT_MAX: u64 = 1_000;

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Page {
    /// So many behind the item with this key.
    Cursor {
        /// How many.
        limit: usize,
        /// The key of the last item before; none: from the beginning.
        after: Option<String>,
    },
    /// By number.
    Numbered {
        /// From 1.
        page: usize,
        /// Items on each.
        size: usize,
    },
}

impl Page {
    /// Reads the parameters of a list.
    ///
    /// # Errors
    /// `invalid_parameter`.
    pub fn of(params: &Params) -> Result<Self, OpError> {
        let number = |name, range| {
            params
                .number(name, range)
                .map(|number| number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)))
        };
        let limit = number("limit", 1..=LIMIT_MAX)?;
        let page = number("page", 1..=1_000_000_000)?;
        let size = number("page_size", 1..=LIMIT_MAX)?;
        let usual = usize::try_from(LIMIT).unwrap_or(usize::MAX);
        if page.is_some() || size.is_some() {
            if params.get("cursor").is_some() || limit.is_some() {
                return Err(bad("page", "goes with page_size, not with cursor and limit"));
            }
            return Ok(Self::Numbered { page: page.unwrap_or(1), size: size.unwrap_or(usual) });
        }
        let after = match params.get("cursor") {
            None | Some("") => None,
            Some(text) => {
                let key = decode(text).ok_or_else(bad_cursor)?;
                Some(key)
            }
        };
        Ok(Self::Cursor { limit: limit.unwrap_or(usual), after })
    }

    /// The key after which the list goes on.
    pub fn after(&self) -> Option<&str> {
        match self {
            Self::Cursor { after, .. } => after.as_deref(),
            Self::Numbered { .. } => None,
        }
    }

    /// The answer: `items` are those behind [`Page::after`], in order.
    pub fn list<T>(
        &self,
        mut items: impl Iterator<Item = T>,
        key: impl Fn(&T) -> String,
        show: impl Fn(&T) -> Value,
    ) -> List {
        match *self {
            Self::Cursor { limit, .. } => {
                let shown: Vec<T> = items.by_ref().take(limit).collect();
                let more = shown.len() == limit && items.next().is_some();
                let next = shown.last().filter(|_| more).map(|last| encode(&key(last)));
                let items: Vec<Value> = shown.iter().map(show).collect();
                List { items, page: Place::Cursor { next_cursor: next } }
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
                let page = Place::Numbered { total, page, page_size: size, total_pages };
                List { items: shown, page }
            }
        }
    }
}

/// A part of a list, as it is answered.
#[derive(Debug)]
pub(super) struct List {
    items: Vec<Value>,
    page: Place,
}

/// Where a part of a list stands in it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Place {
    Cursor { next_cursor: Option<String> },
    Numbered { total: usize, page: usize, page_size: usize, total_pages: usize },
}

impl List {
    /// As a value, to which more can be added.
    pub fn into_value(self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl Serialize for List {
    /// The items of a numbered page are written twice, and held once.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            items: &'a [Value],
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a [Value]>,
            #[serde(flatten)]
            page: &'a Place,
        }
        let numbered = matches!(self.page, Place::Numbered { .. });
        let items = self.items.as_slice();
        let data = numbered.then_some(items);
        Body { items, data, page: &self.page }.serialize(serializer)
    }
}

/// A key as a cursor.
fn encode(key: &str) -> String {
    key.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn decode(text: &str) -> Option<String> {
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

/// Where something that was made is found.
pub(super) fn location(collection: &str, name: &str) -> Option<HeaderValue> {
    let name: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    HeaderValue::from_str(&format!("/api/v1/{collection}/{name}")).ok()
}

/// Whether a name is what a pattern with `*` and `?` describes.
pub(super) fn glob(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on after the last star if what follows it does not fit.
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
