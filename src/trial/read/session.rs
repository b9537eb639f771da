//! The sessions of a test: who they are, and what is counted of them.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::value::{blame, series, too_many};
use super::{AGE, SYNONYMS};
use crate::config::reading::{Read, Section, choice, count, flag, time};
use crate::decision::Peer;
use crate::field::Dimension;
use crate::policy::Diagnostic;
use crate::policy::reading::{Entry, Findings, Node, Table, Written, word};
use crate::snapshot::{Generation, Transport};
use crate::trial::braces::{TEXTS_MAX, expand};
use crate::trial::release::Release;
use crate::trial::script::{Count, Sessions};
use crate::trial::series::Series;

const METHODS_MAX: usize = 100;

pub(super) fn sessions(
    node: Node<'_>,
    release: Release,
    findings: &mut Findings,
) -> Option<Sessions> {
    const TRANSPORTS: &[(&str, Transport)] = &[
        ("tcp", Transport::Tcp),
        ("ssl", Transport::Ssl),
        ("websocket", Transport::Websocket),
    ];
    const PEER: &str = "write its address: `peer = \"203.0.113.7\"`";
    let table = Table::of(node, "session", "a session");
    let mut table = findings.accept(table)?;
    let peer = table.require("peer", PEER);
    let mut section = Section {
        table: Some(table),
        findings,
    };
    let copies = section.value("count", 1, count(1..=TEXTS_MAX as u64));
    let text = |node: Node<'_>, key| {
        node.string(key, "write it in quotes")
            .map(|it| it.text.to_owned())
    };
    let client = section.value("client", "electrum/4.5.5".to_owned(), text);
    let protocol = section.value("protocol", "1.4".to_owned(), text);
    let transport = section.value("transport", Transport::Ssl, choice(TRANSPORTS));
    let is_logged = section.value("logged", false, flag);
    let age = section.value("age", None, |node, key| time(AGE)(node, key).map(Some));
    let counts = Count::ALL.map(|count| {
        let read = series(count.dimension(), count.has_fractions());
        section.value(count.key(), None, read)
    });
    let methods = section.take("methods");
    let methods = methods.map(|node| methods_of(node, section.findings));
    let peers = peer.and_then(|entry| {
        let written = section.accept(entry.node.string("peer", PEER))?;
        let read = peers(&written, copies);
        section.accept(read)
    });
    section.finish(SYNONYMS);
    let has_cost =
        counts[Count::Cost as usize].is_some() || counts[Count::ExtraCost as usize].is_some();
    if has_cost && release.generation() != Generation::Cost {
        let complaint = "this release reckons no cost".to_owned();
        let finding = Diagnostic::complaint(complaint).at(node.place());
        findings.push(finding.help("costs came with 1.10.1: change `release`, or remove it"));
    }
    Some(Sessions {
        peers: peers?,
        client,
        protocol,
        transport,
        is_logged,
        age,
        counts,
        methods: methods.unwrap_or_default(),
    })
}

pub(super) fn methods_of(node: Node<'_>, findings: &mut Findings) -> Vec<(Arc<str>, Series<f64>)> {
    let table = Table::of(node, "methods", "`methods`");
    let table =
        table.map_err(|told| told.help("write `methods = { \"server.ping\" = \"0+5x6\" }`"));
    let entries = findings.accept(table).map(|table| table.entries());
    let entries = entries.unwrap_or_default();
    if entries.len() > METHODS_MAX {
        findings.push(too_many("methods", METHODS_MAX, node.place()));
    }
    let one = |entry: &Entry<'_>| {
        let read = series(Dimension::Count, false)(entry.node, "methods");
        let series = findings.accept(read).flatten()?;
        Some((Arc::from(entry.name), series))
    };
    entries.iter().take(METHODS_MAX).filter_map(one).collect()
}

/// The peers that a text stands for, each so many times. Those without a port have port 0 yet.
fn peers(written: &Written<'_>, copies: u64) -> Read<Vec<Peer>> {
    let texts = expand(written.text).map_err(|mistake| blame(mistake, written))?;
    let copies = usize::try_from(copies).unwrap_or(TEXTS_MAX);
    if texts.len().saturating_mul(copies) > TEXTS_MAX {
        return Err(too_many("sessions", TEXTS_MAX, written.whole()));
    }
    let mut peers = Vec::with_capacity(texts.len() * copies);
    for text in &texts {
        let Some(peer) = peer(text) else {
            let complaint = format!("`{}` is no peer", word(text));
            let help = "write `203.0.113.7`, `203.0.113.7:50001`, `[2001:db8::1]:50001` or `unknown`; \
                        `203.0.113.{1..40}` is forty of them";
            return Err(Diagnostic::complaint(complaint)
                .at(written.whole())
                .help(help));
        };
        if copies > 1 && peer.0.is_some_and(|peer| peer.port() > 0) {
            let complaint = "several sessions cannot come from one port".to_owned();
            let help = "leave the port out: each gets one of its own";
            return Err(Diagnostic::complaint(complaint)
                .at(written.whole())
                .help(help));
        }
        peers.extend(std::iter::repeat_n(peer, copies));
    }
    Ok(peers)
}

pub(super) fn peer(text: &str) -> Option<Peer> {
    if text == "unknown" {
        return Some(Peer(None));
    }
    let with_port = text
        .parse::<SocketAddr>()
        .ok()
        .filter(|peer| peer.port() > 0);
    let alone = || {
        text.parse::<IpAddr>()
            .ok()
            .map(|address| SocketAddr::new(address, 0))
    };
    with_port.or_else(alone).map(|peer| Peer(Some(peer)))
}

/// Gives each session without a port the first that is free at its address, from 50001 on.
pub(super) fn number_ports(all: &mut [Sessions]) {
    let addresses = || all.iter().flat_map(|sessions| &sessions.peers);
    let given = addresses()
        .filter_map(|peer| peer.0)
        .filter(|peer| peer.port() > 0);
    let taken: HashSet<SocketAddr> = given.collect();
    let mut next: HashMap<IpAddr, u16> = HashMap::new();
    for peer in all.iter_mut().flat_map(|sessions| &mut sessions.peers) {
        let Some(address) = peer.0.as_mut().filter(|peer| peer.port() == 0) else {
            continue;
        };
        let port = next.entry(address.ip()).or_insert(50_001);
        loop {
            address.set_port(*port);
            *port = port.wrapping_add(1).max(1);
            if !taken.contains(address) {
                break;
            }
        }
    }
}
