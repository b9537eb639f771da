//! The tables of the configuration, in the order in which they are documented.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;
use tracing::Level;

use super::value::{
    Read, addresses, budget, choice, count, each, endpoint, flag, name_of, path, patterns, share,
    size, strict, time,
};
use super::{Checked, Config, Journal, Log, LogFormat, Policies, Record, Server};
use super::{ban, canary, control, daemon, slots};
use crate::engine::Protection;
use crate::history::{Bounds, CLIENTS_MAX, ClientBounds, SubnetWidths};
use crate::journal::Retention;
use crate::limits::LimitsConfig;
use crate::penalty::PenaltySettings;
use crate::policy::bounds::{LIST_ENTRIES_DEFAULT, LIST_ENTRIES_MAX};
use crate::policy::reading::{
    Document, Entry, Findings, Node, Place, TOP, Table, Text, mode, out_of_bounds,
};
use crate::policy::{Diagnostic, Problem, Source};
use crate::recording::RecorderOptions;
use crate::rpc::ClientOptions;
use crate::units::format_duration;

pub(crate) const fn seconds(from: u64, to: u64) -> RangeInclusive<Duration> {
    Duration::from_secs(from)..=Duration::from_secs(to)
}

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 60 * MINUTE;
pub(super) const DAY: u64 = 24 * HOUR;
const MIB: u64 = 1 << 20;

/// Words that others use for our keys.
const SYNONYMS: &[(&str, &str)] = &[
    ("address", "rpc"),
    ("host", "rpc"),
    ("url", "rpc"),
    ("poll", "interval"),
    ("every", "interval"),
    ("max_sessions", "sessions_max"),
    ("slots", "sessions_max"),
    ("timeout", "reply_timeout"),
    ("path", "paths"),
    ("files", "paths"),
    ("ipv4", "v4"),
    ("ipv6", "v6"),
    ("file", "path"),
    ("policy", "policies"),
    ("logging", "log"),
    ("protected", "protect"),
    ("enabled", "on"),
    ("pseudonymize", "pseudonymise"),
    ("recording", "record"),
    ("mode", TOP),
];

/// Tables that belong into another.
const TABLES: &[(&str, &str)] = &[
    ("daemon", "[server.daemon]"),
    ("daemons", "[server.daemon]"),
];

pub(super) fn check(source: Source) -> Checked {
    let text = Text::new(source);
    let mut findings = Findings::default();
    let mut journal = None;
    let config = Document::parse(&text, &mut findings).and_then(|document| {
        let mut file = File {
            document: &document,
            findings: &mut findings,
            journal: &mut journal,
        };
        file.read()
    });
    let policies = config.as_ref().map(|config| config.policies.clone());
    let config = config.filter(|_| !findings.has_errors());
    let diagnostics = findings.into_sorted(&[&text.name]);
    Checked {
        policies: policies.filter(|policies| !policies.paths.is_empty()),
        config,
        journal,
        diagnostics: diagnostics.into_iter().map(Diagnostic::of_config).collect(),
    }
}

/// Whether the syntax is sound from the start of a table to the next table of the file.
fn is_whole(document: &Document<'_>, root: &Table<'_>, node: &Node<'_>) -> bool {
    let start = node.value.span().start;
    let starts = root.entries().into_iter();
    let next = starts.map(|other| other.node.value.span().start);
    let next = next.filter(|&other| other > start).min();
    !document.broken_within(node, next)
}

/// What to say if this is a file of policies or of their tests.
fn another_kind(root: &Table<'_>) -> Option<Diagnostic> {
    let entries = root.entries();
    let find = |name| entries.iter().find(|entry| entry.name == name);
    if find("server").is_some() {
        return None;
    }
    if let Some(test) = find("test") {
        let wanted = "a configuration of the agent";
        let finding = Diagnostic::new(Problem::Tests { wanted }).at(test.key.clone());
        return Some(finding.help("run them with `electrumx-warden test`"));
    }
    let policy = find("policy").or_else(|| find("lists"))?;
    let finding = Diagnostic::new(Problem::Policies).at(policy.key.clone());
    Some(finding.help(
        "name it without `--config`, as in `electrumx-warden check FILE`; a configuration names \
         policy files as `paths` of `[policies]`",
    ))
}

