//! Probes of a real bitcoind: what it answers, and what it comes to when it is ill.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use electrumx_warden::daemon::{Chain, Daemons, Failure, Round};
use electrumx_warden::poll::SteadyClock;
use electrumx_warden::probe::{ProbeOptions, Prober};
use support::bitcoind::Bitcoind;
use support::wait;
use tokio::runtime::Runtime;

/// A prober and what it runs in.
struct Probing {
    prober: Prober,
    runtime: Runtime,
}

impl Probing {
    fn of(urls: &[String], timeout: Duration) -> Self {
        let daemons = Daemons::parse(&urls.join(","), None).expect("URLs");
        let options = ProbeOptions {
            timeout,
            with_indexes: true,
        };
        let clock = Box::new(SteadyClock::start());
        Self {
            prober: Prober::new(&daemons, &options, clock).expect("a prober"),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
        }
    }

    fn round(&mut self) -> Round {
        self.runtime.block_on(self.prober.probe())
    }

    /// What each daemon said.
    fn heard(&mut self) -> Vec<Result<Chain, Failure>> {
        let reports = self.round().reports.into_iter();
        reports.map(|report| report.heard).collect()
    }

    fn first(&mut self) -> Result<Chain, Failure> {
        self.heard().swap_remove(0)
    }
}

const LONG: Duration = Duration::from_secs(10);

fn indexes(chain: &Chain) -> Vec<(&str, bool)> {
    let indexes = chain.indexes.iter().flatten();
    indexes
        .map(|index| (&*index.name, index.is_synced))
        .collect()
}

#[test]
fn a_real_daemon_answers_every_question() {
    if support::skipped() {
        return;
    }
    let with_index = Bitcoind::start();
    let without = Bitcoind::start_with(&[]);
    with_index.mine(205);
    let urls = [with_index.url(), without.url()];
    let mut probing = Probing::of(&urls, LONG);
    let indexed = wait::until("the index to be complete", LONG, || {
        let chain = probing.first().expect("an answer");
        (indexes(&chain) == [("txindex", true)]).then_some(chain)
    });
    assert_eq!(&*indexed.name, "regtest");
    assert_eq!((indexed.height, indexed.headers), (205, 205));
    assert_eq!(
        indexed.tip.to_string(),
        with_index.cli(&["getbestblockhash"])
    );
    assert!(!indexed.is_pruned);
    let hash = |height: u32| with_index.cli(&["getblockhash", &height.to_string()]);
    let hashes = indexed.hashes.iter();
    let hashes: Vec<_> = hashes
        .map(|(height, hash)| (*height, hash.to_string()))
        .collect();
    assert_eq!(hashes, [(0, hash(0)), (100, hash(100))]);

    // The other has nothing but the first block, whose date is long past, and no index.
    let bare = probing.heard().swap_remove(1).expect("an answer");
    assert_eq!((bare.height, bare.hashes.len()), (0, 0));
    assert_eq!(bare.indexes, Some(Vec::new()));
    assert!(bare.is_initial_download && !indexed.is_initial_download);
    assert!(bare.work < indexed.work);
    assert_eq!(indexed.hash(0), Some(bare.tip));
}

#[test]
fn forks_of_real_daemons_are_seen() {
    if support::skipped() {
        return;
    }
    let (ours, theirs) = (Bitcoind::start_with(&[]), Bitcoind::start_with(&[]));
    ours.mine(5);
    for height in 1..=5 {
        theirs.take_block(&ours, height);
    }
    let mut probing = Probing::of(&[ours.url(), theirs.url()], LONG);
    let mut both = || {
        let heard = probing.heard().into_iter();
        let heard: Vec<_> = heard.map(|heard| heard.expect("an answer")).collect();
        <[Chain; 2]>::try_from(heard).expect("two daemons")
    };
    let [a, b] = both();
    assert_eq!((a.tip, a.work, a.height), (b.tip, b.work, 5));

    // Behind, and on the same chain.
    ours.mine(2);
    let [a, b] = both();
    assert_eq!((a.height, b.height), (7, 5));
    assert_eq!(a.hash(5), Some(b.tip));

    // From block 4 on another chain: as high, then higher.
    let fourth = theirs.cli(&["getblockhash", "4"]);
    theirs.cli(&["invalidateblock", &fourth]);
    theirs.mine(5);
    let [a, b] = both();
    assert_eq!((a.height, b.height), (7, 8));
    assert_eq!(b.hash(0), a.hash(0));
    assert!(b.hash(7).is_some_and(|hash| hash != a.tip));
    assert!(b.work > a.work);
}

