//! What people and programs read: tables, diagnostics, lines of text and of JSON, in one style.
//!
//! Everything is written styled, and loses its style on the way where there is no terminal or
//! `NO_COLOR` is set. Text that clients chose is escaped here, at the last moment.

use std::io::{self, Stdout, Write};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

use crate::policy::Diagnostic;

/// How wide the page is where nobody says.
const WIDTH_DEFAULT: usize = 100;

/// Narrower than this nothing fits; wider, nobody reads.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=200;

pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const WARN: Style = AnsiColor::Yellow.on_default();
pub(super) const HEAD: Style = Style::new().bold();
pub(super) const DIM: Style = Style::new().dimmed();

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
}

impl Screen {
    pub(super) fn stdout() -> Self {
        Self {
            out: AutoStream::auto(io::stdout()),
            width: width(&comfy_table::Table::new()),
        }
    }

    /// Columns.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// A line of text, which may be styled.
    pub(super) fn line(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        writeln!(self.out, "{}", text.as_ref())
    }

    /// Text that brings its own line ends.
    pub(super) fn text(&mut self, text: impl AsRef<str>) -> io::Result<()> {
        write!(self.out, "{}", text.as_ref())
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
        self.out.write_all(&line)
    }

    /// Findings as people read them, with the text underlined.
    pub(super) fn diagnostics(&mut self, diagnostics: &[Diagnostic]) -> io::Result<()> {
        let text = report(diagnostics, self.width);
        self.text(text)
    }
}

/// Findings on standard error, for commands whose output is something else.
pub(super) fn complain(diagnostics: &[Diagnostic]) {
    let width = width(comfy_table::Table::new().use_stderr());
    let _ = write!(anstream::stderr(), "{}", report(diagnostics, width));
}

/// A sentence on standard error.
pub(super) fn error(message: &str) {
    let _ = writeln!(anstream::stderr(), "{BAD}error:{BAD:#} {message}");
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

/// The width of the terminal that a table's stream is. `COLUMNS` first: who sets it means it.
fn width(stream: &comfy_table::Table) -> usize {
    let set = std::env::var("COLUMNS").ok();
    let set = set.and_then(|columns| columns.trim().parse().ok());
    set.or_else(|| stream.width().map(usize::from))
        .unwrap_or(WIDTH_DEFAULT)
        .clamp(*WIDTHS.start(), *WIDTHS.end())
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

/// `1 error`, `2 errors`.
pub(super) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
