//! Replies and decisions with pseudonyms against those without.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde::de::{DeserializeSeed, Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::*;
use crate::engine::Protection;
use crate::limits::{Breaker, Budget, LimitsConfig};
use crate::policy::{self, AddressSet, Mode, PolicySet, Quota, Source};
use crate::scene::life::{Event, Happened, happen, lives};
use crate::scene::{Row, Scene};
use crate::snapshot::{Groups, Sessions, Snapshot, Transport};
use crate::visit::Visits;
use crate::warden::{Judgement, Settings, Warden};
use crate::wire::{GetinfoSeed, GroupsSeed, Inspection, SessionsSeed, tame};

fn pseudonyms() -> Pseudonyms {
    Pseudonyms::new(&Key::generate().unwrap())
}

fn rewritten(
    pseudonyms: &mut Pseudonyms,
    reply: Reply,
    line: &[u8],
) -> Result<Vec<u8>, Unreadable> {
    let mut out = b"before".to_vec();
    let result = pseudonyms.reply(reply, line, &mut out);
    let written = out.strip_prefix(b"before").unwrap().to_vec();
    assert!(result.is_ok() || written.is_empty());
    result.map(|()| written)
}

/// Decodes the result of a reply line.
fn decode<S: for<'de> DeserializeSeed<'de>>(seed: S, line: &[u8]) -> Result<(), String> {
    struct Envelope<S>(S);

    impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Envelope<S> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a reply")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut seed = Some(self.0);
            while let Some(key) = map.next_key::<String>()? {
                match (key.as_str(), seed.take()) {
                    ("result", Some(seed)) => _ = map.next_value_seed(seed)?,
                    (_, unused) => {
                        _ = map.next_value::<IgnoredAny>()?;
                        seed = unused;
                    }
                }
            }
            seed.is_none()
                .then_some(())
                .ok_or(A::Error::missing_field("result"))
        }
    }

    let mut line = line.to_vec();
    tame(&mut line);
    let mut json = serde_json::Deserializer::from_slice(&line);
    let read = json.deserialize_map(Envelope(seed));
    read.and_then(|()| json.end())
        .map_err(|error| error.to_string())
}

fn sessions(line: &[u8]) -> Result<Sessions, String> {
    let mut sessions = Sessions::default();
    decode(SessionsSeed(&mut sessions), line).map(|()| sessions)
}

fn groups(line: &[u8]) -> Result<Groups, String> {
    let mut groups = Groups::default();
    decode(GroupsSeed(&mut groups), line).map(|()| groups)
}

/// All columns as text, with peers and names as `hide` has them.
fn show(s: &Sessions, peer: impl Fn(Peer) -> Peer, name: impl Fn(&str) -> String) -> String {
    let mut shown = String::new();
    for row in 0..s.len() {
        let numbers = [
            s.pending_requests[row],
            s.txs_sent[row],
            s.subs[row],
            s.recv_count[row],
        ];
        let sizes = [s.recv_size[row], s.sent_count[row], s.sent_size[row]];
        let measures = [s.cost[row], s.extra_cost[row], s.age_s[row]];
        _ = writeln!(
            shown,
            "{} {:?} {} {:?} {:?} {numbers:?} {sizes:?} {measures:?}",
            s.id[row],
            s.flags[row],
            peer(s.peer[row]),
            name(s.names.get(s.client[row])),
            name(s.names.get(s.protocol[row])),
        );
    }
    shown
}

/// Whether the rewritten line says what the raw one says, but for addresses.
fn agree(pseudonyms: &Pseudonyms, raw: &[u8], hidden: &[u8]) -> Result<(), TestCaseError> {
    let (raw, hidden) = match (sessions(raw), sessions(hidden)) {
        (Ok(raw), Ok(hidden)) => (raw, hidden),
        (raw, hidden) => {
            prop_assert_eq!(raw.is_ok(), hidden.is_ok());
            return Ok(());
        }
    };
    prop_assert_eq!(
        show(
            &raw,
            |p| pseudonyms.peer(p),
            |n| pseudonyms.text(n).into_owned()
        ),
        show(&hidden, |p| p, str::to_owned)
    );
    Ok(())
}

