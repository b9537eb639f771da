//! What keeps the agent from starting.

use crate::{Folder, told};

#[test]
fn not_started() {
    let with = |rest: &str| format!("[server]\nrpc = '127.0.0.1:1'\n{rest}");
    let policy = "[[policy]]\nname = 'p'\nscope = 'session'\nwhen = { subs = '> 5' }\naction = ";
    let folder = Folder::with(&[
        (
            "wrong.toml",
            "mode = 'dryrun'\n[server]\nrpc = '127.0.0.1'\n",
        ),
        ("no-policies.toml", &with("")),
        (
            "bad-policies.toml",
            &with("[policies]\npaths = ['bad.toml']\n"),
        ),
        ("bad.toml", &format!("{policy}'kick'\n")),
        ("good.toml", &format!("{policy}'disconnect'\n")),
        (
            "bad-journal.toml",
            &with("[policies]\npaths = ['good.toml']\n[journal]\npath = 'good.toml'\n"),
        ),
        (
            "no-folder.toml",
            &with("[policies]\npaths = ['good.toml']\n[journal]\npath = 'no/j.sqlite'\n"),
        ),
    ]);
    insta::assert_snapshot!(told(
        &folder,
        &[
            &["run", "--config", "missing.toml"],
            &["run", "--config", "wrong.toml"],
            &["run", "--config", "no-policies.toml"],
            &["run", "--config", "bad-policies.toml"],
            &["run", "--config", "bad-journal.toml"],
            &["run", "--config", "no-folder.toml"],
            &["once", "--rpc", "127.0.0.1:1", "--policies", "bad.toml"],
            &["once", "--rpc", "127.0.0.1:1", "--policies", "good.toml"],
        ],
    ));
}
