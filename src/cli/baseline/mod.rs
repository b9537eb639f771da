//! `baseline`: what is normal on a server, and which thresholds a budget of false alarms allows.

mod json;
mod text;

use std::path::PathBuf;
use std::time::Duration;

use super::exit::{Exit, Failure};
use super::fields::scope_parser;
use super::playing::{Heard, Playing};
use super::screen::{Format, Screen};
use super::setup;
use super::value::duration;
use crate::baseline::{Baseline, Budget, Survey, Surveyor, Tuned, Tuning, page};
use crate::field::{Field, Kind, Scope};
use crate::page::Destination;
use crate::policy::reading::{closest, word};
use crate::policy::{PolicySet, bounds, shipped};
use crate::recording::{Start, Tick};
use crate::units::format_duration;

/// Survey what is normal in a recording, and propose thresholds for a budget of false alarms.
///
/// Shows how each field of each scope spreads, and where the policies' thresholds lie. With
/// --budget, thresholds are found on two thirds of the recording and checked on the last third.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden baseline demo.rec
  electrumx-warden baseline demo.rec --scope session --field subs --field sent_rate
  electrumx-warden baseline week.rec --budget \"1 false disconnect a week\" --html baseline.html
  electrumx-warden baseline week.rec --budget \"2 a day\" --assume-abusive all
  electrumx-warden baseline demo.rec --format json | jq 'select(.type == \"spread\")'")]
pub(super) struct Args {
    /// Recordings: folders that `run`, `record` or `demo --record` wrote, or segments of them
    #[arg(required = true, value_name = "RECORDING")]
    recordings: Vec<PathBuf>,

    /// Policy files, and folders of them, one each time it is given; without any, those that ship with
    /// the program
    #[arg(long, value_name = "PATH")]
    policies: Vec<PathBuf>,

    /// Only the fields of this scope; may be given several times
    #[arg(long, value_parser = scope_parser())]
    scope: Vec<Scope>,

    /// Only this field; may be given several times
    #[arg(long, value_name = "NAME")]
    field: Vec<String>,

    /// Over which fields with a window are taken
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration(bounds::WINDOW, "1m"))]
    window: Duration,

    /// Count private peers, Tor and local proxies, as addresses and subnets too
    #[arg(long)]
    include_private: bool,

    /// Propose thresholds for so many false alarms: `1 false disconnect a week`, `2 alerts a day`, `0`
    #[arg(long, value_name = "TEXT", value_parser = Budget::parse)]
    budget: Option<Budget>,

    /// What this policy hits is abuse, and no false alarm; `all` for every policy; may be given several times
    #[arg(long, value_name = "POLICY", requires = "budget")]
    assume_abusive: Vec<String>,

    /// Write it all as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    /// Replace the page if it is there
    #[arg(long, requires = "html")]
    force: bool,

    /// For people or for programs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let survey = survey(args)?;
    let set = setup::policies(match args.policies.as_slice() {
        [] => shipped(),
        paths => PolicySet::load(paths),
    })?;
    let abusers = abusers(&args.assume_abusive, &set)?;
    let html = args.html.as_deref();
    let page_to = html.map(|path| Destination::new(path, args.force));
    let page_to = page_to.transpose().map_err(setup::unwritable)?;
    let mut playing = Playing::begin(setup::recording(&args.recordings)?);
    let baseline = surveyed(&mut playing, &survey, &set)?;
    let tuned = match args.budget {
        Some(budget) => Some(tuned(&mut playing, set, budget, abusers, &baseline)?),
        None => None,
    };
    drop(playing);
    if let Some(page_to) = page_to {
        let page = page(&baseline, tuned.as_ref());
        page_to.write(&page).map_err(setup::unwritable)?;
    }
    match args.format {
        Format::Text => text::show(&baseline, tuned.as_ref(), screen)?,
        Format::Json => json::write(&baseline, tuned.as_ref(), screen)?,
    }
    Ok(Exit::Ok)
}

