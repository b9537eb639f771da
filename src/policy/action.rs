//! Reading what a policy wants done.

use std::sync::Arc;

use toml::de::DeValue;

use super::bounds::{LOG_FOR, duration};
use super::diagnostic::{Diagnostic, Findings, Problem, closest};
use super::source::word;
use super::table::{Entry, Node, Table};
use super::{Action, ActionKind, DaemonTarget};
use crate::field::Scope;

const KINDS: [&str; 4] = ["disconnect", "log", "daemon_url", "alert"];

const FORMS: &str = "write `\"disconnect\"`, `\"alert\"`, `{ log = { for = \"10m\" } }` or \
                     `{ daemon_url = { to = \"default\" } }`";
const LOG_FORM: &str = "say for how long: `{ log = { for = \"10m\" } }`";
const DAEMON_URL_FORM: &str = "say where to: `{ daemon_url = { to = \"default\" } }`, or \
                               `{ env = \"NAME\" }` or `{ file = \"urls.txt\" }` in place of \
                               `\"default\"`";

/// Reads an action that goes with `scope`, if that is known.
pub(super) fn read(
    node: Node<'_>,
    scope: Option<Scope>,
    findings: &mut Findings,
) -> Option<Action> {
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
        ActionKind::Disconnect | ActionKind::Log if server => {
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
        "log" => lacks("for", "`log`", LOG_FORM),
        "daemon_url" => lacks("to", "`daemon_url`", DAEMON_URL_FORM),
        other => Err(unknown(other).at(node.place())),
    }
}

fn unknown(name: &str) -> Diagnostic {
    let close = match name.to_lowercase().as_str() {
        "kick" | "drop" | "ban" | "close" | "kill" => Some("disconnect"),
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
        "log" => log(*settings, findings),
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

fn log(node: Node<'_>, findings: &mut Findings) -> Option<Action> {
    let table = Table::of(node, "log", "`log`").map_err(|finding| finding.help(LOG_FORM));
    let mut table = findings.accept(table)?;
    let span = table.require("for");
    table.finish(&[("duration", "for"), ("time", "for")], findings);
    let duration = findings.accept(duration(span?.node, "for", &LOG_FOR))?;
    Some(Action::Log { duration })
}

fn daemon_url(node: Node<'_>, findings: &mut Findings) -> Option<Action> {
    if let Some(written) = node.as_written() {
        findings.push(match written.text {
            "default" => {
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
    let to = table.require("to");
    table.finish(&[("url", "to"), ("urls", "to"), ("target", "to")], findings);
    let to = target(to?.node, findings)?;
    Some(Action::DaemonUrl { to })
}

fn inline_url(node: Node<'_>) -> Diagnostic {
    Diagnostic::new(Problem::InlineUrl).at(node.place()).help(
        "URLs hold the daemon's password, and policy files are shared: write `to = \"default\"` \
         for the server's own, `to = { env = \"NAME\" }` or `to = { file = \"urls.txt\" }`",
    )
}

fn target(node: Node<'_>, findings: &mut Findings) -> Option<DaemonTarget> {
    if let Some(written) = node.as_written() {
        if written.text == "default" {
            return Some(DaemonTarget::Default);
        }
        // A word that is nearly the right one is no URL; anything else may be, and is not echoed.
        let plain = written.text.chars().all(char::is_alphabetic);
        findings.push(match closest(written.text, ["default"]) {
            Some(close) if plain => {
                let what = "daemon target";
                let word = word(written.text);
                Diagnostic::new(Problem::UnknownWord { what, word })
                    .at(node.place())
                    .help(format!("did you mean `{close}`?"))
            }
            _ => inline_url(node),
        });
        return None;
    }
    let table = Table::of(node, "to", "`to`");
    let mut table = findings.accept(table.map_err(|finding| finding.help(DAEMON_URL_FORM)))?;
    let env = table.take("env");
    let file = table.take("file");
    let place = table.place();
    let both = env.is_some() && file.is_some();
    table.finish(
        &[("path", "file"), ("environment", "env"), ("var", "env")],
        findings,
    );
    match (env, file) {
        (Some(env), None) => findings.accept(env_name(env.node)).map(DaemonTarget::Env),
        (None, Some(file)) => {
            let written = findings.accept(file.node.string("file", "write a path"))?;
            if written.text.contains("://") || written.text.contains('@') {
                findings.push(inline_url(file.node));
                return None;
            }
            let path = file.node.text.path(written.text);
            Some(DaemonTarget::File(Arc::from(path.to_string_lossy())))
        }
        _ => {
            let found = match (both, node.is_empty_table()) {
                (true, _) => "both",
                (false, true) => "neither",
                // Of another key there is a finding already.
                (false, false) => return None,
            };
            let problem = Problem::WrongType {
                what: "`to`".to_owned(),
                wanted: "either `env` or `file`",
                found,
            };
            findings.push(Diagnostic::new(problem).at(place).help(DAEMON_URL_FORM));
            None
        }
    }
}

fn env_name(node: Node<'_>) -> Result<Arc<str>, Diagnostic> {
    let written = node.string("env", "write the name of an environment variable")?;
    let name = written.text;
    if name.contains("://") || name.contains('@') {
        return Err(inline_url(node));
    }
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |c: char| first(c) || c.is_ascii_digit();
    if name.len() <= 128 && name.starts_with(first) && name.chars().all(rest) {
        return Ok(Arc::from(name));
    }
    let problem = Problem::BadName {
        name: word(name),
        what: "an environment variable",
    };
    Err(Diagnostic::new(problem)
        .at(node.place())
        .help("such names have letters, digits and `_`, without a `$`"))
}
