//! What is accepted, and every message.

use std::path::Path;

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;

fn checked(text: &str) -> Checked {
    Config::check(Source {
        name: "dir/warden.toml".to_owned(),
        text: text.to_owned(),
    })
}

/// The configuration, which must be without findings.
fn config(text: &str) -> Config {
    let told = report(text);
    assert_eq!(told, "");
    checked(text).config.unwrap()
}

/// The report as `check` prints it, without colours.
fn report(text: &str) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .with_links(false);
    let mut out = String::new();
    for diagnostic in &checked(text).diagnostics {
        handler.render_report(&mut out, diagnostic).unwrap();
        out.push('\n');
    }
    let lines: Vec<_> = out.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// The reports on several files, each of which must be refused.
fn reports(texts: &[&str]) -> String {
    let told = texts.iter().map(|text| {
        assert!(checked(text).config.is_none(), "{text}");
        report(text)
    });
    told.collect::<Vec<_>>().join("\n\n")
}

const LEAST: &str = "[server]\nrpc = '127.0.0.1:8000'\n";

#[test]
fn only_the_server_must_be_given() {
    let config = config(LEAST);
    assert_eq!(config.mode, Mode::DryRun);
    let server = &config.server;
    assert_eq!(server.rpc, "127.0.0.1:8000");
    assert_eq!(server.interval, Duration::from_secs(10));
    assert_eq!(server.inspect_max, 20);
    let (ours, own) = (
        server.client_options(),
        ClientOptions {
            // So that an outage is judged at every poll.
            backoff_max: server.interval,
            ..ClientOptions::new("127.0.0.1:8000")
        },
    );
    assert_eq!(format!("{ours:?}"), format!("{own:?}"));
    assert_eq!(config.policies.paths, [Path::new("dir/policies")]);
    assert_eq!(config.policies.list_entries_max, LIST_ENTRIES_DEFAULT);
    assert_eq!(config.subnet, SubnetWidths::default());
    assert_eq!(config.history, Bounds::default());
    assert!(!config.protection.covers("127.0.0.1".parse().ok(), ""));
    assert_eq!(config.limits, LimitsConfig::default());
    assert_eq!(
        config.journal.path,
        Path::new("dir/electrumx-warden.sqlite")
    );
    assert_eq!(config.journal.retention, Retention::default());
    assert_eq!(config.log, Log::default());
}

/// A configuration that shows the defaults shows them right.
fn shows_the_defaults(text: &str) {
    let (mut shown, mut default) = (config(text), config(LEAST));
    shown.policies.paths.clear();
    default.policies.paths.clear();
    assert_eq!(format!("{shown:#?}"), format!("{default:#?}"));
}

#[test]
fn the_example_and_the_document_show_every_key_with_its_default() {
    let example = include_str!("../../examples/electrumx-warden.toml");
    let document = include_str!("../../docs/configuration.md");
    let blocks = document.split("```toml\n").skip(1);
    let blocks: Vec<_> = blocks
        .filter_map(|block| block.split("```").next())
        .collect();
    let [block] = blocks[..] else {
        panic!("one block of TOML in docs/configuration.md");
    };
    for text in [example, block] {
        shows_the_defaults(text);
        shows_the_defaults_of_the_daemons(text);
        shows_the_defaults_of_the_canary(text);
        for key in KEYS {
            let is_key = |line: &str| line.split(['=', ' ']).next() == Some(key);
            assert!(text.lines().any(is_key), "{key}");
        }
    }
    for key in KEYS.iter().chain(DAEMON_KEYS).chain(&["ports", "connect"]) {
        assert!(document.contains(&format!("`{key}`")), "{key}");
    }
}

/// What stands as a comment without a blank, ready to be used.
fn uncommented(text: &str) -> String {
    text.lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => key,
            _ => line,
        })
        .flat_map(|line| [line, "\n"])
        .collect()
}

fn shows_the_defaults_of_the_canary(text: &str) {
    let shown = config(&uncommented(text)).canary;
    let default = format!("{LEAST}[canary]\nconnect = 'ssl://127.0.0.1:50002'\n");
    assert_eq!(shown, config(&default).canary);
    for key in ["#connect", "#timeout"] {
        let is_key = |line: &str| line.split(['=', ' ']).next() == Some(key);
        assert!(text.lines().any(is_key), "{key}");
    }
}

