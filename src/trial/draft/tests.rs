//! Drafts of moments that a scene has played.

use proptest::prelude::*;

use super::*;
use crate::decision::{Evidence, Peer, Seen, SessionRef, Target};
use crate::policy::{Action, Mode};
use crate::scene::{Scene as Server, policies};
use crate::snapshot::Snapshot;
use crate::time::Timestamp;
use crate::trial::node::{Node, Probes};
use crate::warden::Settings;
use crate::watch;

const POLICIES: &str = r#"
[[policy]]
name = "hoarder"
scope = "session"
when = { subs = "> 100" }
for = "20s"
action = "disconnect"
"#;

fn tick(server: &Server, snapshot: Option<Snapshot>) -> Box<Tick> {
    Box::new(Tick {
        at: server.at(),
        failure: snapshot.is_none().then(|| "no answer".to_owned()),
        snapshot: snapshot.unwrap_or_default(),
        ..Tick::default()
    })
}

fn decision(server: &Server, target: Target) -> Decision {
    Decision {
        at: server.at(),
        epoch: server.epoch,
        policy: "hoarder".into(),
        mode: Mode::Enforce,
        action: Action::Disconnect,
        target,
        evidence: Vec::new(),
        held: Duration::ZERO,
        severity: 1.0,
        sessions: Vec::new(),
        spared: 0,
        choice: None,
        at_once: false,
        bans: Vec::new(),
        refused: Vec::new(),
        daemons: Vec::new(),
    }
}

/// A server that misses polls and is started again, with daemons, hostile names, clients that come
/// back, and a crowd.
#[test]
fn whatever_happened_is_in_the_draft() {
    let mut server = Server::new();
    server.info.version = Some("ElectrumX 1.20.0".into());
    server.info.daemon = Some("10.0.0.1:8332".into());
    let mut probes = Probes::default();
    for host in 1..=30 {
        server.connect(&format!("198.51.{host}.7:50001"), "electrum/4.5.5");
    }
    let mut hoarder = server.connect("203.0.113.7:50001", "a\"\\\u{1b}\u{202e}é");
    let mut ticks = Vec::new();
    for poll in 0..8_u64 {
        server.wait(10.0);
        match poll {
            2 => server.leave(hoarder),
            // Under the same peer.
            3 => hoarder = server.connect("203.0.113.7:50001", "b"),
            5 => {
                server.restart();
                for host in 1..=30 {
                    server.connect(&format!("198.51.{host}.7:50001"), "electrum/4.5.5");
                }
                hoarder = server.connect("203.0.113.7:50002", "c");
            }
            _ => {}
        }
        for row in &mut server.rows {
            row.sent += 1_000 + row.id;
            row.subs = 20;
            row.cost = 0.25 * poll as f64;
        }
        if poll != 2 {
            server.of(hoarder).subs = 200;
        }
        let failing = if poll > 4 {
            Node::down()
        } else {
            Node::at(800_000)
        };
        let round = probes.round(server.at(), &[Node::at(800_000 + poll), failing]);
        let mut snapshot = server.poll();
        snapshot.rounds = vec![round];
        ticks.push(tick(&server, (poll != 4).then_some(snapshot)));
    }
    let start = Start {
        interval: Duration::from_secs(10),
        settings: Settings {
            daemons: watch::Settings {
                addresses: ["10.0.0.1:8332", "10.0.0.2:8332"].map(Into::into).to_vec(),
                ..watch::Settings::default()
            },
            ..Settings::default()
        },
        ..Start::default()
    };
    let set = policies(POLICIES);
    let at_hoarder = Target::Session(SessionRef {
        id: hoarder,
        peer: Peer("203.0.113.7:50002".parse().ok()),
        since: server.at(),
    });
    let elsewhere = Target::Subnet("203.0.113.0/24".parse().unwrap());
    let decided = [at_hoarder, elsewhere].map(|target| decision(&server, target));
    let moment = Moment {
        ticks: &ticks,
        start: &start,
        set: &set,
        policies: &["p.toml".to_owned()],
        decided: &decided,
        config: None,
        strikes: Vec::new(),
        bans: Vec::new(),
        has_pseudonyms: false,
    };
    let Drafted { text, .. } = draft(&moment).unwrap();
    insta::assert_snapshot!(text);
    let source = Source {
        name: "p.test.toml".into(),
        text,
    };
    let mut given = Given {
        set: &set,
        config: None,
    };
    let checked = check(source, &mut given);
    assert!(checked.trials[0].run().is_ok(), "{checked:#?}");
}

