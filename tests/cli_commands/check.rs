//! `check`

use std::os::unix::fs::PermissionsExt;

use electrumx_warden::journal::Journal;

use crate::{Folder, is_root, told};

const GOOD: &str = r#"
[[policy]]
name = "hog"
scope = "subnet"
when = { sent_rate = "> 1 MiB/s" }
action = "disconnect"
"#;

const WARNS: &str = r#"
[lists]
offices = ["10.1.2.3/8"]

[[policy]]
name = "idle"
scope = "session"
when = { address = "in @offices", subs = "> 5" }
window = "5m"
action = "alert"
"#;

const WRONG: &str = r#"
[[policy]]
name = "curious"
scope = "session"
when = { agee = "> 1m", client = "=~ ^(bot" }
action = "disconect"
"#;

const CONFIG: &str = "[server]\nrpc = '127.0.0.1:8000'\n";

#[test]
fn good_policies() {
    let folder = Folder::with(&[
        ("p/a.toml", GOOD),
        ("w.toml", CONFIG),
        ("policies/b.toml", GOOD),
    ]);
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["check", "p"],
            &["check", "p/a.toml"],
            &["check", "--config", "w.toml"],
            &["check", "--config", "w.toml", "p"],
            &["check", "--format", "json", "p"],
        ],
    ));
}

/// What a release before 2.0 does not tell is said without a server, and is no warning.
#[test]
fn policies_that_need_a_later_server() {
    const ERRS: &str = "[[policy]]\nname = 'errs'\nscope = 'session'\naction = 'alert'\n\
                        when = { error_rate = '> 2/s' }\n";
    let folder = Folder::with(&[
        ("p.toml", ERRS),
        ("off.toml", &format!("{ERRS}mode = 'off'\n")),
    ]);
    let ran = folder.run(&["check", "--deny-warnings", "p.toml"]);
    insta::assert_snapshot!(ran.told());
    let json = folder.run(&["check", "--format", "json", "p.toml"]);
    assert_eq!(json.json()[0]["inspecting"], 1);
    let off = folder.run(&["check", "off.toml"]);
    assert_eq!(off.out, "1 policy in 1 file: ok\n");
    // One that acts without it too, and one whose exception would be for everybody.
    let of_two = ERRS.replace(
        "{ error_rate = '> 2/s' }",
        "[{ errors = '> 9' }, { subs = '> 9' }]",
    );
    let unless = ERRS.replace(
        "{ error_rate = '> 2/s' }",
        "{ subs = '> 9' }\nunless = { errors = '< 5' }",
    );
    for (policy, inspecting) in [(of_two, 0), (unless, 1)] {
        folder.write("p.toml", policy.as_bytes());
        let json = folder.run(&["check", "--format", "json", "p.toml"]);
        let told = json.json().last().unwrap()["inspecting"].as_u64();
        assert_eq!(told.unwrap_or(0), inspecting, "{policy}\n{}", json.out);
    }
}

#[test]
fn a_policy_file_is_no_configuration() {
    let folder = Folder::with(&[("p.toml", GOOD)]);
    insta::assert_snapshot!(told(&folder, &[&["check", "--config", "p.toml"]]));
}

#[test]
fn warnings_are_allowed_or_not() {
    let folder = Folder::with(&[("p.toml", WARNS)]);
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["check", "p.toml"],
            &["check", "--deny-warnings", "p.toml"],
            &["check", "--deny-warnings", "--format", "json", "p.toml"],
        ],
    ));
}

#[test]
fn every_mistake_of_configuration_and_policies_at_once() {
    let config = "mode = 'on'\n[sever]\nrpc = '127.0.0.1:8000'\n[policies]\npaths = ['p']\n";
    let folder = Folder::with(&[("w.toml", config), ("p/a.toml", WRONG), ("p/b.toml", WARNS)]);
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["check", "--config", "w.toml"],
            &["check", "--config", "w.toml", "--format", "json"],
        ],
    ));
}

