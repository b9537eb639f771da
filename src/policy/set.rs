//! A set of policies with its lists: from TOML text to what the engine evaluates.
//!
//! [`check`] is pure; only [`super::load`] reads files.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::bounds::{
    BACKOFF_MAX, BACKOFF_RESET, COOLDOWN, COOLDOWN_DEFAULT, HOLD, LIST_ENTRIES_DEFAULT,
    LIST_ENTRIES_MAX, POLICIES_MAX, POLICY_FILE_SIZE_MAX, WINDOW, WINDOW_DEFAULT, duration,
    strict_quota,
};
use super::condition::{self, Context, Places};
use super::diagnostic::{Diagnostic, Findings, Problem, closest};
use super::list::{AddressSet, List, ListFile};
use super::registry::{Lists, bad_name, count, fill_from_file, is_name, size, too_many_entries};
use super::source::{Place, Source, Text, word};
use super::table::{Entry, Node, Table, listed};
use super::{ActionKind, Backoff, ListId, Members, Mode, Policy, Test, action, lint, syntax};
use ipnet::IpNet;

use crate::field::Scope;
use crate::units;

/// Policies and the lists that they use.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    /// In the order of the files, and within a file as written.
    pub policies: Vec<Policy>,
    pub(super) lists: Vec<List>,
    pub(super) files: Vec<ListFile>,
    /// Where each policy stands.
    pub(super) origins: Vec<Origin>,
    entries_max: usize,
}

/// Where a policy and its parts stand.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) name: Place,
    pub(super) when: Places,
    pub(super) unless: Places,
    pub(super) at_once: Places,
    pub(super) window: Option<Place>,
    pub(super) members: Option<Place>,
}

/// What came of checking.
#[derive(Debug)]
pub struct Checked {
    /// The set, if there is no error.
    pub set: Option<PolicySet>,
    /// Errors and warnings, file by file from top to bottom.
    pub diagnostics: Vec<Diagnostic>,
    /// How many policy files were read.
    pub files: usize,
}

/// Reads a list file, whose path is resolved against its policy file's folder.
pub type ReadList<'r> = dyn FnMut(&Path) -> io::Result<String> + 'r;

impl PolicySet {
    /// Replaces the addresses that policies name, for recordings with others in their place.
    pub fn map_addresses(&mut self, to: impl Fn(IpNet) -> IpNet) {
        for list in &mut self.lists {
            let addresses = list.addresses.as_ref();
            list.addresses = addresses.map(|addresses| addresses.mapped(&to));
        }
    }

    /// The policy of that name.
    pub fn named(&self, name: &str) -> Option<&Policy> {
        let mut policies = self.policies.iter();
        policies.find(|policy| *policy.name == *name)
    }

    /// The names of the policies, in their order.
    pub fn names(&self) -> impl Iterator<Item = Arc<str>> {
        self.policies.iter().map(|policy| policy.name.clone())
    }

    /// How far back a recording is judged to know how the policies stand at a moment of it: for the
    /// windows, for how long tests have held, for the cooldowns and how long heights have stood still.
    pub fn looks_back(&self) -> Duration {
        const AT_LEAST: Duration = Duration::from_hours(6);
        let back = |policy: &Policy| {
            let tables = policy
                .when
                .any
                .iter()
                .chain(policy.unless.iter().flat_map(|it| &it.any));
            let waits = tables.flat_map(|table| &table.tests).map(Test::waits);
            let waits = waits.max().unwrap_or_default();
            let parts = [policy.window, policy.hold, policy.cooldown, waits];
            parts
                .into_iter()
                .fold(Duration::ZERO, Duration::saturating_add)
        };
        let back = self.policies.iter().map(back);
        back.max().unwrap_or_default().max(AT_LEAST)
    }

    /// Whether any policy names addresses.
    pub fn names_addresses(&self) -> bool {
        let addresses = self.lists.iter().filter_map(|list| list.addresses.as_ref());
        addresses.flat_map(AddressSet::nets).next().is_some()
    }

    /// A list.
    ///
    /// # Panics
    ///
    /// If the ID is of another set.
    pub fn list(&self, id: ListId) -> &List {
        &self.lists[id.0]
    }

    /// The lists that are read from files.
    pub fn list_files(&self) -> &[ListFile] {
        &self.files
    }

