//! Numbers of a row: counters are whole and never negative, measures may have fractions.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, SeqAccess, Visitor};

/// A number as sent.
#[derive(Clone, Copy)]
pub(super) enum Number {
    /// Whole, not negative.
    Whole(u64),
    /// Any other.
    Other(f64),
}

impl Number {
    pub(super) fn counter<E: de::Error>(self, cell: Cell) -> Result<u64, E> {
        match self {
            Self::Whole(value) => Ok(value),
            Self::Other(value) => {
                Err(cell.error(format_args!("`{value}` is not a whole number from 0 up")))
            }
        }
    }

    pub(super) const fn measure(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Other(value) => value,
        }
    }

    pub(super) fn measure_from_0<E: de::Error>(self, cell: Cell) -> Result<f64, E> {
        let value = self.measure();
        if value < 0.0 {
            return Err(cell.error(format_args!("`{value}` is negative")));
        }
        Ok(at_most(value))
    }
}

/// A client can make its cost infinite. Beyond this one cost is as bad as another, and sums stay
/// finite, in the history's whole thousandths and in the journal's JSON too. NaN stays what it is.
pub(super) const fn at_most(cost: f64) -> f64 {
    const COST_MAX: f64 = 1e12;
    if cost > COST_MAX { COST_MAX } else { cost }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
        Ok(Number::Whole(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
        Ok(u64::try_from(value).map_or(Number::Other(value as f64), Number::Whole))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number::Other(value))
    }

    /// An empty object stands for Python's bare `NaN`.
    fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        match map.next_key::<de::IgnoredAny>()? {
            None => Ok(Number::Other(f64::NAN)),
            Some(_) => Err(de::Error::invalid_type(de::Unexpected::Map, &self)),
        }
    }
}

/// A place in a reply, for errors.
#[derive(Clone, Copy)]
pub(super) struct Cell {
    pub(super) row: usize,
    pub(super) column: &'static str,
}

impl Cell {
    /// The next element of the row, which must be there.
    pub(super) fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(
        self,
        row: &mut A,
    ) -> Result<T, A::Error> {
        self.next_seed(PhantomData, row)
    }

    /// The same, decoded by `seed`.
    pub(super) fn next_seed<'de, S: DeserializeSeed<'de>, A: SeqAccess<'de>>(
        self,
        seed: S,
        row: &mut A,
    ) -> Result<S::Value, A::Error> {
        match row.next_element_seed(seed) {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err(self.error("missing: the row ends before it")),
            Err(error) => Err(self.error(error)),
        }
    }

    pub(super) fn error<E: de::Error>(self, what: impl fmt::Display) -> E {
        E::custom(format_args!(
            "row {}, column `{}`: {what}",
            self.row + 1,
            self.column
        ))
    }
}

/// The rest of a row: at most `N` numbers.
pub(super) struct Numbers<const N: usize> {
    values: [Number; N],
    count: usize,
}

impl<const N: usize> Numbers<N> {
    /// Reads on to the end of row number `row`, of which `before` columns were read already;
    /// `first` is the last of those, if it belongs to the numbers.
    pub(super) fn read<'de, A: SeqAccess<'de>>(
        first: Option<Number>,
        seq: &mut A,
        row: usize,
        before: usize,
    ) -> Result<Self, A::Error> {
        let mut numbers = Self {
            values: [Number::Whole(0); N],
            count: 0,
        };
        if let Some(first) = first {
            numbers.values[0] = first;
            numbers.count = 1;
        }
        // Which column this is depends on the row's length, so a bad one is named by its place.
        let mut place = before;
        let wrong = |place: usize, what: &dyn fmt::Display| {
            de::Error::custom(format_args!("row {}, column {place}: {what}", row + 1))
        };
        loop {
            place += 1;
            match seq.next_element() {
                Ok(None) => return Ok(numbers),
                Ok(Some(_)) if numbers.count == N => {
                    return Err(wrong(place, &"no known release has a row as long as this"));
                }
                Ok(Some(value)) => {
                    numbers.values[numbers.count] = value;
                    numbers.count += 1;
                }
                Err(error) => return Err(wrong(place, &error)),
            }
        }
    }

    pub(super) fn as_slice(&self) -> &[Number] {
        &self.values[..self.count]
    }
}