/// Sessions have from 1 to 99 subscriptions, but a few have very many. One at an address comes back at
/// every poll.
fn churn(policies_text: &str, target: Target, policy: &str) -> (Drafted, PolicySet) {
    let mut server = Server::new();
    for host in 1..100 {
        server.connect(&format!("198.51.{host}.7:50001"), "electrum/4.5.5");
    }
    for (host, row) in (1..).zip(&mut server.rows) {
        row.subs = if host > 90 { 10_000 } else { host };
        row.since_ms -= 3_600_000;
    }
    let whale = server.connect("203.0.113.9:50001", "whale");
    let mut ticks = Vec::new();
    let mut visitor = None;
    for poll in 0..21_u64 {
        server.wait(10.0);
        if let Some(visitor) = visitor {
            server.leave(visitor);
        }
        server.of(whale).subs = if poll > 17 { 3_000 } else { 1 };
        let peer = format!("203.0.113.7:{}", 40_000 + poll);
        visitor = Some(server.connect(&peer, "again"));
        let snapshot = server.poll();
        ticks.push(tick(&server, Some(snapshot)));
    }
    let target = match target {
        Target::Session(_) => Target::Session(SessionRef {
            id: whale,
            peer: Peer("203.0.113.9:50001".parse().ok()),
            since: server.at(),
        }),
        other => other,
    };
    let set = policies(policies_text);
    let start = Start {
        interval: Duration::from_secs(10),
        ..Start::default()
    };
    let decided = [Decision {
        policy: policy.into(),
        ..decision(&server, target)
    }];
    let moment = Moment {
        ticks: &ticks,
        start: &start,
        set: &set,
        policies: &["p.toml".to_owned()],
        decided: &decided,
        config: None,
        strikes: Vec::new(),
        bans: Vec::new(),
        has_pseudonyms: false,
    };
    (draft(&moment).unwrap(), set)
}

/// What was around whoever was decided on is in the draft, so that it comes out as it did.
#[test]
fn neighbours_that_a_policy_looked_at_are_in_the_draft() {
    let text = "[[policy]]\nname = \"crowded\"\nscope = \"session\"\naction = \"disconnect\"\n\
                when = { subs = \"> 100\", address.sessions = \"> 3\", subnet.addresses = \"> 1\", \
                client.sessions = \"> 4\", server.rpc_latency = \"> 500ms\" }\n";
    let mut server = Server::new();
    for host in 1..100 {
        server.connect(&format!("198.51.{host}.7:50001"), "electrum/4.5.5");
    }
    let hoarder = server.connect("203.0.113.7:50001", "crowd");
    server.of(hoarder).subs = 200;
    for port in 2..5 {
        server.connect(&format!("203.0.113.7:5000{port}"), "electrum/4.5.5");
    }
    server.connect("203.0.113.8:50001", "electrum/4.5.5");
    for host in 1..5 {
        server.connect(&format!("192.0.2.{host}:50001"), "crowd");
    }
    server.latency = Duration::from_millis(750);
    let mut ticks = Vec::new();
    for _ in 0..8 {
        server.wait(10.0);
        ticks.push(tick(&server, Some(server.poll())));
    }
    let target = Target::Session(SessionRef {
        id: hoarder,
        peer: Peer("203.0.113.7:50001".parse().ok()),
        since: server.at(),
    });
    let fields = [
        "subs",
        "address.sessions",
        "subnet.addresses",
        "client.sessions",
        "server.rpc_latency",
    ];
    let evidence = fields.map(|field| Evidence {
        field: field.into(),
        test: "> 0".into(),
        seen: Seen::Number(1.0),
        threshold: None,
        dimension: None,
    });
    let decided = [Decision {
        policy: "crowded".into(),
        evidence: evidence.into(),
        ..decision(&server, target)
    }];
    let set = policies(text);
    let start = Start {
        interval: Duration::from_secs(10),
        ..Start::default()
    };
    let drafted = draft(&Moment {
        ticks: &ticks,
        start: &start,
        set: &set,
        policies: &["p.toml".to_owned()],
        decided: &decided,
        config: None,
        strikes: Vec::new(),
        bans: Vec::new(),
        has_pseudonyms: false,
    })
    .unwrap();
    assert_eq!(drafted.reproduced, 1, "{}", drafted.text);
    assert!(
        drafted.text.contains("rpc_latency = \"750ms x"),
        "{}",
        drafted.text
    );
    assert!(run(&drafted, &set).is_ok(), "{}", drafted.text);
}

