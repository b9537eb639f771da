use std::fmt::Write as _;
use std::path::Path;

use super::table::{Rows, Table};
use super::tables::{Acts, Daemons, Decisions, Groups, Inspections, Polls, Sessions};

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
        reference::<Daemons>(),
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

#[test]
fn each_run_of_a_day_has_a_file_of_its_own() {
    let out = tempfile::tempdir().unwrap();
    let mut table = Table::<Polls>::new();
    for _ in 0..3 {
        table
            .begin(out.path(), Path::new("server=a/day=b"))
            .unwrap();
        table.end().unwrap();
    }
    let folder = out.path().join("polls/server=a/day=b");
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["part-0.parquet", "part-1.parquet", "part-2.parquet"]
    );
    assert_eq!(table.written().files, 3);
}
