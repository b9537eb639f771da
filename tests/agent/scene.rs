//! A server with a few clients that do what they are told, a tap on its line, and an agent whose
//! polls are ten simulated seconds apart.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use electrumx_warden::agent::{Agent, AgentOptions, Cadence, Tick};
use electrumx_warden::decision::Outcome;
use electrumx_warden::journal::{Filter, Journal, Retention, Row};
use electrumx_warden::policy::{Mode, PolicySet, Source, check};
use electrumx_warden::poll::Clock;
use electrumx_warden::rpc::{Client, ClientOptions};
use electrumx_warden::sim::{Pace, Release, Server, SessionKey, Traffic, World};
use electrumx_warden::time::Timestamp;
use electrumx_warden::warden::{Settings, Warden};
use serde_json::{Value, json};

use crate::log::be_heard;
use crate::tap::Tap;

pub(crate) const INTERVAL: Duration = Duration::from_secs(10);

pub(crate) struct SimClock(pub(crate) Arc<Server>);

impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000) + self.0.now()
    }
}

/// A clock that is wrong.
struct Ahead(SimClock, Duration);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        self.0.now() + self.1
    }
}

/// A policy with a cooldown of an hour, unless `more` says otherwise.
pub(crate) fn policy(name: &str, scope: &str, when: &str, action: &str, more: &str) -> String {
    let cooldown = if more.contains("cooldown") {
        ""
    } else {
        "cooldown = \"1h\""
    };
    format!(
        "[[policy]]\nname = \"{name}\"\nabout = \"x\"\nscope = \"{scope}\"\nwhen = {when}\n\
         action = {action}\n{cooldown}\n{more}\n"
    )
}

/// Disconnects clients whose name begins with `evil`.
pub(crate) fn evil() -> String {
    policy(
        "evil",
        "session",
        "{ client = \"=~ ^evil\" }",
        "\"disconnect\"",
        "",
    )
}

pub(crate) fn set(text: &str) -> PolicySet {
    let source = Source {
        name: "p.toml".into(),
        text: text.to_owned(),
    };
    let checked = check(vec![source], &mut |path: &Path| {
        std::fs::read_to_string(path)
    });
    checked
        .set
        .unwrap_or_else(|| panic!("{:?}", checked.diagnostics))
}

pub(crate) struct Scene {
    pub(crate) server: Arc<Server>,
    pub(crate) tap: Tap,
    pub(crate) policies: String,
    pub(crate) settings: Settings,
    pub(crate) options: ClientOptions,
    pub(crate) folder: tempfile::TempDir,
    /// By so much the clock of the next agent is ahead.
    pub(crate) ahead: Duration,
    pub(crate) retention: Retention,
    agent: Option<Agent>,
}

impl Scene {
    /// Without an agent yet.
    pub(crate) async fn new(release: Release, policies: impl Into<String>) -> Self {
        be_heard();
        let world = World::empty(release, 1);
        let server = Arc::new(Server::start(world, Pace::Manual).await.unwrap());
        let tap = Tap::on(server.addr()).await;
        let options = ClientOptions {
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(2),
            ..ClientOptions::new(tap.addr.to_string())
        };
        let settings = Settings {
            mode: Mode::Enforce,
            ..Settings::default()
        };
        Self {
            server,
            tap,
            policies: policies.into(),
            settings,
            options,
            folder: tempfile::tempdir().unwrap(),
            ahead: Duration::ZERO,
            retention: Retention::default(),
            agent: None,
        }
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.folder.path().join("journal.sqlite")
    }

    pub(crate) fn agent(&mut self) -> &mut Agent {
        if self.agent.is_none() {
            let agent = Agent::new(
                Warden::new(set(&self.policies), self.settings.clone()),
                Client::new(self.options.clone()),
                Journal::open(&self.journal()).unwrap(),
                Box::new(Ahead(SimClock(Arc::clone(&self.server)), self.ahead)),
                AgentOptions {
                    cadence: Cadence::steady(INTERVAL),
                    inspect_max: 20,
                    retention: self.retention,
                },
            );
            self.agent = Some(agent.unwrap());
        }
        self.agent.as_mut().unwrap()
    }

    /// The next poll is a new agent's, with the same journal.
    pub(crate) fn kill_agent(&mut self) {
        self.agent = None;
    }

