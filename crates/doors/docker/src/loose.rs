//! Documents as Go reads them: the names of fields in any case, and null for what is absent.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// Reads a document.
pub(crate) fn read<T: DeserializeOwned>(document: Value) -> Result<T, serde_json::Error> {
    T::deserialize(Loose(document))
}

/// A part of a document.
pub(crate) struct Loose(pub(crate) Value);

impl<'de> Deserializer<'de> for Loose {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.0 {
            Value::Array(list) => visitor.visit_seq(SeqDeserializer::new(list.into_iter().map(Loose))),
            Value::Object(map) => {
                let there = map.into_iter().filter(|(_, value)| !value.is_null());
                visitor.visit_map(MapDeserializer::new(there.map(|(name, value)| (name, Loose(value)))))
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let Value::Object(map) = self.0 else { return self.deserialize_any(visitor) };
        let known = |name: String| {
            if fields.contains(&name.as_str()) {
                return name;
            }
            let like = fields.iter().find(|field| field.eq_ignore_ascii_case(&name));
            like.map_or(name, |field| (*field).to_owned())
        };
        // Of two that differ in case alone the later holds.
        let mut named = serde_json::Map::new();
        for (name, value) in map.into_iter().filter(|(_, value)| !value.is_null()) {
            named.insert(known(name), value);
        }
        Self(Value::Object(named)).deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, serde_json::Error> for Loose {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
