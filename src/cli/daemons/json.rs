//! The daemons for programs, in the words of the other commands.

use std::io;

use serde::Serialize;

use super::{Source, View};
use crate::cli::json::row_json;
use crate::cli::screen::Screen;
use crate::cli::show::suppression;
use crate::decision::Suppression;
use crate::policy::{Action, DaemonTarget};
use crate::status::{DaemonStatus, PolicyStatus, ServerStatus};
use crate::watch::Outage;

/// The line of type `daemons`.
#[derive(Serialize)]
struct Line<'a> {
    source: Source,
    at: String,
    interval_s: f64,
    mode: crate::policy::Mode,
    outage: Option<Outage>,
    server: Option<&'a ServerStatus>,
    daemons: &'a [DaemonStatus],
    policies: Vec<PolicyLine<'a>>,
}

#[derive(Serialize)]
struct PolicyLine<'a> {
    policy: &'a str,
    mode: crate::policy::Mode,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    daemon_url: Option<&'a DaemonTarget>,
    to: Option<&'a str>,
    holds: bool,
    when: &'a [Vec<crate::engine::Looked>],
    unless: &'a [crate::engine::Looked],
    held_s: f64,
    hold_s: f64,
    at_once: bool,
    by: Option<&'static str>,
    detail: Option<String>,
}

impl<'a> PolicyLine<'a> {
    fn of(status: &'a PolicyStatus) -> Self {
        let standing = &status.standing;
        let by = status.held_back.as_ref();
        Self {
            policy: &standing.policy,
            mode: status.mode,
            action: standing.action.kind().name(),
            daemon_url: match &standing.action {
                Action::DaemonUrl { to } => Some(to),
                _ => None,
            },
            to: status.to.as_deref(),
            holds: standing.holds,
            when: &standing.when,
            unless: &standing.unless,
            held_s: standing.held.as_secs_f64(),
            hold_s: standing.hold.as_secs_f64(),
            at_once: standing.at_once,
            by: by.map(Suppression::word),
            detail: by.map(suppression),
        }
    }
}

pub(super) fn write(view: &View, screen: &mut Screen) -> io::Result<()> {
    let status = &view.status;
    let line = Line {
        source: view.source,
        at: status.at.to_string(),
        interval_s: status.interval.as_secs_f64(),
        mode: status.mode,
        outage: status.outage,
        server: view.has_server.then_some(&status.server),
        daemons: &status.daemons,
        policies: status.policies.iter().map(PolicyLine::of).collect(),
    };
    screen.json("daemons", &line)?;
    view.changes.iter().try_for_each(|row| {
        let decision = row_json(row);
        screen.json("decision", &decision)
    })
}
