//! Lists: by cursor, or by page number.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize, Serializer};

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[schemars(rename = "ListOf{T}", transform = with_data)]
pub struct ListView<T> {
    /// In order.
    pub items: Vec<T>,
    /// Where this part stands in the list.
    #[serde(flatten)]
    pub place: ListPlace,
}

/// Where a part of a list stands in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ListPlace {
    /// By number.
    Numbered {
        /// Items of the whole list.
        total: usize,
        /// From 1.
        page: usize,
        /// Items on each.
        page_size: usize,
        /// How many there are.
        total_pages: usize,
    },
    /// By cursor.
    Cursor {
        /// Where the list goes on; null: it does not.
        next_cursor: Option<String>,
    },
}

impl<T: Serialize> Serialize for ListView<T> {
    /// The items of a numbered page are written twice, and held once.
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

/// Numbered pages have `data` as well, which is the same as `items`.
fn with_data(schema: &mut Schema) {
    let Some(properties) = schema.get_mut("properties").and_then(|all| all.as_object_mut()) else {
        return;
    };
    if let Some(items) = properties.get("items").cloned() {
        properties.insert("data".to_owned(), items);
    }
}
