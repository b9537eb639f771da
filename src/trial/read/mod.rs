//! Test files: from TOML as written to tests that can be played. All mistakes at once, each with its
//! place, as policies and configuration have it.

mod case;
mod expect;
mod prior;
mod server;
mod session;
mod target;
mod value;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeValue;

use super::Trial;
use super::release::{self, Release};
use crate::config::reading::{Read, Section, addresses, patterns, seconds, time};
use crate::config::{self, Config, SessionsMax};
use crate::engine::Protection;
use crate::policy::bounds::LIST_ENTRIES_DEFAULT;
use crate::policy::reading::{Document, Findings, Node, Place, Table, Text, word};
use crate::policy::{
    Checked as CheckedPolicies, Diagnostic, Mode, Policy, PolicySet, Problem, Source,
};
use crate::warden::Settings;

use case::Case;
use value::{release, tables, too_many};

/// What test files end in.
pub const ENDING: &str = ".test.toml";

const INTERVAL_DEFAULT: Duration = Duration::from_secs(10);
const INTERVAL: RangeInclusive<Duration> = seconds(1, 600);
/// Of a session, of a server.
const AGE: RangeInclusive<Duration> = seconds(0, 3_650 * 86_400);
const TESTS_MAX: usize = 1_000;

/// Words that others use for our keys.
const SYNONYMS: &[(&str, &str)] = &[
    ("tests", "test"),
    ("policy", "policies"),
    ("rules", "policies"),
    ("rule_files", "policies"),
    ("evaluation_interval", "interval"),
    ("step", "interval"),
    ("sessions", "session"),
    ("input_series", "session"),
    ("daemons", "daemon"),
    ("expected", "expect"),
    ("exp_alerts", "expect"),
    ("version", "release"),
    ("restart", "restarts"),
    ("address", "peer"),
    ("ip", "peer"),
    ("name", "client"),
    ("sent", "sent_size"),
    ("sent_bytes", "sent_size"),
    ("recv", "recv_size"),
    ("received", "recv_size"),
    ("recv_bytes", "recv_size"),
    ("pending", "pending_requests"),
    ("subscriptions", "subs"),
    ("txs", "txs_sent"),
    ("eval_time", "at"),
    ("time", "at"),
    ("suppressed", "held_back"),
    ("by", "held_back"),
    ("latency", "rpc_latency"),
    ("heights", "height"),
    ("status", "state"),
    ("act", "acts"),
    ("outcome", "acts"),
    ("outcomes", "acts"),
];

/// What stands beside a test file.
pub trait Beside {
    /// Policy files and folders of them, checked together.
    fn policies(&mut self, paths: &[PathBuf], entries_max: usize) -> CheckedPolicies;
    /// An agent's configuration.
    fn config(&mut self, path: &Path) -> config::Checked;
}

/// What really stands there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl Beside for Disk {
    fn policies(&mut self, paths: &[PathBuf], entries_max: usize) -> CheckedPolicies {
        PolicySet::load_within(paths, entries_max)
    }

    fn config(&mut self, path: &Path) -> config::Checked {
        Config::load(path)
    }
}

/// What came of reading a test file.
#[derive(Debug)]
pub struct Checked {
    /// The tests, if there is no error.
    pub trials: Vec<Trial>,
    /// The policies that the file is about, whichever its tests play.
    pub policies: Vec<Policy>,
    /// What is wrong with the file, its policies or its configuration. Warnings about these are left
    /// out: `check` tells them.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a test file, and what it names.
pub fn check(source: Source, beside: &mut dyn Beside) -> Checked {
    let text = Text::new(source);
    let mut findings = Findings::default();
    let mut others = Vec::new();
    let mut trials = Vec::new();
    let mut policies = Vec::new();
    if let Some(document) = Document::parse(&text, &mut findings) {
        let mut file = File {
            document: &document,
            findings: &mut findings,
            others: &mut others,
        };
        (trials, policies) = file.read(beside);
    }
    let own = findings.into_sorted(&[&text.name]);
    let own = own.into_iter().map(Diagnostic::of_test);
    let mut diagnostics: Vec<_> = others.into_iter().filter(Diagnostic::is_error).collect();
    diagnostics.extend(own);
    if diagnostics.iter().any(Diagnostic::is_error) {
        trials.clear();
    }
    Checked {
        trials,
        policies,
        diagnostics,
    }
}

/// The policy file that a test file is about where it names none.
pub(super) fn policy_file(name: &str) -> Option<PathBuf> {
    let stem = name.strip_suffix(ENDING)?;
    Some(PathBuf::from(format!("{stem}.toml")))
}

/// The file, and what is wrong with it and those that it names.
struct File<'t> {
    document: &'t Document<'t>,
    findings: &'t mut Findings,
    others: &'t mut Vec<Diagnostic>,
}

/// What holds for all tests of a file.
struct Common {
    /// `None` if something is wrong with them.
    policies: Option<PolicySet>,
    settings: Settings,
    daemon: Option<config::Daemon>,
    inspect_max: usize,
    interval: Duration,
    release: Release,
}

