//! What a command needs before it starts, or [`Exit::Setup`].

use std::path::Path;

use tempfile::TempDir;

use super::exit::{Exit, Failure};
use super::screen::complain;
use super::show::counted;
use crate::config::{Config, Policies};
use crate::journal::{Journal, JournalError};
use crate::policy::{Diagnostic, PolicySet};

/// The configuration; what is wrong with it, warnings too, is told on standard error.
pub fn config(path: &Path) -> Result<Config, Failure> {
    let checked = Config::load(path);
    complain(&checked.diagnostics);
    checked
        .config
        .ok_or_else(|| faulty("the configuration has", &checked.diagnostics))
}

/// The policies; what is wrong with them, warnings too, is told on standard error.
pub fn policies(policies: &Policies) -> Result<PolicySet, Failure> {
    let checked = policies.load();
    complain(&checked.diagnostics);
    checked
        .set
        .ok_or_else(|| faulty("the policies have", &checked.diagnostics))
}

/// The journal at `path`, to be written.
pub fn journal(path: &Path) -> Result<Journal, Failure> {
    Journal::open(path).map_err(unusable)
}

/// A journal in a folder that goes when the second value is dropped.
pub fn passing_journal() -> Result<(Journal, TempDir), Failure> {
    let folder = tempfile::tempdir().map_err(|error| {
        let message = format!("no folder for temporary files can be made ({error}): set TMPDIR");
        Failure::new(Exit::Setup, message)
    })?;
    Ok((journal(&folder.path().join("journal.sqlite"))?, folder))
}

/// A journal that a command cannot start with.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
pub fn unusable(error: JournalError) -> Failure {
    Failure::new(Exit::Setup, error.to_string())
}

fn faulty(what: &str, diagnostics: &[Diagnostic]) -> Failure {
    let errors = diagnostics.iter().filter(|d| d.is_error()).count();
    let errors = counted(errors, "error", "errors");
    Failure::new(Exit::Setup, format!("{what} {errors}"))
}