    /// Takes the new text of a list file. With an error the list stays as it was.
    pub fn reload_list(&mut self, id: ListId, text: String) -> Result<(), Vec<Diagnostic>> {
        let mut findings = Findings::default();
        let Some(file) = self.files.iter().find(|file| file.id == id) else {
            return Ok(());
        };
        let old = &self.lists[id.0];
        let mut new = List {
            name: old.name.clone(),
            texts: old.texts.as_ref().map(|_| HashSet::default()),
            addresses: old.addresses.as_ref().map(|_| AddressSet::default()),
            entries: 0,
            version: old.version + 1,
        };
        fill_from_file(&mut new, &file.path, text, None, &mut findings);
        let others: usize = self.lists.iter().map(List::entries).sum::<usize>() - old.entries;
        if others + new.entries > self.entries_max {
            let total = others + new.entries;
            findings.push(too_many_entries(total, self.entries_max));
        }
        if findings.has_errors() {
            return Err(findings.into_sorted(&[]));
        }
        self.lists[id.0] = new;
        Ok(())
    }
}

/// Checks policy files together: all mistakes of all of them at once.
pub fn check(sources: Vec<Source>, read: &mut ReadList<'_>) -> Checked {
    check_within(sources, read, LIST_ENTRIES_DEFAULT)
}

/// As [`check`], with another bound on the entries of all lists; see
/// [`super::bounds::LIST_ENTRIES_MAX`].
pub fn check_within(sources: Vec<Source>, read: &mut ReadList<'_>, entries_max: usize) -> Checked {
    let mut findings = Findings::default();
    let texts: Vec<_> = sources.into_iter().map(Text::new).collect();
    let set = read_all(&texts, read, entries_max, &mut findings);
    let set = (!findings.has_errors()).then_some(set);
    let names: Vec<_> = texts.iter().map(|text| text.name.as_str()).collect();
    Checked {
        files: texts.len(),
        set,
        diagnostics: findings.into_sorted(&names),
    }
}

fn read_all(
    texts: &[Arc<Text>],
    read: &mut ReadList<'_>,
    entries_max: usize,
    findings: &mut Findings,
) -> PolicySet {
    let documents: Vec<_> = texts
        .iter()
        .filter_map(|text| Document::parse(text, findings))
        .collect();
    let mut lists = Lists::default();
    let mut tables = Vec::new();
    // Lists serve all files, so they are read before any policy.
    for document in &documents {
        document.read(&mut lists, &mut tables, findings);
    }
    let broken = documents
        .iter()
        .any(|document| !document.broken_at.is_empty());
    lists.assume_unknown(broken);
    let mut policies = Vec::new();
    let mut origins = Vec::new();
    let mut names = HashMap::new();
    if let Some(node) = tables.get(POLICIES_MAX) {
        findings.push(
            Diagnostic::new(Problem::TooMany {
                what: format!("the set has {} policies", count(tables.len())),
                max: count(POLICIES_MAX),
            })
            .at(node.place()),
        );
    }
    for &node in tables.iter().take(POLICIES_MAX) {
        if let Some((policy, origin)) = policy(node, &mut lists, &mut names, findings) {
            policies.push(policy);
            origins.push(origin);
        }
    }
    let (lists, files) = lists.build(read, entries_max, findings);
    let set = PolicySet {
        policies,
        lists,
        files,
        origins,
        entries_max: entries_max.min(LIST_ENTRIES_MAX),
    };
    lint::all(&set, findings);
    set
}

/// A parsed file.
pub(crate) struct Document<'t> {
    pub(crate) text: &'t Arc<Text>,
    pub(crate) root: toml::Spanned<DeTable<'t>>,
    /// Where the syntax is wrong.
    pub(crate) broken_at: Vec<usize>,
}