fn shows_the_defaults_of_the_daemons(text: &str) {
    let shown = config(&uncommented(text)).server.daemon.unwrap();
    let default =
        format!("{LEAST}[server.daemon]\nurls = {{ electrumx = '/etc/electrumx.conf' }}\n");
    let default = config(&default).server.daemon.unwrap();
    assert_eq!(shown.block_time, Some(Duration::from_mins(10)));
    assert_eq!(shown.propagation, Some(Duration::from_mins(12)));
    assert_eq!(shown.indexes, Some(vec!["txindex".into()]));
    let shown = Daemon {
        propagation: None,
        block_time: None,
        indexes: None,
        ..shown
    };
    assert_eq!(shown, default);
    for key in DAEMON_KEYS {
        let is_key = |line: &str| line.split(['=', ' ']).next() == Some(&format!("#{key}"));
        assert!(text.lines().any(is_key), "{key}");
    }
}

const DAEMON_KEYS: &[&str] = &[
    "urls",
    "interval",
    "timeout",
    "rise",
    "fall",
    "behind_max",
    "propagation",
    "preempt",
    "block_time",
    "indexes",
];

const KEYS: &[&str] = &[
    "mode",
    "rpc",
    "interval",
    "interval_min",
    "cost_share",
    "connect_timeout",
    "reply_timeout",
    "reply_size_max",
    "inspect_max",
    "paths",
    "list_entries_max",
    "v4",
    "v6",
    "sessions_max",
    "targets_max",
    "clients_max",
    "forget_after",
    "gap_max",
    "addresses",
    "clients",
    "disconnect",
    "ban",
    "disconnect_regulars",
    "log",
    "daemon_url",
    "alert",
    "half_life",
    "sinks",
    "share",
    "share_of_all",
    "window",
    "regulars_min",
    "reset",
    "path",
    "age_max",
    "size_max",
    "on",
    "pseudonymise",
    "format",
    "level",
];

#[test]
fn every_value_arrives() {
    let config = config(
        r#"
        mode = "enforce"
        [server]
        rpc = "[::1]:8001"
        name = "left"
        interval = "1m"
        interval_min = "2s"
        cost_share = "0.5%"
        connect_timeout = "1s"
        reply_timeout = "1m30s"
        reply_size_max = "1 MiB"
        inspect_max = 0
        sessions_max = 2_000
        [server.daemon]
        urls = { file = "daemons.txt" }
        interval = "1s"
        timeout = "1m"
        rise = 1
        fall = 1_000
        behind_max = 0
        propagation = "30s"
        preempt = false
        block_time = "2m30s"
        indexes = []
        [policies]
        paths = ["a.toml", "/etc/b"]
        list_entries_max = 0x10
        [subnet]
        v4 = 16
        v6 = 64
        [history]
        sessions_max = 1_000
        targets_max = 2_000
        clients_max = 3_000
        forget_after = "2d"
        gap_max = "3m"
        [protect]
        addresses = ["10.0.0.0/8", "2001:db8::7"]
        clients = ["^my-monitor/"]
        [limits]
        disconnect = { rate = "5/10m" }
        ban = { rate = "5/min", burst = 6 }
        disconnect_regulars = "4/h"
        log = { burst = 7 }
        daemon_url = "2/h"
        alert = {}
        [strikes]
        half_life = "6h"
        [ban]
        sinks = ["localrpc", "nftables", "command", "decisions", "crowdsec"]
        ports = [50_001, 50_002]
        command = ["/bin/ban", "{verb}", "{address}/{seconds}"]
        [ban.decisions]
        listen = "[::1]:8087"
        key = { file = "bouncer.key" }
        [ban.crowdsec]
        url = "https://[2001:db8::8]:8080"
        machine = "warden"
        password = { credential = "crowdsec" }
        [canary]
        connect = "ssl://[::1]:50002"
        timeout = "2s"
        [breaker]
        share = "12.5%"
        share_of_all = "25%"
        window = "1h"
        regulars_min = 9
        reset = "1d"
        [journal]
        path = "/var/lib/w.sqlite"
        age_max = "7d"
        size_max = "1 GiB"
        [record]
        on = false
        path = "/var/lib/r"
        age_max = "1d"
        size_max = "1 GiB"
        reserve = "64 MiB"
        pseudonymise = true
        [log]
        format = "json"
        level = "debug"
        "#,
    );
    insta::assert_debug_snapshot!(config);
}

