//! The agent stopped by SIGSTOP for a while, as by a suspended machine: no burst of polls, and a gap is a gap.

use std::thread;
use std::time::Instant;

use serde_json::Value;

use super::SECOND;
use super::run::requests;
use super::support;
use super::support::daemon::Daemon;
use super::support::electrumx::Setup;
use super::support::python::Release;
use super::support::warden::{Agent, policies};

/// Eight polls are missed. Afterwards one is due at once, one may be half done already, and while something is up two
/// in a row may come early.
const POLLS_AT_ONCE_MAX: f64 = 4.0;
/// Polls are a second apart on average.
const POLLS_PER_SECOND_MAX: f64 = 1.5;

#[test]
fn after_a_pause_polls_come_as_before_and_hold_times_begin_anew() {
    if support::skipped() {
        return;
    }
    let daemon = Daemon::start(3);
    let server = Setup::new(Release::V1_20_0, &[daemon.url()]).start();
    let mut rpc = server.rpc();
    let mut honest = server.client("patient/1");
    let gap_max = "[history]\ngap_max = \"3s\"\n";
    let mut agent = Agent::start_with(server.rpc_port(), &policies("patient"), gap_max, &[]);
    agent.wait_to_say("watching", 1);
    // The policy holds for most of its time, and would be due while the agent is stopped.
    thread::sleep(3 * SECOND);
    let before_pause = requests(&mut rpc);
    assert!(before_pause >= 4, "{before_pause} requests");

    agent.signal("STOP");
    thread::sleep(SECOND / 4);
    let stopped_at = requests(&mut rpc);
    thread::sleep(8 * SECOND);
    assert_eq!(requests(&mut rpc), stopped_at, "it is stopped");
    agent.signal("CONT");

    let goes_on = Instant::now();
    while goes_on.elapsed() < 3 * SECOND {
        // Two requests a poll.
        let polls = (requests(&mut rpc) - stopped_at).div_ceil(2);
        let bound = POLLS_AT_ONCE_MAX + goes_on.elapsed().as_secs_f64() * POLLS_PER_SECOND_MAX;
        assert!(
            polls as f64 <= bound,
            "{polls} polls in {:?}",
            goes_on.elapsed()
        );
        let acts = agent.journal();
        assert_eq!(acts, [] as [Value; 0], "the time before the pause counted");
        thread::sleep(SECOND / 10);
    }
    agent.wait_to_say(
        "too long without a poll: rates and hold times begin anew",
        1,
    );
    agent.wait_to_say("alert on session", 1);
    let held = goes_on.elapsed();
    assert!(held >= 4 * SECOND, "due after {held:?}");
    assert!(honest.is_served());
    assert_eq!(agent.terminate(2 * SECOND), 0);
    let told = agent.log().matches("too long without a poll").count();
    assert_eq!(told, 1, "{}", agent.log());
}
