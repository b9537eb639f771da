//! Events among the decisions.

use std::io;

use serde::Serialize;

use crate::cli::screen::Screen;
use crate::cli::show;
use crate::escape;
use crate::journal::{EVENTS_MAX, Event, EventFilter, EventRow, Filter, Outcomes};

/// The events that belong into a list of decisions: all of its time, unless it is of some policy, target,
/// action or outcome.
pub(super) fn events_of(filter: &Filter) -> Option<EventFilter> {
    let Filter {
        since,
        until,
        policy,
        target_contains,
        outcomes,
        action,
        newest_first,
        ..
    } = filter;
    let is_of_all = policy.is_none()
        && target_contains.is_none()
        && action.is_none()
        && matches!(outcomes, Outcomes::Any | Outcomes::Acts);
    is_of_all.then_some(EventFilter {
        since: *since,
        until: *until,
        newest_first: *newest_first,
        beyond: None,
        limit: u32::try_from(EVENTS_MAX).unwrap_or(u32::MAX),
    })
}

/// What happened, and the rest of it.
pub(super) fn event_words(event: &Event) -> (String, String) {
    match event {
        Event::DaemonMoved { from, to } => (
            "daemon changed".to_owned(),
            format!(
                "to {} from {}, not by the agent",
                show::text(to),
                show::text(from)
            ),
        ),
        Event::SinkFailed { sink, why } => (
            "sink failed".to_owned(),
            format!("{sink}: {}", escape::terminal(why, show::DETAIL_COLUMNS)),
        ),
        Event::SinkRecovered { sink, held } => (
            "sink recovered".to_owned(),
            format!(
                "{sink}: {} kept out",
                show::counted(
                    usize::try_from(*held).unwrap_or(usize::MAX),
                    "network",
                    "networks"
                )
            ),
        ),
        Event::SinkRepaired { sink, what } => (
            "sink repaired".to_owned(),
            format!("{sink}: {}", escape::terminal(what, show::DETAIL_COLUMNS)),
        ),
        Event::BannedByHand {
            net,
            until,
            holes,
            user,
            reason,
        } => {
            let mut words = vec![format!(
                "{} until {}",
                show::network(net),
                show::time(*until)
            )];
            if *holes > 0 {
                words.push(format!("with {}", show::counted(*holes, "hole", "holes")));
            }
            words.push(format!("by {}", show::text(user)));
            let mut words = words.join(", ");
            if !reason.is_empty() {
                words.push_str(": ");
                words.push_str(&escape::terminal(reason, show::DETAIL_COLUMNS));
            }
            ("banned by hand".to_owned(), words)
        }
        Event::LiftedByHand {
            what,
            bans,
            holed,
            user,
        } => {
            let ended = show::counted(*bans, "ban", "bans");
            let mut words = vec![format!("{}: {ended} ended", show::text(what))];
            if *holed > 0 {
                words.push(format!("a hole in {holed}"));
            }
            words.push(format!("by {}", show::text(user)));
            ("unbanned by hand".to_owned(), words.join(", "))
        }
        Event::Pardoned { net, user } => (
            "pardoned".to_owned(),
            format!("{}, by {}", show::network(net), show::text(user)),
        ),
        Event::BreakerClosed { policy, user } => (
            "breaker closed".to_owned(),
            format!("{}, by {}", show::text(policy), show::text(user)),
        ),
    }
}

/// On a line.
pub(super) fn event_line(row: &EventRow) -> String {
    let (what, words) = event_words(&row.event);
    let of = match row.event {
        Event::DaemonMoved { .. } => "server",
        Event::BreakerClosed { .. } => "policies",
        _ => "bans",
    };
    format!("{}  {of}: {what} {words}", show::time(row.at))
}

pub(super) fn write_event(row: &EventRow, screen: &mut Screen) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        id: i64,
        at: String,
        #[serde(flatten)]
        event: &'a Event,
    }
    let line = Line {
        id: row.id,
        at: row.at.to_string(),
        event: &row.event,
    };
    screen.json("event", &line)
}