#[test]
fn every_mistake_is_told_at_once() {
    insta::assert_snapshot!(report(
        r#"
mode = "on"
[server]
url = "127.0.0.1"
interval = "1m30"
connect_timeout = 5
reply_timeout = "11m"
reply_size_max = 64
inspect_max = "many"
[policies]
paths = []
[subnet]
v4 = 33
v6 = 4.8
[history]
gap_max = "5s"
session_max = 5
[protect]
address = []
addresses = ["10.0.0.1/8", "x", 5]
clients = ["(", "", "=~ ^mine/"]
[limits]
disconnect = { rate = "300", burst = 0, max = 1 }
log = { rate = "0/min" }
daemon_url = { rate = "3/d", burst = 1 }
alert = 5
[breaker]
share = "150%"
[journal]
path = ""
size_max = "2 TiB"
age_max = "90"
[record]
enabled = true
on = "yes"
size_max = "1 MiB"
reserve = "2 TiB"
pseudonymize = true
[log]
level = "warning"
format = "xml"
[journals]
"#
    ));
}

#[test]
fn where_the_slots_are_told() {
    let of = |slots: &str| {
        let config = config(&format!("{LEAST}sessions_max = {slots}\n"));
        config.server.sessions_max.unwrap()
    };
    assert_eq!(of("1_000"), SessionsMax::Number(1_000));
    assert_eq!(
        of("{ electrumx = '/etc/electrumx.conf' }"),
        SessionsMax::Electrumx("/etc/electrumx.conf".into())
    );
    let wrong = [
        "0",
        "'1000'",
        "1.5",
        "{}",
        "{ file = '/etc/x' }",
        "{ electrumx = 5 }",
    ];
    let wrong = wrong.map(|slots| format!("{LEAST}sessions_max = {slots}\n"));
    insta::assert_snapshot!(reports(&wrong.each_ref().map(String::as_str)));
}

#[test]
fn where_the_daemons_urls_are() {
    let at = |urls: &str| {
        let config = config(&format!("{LEAST}[server.daemon]\nurls = {urls}\n"));
        config.server.daemon.unwrap().source
    };
    assert_eq!(
        at("{ electrumx = '/etc/electrumx.conf' }"),
        DaemonSource::Electrumx("/etc/electrumx.conf".into())
    );
    assert_eq!(
        at("{ env = 'DAEMON_URL' }"),
        DaemonSource::Env("DAEMON_URL".into())
    );
    assert_eq!(
        at("{ file = 'daemons.txt' }"),
        DaemonSource::File("dir/daemons.txt".into())
    );
    assert_eq!(
        at("{ credential = 'daemon-urls' }"),
        DaemonSource::Credential("daemon-urls".into())
    );
    assert!(config(LEAST).server.daemon.is_none());
}

#[test]
fn what_is_wrong_with_the_daemons() {
    let sources = [
        "'http://user:secret@h:1'",
        "'secret'",
        "'http://user:se cret@h:1'",
        "['http://user:secret@h:1', 'user:secret@i:1']",
        "5",
        "{}",
        "{ env = 'A', file = 'b' }",
        "{ enviroment = 'A' }",
        "{ env = '$A' }",
        "{ env = 'user:secret@h' }",
        "{ env = 'user:secret' }",
        "{ electrumx = 'http://user:secret@h:1' }",
        "{ file = '' }",
        "{ credential = '/run/a' }",
        "{ credential = '..' }",
    ]
    .map(|urls| format!("{LEAST}[server.daemon]\nurls = {urls}\n"));
    let mut texts: Vec<_> = sources.iter().map(String::as_str).collect();
    let others = [
        "daemon = 5\n",
        "[server.daemon]\nurl = { env = 'A' }\n",
        "[server.daemon]\n",
        "[server.daemon]\nurls = { env = 'A' }\ninterval = '1ms'\ntimeout = '2m'\nrise = 0\n\
         fall = 1_001\nbehind_max = 101\npreempt = 'yes'\nblock_time = '2d'\n\
         indexes = ['txindex', 'TxIndex', 5]\ndeadline = '1s'\n",
        "[server.daemon]\nurls = { env = 'A' }\n\
         indexes = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i']\n",
        "[server.daemon]\nurls = \n[log]\nlevel = 'loud'\n",
    ]
    .map(|rest| format!("{LEAST}{rest}"));
    texts.extend(others.iter().map(String::as_str));
    let told = reports(&texts);
    assert!(!told.contains("secret"), "{told}");
    insta::assert_snapshot!(told);
}

