//! A column of a row group, as it is gathered in memory and written in one go.
//!
//! A column knows what its values are, not what they mean: that is the tables' affair.

use std::fmt::{Debug, Display};
use std::hash::Hash;

use hashbrown::HashMap;
use parquet::basic::{Encoding, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::Result;
use parquet::file::writer::SerializedColumnWriter;
use parquet::schema::types::{PrimitiveTypeBuilder, Type};

use crate::time::Timestamp;

/// What is between two cells of the same session is small, and often nothing.
const DELTA: Option<Encoding> = Some(Encoding::DELTA_BINARY_PACKED);

/// What the values of a column are.
pub(super) trait Kind: Default + Debug {
    /// What `DuckDB` calls it.
    #[cfg(test)]
    const NAME: &str;
    /// How Parquet stores them.
    type Data: DataType;
    /// A value in memory.
    type Cell: Copy + Default + Debug;
    /// A value as it comes.
    type Value<'a>;
    /// `None` where a dictionary does best.
    const ENCODING: Option<Encoding>;
    /// What readers take it for.
    fn logical() -> Option<LogicalType>;
    /// As it is kept.
    fn keep(&mut self, value: Self::Value<'_>) -> Self::Cell;
    /// As it is written.
    fn give(&self, cell: Self::Cell) -> <Self::Data as DataType>::T;
    /// Beside the cells.
    fn bytes(&self) -> usize {
        0
    }
    /// Forgets what no cell refers to any more.
    fn clear(&mut self) {}
}

/// A point in time, to the millisecond.
#[derive(Debug, Default)]
pub(super) struct Time;

impl Kind for Time {
    #[cfg(test)]
    const NAME: &str = "TIMESTAMPTZ";
    type Data = Int64Type;
    type Cell = i64;
    type Value<'a> = Timestamp;
    const ENCODING: Option<Encoding> = DELTA;

    fn logical() -> Option<LogicalType> {
        Some(LogicalType::timestamp(true, TimeUnit::MILLIS))
    }

    fn keep(&mut self, value: Timestamp) -> i64 {
        value.as_millis()
    }

    fn give(&self, cell: i64) -> i64 {
        cell
    }
}

/// A number of things. Few readers know unsigned numbers: what is beyond 2^63 stands as that.
#[derive(Debug, Default)]
pub(super) struct Whole;

impl Kind for Whole {
    #[cfg(test)]
    const NAME: &str = "BIGINT";
    type Data = Int64Type;
    type Cell = i64;
    type Value<'a> = u64;
    const ENCODING: Option<Encoding> = DELTA;

    fn logical() -> Option<LogicalType> {
        None
    }

    fn keep(&mut self, value: u64) -> i64 {
        i64::try_from(value).unwrap_or(i64::MAX)
    }

    fn give(&self, cell: i64) -> i64 {
        cell
    }
}

/// A measure in thousandths: what the server prints beyond that is noise, and would be most of a file.
#[derive(Debug, Default)]
pub(super) struct Thousandths;

impl Thousandths {
    /// Of the digits that 64 bits hold.
    pub(super) const PRECISION: i32 = 18;
    pub(super) const SCALE: i32 = 3;
}

impl Kind for Thousandths {
    #[cfg(test)]
    const NAME: &str = "DECIMAL(18, 3)";
    type Data = Int64Type;
    type Cell = i64;
    type Value<'a> = f64;
    const ENCODING: Option<Encoding> = DELTA;

    fn logical() -> Option<LogicalType> {
        Some(LogicalType::decimal(Self::SCALE, Self::PRECISION))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the decoder bounds it")]
    fn keep(&mut self, value: f64) -> i64 {
        (value * 1_000.0).round() as i64
    }

    fn give(&self, cell: i64) -> i64 {
        cell
    }
}

/// Any number, infinity included.
#[derive(Debug, Default)]
pub(super) struct Real;

impl Kind for Real {
    #[cfg(test)]
    const NAME: &str = "DOUBLE";
    type Data = DoubleType;
    type Cell = f64;
    type Value<'a> = f64;
    const ENCODING: Option<Encoding> = None;

    fn logical() -> Option<LogicalType> {
        None
    }

    fn keep(&mut self, value: f64) -> f64 {
        value
    }

    fn give(&self, cell: f64) -> f64 {
        cell
    }
}

/// Yes or no.
#[derive(Debug, Default)]
pub(super) struct Flag;

impl Kind for Flag {
    #[cfg(test)]
    const NAME: &str = "BOOLEAN";
    type Data = BoolType;
    type Cell = bool;
    type Value<'a> = bool;
    const ENCODING: Option<Encoding> = Some(Encoding::PLAIN);

    fn logical() -> Option<LogicalType> {
        None
    }

    fn keep(&mut self, value: bool) -> bool {
        value
    }

    fn give(&self, cell: bool) -> bool {
        cell
    }
}

/// Text; each different one is in memory once.
#[derive(Debug, Default)]
pub(super) struct Text {
    ids: HashMap<Box<str>, u32>,
    texts: Texts,
}

impl Kind for Text {
    #[cfg(test)]
    const NAME: &str = "VARCHAR";
    type Data = ByteArrayType;
    type Cell = u32;
    type Value<'a> = &'a str;
    const ENCODING: Option<Encoding> = None;

    fn logical() -> Option<LogicalType> {
        Some(LogicalType::String)
    }

    fn keep(&mut self, value: &str) -> u32 {
        if let Some(&id) = self.ids.get(value) {
            return id;
        }
        let id = self.texts.add(value.to_owned());
        self.ids.insert(value.into(), id);
        id
    }

    fn give(&self, cell: u32) -> ByteArray {
        self.texts.get(cell)
    }

    fn bytes(&self) -> usize {
        // The texts stand in both.
        2 * self.texts.bytes
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.texts.clear();
    }
}

/// The text of a value, printed once for all the rows that have it.
#[derive(Debug)]
pub(super) struct Printed<T> {
    ids: HashMap<T, u32>,
    texts: Texts,
}

impl<T> Default for Printed<T> {
    fn default() -> Self {
        Self {
            ids: HashMap::new(),
            texts: Texts::default(),
        }
    }
}

impl<T: Copy + Eq + Hash + Debug + Display> Kind for Printed<T> {
    #[cfg(test)]
    const NAME: &str = "VARCHAR";
    type Data = ByteArrayType;
    type Cell = u32;
    type Value<'a> = T;
    const ENCODING: Option<Encoding> = None;

    fn logical() -> Option<LogicalType> {
        Some(LogicalType::String)
    }

    fn keep(&mut self, value: T) -> u32 {
        let texts = &mut self.texts;
        let id = self.ids.entry(value);
        *id.or_insert_with(|| texts.add(value.to_string()))
    }

    fn give(&self, cell: u32) -> ByteArray {
        self.texts.get(cell)
    }

    fn bytes(&self) -> usize {
        self.texts.bytes
    }

    fn clear(&mut self) {
        self.ids.clear();
        self.texts.clear();
    }
}

/// Texts by number.
#[derive(Debug, Default)]
struct Texts {
    texts: Vec<ByteArray>,
    bytes: usize,
}

impl Texts {
    fn add(&mut self, text: String) -> u32 {
        let id = u32::try_from(self.texts.len()).expect("a row group has fewer rows");
        self.bytes += text.len();
        self.texts.push(ByteArray::from(text.into_bytes()));
        id
    }

    fn get(&self, id: u32) -> ByteArray {
        self.texts[id as usize].clone()
    }

    fn clear(&mut self) {
        self.texts.clear();
        self.bytes = 0;
    }
}

/// A column, whatever it holds.
pub(super) trait Column {
    /// What the documents say that it holds.
    #[cfg(test)]
    fn kind(&self) -> String;
    /// Its part in the schema.
    fn describe(&self, name: &str) -> Result<Type>;
    /// `None` where a dictionary does best.
    fn encoding(&self) -> Option<Encoding>;
    /// Writes the rows in this order.
    fn write(&self, order: &[u32], writer: &mut SerializedColumnWriter<'_>) -> Result<()>;
    /// Forgets the rows, keeps the memory.
    fn clear(&mut self);
}

/// A column with a value in every row.
#[derive(Debug, Default)]
pub(super) struct Always<K: Kind> {
    kind: K,
    cells: Vec<K::Cell>,
}

impl<K: Kind> Always<K> {
    pub(super) fn push(&mut self, value: K::Value<'_>) {
        let cell = self.kind.keep(value);
        self.cells.push(cell);
    }

    pub(super) fn cells(&self) -> &[K::Cell] {
        &self.cells
    }

    /// Of what is beside the cells, which have a size that is known.
    pub(super) fn bytes(&self) -> usize {
        self.kind.bytes()
    }

    fn cell(&self, row: u32) -> <K::Data as DataType>::T {
        self.kind.give(self.cells[row as usize])
    }
}

impl<K: Kind> Column for Always<K> {
    #[cfg(test)]
    fn kind(&self) -> String {
        K::NAME.to_owned()
    }

    fn describe(&self, name: &str) -> Result<Type> {
        describe::<K>(name, Repetition::REQUIRED)
    }

    fn encoding(&self) -> Option<Encoding> {
        K::ENCODING
    }

    fn write(&self, order: &[u32], writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let values: Vec<_> = order.iter().map(|&row| self.cell(row)).collect();
        typed::<K>(writer).write_batch(&values, None, None)?;
        Ok(())
    }

    fn clear(&mut self) {
        self.kind.clear();
        self.cells.clear();
    }
}

/// A column that is null where something is not told or not known.
#[derive(Debug, Default)]
pub(super) struct Maybe<K: Kind> {
    column: Always<K>,
    is_there: Vec<bool>,
}

impl<K: Kind> Maybe<K> {
    pub(super) fn push(&mut self, value: Option<K::Value<'_>>) {
        self.is_there.push(value.is_some());
        match value {
            Some(value) => self.column.push(value),
            None => self.column.cells.push(K::Cell::default()),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.column.bytes()
    }
}

impl<K: Kind> Column for Maybe<K> {
    #[cfg(test)]
    fn kind(&self) -> String {
        format!("{} or null", K::NAME)
    }

    fn describe(&self, name: &str) -> Result<Type> {
        describe::<K>(name, Repetition::OPTIONAL)
    }

    fn encoding(&self) -> Option<Encoding> {
        K::ENCODING
    }

    fn write(&self, order: &[u32], writer: &mut SerializedColumnWriter<'_>) -> Result<()> {
        let is_there = |row: u32| self.is_there[row as usize];
        let levels: Vec<i16> = order.iter().map(|&row| i16::from(is_there(row))).collect();
        let there = order.iter().filter(|&&row| is_there(row));
        let values: Vec<_> = there.map(|&row| self.column.cell(row)).collect();
        typed::<K>(writer).write_batch(&values, Some(&levels), None)?;
        Ok(())
    }

    fn clear(&mut self) {
        self.column.clear();
        self.is_there.clear();
    }
}

fn typed<'a, 'b, K: Kind>(
    writer: &'b mut SerializedColumnWriter<'a>,
) -> &'b mut ColumnWriterImpl<'a, K::Data> {
    writer.typed::<K::Data>()
}

fn describe<K: Kind>(name: &str, repetition: Repetition) -> Result<Type> {
    let physical: Physical = K::Data::get_physical_type();
    let logical = K::logical();
    let builder = Type::primitive_type_builder(name, physical).with_repetition(repetition);
    let builder: PrimitiveTypeBuilder<'_> = match logical {
        Some(LogicalType::Decimal(_)) => builder
            .with_precision(Thousandths::PRECISION)
            .with_scale(Thousandths::SCALE),
        _ => builder,
    };
    builder.with_logical_type(logical).build()
}
