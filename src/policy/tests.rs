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
