//! The server's replies with pseudonyms in place of addresses, and else as they were sent, byte for
//! byte: blanks, Python's bare `NaN` and all.
//!
//! Every text of a reply is looked at, wherever it stands, so no form of a reply can smuggle an
//! address through; the peers of `sessions` and the names of `groups` are what is known where they
//! stand. What cannot be told apart into texts and numbers is no reply.

use std::net::Ipv4Addr;
use std::ops::Range;

use super::Pseudonyms;
use super::text::{Written, reads_like_a_version, written};
use crate::wire;

/// What a reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `getinfo`: no release tells of a client in it, and the daemon's address is to stay.
    Getinfo,
    /// `sessions`.
    Sessions,
    /// `groups`.
    Groups,
    /// `inspect_session`.
    Inspection,
}

/// A reply that cannot be read, so that nobody knows what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reply cannot be read at byte {at}, so no pseudonyms can be put in; it is left out")]
pub struct Unreadable {
    /// Counted from 0.
    pub at: usize,
}

/// Replies are nested three deep.
const DEPTH_MAX: usize = 16;

/// What is to be replaced in a reply, from left to right.
#[derive(Clone, Debug, Default)]
pub(super) struct Edits {
    edits: Vec<Edit>,
    text: String,
}

#[derive(Clone, Debug)]
struct Edit {
    place: Range<usize>,
    /// In `text`.
    by: Range<usize>,
    /// Only if a peer has this address; else it is a version.
    if_peer: Option<Ipv4Addr>,
}

impl Edits {
    fn clear(&mut self) {
        self.edits.clear();
        self.text.clear();
    }

    /// Replaces `place` by what `write` writes.
    fn add(
        &mut self,
        place: Range<usize>,
        if_peer: Option<Ipv4Addr>,
        write: impl FnOnce(&mut String),
    ) {
        let start = self.text.len();
        write(&mut self.text);
        let by = start..self.text.len();
        self.edits.push(Edit { place, by, if_peer });
    }
}

impl Pseudonyms {
    /// Writes the reply `line` with pseudonyms behind what is in `out`. After an error nothing is
    /// written.
    ///
    /// Client names and other texts keep four numbers of at most two digits, which may be a version,
    /// unless a peer of the last `sessions` has that address: so of one poll `sessions` comes first.
    pub fn reply(
        &mut self,
        reply: Reply,
        line: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable> {
        let mut edits = std::mem::take(&mut self.edits);
        edits.clear();
        if reply == Reply::Sessions {
            self.short_peers.clear();
        }
        let found = texts(line, |role, place| match (reply, role) {
            (Reply::Getinfo, _) => {}
            (Reply::Sessions, Role::Cell { column: 2 }) => self.edit_peer(line, place, &mut edits),
            (Reply::Groups, Role::Cell { column: 0 }) => self.edit_group(line, place, &mut edits),
            _ => self.edit_text(line, place, &mut edits),
        });
        if found.is_ok() {
            let mut done = 0;
            let is_wanted = |edit: &&Edit| {
                let address = edit.if_peer;
                address.is_none_or(|address| self.short_peers.contains(&address))
            };
            for edit in edits.edits.iter().filter(is_wanted) {
                out.extend_from_slice(&line[done..edit.place.start]);
                out.extend_from_slice(&edits.text.as_bytes()[edit.by.clone()]);
                done = edit.place.end;
            }
            out.extend_from_slice(&line[done..]);
        }
        self.edits = edits;
        found
    }

    /// What the decoder reads as nobody becomes `unknown`: nothing is lost, and no name of a host is
    /// kept.
    fn edit_peer(&mut self, line: &[u8], place: Range<usize>, edits: &mut Edits) {
        let text = unescaped(&line[place.clone()]);
        let Some(peer) = wire::peer(&text.bytes) else {
            if *text.bytes != *b"unknown" {
                edits.add(place, None, |out| out.push_str("unknown"));
            }
            return;
        };
        if let std::net::IpAddr::V4(v4) = peer.ip()
            && reads_like_a_version(v4)
        {
            self.short_peers.insert(v4);
        }
        let hidden = self.peer(crate::decision::Peer(Some(peer)));
        if hidden.0 != Some(peer) {
            edits.add(place, None, |out| out.push_str(&hidden.to_string()));
        }
    }

    fn edit_group(&self, line: &[u8], place: Range<usize>, edits: &mut Edits) {
        let text = unescaped(&line[place.clone()]);
        let Ok(name) = std::str::from_utf8(&text.bytes) else {
            return self.edit_text(line, place, edits);
        };
        let hidden = self.group(name);
        if hidden != name {
            edits.add(place, None, |out| out.push_str(&hidden));
        }
    }

    fn edit_text(&self, line: &[u8], place: Range<usize>, edits: &mut Edits) {
        let text = unescaped(&line[place.clone()]);
        for (within, written) in written(&text.bytes) {
            let within = text.place(&within);
            let place = place.start + within.start..place.start + within.end;
            let if_peer = Written::as_version(&written);
            edits.add(place, if_peer, |out| self.write_for(&written, out));
        }
    }
}

/// A text's characters as far as they matter here: what is not ASCII is 255.
struct Unescaped<'a> {
    bytes: std::borrow::Cow<'a, [u8]>,
    /// Where each byte stands in the text as sent, and where that ends; empty if in the same place.
    places: Vec<usize>,
}

