//! Markup, built so that nothing which is not ours can become markup.
//!
//! What is written as it is must be in the program's text; all else is escaped. No other way in exists.

use std::fmt::{Display, Write as _};

use serde::Serialize;

use crate::escape;

/// A page so far.
#[derive(Debug, Default)]
pub(super) struct Markup(String);

impl Markup {
    /// Markup of our own.
    pub(super) fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Text of any origin, between tags or in a quoted attribute.
    pub(super) fn text(&mut self, text: impl AsRef<str>) -> &mut Self {
        self.0.push_str(&escape::html(text.as_ref()));
        self
    }

    /// A sentence of the program's own: what stands in backticks is code.
    pub(super) fn sentence(&mut self, text: &str) -> &mut Self {
        self.0.push_str(&escape::html_sentence(text));
        self
    }

    /// Text of several lines, which people wrote: line breaks are spaces.
    pub(super) fn prose(&mut self, text: &str) -> &mut Self {
        let words: Vec<_> = text.split_whitespace().collect();
        self.text(words.join(" "))
    }

    /// A number, as programs write it.
    pub(super) fn number(&mut self, number: impl Into<Number>) -> &mut Self {
        let Number(number) = number.into();
        self.0.push_str(&number);
        self
    }

    /// A figure: as people read it, and as it is in the JSON.
    pub(super) fn figure(&mut self, value: impl Into<Number>, shown: &str) -> &mut Self {
        self.raw("<data value=\"").number(value).raw("\">");
        self.text(shown).raw("</data>")
    }

    /// JSON for a script's element: no character of it can end the element, or be anything but ASCII.
    pub(super) fn json(&mut self, value: &impl Serialize) -> serde_json::Result<&mut Self> {
        let json = serde_json::to_string(value)?;
        let mut units = [0; 2];
        for c in json.chars() {
            // Such characters stand within strings alone, where an escape is the same.
            if c.is_ascii() && !matches!(c, '<' | '>' | '&' | '\x7f') {
                self.0.push(c);
            } else {
                for unit in c.encode_utf16(&mut units) {
                    // Writing to a string cannot fail.
                    let _ = write!(self.0, "\\u{unit:04x}");
                }
            }
        }
        Ok(self)
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// A number that was made into text.
pub(super) struct Number(String);

macro_rules! number {
    ($($of:ty)+) => { $(
        impl From<$of> for Number {
            fn from(number: $of) -> Self {
                Self(text(number))
            }
        }
    )+ };
}

number!(u64 usize i64 f64);

fn text(number: impl Display) -> String {
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::HOSTILE;
    use proptest::prelude::*;

    #[test]
    fn text_is_no_markup() {
        let mut markup = Markup::default();
        markup
            .raw("<p title=\"")
            .text(HOSTILE)
            .raw("\">")
            .prose("a\n b")
            .raw("</p>");
        let markup = markup.finish();
        assert_eq!(markup.matches(['<', '>']).count(), 4, "{markup}");
        assert!(markup.ends_with("\">a b</p>"), "{markup}");
    }

    proptest! {
        #[test]
        fn json_stays_within_its_element(text in any::<String>()) {
            let mut markup = Markup::default();
            markup.json(&text).unwrap();
            let json = markup.finish();
            prop_assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
            prop_assert!(!json.contains(['<', '>', '&']));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
