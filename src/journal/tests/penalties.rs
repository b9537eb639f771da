use super::*;
use crate::penalty::{Ban, BannedBy, Offender, Strike};

fn offender(net: &str) -> Offender {
    Offender {
        net: net.parse().unwrap(),
        real: Some(Strike {
            level: 1.0,
            at: Timestamp::from_millis(5),
        }),
        rehearsed: None,
        shared_at: None,
    }
}

fn ban(net: &str) -> Ban {
    Ban {
        net: net.parse().unwrap(),
        holes: Vec::new(),
        begin: Timestamp::from_millis(5),
        end: Timestamp::from_millis(9),
        by: BannedBy::Policy("hog".into()),
        kept_out: 0,
    }
}

/// One broken row neither keeps an agent from its start nor lets anybody else in.
#[test]
fn what_cannot_be_read_costs_nothing_but_itself() {
    let home = Home::new();
    let changes = [
        StateChange::Strike(offender("203.0.113.7/32")),
        StateChange::Strike(offender("203.0.113.8/32")),
        StateChange::Ban(ban("203.0.113.7/32")),
        StateChange::Ban(ban("203.0.113.8/32")),
    ];
    home.open().intend(&[], &changes).unwrap();
    let connection = rusqlite::Connection::open(home.path()).unwrap();
    connection
        .execute_batch(
            "UPDATE strike SET json = '{' WHERE net = '203.0.113.7/32';
             UPDATE ban SET json = '{\"net\":5}' WHERE net = '203.0.113.7/32';",
        )
        .unwrap();
    drop(connection);
    let mut journal = home.open();
    let penalties = || SavedPenalties {
        offenders: vec![offender("203.0.113.8/32")],
        bans: vec![ban("203.0.113.8/32")],
    };
    assert_eq!(journal.load_state().unwrap().penalties, penalties());
    assert_eq!(journal.sweep_penalties().unwrap(), 2);
    assert_eq!(journal.sweep_penalties().unwrap(), 0);
    assert_eq!(journal.load_state().unwrap().penalties, penalties());
    // A row that is no JSON would make this fail.
    let lifted = [StateChange::UnbanPolicy("hog".into())];
    journal.intend(&[], &lifted).unwrap();
    assert_eq!(journal.load_state().unwrap().penalties.bans, []);
}
