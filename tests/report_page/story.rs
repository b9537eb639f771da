//! Reports to look at: the simulation's story judged by one set of policies or two, a week of a busy server, one poll,
//! none.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "made-up numbers, all small and from 0 up"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use electrumx_warden::act::Carried;
use electrumx_warden::agent::{Agent, AgentOptions, Cadence};
use electrumx_warden::decision::{
    Decision, Epoch, Evidence, Outcome, Peer, Seen, SessionRef, Suppression, Target,
};
use electrumx_warden::field::{Dimension, Scope};
use electrumx_warden::journal::{Journal, Retention};
use electrumx_warden::policy::{Action, Mode, PolicySet, Source, check};
use electrumx_warden::poll::Clock;
use electrumx_warden::report::{Collector, PolicyFacts, Report, Side};
use electrumx_warden::rpc::{Client, ClientOptions};
use electrumx_warden::sim::{Pace, Release, STORY, Server, World};
use electrumx_warden::snapshot::{Flags, Generation, Snapshot, Span, Transport};
use electrumx_warden::time::Timestamp;
use electrumx_warden::warden::{Settings, Warden};

const INTERVAL: Duration = Duration::from_secs(10);
const EPOCH: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A name that is markup, ends scripts and comments, turns text around, and would not be told from the page's own.
pub(crate) const HOSTILE: &str = "</script><script>document.title='owned'</script><img src=x onerror=alert(1)>\u{202e}\u{2028}<!--";

struct SimulatedClock(Arc<Server>);

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        EPOCH + self.0.now()
    }
}

fn shipped() -> PolicySet {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    PolicySet::load(&[folder]).set.unwrap()
}

/// Policies that would make many suffer for a few.
fn harsh() -> PolicySet {
    let text = r#"
[[policy]]
name = "subscription-hoarder"
about = "One session has far more subscriptions than others."
scope = "session"
when = { subs = "> 100" }
action = "disconnect"
cooldown = "10m"

[[policy]]
name = "anybody-busy"
about = "Sends more than 2 KiB a second."
scope = "address"
when = { sent_rate = "> 2 KiB/s" }
for = "30s"
action = "disconnect"
cooldown = "10m"

[[policy]]
name = "merchants"
about = "Clients that call themselves a shop."
scope = "session"
when = { client = "=~ (?i)shop|pay" }
action = { log = { for = "10m" } }
cooldown = "1h"
"#;
    let source = Source {
        name: "harsh.toml".into(),
        text: text.into(),
    };
    let checked = check(vec![source], &mut |_| Ok(String::new()));
    checked
        .set
        .unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
}

fn agent(server: &Arc<Server>, set: PolicySet, journal: &Path) -> Agent {
    let settings = Settings {
        mode: Mode::DryRun,
        ..Settings::default()
    };
    Agent::new(
        Warden::new(set, settings),
        Client::new(ClientOptions::new(server.addr().to_string())),
        Journal::open(journal).unwrap(),
        Box::new(SimulatedClock(Arc::clone(server))),
        AgentOptions {
            cadence: Cadence::steady(INTERVAL),
            inspect_max: 20,
            retention: Retention::default(),
        },
    )
    .unwrap()
}

/// The demo's ten minutes, judged by the policies that ship, and if so wished by harsher ones beside them.
pub(crate) fn story(is_compared: bool) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(Box::pin(play(is_compared)))
}

async fn play(is_compared: bool) -> Report {
    let world = World::story(Release::V1_20_0, 1);
    let server = Arc::new(Server::start(world, Pace::Manual).await.unwrap());
    let folder = tempfile::tempdir().unwrap();
    let mut shipped_agent = agent(&server, shipped(), &folder.path().join("a.sqlite"));
    let mut harsh_agent = agent(&server, harsh(), &folder.path().join("b.sqlite"));
    let against = is_compared.then(|| Side::of("harsh.toml", &harsh(), Mode::DryRun));
    let mut collector = Collector::new(Side::of("policies", &shipped(), Mode::DryRun), against);
    while server.now() < STORY {
        let decided = shipped_agent.tick().await.carried;
        let against = if is_compared {
            harsh_agent.tick().await.carried
        } else {
            Vec::new()
        };
        collector.poll(shipped_agent.snapshot().unwrap(), &decided, &against);
        for _ in 0..INTERVAL.as_secs() {
            server.advance(Duration::from_secs(1));
        }
    }
    collector.finish()
}

/// A made-up server of some dozen clients, of whom some call themselves what [`HOSTILE`] says.
pub(crate) struct Busy {
    rng: fastrand::Rng,
    snapshot: Snapshot,
    at: Timestamp,
    height: u64,
    next_id: u64,
}