#[test]
fn what_a_real_daemon_refuses() {
    if support::skipped() {
        return;
    }
    let daemon = Bitcoind::start_with(&[]);
    let wrong = daemon.url().replace("secret", "guess");
    assert_eq!(
        Probing::of(&[wrong], LONG).first(),
        Err(Failure::WrongCredentials)
    );
    let encoded = daemon.url().replace("secret", "%73ecre%74");
    assert!(Probing::of(&[encoded], LONG).first().is_ok());
}

#[test]
fn a_real_daemon_that_stops_hangs_and_starts() {
    if support::skipped() {
        return;
    }
    let mut daemon = Bitcoind::start_with(&[]);
    daemon.mine(1);
    let timeout = Duration::from_secs(1);
    let mut probing = Probing::of(&[daemon.url()], timeout);
    assert_eq!(probing.first().map(|chain| chain.height), Ok(1));

    // Over the connection that is kept, and over a new one.
    daemon.signal("STOP");
    let busy = Failure::Busy {
        detail: "no answer within 1s".to_owned(),
    };
    // The signal takes its time to arrive.
    wait::until("the daemon to hang", LONG, || {
        (probing.first() == Err(busy.clone())).then_some(())
    });
    for _ in 0..2 {
        let round = probing.round();
        assert_eq!(round.reports[0].heard, Err(busy.clone()));
        assert!(round.reports[0].took >= timeout);
    }
    daemon.signal("CONT");
    assert_eq!(probing.first().map(|chain| chain.height), Ok(1));

    daemon.stop();
    let Err(Failure::Unreachable { .. }) = probing.first() else {
        panic!("it has ended");
    };
    let gone = Failure::Unreachable {
        detail: "Connection refused (os error 111)".to_owned(),
    };
    assert_eq!(probing.first(), Err(gone));

    // Until it answers it warms up; how long, and whether that is seen, is its own affair.
    daemon.launch_again();
    let mut warming = Vec::new();
    let chain = wait::until("the daemon to be back", 3 * LONG, || {
        match probing.first() {
            Ok(chain) => Some(chain),
            Err(Failure::WarmingUp { detail }) => {
                warming.push(detail);
                None
            }
            Err(Failure::WrongCredentials) => panic!("they are as before"),
            Err(Failure::Unreachable { .. } | Failure::Busy { .. }) => None,
        }
    });
    assert_eq!(chain.height, 1);
    assert!(
        warming.iter().all(|detail| !detail.is_empty()),
        "{warming:?}"
    );
    warming.dedup();
    println!("while it was starting: {warming:?}");
}

#[test]
fn a_real_daemon_whose_queue_is_full_is_busy() {
    if support::skipped() {
        return;
    }
    let daemon = Bitcoind::start_with(&["-rpcthreads=1", "-rpcworkqueue=1"]);
    let mut probing = Probing::of(&[daemon.url()], Duration::from_secs(2));
    assert!(probing.first().is_ok());
    let enough = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // One is at work, one in the queue, and the others find it full.
        for _ in 0..4 {
            scope.spawn(|| {
                while !enough.load(Ordering::Relaxed) {
                    daemon.try_cli(&["waitfornewblock", "500"]);
                }
            });
        }
        let full = Failure::Busy {
            detail: "HTTP 503".to_owned(),
        };
        let heard = (0..100).map(|_| probing.first());
        let was_full = heard.into_iter().any(|heard| heard == Err(full.clone()));
        enough.store(true, Ordering::Relaxed);
        assert!(was_full);
    });
    assert!(probing.first().is_ok());
}
