//! Text that a client chose, made harmless for the place where it is shown.
//!
//! A client's name reaches the server as any Unicode: escape sequences that repaint a terminal, overrides that turn
//! text around, line breaks that forge a log line, markup. What cannot be seen, or is not what it seems, is written as
//! `\u{202e}`. This module hides no secrets; see [`redact`](crate::redact).

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar;

/// The longest text that [`log`] and [`html`] let through, in display columns before markup.
pub const COLUMNS_MAX: usize = 1_024;

/// For a terminal: everything invisible or deceptive is spelt out, and the result is at most `columns_max` wide, its end
/// then replaced by `…`.
///
/// Applying it twice changes nothing.
pub fn terminal(text: &str, columns_max: usize) -> Cow<'_, str> {
    escape(text, columns_max, |_| None)
}

/// For a single line of a log, between double quotes: as [`terminal`], with `"` and `\` escaped too, so that a name can
/// forge neither a line nor a field.
pub fn log(text: &str) -> Cow<'_, str> {
    escape(text, COLUMNS_MAX, |c| match c {
        '"' => Some("\\\""),
        '\\' => Some("\\\\"),
        _ => None,
    })
}

/// For HTML, in text and in quoted attributes: as [`terminal`], with markup escaped.
pub fn html(text: &str) -> Cow<'_, str> {
    escape(text, COLUMNS_MAX, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '"' => Some("&quot;"),
        '\'' => Some("&#39;"),
        _ => None,
    })
}

/// As [`html`], for sentences of the program's own: what stands in backticks is code.
pub fn html_sentence(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    // Without its pair a backtick is one.
    if parts.len().is_multiple_of(2) {
        return html(text).into_owned();
    }
    let parts = parts.iter().enumerate().map(|(at, part)| {
        let part = html(part);
        if at.is_multiple_of(2) {
            part.into_owned()
        } else {
            format!("<code>{part}</code>")
        }
    });
    parts.collect()
}

/// Replaces what `special` names and what is deceptive, and cuts at `columns_max`. What `special` replaces counts as the
/// one column it had.
fn escape(
    text: &str,
    columns_max: usize,
    special: impl Fn(char) -> Option<&'static str>,
) -> Cow<'_, str> {
    if text.len() <= columns_max
        && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
        && text.chars().all(|c| special(c).is_none())
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut columns = 0;
    // The longest prefix that leaves a column for the ellipsis.
    let mut cut = 0;
    let mut changed = false;
    let mut marks = MARKS_MAX;
    for c in text.chars() {
        let before = out.len();
        let width = c.width().unwrap_or(0);
        // A mark without a letter would attach to what stands before, such as a table's border.
        marks = if width == 0 { marks + 1 } else { 0 };
        columns += if let Some(replacement) = special(c) {
            changed = true;
            out.push_str(replacement);
            1
        } else if is_deceptive(c) || marks > MARKS_MAX {
            changed = true;
            spell(&mut out, c);
            out.len() - before
        } else {
            out.push(c);
            width
        };
        if columns > columns_max {
            out.truncate(cut);
            if columns_max > 0 {
                out.push('…');
            }
            return Cow::Owned(out);
        }
        if columns < columns_max {
            cut = out.len();
        }
    }
    if changed {
        Cow::Owned(out)
    } else {
        Cow::Borrowed(text)
    }
}

/// So many combining marks may follow a letter; more would paint over the lines above and below, and take no column.
const MARKS_MAX: usize = 2;

