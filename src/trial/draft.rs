//! A test drafted from a real moment: the sessions that policies decide on, a few that they leave
//! alone, and all others as a crowd, as series in the notation of tests.
//!
//! What a draft expects is what comes of playing it: it passes as it stands, and says what the
//! recording's own replay decided beside that. Addresses and names are the recording's.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::read::{Beside, check};
use super::release::{self, Release};
use super::script::{Count, DaemonState};
use super::series::{Sample, write};
use super::{Happened, Trial, Wanted, play};
use crate::config;
use crate::daemon::{Failure, Round};
use crate::decision::{Decision, Peer, Target};
use crate::history::transport_name;
use crate::policy::{Checked as CheckedPolicies, PolicySet, Source};
use crate::recording::{Start, Tick};
use crate::snapshot::{Generation, Server, Sessions, Transport};
use crate::time::Timestamp;
use crate::units::format_duration;

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

/// The polls of a moment, on the test's own grid.
struct Scene {
    interval: Duration,
    began: Timestamp,
    polls: usize,
    missed: BTreeSet<usize>,
    restarts: BTreeSet<usize>,
    /// By poll; of those that are missed as before.
    server: Vec<Server>,
    rounds: Vec<Option<Round>>,
    generation: Option<Generation>,
    lives: Vec<Life>,
}

/// One connection of a client.
struct Life {
    id: u64,
    peer: Peer,
    client: String,
    protocol: String,
    transport: Transport,
    is_logged: bool,
    age_s: f64,
    /// By poll.
    rows: Vec<Option<[f64; Count::ALL.len()]>>,
}

impl Life {
    fn is_there(&self, poll: usize) -> bool {
        self.rows.get(poll).is_some_and(Option::is_some)
    }

    fn at(&self, poll: usize, count: Count) -> Option<f64> {
        Some((*self.rows.get(poll)?.as_ref()?)[count as usize])
    }

    /// By how much a count grew, decay left aside.
    fn grew(&self, count: Count) -> f64 {
        let values: Vec<f64> = (0..self.rows.len())
            .filter_map(|poll| self.at(poll, count))
            .collect();
        values
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).max(0.0))
            .sum()
    }

    fn belongs_to(&self, target: &Target) -> bool {
        let address = self.peer.0.map(|peer| peer.ip());
        let is_in = |net: &IpNet| address.is_some_and(|address| net.contains(&address));
        match target {
            Target::Server => false,
            Target::Session(session) => session.id == self.id && session.peer == self.peer,
            Target::Address(net) | Target::Subnet(net) => is_in(net),
            Target::Client(name) => **name == *self.client,
            // By its subnet; who connected at the same time is not looked for.
            Target::Group(name) => {
                let net = name.parse().or_else(|_| format!("{name}.0/24").parse());
                net.is_ok_and(|net| is_in(&net))
            }
        }
    }
}

