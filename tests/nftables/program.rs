//! Programs that are not as they should be, and rights that are missing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use electrumx_warden::sink::Desired;
use electrumx_warden::sink::nftables::{Nftables, NftablesError, NftablesSettings, Reason, Repair};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tempfile::TempDir;

use crate::support::nft::executable;
use crate::support::wait;
use crate::world::{AT, World, answers, for_an_hour, hold, runtime, settings, world};

const DEADLINE: Duration = Duration::from_millis(500);

fn sink(program: &Path) -> Nftables {
    Nftables::new(NftablesSettings {
        deadline: DEADLINE,
        ..settings(program)
    })
}

/// What a sink says whose program is at `program`; it must say so in time.
fn error(program: &Path) -> NftablesError {
    let start = Instant::now();
    let mut sink = sink(program);
    let reconciled = runtime().block_on(sink.reconcile(&Desired::new(), AT));
    assert!(start.elapsed() < DEADLINE * 6, "{:?}", start.elapsed());
    reconciled.unwrap_err()
}

fn script(script: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let program = executable(folder.path(), "nft", script);
    (folder, program)
}

fn error_of(text: &str) -> String {
    let (_folder, program) = script(text);
    error(&program).to_string()
}

#[test]
fn a_missing_program_is_to_be_installed() {
    let error = error(Path::new("/nowhere/nft"));
    assert!(matches!(error, NftablesError::Start { .. }));
    assert_eq!(
        error.to_string(),
        "cannot run `/nowhere/nft`: No such file or directory (os error 2); install the package nftables, or correct \
         the path of `nft`"
    );
}

#[test]
fn a_program_that_cannot_be_executed_is_named() {
    let (_folder, program) = script("");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    let error = error(&program).to_string();
    assert!(error.contains("Permission denied"), "{error}");
}

#[test]
fn garbage_is_no_list() {
    for garbage in [
        "echo garbage",
        "exit 0",
        "echo '{\"nftables\": 7}'",
        "printf '\\377'",
    ] {
        let error = error_of(garbage);
        assert!(error.contains("cannot read the list"), "{garbage}: {error}");
    }
}

#[test]
fn endless_words_are_cut_short() {
    assert_eq!(
        error_of("exec yes"),
        "`nft` printed more than 1 MiB and was killed"
    );
    assert_eq!(
        error_of("exec yes >&2"),
        "`nft` printed more than 1 MiB and was killed"
    );
}

#[test]
fn a_failure_is_told_in_the_programs_words() {
    let said = error_of("echo 'Error: \x1b[1mno such thing' >&2; echo >&2; echo ^^^ >&2; exit 1");
    assert_eq!(said, "`nft` failed: Error: \\u{1b}[1mno such thing; ^^^");
    assert_eq!(error_of("exit 7"), "`nft` failed: it printed no reason");
    assert_eq!(error_of("kill -9 $$"), "`nft` failed: it printed no reason");
}

/// A program that leaves its process id in a file and hangs, and what tells whether it is there still, a zombie or not.
fn hanging() -> (TempDir, PathBuf, impl Fn() -> bool) {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let text = format!("echo $$ > {}; exec sleep 60", pid.display());
    let program = executable(folder.path(), "nft", &text);
    let lives = move || {
        let pid = wait::until("the program to start", Duration::from_secs(10), || {
            fs::read_to_string(&pid)
                .ok()
                .filter(|pid| pid.ends_with('\n'))
        });
        Path::new("/proc").join(pid.trim()).exists()
    };
    (folder, program, lives)
}

#[test]
fn a_program_that_hangs_is_killed_and_leaves_no_zombie() {
    let (_folder, program, lives) = hanging();
    let error = error(&program);
    assert_eq!(
        error.to_string(),
        "`nft` did not end within 0.5 s and was killed"
    );
    assert!(!lives());
}

#[test]
fn a_program_goes_with_whoever_waited_for_it() {
    let (_folder, program, lives) = hanging();
    runtime().block_on(async {
        let desired = Desired::new();
        let mut sink = sink(&program);
        let reconcile = sink.reconcile(&desired, AT);
        assert!(tokio::time::timeout(DEADLINE / 2, reconcile).await.is_err());
        assert!(lives());
        while lives() {
            // The runtime collects what was left behind.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn no_environment_and_no_shell_come_between() {
    let (folder, _) = script("");
    let seen = folder.path().join("seen");
    // `printf` is the shell's own: only what was handed over is shown.
    let text = format!(
        "{{ /usr/bin/env; printf '%s\\n' \"$@\"; pwd; }} > {}; exit 1",
        seen.display()
    );
    let program = executable(folder.path(), "a $(touch x);nft", &text);
    error(&program);
    let seen = fs::read_to_string(seen).unwrap();
    let seen: Vec<_> = seen
        .lines()
        .filter(|line| !line.starts_with("PWD=") && !line.starts_with("_="))
        .collect();
    let own = |line: &&&str| line.starts_with("SHLVL=") || line.starts_with("OLDPWD=");
    let seen: Vec<_> = seen.iter().filter(|line| !own(line)).copied().collect();
    assert_eq!(seen, ["-j", "-f", "-", "/"]);
}

/// The program with the capabilities that `setpriv` leaves it.
fn with(world: &World, bounding_set: &str) -> Nftables {
    let text = format!(
        "exec setpriv --bounding-set={bounding_set} {} \"$@\"",
        world.nft.display()
    );
    let program = executable(world.folder.path(), "bounded", &text);
    Nftables::new(settings(&program))
}

#[test]
fn without_the_right_nothing_changes_and_the_drop_in_is_named() {
    world(&["45.90.1.10"], async |world| {
        let mut sink = with(&world, "-net_admin");
        let error = sink
            .reconcile(&Desired::new(), world.now())
            .await
            .unwrap_err();
        assert!(matches!(error, NftablesError::NotPermitted), "{error}");
        assert_eq!(world.rules(), "");
    });
}

#[test]
fn the_right_to_the_network_alone_is_enough() {
    world(&["45.90.1.10"], async |world| {
        let mut sink = with(&world, "-all,+net_admin");
        sink.reconcile(&Desired::new(), world.now()).await.unwrap();
        sink.apply(&hold(&["45.90.1.10/32"]), world.now())
            .await
            .unwrap();
        assert!(!answers("45.90.1.10").await);
    });
}

/// So it is where the program has the right by itself and the agent has not.
#[test]
fn without_the_kernels_generation_the_table_is_looked_at_each_time() {
    world(&["45.90.1.10"], async |world| {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::NET_ADMIN);
        set_capabilities(None, sets).unwrap();
        let desired = for_an_hour(&["45.90.1.10/32"]);
        let mut sink = world.new_sink();
        sink.reconcile(&Desired::new(), world.now()).await.unwrap();
        sink.apply(&hold(&["45.90.1.10/32"]), world.now())
            .await
            .unwrap();
        assert!(!answers("45.90.1.10").await);
        assert_eq!(
            sink.reconcile(&desired, world.now()).await.unwrap(),
            Repair::Nothing
        );
        world.by_hand("flush set inet electrumx_warden v4_32");
        let repair = sink.reconcile(&desired, world.now()).await.unwrap();
        assert_eq!(
            repair,
            Repair::Elements {
                missing: 1,
                extra: 0,
                wrong_end: 0
            }
        );
        world.by_hand("flush ruleset");
        let repair = sink.reconcile(&desired, world.now()).await.unwrap();
        assert_eq!(
            repair,
            Repair::Replaced {
                reason: Reason::Gone,
                networks: 1
            }
        );
        assert!(!answers("45.90.1.10").await);
    });
}
