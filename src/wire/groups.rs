//! `groups`: 10 columns with a number for a name, or 11 with a text.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::ROWS_MAX;
use super::cursor::{self, Cursor, Decimals, unicode};
use super::number::{Cell, Numbers, at_most};
use crate::names::{NameId, Names};
use crate::snapshot::Groups;

/// Decodes the `result` of `groups` into the columns, which are cleared first. After an error
/// they hold rubbish.
pub struct GroupsSeed<'a>(pub &'a mut Groups);

impl<'de> DeserializeSeed<'de> for GroupsSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.0.clear();
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for GroupsSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of groups")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<(), A::Error> {
        let columns = self.0;
        while rows.next_element_seed(RowSeed(columns))?.is_some() {
            if columns.len() > ROWS_MAX {
                return Err(de::Error::custom(format_args!("more than {ROWS_MAX} rows")));
            }
        }
        Ok(())
    }
}

/// Decodes all of `json` as [`GroupsSeed`] does, in a fraction of its time. `None` if something is wrong,
/// and rubbish in the columns; what is wrong does not matter here.
pub(crate) fn read_usual_groups(json: &[u8], columns: &mut Groups) -> Option<()> {
    columns.clear();
    cursor::rows(json, |at| {
        let behind = match read_usual(at, columns) {
            Some(behind) => behind,
            None => at.read_as_json(RowSeed(columns))?,
        };
        (columns.len() <= ROWS_MAX).then_some(behind)
    })
}

/// Reads a row of a release that names its groups; gives what follows it. `None`, and nothing added, if it
/// is not a usual one.
fn read_usual<'a>(mut at: Cursor<'a>, columns: &mut Groups) -> Option<Cursor<'a>> {
    at.take(b'[')?;
    let name = unicode(at.text()?)?;
    at.comma()?;
    let decimals = Decimals::read(at)?;
    let &[sessions, cost, retained_cost, _, _, _, _, _, _, _] = decimals.as_slice() else {
        return None;
    };
    let row = Row {
        sessions: sessions.whole()?,
        // No number here is below 0.
        cost: at_most(cost.measure()?),
        retained_cost: at_most(retained_cost.measure()?),
    };
    row.push(columns.names.intern(name), columns);
    Some(decimals.behind)
}

/// What a row says beside the group's name.
struct Row {
    sessions: u64,
    cost: f64,
    retained_cost: f64,
}

impl Row {
    fn push(self, name: NameId, columns: &mut Groups) {
        columns.name.push(name);
        columns.sessions.push(self.sessions);
        columns.cost.push(self.cost);
        columns.retained_cost.push(self.retained_cost);
    }
}

struct RowSeed<'a>(&'a mut Groups);

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

        let name = cell("group").next_seed(GroupNameSeed(&mut columns.names), &mut seq)?;
        let numbers = Numbers::<10>::read(None, &mut seq, row, 1)?;
        // The sums over the members' traffic fall when a member leaves, so the history takes them
        // from the members themselves; of a row it needs only what no session tells.
        let (cost, retained_cost) = match (&name, numbers.as_slice()) {
            (GroupName::Number(_), numbers) if numbers.len() == 9 => (0.0, 0.0),
            (GroupName::Text(_), [_, cost, retained_cost, rest @ ..]) if rest.len() == 7 => (
                cost.measure_from_0(cell("cost"))?,
                retained_cost.measure_from_0(cell("retained cost"))?,
            ),
            (_, numbers) => {
                return Err(de::Error::custom(format_args!(
                    "row {} has {} columns; every known release has 10, or 11 with a text for a \
                     name",
                    row + 1,
                    1 + numbers.len()
                )));
            }
        };
        let sessions = numbers.as_slice()[0].counter(cell("sessions"))?;

        let (GroupName::Number(name) | GroupName::Text(name)) = name;
        let row = Row {
            sessions,
            cost,
            retained_cost,
        };
        row.push(name, columns);
        Ok(())
    }
}

/// A group's name, and how it was written.
enum GroupName {
    Number(NameId),
    Text(NameId),
}

struct GroupNameSeed<'a>(&'a mut Names);

impl<'de> DeserializeSeed<'de> for GroupNameSeed<'_> {
    type Value = GroupName;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<GroupName, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for GroupNameSeed<'_> {
    type Value = GroupName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a text")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<GroupName, E> {
        // Releases that number their groups have few.
        Ok(GroupName::Number(self.0.intern(&number.to_string())))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<GroupName, E> {
        Ok(GroupName::Text(self.0.intern(text)))
    }
}
