//! One `[[test]]`: what the server shows, and how long; what is expected stands in another file.

use std::collections::{BTreeSet, HashMap};

use toml::de::DeValue;

use super::prior::{bans, strikes};
use super::server::{acts, daemon, server};
use super::session::{number_ports, sessions};
use super::value::{polls, release, tables, too_many};
use super::{Common, INTERVAL, SYNONYMS};
use crate::config::reading::{Read, count, time};
use crate::daemon::{Address, DAEMONS_MAX};
use crate::policy::reading::{
    Findings, Node, Place, Table, Written, closest, listed, out_of_bounds, unknown_word, word,
};
use crate::policy::{Diagnostic, Policy, PolicySet, Problem};
use crate::trial::Trial;
use crate::trial::script::{Count, Daemon, ROWS_MAX, Script, Server, Sessions};
use crate::trial::series::{SAMPLES_MAX, Series};
use crate::units::format_duration;
use crate::warden::Settings;
use crate::watch;

/// A test while it is read.
pub(super) struct Case<'c, 'f> {
    pub(super) common: &'c Common,
    pub(super) findings: &'f mut Findings,
}

/// What is still to be read when it is known how long the test is.
struct Parts<'t> {
    script: Script,
    /// Where each of the sessions stands.
    nodes: Vec<Node<'t>>,
}

impl Case<'_, '_> {
    pub(super) fn read(
        &mut self,
        node: Node<'_>,
        names: &mut HashMap<String, Place>,
    ) -> Option<Trial> {
        let before = self.findings.len();
        let mut table = self.findings.accept(Table::of(node, "test", "a test"))?;
        let (name, place) = match table.require(
            "name",
            "give it a name of its own: `name = \"an idle client stays\"`",
        ) {
            None => (None, node.place()),
            Some(entry) => self.name(entry.node, names).unzip_or(entry.key),
        };
        table.take("about");
        let only = table.take("only").map(|entry| entry.node);
        let expect = table.require(
            "expect",
            "write `[[test.expect]]` for each decision, or `expect = []` if there is none",
        );
        let parts = self.script(&mut table);
        table.finish(SYNONYMS, self.findings);
        let policies = self.under_test(only);
        let script = parts.script;
        self.check_interval(&script, &place);
        self.check_falls(&script, &parts.nodes);
        let named = only.is_some() || policies.as_ref().is_some_and(|set| set.policies.len() == 1);
        // Mistakes in what is expected are told along with those before it, but none that only follow.
        let known = policies.as_ref().or(self.common.policies.as_ref());
        let sound = (self.findings.len() == before).then_some(&script);
        let expected = match (known, expect) {
            (Some(known), Some(expect)) => self.expected(expect.node, known, sound),
            _ => Vec::new(),
        };
        let policies = policies?;
        if self.findings.len() > before {
            return None;
        }
        let about = policies.policies.iter().filter(|_| named);
        let text = node.text;
        Some(Trial {
            name: name?,
            file: text.name.as_str().into(),
            line: text.line_column(node.value.span().start).0,
            about: about.map(|policy| policy.name.clone()).collect(),
            expected,
            settings: self.settings(&script),
            inspect_max: self.common.inspect_max,
            policies,
            script,
        })
    }

    fn name(&mut self, node: Node<'_>, names: &mut HashMap<String, Place>) -> Named {
        let written = node.string("name", "say in a few words what is tested");
        let Some(written) = self.findings.accept(written) else {
            return Named(None);
        };
        let (text, place) = (written.text.trim().to_owned(), written.whole());
        if text.is_empty() || text.chars().any(char::is_control) || text.len() > 200 {
            let problem = Problem::BadName {
                name: word(written.text),
                what: "a test",
            };
            let help = "say in a few words on one line what is tested";
            self.findings
                .push(Diagnostic::new(problem).at(place).help(help));
            return Named(None);
        }
        if let Some(first) = names.insert(text.clone(), place.clone()) {
            let problem = Problem::Duplicate {
                what: "test",
                name: word(&text),
            };
            let finding = Diagnostic::new(problem).at(place.clone());
            self.findings
                .push(finding.also(first, "it is defined here first"));
        }
        Named(Some((text, place)))
    }

