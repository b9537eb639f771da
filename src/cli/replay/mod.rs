//! `replay`: what policies would have decided on what a server once said.

mod told;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::exit::{Exit, Failure};
use super::judging::Judging;
use super::playing::{Heard, Playing, look_through};
use super::screen::{Format, Screen, error, warn};
use super::show::{counted, time};
use super::value::whole;
use super::when::{When, now};
use super::{report, setup};
use crate::field;
use crate::journal::Replayed;
use crate::page::Destination;
use crate::policy::{PolicySet, Test, shipped};
use crate::recording::{Recording, Tick};
use crate::replay::{Replay, Wanted};
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
    let asked = Asked::of(args, now())?;
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
    let mut audit = Audit::new(args, asked, set, against, &judging, &recording)?;
    audit.recordings = recordings;
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

/// What the report is to be about.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
}

impl Asked {
    fn of(args: &Args, now: Timestamp) -> Result<Self, Failure> {
        let resolved = |when: Option<When>| when.map(|when| when.resolve(now));
        let asked = Self {
            from: resolved(args.from),
            to: resolved(args.to),
        };
        match asked.from.zip(asked.to) {
            Some((from, to)) if from >= to => Err(Failure::new(
                Exit::Usage,
                format!(
                    "`--from` means {} UTC and `--to` {} UTC, and nothing is between them: give `--from` a \
                     time before `--to`",
                    time(from),
                    time(to)
                ),
            )),
            _ => Ok(asked),
        }
    }

    /// Why there is nothing to report of a recording with polls from `first` to `last`.
    fn nothing(self, polls: Option<(Timestamp, Timestamp)>) -> String {
        let Some((first, last)) = polls else {
            return "the recording holds no poll".to_owned();
        };
        let goes = format!("it goes from {} to {} UTC", time(first), time(last));
        let beyond = |option: &str, at: Timestamp, place: &str| {
            let at = time(at);
            format!("`{option}` means {at} UTC, which is {place} the recording: {goes}")
        };
        match (self.from, self.to) {
            (Some(from), _) if from > last => beyond("--from", from, "after"),
            (_, Some(to)) if to <= first => beyond("--to", to, "before"),
            (from, to) => {
                let from = from.map_or_else(String::new, |at| format!(" from {}", time(at)));
                let to = to.map_or_else(String::new, |at| format!(" to {}", time(at)));
                format!("the recording has no poll{from}{to} UTC: {goes}, with a gap there")
            }
        }
    }
}

/// A replay of one set of policies, or of two side by side.
struct Audit<'a> {
    args: &'a Args,
    /// As they were named.
    recordings: Vec<PathBuf>,
    asked: Asked,
    decided: Replay,
    against: Option<Replay>,
    collector: Collector,
    /// Policies that could not be judged at any poll so far, each with the field that is not known.
    unjudged: Option<BTreeMap<Arc<str>, String>>,
    wanted: Wanted,
    /// Targets that were due but beyond what one poll decides on, of each set.
    crowded: [u64; 2],
    told: Told,
    looks_back: Duration,
    /// The first and the last poll that were judged.
    seen: Option<(Timestamp, Timestamp)>,
}

impl<'a> Audit<'a> {
    fn new(
        args: &'a Args,
        asked: Asked,
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
        Ok(Self {
            args,
            recordings: Vec::new(),
            asked,
            decided: match &against {
                None => judging.replay(recording, set),
                Some(_) => judging.replay(recording, set).without_acts(),
            },
            against: against.map(|set| judging.replay(recording, set).without_acts()),
            collector: Collector::new(sides.0, sides.1),
            unjudged: None,
            wanted: Wanted::default(),
            crowded: [0; 2],
            told: Told::new(
                args.journal.as_deref(),
                args.decisions.then_some(args.format),
            )?,
            looks_back,
            seen: None,
        })
    }