fn run(drafted: &Drafted, set: &PolicySet) -> crate::trial::Comparison {
    let source = Source {
        name: "p.test.toml".into(),
        text: drafted.text.clone(),
    };
    let mut given = Given { set, config: None };
    check(source, &mut given).trials[0].run()
}

#[test]
fn who_comes_back_again_and_again_is_one() {
    let policies = "[[policy]]\nname = 'again'\nscope = 'address'\n\
                    when = { brief_sessions = '> 10' }\nwindow = '3m'\naction = 'disconnect'\n\
                    cooldown = '0s'\n";
    let target = Target::Address("203.0.113.7/32".parse().unwrap());
    let (drafted, set) = churn(policies, target, "again");
    assert_eq!(drafted.reproduced, 1, "{}", drafted.text);
    let written = drafted.text.matches("203.0.113.7:").count();
    assert_eq!(written, 1, "{}", drafted.text);
    assert!(drafted.text.contains(" / "), "{}", drafted.text);
    assert!(run(&drafted, &set).is_ok(), "{}", drafted.text);
}

#[test]
fn the_crowd_keeps_the_median() {
    // The median is 51, and the average 950.
    let policies = "[[policy]]\nname = 'hoarder'\nscope = 'session'\n\
                    when = { subs = ['> 50x median', '< 5_000'] }\nfor = '10s'\n\
                    action = 'disconnect'\ncooldown = '1m'\n";
    let session = Target::Session(SessionRef {
        id: 0,
        peer: Peer(None),
        since: Timestamp::default(),
    });
    let (drafted, set) = churn(policies, session, "hoarder");
    assert_eq!(drafted.reproduced, 1, "{}", drafted.text);
    assert!(run(&drafted, &set).is_ok(), "{}", drafted.text);
}

#[test]
fn what_does_not_come_out_fails_the_draft() {
    let policies = "[[policy]]\nname = 'again'\nscope = 'address'\n\
                    when = { brief_sessions = '> 100' }\nwindow = '3m'\naction = 'disconnect'\n\
                    cooldown = '0s'\n";
    let target = Target::Address("203.0.113.7/32".parse().unwrap());
    let (drafted, set) = churn(policies, target, "again");
    assert_eq!(drafted.reproduced, 0, "{}", drafted.text);
    assert!(!drafted.text.contains("expect "), "{}", drafted.text);
    assert!(drafted.text.ends_with(
        "# Decided in the recording; it does not come out here.\n[[test.expect]]\npolicy = \"again\"\n\
         target = \"203.0.113.7\"\nat     = \"3m20s\"\n"
    ), "{}", drafted.text);
    assert!(!run(&drafted, &set).is_ok());
}

#[test]
fn too_much_is_told_with_what_to_do() {
    let told = DraftError::TooMuch.to_string();
    insta::assert_snapshot!(told);
}

#[test]
fn without_a_poll_there_is_no_draft() {
    let server = Server::new();
    let set = policies(POLICIES);
    let start = Start::default();
    let moment = |ticks| Moment {
        ticks,
        start: &start,
        set: &set,
        policies: &[],
        decided: &[],
        config: None,
        strikes: Vec::new(),
        bans: Vec::new(),
        has_pseudonyms: false,
    };
    assert_eq!(draft(&moment(&[])), Err(DraftError::Unseen));
    let failed = [tick(&server, None)];
    assert_eq!(draft(&moment(&failed)), Err(DraftError::Unseen));
}

proptest! {
    #[test]
    fn names_read_back(name in ".{0,20}") {
        let text = format!("name = {}", quoted(&name));
        let read: toml::Table = text.parse().unwrap();
        prop_assert_eq!(read["name"].as_str(), Some(&*name), "{}", text);
    }
}
