//! What the flight recorder heard of a real server, judged again: the decisions of the run come out.

use serde_json::Value;

use super::SECOND;
use super::support::crowd::Busy;
use super::support::daemon::Daemon;
use super::support::electrumx::{ElectrumX, Setup};
use super::support::python::Release;
use super::support::warden::{Agent, Ended, policies, run};
use super::support::{self, wait};

/// Waits until the journal has so many decisions of a policy with this outcome.
fn wait_for(agent: &mut Agent, policy: &str, outcome: &str, count: usize) {
    wait::until(&format!("{policy} {outcome}"), 20 * SECOND, || {
        assert!(!agent.has_ended(), "the agent ended");
        let is = |decision: &&Value| decision["policy"] == policy && decision["outcome"] == outcome;
        (agent.journal().iter().filter(is).count() >= count).then_some(())
    });
}

/// A client who makes errors without end.
fn flooder(server: &ElectrumX) -> Busy {
    Busy::with(server.client("4.5.7"), SECOND / 10, |client| {
        client.flood_errors(20);
    })
}

/// One who makes errors, one who scrapes and comes again, and one with a name for the terminal.
fn abuse(server: &ElectrumX, agent: &mut Agent, round: usize) {
    let _flooder = flooder(server);
    let _others = ["Scrapy", "\u{1b}[2J"].map(|name| server.client(name));
    wait_for(agent, "error-flood", "executed", round);
    wait_for(agent, "hostile-name", "executed", round);
    // The scraper's cooldown outlives the agent.
    wait_for(agent, "scraper", "executed", 1);
    let _again = server.client("Scrapy");
    wait_for(agent, "scraper", "suppressed", round);
}

/// What only `inspect_session` tells.
fn errors(server: &ElectrumX, agent: &mut Agent, round: usize) {
    let _flooder = flooder(server);
    wait_for(agent, "mostly-errors", "executed", round);
}

/// The decisions as they were written, but for their numbers.
fn decisions(ended: &Ended) -> Vec<String> {
    let lines = ended.stdout.lines().filter_map(|line| {
        let object: Value = serde_json::from_str(line).expect("a line of JSON");
        let id = format!("\"id\":{},", object["id"]);
        (object["type"] == "decision").then(|| line.replacen(&id, "", 1))
    });
    lines.collect()
}

/// Two runs of the agent into one folder, while abusers `live` there.
fn a_replay_decides_what_the_run_decided(
    release: Release,
    name: &str,
    live: fn(&ElectrumX, &mut Agent, usize),
    decided_min: usize,
) {
    if support::skipped() {
        return;
    }
    let daemon = Daemon::start(3);
    let setup = Setup::new(release, &[daemon.url()]);
    let server = setup.without_cost_limits().start();
    let mut honest = server.client("4.5.8");
    let record = "[record]\npath = \"rec\"\n";
    let mut agent = Agent::start_with(server.rpc_port(), &policies(name), record, &[]);
    for round in 1..=2 {
        agent.wait_to_say("recording into", round);
        live(&server, &mut agent, round);
        assert_eq!(agent.terminate(5 * SECOND), 0);
        if round == 1 {
            agent.start_again();
        }
    }
    assert!(honest.is_served());

    let lived = decisions(&agent.journal_as("json"));
    let (recording, policies) = (agent.path("rec"), policies(name));
    let mut replay = vec!["replay", recording.to_str().expect("a path in UTF-8")];
    replay.extend(["--policies", policies.to_str().expect("a path in UTF-8")]);
    let replayed = run(&[&replay[..], &["--decisions", "--format", "json"]].concat());
    assert_eq!((replayed.code, &*replayed.stderr), (Some(0), ""));
    assert!(lived.len() >= decided_min, "{lived:#?}");
    assert_eq!(decisions(&replayed), lived);
}

#[test]
fn a_replay_decides_what_the_run_decided_on_1_20_0() {
    a_replay_decides_what_the_run_decided(Release::V1_20_0, "abuse", abuse, 7);
}

#[test]
fn a_replay_decides_what_the_run_decided_on_2_0_0() {
    a_replay_decides_what_the_run_decided(Release::V2_0_0, "errors", errors, 2);
}
