//! Quirks, faults and time as a client sees them over TCP.

use std::pin::pin;

use super::*;

#[tokio::test]
async fn every_release_answers_over_tcp() {
    for release in Release::ALL {
        let server = Server::start(World::story(release, 1), Pace::Manual)
            .await
            .unwrap();
        server.advance(Duration::from_secs(90));
        let mut client = Client::connect(server.addr()).await;
        let info = client.call("getinfo", None).await;
        assert!(info["result"].is_object(), "{info}");
        let sessions = client.call("sessions", None).await;
        let rows = sessions["result"].as_array().unwrap();
        assert!(rows.len() > 100);
        assert!(
            rows.iter()
                .all(|row| row.as_array().unwrap().len() == release.columns())
        );
        let groups = client.call("groups", None).await;
        assert!(!groups["result"].as_array().unwrap().is_empty());
        let id = rows[3][0].as_u64().unwrap();
        let params = if release == Release::V0_10_2 {
            json!([id])
        } else {
            json!({ "session_ids": [id.to_string()] })
        };
        let word = if release >= Release::V1_13_0 {
            "disconnecting session"
        } else {
            "disconnected"
        };
        let reply = client.call("disconnect", Some(params)).await;
        assert_eq!(reply["result"], json!([format!("{word} {id}")]));
        server.shutdown().await;
    }
}

fn ids(ids: &[u64]) -> Value {
    json!({ "session_ids": ids.iter().map(u64::to_string).collect::<Vec<_>>() })
}

/// Row by row, the flags and client names.
async fn listed(client: &mut Client) -> Vec<(u64, String, String)> {
    let reply = client.call("sessions", None).await;
    let text = |row: &Value, i: usize| row[i].as_str().unwrap().to_owned();
    let rows = reply["result"].as_array().unwrap();
    rows.iter()
        .map(|row| (row[0].as_u64().unwrap(), text(row, 1), text(row, 3)))
        .collect()
}

async fn two_clients(release: Release) -> Server {
    let mut world = World::empty(release, 3);
    world.connect("45.83.91.7:5000".parse().unwrap(), "4.5.8");
    world.connect("45.83.91.8:5000".parse().unwrap(), "4.5.8");
    Server::start(world, Pace::Manual).await.unwrap()
}

#[tokio::test]
async fn a_closing_session_is_flagged_for_half_a_second() {
    let server = two_clients(Release::V1_20_0).await;
    let mut client = Client::connect(server.addr()).await;
    let reply = client.call("disconnect", Some(ids(&[1, 9]))).await;
    assert_eq!(
        reply["result"],
        json!(["disconnecting session 1", "unknown: 9"])
    );
    server.advance(Duration::from_millis(400));
    assert_eq!(listed(&mut client).await[1].1, "TC10");
    server.advance(Duration::from_millis(600));
    assert_eq!(
        listed(&mut client).await,
        [
            (0, "T10".into(), "4.5.8".into()),
            (2, "R20".into(), "RPC".into())
        ]
    );
}

#[tokio::test]
async fn log_toggles() {
    let server = two_clients(Release::V1_20_0).await;
    let mut client = Client::connect(server.addr()).await;
    assert_eq!(
        client.call("log", Some(ids(&[1]))).await["result"],
        json!(["logging session 1"])
    );
    assert_eq!(listed(&mut client).await[1].1, "TL10");
    let reply = client.call("log", Some(ids(&[1]))).await;
    assert_eq!(reply["result"], json!(["not logging session 1"]));
    assert_eq!(listed(&mut client).await[1].1, "T10");
    let new = client
        .call("log", Some(json!({ "session_ids": ["new"] })))
        .await;
    assert_eq!(new["result"], json!(["logging new sessions"]));
    let mut second = Client::connect(server.addr()).await;
    assert_eq!(listed(&mut second).await[3].1, "RL20");
}

#[tokio::test]
async fn all_and_a_group_also_close_the_rpc_connection() {
    for (item, word) in [
        ("all", "disconnecting all sessions"),
        ("t313", "disconnecting group t313"),
    ] {
        let server = two_clients(Release::V1_13_0).await;
        let mut client = Client::connect(server.addr()).await;
        let reply = client
            .call("disconnect", Some(json!({ "session_ids": [item] })))
            .await;
        assert_eq!(reply["result"], json!([word]));
        assert_eq!(
            client.line().await,
            "",
            "the connection should be at its end"
        );
        let mut client = Client::connect(server.addr()).await;
        let flags: Vec<String> = listed(&mut client)
            .await
            .into_iter()
            .map(|row| row.1)
            .collect();
        assert_eq!(flags, ["TC10", "TC10", "RC20", "R20"]);
    }
}

#[tokio::test]
async fn an_old_release_closes_its_rpc_connection_without_a_word() {
    let server = two_clients(Release::V1_6).await;
    let mut client = Client::connect(server.addr()).await;
    assert_eq!(listed(&mut client).await[2].0, 2);
    client.send("disconnect", Some(ids(&[2]))).await;
    assert_eq!(client.line().await, "");
}

/// Calls while time passes, 20 ms at once.
async fn call_over_time(server: &Server, client: &mut Client, method: &str) -> String {
    let mut line = pin!(client.raw(method));
    loop {
        tokio::select! {
            biased;
            line = &mut line => return line,
            () = tokio::time::sleep(Duration::from_millis(1)) => {
                server.advance(Duration::from_millis(20));
            }
        }
    }
}

