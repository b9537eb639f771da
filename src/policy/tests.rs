//! The language as a user meets it: what is accepted, and every message.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::*;

/// Checks files; those that do not end in `.toml` are list files.
fn checked(files: &[(&str, &str)]) -> Checked {
    let (policies, lists): (Vec<_>, Vec<_>) = files
        .iter()
        .map(|&(name, text)| (name.to_owned(), text.to_owned()))
        .partition(|(name, _)| Path::new(name).extension().is_some_and(|e| e == "toml"));
    let lists: HashMap<_, _> = lists.into_iter().collect();
    let sources = policies
        .into_iter()
        .map(|(name, text)| Source { name, text });
    check(sources.collect(), &mut |path| {
        let found = lists.get(path.to_str().unwrap());
        found
            .cloned()
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    })
}

/// The report as `check` prints it, without colours.
fn report(files: &[(&str, &str)]) -> String {
    drawn(&checked(files).diagnostics)
}

fn drawn(diagnostics: &[Diagnostic]) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .with_links(false);
    let mut out = String::new();
    for diagnostic in diagnostics {
        handler.render_report(&mut out, diagnostic).unwrap();
        out.push('\n');
    }
    out.lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

fn set(files: &[(&str, &str)]) -> PolicySet {
    let told = report(files);
    assert_eq!(told, "");
    checked(files).set.unwrap()
}

/// The README's two policies.
const EXAMPLE: &str = r#"
[lists]
trusted = ["10.0.0.0/8", "2001:db8::/32"]
known-bad-clients = { file = "bad-clients.txt" }

[[policy]]
name     = "subnet-bandwidth-hog"
about    = "One subnet takes over a fifth of all traffic, above 1 MiB/s, for a minute."
scope    = "subnet"
when     = { sent_rate = "> 1 MiB/s", sent_share = "> 20%" }
unless   = { address = "in @trusted" }
window   = "1m"
for      = "1m"
action   = "disconnect"
cooldown = "10m"
limit    = "30/min"
mode     = "enforce"

[[policy]]
name   = "log-the-curious"
scope  = "session"
when   = [ { client = "=~ (?i)^all_seeing", age = "> 1m" }, { client = "in @known-bad-clients" } ]
action = { log = { for = "10m" } }
"#;

#[test]
fn the_example_becomes_policies() {
    let files = [
        ("dir/p.toml", EXAMPLE),
        ("dir/bad-clients.txt", "evil/1\n# no\nbad\n"),
    ];
    let set = set(&files);
    let [hog, curious] = &set.policies[..] else {
        panic!("two policies");
    };
    assert_eq!(&*hog.name, "subnet-bandwidth-hog");
    assert_eq!(hog.scope, Scope::Subnet);
    assert_eq!(
        (hog.window, hog.hold),
        (Duration::from_secs(60), Duration::from_secs(60))
    );
    assert_eq!(hog.cooldown, Duration::from_secs(600));
    assert_eq!(
        hog.limit,
        Some(Quota {
            count: 30,
            per: Duration::from_secs(60)
        })
    );
    let tests = &hog.when.any[0].tests;
    assert_eq!(tests[0].field, Field::SentRate);
    assert_eq!(&*tests[0].written, "> 1 MiB/s");
    assert!(matches!(
        tests[0].predicate,
        Predicate::Compare(Comparison::Greater, threshold)
            if threshold == Threshold::Fixed(1_048_576.0)
    ));
    let Predicate::In {
        list,
        negated: false,
    } = hog.unless.as_ref().unwrap().any[0].tests[0].predicate
    else {
        panic!("a list");
    };
    assert!(set.list(list).contains_net(&"10.2.3.0/24".parse().unwrap()));
    assert!(!set.list(list).contains_text("10.0.0.0/8"));

    assert_eq!(curious.window, Duration::from_secs(60));
    assert_eq!(curious.hold, Duration::ZERO);
    assert_eq!(curious.cooldown, Duration::from_secs(300));
    assert_eq!((curious.limit, curious.mode), (None, Mode::Enforce));
    assert_eq!(
        curious.action,
        Action::Log {
            duration: Duration::from_secs(600)
        }
    );
    assert_eq!(curious.when.any.len(), 2);
    // Tests stand in the order written, which is the order of the evidence.
    let fields: Vec<_> = curious.when.any[0]
        .tests
        .iter()
        .map(|test| test.field)
        .collect();
    assert_eq!(fields, [Field::Client, Field::Age]);
    let Predicate::In { list, .. } = curious.when.any[1].tests[0].predicate else {
        panic!("a list");
    };
    assert!(set.list(list).contains_text("evil/1"));
    assert_eq!(set.list(list).entries(), 2);
    assert_eq!(set.list_files().len(), 1);
    assert_eq!(set.list_files()[0].path, Path::new("dir/bad-clients.txt"));
}

/// The reports on several files, each checked alone.
fn reports(texts: &[&str]) -> String {
    let told = texts.iter().map(|text| {
        let told = report(&[("p.toml", text)]);
        assert!(!told.is_empty(), "{text}");
        told
    });
    told.collect::<Vec<_>>().join("\n\n")
}

/// The reports on one `when` line each, in a policy of this scope.
fn whens(cases: &[(&str, &str)]) -> String {
    let texts: Vec<_> = cases
        .iter()
        .map(|(scope, when)| {
            format!(
                "policy = [{{ name = 'p', scope = '{scope}', action = 'alert',\nwhen = {{ {when} }} }}]\n"
            )
        })
        .collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    reports(&texts)
}

/// The report on one `when` line, which may be empty.
fn whens_report(scope: &str, when: &str) -> String {
    let text = format!(
        "policy = [{{ name = 'p', scope = '{scope}', action = 'alert',\nwhen = {{ {when} }} }}]\n"
    );
    report(&[("p.toml", &text)])
}

#[test]
fn every_mistake_of_every_file_is_told_at_once() {
    let first = r#"
[lists]
offices = ["10.0.0.0/8", "office"]

[[policy]]
name = "hog"
scope = "subnet"
when = { send_rate = "> 1 MiB/s", age = "> 1m", sent_share = "> 0.2" }
unless = { address = "in @ofices" }
window = "60"
action = "disconect"
cooldwon = "10m"
"#;
    let second = r#"
[lists]
offices = ["192.168.0.0/16"]

[[policy]]
name = "hog"
scope = "session"
when = { client = "=~ ^(bot", address = "not in @offices" }
action = "disconnect"
"#;
    insta::assert_snapshot!(report(&[("a.toml", first), ("b.toml", second)]));
}

#[test]
fn syntax() {
    insta::assert_snapshot!(reports(&[
        "[[policy]\nname = \"p\"\n",
        "[[policy]]\nname = p\nscope = \"session\"\n",
        "[[policy]]\nname = \"p\nscope = \"session\"\n",
        "[[policy]]\nname = \"p\"\nname = \"q\"\n",
        "[[policy]]\nname = 'p'\nscope = 'session'\nwhen = { client = \"=~ \\d\" }\n",
        "# a raw escape\nname = \"\u{1b}[31m\"\n",
        // The first policy's text is broken; the second one is checked all the same.
        "[[policy]]\nname = \n[[policy]]\nname = 'q'\nscope = 'session'\nwhen = { agee = '> 5s', client = 'in @lost' }\naction = 'alert'\n",
    ]));
}