#[test]
fn what_cannot_be_read() {
    let folder = Folder::with(&[
        ("empty/notes.txt", "nothing"),
        (
            "gone.toml",
            "[server]\nrpc = '127.0.0.1:8000'\n[policies]\npaths = ['gone']\n",
        ),
    ]);
    folder.write("latin.toml", b"name = '\xe9'\n");
    folder.write("latin/p.toml", b"name = '\xe9'\n");
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["check", "missing.toml"],
            &["check", "empty"],
            &["check", "latin"],
            &["check", "--config", "missing.toml"],
            &["check", "--config", "empty"],
            &["check", "--config", "latin.toml"],
            &["check", "--config", "gone.toml"],
            &["check"],
        ],
    ));
}

#[test]
fn without_permission() {
    let folder = Folder::with(&[("p.toml", GOOD), ("w.toml", CONFIG)]);
    for file in ["p.toml", "w.toml"] {
        let mode = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(folder.path().join(file), mode).unwrap();
    }
    // Nothing is closed to root.
    if !is_root() {
        let ran = folder.run(&["check", "--config", "w.toml", "p.toml"]);
        assert_eq!(ran.code, 1);
        assert_eq!(
            ran.out.matches("permission denied").count(),
            2,
            "{}",
            ran.out
        );
    }
}

#[test]
fn help_wraps_at_the_width() {
    let folder = Folder::with(&[("p.toml", "[[policy]]\nname = 'Bad Name'\n")]);
    let out = |columns: &str| {
        let mut command = folder.command(&["check", "p.toml"]);
        folder.ran(command.env("COLUMNS", columns)).out
    };
    let lines = |columns: &str| out(columns).lines().count();
    assert!(lines("50") > lines("120"));
    // Who sets nonsense gets what fits.
    assert_eq!(lines("5"), lines("40"));
    assert_eq!(out("wide"), out("100"));
}

#[test]
fn colour_is_for_terminals() {
    let folder = Folder::with(&[("p.toml", WARNS)]);
    let args = ["check", "p.toml"];
    assert!(!folder.run(&args).out.contains('\u{1b}'));
    let forced = folder.ran(folder.command(&args).env("CLICOLOR_FORCE", "1"));
    assert!(forced.out.contains('\u{1b}'));
    let refused = folder.ran(
        folder
            .command(&args)
            .env("CLICOLOR_FORCE", "1")
            .env("NO_COLOR", "1"),
    );
    assert!(!refused.out.contains('\u{1b}'));
}

#[test]
fn the_daemons_are_read_and_compared_with_the_policies() {
    let folder = Folder::with(&[
        (
            "w.toml",
            "[server]\nrpc = \"127.0.0.1:1\"\n[server.daemon]\nurls = { file = \"daemons.txt\" }\n",
        ),
        (
            "policies/p.toml",
            "[[policy]]\nname = \"away\"\nabout = \"x\"\nscope = \"server\"\n\
             when = { daemon_healthy = false }\n\
             action = { daemon_url = { to = [\"10.0.0.9:8332\"] } }\ncooldown = \"1h\"\n",
        ),
    ]);
    let missing = folder.run(&["check", "--config", "w.toml"]);
    folder.write(
        "daemons.txt",
        b"u:sesame@10.0.0.1:8332\nu:sesame@10.0.0.2:8332\n",
    );
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("daemons.txt"), private).unwrap();
    let read = folder.run(&["check", "--config", "w.toml"]);
    assert!(!format!("{}{}", read.out, read.err).contains("sesame"));
    insta::assert_snapshot!(format!("{}\n{}", missing.told(), read.told()));
}

/// A folder whose configuration takes the daemons from `daemons.txt`.
fn with_daemons(urls: &str) -> Folder {
    let folder = Folder::with(&[
        (
            "w.toml",
            "[server]\nrpc = \"127.0.0.1:1\"\n[server.daemon]\nurls = { file = \"daemons.txt\" }\n",
        ),
        ("policies/p.toml", GOOD),
        ("daemons.txt", urls),
    ]);
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(folder.path().join("daemons.txt"), private).unwrap();
    folder
}