/// The reply lines in the folders of captures: those of whole exchanges, and raw lines.
fn captured() -> Vec<(PathBuf, Reply, Vec<u8>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut lines = Vec::new();
    for folder in ["wire", "quirks"] {
        for server in fs::read_dir(root.join(folder)).unwrap() {
            for file in fs::read_dir(server.unwrap().path()).unwrap() {
                let path = file.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap();
                let reply = match name.split(['_', '.']).next().unwrap() {
                    "sessions" => Reply::Sessions,
                    "groups" => Reply::Groups,
                    "getinfo" => Reply::Getinfo,
                    "inspect" => Reply::Inspection,
                    _ => continue,
                };
                let text = fs::read(&path).unwrap();
                if folder == "quirks" {
                    lines.push((path, reply, text));
                    continue;
                }
                let exchanges = match serde_json::from_slice(&text).unwrap() {
                    Value::Array(exchanges) => exchanges,
                    exchange => vec![exchange],
                };
                // A connection that broke instead has none.
                for exchange in exchanges.iter().filter(|e| e["response"].is_object()) {
                    let line = exchange["response"].to_string().into_bytes();
                    lines.push((path.clone(), reply, line));
                }
            }
        }
    }
    assert!(lines.len() > 50, "{}", lines.len());
    lines
}

#[test]
fn every_capture_says_the_same_but_for_addresses() {
    let mut pseudonyms = pseudonyms();
    for (path, reply, line) in captured() {
        let path = path.display();
        let hidden = rewritten(&mut pseudonyms, reply, &line).unwrap_or_else(|error| {
            panic!("{path}: {error}");
        });
        match reply {
            // Nothing of a client is in it, and a daemon's address must stay.
            Reply::Getinfo | Reply::Inspection => assert_eq!(hidden, line, "{path}"),
            Reply::Sessions => agree(&pseudonyms, &line, &hidden).unwrap(),
            Reply::Groups => {
                let (Ok(raw), Ok(hidden)) = (groups(&line), groups(&hidden)) else {
                    assert!(groups(&line).is_err() && groups(&hidden).is_err(), "{path}");
                    continue;
                };
                let names = |groups: &Groups| -> Vec<String> {
                    let names = groups.name.iter().map(|&name| groups.names.get(name));
                    names.map(str::to_owned).collect()
                };
                let expected = names(&raw).into_iter();
                let expected = expected.map(|name| pseudonyms.group(&name).into_owned());
                assert_eq!(names(&hidden), expected.collect::<Vec<_>>(), "{path}");
                assert_eq!(format!("{:?}", hidden.cost), format!("{:?}", raw.cost));
                assert_eq!(hidden.sessions, raw.sessions);
            }
        }
        let text = String::from_utf8_lossy(&hidden);
        assert!(
            !text.contains("\"45.90.") && !text.contains("2a0c"),
            "{path}: {text}"
        );
    }
}

