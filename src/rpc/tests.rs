//! The client against servers of a few lines, one for each thing that a server may do.

use std::fmt::Write as _;
use std::future::pending;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;

/// The server's end of a connection.
struct Peer(BufReader<TcpStream>);

impl Peer {
    /// The next request, or none at the connection's end.
    async fn request(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.0
            .read_line(&mut line)
            .await
            .ok()
            .filter(|&bytes| bytes > 0)?;
        Some(serde_json::from_str(&line).unwrap())
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        // The client may have gone.
        _ = self.0.get_mut().write_all(bytes.as_ref()).await;
    }

    async fn reply(&mut self, request: &Value, result: &Value) {
        self.send(format!(
            "{}\n",
            json!({"jsonrpc": "2.0", "result": result, "id": request["id"]})
        ))
        .await;
    }

    async fn refuse(&mut self, request: &Value, code: i64, message: &str) {
        let error = json!({"code": code, "message": message});
        self.send(format!(
            "{}\n",
            json!({"jsonrpc": "2.0", "error": error, "id": request["id"]})
        ))
        .await;
    }
}

/// Serves one connection after the other, and returns options to reach it.
async fn server<F>(serve: impl Fn(Peer) -> F + Send + 'static) -> ClientOptions
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(Peer(BufReader::new(stream))).await;
        }
    });
    ClientOptions {
        jitter_seed: Some(1),
        ..ClientOptions::new(addr)
    }
}

/// A server that answers each request with the next of `replies`, `$id` replaced, and then closes.
async fn scripted<const N: usize>(replies: [&str; N]) -> ClientOptions {
    let replies = replies.map(str::to_owned);
    server(move |mut peer| {
        let replies = replies.clone();
        async move {
            for reply in replies {
                let Some(request) = peer.request().await else {
                    return;
                };
                peer.send(reply.replace("$id", &request["id"].to_string()))
                    .await;
            }
        }
    })
    .await
}

async fn connected(options: ClientOptions) -> (Client, Epoch) {
    let mut client = Client::new(options);
    let epoch = client.connect().await.unwrap();
    (client, epoch)
}

async fn call(client: &mut Client) -> Result<Value, RpcError> {
    client
        .call("getinfo", &NO_PARAMS)
        .await
        .map(|reply| reply.result)
}

/// What a client says of the only reply of a server.
async fn error_of(reply: &str) -> RpcError {
    let (mut client, _) = connected(scripted([reply]).await).await;
    let error = call(&mut client).await.unwrap_err();
    assert_eq!(
        client.epoch().is_none(),
        error.is_connection_lost(),
        "{error:?}"
    );
    error
}

const GOOD: &str = "{\"jsonrpc\": \"2.0\", \"result\": [1], \"id\": $id}\n";

