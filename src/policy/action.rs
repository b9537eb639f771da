//! Reading what a policy wants done.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeArray, DeTable, DeValue};

use super::bounds::{
    BAN_FOR, DAEMONS_MAX, LOG_FOR, RUNGS_MAX, bad_quantity, duration, out_of_bounds,
};
use super::diagnostic::{Diagnostic, Findings, Problem, closest};
use super::source::{Place, word};
use super::table::{Entry, Node, Table};
use super::{Action, ActionKind, DaemonTarget};
use crate::daemon::Address;
use crate::field::{Dimension, Scope};
use crate::slots::Part;
use crate::units;

const KINDS: [&str; 6] = ["disconnect", "ban", "evict", "log", "daemon_url", "alert"];

const FORMS: &str = "write `\"disconnect\"`, `\"alert\"`, `{ ban = { for = \"10m\" } }`, `{ evict = { \
                     keep_free = \"5%\" } }`, `{ log = { for = \"10m\" } }` or `{ daemon_url = { to = \
                     \"best\" } }`";
const BAN_FORM: &str = "say for how long: `{ ban = { for = \"10m\" } }`";
const LADDER_FORM: &str = "a ladder is of `\"disconnect\"` and `{ ban = { for = \"10m\" } }`: one strike \
                           leads to the next rung";
const EVICT_FORM: &str = "say how many of the server's slots are to be free: `{ evict = { keep_free = \
                          \"5%\" } }`";
const LOG_FORM: &str = "say for how long: `{ log = { for = \"10m\" } }`";
const DAEMON_URL_FORM: &str = "say where to: `{ daemon_url = { to = \"best\" } }`, or \
                               `\"primary\"`, `\"default\"` or an array of daemons in place of \
                               `\"best\"`";
const TARGETS: [&str; 3] = ["primary", "best", "default"];
const TARGET_FORMS: &str = "write `to = \"primary\"`, `\"best\"`, `\"default\"` (the server's own \
                            list) or `[\"10.0.0.2:8332\"]` (host and port of each)";
const IN_CONFIGURATION: &str = "the URLs belong to `[server.daemon]` of the configuration";

/// Reads an action that goes with `scope`, if that is known; or a ladder, its first rung apart.
pub(super) fn read(
    node: Node<'_>,
    scope: Option<Scope>,
    findings: &mut Findings,
) -> Option<(Action, Vec<Action>)> {
    match node.get() {
        DeValue::Array(rungs) => ladder(node, rungs, scope, findings),
        _ => Some((one(node, scope, findings)?, Vec::new())),
    }
}

fn ladder(
    node: Node<'_>,
    rungs: &DeArray<'_>,
    scope: Option<Scope>,
    findings: &mut Findings,
) -> Option<(Action, Vec<Action>)> {
    if rungs.is_empty() {
        let problem = Problem::WrongType {
            what: "`action`".to_owned(),
            wanted: "an action or several",
            found: "an empty array",
        };
        findings.push(Diagnostic::new(problem).at(node.place()).help(FORMS));
        return None;
    }
    if let Some(beyond) = rungs.get(RUNGS_MAX) {
        let problem = Problem::TooMany {
            what: format!("`action` has {} rungs", rungs.len()),
            max: RUNGS_MAX.to_string(),
        };
        findings.push(Diagnostic::new(problem).at(node.with(beyond).place()));
        return None;
    }
    let mut before: Option<(Action, Place)> = None;
    let mut read = Vec::with_capacity(rungs.len());
    let mut is_good = true;
    for rung in rungs {
        let node = node.with(rung);
        let action = one(node, scope, findings);
        let fits = action.filter(|action| {
            findings
                .accept(follows(action, &node, before.as_ref(), rungs.len()))
                .is_some()
        });
        is_good &= fits.is_some();
        if let Some(action) = fits {
            before = Some((action.clone(), node.place()));
            read.push(action);
        }
    }
    let further = read.split_off(1.min(read.len()));
    is_good.then_some((read.pop()?, further))
}