#[test]
fn keys() {
    insta::assert_snapshot!(reports(&[
        "[list]\na = []\n",
        "[policy]\nname = \"p\"\n",
        "policy = 5\n",
        "policy = [5]\n",
        "[[policy]]\n",
        "[[policy]]\nname = 'p'\nscope = 'session'\naction = 'alert'\nif = { age = '> 1h' }\ncool_down = '5m'\nxyz = 1\n",
        "[[policy]]\nname = 'Bad Clients!'\nscope = 'sessions'\naction = 'alert'\nwhen = { agee = '> 1h' }\n",
        "[[policy]]\nname = 5\nscope = 'x'\naction = 'alert'\nwhen = []\nmode = 'on'\nabout = 5\n",
        "[[policy]]\nname = 'p'\nscope = 'session'\naction = 'alert'\nwhen = 'age > 5'\nunless = {}\nmode = 5\n",
        "[[policy]]\nname = 'p'\nscope = 'session'\naction = 'alert'\nwhen = { age = '> 1h' }\ninclude_private = true\n",
        "[[policy]]\nname = 'p'\nscope = 'subnet'\naction = 'alert'\nwhen = { sessions = '> 1' }\ninclude_private = 'yes'\n",
    ]));
}

#[test]
fn times_and_limits() {
    let p = "[[policy]]\nname = 'p'\nscope = 'session'\naction = 'alert'\nwhen = { sent_rate = '> 1 B/s' }\n";
    let cases = [
        "window = 60\nfor = 1.5\ncooldown = '5'",
        "window = '500ms'\nfor = '2d'\ncooldown = '31d'",
        "window = '2 MiB'\nfor = '5 minutes'\ncooldown = '1m1m'",
        "limit = 30",
        "limit = '30'",
        "limit = '30/fortnight'",
        "limit = '0/min'",
        "limit = '10_001/d'",
        "limit = '1.5/min'",
        "limit = '5 MiB/s'",
        "limit = '5/100ms'",
    ];
    let texts: Vec<_> = cases.iter().map(|case| format!("{p}{case}\n")).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    insta::assert_snapshot!(reports(&texts));
}

#[test]
fn waiting() {
    let p =
        "[[policy]]\nname = 'p'\nscope = 'subnet'\naction = 'alert'\nwhen = { sessions = '> 5' }\n";
    let cases = [
        "at_once = { sessions = '> 50' }",
        "for = '1m'\nat_once = '> 50'",
        "for = '1m'\nat_once = []",
        "for = '1m'\nat_once = [{ sessions = '> 50' }, { age = '> 1m' }]",
        "for = '1m'\nat_once = { sent_share = '> 200%', sent_rate = '> 20x median' }",
        "for = '1m'\natonce = { sessions = '> 50' }",
        "backoff = { max = '1h', reset = '24h' }",
        "for = '1m'\nbackoff = '1h'",
        "for = '1m'\nbackoff = {}",
        "for = '1m'\nbackoff = { max = '1h', reset = '24h', factor = 2 }",
        "for = '1m'\nbackoff = { max = '59s', reset = '24h' }",
        "for = '1m'\nbackoff = { max = '31d', reset = '59s' }",
        "for = '1m'\nbackoff = { max = 60, reset = '31d' }",
    ];
    let texts: Vec<_> = cases.iter().map(|case| format!("{p}{case}\n")).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    insta::assert_snapshot!(reports(&texts));
}

#[test]
fn how_a_policy_waits_is_read() {
    let set = set(&[(
        "p.toml",
        "[[policy]]\nname = 'p'\nscope = 'server'\naction = 'alert'\nwhen = { sessions = '> 5' }\n\
         for = '5m'\nat_once = [{ sessions = '> 50' }, { errors = '> 5', rpc_down = '> 1m' }]\n\
         backoff = { max = '1h', reset = '1d' }\n",
    )]);
    let policy = &set.policies[0];
    let tables = &policy.at_once.as_ref().unwrap().any;
    let tests: Vec<usize> = tables.iter().map(|table| table.tests.len()).collect();
    assert_eq!(tests, [1, 2]);
    let backoff = policy.backoff.unwrap();
    let minutes = |failures| backoff.hold(policy.hold, failures).as_secs() / 60;
    let holds = [0, 1, 2, 3, 4, 5, 40, u32::MAX].map(minutes);
    assert_eq!(holds, [5, 10, 20, 40, 60, 60, 60, 60]);
}

#[test]
fn fields() {
    insta::assert_snapshot!(whens(&[
        ("subnet", "send_rate = '> 1 MiB/s'"),
        ("subnet", "age = '> 1m'"),
        ("subnet", "agee = '> 1m'"),
        ("session", "user_agent = 'x'"),
        ("session", "zzz = '> 1'"),
        ("subnet", "requests.server.ping = '> 5'"),
        ("session", "client.name = 'x'"),
        ("session", "client = {}"),
        ("session", "requests = { 'server.ping' = '> 5 B' }"),
        ("server", "sessions_share = '> 5%'"),
    ]));
}

#[test]
fn surroundings_are_read_in_every_form() {
    let forms = [
        "when = { subs = '> 1', address.sessions = ['> 3', '< 9'] }",
        "when = { subs = '> 1', 'address.sessions' = ['> 3', '< 9'] }",
        "[policy.when]\nsubs = '> 1'\naddress.sessions = ['> 3', '< 9']",
        "[policy.when]\nsubs = '> 1'\n[policy.when.address]\nsessions = ['> 3', '< 9']",
        "[policy.when]\nsubs = '> 1'\n'address.sessions' = ['> 3', '< 9']",
    ];
    for form in forms {
        let text =
            format!("[[policy]]\nname = 'p'\nscope = 'session'\naction = 'disconnect'\n{form}\n");
        let set = set(&[("p.toml", &text)]);
        let tests = set.policies[0].when.any[0].tests.iter();
        let read = tests.map(|test| {
            let Test {
                scope,
                field,
                field_written,
                written,
                ..
            } = test;
            format!("{scope} {} {field_written} {written}", field.name())
        });
        assert_eq!(
            read.collect::<Vec<_>>(),
            [
                "session subs subs > 1",
                "address sessions address.sessions > 3",
                "address sessions address.sessions < 9",
            ],
            "{form}"
        );
    }
}

#[test]
fn every_kind_of_test_can_be_of_what_is_around() {
    let text = "[[policy]]\nname = 'p'\nscope = 'session'\naction = 'disconnect'\n\
                window = '5m'\nwhen = { subs = '> 1', client = '=~ ^bot', \
                'client.sent_rate' = ['> 1 MiB/s', '> 3x p99'], 'address.cost_share' = '>= 10%', \
                'address.regular' = false, 'subnet.address' = 'in 203.0.113.0/24', \
                'server.method_rate.server.ping' = '> 5/s', 'server.version' = '=~ 1\\.16' }\n\
                unless = { server.on_primary = false }\n";
    let set = set(&[("p.toml", text)]);
    let tests = &set.policies[0].when.any[0].tests;
    assert_eq!(tests.len(), 9);
    assert_eq!(tests[7].method.as_deref(), Some("server.ping"));
}