#[tokio::test]
async fn a_call_brings_result_line_and_epoch() {
    let (mut client, epoch) = connected(scripted([GOOD, GOOD]).await).await;
    assert_eq!(
        client.connect().await.unwrap(),
        epoch,
        "one connection serves all calls"
    );
    let reply = client
        .call::<Vec<u64>>("sessions", &NO_PARAMS)
        .await
        .unwrap();
    assert_eq!((reply.epoch, reply.result), (epoch, vec![1]));
    assert_eq!(reply.line, br#"{"jsonrpc": "2.0", "result": [1], "id": 1}"#);
    let borrowed: Reply<'_, Vec<u64>> = client
        .call_with("sessions", &NO_PARAMS, PhantomData)
        .await
        .unwrap();
    assert_eq!(borrowed.result, [1]);
}

#[tokio::test]
async fn requests_are_lines_of_json_rpc() {
    let options = server(|mut peer| async move {
        while let Some(request) = peer.request().await {
            let echo = request.clone();
            peer.reply(&request, &echo).await;
        }
    })
    .await;
    let (mut client, _) = connected(options).await;
    assert_eq!(
        call(&mut client).await.unwrap(),
        json!({"jsonrpc": "2.0", "id": 1, "method": "getinfo", "params": []})
    );
    let params = json!({"session_id": 3});
    let sent: Value = client
        .call("inspect_session", &params)
        .await
        .unwrap()
        .result;
    assert_eq!(
        sent,
        json!({"jsonrpc": "2.0", "id": 2, "method": "inspect_session", "params": {"session_id": 3}})
    );
}

#[tokio::test]
async fn replies_share_one_buffer() {
    let options = server(|mut peer| async move {
        while let Some(request) = peer.request().await {
            peer.reply(&request, &json!("x".repeat(300_000))).await;
        }
    })
    .await;
    let (mut client, _) = connected(options).await;
    call(&mut client).await.unwrap();
    let buffers = (
        client.line.as_ptr(),
        client.line.capacity(),
        client.request.as_ptr(),
    );
    for _ in 0..5 {
        call(&mut client).await.unwrap();
        assert_eq!(
            (
                client.line.as_ptr(),
                client.line.capacity(),
                client.request.as_ptr()
            ),
            buffers
        );
    }
}

#[tokio::test]
async fn a_seed_reads_into_the_callers_columns() {
    struct Into<'a>(&'a mut Vec<u64>);
    impl<'de> DeserializeSeed<'de> for Into<'_> {
        type Value = ();
        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            serde::Deserialize::deserialize_in_place(deserializer, self.0)
        }
    }
    let (mut client, _) = connected(scripted([GOOD]).await).await;
    let mut column = Vec::with_capacity(8);
    client
        .call_with("sessions", &NO_PARAMS, Into(&mut column))
        .await
        .unwrap();
    assert_eq!(column, [1]);
}

// ---- What goes wrong ----

#[tokio::test]
async fn no_server_there() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = Client::new(ClientOptions::new(&addr))
        .connect()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "nothing listens at `{addr}`; start ElectrumX, or correct the address of its LocalRPC"
        )
    );
    assert!(error.is_connection_lost() && !error.is_outcome_unknown());
}

#[tokio::test]
async fn an_address_that_is_none() {
    let error = Client::new(ClientOptions::new("localhost"))
        .connect()
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"cannot connect to `localhost`: invalid socket address; the address is HOST:PORT, such as `127.0.0.1:8000`");
}

/// A listener whose queue is full leaves the next connection unanswered.
#[tokio::test(start_paused = true)]
async fn a_server_that_never_accepts() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(addr)).await
    {
        queued.push(stream.unwrap());
    }
    let error = Client::new(ClientOptions::new(addr.to_string()))
        .connect()
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no connection to `{addr}` within 5s; check the host, the port and any firewall between"
        )
    );
}

#[tokio::test]
async fn a_call_needs_a_connection() {
    let mut client = Client::new(ClientOptions::new("127.0.0.1:8000"));
    let error = call(&mut client).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`getinfo` was not sent, for there is no connection; connect first"
    );
}

#[tokio::test]
async fn a_server_that_never_replies() {
    let options = server(|mut peer| async move {
        peer.request().await;
        // From here on only the deadline can wake anybody.
        tokio::time::pause();
        pending::<()>().await;
    })
    .await;
    let (mut client, _) = connected(options).await;
    let error = call(&mut client).await.unwrap_err();
    insta::assert_snapshot!(error, @"no complete reply to `getinfo` within 30s (0 bytes came); the server is overloaded or throttles this connection, or the deadline is too short");
    assert!(error.is_connection_lost() && error.is_outcome_unknown());
    assert_eq!(client.epoch(), None);
}

