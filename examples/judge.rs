//! The pure core without an agent: two polls as JSON, one policy, and what follows from them.
//!
//! `cargo run --example judge`

use std::error::Error;
use std::time::Duration;

use electrumx_warden::policy::{Mode, Source, check};
use electrumx_warden::snapshot::{Snapshot, Span};
use electrumx_warden::time::Timestamp;
use electrumx_warden::warden::{Settings, Warden};
use electrumx_warden::wire::{GetinfoSeed, SessionsSeed};
use serde::de::DeserializeSeed;
use serde_json::Deserializer;

const POLICY: &str = r#"
[[policy]]
name   = "hog"
about  = "A session that is sent more than 1 MiB a second."
scope  = "session"
when   = { sent_rate = "> 1 MiB/s" }
window = "10s"
action = "disconnect"
"#;

const GETINFO: &str = r#"{"sessions": 2, "errors": 0, "uptime": "01h 00m 00s"}"#;

/// What the server might say: an idle session, and one that was sent 20 MB more.
const POLLS: [&str; 2] = [
    r#"[[1, "S1", "1.2.3.4:5", "4.5.8", "1.4", 0, 0, 0, 9, 900, 9, 5000, 60.0],
        [2, "S1", "5.6.7.8:9", "4.5.8", "1.4", 0, 0, 0, 9, 900, 9, 5000, 60.0]]"#,
    r#"[[1, "S1", "1.2.3.4:5", "4.5.8", "1.4", 0, 0, 0, 9, 900, 9, 5000, 70.0],
        [2, "S1", "5.6.7.8:9", "4.5.8", "1.4", 0, 0, 0, 99, 9900, 99, 20005000, 70.0]]"#,
];

fn main() -> Result<(), Box<dyn Error>> {
    let source = Source {
        name: "hog.toml".into(),
        text: POLICY.into(),
    };
    let checked = check(vec![source], &mut |_| Ok(String::new()));
    for diagnostic in &checked.diagnostics {
        eprintln!("{diagnostic}");
    }
    let set = checked.set.ok_or("the policy has mistakes")?;
    let mut warden = Warden::new(
        set,
        Settings {
            mode: Mode::Enforce,
            ..Settings::default()
        },
    );

    let mut snapshot = Snapshot::default();
    let mut now = Timestamp::from_millis(1_767_225_600_000);
    for poll in POLLS {
        GetinfoSeed(&mut snapshot.server).deserialize(&mut Deserializer::from_str(GETINFO))?;
        SessionsSeed(&mut snapshot.sessions).deserialize(&mut Deserializer::from_str(poll))?;
        snapshot.server_read = Span {
            asked: now,
            answered: now,
        };
        snapshot.sessions_read = snapshot.server_read;
        warden.observe(&snapshot);
        for ruling in warden.judge(&snapshot).rulings {
            println!("{}", serde_json::to_string_pretty(&ruling.decision)?);
        }
        now = now + Duration::from_secs(10);
    }
    Ok(())
}
