use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::wire::tame;

/// The columns or the error, by hand and by `serde_json`; and whether by hand was enough.
fn both_ways(json: &[u8]) -> ([Result<String, String>; 2], bool) {
    let mut json = json.to_vec();
    tame(&mut json);
    // What an earlier reply left behind does not matter.
    let mut fast = Sessions::default();
    fast.names.intern("left behind");
    let decoded = SessionsDecoder::default().decode(&json, &mut fast);
    let by_hand = decoded.map(|()| shown(&fast)).map_err(|e| e.to_string());
    let mut slow = Sessions::default();
    let mut de = serde_json::Deserializer::from_slice(&json);
    let read = SessionsSeed(&mut slow).deserialize(&mut de);
    let read = read.and_then(|()| de.end());
    let by_serde = read.map(|()| shown(&slow)).map_err(|e| e.to_string());
    let was_enough = SessionsDecoder::default()
        .read_usual(&json, &mut fast)
        .is_some();
    ([by_hand, by_serde], was_enough)
}

#[test]
fn captures_are_read_by_hand() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut seen = 0;
    for (folder, name) in [
        ("wire", "sessions.json"),
        ("quirks", "sessions_names.json"),
        ("quirks", "sessions_infinite.json"),
        ("quirks", "sessions_broken.json"),
    ] {
        for server in fs::read_dir(root.join(folder)).unwrap() {
            let path = server.unwrap().path().join(name);
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            // A whole exchange or a raw line: the rows are the same.
            let start = text.find("\"result\":").map(|at| at + "\"result\":".len());
            let end = text.rfind(']').map(|at| at + 1);
            let (Some(start), Some(end)) = (start, end) else {
                continue;
            };
            let ([fast, slow], was_enough) = both_ways(&text.as_bytes()[start..end]);
            assert_eq!(fast, slow, "{}", path.display());
            assert_eq!(was_enough, slow.is_ok(), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 12, "{seen}");
}

/// A usual row must not go the slow way.
#[test]
fn usual_rows_are_read_by_hand() {
    for row in [
        r#"[7,"SCL10","1.2.3.4:5","électrum","1.4.2",5.5308,0,0,0,0,1,2,3,4,5.022455453872680664]"#,
        r#"[7, "T1", "[2001:db8::1]:5", "", "", 0.0, 1234567.25, 0, 0, 0, 1, 2, 3, 4, 10]"#,
        r#"[7,"T1","[::ffff:1.2.3.4]:5","x","1.4",0,0,0,1,2,3,4,5.5]"#,
        r#"[7,"T1","unknown","x","1.4",0,0,0,1,2,3,4,5.5]"#,
        r#"[7,"T1","1.2.3.4:5","x",0,0,0,1,2,3,4,5.5]"#,
    ] {
        let mut columns = Sessions::default();
        let (_, rest) = read_whole(Cursor(row.as_bytes()), &mut columns).unwrap_or_else(|| {
            panic!("{row}");
        });
        assert!(rest.0.is_empty());
        let ([fast, slow], _) = both_ways(format!("[{row}]").as_bytes());
        assert_eq!(fast.unwrap(), slow.unwrap());
    }
}

#[test]
fn peers_are_read_as_the_standard_library_does() {
    for text in [
        "[2001:db8::1]:5678",
        "[2001:0DB8:0:0:0:0:0:1]:5678",
        "[::]:0",
        "[::1]:65535",
        "[1::]:1",
        "[1:2:3:4:5:6:7::]:1",
        "[::2:3:4:5:6:7:8]:1",
        "[1::3:4:5:6:7:8]:1",
        "[1:2:3:4:5:6:7:8]:1",
        "[::ffff:102:304]:1",
        // None of these is a peer, but for those with zeros before the port and with dots.
        "[1:2:3:4:5:6:7:8::]:1",
        "[::1:2:3:4:5:6:7:8]:1",
        "[1:2:3:4::5:6:7:8]:1",
        "[1:2:3:4:5:6:7]:1",
        "[1:2:3:4:5:6:7:]:1",
        "[:1:2:3:4:5:6:7:8]:1",
        "[1::2::3]:1",
        "[:::]:1",
        "[1:::]:1",
        "[::12345]:1",
        "[::1%1]:1",
        "[::1.2.3.4]:1",
        "[::ffff:1.2.3.4]:1",
        "[::1]:65536",
        "[::1]:01",
        "[::1]:",
        "[::1]",
        "[::1",
        "[]:1",
        "[",
        "::1:1",
    ] {
        let quoted = format!("\"{text}\",        ");
        let read = Cursor(quoted.as_bytes()).peer().unwrap();
        let expected: Option<SocketAddr> = text.parse().ok();
        let expected = expected.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        assert_eq!(read.0, expected, "{text}");
    }
}

#[test]
fn unusual_rows_are_read_all_the_same() {
    const ROW: &str = r#"[7,"T1","1.2.3.4:5","x","1.4",5.5,0,0,0,0,1,2,3,4,5.25]"#;
    for (from, to) in [
        ("7", "07"),
        ("7", "-7"),
        ("7", "7.0"),
        ("7", "18446744073709551615"),
        ("7", "18446744073709551616"),
        ("T1", ""),
        ("T1", "\\u0054"),
        ("1.2.3.4:5", "1.2.3.4:5\\n"),
        ("1.2.3.4:5", "1.2.3.4:5\u{1}"),
        ("x", "\\ud800"),
        ("x", "\u{1}"),
        ("x", "\\u00e9"),
        ("x", "\\x"),
        ("x", "é"),
        ("1.4", "\u{1}"),
        ("1.4", "a protocol version of many words"),
        ("\"1.4\"", "null"),
        ("\"1.4\"", "5"),
        ("\"1.4\"", "{}"),
        ("5.5", "NaN"),
        ("5.5", "Infinity"),
        ("5.5", "-Infinity"),
        ("5.5", "-0.5"),
        ("5.5", "1e3"),
        ("5.5", "1E400"),
        ("5.5", "5."),
        ("5.5", ".5"),
        ("5.5", "5.5.5"),
        ("5.5", "1e12"),
        ("5.5", "1000000000000.5"),
        ("5.5", "0.000000000000000000000000000000000000000001"),
        ("5.5", "123456789012345678901234567890.5"),
        ("5.5", "9007199254740993.7"),
        ("0,0,0,0", "0,0.5,0,0"),
        ("0,0,0,0", "0,0,0.5,0"),
        ("0,0,0,0", "0 , 0,\t0,  0"),
        ("0,0,0,0", "0,0,0"),
        ("0,0,0,0", "0,0,0,0,0"),
        ("0,0,0,0", "0,,0,0"),
        ("5.25", "-5.25"),
        ("5.25", "5.25,"),
        ("5.25]", "5.25"),
        ("5.25]", "5.25] ,"),
        ("5.25]", "5.25]x"),
        ("[7", "[[7"),
        ("[7", "{7"),
        ("[7", ""),
    ] {
        let odd = ROW.replacen(from, to, 1);
        assert_ne!(odd, ROW);
        let other = ROW.replace("[7", "[8");
        for json in [
            format!("[{odd}]"),
            format!("[{other},{odd}]"),
            format!(" [ {odd} , {other} ] "),
            format!("[{other}{odd}]"),
            format!("[{odd},{odd}]"),
            format!("[{other},{odd}"),
            format!("[{other},{odd}] 1"),
        ] {
            let ([fast, slow], _) = both_ways(json.as_bytes());
            assert_eq!(fast, slow, "{json}");
        }
    }
    for json in [
        "", " ", "[", "]", "[]", " [ ] ", "[,]", "[[]]", "{}", "null", "[] []",
    ] {
        let ([fast, slow], _) = both_ways(json.as_bytes());
        assert_eq!(fast, slow, "{json}");
    }
}

fn peer() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<std::net::SocketAddrV4>().prop_map(|peer| peer.to_string()),
        any::<std::net::SocketAddrV6>().prop_map(|peer| peer.to_string()),
        any::<std::net::SocketAddr>().prop_map(|peer| peer.to_string()),
        "[0-9a-f:.%\\[\\]]{0,30}",
        Just("unknown".to_owned()),
    ]
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => any::<u32>().prop_map(|number| number.to_string()),
        1 => any::<u64>().prop_map(|number| number.to_string()),
        4 => any::<f32>().prop_map(|number| format!("{:?}", f64::from(number.abs()))),
        4 => (0.0..1e6_f64).prop_map(|number| format!("{number:?}")),
        1 => any::<f64>().prop_map(|number| format!("{number:?}")),
        1 => "[0-9]{1,25}\\.[0-9]{1,30}",
        1 => "-?[0-9]{0,3}\\.?[0-9]{0,3}(e[-+]?[0-9]{1,3})?",
        1 => prop::sample::select(vec!["NaN".to_owned(), "Infinity".into(), "-Infinity".into()]),
    ]
}

