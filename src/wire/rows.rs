//! Rows of `sessions`, read by hand, and as little of them as can be: from one poll to the next most
//! clients do nothing, and of the others it stays the same who they are.
//!
//! Any row that is not a usual one goes the way of all JSON, alone. Both ways give the same, to the
//! last bit.

#[cfg(test)]
mod tests;

use serde::de::DeserializeSeed;
use serde_json::Error;

use super::ROWS_MAX;
use super::cursor::{Cursor, Decimal, Decimals, unicode};
use super::number::at_most;
use super::sessions::{Client, Counts, Row, RowSeed, SessionsSeed, flags, protocol, unique_ids};
use crate::names::{NameId, Names, Texts};
use crate::snapshot::{Generation, Sessions};

/// So many rows ahead one of the reply before is looked for: rows keep their order, and few leave
/// between two polls.
const SCAN: usize = 8;

/// Decodes the replies to `sessions` of one server, one after the other.
#[derive(Debug, Default)]
pub struct SessionsDecoder {
    /// The reply before.
    text: Vec<u8>,
    /// Its usual rows in their order, and those of the present one.
    known: Vec<Known>,
    next: Vec<Known>,
    /// Its names.
    names: Texts,
    /// By a name's ID in it: its ID in the present one, once it has one.
    ids: Vec<Option<NameId>>,
}

/// A row as it stands in a reply.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// Where it begins.
    start: usize,
    /// Where the numbers begin, counted from there.
    counts: usize,
    /// Where the last of them does, which is the age.
    age: usize,
    row: Row,
}

impl SessionsDecoder {
    /// Decodes the `result` of `sessions` as [`SessionsSeed`] does, in a fraction of its time. The text
    /// must have been [tamed](super::tame). After an error the columns hold rubbish.
    ///
    /// # Errors
    /// It is no such result.
    pub fn decode(&mut self, result: &[u8], columns: &mut Sessions) -> Result<(), Error> {
        if self.read_usual(result, columns).is_some() {
            return Ok(());
        }
        let mut json = serde_json::Deserializer::from_slice(result);
        SessionsSeed(columns).deserialize(&mut json)?;
        json.end()
    }

    /// Reads all of `json`, an array of rows, into the columns, which are cleared first. `None` if
    /// something is wrong; what that is does not matter here.
    pub(crate) fn read_usual(&mut self, json: &[u8], columns: &mut Sessions) -> Option<()> {
        columns.clear();
        self.next.clear();
        self.ids.clear();
        self.ids.resize(self.names.len(), None);
        let mut ahead = 0;
        super::cursor::rows(json, |at| {
            let start = json.len() - at.0.len();
            let behind = match self.read(at, start, &mut ahead, columns) {
                Some(behind) => behind,
                None => at.read_as_json(RowSeed(columns))?,
            };
            (columns.len() <= ROWS_MAX).then_some(behind)
        })?;
        unique_ids::<Error>(columns).ok()?;
        self.text.clear();
        self.text.extend_from_slice(json);
        std::mem::swap(&mut self.known, &mut self.next);
        self.names.clone_from(columns.names.texts());
        Some(())
    }

    /// Reads the row that begins at `start`; gives what follows it. `None`, and nothing added, if it is not
    /// a usual one.
    #[inline]
    fn read<'a>(
        &mut self,
        at: Cursor<'a>,
        start: usize,
        ahead: &mut usize,
        columns: &mut Sessions,
    ) -> Option<Cursor<'a>> {
        if let Some(found) = self.recall(at, ahead) {
            return self.read_again(at, start, found, columns);
        }
        let (known, behind) = read_whole(at, columns)?;
        known.row.push(columns);
        self.next.push(Known { start, ..known });
        Some(behind)
    }

    /// The next row of the reply before that says the same of who the client is.
    #[inline]
    fn recall(&self, at: Cursor<'_>, ahead: &mut usize) -> Option<usize> {
        let rows = self.known.get(*ahead..)?;
        let skipped = rows.iter().take(SCAN).position(|known| {
            let client = &self.text[known.start..][..known.counts];
            at.0.starts_with(client)
        })?;
        let found = *ahead + skipped;
        *ahead = found + 1;
        Some(found)
    }

    /// Reads of a known client what may have changed since.
    #[inline]
    fn read_again<'a>(
        &mut self,
        at: Cursor<'a>,
        start: usize,
        found: usize,
        columns: &mut Sessions,
    ) -> Option<Cursor<'a>> {
        let known = &self.known[found];
        let before = &self.text[known.start + known.counts..known.start + known.age];
        let rest = &at.0[known.counts..];
        let (counts, age_s, age, behind) = if let Some(last) = rest.strip_prefix(before) {
            let mut behind = Cursor(last);
            let age_s = behind.number()?.measure()?;
            behind.take(b']')?;
            (known.row.counts, age_s, known.age, behind)
        } else {
            let decimals = Decimals::read(Cursor(rest))?;
            let has_version = known.row.counts.generation != Generation::Plain;
            let (counts, age_s) = counts(decimals.as_slice(), has_version)?;
            let age = at.0.len() - decimals.last.0.len();
            (counts, age_s, age, decimals.behind)
        };
        let client = &known.row.client;
        let names = &mut columns.names;
        let name = renamed(client.name, &self.names, &mut self.ids, names);
        let protocol = renamed(client.protocol, &self.names, &mut self.ids, names);
        let client = Client {
            name,
            protocol,
            ..*client
        };
        let row = Row {
            client,
            counts,
            age_s,
        };
        row.push(columns);
        let counts = known.counts;
        self.next.push(Known {
            start,
            counts,
            age,
            row,
        });
        Some(behind)
    }
}

