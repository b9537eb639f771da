//! A test outside any policy, as evidence has it: read again by the language's own parser.
//!
//! What was in a list that the policies name is not known here.

use std::net::IpAddr;

use ipnet::IpNet;

use super::bounds::LIST_ENTRIES_MAX;
use super::diagnostic::{Diagnostic, Findings};
use super::list::List;
use super::registry::Lists;
use super::source::{Place, Source, Text, Written};
use super::test::{self, Subject};
use super::{Comparison, Predicate, Threshold};
use crate::field::{Field, Kind, Scope};
use crate::version::Version;

/// A test outside any policy.
#[derive(Debug)]
pub struct LoneTest {
    field: Field,
    predicate: Predicate,
    /// The list that stands in the test itself.
    list: Option<List>,
}

impl LoneTest {
    /// Reads a test of a field, both as a policy of this scope writes them.
    ///
    /// # Errors
    /// What is wrong with them, in a line.
    pub fn read(scope: Scope, field: &str, test: &str) -> Result<Self, String> {
        let known = Field::seen_from(scope, field);
        let (scope, found) =
            known.ok_or_else(|| format!("scope `{scope}` has no field `{field}`"))?;
        if found.info().kind == Kind::Flag {
            return match test {
                "true" | "false" => Ok(Self {
                    field: found,
                    predicate: Predicate::Is(test == "true"),
                    list: None,
                }),
                _ => Err(format!("`{field}` is `true` or `false`, and not `{test}`")),
            };
        }
        let subject = Subject {
            field: found,
            name: field,
            scope,
        };
        let text = Text::new(Source {
            name: "evidence".into(),
            text: format!("'{test}'"),
        });
        let span = 0..text.body.len();
        let written = Written::new(test, Place { text, span });
        let mut lists = Lists::default();
        lists.assume_unknown(true);
        let told = |diagnostic: Diagnostic| diagnostic.to_string();
        let predicate = test::read(subject, &written, &mut lists).map_err(told)?;
        let mut findings = Findings::default();
        let read = &mut |_: &std::path::Path| Ok(String::new());
        let (lists, _) = lists.build(read, LIST_ENTRIES_MAX, &mut findings);
        if findings.has_errors() {
            let first = findings.into_sorted(&[]).into_iter().next();
            return Err(first.map_or_else(String::new, told));
        }
        Ok(Self {
            field: found,
            predicate,
            list: lists.into_iter().next().filter(|_| !asks_by_name(test)),
        })
    }

    /// The field.
    pub const fn field(&self) -> Field {
        self.field
    }

    /// How it compares a number, and with what, if it does.
    pub const fn comparison(&self) -> Option<(Comparison, Threshold)> {
        match self.predicate {
            Predicate::Compare(comparison, threshold) => Some((comparison, threshold)),
            _ => None,
        }
    }

    /// Whether it holds for a flag; `None` if it asks for something else.
    pub const fn holds_for_flag(&self, seen: bool) -> Option<bool> {
        match self.predicate {
            Predicate::Is(wanted) => Some(seen == wanted),
            _ => None,
        }
    }

    /// Whether it holds for a text, or for an address or subnet as it prints; `None` if that cannot
    /// be told.
    pub fn holds_for_text(&self, seen: &str) -> Option<bool> {
        match &self.predicate {
            Predicate::Equals { text, negated } => Some((**text == *seen) != *negated),
            Predicate::Matches { regex, negated } => Some(regex.is_match(seen) != *negated),
            Predicate::In { negated, .. } => {
                let list = self.list.as_ref()?;
                let is_in = match self.field.info().kind {
                    Kind::Address => covers(list, seen)?,
                    _ => list.contains_text(seen),
                };
                Some(is_in != *negated)
            }
            Predicate::Version(comparison, version) => {
                Some(comparison.holds(Version::parse(seen)?.cmp(version)))
            }
            Predicate::Compare(..) | Predicate::Is(_) => None,
        }
    }

    /// Whether it asks for a list that the policies name.
    pub fn asks_for_named_list(&self) -> bool {
        matches!(self.predicate, Predicate::In { .. }) && self.list.is_none()
    }
}

/// Whether what follows `in` or `not in` is a name.
fn asks_by_name(test: &str) -> bool {
    let test = test.trim_start();
    let test = test.strip_prefix("not").unwrap_or(test).trim_start();
    let list = test.strip_prefix("in").map(str::trim_start);
    list.is_some_and(|list| list.starts_with('@'))
}

fn covers(list: &List, seen: &str) -> Option<bool> {
    if let Ok(address) = seen.parse::<IpAddr>() {
        return Some(list.contains_addr(address));
    }
    Some(list.contains_net(&seen.parse::<IpNet>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(scope: Scope, field: &str, test: &str, seen: &str) -> Option<bool> {
        LoneTest::read(scope, field, test)
            .unwrap()
            .holds_for_text(seen)
    }

    #[test]
    fn texts_and_addresses() {
        let client = |test, seen| text(Scope::Client, "client", test, seen);
        assert_eq!(client("=~ ^e", "evil"), Some(true));
        assert_eq!(client("!~ ^e", "evil"), Some(false));
        assert_eq!(client("evil", "evil"), Some(true));
        assert_eq!(client("!= evil", "evil"), Some(false));
        assert_eq!(client("in [\"a@b\", c]", "a@b"), Some(true));
        assert_eq!(client("not in [\"a@b\", c]", "c"), Some(false));
        assert_eq!(client("in @bad", "evil"), None);
        let version = |test, seen| text(Scope::Session, "client_version", test, seen);
        assert_eq!(version("< 3.3.4", "3.3.4rc1"), Some(true));
        assert_eq!(version("= 4.0.2", "4.0.2.0"), Some(true));
        assert_eq!(version("!= 4.0.2", "4.0.2"), Some(false));
        assert_eq!(version(">= 4.0.2", "none"), None);
        let net = |scope, test, seen| text(scope, "address", test, seen);
        assert_eq!(net(Scope::Session, "in 10.0.0.0/8", "10.1.2.3"), Some(true));
        assert_eq!(
            net(Scope::Subnet, "not in 10.0.0.0/8", "10.1.2.0/24"),
            Some(false)
        );
        assert_eq!(
            net(Scope::Address, "in [2001:db8::/32]", "2001:db8::/64"),
            Some(true)
        );
        assert_eq!(net(Scope::Session, "in 10.0.0.0/8", "unknown"), None);
        assert_eq!(net(Scope::Session, "not in  @good", "10.1.2.3"), None);
    }

    #[test]
    fn what_no_policy_could_say() {
        let wrong = |scope, field, test| LoneTest::read(scope, field, test).unwrap_err();
        insta::assert_snapshot!(
            [
                wrong(Scope::Server, "age", "> 1m"),
                wrong(Scope::Session, "age", "> 1 MiB"),
                wrong(Scope::Session, "private", "maybe"),
                wrong(Scope::Session, "client", "=~ ("),
                wrong(Scope::Session, "address", "in [1.2.3]"),
                wrong(Scope::Session, "age", "'"),
            ]
            .join("\n")
        );
    }

    proptest::proptest! {
        #[test]
        fn no_text_breaks_it(field in "[a-z_.]{0,12}|client|age|address", test in "\\PC{0,20}|[<>=~!in @\"']{0,8}") {
            for scope in Scope::ALL {
                if let Ok(test) = LoneTest::read(scope, &field, &test) {
                    let _ = test.holds_for_text("evil");
                }
            }
        }
    }
}