impl Scene {
    fn of(moment: &Moment<'_>) -> Result<Self, DraftError> {
        let interval = interval(moment);
        let needed = polls_needed(moment, interval);
        let mut grid: Vec<(usize, &Tick)> = Vec::new();
        // From the moment back, as far as is needed and nothing is torn.
        let mut back = 0_usize;
        let mut later: Option<&Tick> = None;
        for tick in moment.ticks.iter().rev() {
            if let Some(later) = later {
                let steps = later.at.since(tick.at).as_secs_f64() / interval.as_secs_f64();
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "at least 1, and what is large ends the search"
                )]
                let steps = steps.round().clamp(1.0, 1e6) as usize;
                back += steps;
            }
            if back >= needed {
                break;
            }
            later = Some(tick);
            grid.push((back, tick));
        }
        while grid.last().is_some_and(|(_, tick)| tick.failure.is_some()) {
            grid.pop();
        }
        let Some(&(first, tick)) = grid.last() else {
            return Err(DraftError::Unseen);
        };
        let mut scene = Self {
            interval,
            began: tick.at,
            polls: first + 1,
            missed: BTreeSet::new(),
            restarts: BTreeSet::new(),
            server: Vec::new(),
            rounds: Vec::new(),
            generation: None,
            lives: Vec::new(),
        };
        let mut connected = HashMap::new();
        for (back, tick) in grid.into_iter().rev() {
            scene.skip_to(first - back);
            scene.take(tick, first - back, &mut connected);
        }
        Ok(scene)
    }

    /// Polls that are not there are missed.
    fn skip_to(&mut self, poll: usize) {
        while self.server.len() < poll {
            self.miss();
        }
    }

    fn miss(&mut self) {
        self.missed.insert(self.server.len());
        let before = self.server.last().cloned().unwrap_or_default();
        self.server.push(before);
        self.rounds.push(None);
    }

    fn take(&mut self, tick: &Tick, poll: usize, connected: &mut HashMap<u64, usize>) {
        if tick.failure.is_some() {
            return self.miss();
        }
        let Tick { snapshot, .. } = tick;
        let before = self.server.last().and_then(|server| server.pid);
        if poll > 0 && snapshot.server.pid.is_some() && snapshot.server.pid != before {
            self.restarts.insert(poll);
            connected.clear();
        }
        self.server.push(snapshot.server.clone());
        self.rounds.push(snapshot.rounds.last().cloned());
        self.generation = snapshot.sessions.generation.or(self.generation);
        let errors: HashMap<u64, f64> = tick
            .inspections
            .iter()
            .map(|(id, inspection)| (*id, inspection.errors as f64))
            .collect();
        let mut still = HashMap::new();
        for row in 0..snapshot.sessions.len() {
            let sessions = &snapshot.sessions;
            if sessions.flags[row].is_rpc() {
                continue;
            }
            let id = sessions.id[row];
            let mut counts = counts(sessions, row);
            let known = connected.get(&id).copied();
            let known = known.filter(|&life| self.lives[life].goes_on(sessions, row, &counts));
            let life = known.unwrap_or_else(|| {
                self.lives.push(Life::new(sessions, row, poll));
                self.lives.len() - 1
            });
            still.insert(id, life);
            let life = &mut self.lives[life];
            let last = life.rows.last().copied().flatten();
            counts[Count::Errors as usize] = errors
                .get(&id)
                .copied()
                .or_else(|| last.map(|last| last[Count::Errors as usize]))
                .unwrap_or(0.0);
            // Who is there before and after a poll that failed was there.
            life.rows.resize(poll, last);
            life.rows.push(Some(counts));
        }
        *connected = still;
    }

    /// The lives that are written one by one: those decided on, and a few that are left alone.
    fn choose(&self, decided: &[Decision]) -> Vec<usize> {
        let moment = self.polls - 1;
        let is_meant = |life: &Life| decided.iter().any(|it| life.belongs_to(&it.target));
        let meant = (0..self.lives.len()).filter(|&life| is_meant(&self.lives[life]));
        let (there, gone): (Vec<usize>, Vec<usize>) =
            meant.partition(|&life| self.lives[life].is_there(moment));
        let mut chosen: Vec<usize> = there.into_iter().chain(gone).take(CHOSEN_MAX).collect();
        let measures: [fn(&Life, usize) -> f64; 5] = [
            |life, _| life.grew(Count::SentSize),
            |life, _| life.grew(Count::Cost),
            |life, _| life.grew(Count::Requests),
            |life, moment| life.at(moment, Count::Subs).unwrap_or(0.0),
            |life, moment| life.at(moment, Count::PendingRequests).unwrap_or(0.0),
        ];
        for measure in measures {
            let others = (0..self.lives.len()).filter(|&life| {
                let other = &self.lives[life];
                other.is_there(moment) && !is_meant(other) && !chosen.contains(&life)
            });
            let measured = others.map(|life| (life, measure(&self.lives[life], moment)));
            let most = measured.reduce(|most, it| if it.1 > most.1 { it } else { most });
            chosen.extend(most.filter(|&(_, value)| value > 0.0).map(|(life, _)| life));
        }
        chosen.sort_unstable();
        chosen
    }

    /// All others as so many who do the same: what they do together is what the others did.
    fn crowd(&self, chosen: &[usize]) -> Option<(usize, usize, Vec<[f64; Count::ALL.len()]>)> {
        let is_other = |life: &usize| chosen.binary_search(life).is_err();
        let others: Vec<&Life> = (0..self.lives.len())
            .filter(is_other)
            .map(|life| &self.lives[life])
            .collect();
        let there = |poll| others.iter().filter(|life| life.is_there(poll)).count();
        let present: usize = (0..self.polls).map(there).sum();
        let size = present.div_ceil(self.polls).min(CROWD_MAX);
        if size == 0 {
            return None;
        }
        let mut rows: Vec<[f64; Count::ALL.len()]> = Vec::new();
        for poll in 0..self.polls {
            let row = Count::ALL.map(|count| {
                let sum = |poll| others.iter().filter_map(move |life| life.at(poll, count));
                let Some(before) = rows.last().filter(|_| count.begins_anew()) else {
                    return (sum(poll).sum::<f64>() / there(poll).max(1) as f64).floor();
                };
                let grew = others.iter().filter_map(|life| {
                    let now = life.at(poll, count)?;
                    Some((now - life.at(poll - 1, count).unwrap_or(0.0)).max(0.0))
                });
                before[count as usize] + (grew.sum::<f64>() / size as f64).floor()
            });
            rows.push(row);
        }
        Some((size, present.div_ceil(self.polls), rows))
    }
}

