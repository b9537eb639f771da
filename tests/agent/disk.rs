//! The disk of the journal is full: nothing is enforced, that is said once, and the watch goes on. The
//! disk of the recording is full: nothing is recorded, and all else goes on. The tests run themselves
//! in a mount namespace with a small file system of its own.

use std::path::Path;

use electrumx_warden::decision::Outcome;
use electrumx_warden::journal::Row;
use electrumx_warden::recording::{Item, Notice, Recorder, RecorderOptions, Recording};
use electrumx_warden::sim::Release;

use crate::log::Log;
use crate::scene::{Scene, evil, executed, policy};
use crate::small_disk::{fill, on_a_small_disk};

#[test]
fn while_the_disk_is_full_nothing_is_enforced() {
    on_a_small_disk(|disk| block_on(live_through(disk)));
}

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(test);
}

async fn live_through(disk: &Path) {
    let odd = policy(
        "odd",
        "session",
        "{ client = \"=~ ^odd\" }",
        "{ log = { for = \"1m\" } }",
        "",
    );
    let mut scene = Scene::new(Release::V1_20_0, evil() + &odd).await;
    scene.folder = tempfile::tempdir_in(disk).unwrap();
    scene.settings.limits.breaker.regulars_min = 1_000;
    let ballast = disk.join("ballast");
    let logged = scene.client("odd/1", 250);
    assert_eq!(executed(&scene.good_poll().await), 1);

    let (log, _guard) = Log::listen();
    fill(&ballast);
    // The write-ahead log may have room for a few more.
    let mut last = 0;
    let held = loop {
        last += 1;
        let key = scene.client("evil/1", last);
        let outcomes = scene.good_poll().await;
        if executed(&outcomes) == 0 {
            let Outcome::Failed { detail } = &outcomes[0].1 else {
                panic!("{outcomes:?}");
            };
            assert!(
                detail.starts_with("not done, for the journal cannot be written: no room left"),
                "{detail}"
            );
            break key;
        }
        assert!(!scene.is_open(key));
        assert!(last < 200, "the disk never was full");
    };
    let told = log.lines();
    let errors: Vec<_> = told
        .iter()
        .filter(|line| line.starts_with("ERROR"))
        .collect();
    assert_eq!(errors.len(), 1, "{told:?}");
    assert!(
        errors[0].starts_with(
            "ERROR nothing is enforced any more, for the journal cannot be written: no room left"
        ),
        "{told:?}"
    );

    // The watch goes on, and what the agent began it ends.
    let asked = scene.tap.asked("disconnect").len();
    for _ in 0..7 {
        assert_eq!(executed(&scene.good_poll().await), 0);
    }
    assert!(scene.is_open(held));
    assert!(!scene.is_logged(logged), "its minute is over");
    assert_eq!(scene.tap.asked("disconnect").len(), asked);
    assert!(log.lines().is_empty(), "told once");

    std::fs::remove_file(&ballast).unwrap();
    // Nothing was done, so there is no cooldown to wait for.
    assert_eq!(executed(&scene.good_poll().await), 1);
    assert!(!scene.is_open(held));
    assert_eq!(
        log.lines(),
        ["INFO the journal can be written again: back to mode enforce"]
    );
    assert_eq!(scene.log_runs(), 0);
    let rows = scene.rows();
    let done = |row: &&Row| matches!(row.outcome, Outcome::Executed { .. });
    assert_eq!(rows.iter().filter(done).count(), usize::from(last) + 1);
}

#[test]
fn while_the_disk_is_full_nothing_is_recorded_and_all_else_goes_on() {
    on_a_small_disk(|disk| block_on(record_through(disk)));
}

async fn record_through(disk: &Path) {
    let mut scene = Scene::new(Release::V1_20_0, evil()).await;
    scene.settings.limits.breaker.regulars_min = 1_000;
    let (path, ballast) = (disk.join("recording"), disk.join("ballast"));
    let recorder = Recorder::open(RecorderOptions::unbounded(&path)).unwrap();
    scene.agent().record(recorder, "sim".to_owned());
    for _ in 0..3 {
        scene.good_poll().await;
    }
    assert_eq!(scene.agent().recorded(), (3, None));

    let (log, _guard) = Log::listen();
    fill(&ballast);
    let mut polls = 3;
    let segment = std::fs::read_dir(&path).unwrap().next().unwrap();
    let segment = segment.unwrap().path();
    let length = || std::fs::metadata(&segment).unwrap().len();
    let mut before = length();
    // The last page of the file has room for a few more.
    loop {
        scene.good_poll().await;
        polls += 1;
        if scene.agent().recorded().1.is_some() {
            break;
        }
        before = length();
        assert!(polls < 200, "the disk never was full");
    }
    assert_eq!(length(), before, "what was written in part is taken back");
    let kept = polls - 1;
    let told = log.lines();
    assert_eq!(told.len(), 1, "{told:?}");
    let warning = format!(
        "WARN nothing is recorded for a while: the recording `{}/",
        path.display()
    );
    assert!(
        told[0].starts_with(&warning) && told[0].contains("cannot be written: No space left"),
        "{told:?}"
    );
    let abuser = scene.client("evil/1", 1);
    // Longer than until it tries again.
    for _ in 0..8 {
        scene.good_poll().await;
    }
    assert!(!scene.is_open(abuser), "the watch goes on");
    assert_eq!(log.lines(), Vec::<String>::new(), "told once");
    assert_eq!(heard(&path).0, [kept]);

    std::fs::remove_file(&ballast).unwrap();
    while scene.agent().recorded().0 < kept + 3 {
        scene.good_poll().await;
        polls += 1;
        assert!(polls < 300, "it never goes on");
    }
    assert_eq!(log.lines(), ["INFO recording goes on"]);
    scene.agent().end_recording();
    let (ticks, notices) = heard(&path);
    assert_eq!(ticks, [kept, 3], "each from a beginning on");
    assert!(
        matches!(
            notices[..],
            [Notice::Truncated { .. }, Notice::Gap { from, to }] if to.since(from).as_secs() > 60
        ),
        "{notices:?}"
    );
    let files = std::fs::read_dir(&path).unwrap().count();
    assert_eq!(files, 2, "what could not be begun is not left behind");
}