/// What to say of policies in a configuration.
fn policies_within(root: &mut Table<'_>) -> Option<Diagnostic> {
    let is_policies =
        |entry: &Entry<'_>| entry.name == "policy" && matches!(entry.node.get(), DeValue::Array(_));
    root.entries().into_iter().find(is_policies)?;
    let policies = root.take("policy")?;
    let problem = Problem::UnknownKey {
        key: policies.name.to_owned(),
        place: "the configuration",
    };
    Some(
        Diagnostic::new(problem)
            .at(policies.key)
            .help("policies stand in files of their own, which `paths` of `[policies]` names"),
    )
}

/// The file, and what is wrong with it so far.
struct File<'t> {
    document: &'t Document<'t>,
    findings: &'t mut Findings,
    /// Where the journal is, if that can be told, and where that is written.
    journal: &'t mut Option<(PathBuf, Option<Place>)>,
}

/// A table of the file. What is not there, or wrong, is as by default; what is wrong is noted.
pub(crate) struct Section<'t, 'f> {
    /// Nothing where the table is left out or its syntax is broken.
    pub(crate) table: Option<Table<'t>>,
    pub(crate) findings: &'f mut Findings,
}

impl<'t> File<'t> {
    /// Nothing if it is another kind of file.
    fn read(&mut self) -> Option<Config> {
        let is_sound = self.document.broken_at.is_empty();
        let start = Place {
            text: self.document.text.clone(),
            span: 0..0,
        };
        let table = self.document.root.get_ref();
        let mut root = Table::new(self.document.text, table, start, "the configuration");
        if let Some(finding) = another_kind(&root) {
            self.findings.push(finding);
            return None;
        }
        if let Some(finding) = policies_within(&mut root) {
            self.findings.push(finding);
        }

        let mode = root
            .take("mode")
            .and_then(|entry| mode(&entry, self.findings))
            .unwrap_or_default();
        let (server, interval) = self.server(&mut root);
        let policies = self.policies(&mut root);
        let subnet = self.subnet(&mut root);
        let history = self.history(&mut root, server.interval, interval);
        let protection = self.protection(&mut root);
        let limits = self.limits(&mut root);
        let ban = ban::read(self.section(&mut root, "ban"));
        let journal = self.journal(&mut root);
        let canary = canary::read(self.section(&mut root, "canary"));
        let control = control::read(self.section(&mut root, "control"), &journal);
        let record = self.record(&mut root, &journal);
        let log = self.log(&mut root);
        if is_sound {
            root.finish(&[SYNONYMS, TABLES].concat(), self.findings);
        }
        Some(Config {
            mode,
            server,
            policies,
            subnet,
            history,
            protection,
            limits,
            journal,
            ban,
            canary,
            control,
            record,
            log,
        })
    }

    fn section(&mut self, root: &mut Table<'t>, key: &'static str) -> Section<'t, '_> {
        let entry = root.take(key);
        let what = match key {
            "server" => "`[server]`",
            "policies" => "`[policies]`",
            "subnet" => "`[subnet]`",
            "history" => "`[history]`",
            "protect" => "`[protect]`",
            "strikes" => "`[strikes]`",
            "ban" => "`[ban]`",
            "limits" => "`[limits]`",
            "breaker" => "`[breaker]`",
            "journal" => "`[journal]`",
            "control" => "`[control]`",
            "canary" => "`[canary]`",
            "record" => "`[record]`",
            _ => "`[log]`",
        };
        let table = entry
            .filter(|entry| is_whole(self.document, root, &entry.node))
            .and_then(|entry| {
                let help = format!("write `[{key}]`, then its keys below");
                let table = Table::of(entry.node, key, what).map_err(|told| told.help(help));
                self.findings.accept(table)
            });
        Section {
            table,
            findings: self.findings,
        }
    }