#[test]
fn where_the_canary_goes() {
    let texts = [
        "connect = '127.0.0.1:50001'",
        "connect = 'wss://127.0.0.1:50004'",
        "connect = 'tcp://127.0.0.1'",
        "connect = 'tcp://:50001'",
        "connect = 50_001",
        "connect = {}",
        "connect = { electrumx = 5 }",
        "connect = { env = 'SERVICES' }",
        "address = 'tcp://127.0.0.1:50001'",
        "timeout = '2m'",
        "connect = 'tcp://127.0.0.1:50001'\ntimeout = 5",
    ]
    .map(|rest| format!("{LEAST}[canary]\n{rest}\n"));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    insta::assert_snapshot!(reports(&texts));
    let canary = |rest: &str| {
        config(&format!("{LEAST}[canary]\n{rest}\n"))
            .canary
            .unwrap()
    };
    let tcp = canary("connect = 'tcp://127.0.0.1:50001'").connect;
    assert_eq!(tcp.read().unwrap().to_string(), "tcp://127.0.0.1:50001");
    assert_eq!(
        canary("connect = { electrumx = '/etc/electrumx.conf' }").connect,
        CanarySource::Electrumx("/etc/electrumx.conf".into())
    );
    assert_eq!(config(LEAST).canary, None);
}

