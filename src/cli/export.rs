//! `export`: recordings as tables, for programs that ask tables.

use std::path::PathBuf;

use super::exit::{Exit, Failure};
use super::screen::Screen;

/// Write recordings as tables, to be asked in SQL.
///
/// Parquet files, in folders by table, server and day (UTC), for many programs. docs/export.md has the
/// tables, and questions to ask. Addresses that are pseudonyms stay pseudonyms.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden export demo.rec --out demo.tables
  electrumx-warden export fra-1.rec fra-2.rec --out july --policies policies
  duckdb -c \"SELECT count(*) FROM 'demo.tables/sessions/**/*.parquet'\"")]
pub(super) struct Args {
    /// Recordings: folders that `run`, `record` or `demo --record` wrote, or segments of them; of as
    /// many servers as there are
    #[arg(required = true, value_name = "RECORDING")]
    recordings: Vec<PathBuf>,

    /// The folder to write into; empty, or not there yet
    #[arg(long, value_name = "DIR")]
    out: PathBuf,

    /// What the files are
    #[arg(long, value_enum, default_value_t)]
    format: FileFormat,

    /// Policy files, and folders of them, one each time it is given: what they would have decided
    /// becomes a table too
    #[arg(long, value_name = "PATH")]
    policies: Vec<PathBuf>,

    /// The key of the recordings' pseudonyms, for policies that name addresses
    #[arg(long, value_name = "FILE", requires = "policies")]
    key: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum FileFormat {
    #[default]
    Parquet,
}

#[cfg(not(feature = "parquet"))]
pub(super) fn run(_: &Args, _: &mut Screen) -> Result<Exit, Failure> {
    let message = "this program was built without `export`: build it with \
                   `cargo build --release --features parquet`";
    Err(Failure::new(Exit::Usage, message))
}

#[cfg(feature = "parquet")]
pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    written::run(args, screen)
}

#[cfg(feature = "parquet")]
mod written {
    use comfy_table::{Cell, CellAlignment, Table};

    use super::Args;
    use crate::cli::exit::{Exit, Failure};
    use crate::cli::judging::Judging;
    use crate::cli::playing::{Heard, Playing};
    use crate::cli::screen::Screen;
    use crate::cli::setup;
    use crate::cli::show::{self, DIM, HEAD};
    use crate::export::{Export, ExportError, Written};
    use crate::field::Dimension;
    use crate::policy::PolicySet;
    use crate::recording::Recording;
    use crate::replay::Replay;
    use crate::units::format;

    pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
        let recording = setup::recordings(&args.recordings)?;
        let replay = match args.policies.as_slice() {
            [] => None,
            paths => {
                let set = setup::policies(PolicySet::load(paths))?;
                let judging = Judging::new(&recording, None, args.key.as_deref())?;
                Some(judging.replay(&recording, set))
            }
        };
        let has_pseudonyms = recording.pseudonyms().is_some();
        let written = exported(args, recording, replay)?;
        screen.table(table(&written))?;
        let out = args.out.display();
        let pseudonyms = if has_pseudonyms {
            "; addresses are pseudonyms"
        } else {
            ""
        };
        screen.line(format!("{DIM}written to `{out}`{pseudonyms}{DIM:#}"))?;
        Ok(Exit::Ok)
    }

    fn exported(
        args: &Args,
        recording: Recording,
        replay: Option<Replay>,
    ) -> Result<Vec<Written>, Failure> {
        let mut export = Export::begin(&args.out, replay)?;
        for of_server in recording.by_server() {
            let mut playing = Playing::begin(of_server);
            while let Some(heard) = playing.hear()? {
                match heard {
                    Heard::Start(start) => export.start(&start)?,
                    Heard::Tick(tick) => {
                        export.take(&tick)?;
                        playing.give_back(tick);
                    }
                }
            }
        }
        Ok(export.finish()?)
    }

    impl From<ExportError> for Failure {
        fn from(error: ExportError) -> Self {
            let exit = match error {
                ExportError::Io { .. } | ExportError::Parquet { .. } => Exit::Failed,
                _ => Exit::Setup,
            };
            Self::new(exit, error.to_string())
        }
    }

    fn table(written: &[Written]) -> Table {
        let mut table = show::table(&["table", "rows", "files", "size"]);
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        for written in written {
            table.add_row([
                Cell::new(format!("{HEAD}{}{HEAD:#}", written.table)),
                Cell::new(format(written.rows as f64, Dimension::Count)),
                Cell::new(format(written.files as f64, Dimension::Count)),
                Cell::new(format(written.bytes as f64, Dimension::Size)),
            ]);
        }
        table
    }
}