    /// Also where the interval stands.
    fn server(&mut self, root: &mut Table<'t>) -> (Server, Option<Place>) {
        const SERVER: &str = "say where the server's LocalRPC listens: write `[server]`, and below \
                              it `rpc = \"127.0.0.1:8000\"`";
        let document = self.document;
        let options = ClientOptions::new("");
        root.require("server", SERVER);
        let mut section = self.section(root, "server");
        let rpc = section
            .table
            .as_mut()
            .and_then(|table| table.require("rpc", SERVER));
        let rpc = rpc.and_then(|entry| section.accept(endpoint(entry.node, "rpc")));
        let name = section.take("name");
        let name = name.and_then(|node| section.accept(name_of(node, "name")));
        let (interval, place) = section.placed(
            "interval",
            Duration::from_secs(10),
            time(seconds(1, 10 * MINUTE)),
        );
        let interval_min = section.interval_min(interval);
        let cost_share = section.value("cost_share", 0.01, share);
        let timeouts = || time(seconds(1, 10 * MINUTE));
        let connect_timeout = section.value("connect_timeout", options.connect_timeout, timeouts());
        let reply_timeout = section.value("reply_timeout", options.reply_timeout, timeouts());
        let reply_bytes_max = section.value(
            "reply_size_max",
            options.reply_bytes_max as u64,
            size(MIB..=1_024 * MIB),
        );
        let inspect_max = section.value("inspect_max", 20, count(0..=200));
        let sessions_max = section.take("sessions_max");
        let sessions_max = sessions_max.and_then(|node| slots::read(node, section.findings));
        let daemon = section.take("daemon");
        let daemon = daemon.filter(|node| is_whole(document, root, node));
        let daemon = daemon.and_then(|node| daemon::read(node, section.findings));
        section.finish(SYNONYMS);
        let rpc = rpc.unwrap_or_default();
        let server = Server {
            name: name.unwrap_or_else(|| rpc.clone()),
            rpc,
            interval,
            interval_min,
            cost_share,
            connect_timeout,
            reply_timeout,
            reply_bytes_max: in_memory(reply_bytes_max),
            inspect_max: in_memory(inspect_max),
            sessions_max,
            daemon,
        };
        (server, place)
    }

    fn policies(&mut self, root: &mut Table<'t>) -> Policies {
        let text = self.document.text;
        let mut section = self.section(root, "policies");
        let paths = match section.take("paths") {
            None => vec![text.path("policies")],
            Some(node) => {
                let before = section.findings.len();
                let paths = each(
                    node,
                    "paths",
                    "\"policies\"",
                    section.findings,
                    |_, node, _| path(node, "paths"),
                );
                if paths.is_empty() && section.findings.len() == before {
                    let finding = Diagnostic::complaint("`paths` names no policies".to_owned());
                    section.findings.push(
                        finding
                            .at(node.place())
                            .help("name at least one file or folder: `paths = [\"policies\"]`"),
                    );
                }
                paths
            }
        };
        let list_entries_max = section.value(
            "list_entries_max",
            LIST_ENTRIES_DEFAULT as u64,
            count(0..=LIST_ENTRIES_MAX as u64),
        );
        section.finish(SYNONYMS);
        Policies {
            paths,
            list_entries_max: in_memory(list_entries_max),
            named_by: Some(text.name.clone()),
        }
    }

    fn subnet(&mut self, root: &mut Table<'t>) -> SubnetWidths {
        let default = SubnetWidths::default();
        let mut section = self.section(root, "subnet");
        let mut width = |key, default, bounds| {
            let width = section.value(key, u64::from(default), count(bounds));
            u8::try_from(width).unwrap_or(default)
        };
        let v4 = width("v4", default.v4, 8..=32);
        let v6 = width("v6", default.v6, 16..=64);
        section.finish(SYNONYMS);
        SubnetWidths { v4, v6 }
    }

