use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::Replay;
use crate::act::Carried;
use crate::agent::{Agent, AgentOptions, Cadence, Rounds};
use crate::control::{Control, Request, ask};
use crate::daemon::{Daemons, Failure, Report, Round};
use crate::decision::Target;
use crate::history::{ClientChanges, KnownClient, SavedClients};
use crate::journal::{Filter, Journal, Retention};
use crate::penalty::SavedPenalties;
use crate::policy::{Mode, PolicySet, Source, check, shipped};
use crate::poll::Clock;
use crate::pseudonym::{Key, Pseudonyms};
use crate::recording::{Item, Recorder, RecorderOptions, Recording, Start, Tick};
use crate::rpc::{Client, ClientOptions};
use crate::sim::{Fault, Pace, Release, Server, World};
use crate::time::Timestamp;
use crate::warden::{Settings, Warden};

struct SimulatedClock(Arc<Server>);

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000) + self.0.now()
    }
}

/// Everything that is told of a poll, as bytes.
fn told(carried: &[Carried]) -> String {
    let line = |carried: &Carried| {
        let Carried {
            decision,
            outcome,
            withheld,
            unsent,
            ..
        } = carried;
        let decision = serde_json::to_string(decision).unwrap();
        let outcome = serde_json::to_string(outcome).unwrap();
        format!("{decision} {outcome} {withheld} {unsent}\n")
    };
    carried.iter().map(line).collect()
}

/// What an agent decided at each poll, with its recording.
struct Flown {
    decided: Vec<Vec<Carried>>,
    /// Addresses of clients that the server named.
    addresses: BTreeSet<IpAddr>,
    /// In the end.
    penalties: SavedPenalties,
    folder: tempfile::TempDir,
}

async fn recorded(release: Release, settings: Settings, polls: usize, key: Option<&Key>) -> Flown {
    let folder = tempfile::tempdir().unwrap();
    let world = World::story(release, 7);
    let server = Arc::new(Server::start(world, Pace::Manual).await.unwrap());
    let agent = Agent::new(
        Warden::new(shipped().set.unwrap(), settings),
        Client::new(ClientOptions::new(server.addr().to_string())),
        Journal::open(&folder.path().join("journal")).unwrap(),
        Box::new(SimulatedClock(Arc::clone(&server))),
        AgentOptions {
            cadence: Cadence::steady(Duration::from_secs(10)),
            inspect_max: 20,
            retention: Retention::default(),
        },
    )
    .unwrap();
    let mut agent = Box::new(agent);
    let mut recorder = Recorder::create(&folder.path().join("recording")).unwrap();
    if let Some(key) = key {
        recorder = recorder.hiding(key);
    }
    agent.record(recorder, "sim".into());
    let (mut decided, mut addresses) = (Vec::new(), BTreeSet::new());
    for _ in 0..polls {
        let tick = agent.tick().await;
        assert!(tick.failure.is_none(), "{:?}", tick.failure);
        decided.push(tick.carried);
        let peers = agent.snapshot().unwrap().sessions.peer.iter();
        addresses.extend(peers.filter_map(|peer| Some(peer.0?.ip())));
        server.advance(Duration::from_secs(10));
    }
    Flown {
        decided,
        addresses,
        penalties: agent.warden().saved_penalties(),
        folder,
    }
}

fn replayed(folder: &Path, mut replay: Replay) -> Vec<Vec<Carried>> {
    let recording = Recording::open(&[folder.join("recording")]).unwrap();
    let mut decided = Vec::new();
    for item in recording.play() {
        match item.unwrap() {
            Item::Start(start) => replay.start(&start),
            Item::Tick(tick) => decided.push(replay.turn(&tick).carried),
            // The recorder was dropped without an end, as by a kill.
            Item::Notice(_) => {}
        }
    }
    decided
}

fn in_mode(mode: Mode) -> Settings {
    Settings {
        mode,
        ..Settings::default()
    }
}

#[tokio::test]
async fn the_decisions_of_a_run_come_out_again_byte_for_byte() {
    for (release, mode) in [
        (Release::V1_20_0, Mode::Enforce),
        (Release::V1_20_0, Mode::DryRun),
        (Release::V2_0_0, Mode::Enforce),
    ] {
        let flown = recorded(release, in_mode(mode), 60, None).await;
        let replay = Replay::new(shipped().set.unwrap(), None);
        let again = replayed(flown.folder.path(), replay);
        assert_eq!(flown.decided.len(), again.len());
        let mut bytes = 0;
        for (poll, (live, again)) in flown.decided.iter().zip(&again).enumerate() {
            assert_eq!(told(live), told(again), "poll {poll}");
            bytes += told(live).len();
        }
        assert!(bytes > 10_000, "so little was decided: {bytes} bytes");
    }
}

