//! The text that policies and lists come from, and places in it.
//!
//! What is shown of it in a diagnostic is made harmless first: no control characters, and no
//! credentials of a URL.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::NamedSource;

/// A policy file: its name, which is also its path, and its text.
#[derive(Clone, Debug)]
pub struct Source {
    /// The path, as it is to be shown; paths in the file are relative to its folder.
    pub name: String,
    /// The TOML.
    pub text: String,
}

/// A source that places refer to.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) name: String,
    pub(crate) body: String,
    /// Byte for byte as long as `body`, so that spans fit both.
    pub(crate) shown: NamedSource<String>,
}

impl Text {
    pub(crate) fn new(source: Source) -> Arc<Self> {
        let shown = NamedSource::new(harmless(&source.name), harmless(&source.text));
        Arc::new(Self {
            name: source.name,
            body: source.text,
            shown,
        })
    }

    /// Resolves a path written in this file.
    pub(crate) fn path(&self, written: &str) -> PathBuf {
        let folder = Path::new(&self.name).parent();
        folder.unwrap_or(Path::new("")).join(written)
    }

    /// Line and column, from 1, of an offset; columns count characters.
    pub(crate) fn line_column(&self, offset: usize) -> (usize, usize) {
        let before = self.body.get(..offset).unwrap_or(&self.body);
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

/// A part of a source.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) text: Arc<Text>,
    pub(crate) span: Range<usize>,
}

impl Place {
    /// The same, with nothing of it shown: it may be a password, in whatever form.
    pub(crate) fn hidden(self) -> Self {
        let text = &self.text;
        let mut shown = text.shown.inner().clone();
        if let Some(secret) = shown.get(self.span.clone()) {
            let stars = "*".repeat(secret.len());
            shown.replace_range(self.span.clone(), &stars);
        }
        Self {
            text: Arc::new(Text {
                name: text.name.clone(),
                body: text.body.clone(),
                shown: NamedSource::new(text.shown.name(), shown),
            }),
            span: self.span,
        }
    }
}

/// A string value: what it says, and where each part of that stands in the source.
#[derive(Clone, Debug)]
pub(crate) struct Written<'t> {
    pub(crate) text: &'t str,
    place: Place,
    /// Where `text` begins, if the source has it without escapes.
    verbatim_at: Option<usize>,
}

impl<'t> Written<'t> {
    /// `text` is the value of the TOML string at `place`.
    pub(crate) fn new(text: &'t str, place: Place) -> Self {
        let raw = &place.text.body[place.span.clone()];
        let quote = match raw.get(..3) {
            Some("\"\"\"" | "'''") => 3,
            _ => 1,
        };
        let verbatim_at = (raw.get(quote..raw.len().saturating_sub(quote)) == Some(text))
            .then_some(place.span.start + quote);
        Self {
            text,
            place,
            verbatim_at,
        }
    }

    /// The whole value.
    pub(crate) fn whole(&self) -> Place {
        self.place.clone()
    }

    /// A part of the value; all of it where escapes forbid a closer look.
    pub(crate) fn part(&self, range: Range<usize>) -> Place {
        let span = match self.verbatim_at {
            Some(start) if range.is_empty() => {
                // An empty underline says little: point at the closing quote.
                start + range.start..start + range.start + 1
            }
            Some(start) => start + range.start..start + range.end,
            None => self.place.span.clone(),
        };
        Place {
            text: Arc::clone(&self.place.text),
            span,
        }
    }
}

/// A word of the user's for a message: short, without control characters or credentials.
pub(crate) fn word(text: &str) -> String {
    const LONGEST: usize = 60;
    let text = harmless(text).replace(['\n', '\t'], " ");
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The text with control characters and the credentials of URLs blotted out, of the same length.
pub(crate) fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => out.push(' '),
            // Control characters drive terminals; direction marks reorder what a reader sees.
            c if c.is_control()
                || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                out.extend(std::iter::repeat_n('?', c.len_utf8()));
            }
            c => out.push(c),
        }
    }
    let is_end = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',');
    let mut token = 0;
    while token < out.len() {
        let end = out[token..].find(is_end).map_or(out.len(), |i| token + i);
        if let Some(at) = out[token..end].rfind('@').map(|i| token + i) {
            let url = out[token..at].find("://").map(|i| token + i + 3);
            let start = url.unwrap_or(token);
            // ElectrumX takes `user:password@host` without a scheme as well.
            if url.is_some() || out[start..at].contains(':') {
                out.replace_range(start..at, &"*".repeat(at - start));
            }
        }
        token = end + out[end..].chars().next().map_or(1, char::len_utf8);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_harmless_and_of_the_same_length() {
        for (text, shown) in [
            ("a\u{1b}[31m\u{202e}\u{9b}\r\n\t", "a?[31m????? \n\t"),
            (
                "'http://u:p@ss/w@h:1/,https://h/@x'",
                "'http://********@h:1/,https://**@x'",
            ),
            (
                "to = \"user:pass@host:8332\"",
                "to = \"*********@host:8332\"",
            ),
            ("\"in @trusted\" =~ ^a@b", "\"in @trusted\" =~ ^a@b"),
        ] {
            assert_eq!(harmless(text), shown);
            assert_eq!(shown.len(), text.len());
        }
        assert_eq!(word(&"x".repeat(80)).chars().count(), 61);
    }

    #[test]
    fn parts_of_a_string_are_found_unless_it_has_escapes() {
        let part = |raw: &str, value: &str, range: Range<usize>| {
            let text = Text::new(Source {
                name: "dir/p.toml".into(),
                text: format!("k = {raw}\n"),
            });
            let span = 4..4 + raw.len();
            let place = Written::new(value, Place { text, span }).part(range);
            place.text.body[place.span].to_owned()
        };
        assert_eq!(part("'> 5 MB'", "> 5 MB", 4..6), "MB");
        assert_eq!(part("'''> 5 MB'''", "> 5 MB", 4..6), "MB");
        assert_eq!(part("\"> 5\\u0020MB\"", "> 5 MB", 4..6), "\"> 5\\u0020MB\"");
        assert_eq!(part("''", "", 0..0), "'");
    }
}
