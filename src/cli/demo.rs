//! `demo`: the agent against a simulated server full of honest and abusive clients.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment};
use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::demo_attack::{self, Siege};
use super::exit::{Exit, Failure};
use super::json::decision_json;
use super::screen::{Format, Screen};
use super::show::{self, BAD, DIM, GOOD, HEAD, counted, decision_line};
use super::value::{duration, whole};
use super::{runtime, setup};
use crate::act::Carried;
use crate::adversary::{self, Comparison, EPOCH};
use crate::agent::{Agent, AgentOptions, Cadence};
use crate::decision::Outcome;
use crate::journal::{Journal, Retention};
use crate::policy::{Mode, PolicySet, shipped};
use crate::poll::Clock;
use crate::recording::Recorder;
use crate::rpc::{Client, ClientOptions};
use crate::sim::{Attack, KindScore, Pace, Release, STORY, Score, Server, Spread, World};
use crate::time::Timestamp;
use crate::units::format_duration;
use crate::warden::{Settings, Warden};

/// Between two polls, in simulated time.
const INTERVAL: Duration = Duration::from_secs(10);
/// The world moves in steps of this length at most, so that events come out one after the other.
const STEP: Duration = Duration::from_secs(1);

/// Watch the agent at work: a simulated server, honest and abusive clients, the shipped policies.
///
/// Nothing real is touched. Ten minutes of a server's life pass in the time you give, or an attack by
/// adversaries who know the policies.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden demo
  electrumx-warden demo --attack hog-neighbours
  electrumx-warden demo --for 5s --seed 7
  electrumx-warden demo --record demo.rec
  electrumx-warden demo --format json | tail -n 1")]
pub(super) struct Args {
    /// How long it lasts, 5s to 10m; the whole story is played in any case
    #[arg(long = "for", value_name = "TIME", default_value = "30s", value_parser = duration(Duration::from_secs(5)..=STORY, "30s"))]
    length: Duration,

    /// Play an attack by adversaries who know the policies, in place of the story
    #[arg(long, value_name = "NAME", value_parser = demo_attack::parser())]
    attack: Option<Attack>,

    /// Draws other clients
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = whole::<u64>(0..=u64::MAX, "7"))]
    seed: u64,

    /// Only say what would be done; the abusers go on
    #[arg(long)]
    dry_run: bool,

    /// Record what the server says into this folder, for `replay`
    #[arg(long, value_name = "FOLDER")]
    record: Option<PathBuf>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let set = shipped()
        .set
        .ok_or_else(|| Failure::new(Exit::Setup, "the shipped policies are broken"))?;
    let (journal, _folder) = setup::passing_journal()?;
    let recorder = args.record.as_deref().map(Recorder::create).transpose();
    let recorder = recorder.map_err(|error| Failure::new(Exit::Setup, error.to_string()))?;
    runtime::block_on(play(args, set, journal, recorder, screen))
}

struct SimulatedClock(Arc<Server>);

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        EPOCH + self.0.now()
    }
}

impl Args {
    fn mode(&self) -> Mode {
        if self.dry_run {
            Mode::DryRun
        } else {
            Mode::Enforce
        }
    }

    /// How much of the server's life is played.
    fn span(&self) -> Duration {
        self.attack.map_or(STORY, Attack::length)
    }

    fn world(&self) -> World {
        match self.attack {
            None => World::story(Release::V1_20_0, self.seed),
            Some(attack) => World::under(attack, demo_attack::release(attack), self.seed),
        }
    }

    fn settings(&self) -> Settings {
        let story = Settings {
            mode: self.mode(),
            ..Settings::default()
        };
        self.attack
            .map_or(story, |attack| adversary::settings(attack, self.mode()))
    }
}

