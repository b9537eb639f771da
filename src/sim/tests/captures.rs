//! Every captured request, made again.

use super::*;

/// The requests and replies of one captured server, in the order in which they were made.
fn capture(release: Release, part: &str) -> Vec<Value> {
    let maker = if release >= Release::V1_16_0 {
        "electrumx-spesmilo"
    } else {
        "electrumx"
    };
    let root = env!("CARGO_MANIFEST_DIR");
    let path = format!(
        "{root}/tests/fixtures/wire/{maker}-{}/{part}.json",
        release.number()
    );
    let value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    match value {
        Value::Array(exchanges) => exchanges.into_iter().filter(|e| !e.is_null()).collect(),
        exchange => vec![exchange],
    }
}

/// What a value is, all the way down; the contents of counts by method left out.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) => "bool".into(),
        Value::Number(n) if n.is_f64() => "float".into(),
        Value::Number(_) => "integer".into(),
        Value::String(_) => "text".into(),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, value)| {
                let shape = if key == "request counts" {
                    "counts".into()
                } else {
                    shape(value)
                };
                (key.clone(), shape)
            })
            .collect(),
    }
}

/// A world in the state of the captured one: four clients from 127.0.0.1, one RPC connection.
fn captured_world(release: Release, seed: u64) -> (World, SessionKey) {
    let mut world = World::empty(release, seed);
    let started = world.clock().checked_sub(Duration::from_secs(654)).unwrap();
    world.sessions_mut().server_started = started;
    let sessions = capture(release, "sessions").remove(0);
    let rows = sessions["response"]["result"].as_array().unwrap();
    world.sessions_mut().skip_ids(rows[0][0].as_u64().unwrap());
    for row in &rows[..4] {
        world.connect(
            row[2].as_str().unwrap().parse().unwrap(),
            row[3].as_str().unwrap(),
        );
    }
    world.advance(Duration::from_micros(1_003_100));
    let rpc = world.open_rpc(rows[4][2].as_str().unwrap().parse().unwrap());
    world.advance(Duration::from_micros(2_700));
    (world, rpc)
}

fn ask(world: &mut World, rpc: SessionKey, request: &Value) -> Option<Value> {
    let answer = world.request(rpc, request.to_string().as_bytes());
    (!answer.bytes.is_empty()).then(|| serde_json::from_slice(&answer.bytes).unwrap())
}

/// Makes every captured request again; the first reply that differs is the error.
fn replay(release: Release, seed: u64) -> Result<(), String> {
    let (mut world, mut rpc) = captured_world(release, seed);
    for part in [
        "getinfo",
        "sessions",
        "groups",
        "peers",
        "log",
        "daemon_url",
        "errors",
        "disconnect",
    ] {
        for exchange in capture(release, part) {
            let request = &exchange["request"];
            if !world.is_open(rpc) {
                rpc = world.open_rpc("127.0.0.1:5".parse().unwrap());
            }
            let got = ask(&mut world, rpc, request);
            let expected = exchange.get("response").cloned();
            let by_shape = matches!(
                request["method"].as_str(),
                Some("getinfo" | "sessions" | "groups")
            );
            let (got, expected) = if by_shape && request.get("params").is_none() {
                (got.as_ref().map(shape), expected.as_ref().map(shape))
            } else {
                let text = expected.map(|e| e.to_string().replace(":18441", ":8332"));
                (got, text.map(|text| serde_json::from_str(&text).unwrap()))
            };
            if got != expected {
                return Err(format!(
                    "{release}: {request}\n got {got:?}\nwant {expected:?}"
                ));
            }
        }
        // The daemons of the capture are not those of a world.
        world.chain_mut().set_urls("").unwrap();
    }
    Ok(())
}

#[test]
fn replies_are_those_of_the_captured_servers() {
    for release in Release::ALL {
        if release == Release::V1_0_17 {
            // A client and the RPC connection both have ID 0. In the capture the client went.
            assert!(
                (0..32).any(|seed| replay(release, seed).is_ok()),
                "{:?}",
                replay(release, 0)
            );
        } else {
            replay(release, 0).unwrap_or_else(|difference| panic!("{difference}"));
        }
    }
}

#[test]
fn keys_come_in_the_order_of_the_release() {
    // Those who read the bytes as they come must find them as they come from real servers.
    for (release, start) in [
        (
            Release::V0_10_2,
            r#"{"jsonrpc":"2.0","result":{"daemon_height":905000,"db_height":"#,
        ),
        (
            Release::V1_0_17,
            r#"{"jsonrpc":"2.0","id":1,"result":{"daemon":"127.0.0.1:8332/","#,
        ),
        (
            Release::V1_6,
            r#"{"jsonrpc":"2.0","result":{"daemon":"127.0.0.1:8332/","#,
        ),
        (
            Release::V1_13_0,
            r#"{"jsonrpc":"2.0","result":{"coin":"BitcoinSegwit","daemon":"#,
        ),
        (
            Release::V2_0_0,
            r#"{"jsonrpc":"2.0","result":{"caches":{"estimatefee":"0 lookups"#,
        ),
    ] {
        let (mut world, rpc) = captured_world(release, 0);
        let request = br#"{"jsonrpc":"2.0","id":1,"method":"getinfo"}"#;
        let bytes = world.request(rpc, request).bytes;
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with(start), "{release}: {text}");
        assert_eq!(text.matches('\n').count(), 1);
    }
}

#[test]
fn inspect_session_answers_as_captured() {
    for exchange in capture(Release::V2_0_0, "inspect_session") {
        let (mut world, rpc) = captured_world(Release::V2_0_0, 0);
        let got = ask(&mut world, rpc, &exchange["request"]).unwrap();
        assert_eq!(shape(&got), shape(&exchange["response"]));
        assert_eq!(
            got["error"],
            exchange["response"]
                .get("error")
                .cloned()
                .unwrap_or_default()
        );
    }
    let (mut world, rpc) = captured_world(Release::V2_0_0, 0);
    let request = json!({ "id": 1, "method": "inspect_session", "params": { "session_id": 4 } });
    let got = ask(&mut world, rpc, &request).unwrap();
    assert_eq!(
        got["error"]["message"],
        "session with id=4 is not a client session, but <class 'electrumx.server.session.LocalRPC'>"
    );
}