#[test]
fn nothing_changes_but_addresses() {
    let mut pseudonyms = pseudonyms();
    let mut hide = |reply, line: &str| {
        let hidden = rewritten(&mut pseudonyms, reply, line.as_bytes()).unwrap();
        String::from_utf8(hidden).unwrap()
    };
    let line = |peer: &str, name: &str| {
        format!(
            " {{\"jsonrpc\" : \"2.0\",\t\"result\": [[ 7,\"T10\", \"{peer}\" ,\"{name}\", \"1.4\", \
             Infinity, NaN, 0,0,0, 1,2,3,4, 5.50]] ,\"id\": 3}} \r\n"
        )
    };
    for (peer, name) in [
        ("127.0.0.1:5", "electrum/4.5.8"),
        ("[::1]:5", r#"\ud800 \"<b>\\"#),
        ("unknown", "4.2.2.1"),
    ] {
        assert_eq!(hide(Reply::Sessions, &line(peer, name)), line(peer, name));
    }
    for peer in [
        "fe80::1%eth0",
        "[fe80::1%eth0]:5",
        "host.example:5",
        "203.0.113.7",
        r"\ud800",
    ] {
        assert_eq!(
            hide(Reply::Sessions, &line(peer, "x")),
            line("unknown", "x")
        );
    }
    let fixed = pseudonyms.clone();
    let of = |text: &str| fixed.peer(Peer(text.parse().ok())).to_string();
    for (peer, same) in [
        ("203.0.113.7:5", "203.0.113.7:5"),
        ("203.0.113.7\\u003a5", "203.0.113.7:5"),
        ("[2001:DB8::1]:5", "[2001:db8::1]:5"),
        ("[::ffff:203.0.113.7]:5", "203.0.113.7:5"),
    ] {
        let hidden = rewritten(&mut pseudonyms, Reply::Sessions, line(peer, "x").as_bytes());
        let expected = line(&of(same), "x").into_bytes();
        assert_eq!(hidden.unwrap(), expected, "{peer}");
    }
    let name = |text: &str| fixed.text(text).into_owned();
    for (raw, hidden) in [
        (r"\u0032\u0030\u0033.0.113.7\n", name("203.0.113.7") + r"\n"),
        (
            r"\/203.0.113.7\u00e9",
            r"\/".to_owned() + &name("203.0.113.7") + r"\u00e9",
        ),
        ("2001:db8:aaaa:bb", name("2001:db8:aaaa:bb")),
    ] {
        let out = rewritten(
            &mut pseudonyms,
            Reply::Sessions,
            line("unknown", raw).as_bytes(),
        );
        let out = String::from_utf8(out.unwrap()).unwrap();
        assert_eq!(out, line("unknown", &hidden), "{raw}");
    }
}

/// A name that reads like a version stays, but not that of a peer of the same reply, wherever it is.
#[test]
fn a_peer_that_reads_like_a_version_is_no_version() {
    let mut pseudonyms = pseudonyms();
    let row = |id: u8, peer: &str| {
        format!("[{id},\"T1\",\"{peer}\",\"4.2.2.1\",\"1.4\",0,0,0,0,0,1,2,3,4,5.5]")
    };
    let line = |peer| {
        format!(
            "{{\"result\":[{},{}],\"id\":1}}",
            row(1, "unknown"),
            row(2, peer)
        )
    };
    let names = |hidden: &[u8]| {
        let sessions = sessions(hidden).unwrap();
        sessions.names.get(sessions.client[0]).to_owned()
    };
    let inspection = br#"{"result":{"client_name":"4.2.2.1"},"id":1}"#;

    let hidden = rewritten(
        &mut pseudonyms,
        Reply::Sessions,
        line("4.2.2.2:1").as_bytes(),
    );
    assert_eq!(names(&hidden.unwrap()), "4.2.2.1");
    assert_eq!(pseudonyms.text("4.2.2.1"), "4.2.2.1");

    let hidden = rewritten(
        &mut pseudonyms,
        Reply::Sessions,
        line("4.2.2.1:1").as_bytes(),
    );
    let hidden = hidden.unwrap();
    assert!(!String::from_utf8_lossy(&hidden).contains("4.2.2.1"));
    assert_eq!(names(&hidden), pseudonyms.text("4.2.2.1"));
    assert_ne!(pseudonyms.text("4.2.2.1"), "4.2.2.1");
    let inspected = rewritten(&mut pseudonyms, Reply::Inspection, inspection).unwrap();
    assert!(!String::from_utf8_lossy(&inspected).contains("4.2.2.1"));

    let hidden = rewritten(&mut pseudonyms, Reply::Sessions, line("unknown").as_bytes());
    assert_eq!(names(&hidden.unwrap()), "4.2.2.1");
}

#[test]
fn what_cannot_be_read_is_left_out() {
    let mut pseudonyms = pseudonyms();
    for (line, at) in [
        ("", 0),
        ("203.0.113.7", 0),
        ("[1]", 0),
        ("{\"result\":[1.2.3.4]}", 11),
        ("{\"result\":203.0.113.7}", 10),
        ("{\"result\":[[1,\"203.0.113.7\"]}", 28),
        ("{\"result\":[[1,\"203.0.113.7", 14),
        ("{\"result\":\"\\", 10),
        ("{\"result\":\"\\\"", 10),
        ("{\"result\":[]} 203", 14),
        ("{\"result\":[]}{}", 13),
        ("{\"result\":[],\"x\":host}", 17),
        ("{\"result\"::1}", 10),
        ("{\"result\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", 25),
        ("{\"result\":\u{e9}}", 10),
    ] {
        for reply in [
            Reply::Getinfo,
            Reply::Sessions,
            Reply::Groups,
            Reply::Inspection,
        ] {
            let error = rewritten(&mut pseudonyms, reply, line.as_bytes()).unwrap_err();
            assert_eq!(error.at, at, "{line}");
        }
    }
    assert_eq!(
        Unreadable { at: 10 }.to_string(),
        "the reply cannot be read at byte 10, so no pseudonyms can be put in; it is left out"
    );
}

/// A refusal, and members that no release knows.
#[test]
fn no_place_in_a_reply_hides_an_address() {
    let mut pseudonyms = pseudonyms();
    for line in [
        r#"{"error":{"code":1,"message":"no 203.0.113.7"},"id":1}"#,
        r#"{"203.0.113.7":[{"a":"203.0.113.7"}],"result":null}"#,
        r#"{"re\u0073ult":[[1,"203.0.113.7","203.0.113.7:5","203.0.113.7"]]}"#,
        r#"{"result":[[1,"203.0.113.7","203.0.113.7:5","203.0.113.7"],"203.0.113.7"]}"#,
        r#"{"result":[["203.0.113.7",1,"203.0.113.7"],{"203.0.113.7":1}]}"#,
    ] {
        for reply in [Reply::Sessions, Reply::Groups, Reply::Inspection] {
            let hidden = rewritten(&mut pseudonyms, reply, line.as_bytes()).unwrap();
            let hidden = String::from_utf8(hidden).unwrap();
            assert!(!hidden.contains("203.0.113.7"), "{hidden}");
            serde_json::from_str::<Value>(&hidden).unwrap();
        }
    }
}

fn peer() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<std::net::SocketAddrV4>().prop_map(|peer| peer.to_string()),
        2 => any::<std::net::SocketAddrV6>().prop_map(|peer| peer.to_string()),
        2 => (0..100_u8, 0..4_u8).prop_map(|(a, b)| format!("{a}.2.{b}.1:5")),
        1 => any::<std::net::Ipv6Addr>().prop_map(|ip| format!("[{ip}%eth0]:1")),
        1 => any::<std::net::Ipv4Addr>().prop_map(|ip| format!("[::ffff:{ip}]:1")),
        1 => Just("unknown".to_owned()),
        1 => ".{0,12}",
    ]
}