#[test]
fn fields_of_what_is_around() {
    insta::assert_snapshot!(whens(&[
        ("session", "subs = '> 1', adress.sessions = '> 3'"),
        ("session", "subs = '> 1', adress.sesions = '> 3'"),
        ("session", "subs = '> 1', address.subs_rate = '> 3'"),
        ("session", "subs = '> 1', address.sesions = '> 3'"),
        ("session", "subs = '> 1', subnet.bandwidth = '> 3 MB/s'"),
        ("session", "subs = '> 1', address.age = '> 3s'"),
        ("session", "session.cost_rate = '> 3/s'"),
        ("session", "session.cost_rat = '> 3/s'"),
        ("session", "subs = '> 1', group.sessions = '> 3'"),
        ("address", "subs = '> 1', client.sessions = '> 3'"),
        ("address", "subs = '> 1', session.age = '> 3s'"),
        ("client", "subs = '> 1', subnet.subs = '> 3'"),
        ("server", "address.subs = '> 1'"),
        ("server", "server.subs = '> 1'"),
        ("session", "subs = '> 1', sessions = '> 3'"),
        ("session", "subs = '> 1', server.subs = '> 2x median'"),
        ("session", "subs = '> 1', address.sessions = '> 3 MB'"),
        ("session", "subs = '> 1', address.private = 'true'"),
        ("session", "subs = '> 1', address = {}"),
        ("session", "subs = '> 1', server = '> 5'"),
        ("session", "client = '=~ ^a', client.sessions = '> 3'"),
        ("session", "client.sessions = '> 3', client = '=~ ^a'"),
    ]));
}

#[test]
fn what_only_looks_around_is_refused() {
    let cases = [
        "address.sessions = '> 3'",
        "age = '>= 0s', subnet.cost_rate = '> 3_000/s'",
        "server.pending_requests = '> 500', client.subs = '> 1'",
        "client = '!~ ^electrum', address = 'not in 10.0.0.0/8', subnet.cost_rate = '> 3_000/s'",
        // It is no deed to be a stranger.
        "regular = false, age = '> 1m', subnet.cost_rate = '> 3_000/s'",
    ];
    let texts = cases.map(|when| {
        format!(
            "policy = [{{ name = 'p', scope = 'session', action = 'disconnect',\nwhen = {{ {when} }} }}]\n"
        )
    });
    insta::assert_snapshot!(reports(&texts.each_ref().map(String::as_str)));
    // Each table stands for itself.
    let tables = "policy = [{ name = 'p', scope = 'session', action = 'alert',\n\
                  when = [{ subs = '> 1' }, { server.subs = '> 1' }] }]\n";
    assert!(checked(&[("p.toml", tables)]).set.is_none());
    for rest in [
        "when = { cost_rate = '> 1/s', server.subs = '> 1' }",
        "when = { client = 'x', server.subs = '> 1' }",
        "when = { subs = '> 1' }\nunless = { server.subs = '< 9' }",
        "when = { subs = '> 1' }\nfor = '1m'\nat_once = { server.subs = '> 9' }",
    ] {
        let text =
            format!("[[policy]]\nname = 'p'\nscope = 'session'\naction = 'disconnect'\n{rest}\n");
        assert_eq!(report(&[("p.toml", &text)]), "", "{rest}");
    }
}

#[test]
fn what_is_around_contradicts_and_implies_only_itself() {
    insta::assert_snapshot!(whens(&[
        ("session", "subs = '> 1', address.subs = ['> 5', '< 3']"),
        ("session", "subs = '> 1', address.cost_share = '> 200%'"),
        ("session", "subs = '> 1', address.private = true"),
        ("session", "subs = '> 1', server.rpc_down = '> 1m'"),
        ("session", "subs = '> 1', address.sessions = '> 3x median'"),
    ]));
    let quiet = whens_report(
        "session",
        "subs = ['< 3'], address.subs = '> 5', server.subs = '> 7'",
    );
    assert_eq!(quiet, "");
    let broad = "[[policy]]\nname = 'broad'\nscope = 'session'\naction = 'disconnect'\n";
    let narrow = broad.replace("broad", "narrow");
    let both = |first: &str, second: &str| {
        report(&[("p.toml", &format!("{broad}{first}\n{narrow}{second}\n"))])
    };
    // More narrow by what is around it: shadowed. Of another scope: not.
    let shadowed = both(
        "when = { subs = '> 5' }",
        "when = { subs = '> 5', address.subs = '> 9' }",
    );
    assert!(shadowed.contains("shadowed"), "{shadowed}");
    let apart = both(
        "when = { subs = '> 5', address.subs = '> 5' }",
        "when = { subs = '> 5', subnet.subs = '> 9' }",
    );
    assert_eq!(apart, "");
}

#[test]
fn numbers() {
    insta::assert_snapshot!(whens(&[
        ("session", "subs = 5"),
        ("session", "error_share = 0.5"),
        ("session", "subs = true"),
        ("session", "subs = []"),
        ("session", "subs = ''"),
        ("session", "subs = '5'"),
        ("session", "subs = 'many'"),
        ("session", "subs = '> many'"),
        ("session", "subs = '>'"),
        ("session", "subs = '>\u{9b}5'"),
        ("session", "subs = '= 5'"),
        ("session", "subs = '=> 5'"),
        ("session", "subs = '>>> 5'"),
        ("session", "subs = '=~ 5'"),
        ("session", "subs = 'in @numbers'"),
        ("session", "subs = '> -5'"),
        ("session", "subs = '> 5 MiB'"),
        ("session", "sent_rate = '> 1 MiB'"),
        ("session", "sent_rate = \"> \\u0031 mib/s\""),
        ("session", "sent_rate = ['> 1 MiB/s', '< 5']"),
        ("session", "age = '> 60'"),
    ]));
}

#[test]
fn populations() {
    insta::assert_snapshot!(whens(&[
        ("server", "sessions = '> 20x median'"),
        ("session", "subs = '== median'"),
        ("session", "subs = '> 0x median'"),
        ("session", "subs = '> 20x'"),
        ("session", "subs = '> 20x mean'"),
        ("session", "subs = '> 3x p100'"),
        ("session", "subs = '> p0.5'"),
        ("session", "subs = '> 2000000x p90'"),
        ("session", "subs = '20x median'"),
        ("session", "subs = '> 20 median'"),
    ]));
}

#[test]
fn texts() {
    insta::assert_snapshot!(whens(&[
        ("session", "client = 5"),
        ("session", "client = ''"),
        ("session", "client = '=='"),
        ("session", "client = '> electrum'"),
        ("session", "client = '~ electrum'"),
        ("session", "client = '=~'"),
        ("session", "client = '=~ ^(bot'"),
        ("session", "client = '=~ *bot*'"),
        ("session", "client = '=~ 日本[z-a]'"),
        ("session", "client = '=~ bot(?!tle)'"),
        ("session", "client = '=~ (\\\\pL{900}){900}'"),
        ("session", "client = 'in'"),
        ("session", "client = 'in evil'"),
        ("session", "client = 'in [\"evil\", bad'"),
        ("session", "client = 'in @nobody'"),
        ("session", "private = 'true'"),
        ("session", "private = 1"),
    ]));
}

