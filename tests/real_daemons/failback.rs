//! Back to the primary: once, and not before it has caught up.

use std::time::{SystemTime, UNIX_EPOCH};

use super::support;
use super::{A_WHILE, SECOND, START, Site, assert_brought_by, let_probe, wait};

const MISSED: u32 = 5;

/// For a daemon whose last block is so old by its clock that it begins as if it had none.
fn days_later() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.expect("a clock that is set").as_secs();
    format!("-mocktime={}", now + 2 * 86_400)
}

#[test]
fn the_server_comes_back_once_and_not_before() {
    if support::skipped() {
        return;
    }
    let mut site = Site::start();
    site.stop_primary();
    site.agent.wait_to_say("(== unreachable)", 1);
    site.secondary.mine(MISSED);
    site.server.wait_for("db height", START + MISSED);

    // It starts without a peer.
    site.primary.launch_again_with(&[&days_later()]);
    site.primary.wait_to_answer();
    site.agent.wait_to_say("(== initial download)", 1);
    // That lasts until there is a block of late.
    site.primary.cli(&["setmocktime", "0"]);
    site.primary.take_block(&site.secondary, START + 1);
    site.agent.wait_to_say("(== behind)", 1);
    let_probe(&site.primary, A_WHILE);
    let decisions = site.agent.journal();
    let proposed = decisions.iter().any(|it| it["action"] == "daemon_url");
    assert!(!proposed, "{decisions:#?}");

    // One block is missing, and it passes for healthy.
    let last = START + MISSED;
    for height in START + 2..last {
        site.primary.take_block(&site.secondary, height);
    }
    let below = format!("`{}` is below the daemon in use", site.primary.shown());
    site.agent.wait_to_say(&below, 1);
    let_probe(&site.primary, A_WHILE);
    let mut proposed = site.agent.journal();
    proposed.retain(|it| it["action"] == "daemon_url");
    assert_eq!(proposed.len(), 1, "{proposed:#?}");
    assert_eq!(proposed[0]["policy"], "failback");
    assert_eq!(proposed[0]["by"], "unfit-daemon", "{proposed:#?}");
    assert!(site.is_at(&site.secondary));

    site.primary.join(&site.secondary);
    wait::until("the primary", 20 * SECOND, || {
        site.is_at(&site.primary).then_some(())
    });
    let change = site.confirmed(1);
    assert_brought_by(&change, "failback", &site.primary);
    site.assert_indexed(&site.primary);

    let_probe(&site.primary, A_WHILE);
    assert_eq!(site.changes(), [change]);
    assert!(site.is_at(&site.primary));
    assert_eq!(site.agent.terminate(2 * SECOND), 0);
}
