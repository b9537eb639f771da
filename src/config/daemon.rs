//! `[server.daemon]`: the server's daemons, how they are probed and when one is healthy.

use std::path::PathBuf;
use std::time::Duration;

use super::read::{DAY, HOUR, MINUTE, Section, seconds};
use super::secret::{is_credential, is_variable};
use super::value::{Read, count, each, flag, path, time};
use crate::daemon::Address;
use crate::policy::reading::{Findings, Node, Table, word};
use crate::policy::{Diagnostic, Problem};
use crate::probe::ProbeOptions;
use crate::watch::{Counts, Settings};

/// The server's daemons, and how they are probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Daemon {
    /// Where their URLs are read from, when the agent starts.
    pub source: DaemonSource,
    /// From the start of one round of probes to the start of the next.
    pub interval: Duration,
    /// Deadline for a daemon's answer.
    pub timeout: Duration,
    /// So many good answers in a row make a daemon healthy.
    pub rise: u32,
    /// So many bad ones in a row end that.
    pub fall: u32,
    /// Blocks that a healthy daemon may be behind the best.
    pub behind_max: u64,
    /// Within this time a block reaches every daemon that does well; `None`: by the block time.
    pub propagation: Option<Duration>,
    /// Whether the primary is gone back to while the secondary is well.
    pub preempt: bool,
    /// The mean time between two blocks; `None`: that of the coin that the server names.
    pub block_time: Option<Duration>,
    /// Indexes that a daemon must have; `None`: those that the server's release asks for.
    pub indexes: Option<Vec<Box<str>>>,
}

impl Daemon {
    /// What daemons of these addresses are judged by.
    pub fn settings(&self, addresses: Vec<Address>) -> Settings {
        // A round that takes as long as it may, and two that are missing.
        let fresh_max = self.interval * 3 + self.timeout * 2;
        let default = Settings::default();
        Settings {
            addresses,
            counts: Counts {
                rise: self.rise,
                fall: self.fall,
            },
            behind_max: self.behind_max,
            propagation: self.propagation,
            fresh_max: fresh_max.max(default.fresh_max),
            preempt: self.preempt,
            block_time: self.block_time,
            indexes: self.indexes.clone(),
        }
    }

    /// How they are probed. Which indexes are wanted follows from the server's release, which is
    /// not known yet, so all are asked for.
    pub const fn probe_options(&self) -> ProbeOptions {
        ProbeOptions {
            timeout: self.timeout,
            with_indexes: true,
        }
    }
}

/// Where the daemons' URLs are. They hold passwords, so the configuration names the place only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonSource {
    /// `ElectrumX`'s own environment: a file as systemd reads it, or a folder as daemontools' envdir
    /// does. Its `DAEMON_URL` is taken.
    Electrumx(PathBuf),
    /// An environment variable of the agent.
    Env(Box<str>),
    /// A file with URLs separated by commas or line ends.
    File(PathBuf),
    /// The same as a credential that systemd hands over.
    Credential(Box<str>),
}

const FORM: &str = "write where they are read from, such as `urls = { electrumx = \
                    \"/etc/electrumx.conf\" }`; `{ env = \"NAME\" }`, `{ file = \"daemons.txt\" }` \
                    and `{ credential = \"NAME\" }` are the others";

/// Words that others use for our keys.
const SYNONYMS: &[(&str, &str)] = &[
    ("url", "urls"),
    ("daemon_url", "urls"),
    ("source", "urls"),
    ("poll", "interval"),
    ("every", "interval"),
    ("deadline", "timeout"),
    ("lag_max", "behind_max"),
    ("index", "indexes"),
    ("failback", "preempt"),
];

/// As many indexes no release asks for.
const INDEXES_MAX: usize = 8;

pub(super) fn read<'t>(node: Node<'t>, findings: &mut Findings) -> Option<Daemon> {
    let table = Table::of(node, "daemon", "`[server.daemon]`")
        .map_err(|finding| finding.help("write `[server.daemon]`, then its keys below"));
    let mut table = findings.accept(table)?;
    let urls = table.require("urls", FORM);
    let mut section: Section<'t, '_> = Section {
        table: Some(table),
        findings,
    };
    let source = urls.and_then(|urls| source(urls.node, section.findings));
    let seconds_of = |seconds| Duration::from_secs(seconds);
    let interval = section.value("interval", seconds_of(10), time(seconds(1, 10 * MINUTE)));
    let timeout = section.value("timeout", seconds_of(5), time(seconds(1, MINUTE)));
    let rise = section.value("rise", 12, count(1..=1_000));
    let fall = section.value("fall", 3, count(1..=1_000));
    let behind_max = section.value("behind_max", 1, count(0..=100));
    let propagation = time(seconds(0, HOUR));
    let propagation = section.value("propagation", None, |node, key| {
        propagation(node, key).map(Some)
    });
    let preempt = section.value("preempt", true, flag);
    let block_time = time(seconds(1, DAY));
    let block_time = section.value("block_time", None, |node, key| {
        block_time(node, key).map(Some)
    });
    let indexes = section.take("indexes");
    let indexes = indexes.map(|node| indexes_of(node, section.findings));
    section.finish(SYNONYMS);
    Some(Daemon {
        source: source?,
        interval,
        timeout,
        rise: u32::try_from(rise).unwrap_or(u32::MAX),
        fall: u32::try_from(fall).unwrap_or(u32::MAX),
        behind_max,
        propagation,
        preempt,
        block_time,
        indexes,
    })
}

