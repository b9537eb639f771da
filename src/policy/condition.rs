//! Reading `when` and `unless`: fields by scope, and what each must be.

use std::sync::Arc;

use toml::de::DeValue;

use super::diagnostic::{Diagnostic, Findings, Problem, closest};
use super::registry::Lists;
use super::source::{Place, word};
use super::table::{Entry, Node, Table, listed};
use super::test::{self, Subject};
use super::{AllOf, Condition, Predicate, Test};
use crate::field::{Field, Kind, Scope};

/// The places of a condition's tests, table by table.
pub(super) type Places = Vec<Vec<Place>>;

/// What a condition is read with.
pub(super) struct Context<'c> {
    pub(super) scope: Scope,
    pub(super) lists: &'c mut Lists,
    pub(super) findings: &'c mut Findings,
}

/// Reads a table (all of it) or an array of tables (any of them); none if anything is wrong.
pub(super) fn read(entry: &Entry<'_>, context: &mut Context<'_>) -> Option<(Condition, Places)> {
    let what = entry.name;
    let nodes = match entry.node.get() {
        DeValue::Table(_) => vec![entry.node],
        DeValue::Array(array) => array.iter().map(|value| entry.node.with(value)).collect(),
        _ => {
            let wanted = "a table, or an array of tables";
            let finding = entry.node.wrong_type(&format!("`{what}`"), wanted);
            context.findings.push(finding.help(format!(
                "write the field and its test: `{what} = {{ sessions = \"> 100\" }}`"
            )));
            return None;
        }
    };
    if nodes.is_empty() {
        context.findings.push(empty(what, entry.node));
        return None;
    }
    // Every table is read before any is given up, so that all mistakes are told.
    let tables: Vec<_> = nodes
        .into_iter()
        .map(|node| all_of(what, node, context))
        .collect();
    let (any, places) = tables
        .into_iter()
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .unzip();
    Some((Condition { any }, places))
}

fn empty(what: &str, node: Node<'_>) -> Diagnostic {
    let help = if what == "unless" {
        "nothing would be left of the policy; leave `unless` out to except nobody"
    } else {
        "every target would meet it; write a test, as in `{ sessions = \"> 100\" }`"
    };
    let what = format!("`{what}`");
    Diagnostic::new(Problem::EmptyCondition { what })
        .at(node.place())
        .help(help)
}

fn all_of(what: &str, node: Node<'_>, context: &mut Context<'_>) -> Option<(AllOf, Vec<Place>)> {
    let table = Table::of(node, what, "a condition");
    let table = context.findings.accept(table)?;
    let mut fields = Vec::new();
    flatten("", None, table.entries(), &mut fields);
    if node.is_empty_table() {
        context.findings.push(empty(what, node));
    }
    let tests: Vec<_> = fields
        .into_iter()
        .map(|named| field_tests(&named, context))
        .collect();
    let tests: Vec<_> = tests.into_iter().collect::<Option<Vec<_>>>()?;
    let (tests, places): (Vec<_>, Vec<_>) = tests.into_iter().flatten().unzip();
    (!tests.is_empty()).then_some((AllOf { tests }, places))
}

/// A field as written, dots and all.
struct Named<'t> {
    name: String,
    key: Place,
    node: Node<'t>,
}

/// Dotted keys are nested tables in TOML: `requests.server.ping` comes out whole here.
fn flatten<'t>(
    prefix: &str,
    outer: Option<&Place>,
    entries: Vec<Entry<'t>>,
    fields: &mut Vec<Named<'t>>,
) {
    for entry in entries {
        let name = format!("{prefix}{}", entry.name);
        let key = outer.map_or(entry.key.clone(), |outer| joined(outer, &entry.key));
        match entry.node.get() {
            DeValue::Table(table) if !table.is_empty() => {
                let inner = Table::new(entry.node.text, table, key.clone(), "a condition");
                flatten(&format!("{name}."), Some(&key), inner.entries(), fields);
            }
            _ => fields.push(Named {
                name,
                key,
                node: entry.node,
            }),
        }
    }
}

/// Both keys as one place, if they stand together.
fn joined(outer: &Place, inner: &Place) -> Place {
    let span = outer.span.start..inner.span.end;
    let together = outer
        .text
        .body
        .get(span.clone())
        .is_some_and(|between| !between.contains(['\n', '{', '=']));
    let text = Arc::clone(&inner.text);
    let span = if together { span } else { inner.span.clone() };
    Place { text, span }
}