    /// A poll, and then the time until the next.
    pub(crate) async fn poll(&mut self) -> Tick {
        let tick = self.agent().tick().await;
        self.wait(INTERVAL);
        tick
    }

    /// A poll that must succeed: each decision's policy and outcome.
    pub(crate) async fn good_poll(&mut self) -> Vec<(String, Outcome)> {
        let tick = self.poll().await;
        assert!(tick.failure.is_none(), "{:?}", tick.failure);
        outcomes(&tick)
    }

    pub(crate) fn wait(&self, time: Duration) {
        for _ in 0..time.as_secs() {
            self.server.advance(Duration::from_secs(1));
        }
    }

    /// Time in which these clients do just so much that the server does not close them for idling.
    pub(crate) fn wait_alive(&self, keys: &[SessionKey], time: Duration) {
        const OFTEN_ENOUGH: Duration = Duration::from_mins(5);
        for _ in 0..time.as_secs() / OFTEN_ENOUGH.as_secs() {
            self.wait(OFTEN_ENOUGH);
            let ping = Traffic {
                requests: 1,
                ..Traffic::default()
            };
            for &key in keys {
                self.server.world().serve(key, &ping);
            }
        }
    }

    /// A client of that name, from `198.51.100.last`.
    pub(crate) fn client(&self, name: &str, last: u8) -> SessionKey {
        let peer = SocketAddr::from(([198, 51, 100, last], 50_000));
        self.server.world().connect(peer, name)
    }

    pub(crate) fn is_open(&self, key: SessionKey) -> bool {
        self.server.world().is_open(key)
    }

    pub(crate) fn is_logged(&self, key: SessionKey) -> bool {
        is_logged(&self.server, key)
    }

    pub(crate) fn operator(&self, method: &str, params: &Value) -> Value {
        operator(&self.server, method, params)
    }

    /// An operator toggles the logging of a session.
    pub(crate) fn toggle(&self, key: SessionKey) {
        let id = self.server.world().id_of(key).unwrap();
        toggle(&self.server, id);
    }

    /// What the journal holds, oldest first.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let journal = Journal::open_read_only(&self.journal()).unwrap();
        let every = Filter {
            limit: u32::MAX,
            newest_first: false,
            ..Filter::default()
        };
        journal.query(&every).unwrap()
    }

    pub(crate) fn log_runs(&self) -> usize {
        let journal = Journal::open_read_only(&self.journal()).unwrap();
        journal.load_state().unwrap().log_runs.len()
    }
}

pub(crate) fn outcomes(tick: &Tick) -> Vec<(String, Outcome)> {
    tick.carried
        .iter()
        .map(|carried| (carried.decision.policy.to_string(), carried.outcome.clone()))
        .collect()
}

/// How often the agent did something.
pub(crate) fn executed(outcomes: &[(String, Outcome)]) -> usize {
    let is = |(_, outcome): &&(String, Outcome)| matches!(outcome, Outcome::Executed { .. });
    outcomes.iter().filter(is).count()
}

pub(crate) fn is_logged(server: &Server, key: SessionKey) -> bool {
    let world = server.world();
    let id = world.id_of(key).expect("it is there");
    let rows: Value = serde_json::from_slice(&world.reply("sessions").unwrap()).unwrap();
    let row = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row[0] == id && !row[1].as_str().unwrap().starts_with('R'));
    row.unwrap()[1].as_str().unwrap().contains('L')
}

/// What an operator is answered who asks by a connection of their own.
pub(crate) fn operator(server: &Server, method: &str, params: &Value) -> Value {
    let mut world = server.world();
    let key = world.open_rpc("127.0.0.1:9".parse().unwrap());
    let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let answer = world.request(key, request.to_string().as_bytes());
    world.hang_up(key);
    let reply: Value = serde_json::from_slice(&answer.bytes).unwrap();
    reply["result"].clone()
}

pub(crate) fn toggle(server: &Server, id: u64) {
    let release = server.world().release();
    let params = if release == Release::V0_10_2 {
        json!([id])
    } else {
        json!({"session_ids": [id.to_string()]})
    };
    let words = operator(server, "log", &params);
    assert!(
        words[0]
            .as_str()
            .is_some_and(|word| !word.contains("unknown")),
        "{words}"
    );
}
