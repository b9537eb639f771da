//! `demo --attack`: an attack beside what it would have come to without the agent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use comfy_table::{Cell, CellAlignment, Color};
use serde::Serialize;

use super::screen::Screen;
use super::show::{self, BAD, DIM, GOOD};
use crate::act::Carried;
use crate::adversary::{Comparison, DAEMONS, Prober, Rhythm, Row, Run, Tally, play};
use crate::agent::{Agent, Rounds};
use crate::daemon::{Daemons, Round};
use crate::decision::{Outcome, Suppression};
use crate::policy::ActionKind;
use crate::sim::{Attack, Release, Role, Server};

/// Reads the name of an attack.
pub(super) fn parser() -> impl TypedValueParser<Value = Attack> {
    let named = |attack: Attack| PossibleValue::new(attack.name()).help(attack.about());
    PossibleValuesParser::new(Attack::ALL.map(named))
        .map(|name| Attack::named(&name).unwrap_or(Attack::HogNeighbours))
}

/// The release that shows an attack best.
pub(super) fn release(attack: Attack) -> Release {
    attack
        .releases()
        .first()
        .copied()
        .unwrap_or(Release::V1_20_0)
}

/// The attack while it is played.
pub(super) struct Siege {
    attack: Attack,
    rhythm: Rhythm,
    run: Run,
}

/// The probes of a server that is shared with its clients.
struct Probed {
    server: Arc<Server>,
    prober: Prober,
}

impl Rounds for Probed {
    fn take(&mut self) -> Vec<Round> {
        let world = self.server.world();
        self.prober.round(&world).into_iter().collect()
    }
}

impl Siege {
    pub(super) fn new(attack: Attack, seed: u64) -> Self {
        Self {
            attack,
            rhythm: Rhythm::new(seed),
            run: Run::default(),
        }
    }

    /// Lets the agent probe the daemons, if one of them stops in this attack.
    pub(super) fn watch_daemons(&self, agent: &mut Agent, server: &Arc<Server>) {
        if !self.attack.sticks_daemon() {
            return;
        }
        let urls = DAEMONS
            .map(|address| format!("http://demo:demo@{address}"))
            .join(",");
        let daemons = Daemons::parse(&urls, None).expect("two good URLs");
        let probed = Probed {
            server: Arc::clone(server),
            prober: Prober::default(),
        };
        agent.watch_daemons(daemons, Box::new(probed));
    }

    /// Takes in what came of a poll; says when the next one is due.
    pub(super) fn polled(
        &mut self,
        server: &Server,
        agent: &mut Agent,
        carried: &[Carried],
    ) -> Duration {
        let world = server.world();
        self.run.note_poll(&world);
        for Carried {
            decision, outcome, ..
        } in carried
        {
            match outcome {
                Outcome::Suppressed(Suppression::Breaker { .. }) => {
                    let stopped = &mut self.run.stopped;
                    stopped.entry(decision.policy.clone()).or_default();
                }
                Outcome::Executed { .. } if decision.action.kind().blames() => {
                    self.run.note_blame(decision, &world);
                }
                Outcome::Executed { .. } if decision.action.kind() == ActionKind::DaemonUrl => {
                    self.run.failover.get_or_insert(world.now());
                }
                _ => {}
            }
        }
        let snapshot = agent.snapshot();
        let is_alert = snapshot.is_some_and(|snapshot| agent.warden().is_alert(snapshot));
        self.rhythm.interval(is_alert)
    }

    /// Takes in that time has passed.
    pub(super) fn passed(&mut self, server: &Server) {
        self.run.note_abuse(&server.world());
    }

    /// What came of it, beside the same without an agent.
    pub(super) fn end(mut self, server: &Server, seed: u64) -> Comparison {
        let release = release(self.attack);
        self.run.end(&server.world());
        Comparison {
            guarded: self.run,
            free: play(self.attack, release, seed, None),
            attack: self.attack,
            release,
        }
    }
}