#[tokio::test]
async fn a_costly_connection_waits() {
    let server = two_clients(Release::V1_20_0).await;
    let mut client = Client::connect(server.addr()).await;
    for _ in 0..40 {
        call_over_time(&server, &mut client, "nonsense").await;
    }
    // Some 4,000; a quarter of the way from 2,000 to 10,000, so a quarter of two seconds.
    let before = server.now();
    let reply = call_over_time(&server, &mut client, "getinfo").await;
    assert!(reply.contains("daemon height"), "{reply}");
    let took = server.now().saturating_sub(before);
    assert!(
        (Duration::from_millis(400)..Duration::from_secs(2)).contains(&took),
        "{took:?}"
    );
}

#[tokio::test]
async fn restart_breaks_connections_and_counts_ids_from_zero() {
    let server = Server::start(World::honest(Release::V2_0_0, 4), Pace::Manual)
        .await
        .unwrap();
    let mut client = Client::connect(server.addr()).await;
    let before = client.call("getinfo", None).await;
    server.restart();
    assert_eq!(client.line().await, "");
    let mut client = Client::connect(server.addr()).await;
    assert_eq!(listed(&mut client).await, [(0, "R20".into(), "RPC".into())]);
    let after = client.call("getinfo", None).await;
    assert_eq!(after["result"]["uptime"], "00s");
    assert_eq!(after["result"]["request total"], 2);
    assert_ne!(after["result"]["pid"], before["result"]["pid"]);
    server.advance(Duration::from_secs(16));
    let rows = listed(&mut client).await;
    assert!(rows.len() > 100, "everybody comes back: {}", rows.len());
    assert!(rows.iter().all(|row| row.0 < 130), "IDs start over");
}

#[tokio::test(start_paused = true)]
async fn time_goes_at_its_pace() {
    let world = World::empty(Release::V2_0_0, 1);
    let server = Server::start(world, Pace::Times(60.0)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let now = server.now().as_secs_f64();
    assert!((now - 600.0).abs() < 2.0, "{now}");
}

#[tokio::test]
async fn shutdown_leaves_nothing_behind() {
    let server = two_clients(Release::V2_0_0).await;
    let addr = server.addr();
    let mut client = Client::connect(addr).await;
    client.call("getinfo", None).await;
    server.shutdown().await;
    assert_eq!(client.line().await, "");
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn each_fault_does_its_damage() {
    let server = two_clients(Release::V2_0_0).await;
    let whole = Client::connect(server.addr()).await.raw("sessions").await;
    for (fault, ends) in [
        (Fault::Truncated, false),
        (Fault::CloseMidReply, true),
        (Fault::NotJson, false),
        (Fault::Http, true),
    ] {
        server.set_fault(Some(fault));
        let mut client = Client::connect(server.addr()).await;
        let line = client.raw("sessions").await;
        assert!(
            serde_json::from_str::<Value>(&line).is_err(),
            "{fault:?}: {line}"
        );
        assert_eq!(line.ends_with('\n'), fault != Fault::CloseMidReply);
        if ends {
            while !client.line().await.is_empty() {}
        }
    }
    server.set_fault(Some(Fault::TooLarge(100_000)));
    let line = Client::connect(server.addr()).await.raw("sessions").await;
    assert!(line.len() > 100_000);
    assert!(
        serde_json::from_str::<Value>(&line).is_ok(),
        "only its size is wrong"
    );
    server.set_fault(Some(Fault::WrongId));
    let reply = Client::connect(server.addr())
        .await
        .call("getinfo", None)
        .await;
    assert_eq!(reply["id"], 999_999_999);
    server.set_fault(None);
    let line = Client::connect(server.addr()).await.raw("sessions").await;
    assert!(line.len().abs_diff(whole.len()) < 600, "{line}");
}

#[tokio::test(start_paused = true)]
async fn silence_is_silence() {
    let server = two_clients(Release::V2_0_0).await;
    for fault in [Fault::Silence, Fault::Stall] {
        server.set_fault(Some(fault));
        let mut client = Client::connect(server.addr()).await;
        client.send("getinfo", None).await;
        let wait = tokio::time::timeout(Duration::from_hours(1), client.line());
        assert!(wait.await.is_err(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_bad_row_is_bad_in_one_way() {
    let server = two_clients(Release::V2_0_0).await;
    let mut client = Client::connect(server.addr()).await;
    for (fault, check) in [
        (
            RowFault::Short,
            (|row| row.as_array().unwrap().len() == 14) as fn(&Value) -> bool,
        ),
        (RowFault::Long, |row| row.as_array().unwrap().len() == 16),
        (RowFault::Text, |row| row[11] == "many"),
        (RowFault::Null, Value::is_null),
        (RowFault::Negative, |row| row[13] == -1),
        (RowFault::DuplicateId, |row| row[0] == 0),
        (RowFault::HugeName, |row| {
            row[3].as_str().unwrap().len() == 1 << 20
        }),
    ] {
        server.set_fault(Some(Fault::Rows(fault)));
        let reply = client.call("sessions", None).await;
        assert!(
            check(&reply["result"][1]),
            "{fault:?}: {}",
            reply["result"][1]
        );
        assert_eq!(
            reply["result"][0].as_array().unwrap().len(),
            15,
            "the others are right"
        );
    }
    server.set_fault(Some(Fault::Rows(RowFault::NaN)));
    let line = client.raw("sessions").await;
    assert!(line.contains(",NaN]"), "{line}");
    assert!(
        client.call("getinfo", None).await["result"].is_object(),
        "other replies are right"
    );
}