/// Whether acts helped, as the live agent's journal has it.
#[tokio::test]
async fn whether_acts_helped_comes_out_again() {
    let flown = recorded(Release::V1_20_0, in_mode(Mode::Enforce), 60, None).await;
    let journal = Journal::open_read_only(&flown.folder.path().join("journal")).unwrap();
    let every = Filter {
        limit: u32::MAX,
        ..Filter::default()
    };
    let key = |policy: &str, at: Timestamp, target: &Target| format!("{policy} {at} {target:?}");
    let rows = journal.query(&every).unwrap().into_iter();
    let live: BTreeMap<String, String> = rows
        .filter_map(|row| {
            let of = &row.decision;
            let relief = serde_json::to_string(&row.relief?).unwrap();
            Some((key(&of.policy, of.at, &of.target), relief))
        })
        .collect();
    let mut replay = Replay::new(shipped().set.unwrap(), None);
    let mut again = BTreeMap::new();
    let recording = Recording::open(&[flown.folder.path().join("recording")]).unwrap();
    for item in recording.play() {
        match item.unwrap() {
            Item::Start(start) => replay.start(&start),
            Item::Tick(tick) => again.extend(replay.turn(&tick).followed.into_iter().map(|news| {
                let relief = serde_json::to_string(&news.relief).unwrap();
                (key(&news.policy, news.at, &news.target), relief)
            })),
            Item::Notice(_) => {}
        }
    }
    assert_eq!(live, again);
    let later = live.values().filter(|relief| relief.contains("later"));
    assert!(later.count() > 10, "{live:#?}");
}

/// Daemons that all fall silent after a while.
struct Silent(Arc<Server>);

impl Rounds for Silent {
    fn take(&mut self) -> Vec<Round> {
        vec![Round {
            at: SimulatedClock(Arc::clone(&self.0)).now(),
            reports: vec![Report {
                heard: Err(Failure::Unreachable {
                    detail: "connection refused".into(),
                }),
                took: Duration::from_millis(3),
            }],
        }]
    }
}

/// What the probes heard while the server did not answer is in the recording too.
#[tokio::test]
async fn an_outage_comes_out_again_byte_for_byte() {
    let set = crate::scene::policies(
        "[[policy]]\nname = \"unwell\"\nscope = \"server\"\nfor = \"40s\"\ncooldown = \"1s\"\n\
         when = { primary_healthy = false }\naction = \"alert\"\n\
         [[policy]]\nname = \"silent\"\nscope = \"server\"\ncooldown = \"1s\"\n\
         when = { rpc_down = \"> 20s\" }\naction = \"alert\"\n",
    );
    let folder = tempfile::tempdir().unwrap();
    let world = World::story(Release::V1_20_0, 7);
    let server = Arc::new(Server::start(world, Pace::Manual).await.unwrap());
    let mut settings = in_mode(Mode::Enforce);
    settings.daemons.addresses = vec!["127.0.0.1:8332".into()];
    let options = ClientOptions {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(2),
        ..ClientOptions::new(server.addr().to_string())
    };
    let agent = Agent::new(
        Warden::new(set.clone(), settings),
        Client::new(options),
        Journal::open(&folder.path().join("journal")).unwrap(),
        Box::new(SimulatedClock(Arc::clone(&server))),
        AgentOptions {
            cadence: Cadence::steady(Duration::from_secs(10)),
            inspect_max: 20,
            retention: Retention::default(),
        },
    )
    .unwrap();
    let mut agent = Box::new(agent);
    let daemons = Daemons::parse("http://u:p@127.0.0.1:8332/", None).unwrap();
    agent.watch_daemons(daemons, Box::new(Silent(Arc::clone(&server))));
    agent.record(
        Recorder::create(&folder.path().join("recording")).unwrap(),
        "sim".into(),
    );
    let mut decided = Vec::new();
    for poll in 0..16 {
        let is_down = (2..12).contains(&poll);
        server.set_fault(is_down.then_some(Fault::CloseMidReply));
        let tick = agent.tick().await;
        assert_eq!(tick.failure.is_some(), is_down, "{poll}");
        decided.push(told(&tick.carried));
        server.advance(Duration::from_secs(10));
    }
    let again = replayed(folder.path(), Replay::new(set, None));
    let again: Vec<String> = again.iter().map(|carried| told(carried)).collect();
    assert_eq!(decided, again);
    assert!(decided[11].contains("unwell"), "{decided:?}");
    assert!(decided[11].contains("silent"), "{decided:?}");
}

