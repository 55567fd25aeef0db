//! The field names of a type of this module, as serde knows them. So the fields that a handler accepts
//! are those of the published schema, without a second list.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};

/// The names of the fields of a structure, in order. Empty for a type that is no structure with named
/// fields.
#[must_use]
pub fn field_names<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    T::deserialize(NameReader).err().map_or(&[], |names| names.0)
}

/// A deserializer that has no values. It ends at the first structure and returns its names.
struct NameReader;

/// The end of the reading.
#[derive(Debug)]
struct FieldNames(&'static [&'static str]);

impl fmt::Display for FieldNames {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.0)
    }
}

impl std::error::Error for FieldNames {}

impl de::Error for FieldNames {
    fn custom<T: fmt::Display>(_message: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for NameReader {
    type Error = FieldNames;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, FieldNames> {
        Err(FieldNames(&[]))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, FieldNames> {
        Err(FieldNames(fields))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dto::{ClaimRequest, MergePatch, PauseRequest};

    #[test]
    fn names_are_those_of_the_structure() {
        assert_eq!(field_names::<PauseRequest>(), ["reason", "until"]);
        assert_eq!(field_names::<ClaimRequest>(), ["tick"]);
        assert!(field_names::<MergePatch>().is_empty());
        assert!(field_names::<u8>().is_empty());
    }
}
