//! `sessions`: 12, 13 or 15 columns a row.

use std::fmt;
use std::net::SocketAddr;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::ROWS_MAX;
use super::number::{Cell, Number, Numbers, at_most};
use super::text::TextSeed;
use crate::decision::Peer;
use crate::names::{NameId, Names};
use crate::snapshot::{Flags, Generation, Sessions, Transport};

/// Decodes the `result` of `sessions` into the columns, which are cleared first. After an error
/// they hold rubbish.
pub struct SessionsSeed<'a>(pub &'a mut Sessions);

impl<'de> DeserializeSeed<'de> for SessionsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.clear();
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for SessionsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of sessions")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        let columns = self.0;
        while rows.next_element_seed(RowSeed(columns))?.is_some() {
            if columns.len() > ROWS_MAX {
                return Err(de::Error::custom(format_args!("more than {ROWS_MAX} rows")));
            }
        }
        unique_ids(columns)
    }
}

/// The server never gives two clients one ID. If it seems to, nothing can be told apart.
pub(super) fn unique_ids<E: de::Error>(columns: &Sessions) -> Result<(), E> {
    let clients = || (0..columns.len()).filter(|&row| !columns.flags[row].is_rpc());
    // The server sorts by start, so IDs mostly ascend and need no sorting here.
    if clients()
        .map(|row| columns.id[row])
        .is_sorted_by(|a, b| a < b)
    {
        return Ok(());
    }
    let mut rows: Vec<usize> = clients().collect();
    rows.sort_unstable_by_key(|&row| (columns.id[row], row));
    match rows
        .windows(2)
        .find(|pair| columns.id[pair[0]] == columns.id[pair[1]])
    {
        None => Ok(()),
        Some(pair) => Err(Cell {
            row: pair[1],
            column: "id",
        }
        .error(format_args!(
            "`{}` is the ID of row {} too",
            columns.id[pair[1]],
            pair[0] + 1
        ))),
    }
}

pub(super) struct RowSeed<'a>(pub(super) &'a mut Sessions);

impl<'de> DeserializeSeed<'de> for RowSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for RowSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {} to be an array", self.0.len() + 1)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let columns = self.0;
        let row = columns.len();
        let cell = |column| Cell { row, column };

        let Number::Whole(id) = cell("id").next(&mut seq)? else {
            return Err(cell("id").error("not a whole number from 0 up"));
        };
        let FlagsText(flags) = cell("flags").next(&mut seq)?;
        let PeerText(peer) = cell("peer").next(&mut seq)?;
        let client = cell("client").next_seed(TextSeed(&mut columns.names), &mut seq)?;
        let fifth = FifthSeed(&mut columns.names);
        let (protocol, first) = match cell("protocol version").next_seed(fifth, &mut seq)? {
            Fifth::Protocol(name) => (Some(name), None),
            Fifth::Number(number) => (None, Some(number)),
        };
        let numbers = Numbers::<10>::read(first, &mut seq, row, 5)?;
        let numbers = numbers.as_slice();
        let (generation, costs, counters) = match (protocol, numbers.len()) {
            (None, 8) => (Generation::Plain, None, numbers),
            (Some(_), 8) => (Generation::Protocol, None, numbers),
            (Some(_), 10) => (
                Generation::Cost,
                Some((numbers[0], numbers[1])),
                &numbers[2..],
            ),
            (protocol, count) => {
                return Err(de::Error::custom(format_args!(
                    "row {} has {} columns; every known release has 12, 13 or 15",
                    row + 1,
                    4 + usize::from(protocol.is_some()) + count
                )));
            }
        };
        let (cost, extra_cost) = match costs {
            None => (0.0, 0.0),
            Some((cost, extra)) => (cost.measure_from_0(cell("cost"))?, from_0(extra.measure())),
        };
        let mut counts = [0; COUNTERS.len()];
        for ((count, counter), column) in counts.iter_mut().zip(counters).zip(COUNTERS) {
            *count = counter.counter(cell(column))?;
        }
        let row = Row {
            client: Client {
                id,
                flags,
                peer,
                name: client,
                protocol: protocol.unwrap_or_else(|| columns.names.intern("")),
            },
            counts: Counts {
                generation,
                cost,
                extra_cost,
                counters: counts,
            },
            age_s: counters[COUNTERS.len()].measure(),
        };
        row.push(columns);
        Ok(())
    }
}

/// The counters, as they stand behind the costs; the age follows.
const COUNTERS: [&str; 7] = [
    "pending requests",
    "txs sent",
    "subs",
    "recv count",
    "recv bytes",
    "sent count",
    "sent bytes",
];

/// A row that nothing is wrong with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) client: Client,
    pub(super) counts: Counts,
    pub(super) age_s: f64,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) flags: Flags,
    pub(super) peer: Peer,
    pub(super) name: NameId,
    pub(super) protocol: NameId,
}

/// What it did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) generation: Generation,
    pub(super) cost: f64,
    pub(super) extra_cost: f64,
    pub(super) counters: [u64; COUNTERS.len()],
}

impl Row {
    #[inline]
    pub(super) fn push(self, columns: &mut Sessions) {
        let Self {
            client,
            counts,
            age_s,
        } = self;
        let [
            pending,
            txs_sent,
            subs,
            recv_count,
            recv_size,
            sent_count,
            sent_size,
        ] = counts.counters;
        columns.id.push(client.id);
        columns.flags.push(client.flags);
        columns.peer.push(client.peer);
        columns.client.push(client.name);
        columns.protocol.push(client.protocol);
        columns.cost.push(counts.cost);
        columns.extra_cost.push(counts.extra_cost);
        columns.pending_requests.push(pending);
        columns.txs_sent.push(txs_sent);
        columns.subs.push(subs);
        columns.recv_count.push(recv_count);
        columns.recv_size.push(recv_size);
        columns.sent_count.push(sent_count);
        columns.sent_size.push(sent_size);
        columns
            .age_s
            .push(if age_s >= 0.0 { age_s } else { f64::NAN });
        columns.generation = Some(counts.generation);
    }
}

