//! A file system of 2 MiB for tests of full disks: the test runs itself again in a mount namespace.
//! Where a machine cannot provide that, it fails and says how to leave it out.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// The mount point; set inside the namespace alone.
const DISK: &str = "SMALL_DISK_TEST_MOUNT";

/// Set to `1` by whoever cannot provide servers and namespaces; refused in CI.
const SKIP: &str = "ELECTRUMX_WARDEN_SKIP_REAL";

/// Runs this very test again on a tmpfs of 2 MiB, where it does `test`.
pub(crate) fn on_a_small_disk(test: fn(&Path)) {
    if let Some(disk) = std::env::var_os(DISK) {
        return test(disk.as_ref());
    }
    // The test harness names a test's thread after it.
    let name = std::thread::current().name().unwrap().to_owned();
    if std::env::var(SKIP).is_ok_and(|value| value == "1") {
        let ci = std::env::var("CI").is_ok_and(|value| !["", "0", "false"].contains(&&*value));
        assert!(!ci, "`{SKIP}=1` is refused in CI");
        // Past the harness, which keeps what a test prints.
        let said = writeln!(
            std::io::stderr().lock(),
            "\n*** LEFT OUT: a small disk: {SKIP}=1 is set ***\n"
        );
        said.unwrap();
        return;
    }
    let mount_point = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=2m none \"$1\" && exec \"$2\" --exact \"$3\"";
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg("sh")
        .arg(mount_point.path())
        .arg(std::env::current_exe().unwrap())
        .arg(name)
        .env(DISK, mount_point.path())
        .output();
    let text = match &output {
        Ok(output) => [&output.stdout[..], &output.stderr[..]].concat(),
        Err(error) => error.to_string().into_bytes(),
    };
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains("running 1 test"),
        "cannot mount a tmpfs in a namespace of its own (`unshare --user --map-root-user --mount`): \
         {text}\nallow user namespaces, or set {SKIP}=1 to leave this test out"
    );
    assert!(output.unwrap().status.success(), "{text}");
}

/// Takes all the room there is.
pub(crate) fn fill(ballast: &Path) {
    let mut file = std::fs::File::create(ballast).unwrap();
    let error = std::io::copy(&mut std::io::repeat(b'x'), &mut file).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
}
