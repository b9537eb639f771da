//! A test drafted from a real moment: the sessions that policies decide on, a few that they leave
//! alone, and all others as a crowd, as series in the notation of tests.
//!
//! What a draft expects is what comes of playing it: it passes as it stands, and says what the
//! recording's own replay decided beside that. Addresses and names are the recording's.

mod scene;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::read::{Beside, check};
use super::release::{self, Release};
use super::script::{Count, DaemonState};
use super::series::{Sample, write};
use super::{Happened, Trial, Wanted, play};
use crate::config::{self, Config};
use crate::daemon::Failure;
use crate::decision::Decision;
use crate::history::transport_name;
use crate::policy::{Checked as CheckedPolicies, PolicySet, Source};
use crate::recording::{Start, Tick};
use crate::snapshot::{Generation, Server, Transport};
use crate::units::format_duration;

use scene::{Life, Scene};

/// A draft has so many polls at the most.
pub const POLLS_MAX: usize = 60;

/// And so few, if policies do not look back further.
const POLLS_MIN: u32 = 7;

/// So many of the sessions that are decided on are written one by one.
const CHOSEN_MAX: usize = 40;

/// The crowd is no larger than this: each is one subnet of a network that nobody has.
const CROWD_MAX: usize = 256;

/// So many decisions are expected at the most.
const EXPECTED_MAX: usize = 100;

/// Costs and counts beyond this are none in earnest, and fractions of theirs are lost.
const COUNT_MAX: f64 = 1e12;

/// What is known of a moment.
#[derive(Debug)]
pub struct Moment<'a> {
    /// The polls up to the moment, which is the last; oldest first.
    pub ticks: &'a [Box<Tick>],
    /// How the recording's agent began.
    pub start: &'a Start,
    /// The policies.
    pub set: &'a PolicySet,
    /// As the draft is to name them.
    pub policies: &'a [String],
    /// What the replay decided at the moment.
    pub decided: &'a [Decision],
    /// The configuration that the draft is to be played by: how the draft is to name it, and where it
    /// is.
    pub config: Option<(String, &'a Path)>,
    /// Whether addresses are pseudonyms.
    pub has_pseudonyms: bool,
}

/// Why there is no draft.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// Nothing was seen then.
    #[error("no poll has succeeded there")]
    Unseen,
    /// The draft is no valid test.
    #[error("what was so then cannot be written as a test: {0}")]
    Invalid(String),
    /// Too much is decided.
    #[error("more than {EXPECTED_MAX} decisions come of it: too many to be looked at")]
    TooMuch,
}

/// Drafts a test.
pub fn draft(moment: &Moment<'_>) -> Result<String, DraftError> {
    let scene = Scene::of(moment)?;
    let chosen = scene.choose(moment.decided);
    // A crowd that policies decide on as well makes no draft that anybody could read.
    let mut drafts = [true, false].into_iter();
    let played = drafts.find_map(|with_crowd| {
        let draft = Draft {
            moment,
            scene: &scene,
            chosen: &chosen,
            with_crowd,
        };
        let played = draft.play();
        let is_short = played.as_ref().is_ok_and(|it| it.1.len() <= EXPECTED_MAX);
        (is_short || played.is_err()).then(|| played.map(|(_, came)| draft.text(Some(&came))))
    });
    played.unwrap_or(Err(DraftError::TooMuch))
}

/// A test while it is written.
struct Draft<'a> {
    moment: &'a Moment<'a>,
    scene: &'a Scene,
    chosen: &'a [usize],
    with_crowd: bool,
}

