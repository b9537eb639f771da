//! The replies of seven real servers, and replies that no server should send.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use electrumx_warden::names::NAME_BYTES_MAX;
use electrumx_warden::snapshot::{Groups, Server, Sessions};
use electrumx_warden::wire::{GetinfoSeed, GroupsSeed, Inspection, SessionsSeed, tame};
use serde::de::DeserializeSeed;
use serde_json::Value;

fn servers() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    let mut servers: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    servers.sort();
    assert_eq!(servers.len(), 7);
    servers
}

/// The `result` of each reply in the capture, as JSON text.
fn results(file: &Path) -> Vec<String> {
    let Ok(text) = fs::read_to_string(file) else {
        return Vec::new();
    };
    let capture: Value = serde_json::from_str(&text).unwrap();
    let exchanges = match capture {
        Value::Array(exchanges) => exchanges,
        exchange => vec![exchange],
    };
    exchanges
        .iter()
        .filter_map(|e| e["response"].get("result"))
        .map(Value::to_string)
        .collect()
}

fn decode<S: for<'de> DeserializeSeed<'de>>(seed: S, json: &str) -> Result<(), String> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    seed.deserialize(&mut deserializer)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn sessions(json: &str) -> Result<Sessions, String> {
    let mut sessions = Sessions::default();
    decode(SessionsSeed(&mut sessions), json).map(|()| sessions)
}

fn show_sessions(s: &Sessions) -> String {
    let mut text = format!("{:?}\n", s.generation);
    for i in 0..s.len() {
        writeln!(
            text,
            "{} {:?} {} {:?} {:?} cost {:.1}+{:.1} pending {} txs {} subs {} recv {}/{} sent {}/{} \
             age {:.3}",
            s.id[i],
            s.flags[i],
            s.peer[i],
            s.names.get(s.client[i]),
            s.names.get(s.protocol[i]),
            s.cost[i],
            s.extra_cost[i],
            s.pending_requests[i],
            s.txs_sent[i],
            s.subs[i],
            s.recv_count[i],
            s.recv_size[i],
            s.sent_count[i],
            s.sent_size[i],
            s.age_s[i],
        )
        .unwrap();
    }
    text
}

fn show_groups(g: &Groups) -> String {
    let mut text = String::new();
    for i in 0..g.len() {
        let name = g.names.get(g.name[i]);
        let (sessions, cost, retained) = (g.sessions[i], g.cost[i], g.retained_cost[i]);
        writeln!(
            text,
            "{name:?} sessions {sessions} cost {cost:.1} retained {retained:.1}"
        )
        .unwrap();
    }
    text
}

#[test]
fn every_capture_decodes() {
    for server in servers() {
        let mut shown = String::new();
        for name in ["sessions", "sessions_after"] {
            for json in results(&server.join(format!("{name}.json"))) {
                write!(
                    shown,
                    "## {name}\n{}",
                    show_sessions(&sessions(&json).unwrap())
                )
                .unwrap();
            }
        }
        for json in results(&server.join("groups.json")) {
            let mut groups = Groups::default();
            decode(GroupsSeed(&mut groups), &json).unwrap();
            write!(shown, "## groups\n{}", show_groups(&groups)).unwrap();
        }
        for json in results(&server.join("getinfo.json")) {
            let mut info = Server::default();
            decode(GetinfoSeed(&mut info), &json).unwrap();
            writeln!(shown, "## getinfo\n{info:#?}").unwrap();
        }
        for json in results(&server.join("inspect_session.json")) {
            let inspection: Inspection = serde_json::from_str(&json).unwrap();
            writeln!(shown, "## inspect_session\n{inspection:?}").unwrap();
        }
        let name = server.file_name().unwrap().to_str().unwrap().to_owned();
        insta::assert_snapshot!(name, shown);
    }
}

const PLAIN: &str = r#"[7,"T1","1.2.3.4:5","x",0,0,0,1,2,3,4,5.5]"#;
const COST: &str = r#"[7,"SCL10","[2001:db8::1]:5","x","1.4",5.5,0,0,0,0,1,2,3,4,5.5]"#;

