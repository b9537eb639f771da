//! `[ban.decisions]`: bans by way of `CrowdSec`.

use std::net::SocketAddr;

use super::read::Section;
use super::secret::{self, SecretSource};
use super::value::Read;
use crate::policy::Diagnostic;
use crate::policy::reading::{Findings, Node, Table, word};

/// The sink `decisions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// Where it listens, on loopback.
    pub listen: SocketAddr,
    /// What bouncers must know.
    pub key: SecretSource,
}

pub(super) const DECISIONS: &str = "write `[ban.decisions]`, and below it `listen = \"127.0.0.1:8087\"` and \
                                    `key = { file = \"bouncer.key\" }`";

const LISTEN: &str = "write an address of loopback and a port: `127.0.0.1:8087`, `[::1]:8087`";

pub(super) fn decisions(node: Node<'_>, findings: &mut Findings) -> Option<Decisions> {
    let table = Table::of(node, "decisions", "`[ban.decisions]`");
    let mut table = findings.accept(table.map_err(|finding| finding.help(DECISIONS)))?;
    let listen_at = table.require("listen", LISTEN);
    let key = table.require("key", DECISIONS);
    let section = Section {
        table: Some(table),
        findings,
    };
    let listen = listen_at.and_then(|entry| section.findings.accept(loopback(entry.node)));
    let what = "the bouncers' key";
    let key = key.and_then(|entry| secret::source(entry.node, "key", what, section.findings));
    section.finish(&[("address", "listen"), ("api_key", "key"), ("url", "listen")]);
    Some(Decisions {
        listen: listen?,
        key: key?,
    })
}

/// Nobody but this machine's own programs is to ask.
fn loopback(node: Node<'_>) -> Read<SocketAddr> {
    let written = node.string("listen", LISTEN)?;
    let found = written.text.parse::<SocketAddr>().ok();
    found
        .filter(|listen| listen.ip().is_loopback() && listen.port() > 0)
        .ok_or_else(|| {
            let complaint = format!("`{}` is not a port on loopback", word(written.text));
            let finding = Diagnostic::complaint(complaint);
            finding.at(written.whole()).help(LISTEN)
        })
}
