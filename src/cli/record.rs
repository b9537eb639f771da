//! `record`: a recording without anything else: nothing is decided, nothing is changed.

use std::path::PathBuf;
use std::time::Duration;

use serde::de::IgnoredAny;

use super::exit::{Exit, Failure};
use super::sample::INTERVAL;
use super::screen::Screen;
use super::show::{self, counted};
use super::value::duration;
use super::{runtime, setup};
use crate::agent::{Agent, AgentOptions, Cadence, Tick};
use crate::journal::Retention;
use crate::policy::{Mode, shipped};
use crate::poll::SteadyClock;
use crate::recording::{Recorder, RecorderOptions};
use crate::rpc::{Client, ClientOptions, NO_PARAMS};
use crate::units::format_duration;
use crate::warden::{Settings, Warden};

/// Record what a server says, and change nothing.
///
/// `run` keeps a recording of its own; this is for servers that have no agent. Ends with Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  electrumx-warden record --rpc 127.0.0.1:8000 --out electrum1.rec
  electrumx-warden record --rpc 127.0.0.1:8000 --out electrum1.rec --for 1h --pseudonymise")]
pub(super) struct Args {
    /// Where the server's RPC listens, HOST:PORT
    #[arg(long, value_name = "HOST:PORT")]
    rpc: String,

    /// The folder to record into; a recording that is there is gone on with
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,

    /// What the server is called in reports; by default the same as --rpc
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// From one poll to the next
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration(INTERVAL, "10s"))]
    interval: Duration,

    /// Replace the addresses of clients by pseudonyms
    #[arg(long)]
    pseudonymise: bool,

    /// The key of the pseudonyms, made if it is not there; by default a file beside the folder,
    /// with .key behind its name
    #[arg(long, value_name = "FILE", requires = "pseudonymise")]
    key: Option<PathBuf>,

    /// End after this time
    #[arg(long = "for", value_name = "TIME", value_parser = duration(Duration::ZERO..=Duration::MAX, "2h"))]
    length: Option<Duration>,
}

/// What came of it.
#[derive(Debug, Default)]
struct Recorded {
    polls: u64,
    missed: u64,
    /// Of both, those that are in the recording.
    kept: u64,
    /// Why others are not.
    trouble: Option<String>,
    /// Why the first poll failed, if it did.
    refused: Option<String>,
}

pub(super) fn run(args: &Args, screen: &mut Screen) -> Result<Exit, Failure> {
    let is_new = !args.out.exists();
    let key = args.pseudonymise.then(|| key_path(args));
    let new_key = key.clone().filter(|key| !key.exists());
    let mut recorder = setup::recorder(RecorderOptions::unbounded(&args.out), key.as_deref())?;
    if let Err(failure) = runtime::block_on(ask(&args.rpc)) {
        drop(recorder);
        if is_new {
            // Only if nothing is in it.
            let _ = std::fs::remove_dir(&args.out);
        }
        // Nothing was hidden with it yet.
        if let Some(key) = new_key {
            let _ = std::fs::remove_file(key);
        }
        return Err(failure);
    }
    recorder.claim().map_err(setup::unreadable)?;
    check_folder(args, &recorder)?;
    screen.outlive_readers();
    let recorded = runtime::block_on(record(args, recorder, screen))?;
    if let Some(refused) = recorded.refused {
        return Err(Failure::new(Exit::Failed, refused));
    }
    let kept = format!(
        "{} recorded into {}, {} missed",
        counted(count(recorded.kept), "poll", "polls"),
        args.out.display(),
        show::number(count(recorded.missed)),
    );
    screen.prose(kept, 4)?;
    if let Some(trouble) = recorded.trouble {
        let lost = (recorded.polls + recorded.missed).saturating_sub(recorded.kept);
        let polls = counted(count(lost), "poll", "polls");
        let message = format!("{polls} could not be recorded: {trouble}");
        return Err(Failure::new(Exit::Failed, message));
    }
    Ok(Exit::Ok)
}

