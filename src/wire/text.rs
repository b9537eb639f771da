//! Text of a row that a client may have chosen.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, Visitor};

use crate::names::{NameId, Names};

/// Interns a text.
///
/// A client can give a name with a lone surrogate (`"\ud800"`): Python carries it and sends it on,
/// and a strict JSON parser would refuse the whole reply, which would blind the agent at a client's
/// wish. So the text is read as bytes, and what is not Unicode becomes U+FFFD.
pub(super) struct TextSeed<'a>(pub(super) &'a mut Names);

impl<'de> DeserializeSeed<'de> for TextSeed<'_> {
    type Value = NameId;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<NameId, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl Visitor<'_> for TextSeed<'_> {
    type Value = NameId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<NameId, E> {
        Ok(match std::str::from_utf8(bytes) {
            Ok(text) => self.0.intern(text),
            Err(_) => self.0.intern(&String::from_utf8_lossy(bytes)),
        })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<NameId, E> {
        Ok(self.0.intern(text))
    }
}