#[test]
fn versions() {
    insta::assert_snapshot!(whens(&[
        ("session", "client_version = 4.5"),
        ("session", "client_version = ''"),
        ("session", "client_version = '<'"),
        ("session", "client_version = '4.5'"),
        ("session", "client_version = 'electrum/4.5'"),
        ("session", "client_version = '< v4.5'"),
        ("session", "client_version = '< 4.5-linux'"),
        ("session", "client_version = '> 20x median'"),
        ("session", "client_version = '=~ ^4'"),
        ("session", "client_version = 'in @old'"),
        ("session", "client_version = true"),
        ("session", "wallet_version = '< 4.5'"),
        ("session", "client = '< 4.5'"),
        ("address", "client_version = '< 4.5'"),
        ("session", "client_version = ['< 4.5', '>= 4.5.0']"),
        (
            "session",
            "client_version = ['== 4.6b1', '!= 4.6.0-beta.1']"
        ),
        ("session", "client_version = ['== 4.6', '< 4.6rc1']"),
    ]));
    for quiet in ["['>= 4.5', '< 4.6']", "'= 4.0.2'", "'== 4.0.2'", "'!= 4'"] {
        assert_eq!(
            whens_report("session", &format!("client_version = {quiet}")),
            ""
        );
    }
    let shadowed = report(&[(
        "p.toml",
        "[[policy]]\nname = 'a'\nscope = 'session'\naction = 'disconnect'\n\
         when = { client_version = '< 4.5' }\n\
         [[policy]]\nname = 'b'\nscope = 'session'\naction = 'disconnect'\n\
         when = { client_version = '<= 4.4.99' }\n",
    )]);
    assert!(shadowed.contains("`b` is shadowed by `a`"), "{shadowed}");
}

#[test]
fn addresses() {
    insta::assert_snapshot!(whens(&[
        ("session", "address = '== 10.0.0.1'"),
        ("session", "address = '!= 10.0.0.0/8'"),
        ("session", "address = '10.0.0.1'"),
        ("session", "address = '=~ ^10'"),
        ("session", "address = 'in 10.0.0'"),
        ("session", "address = 'in 10.0.0.0/33'"),
        ("session", "address = 'in 10.0.0.0/8, 192.168.0.0/16'"),
        ("session", "address = 'in [10.0.0.0/8, localhost]'"),
        ("session", "address = 'in 10.1.2.3/8'"),
        ("session", "address = true"),
    ]));
}

#[test]
fn lists() {
    let p = "[[policy]]\nname = 'p'\nscope = 'session'\naction = 'alert'\nwhen = { address = 'in @l' }\n";
    let with = |list: &str| format!("{p}\n[lists]\n{list}\n");
    let mut told = Vec::new();
    for list in [
        "l = ['10.0.0.0/8', 'evil']",
        "l = 'evil.txt'",
        "l = ['10.0.0.0/8', 5]",
        "l = { path = 'evil.txt' }",
        "l = { file = 5 }",
        "l = { file = 'missing.txt' }",
        "l = { file = 'evil.txt' }",
        "My_List = []\nl = ['::1']",
        "lx = []",
    ] {
        let text = with(list);
        let files = [
            ("p.toml", text.as_str()),
            ("evil.txt", "# bad\n1.2.3.4\n\nevil/1 # a name\n"),
        ];
        told.push(report(&files));
    }
    let two = [
        ("a.toml", "[lists]\nl = ['::1']\n"),
        ("b.toml", "lists = 5"),
        ("c.toml", "[lists]\nl = ['::2']\n"),
    ];
    told.push(report(&two));
    insta::assert_snapshot!(told.join("\n\n"));
}

#[test]
fn actions() {
    let cases = [
        ("session", "'kick'"),
        ("session", "'log'"),
        ("session", "'frobnicate'"),
        ("session", "5"),
        ("session", "{}"),
        ("session", "{ log = '10m' }"),
        ("session", "{ log = { duration = '10m' } }"),
        ("session", "{ log = { for = '31d' } }"),
        ("session", "{ disconnect = true }"),
        ("session", "{ lag = { for = '10m' } }"),
        ("session", "{ log = { for = '10m' }, disconnect = true }"),
        ("server", "'disconnect'"),
        ("server", "{ log = { for = '10m' } }"),
        ("session", "{ daemon_url = { to = 'default' } }"),
        ("server", "'daemon_url'"),
        (
            "server",
            "{ daemon_url = 'http://user:secret@10.0.0.1:8332/' }",
        ),
        ("server", "{ daemon_url = 'default' }"),
        (
            "server",
            "{ daemon_url = { to = 'user:secret@10.0.0.1:8332' } }",
        ),
        ("server", "{ daemon_url = { to = 'defualt' } }"),
        ("server", "{ daemon_url = { url = 'default' } }"),
        ("server", "{ daemon_url = { to = {} } }"),
        ("server", "{ daemon_url = { to = [] } }"),
        (
            "server",
            "{ daemon_url = { to = ['a:1', 5, 'b:2', 'a:1'] } }",
        ),
        (
            "server",
            "{ daemon_url = { to = ['http://user:secret@10.0.0.1:8332/'] } }",
        ),
        ("server", "{ daemon_url = { to = ['10.0.0.1'] } }"),
        ("server", "{ daemon_url = { to = '10.0.0.1:8332' } }"),
        (
            "server",
            "{ daemon_url = { to = ['a:1','a:2','a:3','a:4','a:5','a:6','a:7','a:8','a:9'] } }",
        ),
        ("server", "{ daemon_url = { to = { env = '$URLS' } } }"),
        (
            "server",
            "{ daemon_url = { to = { file = 'http://u:secret@h/' } } }",
        ),
        ("server", "{ daemon_url = { to = 5 } }"),
        ("session", "'ban'"),
        ("session", "{ ban = '10m' }"),
        ("session", "{ ban = { for = '10s' } }"),
        ("session", "'jail'"),
        ("server", "{ ban = { for = '10m' } }"),
        ("session", "[]"),
        ("session", "['alert', 'disconnect']"),
        ("session", "['disconnect', { log = { for = '10m' } }]"),
        (
            "session",
            "['disconnect', { ban = { for = '2h' } },\n{ ban = { for = '10m' } }]",
        ),
        ("session", "[{ ban = { for = '10m' } }, 'disconnect']"),
        ("session", "['disconnect', ['disconnect']]"),
        (
            "session",
            "['disconnect', { ban = { for = '366d' } }, 'bann']",
        ),
        (
            "session",
            "[{ ban = { for = '1m' } }, { ban = { for = '2m' } }, { ban = { for = '3m' } }, \
             { ban = { for = '4m' } }, { ban = { for = '5m' } }, { ban = { for = '6m' } }, \
             { ban = { for = '7m' } }, { ban = { for = '8m' } }, { ban = { for = '9m' } }, \
             { ban = { for = '10m' } }, { ban = { for = '11m' } }]",
        ),
    ];
    let texts: Vec<_> = cases
        .iter()
        .map(|(scope, action)| {
            format!(
                "policy = [{{ name = 'p', scope = '{scope}', when = {{ subs = '> 1' }},\naction = {action} }}]\n"
            )
        })
        .collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let told = reports(&texts);
    assert!(!told.contains("secret"));
    insta::assert_snapshot!(told);
}