impl Draft<'_> {
    /// The test, and what comes of it.
    fn play(&self) -> Result<(Trial, Vec<Happened>), DraftError> {
        let source = Source {
            name: "draft.test.toml".to_owned(),
            text: self.text(None),
        };
        let mut given = Given {
            set: self.moment.set,
            config: self.moment.config.as_ref().map(|(_, path)| *path),
        };
        let checked = check(source, &mut given);
        let mistake = checked.diagnostics.first().map(ToString::to_string);
        let trial = checked.trials.into_iter().next();
        let trial = trial.ok_or(DraftError::Invalid(mistake.unwrap_or_default()))?;
        let came = play(&trial).into_iter().filter(|it| it.by.is_none());
        let came = came.collect();
        Ok((trial, came))
    }

    /// The test; expecting nothing, or what came of that.
    fn text(&self, came: Option<&[Happened]>) -> String {
        let mut text = String::new();
        self.write_head(&mut text, came);
        self.write_daemons(&mut text);
        for &life in self.chosen {
            self.write_life(&mut text, &self.scene.lives[life]);
        }
        if self.with_crowd {
            self.write_crowd(&mut text);
        }
        for happened in came.unwrap_or_default() {
            let decision = &happened.decision;
            let mut keys = Keys::of("test.expect");
            keys.put("policy", quoted(&decision.policy));
            if happened.target != Wanted::Server {
                keys.put("target", quoted(&happened.target.to_string()));
            }
            keys.put("at", quoted(&format_duration(happened.at)));
            keys.write(&mut text);
        }
        text
    }

    fn write_head(&self, text: &mut String, came: Option<&[Happened]>) {
        let Scene {
            interval,
            began,
            polls,
            ..
        } = self.scene;
        let at = *began + *interval * u32::try_from(polls - 1).unwrap_or(u32::MAX);
        let moment = self.moment.ticks.last().map_or(at, |tick| tick.at);
        let polls_until = format_duration(at.since(*began));
        _ = writeln!(
            text,
            "# Drafted from a recording: {moment} is {polls_until} after the first poll. Addresses and\n\
             # names are the recording's."
        );
        if self.moment.has_pseudonyms && self.moment.set.names_addresses() {
            *text +=
                "# Addresses are pseudonyms: policies that name addresses do not find them here.\n";
        }
        for missing in self.not_reproduced(came) {
            _ = writeln!(text, "# {missing}");
        }
        let policies: Vec<String> = self.moment.policies.iter().map(|it| quoted(it)).collect();
        _ = writeln!(text, "policies = [{}]", policies.join(", "));
        if let Some((config, _)) = &self.moment.config {
            _ = writeln!(text, "config = {}", quoted(config));
        }
        text.push('\n');
        let mut keys = Keys::of("test");
        keys.put("name", quoted(&format!("as it was at {moment}")));
        keys.put("interval", quoted(&format_duration(*interval)));
        keys.put("polls", polls.to_string());
        keys.put("release", quoted(&self.release().to_string()));
        if !self.scene.missed.is_empty() {
            keys.put("missed", numbers(&self.scene.missed));
        }
        if !self.scene.restarts.is_empty() {
            keys.put("restarts", numbers(&self.scene.restarts));
        }
        keys.put("server", self.server());
        if came.is_none_or(<[_]>::is_empty) {
            keys.put("expect", "[]".to_owned());
        }
        keys.write(text);
    }

    /// What the recording's replay decided, and the test does not.
    fn not_reproduced(&self, came: Option<&[Happened]>) -> Vec<String> {
        let Some(came) = came else { return Vec::new() };
        let decided = self.moment.decided.iter().filter(|decision| {
            let target = Wanted::of(&decision.target);
            let is_it =
                |it: &Happened| it.decision.policy == decision.policy && it.target == target;
            !came.iter().any(is_it)
        });
        let told = decided.map(|decision| {
            let target = quoted(&decision.target.to_string());
            format!(
                "Not in this test: `{}` decided on {target}, by what was before it or by more sessions.",
                decision.policy
            )
        });
        told.take(20).collect()
    }

    fn release(&self) -> Release {
        let servers = self.scene.server.iter();
        let version = servers
            .filter_map(|server| server.version.as_deref())
            .next_back();
        let number = version.and_then(|version| version.rsplit(' ').next());
        let number = number.and_then(Release::parse);
        number.unwrap_or(match self.scene.generation {
            Some(Generation::Plain) => release::OLDEST,
            Some(Generation::Protocol) => release::OLD,
            Some(Generation::Cost) | None => release::DEFAULT,
        })
    }

    /// `{ coin = "Bitcoin", daemon_height = "800_000x6" }`
    fn server(&self) -> String {
        let servers = &self.scene.server;
        let first = &servers[0];
        let mut keys = Vec::new();
        if let Some(coin) = first.coin.as_deref().filter(|&coin| coin != "Bitcoin") {
            keys.push(format!("coin = {}", quoted(coin)));
        }
        if let Some(uptime) = first.uptime {
            let uptime = Duration::from_secs(uptime.at_least.as_secs());
            keys.push(format!("uptime = {}", quoted(&format_duration(uptime))));
        }
        let mut number = |key: &str, of: fn(&Server) -> Option<u64>| {
            let samples = servers.iter().map(|server| of(server).map(|it| it as f64));
            let samples = samples.map(sample).collect::<Vec<_>>();
            keys.push(format!("{key} = {}", quoted(&write(&samples))));
        };
        number("daemon_height", |server| server.daemon_height);
        number("db_height", |server| server.db_height);
        number("errors", |server| Some(server.errors));
        let daemons = servers.iter().map(|server| server.daemon.as_deref());
        let daemons: Vec<Option<&str>> = daemons.collect();
        let is_word = |daemon: Option<&str>| {
            daemon.is_some_and(|it| !it.is_empty() && !it.contains(char::is_whitespace))
        };
        if daemons.iter().copied().all(is_word) {
            keys.push(format!("daemon = {}", quoted(&runs(&daemons))));
        }
        format!("{{ {} }}", keys.join(", "))
    }

    fn write_daemons(&self, text: &mut String) {
        let rounds = &self.scene.rounds;
        for (index, address) in self
            .moment
            .start
            .settings
            .daemons
            .addresses
            .iter()
            .enumerate()
        {
            let mut last = None;
            let reports = rounds.iter().map(|round| {
                let report = round.as_ref().and_then(|round| round.reports.get(index));
                last = report.or(last);
                last
            });
            let reports: Vec<_> = reports.collect();
            if reports.iter().all(Option::is_none) {
                continue;
            }
            let mut height = None;
            let heights = reports.iter().map(|report| {
                let chain = report.and_then(|report| report.heard.as_ref().ok());
                height = chain.map(|chain| chain.height as f64).or(height);
                height.unwrap_or(0.0)
            });
            let heights: Vec<_> = heights.map(|height| sample(Some(height))).collect();
            let states: Vec<_> = reports
                .iter()
                .map(|report| Some(state(report.map(|report| &report.heard))))
                .collect();
            let mut keys = Keys::of("test.daemon");
            keys.put("address", quoted(address));
            keys.put("height", quoted(&write(&heights)));
            keys.put("state", quoted(&runs(&states)));
            keys.write(text);
        }
    }

    fn write_life(&self, text: &mut String, life: &Life) {
        let mut keys = Keys::of("test.session");
        keys.put("peer", quoted(&life.peer.to_string()));
        keys.put("client", quoted(&life.client));
        if !life.protocol.is_empty() && life.protocol != "1.4" {
            keys.put("protocol", quoted(&life.protocol));
        }
        if matches!(life.transport, Transport::Tcp | Transport::Websocket) {
            keys.put("transport", quoted(transport_name(life.transport)));
        }
        if life.is_logged {
            keys.put("logged", "true".to_owned());
        }
        if life.age_s.is_finite() {
            let age = Duration::from_secs_f64(life.age_s.clamp(0.0, 3e8).round());
            keys.put("age", quoted(&format_duration(age)));
        }
        let mut is_told = false;
        for count in Count::ALL {
            let is_kept = !count.has_fractions() || self.has_costs();
            let series: Vec<_> = (0..self.scene.polls)
                .map(|poll| life.at(poll, count))
                .collect();
            if is_kept && series.iter().flatten().any(|&value| value > 0.0) {
                is_told = true;
                let samples: Vec<_> = series.into_iter().map(sample).collect();
                keys.put(count.key(), quoted(&write(&samples)));
            }
        }
        let is_always_there = (0..self.scene.polls).all(|poll| life.is_there(poll));
        if !is_told && !is_always_there {
            let there = (0..self.scene.polls).map(|poll| life.at(poll, Count::Requests));
            let samples: Vec<_> = there.map(sample).collect();
            keys.put("requests", quoted(&write(&samples)));
        }
        keys.write(text);
    }

    fn write_crowd(&self, text: &mut String) {
        let Some((size, others, rows)) = self.scene.crowd(self.chosen) else {
            return;
        };
        let mut keys = Keys::of("test.session");
        let peer = match size {
            1 => "198.18.0.1".to_owned(),
            _ => format!("198.18.{{0..{}}}.1", size - 1),
        };
        keys.put("peer", quoted(&peer));
        for count in Count::ALL {
            let is_kept = !count.has_fractions() || self.has_costs();
            let series = rows.iter().map(|row| row[count as usize]);
            if is_kept && count != Count::Errors && series.clone().any(|value| value > 0.0) {
                let samples: Vec<_> = series.map(|value| sample(Some(value))).collect();
                keys.put(count.key(), quoted(&write(&samples)));
            }
        }
        _ = write!(text, "\n# The other {others}, as {size} who do the same.");
        keys.write(text);
    }

    fn has_costs(&self) -> bool {
        self.release().generation() == Generation::Cost
    }
}