impl Unescaped<'_> {
    /// Where in the text as sent.
    fn place(&self, within: &Range<usize>) -> Range<usize> {
        match self.places.as_slice() {
            [] => within.clone(),
            places => places[within.start]..places[within.end],
        }
    }
}

fn unescaped(raw: &[u8]) -> Unescaped<'_> {
    if memchr::memchr(b'\\', raw).is_none() {
        return Unescaped {
            bytes: raw.into(),
            places: Vec::new(),
        };
    }
    let (mut bytes, mut places) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < raw.len() {
        places.push(at);
        let (byte, length) = match &raw[at..] {
            [b'\\', b'u', digits @ ..] if digits.len() >= 4 => {
                let digits = std::str::from_utf8(&digits[..4]).unwrap_or("");
                let code = u32::from_str_radix(digits, 16).unwrap_or(u32::MAX);
                (u8::try_from(code).ok().filter(u8::is_ascii), 6)
            }
            [b'\\', b'/', ..] => (Some(b'/'), 2),
            [b'\\', ..] => (None, 2),
            [byte, ..] => (Some(*byte).filter(u8::is_ascii), 1),
            [] => (None, 1),
        };
        bytes.push(byte.unwrap_or(u8::MAX));
        at += length;
    }
    places.push(raw.len());
    Unescaped {
        bytes: bytes.into(),
        places,
    }
}

/// Where a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// In a row of the result, counted from 0.
    Cell {
        column: usize,
    },
    Other,
}

/// What is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level {
    is_object: bool,
    /// Of an object, whether a name comes next.
    is_before: bool,
    column: usize,
}

/// Hands on each text of a reply with its place between its quotes.
fn texts(line: &[u8], mut each: impl FnMut(Role, Range<usize>)) -> Result<(), Unreadable> {
    let mut open: Vec<Level> = Vec::with_capacity(DEPTH_MAX);
    let mut is_result = false;
    let mut at = 0;
    let mut is_over = false;
    while at < line.len() {
        let byte = line[at];
        let unreadable = Err(Unreadable { at });
        if byte.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if is_over || open.is_empty() && byte != b'{' {
            return unreadable;
        }
        match byte {
            b'{' | b'[' if open.len() < DEPTH_MAX => open.push(Level {
                is_object: byte == b'{',
                is_before: byte == b'{',
                column: 0,
            }),
            b'}' | b']' => {
                let closed = open.pop();
                if closed.is_none_or(|level| level.is_object != (byte == b'}')) {
                    return unreadable;
                }
                is_over = open.is_empty();
            }
            b',' => {
                if let Some(level) = open.last_mut() {
                    level.column += 1;
                    level.is_before = level.is_object;
                }
            }
            b':' => match open.last_mut() {
                Some(level) if level.is_before => level.is_before = false,
                _ => return unreadable,
            },
            b'"' => {
                let length = text(&line[at..]).ok_or(Unreadable { at })?;
                let place = at + 1..at + length - 1;
                if let [
                    Level {
                        is_before: true, ..
                    },
                ] = open[..]
                {
                    is_result = line[place.clone()] == *b"result";
                }
                let role = match open[..] {
                    [
                        _,
                        Level {
                            is_object: false, ..
                        },
                        row,
                    ] if is_result && !row.is_object => Role::Cell { column: row.column },
                    _ => Role::Other,
                };
                each(role, place);
                at += length;
                continue;
            }
            _ => {
                let length = atom(&line[at..]).ok_or(Unreadable { at })?;
                at += length;
                continue;
            }
        }
        at += 1;
    }
    if is_over {
        Ok(())
    } else {
        Err(Unreadable { at })
    }
}

/// The length of the text that `line` begins with, its quotes included. Bad escapes are refused, as the
/// decoders refuse them: a good text put in for a bad one would make another reply of it.
fn text(line: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += match line.get(at..)? {
            [b'"', ..] => return Some(at + 1),
            [b'\\', b'u', digits @ ..] => {
                let is_code = digits.get(..4)?.iter().all(u8::is_ascii_hexdigit);
                is_code.then_some(6)?
            }
            [b'\\', escaped, ..] => b"\"\\/bfnrt".contains(escaped).then_some(2)?,
            [b'\\'] | [] => return None,
            [_, ..] => 1,
        };
    }
}

/// The length of the number or word that `line` begins with.
fn atom(line: &[u8]) -> Option<usize> {
    let is_of_atom = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
    let length = line.iter().take_while(is_of_atom).count();
    let text = std::str::from_utf8(&line[..length]).ok()?;
    let is_word = ["null", "true", "false"].contains(&text);
    (is_word || text.parse::<f64>().is_ok()).then_some(length)
}
