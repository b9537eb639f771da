//! What the agent says while it runs: on standard error, for people or for programs.

use anstream::{AutoStream, ColorChoice};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use super::exit::{Exit, Failure};
use crate::config::{Log, LogFormat};

/// Overrides the configured level: `debug`, or a filter by module, `electrumx_warden::rpc=trace`.
const VARIABLE: &str = "ELECTRUMX_WARDEN_LOG";

/// Starts to write the log. A process does this once.
pub fn start(log: Log) -> Result<(), Failure> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) if !text.trim().is_empty() => EnvFilter::try_new(&text).map_err(|error| {
            let text = crate::escape::terminal(&text, 60).into_owned();
            Failure::new(
                Exit::Usage,
                format!("{VARIABLE} is `{text}`, which is no filter ({error}): write `debug`"),
            )
        })?,
        _ => EnvFilter::default().add_directive(LevelFilter::from_level(log.level).into()),
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
        LogFormat::Text => {
            let is_plain = AutoStream::choice(&std::io::stderr()) == ColorChoice::Never;
            lines.with_ansi(!is_plain).with_target(false).try_init()
        }
    };
    started.map_err(|error| Failure::new(Exit::Setup, format!("the log cannot be set up: {error}")))
}