impl<'t> Document<'t> {
    pub(crate) fn parse(text: &'t Arc<Text>, findings: &mut Findings) -> Option<Self> {
        if text.body.len() > POLICY_FILE_SIZE_MAX {
            findings.push(Diagnostic::new(Problem::TooMany {
                what: format!("`{}` is too large", word(&text.name)),
                max: size(POLICY_FILE_SIZE_MAX),
            }));
            return None;
        }
        let (root, errors) = DeTable::parse_recoverable(&text.body);
        let mut broken_at = Vec::new();
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let (finding, span) = syntax::explain(&text.body, span, error.message());
            broken_at.push(span.start);
            let text = Arc::clone(text);
            findings.push(finding.at(Place { text, span }));
        }
        Some(Self {
            text,
            root,
            broken_at,
        })
    }

    /// Reads the lists, and finds the policies' tables.
    fn read<'s>(&'s self, lists: &mut Lists, policies: &mut Vec<Node<'s>>, findings: &mut Findings)
    where
        't: 's,
    {
        let place = Place {
            text: Arc::clone(self.text),
            span: 0..0,
        };
        let table = self.root.get_ref();
        let mut root = Table::new(self.text, table, place, "a policy file");
        if let Some(entry) = root.take("lists")
            && !self.broken_within(&entry.node, None)
        {
            lists.define(entry.node, findings);
        }
        if let Some(entry) = root.take("policy") {
            self.find_policies(&entry, policies, findings);
        }
        if let Some(entry) = root.take("server") {
            findings.push(
                Diagnostic::new(Problem::Configuration)
                    .at(entry.key)
                    .help("name it with `--config`"),
            );
            return;
        }
        let is_test = |entry: &Entry<'_>| entry.name == "test";
        if let Some(entry) = root.entries().into_iter().find(is_test) {
            findings.push(
                Diagnostic::new(Problem::Tests { wanted: "policies" })
                    .at(entry.key)
                    .help("run them with `electrumx-warden test`"),
            );
            return;
        }
        if self.broken_at.is_empty() {
            root.finish(
                &[
                    ("list", "lists"),
                    ("policies", "policy"),
                    ("rule", "policy"),
                ],
                findings,
            );
        }
    }

    fn find_policies<'s>(
        &'s self,
        entry: &Entry<'s>,
        policies: &mut Vec<Node<'s>>,
        findings: &mut Findings,
    ) {
        let DeValue::Array(array) = entry.node.get() else {
            findings.push(
                entry
                    .node
                    .wrong_type("`policy`", "an array of tables")
                    .help("write `[[policy]]`, with two brackets"),
            );
            return;
        };
        let nodes: Vec<_> = array.iter().map(|value| entry.node.with(value)).collect();
        for (i, node) in nodes.iter().enumerate() {
            let next = nodes.get(i + 1).map(|next| next.value.span().start);
            if !matches!(node.get(), DeValue::Table(_)) {
                findings.push(
                    node.wrong_type("a policy", "a table")
                        .help("write `[[policy]]`, then its keys below"),
                );
            } else if !self.broken_within(node, next) {
                policies.push(*node);
            }
        }
    }

    /// Whether the syntax is wrong between a table's header and the next one's: what the parser
    /// made of it is then not what was meant.
    pub(crate) fn broken_within(&self, node: &Node<'_>, next: Option<usize>) -> bool {
        let end = next.unwrap_or(self.text.body.len());
        let start = node.value.span().start;
        self.broken_at.iter().any(|at| (start..=end).contains(at))
    }
}

const SCOPE_FORM: &str = "say what it looks at: `scope = \"session\"`; the scopes are `server`, \
                          `session`, `address`, `subnet`, `group` and `client`";
const WHEN_FORM: &str = "say what must hold: `when = { sent_rate = \"> 1 MiB/s\" }`; \
                         `electrumx-warden fields` lists what can be tested";
const ACTION_FORM: &str = "say what to do: `action = \"alert\"`, `\"disconnect\"`, `{ ban = { for = \"10m\" \
                           } }`, `{ log = { for = \
                           \"10m\" } }` or `{ daemon_url = { to = \"best\" } }`";

const SYNONYMS: &[(&str, &str)] = &[
    ("description", "about"),
    ("comment", "about"),
    ("if", "when"),
    ("where", "when"),
    ("except", "unless"),
    ("hold", "for"),
    ("duration", "for"),
    ("then", "action"),
    ("actions", "action"),
    ("cool-down", "cooldown"),
    ("rate-limit", "limit"),
    ("private", "include_private"),
    ("immediately", "at_once"),
    ("now", "at_once"),
    ("back-off", "backoff"),
];

