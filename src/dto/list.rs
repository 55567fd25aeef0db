//! List responses, by cursor or by page number.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize, Serializer};

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(rename = "ListOf{T}", transform = with_data)]
pub struct ListView<T> {
    /// The items of this part, in order.
    pub items: Vec<T>,
    /// The position of this part in the list.
    #[serde(flatten)]
    pub place: ListPlace,
}

/// The position of a part in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ListPlace {
    /// By page number.
    Numbered {
        /// Number of items in the whole list.
        total: usize,
        /// The page number, from 1.
        page: usize,
        /// Maximum number of items per page.
        page_size: usize,
        /// Number of pages.
        total_pages: usize,
    },
    /// By cursor.
    Cursor {
        /// The cursor of the next part. Null: this is the last part.
        next_cursor: Option<String>,
    },
}

impl<T: Serialize> Serialize for ListView<T> {
    /// The items of a numbered page are serialized twice, but stored once.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct ListBody<'a, T> {
            items: &'a [T],
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a [T]>,
            #[serde(flatten)]
            place: &'a ListPlace,
        }
        let items = self.items.as_slice();
        let data = matches!(self.place, ListPlace::Numbered { .. }).then_some(items);
        ListBody { items, data, place: &self.place }.serialize(serializer)
    }
}

/// Numbered pages also have `data`, which equals `items`.
fn with_data(schema: &mut Schema) {
    let Some(properties) = schema.get_mut("properties").and_then(|all| all.as_object_mut()) else {
        return;
    };
    if let Some(items) = properties.get("items").cloned() {
        properties.insert("data".to_owned(), items);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// It does not implement `Clone`: a list that is serialized twice is stored once.
    #[derive(Serialize)]
    struct UncopiedItem {
        name: String,
    }

    #[test]
    fn a_numbered_page_is_written_twice_and_held_once() {
        let page = |place: ListPlace| {
            let items = vec![UncopiedItem { name: "a".to_owned() }];
            serde_json::to_value(ListView { items, place }).unwrap()
        };
        let numbered = ListPlace::Numbered { total: 3, page: 2, page_size: 1, total_pages: 3 };
        let items = json!([{"name": "a"}]);
        let written = json!({"items": items, "data": items, "total": 3, "page": 2, "page_size": 1,
            "total_pages": 3});
        assert_eq!(page(numbered), written);
        let written = json!({"items": items, "next_cursor": null});
        assert_eq!(page(ListPlace::Cursor { next_cursor: None }), written);
    }
}