/// Addresses that policies and settings name are found by their pseudonyms.
#[tokio::test]
async fn pseudonyms_change_no_decision_and_leave_no_address() {
    let key = Key::generate().unwrap();
    let pseudonyms = Pseudonyms::new(&key);
    let mut settings = in_mode(Mode::Enforce);
    // Half of all the world, and with it some abusers.
    let spared: IpNet = "128.0.0.0/1".parse().unwrap();
    settings.protection.addresses = [spared].into_iter().collect();
    let flown = recorded(Release::V1_20_0, settings, 60, Some(&key)).await;
    let folder = flown.folder.path();

    let replay = Replay::by_pseudonyms(shipped().set.unwrap(), None, &key);
    let again = replayed(folder, replay);
    let mut spared = 0;
    for (poll, (live, again)) in flown.decided.iter().zip(&again).enumerate() {
        let hidden: Vec<Carried> = live
            .iter()
            .map(|carried| Carried {
                decision: pseudonyms.decision(&carried.decision),
                ..carried.clone()
            })
            .collect();
        assert_eq!(told(&hidden), told(again), "poll {poll}");
        spared += live.iter().map(|it| it.decision.spared).sum::<u32>();
    }
    assert!(spared > 0, "the protection had nothing to protect");

    let mut text = String::new();
    for entry in fs::read_dir(folder.join("recording")).unwrap() {
        let file = fs::File::open(entry.unwrap().path()).unwrap();
        let mut decoder = zstd::Decoder::new(file).unwrap();
        // It has no end; all up to there is what counts.
        _ = decoder.read_to_string(&mut text);
    }
    assert!(text.len() > 1_000_000, "{} bytes", text.len());
    let public = flown
        .addresses
        .iter()
        .filter(|&&it| pseudonyms.address(it) != it);
    let public: Vec<String> = public.map(ToString::to_string).collect();
    assert!(public.len() > 100, "{}", public.len());
    for address in public {
        assert!(!text.contains(&format!("\"{address}")), "{address}");
        assert!(!text.contains(&format!("[{address}]")), "{address}");
    }
}

fn known(last: u8, connected: Duration) -> KnownClient {
    let at = Timestamp::from_millis(1_767_225_600_000);
    KnownClient {
        address: format!("198.51.100.{last}/32").parse().unwrap(),
        met: at - connected,
        connected_ms: u64::try_from(connected.as_millis()).unwrap(),
        last_seen: at,
        acted_at: None,
    }
}

/// A subnet of two regulars, as an earlier run knew them, and of strangers who come again when they
/// are disconnected. Recorded in segments of 100 s.
async fn crowd_recorded(key: Option<&Key>) -> Flown {
    crowd_by_hand(key, &[]).await
}

/// The same, while a person asks things of the agent: each before the poll of this number.
async fn crowd_by_hand(key: Option<&Key>, requests: &[(usize, Request)]) -> Flown {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(World::empty(Release::V1_20_0, 1), Pace::Manual);
    let server = Arc::new(server.await.unwrap());
    let mut journal = Journal::open(&folder.path().join("journal")).unwrap();
    let usual = r#"{"hours": [{"clients": 2, "newcomers": 9}],
        "open": {"watched_ms": 1, "client_ms": 2, "newcomers": 0}}"#;
    journal
        .save_clients(&ClientChanges {
            known: [1, 2]
                .map(|last| known(last, Duration::from_hours(100)))
                .into(),
            usual: serde_json::from_str(usual).unwrap(),
            ..ClientChanges::default()
        })
        .unwrap();
    let agent = Agent::new(
        Warden::new(crowded(), in_mode(Mode::Enforce)),
        Client::new(ClientOptions::new(server.addr().to_string())),
        journal,
        Box::new(SimulatedClock(Arc::clone(&server))),
        AgentOptions {
            cadence: Cadence::steady(Duration::from_secs(10)),
            inspect_max: 20,
            retention: Retention::default(),
        },
    )
    .unwrap();
    let mut agent = Box::new(agent);
    let mut recorder = Recorder::open(RecorderOptions {
        age_max: Duration::from_secs(800),
        ..RecorderOptions::unbounded(&folder.path().join("recording"))
    })
    .unwrap();
    if let Some(key) = key {
        recorder = recorder.hiding(key);
    }
    agent.record(recorder, "sim".into());
    let mut present = Vec::new();
    let mut decided = Vec::new();
    let socket = folder.path().join("sock");
    agent.answer_over(Control::listen(&socket).unwrap());
    for poll in 0..40 {
        for (_, request) in requests.iter().filter(|(before, _)| *before == poll) {
            let (socket, request) = (socket.clone(), request.clone());
            let asks = tokio::task::spawn_blocking(move || ask(&socket, &request).unwrap());
            agent.answer_next().await;
            asks.await.unwrap();
        }
        {
            let mut world = server.world();
            present.retain(|&(_, key)| world.is_open(key));
            for last in 1..10 {
                if present.iter().all(|&(other, _)| other != last) {
                    let peer = SocketAddr::from(([198, 51, 100, last], 50_000));
                    present.push((last, world.connect(peer, "wallet")));
                }
            }
        }
        decided.push(agent.tick().await.carried);
        server.advance(Duration::from_secs(10));
    }
    agent.end_recording();
    Flown {
        decided,
        addresses: BTreeSet::new(),
        penalties: agent.warden().saved_penalties(),
        folder,
    }
}