/// Reads a field's test, or its array of tests; none if any is wrong.
fn field_tests(named: &Named<'_>, context: &mut Context<'_>) -> Option<Vec<(Test, Place)>> {
    let seen = Field::seen_from(context.scope, &named.name);
    let Some((scope, field)) = seen else {
        let finding = unknown_field(named, context.scope);
        context.findings.push(finding);
        return None;
    };
    let prefix = if scope == context.scope {
        0
    } else {
        scope.name().len() + 1
    };
    let method = field.method(&named.name[prefix..]).map(Arc::from);
    let nodes = match named.node.get() {
        DeValue::Array(array) if array.is_empty() => {
            let what = format!("`{}`", word(&named.name));
            let problem = Problem::EmptyCondition { what };
            context.findings.push(
                Diagnostic::new(problem)
                    .at(named.node.place())
                    .help("leave the field out, or write a test"),
            );
            return None;
        }
        DeValue::Array(array) => array.iter().map(|value| named.node.with(value)).collect(),
        _ => vec![named.node],
    };
    let field_written: Arc<str> = Arc::from(named.name.as_str());
    let subject = Subject {
        field,
        name: &field_written,
        scope,
    };
    let tests: Vec<_> = nodes
        .into_iter()
        .map(|node| {
            let predicate = predicate(subject, node, context)?;
            let written = match node.get() {
                DeValue::Boolean(flag) => flag.to_string(),
                value => value.as_str().unwrap_or_default().trim().to_owned(),
            };
            let test = Test {
                scope,
                field,
                method: method.clone(),
                predicate,
                field_written: Arc::clone(&field_written),
                written: written.into(),
            };
            Some((test, node.place()))
        })
        .collect();
    tests.into_iter().collect()
}

fn predicate(subject: Subject<'_>, node: Node<'_>, context: &mut Context<'_>) -> Option<Predicate> {
    let kind = subject.field.info().kind;
    match (node.get(), kind) {
        (DeValue::Boolean(flag), Kind::Flag) => return Some(Predicate::Is(*flag)),
        (DeValue::String(_), Kind::Number(_) | Kind::Text | Kind::Address | Kind::Version) => {}
        (_, Kind::Flag) => {
            let help = match node.get().as_str() {
                Some("true" | "false") => "write it without quotes",
                _ => "write `true` or `false`",
            };
            let wanted = "`true` or `false`";
            let what = format!("`{}`", word(subject.name));
            context
                .findings
                .push(node.wrong_type(&what, wanted).help(help));
            return None;
        }
        _ => {
            let help = match (node.get(), kind) {
                (DeValue::Integer(number), Kind::Number(_)) => {
                    format!("write `\"> {}\"`", word(number.as_str()))
                }
                (DeValue::Float(number), Kind::Number(_)) => {
                    format!("write `\"> {}\"`", word(number.as_str()))
                }
                (DeValue::Float(number), Kind::Version) => {
                    format!("write `\"== {0}\"` or `\"< {0}\"`", word(number.as_str()))
                }
                _ => format!("write `\"{}\"`, for example", test::example(kind)),
            };
            let what = format!("a test of `{}`", word(subject.name));
            context
                .findings
                .push(node.wrong_type(&what, "a string").help(help));
            return None;
        }
    }
    let written = node.as_written()?;
    let read = test::read(subject, &written, context.lists);
    context.findings.accept(read)
}

fn unknown_field(named: &Named<'_>, scope: Scope) -> Diagnostic {
    let name = named.name.as_str();
    let help = match name.split_once('.') {
        Some((prefix, rest)) => unknown_surrounding(prefix, rest, scope),
        None => None,
    };
    let help = help.unwrap_or_else(|| unknown_own(name, scope));
    let problem = Problem::UnknownField {
        field: word(name),
        scope: scope.name(),
    };
    Diagnostic::new(problem).at(named.key.clone()).help(help)
}

