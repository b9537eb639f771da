//! The standard streams: how wide they are, and whether they take colour.
//!
//! Everything is written styled, and loses its style on the way where there is no terminal or
//! `NO_COLOR` is set. What is written is for [`show`](super::show) to say.

use std::io::{self, Stdout, Write};

use anstream::AutoStream;
use anstream::adapter::strip_str;
use anstyle::Style;
use comfy_table::Table;
use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;
use unicode_width::UnicodeWidthStr as _;

use super::show::{BAD, WARN};
use crate::escape;
use crate::policy::Diagnostic;

/// How wide the page is where nobody says.
const WIDTH_DEFAULT: usize = 100;

/// Longer messages are cut.
const MESSAGE_COLUMNS: usize = 2_000;

/// Narrower than this nothing fits; wider, nobody reads.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=200;

/// Whether people or programs read the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, each with a `type`.
    Json,
}

/// Standard output, with its width.
#[derive(Debug)]
pub(super) struct Screen {
    out: AutoStream<Stdout>,
    width: usize,
    /// Of the terminal, if there is one.
    terminal: Option<usize>,
    /// Whether nobody reads any more, if that is no reason to stop.
    unread: Option<bool>,
}

impl Screen {
    pub(super) fn stdout() -> Self {
        Self {
            out: AutoStream::auto(io::stdout()),
            width: page_width(),
            terminal: terminal_width(&Table::new()),
            unread: None,
        }
    }

    /// From here on the command goes on to its end when nobody reads its output any more, as in
    /// `| head`, for its exit code says something.
    pub(super) fn outlive_readers(&mut self) {
        self.unread = Some(false);
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.unread == Some(true) {
            return Ok(());
        }
        match self.out.write_all(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe && self.unread.is_some() => {
                self.unread = Some(true);
                Ok(())
            }
            written => written,
        }
    }

    /// Columns.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// A line of text, which may be styled.
    pub(super) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.write(format!("{}\n", text.as_ref()).as_bytes())
    }

    /// Text wrapped between words, each line in this style.
    pub(super) fn paragraph(&mut self, text: &str, style: Style) -> io::Result<()> {
        for line in wrap(text, self.width, 0) {
            self.line(format!("{style}{line}{style:#}"))?;
        }
        Ok(())
    }

    /// Sentences, which may be styled, as wide as the screen at the most; what does not fit a line goes
    /// on below, indented.
    pub(super) fn prose(&mut self, text: impl AsRef<str>, indent: usize) -> io::Result<()> {
        wrap(text.as_ref(), self.width, indent)
            .iter()
            .try_for_each(|line| self.line(line))
    }

    /// An entry of a log, which may be styled. What does not fit the terminal goes on below, indented;
    /// elsewhere it stays one line.
    pub(super) fn entry(&mut self, text: &str, indent: usize) -> io::Result<()> {
        match self.terminal {
            None => self.line(text),
            Some(width) => wrap(text, width, indent)
                .iter()
                .try_for_each(|line| self.line(line)),
        }
    }

    /// Text that brings its own line ends.
    pub(super) fn text(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        self.write(text.as_ref().as_bytes())
    }

    /// A line of JSON: `body`, an object, after its `type`.
    pub(super) fn json(&mut self, kind: &'static str, body: &impl Serialize) -> io::Result<()> {
        #[derive(Serialize)]
        struct Line<'a, T> {
            r#type: &'static str,
            #[serde(flatten)]
            body: &'a T,
        }
        let mut line = Vec::new();
        let line_of = Line { r#type: kind, body };
        line_of.serialize(&mut serde_json::Serializer::with_formatter(
            &mut line, Ascii,
        ))?;
        line.push(b'\n');
        self.write(&line)
    }

    /// A table, as wide as the screen at the most.
    pub(super) fn table(&mut self, table: Table) -> io::Result<()> {
        table_lines(table, self.width)
            .iter()
            .try_for_each(|line| self.line(line))
    }

    /// Findings as people read them, with the text underlined.
    pub(super) fn diagnostics(&mut self, diagnostics: &[Diagnostic]) -> io::Result<()> {
        let text = report(diagnostics, self.width);
        self.text(text)
    }
}

/// Findings on standard error, for commands whose output is something else.
pub(super) fn complain(diagnostics: &[Diagnostic]) {
    let width = width(Table::new().use_stderr());
    let _ = write!(anstream::stderr(), "{}", report(diagnostics, width));
}

/// A sentence on standard error.
pub(super) fn error(message: &str) {
    say("error", BAD, message);
}

/// A sentence on standard error about something that stops nothing.
pub(super) fn warn(message: &str) {
    say("warning", WARN, message);
}

fn say(kind: &str, style: Style, message: &str) {
    let message = escape::terminal(message, MESSAGE_COLUMNS);
    let message = format!("{style}{kind}:{style:#} {message}");
    let lines = match terminal_width(Table::new().use_stderr()) {
        None => vec![message],
        Some(width) => wrap(&message, width, 0),
    };
    for line in lines {
        let _ = writeln!(anstream::stderr(), "{line}");
    }
}