async fn play(
    args: &Args,
    set: PolicySet,
    journal: Journal,
    recorder: Option<Recorder>,
    screen: &mut Screen,
) -> Result<Exit, Failure> {
    let started = Server::start(args.world(), Pace::Manual).await;
    let server = started.map_err(|error| {
        let message = format!("the simulated server cannot listen on 127.0.0.1: {error}");
        Failure::new(Exit::Setup, message)
    })?;
    let server = Arc::new(server);
    let mut agent = Agent::new(
        Warden::new(set, args.settings()),
        Client::new(ClientOptions::new(server.addr().to_string())),
        journal,
        Box::new(SimulatedClock(Arc::clone(&server))),
        AgentOptions {
            cadence: Cadence::steady(INTERVAL),
            inspect_max: 20,
            retention: Retention::default(),
        },
    )?;
    let mut siege = args.attack.map(|attack| Siege::new(attack, args.seed));
    if let Some(siege) = &siege {
        siege.watch_daemons(&mut agent, &server);
    }
    if let Some(recorder) = recorder {
        agent.record(recorder, "demo".to_owned());
    }
    let mut told = Told {
        format: args.format,
        sessions: 0,
        polls: 0,
    };
    told.opening(args, &agent, screen)?;
    let pace = args.length.as_secs_f64() / args.span().as_secs_f64();
    let began = Instant::now();
    let mut next_poll = Duration::ZERO;
    while server.now() < args.span() {
        if server.now() >= next_poll {
            let tick = agent.tick().await;
            if let Some(failure) = tick.failure {
                return Err(Failure::new(Exit::Failed, failure.to_string()));
            }
            told.decisions(&server, &tick.carried, screen)?;
            next_poll += match &mut siege {
                None => INTERVAL,
                Some(siege) => siege.polled(&server, &mut agent, &tick.carried),
            };
        }
        let now = server.now();
        let step = STEP.min(next_poll.min(args.span()).saturating_sub(now));
        sleep_until(began + (now + step).mul_f64(pace)).await;
        server.advance(step);
        if let Some(siege) = &mut siege {
            siege.passed(&server);
        }
        told.events(&server, screen)?;
    }
    agent.end_recording();
    match siege {
        None => {
            let score = server.world().score();
            told.end(args, &score, screen)?;
        }
        Some(siege) => {
            let end = siege.end(&server, args.seed);
            told.end_of_attack(args, &end, screen)?;
        }
    }
    if let Some(path) = args
        .record
        .as_deref()
        .filter(|_| args.format == Format::Text)
    {
        let path = path.display();
        screen.prose(
            format!("{DIM}recorded into {path}: electrumx-warden replay {path}{DIM:#}"),
            4,
        )?;
    }
    Ok(Exit::Ok)
}

/// What has been said so far.
struct Told {
    format: Format,
    /// Sessions that the server disconnected for the agent.
    sessions: usize,
    polls: u32,
}

#[derive(Serialize)]
struct EventJson<'a> {
    at_s: f64,
    text: &'a str,
}

impl Told {
    fn opening(&self, args: &Args, agent: &Agent, screen: &mut Screen) -> std::io::Result<()> {
        if self.format == Format::Json {
            return Ok(());
        }
        let release = args.attack.map_or(Release::V1_20_0, demo_attack::release);
        let opening = format!(
            "{HEAD}A simulated {release}{HEAD:#}: {} of its life in {}, seed {}, {} {}",
            format_duration(args.span()),
            format_duration(args.length),
            args.seed,
            counted(
                agent.warden().policies().policies.len(),
                "policy",
                "policies"
            ),
            if args.dry_run {
                "in dry-run: nobody is disconnected"
            } else {
                "in force"
            },
        );
        screen.prose(opening, 0)?;
        if let Some(attack) = args.attack {
            let about = format!("{HEAD}{attack}{HEAD:#}: {}", attack.about());
            screen.prose(about, 0)?;
        }
        let legend = "Times are the simulation's. Lines with an outcome are the agent's; the others tell \
                      what its server goes through.";
        screen.paragraph(legend, DIM)?;
        screen.line("")
    }

    fn events(&self, server: &Server, screen: &mut Screen) -> std::io::Result<()> {
        let events = server.world().events();
        for event in events {
            match self.format {
                Format::Text => {
                    let line = format!("{DIM}{}  {}{DIM:#}", clock(event.at), event.text);
                    screen.entry(&line, 7)?;
                }
                Format::Json => {
                    let at_s = event.at.as_secs_f64();
                    screen.json(
                        "event",
                        &EventJson {
                            at_s,
                            text: &event.text,
                        },
                    )?;
                }
            }
        }
        Ok(())
    }

    fn decisions(
        &mut self,
        server: &Server,
        carried: &[Carried],
        screen: &mut Screen,
    ) -> std::io::Result<()> {
        self.polls += 1;
        for Carried {
            id,
            decision,
            outcome,
            ..
        } in carried
        {
            if matches!(outcome, Outcome::Executed { .. }) {
                self.sessions += decision.sessions.len();
            }
            match self.format {
                Format::Json => screen.json("decision", &decision_json(*id, decision, outcome))?,
                // Every poll holds somebody back; that would drown what happens.
                Format::Text if matches!(outcome, Outcome::Suppressed(_)) => {}
                Format::Text => {
                    let line = decision_line(decision, outcome);
                    screen.entry(&format!("{}  {line}", clock(server.now())), 19)?;
                }
            }
        }
        Ok(())
    }

    fn end(&self, args: &Args, score: &Score, screen: &mut Screen) -> std::io::Result<()> {
        match self.format {
            Format::Json => screen.json("summary", &SummaryJson::of(self, args, score)),
            Format::Text => self.table(args, score, screen),
        }
    }

    fn end_of_attack(
        &self,
        args: &Args,
        end: &Comparison,
        screen: &mut Screen,
    ) -> std::io::Result<()> {
        match self.format {
            Format::Json => {
                let summary = demo_attack::SummaryJson::of(end, args.seed, self.sessions);
                screen.json("summary", &summary)
            }
            Format::Text => demo_attack::summarize(end, args.dry_run, screen),
        }
    }

