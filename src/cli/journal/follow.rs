//! New decisions as they come, until Ctrl-C.

use std::time::Duration;

use super::event::{event_line, events_of, write_event};
use super::{Args, PAGE, write};
use crate::cli::exit::{Exit, Failure};
use crate::cli::runtime;
use crate::cli::screen::{Format, Screen};
use crate::cli::show::{self, DIM, decision_line};
use crate::cli::when::now;
use crate::decision::Outcome;
use crate::journal::{DecisionId, EventFilter, Filter, Reader, Row};

/// How often the journal is read.
const PERIOD: Duration = Duration::from_secs(1);

/// So many are shown to begin with, as `tail` does.
const SHOWN_FIRST: u32 = 10;

/// An intent younger than this is not shown before its outcome is there.
const OUTCOME_WITHIN: Duration = Duration::from_secs(30);

pub(super) fn follow(
    reader: &Reader,
    filter: Filter,
    args: &Args,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let mut rest = Rest::of_newest(reader, filter, args.limit.unwrap_or(SHOWN_FIRST))?;
    runtime::block_on(async {
        // No other signal is caught: each ends the command by itself.
        let interrupt = tokio::signal::ctrl_c();
        tokio::pin!(interrupt);
        loop {
            rest.show(reader, args.format, screen)?;
            tokio::select! {
                caught = &mut interrupt => {
                    caught.map_err(|error| {
                        let message = format!("cannot listen for Ctrl-C: {error}");
                        Failure::new(Exit::Setup, message)
                    })?;
                    return Ok(Exit::Ok);
                }
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    })
}

/// The decisions that were not shown yet.
struct Rest {
    /// A page of them, from the oldest on.
    filter: Filter,
    /// Those since the beginning, if any.
    events: Option<EventFilter>,
}

impl Rest {
    /// From the newest `count` on.
    fn of_newest(reader: &Reader, filter: Filter, count: u32) -> Result<Self, Failure> {
        // Asked first: what is committed between the two questions must not be lost.
        let end = reader.query(&Filter {
            limit: 1,
            ..Filter::default()
        })?;
        let newest = reader.query(&Filter {
            newest_first: true,
            limit: count.min(PAGE),
            ..filter.clone()
        })?;
        let beyond = match (newest.last(), end.first()) {
            (Some(oldest), _) => oldest.id.0 - 1,
            (None, Some(end)) => end.id.0,
            (None, None) => 0,
        };
        let last_event = reader.events(&EventFilter {
            limit: 1,
            ..EventFilter::default()
        })?;
        let events = events_of(&filter).map(|events| EventFilter {
            beyond: Some(last_event.first().map_or(0, |event| event.id)),
            newest_first: false,
            ..events
        });
        Ok(Self {
            events,
            filter: Filter {
                beyond: Some(DecisionId(beyond)),
                newest_first: false,
                limit: PAGE,
                ..filter
            },
        })
    }

    fn show(
        &mut self,
        reader: &Reader,
        format: Format,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        if reader.has_moved()? {
            let message = "the journal was moved or deleted: no more decisions come into it";
            return Err(Failure::new(Exit::Failed, message));
        }
        self.show_events(reader, format, screen)?;
        loop {
            let page = match reader.query(&self.filter) {
                Ok(page) => page,
                Err(error) if error.may_pass() => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            for row in &page {
                if is_unsettled(row) {
                    return Ok(());
                }
                match format {
                    Format::Json => write(row, screen)?,
                    Format::Text => screen.entry(&entry(row), 4)?,
                }
                self.filter.beyond = Some(row.id);
            }
            if page.len() < PAGE as usize {
                return Ok(());
            }
        }
    }
}

impl Rest {
    fn show_events(
        &mut self,
        reader: &Reader,
        format: Format,
        screen: &mut Screen,
    ) -> Result<(), Failure> {
        let Some(filter) = &mut self.events else {
            return Ok(());
        };
        let events = match reader.events(filter) {
            Ok(events) => events,
            Err(error) if error.may_pass() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in &events {
            match format {
                Format::Json => write_event(event, screen)?,
                Format::Text => screen.entry(&event_line(event), 4)?,
            }
            filter.beyond = Some(event.id);
        }
        Ok(())
    }
}

fn is_unsettled(row: &Row) -> bool {
    row.outcome == Outcome::Intended && now().since(row.decision.at) < OUTCOME_WITHIN
}

fn entry(row: &Row) -> String {
    format!(
        "{}  {DIM}{}{DIM:#}  {}",
        show::time(row.decision.at),
        row.id,
        decision_line(&row.decision, &row.outcome)
    )
}