/// The end of an attack, for people.
pub(super) fn summarize(
    end: &Comparison,
    is_dry_run: bool,
    screen: &mut Screen,
) -> std::io::Result<()> {
    screen.line("")?;
    screen.table(table(&end.guarded))?;
    screen.line("")?;
    if is_dry_run {
        return screen.paragraph("in dry-run nobody is disconnected", DIM);
    }
    screen.prose(harm(end), 9)?;
    if let Some(because) = end.attack.aim().because {
        let why = format!("{DIM}disconnects cannot leave less: {because}{DIM:#}");
        screen.prose(format!("         {why}"), 9)?;
    }
    let found = Row::from(end).shortfalls();
    if found.is_empty() {
        let verdict = match end.attack.slots() {
            None => "nobody honest was disconnected, and no policy stopped",
            Some(_) => "nobody honest was disconnected or shut out, and no policy stopped",
        };
        return screen.prose(format!("{GOOD}verdict: {verdict}{GOOD:#}"), 9);
    }
    let found = found.join("; ");
    screen.prose(format!("{BAD}verdict: {found}{BAD:#}"), 9)
}

fn table(run: &Run) -> comfy_table::Table {
    let mut table = show::table(&["", "who", "met", "disconnected", "times"]);
    for (role, honest) in &run.roles {
        let Tally {
            met,
            hit,
            disconnects,
            ..
        } = honest;
        let is_right = (*hit == 0) == role.is_honest();
        let color = if is_right { Color::Green } else { Color::Red };
        let is_first = matches!(role, Role::Regular | Role::Abuser);
        let side = match (is_first, role.is_honest()) {
            (false, _) => "",
            (true, true) => "honest",
            (true, false) => "abusive",
        };
        table.add_row([
            Cell::new(side),
            Cell::new(role.label()),
            Cell::new(met),
            Cell::new(hit).fg(color),
            Cell::new(disconnects),
        ]);
    }
    for column in 2..5 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// What got through, in words.
fn harm(end: &Comparison) -> String {
    let Some(through) = end.through() else {
        return "harm:    nobody attacks".to_owned();
    };
    let labels: Vec<&str> = end.attack.harms().iter().map(|harm| harm.label()).collect();
    let labels = labels.join(", ");
    let most = end.attack.aim().left_max;
    let act = end.time_to_act().map_or_else(
        || "no abuser was disconnected".to_owned(),
        |time| format!("first disconnect after {} s", time.as_secs()),
    );
    let left = end.left().map_or_else(String::new, |left| {
        let style = if left > most { BAD } else { GOOD };
        let grace = end.attack.aim().grace.as_secs();
        format!(
            "; {style}{:.0}% from {grace} s after the first evidence on{style:#} (aim: {:.0}%)",
            left * 100.0,
            most * 100.0
        )
    });
    format!(
        "harm:    {:.0}% of that without the agent, by {labels}{left}; {act}",
        through * 100.0
    )
}

/// The end of an attack, for programs.
#[derive(Serialize)]
pub(super) struct SummaryJson {
    attack: &'static str,
    release: &'static str,
    roles: BTreeMap<&'static str, RoleJson>,
    through: Option<f64>,
    left: Option<f64>,
    left_max: f64,
    time_to_act_s: Option<f64>,
    stopped: Vec<Arc<str>>,
    failover_s: Option<f64>,
    shortfalls: Vec<String>,
    sessions_disconnected: usize,
    polls: u32,
    simulated_s: u64,
    seed: u64,
}

#[derive(Serialize)]
struct RoleJson {
    honest: bool,
    met: u64,
    disconnected: u64,
    disconnects: u64,
}

impl SummaryJson {
    pub(super) fn of(end: &Comparison, seed: u64, sessions: usize) -> Self {
        let run = &end.guarded;
        let role = |(role, sum): (&Role, &Tally)| {
            let json = RoleJson {
                honest: role.is_honest(),
                met: sum.met,
                disconnected: sum.hit,
                disconnects: sum.disconnects,
            };
            (role.label(), json)
        };
        let begins = end.attack.begins();
        let failover = run.failover.map(|at| at.saturating_sub(begins));
        Self {
            attack: end.attack.name(),
            release: end.release.number(),
            roles: run.roles.iter().map(role).collect(),
            through: end.through(),
            left: end.left(),
            left_max: end.attack.aim().left_max,
            time_to_act_s: end.time_to_act().map(|time| time.as_secs_f64()),
            stopped: run.stopped.keys().cloned().collect(),
            failover_s: failover.map(|time| time.as_secs_f64()),
            shortfalls: Row::from(end).shortfalls(),
            sessions_disconnected: sessions,
            polls: run.polls,
            simulated_s: end.attack.length().as_secs(),
            seed,
        }
    }
}