/// Asks the server once, before anything is recorded: a mistyped port is no recording.
async fn ask(rpc: &str) -> Result<(), Failure> {
    let mut client = Client::new(ClientOptions::new(rpc));
    let asked = async {
        client.connect().await?;
        let reply = client.call::<IgnoredAny>("getinfo", &NO_PARAMS).await;
        reply.map(drop)
    };
    asked
        .await
        .map_err(|error| Failure::new(Exit::Failed, error.to_string()))
}

/// What is recorded into a folder must be fit to be judged together.
fn check_folder(args: &Args, recorder: &Recorder) -> Result<(), Failure> {
    let refused = |why: &str| {
        let path = args.out.display();
        let message = format!("`{path}` {why}: give another folder");
        Err(Failure::new(Exit::Setup, message))
    };
    if recorder.is_first() {
        return Ok(());
    }
    let there = setup::recording(std::slice::from_ref(&args.out))?;
    if there.servers() != [name(args)] {
        return refused("has recordings of a server by another name (see --name)");
    }
    if there.pseudonyms() != recorder.pseudonyms() {
        return refused("differs in whether addresses are pseudonyms, or by which key");
    }
    Ok(())
}

fn name(args: &Args) -> &str {
    args.name.as_deref().unwrap_or(&args.rpc)
}

fn key_path(args: &Args) -> PathBuf {
    let beside = || RecorderOptions::unbounded(&args.out).key_path();
    args.key.clone().unwrap_or_else(beside)
}

fn count(polls: u64) -> usize {
    usize::try_from(polls).unwrap_or(usize::MAX)
}

async fn record(args: &Args, recorder: Recorder, screen: &mut Screen) -> Result<Recorded, Failure> {
    let shutdown = runtime::shutdown()?;
    // The policies say what is worth a closer look of the server's; what they decide nobody hears.
    let set = setup::policies(shipped())?;
    let mut settings = Settings {
        mode: Mode::Off,
        ..Settings::default()
    };
    // By what is recorded it is judged, and polls so far apart are not to be gaps.
    let gap_max = &mut settings.bounds.gap_max;
    *gap_max = (*gap_max).max(args.interval * 3);
    let (journal, _folder) = setup::passing_journal()?;
    let mut agent = Agent::new(
        Warden::new(set, settings),
        Client::new(ClientOptions::new(&args.rpc)),
        journal,
        Box::new(SteadyClock::start()),
        AgentOptions {
            cadence: Cadence::steady(args.interval),
            inspect_max: 20,
            retention: Retention::default(),
        },
    )
    .map_err(setup::unusable)?;
    agent.record_aside(recorder, name(args).to_owned());
    let until = args.length.map_or_else(
        || "Ctrl-C".to_owned(),
        |length| format_duration(length) + " have passed",
    );
    let recording = format!(
        "recording {} every {} into {}, until {until}",
        args.rpc,
        format_duration(args.interval),
        args.out.display(),
    );
    screen.prose(recording, 4)?;
    let mut recorded = Recorded::default();
    let refused = tokio::sync::Notify::new();
    let end = async {
        tokio::select! {
            () = shutdown => {}
            () = refused.notified() => {}
            () = tokio::time::sleep(args.length.unwrap_or(Duration::MAX)) => {}
        }
    };
    agent
        .run(end, |_, tick: &Tick| match &tick.failure {
            None => recorded.polls += 1,
            Some(failure) => {
                recorded.missed += 1;
                if recorded.polls == 0 {
                    recorded.refused = Some(failure.to_string());
                    refused.notify_one();
                }
            }
        })
        .await;
    let (kept, trouble) = agent.recorded();
    (recorded.kept, recorded.trouble) = (kept, trouble.map(ToOwned::to_owned));
    Ok(recorded)
}
