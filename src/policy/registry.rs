//! The lists of a set while it is read: definitions, uses, and the lists that come of them.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use toml::de::DeValue;

use super::ListId;
use super::bounds::{LIST_ENTRIES_MAX, LIST_FILE_SIZE_MAX};
use super::diagnostic::{Diagnostic, Findings, Problem};
use super::list::{AddressSet, List, ListFile, Span, canonical, lines, parse_net};
use super::source::{Place, Source, Text, harmless, word};
use super::table::{Entry, Node, Table};
use crate::field::Dimension;
use crate::units;

pub(super) const ADDRESS_FORMS: &str =
    "addresses are written as `203.0.113.7`, `203.0.113.0/24` or `2001:db8::/32`";

/// Bad entries of one list that are shown.
const BAD_ENTRIES_MAX: usize = 20;

/// What a list's entries are compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Text,
    Address,
}

/// All lists of a set, in the order of their IDs.
#[derive(Default)]
pub(super) struct Lists {
    definitions: Vec<Definition>,
    by_name: HashMap<String, ListId>,
    lost: bool,
}

struct Definition {
    name: Option<Arc<str>>,
    /// The name, or the array in a test.
    place: Place,
    content: Content,
    as_text: bool,
    /// The first use with an address field.
    as_addresses: Option<Place>,
}

enum Content {
    Inline(Vec<(String, Place)>),
    File {
        path: PathBuf,
        place: Place,
    },
    /// Wrong, and said so.
    Broken,
}

impl Lists {
    /// Reads `[lists]`.
    pub(super) fn define(&mut self, node: Node<'_>, findings: &mut Findings) {
        let table = Table::of(node, "lists", "`[lists]`");
        let table = table.map_err(|finding| {
            finding.help("write `[lists]` on a line of its own, then `name = [\"entry\"]`")
        });
        for Entry { name, key, node } in findings
            .accept(table)
            .map(|table| table.entries())
            .unwrap_or_default()
        {
            if !is_name(name) {
                findings.push(bad_name(name, "a list", key.clone()));
            }
            if let Some(&ListId(first)) = self.by_name.get(name) {
                let first = self.definitions[first].place.clone();
                let problem = Problem::Duplicate {
                    what: "list",
                    name: word(name),
                };
                findings.push(
                    Diagnostic::new(problem)
                        .at(key)
                        .also(first, format!("`{}` is defined here first", word(name)))
                        .help("lists serve all files of a set: rename one"),
                );
                continue;
            }
            let content = content(name, node, findings).unwrap_or(Content::Broken);
            self.by_name
                .insert(name.to_owned(), ListId(self.definitions.len()));
            self.definitions.push(Definition {
                name: Some(Arc::from(name)),
                place: key,
                content,
                as_text: false,
                as_addresses: None,
            });
        }
    }

    /// A list that stands in a test.
    pub(super) fn inline(&mut self, entries: Vec<(String, Place)>, place: Place) -> ListId {
        self.definitions.push(Definition {
            name: None,
            place,
            content: Content::Inline(entries),
            as_text: false,
            as_addresses: None,
        });
        ListId(self.definitions.len() - 1)
    }

    /// A definition may have been lost with a file's syntax: unknown names are not told then.
    pub(super) fn assume_unknown(&mut self, lost: bool) {
        self.lost = lost;
    }

    pub(super) fn find(&self, name: &str) -> Option<ListId> {
        self.by_name.get(name).copied()
    }

    /// Stands for a list whose definition may have been lost.
    pub(super) fn lost(&mut self, place: &Place) -> Option<ListId> {
        self.lost.then(|| {
            let id = self.inline(Vec::new(), place.clone());
            self.definitions[id.0].content = Content::Broken;
            id
        })
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.definitions
            .iter()
            .filter_map(|list| list.name.as_deref())
    }

    pub(super) fn used(&mut self, id: ListId, face: Use, place: Place) {
        let list = &mut self.definitions[id.0];
        match face {
            Use::Text => list.as_text = true,
            Use::Address => list.as_addresses = list.as_addresses.take().or(Some(place)),
        }
    }

