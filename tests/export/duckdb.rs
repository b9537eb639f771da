//! `DuckDB` asked about a folder of tables, in the way that docs/export.md shows.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::python;

const DOCUMENT: &str = include_str!("../../docs/export.md");

/// Answers, each a list of rows as JSON objects, to questions after the views of the document.
pub(crate) fn ask(tables: &Path, questions: &[&str]) -> Vec<Vec<Value>> {
    let folder = tables.to_str().unwrap();
    let views = blocks(DOCUMENT).next().unwrap();
    let mut all = vec![views.replace("july/", &format!("{folder}/"))];
    all.extend(questions.iter().map(|&question| question.to_owned()));
    let mut child = Command::new(python::duckdb().join("bin/python"))
        .arg("-c")
        .arg(include_str!("ask.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let json = serde_json::to_vec(&all).unwrap();
    child.stdin.take().unwrap().write_all(&json).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers = answers.lines().skip(1);
    answers
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The questions of the document, each with its title.
pub(crate) fn questions() -> Vec<(&'static str, &'static str)> {
    let parts = DOCUMENT.split("\n### ").skip(1);
    let parts = parts.filter_map(|part| Some((part.lines().next()?, blocks(part).next()?)));
    parts.collect()
}

fn blocks(text: &str) -> impl Iterator<Item = &str> {
    let blocks = text.split("```sql\n").skip(1);
    blocks.filter_map(|block| block.split("```").next())
}
