//! Who is known for how long, and who the regulars are.

use std::time::Duration;

use super::{BLAMED, Watch};
use crate::decision::SessionRef;
use crate::field::Scope;
use crate::history::{Bounds, ClientBounds, Rank};
use crate::scene::Scene;

const HOUR_MS: i64 = 3_600_000;

const FIELDS: [&str; 6] = [
    "address seniority",
    "address regular",
    "session seniority",
    "session regular",
    "subnet regulars",
    "server regulars",
];

struct Town {
    watch: Watch,
    scene: Scene,
}

impl Town {
    fn new() -> Self {
        Self::bounded(ClientBounds::default())
    }

    fn bounded(clients: ClientBounds) -> Self {
        let bounds = Bounds {
            clients,
            ..Bounds::default()
        };
        Self {
            watch: Watch::bounded("1m", &FIELDS, bounds),
            scene: Scene::new(),
        }
    }

    /// Connected for so many hours.
    fn here(&mut self, peer: &str, hours: i64) -> u64 {
        let id = self.scene.connect(peer, "wallet");
        self.scene.of(id).since_ms -= hours * HOUR_MS;
        id
    }

    fn poll(&mut self) {
        self.watch.see(&self.scene.poll());
    }

    /// So many minutes, at a poll each.
    fn pass(&mut self, minutes: u32) {
        self.watch.see_for(&mut self.scene, minutes * 60, 60);
    }

    fn known_s(&self, address: &str) -> Option<f64> {
        self.watch.get(Scope::Address, "seniority", address)
    }

    fn is_regular(&self, address: &str) -> bool {
        self.watch.get(Scope::Address, "regular", address) == Some(1.0)
    }

    fn reference(&mut self, id: u64) -> SessionRef {
        let slot = self.watch.history.find_session(id).unwrap();
        self.watch.history.session(slot)
    }
}

#[test]
fn elders_are_known_at_the_first_poll() {
    let mut town = Town::new();
    town.here("8.8.8.8:1", 5);
    town.here("8.8.8.8:2", 2);
    town.here("9.9.9.9:1", 0);
    let tor = town.here("127.0.0.1:1", 3);
    town.here("127.0.0.1:2", 0);
    town.poll();
    assert_eq!(town.known_s("8.8.8.8"), Some(18_000.0));
    assert_eq!(town.known_s("9.9.9.9"), Some(0.0));
    assert_eq!(town.known_s("127.0.0.1"), None, "nobody in particular");
    assert!(town.is_regular("8.8.8.8") && !town.is_regular("9.9.9.9"));
    let of = |id: u64, field| town.watch.get(Scope::Session, field, &id.to_string());
    assert_eq!(of(tor, "seniority"), Some(10_800.0));
    assert_eq!(of(tor, "regular"), Some(1.0));
    assert_eq!(of(tor + 1, "regular"), Some(0.0));
    assert_eq!(
        town.watch.get(Scope::Subnet, "regulars", "8.8.8.0/24"),
        Some(1.0)
    );
    assert_eq!(
        town.watch.get(Scope::Server, "regulars", "server"),
        Some(2.0)
    );
}

#[test]
fn it_is_time_connected_with_what_passed_unseen_left_out() {
    let mut town = Town::new();
    let id = town.here("8.8.8.8:1", 1);
    town.poll();
    town.pass(10);
    assert_eq!(town.known_s("8.8.8.8"), Some(4_200.0));
    town.scene.leave(id);
    town.pass(30);
    let again = town.here("8.8.8.8:2", 0);
    town.pass(1);
    assert_eq!(town.known_s("8.8.8.8"), Some(4_260.0));
    // Not seen for a while, but it was connected all along.
    town.scene.wait(1_000.0);
    town.poll();
    assert_eq!(town.known_s("8.8.8.8"), Some(5_260.0));
    // A clock that goes back makes nobody older.
    town.scene.wait(60.0);
    town.scene.of(again).is_age_unknown = true;
    town.poll();
    assert_eq!(town.known_s("8.8.8.8"), Some(5_260.0));
}

#[test]
fn nobody_becomes_the_crowd_by_being_many() {
    let mut town = Town::new();
    for i in 0..30 {
        town.here(&format!("9.9.{i}.9:1"), 10);
    }
    town.poll();
    town.pass(70);
    assert_eq!(town.watch.history.crowd().regulars, 30);
    for i in 0..200 {
        town.here(&format!("8.8.{i}.8:1"), 0);
    }
    // As old as half of the last hour, and more.
    town.pass(50);
    for i in 0..30 {
        assert!(town.is_regular(&format!("9.9.{i}.9")));
    }
    for i in 0..200 {
        assert!(!town.is_regular(&format!("8.8.{i}.8")));
    }
    // Not by waiting until the others have left, either.
    town.scene.rows.retain(|row| row.peer.starts_with("8."));
    town.pass(9);
    assert!(!town.is_regular("8.8.1.8"));
}