#[test]
fn the_last_rung_of_a_ladder_stays() {
    let set = set(&[(
        "p.toml",
        "[[policy]]\nname = 'p'\nscope = 'session'\nwhen = { subs = '> 1' }\n\
         action = ['disconnect', { ban = { for = '10m' } }, { ban = { for = '2h' } }]\n\
         [[policy]]\nname = 'q'\nscope = 'session'\nwhen = { subs = '> 1' }\naction = ['alert']\n",
    )]);
    let [p, q] = &set.policies[..] else {
        panic!("two policies");
    };
    let ban = |minutes| Action::Ban {
        duration: Duration::from_mins(minutes),
    };
    let rungs: Vec<&Action> = (0..5).map(|strikes| p.rung(strikes)).collect();
    assert_eq!(
        rungs,
        [
            &Action::Disconnect,
            &ban(10),
            &ban(120),
            &ban(120),
            &ban(120)
        ]
    );
    assert!(p.bans());
    assert!(!q.bans());
    assert_eq!(q.rung(7), &Action::Alert);
}

/// A policy of scope `subnet` that disconnects.
fn disconnect(name: &str, rest: &str) -> String {
    format!("[[policy]]\nname = '{name}'\nscope = 'subnet'\naction = 'disconnect'\n{rest}\n")
}

#[test]
fn tests_that_hold_never_or_always() {
    insta::assert_snapshot!(whens(&[
        ("subnet", "sent_share = '> 200%'"),
        ("subnet", "sessions = '< 0'"),
        ("subnet", "sessions = '>= 0'"),
        ("subnet", "sent_share = ['<= 100%', '> 5%']"),
        ("subnet", "sessions = ['> 5', '< 3']"),
        ("subnet", "sessions = ['== 5', '!= 5']"),
        ("subnet", "private = true"),
        ("subnet", "private = false, sessions = '> 1'"),
        ("session", "private = [true, false]"),
        ("session", "transport = 'tls'"),
        ("session", "transport = '!= tls'"),
        ("session", "transport = '=~ ^TCP$'"),
        ("session", "client = ['evil', 'bad']"),
        ("session", "client = ['evil', '=~ ^bad']"),
        (
            "session",
            "client = ['in [\"evil\", \"bad\"]', 'not in [bad, evil, worse]']"
        ),
        ("session", "client = 'in []'"),
        (
            "session",
            "address = ['in 10.0.0.0/8', 'in 192.168.0.0/16']"
        ),
        (
            "session",
            "address = ['in 10.1.0.0/16', 'not in 10.0.0.0/8']"
        ),
    ]));
}

#[test]
fn exceptions_and_windows() {
    let texts = [
        disconnect(
            "p",
            "when = { sessions = '> 50' }\nunless = { sessions = '> 10' }",
        ),
        disconnect(
            "p",
            "when = { sessions = '> 50' }\nunless = { sessions = '< 10', sent_rate = '< 1 MiB/s' }",
        ),
        disconnect(
            "p",
            "when = { sessions = '> 50' }\nunless = { sent_share = '>= 0%' }",
        ),
        disconnect("p", "when = { sessions = '> 50' }\nwindow = '5m'"),
    ];
    insta::assert_snapshot!(reports(&texts.each_ref().map(String::as_str)));
}

#[test]
fn shadowed_policies() {
    let broad = disconnect("broad", "when = { sessions = '> 50' }\n");
    let cases = [
        disconnect(
            "narrow",
            "when = { sessions = '>= 60', sent_rate = '> 1 MiB/s' }",
        ),
        disconnect("twin", "when = { sessions = '> 50' }"),
        disconnect(
            "slow",
            "when = { sessions = '> 50' }\nunless = { address = 'in 10.0.0.0/8' }\nfor = '1m'",
        ),
    ];
    let texts = cases.map(|case| format!("{broad}\n{case}"));
    insta::assert_snapshot!(reports(&texts.each_ref().map(String::as_str)));
    let two = report(&[
        ("a.toml", &disconnect("n", "when = { sessions = '> 90' }")),
        ("b.toml", &broad),
    ]);
    insta::assert_snapshot!(two);
}

#[test]
fn policies_that_only_look_shadowed() {
    let broad =
        |rest: &str| disconnect("broad", &format!("when = {{ sessions = '> 50' }}\n{rest}"));
    let narrow =
        |rest: &str| disconnect("narrow", &format!("when = {{ sessions = '> 60' }}\n{rest}"));
    for (broad, narrow) in [
        (broad("mode = 'dry-run'"), narrow("")),
        (broad("limit = '1/min'"), narrow("")),
        (
            broad("for = '1m'"),
            narrow("for = '1m'\nat_once = { sessions = '> 90' }"),
        ),
        (
            broad("for = '1m'\nbackoff = { max = '1h', reset = '1d' }"),
            narrow("for = '1m'"),
        ),
        (broad("for = '1m'"), narrow("")),
        (broad("cooldown = '1h'"), narrow("")),
        (broad("unless = { address = 'in 10.0.0.0/8' }"), narrow("")),
        (broad(""), narrow("include_private = true")),
        (broad(""), narrow("mode = 'off'")),
        (
            broad(""),
            narrow("").replace("'disconnect'", "{ log = { for = '1m' } }"),
        ),
        (
            broad(""),
            disconnect("narrow", "when = { addresses = '> 60' }"),
        ),
        (
            broad(""),
            disconnect(
                "narrow",
                "when = [{ sessions = '> 60' }, { addresses = '> 60' }]",
            ),
        ),
        (
            broad("").replace("'disconnect'", "'alert'"),
            narrow("").replace("'disconnect'", "'alert'"),
        ),
    ] {
        assert_eq!(report(&[("p.toml", &format!("{broad}\n{narrow}"))]), "");
    }
    let windows = ["1m", "2m"].map(|window| {
        disconnect(
            &format!("p{window}"),
            &format!("when = {{ sent_rate = '> 1 MiB/s' }}\nwindow = '{window}'"),
        )
    });
    assert_eq!(report(&[("p.toml", &windows.join("\n"))]), "");
}

#[test]
fn unused_lists() {
    insta::assert_snapshot!(report(&[("p.toml", "[lists]\nspare = [\"x\"]\n")]));
}

#[test]
fn fields_that_the_server_does_not_give() {
    let text = r#"
[[policy]]
name = "p"
scope = "session"
when = { cost = "> 5_000", "requests.server.ping" = "> 100", subs = "> 1" }
unless = { protocol = "== 1.4" }
action = "disconnect"

[[policy]]
name = "q"
scope = "session"
when = { cost = "> 1" }
action = "alert"
mode = "off"
"#;
    let set = set(&[("p.toml", text)]);
    let old = Capabilities {
        protocol: false,
        cost: false,
        inspection: false,
    };
    insta::assert_snapshot!(drawn(&set.lint_for(old)));
    let new = Capabilities {
        protocol: true,
        cost: true,
        inspection: true,
    };
    assert!(set.lint_for(new).is_empty());
}

