//! `replay`: what policies would have decided on what a server once said.

mod told;

use std::path::PathBuf;
use std::time::Duration;

use super::exit::{Exit, Failure};
use super::judging::Judging;
use super::playing::{Heard, Playing};
use super::screen::{Format, Screen, error, warn};
use super::show::counted;
use super::value::whole;
use super::when::{When, now};
use super::{report, setup};
use crate::journal::Replayed;
use crate::page::Destination;
use crate::policy::{PolicySet, shipped};
use crate::recording::{Recording, Tick};
use crate::replay::Replay;
use crate::report::{Collector, Decided, Report, Side, html};
use crate::time::Timestamp;
use told::Told;

/// Judge a recording by policies, and report what they would have done.
///
/// Nobody is disconnected. Time is the recording's. With --against, two sets of policies are judged
/// side by side.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden demo --record demo.rec
  electrumx-warden replay demo.rec
  electrumx-warden replay demo.rec --policies mine --against policies --html report.html
  electrumx-warden replay demo.rec --policies mine --against policies --fail-if-more 0
  electrumx-warden replay demo.rec --decisions --format json | jq 'select(.type == \"decision\")'")]
pub(super) struct Args {
    /// Recordings: folders that `run`, `record` or `demo --record` wrote, or segments of them; without
    /// any, that of the configuration's agent
    #[arg(required_unless_present = "config", value_name = "RECORDING")]
    recordings: Vec<PathBuf>,

    /// Policy files, and folders of them, one each time it is given; without any, those of the
    /// configuration, or those that ship
    #[arg(long, value_name = "PATH")]
    policies: Vec<PathBuf>,

    /// Other policies, to be compared with; may be given several times
    #[arg(long, value_name = "PATH")]
    against: Vec<PathBuf>,

    /// Take policies, mode, limits and protection from this configuration, and its recording if none
    /// is named
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The key of the recording's pseudonyms, so that addresses in policies are found by theirs
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    /// Report from then on: 2026-01-31T12:00:00Z, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    from: Option<When>,

    /// Report what was before then
    #[arg(long, value_name = "TIME", value_parser = When::parse)]
    to: Option<When>,

    /// Show each decision too
    #[arg(long)]
    decisions: bool,

    /// Write the decisions into a new journal, for `journal` and `explain`
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,

    /// Write the report as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Replace the page if it is there
    #[arg(long, requires = "html")]
    force: bool,

    /// Fail if more than N sessions are touched that --against leaves alone
    #[arg(long, value_name = "N", requires = "against", num_args = 0..=1, default_missing_value = "0",
          value_parser = whole::<u64>(0..=u64::MAX, "0"))]
    fail_if_more: Option<u64>,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    screen.outlive_readers();
    let Source { recordings, key } = source(args)?;
    let recording = setup::recording(&recordings)?;
    let judging = Judging::new(&recording, args.config.as_deref(), key.as_deref())?;
    let set = policies(args, &recording)?;
    let against = match args.against.as_slice() {
        [] => None,
        paths => Some(setup::policies(PolicySet::load(paths))?),
    };
    let page = args
        .html
        .as_ref()
        .map(|path| Destination::new(path, args.force));
    let page = page.transpose().map_err(setup::unwritable)?;
    let mut audit = Audit::new(args, set, against, &judging, &recording)?;
    audit.recordings = names(&recordings);
    audit.play(recording, screen)?;
    audit.end(page.as_ref(), screen)
}

/// What is judged.
struct Source {
    recordings: Vec<PathBuf>,
    key: Option<PathBuf>,
}

/// The recordings that are named, or else that of the configuration's agent, with the key where the
/// agent put it.
fn source(args: &Args) -> Result<Source, Failure> {
    let (recordings, key) = (args.recordings.clone(), args.key.clone());
    let config = match &args.config {
        Some(path) if recordings.is_empty() => setup::config(path)?,
        _ => return Ok(Source { recordings, key }),
    };
    if !config.record.is_on {
        let message =
            "the agent of this configuration records nothing (`[record]`): name a recording";
        return Err(Failure::new(Exit::Setup, message));
    }
    let recorder = &config.record.recorder;
    let own_key = config.record.pseudonymise.then(|| recorder.key_path());
    Ok(Source {
        recordings: vec![recorder.path.clone()],
        key: key.or(own_key.filter(|path| path.exists())),
    })
}

