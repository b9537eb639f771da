//! `[ban]`: where bans take hold.

use toml::de::DeValue;

use super::read::Section;
use super::value::{choice, count, each};
use super::{Ban, Nftables};
use crate::policy::Diagnostic;
use crate::policy::reading::{Findings, Node};
use crate::sink::nftables::Ports;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    LocalRpc,
    Nftables,
}

const SINKS: &[(&str, Sink)] = &[("localrpc", Sink::LocalRpc), ("nftables", Sink::Nftables)];

/// A server has a handful of ports.
const PORTS_MAX: usize = 100;

const PORTS: &str = "say at which ports clients connect, as in ElectrumX's SERVICES: `ports = [50001, \
                     50002]`";

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
    let is_wanted = names.is_some_and(|names| names.contains(&Sink::Nftables));
    if is_wanted && ports.is_none() {
        let finding = Diagnostic::complaint("sink `nftables` lacks `ports`".to_owned()).help(PORTS);
        section.findings.push(match sinks {
            Some(sinks) => finding.at(sinks.place()),
            None => finding,
        });
    }
    section.finish(&[("sink", "sinks"), ("port", "ports")]);
    Ban {
        nftables: read
            .filter(|_| is_wanted)
            .and_then(Ports::new)
            .map(|ports| Nftables { ports }),
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
