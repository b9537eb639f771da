//! A hostile world: what it can make the journal hold is bounded.

use std::net::SocketAddr;

use electrumx_warden::decision::Outcome;
use electrumx_warden::journal::Row;
use electrumx_warden::policy::Mode;
use electrumx_warden::sim::{Release, SessionKey};

use crate::scene::{Scene, policy};

const SESSIONS: u32 = 2_000;
const POLICIES: usize = 10;
const POLLS: usize = 7;

/// Everybody leaves and comes back between two polls, so that every target is a new one.
async fn flood(mode: Mode) -> Scene {
    let policies: String = (0..POLICIES)
        .map(|n| {
            let name = format!("evil-{n}");
            let when = "{ client = \"=~ ^evil\" }";
            policy(&name, "session", when, "\"disconnect\"", "")
        })
        .collect();
    let mut scene = Scene::new(Release::V1_20_0, policies).await;
    scene.settings.mode = mode;
    scene.settings.limits.breaker.regulars_min = 1_000_000;
    scene.settings.limits.disconnect.rate.count = 3_000;
    let mut keys: Vec<SessionKey> = Vec::new();
    let (mut told, mut untold) = (0, 0);
    for _ in 0..POLLS {
        for key in keys.drain(..) {
            scene.server.world().hang_up(key);
        }
        for n in 0..SESSIONS {
            let [_, _, c, d] = n.to_be_bytes();
            let peer = SocketAddr::from(([198, 18, c, d], 50_000));
            keys.push(scene.server.world().connect(peer, "evil/1"));
        }
        let tick = scene.poll().await;
        assert!(tick.failure.is_none());
        told += tick.carried.len();
        untold += tick.untold;
    }
    // Of a policy the worst thousand come to a decision.
    assert_eq!(told + untold, POLLS * POLICIES * 1_000);
    assert_eq!(scene.rows().len(), told);
    scene
}

#[tokio::test]
async fn the_journal_is_not_flooded() {
    for mode in [Mode::Enforce, Mode::DryRun] {
        let scene = Box::pin(flood(mode)).await;
        let rows = scene.rows();
        let held_back = |row: &&Row| matches!(row.outcome, Outcome::Suppressed(_));
        let held_back = rows.iter().filter(held_back).count();
        // 300 at once and 20 a minute, for a minute; and what the budget of disconnects permits,
        // 3,000 at once and 3,000 a minute.
        assert!((300..=320).contains(&held_back), "{held_back}");
        assert!(
            (5_900..=6_100).contains(&(rows.len() - held_back)),
            "{}",
            rows.len()
        );
    }
}