    fn history(
        &mut self,
        root: &mut Table<'t>,
        interval: Duration,
        interval_place: Option<Place>,
    ) -> Bounds {
        let default = Bounds::default();
        let tables = || count(1_000..=10_000_000);
        let mut section = self.section(root, "history");
        let sessions_max = section.value("sessions_max", default.sessions_max as u64, tables());
        let targets_max = section.value("targets_max", default.targets_max as u64, tables());
        let clients_max = section.value(
            "clients_max",
            default.clients.clients_max as u64,
            count(1_000..=CLIENTS_MAX as u64),
        );
        let forget_after = section.value(
            "forget_after",
            default.clients.forget_after,
            time(seconds(DAY, 3_650 * DAY)),
        );
        let (gap_max, place) = section.placed("gap_max", default.gap_max, time(seconds(2, DAY)));
        // Polls are up to a third late.
        if gap_max < interval * 3
            && let Some(place) = place.or(interval_place)
        {
            let help = format!(
                "it is at least three times the interval of {}, or one missed poll would drop everything",
                format_duration(interval)
            );
            let value = format_duration(gap_max);
            section
                .findings
                .push(out_of_bounds("gap_max", &value, place, help));
        }
        section.finish(SYNONYMS);
        let mut strikes = self.section(root, "strikes");
        let half_life = time(seconds(10 * MINUTE, 30 * DAY));
        let half_life = strikes.value("half_life", default.penalties.half_life, half_life);
        strikes.finish(SYNONYMS);
        Bounds {
            sessions_max: in_memory(sessions_max),
            targets_max: in_memory(targets_max),
            gap_max,
            clients: ClientBounds {
                clients_max: in_memory(clients_max),
                forget_after,
            },
            penalties: PenaltySettings {
                half_life,
                ..default.penalties
            },
        }
    }

    fn protection(&mut self, root: &mut Table<'t>) -> Protection {
        let mut section = self.section(root, "protect");
        let mut protection = Protection::default();
        if let Some(node) = section.take("addresses") {
            protection.addresses = addresses(node, "addresses", section.findings);
        }
        if let Some(node) = section.take("clients") {
            protection.clients = patterns(node, "clients", section.findings);
        }
        section.finish(SYNONYMS);
        protection
    }

    fn limits(&mut self, root: &mut Table<'t>) -> LimitsConfig {
        let mut limits = LimitsConfig::default();
        let mut section = self.section(root, "limits");
        for (key, limit) in [
            ("disconnect", &mut limits.disconnect),
            ("ban", &mut limits.ban),
            ("log", &mut limits.log),
            ("alert", &mut limits.alert),
        ] {
            if let Some(node) = section.take(key) {
                *limit = budget(node, key, *limit, section.findings);
            }
        }
        limits.disconnect_regulars =
            section.value("disconnect_regulars", limits.disconnect_regulars, strict);
        limits.daemon_url = section.value("daemon_url", limits.daemon_url, strict);
        section.finish(SYNONYMS);

        let breaker = &mut limits.breaker;
        let mut section = self.section(root, "breaker");
        breaker.share = section.value("share", breaker.share, share);
        breaker.share_of_all = section.value("share_of_all", breaker.share_of_all, share);
        breaker.window = section.value("window", breaker.window, time(seconds(10, DAY)));
        let regulars_min = section.value(
            "regulars_min",
            u64::from(breaker.regulars_min),
            count(1..=1_000_000),
        );
        breaker.regulars_min = u32::try_from(regulars_min).unwrap_or(breaker.regulars_min);
        breaker.reset = section.value("reset", breaker.reset, time(seconds(MINUTE, 30 * DAY)));
        section.finish(SYNONYMS);
        limits
    }

