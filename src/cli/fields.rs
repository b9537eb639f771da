//! `fields`: the reference of what policies can test, from the table that checks them.

use std::fmt::Write as _;
use std::io;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use comfy_table::{Attribute, Cell, ColumnConstraint, Width};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::screen::Screen;
use super::show::{self, DIM, HEAD};
use crate::field::{Dimension, Field, Kind, Scope, Source};
use crate::policy::reading::listed;
use crate::units;

/// List the fields that policies can test
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden fields
  electrumx-warden fields subnet
  electrumx-warden fields --format json | jq -r 'select(.windowed) | .name'")]
pub(super) struct Args {
    /// Only the fields of this scope
    #[arg(value_parser = scope_parser())]
    scope: Option<Scope>,

    /// For people, for programs, or for a document
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
    Markdown,
}

pub(super) fn scope_parser() -> impl clap::builder::TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::ALL.map(Scope::name)).map(|name| {
        let named = Scope::ALL.into_iter().find(|scope| scope.name() == name);
        named.unwrap_or(Scope::Server)
    })
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let scopes = match args.scope {
        Some(scope) => vec![scope],
        None => Scope::ALL.to_vec(),
    };
    match args.format {
        Format::Text => show(&scopes, screen)?,
        Format::Json => write_json(&scopes, screen)?,
        Format::Markdown => screen.text(markdown(&scopes))?,
    }
    Ok(Exit::Ok)
}

/// Columns for the servers that give a field, so that its meaning has more.
const SERVERS: u16 = 17;

const COLUMNS: [&str; 5] = ["field", "holds", "window", "servers", "meaning"];

fn show(scopes: &[Scope], screen: &mut Screen) -> io::Result<()> {
    for &scope in scopes {
        screen.line(format!("{HEAD}{scope}{HEAD:#}"))?;
        screen.paragraph(scope.doc(), DIM)?;
        screen.line("")?;
        let mut table = show::table(&COLUMNS);
        for field in Field::in_scope(scope) {
            let [name, cells @ ..] = cells(field);
            let name = Cell::new(name).add_attribute(Attribute::Bold);
            table.add_row(std::iter::once(name).chain(cells.into_iter().map(Cell::new)));
        }
        if let Some(column) = table.column_mut(3) {
            column.set_constraint(ColumnConstraint::UpperBoundary(Width::Fixed(SERVERS)));
        }
        screen.table(table)?;
        if let Some(sentence) = around(scope) {
            screen.line("")?;
            screen.paragraph(&sentence.replace('`', ""), DIM)?;
        }
        screen.line("")?;
    }
    for sentence in legend() {
        screen.paragraph(&sentence, DIM)?;
    }
    Ok(())
}

/// What a policy of this scope can test of what is around its targets.
fn around(scope: Scope) -> Option<String> {
    let first = scope.surroundings().first()?;
    let names: Vec<_> = scope.surroundings().iter().map(|it| it.name()).collect();
    Some(format!(
        "Policies of this scope can also test fields of {}, written as `SCOPE.FIELD`: \
         `{first}.pending_requests`.",
        listed(&names)
    ))
}

/// Name, kind, window, servers, meaning.
fn cells(field: Field) -> [String; 5] {
    let info = field.info();
    [
        name(field),
        kind(info.kind).to_owned(),
        if info.windowed { "yes" } else { "" }.to_owned(),
        match info.source {
            Source::Always => "all",
            source => source.doc(),
        }
        .to_owned(),
        info.doc.to_owned(),
    ]
}

fn name(field: Field) -> String {
    let method = if field.has_method() { "<method>" } else { "" };
    format!("{}{method}", field.name())
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Number(Dimension::Count) => "count",
        Kind::Number(Dimension::Size) => "size",
        Kind::Number(Dimension::Rate) => "rate",
        Kind::Number(Dimension::ByteRate) => "byte rate",
        Kind::Number(Dimension::Duration) => "duration",
        Kind::Number(Dimension::Share) => "share",
        Kind::Flag => "flag",
        Kind::Text => "text",
        Kind::Address => "address",
        Kind::Version => "version",
    }
}

const DIMENSIONS: [Dimension; 6] = [
    Dimension::Count,
    Dimension::Size,
    Dimension::Rate,
    Dimension::ByteRate,
    Dimension::Duration,
    Dimension::Share,
];

/// How each kind is written in a test.
fn written() -> Vec<(&'static str, String)> {
    let numbers = DIMENSIONS.map(|dimension| {
        let test = format!("\"> {}\"", units::example(dimension));
        (kind(Kind::Number(dimension)), test)
    });
    let others = [
        (kind(Kind::Flag), "true".to_owned()),
        (kind(Kind::Text), "\"=~ ^electrum/\"".to_owned()),
        (kind(Kind::Address), "\"in 203.0.113.0/24\"".to_owned()),
        (kind(Kind::Version), "\"< 4.5\"".to_owned()),
    ];
    numbers.into_iter().chain(others).collect()
}

fn legend() -> [String; 2] {
    let kinds = written().into_iter();
    let kinds: Vec<_> = kinds.map(|(kind, test)| format!("{kind} {test}")).collect();
    [
        format!("How tests are written: {}.", kinds.join(", ")),
        "Fields with a window are taken over the policy's window.".to_owned(),
    ]
}

/// The whole of docs/fields.md, or a part of it.
fn markdown(scopes: &[Scope]) -> String {
    let mut text = "# Fields\n\nWhat policies can test, by scope. Made by \
                    `electrumx-warden fields --format markdown`.\n\n\
                    | holds | a test |\n|---|---|\n"
        .to_owned();
    for (kind, test) in written() {
        let _ = writeln!(text, "| {kind} | `{test}` |");
    }
    text += "\nFields with a window are taken over the policy's `window`. Those that a server's \
             release does not give are unknown there, and no test of an unknown field holds.\n";
    for &scope in scopes {
        let _ = writeln!(text, "\n## `{scope}`: {}\n", scope.doc());
        let _ = writeln!(
            text,
            "| {} |\n|{}",
            COLUMNS.join(" | "),
            "---|".repeat(COLUMNS.len())
        );
        for field in Field::in_scope(scope) {
            let [name, cells @ ..] = cells(field);
            let cells = cells.map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(text, "| `{name}` | {} |", cells.join(" | "));
        }
        if let Some(sentence) = around(scope) {
            let _ = writeln!(text, "\n{sentence}");
        }
    }
    text
}

fn write_json(scopes: &[Scope], screen: &mut Screen) -> io::Result<()> {
    #[derive(Serialize)]
    struct Row {
        scope: Scope,
        name: String,
        holds: &'static str,
        windowed: bool,
        /// The scopes whose policies can test it as `SCOPE.FIELD`.
        seen_from: Vec<Scope>,
        servers: &'static str,
        doc: &'static str,
    }
    for &scope in scopes {
        let seen_from = Scope::ALL
            .into_iter()
            .filter(|other| other.surroundings().contains(&scope));
        for field in Field::in_scope(scope) {
            let info = field.info();
            let row = Row {
                scope,
                name: name(field),
                holds: kind(info.kind),
                windowed: info.windowed,
                seen_from: seen_from.clone().collect(),
                servers: info.source.doc(),
                doc: info.doc,
            };
            screen.json("field", &row)?;
        }
    }
    Ok(())
}
