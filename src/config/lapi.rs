//! `[ban.decisions]` and `[ban.crowdsec]`: bans by way of `CrowdSec`.

use std::net::SocketAddr;

use reqwest::Url;

use super::read::Section;
use super::secret::{self, SecretSource};
use super::value::{Read, name_of};
use crate::policy::Diagnostic;
use crate::policy::reading::{Findings, Node, Table, word};
use crate::sink::crowdsec::CrowdsecSettings;

/// The sink `decisions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decisions {
    /// Where it listens, on loopback.
    pub listen: SocketAddr,
    /// What bouncers must know.
    pub key: SecretSource,
}

/// The sink `crowdsec`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crowdsec {
    /// Its local API.
    pub url: Url,
    /// The agent's name there.
    pub machine: String,
    /// Its password there.
    pub password: SecretSource,
}

pub(super) const CROWDSEC: &str = "write `[ban.crowdsec]`, and below it `url = \"http://127.0.0.1:8080\"`, `machine = \
                                   \"warden\"` and `password = { file = \"crowdsec.password\" }`";

const URL: &str = "write the local API's URL, without user and password: `http://127.0.0.1:8080`";

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

pub(super) fn crowdsec(node: Node<'_>, findings: &mut Findings) -> Option<Crowdsec> {
    let table = Table::of(node, "crowdsec", "`[ban.crowdsec]`");
    let mut table = findings.accept(table.map_err(|finding| finding.help(CROWDSEC)))?;
    let api = table.require("url", URL);
    let machine = table.require("machine", CROWDSEC);
    let password = table.require("password", CROWDSEC);
    let section = Section {
        table: Some(table),
        findings,
    };
    let url = api.and_then(|entry| section.findings.accept(url(entry.node)));
    let machine = machine.and_then(|entry| {
        let name = name_of(entry.node, "machine");
        section.findings.accept(name)
    });
    let password = password.and_then(|entry| {
        let what = "the machine's password";
        secret::source(entry.node, "password", what, section.findings)
    });
    section.finish(&[
        ("api_url", "url"),
        ("lapi", "url"),
        ("login", "machine"),
        ("machine_id", "machine"),
        ("user", "machine"),
        ("key", "password"),
    ]);
    Some(Crowdsec {
        url: url?,
        machine: machine?,
        password: password?,
    })
}

fn url(node: Node<'_>) -> Read<Url> {
    let written = node.string("url", URL)?;
    CrowdsecSettings::url(written.text).ok_or_else(|| {
        // It may have a password in it.
        let finding = Diagnostic::complaint("`url` is not the URL of a local API".to_owned());
        finding.at(node.place().hidden()).help(URL)
    })
}