/// Extra cost is a sum of rounded differences: a hair below 0 is 0. NaN stays what it is.
fn from_0(extra_cost: f64) -> f64 {
    if extra_cost < 0.0 {
        0.0
    } else {
        at_most(extra_cost)
    }
}

/// The fifth column: the protocol version, or where releases have none, the pending requests.
enum Fifth {
    Protocol(NameId),
    Number(Number),
}

/// Protocol versions are seldom longer than `1.4.2`; what is longer is cut.
const PROTOCOL_BYTES_MAX: usize = 16;

pub(super) fn protocol(text: &str, names: &mut Names) -> NameId {
    names.intern(&text[..text.floor_char_boundary(PROTOCOL_BYTES_MAX)])
}

struct FifthSeed<'a>(&'a mut Names);

impl<'de> DeserializeSeed<'de> for FifthSeed<'_> {
    type Value = Fifth;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Fifth, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for FifthSeed<'_> {
    type Value = Fifth;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Fifth, E> {
        Ok(Fifth::Protocol(protocol(text, self.0)))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Fifth, E> {
        Ok(Fifth::Protocol(self.0.intern("")))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Fifth, E> {
        Ok(Fifth::Number(Number::Whole(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Fifth, E> {
        Ok(Fifth::Number(Number::Other(value as f64)))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Fifth, E> {
        Ok(Fifth::Number(Number::Other(value)))
    }
}

struct FlagsText(Flags);

impl<'de> Deserialize<'de> for FlagsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // As bytes, for nothing in it depends on its being Unicode, and finding that out takes time.
        deserializer.deserialize_bytes(FlagsVisitor)
    }
}

struct FlagsVisitor;

impl Visitor<'_> for FlagsVisitor {
    type Value = FlagsText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("flags such as `T10`")
    }

    fn visit_bytes<E: de::Error>(self, text: &[u8]) -> Result<FlagsText, E> {
        let flags = flags(text).ok_or_else(|| E::custom("empty: no transport"))?;
        Ok(FlagsText(flags))
    }
}

/// `None` if there are none.
pub(super) fn flags(text: &[u8]) -> Option<Flags> {
    let (&transport, marks) = text.split_first()?;
    Some(Flags {
        transport: match transport {
            b'T' => Transport::Tcp,
            b'S' => Transport::Ssl,
            b'W' => Transport::Websocket,
            b'R' => Transport::Rpc,
            _ => Transport::Other,
        },
        closing: marks.contains(&b'C'),
        logged: marks.contains(&b'L'),
    })
}

struct PeerText(Peer);

impl<'de> Deserialize<'de> for PeerText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(PeerVisitor)
    }
}

struct PeerVisitor;

impl Visitor<'_> for PeerVisitor {
    type Value = PeerText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a peer such as `1.2.3.4:5678`")
    }

    fn visit_bytes<E: de::Error>(self, text: &[u8]) -> Result<PeerText, E> {
        Ok(PeerText(Peer(peer(text))))
    }
}

/// What is not an address and a port stands for nobody who could be told apart.
pub(crate) fn peer(text: &[u8]) -> Option<SocketAddr> {
    if let Some(peer) = peer_v4(text) {
        return Some(peer);
    }
    let peer: SocketAddr = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some(SocketAddr::new(peer.ip().to_canonical(), peer.port()))
}

/// Most peers read like this, and the standard library's parser takes its time. `None` for all else,
/// even if it is a peer.
fn peer_v4(text: &[u8]) -> Option<SocketAddr> {
    let mut octets = [0_u8; 4];
    let mut rest = text;
    for (octet, end) in octets.iter_mut().zip(*b"...:") {
        let (number, after) = decimal(rest, 3)?;
        *octet = u8::try_from(number).ok()?;
        rest = after.strip_prefix(&[end])?;
    }
    let (port, rest) = decimal(rest, 5)?;
    let port = u16::try_from(port).ok().filter(|_| rest.is_empty())?;
    Some(SocketAddr::from((octets, port)))
}

/// A number of one to `digits_max` digits without leading zeros, and what follows it.
fn decimal(text: &[u8], digits_max: usize) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > digits_max || (digits > 1 && text[0] == b'0') {
        return None;
    }
    let (digits, rest) = text.split_at(digits);
    let value = |value, &digit: &u8| value * 10 + u32::from(digit - b'0');
    Some((digits.iter().fold(0, value), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_like_most_peers_is_read_as_the_standard_library_does() {
        for text in [
            "1.2.3.4:5678",
            "255.255.255.255:65535",
            "0.0.0.0:0",
            "256.1.1.1:1",
            "1.1.1.1:65536",
            "01.1.1.1:1",
            "1.1.1.1:01",
            "1.1.1:1",
            "1.1.1.1.1:1",
            "1.1.1.1",
            "1.1.1.1:",
            "1.1.1.1:1 ",
            " 1.1.1.1:1",
            "1111.1.1.1:1",
            "1.1.1.1:000001",
            "unknown",
            "",
            "[2001:db8::1]:5",
        ] {
            assert_eq!(peer(text.as_bytes()), text.parse().ok(), "{text}");
        }
        assert_eq!(peer(b"[::ffff:1.2.3.4]:5"), "1.2.3.4:5".parse().ok());
        assert_eq!(peer(b"1.2.3.4:5\xff"), None);
    }
}
