//! What `getinfo` tells in a test, and the server's daemons.

use std::time::Duration;

use super::session::methods_of;
use super::value::{blame, series};
use super::{AGE, SYNONYMS};
use crate::config::reading::{Read, Section, count, time};
use crate::daemon::Address;
use crate::field::Dimension;
use crate::policy::reading::{Findings, Node, Table, closest, listed};
use crate::slots::Slots;
use crate::trial::script::{Act, Daemon, DaemonState, Felt, Server};
use crate::trial::series::{Series, words};

const UPTIME_DEFAULT: Duration = Duration::from_secs(30 * 86_400);

impl Server {
    pub(super) fn new() -> Self {
        Self {
            coin: Some("Bitcoin".to_owned()),
            slots: None,
            uptime: UPTIME_DEFAULT,
            daemon: None,
            daemon_height: None,
            db_height: None,
            errors: None,
            latency_s: None,
            felt: Felt::default(),
            methods: Vec::new(),
        }
    }

    pub(super) fn lengths(&self) -> impl Iterator<Item = usize> {
        let numbers = [
            &self.daemon_height,
            &self.db_height,
            &self.errors,
            &self.latency_s,
        ];
        let numbers = numbers.into_iter().flatten();
        let numbers = numbers.chain(self.felt.series()).map(Series::len);
        let methods = self.methods.iter().map(|(_, series)| series.len());
        numbers
            .chain(methods)
            .chain(self.daemon.iter().map(Series::len))
    }
}

pub(super) fn server(node: Node<'_>, findings: &mut Findings) -> Server {
    let table = Table::of(node, "server", "`server`");
    let table =
        table.map_err(|told| told.help("write `server = { daemon_height = \"800_000x6\" }`"));
    let mut section = Section {
        table: findings.accept(table),
        findings,
    };
    let new = Server::new();
    let methods = section.take("methods");
    let methods = methods.map(|node| methods_of(node, section.findings));
    let heights = || series(Dimension::Count, false);
    let server = Server {
        coin: section.value("coin", new.coin, |node, key| {
            node.string(key, "write the server's name of its coin")
                .map(|it| Some(it.text.to_owned()))
        }),
        slots: section.value("sessions_max", new.slots, |node, key| {
            let number = count(1..=u64::from(u32::MAX))(node, key)?;
            Ok(u32::try_from(number).ok().map(Slots::new))
        }),
        uptime: section.value("uptime", new.uptime, time(AGE)),
        daemon: section.value("daemon", None, |node, key| {
            let example = "10.0.0.1:8332x3 10.0.0.2:8332";
            let written = node.string(key, "write its host and port")?;
            let read = words(written.text, example, |word| Ok(Address::from(word)));
            read.map(Some).map_err(|mistake| blame(mistake, &written))
        }),
        daemon_height: section.value("daemon_height", None, heights()),
        db_height: section.value("db_height", None, heights()),
        errors: section.value("errors", None, series(Dimension::Count, false)),
        latency_s: section.value("rpc_latency", None, series(Dimension::Duration, true)),
        felt: Felt {
            latency_s: section.value("felt_latency", None, series(Dimension::Duration, true)),
            height: section.value("felt_height", None, heights()),
            certificate_left_s: section.value(
                "certificate_left",
                None,
                series(Dimension::Duration, true),
            ),
        },
        methods: methods.unwrap_or_default(),
    };
    section.finish(SYNONYMS);
    server
}

pub(super) fn daemon(node: Node<'_>, findings: &mut Findings) -> Option<Daemon> {
    const HEIGHT: &str = "write how many blocks it has at each poll: `\"800_000x5 800_001\"`";
    let mut table = findings.accept(Table::of(node, "daemon", "a daemon"))?;
    let address = table.require("address", "write its host and port as `getinfo` shows it");
    let height = table.require("height", HEIGHT);
    let mut section = Section {
        table: Some(table),
        findings,
    };
    let state = section.value("state", Series::constant(DaemonState::Healthy), states);
    let address = address.and_then(|entry| {
        let written = entry.node.string("address", "write its host and port");
        section
            .accept(written)
            .map(|written| Address::from(written.text))
    });
    let height = height.and_then(|entry| {
        let read = series(Dimension::Count, false)(entry.node, "height");
        section.accept(read).flatten()
    });
    section.finish(SYNONYMS);
    Some(Daemon {
        address: address?,
        height: height?,
        state,
    })
}

fn states(node: Node<'_>, key: &'static str) -> Read<Series<DaemonState>> {
    let example = "healthy x30 unreachable x6";
    let written = node.string(key, "write what it is like at each poll")?;
    let names = DaemonState::WORDS.map(|(name, _)| name);
    let state = |text: &str| {
        let found = DaemonState::WORDS.iter().find(|(name, _)| *name == text);
        found.map(|&(_, state)| state).ok_or_else(|| {
            let help = match closest(text, names) {
                _ if text == "behind" => "its `height` says that".to_owned(),
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("the states are {}", listed(&names)),
            };
            (format!("unknown state `{text}`"), help)
        })
    };
    words(written.text, example, state).map_err(|mistake| blame(mistake, &written))
}

pub(super) fn acts(node: Node<'_>, key: &'static str) -> Read<Option<Series<Act>>> {
    let written = node.string(key, "write what comes of acts at each poll")?;
    let names = Act::WORDS.map(|(name, _)| name);
    let act = |text: &str| {
        let found = Act::WORDS.iter().find(|(name, _)| *name == text);
        found.map(|&(_, act)| act).ok_or_else(|| {
            let help = match closest(text, names) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("an act comes out as {}", listed(&names)),
            };
            (format!("unknown outcome `{text}`"), help)
        })
    };
    let read = words(written.text, "fail x30 done", act);
    read.map(Some).map_err(|mistake| blame(mistake, &written))
}