/// The ID now of a name of the reply before.
#[inline]
fn renamed(before: NameId, texts: &Texts, ids: &mut [Option<NameId>], now: &mut Names) -> NameId {
    *ids[before.index()].get_or_insert_with(|| now.intern(texts.get(before)))
}

/// Reads a row of which nothing is known.
fn read_whole<'a>(start: Cursor<'a>, columns: &mut Sessions) -> Option<(Known, Cursor<'a>)> {
    let mut at = start;
    at.take(b'[')?;
    let id = at.number()?.whole()?;
    at.comma()?;
    let flags = flags(at.text()?)?;
    at.comma()?;
    let peer = at.peer()?;
    at.comma()?;
    let name = at.text()?;
    at.comma()?;
    let version = match at.0.first()? {
        b'"' => Some(at.text()?),
        _ => None,
    };
    if version.is_some() {
        at.comma()?;
    }
    let decimals = Decimals::read(at)?;
    let (counts, age_s) = counts(decimals.as_slice(), version.is_some())?;
    let version = unicode(version.unwrap_or_default())?;
    let name = match columns.names.find(name) {
        Some(known) => known,
        None => columns.names.intern(std::str::from_utf8(name).ok()?),
    };
    let protocol = protocol(version, &mut columns.names);
    let client = Client {
        id,
        flags,
        peer,
        name,
        protocol,
    };
    let known = Known {
        start: 0,
        counts: start.0.len() - at.0.len(),
        age: start.0.len() - decimals.last.0.len(),
        row: Row {
            client,
            counts,
            age_s,
        },
    };
    Some((known, decimals.behind))
}

/// What a client did, and its age, by the numbers that its row ends with.
#[inline]
fn counts(decimals: &[Decimal], has_version: bool) -> Option<(Counts, f64)> {
    let (generation, [cost, extra_cost], rest) = match (has_version, decimals) {
        (true, [cost, extra_cost, rest @ ..]) if rest.len() == 8 => {
            (Generation::Cost, [*cost, *extra_cost], rest)
        }
        (true, rest) if rest.len() == 8 => (Generation::Protocol, [Decimal::ZERO; 2], rest),
        (false, rest) if rest.len() == 8 => (Generation::Plain, [Decimal::ZERO; 2], rest),
        _ => return None,
    };
    let mut counters = [0; 7];
    for (counter, number) in counters.iter_mut().zip(rest) {
        *counter = number.whole()?;
    }
    // No number here is below 0.
    let (cost, extra_cost) = (at_most(cost.measure()?), at_most(extra_cost.measure()?));
    let counts = Counts {
        generation,
        cost,
        extra_cost,
        counters,
    };
    Some((counts, rest[7].measure()?))
}

/// All that the columns say; floats to the last bit.
#[cfg(test)]
pub(crate) fn shown(columns: &Sessions) -> String {
    let Sessions {
        generation,
        id,
        flags,
        peer,
        client,
        protocol,
        cost,
        extra_cost,
        pending_requests,
        txs_sent,
        subs,
        recv_count,
        recv_size,
        sent_count,
        sent_size,
        age_s,
        names,
    } = columns;
    let names: Vec<&str> = names.iter().collect();
    format!(
        "{generation:?} {id:?} {flags:?} {peer:?} {client:?} {protocol:?} {cost:?} {extra_cost:?} \
         {pending_requests:?} {txs_sent:?} {subs:?} {recv_count:?} {recv_size:?} {sent_count:?} \
         {sent_size:?} {age_s:?} {names:?}"
    )
}