#[test]
fn policies_that_are_idle_without_daemons() {
    const DOWN: &str = "when = { daemon_healthy = false }";
    const LAG: &str = "when = { height_lag = \"> 1\" }";
    let idle = |rest: &str| {
        let text = format!("[[policy]]\nname = \"p\"\nscope = \"server\"\n{rest}\n");
        checked(&[("p.toml", &text)])
            .set
            .unwrap()
            .count_idle_without(crate::field::Source::Probes)
    };
    for (rest, expected) in [
        (format!("{DOWN}\naction = \"alert\""), 1),
        (format!("{DOWN}\naction = \"alert\"\nmode = \"off\""), 0),
        (format!("{LAG}\naction = \"alert\""), 0),
        (
            format!("{LAG}\naction = {{ daemon_url = {{ to = \"primary\" }} }}"),
            1,
        ),
        (
            format!("{LAG}\naction = {{ daemon_url = {{ to = \"best\" }} }}"),
            1,
        ),
        (
            format!("{LAG}\naction = {{ daemon_url = {{ to = [\"h:1\"] }} }}"),
            1,
        ),
        (
            format!("{LAG}\naction = {{ daemon_url = {{ to = \"default\" }} }}"),
            0,
        ),
        (
            "when = [{ stall = \"== none\" }, { height_lag = \"> 1\" }]\naction = \"alert\"".into(),
            0,
        ),
        (
            format!("{LAG}\nunless = {{ stall = \"== none\" }}\naction = \"alert\""),
            1,
        ),
        (
            format!(
                "{LAG}\nunless = {{ stall = \"== none\", subs = \"> 1\" }}\naction = \"alert\""
            ),
            0,
        ),
        (
            format!("{LAG}\nfor = \"5m\"\nat_once = {{ stall = \"== none\" }}\naction = \"alert\""),
            0,
        ),
    ] {
        assert_eq!(idle(&rest), expected, "{rest}");
    }
}

/// The only test of a policy of this scope.
fn one_test(scope: &str, when: &str) -> (PolicySet, Test) {
    let text = format!(
        "[[policy]]\nname = 'p'\nscope = '{scope}'\naction = 'alert'\nwhen = {{ {when} }}\n"
    );
    let policies = set(&[("p.toml", &text)]);
    let first = policies.policies[0].when.any[0].tests[0].clone();
    (policies, first)
}

