//! A test drafted from a real moment: the sessions that policies decide on, a few that they leave
//! alone, and all others as a crowd, as series in the notation of tests.
//!
//! What a draft expects is what comes of playing it, and what the recording's own replay decided: it
//! passes as it stands where it shows all of that, and fails where it does not. Addresses and names are the recording's.

mod scene;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::net::IpAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::read::{Beside, check};
use super::release::{self, Release};
use super::script::{Count, DaemonState};
use super::series::{Sample, write};
use super::{Happened, Trial, Wanted, play};
use crate::config::{self, Config};
use crate::daemon::Failure;
use crate::decision::Decision;
use crate::field::Field;
use crate::history::transport_name;
use crate::penalty::{Ban, Strike};
use crate::policy::{Checked as CheckedPolicies, PolicySet, Source};
use crate::recording::{Start, Tick};
use crate::snapshot::{Generation, Server, Transport};
use crate::units::format_duration;

use scene::{Band, Chosen, Life, Scene};

/// A draft has so many polls at the most.
pub const POLLS_MAX: usize = 60;

/// And so few, if policies do not look back further.
const POLLS_MIN: u32 = 7;

/// So many of those that are decided on are written one by one; if what was decided does not come of
/// so many, more are.
const CHOSEN_MAX: [usize; 2] = [40, 160];

/// The crowd is no larger than this: each is one subnet of a network that nobody has, 198.18.0.0/15.
const CROWD_MAX: usize = 512;

/// So many decisions are expected at the most.
const EXPECTED_MAX: usize = 100;

/// So many decisions that do not come out are told.
const LOST_TOLD_MAX: usize = 20;

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
    /// Strikes and bans after the moment, as policies saw them.
    pub strikes: Vec<(IpNet, Strike)>,
    /// See there.
    pub bans: Vec<Ban>,
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
    #[error(
        "more than {EXPECTED_MAX} decisions come of it, too many for a person to check: name another \
         moment, or fewer policies"
    )]
    TooMuch,
}

/// A test as it was drafted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drafted {
    /// The test.
    pub text: String,
    /// How many of the moment's decisions come out in it.
    pub reproduced: usize,
}

/// Drafts a test.
pub fn draft(moment: &Moment<'_>) -> Result<Drafted, DraftError> {
    let scene = Scene::of(moment)?;
    let around = scene.surroundings(moment.decided, moment.start.settings.widths);
    let mut best: Option<Drafted> = None;
    // A crowd that policies decide on as well makes no draft that anybody could read.
    for with_crowd in [true, false] {
        for most in CHOSEN_MAX {
            let chosen = scene.choose(moment.decided, &around, most);
            let draft = Draft {
                moment,
                scene: &scene,
                chosen: &chosen,
                with_crowd,
            };
            let (_, came) = draft.play(&draft.text(Expects::default()))?;
            if came.len() > EXPECTED_MAX {
                continue;
            }
            let lost = draft.not_reproduced(&came);
            let reproduced = moment.decided.len() - lost.len();
            if best
                .as_ref()
                .is_none_or(|best| best.reproduced < reproduced)
            {
                let text = draft.final_text(&came, &lost);
                best = Some(Drafted { text, reproduced });
            }
            if lost.is_empty() {
                return best.ok_or(DraftError::TooMuch);
            }
        }
    }
    best.ok_or(DraftError::TooMuch)
}

/// A test while it is written.
struct Draft<'a> {
    moment: &'a Moment<'a>,
    scene: &'a Scene,
    chosen: &'a Chosen,
    with_crowd: bool,
}

/// What a test expects.
#[derive(Clone, Copy, Default)]
struct Expects<'a> {
    came: &'a [Happened],
    /// What was decided and did not come.
    lost: &'a [&'a Decision],
    /// The same, where it can only be told.
    told: &'a [&'a Decision],
}