#[test]
fn daemons_that_are_read_and_wrong_are_an_error() {
    let told = [
        "http://sesame.lan:8332",
        "u:sesame@h",
        "u:sesame@h:1,u:sesame@H:1",
        "# none\n",
        "export DAEMON_URL=\"http://u:sesame@h:1\" # mine\n",
    ]
    .map(|urls| {
        let folder = with_daemons(urls);
        let checked = folder.run(&["check", "--config", "w.toml"]);
        assert_eq!(checked.code, 1, "{}", checked.out);
        assert!(!checked.told().contains("sesame"), "{}", checked.told());
        let finding = &folder
            .run(&["check", "--config", "w.toml", "--format", "json"])
            .json()[0];
        assert_eq!(finding["code"], "config::bad_daemons");
        let run = folder.run(&["run", "--config", "w.toml"]);
        assert_eq!(run.code, 3);
        // In the same words.
        let message = finding["message"].as_str().unwrap();
        assert_eq!(run.err, format!("error: {message}\n"));
        format!("{}\n{}", urls.replace("sesame", "SECRET"), checked.told())
    });
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn daemons_that_are_no_two_are_a_warning() {
    let environment = "COIN = Bitcoin\nDAEMON_URL = u:sesame@localhost,u:sesame@127.0.0.1\n";
    let [one, alike] = ["u:sesame@10.0.0.1:8332", environment].map(|urls| {
        let folder = with_daemons(urls);
        folder.run(&["check", "--config", "w.toml"]).told()
    });
    insta::assert_snapshot!(format!("{one}\n{alike}"));
}

#[test]
fn policies_that_want_daemons_are_counted() {
    let config = |rest: &str| format!("{CONFIG}[policies]\npaths = ['d.toml']\n{rest}");
    let (without, with) = (
        config(""),
        config("[server.daemon]\nurls = { env = 'NONE' }\n"),
    );
    let folder = Folder::with(&[
        ("without.toml", &without),
        ("with.toml", &with),
        ("d.toml", include_str!("../../policies/daemons.toml")),
        ("policies/p.toml", GOOD),
        ("none.toml", CONFIG),
    ]);
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["check", "--config", "without.toml"],
            &[
                "check",
                "--config",
                "without.toml",
                "--deny-warnings",
                "--format",
                "json"
            ],
            &["check", "--config", "with.toml"],
            &["check", "--config", "none.toml", "--format", "json"],
            &["check", "d.toml"],
        ],
    ));
}