    fn journal(&mut self, root: &mut Table<'t>) -> Journal {
        let default = Retention::default();
        let text = self.document.text;
        let is_left_out = !root.has("journal");
        let mut section = self.section(root, "journal");
        let table = section.table.as_ref();
        let is_default = is_left_out || table.is_some_and(|table| !table.has("path"));
        let (path, place) = section.placed("path", text.path("electrumx-warden.sqlite"), path);
        let age_max = section.value("age_max", default.age_max, time(seconds(HOUR, 3_650 * DAY)));
        let size_max_bytes =
            section.value("size_max", default.size_max_bytes, size(MIB..=MIB << 20));
        section.finish(SYNONYMS);
        if is_default || place.is_some() {
            *self.journal = Some((path.clone(), place));
        }
        Journal {
            path,
            retention: Retention {
                age_max,
                size_max_bytes,
            },
        }
    }

    fn record(&mut self, root: &mut Table<'t>, journal: &Journal) -> Record {
        let mut section = self.section(root, "record");
        let is_on = section.value("on", true, flag);
        let mut default = journal.path.clone().into_os_string();
        default.push("-recording");
        let path = section.value("path", default.into(), path);
        let age_max = time(seconds(HOUR, 3_650 * DAY));
        let age_max = section.value("age_max", Duration::from_hours(7 * 24), age_max);
        let size_max = section.value("size_max", 2_048 * MIB, size(8 * MIB..=MIB << 20));
        let reserve = section.value("reserve", 512 * MIB, size(0..=MIB << 20));
        let pseudonymise = section.value("pseudonymise", false, flag);
        section.finish(SYNONYMS);
        Record {
            is_on,
            recorder: RecorderOptions {
                path,
                age_max,
                size_max,
                reserve,
            },
            pseudonymise,
        }
    }

    fn log(&mut self, root: &mut Table<'t>) -> Log {
        const FORMATS: &[(&str, LogFormat)] =
            &[("text", LogFormat::Text), ("json", LogFormat::Json)];
        const LEVELS: &[(&str, Level)] = &[
            ("error", Level::ERROR),
            ("warn", Level::WARN),
            ("info", Level::INFO),
            ("debug", Level::DEBUG),
            ("trace", Level::TRACE),
        ];
        let default = Log::default();
        let mut section = self.section(root, "log");
        let format = section.value("format", default.format, choice(FORMATS));
        let level = section.value("level", default.level, choice(LEVELS));
        section.finish(SYNONYMS);
        Log { format, level }
    }
}

impl<'t> Section<'t, '_> {
    pub(crate) fn take(&mut self, key: &'static str) -> Option<Node<'t>> {
        let entry = self.table.as_mut()?.take(key)?;
        Some(entry.node)
    }

    pub(crate) fn accept<T>(&mut self, read: Read<T>) -> Option<T> {
        self.findings.accept(read)
    }

    pub(crate) fn value<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl Fn(Node<'_>, &'static str) -> Read<T>,
    ) -> T {
        self.placed(key, default, read).0
    }

    /// The value, and where it stands if it is written.
    fn placed<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl Fn(Node<'_>, &'static str) -> Read<T>,
    ) -> (T, Option<Place>) {
        let Some(node) = self.take(key) else {
            return (default, None);
        };
        match self.accept(read(node, key)) {
            Some(value) => (value, Some(node.place())),
            None => (default, None),
        }
    }

    fn interval_min(&mut self, interval: Duration) -> Duration {
        let bounds = time(Duration::from_millis(100)..=Duration::from_secs(10 * MINUTE));
        let (interval_min, place) = self.placed("interval_min", Duration::from_secs(1), bounds);
        if interval_min > interval
            && let Some(place) = place
        {
            let help = format!(
                "it is at most the interval of {}, which is how often the server is polled while all \
                 is quiet",
                format_duration(interval)
            );
            let value = format_duration(interval_min);
            let finding = out_of_bounds("interval_min", &value, place, help);
            self.findings.push(finding);
        }
        interval_min
    }

    pub(crate) fn finish(self, synonyms: &[(&str, &'static str)]) {
        if let Some(table) = self.table {
            table.finish(synonyms, self.findings);
        }
    }
}

/// The bounds of what is counted here are far below what memory holds.
fn in_memory(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
