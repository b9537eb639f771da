//! `groups`: 10 columns with a number for a name, or 11 with a text.

use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, SeqAccess, Visitor};

use super::ROWS_MAX;
use super::number::{Cell, Numbers};
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
        columns.name.push(name);
        columns.sessions.push(sessions);
        columns.cost.push(cost);
        columns.retained_cost.push(retained_cost);
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
