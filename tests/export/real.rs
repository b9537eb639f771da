//! A real server, recorded and exported.

use serde_json::json;

use crate::duckdb::ask;
use crate::support::client::Client;
use crate::support::daemon::Daemon;
use crate::support::electrumx::Setup;
use crate::support::python::Release;
use crate::support::skipped;
use crate::support::warden::run;

const NAME: &str = "<b>\u{1b}[2J'\"";

#[test]
fn a_real_server() {
    if skipped() {
        return;
    }
    let daemon = Daemon::start(10);
    let server = Setup::new(Release::V2_0_0, &[daemon.url()])
        .without_cost_limits()
        .start();
    let clients: Vec<Client> = ["4.5.8", "4.5.8", NAME]
        .map(|name| server.client(name))
        .into();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let rpc = format!("127.0.0.1:{}", server.rpc_port());
    let (recording, tables) = (path("real.rec"), path("tables"));
    let ended = run(&[
        "record",
        "--rpc",
        &rpc,
        "--out",
        &recording,
        "--name",
        "real",
        "--interval",
        "1s",
        "--for",
        "3s",
    ]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = run(&["export", &recording, "--out", &tables]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let answers = ask(
        tables.as_ref(),
        &[
            "SELECT server, version, coin, daemon_height, db_height, bool_and(failure IS NULL) AS is_well,
                    bool_and(daemon IS NOT NULL AND pid > 0 AND uptime_s >= 0) AS is_told
             FROM polls GROUP BY ALL",
            "SELECT client, count(*) AS sessions, count(DISTINCT ip) AS addresses,
                    bool_and(port > 0 AND cost >= 0 AND requests >= 0) AS is_told
             FROM lives JOIN sessions USING (server, id, ip, port, client)
             WHERE polled_at = (SELECT max(polled_at) FROM polls)
             GROUP BY client ORDER BY client",
            "SELECT count(*) AS sessions FROM sessions WHERE transport = 'rpc' AND client = 'RPC'",
            "SELECT count(*) AS polls FROM polls",
        ],
    );
    let told = json!({"server": "real", "version": "ElectrumX 2.0.0", "coin": "BitcoinRegtest",
                      "daemon_height": 10, "db_height": 10, "is_well": true, "is_told": true});
    assert_eq!(answers[0], [told]);
    let client = |name: &str, sessions: u64| json!({"client": name, "sessions": sessions, "addresses": 1, "is_told": true});
    assert_eq!(answers[1], [client("4.5.8", 2), client(NAME, 1)]);
    let polls = answers[3][0]["polls"].as_u64().unwrap();
    assert!(polls >= 2, "{polls}");
    assert!(answers[2][0]["sessions"].as_u64().unwrap() >= polls);
    drop(clients);
}
