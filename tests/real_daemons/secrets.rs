//! Credentials show nowhere, whatever the daemons do.

use super::support::bitcoind::Bitcoind;
use super::support::{self, secret};
use super::{OPTIONS, SECOND, Site, assert_brought_by, wait};

const USER: &str = "warden-Rpc7";
const PASSWORD: &str = "p@ss:word/Xyzzy#7";
/// What HTTP sends for the two, but for the last two bytes.
const IN_BASE64: &str = "d2FyZGVuLVJwYzc6cEBzczp3b3JkL1h5enp5";

#[test]
fn credentials_show_nowhere() {
    if support::skipped() {
        return;
    }
    let [primary, secondary] = [0, 1].map(|_| Bitcoind::start_for(USER, PASSWORD, &OPTIONS));
    let env = [("ELECTRUMX_WARDEN_LOG", "trace".to_owned())];
    let encoded = primary.url();
    assert!(encoded.contains("p%40ss%3Aword"), "{encoded}");
    let mut site = Site::over(primary, secondary, "", &env);
    site.stop_primary();
    site.agent.wait_to_say("(== unreachable)", 1);

    site.primary.set_password("another");
    site.primary.launch_again();
    site.primary.wait_to_answer();
    site.agent.wait_to_say("(== wrong credentials)", 1);
    wait::until("more refusals", 20 * SECOND, || {
        (site.primary.said("incorrect password attempt") >= 6).then_some(())
    });
    assert!(site.is_at(&site.secondary));

    // While it is away a block is mined, so that it comes back behind.
    site.primary.stop();
    site.primary.set_password(PASSWORD);
    site.secondary.mine(1);
    site.primary.launch_again();
    site.primary.wait_to_answer();
    site.primary.join(&site.secondary);
    wait::until("the primary", 20 * SECOND, || {
        site.is_at(&site.primary).then_some(())
    });
    let change = site.confirmed(1);
    assert_brought_by(&change, "failback", &site.primary);

    // With the write-ahead log there, and after it.
    let secrets = secret::forms(USER, PASSWORD);
    assert!(secrets.iter().any(|form| form == IN_BASE64), "{secrets:?}");
    let running = site.agent.written();
    assert!(running.iter().any(|(name, _)| name == "journal.sqlite-wal"));
    secret::assert_absent(&running, &secrets);
    assert_eq!(site.agent.terminate(2 * SECOND), 0);
    assert!(site.agent.log().contains(" TRACE "), "all is said");
    secret::assert_absent(&site.agent.written(), &secrets);
}
