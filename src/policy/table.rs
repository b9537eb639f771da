//! Reading a TOML table key by key: what is not asked for is an unknown key.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::diagnostic::{Diagnostic, Findings, Problem, closest};
use super::source::{Place, Text, Written, word};

/// A value and its place.
#[derive(Clone, Copy)]
pub(crate) struct Node<'t> {
    pub(crate) text: &'t Arc<Text>,
    pub(crate) value: &'t Spanned<DeValue<'t>>,
}

/// A key's value together with the key's own place.
pub(crate) struct Entry<'t> {
    pub(crate) name: &'t str,
    pub(crate) key: Place,
    pub(crate) node: Node<'t>,
}

impl<'t> Node<'t> {
    pub(crate) fn get(&self) -> &'t DeValue<'t> {
        self.value.get_ref()
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            text: Arc::clone(self.text),
            span: self.value.span(),
        }
    }

    pub(crate) fn with(&self, value: &'t Spanned<DeValue<'t>>) -> Self {
        Self { value, ..*self }
    }

    /// The kind of value, with its article.
    pub(crate) fn kind(&self) -> &'static str {
        match self.get() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        }
    }

    pub(crate) fn is_empty_table(&self) -> bool {
        matches!(self.get(), DeValue::Table(table) if table.is_empty())
    }

    pub(crate) fn wrong_type(&self, what: &str, wanted: &'static str) -> Diagnostic {
        let what = what.to_owned();
        let found = self.kind();
        Diagnostic::new(Problem::WrongType {
            what,
            wanted,
            found,
        })
        .at(self.place())
    }

    pub(crate) fn as_written(&self) -> Option<Written<'t>> {
        self.value
            .get_ref()
            .as_str()
            .map(|text| Written::new(text, self.place()))
    }

    /// The string that must be here; `help` says how to write it.
    pub(crate) fn string(&self, what: &str, help: &str) -> Result<Written<'t>, Diagnostic> {
        self.as_written()
            .ok_or_else(|| self.wrong_type(&format!("`{what}`"), "a string").help(help))
    }
}

/// Where keys stand that belong to no table.
pub(crate) const TOP: &str = "[]";

/// A table whose keys are taken one by one.
pub(crate) struct Table<'t> {
    text: &'t Arc<Text>,
    keys: &'t DeTable<'t>,
    place: Place,
    /// What the table is, for messages: `a policy`.
    what: &'static str,
    known: Vec<&'static str>,
    /// With how to write them.
    missing: Vec<(&'static str, &'static str)>,
}

impl<'t> Table<'t> {
    pub(crate) fn new(
        text: &'t Arc<Text>,
        table: &'t DeTable<'t>,
        place: Place,
        what: &'static str,
    ) -> Self {
        let (known, missing) = (Vec::new(), Vec::new());
        Self {
            text,
            keys: table,
            place,
            what,
            known,
            missing,
        }
    }

    /// The table that `node` must be.
    pub(crate) fn of(node: Node<'t>, key: &str, what: &'static str) -> Result<Self, Diagnostic> {
        match node.get() {
            DeValue::Table(table) => Ok(Self::new(node.text, table, node.place(), what)),
            _ => Err(node.wrong_type(&format!("`{key}`"), "a table")),
        }
    }

    pub(crate) fn take(&mut self, key: &'static str) -> Option<Entry<'t>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let (key, value) = self.keys.iter().find(|(k, _)| k.get_ref() == key)?;
        Some(self.entry(key, value))
    }

    /// Takes a key that must be there; [`Table::finish`] tells if it is not, with `help` on how to
    /// write it.
    pub(crate) fn require(&mut self, key: &'static str, help: &'static str) -> Option<Entry<'t>> {
        let entry = self.take(key);
        if entry.is_none() {
            self.missing.push((key, help));
        }
        entry
    }

    /// Whether a key is written.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries().iter().any(|entry| entry.name == key)
    }

    /// All entries, whatever their keys, in the order written.
    pub(crate) fn entries(&self) -> Vec<Entry<'t>> {
        let mut entries: Vec<_> = self
            .keys
            .iter()
            .map(|(key, value)| self.entry(key, value))
            .collect();
        entries.sort_by_key(|entry| entry.key.span.start);
        entries
    }

    /// Reports the keys that nothing asked for, and those that are missing; `synonyms` are words
    /// that others use, for keys of this table or for another, `[table]`; or keys that stand above all
    /// tables, [`TOP`].
    pub(crate) fn finish(mut self, synonyms: &[(&str, &'static str)], findings: &mut Findings) {
        for (key, value) in self.keys {
            let name = key.get_ref().as_ref();
            if self.known.contains(&name) {
                continue;
            }
            let synonym = synonyms.iter().find(|(other, key)| {
                *other == name && (self.known.contains(key) || key.starts_with('['))
            });
            let close = synonym
                .map(|&(_, key)| key)
                .or_else(|| closest(name, self.known.iter().copied()));
            // What is there under another name is not missing as well.
            self.missing.retain(|&(missing, _)| Some(missing) != close);
            let help = match close {
                Some(TOP) => format!("write `{name}` above the first `[table]`"),
                Some(close) => format!("did you mean `{close}`?"),
                None if self.known.len() == 1 => format!("the only key is {}", listed(&self.known)),
                None => format!("the keys are {}", listed(&self.known)),
            };
            let problem = Problem::UnknownKey {
                key: word(name),
                place: self.what,
            };
            let place = self.entry(key, value).key;
            findings.push(Diagnostic::new(problem).at(place).help(help));
        }
        for (key, help) in self.missing {
            let place = self.what;
            let problem = Problem::MissingKey { key, place };
            let finding = Diagnostic::new(problem).at(self.place.clone());
            findings.push(finding.help(help));
        }
    }

    fn entry(&self, key: &'t Spanned<DeString<'t>>, value: &'t Spanned<DeValue<'t>>) -> Entry<'t> {
        let text = self.text;
        Entry {
            name: key.get_ref(),
            key: Place {
                text: Arc::clone(text),
                span: key.span(),
            },
            node: Node { text, value },
        }
    }
}

/// `a`, `b` and `c`.
pub(crate) fn listed(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