#[test]
fn the_canary_goes_where_the_servers_services_are() {
    let folder = tempfile::tempdir().unwrap();
    let (file, envdir) = (
        folder.path().join("electrumx.conf"),
        folder.path().join("env"),
    );
    std::fs::create_dir(&envdir).unwrap();
    let read = |path: &std::path::Path| {
        let read = CanarySource::Electrumx(path.to_owned()).read();
        let told = |error: CanarySourceError| {
            let error = error.to_string();
            error.replace(&*folder.path().to_string_lossy(), "DIR")
        };
        read.map_or_else(told, |destination| destination.to_string())
    };
    let mut told = vec![read(&file), read(&envdir)];
    for services in ["tcp://:50001,ssl://:50002,rpc://", "rpc://", "tcp://:port"] {
        std::fs::write(&file, format!("COIN=Bitcoin\nSERVICES = {services}\n")).unwrap();
        std::fs::write(envdir.join("SERVICES"), format!("{services}\n")).unwrap();
        told.extend([read(&file), read(&envdir)]);
    }
    std::fs::write(&file, "COIN=Bitcoin\n").unwrap();
    told.push(read(&file));
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn where_bans_take_hold() {
    let texts = [
        "sinks = ['nftables']",
        "sinks = 'localrpc'",
        "sinks = ['nftable', 5, 'localrpc']\nports = []",
        "sinks = ['nftables']\nports = [0, 65_536, '50001', 50_001]",
        "sinks = ['nftables']\nports = 50_001",
        "sink = ['nftables']",
        "sinks = ['command', 'nftables']",
        "command = ['ban', '{verb}', '{address}']",
        "command = ['/b', '{verb}', '{addres}']",
        "command = ['/b', '{verb}', '{shoe}', '{address}']",
        "command = ['/b', '{verb}']",
        "command = ['/b', '{address}']",
        "command = ['/{policy}', '{verb}', '{address}']",
        "command = ['/b', \"\\u0000\"]",
        "command = ['/b', 5]",
        "command = '/b {address}'",
        "program = []",
        "command = []",
        "sinks = ['decisions']",
        "decisions = true",
        "sinks = ['decisions']\n[ban.decisions]",
        "[ban.decisions]\nlisten = '0.0.0.0:8087'\nkey = 's3cret'",
        "[ban.decisions]\nlisten = 'localhost:8087'\nkey = {}",
        "[ban.decisions]\nlisten = '127.0.0.1:0'\nkey = { path = 'k' }",
        "[ban.decisions]\nlisten = 8087\nkey = { file = 'k', env = 'K' }",
        "[ban.decisions]\nlisten = '[::1]:8087'\nkey = { env = 's3cret!' }",
        "[ban.decisions]\napi_key = { credential = '/s3cret' }",
        "sinks = ['crowdsec']",
        "sinks = ['crowdsec']\n[ban.crowdsec]",
        "[ban.crowdsec]\nurl = 'http://u:s3cret@h'\nmachine = ''\npassword = 's3cret'",
        "[ban.crowdsec]\nurl = '127.0.0.1:8080'\nmachine_id = 'w'\npassword = { env = 'P' }",
    ]
    .map(|rest| format!("{LEAST}[ban]\n{rest}\n"));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    insta::assert_snapshot!(reports(&texts));
    let ban = |rest: &str| config(&format!("{LEAST}[ban]\n{rest}\n")).ban;
    assert_eq!(ban("sinks = []").nftables, None);
    assert_eq!(
        ban("ports = [50_001]").nftables,
        None,
        "they may stand ready"
    );
    let ports = Ports::new([50_001, 50_002]).unwrap();
    let nftables = ban("sinks = ['nftables']\nports = [50_001, 50_002]").nftables;
    assert_eq!(nftables, Some(Nftables { ports }));
    let words = "command = ['/bin/ban', '{verb}', '{address}']";
    assert_eq!(ban(words).command, None, "it may stand ready");
    let line = CommandLine::parse(&["/bin/ban", "{verb}", "{address}"]).ok();
    assert_eq!(ban(&format!("sinks = ['command']\n{words}")).command, line);
    let table = "[ban.crowdsec]\nurl = 'http://h:8080/x'\nmachine = 'w'\npassword = { env = 'P' }";
    assert_eq!(ban(table).crowdsec, None, "it may stand ready");
    let crowdsec = ban(&format!("sinks = ['crowdsec']\n{table}")).crowdsec;
    assert_eq!(crowdsec.unwrap().url.as_str(), "http://h:8080/x/");
    let table = "[ban.decisions]\nlisten = '127.0.0.1:8087'\nkey = { env = 'KEY' }";
    assert_eq!(ban(table).decisions, None, "it may stand ready");
    let decisions = ban(&format!("sinks = ['decisions']\n{table}")).decisions;
    let listen = "127.0.0.1:8087".parse().unwrap();
    let key = SecretSource::Env("KEY".into());
    assert_eq!(decisions, Some(Decisions { listen, key }));
}

#[test]
fn tables_at_the_wrong_place() {
    let tables = ["daemon", "daemons", "proxy"];
    let mut texts = Vec::from(tables.map(|key| format!("{LEAST}[{key}]\nrise = 5\n")));
    texts.push(format!("{LEAST}mode = 'enforce'\n"));
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    insta::assert_snapshot!(reports(&texts));
}

#[test]
fn where_the_server_is() {
    let servers = [
        "127.0.0.1",
        "rpc://127.0.0.1:8000",
        "::1",
        "[::1]",
        ":8000",
        "h:0",
        "h:99999",
        "h:+1",
        "user:secret@h:8000",
        "two words:8000",
        "",
    ]
    .map(|rpc| format!("[server]\nrpc = '{rpc}'\n"));
    let mut texts: Vec<_> = servers.iter().map(String::as_str).collect();
    texts.extend(["", "[server]\n", "server = 5\n", "[server]\nrpc = 8000\n"]);
    let told = reports(&texts);
    assert!(!told.contains("secret"));
    insta::assert_snapshot!(told);
}

#[test]
fn broken_syntax_hides_no_mistake_elsewhere() {
    insta::assert_snapshot!(reports(&[
        "[server]\nrpc = 127.0.0.1:8000\n[log]\nlevel = 'loud'\n",
        "[server]\nrpc = '127.0.0.1:8000'\n[log\nlevel = 'loud'\n",
        "[server]\nrpc = '127.0.0.1:8000'\ninterval = '1s'\ninterval = '2s'\n",
    ]));
}

#[test]
fn values_without_quotes() {
    let values = [
        "127.0.0.1:8000",
        "[::1]:8000",
        "2001:db8::1",
        "localhost:8000 # here",
        "10s",
        "1.5h",
        "25%",
        "0.5%",
        "64 MiB",
        "/var/lib/w.sqlite",
        "10.0.0.0/8",
        "info",
        "https://h/",
        "http://user:se#cret@h",
        "True",
        "1_",
        "",
    ];
    let told = values.map(|value| {
        let text = format!("[server]\nrpc = {value}\n");
        let findings = checked(&text).diagnostics;
        let first = &findings[0];
        assert_eq!(first.code(), "config::syntax", "{value}");
        assert_eq!(first.line_column().unwrap().0, 2, "{value}");
        let underlined = first.underlined().unwrap_or_default();
        format!(
            "{underlined}\n  {first}: {}\n",
            first.advice().unwrap_or_default()
        )
    });
    let told = told.concat();
    assert!(!told.contains("`\"http://"), "{told}");
    insta::assert_snapshot!(told);
}

#[test]
fn a_table_stands_once() {
    insta::assert_snapshot!(report(&format!("{LEAST}[log]\n[server]\nname = 'left'\n")));
}

#[test]
fn policies_and_their_tests_are_not_taken_for_a_configuration() {
    let told = reports(&[
        "[[policy]]\nname = 'p'\n",
        "[lists]\na = []\n",
        "[[test]]\nname = 't'\n[[test.policy]]\n",
        &format!("{LEAST}[[policy]]\nname = 'p'\n"),
    ]);
    insta::assert_snapshot!(told);
    assert!(checked("[[policy]]\nname = 'p'\n").policies.is_none());
}

#[test]
fn bare_numbers_are_told_with_their_unit() {
    let values = [
        "[breaker]\nshare = 10\n",
        "[breaker]\nshare = 0.1\n",
        "[breaker]\nshare = true\n",
        "[journal]\nsize_max = 64\n",
        "[journal]\nage_max = 90\n",
        "[history]\ngap_max = 1.5\n",
        "[limits]\ndisconnect = '40/min'\n",
        "[limits]\ndisconnect = 40\n",
        "[limits]\ndisconnect = 'many'\n",
    ];
    let told = values.map(|value| {
        let text = format!("{LEAST}{value}");
        let [finding] = &checked(&text).diagnostics[..] else {
            panic!("one finding: {text}");
        };
        assert_eq!(finding.code(), "config::wrong_type", "{value}");
        assert_eq!(finding.line_column().unwrap().0, 4, "{value}");
        format!("{value}  {finding}: {}\n", finding.advice().unwrap())
    });
    insta::assert_snapshot!(told.concat());
}

#[test]
fn a_long_interval_needs_a_longer_gap() {
    let told = report(&format!("{LEAST}interval = '5m'\n"));
    assert!(
        told.contains("it is at least three times the interval of 5m"),
        "{told}"
    );
    config(&format!(
        "{LEAST}interval = '5m'\n[history]\ngap_max = '15m'\n"
    ));
}

#[test]
fn the_shortest_interval_is_not_longer_than_the_interval() {
    let told = report(&format!("{LEAST}interval = '5s'\ninterval_min = '6s'\n"));
    assert!(told.contains("it is at most the interval of 5s"), "{told}");
    let told = report(&format!(
        "{LEAST}interval_min = '20ms'\ncost_share = '0%'\n"
    ));
    assert!(told.contains("`interval_min`"), "{told}");
    assert!(told.contains("it is above 0% and at most 100%"), "{told}");
    let least = config(&format!("{LEAST}interval = '1s'\n"));
    assert_eq!(least.server.interval_min, Duration::from_secs(1));
}

#[test]
fn policies_are_found_in_spite_of_errors_elsewhere() {
    let checked = checked("[policies]\npaths = ['p']\n");
    assert!(checked.config.is_none());
    assert_eq!(checked.policies.unwrap().paths, [Path::new("dir/p")]);
}
