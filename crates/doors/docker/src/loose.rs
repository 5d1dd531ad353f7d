//! Documents as Go reads them: the names of fields in any case, and null for what is absent.

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::Value;

/// Reads a document.
pub(crate) fn read<T: DeserializeOwned>(document: Value) -> Result<T, serde_json::Error> {
    T::deserialize(Loose(document))
}

/// What is wrong with a document, in the words of Go's decoder.
pub(crate) fn told(error: &serde_json::Error, body: &[u8]) -> String {
    let text = error.to_string();
    if text.starts_with("trailing characters") {
        return "unexpected content after JSON".to_owned();
    }
    let after = [
        ("key must be a string", "looking for beginning of object key string"),
        ("expected value", "looking for beginning of value"),
        ("expected ident", "in literal"),
        ("expected `:`", "after object key"),
        ("expected `,` or `}`", "after object key:value pair"),
        ("expected `,` or `]`", "after array element"),
        ("trailing comma", "looking for beginning of value"),
        ("control character", "in string literal"),
        ("invalid escape", "in string escape code"),
        ("invalid number", "in numeric literal"),
    ];
    let told = match after.iter().find(|(said, _)| text.starts_with(said)) {
        _ if error.is_eof() => "unexpected EOF".to_owned(),
        Some((_, place)) => format!("invalid character {} {place}", character(error, body)),
        None => text,
    };
    format!("invalid JSON: {told}")
}

/// The character at which reading stopped, in quotes.
fn character(error: &serde_json::Error, body: &[u8]) -> String {
    let line = body.split(|byte| *byte == b'\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let byte = line.get(error.column().saturating_sub(1)).copied().unwrap_or(b'\n');
    format!("'{}'", char::from(byte).escape_default())
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{read, told};
    use crate::wire::{CreateBody, HostConfig};

    #[test]
    fn names_are_read_in_any_case_and_null_means_absent() {
        let body: CreateBody = read(json!({
            "image": "busybox", "hostconfig": { "NETWORKMODE": "none", "memory": 7, "Binds": null }, "Tty": null,
            "Labels": { "Image": "kept as it is" },
        }))
        .unwrap();
        assert_eq!(body.config.image, "busybox");
        assert_eq!(body.host_config.network_mode, "none");
        assert_eq!(body.host_config.resources.memory, 7);
        assert_eq!(body.config.labels["Image"], "kept as it is");
    }

    #[test]
    fn a_host_configuration_is_read_as_it_was_written() {
        let mut config = HostConfig::default();
        config.resources.memory_swap = -1;
        config.shm_size = 64;
        let written = serde_json::to_value(&config).unwrap();
        assert_eq!((&written["MemorySwap"], &written["ShmSize"]), (&json!(-1), &json!(64)));
        assert_eq!(read::<HostConfig>(written).unwrap(), config);
    }

    #[test]
    fn what_is_wrong_is_told_as_go_tells_it() {
        for (text, expected) in [
            (
                "{invalid json",
                "invalid JSON: invalid character 'i' looking for beginning of object key string",
            ),
            ("{} trailing", "unexpected content after JSON"),
            ("[1 2]", "invalid JSON: invalid character '2' after array element"),
            ("{\"a\" 1}", "invalid JSON: invalid character '1' after object key"),
            ("{\"a\": }", "invalid JSON: invalid character '}' looking for beginning of value"),
            ("{\"a\": 1", "invalid JSON: unexpected EOF"),
        ] {
            let error = serde_json::from_str::<Value>(text).unwrap_err();
            assert_eq!(told(&error, text.as_bytes()), expected, "{text}");
        }
    }
}