#[test]
fn a_configuration_is_not_taken_for_policies() {
    let text = "mode = 'enforce'\n[server]\nrpc = '127.0.0.1:8000'\n[limits]\n";
    insta::assert_snapshot!(report(&[("warden.toml", text)]), @r"
    policy::configuration

      × this is a configuration of the agent, not a policy file
       ╭─[warden.toml:2:2]
     1 │ mode = 'enforce'
     2 │ [server]
       ·  ──────
     3 │ rpc = '127.0.0.1:8000'
       ╰────
      help: name it with `--config`
    ");
}

#[test]
fn a_multiple_of_what_is_normal_wants_a_floor() {
    let told = |when: &str| {
        let policy = format!(
            "[[policy]]\nname = 'n'\nscope = 'session'\naction = 'alert'\nwhen = {{ {when} }}\n"
        );
        report(&[("p.toml", &policy)])
    };
    insta::assert_snapshot!(told("subs = '> 20x median', age = '> 1m'"), @r#"
    policy::no_floor

      ⚠ `subs > 20x median` has no floor
       ╭─[p.toml:5:17]
     4 │ action = 'alert'
     5 │ when = { subs = '> 20x median', age = '> 1m' }
       ·                 ──────────────
       ╰────
      help: where most targets have 0, any multiple of that is 0: add a fixed threshold, as in `[">
            100", "> 20x median"]`
    "#);
    for silent in [
        "subs = ['> 20x median', '> 100']",
        "subs = '< 20x median'",
        "subs = ['>= p99', '>= 5']",
    ] {
        assert_eq!(told(silent), "", "{silent}");
    }
}

#[test]
fn every_form_of_test_is_read() {
    let fixed = |when, comparison, value| {
        let (_, test) = one_test("session", when);
        let Predicate::Compare(c, Threshold::Fixed(v)) = test.predicate else {
            panic!("{when}");
        };
        assert_eq!((c, v), (comparison, value), "{when}");
    };
    fixed("subs = '> 1_000'", Comparison::Greater, 1_000.0);
    fixed("subs = '>=5'", Comparison::GreaterOrEqual, 5.0);
    fixed("age = '< 1m30s'", Comparison::Less, 90.0);
    fixed(
        "sent_size = '<= 2 MiB'",
        Comparison::LessOrEqual,
        2_097_152.0,
    );
    fixed("subs = '== 5'", Comparison::Equal, 5.0);
    fixed("subs = '!=  5 '", Comparison::NotEqual, 5.0);
    fixed("request_rate = '> 30/min'", Comparison::Greater, 0.5);

    for (when, times, quantile) in [
        ("subs = '< 20x median'", 20.0, 0.5),
        ("subs = '< 0.5 x median'", 0.5, 0.5),
        ("subs = '< median'", 1.0, 0.5),
        ("subs = '< p99'", 1.0, 0.99),
        ("subs = '< 3x p99.9'", 3.0, 0.999),
    ] {
        let (_, test) = one_test("session", when);
        let Predicate::Compare(
            _,
            Threshold::Population {
                times: t,
                quantile: q,
            },
        ) = test.predicate
        else {
            panic!("{when}");
        };
        assert!(
            (t - times).abs() < 1e-9 && (q - quantile).abs() < 1e-9,
            "{when}"
        );
    }

    for (when, text, negated) in [
        ("client = 'electrum/4.5'", "electrum/4.5", false),
        ("client = '== in the club'", "in the club", false),
        ("client = 'inside'", "inside", false),
        ("client = 'nothing'", "nothing", false),
        (r#"client = '!= " a\" "'"#, " a\" ", true),
        (r#"client = '== ""'"#, "", false),
    ] {
        let (_, test) = one_test("session", when);
        let Predicate::Equals {
            text: t,
            negated: n,
        } = test.predicate
        else {
            panic!("{when}");
        };
        assert_eq!((&*t, n), (text, negated), "{when}");
    }

    let (_, test) = one_test("session", "client = '!~ (?i)^ELECTRUM'");
    assert!(matches!(
        test.predicate,
        Predicate::Matches { regex, negated: true } if regex.is_match("electrum")
    ));
    let (_, test) = one_test("session", "logged = true");
    assert!(matches!(test.predicate, Predicate::Is(true)));
    assert_eq!(&*test.written, "true");
}

#[test]
fn arrays_within_a_test_are_lists() {
    let list = |when| {
        let (found, test) = one_test("session", when);
        let Predicate::In { list, negated } = test.predicate else {
            panic!("{when}");
        };
        (found, list, negated)
    };
    let (set, id, negated) = list(r#"client = '''in ["a, b", 'c', d e ,]'''"#);
    assert!(!negated);
    for text in ["a, b", "c", "d e"] {
        assert!(set.list(id).contains_text(text), "{text}");
    }
    assert_eq!(set.list(id).entries(), 3);
    let (set, id, negated) = list(r#"address = 'not in [10.0.0.0/8, "::1"]'"#);
    assert!(negated);
    assert!(set.list(id).contains_addr("10.2.3.4".parse().unwrap()));
    assert!(set.list(id).contains_addr("::1".parse().unwrap()));
    let (set, id, _) = list("address = 'in 2001:db8::/32'");
    assert!(set.list(id).contains_addr("2001:db8::7".parse().unwrap()));
    assert_eq!(set.list(id).name(), None);
}

#[test]
fn methods_are_written_dotted_or_quoted() {
    for when in [
        "requests.server.ping = '> 5'",
        "\"requests.server.ping\" = '> 5'",
        "requests.\"server.ping\" = '> 5'",
        "requests = { server = { ping = '> 5' } }",
    ] {
        let (_, test) = one_test("session", when);
        assert_eq!(test.field, Field::MethodRequests, "{when}");
        assert_eq!(test.method.as_deref(), Some("server.ping"));
        assert_eq!(&*test.field_written, "requests.server.ping");
    }
    let (_, test) = one_test("session", "requests = '> 5'");
    assert_eq!((test.field, test.method), (Field::Requests, None));
}

#[test]
fn every_action_is_read() {
    let action = |scope: &str, action: &str| {
        let text = format!(
            "[[policy]]\nname = 'p'\nscope = '{scope}'\naction = {action}\nwhen = {{ subs = '> 5' }}\n"
        );
        set(&[("dir/p.toml", &text)]).policies[0].action.clone()
    };
    assert_eq!(action("session", "'disconnect'"), Action::Disconnect);
    assert_eq!(action("server", "'alert'"), Action::Alert);
    let url = |to: &str| action("server", &format!("{{ daemon_url = {{ to = {to} }} }}"));
    let to = |to| Action::DaemonUrl { to };
    assert_eq!(url("'default'"), to(DaemonTarget::Default));
    assert_eq!(url("'primary'"), to(DaemonTarget::Primary));
    assert_eq!(url("'best'"), to(DaemonTarget::Best));
    let list = |daemons: &[&str]| {
        let daemons = daemons.iter().map(|&daemon| daemon.into());
        to(DaemonTarget::List(daemons.collect()))
    };
    assert_eq!(
        url("['10.0.0.2:8332', '[::1]:1', 'btc_1.lan:65535']"),
        list(&["10.0.0.2:8332", "[::1]:1", "btc_1.lan:65535"])
    );
}

/// A policy that takes a list file for addresses.
const BLOCK: &str = "[lists]
l = { file = 'l.txt' }
[[policy]]
name = 'p'
scope = 'subnet'
action = 'alert'
when = { address = 'in @l' }
";

#[test]
fn numbers_of_things_are_bounded() {
    let policies: String = (0..=bounds::POLICIES_MAX)
        .map(|i| {
            disconnect(
                &format!("p{i}"),
                &format!("when = {{ sessions = '== {i}' }}"),
            )
        })
        .collect();
    let source = || {
        vec![Source {
            name: "p.toml".into(),
            text: BLOCK.into(),
        }]
    };
    let few = check_within(source(), &mut |_| Ok("1.2.3.4\n".repeat(11)), 10);
    let bad = check(source(), &mut |_| Ok("x\n".repeat(2_000)));
    assert_eq!(bad.diagnostics.len(), 21);
    let big = "#".repeat(bounds::POLICY_FILE_SIZE_MAX + 1);
    insta::assert_snapshot!(
        [
            report(&[("p.toml", &policies)]),
            drawn(&few.diagnostics),
            drawn(&bad.diagnostics[19..]),
            report(&[("big.toml", &big)]),
        ]
        .join("\n\n")
    );
    let keys: Vec<_> = (0..1_500).map(|i| format!("k{i} = 1\n")).collect();
    let keys = keys.concat();
    let many = checked(&[("p.toml", &keys)]).diagnostics;
    assert_eq!(many.len(), 1_001);
    assert_eq!(many[1_000].to_string(), "500 more findings are not shown");
}

#[test]
fn lists_are_read_again() {
    let mut set = set(&[("p.toml", BLOCK), ("l.txt", "10.0.0.0/8\n")]);
    let id = set.list_files()[0].id;
    let ten = "10.0.0.1".parse().unwrap();
    assert!(set.list(id).contains_addr(ten));
    assert_eq!(set.list(id).version(), 0);
    set.reload_list(id, "192.168.0.0/16 # home\n".into())
        .unwrap();
    assert!(!set.list(id).contains_addr(ten));
    assert_eq!(set.list(id).version(), 1);
    // With a bad entry the list stays as it was.
    let told = set
        .reload_list(id, "10.0.0.0/8\nhome\n".into())
        .unwrap_err();
    assert!(!set.list(id).contains_addr(ten));
    assert_eq!(set.list(id).version(), 1);
    insta::assert_snapshot!(drawn(&told));
}

#[test]
fn folders_are_walked() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(path("sub/deep")).unwrap();
    let policy = |name: &str| {
        format!(
            "[[policy]]\nname = '{name}'\nscope = 'session'\naction = 'alert'\nwhen = {{ client = 'in @l' }}\n"
        )
    };
    std::fs::write(path("b.toml"), policy("b")).unwrap();
    std::fs::write(path("a.toml"), "[lists]\nl = { file = 'sub/l.txt' }\n").unwrap();
    std::fs::write(path("sub/l.txt"), "evil\n").unwrap();
    std::fs::write(path("sub/deep/c.toml"), policy("c")).unwrap();
    for left_out in ["b.test.toml", ".hidden.toml", "notes.md"] {
        std::fs::write(path(left_out), "not = [a policy").unwrap();
    }
    // A file named beside its folder is read once.
    let checked = PolicySet::load(&[path("b.toml"), dir.path().to_owned()]);
    assert_eq!(drawn(&checked.diagnostics), "");
    let set = checked.set.unwrap();
    let names: Vec<_> = set.policies.iter().map(|policy| &*policy.name).collect();
    assert_eq!(names, ["b", "c"]);
    assert_eq!(set.list_files()[0].path, path("sub/l.txt"));

    std::fs::create_dir(path("empty")).unwrap();
    std::fs::write(path("binary.toml"), b"\xff\xfe").unwrap();
    let checked = PolicySet::load(&[path("empty"), path("none.toml"), path("binary.toml")]);
    assert!(checked.set.is_none());
    let told: Vec<_> = checked
        .diagnostics
        .iter()
        .map(ToString::to_string)
        .collect();
    let told = told
        .join("\n")
        .replace(&*dir.path().to_string_lossy(), "DIR");
    insta::assert_snapshot!(told);
}

mod any_text {
    use proptest::prelude::*;

    use super::*;

    const DOCS: &str = include_str!("../../docs/policies.md");
    const JUNK: [&str; 13] = [
        "\"", "'", "]]", "{", "}", "=", "\u{1b}", "日本", "in [\"", "'''", "\\u00e9", ".", "> 5x",
    ];

    /// Lines of real policies, cut up and put together at random.
    fn mutated() -> impl Strategy<Value = String> {
        let pieces: Vec<_> = DOCS.lines().chain(EXAMPLE.lines()).chain(JUNK).collect();
        let piece = prop::sample::select(pieces);
        let end = prop::sample::select(&["\n", "\n", "", " "][..]);
        prop::collection::vec((piece, 0_usize..160, end), 0..20).prop_map(|pieces| {
            let cut = |(piece, cut, end): (&'static str, usize, &'static str)| {
                [&piece[..piece.floor_char_boundary(cut)], end]
            };
            pieces.into_iter().flat_map(cut).collect()
        })
    }

    /// The example with a few characters changed.
    fn misspelt() -> impl Strategy<Value = String> {
        let edit = (any::<prop::sample::Index>(), any::<char>(), 0..3_u8);
        prop::collection::vec(edit, 1..6).prop_map(|edits| {
            let mut chars: Vec<char> = EXAMPLE.chars().collect();
            for (at, c, kind) in edits {
                let at = at.index(chars.len());
                match kind {
                    0 => chars[at] = c,
                    1 => chars.insert(at, c),
                    _ => drop(chars.remove(at)),
                }
            }
            chars.into_iter().collect()
        })
    }

    proptest! {
        #[test]
        fn ends_in_a_set_or_in_errors_that_can_be_drawn(text in prop_oneof![mutated(), misspelt()]) {
            let checked = checked(&[("p.toml", &text), ("bad-clients.txt", "evil\n")]);
            let errors = checked.diagnostics.iter().filter(|d| d.is_error()).count();
            prop_assert_eq!(checked.set.is_some(), errors == 0);
            let told = drawn(&checked.diagnostics);
            prop_assert!(!told.chars().any(|c| c.is_control() && c != '\n'), "{told:?}");
            for diagnostic in &checked.diagnostics {
                prop_assert!(diagnostic.code().starts_with("policy::"));
                prop_assert!(diagnostic.file().is_none() || diagnostic.underlined().is_some());
            }
        }
    }
}

#[test]
fn whoever_acts_on_a_whole_is_told_so() {
    let told = |rest: &str| {
        let policy = format!("[[policy]]\nname = 'n'\naction = 'disconnect'\n{rest}\n");
        report(&[("p.toml", &policy)])
    };
    insta::assert_snapshot!(
        told("scope = 'subnet'\nmembers = 'all'\nwhen = { sessions = '> 50' }"),
        @r"
    policy::acts_on_all

      ⚠ policy `n` acts on all members, those who did nothing included
       ╭─[p.toml:5:11]
     4 │ scope = 'subnet'
     5 │ members = 'all'
       ·           ─────
     6 │ when = { sessions = '> 50' }
       ╰────
      help: left out, it acts on those who did it, until the rest no longer meets the test
    "
    );
    let banning = "[[policy]]\nname = 'n'\naction = { ban = { for = '1h' } }\nscope = 'subnet'\n\
                   members = 'all'\nwhen = { sessions = '> 50' }\n";
    let banning = report(&[("p.toml", banning)]);
    assert!(banning.contains("even those who did nothing"), "{banning}");
    let nobody =
        told("scope = 'group'\nwhen = [{ retained_cost = '> 9', group = '10' }, { cost = '> 9' }]");
    assert_eq!(nobody.matches("policy::").count(), 1, "{nobody}");
    assert!(
        nobody.contains("never finds anybody to act on: nobody's part of `retained_cost` is known"),
        "{nobody}"
    );
    for silent in [
        "scope = 'subnet'\nmembers = 'guilty'\nwhen = { sessions = '> 50' }",
        "scope = 'subnet'\nwhen = { regulars = '> 5', new_addresses = '> 50' }",
        "scope = 'subnet'\nwhen = { regulars = '< 5' }",
        "scope = 'group'\nwhen = { retained_cost = '> 9', cost_rate = '> 9/s' }",
        "scope = 'address'\nwhen = { regular = false }",
        "scope = 'session'\nwhen = { seniority = '> 1h' }",
    ] {
        assert_eq!(told(silent), "", "{silent}");
    }
    let alert =
        "[[policy]]\nname = 'n'\naction = 'alert'\nscope = 'subnet'\nwhen = { regulars = '> 5' }\n";
    assert_eq!(report(&[("p.toml", alert)]), "");
    let all = told("scope = 'subnet'\nmembers = 'all'\nwhen = { regulars = '> 5' }");
    assert!(all.contains("policy::acts_on_all"), "{all}");
    assert!(!all.contains("policy::nobody_guilty"), "{all}");
}

#[test]
fn a_name_that_is_a_url_shows_its_password_nowhere() {
    for head in ["[[policy]]\nname = ", "[lists]\n"] {
        for name in [
            "http://u:secret@host/",
            "u:secret@host",
            "HTTP://U:SECRET@HOST",
        ] {
            let tail = if head.ends_with("= ") { "" } else { " = []" };
            let found = check(
                vec![Source {
                    name: "p.toml".into(),
                    text: format!("{head}\"{name}\"{tail}\n"),
                }],
                &mut |_| Ok(String::new()),
            );
            let bad: Vec<_> = found
                .diagnostics
                .iter()
                .map(|it| format!("{it} {:?}", it.advice()))
                .collect();
            assert!(bad.iter().any(|it| it.contains("is not a name")), "{bad:?}");
            assert!(!bad.concat().to_lowercase().contains("secret"), "{bad:?}");
        }
    }
}

/// As Spamhaus' DROP and others come.
#[test]
fn a_block_list_is_read_as_it_comes() {
    let policy = "[lists]\nbad = { file = \"drop.txt\" }\n[[policy]]\nname = \"bad\"\nabout = \"x\"\n\
                  scope = \"address\"\nwhen = { address = \"in @bad\" }\naction = \"alert\"\n";
    let list = "; Spamhaus DROP List 2026/01/31\n1.2.3.0/24 ; SBL123\n5.6.7.4 - 5.6.7.9 # range\n";
    let found = checked(&[("p.toml", policy), ("drop.txt", list)]);
    assert!(found.diagnostics.is_empty(), "{:?}", found.diagnostics);
    let set = found.set.unwrap();
    let is_in = |address: &str| set.lists[0].contains_addr(address.parse().unwrap());
    assert!(is_in("1.2.3.4") && is_in("5.6.7.4") && is_in("5.6.7.9"));
    assert!(!is_in("5.6.7.3") && !is_in("5.6.7.10"));
    assert_eq!(set.lists[0].entries(), 2);
    let list = "5.6.7.9-5.6.7.4\n";
    let found = checked(&[("p.toml", policy), ("drop.txt", list)]);
    let told = found.diagnostics[0].to_string();
    assert!(
        found.set.is_none() && told.contains("5.6.7.9-5.6.7.4"),
        "{told}"
    );
}