/// Whether a rung may stand in a ladder of `rungs`, above the one `before`.
fn follows(
    action: &Action,
    node: &Node<'_>,
    before: Option<&(Action, Place)>,
    rungs: usize,
) -> Result<(), Diagnostic> {
    if rungs > 1 && !action.kind().blames() {
        let complaint = format!("`{}` is no rung of a ladder", action.kind());
        let help = format!(
            "{LADDER_FORM}; write another policy for `{}`",
            action.kind()
        );
        return Err(Diagnostic::complaint(complaint).at(node.place()).help(help));
    }
    match before {
        Some((milder, place)) if severity(action) < severity(milder) => {
            Err(Diagnostic::new(Problem::FallingLadder)
                .at(node.place())
                .also(place.clone(), "this comes before it")
                .help("whoever does it again is not treated more mildly: put the rungs in order"))
        }
        _ => Ok(()),
    }
}

/// A rung's height: for how long it keeps somebody out.
const fn severity(action: &Action) -> Duration {
    match action {
        Action::Ban { duration } => *duration,
        _ => Duration::ZERO,
    }
}

fn one(node: Node<'_>, scope: Option<Scope>, findings: &mut Findings) -> Option<Action> {
    let action = match node.get() {
        DeValue::String(_) => findings.accept(bare(node)),
        DeValue::Table(_) => with_settings(node, findings),
        _ => {
            let wanted = "a string or a table";
            findings.push(node.wrong_type("`action`", wanted).help(FORMS));
            None
        }
    }?;
    let server = scope? == Scope::Server;
    let help = match action.kind() {
        ActionKind::DaemonUrl if !server => {
            "it changes the server, not its clients: write `scope = \"server\"`"
        }
        ActionKind::Evict if scope? != Scope::Session => {
            "it chooses among sessions: write `scope = \"session\"`, and `when` for those that may go"
        }
        kind if server && kind.is_done_to_sessions() => {
            "it acts on sessions: choose another scope, or `action = \"alert\"`"
        }
        _ => return Some(action),
    };
    let problem = Problem::ActionScope {
        action: action.kind().name(),
        scope: scope?.name(),
    };
    findings.push(Diagnostic::new(problem).at(node.place()).help(help));
    None
}

fn bare(node: Node<'_>) -> Result<Action, Diagnostic> {
    let written = node.string("action", FORMS)?;
    let lacks = |key, place, help| {
        let problem = Problem::MissingKey { key, place };
        Err(Diagnostic::new(problem).at(node.place()).help(help))
    };
    match written.text {
        "disconnect" => Ok(Action::Disconnect),
        "alert" => Ok(Action::Alert),
        "ban" => lacks("for", "`ban`", BAN_FORM),
        "evict" => lacks("keep_free", "`evict`", EVICT_FORM),
        "log" => lacks("for", "`log`", LOG_FORM),
        "daemon_url" => lacks("to", "`daemon_url`", DAEMON_URL_FORM),
        other => Err(unknown(other).at(node.place())),
    }
}

fn unknown(name: &str) -> Diagnostic {
    let close = match name.to_lowercase().as_str() {
        "kick" | "drop" | "close" | "kill" => Some("disconnect"),
        "block" | "blocklist" | "blacklist" | "jail" => Some("ban"),
        "prune" | "shed" | "free" => Some("evict"),
        "warn" | "notify" | "none" => Some("alert"),
        _ => closest(name, KINDS),
    };
    let help = match close {
        Some(close) => format!("did you mean `{close}`?"),
        None => FORMS.to_owned(),
    };
    let what = "action";
    let word = word(name);
    Diagnostic::new(Problem::UnknownWord { what, word }).help(help)
}

fn with_settings(node: Node<'_>, findings: &mut Findings) -> Option<Action> {
    let table = findings.accept(Table::of(node, "action", "`action`"))?;
    let [
        Entry {
            name,
            key,
            node: settings,
        },
    ] = &table.entries()[..]
    else {
        let (found, help) = if node.is_empty_table() {
            ("none", FORMS)
        } else {
            ("several", "write a policy for each, with the same `when`")
        };
        let problem = Problem::WrongType {
            what: "`action`".to_owned(),
            wanted: "one action",
            found,
        };
        findings.push(Diagnostic::new(problem).at(node.place()).help(help));
        return None;
    };
    match *name {
        "ban" => {
            let duration = span(*settings, ("ban", "`ban`"), BAN_FORM, &BAN_FOR, findings)?;
            Some(Action::Ban { duration })
        }
        "evict" => evict(*settings, findings),
        "log" => {
            let duration = span(*settings, ("log", "`log`"), LOG_FORM, &LOG_FOR, findings)?;
            Some(Action::Log { duration })
        }
        "daemon_url" => daemon_url(*settings, findings),
        kind @ ("disconnect" | "alert") => {
            let problem = Problem::WrongType {
                what: format!("`{kind}`"),
                wanted: "written as a word",
                found: "as a key with settings",
            };
            findings.push(
                Diagnostic::new(problem)
                    .at(key.clone())
                    .help(format!("write `action = \"{kind}\"`")),
            );
            None
        }
        other => {
            findings.push(unknown(other).at(key.clone()));
            None
        }
    }
}