fn spell(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        // Writing to a string cannot fail.
        c => _ = write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

/// Whether `c` moves the cursor, turns text around, cannot be seen, or looks different on every machine.
fn is_deceptive(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control()
        || c.is_whitespace()
        || matches!(c,
            // Invisible: soft hyphen, joiners, fillers, Mongolian and Khmer invisibles, blank Braille.
            '\u{ad}' | '\u{34f}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            // Direction marks, embeddings, overrides and isolates; zero-width and line separators lie among them.
            | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            // Variation selectors, interlinear annotation, shorthand and musical controls, tags.
            | '\u{fe00}'..='\u{fe0f}' | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
            // Private use, and codes that are no characters.
            | '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}' | '\u{fdd0}'..='\u{fdef}')
        || u32::from(c) & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_stands_in_backticks_is_code() {
        assert_eq!(
            html_sentence("see `a<b>`, then `c`: x > y"),
            "see <code>a&lt;b&gt;</code>, then <code>c</code>: x &gt; y"
        );
        assert_eq!(html_sentence("one ` alone"), "one ` alone");
        assert_eq!(html_sentence("plain"), "plain");
    }

    #[test]
    fn plain_names_cost_nothing() {
        for name in ["", "3.3.8", "electrum/4.5 (linux)", "Ünïcøde 漢字", "a\\b"] {
            assert!(
                matches!(terminal(name, 40), Cow::Borrowed(same) if same == name),
                "{name}"
            );
        }
        assert!(matches!(log("3.3.8"), Cow::Borrowed(_)));
        assert!(matches!(html("3.3.8"), Cow::Borrowed(_)));
    }

    #[test]
    fn the_name_in_the_captures_is_harmless_everywhere() {
        let name = "<b>evil\u{202e}\u{1b}[31m";
        assert_eq!(terminal(name, 80), r"<b>evil\u{202e}\u{1b}[31m");
        assert_eq!(log(name), r"<b>evil\u{202e}\u{1b}[31m");
        assert_eq!(html(name), r"&lt;b&gt;evil\u{202e}\u{1b}[31m");
    }

    #[test]
    fn every_kind_of_deception_is_spelt_out() {
        for c in [
            '\0',
            '\u{7}',
            '\u{8}',
            '\u{7f}',
            '\u{85}',
            '\u{9b}',
            '\u{a0}',
            '\u{ad}',
            '\u{61c}',
            '\u{200b}',
            '\u{200d}',
            '\u{200f}',
            '\u{2028}',
            '\u{2029}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2066}',
            '\u{2069}',
            '\u{3000}',
            '\u{3164}',
            '\u{e000}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{ffff}',
            '\u{e0041}',
            '\u{10fffd}',
        ] {
            let expected = format!("a\\u{{{:x}}}b", u32::from(c));
            assert_eq!(terminal(&format!("a{c}b"), 80), expected);
        }
        assert_eq!(terminal("a\nb\rc\td", 80), r"a\nb\rc\td");
    }

    #[test]
    fn a_log_field_cannot_be_forged() {
        assert_eq!(log("x\" level=\"info\nnext"), r#"x\" level=\"info\nnext"#);
        assert_eq!(log(r"\n"), r"\\n");
    }

    #[test]
    fn markup_is_text() {
        assert_eq!(
            html(r#"<a href="x" title='y'>&"#),
            "&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;"
        );
    }

    #[test]
    fn long_text_is_cut_by_columns_never_within_an_escape() {
        assert_eq!(terminal("abcdef", 6), "abcdef");
        assert_eq!(terminal("abcdefg", 6), "abcde…");
        assert_eq!(terminal("漢字漢字", 8), "漢字漢字");
        assert_eq!(terminal("漢字漢字", 6), "漢字…");
        assert_eq!(terminal("ab\u{202e}cd", 6), "ab…");
        assert_eq!(terminal("abc", 1), "…");
        assert_eq!(terminal("abc", 0), "");
    }

    #[test]
    fn marks_do_not_pile_up() {
        assert_eq!(terminal("e\u{301}", 8), "e\u{301}");
        assert_eq!(terminal("\u{301}e", 80), "\\u{301}e");
        let piled = format!("e{}", "\u{301}".repeat(100_000));
        assert_eq!(terminal(&piled, 20), "e\u{301}\u{301}\\u{301}\\u{301}…");
        assert!(terminal(&piled, 20).len() < 100);
    }

    proptest! {
        #[test]
        fn the_result_is_bounded_safe_and_stable(text in any::<String>(), columns in 0_usize..60) {
            let shown = terminal(&text, columns);
            prop_assert!(shown.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>() <= columns);
            prop_assert!(!shown.chars().any(is_deceptive));
            prop_assert_eq!(terminal(&shown, columns), shown.as_ref());
        }

        #[test]
        fn html_has_no_markup(text in any::<String>()) {
            prop_assert!(!html(&text).contains(['<', '>', '"', '\'']));
        }
    }
}