/// What is asked for.
fn survey(args: &Args) -> Result<Survey, Failure> {
    let scopes = match args.scope.as_slice() {
        [] => Scope::ALL.to_vec(),
        scopes => scopes.to_vec(),
    };
    for name in &args.field {
        check_field(name, &scopes)?;
    }
    Ok(Survey {
        window: args.window,
        include_private: args.include_private,
        scopes,
        fields: args.field.clone(),
    })
}

/// Whether a field of this name has numbers in one of the scopes.
fn check_field(name: &str, scopes: &[Scope]) -> Result<(), Failure> {
    let is_counted = |field: &Field| matches!(field.info().kind, Kind::Number(_));
    let has = |scope: &Scope| Field::of(*scope, name).is_some_and(|field| is_counted(&field));
    if scopes.iter().any(has) {
        return Ok(());
    }
    let shown = word(name);
    let named = |scope: &Scope| Field::of(*scope, name).is_some();
    let message = if Field::ALL
        .iter()
        .any(|field| field.has_method() && field.name() == name)
    {
        format!("field `{shown}` wants a method: write `{shown}server.ping`, for example")
    } else if scopes.iter().any(named) {
        format!("field `{shown}` has no numbers, so it has no spread: give a field that counts")
    } else if let Some(scope) = Scope::ALL.iter().find(|scope| named(scope)) {
        format!("no scope that was asked for has a field `{shown}`: add --scope {scope}")
    } else {
        let names = scopes.iter().flat_map(|&scope| Field::in_scope(scope));
        let names = names.filter(is_counted).map(Field::name);
        let names = names.filter(|name| !name.ends_with('.'));
        match closest(name, names) {
            Some(close) => format!("there is no field `{shown}`: did you mean `{close}`?"),
            None => {
                format!("there is no field `{shown}`: `electrumx-warden fields` lists them")
            }
        }
    };
    Err(Failure::new(Exit::Usage, message))
}

/// Whose hits are abuse; `None` for all.
fn abusers(names: &[String], set: &PolicySet) -> Result<Option<Vec<String>>, Failure> {
    let known = || set.policies.iter().map(|policy| &*policy.name);
    for name in names {
        if name == "all" || known().any(|known| known == name) {
            continue;
        }
        let help = match closest(name, known()) {
            Some(close) => format!("did you mean `{close}`?"),
            None => "give one of the policies, or `all`".to_owned(),
        };
        let message = format!("there is no policy `{}`: {help}", word(name));
        return Err(Failure::new(Exit::Usage, message));
    }
    let all = names.iter().any(|name| name == "all");
    Ok((!all).then(|| names.to_vec()))
}

/// Whoever listens to a recording.
trait Listener {
    fn start(&mut self, start: &Start);
    /// Gives whether the next poll matters.
    fn turn(&mut self, tick: &Tick) -> bool;
}

impl Listener for Surveyor {
    fn start(&mut self, start: &Start) {
        Self::start(self, start);
    }

    fn turn(&mut self, tick: &Tick) -> bool {
        Self::turn(self, tick);
        true
    }
}

impl Listener for crate::baseline::Pass {
    fn start(&mut self, start: &Start) {
        Self::start(self, start);
    }

    fn turn(&mut self, tick: &Tick) -> bool {
        Self::turn(self, tick)
    }
}

fn play(playing: &mut Playing, listener: &mut impl Listener) -> Result<(), Failure> {
    while let Some(heard) = playing.hear()? {
        match heard {
            Heard::Start(start) => listener.start(&start),
            Heard::Tick(tick) if listener.turn(&tick) => playing.give_back(tick),
            Heard::Tick(_) => break,
        }
    }
    Ok(())
}

fn surveyed(playing: &mut Playing, survey: &Survey, set: &PolicySet) -> Result<Baseline, Failure> {
    let mut surveyor = Surveyor::new(survey, set);
    play(playing, &mut surveyor)?;
    let baseline = surveyor.finish();
    if baseline.seen.polls == 0 {
        let message = "not one poll of the recording succeeded: there is nothing to survey";
        return Err(Failure::new(Exit::Failed, message));
    }
    Ok(baseline)
}

/// A third of it must have polls of its own.
const WATCHED_MIN: Duration = Duration::from_secs(60);

