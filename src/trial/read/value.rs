//! Readers of what stands in several places: series, polls, releases, arrays of tables.

use std::collections::BTreeSet;

use toml::de::DeValue;

use crate::config::reading::Read;
use crate::field::Dimension;
use crate::policy::reading::{Findings, Node, Place, Written, word};
use crate::policy::{Diagnostic, Problem};
use crate::trial::release::Release;
use crate::trial::series::{Mistake, SAMPLES_MAX, Series, numbers};

pub(super) fn too_many(what: &str, max: usize, place: Place) -> Diagnostic {
    let problem = Problem::TooMany {
        what: format!("there are too many {what}"),
        max: max.to_string(),
    };
    Diagnostic::new(problem).at(place)
}

/// The tables of an array of them; a table alone is one too.
pub(super) fn tables<'t>(
    node: Node<'t>,
    key: &'static str,
    findings: &mut Findings,
) -> Vec<Node<'t>> {
    let help = match key {
        "test" => "write `[[test]]`, with two brackets".to_owned(),
        _ => format!("write `[[test.{key}]]`, with two brackets"),
    };
    let DeValue::Array(array) = node.get() else {
        let finding = node.wrong_type(&format!("`{key}`"), "an array of tables");
        findings.push(finding.help(help));
        return Vec::new();
    };
    let nodes = array.iter().map(|value| node.with(value));
    let is_table = |node: &Node<'_>| {
        let is_table = matches!(node.get(), DeValue::Table(_));
        if !is_table {
            let finding = node.wrong_type(&format!("an entry of `{key}`"), "a table");
            findings.push(finding.help(help.clone()));
        }
        is_table
    };
    nodes.filter(is_table).collect()
}

pub(super) fn release(node: Node<'_>, key: &'static str) -> Read<Release> {
    let help = "write a release of ElectrumX from 0.8.8 on, such as `\"1.20\"`";
    let written = node.string(key, help)?;
    Release::parse(written.text).ok_or_else(|| {
        let complaint = format!("`{}` is no release", word(written.text));
        Diagnostic::complaint(complaint)
            .at(written.whole())
            .help(help)
    })
}

/// A mistake in a string.
pub(super) fn blame(mistake: Mistake, written: &Written<'_>) -> Diagnostic {
    Diagnostic::complaint(word(&mistake.complaint))
        .at(written.part(mistake.at))
        .help(mistake.help)
}

/// A series of numbers, or a number that stays.
pub(super) fn series(
    dimension: Dimension,
    with_fractions: bool,
) -> impl Fn(Node<'_>, &'static str) -> Read<Option<Series<f64>>> {
    move |node, key| {
        if let DeValue::Integer(number) = node.get()
            && number.radix() == 10
        {
            let read = numbers(number.as_str(), dimension, with_fractions);
            return read.map(Some).map_err(|mistake| {
                Diagnostic::complaint(word(&mistake.complaint))
                    .at(node.place())
                    .help(mistake.help)
            });
        }
        let written = node.string(key, "write what is so at each poll: `\"0+50x6\"`")?;
        let read = numbers(written.text, dimension, with_fractions);
        read.map(Some).map_err(|mistake| blame(mistake, &written))
    }
}

/// Which polls: `[4, "7..9"]`.
pub(super) fn polls(node: Node<'_>, key: &'static str, findings: &mut Findings) -> BTreeSet<usize> {
    const FORM: &str = "write the numbers of polls, the first of which is 0: `[4, \"7..9\"]`";
    let DeValue::Array(array) = node.get() else {
        let finding = node.wrong_type(&format!("`{key}`"), "an array");
        findings.push(finding.help(FORM));
        return BTreeSet::new();
    };
    let mut polls = BTreeSet::new();
    for value in array {
        let node = node.with(value);
        let text = match node.get() {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().replace('_', ""),
            DeValue::String(text) => text.to_string(),
            _ => {
                let finding = node.wrong_type(&format!("an entry of `{key}`"), "an integer");
                findings.push(finding.help(FORM));
                continue;
            }
        };
        let (first, last) = text.split_once("..").unwrap_or((&text, &text));
        let number = |text: &str| {
            text.parse()
                .ok()
                .filter(|&number: &usize| number < SAMPLES_MAX)
        };
        match number(first).zip(number(last)) {
            Some((first, last)) if first <= last => polls.extend(first..=last),
            _ => {
                let complaint = format!("`{}` is no poll", word(&text));
                findings.push(Diagnostic::complaint(complaint).at(node.place()).help(FORM));
            }
        }
    }
    polls
}