/// The policies that are named, or else those of the configuration, or else those that ship.
fn policies(args: &Args, recording: &Recording) -> Result<PolicySet, Failure> {
    match (args.policies.as_slice(), &args.config) {
        ([], None) => {
            let set = setup::policies(shipped())?;
            if !recording
                .starts()
                .all(|start| set.names().eq(start.policies.iter().cloned()))
            {
                warn(
                    "the agent of this recording had other policies than those that ship, by which it \
                     is judged now: name them by --policies PATH, or its configuration by --config FILE",
                );
            }
            Ok(set)
        }
        ([], Some(config)) => setup::policies(setup::config(config)?.policies.load()),
        (paths, _) => setup::policies(PolicySet::load(paths)),
    }
}

/// A replay of one set of policies, or of two side by side.
struct Audit<'a> {
    args: &'a Args,
    /// As they were named.
    recordings: Vec<String>,
    decided: Replay,
    against: Option<Replay>,
    collector: Collector,
    told: Told,
    /// What the report is about.
    from: Option<Timestamp>,
    looks_back: Duration,
    to: Option<Timestamp>,
    /// The first and the last poll that were judged.
    seen: Option<(Timestamp, Timestamp)>,
}

impl<'a> Audit<'a> {
    fn new(
        args: &'a Args,
        set: PolicySet,
        against: Option<PolicySet>,
        judging: &Judging,
        recording: &Recording,
    ) -> Result<Self, Failure> {
        let side = |label, set| Side::of(label, set, judging.mode);
        let sides = (
            side(label(args), &set),
            against.as_ref().map(|set| side(joined(&args.against), set)),
        );
        let looks_back = [Some(&set), against.as_ref()].into_iter().flatten();
        let looks_back = looks_back.map(PolicySet::looks_back).max();
        let looks_back = looks_back.unwrap_or_default();
        let now = now();
        Ok(Self {
            args,
            recordings: Vec::new(),
            decided: match &against {
                None => judging.replay(recording, set),
                Some(_) => judging.replay(recording, set).without_acts(),
            },
            against: against.map(|set| judging.replay(recording, set).without_acts()),
            collector: Collector::new(sides.0, sides.1),
            told: Told::new(
                args.journal.as_deref(),
                args.decisions.then_some(args.format),
            )?,
            looks_back,
            from: args.from.map(|when| when.resolve(now)),
            to: args.to.map(|when| when.resolve(now)),
            seen: None,
        })
    }

    fn play(&mut self, mut recording: Recording, screen: &mut Screen) -> Result<(), Failure> {
        if let Some(from) = self.from {
            recording = recording.from(from, self.looks_back);
        }
        if let Some(to) = self.to {
            recording = recording.before(to);
        }
        let needs_groups = |replay: &Replay| replay.warden().needs_groups();
        let needs_groups =
            needs_groups(&self.decided) || self.against.as_ref().is_some_and(needs_groups);
        let mut playing = Playing::begin(recording.with_groups(needs_groups));
        while let Some(heard) = playing.hear()? {
            match heard {
                Heard::Start(start) => {
                    self.collector.start();
                    self.told.start();
                    self.decided.start(&start);
                    if let Some(against) = &mut self.against {
                        against.start(&start);
                    }
                }
                Heard::Tick(tick) => {
                    self.turn(&tick, screen)?;
                    playing.give_back(tick);
                }
            }
        }
        Ok(())
    }