fn crowded() -> PolicySet {
    let source = Source {
        name: "crowded.toml".into(),
        text: "[[policy]]\nname = \"crowded\"\nabout = \"x\"\nscope = \"subnet\"\n\
               when = { sessions = \"> 4\" }\naction = \"disconnect\"\ncooldown = \"30s\"\n\
               [[policy]]\nname = \"coming\"\nabout = \"x\"\nscope = \"address\"\n\
               when = { new_sessions = \"> 0\" }\nwindow = \"1m\"\naction = \"alert\"\n\
               cooldown = \"30s\"\n"
            .into(),
    };
    check(vec![source], &mut |_| unreachable!()).set.unwrap()
}

/// Who is known from an earlier run is known to the replay, from any segment on.
#[test]
fn a_breaker_that_was_closed_by_hand_is_closed_in_a_replay() {
    let at = Timestamp::from_millis(1_000);
    let limits = serde_json::json!({ "ledger": { "actions": [], "breaker": { "policies": [
        { "policy": "a", "open_until": 9_000, "regulars": [], "newcomers": [] },
        { "policy": "b", "open_until": 9_000, "regulars": [], "newcomers": [] },
    ] } } });
    let mut start = Start {
        limits: serde_json::from_value(limits).unwrap(),
        ..Start::default()
    };
    start.settings.mode = Mode::Enforce;
    let mut replay = Replay::new(crowded(), None);
    replay.start(&start);
    let tick = Tick {
        at,
        mode: Mode::Enforce,
        failure: Some("no answer".into()),
        closed: vec!["a".into()],
        ..Tick::default()
    };
    replay.turn(&tick);
    let stopped = replay.warden().stopped(at);
    assert_eq!(stopped, [("b".into(), Timestamp::from_millis(9_000))]);
}

#[tokio::test]
async fn regulars_are_the_same_in_a_replay() {
    let flown = crowd_recorded(None).await;
    let folder = flown.folder.path();
    let all = replayed(folder, Replay::new(crowded(), None));
    let lines = |carried: &[Vec<Carried>]| carried.iter().map(|it| told(it)).collect::<String>();
    assert_eq!(lines(&flown.decided), lines(&all));
    let acts = flown.decided.iter().filter(|it| !it.is_empty()).count();
    assert!(acts > 8, "{acts}");
    let hits = |carried: &[Vec<Carried>], last: u8| {
        let peer = format!("198.51.100.{last}:");
        lines(carried).matches(&peer).count()
    };
    assert_eq!((hits(&all, 1), hits(&all, 2)), (0, 0));
    // To come back from a disconnect is nothing that anybody does, in the replay neither.
    assert!(!lines(&all).contains("coming"));
    assert!((3..10).any(|last| hits(&all, last) > 0));

    // Without what was known they are among those who go, so the test can fail.
    let mut items = Vec::new();
    let mut segments: Vec<_> = fs::read_dir(folder.join("recording")).unwrap().collect();
    segments.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
    assert!(segments.len() > 3, "{}", segments.len());
    let mut forgetful = Replay::new(crowded(), None);
    for item in Recording::open(&[folder.join("recording")]).unwrap().play() {
        match item.unwrap() {
            Item::Start(start) => forgetful.start(&Start {
                clients: SavedClients::default(),
                ..*start
            }),
            Item::Tick(tick) => items.push(forgetful.turn(&tick).carried),
            Item::Notice(notice) => panic!("{notice}"),
        }
    }
    assert!(hits(&items, 1) + hits(&items, 2) > 0);

    // The last segment alone.
    let last = segments.pop().unwrap().unwrap().path();
    let mut replay = Replay::new(crowded(), None);
    let mut late = Vec::new();
    for item in Recording::open(&[last]).unwrap().play() {
        match item.unwrap() {
            Item::Start(start) => replay.start(&start),
            Item::Tick(tick) => late.push(replay.turn(&tick).carried),
            Item::Notice(notice) => panic!("{notice}"),
        }
    }
    assert!(!late.is_empty());
    assert_eq!((hits(&late, 1), hits(&late, 2)), (0, 0));
}

