//! A table: rows gathered in memory, written as row groups into one file a partition.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::Result;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type, TypePtr};

use super::column::Column;
use super::folder::{self, FILE_MODE};
use super::{ExportError, Written};

/// As many rows as `DuckDB` makes one thread's work of.
pub(super) const ROWS_MAX: usize = 122_880;

/// Texts of one row group, for clients and servers choose some of them.
const TEXT_BYTES_MAX: usize = 32 << 20;

/// Beyond this level it takes twice the time for a few bytes.
const LEVEL: i32 = 3;

/// The rows of a table, by columns.
pub(super) trait Rows: Default {
    /// The folder of the table.
    const NAME: &'static str;
    /// What is said of it, and of each column by name.
    #[cfg(test)]
    const ABOUT: (&str, &[(&str, &str)]);

    /// By name, in the order of the schema.
    fn columns(&self) -> Vec<(&'static str, &dyn Column)>;
    fn columns_mut(&mut self) -> Vec<&mut dyn Column>;
    /// Of the texts.
    fn bytes(&self) -> usize;
    fn len(&self) -> usize;

    /// The column whose equal values stand side by side in a row group.
    fn key(&self) -> Option<&[i64]> {
        None
    }
}

/// Declares a table: a field a column, with its kind and what it means. Rows are in the order of time;
/// within a row group, `by` a column first.
macro_rules! table {
    (
        #[doc = $about:literal]
        $table:ident in $name:literal $(by $key:ident)? {
            $( #[doc = $doc:literal] $column:ident: $kind:ty, )+
        }
    ) => {
        #[doc = $about]
        #[derive(Debug, Default)]
        pub(super) struct $table {
            $( #[doc = $doc] pub(super) $column: $kind, )+
        }

        impl $crate::export::table::Rows for $table {
            const NAME: &'static str = $name;
            #[cfg(test)]
            const ABOUT: (&str, &[(&str, &str)]) =
                ($about, &[$( (stringify!($column), $doc), )+]);

            fn columns(&self) -> Vec<(&'static str, &dyn Column)> {
                vec![$( (stringify!($column), &self.$column), )+]
            }

            fn columns_mut(&mut self) -> Vec<&mut dyn Column> {
                vec![$( &mut self.$column, )+]
            }

            fn bytes(&self) -> usize {
                0 $( + self.$column.bytes() )+
            }

            fn len(&self) -> usize {
                self.polled_at.cells().len()
            }

            $(
                fn key(&self) -> Option<&[i64]> {
                    Some(self.$key.cells())
                }
            )?
        }
    };
}
pub(super) use table;

/// A table in the making.
pub(super) struct Table<R> {
    rows: R,
    file: Option<Open>,
    written: Written,
}

struct Open {
    path: PathBuf,
    writer: SerializedFileWriter<File>,
}

impl<R: Rows> Table<R> {
    pub(super) fn new() -> Self {
        Self {
            rows: R::default(),
            file: None,
            written: Written {
                table: R::NAME,
                ..Written::default()
            },
        }
    }

    /// Begins another file of a partition, which is a folder within that of the table.
    pub(super) fn begin(&mut self, out: &Path, partition: &Path) -> Result<(), ExportError> {
        let folder = out.join(R::NAME).join(partition);
        folder::make(&folder).map_err(ExportError::io(&folder, "made"))?;
        let (path, file) = next_part(&folder)?;
        let writer = schema(&self.rows)
            .and_then(|schema| SerializedFileWriter::new(file, schema, properties(&self.rows)))
            .map_err(ExportError::parquet(&path))?;
        self.file = Some(Open { path, writer });
        Ok(())
    }

    /// Adds a row. Nothing is kept of it unless a file was begun.
    pub(super) fn push(&mut self, row: impl FnOnce(&mut R)) -> Result<(), ExportError> {
        row(&mut self.rows);
        if self.rows.len() >= ROWS_MAX || self.rows.bytes() >= TEXT_BYTES_MAX {
            self.write_rows()?;
        }
        Ok(())
    }

    /// Ends the file, if one was begun.
    pub(super) fn end(&mut self) -> Result<(), ExportError> {
        self.write_rows()?;
        let Some(Open { path, writer }) = self.file.take() else {
            return Ok(());
        };
        let file = writer.into_inner().map_err(ExportError::parquet(&path))?;
        let failed = ExportError::io(&path, "written");
        let metadata = file.sync_all().and_then(|()| file.metadata());
        self.written.bytes += metadata.map_err(failed)?.len();
        self.written.files += 1;
        Ok(())
    }

    pub(super) fn written(&self) -> Written {
        self.written
    }

    fn write_rows(&mut self) -> Result<(), ExportError> {
        let Self {
            rows,
            file,
            written,
        } = self;
        if let Some(Open { path, writer }) = file
            && rows.len() > 0
        {
            write_group(rows, writer).map_err(ExportError::parquet(path))?;
            written.rows += rows.len() as u64;
        }
        for column in rows.columns_mut() {
            column.clear();
        }
        Ok(())
    }
}

fn write_group<R: Rows>(rows: &R, writer: &mut SerializedFileWriter<File>) -> Result<()> {
    let mut order: Vec<u32> = (0..u32::try_from(rows.len()).unwrap_or(u32::MAX)).collect();
    if let Some(key) = rows.key() {
        order.sort_by_key(|&row| key[row as usize]);
    }
    let mut group = writer.next_row_group()?;
    for (_, column) in rows.columns() {
        if let Some(mut writer) = group.next_column()? {
            column.write(&order, &mut writer)?;
            writer.close()?;
        }
    }
    group.close()?;
    Ok(())
}

/// One after those that are there.
fn next_part(folder: &Path) -> Result<(PathBuf, File), ExportError> {
    for part in 0_u32.. {
        let path = folder.join(format!("part-{part}.parquet"));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE);
        match options.open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(ExportError::io(&path, "made")(error)),
            Ok(file) => return Ok((path, file)),
        }
    }
    let full = std::io::Error::from(std::io::ErrorKind::QuotaExceeded);
    Err(ExportError::io(folder, "written")(full))
}

fn schema<R: Rows>(rows: &R) -> Result<TypePtr> {
    let columns = rows.columns().into_iter();
    let columns = columns.map(|(name, column)| column.describe(name).map(Arc::new));
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let schema = Type::group_type_builder(R::NAME)
        .with_fields(columns)
        .build()?;
    Ok(Arc::new(schema))
}

fn properties<R: Rows>(rows: &R) -> WriterPropertiesPtr {
    static PROGRAM: LazyLock<String> =
        LazyLock::new(|| concat!("electrumx-warden ", env!("CARGO_PKG_VERSION")).to_owned());
    let level = ZstdLevel::try_new(LEVEL).unwrap_or_default();
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_created_by(PROGRAM.clone());
    for (name, column) in rows.columns() {
        if let Some(encoding) = column.encoding() {
            let path = ColumnPath::from(name);
            properties = properties
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_encoding(path, encoding);
        }
    }
    Arc::new(properties.build())
}
