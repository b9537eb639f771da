//! What the agent does is no evidence: enforcing makes nobody guilty whom dry-run would not have.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use crate::decision::{Decision, Outcome, SessionRef, Target};
use crate::limits::Verdict;
use crate::policy::{Mode, Quota};
use crate::scene::{Scene, policies};
use crate::warden::{Settings, Warden};

/// What decisions were about, by policy.
type Guilty = BTreeSet<(String, String)>;

const POLL_MS: i64 = 10_000;
const POLLS: i64 = 60;
/// So many polls cover the longest window before anybody comes or goes.
const POLLS_BEFORE: i64 = 13;
const HOUR_MS: i64 = 3_600_000;
/// So long after it was cut a client is back.
const BACK_MS: i64 = 1_500;

/// Two households in a subnet, two in another, and an IPv6 one.
const ADDRESSES: [&str; 5] = [
    "8.8.8.8",
    "8.8.8.9",
    "9.9.9.8",
    "9.9.9.9",
    "[2a00:1:2:3::1]",
];
const NAMES: [&str; 4] = ["wallet", "other", "third", ""];

/// What clients send while they are connected, in bytes a millisecond; most send nothing.
const RATES: [u64; 5] = [0, 0, 0, 300, 1_500];

/// The thresholds of sessions, and those of dry-run.
///
/// What a client would have done while it was away is not known. It is taken for as busy then as it was
/// before, for 5 s at the most of each absence, so for up to half of the time if it is cut at each poll. Whoever
/// would have left by itself just then looks up to twice as busy as it was.
const SESSION_THRESHOLDS: [(&str, &str); 2] =
    [("> 1000 kB/s", "> 500 kB/s"), ("> 200 kB/s", "> 100 kB/s")];

/// Whatever counts who comes and goes, and what was sent; low enough that random lives trip it.
const POLICIES: &str = r#"
[[policy]]
name = "address-brief"
scope = "address"
when = { brief_sessions = ">= 2" }
window = "2m"
action = "disconnect"

[[policy]]
name = "address-new"
scope = "address"
when = { new_sessions = ">= 3" }
window = "2m"
action = "disconnect"

[[policy]]
name = "address-gone"
scope = "address"
when = { gone_sessions = ">= 3" }
window = "2m"
action = "disconnect"

[[policy]]
name = "subnet-brief"
scope = "subnet"
when = { brief_addresses = ">= 2" }
window = "2m"
action = "disconnect"

[[policy]]
name = "subnet-new"
scope = "subnet"
when = { new_addresses = ">= 2" }
window = "1m"
action = "disconnect"

[[policy]]
name = "client-brief"
scope = "client"
when = { brief_sessions = ">= 3" }
window = "2m"
action = "disconnect"

[[policy]]
name = "client-new"
scope = "client"
when = { new_sessions = ">= 5" }
window = "1m"
action = "disconnect"

[[policy]]
name = "session-sent"
scope = "session"
when = { sent_rate = "> 1000 kB/s" }
window = "20s"
action = "disconnect"

[[policy]]
name = "session-sent-long"
scope = "session"
when = { sent_rate = "> 200 kB/s" }
window = "1m"
action = "disconnect"

[[policy]]
name = "address-sent"
scope = "address"
when = { sent_rate = "> 500 kB/s" }
window = "30s"
action = "disconnect"

[[policy]]
name = "subnet-sent"
scope = "subnet"
when = { sent_rate = "> 2 MB/s" }
window = "1m"
action = "disconnect"
"#;

/// A client by what it does of itself: whenever it is not cut, it is connected in these spans.
///
/// No two have both the address and the name: nobody could tell who of them is back.
#[derive(Clone, Debug)]
struct Client {
    address: usize,
    name: usize,
    rate: u64,
    /// From and to, in order, and apart.
    spans: Vec<(i64, i64)>,
}