/// What to write in place of a field of the scope's own.
fn unknown_own(name: &str, scope: Scope) -> String {
    let others = scopes_of(name);
    let close = synonym(name)
        .filter(|&synonym| Field::of(scope, synonym).is_some())
        .or_else(|| closest(name, names(scope)));
    if !others.is_empty() {
        let around = scope.surroundings().iter();
        let mut around = around.filter(|around| others.contains(&around.name()));
        let seen = around.next().map(|around| {
            format!("; as a test of what is around the target write `\"{around}.{name}\"`")
        });
        let scopes = listed_scopes(&others);
        format!("it is a field of {scopes}{}", seen.unwrap_or_default())
    } else if let Some(close) = close {
        format!("did you mean `{close}`?")
    } else if let Some(close) = closest(name, Field::ALL.iter().map(|field| field.name())) {
        let scopes = listed_scopes(&scopes_of(close));
        format!("did you mean `{close}`, a field of {scopes}?")
    } else if let Some(around) = Scope::named(name) {
        if scope.surroundings().contains(&around) {
            format!("write a field of it, as in `{around}.pending_requests`")
        } else {
            unseen(around, scope)
        }
    } else {
        format!("`electrumx-warden fields {scope}` lists the fields of this scope")
    }
}

/// What to write in place of `prefix.rest`, if that looks like a field of what is around the targets.
fn unknown_surrounding(prefix: &str, rest: &str, scope: Scope) -> Option<String> {
    let around = scope.surroundings();
    if let Some(named) = Scope::named(prefix) {
        return Some(if named == scope && Field::of(scope, rest).is_some() {
            format!("it is the policy's own scope: write `{}`", word(rest))
        } else if named == scope {
            unknown_own(rest, scope)
        } else if around.contains(&named) {
            unknown_of(named, rest, scope)
        } else {
            unseen(named, scope)
        });
    }
    let close = closest(prefix, around.iter().map(|around| around.name()))?;
    let meant = Scope::named(close)?;
    let rest = match Field::of(meant, rest) {
        Some(_) => Some(rest),
        None => closest(rest, names(meant)),
    };
    Some(format!("did you mean `{close}.{}`?", word(rest?)))
}

/// What a policy of `scope` writes in place of `rest`, which `around` has not.
fn unknown_of(around: Scope, rest: &str, scope: Scope) -> String {
    let close = synonym(rest)
        .filter(|&synonym| Field::of(around, synonym).is_some())
        .or_else(|| closest(rest, names(around)));
    let others = scopes_of(rest);
    if !others.is_empty() {
        let scopes = listed_scopes(&others);
        format!("`{}` is a field of {scopes}", word(rest))
    } else if let Some(close) = close {
        // `client.name` is what `client` is.
        let is_own = close == around.name() && Field::of(scope, close).is_some();
        let prefix = if is_own {
            String::new()
        } else {
            format!("{around}.")
        };
        format!("did you mean `{prefix}{close}`?")
    } else {
        format!("`electrumx-warden fields {around}` lists the fields of scope `{around}`")
    }
}

/// Why a policy of `scope` cannot look at `other`.
fn unseen(other: Scope, scope: Scope) -> String {
    let around: Vec<_> = scope.surroundings().iter().map(|it| it.name()).collect();
    let why = match (other, scope) {
        (_, Scope::Server) => {
            return "nothing is around the server: write one of its own fields".into();
        }
        (Scope::Group, Scope::Session) => {
            "which groups a session is in is not always certain, so it cannot test theirs"
                .to_owned()
        }
        _ => format!("a target of scope `{scope}` can be of more than one {other}"),
    };
    format!("{why}; it can test fields of {}", listed(&around))
}

/// The scopes that have a field of this name.
fn scopes_of(name: &str) -> Vec<&'static str> {
    let scopes = Scope::ALL.into_iter();
    let having = scopes.filter(|&scope| Field::of(scope, name).is_some());
    having.map(Scope::name).collect()
}

fn listed_scopes(scopes: &[&str]) -> String {
    let noun = if scopes.len() == 1 { "scope" } else { "scopes" };
    format!("{noun} {}", listed(scopes))
}

/// The fields of a scope that stand for themselves.
fn names(scope: Scope) -> impl Iterator<Item = &'static str> {
    let fields = Field::in_scope(scope).filter(|field| !field.has_method());
    fields.map(Field::name)
}

/// Words that people know from elsewhere.
fn synonym(name: &str) -> Option<&'static str> {
    Some(match name {
        "ip" | "peer" | "subnet" | "cidr" => "address",
        "bandwidth" | "upload" | "tx_bytes" => "sent_rate",
        "download" | "rx_bytes" => "recv_rate",
        "name" | "user_agent" | "agent" | "client_name" => "client",
        "connections" | "count" => "sessions",
        "subscriptions" => "subs",
        "pending" => "pending_requests",
        "duration" | "time" => "age",
        "lag" => "height_lag",
        "latency" => "rpc_latency",
        "agent_version" | "wallet_version" => "client_version",
        _ => return None,
    })
}