    fn turn(&mut self, tick: &Tick, screen: &mut Screen) -> Result<(), Failure> {
        let decided = self.decided.turn(tick);
        let against = self.against.as_mut().map(|replay| replay.turn(tick));
        let first = self.seen.map_or(tick.at, |(first, _)| first);
        self.seen = Some((first, tick.at));
        if self.from.is_some_and(|from| tick.at < from) {
            return Ok(());
        }
        let against = against.as_ref().map_or(&[][..], |turn| &turn.carried);
        match &tick.failure {
            None => self
                .collector
                .poll(&tick.snapshot, &decided.carried, against),
            Some(why) => self
                .collector
                .missed(tick.at, why, &decided.carried, against),
        }
        if let Some(until) = self.decided.warden().breaker_open_until(tick.at) {
            self.collector.breaker_open(tick.at, until);
        }
        let mode = self.decided.warden().mode();
        self.told.turn(tick.at, mode, decided, screen)
    }

    fn end(self, page: Option<&Destination>, screen: &mut Screen) -> Result<Exit, Failure> {
        let report = self.collector.finish();
        if report.replayed.polls + report.replayed.missed == 0 {
            return Err(Failure::new(Exit::Failed, nothing(self.seen)));
        }
        report::write(&report, self.args.format, screen)?;
        if let Some(page) = page {
            let html = html::page(&report).map_err(std::io::Error::from)?;
            page.write(&html).map_err(setup::unwritable)?;
            if self.args.format == Format::Text {
                screen.line(format!("\nThe same as a page: {}", page.path().display()))?;
            }
        }
        let seen = self.seen.unwrap_or_default();
        let args = self.args;
        let replayed = |modes| Replayed {
            recordings: self.recordings,
            policies: label(args),
            from: seen.0,
            to: seen.1,
            modes,
        };
        self.told.keep(replayed, self.decided.warden())?;
        Ok(verdict(args, &report))
    }
}

/// Why there is nothing to report.
fn nothing(seen: Option<(Timestamp, Timestamp)>) -> String {
    match seen {
        Some((first, last)) => format!(
            "no poll of the recording is within --from and --to: it has those from {first} to {last}"
        ),
        None => "no poll of the recording is before --to, or there is none in it".to_owned(),
    }
}

/// What the first policies are called.
fn label(args: &Args) -> String {
    match (args.policies.as_slice(), &args.config) {
        ([], None) => "the shipped policies".to_owned(),
        ([], Some(config)) => format!("those of {}", config.display()),
        (paths, _) => joined(paths),
    }
}

fn joined(paths: &[PathBuf]) -> String {
    names(paths).join(" ")
}

fn names(paths: &[PathBuf]) -> Vec<String> {
    let names = paths.iter().map(|path| path.display().to_string());
    names.collect()
}

/// Whether more is touched than may be. What breaker and limits held back was wanted all the same.
fn verdict(args: &Args, report: &Report) -> Exit {
    let Some((most, comparison)) = args.fail_if_more.zip(report.comparison.as_ref()) else {
        return Exit::Ok;
    };
    let more = comparison.sessions.only_decided.count;
    let (label, other) = (label(args), joined(&args.against));
    let kept_from = |decided: &Decided| {
        let outcomes = &decided.totals.outcomes;
        let by = outcomes.suppressed_by.iter();
        let by = by.filter(|it| matches!(it.by, "breaker" | "policy-limit" | "action-limit"));
        by.map(|it| it.decisions).sum::<u64>() + outcomes.withheld_sessions
    };
    let against = report.against.as_ref().map(kept_from).unwrap_or_default();
    let told = if more > most {
        let sessions = usize::try_from(more).unwrap_or(usize::MAX);
        format!(
            "A ({label}) touches {} that B ({other}) leaves alone, and --fail-if-more allows {most}",
            counted(sessions, "session", "sessions")
        )
    } else if kept_from(&report.decided) > against {
        format!(
            "the breaker and the limits hold back more of A ({label}) than of B ({other}): it wants \
             more sessions than it gets, and --fail-if-more counts those too"
        )
    } else {
        return Exit::Ok;
    };
    error(&told);
    Exit::Failed
}
