//! Test files as users write them: what is accepted, every message, and what comes of playing them.

use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;
use crate::config::{self, Config};
use crate::policy::{self, Source};

/// What stands beside a test file, in memory.
struct Shelf<'f>(&'f [(&'f str, &'f str)]);

impl Shelf<'_> {
    fn source(&self, path: &Path) -> Option<Source> {
        let name = path.to_str().unwrap();
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| Source {
            name: name.to_owned(),
            text: (*text).to_owned(),
        })
    }
}

impl Beside for Shelf<'_> {
    fn policies(&mut self, paths: &[PathBuf], entries_max: usize) -> policy::Checked {
        let sources = paths.iter().filter_map(|path| self.source(path)).collect();
        policy::check_within(sources, &mut |_| Ok(String::new()), entries_max)
    }

    fn config(&mut self, path: &Path) -> config::Checked {
        Config::check(self.source(path).unwrap())
    }
}

fn checked(text: &str, others: &[(&str, &str)]) -> Checked {
    let source = Source {
        name: "p.test.toml".into(),
        text: text.into(),
    };
    check(source, &mut Shelf(others))
}

/// The report as `test` prints it, without colours.
fn report(text: &str, others: &[(&str, &str)]) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .with_links(false);
    let mut out = String::new();
    for diagnostic in checked(text, others).diagnostics {
        handler.render_report(&mut out, &diagnostic).unwrap();
        out.push('\n');
    }
    let lines: Vec<_> = out.lines().map(str::trim_end).collect();
    lines.join("\n")
}

const POLICIES: &str = r#"
[[policy]]
name = "hoarder"
scope = "session"
when = { subs = "> 100" }
for = "10s"
action = "disconnect"
cooldown = "1m"

[[policy]]
name = "busy-subnet"
scope = "subnet"
when = { sessions = "> 2" }
action = "alert"

[[policy]]
name = "lagging"
scope = "server"
when = { height_lag = "> 2" }
action = "alert"

[[policy]]
name = "named"
scope = "client"
when = { client = "bad" }
action = "disconnect"
"#;

/// The tests of a text, which must be without findings.
fn trials(text: &str) -> Vec<Trial> {
    let others = [("p.toml", POLICIES)];
    assert_eq!(report(text, &others), "", "{text}");
    checked(text, &others).trials
}

/// What came of a test, row by row.
fn played(body: &str) -> String {
    let text = format!("[[test]]\nname = 'x'\n{body}");
    let trials = trials(&text);
    let rows = trials[0].run().rows.into_iter().map(|row| {
        let event = |it: &Happened| {
            let by = it.held_back().unwrap_or("acts");
            let at_s = it.at.as_secs();
            format!("{at_s} {} {} {by}", it.decision.policy, it.target)
        };
        match &row {
            Row::Met(_, it) => format!("= {}", event(it)),
            Row::Otherwise(_, it, _) => format!("! {}", event(it)),
            Row::Unexpected(it) => format!("+ {}", event(it)),
            Row::Missing(it, why) => {
                let why = format!("{why:?}");
                let why = why.split([' ', '{', '(']).next().unwrap();
                format!("- {} {} {} {why}", it.at.as_secs(), it.policy, it.target)
            }
        }
    });
    rows.collect::<Vec<_>>().join("\n")
}

#[test]
fn every_policy_that_ships_has_tests_which_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let loaded = load(&[folder]);
    let told: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(told, [""; 0]);
    let results: Vec<Comparison> = loaded.trials.iter().map(Trial::run).collect();
    for (trial, result) in loaded.trials.iter().zip(&results) {
        assert!(result.is_ok(), "{}: {result:#?}", trial.name);
    }
    let shipped = crate::policy::shipped().set.unwrap().policies;
    let played = loaded.trials.iter().zip(&results);
    assert_eq!(untested(&shipped, &played), []);
}

