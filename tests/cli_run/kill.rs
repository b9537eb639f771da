//! `kill -9` at any moment: nothing is lost, nothing is repeated.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use electrumx_warden::decision::Outcome;
use electrumx_warden::journal::{INTERRUPTED, Journal};
use electrumx_warden::policy::ActionKind;
use electrumx_warden::sim::{Pace, Release, Server, SessionKey, World};

use crate::process::{Folder, Running, until};
use crate::tap::{Tap, Trick};

const ROUNDS: u64 = 18;

/// Two new abusers and two new oddities a round.
fn newcomers(server: &Server, round: u64) -> Vec<SessionKey> {
    let mut world = server.world();
    let names = ["evil/1", "odd/1", "good", "evil/2", "odd/2"];
    let last = u8::try_from(round).unwrap();
    names
        .iter()
        .zip(1_u16..)
        .map(|(name, port)| world.connect(([198, 51, 100, last], port).into(), name))
        .collect()
}

/// When the process of a round dies: at a time, or when it asks for something.
async fn die(round: u64, agent: &Running, tap: &Tap) {
    let victim = agent.clone();
    let kill: Box<dyn FnOnce() + Send> = Box::new(move || victim.kill());
    let method = if round.is_multiple_of(2) {
        "disconnect"
    } else {
        "log"
    };
    match round % 3 {
        0 => {
            let mut chance = fastrand::Rng::with_seed(round);
            tokio::time::sleep(Duration::from_millis(chance.u64(20..1_500))).await;
            drop(kill);
            agent.kill();
        }
        // The server hears it all the same.
        1 => tap.play(method, Trick::First(kill)),
        // It is done, and nobody learns that.
        _ => tap.play(method, Trick::Then(kill)),
    }
    agent.end(Duration::from_secs(20)).await;
    tap.play_no_more();
}

#[tokio::test]
async fn nothing_is_lost_and_nothing_repeated() {
    let world = World::empty(Release::V1_20_0, 1);
    let server = Arc::new(Server::start(world, Pace::Times(1.0)).await.unwrap());
    let tap = Tap::on(server.addr()).await;
    let folder = Folder::new(tap.addr);
    let mut sessions = Vec::new();
    for round in 0..ROUNDS {
        sessions.extend(newcomers(&server, round));
        die(round, &folder.run(), &tap).await;
    }

    // The last one lives long enough to do what is left.
    let agent = folder.run();
    until("no log run is left", || {
        log_runs(&folder) == 0 && is_quiet(&server)
    })
    .await;
    agent.terminate();
    let (status, told) = agent.end(Duration::from_secs(10)).await;
    assert!(status.success(), "{told}");

    judge(&folder, &tap);
    let world = server.world();
    let open = sessions.iter().filter(|&&key| world.is_open(key)).count();
    assert!(open as u64 <= ROUNDS * 3 + ROUNDS, "{open}");
}

fn log_runs(folder: &Folder) -> usize {
    let journal = Journal::open_read_only(&folder.journal()).unwrap();
    journal.load_state().unwrap().log_runs.len()
}

/// Nobody is logged.
fn is_quiet(server: &Server) -> bool {
    let rows = server.world().reply("sessions").unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&rows).unwrap();
    !rows
        .iter()
        .any(|row| row[1].as_str().unwrap().contains('L'))
}

/// What the server heard against what the journal holds.
fn judge(folder: &Folder, tap: &Tap) {
    let rows = folder.rows();
    let mut decided: HashMap<ActionKind, HashSet<u64>> = HashMap::new();
    let mut interrupted = 0;
    for row in &rows {
        let is_act = !matches!(row.outcome, Outcome::Suppressed(_));
        assert_ne!(row.outcome, Outcome::Intended, "{row:?}");
        if let Outcome::Failed { detail } = &row.outcome {
            assert_eq!(detail, INTERRUPTED);
            interrupted += 1;
        }
        let ids = decided.entry(row.decision.action.kind()).or_default();
        for session in row.decision.sessions.iter().filter(|_| is_act) {
            assert!(
                ids.insert(session.id),
                "decided twice within the cooldown: {row:?}"
            );
        }
    }
    assert!(interrupted >= ROUNDS / 3, "{interrupted}");

    let disconnected = tap.ids("disconnect");
    let distinct: HashSet<u64> = disconnected.iter().copied().collect();
    assert_eq!(
        distinct.len(),
        disconnected.len(),
        "disconnected twice: {disconnected:?}"
    );
    assert!(distinct.is_subset(&decided[&ActionKind::Disconnect]));
    assert!(distinct.len() as u64 >= ROUNDS, "{}", distinct.len());

    let mut toggles: HashMap<u64, usize> = HashMap::new();
    for id in tap.ids("log") {
        *toggles.entry(id).or_default() += 1;
    }
    assert!(
        toggles
            .keys()
            .all(|id| decided[&ActionKind::Log].contains(id))
    );
    assert!(toggles.values().all(|&count| count == 2), "{toggles:?}");
    assert!(toggles.len() as u64 >= ROUNDS, "{}", toggles.len());
}