impl Life {
    fn new(sessions: &Sessions, row: usize, poll: usize) -> Self {
        let text = |name| sessions.names.get(name).to_owned();
        Self {
            id: sessions.id[row],
            peer: sessions.peer[row],
            client: text(sessions.client[row]),
            protocol: text(sessions.protocol[row]),
            transport: sessions.flags[row].transport,
            is_logged: sessions.flags[row].logged,
            age_s: sessions.age_s[row],
            rows: vec![None; poll],
        }
    }

    /// Whether a row is this session still.
    fn goes_on(&self, sessions: &Sessions, row: usize, now: &[f64; Count::ALL.len()]) -> bool {
        let last = self.rows.last().copied().flatten().unwrap_or_default();
        let grows = |count: Count| {
            let is_told = count != Count::Errors && count.only_grows();
            !is_told || now[count as usize] >= last[count as usize]
        };
        self.peer == sessions.peer[row] && Count::ALL.into_iter().all(grows)
    }
}

fn counts(sessions: &Sessions, row: usize) -> [f64; Count::ALL.len()] {
    let whole = |count: u64| (count as f64).min(COUNT_MAX);
    let cost = |cost: f64| {
        // A client can make its own absurdly large, and that of others NaN.
        let cost = if cost.is_finite() { cost } else { 0.0 };
        (cost.clamp(0.0, COUNT_MAX) * 10.0).round() / 10.0
    };
    Count::ALL.map(|count| match count {
        Count::Requests => whole(sessions.recv_count[row]),
        Count::RecvSize => whole(sessions.recv_size[row]),
        Count::SentSize => whole(sessions.sent_size[row]),
        Count::TxsSent => whole(sessions.txs_sent[row]),
        Count::Cost => cost(sessions.cost[row]),
        Count::ExtraCost => cost(sessions.extra_cost[row]),
        Count::PendingRequests => whole(sessions.pending_requests[row]),
        Count::Subs => whole(sessions.subs[row]),
        Count::Errors => 0.0,
    })
}

/// As the agent was set, to a whole second.
fn interval(moment: &Moment<'_>) -> Duration {
    let ticks = moment.ticks;
    let told = moment.start.interval;
    let apart = ticks
        .windows(2)
        .map(|pair| pair[1].at.since(pair[0].at))
        .min();
    let interval = if told.is_zero() {
        apart.unwrap_or_default()
    } else {
        told
    };
    Duration::from_secs_f64(interval.as_secs_f64().round().clamp(1.0, 600.0))
}

/// As far as the policies look back that decide something: a test begins with nothing known.
fn polls_needed(moment: &Moment<'_>, interval: Duration) -> usize {
    let decided = |name: &str| moment.decided.iter().any(|it| *it.policy == *name);
    let policies = moment
        .set
        .policies
        .iter()
        .filter(|policy| decided(&policy.name));
    let back = policies.map(|policy| policy.window + policy.hold).max();
    let polls = back
        .unwrap_or_default()
        .as_secs()
        .div_ceil(interval.as_secs());
    let polls = usize::try_from(polls).unwrap_or(POLLS_MAX) + 3;
    polls.clamp(POLLS_MIN as usize, POLLS_MAX)
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
        let mut given = Given(self.moment.set);
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
        for missing in self.not_reproduced(came) {
            _ = writeln!(text, "# {missing}");
        }
        let policies: Vec<String> = self.moment.policies.iter().map(|it| quoted(it)).collect();
        _ = writeln!(text, "policies = [{}]\n", policies.join(", "));
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
        let is_word = |daemon: &Option<&str>| {
            daemon.is_some_and(|it| !it.is_empty() && !it.contains(char::is_whitespace))
        };
        if daemons.iter().all(is_word) {
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

/// The policies that a draft is played by.
struct Given<'a>(&'a PolicySet);

impl Beside for Given<'_> {
    fn policies(&mut self, _: &[PathBuf], _: usize) -> CheckedPolicies {
        CheckedPolicies {
            set: Some(self.0.clone()),
            diagnostics: Vec::new(),
            files: 1,
        }
    }

    /// A draft names none.
    fn config(&mut self, _: &Path) -> config::Checked {
        config::Checked {
            config: None,
            policies: None,
            diagnostics: Vec::new(),
        }
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
