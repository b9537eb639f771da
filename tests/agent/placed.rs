//! A proxy in front of the server is told of.

use std::net::SocketAddr;
use std::time::Duration;

use electrumx_warden::sim::{Release, SessionKey};

use crate::log::Log;
use crate::scene::{Scene, policy};

fn crowd(scene: &Scene) -> Vec<SessionKey> {
    let peer = |port| SocketAddr::from(([198, 51, 100, 1], port));
    let mut world = scene.server.world();
    (1..=25)
        .map(|port| world.connect(peer(port), "x"))
        .collect()
}

#[tokio::test]
async fn a_crowd_behind_one_address_is_told_once_and_after_an_hour() {
    let alert = policy(
        "many",
        "server",
        "{ sessions = \"> 999\" }",
        "\"alert\"",
        "",
    );
    let mut scene = Scene::new(Release::V1_20_0, alert).await;
    let (log, _guard) = Log::listen();
    let told = |log: &Log| {
        let lines = log.lines();
        let is_it =
            |line: &&String| line.contains("25 of 25 clients have the address `198.51.100.1/32`");
        lines.iter().filter(is_it).count()
    };
    let mut keys = crowd(&scene);
    for expected in [1, 0, 0] {
        scene.good_poll().await;
        assert_eq!(told(&log), expected);
    }
    // It goes and comes back, within the hour and later.
    for (pause, expected) in [(600, 0), (3_600, 1)] {
        for key in keys.drain(..) {
            scene.server.world().hang_up(key);
        }
        scene.good_poll().await;
        scene.server.advance(Duration::from_secs(pause));
        keys = crowd(&scene);
        // The server may have closed the connection meanwhile.
        scene.poll().await;
        scene.good_poll().await;
        assert_eq!(told(&log), expected, "{pause}");
    }
}
