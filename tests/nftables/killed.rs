//! The process is killed while it changes the table.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use electrumx_warden::sink::nftables::Nftables;
use electrumx_warden::sink::{Changes, Desired};
use ipnet::{IpNet, Ipv4Net};

use crate::support::wait;
use crate::world::{AT, MINUTE, World, answers, runtime, settings, until, world};

/// Set for the process that is killed: the program.
const NFT: &str = "NFTABLES_TEST_PROGRAM";

const ROUNDS: u64 = 20;
/// Few enough for one transaction, and many enough to be hit in the midst of it.
const MANY: u32 = 5_000;

/// One of two states between which the process changes the table: addresses of a /8.
fn state(first: u8) -> Desired {
    let address = |n: u32| {
        let [_, b, c, d] = n.to_be_bytes();
        let network = Ipv4Net::new(Ipv4Addr::new(first, b, c, d), 32).unwrap();
        (IpNet::V4(network), until(AT + 60 * MINUTE))
    };
    (1..=MANY).map(address).collect()
}

fn change(from: &Desired, to: &Desired) -> Changes {
    Changes {
        held: to.clone().into_iter().collect(),
        lifted: from.keys().copied().collect(),
    }
}

#[test]
fn a_kill_leaves_the_old_state_or_the_new_one() {
    if let Some(program) = std::env::var_os(NFT) {
        runtime().block_on(change_until_killed(program.as_ref()));
        return;
    }
    world(&["45.0.0.7"], async |world| {
        let old = world.by_hand("list ruleset");
        assert_eq!(old, "");
        let mut halves = [0, 0];
        for round in 0..ROUNDS {
            let mut process = start(&world.nft);
            wait::until("the table", Duration::from_secs(20), || {
                (elements(&world.rules()) != [0, 0]).then_some(())
            });
            thread::sleep(Duration::from_millis(23 * round % 211));
            process.kill().unwrap();
            process.wait().unwrap();
            let found = settled(&world);
            let many = MANY as usize;
            assert!(found == [many, 0] || found == [0, many], "{found:?}");
            halves[usize::from(found[0] == 0)] += 1;

            let mut sink = world.new_sink();
            sink.reconcile(&state(45), world.now()).await.unwrap();
            assert_eq!(elements(&world.rules()), [many, 0]);
            assert!(!answers("45.0.0.7").await);
            world.by_hand("delete table inet electrumx_warden");
        }
        println!(
            "old state {} times, new state {} times",
            halves[0], halves[1]
        );
    });
}

/// How many elements of each state the kernel has once nothing commits any more. The program outlives the kill of its
/// parent, and a list that is read during a commit may lack elements.
fn settled(world: &World) -> [usize; 2] {
    let read = || {
        thread::sleep(Duration::from_millis(250));
        elements(&world.rules())
    };
    wait::until("the last transaction", Duration::from_secs(20), || {
        Some(read()).filter(|found| *found == read())
    })
}

/// How many elements of each state a ruleset has.
fn elements(rules: &str) -> [usize; 2] {
    [" 45.", " 46."].map(|start| rules.matches(start).count())
}

fn start(program: &Path) -> Child {
    let test = "killed::a_kill_leaves_the_old_state_or_the_new_one";
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(NFT, program)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the process does that is killed. Without a kill it ends at some time all the same.
async fn change_until_killed(program: &Path) {
    let states = [state(45), state(46)];
    let mut sink = Nftables::new(settings(program));
    sink.reconcile(&states[0], AT).await.unwrap();
    for round in 0..200 {
        let (from, to) = (&states[round % 2], &states[(round + 1) % 2]);
        sink.apply(&change(from, to), AT).await.unwrap();
    }
}