#[test]
fn flags_and_peers() {
    let s = sessions(&format!("[{COST},{}]", PLAIN.replace("[7", "[8"))).unwrap();
    assert!(s.flags[0].closing && s.flags[0].logged && !s.flags[1].closing);
    assert_eq!(s.peer[0].to_string(), "[2001:db8::1]:5");
    let odd = sessions(&format!("[{}]", PLAIN.replace("1.2.3.4:5", "unknown"))).unwrap();
    assert_eq!(odd.peer[0].to_string(), "unknown");
    let mapped = sessions(&format!(
        "[{}]",
        PLAIN.replace("1.2.3.4:5", "[::ffff:1.2.3.4]:5")
    ))
    .unwrap();
    assert_eq!(mapped.peer[0].to_string(), "1.2.3.4:5");
}

#[test]
fn a_client_cannot_break_the_reply_by_its_name() {
    let name = |name: &str| {
        let s = sessions(&format!("[{}]", COST.replace(r#""x""#, name))).unwrap();
        s.names.get(s.client[0]).to_owned()
    };
    assert_eq!(name(r#""\ud800x""#), "\u{fffd}\u{fffd}\u{fffd}x");
    assert_eq!(
        name(r#""<b>\u0000\u001b[31m\u202e""#),
        "<b>\0\u{1b}[31m\u{202e}"
    );
    assert_eq!(
        name(&format!("\"{}\"", "n".repeat(1 << 20))),
        "n".repeat(NAME_BYTES_MAX)
    );
}

#[test]
fn a_clock_set_back_makes_an_age_unknown() {
    let s = sessions(&format!("[{}]", COST.replace("5.5]", "-3600.5]"))).unwrap();
    assert!(s.age_s[0].is_nan());
}

#[test]
fn an_rpc_connection_may_bear_a_clients_id() {
    let rpc = PLAIN.replace("T1", "R1");
    assert_eq!(sessions(&format!("[{PLAIN},{rpc}]")).unwrap().len(), 2);
}

#[test]
fn bad_rows_are_named() {
    let bad = |from: &str, to: &str| {
        let row = COST.replacen(from, to, 1);
        assert_ne!(row, COST);
        let error = sessions(&format!("[{PLAIN},{}]", row.replace("[7,", "[8,"))).unwrap_err();
        error.split(" at line").next().unwrap().to_owned()
    };
    let shown = [
        bad("7", "-7"),
        bad("7", "\"7\""),
        bad("\"SCL10\"", "10"),
        bad("SCL10", ""),
        bad("\"[2001:db8::1]:5\"", "null"),
        bad("\"x\"", "17"),
        bad("\"1.4\"", "{}"),
        bad("5.5,0", "-5.5,0"),
        bad("1,2,3,4", "1,2,3,-4"),
        bad("1,2,3,4", "1,2.5,3,4"),
        bad("1,2,3,4", "1,[],3,4"),
        bad("1,2,3,4", "1,2,3"),
        bad(",0,0,0,0,1,2,3,4,5.5", ""),
        bad("5.5]", "5.5,6]"),
        bad("5.5,0", "NaN,0"),
        bad("5.5,0", "1e999,0"),
        sessions(&format!("[{PLAIN},{PLAIN}]")).unwrap_err(),
        sessions("{}").unwrap_err(),
        sessions("[{}]").unwrap_err(),
        sessions("[[]]").unwrap_err(),
        sessions(&format!("[{PLAIN}")).unwrap_err(),
    ]
    .join("\n");
    insta::assert_snapshot!(shown);
}

#[test]
fn bad_groups_and_getinfo_are_named() {
    let groups = |json: &str| decode(GroupsSeed(&mut Groups::default()), json).unwrap_err();
    let getinfo = |json: &str| decode(GetinfoSeed(&mut Server::default()), json).unwrap_err();
    let shown = [
        groups("[[0,5,2655,0,0,0,13,903,12]]"),
        groups("[[\"t2\",5,2655,0,0,0,13,903,12,1752]]"),
        groups("[[0,-5,2655,0,0,0,13,903,12,1752]]"),
        groups("[[null]]"),
        groups("[[\"t2\",1,-1,0,0,0,0,0,0,0,0]]"),
        getinfo("[]"),
        getinfo("{}"),
        getinfo("{\"sessions\":1}"),
        getinfo("{\"sessions\":{\"errors\":1}}"),
        getinfo("{\"sessions\":1,\"errors\":-1}"),
        getinfo("{\"sessions\":1,\"errors\":1,\"uptime\":\"soon\"}"),
    ]
    .join("\n");
    insta::assert_snapshot!(shown);
}

/// The raw line of a reply that a hostile client brought about, tamed, with the envelope cut off.
fn quirk(server: &str, file: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/quirks");
    let mut line = fs::read(root.join(server).join(file)).unwrap();
    tame(&mut line);
    let line = String::from_utf8(line).unwrap();
    let start = line.find("\"result\":").unwrap() + "\"result\":".len();
    line[start..].to_owned()
}

#[test]
fn no_client_makes_a_reply_unreadable() {
    for server in [
        "electrumx-1.13.0",
        "electrumx-spesmilo-1.16.0",
        "electrumx-spesmilo-1.20.0",
        "electrumx-spesmilo-2.0.0",
    ] {
        let infinite = sessions(&quirk(server, "sessions_infinite.json")).unwrap();
        let evil = infinite.cost.iter().position(|&cost| cost >= 1e12).unwrap();
        assert!(infinite.extra_cost[evil].is_nan() || infinite.extra_cost[evil].is_sign_positive());
        // Sums of costs stay finite, so that JSON can tell them.
        assert!(infinite.cost.iter().sum::<f64>().is_finite());
        let names = sessions(&quirk(server, "sessions_names.json")).unwrap();
        assert!(
            names
                .names
                .iter()
                .any(|name| name == "a\u{fffd}\u{fffd}\u{fffd}b"),
            "{server}"
        );
        sessions(&quirk(server, "sessions_line_too_long.json")).unwrap();
        let mut info = Server::default();
        decode(
            GetinfoSeed(&mut info),
            &quirk(server, "getinfo_before_catch_up.json"),
        )
        .unwrap();
        assert_eq!(info.db_height, None);
    }
    let mut groups = Groups::default();
    decode(
        GroupsSeed(&mut groups),
        &quirk("electrumx-1.13.0", "groups_infinite.json"),
    )
    .unwrap();
    let costs = groups.cost.iter().chain(&groups.retained_cost);
    assert!(costs.copied().any(|cost| cost >= 1e12 || cost.is_nan()));
}

proptest::proptest! {
    /// Whatever comes, it is an error or as many of each column.
    #[test]
    fn damaged_replies_never_end_the_agent(
        server in 0..7_usize,
        damage in proptest::collection::vec(
            (proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<u8>()),
            1..4
        ),
    ) {
        let text = &results(&servers()[server].join("sessions.json"))[0];
        let mut line = text.clone().into_bytes();
        for (place, byte) in damage {
            let place = place.index(line.len());
            line[place] = byte;
        }
        tame(&mut line);
        let mut deserializer = serde_json::Deserializer::from_slice(&line);
        let mut sessions = Sessions::default();
        if SessionsSeed(&mut sessions).deserialize(&mut deserializer).is_ok() {
            let rows = sessions.len();
            let lengths = [
                sessions.flags.len(),
                sessions.peer.len(),
                sessions.client.len(),
                sessions.cost.len(),
                sessions.sent_size.len(),
                sessions.age_s.len(),
            ];
            proptest::prop_assert_eq!(lengths, [rows; 6]);
            proptest::prop_assert!(sessions.cost.iter().all(|&cost| cost >= 0.0 || cost.is_nan()));
        }
    }
}
