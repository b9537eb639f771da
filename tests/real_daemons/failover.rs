//! Away from a primary that answers, and back when it is well again.

use serde_json::Value;

use super::support;
use super::support::bitcoind::Bitcoind;
use super::{A_WHILE, OPTIONS, SECOND, START, Site, assert_brought_by, let_probe, wait};

impl Site {
    fn wait_until_at_secondary(&self) {
        wait::until("the secondary", 40 * SECOND, || {
            self.is_at(&self.secondary).then_some(())
        });
    }

    /// With its peer the primary catches up, and has the server again.
    fn mend_primary(&mut self) {
        self.primary.join(&self.secondary);
        self.primary.wait_for_height(self.secondary.height());
        wait::until("the primary", 20 * SECOND, || {
            self.is_at(&self.primary).then_some(())
        });
        let back = self.confirmed(2);
        assert_brought_by(&back, "failback", &self.primary);
        self.assert_indexed(&self.primary);
        let_probe(&self.primary, A_WHILE);
        assert_eq!(self.changes().len(), 2);
        assert!(self.is_at(&self.primary));
        assert_eq!(self.agent.terminate(2 * SECOND), 0);
    }
}

/// What held.
fn tests(change: &Value) -> Vec<&str> {
    let evidence = change["evidence"].as_array().expect("evidence");
    evidence
        .iter()
        .filter_map(|it| it["test"].as_str())
        .collect()
}

#[test]
fn a_primary_that_has_lost_its_peers_is_left_by_height() {
    if support::skipped() {
        return;
    }
    let mut site = Site::start();
    site.primary.part();
    site.secondary.mine(2);
    site.agent.wait_to_say("(== behind)", 1);
    let_probe(&site.primary, A_WHILE);
    assert!(site.is_at(&site.primary));

    site.secondary.mine(2);
    site.wait_until_at_secondary();
    let change = site.confirmed(1);
    assert_brought_by(&change, "failover", &site.secondary);
    assert_eq!(tests(&change), ["false", ">= 3"], "{change}");
    site.assert_indexed(&site.secondary);
    site.mend_primary();
}

#[test]
fn a_primary_that_stands_still_for_too_long_is_left_by_odds() {
    if support::skipped() {
        return;
    }
    // Blocks that come once a second by the book stand still for 11.5 seconds once in 100,000.
    let [primary, secondary] = [0, 1].map(|_| Bitcoind::start_with(&OPTIONS));
    let mut site = Site::over(primary, secondary, "block_time = \"1s\"\n", &[]);
    let_probe(&site.primary, 2 * A_WHILE);
    assert!(site.is_at(&site.primary), "nobody has a newer block");
    site.primary.part();
    site.secondary.mine(1);
    site.wait_until_at_secondary();
    let change = site.confirmed(1);
    assert_brought_by(&change, "failover", &site.secondary);
    assert_eq!(tests(&change), [">= 1", "< 0.001%"], "{change}");
    site.mend_primary();
}

#[test]
fn a_primary_on_the_losing_fork_is_left_and_the_index_reorganised() {
    if support::skipped() {
        return;
    }
    let mut site = Site::start();
    site.primary.part();
    site.primary.mine(2);
    site.server.wait_for("db height", START + 2);
    site.assert_indexed(&site.primary);
    // As much work on both sides: neither has lost.
    site.secondary.mine(2);
    let_probe(&site.primary, A_WHILE);
    assert!(site.is_at(&site.primary));

    site.secondary.mine(3);
    site.agent.wait_to_say("(== fork)", 1);
    site.wait_until_at_secondary();
    let change = site.confirmed(1);
    assert_brought_by(&change, "failover", &site.secondary);
    site.assert_indexed(&site.secondary);
    site.mend_primary();
}
