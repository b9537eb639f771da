//! `disconnect` and `log`, as each release understands their items.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json::render;
use super::release::Release;
use super::rpc::{BAD_REQUEST, Failure, Outcome};
use super::session::SessionKey;
use super::world::World;

impl World {
    /// `disconnect` or `log`, as the release understands its items.
    pub(super) fn act(&mut self, method: &str, items: &Value) -> Outcome {
        let code = if self.release() < Release::V1_6 {
            -1
        } else {
            BAD_REQUEST
        };
        let bad = || Failure::new(code, "expected a list of session IDs");
        let items = items.as_array().ok_or_else(bad)?;
        if !self.release().is_nested() {
            let words: Vec<String> = items
                .iter()
                .map(|item| self.act_on_one(method, item))
                .collect();
            return Ok(render(&words));
        }
        let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        Ok(render(&self.act_on_all(method, &items.ok_or_else(bad)?)))
    }

    /// To 1.10: item by item, in order, repeated if repeated.
    fn act_on_one(&mut self, method: &str, item: &Value) -> String {
        let id = match item {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        let candidates = id.map(|id| self.keys_with_id(id)).unwrap_or_default();
        // Two sessions may bear the ID; which one is found first is chance.
        let Some(key) = self.chance().choice(candidates) else {
            return format!("unknown session: {}", python_str(item));
        };
        let id = id.unwrap_or_default();
        if method == "disconnect" {
            self.disconnect(key);
            format!("disconnected {id}")
        } else {
            let logged = if self.toggle_log(key) {
                "True"
            } else {
                "False"
            };
            format!("log {id}: {logged}")
        }
    }

    /// From 1.11: sets of sessions, groups and specials, so that the order is chance and what is
    /// repeated counts once. The unknown come last.
    fn act_on_all(&mut self, method: &str, items: &[&str]) -> Vec<String> {
        let mut keys: BTreeSet<SessionKey> = BTreeSet::new();
        let mut groups: BTreeSet<String> = BTreeSet::new();
        let mut specials: BTreeSet<String> = BTreeSet::new();
        let mut unknown: BTreeSet<&str> = BTreeSet::new();
        for &item in items {
            let lower = item.to_lowercase();
            let is_special =
                lower == "all" || (method == "log" && matches!(&*lower, "none" | "new"));
            if !item.is_empty() && item.bytes().all(|b| b.is_ascii_digit()) {
                let found = item
                    .parse()
                    .map(|id| self.keys_with_id(id))
                    .unwrap_or_default();
                if found.is_empty() {
                    unknown.insert(item);
                }
                keys.extend(found);
            } else if is_special {
                specials.insert(lower);
            } else if self.sessions().groups.find(&lower).is_some() {
                groups.insert(lower);
            } else {
                unknown.insert(item);
            }
        }
        let mut keys: Vec<SessionKey> = keys.into_iter().collect();
        self.chance().shuffle(&mut keys);
        let mut words = if method == "disconnect" {
            self.disconnect_all(keys, &groups, specials.contains("all"))
        } else {
            self.log_all(keys, &groups, &specials)
        };
        words.extend(unknown.iter().map(|item| format!("unknown: {item}")));
        words
    }

    fn disconnect_all(
        &mut self,
        mut keys: Vec<SessionKey>,
        groups: &BTreeSet<String>,
        all: bool,
    ) -> Vec<String> {
        let mut words = Vec::new();
        if all {
            words.push("disconnecting all sessions".to_owned());
            keys = self
                .sessions()
                .as_slice()
                .iter()
                .map(|session| session.key)
                .collect();
        } else {
            words.extend(
                self.ids(&keys)
                    .map(|id| format!("disconnecting session {id}")),
            );
            for group in groups {
                words.push(format!("disconnecting group {group}"));
                keys.extend(self.members(group));
            }
        }
        for key in keys {
            self.disconnect(key);
        }
        words
    }

    fn log_all(
        &mut self,
        keys: Vec<SessionKey>,
        groups: &BTreeSet<String>,
        specials: &BTreeSet<String>,
    ) -> Vec<String> {
        let mut words = Vec::new();
        for (special, logged, word) in [
            ("all", true, "logging all sessions"),
            ("none", false, "logging no sessions"),
        ] {
            if specials.contains(special) {
                self.sessions_mut()
                    .iter_mut()
                    .for_each(|session| session.logged = logged);
                self.sessions_mut().log_new = logged;
                words.push(word.to_owned());
            }
        }
        let negation = |logged: bool| if logged { "" } else { "not " };
        if specials.contains("new") {
            let logged = !self.sessions().log_new;
            self.sessions_mut().log_new = logged;
            words.push(format!("{}logging new sessions", negation(logged)));
        }
        let mut all: Vec<SessionKey> = keys;
        for group in groups {
            let members = self.members(group);
            all.extend(
                members
                    .into_iter()
                    .filter(|key| !all.contains(key))
                    .collect::<Vec<_>>(),
            );
        }
        for key in all {
            let logged = self.toggle_log(key);
            let id = self.sessions().get(key).map_or(0, |session| session.id);
            words.push(format!("{}logging session {id}", negation(logged)));
        }
        words
    }
}

/// How Python prints a value in the middle of a text.
fn python_str(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(_) => value.to_string().replace('"', "'").replace(',', ", "),
        other => other.to_string(),
    }
}