/// JSON of a text that a client chose; often with addresses in it.
fn name() -> impl Strategy<Value = String> {
    let plain = prop_oneof![
        any::<String>(),
        "[0-9a-f:.]{0,24}",
        peer(),
        (peer(), peer()).prop_map(|(a, b)| format!("{a} {b}")),
        peer().prop_map(|peer| peer.chars().take(17).collect()),
        (0..100_u8, 0..4_u8).prop_map(|(a, b)| format!("{a}.2.{b}.1")),
    ];
    let json = |name: String| Value::String(name).to_string();
    prop_oneof![
        plain.prop_map(json),
        Just(r#""\ud800 203.0.113.7 \udc00""#.to_owned()),
        Just(r#""\u0031.2\u002e3.4 \/\b\f\n""#.to_owned()),
    ]
}

fn row() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<u32>().prop_map(|number| number.to_string()),
        Just("NaN".to_owned()),
        Just("Infinity".to_owned()),
        Just("-Infinity".to_owned()),
        Just("12.5e3".to_owned()),
    ];
    let numbers = prop::collection::vec(any::<u32>(), 8);
    let protocol = prop::sample::select(vec!["\"1.4\", ", "\"203.0.113.7\",", "null,", ""]);
    let costs = prop::option::of((number.clone(), number));
    (peer(), name(), protocol, costs, numbers, any::<bool>()).prop_map(
        |(peer, name, protocol, costs, numbers, is_dense)| {
            let comma = if is_dense { "," } else { ", " };
            let costs = costs
                .map(|(a, b)| format!("{a}{comma}{b}{comma}"))
                .unwrap_or_default();
            let numbers: Vec<String> = numbers.iter().map(u32::to_string).collect();
            let peer = Value::String(peer);
            let numbers = numbers.join(comma);
            format!("\"T1\"{comma}{peer}{comma}{name}{comma}{protocol}{costs}{numbers}]")
        },
    )
}