#[tokio::test]
async fn regulars_are_found_by_their_pseudonyms() {
    let key = Key::generate().unwrap();
    let pseudonyms = Pseudonyms::new(&key);
    let flown = crowd_recorded(Some(&key)).await;
    let again = replayed(
        flown.folder.path(),
        Replay::by_pseudonyms(crowded(), None, &key),
    );
    for (live, again) in flown.decided.iter().zip(&again) {
        let hidden = live.iter().map(|carried| Carried {
            decision: pseudonyms.decision(&carried.decision),
            ..carried.clone()
        });
        assert_eq!(told(&hidden.collect::<Vec<_>>()), told(again));
    }
}

/// With segments of 100 s: some begin with what was changed by hand, some are in the middle of it.
#[tokio::test]
async fn what_a_person_changes_is_changed_in_a_replay() {
    let net = |text: &str| text.parse().unwrap();
    let ban = |text, regulars_too| Request::Ban {
        net: net(text),
        for_s: 100,
        reason: "from 198.51.100.4".into(),
        regulars_too,
    };
    let unban = |text| Request::Unban {
        net: Some(net(text)),
        policy: None,
        all: false,
    };
    let all = Request::Unban {
        net: None,
        policy: None,
        all: true,
    };
    let requests = [
        (3, ban("198.51.100.0/24", false)),
        (5, unban("198.51.100.5")),
        (
            10,
            Request::Pardon {
                net: net("198.51.100.0/24"),
            },
        ),
        (12, ban("198.51.100.6", false)),
        (12, unban("198.51.100.6")),
        (14, ban("198.51.100.2", true)),
        (20, ban("198.51.100.0/28", false)),
        (20, all),
        (38, ban("198.51.100.9", false)),
    ];
    let flown = crowd_by_hand(None, &requests).await;
    let undisturbed = crowd_by_hand(None, &[]).await;
    let lines = |decided: &[Vec<Carried>]| decided.iter().map(|it| told(it)).collect::<String>();
    assert_ne!(lines(&flown.decided), lines(&undisturbed.decided));
    let mut replay = Replay::new(crowded(), None);
    let mut again = Vec::new();
    let recording = Recording::open(&[flown.folder.path().join("recording")]).unwrap();
    for item in recording.play() {
        match item.unwrap() {
            Item::Start(start) => replay.start(&start),
            Item::Tick(tick) => again.push(replay.turn(&tick).carried),
            Item::Notice(notice) => panic!("{notice}"),
        }
    }
    assert_eq!(lines(&flown.decided), lines(&again));
    assert_eq!(flown.penalties, replay.warden().saved_penalties());
    assert_eq!(flown.penalties.bans.len(), 1);

    let key = Key::generate().unwrap();
    let hidden = crowd_by_hand(Some(&key), &requests).await;
    let pseudonyms = Pseudonyms::new(&key);
    let again = replayed(
        hidden.folder.path(),
        Replay::by_pseudonyms(crowded(), None, &key),
    );
    for (live, again) in hidden.decided.iter().zip(&again) {
        let live = live.iter().map(|carried| Carried {
            decision: pseudonyms.decision(&carried.decision),
            ..carried.clone()
        });
        assert_eq!(told(&live.collect::<Vec<_>>()), told(again));
    }
    let mut text = String::new();
    for entry in fs::read_dir(hidden.folder.path().join("recording")).unwrap() {
        let file = fs::File::open(entry.unwrap().path()).unwrap();
        zstd::Decoder::new(file)
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
    }
    assert!(text.contains("by_hand") && !text.contains("198.51.100."));
}