#[test]
fn on_a_young_server_whoever_was_there_first_is_a_regular() {
    let mut town = Town::new();
    town.scene.started_ms = town.scene.now_ms - 120_000;
    let first = town.scene.connect("9.9.9.9:1", "wallet");
    town.scene.of(first).since_ms -= 100_000;
    let late = town.scene.connect("8.8.8.8:1", "wallet");
    town.scene.of(late).since_ms -= 50_000;
    town.poll();
    assert!(town.is_regular("9.9.9.9") && !town.is_regular("8.8.8.8"));
}

#[test]
fn who_was_acted_on_is_no_regular_for_a_day() {
    let mut town = Town::new();
    let id = town.here("8.8.8.8:1", 10);
    town.here("9.9.9.9:1", 10);
    town.poll();
    let session = town.reference(id);
    let at = town.scene.at();
    assert_eq!(town.watch.history.rank(&session, at), Rank::Regular);
    town.watch.history.expelled(&[session], BLAMED, at);
    town.pass(1);
    assert!(!town.is_regular("8.8.8.8") && town.is_regular("9.9.9.9"));
    let saved = town.watch.history.saved_clients();
    assert_eq!(saved.clients[0].acted_at, Some(at));
    // Over a restart of the agent, too.
    let mut again = Town::new();
    again.watch.history.restore_clients(saved.clone());
    again.scene = town.scene.clone();
    again.scene.wait(60.0);
    again.poll();
    assert!(!again.is_regular("8.8.8.8") && again.is_regular("9.9.9.9"));
    again.scene.wait(24.0 * 3_600.0);
    again.poll();
    assert!(again.is_regular("8.8.8.8"));
}

#[test]
fn what_is_saved_is_what_is_restored() {
    let mut town = Town::new();
    town.here("8.8.8.8:1", 10);
    town.here("[2a00:1:2:3::1]:1", 2);
    town.poll();
    town.pass(130);
    let saved = town.watch.history.saved_clients();
    let json = serde_json::to_string(&saved).unwrap();
    assert_eq!(
        serde_json::from_str::<crate::history::SavedClients>(&json).unwrap(),
        saved
    );
    let mut again = Town::new();
    again.watch.history.restore_clients(saved.clone());
    assert_eq!(again.watch.history.saved_clients(), saved);
    let changes = town.watch.history.client_changes();
    assert_eq!(changes.known, saved.clients);
    town.watch.history.clients_saved();
    assert!(town.watch.history.client_changes().known.is_empty());
}

#[test]
fn a_flood_of_addresses_washes_no_elder_out() {
    let mut town = Town::bounded(ClientBounds {
        clients_max: 100,
        ..ClientBounds::default()
    });
    let elder = town.here("9.9.9.9:1", 100);
    town.poll();
    town.scene.leave(elder);
    let mut forgotten = 0;
    for round in 0..50 {
        for i in 0..40 {
            town.here(&format!("[2a00:1:{round:x}:{i:x}::1]:1"), 0);
        }
        town.pass(1);
        forgotten += town.watch.history.client_changes().forgotten.len();
        town.watch.history.clients_saved();
        town.scene.rows.clear();
    }
    let saved = town.watch.history.saved_clients();
    assert!(saved.clients.len() <= 100);
    assert_eq!(saved.clients[0].address, "9.9.9.9/32".parse().unwrap());
    assert!(forgotten >= 1_800, "{forgotten}");
    town.here("9.9.9.9:1", 0);
    town.pass(1);
    assert!(town.known_s("9.9.9.9").unwrap() >= 360_000.0);
}

#[test]
fn whoever_is_connected_is_never_forgotten_for_want_of_room() {
    let mut town = Town::bounded(ClientBounds {
        clients_max: 10,
        ..ClientBounds::default()
    });
    for i in 0..10 {
        town.here(&format!("9.9.{i}.9:1"), 1);
    }
    town.poll();
    for i in 0..30 {
        town.here(&format!("8.8.{i}.8:1"), 0);
    }
    town.pass(3);
    assert_eq!(town.known_s("9.9.3.9"), Some(3_780.0));
    assert!(town.watch.history.untracked() > 0);
    assert!(!town.is_regular("8.8.3.8"));
}

#[test]
fn a_clock_that_leaps_a_year_forgets_next_to_nobody() {
    let mut town = Town::bounded(ClientBounds {
        forget_after: Duration::from_hours(24),
        ..ClientBounds::default()
    });
    for i in 0..200 {
        town.here(&format!("9.9.{i}.9:1"), 1);
    }
    town.poll();
    town.scene.rows.clear();
    town.here("8.8.8.8:1", 1);
    town.scene.wait(366.0 * 86_400.0);
    town.poll();
    town.pass(61);
    assert_eq!(town.watch.history.saved_clients().clients.len(), 199);
}