/// What a draft is played by.
struct Given<'a> {
    set: &'a PolicySet,
    config: Option<&'a Path>,
}

impl Beside for Given<'_> {
    fn policies(&mut self, _: &[PathBuf], _: usize) -> CheckedPolicies {
        CheckedPolicies {
            set: Some(self.set.clone()),
            diagnostics: Vec::new(),
            files: 1,
        }
    }

    /// The draft may be written elsewhere, and names it from there.
    fn config(&mut self, named: &Path) -> config::Checked {
        Config::load(self.config.unwrap_or(named))
    }
}

/// A table's keys, one below the other.
struct Keys {
    table: &'static str,
    keys: Vec<(&'static str, String)>,
}

impl Keys {
    fn of(table: &'static str) -> Self {
        let keys = Vec::new();
        Self { table, keys }
    }

    fn put(&mut self, key: &'static str, value: String) {
        self.keys.push((key, value));
    }

    fn write(self, text: &mut String) {
        if !text.ends_with("\n\n") {
            text.push('\n');
        }
        _ = writeln!(text, "[[{}]]", self.table);
        let width = self
            .keys
            .iter()
            .map(|(key, _)| key.len())
            .max()
            .unwrap_or(0);
        for (key, value) in self.keys {
            _ = writeln!(text, "{key:<width$} = {value}");
        }
    }
}

fn state(heard: Option<&Result<crate::daemon::Chain, Failure>>) -> &'static str {
    let state = match heard {
        None | Some(Err(Failure::Unreachable { .. })) => DaemonState::Unreachable,
        Some(Err(Failure::Busy { .. })) => DaemonState::Busy,
        Some(Err(Failure::WrongCredentials)) => DaemonState::WrongCredentials,
        Some(Err(Failure::WarmingUp { .. })) => DaemonState::WarmingUp,
        Some(Ok(chain)) if chain.is_initial_download => DaemonState::InitialDownload,
        Some(Ok(chain)) if chain.is_pruned => DaemonState::Pruned,
        // Whose chain is whose the heights alone do not tell.
        Some(Ok(_)) => DaemonState::Healthy,
    };
    let words = DaemonState::WORDS.iter();
    let mut word = words
        .filter(|(_, known)| *known == state)
        .map(|(word, _)| *word);
    word.next().unwrap_or_default()
}

fn sample(value: Option<f64>) -> Sample<f64> {
    let is_anew = false;
    Sample { value, is_anew }
}

/// `healthy x5 unreachable x2`; of words alone.
fn runs(words: &[Option<&str>]) -> String {
    let runs = words.chunk_by(|a, b| a == b).map(|run| {
        let word = run[0].unwrap_or("_");
        match (word, run.len()) {
            (_, 1) => word.to_owned(),
            ("_", length) => format!("_x{length}"),
            (_, length) => format!("{word} x{}", length - 1),
        }
    });
    runs.collect::<Vec<_>>().join(" ")
}

fn numbers(numbers: &BTreeSet<usize>) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(", "))
}

/// A string of TOML. Whatever a client calls itself, it moves no cursor and turns no text around.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            c if c.is_alphanumeric() => quoted.push(c),
            c => _ = write!(quoted, "\\U{:08x}", u32::from(c)),
        }
    }
    quoted.push('"');
    quoted
}

/// As a test writes it.
impl Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(major, minor, patch) = self;
        write!(f, "{major}.{minor}.{patch}")
    }
}
