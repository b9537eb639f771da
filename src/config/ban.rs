//! `[ban]`: where bans take hold.

use toml::de::DeValue;

use super::read::Section;
use super::value::{choice, count, each};
use super::{Ban, Nftables, lapi};
use crate::policy::Diagnostic;
use crate::policy::reading::{Findings, Node, closest, listed};
use crate::sink::command::{ARGS_MAX, CommandLine, CommandLineError, placeholders};
use crate::sink::nftables::Ports;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    LocalRpc,
    Nftables,
    Command,
    Decisions,
    Crowdsec,
}

const SINKS: &[(&str, Sink)] = &[
    ("localrpc", Sink::LocalRpc),
    ("nftables", Sink::Nftables),
    ("command", Sink::Command),
    ("decisions", Sink::Decisions),
    ("crowdsec", Sink::Crowdsec),
];

/// A server has a handful of ports.
const PORTS_MAX: usize = 100;

const PORTS: &str = "say at which ports clients connect, as in ElectrumX's SERVICES: `ports = [50001, \
                     50002]`";

const COMMAND: &str = "write a program's absolute path and its arguments: `command = [\"/usr/local/bin/ban\", \"{verb}\", \
                       \"{address}\", \"{seconds}\"]`";

pub(super) fn read(mut section: Section<'_, '_>) -> Ban {
    let sinks = section.take("sinks");
    let names = sinks.map(|node| {
        let example = "\"localrpc\", \"nftables\"";
        each(node, "sinks", example, section.findings, |_, node, _| {
            choice(SINKS)(node, "sink")
        })
    });
    let ports = section.take("ports");
    let read = ports.map(|node| ports_of(node, section.findings));
    let command = section.take("command");
    let line = command.and_then(|node| command_of(node, section.findings));
    let decisions = section.take("decisions");
    let served = decisions.and_then(|node| lapi::decisions(node, section.findings));
    let crowdsec = section.take("crowdsec");
    let shared = crowdsec.and_then(|node| lapi::crowdsec(node, section.findings));
    let names = names.unwrap_or_default();
    let needs = [
        (
            Sink::Nftables,
            ports,
            "sink `nftables` lacks `ports`",
            PORTS,
        ),
        (
            Sink::Command,
            command,
            "sink `command` lacks `command`",
            COMMAND,
        ),
        (
            Sink::Decisions,
            decisions,
            "sink `decisions` lacks `[ban.decisions]`",
            lapi::DECISIONS,
        ),
        (
            Sink::Crowdsec,
            crowdsec,
            "sink `crowdsec` lacks `[ban.crowdsec]`",
            lapi::CROWDSEC,
        ),
    ];
    for (sink, node, complaint, help) in needs {
        if names.contains(&sink) && node.is_none() {
            let finding = Diagnostic::complaint(complaint.to_owned()).help(help);
            section.findings.push(match sinks {
                Some(sinks) => finding.at(sinks.place()),
                None => finding,
            });
        }
    }
    section.finish(&[("sink", "sinks"), ("port", "ports"), ("program", "command")]);
    Ban {
        nftables: read
            .filter(|_| names.contains(&Sink::Nftables))
            .and_then(Ports::new)
            .map(|ports| Nftables { ports }),
        command: line.filter(|_| names.contains(&Sink::Command)),
        decisions: served.filter(|_| names.contains(&Sink::Decisions)),
        crowdsec: shared.filter(|_| names.contains(&Sink::Crowdsec)),
    }
}

/// The command of an array of words.
fn command_of(node: Node<'_>, findings: &mut Findings) -> Option<CommandLine> {
    let mistakes = findings.len();
    let example = "\"/usr/local/bin/ban\", \"{verb}\", \"{address}\"";
    let words = each(node, "command", example, findings, |written, _, _| {
        Ok((written.text.to_owned(), written.whole()))
    });
    if findings.len() > mistakes {
        return None;
    }
    let texts: Vec<&str> = words.iter().map(|(text, _)| text.as_str()).collect();
    let line = CommandLine::parse(&texts).map_err(|error| {
        let word = error.index().and_then(|index| words.get(index));
        let place = word.map_or_else(|| node.place(), |(_, place)| place.clone());
        let found = Diagnostic::complaint(error.to_string()).at(place);
        found.help(advice(&error))
    });
    findings.accept(line)
}

fn advice(error: &CommandLineError) -> String {
    match error {
        CommandLineError::Empty | CommandLineError::Relative => COMMAND.to_owned(),
        CommandLineError::PlaceholderInProgram(_) => {
            "write the program's path in full, and placeholders in its arguments".to_owned()
        }
        CommandLineError::TooManyArgs(_) => {
            format!("give at most {ARGS_MAX}; put the rest into a script")
        }
        CommandLineError::BadArg { .. } => "put it into a script".to_owned(),
        CommandLineError::Unknown { name, .. } => {
            let all: Vec<String> = placeholders().map(|name| format!("{{{name}}}")).collect();
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            match closest(name, placeholders()) {
                Some(close) => format!("did you mean `{{{close}}}`?"),
                None => format!("write one of {}", listed(&all)),
            }
        }
        CommandLineError::Lacks("verb") => {
            "add an argument with `{verb}`: it is `ban` or `unban`".to_owned()
        }
        CommandLineError::Lacks(_) => {
            "add an argument with `{address}`: an address or a subnet".to_owned()
        }
    }
}

/// The ports of an array; what is wrong with one does not hide the next.
fn ports_of(node: Node<'_>, findings: &mut Findings) -> Vec<u16> {
    let DeValue::Array(array) = node.get() else {
        findings.push(
            node.wrong_type("`ports`", "an array of numbers")
                .help(PORTS),
        );
        return Vec::new();
    };
    if array.is_empty() || array.len() > PORTS_MAX {
        let complaint = format!("`ports` has {} ports", array.len());
        let finding = Diagnostic::complaint(complaint).at(node.place());
        findings.push(finding.help(PORTS));
    }
    let ports = array.iter().filter_map(|value| {
        let port = count(1..=u64::from(u16::MAX))(node.with(value), "port");
        findings.accept(port)
    });
    ports.filter_map(|port| u16::try_from(port).ok()).collect()
}
