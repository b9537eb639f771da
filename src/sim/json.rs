//! JSON as the server writes it: no spaces, everything beyond ASCII escaped, zero costs as the
//! integer `0`.

use std::io;

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::ser::Formatter;

/// Writes `value` the way Python's `json.dumps` does with compact separators.
pub(super) fn render<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, Ascii);
    // Writing to memory cannot fail, nor can any of the types written here.
    let _ = value.serialize(&mut serializer);
    bytes
}

struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(start) = rest.find(|c: char| !c.is_ascii()) {
            writer.write_all(&rest.as_bytes()[..start])?;
            let Some(c) = rest[start..].chars().next() else {
                break;
            };
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = &rest[start + c.len_utf8()..];
        }
        writer.write_all(rest.as_bytes())
    }
}

/// A sum that starts as Python's integer zero and becomes a float once something is added.
pub(super) struct Sum(pub(super) f64);

impl Serialize for Sum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 == 0.0 {
            serializer.serialize_u64(0)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

/// An object that keeps the order of its keys.
pub(super) struct Object(pub(super) Vec<(&'static str, Node)>);

/// What an [`Object`] holds.
pub(super) enum Node {
    Leaf(Value),
    Object(Object),
}

impl<T: Into<Value>> From<T> for Node {
    fn from(value: T) -> Self {
        Self::Leaf(value.into())
    }
}

impl From<Object> for Node {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, node)| (key, node)))
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Leaf(value) => value.serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_ascii() {
        let text = "a\u{202e}\u{1b}[31m<b>\u{1f600}\"\\";
        let bytes = render(text);
        assert_eq!(
            String::from_utf8(bytes.clone()).unwrap(),
            r#""a\u202e\u001b[31m<b>\ud83d\ude00\"\\""#
        );
        assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), text);
    }

    #[test]
    fn zero_is_an_integer() {
        assert_eq!(render(&(Sum(0.0), Sum(5.0))), b"[0,5.0]");
    }
}
