//! What the agent says while it runs: on standard error, for people or for programs.

use std::fmt;

use anstream::{AutoStream, ColorChoice};
use tracing::Level;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

use super::exit::{Exit, Failure};
use super::show;
use crate::config::{Log, LogFormat};

/// Overrides the configured level: `debug`, or a filter by module, `electrumx_warden::rpc=trace`.
const VARIABLE: &str = "ELECTRUMX_WARDEN_LOG";

/// Starts to write the log. A process does this once.
pub fn start(log: Log) -> Result<(), Failure> {
    let variable = std::env::var(VARIABLE).unwrap_or_default();
    let filter = filter(&variable, log.level)?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // A line that cannot be written is dropped. By default the failure is reported with
        // `eprintln!`, which panics when standard error itself is what fails.
        .log_internal_errors(false);
    let started = match log.format {
        // `target` is a decision's, not the module that says so.
        LogFormat::Json => lines
            .json()
            .flatten_event(true)
            .with_target(false)
            .try_init(),
        LogFormat::Text => {
            let is_plain = AutoStream::choice(&std::io::stderr()) == ColorChoice::Never;
            let lines = lines.with_ansi(!is_plain).with_target(false);
            lines.fmt_fields(Words).try_init()
        }
    };
    started.map_err(|error| Failure::new(Exit::Setup, format!("the log cannot be set up: {error}")))
}

/// Keys that are for programs: whatever a line has in them, its words say as well.
const FOR_PROGRAMS: [&str; 18] = [
    "policy",
    "mode",
    "action",
    "scope",
    "target",
    "address",
    "session_count",
    "outcome",
    "by",
    "detail",
    "held_s",
    "evidence",
    "daemon",
    "daemon_before",
    "state",
    "healthy",
    "change",
    "height",
];

/// Lines for people: their words, and of the keys those that the words lack.
struct Words;

impl<'writer> FormatFields<'writer> for Words {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut words = WordsOf(DefaultVisitor::new(writer, true));
        fields.record(&mut words);
        words.0.finish()
    }
}

struct WordsOf<'a>(DefaultVisitor<'a>);

impl Visit for WordsOf<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if !FOR_PROGRAMS.contains(&field.name()) {
            self.0.record_str(field, value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !FOR_PROGRAMS.contains(&field.name()) {
            self.0.record_debug(field, value);
        }
    }
}

/// What the variable says, or else the configuration.
fn filter(variable: &str, level: Level) -> Result<EnvFilter, Failure> {
    if variable.trim().is_empty() {
        let level = LevelFilter::from_level(level);
        return Ok(EnvFilter::default().add_directive(level.into()));
    }
    EnvFilter::try_new(variable).map_err(|error| {
        let variable = show::text(variable);
        let message = format!("{VARIABLE} is `{variable}`, no log filter ({error}): write `debug`");
        Failure::new(Exit::Usage, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_goes_before_the_configuration() {
        let filter = |variable| filter(variable, Level::WARN).map(|filter| filter.to_string());
        assert_eq!(filter("").unwrap(), "warn");
        assert_eq!(filter(" ").unwrap(), "warn");
        assert_eq!(filter("debug").unwrap(), "debug");
        let module = "electrumx_warden::rpc=trace";
        assert_eq!(filter(module).unwrap(), module);
        let Err(Failure::Told { exit, message }) = filter("a=b=c") else {
            panic!("no filter");
        };
        assert_eq!(exit, Exit::Usage);
        assert!(
            message.starts_with("ELECTRUMX_WARDEN_LOG is `a=b=c`"),
            "{message}"
        );
    }
}