fn row() -> impl Strategy<Value = String> {
    let client = prop_oneof![
        "[a-zA-Z/ .0-9]{0,20}".prop_map(|name| format!("\"{name}\"")),
        any::<String>().prop_map(|name| serde_json::Value::String(name).to_string()),
    ];
    let protocol = prop::sample::select(vec!["\"1.4\"", "\"1.4.2\"", "null", "\"\"", ""]);
    let counter = prop_oneof![9 => any::<u32>().prop_map(|n| n.to_string()), 1 => number()];
    let costs = prop::option::weighted(0.7, [number(), number()]);
    let counters = prop::collection::vec(counter, 7);
    let comma = prop::sample::select(vec![",", ",", ", ", " , "]);
    (
        0..50_u32,
        peer(),
        client,
        protocol,
        costs,
        counters,
        number(),
        comma,
    )
        .prop_map(
            |(id, peer, client, protocol, costs, counters, age, comma)| {
                let peer = serde_json::Value::String(peer).to_string();
                let mut cells = vec![id.to_string(), "\"T1\"".to_owned(), peer, client];
                cells.extend(Some(protocol.to_owned()).filter(|text| !text.is_empty()));
                cells.extend(costs.into_iter().flatten());
                cells.extend(counters);
                cells.push(age);
                format!("[{}]", cells.join(comma))
            },
        )
}