/// Stays from one second to five minutes, as long away; may be there already when all begins.
fn spans() -> impl Strategy<Value = Vec<(i64, i64)>> {
    let time_ms = prop_oneof![1_000..40_000_i64, 40_000..300_000_i64];
    let stays = prop::collection::vec((time_ms.clone(), time_ms), 1..12);
    (stays, any::<bool>()).prop_map(|(stays, is_there)| {
        let mut at_ms = 0;
        let mut spans = Vec::new();
        for (away_ms, stay_ms) in stays {
            let is_first = spans.is_empty();
            let from_ms = at_ms + away_ms;
            at_ms = from_ms + stay_ms;
            let began_ms = if is_first && is_there {
                -HOUR_MS
            } else {
                from_ms
            };
            spans.push((began_ms, at_ms));
        }
        spans
    })
}

/// One in four stays all the time.
fn life() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop_oneof![3 => spans(), 1 => Just(vec![(-HOUR_MS, HOUR_MS)])]
}

fn clients() -> impl Strategy<Value = Vec<Client>> {
    let whole = ADDRESSES.len() * NAMES.len();
    let who = prop::sample::subsequence((0..whole).collect::<Vec<_>>(), 1..whole);
    who.prop_flat_map(|who| {
        let life = (life(), prop::sample::select(&RATES));
        let lives = prop::collection::vec(life, who.len());
        (Just(who), lives).prop_map(|(who, lives)| {
            let of = |(who, (spans, rate)): (usize, _)| Client {
                address: who % ADDRESSES.len(),
                name: who / ADDRESSES.len(),
                rate,
                spans,
            };
            who.into_iter().zip(lives).map(of).collect()
        })
    })
}

fn policies_of(mode: Mode) -> String {
    let mut text = POLICIES.to_owned();
    if mode == Mode::DryRun {
        for (threshold, watched) in SESSION_THRESHOLDS {
            text = text.replace(threshold, watched);
        }
    }
    text
}

struct World<'a> {
    scene: Scene,
    warden: Warden,
    began_ms: i64,
    clients: Vec<(&'a Client, Presence)>,
    ports: u16,
    guilty: Guilty,
}

/// Whether a client is connected, and since when it has been cut.
#[derive(Clone, Copy, Debug, Default)]
struct Presence {
    session: Option<u64>,
    cut_ms: Option<i64>,
}

impl Client {
    /// The moments at which it comes or goes, and those at which it is back after it was cut.
    fn moments(&self, presence: Presence) -> impl Iterator<Item = i64> {
        let own = self
            .spans
            .iter()
            .flat_map(|&(from_ms, to_ms)| [from_ms, to_ms]);
        own.chain(presence.cut_ms.map(|ms| ms + BACK_MS))
    }

    fn is_quiet(&self) -> bool {
        self.rate == 0 && self.spans == [(-HOUR_MS, HOUR_MS)]
    }

    fn wants_to_be_there(&self, at_ms: i64) -> bool {
        self.spans
            .iter()
            .any(|&(from_ms, to_ms)| from_ms <= at_ms && at_ms < to_ms)
    }

    /// Whether it comes now, after it was away by its own choice.
    fn comes(&self, at_ms: i64) -> bool {
        self.spans.iter().any(|&(from_ms, _)| from_ms == at_ms)
    }
}

impl<'a> World<'a> {
    fn new(mode: Mode, clients: &'a [Client]) -> Self {
        let plenty = Quota {
            count: 1_000_000,
            per: Duration::from_secs(1),
        };
        let mut settings = Settings {
            mode,
            ..Settings::default()
        };
        settings.limits.disconnect_regulars = plenty;
        settings.limits.breaker.regulars_min = 1_000_000;
        let scene = Scene::new();
        let mut world = World {
            began_ms: scene.now_ms + POLLS_BEFORE * POLL_MS,
            scene,
            warden: Warden::new(policies(&policies_of(mode)), settings),
            clients: clients
                .iter()
                .map(|client| (client, Presence::default()))
                .collect(),
            ports: 1_000,
            guilty: Guilty::new(),
        };
        for (index, client) in clients.iter().enumerate() {
            let (from_ms, _) = client.spans[0];
            if from_ms < 0 {
                world.connect(index);
                world.scene.rows.last_mut().unwrap().since_ms += from_ms;
            }
        }
        world
    }

    fn now_ms(&self) -> i64 {
        self.scene.now_ms - self.began_ms
    }

    fn connect(&mut self, index: usize) {
        let (client, presence) = &mut self.clients[index];
        self.ports += 1;
        let peer = format!("{}:{}", ADDRESSES[client.address], self.ports);
        presence.session = Some(self.scene.connect(&peer, NAMES[client.name]));
        presence.cut_ms = None;
    }

