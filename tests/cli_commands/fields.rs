//! `fields`, and the reference made from it.

use crate::{Folder, told};

#[test]
fn the_fields_of_a_scope() {
    insta::assert_snapshot!(told(
        &Folder::new(),
        &[
            &["fields", "subnet"],
            &["fields", "group", "--format", "json"],
            &["fields", "subnets"]
        ],
    ));
}

#[test]
fn every_scope_is_there() {
    let folder = Folder::new();
    let ran = folder.run(&["fields"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    for scope in ["server", "session", "address", "subnet", "group", "client"] {
        assert!(ran.out.lines().any(|line| line == scope), "{scope}");
    }
    let json = folder.run(&["fields", "--format", "json"]).json();
    assert!(json.iter().all(|line| line["type"] == "field"));
    let rows = ran
        .out
        .lines()
        .filter(|line| !line.trim().is_empty())
        .count();
    assert!(json.len() > 80 && rows > json.len());
}

#[test]
fn it_fits() {
    for columns in [60, 80, 120] {
        let folder = Folder::new();
        let mut command = folder.command(&["fields"]);
        let ran = folder.ran(command.env("COLUMNS", columns.to_string()));
        let widest = ran
            .out
            .lines()
            .map(|line| line.chars().count())
            .max()
            .unwrap();
        assert!(widest <= columns, "{widest} > {columns}");
    }
}

#[test]
fn the_document_is_current() {
    let ran = Folder::new().run(&["fields", "--format", "markdown"]);
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fields.md");
    let document = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        document == ran.out,
        "docs/fields.md is not current: run `cargo run -- fields --format markdown > docs/fields.md`"
    );
}