/// Replies of one server, one after the other, as one decoder reads them and as fresh ones do.
fn in_turn(replies: &[String]) {
    let mut decoder = SessionsDecoder::default();
    for (number, json) in replies.iter().enumerate() {
        let mut json = json.clone().into_bytes();
        tame(&mut json);
        let (mut again, mut fresh) = (Sessions::default(), Sessions::default());
        let read = decoder.decode(&json, &mut again);
        let expected = SessionsDecoder::default().decode(&json, &mut fresh);
        let read = read.map(|()| shown(&again)).map_err(|e| e.to_string());
        let expected = expected.map(|()| shown(&fresh)).map_err(|e| e.to_string());
        assert_eq!(read, expected, "reply {number} of {replies:#?}");
    }
}

#[test]
fn what_a_reply_has_from_the_one_before_is_read_alike() {
    let row = |id: u32, rest: &str| format!(r#"[{id},"T1","1.2.3.4:5","{rest}]"#);
    let idle = r#"a","1.4",5.5,0,0,0,0,1,2,3,4"#;
    for (before, after) in [
        (format!("{idle},1.5"), format!("{idle},11.5")),
        (format!("{idle},1.5"), format!("{idle},1.5")),
        (format!("{idle},1.5"), format!("{idle},NaN")),
        (format!("{idle},1.5"), format!("{idle},1.5,7")),
        (format!("{idle},1.5"), idle.to_owned()),
        (format!("{idle},1.5"), format!("{idle},")),
        (format!("{idle},1.5"), format!("{idle}5,1.5")),
        (format!("{idle},1.5"), idle.replace("5.5", "5.75") + ",1.5"),
        (format!("{idle},1.5"), idle.replace("5.5,0,", "") + ",1.5"),
        (
            format!("{idle},1.5"),
            idle.replace(r#""1.4","#, "") + ",1.5",
        ),
        (
            format!("{idle},1.5"),
            idle.replace("\"1.4\"", "\"1.4.2\"") + ",1.5",
        ),
        (
            format!("{idle},1.5"),
            idle.replace("1.4\",", "1.4\", ") + ",1.5",
        ),
        (format!("{idle},1.5"), idle.replace('a', "another") + ",1.5"),
        (format!("{idle},1.5"), idle.replace('a', "\\u0061") + ",1.5"),
    ] {
        for order in [
            [vec![7, 8, 9], vec![7, 8, 9]],
            [vec![7, 8, 9], vec![8, 9, 10]],
            [vec![7, 8, 9], vec![9, 8, 7]],
            [vec![7, 8, 9], vec![6, 7, 9]],
            [(0..40).collect(), vec![0, 20, 21, 39]],
            [vec![], vec![7]],
        ] {
            let [first, second] = order.map(|ids: Vec<u32>| ids);
            let reply = |ids: &[u32], odd: u32, with: &str| {
                let rows = ids
                    .iter()
                    .map(|&id| row(id, if id == odd { with } else { &before }));
                format!("[{}]", rows.collect::<Vec<_>>().join(","))
            };
            for odd in [7, 8, 20] {
                let replies = [
                    reply(&first, 0, ""),
                    reply(&second, odd, &after),
                    reply(&first, odd, &after),
                    "[] x".to_owned(),
                    reply(&second, 0, ""),
                ];
                in_turn(&replies);
            }
        }
    }
}

/// Names get other IDs from reply to reply.
#[test]
fn names_keep_their_texts_in_whatever_order_they_come() {
    let row = |id: u32, name: &str, version: &str| {
        format!(r#"[{id},"T1","1.2.3.4:5","{name}","{version}",5.5,0,0,0,0,1,2,3,4,{id}.5]"#)
    };
    let reply = |rows: &[String]| format!("[{}]", rows.join(","));
    let (a, b, c) = (row(1, "a", "1.4"), row(2, "b", "a"), row(3, "1.4", "b"));
    in_turn(&[
        reply(&[a.clone(), b.clone(), c.clone()]),
        reply(&[b.clone(), c.clone()]),
        reply(&[c.clone(), row(4, "new", "new")]),
        reply(&[a, b, c]),
    ]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn random_rows_are_read_alike_both_ways(
        rows in prop::collection::vec(row(), 0..6),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let mut json = format!("[{}]", rows.join(",")).into_bytes();
        for (place, byte) in damage {
            let place = place.index(json.len());
            json[place] = byte;
        }
        if let Some(cut) = cut {
            json.truncate(cut.index(json.len()));
        }
        let ([fast, slow], was_enough) = both_ways(&json);
        prop_assert_eq!(&fast, &slow, "{}", String::from_utf8_lossy(&json));
        prop_assert_eq!(was_enough, slow.is_ok());
    }

    /// What was read of earlier replies changes nothing.
    #[test]
    fn random_replies_are_read_alike_one_after_the_other(
        rows in prop::collection::vec(row(), 1..8),
        turns in prop::collection::vec(
            (prop::collection::vec(any::<prop::sample::Index>(), 0..10), any::<Option<(prop::sample::Index, u8)>>()),
            2..6,
        ),
    ) {
        let replies: Vec<String> = turns
            .into_iter()
            .map(|(places, damage)| {
                let rows: Vec<&str> = places.iter().map(|at| &*rows[at.index(rows.len())]).collect();
                let mut json = format!("[{}]", rows.join(",")).into_bytes();
                if let Some((place, byte)) = damage {
                    let place = place.index(json.len());
                    json[place] = byte;
                }
                String::from_utf8_lossy(&json).into_owned()
            })
            .collect();
        in_turn(&replies);
    }
}