impl Busy {
    pub(crate) fn new() -> Self {
        let mut busy = Self {
            rng: fastrand::Rng::with_seed(7),
            snapshot: Snapshot {
                epoch: Epoch(1),
                ..Snapshot::default()
            },
            at: EPOCH,
            height: 930_000,
            next_id: 0,
        };
        busy.snapshot.server.version = Some("ElectrumX 1.20.0".into());
        busy.snapshot.server.coin = Some("Bitcoin".into());
        busy.snapshot.sessions.generation = Some(Generation::Cost);
        for _ in 0..60 {
            busy.join();
        }
        busy
    }

    fn join(&mut self) {
        let id = self.next_id;
        self.next_id += 1;
        let [a, b, c] = [0; 3].map(|_: u8| self.rng.u8(1..));
        let peer = format!("45.{a}.{b}.{c}:50001");
        let sessions = &mut self.snapshot.sessions;
        let name = if id.is_multiple_of(9) {
            HOSTILE
        } else {
            "electrum/4.5.8"
        };
        sessions.client.push(sessions.names.intern(name));
        sessions.protocol.push(sessions.names.intern("1.4"));
        sessions.id.push(id);
        sessions.peer.push(Peer(peer.parse().ok()));
        sessions.flags.push(Flags {
            transport: Transport::Ssl,
            closing: false,
            logged: false,
        });
        sessions.cost.push(0.0);
        sessions.extra_cost.push(0.0);
        sessions.age_s.push(0.0);
        for column in [
            &mut sessions.pending_requests,
            &mut sessions.txs_sent,
            &mut sessions.subs,
            &mut sessions.recv_count,
            &mut sessions.recv_size,
            &mut sessions.sent_count,
            &mut sessions.sent_size,
        ] {
            column.push(0);
        }
    }

    /// The oldest has left. What interned text remains is still somebody's.
    fn leave(&mut self) {
        let sessions = &mut self.snapshot.sessions;
        if sessions.is_empty() {
            return;
        }
        sessions.id.remove(0);
        sessions.peer.remove(0);
        sessions.flags.remove(0);
        sessions.client.remove(0);
        sessions.protocol.remove(0);
        for column in [
            &mut sessions.cost,
            &mut sessions.extra_cost,
            &mut sessions.age_s,
        ] {
            column.remove(0);
        }
        for column in [
            &mut sessions.pending_requests,
            &mut sessions.txs_sent,
            &mut sessions.subs,
            &mut sessions.recv_count,
            &mut sessions.recv_size,
            &mut sessions.sent_count,
            &mut sessions.sent_size,
        ] {
            column.remove(0);
        }
    }

    /// Time passes; more is going on by day than by night.
    pub(crate) fn wait(&mut self, span: Duration) {
        self.at = self.at + span;
        let hour = self.at.as_millis() as f64 / 3_600_000.0 % 24.0;
        let day = 1.0 - (hour / 24.0 * std::f64::consts::TAU).cos();
        let wanted = (60.0 + 50.0 * day) as usize;
        while self.snapshot.sessions.len() < wanted || self.rng.f64() < 0.3 {
            self.join();
        }
        while self.snapshot.sessions.len() > wanted {
            self.leave();
        }
        let span_s = span.as_secs_f64();
        let sessions = &mut self.snapshot.sessions;
        for row in 0..sessions.len() {
            sessions.age_s[row] += span_s;
            let is_greedy = sessions.id[row].is_multiple_of(50);
            let rate = if is_greedy {
                40_000.0
            } else {
                900.0 * (1.0 + day)
            };
            sessions.sent_size[row] += (rate * span_s * self.rng.f64()) as u64;
            sessions.recv_size[row] += (rate / 8.0 * span_s * self.rng.f64()) as u64;
        }
        if self.rng.f64() < span_s / 600.0 {
            self.height += 1;
        }
        let server = &mut self.snapshot.server;
        server.daemon_height = Some(self.height);
        server.db_height = Some(self.height.saturating_sub(u64::from(self.rng.f64() < 0.03)));
        server.errors += self.rng.u64(..3);
        let span = Span {
            asked: self.at,
            answered: self.at,
        };
        (self.snapshot.server_read, self.snapshot.sessions_read) = (span, span);
    }

