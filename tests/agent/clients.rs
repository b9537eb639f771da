//! What is known of clients outlives the agent, but for the last ten minutes before a kill.

use std::time::Duration;

use electrumx_warden::history::KnownClient;
use electrumx_warden::journal::Journal;
use electrumx_warden::sim::Release;
use rusqlite::Connection;

use crate::log::Log;
use crate::scene::{INTERVAL, Scene, evil};

fn known(scene: &mut Scene) -> Vec<KnownClient> {
    scene.agent().warden().saved_clients().clients
}

async fn polls(scene: &mut Scene, count: u32) {
    for _ in 0..count {
        scene.good_poll().await;
    }
}

fn connected(clients: &[KnownClient]) -> Vec<Duration> {
    let connected = clients.iter().map(|client| client.connected_ms);
    connected.map(Duration::from_millis).collect()
}

#[tokio::test]
async fn a_kill_costs_ten_minutes_at_the_most() {
    let mut scene = Scene::new(Release::V1_20_0, evil()).await;
    scene.client("one", 1);
    polls(&mut scene, 62).await;
    assert_eq!(known(&mut scene).len(), 1);
    // The server ends sessions that do nothing for ten minutes.
    scene.client("one", 1);
    scene.client("two", 2);
    polls(&mut scene, 58).await;
    assert_eq!(known(&mut scene).len(), 2);
    scene.kill_agent();
    let clients = known(&mut scene);
    assert_eq!(connected(&clients), [INTERVAL * 60], "as it was saved");
    // The time since it was saved is made up for by who is still there.
    polls(&mut scene, 1).await;
    let clients = known(&mut scene);
    let expected = [INTERVAL * 118, INTERVAL * 58];
    assert_eq!(connected(&clients), expected);
}

#[tokio::test]
async fn the_end_of_a_run_saves_all_of_it() {
    let mut scene = Scene::new(Release::V1_20_0, evil()).await;
    scene.client("one", 1);
    polls(&mut scene, 3).await;
    scene.agent().run(std::future::ready(()), |_, _| {}).await;
    let before = known(&mut scene);
    scene.kill_agent();
    assert_eq!(known(&mut scene), before);
    assert_eq!(connected(&before), [INTERVAL * 2]);
}

#[tokio::test]
async fn what_could_not_be_saved_is_saved_later() {
    let mut scene = Scene::new(Release::V1_20_0, evil()).await;
    scene.client("one", 1);
    polls(&mut scene, 59).await;
    let (_log, _guard) = Log::listen();
    // The journal takes nothing about clients.
    let by_hand = |sql: &str| {
        let connection = Connection::open(scene.journal()).unwrap();
        connection.execute_batch(sql).unwrap();
    };
    by_hand("CREATE TRIGGER no BEFORE INSERT ON client BEGIN SELECT RAISE(FAIL, 'no room'); END;");
    let journal = scene.journal();
    polls(&mut scene, 2).await;
    let connection = Connection::open(&journal).unwrap();
    let rows = || -> i64 {
        connection
            .query_row("SELECT count(*) FROM client", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(rows(), 0);
    connection.execute_batch("DROP TRIGGER no;").unwrap();
    polls(&mut scene, 61).await;
    assert_eq!(rows(), 1);
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_said_and_skipped() {
    let mut scene = Scene::new(Release::V1_20_0, evil()).await;
    drop(Journal::open(&scene.journal()).unwrap());
    let connection = Connection::open(scene.journal()).unwrap();
    connection
        .execute_batch("INSERT INTO client VALUES ('nobody', 0, 0, 0, NULL)")
        .unwrap();
    drop(connection);
    let (log, _guard) = Log::listen();
    assert_eq!(known(&mut scene), []);
    assert_eq!(
        log.lines(),
        [
            "WARN the journal has rows about clients that cannot be read: these clients count as \
             new rows=1"
        ]
    );
}