fn line() -> impl Strategy<Value = String> {
    let rows = prop::collection::vec(row(), 0..8);
    (rows, any::<bool>()).prop_map(|(rows, id_first)| {
        let rows: Vec<String> = (0..)
            .zip(rows)
            .map(|(id, row)| format!("[{id},{row}"))
            .collect();
        let rows = rows.join(",");
        if id_first {
            format!("{{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":[{rows}]}}")
        } else {
            format!("{{\"jsonrpc\": \"2.0\", \"result\": [{rows}], \"id\": 7}}\n")
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn random_replies_say_the_same_but_for_addresses(line in line()) {
        let mut pseudonyms = pseudonyms();
        let hidden = rewritten(&mut pseudonyms, Reply::Sessions, line.as_bytes()).unwrap();
        agree(&pseudonyms, line.as_bytes(), &hidden)?;
    }

    #[test]
    fn damaged_replies_say_the_same_or_nothing(
        line in line(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut line = line.into_bytes();
        for (place, byte) in damage {
            let place = place.index(line.len());
            line[place] = byte;
        }
        if let Some(cut) = cut {
            line.truncate(cut.index(line.len()));
        }
        let mut pseudonyms = pseudonyms();
        for reply in [Reply::Getinfo, Reply::Groups, Reply::Inspection, Reply::Sessions] {
            let hidden = rewritten(&mut pseudonyms, reply, &line);
            if let (Reply::Sessions, Ok(hidden)) = (reply, &hidden) {
                agree(&pseudonyms, &line, hidden)?;
            }
            // Whatever can be decoded can be rewritten.
            prop_assert!(hidden.is_ok() || sessions(&line).is_err());
        }
    }
}

/// A reply of `sessions` with the scene's rows. Some clients name themselves by an address.
fn told(rows: &[Row], now_ms: i64) -> Vec<u8> {
    let mut line = "{\"jsonrpc\": \"2.0\", \"result\": [".to_owned();
    for (place, row) in rows.iter().enumerate() {
        let flags = match row.flags.transport {
            Transport::Rpc => "R",
            _ => "T",
        };
        let closing = if row.flags.closing { "C" } else { "" };
        let logged = if row.flags.logged { "L" } else { "" };
        let client = match (row.client.as_str(), row.id % 3) {
            ("wallet", 0) => "me@203.0.113.9".to_owned(),
            ("wallet", 1) => format!("198.51.100.{}", row.id % 5),
            (client, _) => client.to_owned(),
        };
        let age = if row.is_age_unknown {
            "NaN".to_owned()
        } else {
            format!("{}", (now_ms - row.since_ms) as f64 / 1_000.0)
        };
        _ = write!(
            line,
            "{}[{}, \"{flags}{closing}{logged}1\", \"{}\", {}, \"1.4\", {}, 0, {}, {}, {}, {}, {}, \
             {}, {}, {age}]",
            if place == 0 { "" } else { ", " },
            row.id,
            row.peer,
            Value::String(client),
            row.cost,
            row.pending,
            row.txs,
            row.subs,
            row.requests,
            row.recv,
            row.requests,
            row.sent,
        );
    }
    line += "], \"id\": 2}";
    line.into_bytes()
}

/// The groups of one release or the other, in the server's words.
fn told_groups(rows: &[Row], is_old: bool) -> Vec<u8> {
    let mut names: Vec<(String, u64)> = Vec::new();
    for row in rows {
        let Some(peer) = crate::wire::peer(row.peer.as_bytes()) else {
            continue;
        };
        let name = match (peer.ip(), is_old) {
            (IpAddr::V4(v4), true) => {
                let [a, b, c, _] = v4.octets();
                format!("{a}.{b}.{c}")
            }
            (IpAddr::V6(v6), true) => {
                let [a, b, c, ..] = v6.segments();
                format!("{a:04x}:{b:04x}:{c:04x}")
            }
            (IpAddr::V4(v4), false) => IpNet::new_assert(v4.into(), 24).trunc().to_string(),
            (IpAddr::V6(v6), false) => IpNet::new_assert(v6.into(), 48).trunc().to_string(),
        };
        match names.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += 1,
            None => names.push((name, 1)),
        }
    }
    let rows: Vec<String> = names
        .iter()
        .map(|(name, count)| format!("[\"{name}\", {count}, 0.5, 0, 0, 0, 0, 0, 0, 0, 0]"))
        .collect();
    format!(
        "{{\"jsonrpc\": \"2.0\", \"result\": [{}], \"id\": 3}}",
        rows.join(", ")
    )
    .into_bytes()
}

/// What a policy names.
const NET: &str = "8.8.8.0/24";

/// The shipped policies, and some by which many targets are as bad as each other. `net` is how the
/// policies call a network.
fn set(net: impl Fn(&str) -> String) -> PolicySet {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| !path.to_string_lossy().ends_with(".test.toml"))
        .collect();
    files.sort();
    let mut sources: Vec<Source> = files
        .iter()
        .map(|path| Source {
            name: path.display().to_string(),
            text: fs::read_to_string(path).unwrap(),
        })
        .collect();
    let mut text = String::new();
    let ties = [
        ("address", "sessions = \"> 0\"", "\"disconnect\""),
        ("subnet", "sessions = \"> 0\"", "\"disconnect\""),
        ("client", "sessions = \"> 0\"", "\"disconnect\""),
        ("group", "sessions = \"> 0\"", "{ log = { for = \"1m\" } }"),
        ("session", "sent_rate = \"> 10 B/s\"", "\"disconnect\""),
        ("address", "new_sessions = \">= 1\"", "\"alert\""),
        (
            "address",
            "address = \"in NET\"",
            "{ log = { for = \"1m\" } }",
        ),
        ("session", "address = \"not in NET\"", "\"alert\""),
        ("client", "client = '=~ ^me@[0-9.]+$'", "\"alert\""),
    ];
    for (number, (scope, when, action)) in ties.iter().enumerate() {
        let when = when.replace("NET", &net(NET));
        _ = writeln!(
            text,
            "[[policy]]\nname = \"p{number}\"\nscope = \"{scope}\"\nwhen = {{ {when} }}\n\
             action = {action}\ncooldown = \"20s\""
        );
    }
    sources.push(Source {
        name: "ties.toml".into(),
        text,
    });
    let checked = policy::check(sources, &mut |_| Ok(String::new()));
    checked
        .set
        .unwrap_or_else(|| panic!("{:#?}", checked.diagnostics))
}

/// So little is permitted that it matters who comes first.
fn tight(net: &IpNet) -> Settings {
    let budget = |count, burst| Budget {
        rate: Quota {
            count,
            per: std::time::Duration::from_secs(60),
        },
        burst,
    };
    Settings {
        mode: Mode::Enforce,
        protection: Protection {
            addresses: std::iter::once(*net).collect::<AddressSet>(),
            ..Protection::default()
        },
        limits: LimitsConfig {
            disconnect: budget(10, 2),
            log: budget(4, 1),
            alert: budget(6, 1),
            breaker: Breaker {
                share: 0.5,
                regulars_min: 3,
                ..LimitsConfig::default().breaker
            },
            ..LimitsConfig::default()
        },
        ..Settings::default()
    }
}

fn hidden(judgement: &Judgement, pseudonyms: &Pseudonyms) -> Judgement {
    let mut hidden = judgement.clone();
    for ruling in &mut hidden.rulings {
        ruling.decision = pseudonyms.decision(&ruling.decision);
    }
    for session in &mut hidden.held_off {
        *session = pseudonyms.session(*session);
    }
    for cooldown in &mut hidden.cooldowns {
        cooldown.target = pseudonyms.target(&cooldown.target);
    }
    let evidence = hidden
        .rulings
        .iter_mut()
        .flat_map(|ruling| &mut ruling.decision.evidence);
    for evidence in evidence.filter(|evidence| evidence.test.contains(NET)) {
        // Its policy names another network.
        let net = pseudonyms.net(NET.parse().unwrap()).to_string();
        evidence.test = evidence.test.replace(NET, &net).into();
    }
    hidden
}

/// Plays a life before two agents, one of which sees pseudonyms; gives how many decisions there were.
fn play(events: &[Event], has_old_groups: bool) -> Result<usize, TestCaseError> {
    let mut pseudonyms = pseudonyms();
    let net: IpNet = "8.8.8.9/32".parse().unwrap();
    let hide = |net: &str| pseudonyms.net(net.parse().unwrap()).to_string();
    let mut raw = Warden::new(set(str::to_owned), tight(&net));
    let mut blind = Warden::new(set(hide), tight(&pseudonyms.net(net)));
    let (mut scene, mut decisions) = (Scene::new(), 0);
    let mut snapshots = [Snapshot::default(), Snapshot::default()];
    for event in events {
        match happen(&mut scene, event) {
            Happened::Nothing => {}
            Happened::Miss => {
                let judgement = raw.missed(scene.at(), scene.epoch, &[], &Visits::default());
                let same = blind.missed(scene.at(), scene.epoch, &[], &Visits::default());
                prop_assert_eq!(same, hidden(&judgement, &pseudonyms));
            }
            Happened::Poll => {
                let replies = [
                    (Reply::Sessions, told(&scene.rows, scene.now_ms)),
                    (Reply::Groups, told_groups(&scene.rows, has_old_groups)),
                ];
                for (is_hidden, snapshot) in [false, true].into_iter().zip(&mut snapshots) {
                    *snapshot = scene.poll();
                    for (reply, line) in &replies {
                        let mut line = line.clone();
                        if is_hidden {
                            line = rewritten(&mut pseudonyms, *reply, &line).unwrap();
                        }
                        let decoded = match reply {
                            Reply::Sessions => decode(SessionsSeed(&mut snapshot.sessions), &line),
                            _ => decode(GroupsSeed(&mut snapshot.groups), &line),
                        };
                        decoded.unwrap();
                    }
                }
                let [seen, disguised] = &snapshots;
                prop_assert_eq!(raw.observe(seen), blind.observe(disguised));
                prop_assert_eq!(raw.inspect_next(3), blind.inspect_next(3));
                let judgement = raw.judge(seen);
                let same = blind.judge(disguised);
                decisions += judgement.rulings.len();
                prop_assert_eq!(same, hidden(&judgement, &pseudonyms));
                let pending = |warden: &mut Warden, snapshot: &Snapshot| -> Vec<_> {
                    let pending = warden.pending(snapshot).into_iter();
                    pending.map(|p| (p.policy, p.target, p.held)).collect()
                };
                let waiting = pending(&mut raw, seen).into_iter();
                let waiting =
                    waiting.map(|(p, target, held)| (p, pseudonyms.target(&target), held));
                prop_assert_eq!(pending(&mut blind, disguised), waiting.collect::<Vec<_>>());
            }
        }
    }
    Ok(decisions)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn decisions_are_the_same(events in lives(true), has_old_groups: bool) {
        play(&events, has_old_groups)?;
    }
}

/// Many who are as bad as each other, and a budget for two of them.
#[test]
fn who_comes_first_does_not_depend_on_addresses() {
    let mut events = Vec::new();
    for peer in [4, 8, 0, 6, 2, 5, 1, 3, 7] {
        events.push(Event::Connect {
            peer,
            client: peer % 3,
        });
    }
    for _ in 0..40 {
        events.extend([Event::Wait(10_000), Event::Poll]);
    }
    for _ in 0..20 {
        assert!(play(&events, true).unwrap() > 500);
        assert!(play(&events, false).unwrap() > 500);
    }
}

#[test]
fn getinfo_decodes_as_before() {
    let mut pseudonyms = pseudonyms();
    let line =
        br#"{"result":{"daemon":"10.1.2.3:8332/","sessions":1,"errors":0,"errors ":0},"id":1}"#;
    let hidden = rewritten(&mut pseudonyms, Reply::Getinfo, line).unwrap();
    let mut server = crate::snapshot::Server::default();
    decode(GetinfoSeed(&mut server), &hidden).unwrap();
    assert_eq!(server.daemon.as_deref(), Some("10.1.2.3:8332"));
    let line = br#"{"result":{"errors":5,"request total":6,"client_name":"203.0.113.7"},"id":1}"#;
    let hidden = rewritten(&mut pseudonyms, Reply::Inspection, line).unwrap();
    let envelope: Value = serde_json::from_slice(&hidden).unwrap();
    let inspection: Inspection = serde_json::from_value(envelope["result"].clone()).unwrap();
    assert_eq!((inspection.errors, inspection.requests), (5, 6));
    assert_eq!(
        envelope["result"]["client_name"],
        &*pseudonyms.text("203.0.113.7")
    );
}