/// The `for` of an action that has nothing else.
fn span(
    node: Node<'_>,
    (key, what): (&str, &'static str),
    form: &'static str,
    bounds: &RangeInclusive<Duration>,
    findings: &mut Findings,
) -> Option<Duration> {
    let table = Table::of(node, key, what).map_err(|finding| finding.help(form));
    let mut table = findings.accept(table)?;
    let span = table.require("for", form);
    table.finish(&[("duration", "for"), ("time", "for")], findings);
    findings.accept(duration(span?.node, "for", bounds))
}

/// The listeners open at a twentieth; half of all slots are for whoever is there.
const KEEP_FREE: RangeInclusive<f64> = 0.05..=0.5;

fn evict(node: Node<'_>, findings: &mut Findings) -> Option<Action> {
    let table = Table::of(node, "evict", "`evict`").map_err(|finding| finding.help(EVICT_FORM));
    let mut table = findings.accept(table)?;
    let keep_free = table.require("keep_free", EVICT_FORM);
    table.finish(&[("free", "keep_free"), ("slots", "keep_free")], findings);
    let keep_free = findings.accept(part(keep_free?.node))?;
    Some(Action::Evict { keep_free })
}

fn part(node: Node<'_>) -> Result<Part, Diagnostic> {
    let written = node.string("keep_free", EVICT_FORM)?;
    let share = units::parse(written.text, Dimension::Share)
        .map_err(|error| bad_quantity(&error, written.part(error.at.clone())))?;
    if KEEP_FREE.contains(&share) {
        return Ok(Part::of(share));
    }
    let help =
        "it is from 5% to 50%: a server that has closed its listeners opens them at 5%".to_owned();
    Err(out_of_bounds(
        "keep_free",
        written.text,
        written.whole(),
        help,
    ))
}

fn daemon_url(node: Node<'_>, findings: &mut Findings) -> Option<Action> {
    if let Some(written) = node.as_written() {
        findings.push(match written.text {
            "primary" | "best" | "default" => {
                let problem = Problem::WrongType {
                    what: "`daemon_url`".to_owned(),
                    wanted: "a table",
                    found: node.kind(),
                };
                Diagnostic::new(problem)
                    .at(node.place())
                    .help(DAEMON_URL_FORM)
            }
            _ => inline_url(node),
        });
        return None;
    }
    let table = Table::of(node, "daemon_url", "`daemon_url`");
    let mut table = findings.accept(table.map_err(|finding| finding.help(DAEMON_URL_FORM)))?;
    let to = table.require("to", DAEMON_URL_FORM);
    table.finish(&[("url", "to"), ("urls", "to"), ("target", "to")], findings);
    let to = target(to?.node, findings)?;
    Some(Action::DaemonUrl { to })
}

fn inline_url(node: Node<'_>) -> Diagnostic {
    Diagnostic::new(Problem::InlineUrl)
        .at(node.place().hidden())
        .help(format!(
            "URLs hold the daemon's password, and policy files are shared: {IN_CONFIGURATION}; here \
             {TARGET_FORMS}"
        ))
}

fn target(node: Node<'_>, findings: &mut Findings) -> Option<DaemonTarget> {
    match node.get() {
        DeValue::String(_) => findings.accept(named(node)),
        DeValue::Array(entries) => list(node, entries, findings),
        DeValue::Table(table) => {
            findings.push(was_named_elsewhere(node, table));
            None
        }
        _ => {
            let wanted = "a word or an array of daemons";
            findings.push(node.wrong_type("`to`", wanted).help(TARGET_FORMS));
            None
        }
    }
}

fn named(node: Node<'_>) -> Result<DaemonTarget, Diagnostic> {
    let text = node.string("to", TARGET_FORMS)?.text;
    let target = match text {
        "primary" => DaemonTarget::Primary,
        "best" => DaemonTarget::Best,
        "default" => DaemonTarget::Default,
        // A word that is nearly the right one is no URL; anything else may be, and is not echoed.
        _ if is_address(text) => {
            let problem = Problem::WrongType {
                what: "`to`".to_owned(),
                wanted: "a word or an array of daemons",
                found: "a daemon alone",
            };
            let help = format!("write `to = [\"{text}\"]`");
            return Err(Diagnostic::new(problem).at(node.place()).help(help));
        }
        _ => match closest(text, TARGETS) {
            Some(close) if text.chars().all(char::is_alphabetic) => {
                let what = "daemon target";
                let word = word(text);
                return Err(Diagnostic::new(Problem::UnknownWord { what, word })
                    .at(node.place())
                    .help(format!("did you mean `{close}`?")));
            }
            _ => return Err(inline_url(node)),
        },
    };
    Ok(target)
}

fn list(node: Node<'_>, entries: &DeArray<'_>, findings: &mut Findings) -> Option<DaemonTarget> {
    if entries.is_empty() {
        let problem = Problem::WrongType {
            what: "`to`".to_owned(),
            wanted: "a word or an array of daemons",
            found: "an empty array",
        };
        let finding = Diagnostic::new(problem).at(node.place());
        findings.push(finding.help(TARGET_FORMS));
        return None;
    }
    if let Some(beyond) = entries.get(DAEMONS_MAX) {
        let problem = Problem::TooMany {
            what: format!("`to` has {} daemons", entries.len()),
            max: DAEMONS_MAX.to_string(),
        };
        findings.push(Diagnostic::new(problem).at(node.with(beyond).place()));
        return None;
    }
    let mut daemons: Vec<(Address, Place)> = Vec::with_capacity(entries.len());
    let mut is_good = true;
    for entry in entries {
        match one_of(node.with(entry), &daemons) {
            Ok(daemon) => daemons.push(daemon),
            Err(finding) => {
                is_good = false;
                findings.push(finding);
            }
        }
    }
    let daemons = daemons.into_iter().map(|(daemon, _)| daemon).collect();
    is_good.then_some(DaemonTarget::List(daemons))
}

/// A daemon in a list, after those `before`.
fn one_of(node: Node<'_>, before: &[(Address, Place)]) -> Result<(Address, Place), Diagnostic> {
    const HELP: &str = "write the daemon's host and port as in `[server.daemon]`, such as \
                        `\"10.0.0.2:8332\"`";
    let written = node
        .as_written()
        .ok_or_else(|| node.wrong_type("a daemon", "a string").help(HELP))?;
    if written.text.contains('@') || written.text.contains("://") {
        return Err(inline_url(node));
    }
    if !is_address(written.text) {
        // What is no host may be a part of a URL, so it is not echoed.
        let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        let place = if written.text.chars().all(is_host) {
            node.place()
        } else {
            node.place().hidden()
        };
        return Err(Diagnostic::new(Problem::BadDaemon).at(place).help(HELP));
    }
    let address = Address::from(written.text);
    if let Some((_, first)) = before.iter().find(|(earlier, _)| *earlier == address) {
        let problem = Problem::Duplicate {
            what: "daemon",
            name: word(&address),
        };
        return Err(Diagnostic::new(problem)
            .at(node.place())
            .also(first.clone(), "it is named here first")
            .help("name each daemon once"));
    }
    Ok((address, node.place()))
}

/// `HOST:PORT`: no scheme, no credentials, no path.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let is_host_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let is_host = match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => (1..=253).contains(&host.len()) && host.chars().all(is_host_char),
    };
    let is_port = port.bytes().all(|digit| digit.is_ascii_digit());
    is_host && is_port && port.parse::<u16>().is_ok_and(|port| port > 0)
}

/// Policies once named the variable or the file that held the URLs.
fn was_named_elsewhere(node: Node<'_>, table: &DeTable<'_>) -> Diagnostic {
    let wrong = node.wrong_type("`to`", "a word or an array of daemons");
    let is_named = |name| table.keys().any(|key| key.get_ref() == name);
    if is_named("env") || is_named("file") {
        wrong.help(format!("{IN_CONFIGURATION}; here {TARGET_FORMS}"))
    } else {
        wrong.help(TARGET_FORMS)
    }
}