fn policy(
    node: Node<'_>,
    lists: &mut Lists,
    names: &mut HashMap<String, Place>,
    findings: &mut Findings,
) -> Option<(Policy, Origin)> {
    let mut table = findings.accept(Table::of(node, "policy", "a policy"))?;
    let name = table
        .require(
            "name",
            "give it a name of its own: `name = \"slow-clients\"`",
        )
        .and_then(|entry| policy_name(&entry, names, findings));
    let about = table.take("about").map(|entry| about(&entry, findings));
    let scope = table
        .require("scope", SCOPE_FORM)
        .and_then(|entry| scope(&entry, findings));
    let mut times = |key, default, bounds| match table.take(key) {
        None => Some((default, None)),
        Some(entry) => findings
            .accept(duration(entry.node, key, bounds))
            .map(|duration| (duration, Some(entry.key))),
    };
    let window = times("window", WINDOW_DEFAULT, &WINDOW);
    let hold = times("for", Duration::ZERO, &HOLD);
    let cooldown = times("cooldown", COOLDOWN_DEFAULT, &COOLDOWN);
    let backoff = match table.take("backoff") {
        None => Some(None),
        Some(entry) => backoff(&entry, hold.as_ref().map(|(hold, _)| *hold), findings).map(Some),
    };
    let limit = match table.take("limit") {
        None => Some(None),
        Some(entry) => findings.accept(strict_quota(entry.node, "limit")).map(Some),
    };
    let mode = match table.take("mode") {
        None => Some(Mode::Enforce),
        Some(entry) => mode(&entry, findings),
    };
    let include_private = match table.take("include_private") {
        None => Some(false),
        Some(entry) => include_private(&entry, scope, findings),
    };
    let members_entry = table.take("members");
    let members_place = members_entry.as_ref().map(|entry| entry.node.place());
    let members = match members_entry {
        None => Some(Members::Guilty),
        Some(entry) => members(&entry, scope, findings),
    };
    let when = table.require("when", WHEN_FORM);
    let at_once = table.take("at_once");
    let unless = table.take("unless");
    let action = table
        .require("action", ACTION_FORM)
        .and_then(|entry| action::read(entry.node, scope, findings));
    table.finish(SYNONYMS, findings);

    // Which fields there are follows from the scope.
    let scope = scope?;
    let mut context = Context {
        scope,
        lists,
        findings,
    };
    let when = when.and_then(|entry| condition::read(&entry, &mut context));
    let mut maybe = |entry: Option<Entry<'_>>| match entry {
        None => Some(None),
        Some(entry) => condition::read(&entry, &mut context).map(Some),
    };
    let at_once = maybe(at_once);
    let unless = maybe(unless);
    let (name, name_place) = name?;
    let (when, when_places) = when?;
    let (at_once, at_once_places) = at_once?.unzip();
    let (unless, unless_places) = unless?.unzip();
    let (window, window_place) = window?;
    let (action, further) = action?;
    let cooldown = match cooldown? {
        // As long as slots are short, each poll may find somebody else.
        (_, None) if action.kind() == ActionKind::Evict => Duration::ZERO,
        (cooldown, _) => cooldown,
    };
    let policy = Policy {
        name,
        about: about.unwrap_or(Some(String::new()))?,
        scope,
        when,
        unless,
        window,
        hold: hold?.0,
        at_once,
        backoff: backoff?,
        action,
        further,
        cooldown,
        limit: limit?,
        mode: mode?,
        include_private: include_private?,
        members: members?,
    };
    let origin = Origin {
        name: name_place,
        when: when_places,
        unless: unless_places.unwrap_or_default(),
        at_once: at_once_places.unwrap_or_default(),
        window: window_place,
        members: members_place,
    };
    Some((policy, origin))
}

/// `hold` is the policy's own, if that could be read.
fn backoff(entry: &Entry<'_>, hold: Option<Duration>, findings: &mut Findings) -> Option<Backoff> {
    const FORM: &str = "write `{ max = \"1h\", reset = \"24h\" }`";
    let table = Table::of(entry.node, "backoff", "`backoff`");
    let mut table = findings.accept(table.map_err(|finding| finding.help(FORM)))?;
    let max = table.require("max", FORM);
    let reset = table.require("reset", FORM);
    table.finish(
        &[("cap", "max"), ("limit", "max"), ("after", "reset")],
        findings,
    );
    let mut read = |entry: Option<Entry<'_>>, key, bounds| {
        let entry = entry?;
        let duration = findings.accept(duration(entry.node, key, bounds))?;
        Some((duration, entry.node.place()))
    };
    let max = read(max, "max", &BACKOFF_MAX);
    let reset = read(reset, "reset", &BACKOFF_RESET);
    if hold == Some(Duration::ZERO) {
        let complaint = "`backoff` doubles `for`, and there is none".to_owned();
        findings.push(
            Diagnostic::complaint(complaint)
                .at(entry.key.clone())
                .help("add how long `when` must hold, such as `for = \"5m\"`"),
        );
        return None;
    }
    let ((max, max_place), (reset, _)) = (max?, reset?);
    if hold.is_some_and(|hold| max < hold) {
        let hold = units::format_duration(hold.unwrap_or_default());
        findings.push(
            Diagnostic::complaint("`max` is shorter than the policy's `for`".to_owned())
                .at(max_place)
                .help(format!(
                    "`for` is {hold}, and only grows: make `max` as long or longer"
                )),
        );
        return None;
    }
    Some(Backoff { max, reset })
}