fn source(node: Node<'_>, findings: &mut Findings) -> Option<DaemonSource> {
    let is_inline =
        node.as_written().is_some() || matches!(node.get(), toml::de::DeValue::Array(_));
    if is_inline {
        findings.push(inline_url(node));
        return None;
    }
    let table = Table::of(node, "urls", "`urls`").map_err(|finding| finding.help(FORM));
    let mut table = findings.accept(table)?;
    let mut sources = Vec::new();
    for (key, read) in SOURCES {
        if let Some(entry) = table.take(key) {
            sources.push((entry.node, key, read));
        }
    }
    let before = findings.len();
    table.finish(
        &[
            ("electrumX", "electrumx"),
            ("environment", "env"),
            ("var", "env"),
            ("path", "file"),
            ("systemd", "credential"),
            ("secret", "credential"),
        ],
        findings,
    );
    match sources[..] {
        [(node, key, read)] => {
            let read = read(node, key);
            findings.accept(read)
        }
        // Of another key there is a finding already.
        [] if findings.len() > before => None,
        _ => {
            let found = if sources.is_empty() {
                "none"
            } else {
                "several"
            };
            let problem = Problem::WrongType {
                what: "`urls`".to_owned(),
                wanted: "one of `electrumx`, `env`, `file` and `credential`",
                found,
            };
            findings.push(Diagnostic::new(problem).at(node.place()).help(FORM));
            None
        }
    }
}

type SourceReader = fn(Node<'_>, &'static str) -> Read<DaemonSource>;

const SOURCES: [(&str, SourceReader); 4] = [
    ("electrumx", |node, key| {
        no_url(node)?;
        path(node, key).map(DaemonSource::Electrumx)
    }),
    ("env", |node, key| {
        let what = "an environment variable";
        let help = "such names have letters, digits and `_`, without a `$`";
        name(node, key, what, help, is_variable).map(DaemonSource::Env)
    }),
    ("file", |node, key| {
        no_url(node)?;
        path(node, key).map(DaemonSource::File)
    }),
    ("credential", |node, key| {
        let what = "a systemd credential";
        let help = "write the name that `LoadCredential=` of the service gives it, not its path";
        name(node, key, what, help, is_credential).map(DaemonSource::Credential)
    }),
];

fn name(
    node: Node<'_>,
    key: &'static str,
    what: &'static str,
    help: &'static str,
    is_name: impl Fn(&str) -> bool,
) -> Read<Box<str>> {
    no_url(node)?;
    let written = node.string(key, "write a name in quotes")?;
    if written.text.contains(':') {
        // `user:password`, perhaps.
        return Err(inline_url(node));
    }
    if is_name(written.text) {
        return Ok(written.text.into());
    }
    let name = word(written.text);
    let finding = Diagnostic::new(Problem::BadName { name, what });
    Err(finding.at(written.whole()).help(help))
}

fn no_url(node: Node<'_>) -> Read<()> {
    match node.as_written() {
        Some(written) if written.text.contains("://") || written.text.contains('@') => {
            Err(inline_url(node))
        }
        _ => Ok(()),
    }
}

/// It repeats nothing of it.
fn inline_url(node: Node<'_>) -> Diagnostic {
    let complaint = "daemon URLs do not belong in the configuration".to_owned();
    Diagnostic::complaint(complaint)
        .at(node.place().hidden())
        .help(format!("they hold the daemons' passwords: {FORM}"))
}

fn indexes_of(node: Node<'_>, findings: &mut Findings) -> Vec<Box<str>> {
    let indexes = each(node, "indexes", "\"txindex\"", findings, |written, _, _| {
        let is_char = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ' ';
        let name = written.text;
        if !name.is_empty() && name.len() <= 64 && name.chars().all(is_char) {
            return Ok(name.into());
        }
        let problem = Problem::BadName {
            name: word(name),
            what: "an index",
        };
        let help = "write it as `getindexinfo` of the daemon does: `txindex`";
        Err(Diagnostic::new(problem).at(written.whole()).help(help))
    });
    if indexes.len() > INDEXES_MAX {
        let problem = Problem::TooMany {
            what: "`indexes` is too long".to_owned(),
            max: INDEXES_MAX.to_string(),
        };
        findings.push(Diagnostic::new(problem).at(node.place()));
    }
    indexes
}
