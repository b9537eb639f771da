//! A test drafted from a moment of a recording.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;

use super::Args;
use crate::cli::exit::{Exit, Failure};
use crate::cli::judging::Judging;
use crate::cli::playing::{Heard, Playing};
use crate::cli::screen::{Screen, warn};
use crate::cli::setup;
use crate::cli::show::{counted, time};
use crate::decision::{Decision, Outcome};
use crate::penalty::{Ban, Face, Strike};
use crate::policy::PolicySet;
use crate::recording::{Recording, Start, Tick};
use crate::replay::Replay;
use crate::time::Timestamp;
use crate::trial::{self, Drafted, ENDING, Moment, POLLS_MAX};

/// So much before the moment is judged too, and more if a policy looks back further.
const BEFORE_MIN: Duration = Duration::from_hours(6);

/// Times are shown without fractions: what is meant by one is the poll of that second.
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn draft(args: &Args, at: Timestamp, screen: &mut Screen) -> Result<Exit, Failure> {
    if let Some(file) = &args.out {
        ready(file)?;
    }
    let set = setup::policies(PolicySet::load(&args.paths))?;
    let recording = setup::recording(&args.recording)?;
    let (config, key) = (args.config.as_deref(), args.key.as_deref());
    let has_pseudonyms = recording.pseudonyms().is_some();
    let judging = Judging::new(&recording, config, key)?;
    let replay = judging.replay(&recording, set.clone());
    let back = set.looks_back().max(BEFORE_MIN);
    let until = at + SECOND;
    let seen = Seen::of(recording.from(until, back).before(until), replay)?;
    let Some(last) = seen.ticks.back().map(|tick| tick.at) else {
        let message = format!("the recording has nothing before {}", time(at));
        return Err(Failure::new(Exit::Failed, message));
    };
    if at.since(last) > seen.start.interval.max(SECOND) * 6 {
        let message = format!(
            "the recording has no poll at {}: the last before that is of {}",
            time(at),
            time(last)
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    let folder = args.out.as_deref().and_then(Path::parent);
    let folder = folder.unwrap_or(Path::new(""));
    let policies: Vec<String> = args
        .paths
        .iter()
        .map(|path| relative(path, folder))
        .collect();
    let ticks: Vec<Box<Tick>> = seen.ticks.into();
    let moment = Moment {
        ticks: &ticks,
        start: &seen.start,
        set: &set,
        policies: &policies,
        decided: &seen.decided,
        config: config.map(|path| (relative(path, folder), path)),
        strikes: seen.strikes,
        bans: seen.bans,
        has_pseudonyms,
    };
    let Drafted { text, reproduced } = trial::draft(&moment).map_err(|error| {
        let message = format!("no test can be drafted of {}: {error}", time(at));
        Failure::new(Exit::Failed, message)
    })?;
    let decided = seen.decided.len();
    match &args.out {
        None => screen.text(text)?,
        Some(file) => {
            write(file, &text)?;
            let path = file.display();
            let decisions = counted(decided, "decision", "decisions");
            screen.line(format!(
                "wrote `{path}`: what was so at {}, with {decisions}",
                time(last)
            ))?;
        }
    }
    if reproduced < decided {
        let lost = format!(
            "{}, {reproduced} of them come out in the test: the rest is marked there",
            counted(decided, "decision", "decisions")
        );
        warn(&lost);
    }
    Ok(Exit::Ok)
}

/// Whether the test can be written there, and played from there.
fn ready(file: &Path) -> Result<(), Failure> {
    let name = file.to_string_lossy();
    if !name.ends_with(ENDING) {
        let stem = name.strip_suffix(".toml").unwrap_or(&name);
        let stem = stem.strip_suffix(".test").unwrap_or(stem);
        let message =
            format!("tests are found by how they are called: write `--out {stem}{ENDING}`");
        return Err(Failure::new(Exit::Usage, message));
    }
    match file.symlink_metadata() {
        Ok(_) => Err(there_already(file)),
        Err(_) => Ok(()),
    }
}

fn there_already(file: &Path) -> Failure {
    let name = file.display();
    let message = format!("`{name}` is there already and is not overwritten: give another path");
    Failure::new(Exit::Setup, message)
}

/// What a recording shows up to a moment.
struct Seen {
    start: Start,
    ticks: VecDeque<Box<Tick>>,
    /// At the last tick, and not held back.
    decided: Vec<Decision>,
    /// After that.
    strikes: Vec<(IpNet, Strike)>,
    bans: Vec<Ban>,
}

impl Seen {
    fn of(recording: Recording, mut replay: Replay) -> Result<Self, Failure> {
        let mut seen = Self {
            start: Start::default(),
            ticks: VecDeque::new(),
            decided: Vec::new(),
            strikes: Vec::new(),
            bans: Vec::new(),
        };
        let mut playing = Playing::begin(recording);
        while let Some(heard) = playing.hear()? {
            match heard {
                Heard::Start(start) => {
                    replay.start(&start);
                    seen.start = *start;
                    seen.ticks.clear();
                }
                Heard::Tick(tick) => {
                    let carried = replay.turn(&tick).carried.into_iter();
                    let is_permitted =
                        |outcome: &Outcome| !matches!(outcome, Outcome::Suppressed(_));
                    let permitted = carried.filter(|it| is_permitted(&it.outcome));
                    seen.decided = permitted.map(|it| it.decision).collect();
                    seen.ticks.push_back(tick);
                    if seen.ticks.len() > POLLS_MAX
                        && let Some(old) = seen.ticks.pop_front()
                    {
                        playing.give_back(old);
                    }
                }
            }
        }
        let face = Face::from(replay.warden().mode());
        let penalties = replay.warden().penalties();
        let offenders = penalties.strikes.all().into_iter();
        let strikes = offenders.filter_map(|offender| Some((offender.net, offender.of(face)?)));
        seen.strikes = strikes.collect();
        seen.bans = penalties.bans_as(face);
        Ok(seen)
    }
}

/// The path as a file in `folder` names it.
fn relative(path: &Path, folder: &Path) -> String {
    let there = |path: &Path| {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    };
    let (path, folder) = (there(path), there(folder));
    match path.strip_prefix(&folder) {
        Ok(below) if below.as_os_str().is_empty() => ".".to_owned(),
        Ok(below) => below.to_string_lossy().into_owned(),
        Err(_) => path.to_string_lossy().into_owned(),
    }
}

/// Nothing is overwritten.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return there_already(path);
        }
        let message = format!("`{}` cannot be written: {error}", path.display());
        Failure::new(Exit::Failed, message)
    })
}