fn tuned(
    playing: &mut Playing,
    set: PolicySet,
    budget: Budget,
    abusers: Option<Vec<String>>,
    baseline: &Baseline,
) -> Result<Tuned, Failure> {
    let watched = baseline.seen.watched.total();
    if watched < WATCHED_MIN {
        let message = format!(
            "a recording of {} is too short to find thresholds by and to check them: it takes {} at \
             the very least",
            format_duration(watched),
            format_duration(WATCHED_MIN)
        );
        return Err(Failure::new(Exit::Failed, message));
    }
    let mut tuning = Tuning::new(set, budget, abusers, &baseline.seen);
    while let Some(mut pass) = tuning.next_pass() {
        playing.rewind();
        play(playing, &mut pass)?;
        let whole = tuning.take(&pass);
        whole.map_err(|shrunk| Failure::new(Exit::Failed, shrunk.to_string()))?;
    }
    Ok(tuning.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Epoch;
    use crate::policy::Mode;
    use crate::recording::{Recorder, RecorderOptions, Recording, Turn};
    use crate::rpc::Tape;
    use crate::sim::{Release, World};
    use crate::snapshot::{Snapshot, Span};
    use crate::time::Timestamp;
    use crate::visit::Visits;

    /// A segment of ten polls, 10 s apart.
    fn record(folder: &std::path::Path, from_s: u64) {
        let mut recorder = Recorder::open(RecorderOptions::unbounded(folder)).unwrap();
        let world = World::honest(Release::V1_20_0, 3);
        for poll in 0..10 {
            let at =
                Timestamp::from_millis(1_767_225_600_000) + Duration::from_secs(from_s + poll * 10);
            if recorder.is_between_segments(at) {
                recorder.begin(at, Start::default()).unwrap();
            }
            let mut tape = Tape::default();
            for method in ["getinfo", "sessions", "groups"] {
                let result = String::from_utf8(world.reply(method).unwrap()).unwrap();
                let reply = format!(r#"{{"jsonrpc": "2.0", "result": {result}, "id": 0}}"#);
                tape.hear(method, reply.as_bytes());
            }
            let span = Span {
                asked: at,
                answered: at,
            };
            let snapshot = Snapshot {
                server_read: span,
                sessions_read: span,
                ..Snapshot::default()
            };
            let turn = Turn {
                at,
                epoch: Epoch(1),
                mode: Mode::DryRun,
                polled: Ok(&snapshot),
                rounds: &[],
                visits: &Visits::default(),
                inspected: &[],
                acts: &[],
                closed: &[],
                by_hand: &[],
                not_held_off: 0,
                settled: at,
            };
            recorder.record(&turn, Some(&tape)).unwrap();
        }
        recorder.finish().unwrap();
    }

    #[test]
    fn a_segment_that_goes_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        record(folder.path(), 0);
        record(folder.path(), 200);
        let set = shipped().set.unwrap();
        let recording = Recording::open(&[folder.path().to_owned()]).unwrap();
        let mut playing = Playing::begin(recording);
        let survey = Survey {
            window: Duration::from_secs(60),
            include_private: false,
            scopes: Scope::ALL.to_vec(),
            fields: Vec::new(),
        };
        let mut surveyor = Surveyor::new(&survey, &set);
        play(&mut playing, &mut surveyor).unwrap();
        let baseline = surveyor.finish();
        let mut tune = || {
            let budget = Budget::parse("1 a week").unwrap();
            tuned(&mut playing, set.clone(), budget, None, &baseline)
        };
        assert!(tune().is_ok());
        let segments = std::fs::read_dir(folder.path()).unwrap();
        let mut segments: Vec<_> = segments.map(|entry| entry.unwrap().path()).collect();
        segments.retain(|path| path.extension().is_some_and(|it| it == "zst"));
        std::fs::remove_file(segments.iter().min().unwrap()).unwrap();
        let Err(Failure::Told { exit, message }) = tune() else {
            panic!("it went on")
        };
        assert_eq!(exit, Exit::Failed);
        assert_eq!(
            message,
            "a part of the recording went while the budget was reckoned: run it again, or copy the \
             recording first"
        );
    }
}