    /// Everybody does what it does until then, moment by moment.
    fn live(&mut self, until_ms: i64) {
        loop {
            let now_ms = self.now_ms();
            let moments = self
                .clients
                .iter()
                .flat_map(|(client, presence)| client.moments(*presence));
            let next = moments.filter(|&ms| now_ms < ms && ms <= until_ms).min();
            self.send_until(next.unwrap_or(until_ms));
            if next.is_none() {
                return;
            }
            for index in 0..self.clients.len() {
                self.act(index);
            }
        }
    }

    fn send_until(&mut self, until_ms: i64) {
        let elapsed_ms = u64::try_from(until_ms - self.now_ms()).unwrap();
        self.scene.now_ms = self.began_ms + until_ms;
        for (client, presence) in &self.clients {
            if let Some(id) = presence.session {
                self.scene.of(id).sent += client.rate * elapsed_ms;
            }
        }
    }

    fn act(&mut self, index: usize) {
        let now_ms = self.now_ms();
        let (client, presence) = &mut self.clients[index];
        if !client.wants_to_be_there(now_ms) {
            presence
                .session
                .take()
                .into_iter()
                .for_each(|id| self.scene.leave(id));
            presence.cut_ms = None;
            return;
        }
        let is_back = presence.cut_ms.is_some_and(|ms| ms + BACK_MS <= now_ms);
        if presence.session.is_none() && (is_back || client.comes(now_ms)) {
            self.connect(index);
        }
    }

    fn poll(&mut self) {
        let snapshot = self.scene.poll();
        self.warden.observe(&snapshot);
        let judgement = self.warden.judge(&snapshot);
        for ruling in &judgement.rulings {
            self.note(&ruling.decision);
        }
        for ruling in judgement.rulings {
            if ruling.mode == Mode::Enforce && matches!(ruling.verdict, Verdict::Permitted { .. }) {
                let done = Outcome::Executed {
                    detail: "disconnected".into(),
                };
                let decision = &ruling.decision;
                self.warden.settle(decision, &done, 0, snapshot.at());
                self.cut(&decision.sessions);
            }
        }
    }

    /// Of dry-run, a decision that falls on nobody is enough.
    fn note(&mut self, decision: &Decision) {
        if self.warden.mode() == Mode::DryRun || !decision.sessions.is_empty() {
            let guilty = (decision.policy.to_string(), self.who(&decision.target));
            self.guilty.insert(guilty);
        }
        for (client, presence) in &self.clients {
            let is_hit = |session: &SessionRef| presence.session == Some(session.id);
            let is_hit = decision.sessions.iter().any(is_hit);
            assert!(!(client.is_quiet() && is_hit), "{client:?}");
        }
    }

    /// A session by the client that it is of, who has another when it is back.
    fn who(&self, target: &Target) -> String {
        let Target::Session(session) = target else {
            return target.to_string();
        };
        let mut clients = self.clients.iter();
        let client = clients.position(|(_, presence)| presence.session == Some(session.id));
        format!("client {}", client.unwrap())
    }

    fn cut(&mut self, sessions: &[SessionRef]) {
        let now_ms = self.now_ms();
        for session in sessions {
            self.scene.leave(session.id);
            for (_, presence) in &mut self.clients {
                if presence.session == Some(session.id) {
                    *presence = Presence {
                        session: None,
                        cut_ms: Some(now_ms),
                    };
                }
            }
        }
    }
}

fn guilty(mode: Mode, clients: &[Client]) -> Guilty {
    let mut world = World::new(mode, clients);
    world.poll();
    for poll in 1 - POLLS_BEFORE..=POLLS {
        world.live(poll * POLL_MS);
        world.poll();
    }
    world.guilty
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn enforcing_makes_nobody_guilty_whom_dry_run_would_not_have(
        clients in clients(),
    ) {
        let watched = guilty(Mode::DryRun, &clients);
        let enforced = guilty(Mode::Enforce, &clients);
        let more: Vec<_> = enforced.difference(&watched).collect();
        prop_assert!(more.is_empty(), "{more:?}");
    }
}