    /// The policies that are played: all, or those named. If one of these is not there, nothing can be
    /// said of what is expected.
    fn under_test(&mut self, only: Option<Node<'_>>) -> Option<PolicySet> {
        let mut set = self.common.policies.clone()?;
        let Some(node) = only else {
            return Some(set);
        };
        let nodes: Vec<Node<'_>> = match node.get() {
            DeValue::Array(array) => array.iter().map(|value| node.with(value)).collect(),
            _ => vec![node],
        };
        let mut names = Vec::new();
        for node in nodes {
            let written = node.string("only", "name policies in quotes: `[\"error-flood\"]`");
            let written = self.findings.accept(written);
            let known = written.and_then(|written| self.policy_named(&set, &written));
            names.push(known.map(|policy| policy.name.clone()));
        }
        let names: Vec<_> = names.into_iter().collect::<Option<_>>()?;
        set.policies.retain(|policy| names.contains(&policy.name));
        Some(set)
    }

    pub(super) fn policy_named<'s>(
        &mut self,
        set: &'s PolicySet,
        written: &Written<'_>,
    ) -> Option<&'s Policy> {
        let known = set.named(written.text);
        if known.is_none() {
            let names: Vec<&str> = set.policies.iter().map(|policy| &*policy.name).collect();
            let help = match closest(written.text, names.iter().copied()) {
                Some(close) => format!("did you mean `{close}`?"),
                None if names.len() <= 10 => {
                    format!("the policies under test are {}", listed(&names))
                }
                None => "it is none of the policies under test".to_owned(),
            };
            let finding = unknown_word("policy", written.text, written.whole());
            self.findings.push(finding.help(help));
        }
        known
    }

    fn script<'t>(&mut self, table: &mut Table<'t>) -> Parts<'t> {
        let mut section = Taking {
            table,
            findings: self.findings,
        };
        let interval = section.value("interval", self.common.interval, time(INTERVAL));
        let release = section.value("release", self.common.release, release);
        let length = section.value("polls", None, |node, key| {
            count(1..=SAMPLES_MAX as u64)(node, key).map(Some)
        });
        let missed = section.polls("missed");
        let restarts = section.polls("restarts");
        let server = match section.table.take("server") {
            Some(entry) => server(entry.node, section.findings),
            None => Server::new(),
        };
        let acts = section.value("acts", None, acts);
        let daemons = section.each("daemon", daemon);
        let strikes = section.each("strike", strikes);
        let bans = section.each("ban", bans);
        let sessions = section.each("session", |node, findings| {
            sessions(node, release, findings).map(|sessions| (sessions, node))
        });
        let (mut sessions, nodes): (Vec<_>, Vec<_>) = sessions.into_iter().unzip();
        number_ports(&mut sessions);
        let of_sessions = sessions.iter().flat_map(Sessions::series).map(Series::len);
        let of_daemons = daemons
            .iter()
            .map(|it: &Daemon| it.height.len().max(it.state.len()));
        let marked = missed.iter().chain(&restarts).map(|poll| poll + 1);
        let lengths = of_sessions
            .chain(of_daemons)
            .chain(server.lengths())
            .chain(acts.iter().map(Series::len))
            .chain(marked);
        let longest = lengths.max().unwrap_or(1);
        let polls = length.map_or(longest, |length| {
            usize::try_from(length).unwrap_or(SAMPLES_MAX)
        });
        if daemons.len() > DAEMONS_MAX
            && let Some(place) = section.place("daemon")
        {
            section
                .findings
                .push(too_many("daemons", DAEMONS_MAX, place));
        }
        let peers: usize = sessions.iter().map(|sessions| sessions.peers.len()).sum();
        if peers.saturating_mul(polls) > ROWS_MAX
            && let Some(place) = section.place("session")
        {
            let problem = Problem::TooMany {
                what: format!("{peers} sessions at {polls} polls are too many"),
                max: format!("{ROWS_MAX} rows"),
            };
            section.findings.push(Diagnostic::new(problem).at(place));
        }
        let script = Script {
            interval,
            polls,
            release,
            missed: missed.into_iter().filter(|&poll| poll < polls).collect(),
            restarts: restarts.into_iter().filter(|&poll| poll < polls).collect(),
            server,
            sessions,
            daemons,
            strikes: strikes.concat(),
            bans: bans.concat(),
            acts,
        };
        Parts { script, nodes }
    }

    fn check_interval(&mut self, script: &Script, place: &Place) {
        let gap_max = self.common.settings.bounds.gap_max;
        if script.interval * 2 > gap_max {
            let help = format!(
                "with `gap_max` at {} it is at most half of that, or one missed poll would drop everything",
                format_duration(gap_max)
            );
            let value = format_duration(script.interval);
            let finding = out_of_bounds("interval", &value, place.clone(), help);
            self.findings.push(finding);
        }
    }

    /// A count that falls is another session's, which a test has to say.
    fn check_falls(&mut self, script: &Script, nodes: &[Node<'_>]) {
        for (sessions, node) in script.sessions.iter().zip(nodes) {
            for count in Count::ALL.into_iter().filter(|count| count.only_grows()) {
                let Some(series) = &sessions.counts[count as usize] else {
                    continue;
                };
                let falls = (1..script.polls).find(|&poll| {
                    let stays = !sessions.comes(poll) && !script.restarts.contains(&poll);
                    let before = series.at(poll - 1).zip(series.at(poll));
                    stays && before.is_some_and(|(before, now)| now < before)
                });
                if let Some(poll) = falls {
                    let complaint = format!("`{}` falls at poll {poll}", count.key());
                    let help = "it only grows while a session is connected: write `/` where it \
                                comes again, or `_` where it is gone for a poll";
                    self.findings.push(
                        Diagnostic::complaint(complaint)
                            .at(series_place(*node, count))
                            .help(help),
                    );
                }
            }
        }
    }

    fn settings(&self, script: &Script) -> Settings {
        let addresses: Vec<Address> = script.daemons.iter().map(|it| it.address.clone()).collect();
        let default = watch::Settings::default();
        let daemons = match &self.common.daemon {
            Some(daemon) => daemon.settings(addresses),
            None => watch::Settings {
                addresses,
                ..default.clone()
            },
        };
        Settings {
            daemons: watch::Settings {
                // As the configuration has it, if probes are as far apart as polls.
                fresh_max: daemons.fresh_max.max(script.interval * 3),
                ..daemons
            },
            slots: script.server.slots.or(self.common.settings.slots),
            ..self.common.settings.clone()
        }
    }
}

