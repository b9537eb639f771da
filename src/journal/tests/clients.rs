use ipnet::IpNet;

use super::*;
use crate::history::{ClientChanges, KnownClient, Usual};

const CLIENTS_MAX: usize = 1_000;

fn known(address: &str, connected_ms: u64) -> KnownClient {
    KnownClient {
        address: address.parse().unwrap(),
        met: at(-1),
        connected_ms,
        last_seen: at(5_000),
        acted_at: None,
    }
}

fn many(count: u32) -> Vec<KnownClient> {
    let address = |i: u32| IpNet::from(std::net::IpAddr::from(i.to_be_bytes()));
    (0..count)
        .map(|i| KnownClient {
            address: address(i),
            ..known("10.0.0.0/32", u64::from(i))
        })
        .collect()
}

fn usual() -> Usual {
    serde_json::from_value(json!({
        "hours": [{"clients": 7, "newcomers": 2}],
        "open": {"watched_ms": 5, "client_ms": 10, "newcomers": 1},
    }))
    .unwrap()
}

fn taken(home: &Home) -> (Vec<KnownClient>, Usual, u64) {
    let RestoredClients {
        clients,
        unreadable,
    } = home.open().take_clients(CLIENTS_MAX).unwrap();
    (clients.clients, clients.usual, unreadable)
}

/// As somebody at an `sqlite3` prompt.
fn by_hand(home: &Home, sql: &str) {
    let connection = Connection::open(home.path()).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn what_was_saved_comes_back_most_senior_first() {
    let home = Home::new();
    assert_eq!(taken(&home), (vec![], Usual::default(), 0));
    let newer = known("203.0.113.7/32", 20);
    let older = KnownClient {
        acted_at: Some(at(3)),
        ..known("2001:db8:0:1::/64", u64::MAX >> 1)
    };
    let gone = known("203.0.113.8/32", 30);
    let mut changes = ClientChanges {
        known: vec![newer, older, gone],
        ..ClientChanges::default()
    };
    home.open().save_clients(&changes).unwrap();
    // Forgotten, and one of them there again.
    let back = KnownClient {
        connected_ms: 1,
        ..newer
    };
    changes = ClientChanges {
        forgotten: vec![newer.address, gone.address],
        known: vec![back],
        usual: usual(),
    };
    home.open().save_clients(&changes).unwrap();
    assert_eq!(taken(&home), (vec![older, back], usual(), 0));
}

#[test]
fn who_is_beyond_the_bound_is_deleted_the_least_senior_first() {
    let home = Home::new();
    let changes = ClientChanges {
        known: many(50),
        ..ClientChanges::default()
    };
    home.open().save_clients(&changes).unwrap();
    let restored = home.open().take_clients(20).unwrap();
    let of = |clients: &[KnownClient]| -> Vec<u64> {
        clients.iter().map(|client| client.connected_ms).collect()
    };
    let senior: Vec<u64> = (30..50).rev().collect();
    assert_eq!(of(&restored.clients.clients), senior);
    assert_eq!(of(&taken(&home).0), senior, "the others are gone");
}

#[test]
fn a_row_that_cannot_be_read_costs_nothing_but_itself() {
    let home = Home::new();
    let changes = ClientChanges {
        known: many(3),
        usual: usual(),
        ..ClientChanges::default()
    };
    home.open().save_clients(&changes).unwrap();
    by_hand(
        &home,
        "INSERT INTO client VALUES ('nobody', 0, 9, 0, NULL);
         INSERT INTO client VALUES ('10.0.0.0/8', 0, 9, 0, NULL);
         INSERT INTO client VALUES ('10.0.0.9/32', 0, -9, 0, NULL);
         UPDATE usual SET json = '{\"hours\":[],\"open\":{\"watched_ms\":9999999999}}';",
    );
    let (clients, usual, unreadable) = taken(&home);
    assert_eq!((clients.len(), unreadable), (3, 4));
    assert_eq!(usual, Usual::default());
    // What is usual is written anew when the clients are.
    assert_eq!(taken(&home).2, 1, "the rows are gone");
}

#[test]
fn clients_push_no_decisions_out() {
    let home = Home::new();
    let mut journal = home.open();
    journal
        .intend(
            &vec![Entry::new(decision("p", client("a"), 0), Outcome::DryRun); 100],
            &[],
        )
        .unwrap();
    let changes = ClientChanges {
        known: many(40_000),
        ..ClientChanges::default()
    };
    journal.save_clients(&changes).unwrap();
    let retention = Retention {
        size_max_bytes: 1 << 20,
        ..Retention::default()
    };
    let upkeep = |journal: &mut Journal| journal.maintain(at(0), &retention).unwrap().pruned;
    assert_eq!(upkeep(&mut journal), 0);
    drop(journal);
    assert!(home.path().metadata().unwrap().len() > 5 << 18);
    let mut journal = home.open();
    assert_eq!(upkeep(&mut journal), 0, "known from the start");
    // What they took is no room for decisions when they are gone.
    journal.take_clients(0).unwrap();
    let many = vec![Entry::new(decision("p", client("a"), 0), Outcome::DryRun); 5_000];
    journal.intend(&many, &[]).unwrap();
    assert!(upkeep(&mut journal) > 1_000);
}
