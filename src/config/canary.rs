//! `[canary]`: where the agent visits the server as a wallet.

use std::path::PathBuf;
use std::time::Duration;

use super::read::{MINUTE, Section, seconds};
use super::value::{Read, path, time};
use crate::canary::Destination;
use crate::policy::Diagnostic;
use crate::policy::reading::{Findings, Node, Table, word};

/// The canary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Where it connects.
    pub connect: CanarySource,
    /// For a whole visit: connection, answers and all.
    pub timeout: Duration,
}

/// Where the canary's destination is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanarySource {
    /// Written in the configuration.
    At(Destination),
    /// In `ElectrumX`'s own environment: a file as systemd reads it, or a folder as daemontools' envdir
    /// does. One of its `SERVICES` is taken.
    Electrumx(PathBuf),
}

const FORM: &str = "write where wallets connect: `connect = \"ssl://127.0.0.1:50002\"`, `\"tcp://127.0.0.1:50001\"`, or \
                    `{ electrumx = \"/etc/electrumx.conf\" }` for its SERVICES";

const SYNONYMS: &[(&str, &str)] = &[
    ("address", "connect"),
    ("url", "connect"),
    ("server", "connect"),
    ("services", "connect"),
    ("deadline", "timeout"),
];

/// Of a section that is there.
pub(super) fn read(mut section: Section<'_, '_>) -> Option<Canary> {
    let connect = section.table.as_mut()?.require("connect", FORM);
    let connect = connect.and_then(|entry| source(entry.node, section.findings));
    let timeout = section.value("timeout", Duration::from_secs(10), time(seconds(1, MINUTE)));
    section.finish(SYNONYMS);
    Some(Canary {
        connect: connect?,
        timeout,
    })
}

fn source(node: Node<'_>, findings: &mut Findings) -> Option<CanarySource> {
    if node.as_written().is_some() {
        let read = destination(node).map(CanarySource::At);
        return findings.accept(read);
    }
    let table = Table::of(node, "connect", "`connect`").map_err(|finding| finding.help(FORM));
    let mut table = findings.accept(table)?;
    let entry = table.require("electrumx", FORM);
    table.finish(
        &[("environment", "electrumx"), ("file", "electrumx")],
        findings,
    );
    let read = path(entry?.node, "electrumx").map(CanarySource::Electrumx);
    findings.accept(read)
}

fn destination(node: Node<'_>) -> Read<Destination> {
    let written = node.string("connect", FORM)?;
    Destination::parse(written.text).map_err(|bad| {
        let text = word(written.text);
        let complaint = format!("`{text}` is nowhere that a wallet connects: {bad}");
        Diagnostic::complaint(complaint)
            .at(written.whole())
            .help(FORM)
    })
}