    fn table(&self, args: &Args, score: &Score, screen: &mut Screen) -> std::io::Result<()> {
        let mut table = show::table(&["", "who", "met", "disconnected", "median", "worst"]);
        let mut side = "";
        for kind in &score.kinds {
            let its_side = if kind.kind.is_honest() {
                "honest"
            } else {
                "abusive"
            };
            table.add_row(row(if its_side == side { "" } else { its_side }, kind));
            side = its_side;
        }
        for column in 2..6 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        screen.line("")?;
        screen.table(table)?;
        screen.line("")?;
        let times = score
            .time_to_disconnect
            .map_or(String::new(), |Spread { p50, max }| {
                format!(
                    ", in {} (median) and {} (worst) of abuse",
                    seconds(p50),
                    seconds(max)
                )
            });
        if args.dry_run {
            let polls = counted(self.polls as usize, "poll", "polls");
            return screen.paragraph(&format!("{polls}; in dry-run nobody is disconnected"), DIM);
        }
        let all = score.abusers_disconnected == score.abusers;
        let style = if all { GOOD } else { BAD };
        let abusers = format!(
            "{style}abusers: {} of {} disconnected{style:#}{times}",
            score.abusers_disconnected, score.abusers
        );
        screen.prose(abusers, 9)?;
        let style = if score.honest_disconnected == 0 {
            GOOD
        } else {
            BAD
        };
        let honest = format!(
            "{style}honest:  {} of {} disconnected by mistake{style:#}",
            score.honest_disconnected, score.honest
        );
        screen.prose(honest, 9)?;
        let polls = counted(self.polls as usize, "poll", "polls");
        let sessions = counted(self.sessions, "session", "sessions");
        let rest =
            format!("{polls}, {sessions} disconnected; abusers come back, and are caught again");
        screen.paragraph(&rest, DIM)
    }
}

/// The side is named where it begins.
fn row(side: &str, kind: &KindScore) -> Vec<Cell> {
    let is_right = if kind.kind.is_honest() {
        kind.disconnected == 0
    } else {
        kind.disconnected == kind.met
    };
    let color = if is_right {
        comfy_table::Color::Green
    } else {
        comfy_table::Color::Red
    };
    let time = |time: fn(Spread) -> Duration| {
        // For the honest there is no time that would be good.
        kind.time_to_disconnect
            .map_or_else(String::new, |spread| seconds(time(spread)))
    };
    vec![
        Cell::new(side),
        Cell::new(kind.kind.label()),
        Cell::new(kind.met),
        Cell::new(kind.disconnected).fg(color),
        Cell::new(time(|spread| spread.p50)),
        Cell::new(time(|spread| spread.max)),
    ]
}

/// `1m05s` of simulated time as `01:05`.
fn clock(at: Duration) -> String {
    format!("{:02}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}

fn seconds(time: Duration) -> String {
    format!("{:.0} s", time.as_secs_f64())
}

#[derive(Serialize)]
struct SummaryJson {
    abusers: usize,
    abusers_disconnected: usize,
    honest: usize,
    honest_disconnected: usize,
    time_to_disconnect_s: Option<SpreadJson>,
    sessions_disconnected: usize,
    polls: u32,
    simulated_s: u64,
    seed: u64,
    kinds: Vec<KindJson>,
}

#[derive(Serialize)]
struct SpreadJson {
    p50: f64,
    max: f64,
}

#[derive(Serialize)]
struct KindJson {
    kind: &'static str,
    honest: bool,
    met: usize,
    disconnected: usize,
    time_to_disconnect_s: Option<SpreadJson>,
}

impl SpreadJson {
    fn of(spread: Spread) -> Self {
        Self {
            p50: spread.p50.as_secs_f64(),
            max: spread.max.as_secs_f64(),
        }
    }
}

impl SummaryJson {
    fn of(told: &Told, args: &Args, score: &Score) -> Self {
        Self {
            abusers: score.abusers,
            abusers_disconnected: score.abusers_disconnected,
            honest: score.honest,
            honest_disconnected: score.honest_disconnected,
            time_to_disconnect_s: score.time_to_disconnect.map(SpreadJson::of),
            sessions_disconnected: told.sessions,
            polls: told.polls,
            simulated_s: STORY.as_secs(),
            seed: args.seed,
            kinds: score
                .kinds
                .iter()
                .map(|kind| KindJson {
                    kind: kind.kind.label(),
                    honest: kind.kind.is_honest(),
                    met: kind.met,
                    disconnected: kind.disconnected,
                    time_to_disconnect_s: kind.time_to_disconnect.map(SpreadJson::of),
                })
                .collect(),
        }
    }
}
