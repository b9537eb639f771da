use std::fmt::Write as _;

use super::table::Rows;
use super::tables::{Acts, Decisions, Groups, Inspections, Polls, Sessions};

fn reference<R: Rows>() -> String {
    let (about, docs) = R::ABOUT;
    let mut text = format!(
        "### `{}`\n\n{}.\n\n",
        R::NAME,
        about.trim().trim_end_matches('.')
    );
    text += "| column | type | |\n|---|---|---|\n";
    let rows = R::default();
    for ((name, column), (_, doc)) in rows.columns().into_iter().zip(docs) {
        let (kind, doc) = (column.kind(), doc.trim());
        _ = writeln!(text, "| `{name}` | {kind} | {doc} |");
    }
    text
}

#[test]
fn the_tables_are_documented() {
    let document = include_str!("../../docs/export.md");
    for reference in [
        reference::<Sessions>(),
        reference::<Polls>(),
        reference::<Groups>(),
        reference::<Inspections>(),
        reference::<Acts>(),
        reference::<Decisions>(),
    ] {
        assert!(
            document.contains(&reference),
            "docs/export.md:\n{reference}"
        );
    }
}