    /// Makes the lists, reading files through `read`.
    pub(super) fn build(
        self,
        read: &mut dyn FnMut(&Path) -> io::Result<String>,
        entries_max: usize,
        findings: &mut Findings,
    ) -> (Vec<List>, Vec<ListFile>) {
        let mut lists = Vec::with_capacity(self.definitions.len());
        let mut files = Vec::new();
        let entries_max = entries_max.min(LIST_ENTRIES_MAX);
        let mut total = 0;
        // A use may stand in a policy that could not be read.
        let all_read = !findings.has_errors();
        for (id, definition) in self.definitions.into_iter().enumerate() {
            let mut list = List {
                name: definition.name.clone(),
                texts: definition.as_text.then(Default::default),
                addresses: definition.as_addresses.is_some().then(AddressSet::default),
                ..List::default()
            };
            if let Some(name) = definition.name.as_deref()
                && all_read
                && !definition.as_text
                && definition.as_addresses.is_none()
            {
                let name = word(name);
                findings.push(
                    Diagnostic::new(Problem::UnusedList { name: name.clone() })
                        .at(definition.place.clone())
                        .help(format!("test a field with `in @{name}`, or remove it")),
                );
            }
            match definition.content {
                Content::Broken => {}
                Content::Inline(entries) => {
                    let entries = entries.iter().map(|(text, place)| (text.as_str(), place));
                    let bad = fill(&mut list, entries);
                    for (place, text) in bad.shown {
                        let finding = bad_entry(text, place.clone());
                        findings.push(for_use(finding, definition.as_addresses.as_ref()));
                    }
                    for (place, text, net) in bad.wide {
                        findings.push(host_bits(text, net, place.clone()));
                    }
                }
                Content::File { path, place } => {
                    let text = read(&path).map_err(|error| {
                        unreadable(&path, &error)
                            .at(place)
                            .help("the path is relative to the policy file's folder")
                    });
                    if let Some(text) = findings.accept(text) {
                        let used = definition.as_addresses.as_ref();
                        fill_from_file(&mut list, &path, text, used, findings);
                    }
                    let id = ListId(id);
                    files.push(ListFile { id, path });
                }
            }
            let before = total;
            total += list.entries;
            if total > entries_max && before <= entries_max {
                findings.push(too_many_entries(total, entries_max).at(definition.place));
            }
            lists.push(list);
        }
        (lists, files)
    }
}

/// A number of things, for messages.
pub(super) fn count(number: usize) -> String {
    units::format(number as f64, Dimension::Count)
}

/// A number of bytes, for messages.
pub(super) fn size(bytes: usize) -> String {
    units::format(bytes as f64, Dimension::Size)
}

pub(super) fn too_many_entries(total: usize, max: usize) -> Diagnostic {
    Diagnostic::new(Problem::TooMany {
        what: format!("with this one the lists have {} entries", count(total)),
        max: count(max),
    })
}

/// Reads a list file into a list, whose faces stay what they are.
pub(super) fn fill_from_file(
    list: &mut List,
    path: &Path,
    text: String,
    used: Option<&Place>,
    findings: &mut Findings,
) {
    if text.len() > LIST_FILE_SIZE_MAX {
        findings.push(Diagnostic::new(Problem::TooMany {
            what: format!("`{}` is too large", word(&path.to_string_lossy())),
            max: size(LIST_FILE_SIZE_MAX),
        }));
        return;
    }
    let bad = fill(list, lines(&text));
    let (spans, more): (Vec<_>, _) = (
        bad.shown.into_iter().map(|(span, _)| span).collect(),
        bad.more,
    );
    if spans.is_empty() {
        return;
    }
    let name = path.to_string_lossy().into_owned();
    let text = Text::new(Source { name, text });
    for span in spans {
        let entry = text.body[span.clone()].to_owned();
        let text = Arc::clone(&text);
        let finding = bad_entry(&entry, Place { text, span });
        findings.push(for_use(finding, used));
    }
    if more > 0 {
        findings.push(Diagnostic::new(Problem::More { count: more }));
    }
}