/// As `run` says it, and nothing is made.
#[test]
fn a_journal_that_run_refuses() {
    let config = |path: &str| {
        format!(
            "[server]\nrpc = '127.0.0.1:1'\n[policies]\npaths = ['p']\n[journal]\npath = '{path}'\n[record]\non = false\n"
        )
    };
    let folder = Folder::with(&[
        ("p/a.toml", GOOD),
        ("text", "no database, but long enough to be one"),
    ]);
    let path = |name: &str| folder.path().join(name);
    let sql = |name: &str, sql: &str| {
        let connection = rusqlite::Connection::open(path(name)).unwrap();
        connection.execute_batch(sql).unwrap();
    };
    sql("other", "CREATE TABLE t (x)");
    Journal::open(&path("later")).unwrap();
    sql("later", "PRAGMA user_version = 99");
    std::fs::create_dir(path("folder")).unwrap();
    let entries = |folder: &Folder| {
        let mut names: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    for (journal, code) in [
        ("none/j", 0),
        ("folder", 1),
        ("text", 1),
        ("other", 1),
        ("later", 1),
    ] {
        folder.write("w.toml", config(journal).as_bytes());
        let before = entries(&folder);
        let checked = folder.run(&["check", "--config", "w.toml", "--format", "json"]);
        assert_eq!(before, entries(&folder), "{journal}");
        assert_eq!(checked.code, code, "{journal} {}", checked.out);
        let place = &checked.json()[0];
        assert_eq!(
            (&place["file"], &place["line"]),
            (&"w.toml".into(), &6.into())
        );
        let told = checked.json()[0]["message"].as_str().unwrap().to_owned();
        let ran = folder.run(&["run", "--config", "w.toml"]);
        assert_eq!(ran.code, 3, "{journal}");
        assert!(ran.err.contains(&told), "{told}\n{}", ran.err);
    }
    // Nor is it silent beside other mistakes.
    folder.write("w.toml", format!("{}x = 1\n", config("none/j")).as_bytes());
    let checked = folder.run(&["check", "--config", "w.toml", "--format", "json"]);
    let codes: Vec<_> = checked.json().iter().map(|it| it["code"].clone()).collect();
    assert_eq!(codes[..2], ["config::unknown_key", "config::journal"]);
    // Where the path is wrong, no other is looked at.
    folder.write(
        "w.toml",
        config("x").replace("path = '", "path = 5 # '").as_bytes(),
    );
    std::fs::create_dir(folder.path().join("electrumx-warden.sqlite")).unwrap();
    let checked = folder.run(&["check", "--config", "w.toml", "--format", "json"]);
    let codes: Vec<_> = checked.json().iter().map(|it| it["code"].clone()).collect();
    assert!(!codes.contains(&"config::journal".into()), "{codes:?}");
    // A good one, and one that is to be made.
    drop(Journal::open(&path("good")).unwrap());
    for journal in ["good", "new"] {
        folder.write("w.toml", config(journal).as_bytes());
        let before = entries(&folder);
        let checked = folder.run(&["check", "--config", "w.toml", "--deny-warnings"]);
        assert_eq!(
            (checked.code, entries(&folder)),
            (0, before),
            "{journal} {}",
            checked.out
        );
    }
    // One that an agent has open.
    let _open = Journal::open(&path("good")).unwrap();
    folder.write("w.toml", config("good").as_bytes());
    let checked = folder.run(&["check", "--config", "w.toml", "--deny-warnings"]);
    assert_eq!(checked.code, 0, "{}", checked.out);
}

#[test]
fn a_journal_folder_without_permission() {
    let folder = Folder::with(&[("p/a.toml", GOOD)]);
    folder.write(
        "w.toml",
        b"[server]\nrpc = '127.0.0.1:1'\n[policies]\npaths = ['p']\n[journal]\npath = 'closed/j'\n",
    );
    let closed = folder.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::fs::Permissions::from_mode(0o555)).unwrap();
    // Nothing is closed to root.
    if !is_root() {
        let checked = folder.run(&["check", "--config", "w.toml", "--format", "json"]);
        let told = checked.json()[0]["message"].as_str().unwrap().to_owned();
        let ran = folder.run(&["run", "--config", "w.toml"]);
        assert!(
            told.contains("permission denied") && ran.err.contains(&told),
            "{told}\n{}",
            ran.err
        );
    }
}

/// Where bans are served and shared: what cannot be read here may be elsewhere, and what is wrong is wrong anywhere.
#[test]
fn secrets_that_cannot_be_used() {
    let ban = "[ban]\nsinks = ['decisions', 'crowdsec']\n\
               [ban.decisions]\nlisten = '127.0.0.1:8087'\nkey = { file = 'key' }\n\
               [ban.crowdsec]\nurl = 'http://h:8080'\nmachine = 'w'\npassword = { file = 'none' }\n";
    let config = format!("{CONFIG}[policies]\npaths = ['p']\n{ban}");
    let folder = Folder::with(&[("p/a.toml", GOOD), ("w.toml", &config), ("key", "\n")]);
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["check", "--config", "w.toml"],
            &["run", "--config", "w.toml"]
        ],
    ));
}