/// The lines of a table of at most `width` columns.
pub(super) fn table_lines(mut table: Table, width: usize) -> Vec<String> {
    table
        .set_width(u16::try_from(width).unwrap_or(u16::MAX))
        .enforce_styling();
    table.style_text_only();
    let lines = table.lines();
    lines.map(|line| line.trim_end().to_owned()).collect()
}

/// Lines of at most `width` columns, broken between words, all but the first indented, by no more than
/// leaves room for words. Styles take no room; no line ends in blanks.
pub(super) fn wrap(text: &str, width: usize, indent: usize) -> Vec<String> {
    let indent = indent.min(width / 3);
    let mut lines = Vec::new();
    let (mut line, mut columns, mut is_start) = (String::new(), 0, true);
    for word in text.split(' ') {
        let word_columns = strip_str(word).to_string().width();
        if !is_start && !word.is_empty() && columns + 1 + word_columns > width {
            line.truncate(line.trim_end().len());
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            (columns, is_start) = (indent, true);
        }
        if is_start && word.is_empty() && !lines.is_empty() {
            continue;
        }
        if !is_start {
            line.push(' ');
            columns += 1;
        }
        line.push_str(word);
        columns += word_columns;
        is_start = false;
    }
    line.truncate(line.trim_end().len());
    lines.push(line);
    lines
}

fn report(diagnostics: &[Diagnostic], width: usize) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode())
        .with_width(width)
        .with_links(false);
    let mut text = String::new();
    for diagnostic in diagnostics {
        // Writing to a string cannot fail.
        let _ = handler.render_report(&mut text, diagnostic);
        text.push('\n');
    }
    text
}

/// How wide what goes to standard output is: through a pipe it may end on the terminal that standard
/// error is.
fn page_width() -> usize {
    let terminal = terminal_width(&Table::new());
    terminal.unwrap_or_else(|| width(Table::new().use_stderr()))
}

/// What is wrong with the command line, wrapped if a terminal shows it.
pub(super) fn usage(error: &clap::Error) {
    let text = error.render().ansi().to_string();
    let lines = match terminal_width(Table::new().use_stderr()) {
        None => vec![text.trim_end().to_owned()],
        Some(width) => text
            .trim_end()
            .lines()
            .flat_map(|line| wrap(line, width, 2))
            .collect(),
    };
    for line in lines {
        let _ = writeln!(anstream::stderr(), "{line}");
    }
}

/// How wide tables are, on the stream of this one.
fn width(stream: &Table) -> usize {
    terminal_width(stream).unwrap_or(WIDTH_DEFAULT)
}

/// The width of the terminal that a table's stream is. `COLUMNS` first: who sets it means it. Some set
/// it to 0 where they do not know it.
fn terminal_width(stream: &Table) -> Option<usize> {
    let set = std::env::var("COLUMNS").ok();
    set.and_then(|columns| columns.trim().parse().ok())
        .filter(|&columns| columns > 0)
        .or_else(|| stream.width().map(usize::from))
        .map(|width| width.clamp(*WIDTHS.start(), *WIDTHS.end()))
}

/// JSON in ASCII. It reads back to the letter, and no name that a client chose moves a cursor or
/// turns text around where the line is looked at.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut units = [0; 2];
        for c in fragment.chars() {
            if c.is_ascii() && c != '\x7f' {
                writer.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut units) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrap("", 10, 2), [""]);
        assert_eq!(wrap("one two", 10, 2), ["one two"]);
        assert_eq!(wrap("one two three", 8, 2), ["one two", "  three"]);
        assert_eq!(wrap("one   two", 6, 2), ["one", "  two"]);
        assert_eq!(wrap("one two  ", 8, 2), ["one two"]);
        assert_eq!(wrap("one two three", 8, 12), ["one two", "  three"]);
        assert_eq!(
            wrap("much-too-long to fit", 6, 0),
            ["much-too-long", "to fit"]
        );
        let styled = wrap(&format!("{BAD}one{BAD:#} two"), 7, 0);
        assert_eq!(styled.len(), 1);
        assert_eq!(wrap("日本 語", 6, 0), ["日本", "語"]);
        assert_eq!(wrap("日本 語", 7, 0), ["日本 語"]);
    }

    #[test]
    fn json_is_ascii_and_reads_back() {
        let text = "a\u{7f}\u{1b}\u{202e}é𝄞\n\"";
        let mut line = Vec::new();
        let mut writer = serde_json::Serializer::with_formatter(&mut line, Ascii);
        text.serialize(&mut writer).unwrap();
        assert!(line.iter().all(|byte| (b' '..=b'~').contains(byte)));
        assert_eq!(serde_json::from_slice::<String>(&line).unwrap(), text);
    }
}