#[test]
fn a_policy_that_is_not_there_is_one_error() {
    let text = "[[test]]
name = 'x'
only = ['hoarder', 'busy-subnets']
session = [{ peer = '203.0.113.7', subs = '5' }]

[[test.expect]]
policy = 'busy-subnet'
target = '203.0.113.0/24'
at = '0s'

[[test.expect]]
policy = 'hoarder'
target = '203.0.113.7'
at = '0s'
";
    insta::assert_snapshot!(report(text, &[("p.toml", POLICIES)]), @r"
    test::unknown_word

      × unknown policy `busy-subnets`
       ╭─[p.test.toml:3:20]
     2 │ name = 'x'
     3 │ only = ['hoarder', 'busy-subnets']
       ·                    ──────────────
     4 │ session = [{ peer = '203.0.113.7', subs = '5' }]
       ╰────
      help: did you mean `busy-subnet`?
    ");
}

/// When a policy with a backoff decides on a hoarder, if that comes out as `acts` says.
fn decided_by(acts: &str) -> Vec<u64> {
    let policy = "[[policy]]
name = 'p'
scope = 'session'
when = { subs = '> 100' }
for = '20s'
action = 'disconnect'
cooldown = '1m'
backoff = { max = '10m', reset = '1h' }
";
    let text = format!(
        "[[test]]
name = 'x'
polls = 31
{acts}
session = [{{ peer = '203.0.113.7', subs = '200' }}]
expect = []
"
    );
    let others = [("p.toml", policy)];
    assert_eq!(report(&text, &others), "");
    let rows = checked(&text, &others).trials[0].run().rows;
    rows.iter().map(|row| row.at().as_secs()).collect()
}

#[test]
fn acts_come_out_as_is_written() {
    // A minute apart, for the cooldown.
    assert_eq!(decided_by(""), [20, 80, 140, 200, 260]);
    assert_eq!(decided_by("acts = 'done'"), [20, 80, 140, 200, 260]);
    // After a failure it waits for 40 s, then for 80 s and for 160 s.
    assert_eq!(decided_by("acts = 'fail'"), [20, 80, 160]);
    assert_eq!(decided_by("acts = 'fail x3 done'"), [20, 80, 140, 200, 260]);
    // What was never asked for has no cooldown and is no failure.
    assert_eq!(
        decided_by("acts = 'unsent x4 done'"),
        [20, 30, 40, 50, 110, 170, 230, 290]
    );
    let text = "[[test]]\nname = 'x'\nexpect = []\nacts = 'done x5 fails'\n";
    insta::assert_snapshot!(report(text, &[("p.toml", POLICIES)]), @r"
    test::bad_value

      × unknown outcome `fails`
       ╭─[p.test.toml:4:17]
     3 │ expect = []
     4 │ acts = 'done x5 fails'
       ·                 ─────
       ╰────
      help: did you mean `fail`?
    ");
}

/// Who comes back because it was disconnected is no newcomer; who does so where nothing was done is.
#[test]
fn acts_are_no_evidence() {
    let policy = "[[policy]]
name = 'p'
scope = 'session'
when = { subs = '> 100' }
action = 'disconnect'
cooldown = '0s'

[[policy]]
name = 'coming'
scope = 'address'
when = { new_sessions = '> 2' }
window = '1m'
action = 'alert'
cooldown = '1h'
";
    let alerts = |acts: &str| {
        let text = format!(
            "[[test]]
name = 'x'
{acts}
session = [{{ peer = '203.0.113.7', subs = '200x8 / 200 / 200 / 200 / 200 / 200' }}]
expect = []
"
        );
        let others = [("p.toml", policy)];
        assert_eq!(report(&text, &others), "");
        let report = checked(&text, &others).trials[0].run();
        let rows = report.rows.iter().map(|row| format!("{row:?}"));
        rows.filter(|row| row.contains("coming")).count()
    };
    assert_eq!(alerts(""), 1);
    assert_eq!(alerts("acts = 'unsent'"), 1);
    assert_eq!(alerts("acts = 'done'"), 0);
}

/// A server that says yes and does not go is a failure too.
#[test]
fn a_change_of_daemon_that_comes_to_nothing_waits() {
    let policy = "[[policy]]
name = 'p'
scope = 'server'
when = { height_lag = '>= 0' }
for = '20s'
action = { daemon_url = { to = 'primary' } }
cooldown = '0s'
backoff = { max = '10m', reset = '1h' }
limit = '100/d'
";
    let daemon = |host: u8| format!("{{ address = '10.0.0.{host}:8332', height = '800_000' }}");
    let text = format!(
        "[[test]]
name = 'x'
polls = 31
acts = 'done'
server = {{ daemon = '10.0.0.2:8332' }}
daemon = [{}, {}]
expect = []
",
        daemon(1),
        daemon(2)
    );
    let others = [("p.toml", policy)];
    assert_eq!(report(&text, &others), "");
    let rows = checked(&text, &others).trials[0].run().rows;
    let at: Vec<u64> = rows.iter().map(|row| row.at().as_secs()).collect();
    // Within a minute the server must name it; then it waits for twice as long.
    assert_eq!(at, [110, 210]);
}

const HOARDER: &str = "session = [{ peer = '203.0.113.7', subs = '5x2 200x9' }]\n";

#[test]
fn what_comes_is_compared_with_what_is_expected() {
    let hoarder = |expect: &str| {
        let expect = expect.replace("HIM", "policy = 'hoarder', target = '203.0.113.7'");
        format!("{HOARDER}expect = [{expect}]")
    };
    let subnet = |peer: &str, expect: &str| {
        format!(
            "only = 'busy-subnet'\npolls = 2\nsession = [{{ peer = '{peer}' }}]\nexpect = [{expect}]"
        )
    };
    let cases = [
        (
            "as expected",
            hoarder("{ HIM, at = '40s' }, { HIM, at = '1m40s' }"),
        ),
        ("one is too many", hoarder("{ HIM, at = '40s' }")),
        ("nothing must come", hoarder("")),
        (
            "one comes later",
            hoarder("{ HIM, at = '30s' }, { HIM, at = '1m40s' }"),
        ),
        (
            "not due yet",
            hoarder("{ HIM, at = '40s' }, { HIM, at = '1m40s' }, { HIM, at = '20s' }"),
        ),
        (
            "held back",
            hoarder(
                "{ HIM, at = '40s' }, { HIM, at = '1m40s' }, { HIM, at = '50s', held_back = 'cooldown' }",
            ),
        ),
        (
            "held back otherwise",
            hoarder(
                "{ HIM, at = '40s' }, { HIM, at = '1m40s' }, { HIM, at = '50s', held_back = 'breaker' }",
            ),
        ),
        (
            "the number of sessions is wrong",
            hoarder("{ HIM, at = '40s', sessions = 2 }"),
        ),
        (
            "never",
            format!("polls = 3\nexpect = [{{ policy = 'lagging', at = '10s' }}]\n{HOARDER}"),
        ),
        (
            "a poll failed",
            format!(
                "missed = [1]\nexpect = [{{ policy = 'lagging', at = '10s' }}]\n{}",
                HOARDER.replace("200x9", "9")
            ),
        ),
        (
            "a subnet",
            subnet(
                "203.0.113.{1..3}",
                "{ policy = 'busy-subnet', target = '203.0.113.0/24', at = '0s' }",
            ),
        ),
        (
            "another subnet",
            subnet(
                "203.0.113.{1..3}",
                "{ policy = 'busy-subnet', target = '203.0.112.0/24', at = '0s' }",
            ),
        ),
        (
            "a client",
            "only = 'named'\nsession = [{ peer = '203.0.113.7', client = 'bad' }]\n\
                      expect = [{ policy = 'named', target = 'bad', at = '0s' }]"
                .to_owned(),
        ),
        (
            "protected",
            "only = 'named'\nsession = [{ peer = '203.0.113.7', client = 'bad' }]\n\
                       expect = [{ policy = 'named', target = 'bad', at = '0s', \
                       held_back = 'protection' }]"
                .to_owned(),
        ),
    ];
    let told = cases.map(|(name, body)| format!("{name}\n{}", played(&body)));
    insta::assert_snapshot!(told.join("\n\n"));
}

/// Policies that show what a session looks like to the core: each alerts at every poll.
fn seen(script: &str, field: &str, scope: &str) -> String {
    let policies = format!(
        "[[policy]]\nname = 'p'\nscope = '{scope}'\nwhen = {{ {field} = '>= 0' }}\n\
         action = 'alert'\ncooldown = '0s'\nwindow = '10s'\n"
    );
    let text = format!("[[test]]\nname = 'x'\nexpect = []\n{script}");
    let others = [("p.toml", &*policies)];
    assert_eq!(report(&text, &others), "", "{text}");
    let happened = play(&checked(&text, &others).trials[0]);
    let shown = happened.iter().map(|it| {
        let seen = match &it.decision.evidence[0].seen {
            crate::decision::Seen::Number(number) => number.to_string(),
            other => format!("{other:?}"),
        };
        let id = match &it.decision.target {
            crate::decision::Target::Session(session) => format!("#{} ", session.id),
            _ => String::new(),
        };
        format!("{}s {id}{seen}", it.at.as_secs())
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn sessions_do_what_is_written() {
    let session = |keys: &str| format!("session = [{{ peer = '203.0.113.7', {keys} }}]");
    for (keys, field, expected) in [
        ("subs = '1x1 5'", "subs", "0s #0 1, 10s #0 1, 20s #0 5"),
        // The last sample stays, and a gap is a goodbye.
        ("subs = '1 _ 2'", "subs", "0s #0 1, 20s #2 2"),
        ("subs = '1 / 2'", "subs", "0s #0 1, 10s #2 2"),
        ("subs = '1 2', requests = '1 _'", "subs", "0s #0 1"),
        // Old when it was there before, and half an interval when it comes.
        ("subs = '1 _ 2x1'", "age", "0s #0 3600, 20s #2 5, 30s #2 15"),
        ("subs = '_ 1', age = '1m'", "age", "10s #1 60"),
        (
            "sent_size = '500+100x2'",
            "sent_rate",
            "10s #0 10, 20s #0 10",
        ),
        // What it did before it was seen first was done since the poll before.
        (
            "sent_size = '_ 500 600'",
            "sent_rate",
            "10s #1 50, 20s #1 10",
        ),
        // An error costs 100, unless the costs are told.
        ("errors = '0+2x2'", "cost_rate", "10s #0 20, 20s #0 20"),
        (
            "errors = '0+2x2', cost = 5",
            "cost",
            "0s #0 5, 10s #0 5, 20s #0 5",
        ),
    ] {
        assert_eq!(seen(&session(keys), field, "session"), expected, "{keys}");
    }
    let methods = "release = '2.0'\n".to_owned()
        + &session("errors = '0+2x2', requests = '5+5x2', methods = { a = '0+4x2' }");
    assert_eq!(
        seen(&methods, "requests.a", "session"),
        "10s #0 4, 20s #0 8"
    );
    assert_eq!(
        seen(&methods, "error_share", "session"),
        "10s #0 0.2, 20s #0 0.26666666666666666"
    );
}

#[test]
fn the_server_does_what_is_written() {
    let session =
        "session = [{ peer = '203.0.113.{1..3}', sent_size = '500+100x3', errors = '0+1x3' }]";
    for (more, field, scope, expected) in [
        // The agent's own connection is one too.
        ("", "sessions", "server", "0s 4, 10s 4, 20s 4, 30s 4"),
        ("", "errors", "server", "0s 0, 10s 3, 20s 6, 30s 9"),
        (
            "server.errors = 7\n",
            "errors",
            "server",
            "0s 7, 10s 7, 20s 7, 30s 7",
        ),
        (
            "server.daemon_height = '5+1x3'\n",
            "db_height",
            "server",
            "0s 5, 10s 6, 20s 7, 30s 8",
        ),
        (
            "server.rpc_latency = '0s 20ms'\n",
            "rpc_latency",
            "server",
            "0s 0, 10s 0.02, 20s 0.02, 30s 0.02",
        ),
        (
            "server.uptime = '1h'\n",
            "uptime",
            "server",
            "0s 3600, 10s 3610, 20s 3620, 30s 3630",
        ),
        // A poll that fails is missing, and what happened meanwhile is not.
        (
            "missed = [1]\n",
            "sent_size",
            "address",
            "0s 500, 0s 500, 0s 500, 20s 700, 20s 700, 20s 700, 30s 800, 30s 800, 30s 800",
        ),
        // After a restart everything counts from 0, and goes on as it went.
        (
            "restarts = [2]\n",
            "sent_size",
            "subnet",
            "0s 1500, 10s 1800, 20s 300, 30s 600",
        ),
        (
            "restarts = [2]\n",
            "uptime",
            "server",
            "0s 2592000, 10s 2592010, 20s 10, 30s 20",
        ),
        ("", "sessions", "group", "0s 3, 10s 3, 20s 3, 30s 3"),
        (
            "release = '1.6'\n",
            "sessions",
            "group",
            "0s 3, 10s 3, 20s 3, 30s 3",
        ),
    ] {
        let script = format!("{more}{session}");
        assert_eq!(seen(&script, field, scope), expected, "{more}{field}");
    }
}

#[test]
fn ports_are_given_out_one_by_one() {
    let text = "[[test]]\nname = 'x'\nexpect = []\nsession = [\n\
                { peer = '203.0.113.7', count = 3 }, { peer = '203.0.113.7:50002' },\n\
                { peer = '2001:db8::{1..2}' }, { peer = 'unknown' } ]\n";
    let trial = &trials(text)[0];
    let peers = trial
        .script
        .sessions
        .iter()
        .flat_map(|sessions| &sessions.peers);
    let peers: Vec<String> = peers.map(ToString::to_string).collect();
    assert_eq!(
        peers,
        [
            "203.0.113.7:50001",
            "203.0.113.7:50003",
            "203.0.113.7:50004",
            "203.0.113.7:50002",
            "[2001:db8::1]:50001",
            "[2001:db8::2]:50001",
            "unknown",
        ]
    );
}

#[test]
fn a_test_is_as_long_as_its_longest_series() {
    for (more, polls) in [
        ("", 1),
        ("polls = 7", 7),
        ("session = [{ peer = '203.0.113.7', subs = '1x4' }]", 5),
        (
            "session = [{ peer = '203.0.113.7', subs = '1x4' }]\npolls = 2",
            2,
        ),
        ("server.errors = '1x9'", 10),
        (
            "daemon = [{ address = 'a:1', height = '5x3', state = 'healthy x7' }]",
            8,
        ),
        ("missed = ['3..5']", 6),
        ("restarts = [2]", 3),
    ] {
        let text = format!("[[test]]\nname = 'x'\nexpect = []\n{more}");
        assert_eq!(trials(&text)[0].script.polls, polls, "{more}");
    }
}

#[test]
fn a_configuration_says_how_it_is_judged() {
    let config = "mode = 'dry-run'\n[server]\nrpc = '127.0.0.1:1'\ninterval = '20s'\n\
                  [protect]\naddresses = ['203.0.113.7']\n";
    let text = "config = 'agent.toml'\n[[test]]\nname = 'x'\n\
                session = [{ peer = '203.0.113.7', subs = '200x2' }]\n\
                expect = [{ policy = 'hoarder', target = '203.0.113.7', at = '20s', \
                held_back = 'protection' }]\n";
    let others = [("p.toml", POLICIES), ("agent.toml", config)];
    assert_eq!(report(text, &others), "");
    let trials = checked(text, &others).trials;
    assert!(trials[0].run().is_ok(), "{:#?}", trials[0].run());
    let own = text.replace(
        "config = 'agent.toml'\n",
        "protect = { addresses = ['203.0.113.0/24'] }\n",
    );
    let trials = checked(&own, &others).trials;
    let rows = trials[0].run().rows;
    assert!(
        matches!(rows[..], [Row::Otherwise(..)]),
        "held back at 10s: {rows:#?}"
    );
}

#[test]
fn what_cannot_be_judged_is_told() {
    let text =
        "[[test]]\nname = 'x'\nexpect = []\nonly = 'p'\nsession = [{ peer = '203.0.113.7' }]\n";
    let policy = "[[policy]]\nname = 'p'\nscope = 'session'\nwhen = { sent_rate = '> 5 B/s' }\n\
                  action = 'alert'\n";
    let judged = |text: &str| {
        let trials = checked(text, &[("p.toml", policy)]).trials;
        trials[0].run().unjudged
    };
    let secs = Duration::from_secs;
    let short = Unjudged::Short(Short {
        ends: secs(0),
        covered: Some(secs(60)),
        held: None,
        polls: 7,
    });
    assert_eq!(judged(text), [("p".into(), short)]);
    assert_eq!(judged(&format!("{text}polls = 20\n")), []);
    let short = "[[test]]\nname = 'x'\nexpect = []\nonly = 'hoarder'\n";
    let unjudged = |polls| {
        trials(&format!("{short}polls = {polls}\n"))[0]
            .run()
            .unjudged
    };
    let crowd = "[[test]]\nname = 'x'\nexpect = []\nonly = 'named'\n\
                 session = [{ peer = '203.0.113.{1..60}', client = 'bad' }]\n";
    let held_back = trials(crowd)[0].run().unjudged;
    assert_eq!(held_back, [("named".into(), Unjudged::HeldBack("breaker"))]);
    let short = Unjudged::Short(Short {
        ends: secs(0),
        covered: None,
        held: Some(secs(10)),
        polls: 2,
    });
    assert_eq!(unjudged(1), [("hoarder".into(), short)]);
    assert_eq!(unjudged(2), []);
}

#[test]
fn tests_of_both_kinds_are_asked_for() {
    let lacks = |text: &str| {
        let trials = trials(text);
        let results: Vec<Comparison> = trials.iter().map(Trial::run).collect();
        let policies = crate::scene::policies(POLICIES).policies;
        let untested = untested(&policies, &trials.iter().zip(&results)).into_iter();
        let lacks = |it: Untested| format!("{} {} {}", it.policy, it.never_fires, it.never_spares);
        untested.map(lacks).collect::<Vec<_>>()
    };
    let quiet = "[[test]]\nname = 'q'\nexpect = []\n";
    let all = [
        "hoarder true true",
        "busy-subnet true true",
        "lagging true true",
        "named true true",
    ];
    assert_eq!(
        lacks(quiet),
        all,
        "a test of none in particular is one of none"
    );
    let mut text = format!("{quiet}only = ['lagging', 'named']\n");
    let others = ["hoarder true true", "busy-subnet true true"];
    assert_eq!(lacks(&text)[..2], others);
    assert_eq!(
        lacks(&text)[2..],
        ["lagging true false", "named true false"]
    );
    text += "[[test]]\nname = 'f'\nonly = ['lagging', 'named']\n\
             server = { daemon_height = 9, db_height = 1 }\n\
             expect = [{ policy = 'lagging', at = '0s' }]\n";
    assert_eq!(lacks(&text)[2..], ["named true false"]);
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let others = [("p.toml", POLICIES)];
    let cases = [
        // The file.
        "",
        "[[test]\n",
        "[[policy]]\nname = 'x'\n",
        "tests = []\n[[test]]\nname = 'a'\nexpect = []\n[[test]]\nname = 'a'\nexpect = []\nsesions = 1\n",
        "test = 5\n",
        "[test]\nname = 'a'\n",
        "policies = []\ninterval = 10\nrelease = '0.5'\n[[test]]\nname = ''\n",
        // A test.
        "[[test]]\nname = 'a'\npolls = 0\nmissed = [1, 'x', '5..2']\nrestarts = 3\ninterval = '5m'\nexpect = []\nonly = ['hoader']\n",
        // Sessions.
        "[[test]]\nname = 'a'\nexpect = []\n[[test.session]]\nclient = 5\nsent = 5\n[[test.session]]\npeer = '203.0.113'\nsubs = '5+x3'\ntransport = 'tls'\n",
        "[[test]]\nname = 'a'\nexpect = []\n[[test.session]]\npeer = '203.0.113.{1..x}'\n[[test.session]]\npeer = '203.0.113.7:5'\ncount = 2\n[[test.session]]\npeer = '10.{0..99}.{0..99}.{0..99}'\n",
        "[[test]]\nname = 'a'\nexpect = []\n[[test.session]]\npeer = '203.0.113.7'\nsent_size = '5+5x3 0'\nrequests = '1.5'\n",
        "[[test]]\nname = 'a'\nexpect = []\n[[test.session]]\npeer = '203.0.113.7'\nsent_size = '5+5x3 0'\n",
        "[[test]]\nname = 'a'\nexpect = []\nrelease = '1.6'\n[[test.session]]\npeer = '203.0.113.7'\ncost = 5\n",
        "[[test]]\nname = 'a'\nexpect = []\npolls = 9999\n[[test.session]]\npeer = '203.0.{1..9}.{1..99}'\n",
        // The server and its daemons.
        "[[test]]\nname = 'a'\nexpect = []\nserver = { hieght = 5, rpc_latency = 5 }\n[[test.daemon]]\naddress = 5\nheight = 'x'\nstate = 'healthy x3 behind x2'\n[[test.daemon]]\nstate = 'unreachble'\n",
        // What is expected.
        "[[test]]\nname = 'a'\npolls = 5\nsession = [{ peer = '203.0.113.7', count = 2 }, { peer = '203.0.113.8' }]\n[[test.expect]]\npolicy = 'hoader'\nat = '55s'\n[[test.expect]]\npolicy = 'hoarder'\nat = '50s'\n[[test.expect]]\npolicy = 'hoarder'\ntarget = '203.0.113.7'\nat = '0s'\nheld_back = 'cool-down'\n[[test.expect]]\npolicy = 'hoarder'\ntarget = '203.0.113.9'\nat = '0s'\n[[test.expect]]\npolicy = 'hoarder'\ntarget = 'them'\nat = '3s'\n[[test.expect]]\npolicy = 'busy-subnet'\ntarget = '203.0.113.7'\nat = 0\n[[test.expect]]\npolicy = 'lagging'\ntarget = 'it'\nby = 'x'\n",
    ];
    let told = cases.map(|text| {
        assert!(checked(text, &others).trials.is_empty(), "{text}");
        report(text, &others)
    });
    insta::assert_snapshot!(told.join("\n────\n"));
}

#[test]
fn what_is_wrong_beside_is_told() {
    let text = "[[test]]\nname = 'a'\nexpect = []\n";
    let bad = POLICIES.replace("subs", "subz");
    let config = format!("config = 'agent.toml'\n{text}");
    let told = [
        report(text, &[("p.toml", &bad)]),
        report(
            &config,
            &[("p.toml", POLICIES), ("agent.toml", "mode = 'on'\n")],
        ),
    ];
    insta::assert_snapshot!(told.join("\n────\n"));
}

#[test]
fn who_is_acted_on_is_compared() {
    let of = |acts_on: &str| {
        format!(
            "only = ['named']\n[[test.session]]\npeer = '203.0.113.{{1..2}}'\nclient = 'bad'\n\
             [[test.session]]\npeer = '203.0.113.3'\n[[test.expect]]\npolicy = 'named'\n\
             target = 'bad'\nat = '0s'\nacts_on = {acts_on}\n"
        )
    };
    for (acts_on, mark) in [
        ("['203.0.113.{1..2}']", "="),
        ("['203.0.113.1:50001', '203.0.113.2']", "="),
        ("['203.0.113.0/24']", "="),
        ("['203.0.113.1']", "!"),
        ("['203.0.113.{1..3}']", "!"),
        ("['203.0.113.1:50002', '203.0.113.2']", "!"),
        ("[]", "!"),
    ] {
        assert!(played(&of(acts_on)).starts_with(mark), "{acts_on}");
    }
    for (wrong, told) in [
        ("'203.0.113.1'", "must be an array of strings"),
        ("[7]", "must be a string"),
        ("['bad']", "`bad` is no peer, address or subnet"),
        ("['203.0.113.{1..']", "this is no range"),
    ] {
        let text = format!("[[test]]\nname = 'x'\n{}", of(wrong));
        let report = report(&text, &[("p.toml", POLICIES)]);
        assert!(report.contains(told), "{report}");
    }
}

#[test]
fn the_agents_own_connection_is_in_its_group() {
    let policy = "[[policy]]\nname = 'crowd'\nscope = 'group'\naction = 'alert'\n\
                  when = { group = '127.0.0', sessions = '> 2' }\n";
    let text = "[[test]]\nname = 'x'\nrelease = '1.13'\n[[test.session]]\npeer = '127.0.0.1'\n\
                count = 3\n[[test.expect]]\npolicy = 'crowd'\ntarget = '127.0.0'\nat = '0s'\n";
    let others = [("p.toml", policy)];
    assert_eq!(report(text, &others), "");
    assert!(checked(text, &others).trials[0].run().is_ok());
}