fn policy_name(
    entry: &Entry<'_>,
    names: &mut HashMap<String, Place>,
    findings: &mut Findings,
) -> Option<(Arc<str>, Place)> {
    let written = findings.accept(entry.node.string("name", "write it in quotes"))?;
    let place = written.whole();
    if !is_name(written.text) {
        findings.push(bad_name(written.text, "a policy", place));
        return None;
    }
    if let Some(first) = names.get(written.text) {
        let what = "policy";
        let name = written.text.to_owned();
        findings.push(
            Diagnostic::new(Problem::Duplicate { what, name })
                .at(place)
                .also(
                    first.clone(),
                    format!("`{}` is defined here first", written.text),
                )
                .help("the journal tells policies by their names: rename one"),
        );
        return None;
    }
    names.insert(written.text.to_owned(), place.clone());
    Some((Arc::from(written.text), place))
}

fn about(entry: &Entry<'_>, findings: &mut Findings) -> Option<String> {
    let written = findings.accept(entry.node.string("about", "write it in quotes"))?;
    // It is shown in tables and logs.
    Some(
        written
            .text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" "),
    )
}

fn scope(entry: &Entry<'_>, findings: &mut Findings) -> Option<Scope> {
    const HELP: &str = "write it as `\"session\"`";
    let written = findings.accept(entry.node.string("scope", HELP))?;
    if let Some(scope) = Scope::named(written.text) {
        return Some(scope);
    }
    let names = Scope::ALL.map(Scope::name);
    let close = match written.text {
        "ip" | "peer" | "host" => Some("address"),
        "user" | "user_agent" => Some("client"),
        "connection" => Some("session"),
        "network" | "net" | "cidr" => Some("subnet"),
        other => closest(other, names),
    };
    let help = match close {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("the scopes are {}", listed(&names)),
    };
    findings.push(unknown_word("scope", written.text, entry.node.place()).help(help));
    // The rest of the policy is read as if it were the likely one, to tell all mistakes at once.
    close.and_then(Scope::named)
}

pub(crate) fn mode(entry: &Entry<'_>, findings: &mut Findings) -> Option<Mode> {
    const HELP: &str = "the modes are `\"enforce\"`, `\"dry-run\"` and `\"off\"`";
    let written = findings.accept(entry.node.string("mode", HELP))?;
    let modes = [Mode::Enforce, Mode::DryRun, Mode::Off];
    let mode = modes
        .into_iter()
        .find(|mode| mode.to_string() == written.text);
    if mode.is_none() {
        let close = match written.text {
            "on" | "live" | "active" => Some("enforce"),
            "disabled" | "none" => Some("off"),
            "test" | "warn" | "log" | "watch" => Some("dry-run"),
            other => closest(other, ["enforce", "dry-run", "off"]),
        };
        let help = close.map_or(HELP.to_owned(), |close| format!("did you mean `{close}`?"));
        findings.push(unknown_word("mode", written.text, entry.node.place()).help(help));
    }
    mode
}

pub(crate) fn unknown_word(what: &'static str, text: &str, place: Place) -> Diagnostic {
    let word = word(text);
    Diagnostic::new(Problem::UnknownWord { what, word }).at(place)
}

fn include_private(
    entry: &Entry<'_>,
    scope: Option<Scope>,
    findings: &mut Findings,
) -> Option<bool> {
    let DeValue::Boolean(include) = entry.node.get() else {
        let finding = entry
            .node
            .wrong_type("`include_private`", "`true` or `false`");
        findings.push(finding.help("write it without quotes"));
        return None;
    };
    if let Some(scope) = scope
        && !matches!(scope, Scope::Address | Scope::Subnet)
    {
        let help = match scope {
            Scope::Session => {
                "only `address` and `subnet` leave private peers out: test the field `private`"
            }
            _ => "only `address` and `subnet` leave private peers out: remove it",
        };
        let scope = scope.name();
        findings.push(
            Diagnostic::new(Problem::IncludePrivate { scope })
                .at(entry.key.clone())
                .help(help),
        );
        return None;
    }
    Some(*include)
}

fn members(entry: &Entry<'_>, scope: Option<Scope>, findings: &mut Findings) -> Option<Members> {
    const HELP: &str = "write `\"all\"`; left out, the sessions that did it";
    let written = findings.accept(entry.node.string("members", HELP))?;
    let members = match written.text {
        "all" => Members::All,
        "guilty" => Members::Guilty,
        other => {
            let finding = unknown_word("choice of members", other, entry.node.place());
            findings.push(finding.help(HELP));
            return None;
        }
    };
    if let Some(scope @ (Scope::Server | Scope::Session)) = scope {
        let problem = Problem::Members {
            scope: scope.name(),
        };
        let finding = Diagnostic::new(problem).at(entry.key.clone());
        findings.push(finding.help("its targets have no members: remove it"));
        return None;
    }
    Some(members)
}