    /// What a policy would do to a session of this row.
    fn would(&self, policy: &str, action: Action, row: usize, severity: f64) -> Carried {
        let sessions = &self.snapshot.sessions;
        let session = SessionRef {
            id: sessions.id[row],
            peer: sessions.peer[row],
            since: self.at,
        };
        let name: Arc<str> = sessions.names.get(sessions.client[row]).into();
        Carried {
            id: None,
            decision: Decision {
                at: self.at,
                epoch: Epoch(1),
                policy: policy.into(),
                mode: Mode::Enforce,
                action,
                target: if policy == "odd-name" {
                    Target::Client(name.clone())
                } else {
                    Target::Session(session)
                },
                evidence: vec![
                    Evidence {
                        field: "client".into(),
                        test: "=~ script".into(),
                        seen: Seen::Text(name),
                        threshold: None,
                        dimension: None,
                    },
                    Evidence {
                        field: "sent_rate".into(),
                        test: "> 20x median".into(),
                        seen: Seen::Number(severity * 20_000.0),
                        threshold: Some(20_000.0),
                        dimension: Some(Dimension::ByteRate),
                    },
                ],
                held: Duration::from_secs(60),
                severity,
                sessions: vec![session],
                spared: 0,
                choice: None,
                at_once: false,
                bans: Vec::new(),
                refused: Vec::new(),
                daemons: Vec::new(),
            },
            outcome: Outcome::DryRun,
            withheld: 0,
            unsent: 0,
        }
    }

    fn decide(&mut self) -> Vec<Carried> {
        let mut carried = Vec::new();
        let rows = self.snapshot.sessions.len();
        for (index, policy) in MANY.into_iter().enumerate() {
            let odds = 0.02 / (index + 1) as f64;
            if self.rng.f64() < odds {
                let (row, severity) = (self.rng.usize(..rows), 1.0 + 9.0 * self.rng.f64());
                carried.push(self.would(policy, action(index), row, severity));
            }
        }
        if self.rng.f64() < 0.05 {
            let mut held = self.would(MANY[0], Action::Disconnect, 0, 2.0);
            let until = self.at + Duration::from_mins(10);
            held.outcome = Outcome::Suppressed(if self.rng.bool() {
                Suppression::Cooldown { until }
            } else {
                Suppression::ActionLimit { until }
            });
            carried.push(held);
        }
        carried
    }
}

/// More policies than there are colours.
const MANY: [&str; 11] = [
    "bandwidth-hog",
    "odd-name",
    "quick-reconnector",
    "subscription-hoarder",
    "error-flood",
    "one-subnet-takes-all-the-bandwidth",
    "greedy",
    "curious",
    "index-behind",
    "tor-flood",
    "old-client",
];

fn action(index: usize) -> Action {
    match index % 3 {
        0 => Action::Disconnect,
        1 => Action::Log {
            duration: Duration::from_mins(10),
        },
        _ => Action::Alert,
    }
}

fn many(label: &str) -> Side {
    let facts = |(index, name): (usize, &str)| PolicyFacts {
        further: Vec::new(),
        name: name.into(),
        about: format!("What {name} looks for, told in a sentence by whoever wrote the policy."),
        scope: Scope::Session,
        action: action(index),
        mode: Mode::DryRun,
    };
    let policies = MANY.into_iter().enumerate().map(facts).collect();
    Side {
        label: label.into(),
        policies,
    }
}

/// So many polls at such a distance, with failures, two gaps, a restart, and clients with hostile names.
pub(crate) fn long(polls: u32, every: Duration, is_compared: bool) -> Report {
    let against = is_compared.then(|| many("policies.old"));
    let mut collector = Collector::new(many("/etc/electrumx-warden/policies"), against);
    let mut busy = Busy::new();
    for poll in 0..polls {
        busy.wait(every);
        if poll == polls / 3 || poll == polls / 2 {
            busy.wait(every * (polls / 40).max(1) + Duration::from_mins(6));
        }
        if (polls / 5..polls / 5 + polls / 60).contains(&poll) {
            collector.missed(busy.at, "no answer to `getinfo` within 10s", &[], &[]);
            continue;
        }
        let decided = busy.decide();
        let against = if is_compared {
            busy.decide()
        } else {
            Vec::new()
        };
        collector.poll(&busy.snapshot, &decided, &against);
    }
    collector.finish()
}

/// One poll, at which one policy wanted something.
pub(crate) fn one_poll() -> Report {
    let mut collector = Collector::new(many("policies"), None);
    let mut busy = Busy::new();
    busy.wait(INTERVAL);
    let carried = busy.would("odd-name", Action::Disconnect, 0, 3.5);
    collector.poll(&busy.snapshot, &[carried], &[]);
    collector.finish()
}

/// An hour in which nobody did anything wrong.
pub(crate) fn quiet() -> Report {
    let mut collector = Collector::new(many("policies"), None);
    let mut busy = Busy::new();
    for _ in 0..360 {
        busy.wait(INTERVAL);
        collector.poll(&busy.snapshot, &[], &[]);
    }
    collector.finish()
}

/// Nothing was recorded.
pub(crate) fn nothing() -> Report {
    Collector::new(many("policies"), None).finish()
}