impl File<'_> {
    fn read(&mut self, beside: &mut dyn Beside) -> (Vec<Trial>, Vec<Policy>) {
        let text = self.document.text;
        let start = Place {
            text: Arc::clone(text),
            span: 0..0,
        };
        let table = self.document.root.get_ref();
        let mut root = Section {
            table: Some(Table::new(text, table, start.clone(), "a test file")),
            findings: self.findings,
        };
        if let Some(table) = &root.table
            && let Some(policy) = table.entries().into_iter().find(|e| e.name == "policy")
        {
            let complaint = "a test file holds no policies".to_owned();
            let help = "move it to a policy file, and name that in `policies`";
            root.findings
                .push(Diagnostic::complaint(complaint).at(policy.key).help(help));
            return (Vec::new(), Vec::new());
        }
        let config = root.take("config");
        let config = config.and_then(|node| root.accept(path(node, "config")));
        let config = config.and_then(|path| {
            let checked = beside.config(&path);
            self.others.extend(checked.diagnostics);
            checked.config
        });
        let entries_max = config.as_ref().map_or(LIST_ENTRIES_DEFAULT, |config| {
            config.policies.list_entries_max
        });
        let policies = policies(&mut root, &text.name, entries_max, beside, self.others);
        let interval = config
            .as_ref()
            .map_or(INTERVAL_DEFAULT, |c| c.server.interval);
        let interval = root.value("interval", interval, time(INTERVAL));
        let release = root.value("release", release::DEFAULT, release);
        let mut settings = Settings {
            mode: Mode::Enforce,
            ..config.as_ref().map_or_else(Settings::default, |config| {
                let slots = config.server.sessions_max.as_ref();
                config.settings(None, slots.and_then(SessionsMax::stated))
            })
        };
        if let Some(node) = root.take("protect") {
            settings.protection = protection(node, root.findings);
        }
        let common = Common {
            policies,
            settings,
            daemon: config
                .as_ref()
                .and_then(|config| config.server.daemon.clone()),
            inspect_max: config
                .as_ref()
                .map_or(20, |config| config.server.inspect_max),
            interval,
            release,
        };
        let tests = root.take("test");
        let nodes = tests.map(|node| tables(node, "test", root.findings));
        let nodes = nodes.unwrap_or_default();
        let is_sound = self.document.broken_at.is_empty();
        if is_sound {
            if nodes.is_empty() && !root.findings.has_errors() {
                let complaint = "there is no test in this file".to_owned();
                let help = "write `[[test]]`, and below it `name`, the sessions and `expect`";
                root.findings
                    .push(Diagnostic::complaint(complaint).at(start).help(help));
            }
            root.finish(SYNONYMS);
        }
        let mut names = HashMap::new();
        let mut trials = Vec::new();
        for (i, &node) in nodes.iter().enumerate().take(TESTS_MAX) {
            let next = nodes.get(i + 1).map(|next| next.value.span().start);
            if !self.document.broken_within(&node, next) {
                let mut case = Case {
                    common: &common,
                    findings: self.findings,
                };
                trials.extend(case.read(node, &mut names));
            }
        }
        if let Some(node) = nodes.get(TESTS_MAX) {
            self.findings
                .push(too_many("tests", TESTS_MAX, node.place()));
        }
        (trials, common.policies.unwrap_or_default().policies)
    }
}

/// The policies that a file names, or that stand beside it.
fn policies(
    root: &mut Section<'_, '_>,
    name: &str,
    entries_max: usize,
    beside: &mut dyn Beside,
    others: &mut Vec<Diagnostic>,
) -> Option<PolicySet> {
    let named = root.take("policies");
    let paths = if let Some(node) = named {
        paths(node, root.findings)?
    } else {
        let own = policy_file(name);
        if own.is_none() {
            let complaint = "`policies` is missing".to_owned();
            let help = "write `policies = [\"policies.toml\"]`; a file that is called \
                        `NAME.test.toml` is about `NAME.toml` without it";
            root.findings
                .push(Diagnostic::complaint(complaint).help(help));
        }
        vec![own?]
    };
    let checked = beside.policies(&paths, entries_max);
    let explained = checked
        .diagnostics
        .into_iter()
        .map(|found| match found.problem() {
            Problem::Unreadable { .. } if named.is_none() => found.help(format!(
                "the tests in `{}` are about that file; `policies = [\"...\"]` there names others",
                word(name)
            )),
            Problem::Unreadable { .. } | Problem::NoFiles { .. } => {
                found.help(format!("`policies` in `{}` names it", word(name)))
            }
            _ => found,
        });
    others.extend(explained);
    checked.set
}

/// One path or several, relative to the file's folder.
fn paths(node: Node<'_>, findings: &mut Findings) -> Option<Vec<PathBuf>> {
    let nodes: Vec<Node<'_>> = match node.get() {
        DeValue::Array(array) => array.iter().map(|value| node.with(value)).collect(),
        _ => vec![node],
    };
    let read = nodes.into_iter().map(|node| path(node, "policies"));
    let paths: Vec<Option<PathBuf>> = read.map(|path| findings.accept(path)).collect();
    if paths.is_empty() {
        let finding = Diagnostic::complaint("`policies` names no policies".to_owned());
        findings.push(
            finding
                .at(node.place())
                .help("name at least one file or folder"),
        );
        return None;
    }
    paths.into_iter().collect()
}

fn path(node: Node<'_>, key: &'static str) -> Read<PathBuf> {
    let written = node.string(key, "write a path in quotes")?;
    Ok(node.text.path(written.text))
}

fn protection(node: Node<'_>, findings: &mut Findings) -> Protection {
    let mut protection = Protection::default();
    let table = Table::of(node, "protect", "`protect`");
    let table = table.map_err(|told| told.help("write `protect = { addresses = [\"...\"] }`"));
    let mut section = Section {
        table: findings.accept(table),
        findings,
    };
    if let Some(node) = section.take("addresses") {
        protection.addresses = addresses(node, "addresses", section.findings);
    }
    if let Some(node) = section.take("clients") {
        protection.clients = patterns(node, "clients", section.findings);
    }
    section.finish(&[]);
    protection
}
