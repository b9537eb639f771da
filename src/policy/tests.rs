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
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor())
        .with_width(100)
        .with_links(false);
    let mut out = String::new();
    for diagnostic in &checked(files).diagnostics {
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
        Predicate::Compare(Comparison::Greater, Threshold::Fixed(rate)) if rate == 1_048_576.0
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
        "limit = '1.5/min'",
        "limit = '5 MiB/s'",
        "limit = '5/100ms'",
    ];
    let texts: Vec<_> = cases.iter().map(|case| format!("{p}{case}\n")).collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    insta::assert_snapshot!(reports(&texts));
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
        ("server", "{ daemon_url = { to = { env = '$URLS' } } }"),
        (
            "server",
            "{ daemon_url = { to = { env = 'A', file = 'b' } } }",
        ),
        (
            "server",
            "{ daemon_url = { to = { file = 'http://u:secret@h/' } } }",
        ),
        ("server", "{ daemon_url = { to = 5 } }"),
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