impl Draft<'_> {
    /// The test, and what comes of it.
    fn play(&self, text: &str) -> Result<(Trial, Vec<Happened>), DraftError> {
        let source = Source {
            name: "draft.test.toml".to_owned(),
            text: text.to_owned(),
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

    /// With what came of it; what was decided and did not come is expected too, so that the test fails
    /// and says why, wherever a test can say it.
    fn final_text(&self, came: &[Happened], lost: &[&Decision]) -> String {
        let nothing = Expects {
            came,
            ..Expects::default()
        };
        let failing = Expects { lost, ..nothing };
        let failing = (!self.names_others()).then(|| self.text(failing));
        let failing = failing.filter(|text| self.play(text).is_ok());
        let told = || {
            self.text(Expects {
                told: lost,
                ..nothing
            })
        };
        failing.unwrap_or_else(told)
    }

    /// Whether policies name addresses that the draft has by other names.
    fn names_others(&self) -> bool {
        self.moment.has_pseudonyms && self.moment.set.names_addresses()
    }

    fn text(&self, expects: Expects<'_>) -> String {
        let mut text = String::new();
        self.write_head(&mut text, expects);
        self.write_daemons(&mut text);
        self.write_penalties(&mut text);
        for life in &self.chosen.lives {
            self.write_life(&mut text, life);
        }
        if self.with_crowd {
            self.write_crowd(&mut text);
        }
        for it in expects.came {
            write_expected(&mut text, &it.decision.policy, &it.target, it.at);
        }
        for decision in expects.lost {
            text.push_str("\n# Decided in the recording; it does not come out here.");
            let target = Wanted::of(&decision.target);
            write_expected(&mut text, &decision.policy, &target, self.until());
        }
        text
    }

    /// What was done before the first poll to whoever is in the test.
    fn write_penalties(&self, text: &mut String) {
        let began = self.scene.began;
        let addresses = self.chosen.lives.iter().filter_map(|life| life.peer.0);
        let addresses: Vec<IpAddr> = addresses.map(|peer| peer.ip()).collect();
        let is_there = |net: &IpNet| addresses.iter().any(|address| net.contains(address));
        let strikes = self.moment.strikes.iter();
        for (net, strike) in strikes.filter(|(net, it)| it.at < began && is_there(net)) {
            let mut keys = Keys::of("test.strike");
            keys.put("target", quoted(&show_net(net)));
            let count = strike.level.round().clamp(1.0, 100.0);
            keys.put("count", format!("{count}"));
            keys.put("ago", quoted(&whole_seconds(began.since(strike.at))));
            text.push('\n');
            keys.write(text);
        }
        let bans = self.moment.bans.iter();
        for ban in bans.filter(|ban| ban.begin < began && is_there(&ban.net)) {
            let mut keys = Keys::of("test.ban");
            keys.put("target", quoted(&show_net(&ban.net)));
            keys.put("left", quoted(&whole_seconds(ban.end.since(began))));
            text.push('\n');
            keys.write(text);
        }
    }

    /// When the moment is, from the first poll on.
    fn until(&self) -> Duration {
        self.scene.interval * u32::try_from(self.scene.polls - 1).unwrap_or(u32::MAX)
    }

    fn write_head(&self, text: &mut String, expects: Expects<'_>) {
        let Scene {
            interval,
            began,
            polls,
            ..
        } = self.scene;
        let at = *began + self.until();
        let moment = self.moment.ticks.last().map_or(at, |tick| tick.at);
        let polls_until = format_duration(at.since(*began));
        _ = writeln!(
            text,
            "# Drafted from a recording: {moment} is {polls_until} after the first poll. Addresses and\n\
             # names are the recording's."
        );
        if self.names_others() {
            *text +=
                "# Addresses are pseudonyms: policies that name addresses do not find them here.\n";
        }
        write_lost(text, expects.told);
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
        if expects.came.is_empty() && expects.lost.is_empty() {
            keys.put("expect", "[]".to_owned());
        }
        keys.write(text);
    }

    /// What was decided in the recording, and is not in the test.
    fn not_reproduced(&self, came: &[Happened]) -> Vec<&Decision> {
        let decided = self.moment.decided.iter().filter(|decision| {
            let target = Wanted::of(&decision.target);
            let is_it =
                |it: &Happened| it.decision.policy == decision.policy && it.target == target;
            !came.iter().any(is_it)
        });
        decided.collect()
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
        if self.moment.decided.iter().any(saw_latency) {
            let latency = self.scene.latency.iter();
            let latency: Vec<String> = latency.map(|it| format!("{}ms", it.as_millis())).collect();
            let words: Vec<Option<&str>> = latency.iter().map(|it| Some(&**it)).collect();
            keys.push(format!("rpc_latency = {}", quoted(&runs(&words))));
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
        keys.put_age(life.age_s);
        let mut is_told = false;
        for count in Count::ALL {
            let is_kept = !count.has_fractions() || self.has_costs();
            let series: Vec<_> = self.samples(life, count);
            let is_any = |sample: &Sample<f64>| sample.value.is_some_and(|value| value > 0.0);
            if is_kept && series.iter().any(is_any) {
                is_told = true;
                let samples = series;
                keys.put(count.key(), quoted(&write(&samples)));
            }
        }
        let mut polls = 0..self.scene.polls;
        let stays = polls.all(|poll| life.is_there(poll) && !life.is_anew(poll));
        if !is_told && !stays {
            let samples = self.samples(life, Count::Requests);
            keys.put("requests", quoted(&write(&samples)));
        }
        keys.write(text);
    }

    fn samples(&self, life: &Life, count: Count) -> Vec<Sample<f64>> {
        let polls = 0..self.scene.polls;
        let samples = polls.map(|poll| Sample {
            value: life.at(poll, count),
            is_anew: life.is_anew(poll),
        });
        samples.collect()
    }

    fn write_crowd(&self, text: &mut String) {
        let Some(crowd) = self.scene.crowd(self.chosen) else {
            return;
        };
        let size = crowd.bands.last().map_or(0, |band| band.ranks.end);
        let others = crowd.others;
        _ = write!(
            text,
            "\n# The other {others}, as {size} in parts: medians and sums are about theirs."
        );
        for band in &crowd.bands {
            for peer in crowd_peers(&band.ranks) {
                let mut keys = Keys::of("test.session");
                keys.put("peer", quoted(&peer));
                keys.put_age(crowd.age_s);
                self.put_band(&mut keys, band);
                keys.write(text);
            }
        }
    }

    fn put_band(&self, keys: &mut Keys, band: &Band) {
        for count in Count::ALL {
            let is_kept = !count.has_fractions() || self.has_costs();
            let series = band.rows.iter().map(|row| row[count as usize]);
            if is_kept && count != Count::Errors && series.clone().any(|value| value > 0.0) {
                let samples: Vec<_> = series.map(|value| sample(Some(value))).collect();
                keys.put(count.key(), quoted(&write(&samples)));
            }
        }
    }

    fn has_costs(&self) -> bool {
        self.release().generation() == Generation::Cost
    }
}

/// `198.18.{0..40}.1`, and what goes on in the network beside that.
fn crowd_peers(ranks: &Range<usize>) -> Vec<String> {
    let halves = [0..256, 256..CROWD_MAX].into_iter().zip([18, 19]);
    let peers = halves.filter_map(|(half, network)| {
        let from = ranks.start.max(half.start);
        let to = ranks.end.min(half.end);
        (from < to).then(|| match (from - half.start, to - 1 - half.start) {
            (first, last) if first == last => format!("198.{network}.{first}.1"),
            (first, last) => format!("198.{network}.{{{first}..{last}}}.1"),
        })
    });
    peers.collect()
}

fn write_expected(text: &mut String, policy: &str, target: &Wanted, at: Duration) {
    let mut keys = Keys::of("test.expect");
    keys.put("policy", quoted(policy));
    if *target != Wanted::Server {
        keys.put("target", quoted(&target.to_string()));
    }
    keys.put("at", quoted(&format_duration(at)));
    keys.write(text);
}

fn write_lost(text: &mut String, lost: &[&Decision]) {
    for decision in lost.iter().take(LOST_TOLD_MAX) {
        let (policy, target) = (&decision.policy, quoted(&decision.target.to_string()));
        _ = writeln!(
            text,
            "# Not in this test: `{policy}` decided on {target} in the recording."
        );
    }
    if let Some(more) = lost.len().checked_sub(LOST_TOLD_MAX).filter(|&it| it > 0) {
        _ = writeln!(text, "# So are {more} more.");
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

    fn put_age(&mut self, age_s: f64) {
        if age_s.is_finite() {
            let age = Duration::from_secs_f64(age_s.clamp(0.0, 3e8).round());
            self.put("age", quoted(&format_duration(age)));
        }
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

/// Whether a decision's tests looked at how long the server takes to answer: it is another at each poll,
/// and nothing to most policies.
fn saw_latency(decision: &Decision) -> bool {
    let scope = decision.target.scope();
    let mut seen = decision.evidence.iter();
    seen.any(|it| {
        let seen = Field::seen_from(scope, &it.field);
        seen.is_some_and(|(_, field)| field == Field::RpcLatency)
    })
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

/// An address alone is written without its width.
fn show_net(net: &IpNet) -> String {
    Wanted::Net(*net).to_string()
}

fn whole_seconds(span: Duration) -> String {
    format_duration(Duration::from_secs(span.as_secs().max(1)))
}