/// What a list of addresses should not have.
struct Bad<'e, P> {
    shown: Vec<(P, &'e str)>,
    more: usize,
    /// Entries with bits beyond the prefix.
    wide: Vec<(P, &'e str, IpNet)>,
}

/// Fills the faces that a list has.
fn fill<'e, P>(list: &mut List, entries: impl Iterator<Item = (&'e str, P)>) -> Bad<'e, P> {
    let mut bad = Bad {
        shown: Vec::new(),
        more: 0,
        wide: Vec::new(),
    };
    let mut spans = Vec::new();
    list.entries = 0;
    for (text, place) in entries {
        list.entries += 1;
        if let Some(texts) = &mut list.texts {
            texts.insert(text.into());
        }
        if list.addresses.is_some() {
            if let Some(range) = Span::parse_range(text) {
                spans.push(range);
                continue;
            }
            match parse_net(text) {
                None if bad.shown.len() < BAD_ENTRIES_MAX => bad.shown.push((place, text)),
                None => bad.more += 1,
                Some(net) => {
                    let whole = canonical(net);
                    spans.push(Span::of(&whole));
                    if whole.addr() != net.addr().to_canonical() && bad.wide.len() < BAD_ENTRIES_MAX
                    {
                        bad.wide.push((place, text, whole));
                    }
                }
            }
        }
    }
    if let Some(addresses) = &mut list.addresses {
        *addresses = AddressSet::of_spans(spans);
    }
    bad
}

pub(crate) fn bad_entry(text: &str, place: Place) -> Diagnostic {
    let text = word(text);
    Diagnostic::new(Problem::BadAddress { text })
        .at(place)
        .help(ADDRESS_FORMS)
}

/// Shows the test that makes a list one of addresses, unless it is the entry's own place.
fn for_use(finding: Diagnostic, used: Option<&Place>) -> Diagnostic {
    match used {
        Some(used) if !finding.stands_in(used) => {
            finding.also(used.clone(), "this test wants addresses")
        }
        _ => finding,
    }
}

pub(crate) fn host_bits(text: &str, net: IpNet, place: Place) -> Diagnostic {
    let text = word(text);
    let net = net.to_string();
    let help = format!("write `{net}`, or the address without a prefix");
    Diagnostic::new(Problem::HostBits { text, net })
        .at(place)
        .help(help)
}

pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Diagnostic {
    let path = word(&path.to_string_lossy());
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => word(&error.to_string()).to_lowercase(),
    };
    Diagnostic::new(Problem::Unreadable { path, reason })
}

fn content(name: &str, node: Node<'_>, findings: &mut Findings) -> Option<Content> {
    match node.get() {
        DeValue::Array(array) => {
            let entries: Vec<_> = array
                .iter()
                .map(|value| {
                    let entry = node.with(value);
                    let what = "an entry of a list";
                    let Some(written) = entry.as_written() else {
                        findings.push(entry.wrong_type(what, "a string"));
                        return None;
                    };
                    Some((written.text.to_owned(), entry.place()))
                })
                .collect();
            entries
                .into_iter()
                .collect::<Option<_>>()
                .map(Content::Inline)
        }
        DeValue::Table(_) => {
            let mut table = findings.accept(Table::of(node, name, "a list"))?;
            let file = table.require("file", "name the file: `{ file = \"lists/trusted.txt\" }`");
            table.finish(&[("path", "file")], findings);
            let file = file?.node;
            let written = findings.accept(file.string("file", "write a path"))?;
            let path = file.text.path(written.text);
            let place = file.place();
            Some(Content::File { path, place })
        }
        _ => {
            let help = match node.as_written() {
                Some(written) if parse_net(written.text).is_none() => {
                    format!(
                        "write `{{ file = \"{0}\" }}` to read a file, or `[\"{0}\"]`",
                        word(written.text)
                    )
                }
                _ => "write `[\"one\", \"two\"]` or `{ file = \"list.txt\" }`".to_owned(),
            };
            let what = format!("list `{}`", word(name));
            findings.push(node.wrong_type(&what, "an array or a table").help(help));
            None
        }
    }
}

/// Whether policies and lists can be called so.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

pub(super) fn bad_name(name: &str, what: &'static str, place: Place) -> Diagnostic {
    // What is made of a URL would show its password.
    let shown = if harmless(name) == name { name } else { "" };
    let better: String = shown
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(64)
        .collect();
    let better = better.trim_matches('-');
    let rule = "names have 1 to 64 of the characters `a` to `z`, `0` to `9` and `-`";
    let help = if is_name(better) {
        format!("{rule}: `{better}`, for example")
    } else {
        rule.to_owned()
    };
    let name = word(name);
    Diagnostic::new(Problem::BadName { name, what })
        .at(place)
        .help(help)
}
