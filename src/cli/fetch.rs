//! Reading answers: lists page by page, and fields by name.

use serde_json::{Value, json};

use super::exit::Failure;
use crate::client::Client;
use crate::domain::time::{Millis, Timestamp};

/// Items asked for at a time.
const PAGE: usize = 1_000;

/// All items of a list, and the list as one answer.
///
/// # Errors
/// No good answer.
pub async fn all(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
) -> Result<(Value, Vec<Value>), Failure> {
    up_to(client, path, query, usize::MAX).await
}

/// The first `most` items of a list, and the list as one answer.
///
/// # Errors
/// No good answer.
pub async fn up_to(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
    most: usize,
) -> Result<(Value, Vec<Value>), Failure> {
    let mut found: Vec<Value> = Vec::new();
    let mut cursor = None;
    let mut rest = Value::Null;
    while found.len() < most {
        let mut query = query.to_vec();
        query.push(("limit", (most - found.len()).min(PAGE).to_string()));
        if let Some(cursor) = cursor.take() {
            query.push(("cursor", cursor));
        }
        let reply = client.get(path, &query).await?;
        let page = items(&reply.body);
        let empty = page.is_empty();
        found.extend(page.iter().cloned());
        cursor = text(&reply.body, "next_cursor").map(str::to_owned);
        rest = reply.body;
        if cursor.is_none() || empty {
            break;
        }
    }
    found.truncate(most);
    let mut whole = json!({ "items": found });
    if let (Value::Object(whole), Value::Object(rest)) = (&mut whole, rest) {
        for (key, value) in rest {
            whole.entry(key).or_insert(value);
        }
    }
    Ok((whole, found))
}

/// The items of a list's answer.
#[must_use]
pub fn items(body: &Value) -> &[Value] {
    let list = body.get("items").or_else(|| body.get("ticks")).unwrap_or(body);
    list.as_array().map_or(&[], Vec::as_slice)
}

/// A field that is a text.
#[must_use]
pub fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

/// A field in one word, empty if it is absent or null.
#[must_use]
pub fn word(value: &Value, key: &str) -> String {
    match value.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A field that is an instant.
#[must_use]
pub fn instant(value: &Value, key: &str) -> Option<Timestamp> {
    Timestamp::parse(text(value, key)?).ok()
}

/// A field that is a count of milliseconds.
#[must_use]
pub fn millis(value: &Value, key: &str) -> Option<Millis> {
    value.get(key)?.as_u64().map(Millis)
}

/// A field that is neither absent nor null.
#[must_use]
pub fn given<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    value.get(key).filter(|value| !value.is_null())
}

/// The texts of a list, one behind the other.
#[must_use]
pub fn list(value: &Value, pointer: &str) -> String {
    let items = value.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}