#[tokio::test]
async fn a_server_that_trickles_meets_the_same_deadline() {
    let options = server(|mut peer| async move {
        peer.request().await;
        tokio::time::pause();
        peer.send("{\"result\": [").await;
        loop {
            peer.send("1,").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let (mut client, _) = connected(options).await;
    let began = Instant::now();
    let error = call(&mut client).await.unwrap_err();
    assert!(
        matches!(error, RpcError::ReplyTimedOut { bytes: 12.., .. }),
        "{error:?}"
    );
    let passed = began.elapsed();
    assert!(
        (Duration::from_secs(30)..Duration::from_secs(32)).contains(&passed),
        "{passed:?}"
    );
}

#[tokio::test]
async fn a_server_that_floods_with_old_replies_meets_the_same_deadline() {
    let options = server(|mut peer| async move {
        peer.request().await;
        tokio::time::pause();
        loop {
            peer.send("{\"result\": 1, \"id\": 0}\n").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    })
    .await;
    let (mut client, _) = connected(options).await;
    assert!(matches!(
        call(&mut client).await,
        Err(RpcError::ReplyTimedOut { .. })
    ));
}

#[tokio::test]
async fn replies_that_cannot_be_used() {
    let mut texts = String::new();
    for reply in [
        "",
        "{\"jsonrpc\": \"2.0\", \"result\": [[1, \"T1\"",
        "{\"jsonrpc\": \"2.0\", \"result\": [[1, \"T1\"\n",
        "HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n",
        "HTTP/1.0 501 Not Implemented",
        "\x15\x03\x01\x00\x02\x02\x46",
        "220 mail.example \u{1b}[31m\u{202e}ESMTP http://u:p@host/ and so on, far beyond what anyone would want to read\n",
        "[]\n",
        "{\"jsonrpc\": \"2.0\", \"method\": \"blockchain.headers.subscribe\", \"params\": [{\"height\": 110}]}\n",
        "{\"jsonrpc\": \"2.0\", \"result\": [], \"id\": 4}\n",
        "{\"jsonrpc\": \"2.0\", \"result\": [], \"id\": null}\n",
        "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": -32601, \"message\": \"unknown method \\\"getinfo\\\"\"}, \"id\": $id}\n",
        "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": 1, \"message\": \"invalid daemon URL: \\\"http://u:p@h\\\"\"}, \"id\": $id}\n",
    ] {
        let error = error_of(reply).await;
        let lost = if error.is_connection_lost() {
            "lost"
        } else {
            "kept"
        };
        _ = writeln!(texts, "{lost}: {error}");
    }
    insta::assert_snapshot!(texts, @r#"
    lost: the server closed the connection before it replied to `getinfo`; it restarted, cut an idle connection, or one of its limits was met
    lost: the server closed the connection 38 bytes into its reply to `getinfo`; it stopped or crashed
    lost: the reply to `getinfo` is not JSON (EOF while parsing a list at line 1 column 38): `{"jsonrpc": "2.0", "result": [[1, "T1"`; is that ElectrumX's LocalRPC?
    lost: that is a web server (`HTTP/1.1 400 Bad Request`); ElectrumX's LocalRPC is usually port 8000
    lost: that is a web server (`HTTP/1.0 501 Not Implemented`); ElectrumX's LocalRPC is usually port 8000
    lost: the reply to `getinfo` is not JSON (the connection closed after it): `\u{15}\u{3}\u{1}\u{0}\u{2}\u{2}F`; is that ElectrumX's LocalRPC?
    lost: the reply to `getinfo` is not JSON (trailing characters at line 1 column 5): `220 mail.example \u{1b}[31m\u{202e}ESMTP http://***@host/ and so on, far beyond…`; is that ElectrumX's LocalRPC?
    lost: the reply to `getinfo` is not a JSON-RPC reply (invalid type: sequence, expected an object with `id`, and `result` or `error` at line 1 column 0): `[]`; is that ElectrumX's LocalRPC?
    lost: the reply to `getinfo` is not a JSON-RPC reply (missing field `id` at line 1 column 89): `{"jsonrpc": "2.0", "method": "blockchain.headers.subscribe", "params": [{"heigh…`; is that ElectrumX's LocalRPC?
    lost: the reply to `getinfo` bears the id 4 where 1 was sent; requests and replies are out of step
    lost: the reply to `getinfo` bears the id null where 1 was sent; requests and replies are out of step
    kept: the server answered `getinfo` with error -32601: unknown method "getinfo"; that is perhaps the port for clients; the LocalRPC's is usually 8000
    kept: the server answered `getinfo` with error 1: invalid daemon URL: "http://***@h"
    "#);
}

#[tokio::test]
async fn a_reply_may_be_as_long_as_the_limit_and_no_longer() {
    let good = "{\"result\":1,\"id\":$id}\n";
    let limit = good.len() - "$id\n".len() + 1;
    for (reply_bytes_max, fits) in [(limit, true), (limit - 1, false), (0, false)] {
        let options = ClientOptions {
            reply_bytes_max,
            ..scripted([good]).await
        };
        let (mut client, _) = connected(options).await;
        let result = call(&mut client).await;
        assert_eq!(result.is_ok(), fits, "{result:?}");
        assert_eq!(client.epoch().is_some(), fits);
        if let Err(error) = result {
            assert_eq!(
                error.to_string(),
                format!(
                    "the reply to `getinfo` is longer than the limit of {reply_bytes_max} bytes; raise the limit if the \
                     server is to be trusted"
                )
            );
        }
    }
}

#[tokio::test]
async fn a_reply_without_end_fills_no_memory() {
    let options = server(|mut peer| async move {
        peer.request().await;
        let chunk = vec![b'['; 100_000];
        while peer.0.get_mut().write_all(&chunk).await.is_ok() {}
    })
    .await;
    let (mut client, _) = connected(ClientOptions {
        reply_bytes_max: 1_000_000,
        ..options
    })
    .await;
    assert!(matches!(
        call(&mut client).await,
        Err(RpcError::TooLarge {
            bytes_max: 1_000_000,
            ..
        })
    ));
    assert_eq!(client.line.capacity(), 0);
}

#[tokio::test]
async fn a_servers_words_are_bounded() {
    let message = "é".repeat(1_000_000);
    let error = error_of(&format!(
        "{{\"error\":{{\"code\":1,\"message\":\"{message}\"}},\"id\":$id}}\n"
    ))
    .await;
    let RpcError::Server { message, .. } = error else {
        panic!("{error:?}")
    };
    assert_eq!(message.chars().count(), 512);
}

#[tokio::test]
async fn content_that_cannot_be_read_keeps_the_connection() {
    let (mut client, epoch) = connected(scripted([GOOD, GOOD]).await).await;
    let error = client
        .call::<Vec<String>>("sessions", &NO_PARAMS)
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"the result of `sessions` cannot be read: invalid type: integer `1`, expected a string at line 1 column 31");
    assert_eq!(client.epoch(), Some(epoch));
    assert_eq!(call(&mut client).await.unwrap(), json!([1]));
}

#[tokio::test]
async fn parameters_that_are_no_json_are_not_sent() {
    let (mut client, epoch) = connected(scripted([GOOD]).await).await;
    let params = std::collections::HashMap::from([((1, 2), 3)]);
    let error = client.call::<Value>("log", &params).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "`log` was not sent, for its parameters are not JSON: key must be a string"
    );
    assert_eq!(client.epoch(), Some(epoch));
    assert_eq!(call(&mut client).await.unwrap(), json!([1]));
}

#[tokio::test]
async fn replies_to_earlier_requests_are_skipped() {
    for stale in [
        "{\"jsonrpc\": \"2.0\", \"result\": [\"old\"], \"id\": 1}\n",
        "{\"jsonrpc\": \"2.0\", \"id\": 1, \"result\": [\"old\"]}\n",
        "{\"jsonrpc\": \"2.0\", \"error\": {\"code\": 1, \"message\": \"old\"}, \"id\": 1}\n",
    ] {
        let (mut client, epoch) =
            connected(scripted([GOOD, &format!("{stale}{stale}{GOOD}")]).await).await;
        call(&mut client).await.unwrap();
        assert_eq!(call(&mut client).await.unwrap(), json!([1]), "{stale}");
        assert_eq!(client.epoch(), Some(epoch));
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_takes_the_connection_with_it() {
    let options = server(|mut peer| async move {
        peer.request().await;
        // Slower than the caller's patience, but not dead.
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(2)).await;
        peer.send("{\"result\": \"late\", \"id\": 1}\n").await;
    })
    .await;
    let (mut client, epoch) = connected(options).await;
    let given_up = tokio::time::timeout(Duration::from_secs(1), call(&mut client)).await;
    assert!(given_up.is_err());
    assert_eq!(client.epoch(), None);
    assert!(client.connect().await.unwrap() > epoch);
}

/// Nothing that a client of the server calls itself is taken for an envelope.
#[tokio::test]
async fn names_of_clients_are_only_names() {
    let names = [
        "\"error\":",
        "\"id\":7",
        "\"id\": 1}",
        "{\"id\": 0}\n",
        "\\",
        "\\\"id\": 0}",
        "\u{0}\u{2028}",
    ];
    let expected = json!(names);
    let options = server(move |mut peer| async move {
        while let Some(request) = peer.request().await {
            peer.reply(&request, &json!(names)).await;
        }
    })
    .await;
    let (mut client, _) = connected(options).await;
    for _ in 0..3 {
        assert_eq!(call(&mut client).await.unwrap(), expected);
    }
}

// ---- Connections ----

#[tokio::test]
async fn epochs_grow_and_die_with_their_connection() {
    let options = scripted([GOOD]).await;
    let (mut client, first) = connected(options.clone()).await;
    let (_other, second) = connected(options).await;
    assert!(second > first);
    call(&mut client).await.unwrap();
    assert!(matches!(
        call(&mut client).await,
        Err(RpcError::ClosedBeforeReply { .. })
    ));
    assert_eq!((client.epoch(), client.local_addr()), (None, None));
}

#[tokio::test]
async fn the_connections_own_row_can_be_known() {
    let options = server(|mut peer| async move {
        while let Some(request) = peer.request().await {
            let address = peer.0.get_ref().peer_addr().unwrap().to_string();
            peer.reply(&request, &json!(address)).await;
        }
    })
    .await;
    let (mut client, _) = connected(options).await;
    let seen = call(&mut client).await.unwrap();
    assert_eq!(seen, json!(client.local_addr().unwrap().to_string()));
}

#[tokio::test(start_paused = true)]
async fn attempts_to_connect_grow_rarer_until_a_reply_comes() {
    // The port is reserved, but nobody listens yet.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap().to_string();
    let mut client = Client::new(ClientOptions {
        jitter_seed: Some(1),
        ..ClientOptions::new(addr)
    });
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let began = Instant::now();
        assert!(matches!(
            client.connect().await,
            Err(RpcError::Refused { .. })
        ));
        pauses.push(began.elapsed());
    }
    assert_eq!(
        pauses[0],
        Duration::ZERO,
        "the first attempt is made at once"
    );
    for (n, pause) in (0..).zip(&pauses[1..]) {
        let base = Duration::from_millis(500 << n).min(Duration::from_secs(30));
        // Timers tick in milliseconds.
        assert!(
            (base..=base * 2 + Duration::from_millis(2)).contains(pause),
            "{pauses:?}"
        );
    }

    let listener = socket.listen(8).unwrap();
    client.connect().await.unwrap();
    assert_ne!(
        client.retry.not_before(),
        None,
        "a connection alone proves nothing"
    );
    tokio::time::resume();
    let serve = async {
        let mut peer = Peer(BufReader::new(listener.accept().await.unwrap().0));
        let request = peer.request().await.unwrap();
        peer.reply(&request, &json!(1)).await;
        peer
    };
    let (reply, _peer) = tokio::join!(call(&mut client), serve);
    reply.unwrap();
    assert_eq!(client.retry_after(), Duration::ZERO);
    assert_eq!(client.retry.not_before(), None);
}

#[tokio::test]
async fn a_lost_connection_is_not_made_again_at_once() {
    let (mut client, _) = connected(scripted([""]).await).await;
    call(&mut client).await.unwrap_err();
    let pause = client.retry_after();
    assert!(
        pause > Duration::ZERO && pause <= Duration::from_secs(1),
        "{pause:?}"
    );
}

#[tokio::test]
async fn a_costly_connection_is_renewed_when_the_caller_says_so() {
    let options = server(|mut peer| async move {
        while let Some(request) = peer.request().await {
            peer.refuse(&request, 1, "no").await;
        }
    })
    .await;
    let (mut client, first) = connected(options).await;
    for _ in 0..15 {
        assert!(!client.needs_fresh_connection(), "{}", client.toll());
        call(&mut client).await.unwrap_err();
    }
    assert!(
        (1_500.0..1_500.1).contains(&client.toll()),
        "{}",
        client.toll()
    );
    client.observe_cost(first, 1_450.0);
    assert!(!client.needs_fresh_connection());
    call(&mut client).await.unwrap_err();
    assert!(client.needs_fresh_connection());
    assert_eq!(
        client.epoch(),
        Some(first),
        "it is for the caller to say when"
    );
    assert!(client.reconnect().await.unwrap() > first);
    assert!(client.toll() < 0.001 && !client.needs_fresh_connection());
    client.observe_cost(first, 1_700.0);
    assert!(
        !client.needs_fresh_connection(),
        "that was the old connection"
    );
}

#[tokio::test]
async fn bytes_count_both_ways() {
    let options = server(|mut peer| async move {
        while let Some(request) = peer.request().await {
            peer.reply(&request, &json!("x".repeat(2_000_000))).await;
        }
    })
    .await;
    let (mut client, _) = connected(options).await;
    let params = ["y".repeat(1_000_000)];
    client.call::<Value>("getinfo", &params).await.unwrap();
    assert!((30.0..30.1).contains(&client.toll()), "{}", client.toll());
}

// ---- Sessions ----

/// Disconnects and logs any session below 900, in the words of a release from 1.11 on, unknown ones last. Its second
/// element tells what was asked.
async fn electrumx() -> (ClientOptions, tokio::sync::mpsc::UnboundedReceiver<Value>) {
    let (asked, asked_of) = tokio::sync::mpsc::unbounded_channel();
    let options = server(move |mut peer| {
        let asked = asked.clone();
        async move {
            while let Some(request) = peer.request().await {
                let verb = if request["method"] == "log" {
                    "logging"
                } else {
                    "disconnecting"
                };
                let ids = request["params"]["session_ids"].as_array().unwrap();
                let (known, unknown): (Vec<u64>, Vec<u64>) = ids
                    .iter()
                    .map(|id| id.as_str().unwrap().parse::<u64>().unwrap())
                    .partition(|&id| id < 900);
                let known = known.iter().rev().map(|id| format!("{verb} session {id}"));
                let said: Vec<_> = known
                    .chain(unknown.iter().map(|id| format!("unknown: {id}")))
                    .collect();
                peer.reply(&request, &json!(said)).await;
                asked.send(request["params"].clone()).unwrap();
            }
        }
    })
    .await;
    (options, asked_of)
}

#[tokio::test]
async fn sessions_are_disconnected_in_chunks() {
    let (options, mut asked) = electrumx().await;
    let (mut client, epoch) = connected(ClientOptions {
        ids_per_call: 2,
        ..options
    })
    .await;
    let said = client.disconnect(epoch, &[5, 900, 3, 5, 4, 901]).await;
    assert!(said.failure.is_none());
    assert_eq!(
        said.words,
        [
            (5, Word::Done(Disconnected)),
            (900, Word::Unknown),
            (3, Word::Done(Disconnected)),
            (4, Word::Done(Disconnected)),
            (901, Word::Unknown),
        ]
    );
    for expected in [json!(["5", "900"]), json!(["3", "4"]), json!(["901"])] {
        assert_eq!(
            asked.recv().await.unwrap(),
            json!({"session_ids": expected})
        );
    }
}

#[tokio::test]
async fn chunks_have_a_default_and_a_least_size() {
    let (options, mut asked) = electrumx().await;
    let (mut client, epoch) = connected(options.clone()).await;
    let ids: Vec<u64> = (0..899).collect();
    assert_eq!(client.log(epoch, &ids).await.words.len(), 899);
    for expected in [500, 399] {
        assert_eq!(
            asked.recv().await.unwrap()["session_ids"]
                .as_array()
                .unwrap()
                .len(),
            expected
        );
    }
    client.options.ids_per_call = 0;
    assert_eq!(
        client.log(epoch, &[1, 2]).await.words,
        [(1, Word::Done(Logging::On)), (2, Word::Done(Logging::On))]
    );
    assert!(client.log(epoch, &[]).await.words.is_empty());
}

#[tokio::test]
async fn a_failure_leaves_the_words_that_were_heard() {
    let first = "{\"result\": [\"unknown: 2\", \"disconnecting session 1\"], \"id\": $id}\n";
    let options = scripted([first, "{\"result\": [\"disc"]).await;
    let (mut client, epoch) = connected(ClientOptions {
        ids_per_call: 2,
        ..options
    })
    .await;
    let said = client.disconnect(epoch, &[1, 2, 3, 4, 5]).await;
    assert_eq!(
        said.words,
        [(1, Word::Done(Disconnected)), (2, Word::Unknown)]
    );
    let failure = said.failure.unwrap();
    assert!(matches!(failure.error, RpcError::ClosedMidReply { .. }));
    assert!(failure.error.is_outcome_unknown());
    assert_eq!((failure.unanswered, failure.unsent), (vec![3, 4], vec![5]));
}

#[tokio::test]
async fn evidence_of_another_connection_is_refused() {
    let (options, mut asked) = electrumx().await;
    let (mut client, old) = connected(options).await;
    let new = client.reconnect().await.unwrap();
    let failure = client.disconnect(old, &[1, 2]).await.failure.unwrap();
    assert_eq!(
        failure.error.to_string(),
        format!(
            "`disconnect` was not sent, for its evidence is of connection {old} and this is {new}; poll again"
        )
    );
    assert!(!failure.error.is_connection_lost() && !failure.error.is_outcome_unknown());
    assert!(matches!(
        client.log(old, &[1]).await.failure.unwrap().error,
        RpcError::StaleEpoch { .. }
    ));
    let urls = SecretUrls::new("");
    assert!(matches!(
        client.daemon_url(old, &urls).await,
        Err(RpcError::StaleEpoch { .. })
    ));
    client.connection = None;
    let error = client.log(new, &[1]).await.failure.unwrap().error;
    assert_eq!(
        error.to_string(),
        format!(
            "`log` was not sent, for its evidence is of connection {new} and there is none now; poll again"
        )
    );
    assert!(error.is_connection_lost());
    assert!(asked.try_recv().is_err(), "nothing reached the server");
}

/// As 0.10.2: lists of numbers only.
#[tokio::test]
async fn the_old_style_of_parameters_is_learnt_once_a_connection() {
    let (asked, mut asked_of) = tokio::sync::mpsc::unbounded_channel();
    let options = server(move |mut peer| {
        let asked = asked.clone();
        async move {
            while let Some(request) = peer.request().await {
                asked.send(request["params"].clone()).unwrap();
                match request["params"].as_array() {
                    None => {
                        peer.refuse(&request, -32600, "params should be an array")
                            .await;
                    }
                    Some(ids) => {
                        let said: Vec<_> = ids
                            .iter()
                            .map(|id| format!("log {}: True", id.as_u64().unwrap()))
                            .collect();
                        peer.reply(&request, &json!(said)).await;
                    }
                }
            }
        }
    })
    .await;
    let (mut client, epoch) = connected(options).await;
    for id in [3, 4] {
        assert_eq!(
            client.log(epoch, &[id]).await.words,
            [(id, Word::Done(Logging::On))]
        );
    }
    let epoch = client.reconnect().await.unwrap();
    client.log(epoch, &[5]).await;
    for expected in [
        json!({"session_ids": ["3"]}),
        json!([3]),
        json!([4]),
        json!({"session_ids": ["5"]}),
        json!([5]),
    ] {
        assert_eq!(asked_of.recv().await.unwrap(), expected);
    }
}

#[tokio::test]
async fn another_refusal_is_not_tried_again() {
    let options = server(|mut peer| async move {
        let request = peer.request().await.unwrap();
        peer.refuse(&request, 1, "params should be an array").await;
        assert_eq!(peer.request().await, None);
    })
    .await;
    let (mut client, epoch) = connected(options).await;
    let failure = client.disconnect(epoch, &[1]).await.failure.unwrap();
    assert!(matches!(failure.error, RpcError::Server { code: 1, .. }));
    assert!(!failure.error.is_outcome_unknown());
}

#[tokio::test]
async fn daemon_urls_are_sent_whole_and_shown_bare() {
    let options = server(|mut peer| async move {
        while let Some(request) = peer.request().await {
            let url = request["params"]["daemon_url"].as_str().unwrap();
            if url.is_empty() {
                peer.reply(&request, &json!("now using daemon at 127.0.0.1:18441/"))
                    .await;
            } else {
                let message = format!("an error occurred: invalid daemon URL: \"{url}\"");
                peer.refuse(&request, 1, &message).await;
            }
        }
    })
    .await;
    let (mut client, epoch) = connected(options).await;
    let said = client
        .daemon_url(epoch, &SecretUrls::new(""))
        .await
        .unwrap();
    assert_eq!(said, "now using daemon at 127.0.0.1:18441/");
    let error = client
        .daemon_url(epoch, &SecretUrls::new("http://user:secret@::/"))
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        r#"the server answered `daemon_url` with error 1: an error occurred: invalid daemon URL: "http://***@::/""#
    );
    assert!(!format!("{error:?}").contains("secret"));
}

// ---- Captures ----

/// The replies in a capture's text as the server sent them, its members in their order, with the values they hold.
fn captured_replies(text: &str) -> Vec<(String, Value)> {
    text.match_indices("\"response\": {")
        .map(|(at, key)| {
            let rest = &text[at + key.len() - 1..];
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            let value = values.next().unwrap().unwrap();
            (rest[..values.byte_offset()].replace('\n', ""), value)
        })
        .collect()
}

fn captures() -> Vec<PathBuf> {
    let wire = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    let entries = |dir: &Path| {
        std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    entries(&wire).iter().flat_map(|dir| entries(dir)).collect()
}

#[tokio::test]
async fn every_captured_reply_is_understood() {
    let mut replies = Vec::new();
    for path in captures() {
        let text = std::fs::read_to_string(&path).unwrap();
        replies.extend(
            captured_replies(&text)
                .into_iter()
                .map(|reply| (path.clone(), reply)),
        );
    }
    assert!(replies.len() > 150, "{} replies", replies.len());
    let lines: Vec<_> = replies
        .iter()
        .map(|(_, (line, _))| format!("{line}\n"))
        .collect();
    let options = server(move |mut peer| {
        let lines = lines.clone();
        async move {
            for line in lines {
                peer.request().await;
                peer.send(line).await;
            }
        }
    })
    .await;
    let (mut client, _) = connected(options).await;
    for (path, (_, value)) in replies {
        client.last_id = value["id"].as_u64().unwrap() - 1;
        match call(&mut client).await {
            Ok(result) => assert_eq!(result, value["result"], "{}", path.display()),
            Err(RpcError::Server { code, message, .. }) => {
                let error = json!({"code": code, "message": message});
                assert_eq!(error, value["error"], "{}", path.display());
            }
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }
}

/// All that the servers said of sessions is known, and nothing falls under other words.
#[test]
fn every_captured_word_is_known() {
    let mut known = 0;
    for path in captures() {
        let method = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for (_, value) in captured_replies(&std::fs::read_to_string(&path).unwrap()) {
            let Ok(sentences) = serde_json::from_value::<Vec<String>>(value["result"].clone())
            else {
                continue;
            };
            for sentence in sentences {
                let id = sentence
                    .split(|c: char| !c.is_ascii_digit())
                    .find_map(|digits| digits.parse().ok())
                    .unwrap();
                // Answers to parameters that this client never sends.
                let odd = sentence.contains('[') || sentence.contains("group");
                let sentences = [sentence];
                let is_known = match method.as_str() {
                    "disconnect" => !matches!(
                        words::sort(&[id], &sentences, words::disconnected)[0].1,
                        Word::Other(_)
                    ),
                    "log" => !matches!(
                        words::sort(&[id], &sentences, words::logging)[0].1,
                        Word::Other(_)
                    ),
                    _ => continue,
                };
                assert_eq!(is_known, !odd, "{}: {sentences:?}", path.display());
                known += usize::from(is_known);
            }
        }
    }
    assert!(known > 40, "{known} words");
}
