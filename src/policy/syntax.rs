//! The TOML parser's complaints in plain words: what is wrong, which text, what to do.

use std::ops::Range;

use super::diagnostic::{Diagnostic, Problem};
use super::source::word;
use crate::field::Scope;

/// What the parser says where a value is no TOML. Most such values are text without quotes.
const OF_VALUES: &[&str] = &[
    "string values must be quoted",
    "invalid float",
    "invalid integer",
    "invalid fraction",
    "invalid mantissa",
    "invalid exponent",
    "invalid boolean",
    "invalid date",
    "invalid time",
    "invalid value",
    "`_` may only go between digits",
    "unexpected leading zero",
];

/// What the parser says of `span` of `body`, for people; and the part of `body` that is wrong.
pub(super) fn explain(body: &str, span: Range<usize>, message: &str) -> (Diagnostic, Range<usize>) {
    let told = |message: &str| {
        let message = message.to_owned();
        Diagnostic::new(Problem::Syntax { message })
    };
    if OF_VALUES.iter().any(|start| message.starts_with(start)) {
        let whole = value(body, &span);
        let written = &body[whole.clone()];
        return match written.to_ascii_lowercase().as_str() {
            "" => (
                told("a value is missing").help("write a value after `=`"),
                visible(body, span),
            ),
            "true" | "false" => (
                told(&format!("`{}` is not a boolean", word(written)))
                    .help("write `true` or `false`, in lower case"),
                whole,
            ),
            _ if is_number(written) => (
                told(message).help("numbers are written as `5`, `1.5` or `1_000`"),
                visible(body, span),
            ),
            _ => (
                told("text must be quoted").help(in_quotes(body, whole.clone())),
                whole,
            ),
        };
    }
    let key = body.get(span.clone()).unwrap_or_default();
    let finding = if message.starts_with("cannot extend value of type string") {
        let message = format!(
            "`{}` is a text here, and cannot have keys as well",
            word(key)
        );
        told(&message).help(dotted_in_quotes(key))
    } else if message.starts_with("duplicate key") {
        let before = body.get(..span.start).unwrap_or_default();
        if Scope::named(key).is_some() && before.contains(&format!("{key}.")) {
            told(message).help(dotted_in_quotes(key))
        } else if is_header(body, span.start) {
            told("this table is defined twice")
                .help("each table stands once: write its keys below the first one")
        } else {
            told(message).help("each key stands once in a table; several values stand in an array")
        }
    } else if message.contains("escape") {
        told(message).help("text with a `\\` is written in single quotes, as `'^bot\\d'`")
    } else {
        told(message)
    };
    (finding, visible(body, span))
}

/// In TOML a key with a value can have no keys below it: `client = ...` beside `client.sessions = ...`.
fn dotted_in_quotes(key: &str) -> String {
    let key = word(key);
    format!("write the key with the dot in quotes, as in `\"{key}.pending_requests\"`")
}

/// All of the value of which the parser blames a part: it reads numbers and times as far as it can.
fn value(body: &str, span: &Range<usize>) -> Range<usize> {
    let start = body.floor_char_boundary(span.start);
    let end = body.floor_char_boundary(span.end.max(start));
    let before = body[..start].rfind(['=', '[', ',', '{', '\n']);
    let from = before.map_or(0, |at| at + 1);
    let untrimmed = &body[from..end];
    let value = untrimmed.trim_start();
    let from = end - value.len();
    from..from + value.trim_end().len()
}

fn is_number(text: &str) -> bool {
    let plain = text.replace('_', "");
    plain.parse::<f64>().is_ok() && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// The value is repeated only if no URL with a password can be part of its line. One that starts with
/// a `:` is half an IPv6 address: the rest was taken for an array.
fn in_quotes(body: &str, value: Range<usize>) -> String {
    let written = &body[value.clone()];
    let rest = body[value.start..].lines().next().unwrap_or_default();
    if rest.contains('@') || written.contains(['"', '\\']) || written.starts_with(':') {
        "text, addresses and numbers with a unit are written in quotes: `\"[::1]:8000\"`, \
         `\"10s\"`, `\"25%\"`"
            .to_owned()
    } else {
        format!("write it in quotes: `\"{}\"`", word(written))
    }
}

/// Whether `at` stands in the header of a table.
fn is_header(body: &str, at: usize) -> bool {
    let before = &body[..body.floor_char_boundary(at)];
    let line = before.rsplit('\n').next().unwrap_or_default();
    line.trim_start().starts_with('[')
}

/// An empty span underlines nothing: widen it to a character.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    if !span.is_empty() {
        return span;
    }
    let start = text.floor_char_boundary(span.start);
    let length = text[start..]
        .chars()
        .next()
        .filter(|&c| c != '\n')
        .map_or(0, char::len_utf8);
    start..start + length
}