    fn play(&mut self, mut recording: Recording, screen: &mut Screen) -> Result<(), Failure> {
        if let Some(from) = self.asked.from {
            recording = recording.from(from, self.looks_back);
        }
        if let Some(to) = self.asked.to {
            recording = recording.before(to);
        }
        let needs_groups = |replay: &Replay| replay.warden().needs_groups();
        let needs_groups =
            needs_groups(&self.decided) || self.against.as_ref().is_some_and(needs_groups);
        let mut playing = Playing::begin(recording.with_groups(needs_groups));
        while let Some(heard) = playing.hear()? {
            match heard {
                Heard::Start(start) => {
                    self.told.start();
                    self.decided.start(&start);
                    self.collector.start(self.decided.warden().settings());
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
        if tick.failure.is_none() {
            self.note_unjudged();
        }
        let first = self.seen.map_or(tick.at, |(first, _)| first);
        self.seen = Some((first, tick.at));
        if self.asked.from.is_some_and(|from| tick.at < from) {
            return Ok(());
        }
        let against_crowded = against.as_ref().map_or(0, |turn| turn.crowded);
        let against_held_off = against.as_ref().map_or(&[][..], |turn| &turn.held_off);
        let (against, against_untold) = against.as_ref().map_or((&[][..], &[][..]), |turn| {
            (&turn.carried[..], &turn.untold[..])
        });
        match &tick.failure {
            None => self
                .collector
                .poll(&tick.snapshot, &decided.carried, against),
            Some(why) => self
                .collector
                .missed(tick.at, why, &decided.carried, against),
        }
        self.collector.untold(&decided.untold, against_untold);
        self.collector.held_off(&decided.held_off, against_held_off);
        self.collector.followed(&decided.followed);
        if self.args.fail_if_more.is_some() {
            let wanted = &mut self.wanted;
            wanted.by_first(decided.carried.iter().chain(&decided.untold));
            wanted.by_second(against.iter().chain(against_untold));
            self.crowded[0] += decided.crowded;
            self.crowded[1] += against_crowded;
        }
        let stopped = self.decided.warden().stopped(tick.at);
        if let Some(until) = stopped.into_iter().map(|(_, until)| until).max() {
            self.collector.breaker_open(tick.at, until);
        }
        let mode = self.decided.warden().mode();
        self.told.turn(tick.at, mode, decided, screen)
    }

    /// Keeps of the policies those that could not be judged at any poll.
    fn note_unjudged(&mut self) {
        if self.unjudged.as_ref().is_some_and(BTreeMap::is_empty) {
            return;
        }
        let unjudged = self.decided.warden().unjudged().into_iter();
        let now: BTreeMap<Arc<str>, &Test> = unjudged
            .map(|(policy, test)| (policy.name.clone(), test))
            .collect();
        match &mut self.unjudged {
            Some(never) => never.retain(|name, _| now.contains_key(name)),
            None => self.unjudged = Some(worth_telling(&now)),
        }
    }

    fn end(self, page: Option<&Destination>, screen: &mut Screen) -> Result<Exit, Failure> {
        let mut report = self.collector.finish();
        if report.replayed.polls + report.replayed.missed == 0 {
            return Err(Failure::new(
                Exit::Failed,
                self.asked.nothing(polls(&self.recordings)?),
            ));
        }
        if let Some(unjudged) = &self.unjudged {
            report.decided.note_unjudged(unjudged);
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
            recordings: names(&self.recordings),
            policies: label(args),
            from: seen.0,
            to: seen.1,
            modes,
        };
        self.told.keep(replayed, self.decided.warden())?;
        Ok(verdict(args, &self.wanted, self.crowded, &report))
    }
}

/// The first and the last poll of all, be they good or not.
fn polls(recordings: &[PathBuf]) -> Result<Option<(Timestamp, Timestamp)>, Failure> {
    let mut polls = None;
    look_through(recordings, |tick| {
        let (first, _) = polls.unwrap_or((tick.at, tick.at));
        polls = Some((first, tick.at));
    })?;
    Ok(polls)
}

/// Of policies that cannot be judged those of which nobody expects that, each with what is not known.
fn worth_telling(unjudged: &BTreeMap<Arc<str>, &Test>) -> BTreeMap<Arc<str>, String> {
    // Of those that ship some are for later releases, and whoever records no probes knows that nothing is
    // said of daemons.
    let shipped: Vec<Arc<str>> = shipped().set.iter().flat_map(PolicySet::names).collect();
    unjudged
        .iter()
        .filter(|(name, test)| {
            let source = test.field.info().source;
            let is_optional = matches!(
                source,
                field::Source::Probes | field::Source::Slots | field::Source::Canary
            );
            !shipped.contains(name) && !is_optional
        })
        .map(|(name, test)| (name.clone(), test.field_written.to_string()))
        .collect()
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
fn verdict(args: &Args, wanted: &Wanted, crowded: [u64; 2], report: &Report) -> Exit {
    let Some((most, comparison)) = args.fail_if_more.zip(report.comparison.as_ref()) else {
        return Exit::Ok;
    };
    let (label, other) = (label(args), joined(&args.against));
    let sessions = |count: u64| {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        counted(count, "session", "sessions")
    };
    let withheld = |decided: &Decided| decided.totals.outcomes.withheld_sessions;
    let against = report.against.as_ref().map(withheld).unwrap_or_default();
    let more = comparison.sessions.only_decided.count;
    let told = if more > most {
        format!(
            "A ({label}) touches {} that B ({other}) leaves alone, and --fail-if-more allows {most}",
            sessions(more)
        )
    } else if wanted.more() > most {
        format!(
            "A ({label}) would do more than B ({other}) to {}, if limits and the breaker did not hold it \
             back, and --fail-if-more allows {most}",
            sessions(wanted.more())
        )
    } else if withheld(&report.decided) > against || crowded[0] > crowded[1] {
        format!(
            "the limits hold back more of A ({label}) than of B ({other}), and not all of that can be \
             told apart: it wants more than it gets, and --fail-if-more counts that too"
        )
    } else {
        return Exit::Ok;
    };
    error(&told);
    Exit::Failed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000) + Duration::from_secs(minute * 60)
    }

    #[test]
    fn why_there_is_nothing_names_what_there_is() {
        let polls = Some((at(10), at(20)));
        let asked = |from: Option<u64>, to: Option<u64>| Asked {
            from: from.map(at),
            to: to.map(at),
        };
        let told = [
            asked(Some(30), None).nothing(polls),
            asked(Some(30), Some(40)).nothing(polls),
            asked(None, Some(10)).nothing(polls),
            asked(Some(12), Some(14)).nothing(polls),
            asked(None, None).nothing(None),
        ];
        insta::assert_snapshot!(told.join("\n"), @r"
        `--from` means 2026-01-01 00:30:00 UTC, which is after the recording: it goes from 2026-01-01 00:10:00 to 2026-01-01 00:20:00 UTC
        `--from` means 2026-01-01 00:30:00 UTC, which is after the recording: it goes from 2026-01-01 00:10:00 to 2026-01-01 00:20:00 UTC
        `--to` means 2026-01-01 00:10:00 UTC, which is before the recording: it goes from 2026-01-01 00:10:00 to 2026-01-01 00:20:00 UTC
        the recording has no poll from 2026-01-01 00:12:00 to 2026-01-01 00:14:00 UTC: it goes from 2026-01-01 00:10:00 to 2026-01-01 00:20:00 UTC, with a gap there
        the recording holds no poll
        ");
    }
}