#[test]
fn the_recorder_gives_up_its_space_before_the_journal_lacks_any() {
    on_a_small_disk(|disk| block_on(share_a_disk(disk)));
}

const RESERVE: u64 = 1 << 20;

fn free(disk: &Path) -> u64 {
    let disk = rustix::fs::statvfs(disk).unwrap();
    disk.f_bavail * disk.f_frsize
}

async fn share_a_disk(disk: &Path) {
    let mut scene = Scene::new(Release::V1_20_0, evil()).await;
    scene.settings.limits.breaker.regulars_min = 1_000;
    scene.folder = tempfile::tempdir_in(disk).unwrap();
    let path = disk.join("recording");
    let recorder = Recorder::open(RecorderOptions {
        reserve: RESERVE,
        ..RecorderOptions::unbounded(&path)
    });
    // Of earlier runs.
    let old = |day: u32| path.join(format!("202501{day:02}T000000000Z-0000000a-0000.rec.zst"));
    for day in 10..13 {
        std::fs::write(old(day), vec![0; 100 << 10]).unwrap();
    }
    scene.agent().record(recorder.unwrap(), "sim".to_owned());
    scene.good_poll().await;
    assert!(free(disk) > RESERVE, "{}", free(disk));
    assert!(old(10).exists());

    // Others take what is above the reserve, and some of it.
    let (log, _guard) = Log::listen();
    let taken = free(disk) - RESERVE + (150 << 10);
    let ballast = disk.join("ballast");
    std::fs::write(&ballast, vec![0; usize::try_from(taken).unwrap()]).unwrap();
    scene.good_poll().await;
    assert_eq!(scene.agent().recorded(), (2, None));
    assert_eq!(
        [10, 11, 12].map(|day| old(day).exists()),
        [false, false, true]
    );
    assert!(free(disk) >= RESERVE);
    assert_eq!(log.lines(), Vec::<String>::new());

    // More than the recorder has.
    let taken = free(disk) - RESERVE + (300 << 10);
    std::fs::write(disk.join("more"), vec![0; usize::try_from(taken).unwrap()]).unwrap();
    let mut gone = 0;
    for last in 1..=20 {
        let abuser = scene.client("evil/1", last);
        gone += executed(&scene.good_poll().await);
        assert!(!scene.is_open(abuser), "the journal has room");
    }
    assert_eq!(gone, 20);
    assert!(!old(12).exists());
    assert_eq!(scene.agent().recorded().0, 2);
    let told = log.lines();
    let told: Vec<_> = told
        .iter()
        .filter(|line| line.starts_with("WARN"))
        .collect();
    assert_eq!(told.len(), 1, "told once: {told:?}");
    assert_eq!(
        *told[0],
        format!(
            "WARN nothing is recorded for a while: less than 1 MiB is free on the disk of `{}`, and \
             that much is kept free (`reserve` of `[record]`): free some space",
            path.display()
        )
    );

    std::fs::remove_file(ballast).unwrap();
    std::fs::remove_file(disk.join("more")).unwrap();
    // A minute, after which it tries again.
    for _ in 0..10 {
        scene.good_poll().await;
    }
    assert!(scene.agent().recorded().0 >= 5);
    let told = log.lines();
    assert!(
        told.contains(&"INFO recording goes on".to_owned()),
        "{told:?}"
    );
    assert!(free(disk) >= RESERVE);
}

/// How many ticks come after each beginning, and what else is told.
fn heard(path: &Path) -> (Vec<u64>, Vec<Notice>) {
    let (mut ticks, mut notices) = (Vec::new(), Vec::new());
    for item in Recording::open(&[path.to_owned()]).unwrap().play() {
        match item.unwrap() {
            Item::Start(_) => ticks.push(0),
            Item::Tick(_) => *ticks.last_mut().unwrap() += 1,
            Item::Notice(notice) => notices.push(notice),
        }
    }
    (ticks, notices)
}