/// Where a session's series stands.
fn series_place(node: Node<'_>, count: Count) -> Place {
    let table = Table::of(node, "session", "a session").ok();
    let entries = table.map(|table| table.entries()).unwrap_or_default();
    let mut entries = entries.into_iter();
    let own = entries.find(|entry| entry.name == count.key());
    own.map_or_else(|| node.place(), |entry| entry.node.place())
}

/// The name, if it is one, and where it stands.
struct Named(Option<(String, Place)>);

impl Named {
    fn unzip_or(self, place: Place) -> (Option<String>, Place) {
        match self.0 {
            Some((name, place)) => (Some(name), place),
            None => (None, place),
        }
    }
}

/// A table of which keys are taken; who holds it tells what is left.
struct Taking<'a, 't> {
    table: &'a mut Table<'t>,
    findings: &'a mut Findings,
}

impl<'t> Taking<'_, 't> {
    fn value<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl Fn(Node<'_>, &'static str) -> Read<T>,
    ) -> T {
        let read = self.table.take(key).map(|entry| read(entry.node, key));
        read.and_then(|read| self.findings.accept(read))
            .unwrap_or(default)
    }

    fn polls(&mut self, key: &'static str) -> BTreeSet<usize> {
        let entry = self.table.take(key);
        entry.map_or_else(BTreeSet::new, |entry| polls(entry.node, key, self.findings))
    }

    fn each<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(Node<'t>, &mut Findings) -> Option<T>,
    ) -> Vec<T> {
        let Some(entry) = self.table.take(key) else {
            return Vec::new();
        };
        let nodes = tables(entry.node, key, self.findings);
        let read = nodes
            .into_iter()
            .filter_map(|node| read(node, self.findings));
        read.collect()
    }

    fn place(&mut self, key: &'static str) -> Option<Place> {
        self.table.take(key).map(|entry| entry.key)
    }
}
